//! Case: random operations, on the store and on the model beside it. A failure prints its seed.

use std::time::Duration;

use trunkline_model::{
    Acknowledge, ChannelName, ClientId, Entry, EntryName, Epoch, Form, Key, Offset, Op, Payload, Position,
    Publisher, Reference, Retention, Role, Timestamp, UserName,
};

use super::asker::{Asker, name, post, range_of};
use super::model::Model;
use super::{NewSite, Site, TestClock};
use crate::{Append, Direction, Read, Retentions, Window};

const SEEDS: u64 = 24;
const OPERATIONS: u64 = 250;

/// All that are written to: of each retention two, and of those that keep only the newest of each entry.
const CHANNELS: [&str; 11] = [
    "log:0", "log:1", "few:0", "few:1", "small:0", "small:1", "brief:0", "brief:1", "map:0", "map:1",
    "value:0",
];

/// Questions after which a store that has not trimmed is taken to be stuck. A bound, so that a failing test ends.
const PATIENCE: u32 = 100_000;

#[derive(Debug)]
enum Operation {
    Append(Vec<Append>),
    Head(ChannelName, Window),
    Read(Read),
    Locate(ChannelName, u64, u64),
    Advance(u64),
    StepBack(u64),
    Reopen,
}

/// Whatever is done, store and model answer the same.
pub fn a_random_run_agrees_with_the_model(new_site: NewSite<'_>) {
    for seed in 0..SEEDS {
        let _seed = PrintedOnPanic(seed);
        run(new_site, seed);
    }
}

fn run(new_site: NewSite<'_>, seed: u64) {
    let mut random = Random::new(seed);
    let mut site = new_site();
    let mut run = Run::new(&mut *site);
    for at in 0..OPERATIONS {
        let operation = operation(&mut random);
        let asked = format!("operation {at}: {operation:?}");
        run.perform(operation, &asked);
    }
    run.settle();
    run.asker.close();
}

/// A store and the model beside it.
struct Run<'s> {
    site: &'s mut dyn Site,
    clock: TestClock,
    asker: Asker,
    model: Model,
    epochs: Vec<Epoch>,
}

impl<'s> Run<'s> {
    fn new(site: &'s mut dyn Site) -> Self {
        let clock = TestClock::new();
        let asker = Asker::open_keeping(site, &clock, &retentions());
        let epochs = vec![Epoch::NONE, asker.epoch()];
        Self { site, clock, asker, model: Model::new(retentions()), epochs }
    }

    fn perform(&mut self, operation: Operation, asked: &str) {
        match operation {
            Operation::Append(batch) => self.append(batch, asked),
            Operation::Head(channel, window) => self.head(&channel, window, asked),
            Operation::Read(wanted) => {
                let read = self.asker.read_range(wanted.clone());
                self.model.floor_seen(&wanted.channel, read.floor);
                let (entries, covered) = self.model.read(&wanted);
                assert!(
                    read.entries.iter().map(|entry| &**entry).eq(&entries),
                    "{asked}: {:?}",
                    read.entries
                );
                assert_eq!(read.covered, covered, "{asked}");
            }
            Operation::Locate(channel, life, offset) => {
                let epoch = self.epochs[life as usize % self.epochs.len()];
                let position = Position { epoch, offset: Offset(offset) };
                let located = self.asker.locate(&channel, position);
                assert_eq!(located, self.model.locate(&channel, position), "{asked}: {position:?}");
            }
            Operation::Advance(ms) => {
                self.clock.advance(ms);
                self.model.clock_shows(self.clock.now());
            }
            Operation::StepBack(ms) => self.clock.step_back(ms),
            Operation::Reopen => self.reopen(),
        }
    }

    fn append(&mut self, mut batch: Vec<Append>, asked: &str) {
        let (epoch, now) = (self.asker.epoch(), self.clock.now());
        batch.retain(|append| self.model.is_settled(append, now));
        let expected: Vec<_> = batch.iter().map(|append| self.model.append(append, epoch, now)).collect();
        assert_eq!(self.asker.try_all(&batch), expected, "{asked}");
    }

    fn head(&mut self, channel: &ChannelName, window: Window, asked: &str) {
        let head = self.asker.head(channel, window);
        self.model.floor_seen(channel, head.floor);
        assert_eq!(head.position, self.model.head(channel, self.asker.epoch()), "{asked}");
        let (tail, _) = self.model.read(&range_of(channel, (0, u64::MAX), Direction::Backward, window));
        assert!(head.tail.iter().map(|entry| &**entry).eq(&tail), "{asked}: {:?}", head.tail);
    }

