//! A process that is killed under load loses nothing that it has acknowledged. (A kill does not test the
//! sync to the medium: what the process has written, the system still writes. `power` does.)

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};

use tempfile::tempdir;
use trunkline_backend::{Answer, Request, Sink, Store as _};
use trunkline_store_sqlite::{Options, SqliteStore};

use crate::rig::{Rig, child, child_directory, keyed, post, text, ticket};

const ROUNDS: u64 = 25;
const CHANNELS: u64 = 5;

/// What a child has told: channel, offset, epoch, and the text that it had appended.
#[derive(PartialEq, Eq, Hash, Clone, Debug)]
pub(crate) struct Acknowledged {
    channel: String,
    offset: u64,
    epoch: String,
    text: String,
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let dir = tempdir().expect("a directory");
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let before = acknowledged.len();
        // Anywhere from the first answers to well behind several checkpoints.
        let mut child = child("crash::child_that_appends", dir.path(), "");
        acknowledged.extend(kill_after(&mut child, 1 + (round * 7_919) % 3_000));
        check(dir.path(), &acknowledged, &acknowledged[before..]);
    }
    assert!(acknowledged.len() > 20_000, "{} acknowledged", acknowledged.len());
}

/// Starts a child, kills it when it has told of `count` appends, and returns all that it has told.
pub(crate) fn kill_after(child: &mut Command, count: u64) -> Vec<Acknowledged> {
    let mut child = child.stdout(Stdio::piped()).spawn().expect("it starts");
    let stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut told = Vec::new();
    for line in stdout.lines().map_while(Result::ok) {
        // The last line may be cut anywhere; a whole one ends with a full stop.
        let Some(line) = line.strip_prefix("ack ").and_then(|line| line.strip_suffix(" .")) else { continue };
        let words: Vec<&str> = line.split(' ').collect();
        let [channel, offset, epoch, text] = words[..] else { panic!("{line}") };
        let offset = offset.parse().expect("a number");
        told.push(Acknowledged { channel: channel.into(), offset, epoch: epoch.into(), text: text.into() });
        if told.len() as u64 == count {
            child.kill().expect("it runs");
        }
    }
    assert!(!child.wait().expect("it ends").success(), "it was killed");
    told
}

/// Everything acknowledged is where it was said to be, nothing is there twice, nothing is missing between;
/// and the keys of the last life are remembered.
pub(crate) fn check(dir: &Path, acknowledged: &[Acknowledged], latest: &[Acknowledged]) {
    let rig = Rig::open(dir, Options::default());
    let mut entries = HashMap::new();
    let mut texts = HashSet::new();
    for channel in (0..CHANNELS).map(|number| format!("log:{number}")) {
        for (entry, expected) in rig.log(&channel).expect("it can be read").iter().zip(1..) {
            let position = entry.position.expect("a stored entry has a position");
            assert_eq!(position.offset.0, expected, "{channel} is not dense");
            assert!(texts.insert(text(entry)), "{} is stored twice", text(entry));
            entries.insert((channel.clone(), expected), (position.epoch.to_string(), text(entry)));
        }
    }
    for Acknowledged { channel, offset, epoch, text } in acknowledged {
        let found = entries.get(&(channel.clone(), *offset));
        assert_eq!(found, Some(&(epoch.clone(), text.clone())), "{channel} {offset}");
    }
    for Acknowledged { channel, offset, text, .. } in latest.iter().filter(|told| is_keyed(&told.text)) {
        let again = rig.append(keyed(channel, "again", text)).expect("stored");
        assert_eq!((again.position.offset.0, again.duplicate), (*offset, true), "{channel} {text}");
    }
}

/// Texts that are appended under themselves as a key.
fn is_keyed(text: &str) -> bool {
    text.ends_with('7')
}

#[test]
fn child_that_appends() {
    let Some(dir) = child_directory() else { return };
    let (in_flight, answered) = sync_channel(400);
    let options = Options { checkpoint_pages: 16, wal_pages_max: 64, ..Options::default() };
    let store = SqliteStore::open(&dir, tell(answered), options).expect("it opens");
    let life = store.epoch();
    let mut number = 0_u64;
    loop {
        let size = 1 + (number * 31) % 40;
        let requests = (number..number + size).map(|number| {
            let (channel, text) = (format!("log:{}", number % CHANNELS), format!("{life}-{number}"));
            let append = if is_keyed(&text) { keyed(&channel, &text, &text) } else { post(&channel, &text) };
            Request::Append(ticket(number), append)
        });
        for _ in 0..size {
            in_flight.send(()).expect("the sink holds the other end");
        }
        store.submit(requests.collect());
        number += size;
    }
}

/// Tells of each append on standard output, and makes room for another one in flight.
fn tell(answered: Receiver<()>) -> Sink {
    let answered = Mutex::new(answered);
    Arc::new(move |answers: Vec<Answer>| {
        let answered = answered.lock().expect("nobody has panicked");
        for answer in answers {
            let Answer::Appended(ticket, answer) = answer else { panic!("{answer:?}") };
            let at = answer.expect("nothing hinders it").position;
            let number = ticket.number;
            println!("ack log:{} {} {} {}-{number} .", number % CHANNELS, at.offset, at.epoch, at.epoch);
            answered.recv().expect("the appending thread holds the other end");
        }
    })
}
