//! The merge, simulated: a channel with 26 messages a second, a network that delays, reorders and drops, lines that are
//! cut, logs that are rewound. Whatever comes in whatever order, a timeline has everything once and in order.
//!
//! Of the figures that this contract was chosen for (fetch and then subscribe lost or doubled something in 72 % of
//! runs, subscribe and then fetch in 32 %) the simulation is the port, with the timeline of the SDK in it.

use std::collections::{BTreeMap, BTreeSet};

use crate::rng::Rng;
use trunkline_client::rules::{Page, Timeline};
use trunkline_dialect::json::client::Message;
use trunkline_model::{Epoch, Form, Offset, Payload, Position, Timestamp};

const RUNS: u64 = 20_000;
/// In milliseconds.
const RUN: u64 = 3_000;
const LATENCY_MAX: usize = 1_500;
const TIMEOUT: u64 = 2_000;
/// Longer gaps are not replayed.
const REPLAY_MAX: usize = 12;
const PAGE: usize = 9;

/// An entry of the log: what it says, and the epoch in which it was written.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Entry {
    uid: u64,
    epoch: Epoch,
}

/// What arrives somewhere. All of it belongs to a line, and is gone with it.
#[derive(Debug)]
enum Arrival {
    /// At the server.
    Subscribe(Option<Position>),
    Fetch(Ask),
    /// At the client.
    Subscribed {
        at: Position,
        lost: Option<Lost>,
    },
    Message(Message),
    Page(Page),
    /// Nothing came in time.
    Timeout(u64),
}

#[derive(Clone, Copy, Debug)]
enum Ask {
    Newest,
    After(u64),
    Before(u64),
}

#[derive(Clone, Copy, Debug)]
enum Lost {
    Limit,
    Rewound(Option<u64>),
}

