//! Asks a store and collects its answers, and checks with each one what holds always: it was asked for, it
//! is the first, it is of the right kind, and the appends of a channel are answered in their order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use hashbrown::HashMap;
use trunkline_model::{ChannelName, Epoch, Form, Key, Offset, Payload, Publication, Publisher, UserName};

use super::{Site, TestClock};
use crate::{
    Answer, Append, Appended, Direction, Head, Read, ReadResult, Request, Sink, Store, StoreError, Ticket,
    Window,
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
}

impl Asker {
    /// Opens the store at `site`.
    pub(super) fn open(site: &mut dyn Site, clock: &TestClock) -> Self {
        let (sender, answers) = channel();
        let store = site.open(clock.clone(), sink(sender));
        Self { store, answers, open: HashMap::new(), appends: HashMap::new(), next: 1 }
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
    pub(super) fn append_all(&mut self, appends: &[Append]) -> Vec<Appended> {
        let numbers = self.submit(appends);
        let mut answers = self.wait();
        numbers
            .iter()
            .map(|number| match answers.remove(number) {
                Some(Answer::Appended(_, Ok(appended))) => appended,
                other => panic!("an append was answered with {other:?}"),
            })
            .collect()
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

    /// Asks for a range and waits for it.
    pub(super) fn read(
        &mut self,
        channel: &ChannelName,
        (first, last): (u64, u64),
        direction: Direction,
        window: Window,
    ) -> Vec<Arc<Publication>> {
        let read =
            Read { channel: channel.clone(), first: Offset(first), last: Offset(last), direction, window };
        let ticket = self.ticket(Asked::Read);
        self.store.submit(vec![Request::Read(ticket, read)]);
        match self.wait().remove(&ticket.number) {
            Some(Answer::Read(_, Ok(ReadResult { entries }))) => entries,
            other => panic!("a read was answered with {other:?}"),
        }
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
            (Asked::Head, Answer::Head(..)) | (Asked::Read, Answer::Read(..)) => {}
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
        Request::Append(ticket, _) | Request::Head(ticket, ..) | Request::Read(ticket, _) => ticket.number,
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
    }
}

/// The same under a key.
pub(super) fn keyed(channel: &str, text: &str, key: &str) -> Append {
    Append { key: Some(Key::parse(key).expect("tests use valid keys")), ..post(channel, text) }
}

/// The entry that `append` must have become.
pub(super) fn entry(append: &Append, appended: &Appended) -> Publication {
    let mut publication = Publication::new(append.channel.clone(), appended.ts, append.payload.clone());
    publication.position = Some(appended.position);
    publication.begins_epoch = appended.begins_epoch;
    publication.from = append.from.clone();
    publication.key = append.key.clone();
    publication
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
