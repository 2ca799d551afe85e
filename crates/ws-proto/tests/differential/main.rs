//! The same bytes through this crate and through tungstenite: the same messages, pings, pongs, close frames and errors,
//! up to the differences that `verdict.rs` lists, each with its reason. Not a judgement of either: where they differ the
//! RFC was read. `TRUNKLINE_SEEDS=1000000` runs so many streams instead of a few seconds' worth.

mod chance;
mod events;
mod stream;
mod verdict;

use std::collections::BTreeMap;

use trunkline_ws_proto::{Connection, Limits, MessageKind, Role, unmasked};

use chance::Chance;
use events::{Event, ours, theirs};
use stream::{Pieces, any_stream, pieces};
use verdict::{Difference, compare};

/// Small enough that streams pass them.
const MESSAGE_SIZE_MAX: usize = 400;
const FRAME_SIZE_MAX: usize = 300;
const FRAGMENTS_MAX: u32 = 5;

fn limits() -> Limits {
    let limits =
        Limits { message_size_max: MESSAGE_SIZE_MAX, frame_size_max: FRAME_SIZE_MAX, ..Limits::default() };
    Limits { fragments_max: FRAGMENTS_MAX, ..limits }
}

fn seeds() -> u64 {
    let asked = std::env::var("TRUNKLINE_SEEDS").ok();
    asked.map_or(20_000, |seeds| seeds.parse().expect("TRUNKLINE_SEEDS is a number"))
}

#[test]
fn both_read_the_same() {
    let mut seen: BTreeMap<Difference, u64> = BTreeMap::new();
    let mut kinds: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in 0..seeds() {
        let mut chance = Chance::new(seed);
        let role = if chance.one_in(2) { Role::Server } else { Role::Client };
        let stream = any_stream(&mut chance, role);
        let cut = pieces(&mut chance, &stream);
        let (ours, theirs) = (ours(role, &cut), theirs(role, &cut));
        for event in &ours {
            *kinds.entry(event.kind()).or_default() += 1;
        }
        match compare(role, &stream, &ours, &theirs) {
            Ok(differences) => differences.into_iter().for_each(|found| *seen.entry(found).or_default() += 1),
            Err(why) => {
                panic!("seed {seed}, {role:?}: {why}\nours   {ours:?}\ntheirs {theirs:?}\n{stream:02x?}")
            }
        }
    }
    println!("events: {kinds:?}\ndifferences: {seen:?}");
    // A difference that no stream shows is a list gone stale; a kind of event that no stream brings, a test gone blind.
    for difference in Difference::ALL {
        assert!(seen.contains_key(&difference), "{difference:?} was not seen in {} streams", seeds());
    }
    assert_eq!(kinds.len(), Event::KINDS, "{kinds:?}");
}

/// What we write, tungstenite reads; in one frame and in fragments, from both ends.
#[test]
fn it_reads_what_we_write() {
    for seed in 0..seeds() / 20 {
        let mut chance = Chance::new(seed);
        let role = if chance.one_in(2) { Role::Server } else { Role::Client };
        let mut connection = Connection::new(role, Limits::default());
        let key = |chance: &mut Chance| (chance.next() as u32).to_be_bytes();
        let (mut out, mut expect) = (Vec::new(), Vec::new());
        for _ in 0..chance.below(6) {
            let text = chance.text(60);
            let keys = [key(&mut chance), key(&mut chance)];
            let masks = |at: usize| move || if role == Role::Client { keys[at] } else { unmasked() };
            if chance.one_in(2) {
                connection.send(MessageKind::Text, text.as_bytes(), masks(0), &mut out).expect("open");
            } else {
                let cut = chance.below(text.len() + 1);
                let (first, second) = text.as_bytes().split_at(cut);
                connection.send_fragment(MessageKind::Text, first, false, masks(0), &mut out).expect("open");
                connection.send_fragment(MessageKind::Text, second, true, masks(1), &mut out).expect("open");
            }
            expect.push(Event::Text(text));
        }
        let keys = key(&mut chance);
        let mask = || if role == Role::Client { keys } else { unmasked() };
        connection.close(1001.into(), "bye", mask, &mut out).expect("open");
        expect.push(Event::Close(1001, "bye".to_owned()));
        let other = if role == Role::Server { Role::Client } else { Role::Server };
        assert_eq!(theirs(other, &pieces(&mut chance, &out)), expect, "seed {seed}");
    }
}

/// What tungstenite writes, we read; it draws its own masking keys.
#[test]
fn we_read_what_it_writes() {
    for seed in 0..seeds() / 20 {
        let mut chance = Chance::new(seed);
        let role = if chance.one_in(2) { Role::Server } else { Role::Client };
        let mut messages = Vec::new();
        for _ in 0..chance.below(6) {
            messages.push(match chance.below(3) {
                0 => Event::Text(chance.text(60)),
                1 => Event::Binary(chance.bytes(200)),
                _ => Event::Ping(chance.bytes(125)),
            });
        }
        let written = events::written_by_it(role, &messages);
        let other = if role == Role::Server { Role::Client } else { Role::Server };
        let mut expect = messages;
        expect.push(Event::Close(1000, "bye".to_owned()));
        assert_eq!(ours(other, &pieces(&mut chance, &written)), expect, "seed {seed}");
    }
}

/// The mock's own promise, on which the rest stands.
#[test]
fn pieces_are_the_stream() {
    let mut chance = Chance::new(1);
    let stream = chance.bytes(1_000);
    let cut: Pieces = pieces(&mut chance, &stream);
    assert_eq!(cut.concat(), stream);
}
