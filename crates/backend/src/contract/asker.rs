//! Asks a store and collects its answers, and checks with each one what holds always: it was asked for, it
//! is the first, it is of the right kind, and the appends of a channel are answered in their order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use hashbrown::HashMap;
use trunkline_model::{
    Acknowledge, ChannelName, Entry, EntryName, Epoch, Form, Key, Offset, Payload, Position, Publication,
    Publisher, Role, UserName,
};

use super::{Site, TestClock};
use crate::{
    Answer, Append, Appended, Direction, Head, Located, Read, ReadResult, Request, Retentions, Sink, Store,
    StoreError, Ticket, Window,
};

/// A store that has given no answer for so long is taken to be stuck. No measurement: a bound, so that a
/// failing test ends.
pub(super) const STUCK: Duration = Duration::from_secs(60);

/// All that a test ever stores in a channel fits.
pub(super) const ALL: Window = Window { entries: u32::MAX, bytes: usize::MAX };

/// Asks the store that lives at a site.
pub(super) struct Asker {
    store: Box<dyn Store>,
    answers: Receiver<Answer>,
    open: HashMap<u64, Asked>,
    appends: HashMap<ChannelName, VecDeque<u64>>,
    next: u64,
}

#[derive(PartialEq, Eq, Debug)]
enum Asked {
    Append(ChannelName),
    Head,
    Read,
    Locate,
}

impl Asker {
    /// Opens the store at `site`. It keeps everything.
    pub(super) fn open(site: &mut dyn Site, clock: &TestClock) -> Self {
        Self::open_keeping(site, clock, &Retentions::default())
    }

    /// Opens the store at `site`. It keeps what `retentions` say.
    pub(super) fn open_keeping(site: &mut dyn Site, clock: &TestClock, retentions: &Retentions) -> Self {
        let (sender, answers) = channel();
        let store = site.open(clock.clone(), sink(sender), retentions.clone());
        Self { store, answers, open: HashMap::new(), appends: HashMap::new(), next: 1 }
    }

    /// Stands for a store while the one is closed and the next not yet open.
    pub(super) fn closed() -> Self {
        let (_, answers) = channel();
        Self { store: Box::new(Closed), answers, open: HashMap::new(), appends: HashMap::new(), next: 1 }
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.store.epoch()
    }

    /// Submits `appends` as one batch, without waiting. Returns their numbers.
    pub(super) fn submit(&mut self, appends: &[Append]) -> Vec<u64> {
        let requests: Vec<Request> = appends
            .iter()
            .map(|append| {
                let ticket = self.ticket(Asked::Append(append.channel.clone()));
                self.appends.entry(append.channel.clone()).or_default().push_back(ticket.number);
                Request::Append(ticket, append.clone())
            })
            .collect();
        let numbers = requests.iter().map(number).collect();
        self.store.submit(requests);
        numbers
    }

    /// Submits `appends` as one batch and waits for all answers, given in the order of the requests.
    pub(super) fn try_all(&mut self, appends: &[Append]) -> Vec<Result<Appended, StoreError>> {
        let numbers = self.submit(appends);
        let mut answers = self.wait();
        numbers
            .iter()
            .map(|number| match answers.remove(number) {
                Some(Answer::Appended(_, answer)) => answer,
                other => panic!("an append was answered with {other:?}"),
            })
            .collect()
    }

    /// The same for appends that are all stored.
    pub(super) fn append_all(&mut self, appends: &[Append]) -> Vec<Appended> {
        let answers = self.try_all(appends).into_iter();
        answers.map(|answer| answer.unwrap_or_else(|error| panic!("an append failed: {error}"))).collect()
    }

    /// Appends one, which may be refused, and waits for it.
    pub(super) fn try_append(&mut self, append: &Append) -> Result<Appended, StoreError> {
        self.try_all(std::slice::from_ref(append)).remove(0)
    }

    /// Appends one and waits for it.
    pub(super) fn append(&mut self, append: &Append) -> Appended {
        self.append_all(std::slice::from_ref(append))[0]
    }

