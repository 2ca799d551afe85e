//! What a publication carries: bytes that the hub never looks into, and the form they are in.

use bytes::Bytes;

/// How a payload's bytes are to be read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Form {
    /// One JSON value, checked on entry, without CR or LF outside of strings (inside, JSON has none).
    Json,
    /// UTF-8 text that is not looked into.
    Text,
    /// Any bytes.
    Binary,
}

/// The opaque content of a publication. Cheap to clone (reference-counted).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payload {
    /// The bytes, in the form that `form` says.
    pub bytes: Bytes,
    /// How to read them.
    pub form: Form,
}

impl Payload {
    /// A payload of `form`. The caller has checked that the bytes are of that form.
    #[must_use]
    pub fn new(form: Form, bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), form }
    }
}
