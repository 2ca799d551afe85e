//! The lock that the queue uses: a name of its own, so that the model checker can put its own in its place.

pub(crate) use std::sync::Mutex;