    /// Asks for a head and waits for it.
    pub(super) fn head(&mut self, channel: &ChannelName, window: Window) -> Head {
        let ticket = self.ticket(Asked::Head);
        self.store.submit(vec![Request::Head(ticket, channel.clone(), window)]);
        match self.wait().remove(&ticket.number) {
            Some(Answer::Head(_, Ok(head))) => head,
            other => panic!("a head was answered with {other:?}"),
        }
    }

    /// Asks whether a position is a place in the channel's log, and waits for the answer.
    pub(super) fn locate(&mut self, channel: &ChannelName, position: Position) -> Located {
        let ticket = self.ticket(Asked::Locate);
        self.store.submit(vec![Request::Locate(ticket, channel.clone(), position)]);
        match self.wait().remove(&ticket.number) {
            Some(Answer::Located(_, Ok(located))) => located,
            other => panic!("a position was answered with {other:?}"),
        }
    }

    /// Asks for a range and waits for it.
    pub(super) fn read_range(&mut self, read: Read) -> ReadResult {
        let ticket = self.ticket(Asked::Read);
        self.store.submit(vec![Request::Read(ticket, read)]);
        match self.wait().remove(&ticket.number) {
            Some(Answer::Read(_, Ok(read))) => read,
            other => panic!("a read was answered with {other:?}"),
        }
    }

    /// The entries of a range of a log, which must be all of the range that is said to be covered.
    pub(super) fn read(
        &mut self,
        channel: &ChannelName,
        range: (u64, u64),
        direction: Direction,
        window: Window,
    ) -> Vec<Arc<Publication>> {
        let ReadResult { entries, covered, .. } =
            self.read_range(range_of(channel, range, direction, window));
        assert!(offsets(&entries).into_iter().eq(covered.0.0..=covered.1.0), "{range:?}: {covered:?}");
        entries
    }

    /// All entries of a channel.
    pub(super) fn log(&mut self, channel: &ChannelName) -> Vec<Arc<Publication>> {
        self.read(channel, (1, u64::MAX), Direction::Forward, ALL)
    }

    /// Waits until everything is answered.
    pub(super) fn wait(&mut self) -> HashMap<u64, Answer> {
        let mut answers = HashMap::new();
        while !self.open.is_empty() {
            match self.answers.recv_timeout(STUCK) {
                Ok(answer) => self.check(answer, &mut answers),
                Err(stuck) => panic!("{stuck}: {} requests have no answer", self.open.len()),
            }
        }
        answers
    }

    /// Drops the store, and gives what it answered until then. Everything must be answered, and nothing
    /// twice.
    pub(super) fn close(self) -> HashMap<u64, Answer> {
        let Self { store, answers, open, appends, next } = self;
        drop(store);
        let mut closed = Self { store: Box::new(Closed), answers, open, appends, next };
        let mut given = HashMap::new();
        loop {
            match closed.answers.recv_timeout(STUCK) {
                Ok(answer) => closed.check(answer, &mut given),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the store is dropped but keeps its sink"),
            }
        }
        assert!(closed.open.is_empty(), "{} requests were never answered", closed.open.len());
        given
    }

    fn ticket(&mut self, asked: Asked) -> Ticket {
        let number = self.next;
        self.next += 1;
        self.open.insert(number, asked);
        Ticket { worker: worker(number), number }
    }

    fn check(&mut self, answer: Answer, answers: &mut HashMap<u64, Answer>) {
        let Ticket { worker: answered_to, number } = answer.ticket();
        assert_eq!(answered_to, worker(number), "the worker of ticket {number}");
        let Some(asked) = self.open.remove(&number) else {
            panic!("{answer:?} was not asked for, or is the second answer");
        };
        match (asked, &answer) {
            (Asked::Append(channel), Answer::Appended(..)) => {
                let next = self.appends.get_mut(&channel).and_then(VecDeque::pop_front);
                assert_eq!(Some(number), next, "answers of {channel} are out of order");
            }
            (Asked::Head, Answer::Head(..))
            | (Asked::Read, Answer::Read(..))
            | (Asked::Locate, Answer::Located(..)) => {}
            (asked, _) => panic!("{asked:?} was answered with {answer:?}"),
        }
        answers.insert(number, answer);
    }
}

