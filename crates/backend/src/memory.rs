//! The store that forgets at exit, and the reference for what every other store must do. Used by tests, by
//! the simulator, and by a server without a data directory.
//!
//! [`MemoryLog`] is the log itself: a pure state machine, one answer per request, with time and epoch as
//! arguments. A simulator holds it directly and decides when answers arrive, or clones it to go back to an
//! earlier moment. [`MemoryStore`] is the thin shell that makes a [`Store`] of it.

mod channel;
mod fold;
mod keys;
mod log;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use trunkline_model::{Epoch, Timestamp};

use crate::{Answer, Request, Sink, Store};

pub use log::MemoryLog;

/// How often the namespaces are trimmed to which nothing is appended.
const TRIM_INTERVAL_MS: u64 = 1_000;

/// The store that forgets at exit.
///
/// It has no thread: answers are given from within `submit`, on the thread that calls it, before it
/// returns; if another thread is just giving answers, that one gives these too. The order of answers is the
/// order of submission over all threads, and a sink may submit again.
///
/// It keeps what its log is told to keep ([`MemoryLog::set_retentions`]), and makes room at each append, and once a
/// second while it is asked anything. If it is told nothing, memory grows with what is published.
pub struct MemoryStore {
    state: Mutex<State>,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    sink: Sink,
}

struct State {
    log: MemoryLog,
    /// When all namespaces were last trimmed, not only those that were appended to.
    trimmed: Timestamp,
    waiting: VecDeque<Vec<Answer>>,
    delivering: bool,
}

impl MemoryStore {
    /// An empty store that writes under `epoch` (give each store a new, random one) and asks `clock` for
    /// the time of each append.
    pub fn new(epoch: Epoch, clock: impl Fn() -> Timestamp + Send + Sync + 'static, sink: Sink) -> Self {
        Self::with_log(MemoryLog::new(epoch), clock, sink)
    }

    /// A store that goes on with `log`.
    pub fn with_log(
        log: MemoryLog,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
        sink: Sink,
    ) -> Self {
        let state = State { log, trimmed: Timestamp::default(), waiting: VecDeque::new(), delivering: false };
        Self { state: Mutex::new(state), clock: Box::new(clock), sink }
    }

    /// Ends the store and gives its log back.
    #[must_use]
    pub fn into_log(self) -> MemoryLog {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).log
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Only a panic of the clock can poison it, and that leaves the log as it was.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What has grown too old where nothing is appended goes once in a while.
    fn trim(&mut self, now: Timestamp) {
        if now.0.abs_diff(self.trimmed.0) >= TRIM_INTERVAL_MS {
            self.trimmed = now;
            self.log.trim(now);
        }
    }
}

impl Store for MemoryStore {
    fn submit(&self, requests: Vec<Request>) {
        let mut state = self.state();
        state.trim((self.clock)());
        let answers = requests.into_iter().map(|request| state.log.handle(request, (self.clock)())).collect();
        state.waiting.push_back(answers);
        if state.delivering {
            return;
        }
        state.delivering = true;
        while let Some(answers) = state.waiting.pop_front() {
            drop(state);
            (self.sink)(answers);
            state = self.state();
        }
        state.delivering = false;
    }

    fn epoch(&self) -> Epoch {
        self.state().log.epoch()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("epoch", &self.epoch()).finish_non_exhaustive()
    }
}
