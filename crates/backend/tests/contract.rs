//! The memory store against the suite that every store must pass.

use std::sync::{Arc, Mutex, PoisonError};

use trunkline_backend::contract::{Site, TestClock};
use trunkline_backend::{MemoryLog, MemoryStore, Request, Retentions, Sink, Store};
use trunkline_model::Epoch;

/// Keeps the log between openings, as a disk would, and names the epochs 1, 2, 3…
#[derive(Default)]
struct Shelf {
    log: Arc<Mutex<Option<MemoryLog>>>,
    openings: u64,
}

/// A store that puts its log back when it is dropped.
struct Borrowed {
    store: Option<MemoryStore>,
    shelf: Arc<Mutex<Option<MemoryLog>>>,
}

impl Site for Shelf {
    fn open(&mut self, clock: TestClock, sink: Sink, retentions: Retentions) -> Box<dyn Store> {
        self.openings += 1;
        let epoch = Epoch::from_random(self.openings);
        let kept = self.log.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut log = kept.unwrap_or_else(|| MemoryLog::new(epoch));
        log.begin(epoch);
        log.set_retentions(retentions);
        let store = MemoryStore::with_log(log, move || clock.now(), sink);
        Box::new(Borrowed { store: Some(store), shelf: Arc::clone(&self.log) })
    }
}

impl Store for Borrowed {
    fn submit(&self, requests: Vec<Request>) {
        self.store.as_ref().expect("it is there until dropped").submit(requests);
    }

    fn epoch(&self) -> Epoch {
        self.store.as_ref().expect("it is there until dropped").epoch()
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let log = self.store.take().map(MemoryStore::into_log);
        *self.shelf.lock().unwrap_or_else(PoisonError::into_inner) = log;
    }
}

trunkline_backend::store_contract!(Shelf::default);