/// Tickets of several workers, so that none is given back by accident.
fn worker(number: u64) -> u16 {
    (number % 5) as u16 + 1
}

fn number(request: &Request) -> u64 {
    match request {
        Request::Append(ticket, _)
        | Request::Head(ticket, ..)
        | Request::Read(ticket, _)
        | Request::Locate(ticket, ..) => ticket.number,
    }
}

/// A sink that passes answers on one by one.
pub(super) fn sink(sender: Sender<Answer>) -> Sink {
    Arc::new(move |answers| {
        for answer in answers {
            // Nobody listens any more once a test has failed.
            let _ = sender.send(answer);
        }
    })
}

/// What stands where a store was.
struct Closed;

impl Store for Closed {
    fn submit(&self, _: Vec<Request>) {}

    fn epoch(&self) -> Epoch {
        Epoch::from_random(0)
    }
}

/// A channel's checked name.
pub(super) fn name(channel: &str) -> ChannelName {
    ChannelName::parse(channel).expect("tests use valid names")
}

/// A plain append of a text to `channel`.
pub(super) fn post(channel: &str, text: &str) -> Append {
    Append {
        channel: name(channel),
        payload: Payload::new(Form::Text, text.as_bytes().to_vec()),
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

/// The same under a key.
pub(super) fn keyed(channel: &str, text: &str, key: &str) -> Append {
    Append { key: Some(Key::parse(key).expect("tests use valid keys")), ..post(channel, text) }
}

/// The newest state of the only entry of a `value`.
pub(super) fn value(channel: &str, text: &str) -> Append {
    Append { role: Role::Entry(Box::default()), ..post(channel, text) }
}

/// The newest state of one entry of a `map`.
pub(super) fn map_entry(channel: &str, entry: &str, text: &str) -> Append {
    let name = Some(EntryName::parse(entry).expect("tests use valid names"));
    Append { role: Role::Entry(Box::new(Entry { name, ..Entry::default() })), ..post(channel, text) }
}

/// An entry of a `map` is gone.
pub(super) fn removal(channel: &str, entry: &str) -> Append {
    let name = Some(EntryName::parse(entry).expect("tests use valid names"));
    Append {
        role: Role::Entry(Box::new(Entry { name, removed: true, ..Entry::default() })),
        ..post(channel, "")
    }
}

/// The entry that `append` must have become.
pub(super) fn entry(append: &Append, appended: &Appended) -> Publication {
    let mut publication = Publication::new(append.channel.clone(), appended.ts, append.payload.clone());
    publication.position = Some(appended.position);
    publication.begins_epoch = appended.begins_epoch;
    publication.from = append.from.clone();
    publication.key = append.key.clone();
    publication.role = append.role.clone();
    publication
}

/// A read of a range as it was stored.
pub(super) fn range_of(
    channel: &ChannelName,
    (first, last): (u64, u64),
    direction: Direction,
    window: Window,
) -> Read {
    let (first, last) = (Offset(first), Offset(last));
    Read { channel: channel.clone(), first, last, direction, window, folded: false }
}

/// The offsets of `entries`.
pub(super) fn offsets(entries: &[Arc<Publication>]) -> Vec<u64> {
    entries.iter().map(|entry| entry.position.expect("a stored entry has a position").offset.0).collect()
}

/// Whether an answer says that its publication is stored; the one other permitted at closing is that it is
/// certainly not.
pub(super) fn is_stored(answer: &Answer) -> Option<Appended> {
    match answer {
        Answer::Appended(_, Ok(appended)) => Some(*appended),
        Answer::Appended(_, Err(StoreError::NotStored(_))) => None,
        other => panic!("neither stored nor certainly not: {other:?}"),
    }
}
