//! The name of the store's present life, shared by its threads. Random, so that no two lives share one.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use trunkline_model::Epoch;

/// The epoch under which new entries are written; changed by the writer alone.
#[derive(Debug)]
pub(crate) struct SharedEpoch(AtomicU64);

impl SharedEpoch {
    /// A new random epoch.
    pub(crate) fn random() -> io::Result<Self> {
        random().map(|epoch| Self(AtomicU64::new(epoch.number())))
    }

    /// Replaces it by a new random one.
    pub(crate) fn renew(&self) -> io::Result<()> {
        random().map(|epoch| self.0.store(epoch.number(), Ordering::SeqCst))
    }

    pub(crate) fn get(&self) -> Epoch {
        Epoch::from_random(self.0.load(Ordering::SeqCst))
    }
}

fn random() -> io::Result<Epoch> {
    getrandom::u64().map(Epoch::from_random).map_err(io::Error::other)
}
