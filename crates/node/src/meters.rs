//! What happens on a node, in numbers. Each worker counts for itself, so that nobody waits for anybody; whoever wants to
//! know adds it up ([`Meters::read`]). What the numbers are called elsewhere is not said here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use trunkline_model::close::{self, CloseReason};
use trunkline_model::{Action, ErrorCode};

use crate::connection::Protocol;
use crate::refusals::Refusals;

/// The protocols, as they are counted.
const PROTOCOLS: [&str; 3] = ["trunkline.v1", "plain", "echo"];
/// The commands, as they are counted.
const COMMANDS: [&str; 10] = [
    "connect",
    "subscribe",
    "unsubscribe",
    "publish",
    "history",
    "presence",
    "rpc",
    "refresh",
    "ping",
    "pong",
];
/// Up to so many seconds each bucket of a histogram counts.
pub const BUCKETS: [f64; 16] = [
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    f64::INFINITY,
];
/// How many errors and close codes there may be.
const CODES_MAX: usize = 32;
/// Of how many batches that the store was given it is remembered when.
const BATCHES_MAX: usize = 256;

/// One number, written by one worker.
#[derive(Debug, Default)]
pub(crate) struct Number(AtomicU64);

impl Number {
    /// Nobody else writes it, so this needs no locked instruction.
    pub(crate) fn add(&self, count: usize) {
        self.set(self.get().wrapping_add(count as u64));
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How long something took, each time.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [Number; BUCKETS.len()],
    nanoseconds: Number,
}

impl Histogram {
    pub(crate) fn note(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS.iter().position(|up_to| seconds <= *up_to).unwrap_or(BUCKETS.len() - 1);
        self.buckets[bucket].add(1);
        self.nanoseconds.add(usize::try_from(took.as_nanos()).unwrap_or(usize::MAX));
    }
}

/// What one worker counts.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    opened: [Number; PROTOCOLS.len()],
    closed: [Number; PROTOCOLS.len()],
    commands: [Number; COMMANDS.len()],
    errors: [Number; CODES_MAX],
    closes: [Number; CODES_MAX],
    pub(crate) deliveries: Number,
    pub(crate) received_bytes: Number,
    pub(crate) sent_bytes: Number,
    pub(crate) subscriptions: Number,
    pub(crate) channels: Number,
    pub(crate) hot_bytes: Number,
    pub(crate) turns: Histogram,
    pub(crate) appends: Histogram,
}

impl Meter {
    pub(crate) fn opened(&self, protocol: &Protocol) {
        self.opened[index_of(protocol)].add(1);
    }

    pub(crate) fn closed(&self, protocol: &Protocol) {
        self.closed[index_of(protocol)].add(1);
    }

    pub(crate) fn command(&self, action: &Action) {
        let index = match action {
            Action::Connect(_) => 0,
            Action::Subscribe(_) => 1,
            Action::Unsubscribe(_) => 2,
            Action::Publish(_) => 3,
            Action::History(_) => 4,
            Action::Presence(_) => 5,
            Action::Rpc { .. } => 6,
            Action::Refresh(_) => 7,
            Action::Ping => 8,
            Action::Pong => 9,
        };
        self.commands[index].add(1);
    }

    pub(crate) fn error(&self, code: ErrorCode) {
        if let Some(number) = place(ErrorCode::ALL, &code).and_then(|index| self.errors.get(index)) {
            number.add(1);
        }
    }

    pub(crate) fn close(&self, reason: CloseReason) {
        if let Some(number) = place(close::ALL, &reason).and_then(|index| self.closes.get(index)) {
            number.add(1);
        }
    }
}

fn place<T: PartialEq>(all: &[T], one: &T) -> Option<usize> {
    all.iter().position(|other| other == one)
}

fn index_of(protocol: &Protocol) -> usize {
    match protocol {
        Protocol::Json => 0,
        Protocol::Plain(_) => 1,
        Protocol::Echo => 2,
    }
}

/// When the store was given what it has not answered yet, as far as that is remembered.
#[derive(Debug, Default)]
pub(crate) struct Submitted(VecDeque<(u64, Instant)>);

impl Submitted {
    /// Tickets up to this one were given now.
    pub(crate) fn note(&mut self, last: u64, now: Instant) {
        if self.0.len() == BATCHES_MAX {
            self.0.pop_front();
        }
        self.0.push_back((last, now));
    }

    /// How long ago this ticket was given.
    pub(crate) fn since(&self, ticket: u64, now: Instant) -> Option<Duration> {
        let index = self.0.partition_point(|(last, _)| *last < ticket);
        // What was given before the first that is remembered cannot be told from the first.
        if index == 0 && self.0.len() == BATCHES_MAX {
            return None;
        }
        self.0.get(index).map(|(_, given)| now.saturating_duration_since(*given))
    }
}

/// The numbers of a node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Meters {
    pub(crate) workers: Arc<[Arc<Meter>]>,
    pub(crate) connections: Arc<AtomicUsize>,
    /// Who was sent away before anything else was known of it.
    pub refusals: Arc<Refusals>,
}

