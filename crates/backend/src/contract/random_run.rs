//! Case: random operations, on the store and on the model beside it. A failure prints its seed.

use std::time::Duration;

use trunkline_model::{ChannelName, Form, Key, Offset, Payload, Publisher, UserName};

use super::asker::{Asker, name};
use super::model::Model;
use super::{NewSite, TestClock};
use crate::{Append, Direction, Window};

const SEEDS: u64 = 24;
const OPERATIONS: u64 = 250;

#[derive(Debug)]
enum Operation {
    Append(Vec<Append>),
    Head(ChannelName, Window),
    Read(ChannelName, (u64, u64), Direction, Window),
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
    let clock = TestClock::new();
    let mut asker = Asker::open(&mut *site, &clock);
    let mut model = Model::default();
    for at in 0..OPERATIONS {
        match operation(&mut random) {
            Operation::Append(mut batch) => {
                let (epoch, now) = (asker.epoch(), clock.now());
                batch.retain(|append| model.is_settled(append, now));
                let expected: Vec<_> = batch.iter().map(|append| model.append(append, epoch, now)).collect();
                assert_eq!(asker.append_all(&batch), expected, "operation {at}: {batch:?}");
            }
            Operation::Head(channel, window) => {
                let head = asker.head(&channel, window);
                assert_eq!(
                    head.position,
                    model.head(&channel, asker.epoch()),
                    "operation {at}: head of {channel}"
                );
                assert_eq!((head.floor, head.floor_epoch), (Offset(1), None));
                let expected = model.read(&channel, (1, u64::MAX), Direction::Backward, window);
                assert!(
                    head.tail.iter().map(|entry| &**entry).eq(expected),
                    "operation {at}: tail of {channel}"
                );
            }
            Operation::Read(channel, range, direction, window) => {
                let read = asker.read(&channel, range, direction, window);
                let expected = model.read(&channel, range, direction, window);
                assert!(
                    read.iter().map(|entry| &**entry).eq(expected),
                    "operation {at}: {channel} {range:?} {direction:?} {window:?}"
                );
            }
            Operation::Advance(ms) => {
                clock.advance(ms);
                model.clock_shows(clock.now());
            }
            Operation::StepBack(ms) => clock.step_back(ms),
            Operation::Reopen => {
                asker.close();
                asker = Asker::open(&mut *site, &clock);
            }
        }
    }
    asker.close();
}

fn operation(random: &mut Random) -> Operation {
    let channel = |random: &mut Random| name(&format!("log:{}", random.below(4)));
    match random.below(100) {
        0..40 => Operation::Append((0..=random.below(12)).map(|_| append(random)).collect()),
        40..55 => Operation::Head(channel(random), window(random)),
        55..85 => {
            let range = (random.below(60), random.below(80));
            let direction = if random.below(2) == 0 { Direction::Forward } else { Direction::Backward };
            Operation::Read(channel(random), range, direction, window(random))
        }
        85..93 => Operation::Advance(random.below(1_500)),
        93..97 => Operation::StepBack(random.below(1_500)),
        _ => Operation::Reopen,
    }
}

fn append(random: &mut Random) -> Append {
    let form = [Form::Json, Form::Text, Form::Binary][random.below(3) as usize];
    let bytes: Vec<u8> = (0..random.below(120)).map(|_| b'a' + random.below(26) as u8).collect();
    let key = (random.below(3) > 0).then(|| random.below(30).to_string());
    Append {
        channel: name(&format!("log:{}", random.below(4))),
        payload: Payload::new(form, bytes),
        from: (random.below(2) == 0).then(|| UserName::new("ada")),
        publisher: Publisher::new(["user:a", "user:b"][random.below(2) as usize]),
        key: key.map(|key| Key::parse(&key).expect("digits are a key")),
        keys: Duration::from_millis(random.below(3_000)),
    }
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
