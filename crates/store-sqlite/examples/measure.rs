//! Measures the store in a directory: `measure [DIR]`, a temporary one by default (give one on the disk that
//! is meant). Prints rates; asserts nothing.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use trunkline_backend::{Answer, Append, Direction, Read, Request, Sink, Store as _, Ticket, Window};
use trunkline_model::{Acknowledge, ChannelName, Form, Key, Offset, Payload, Publisher, Role, UserName};
use trunkline_store_sqlite::{Options, SqliteStore};

const CHANNELS: u64 = 100;
const PAYLOAD: usize = 128;

fn main() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let dir = std::env::args_os().nth(1).map_or_else(|| temporary.path().to_owned(), Into::into);
    let (sender, answers) = channel();
    let sink: Sink = Arc::new(move |batch: Vec<Answer>| {
        let _ = sender.send(batch);
    });
    let opening = Instant::now();
    let store = SqliteStore::open(&dir, sink, Options::default()).expect("it opens");
    println!("opened in {:?}, {PAYLOAD} B payloads, {CHANNELS} channels", opening.elapsed());

    synced_writes(&dir);
    for (batch, count) in [(1, 5_000), (64, 100_000), (1_000, 500_000), (4_096, 819_200)] {
        for keyed in [false, true] {
            appends(&store, &answers, batch, count, keyed);
        }
    }
    reads(&store, &answers);
    let closing = Instant::now();
    store.close();
    println!("closed in {:?}", closing.elapsed());
    let size = std::fs::metadata(dir.join("trunkline.db")).map_or(0, |file| file.len() >> 20);
    for check_size_max in [0, u64::MAX] {
        let opening = Instant::now();
        let options = Options { check_size_max, ..Options::default() };
        SqliteStore::open(&dir, Arc::new(|_| {}), options).expect("it opens").close();
        let checked = if check_size_max == 0 { "newest entries" } else { "all" };
        println!("opened again in {:?} ({size} MiB, {checked} checked)", opening.elapsed());
    }
}

/// What the disk gives a program that only appends and syncs.
fn synced_writes(dir: &Path) {
    use std::io::Write as _;
    let path = dir.join("floor");
    let mut file = std::fs::File::create(&path).expect("made");
    let start = Instant::now();
    for _ in 0..2_000 {
        file.write_all(&[0; 8_192]).and_then(|()| file.sync_data()).expect("written");
    }
    let each = start.elapsed() / 2_000;
    println!("floor: a write of 8 KiB and a sync take {each:?}");
    std::fs::remove_file(&path).expect("removed");
}

fn appends(store: &SqliteStore, answers: &Receiver<Vec<Answer>>, batch: u64, count: u64, keyed: bool) {
    let before = store.counters();
    let start = Instant::now();
    let mut done = 0;
    while done < count {
        store.submit((done..done + batch).map(|number| append(number, keyed.then_some(batch))).collect());
        wait(answers, batch);
        done += batch;
    }
    let elapsed = start.elapsed();
    let after = store.counters();
    println!(
        "{batch:>5} in flight{}: {:>8.0} appends/s, {:>6.2} µs each, {} transactions, {} checkpoints",
        if keyed { ", keyed" } else { "       " },
        count as f64 / elapsed.as_secs_f64(),
        elapsed.as_secs_f64() * 1e6 / count as f64,
        after.transactions - before.transactions,
        after.checkpoints - before.checkpoints,
    );
}

fn reads(store: &SqliteStore, answers: &Receiver<Vec<Answer>>) {
    let window = Window { entries: 50, bytes: 1 << 20 };
    for round in ["first", "again"] {
        let start = Instant::now();
        let count = 2_000_u64;
        for number in 0..count {
            let channel = channel_name(number % CHANNELS);
            let (first, last) = (Offset(1 + number), Offset(1_000 + number));
            let read = Read { channel, first, last, direction: Direction::Backward, window, folded: false };
            store.submit(vec![Request::Read(Ticket { worker: 0, number }, read)]);
            wait(answers, 1);
        }
        println!("a page of 50, asked one at a time ({round}): {:?}", start.elapsed() / count as u32);
    }
}

/// Keys have the form that SDKs give them; those of one run are not those of another.
fn append(number: u64, run: Option<u64>) -> Request {
    let key = run.map(|run| format!("{:x}-{run:x}-{number:x}", 0x19c_0000_0000 + number));
    let append = Append {
        channel: channel_name(number % CHANNELS),
        payload: Payload::new(Form::Json, vec![b'x'; PAYLOAD]),
        from: Some(UserName::new("guest-1234567")),
        publisher: Publisher::new("session:1234567890"),
        key: key.map(|key| Key::parse(&key).expect("a valid key")),
        keys: Duration::from_secs(86_400),
        overtaken: Vec::new(),
        condition: None,
        role: Role::Message,
        moderates: false,
        acknowledge: Acknowledge::Disk,
    };
    Request::Append(Ticket { worker: 0, number }, append)
}

fn channel_name(number: u64) -> ChannelName {
    ChannelName::parse(&format!("bench:{number}")).expect("a valid name")
}

fn wait(answers: &Receiver<Vec<Answer>>, count: u64) {
    let mut left = count;
    while left > 0 {
        let batch = answers.recv().expect("the store is open");
        left -= batch.len() as u64;
    }
}
