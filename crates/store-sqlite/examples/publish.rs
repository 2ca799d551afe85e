//! Measures publishing with 64 in flight, beside what the disk gives a program that only writes and syncs:
//! `publish [DIR [ROUNDS]]`, a temporary directory by default (give one on the disk that is meant). Prints; asserts
//! nothing.
//!
//! Disks are shared and have moods, so everything is measured in turns of half a second, and what is printed are the
//! medians of the rounds; the shares are of the floor of the same round.
//!
//! Each publication that is answered is followed by another one at once. `together`: by whoever takes the answers, in
//! one step, as a worker does in a turn. `alone`: each in a step of its own, as if 64 programs were at it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use trunkline_backend::{Answer, Append, Request, Retentions, Sink, Store as _, Ticket};
use trunkline_model::{Acknowledge, ChannelName, Form, Key, Payload, Publisher, Retention, Role, UserName};
use trunkline_store_sqlite::{Options, SqliteStore};

const IN_FLIGHT: u64 = 64;
const CHANNELS: u64 = 16;
const PAYLOAD: usize = 128;
const TURN: Duration = Duration::from_millis(500);

fn main() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().map_or_else(|| temporary.path().to_owned(), Into::into);
    let rounds: usize = arguments.next().and_then(|rounds| rounds.parse().ok()).unwrap_or(10);
    println!("{IN_FLIGHT} in flight, {PAYLOAD} B payloads, {CHANNELS} channels, medians of {rounds} rounds");

    let bounded = Retention { bytes: Some(8 << 20), entries: Some(2_000), ..Retention::default() };
    let mut runs = [
        Run::new(&dir, "together", false, true, None),
        Run::new(&dir, "together, trimmed", false, true, Some(bounded)),
        Run::new(&dir, "alone", false, false, None),
        Run::new(&dir, "together, keyed", true, true, None),
    ];
    // Until there is something to trim, and everything is warm.
    for run in &mut runs {
        run.turn(TURN * 2);
    }
    let (mut appended, mut rewritten) = (Vec::new(), Vec::new());
    let mut turns: Vec<Vec<Turn>> = runs.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        appended.push(synced_writes(&dir, true));
        for (run, turns) in runs.iter_mut().zip(&mut turns) {
            turns.push(run.turn(TURN));
        }
        rewritten.push(synced_writes(&dir, false));
    }
    for (what, floor) in [("floor, a file that grows", &appended), ("floor, a file of its size", &rewritten)]
    {
        println!("{what:<26}: {:>8.0} publications/s, {:>5.0} syncs/s", median(floor), median(floor) / 64.0);
    }
    for (run, turns) in runs.iter().zip(&turns) {
        report(run.what, turns, &appended, &rewritten);
    }
    let trimmed = turns[1].iter().zip(&turns[0]).map(|(trimmed, free)| trimmed.rate / free.rate);
    println!("trimmed / not trimmed: {:.2}", median(&trimmed.collect::<Vec<_>>()));
}

/// The bytes of 64 publications written in one go and synced, again and again: publications per second.
fn synced_writes(dir: &Path, grows: bool) -> f64 {
    let path = dir.join("floor");
    let mut file = File::create(&path).expect("made");
    let bytes = vec![b'x'; IN_FLIGHT as usize * PAYLOAD];
    file.write_all(&bytes).and_then(|()| file.sync_all()).expect("written");
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < TURN {
        if !grows {
            file.rewind().expect("it is a file");
        }
        file.write_all(&bytes).and_then(|()| file.sync_data()).expect("written");
        count += 1;
    }
    fs::remove_file(&path).expect("removed");
    f64::from(count) * IN_FLIGHT as f64 / start.elapsed().as_secs_f64()
}

/// What half a second has given.
struct Turn {
    rate: f64,
    p50: f64,
    p99: f64,
    cpu: f64,
    transactions: f64,
    checkpoints: f64,
    trimmed: f64,
    written: f64,
}

struct Run {
    what: &'static str,
    keyed: bool,
    together: bool,
    next: u64,
    store: SqliteStore,
    answers: Receiver<Vec<Answer>>,
    _dir: TempDir,
}