    fn reopen(&mut self) {
        let closed = Asker::closed();
        std::mem::replace(&mut self.asker, closed).close();
        self.asker = Asker::open_keeping(self.site, &self.clock, &retentions());
        self.epochs.push(self.asker.epoch());
    }

    /// In the end nothing is left that is beyond a bound.
    fn settle(&mut self) {
        self.perform(Operation::Advance(1_000_000), "settling");
        self.append(vec![post("wake:up", "x")], "settling");
        for _ in 0..PATIENCE {
            for channel in CHANNELS {
                self.head(&name(channel), Window { entries: 1, bytes: 0 }, "settling");
            }
            let left = self.model.beyond(self.clock.now());
            if left.is_empty() {
                return;
            }
            std::thread::yield_now();
        }
        panic!("still there: {:?}", self.model.beyond(self.clock.now()));
    }
}

fn retentions() -> Retentions {
    let all = Retention::default();
    let forgetful = Retention { removals: Duration::from_secs(2), entries: Some(2), ..all };
    [
        ("map", forgetful),
        ("value", forgetful),
        ("few", Retention { entries: Some(5), ..all }),
        ("small", Retention { bytes: Some(2_000), ..all }),
        ("brief", Retention { age: Some(Duration::from_secs(2)), entries: Some(30), ..all }),
    ]
    .into_iter()
    .collect()
}

fn operation(random: &mut Random) -> Operation {
    match random.below(100) {
        0..40 => Operation::Append((0..=random.below(12)).map(|_| append(random)).collect()),
        40..55 => Operation::Head(channel(random), window(random)),
        55..80 => {
            let range = (random.below(60), random.below(80));
            let direction = if random.below(2) == 0 { Direction::Forward } else { Direction::Backward };
            let read = range_of(&channel(random), range, direction, window(random));
            Operation::Read(Read { folded: random.below(2) == 0, ..read })
        }
        80..85 => Operation::Locate(channel(random), random.below(100), random.below(80)),
        85..93 => Operation::Advance(random.below(1_500)),
        93..97 => Operation::StepBack(random.below(1_500)),
        _ => Operation::Reopen,
    }
}

fn channel(random: &mut Random) -> ChannelName {
    name(CHANNELS[random.below(CHANNELS.len() as u64) as usize])
}

fn append(random: &mut Random) -> Append {
    let form = [Form::Json, Form::Text, Form::Binary][random.below(3) as usize];
    let channel = channel(random);
    let role = role(random, &channel);
    // Few reactions, so that they meet.
    let size = if role.reference().is_some() { random.below(2) } else { random.below(120) };
    let bytes: Vec<u8> = (0..size).map(|_| b'a' + random.below(26) as u8 % 3).collect();
    Append {
        payload: Payload::new(form, bytes),
        from: [None, Some("ada"), Some("eve")][random.below(3) as usize].map(UserName::new),
        publisher: publisher(random),
        key: (random.below(3) > 0).then(|| key(random)),
        keys: Duration::from_millis(random.below(3_000)),
        overtaken: (0..random.below(8).saturating_sub(5)).map(|_| (publisher(random), key(random))).collect(),
        condition: (random.below(4) == 0).then(|| Offset(random.below(40).saturating_sub(10))),
        role,
        channel,
        moderates: random.below(8) == 0,
        acknowledge: if random.below(4) == 0 { Acknowledge::Memory } else { Acknowledge::Disk },
    }
}

fn publisher(random: &mut Random) -> Publisher {
    Publisher::new(["user:a", "user:b"][random.below(2) as usize])
}

fn key(random: &mut Random) -> Key {
    Key::parse(&random.below(30).to_string()).expect("digits are a key")
}

fn role(random: &mut Random, channel: &ChannelName) -> Role {
    let name = match channel.namespace() {
        "map" => Some(EntryName::parse(&random.below(6).to_string()).expect("a digit is a name")),
        "value" => None,
        // Elsewhere a target may be trimmed already, or not yet.
        "log" if random.below(3) > 0 => {
            let op = Op::ALL[[0, 0, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3][random.below(12) as usize]];
            return Role::Reference(Reference { target: Offset(random.below(12)), op });
        }
        _ => return Role::Message,
    };
    let expires = (random.below(3) == 0).then(|| Timestamp(random.below(1 << 40)));
    let owner = (random.below(3) == 0).then(|| ClientId::new("c-17"));
    Role::Entry(Box::new(Entry { name, removed: random.below(3) == 0, expires, owner }))
}

fn window(random: &mut Random) -> Window {
    Window { entries: random.below(30) as u32, bytes: random.below(3_000) as usize }
}

/// A small generator of random numbers (SplitMix64), the same in every run.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

struct PrintedOnPanic(u64);

impl Drop for PrintedOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the random run failed with seed {}", self.0);
        }
    }
}
