//! The store that forgets at exit, and the reference for what every other store must do. Used by tests, by
//! the simulator, and by a server without a data directory.
//!
//! [`MemoryLog`] is the log itself: a pure state machine, one answer per request, with time and epoch as
//! arguments. A simulator holds it directly and decides when answers arrive, or clones it to go back to an
//! earlier moment. [`MemoryStore`] is the thin shell that makes a [`Store`] of it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashbrown::HashMap;
use trunkline_model::{ChannelName, Epoch, Key, Offset, Position, Publication, Publisher, Timestamp};

use crate::{
    Answer, Append, Appended, Direction, Head, Meter, Read, ReadResult, Request, Sink, Store, Window,
};

/// The store that forgets at exit.
///
/// It has no thread: answers are given from within `submit`, on the thread that calls it, before it
/// returns; if another thread is just giving answers, that one gives these too. The order of answers is the
/// order of submission over all threads, and a sink may submit again.
///
/// Nothing is ever trimmed, so memory grows with what is published.
pub struct MemoryStore {
    state: Mutex<State>,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    sink: Sink,
}

struct State {
    log: MemoryLog,
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
        let state = State { log, waiting: VecDeque::new(), delivering: false };
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

impl Store for MemoryStore {
    fn submit(&self, requests: Vec<Request>) {
        let mut state = self.state();
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
        self.state().log.epoch
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("epoch", &self.epoch()).finish_non_exhaustive()
    }
}

/// The logs of all channels and the keys that are remembered, without thread, lock or clock. A clone is a
/// snapshot (entries are shared).
#[derive(Clone, Debug)]
pub struct MemoryLog {
    epoch: Epoch,
    channels: HashMap<ChannelName, Vec<Arc<Publication>>>,
    keys: HashMap<KeyScope, Remembered>,
    /// The keys in the order in which they were stored, to forget a few of them with each append.
    forgetting: VecDeque<KeyScope>,
}

type KeyScope = (ChannelName, Publisher, Key);

#[derive(Clone, Copy, Debug)]
struct Remembered {
    first: Appended,
    expires: Timestamp,
}

impl MemoryLog {
    /// An empty log that writes under `epoch`.
    #[must_use]
    pub fn new(epoch: Epoch) -> Self {
        Self { epoch, channels: HashMap::new(), keys: HashMap::new(), forgetting: VecDeque::new() }
    }

    /// Begins a new epoch: what a store does when it is opened again.
    pub fn begin(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    /// The epoch under which new entries are written.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Does what is asked, at the time `now`.
    pub fn handle(&mut self, request: Request, now: Timestamp) -> Answer {
        match request {
            Request::Append(ticket, append) => Answer::Appended(ticket, Ok(self.append(append, now))),
            Request::Head(ticket, channel, window) => Answer::Head(ticket, Ok(self.head(&channel, window))),
            Request::Read(ticket, read) => Answer::Read(ticket, Ok(self.read(&read))),
        }
    }

    fn append(&mut self, append: Append, now: Timestamp) -> Appended {
        let scope = append.key.clone().map(|key| (append.channel.clone(), append.publisher.clone(), key));
        if let Some(known) = scope.as_ref().and_then(|scope| self.keys.get(scope))
            && now < known.expires
        {
            return Appended { duplicate: true, ..known.first };
        }
        let appended = self.push(&append, now);
        if let Some(scope) = scope {
            self.forget_some(now);
            self.remember(scope, Remembered { first: appended, expires: after(appended.ts, append.keys) });
        }
        appended
    }

    fn push(&mut self, append: &Append, now: Timestamp) -> Appended {
        let entries = self.channels.entry(append.channel.clone()).or_default();
        let before = entries.last();
        let ts = before.map_or(now, |before| now.max(before.ts));
        let begins_epoch = before.and_then(|before| before.position).map(|p| p.epoch) != Some(self.epoch);
        let position = Position { epoch: self.epoch, offset: Offset(entries.len() as u64 + 1) };

        let mut publication = Publication::new(append.channel.clone(), ts, append.payload.clone());
        publication.position = Some(position);
        publication.begins_epoch = begins_epoch;
        publication.from = append.from.clone();
        publication.key = append.key.clone();
        entries.push(Arc::new(publication));
        Appended { position, begins_epoch, ts, duplicate: false }
    }

    fn remember(&mut self, scope: KeyScope, remembered: Remembered) {
        if self.keys.insert(scope.clone(), remembered).is_none() {
            self.forgetting.push_back(scope);
        }
    }

    /// Looks at two keys for each one that is added, so that expired ones go in step with new ones and no
    /// append ever waits for a sweep.
    fn forget_some(&mut self, now: Timestamp) {
        for _ in 0..2 {
            let Some(scope) = self.forgetting.pop_front() else { return };
            if self.keys.get(&scope).is_some_and(|known| now < known.expires) {
                self.forgetting.push_back(scope);
            } else {
                self.keys.remove(&scope);
            }
        }
    }

    fn head(&self, channel: &ChannelName, window: Window) -> Head {
        let entries = self.entries(channel);
        let position = entries
            .last()
            .and_then(|newest| newest.position)
            .unwrap_or(Position { epoch: self.epoch, offset: Offset::ZERO });
        Head { position, floor: Offset(1), floor_epoch: None, tail: newest(entries, window) }
    }

    fn read(&self, read: &Read) -> ReadResult {
        let entries = self.entries(&read.channel);
        let index = |offset: u64| usize::try_from(offset).map_or(entries.len(), |at| at.min(entries.len()));
        let (start, end) = (index(read.first.prev().0), index(read.last.0));
        let range = entries.get(start..end).unwrap_or_default();
        let entries = match read.direction {
            Direction::Forward => oldest(range, read.window),
            Direction::Backward => newest(range, read.window),
        };
        ReadResult { entries }
    }

    fn entries(&self, channel: &ChannelName) -> &[Arc<Publication>] {
        self.channels.get(channel).map_or(&[], Vec::as_slice)
    }
}

fn oldest(range: &[Arc<Publication>], window: Window) -> Vec<Arc<Publication>> {
    let mut meter = Meter::new(window);
    range.iter().take_while(|entry| meter.admit(entry.cost())).cloned().collect()
}

fn newest(range: &[Arc<Publication>], window: Window) -> Vec<Arc<Publication>> {
    let mut meter = Meter::new(window);
    let count = range.iter().rev().take_while(|entry| meter.admit(entry.cost())).count();
    range[range.len() - count..].to_vec()
}

fn after(ts: Timestamp, duration: Duration) -> Timestamp {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Timestamp(ts.0.saturating_add(ms))
}