/// What they come to.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Counts {
    /// Connections that are open, WebSocket and HTTP together.
    pub connections: u64,
    /// WebSockets that are open, by protocol.
    pub open: Vec<(&'static str, u64)>,
    /// WebSockets that were opened up to now, by protocol.
    pub opened: Vec<(&'static str, u64)>,
    /// Commands, by type.
    pub commands: Vec<(&'static str, u64)>,
    /// Errors that clients were told, HTTP included, by code.
    pub errors: Vec<(&'static str, u64)>,
    /// Connections that the server closed, by close code.
    pub closes: Vec<(u16, u64)>,
    /// Those that were sent away, by reason.
    pub refusals: Vec<(&'static str, u64)>,
    /// Publications that went to subscribers: of one to a hundred, a hundred.
    pub deliveries: u64,
    /// Bytes read from WebSockets.
    pub received_bytes: u64,
    /// Bytes written to them.
    pub sent_bytes: u64,
    /// Subscriptions, as of a few seconds ago.
    pub subscriptions: u64,
    /// Channels whose state is in memory, as of a few seconds ago.
    pub channels: u64,
    /// What these hold of publications, in bytes, as of a few seconds ago.
    pub hot_bytes: u64,
    /// How long turns take.
    pub turns: Durations,
    /// How long the store takes to answer a publish.
    pub appends: Durations,
}

/// How long something took: how often within each of [`BUCKETS`], and the sum in seconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Durations {
    /// As many as [`BUCKETS`]; each counts what was in none before it.
    pub buckets: Vec<u64>,
    /// In seconds.
    pub sum: f64,
}

impl Meters {
    pub(crate) fn of(workers: usize) -> Self {
        let workers = (0..workers).map(|_| Arc::default()).collect();
        Self { workers, connections: Arc::default(), refusals: Arc::default() }
    }

    /// All that was counted up to now, of all workers.
    #[must_use]
    pub fn read(&self) -> Counts {
        let sum = |number: &dyn Fn(&Meter) -> &Number| -> u64 {
            self.workers.iter().map(|worker| number(worker).get()).fold(0, u64::wrapping_add)
        };
        let opened = |index: usize| sum(&|worker| &worker.opened[index]);
        let closed = |index: usize| sum(&|worker| &worker.closed[index]);
        let protocols = || PROTOCOLS.into_iter().enumerate();
        let histogram = |of: &dyn Fn(&Meter) -> &Histogram| Durations {
            buckets: (0..BUCKETS.len()).map(|index| sum(&|worker| &of(worker).buckets[index])).collect(),
            sum: sum(&|worker| &of(worker).nanoseconds) as f64 / 1e9,
        };
        let codes = ErrorCode::ALL.iter().enumerate().take(CODES_MAX);
        let reasons = close::ALL.iter().enumerate().take(CODES_MAX);
        Counts {
            connections: self.connections.load(Ordering::Relaxed) as u64,
            // Not at one moment: one that has just come may be missed.
            open: protocols()
                .map(|(index, name)| (name, opened(index).saturating_sub(closed(index))))
                .collect(),
            opened: protocols().map(|(index, name)| (name, opened(index))).collect(),
            commands: COMMANDS
                .into_iter()
                .enumerate()
                .map(|(index, name)| (name, sum(&|worker| &worker.commands[index])))
                .collect(),
            errors: codes
                .map(|(index, code)| (code.as_str(), sum(&|worker| &worker.errors[index])))
                .collect(),
            closes: reasons
                .map(|(index, reason)| (reason.code, sum(&|worker| &worker.closes[index])))
                .collect(),
            refusals: self.refusals.read(),
            deliveries: sum(&|worker| &worker.deliveries),
            received_bytes: sum(&|worker| &worker.received_bytes),
            sent_bytes: sum(&|worker| &worker.sent_bytes),
            subscriptions: sum(&|worker| &worker.subscriptions),
            channels: sum(&|worker| &worker.channels),
            hot_bytes: sum(&|worker| &worker.hot_bytes),
            turns: histogram(&|worker| &worker.turns),
            appends: histogram(&|worker| &worker.appends),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_workers_count_is_added_up() {
        let meters = Meters::of(2);
        meters.workers[0].opened(&Protocol::Json);
        meters.workers[1].opened(&Protocol::Json);
        meters.workers[1].closed(&Protocol::Json);
        meters.workers[1].error(ErrorCode::Draining);
        meters.workers[0].close(close::CONNECTION_LIMIT);
        for millis in [0, 1, 2, 60_000] {
            meters.workers[0].turns.note(Duration::from_millis(millis));
        }
        let counts = meters.read();
        assert_eq!(counts.open[0], ("trunkline.v1", 1));
        assert_eq!(counts.opened[0], ("trunkline.v1", 2));
        assert!(counts.errors.contains(&("draining", 1)), "every code has its number");
        assert!(counts.closes.contains(&(4529, 1)), "every reason has its number");
        assert_eq!(counts.turns.buckets, [1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert!((counts.turns.sum - 60.003).abs() < 1e-9);
    }

    #[test]
    fn a_ticket_is_as_old_as_its_batch() {
        let (mut submitted, start) = (Submitted::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        submitted.note(3, at(0));
        submitted.note(7, at(10));
        let since = |submitted: &Submitted, ticket| submitted.since(ticket, at(30)).map(|age| age.as_secs());
        assert_eq!(
            [1, 3, 4, 7, 8].map(|ticket| since(&submitted, ticket)),
            [Some(30), Some(30), Some(20), Some(20), None]
        );
        (0..300).for_each(|more| submitted.note(100 + more, at(20)));
        assert_eq!(submitted.0.len(), BATCHES_MAX);
        assert_eq!(since(&submitted, 3), None, "it is not known any more");
        assert_eq!(since(&submitted, 399), Some(10));
    }
}
