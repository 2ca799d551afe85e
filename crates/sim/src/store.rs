//! A store that lives in the test: appends are committed in the order they were submitted, reads see what is
//! committed when they are carried out, and the test says when each happens and what fails.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use trunkline_backend::{
    Answer, Append, Appended, Direction, Head, Meter, Read, ReadResult, Request, StoreError, Ticket, Window,
};
use trunkline_model::{ChannelName, Epoch, Key, Offset, Position, Publication, Publisher, Timestamp};

/// What becomes of an append.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is stored.
    Stored,
    /// It is not stored, and the answer says so.
    NotStored,
    /// It is stored, but the answer says that nobody knows.
    UnknownStored,
    /// It is not stored, and the answer says that nobody knows.
    UnknownLost,
}

/// The truth about one channel. What was trimmed is still here, but no read gives it.
#[derive(Debug, Default)]
pub struct Log {
    /// All of it, from offset 1 on.
    pub entries: Vec<Arc<Publication>>,
    trimmed: u64,
}

impl Log {
    /// The newest offset.
    pub fn head(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The first offset that can be read.
    pub fn floor(&self) -> u64 {
        self.trimmed + 1
    }

    /// The entry at this offset.
    pub fn entry(&self, offset: u64) -> Option<&Arc<Publication>> {
        self.entries.get(usize::try_from(offset.checked_sub(1)?).ok()?)
    }

    /// `first..=last`, which are there.
    pub fn range(&self, first: u64, last: u64) -> &[Arc<Publication>] {
        if first > last { &[] } else { &self.entries[first as usize - 1..last as usize] }
    }

    /// Whether `position` is one of this log's places.
    pub fn holds(&self, position: Position) -> bool {
        position.offset == Offset::ZERO
            || self.entry(position.offset.0).is_some_and(|entry| entry.position == Some(position))
    }

    fn epoch_at(&self, offset: u64) -> Option<Epoch> {
        self.entry(offset)?.position.map(|position| position.epoch)
    }
}

/// The store.
#[derive(Debug)]
pub struct TestStore {
    /// The truth about each channel that was ever written to.
    pub logs: BTreeMap<ChannelName, Log>,
    keys: HashMap<(ChannelName, Publisher, Key), Appended>,
    /// The epoch under which entries are written now.
    pub epoch: Epoch,
    appends: VecDeque<(Ticket, Append)>,
    reads: Vec<Request>,
    /// Answers to appends, per worker, in order.
    appended: BTreeMap<u16, VecDeque<Answer>>,
    /// Answers to reads, in no order.
    read: Vec<Answer>,
    /// What becomes of the next appends; stored when this is empty.
    pub fates: VecDeque<Fate>,
    /// So many of the next reads fail.
    pub failing_reads: usize,
    /// Reads that were asked, ever.
    pub reads_asked: usize,
    /// Appends that were asked, ever.
    pub appends_asked: usize,
}

impl TestStore {
    /// An empty store.
    pub(crate) fn new() -> Self {
        Self {
            logs: BTreeMap::new(),
            keys: HashMap::new(),
            epoch: Epoch::from_random(10),
            appends: VecDeque::new(),
            reads: Vec::new(),
            appended: BTreeMap::new(),
            read: Vec::new(),
            fates: VecDeque::new(),
            failing_reads: 0,
            reads_asked: 0,
            appends_asked: 0,
        }
    }

    /// Takes a request; it waits until it is committed or carried out.
    pub fn submit(&mut self, request: Request) {
        match request {
            Request::Append(ticket, append) => {
                self.appends_asked += 1;
                self.appends.push_back((ticket, append));
            }
            read => {
                self.reads_asked += 1;
                self.reads.push(read);
            }
        }
    }

    /// Commits the oldest append; `false` if there is none.
    pub fn commit(&mut self, now: Timestamp) -> bool {
        let Some((ticket, append)) = self.appends.pop_front() else { return false };
        let result = match self.fates.pop_front().unwrap_or(Fate::Stored) {
            Fate::Stored => Ok(self.append(&append, now)),
            Fate::NotStored => Err(StoreError::NotStored("the disk is full".to_owned())),
            Fate::UnknownLost => Err(StoreError::Unknown("the line broke".to_owned())),
            Fate::UnknownStored => {
                self.append(&append, now);
                Err(StoreError::Unknown("the line broke".to_owned()))
            }
        };
        self.appended.entry(ticket.worker).or_default().push_back(Answer::Appended(ticket, result));
        true
    }

