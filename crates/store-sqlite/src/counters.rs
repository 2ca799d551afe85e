//! What the store has done since it was opened, in numbers; read by metrics and by tests that hold a budget.

use std::sync::atomic::{AtomicU64, Ordering};

/// A reading of the counters of one store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Transactions of appends that were committed.
    pub transactions: u64,
    /// Those among them that were answered before they were synced.
    pub unsynced: u64,
    /// Syncs of the write-ahead log that made up for that.
    pub syncs: u64,
    /// Publications that were stored.
    pub appended: u64,
    /// Appends that were answered with an earlier position.
    pub duplicates: u64,
    /// Appends that the log did not allow.
    pub refused: u64,
    /// Appends that were answered with an error of the store's.
    pub failed: u64,
    /// Expired keys that were deleted.
    pub keys_forgotten: u64,
    /// Checkpoints that moved pages from the write-ahead log into the database.
    pub checkpoints: u64,
    /// Entries that were trimmed.
    pub trimmed: u64,
    /// `Head`, `Read` and `Locate` requests that were answered.
    pub reads: u64,
    /// Times that the database file was found to be removed or replaced; looked at with each transaction, and once a
    /// second at rest.
    pub replacements: u64,
    /// Epochs that were begun after the first, because a commit ended in an I/O error.
    pub renewals: u64,
}

/// The counters themselves, shared by the threads of a store.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) transactions: AtomicU64,
    pub(crate) unsynced: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) appended: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) keys_forgotten: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) trimmed: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) replacements: AtomicU64,
    pub(crate) renewals: AtomicU64,
}

impl Tally {
    pub(crate) fn read(&self) -> Counters {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            transactions: get(&self.transactions),
            unsynced: get(&self.unsynced),
            syncs: get(&self.syncs),
            appended: get(&self.appended),
            duplicates: get(&self.duplicates),
            refused: get(&self.refused),
            failed: get(&self.failed),
            keys_forgotten: get(&self.keys_forgotten),
            checkpoints: get(&self.checkpoints),
            trimmed: get(&self.trimmed),
            reads: get(&self.reads),
            replacements: get(&self.replacements),
            renewals: get(&self.renewals),
        }
    }
}

/// Adds to one counter.
pub(crate) fn count(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Ordering::Relaxed);
}
