//! The SQLite store against the suite that every store must pass.

use std::sync::Arc;

use tempfile::TempDir;
use trunkline_backend::contract::{Site, TestClock};
use trunkline_backend::{Retentions, Sink, Store};
use trunkline_store_sqlite::{Options, SqliteStore};

/// A data directory that goes when the test ends.
struct Directory(TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }
}

impl Site for Directory {
    fn open(&mut self, clock: TestClock, sink: Sink, retentions: Retentions) -> Box<dyn Store> {
        // Small caps, so that tests reach them: transactions are split, heads forgotten, the log emptied.
        let options = Options {
            clock: Arc::new(move || clock.now()),
            retentions,
            transaction_publications: 700,
            checkpoint_pages: 16,
            wal_pages_max: 128,
            heads: 8,
            ..Options::default()
        };
        Box::new(SqliteStore::open(self.0.path(), sink, options).expect("it opens"))
    }
}

trunkline_backend::store_contract!(Directory::new);
