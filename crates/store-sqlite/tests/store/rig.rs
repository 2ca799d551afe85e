//! A store in a directory, asked one thing at a time; and this test program started again as a child that
//! can be killed or starved.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use trunkline_backend::{
    Answer, Append, Appended, Direction, Head, Located, Read, Request, Sink, Store as _, StoreError, Ticket,
    Window,
};
use trunkline_model::{
    Acknowledge, ChannelName, Form, Key, Offset, Payload, Position, Publication, Publisher, Role, UserName,
};
use trunkline_store_sqlite::{OpenError, Options, SqliteStore};

/// Bounds a wait that would never end; measures nothing.
pub(crate) const STUCK: Duration = Duration::from_secs(60);

/// Names the directory in which a child works.
const CHILD: &str = "TRUNKLINE_TEST_CHILD";

/// A store and what it answers.
pub(crate) struct Rig {
    pub(crate) store: SqliteStore,
    answers: Receiver<Answer>,
}

impl Rig {
    pub(crate) fn open(dir: &Path, options: Options) -> Self {
        let (sender, answers) = channel();
        let sink: Sink = Arc::new(move |batch: Vec<Answer>| {
            for answer in batch {
                let _ = sender.send(answer); // nobody listens once a test has failed
            }
        });
        Self { store: SqliteStore::open(dir, sink, options).expect("it opens"), answers }
    }

    pub(crate) fn append_all(&self, appends: Vec<Append>) -> Vec<Result<Appended, StoreError>> {
        let count = appends.len();
        self.store.submit((0..).zip(appends).map(|(n, append)| Request::Append(ticket(n), append)).collect());
        let answers = (0..count).map(|_| match self.answers.recv_timeout(STUCK) {
            Ok(Answer::Appended(ticket, answer)) => (ticket.number, answer),
            other => panic!("an append was answered with {other:?}"),
        });
        let mut answers: Vec<_> = answers.collect();
        answers.sort_by_key(|(number, _)| *number);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    pub(crate) fn append(&self, append: Append) -> Result<Appended, StoreError> {
        self.append_all(vec![append]).remove(0)
    }

    fn ask(&self, request: Request) -> Answer {
        self.store.submit(vec![request]);
        self.answers.recv_timeout(STUCK).expect("it is answered")
    }

    /// Where a channel stands, and its newest entry.
    pub(crate) fn head(&self, channel: &str) -> Head {
        match self.ask(Request::Head(ticket(0), name(channel), Window { entries: 1, bytes: 0 })) {
            Answer::Head(_, Ok(head)) => head,
            other => panic!("a head was answered with {other:?}"),
        }
    }

    /// Whether a position is a place in a channel's log.
    pub(crate) fn locate(&self, channel: &str, position: Position) -> Located {
        match self.ask(Request::Locate(ticket(0), name(channel), position)) {
            Answer::Located(_, Ok(located)) => located,
            other => panic!("a position was answered with {other:?}"),
        }
    }

    /// All entries of a channel.
    pub(crate) fn log(&self, channel: &str) -> Result<Vec<Arc<Publication>>, StoreError> {
        self.read(channel, Direction::Forward, false)
    }

    /// All entries of a channel, read from one of its ends.
    pub(crate) fn read(
        &self,
        channel: &str,
        direction: Direction,
        folded: bool,
    ) -> Result<Vec<Arc<Publication>>, StoreError> {
        let window = Window { entries: u32::MAX, bytes: usize::MAX };
        let (first, last) = (Offset(1), Offset(u64::MAX));
        let read = Read { channel: name(channel), first, last, direction, window, folded };
        match self.ask(Request::Read(ticket(0), read)) {
            Answer::Read(_, answer) => answer.map(|read| read.entries),
            other => panic!("a read was answered with {other:?}"),
        }
    }

    /// The texts of all entries of a channel, which must be dense.
    pub(crate) fn texts(&self, channel: &str) -> Vec<String> {
        let log = self.log(channel).expect("it can be read");
        for (entry, offset) in log.iter().zip(1..) {
            assert_eq!(entry.position.map(|position| position.offset), Some(Offset(offset)), "{channel}");
        }
        log.iter().map(|entry| text(entry)).collect()
    }
}

/// Tries to open a store that must not open.
pub(crate) fn refusal(dir: &Path) -> OpenError {
    SqliteStore::open(dir, Arc::new(|_| {}), Options::default()).expect_err("it must not open")
}

pub(crate) fn ticket(number: u64) -> Ticket {
    Ticket { worker: 0, number }
}

pub(crate) fn name(channel: &str) -> ChannelName {
    ChannelName::parse(channel).expect("a valid name")
}

pub(crate) fn text(entry: &Publication) -> String {
    String::from_utf8(entry.payload.bytes.to_vec()).expect("tests store texts")
}

pub(crate) fn post(channel: &str, text: impl Into<String>) -> Append {
    Append {
        channel: name(channel),
        payload: Payload::new(Form::Text, text.into().into_bytes()),
        from: Some(UserName::new("ada")),
        publisher: Publisher::new("user:ada"),
        key: None,
        keys: Duration::from_secs(3_600),
        overtaken: Vec::new(),
        condition: None,
        role: Role::Message,
        moderates: false,
        acknowledge: Acknowledge::Disk,
    }
}

pub(crate) fn keyed(channel: &str, text: impl Into<String>, key: &str) -> Append {
    Append { key: Some(Key::parse(key).expect("a valid key")), ..post(channel, text) }
}

/// This test program, about to run the test `name` alone, as a child that works in `dir`. `before` is a
/// shell command that precedes it; `$DIR` in it is the directory.
pub(crate) fn child(name: &str, dir: &Path, before: &str) -> Command {
    let program = std::env::current_exe().expect("a test knows its program");
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{before}\nexec \"$@\""), "sh"])
        .arg(program)
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, dir)
        .env("DIR", dir);
    command
}

/// What a child prints that has come to its end.
pub(crate) const THROUGH: &str = "the child is through";

/// Runs a child to its end. Returns what it printed.
pub(crate) fn run(name: &str, dir: &Path, before: &str) -> String {
    let output = child(name, dir, before).output().expect("it starts");
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains(THROUGH) || stdout.contains(NO_DISK), "{stdout}\n{stderr}");
    stdout.into_owned()
}

const NO_DISK: &str = "no disk of its own";

/// Runs a child whose directory is a disk of its own, which nobody else sees and which goes with it; says
/// so and skips it where the user may not mount.
pub(crate) fn run_on_own_disk(name: &str, dir: &Path, mount_options: &str) {
    let before = format!(
        "unshare -m true 2>/dev/null && alone='unshare -m' || alone='unshare -r -m'
        mount='mount -t tmpfs -o {mount_options} none \"$DIR\"'
        $alone sh -c \"$mount\" 2>/dev/null || {{ echo {NO_DISK}; exit 0; }}
        set -- $alone sh -c \"$mount && exec \\\"\\$@\\\"\" sh \"$@\""
    );
    if run(name, dir, &before).contains(NO_DISK) {
        eprintln!("{name}: skipped, this user may mount nothing");
    }
}

/// Where to work, if this process is a child.
pub(crate) fn child_directory() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}