struct World {
    rng: Rng,
    now: u64,
    line: u64,
    calm: bool,
    serial: u64,
    arrivals: BTreeMap<(u64, u64), (u64, Arrival)>,
    // The server.
    log: Vec<Entry>,
    epoch: Epoch,
    next_uid: u64,
    subscribed: bool,
    // The client.
    timeline: Timeline,
    /// The fetch that is under way.
    fetching: Option<u64>,
    /// All offsets that have come over this line, if there is always room for them; the model of the merge.
    come: Option<BTreeSet<u64>>,
    /// What was appended, since the last rewind took it back.
    seen: Vec<(u64, u64)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let ahead = if rng.percent(30) { 3 } else { 1_000 };
        let mut world = Self {
            now: 0,
            line: 0,
            calm: false,
            serial: 0,
            arrivals: BTreeMap::new(),
            log: Vec::new(),
            epoch: Epoch::from_random(rng.next()),
            next_uid: 0,
            subscribed: false,
            timeline: Timeline::new(10_000, ahead),
            fetching: None,
            come: (ahead > 3).then(BTreeSet::new),
            seen: Vec::new(),
            rng,
        };
        (0..world.rng.below(30)).for_each(|_| world.publish());
        world
    }

    fn run(&mut self) {
        self.connect();
        let mut next_publish = 0;
        while self.now < RUN {
            if self.now >= next_publish {
                self.publish();
                // 26 a second on average.
                next_publish = self.now + self.rng.below(77) as u64;
            }
            match self.rng.below(1_000) {
                0 => self.connect(),
                1 => self.rewind(),
                2..5 => self.load_older(),
                _ => {}
            }
            self.arrive();
            self.now += 10;
        }
        // In the end the network is kind, and everyone comes to rest.
        self.calm = true;
        self.connect();
        while !self.arrivals.is_empty() {
            assert!(self.now < 100 * RUN, "it does not come to rest: {:?}", self.timeline);
            self.now += 10;
            self.arrive();
        }
    }

    /// The line is cut and another one opened: all that is under way is gone.
    fn connect(&mut self) {
        self.line += 1;
        self.arrivals.clear();
        self.timeline.line_lost();
        self.come.iter_mut().for_each(BTreeSet::clear);
        (self.subscribed, self.fetching) = (false, None);
        let since = self.timeline.position();
        self.will_arrive(Arrival::Subscribe(since));
        if since.is_none() {
            // In whatever order the two are answered.
            self.fetch(Ask::Newest);
        }
    }

    fn publish(&mut self) {
        self.next_uid += 1;
        self.log.push(Entry { uid: self.next_uid, epoch: self.epoch });
        if self.subscribed {
            self.push(self.log.len());
        }
    }

    /// The server comes back with an older log. Its clients notice that the line is gone.
    fn rewind(&mut self) {
        let keep = self.rng.below(self.log.len() + 1);
        self.log.truncate(keep);
        self.epoch = Epoch::from_random(self.rng.next());
        self.connect();
    }

    fn load_older(&mut self) {
        if let Some(Offset(lo)) = self.timeline.lo().filter(|lo| lo.0 > 1) {
            self.will_arrive(Arrival::Fetch(Ask::Before(lo)));
        }
    }

    fn fetch(&mut self, ask: Ask) {
        self.serial += 1;
        let number = self.serial;
        self.fetching = Some(number);
        self.will_arrive(Arrival::Fetch(ask));
        self.arrivals.insert((self.now + TIMEOUT, number), (self.line, Arrival::Timeout(number)));
    }

    fn push(&mut self, offset: usize) {
        let message = self.message(offset);
        self.will_arrive(Arrival::Message(message));
    }

    fn will_arrive(&mut self, arrival: Arrival) {
        let vital = matches!(arrival, Arrival::Subscribe(_) | Arrival::Subscribed { .. });
        if !self.calm && !vital && self.rng.percent(4) {
            return;
        }
        self.serial += 1;
        let at = self.now + self.rng.below(LATENCY_MAX) as u64;
        self.arrivals.insert((at, self.serial), (self.line, arrival));
    }

    fn arrive(&mut self) {
        while let Some(first) = self.arrivals.first_entry().filter(|first| first.key().0 <= self.now) {
            let (line, arrival) = first.remove();
            if line == self.line {
                self.handle(arrival);
                self.look();
            }
        }
    }

    fn handle(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Subscribe(since) => self.subscribe(since),
            Arrival::Fetch(ask) => {
                let page = self.page(ask);
                self.will_arrive(Arrival::Page(page));
            }
            Arrival::Subscribed { at, lost } => match lost {
                Some(Lost::Rewound(keep)) => {
                    self.look();
                    self.timeline.rewind(keep.map(Offset));
                    self.come.iter_mut().for_each(BTreeSet::clear);
                    self.seen.retain(|(offset, _)| keep.is_some_and(|keep| *offset <= keep));
                    if keep.is_none() {
                        self.fetch(Ask::Newest);
                    }
                    self.timeline.stand_at(at);
                }
                Some(Lost::Limit) | None => self.timeline.stand_at(at),
            },
            Arrival::Message(message) => {
                let offset = message.offset.expect("a log has offsets").0;
                self.come.iter_mut().for_each(|come| come.extend([offset]));
                self.timeline.handle_message(message);
            }
            Arrival::Page(page) => {
                self.come.iter_mut().for_each(|come| come.extend(page.lo.0..=page.hi.0));
                self.timeline.handle_page(&page);
                self.fetching = None;
            }
            Arrival::Timeout(number) if self.fetching == Some(number) => self.fetching = None,
            Arrival::Timeout(_) => {}
        }
        if self.fetching.is_none() {
            match (self.timeline.head(), self.timeline.wants()) {
                (None, _) => self.fetch(Ask::Newest),
                (Some(_), Some(Offset(head))) => self.fetch(Ask::After(head)),
                (Some(_), None) => {}
            }
        }
    }

    /// The server's side of a join. What was pushed before a rewind was told is not of this line.
    fn subscribe(&mut self, since: Option<Position>) {
        self.subscribed = true;
        let top = self.log.len();
        let at = Position { epoch: self.top_epoch(), offset: Offset(top as u64) };
        let lost = since.and_then(|since| {
            let offset = usize::try_from(since.offset.0).expect("it was ours");
            let holds =
                offset == 0 || self.log.get(offset - 1).is_some_and(|entry| entry.epoch == since.epoch);
            if holds && top - offset <= REPLAY_MAX {
                (offset + 1..=top).for_each(|offset| self.push(offset));
                return None;
            }
            let shared = self.log.iter().rposition(|entry| entry.epoch == since.epoch);
            Some(if holds { Lost::Limit } else { Lost::Rewound(shared.map(|at| at as u64 + 1)) })
        });
        // A rewind is told before anything else, everything else in any order.
        if let Some(Lost::Rewound(_)) = lost {
            self.handle(Arrival::Subscribed { at, lost });
        } else {
            self.will_arrive(Arrival::Subscribed { at, lost });
        }
    }

    fn page(&self, ask: Ask) -> Page {
        let top = self.log.len();
        let (lo, hi) = match ask {
            Ask::Newest => (top.saturating_sub(PAGE) + 1, top),
            Ask::After(head) => (head as usize + 1, (head as usize + PAGE).min(top)),
            Ask::Before(lo) => ((lo as usize).saturating_sub(PAGE).max(1), (lo as usize - 1).min(top)),
        };
        Page {
            epoch: self.top_epoch(),
            top: Offset(top as u64),
            lo: Offset(lo as u64),
            hi: Offset(hi.max(lo - 1) as u64),
            items: (lo..=hi).map(|offset| self.message(offset)).collect(),
            floor: Offset(1),
            more: true,
        }
    }

    fn top_epoch(&self) -> Epoch {
        self.log.last().map_or(self.epoch, |entry| entry.epoch)
    }

    fn message(&self, offset: usize) -> Message {
        let entry = self.log[offset - 1];
        let begins = offset == 1 || self.log[offset - 2].epoch != entry.epoch;
        Message {
            offset: Some(Offset(offset as u64)),
            epoch: begins.then_some(entry.epoch),
            payload: Payload::new(Form::Text, entry.uid.to_string()),
            reference: None,
            entry: None,
            removed: false,
            erased: false,
            fold: None,
            from: None,
            ts: Timestamp(self.now),
            key: None,
        }
    }

    /// What was appended is the log, each entry once and in order, and all that can be: the merge is the union of what has
    /// come.
    fn look(&mut self) {
        while let Some(message) = self.timeline.poll_appended() {
            let offset = message.offset.expect("a log has offsets").0;
            if let Some((last, _)) = self.seen.last() {
                assert_eq!(offset, last + 1, "no gap and no double");
            }
            self.seen.push((offset, uid(&message.payload)));
        }
        if let (Some(come), Some(head)) = (&self.come, self.timeline.head()) {
            assert!(!come.contains(&head.next().0), "{} has come and {head} is the head", head.next());
        }
    }

    fn check(&self) {
        let head = self.timeline.head().expect("it stands somewhere").0;
        assert_eq!(head, self.log.len() as u64, "all of it is there in the end");
        let truth = |offset: u64| self.log[offset as usize - 1];
        for (offset, uid) in &self.seen {
            assert_eq!(*uid, truth(*offset).uid, "what was seen at {offset} is what the log says");
        }
        assert!(self.seen.last().is_none_or(|(last, _)| *last == head), "what was appended came out");
        let lo = self.timeline.lo().expect("it stands somewhere").0;
        let held: Vec<u64> = self.timeline.items().map(|item| item.offset.expect("of a log").0).collect();
        assert_eq!(held, (lo..=head).collect::<Vec<_>>(), "the range has no hole");
        for item in self.timeline.items() {
            let entry = truth(item.offset.expect("of a log").0);
            assert_eq!(uid(&item.payload), entry.uid);
            assert!(item.epoch.is_none_or(|epoch| epoch == entry.epoch), "{item:?} is of {entry:?}");
        }
        if head > 0 {
            let position = Position { epoch: truth(head).epoch, offset: Offset(head) };
            assert_eq!(self.timeline.position(), Some(position));
        }
    }
}

fn uid(payload: &Payload) -> u64 {
    std::str::from_utf8(&payload.bytes).expect("digits").parse().expect("digits")
}

#[test]
fn nothing_is_lost_or_doubled_in_whatever_order_things_come() {
    let first = Rng::seed();
    let mut appended = 0;
    for seed in first..first + RUNS {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            world.run();
            world.check();
            world.seen.len()
        });
        match run {
            Ok(seen) => appended += seen,
            Err(_) => panic!("TRUNKLINE_TEST_SEED={seed} shows it"),
        }
    }
    eprintln!("{RUNS} runs, {appended} messages, 0 lost, 0 doubled");
}

/// A page that was asked for before the log was rewound, of a place that it does not have any more.
#[test]
fn a_page_beyond_the_top_is_passed_over() {
    let mut timeline = Timeline::new(10, 10);
    let epoch = Epoch::from_random(7);
    let (top, lo, hi) = (Offset(11), Offset(32), Offset(31));
    timeline.handle_page(&Page { epoch, top, lo, hi, items: Vec::new(), floor: Offset(1), more: true });
    assert_eq!((timeline.head(), timeline.wants()), (None, None));
}