impl Run {
    fn new(
        dir: &Path,
        what: &'static str,
        keyed: bool,
        together: bool,
        retention: Option<Retention>,
    ) -> Self {
        let dir = tempfile::tempdir_in(dir).expect("a directory");
        let (sender, answers) = channel();
        let sink: Sink = Arc::new(move |batch: Vec<Answer>| {
            let _ = sender.send(batch);
        });
        let retentions: Retentions = retention.into_iter().map(|retention| ("bench", retention)).collect();
        let options = Options { retentions, ..Options::default() };
        let store = SqliteStore::open(dir.path(), sink, options).expect("it opens");
        Self { what, keyed, together, next: 0, store, answers, _dir: dir }
    }

    fn turn(&mut self, time: Duration) -> Turn {
        let (before, cpu, written) = (self.store.counters(), cpu_time(), bytes_written());
        let start = Instant::now();
        let mut latencies = self.publish(time);
        let elapsed = start.elapsed().as_secs_f64();
        let (after, cpu) = (self.store.counters(), cpu_time().saturating_sub(cpu));
        latencies.sort_unstable();
        let count = latencies.len() as f64;
        let at = |share: f64| latencies[(count * share) as usize].as_secs_f64() * 1e3;
        Turn {
            rate: count / elapsed,
            p50: at(0.5),
            p99: at(0.99),
            cpu: cpu.as_secs_f64() * 1e6 / count,
            transactions: (after.transactions - before.transactions) as f64 / elapsed,
            checkpoints: (after.checkpoints - before.checkpoints) as f64 / elapsed,
            trimmed: (after.trimmed - before.trimmed) as f64 / elapsed,
            written: (bytes_written() - written) as f64 / count,
        }
    }

    /// Publishes for so long, and returns how long each waited for its answer.
    fn publish(&mut self, time: Duration) -> Vec<Duration> {
        let start = Instant::now();
        let mut since: HashMap<u64, Instant> = HashMap::new();
        let mut latencies = Vec::new();
        let mut wanted = IN_FLIGHT;
        while wanted > 0 || !since.is_empty() {
            let numbers = self.next..self.next + wanted;
            self.next = numbers.end;
            let requests: Vec<Request> = numbers.clone().map(|number| self.append(number)).collect();
            let now = Instant::now();
            since.extend(numbers.map(|number| (number, now)));
            if self.together {
                self.store.submit(requests);
            } else {
                requests.into_iter().for_each(|request| self.store.submit(vec![request]));
            }
            let batch = self.answers.recv().expect("the store is open");
            let now = Instant::now();
            let answered = batch.iter().filter_map(|answer| since.remove(&answer.ticket().number));
            latencies.extend(answered.map(|since| now - since));
            wanted = if start.elapsed() < time { batch.len() as u64 } else { 0 };
        }
        latencies
    }

    fn append(&self, number: u64) -> Request {
        let key = self.keyed.then(|| format!("{:x}-{number:x}", 0x19c_0000_0000 + number));
        let append = Append {
            channel: ChannelName::parse(&format!("bench:{}", number % CHANNELS)).expect("a valid name"),
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
}

fn report(what: &str, turns: &[Turn], appended: &[f64], rewritten: &[f64]) {
    let middle = |of: fn(&Turn) -> f64| median(&turns.iter().map(of).collect::<Vec<_>>());
    let share = |floor: &[f64]| {
        median(&turns.iter().zip(floor).map(|(turn, floor)| turn.rate / floor).collect::<Vec<_>>())
    };
    println!(
        "{what:<26}: {:>8.0} publications/s ({:.2} and {:.2} of the floors), p50 {:.2} ms, p99 {:.2} ms, \
         {:.1} µs of CPU and {:.0} B written each, {:.0} transactions/s, {:.0} checkpoints/s, {:.0} trimmed/s",
        middle(|turn| turn.rate),
        share(appended),
        share(rewritten),
        middle(|turn| turn.p50),
        middle(|turn| turn.p99),
        middle(|turn| turn.cpu),
        middle(|turn| turn.written),
        middle(|turn| turn.transactions),
        middle(|turn| turn.checkpoints),
        middle(|turn| turn.trimmed),
    );
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What this process has given the system to write, where that is told in `/proc`.
fn bytes_written() -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let told = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    told.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

/// What this process has used of the processors, where the system tells it in `/proc`, in steps of 10 ms.
fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