    /// How many reads wait to be carried out.
    pub fn waiting_reads(&self) -> usize {
        self.reads.len()
    }

    /// How many answers to reads wait to be given.
    pub fn waiting_answers(&self) -> usize {
        self.read.len()
    }

    /// Carries out one of the reads.
    pub fn carry_out(&mut self, index: usize) {
        let request = self.reads.remove(index);
        let fails = self.failing_reads > 0;
        self.failing_reads -= usize::from(fails);
        let error = || StoreError::NotStored("the disk does not answer".to_owned());
        self.read.push(match request {
            Request::Head(ticket, _, _) if fails => Answer::Head(ticket, Err(error())),
            Request::Read(ticket, _) if fails => Answer::Read(ticket, Err(error())),
            Request::Head(ticket, name, window) => Answer::Head(ticket, Ok(self.head(&name, window))),
            Request::Read(ticket, read) => Answer::Read(ticket, Ok(self.range(&read))),
            Request::Append(..) => unreachable!("appends have a queue of their own"),
        });
    }

    /// The next answer to an append of `worker`.
    pub fn next_appended(&mut self, worker: u16) -> Option<Answer> {
        self.appended.get_mut(&worker)?.pop_front()
    }

    /// One of the answers to reads.
    pub fn take_answer(&mut self, index: usize) -> Answer {
        self.read.remove(index)
    }

    /// Writes an entry that was there before the test began.
    pub fn put(&mut self, channel: &ChannelName, mut entry: Publication) {
        let epoch = self.epoch;
        let log = self.logs.entry(channel.clone()).or_default();
        entry.begins_epoch = log.epoch_at(log.head()) != Some(epoch);
        entry.position = Some(Position { epoch, offset: Offset(log.head() + 1) });
        log.entries.push(Arc::new(entry));
    }

    /// Lets go of everything up to `last`. A hub notices when it opens the channel.
    pub fn trim(&mut self, channel: &ChannelName, last: u64) {
        self.logs.entry(channel.clone()).or_default().trimmed = last;
    }

    /// The truth about one channel.
    pub fn log(&self, channel: &ChannelName) -> &Log {
        static EMPTY: Log = Log { entries: Vec::new(), trimmed: 0 };
        self.logs.get(channel).unwrap_or(&EMPTY)
    }

    fn append(&mut self, append: &Append, now: Timestamp) -> Appended {
        let key = append.key.clone().map(|key| (append.channel.clone(), append.publisher.clone(), key));
        if let Some(first) = key.as_ref().and_then(|key| self.keys.get(key)) {
            return Appended { duplicate: true, ..*first };
        }
        let before = self.log(&append.channel).entries.last();
        let ts = before.map_or(now, |before| before.ts.max(now));
        let mut entry = Publication::new(append.channel.clone(), ts, append.payload.clone());
        entry.from = append.from.clone();
        entry.key = append.key.clone();
        self.put(&append.channel, entry);
        let stored = self.log(&append.channel).entries.last().expect("just put");
        let position = stored.position.expect("entries have a position");
        let appended = Appended { position, begins_epoch: stored.begins_epoch, ts, duplicate: false };
        if let Some(key) = key {
            self.keys.insert(key, appended);
        }
        appended
    }

    fn head(&self, name: &ChannelName, window: Window) -> Head {
        let log = self.log(name);
        let last = log.entries.last().and_then(|entry| entry.position);
        Head {
            position: last.unwrap_or(Position { epoch: self.epoch, offset: Offset::ZERO }),
            floor: Offset(log.floor()),
            floor_epoch: log.epoch_at(log.trimmed),
            tail: within(log.range(log.floor(), log.head()), Direction::Backward, window),
        }
    }

    fn range(&self, read: &Read) -> ReadResult {
        let log = self.log(&read.channel);
        let (first, last) = (read.first.0.max(log.floor()), read.last.0.min(log.head()));
        ReadResult { entries: within(log.range(first, last), read.direction, read.window) }
    }
}

fn within(entries: &[Arc<Publication>], direction: Direction, window: Window) -> Vec<Arc<Publication>> {
    let mut meter = Meter::new(window);
    match direction {
        Direction::Forward => entries.iter().take_while(|entry| meter.admit(entry.cost())).cloned().collect(),
        Direction::Backward => {
            let count = entries.iter().rev().take_while(|entry| meter.admit(entry.cost())).count();
            entries[entries.len() - count..].to_vec()
        }
    }
}
