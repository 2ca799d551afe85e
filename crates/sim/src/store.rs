//! The store of a simulated node: a [`MemoryLog`] behind queues of which whoever holds the node says when each thing
//! happens and what fails. Appends are committed in the order they were submitted; reads see what is committed when
//! they are carried out.
//!
//! Beside it stands the truth, which no hub sees: per channel a list of all that was ever stored, with what was
//! trimmed, and the set of keys. Each answer of the log is compared with what that reference says.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use trunkline_backend::{
    Answer, Append, Appended, Head, Located, MemoryLog, Read, ReadResult, Request, StoreError, Ticket, Window,
};
use trunkline_model::{
    Acknowledge, ChannelName, EntryName, Epoch, Key, Offset, Op, Payload, Position, Publication, Publisher,
    Reference, Role, Timestamp,
};

use crate::violation::{Checker, Violation};

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
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// All of it, from offset 1 on.
    pub entries: Vec<Arc<Publication>>,
    trimmed: u64,
    /// What was trimmed when the node started.
    trimmed_at_start: u64,
    /// What was erased: by which deletion, and as it was stored.
    erased: BTreeMap<u64, (u64, Arc<Publication>)>,
}

impl Log {
    /// The newest offset.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The first offset that can be read.
    #[must_use]
    pub fn floor(&self) -> u64 {
        self.trimmed + 1
    }

    /// The floor when the node started: a hub that has not looked since may still say this one.
    #[must_use]
    pub fn floor_at_start(&self) -> u64 {
        self.trimmed_at_start + 1
    }

    /// The entry at this offset.
    #[must_use]
    pub fn entry(&self, offset: u64) -> Option<&Arc<Publication>> {
        self.entries.get(usize::try_from(offset.checked_sub(1)?).ok()?)
    }

    /// The entry at this offset as it was stored, even if it was erased since.
    pub(crate) fn original(&self, offset: u64) -> Option<&Arc<Publication>> {
        self.erased.get(&offset).map(|(_, original)| original).or_else(|| self.entry(offset))
    }

    /// The offset of the deletion that has erased this entry.
    pub(crate) fn erased_by(&self, offset: u64) -> Option<u64> {
        self.erased.get(&offset).map(|(by, _)| *by)
    }

    /// Whether anything in it is about an earlier message.
    pub(crate) fn has_references(&self) -> bool {
        self.entries.iter().any(|entry| entry.role.reference().is_some())
    }

    /// `first..=last`, as far as it is there.
    #[must_use]
    pub fn range(&self, first: u64, last: u64) -> &[Arc<Publication>] {
        let (first, last) = (first.max(1), last.min(self.head()));
        if first > last { &[] } else { &self.entries[first as usize - 1..last as usize] }
    }

    /// Whether `position` is one of this log's places.
    #[must_use]
    pub fn holds(&self, position: Position) -> bool {
        position.offset == Offset::ZERO
            || self.entry(position.offset.0).is_some_and(|entry| entry.position == Some(position))
    }

    /// The same reaction of the same author, if it stands.
    fn standing_reaction(&self, append: &Append) -> Option<Appended> {
        let reacts = append.role.reference().filter(|about| about.op == Op::React)?;
        let own = |entry: &&Arc<Publication>| {
            let about = entry.role.reference().filter(|about| about.target == reacts.target);
            about.is_some_and(|about| matches!(about.op, Op::React | Op::Unreact))
                && (entry.from == append.from && entry.payload == append.payload)
        };
        let last = self.entries.iter().rev().find(own)?;
        let stands = last.role.reference().is_some_and(|about| about.op == Op::React);
        let Publication { position, begins_epoch, ts, .. } = &**last;
        let (position, begins_epoch, ts) = (position.filter(|_| stands)?, *begins_epoch, *ts);
        Some(Appended { position, begins_epoch, ts, duplicate: true })
    }

    /// Erases the message at `target` and its edits.
    fn erase(&mut self, target: Offset) {
        let edit = Role::Reference(Reference { target, op: Op::Edit });
        let by = self.head() + 1;
        for (offset, entry) in (1..).zip(&mut self.entries) {
            if entry.role == edit || offset == target.0 {
                self.erased.entry(offset).or_insert_with(|| (by, Arc::clone(entry)));
                *entry = Arc::new(entry.erase());
            }
        }
    }

    /// The newest publication of the entry of this name up to `last`, a removal too.
    pub(crate) fn newest_of(&self, name: Option<&EntryName>, last: u64) -> Option<&Arc<Publication>> {
        self.range(1, last).iter().rev().find(|publication| name_of(publication) == name)
    }

    fn epoch_at(&self, offset: u64) -> Option<Epoch> {
        self.entry(offset)?.position.map(|position| position.epoch)
    }
}

type KeyScope = (ChannelName, Publisher, Key);

/// What survives a crash, and what a backup holds.
#[derive(Clone, Debug)]
struct Durable {
    log: MemoryLog,
    truth: BTreeMap<ChannelName, Log>,
    /// Where each key was stored first, and until when that is remembered.
    keys: HashMap<KeyScope, (Appended, Timestamp)>,
}

/// The store.
#[derive(Debug)]
pub struct TestStore {
    durable: Durable,
    backup: Option<Box<Durable>>,
    /// Payloads that were stored and are gone, because a backup without them was restored.
    lost: HashSet<Box<str>>,
    /// What was stored under a position that is gone, and the place before it. A position names one publication for
    /// ever.
    gone: HashMap<(ChannelName, Position), (Arc<Publication>, Option<Position>)>,
    /// How often it has lost the end of its logs under a running node.
    pub losses: usize,
    /// How often it was opened again under the node that runs now.
    pub(crate) reopened: usize,
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
    /// Reads of which the answer was given that they failed, ever.
    pub reads_failed: usize,
    /// Appends that were not stored, or of which that is unknown, ever.
    pub appends_failed: usize,
    /// The first broken promise that was seen from here.
    pub(crate) broken: Option<Violation>,
}

impl TestStore {
    pub(crate) fn new() -> Self {
        let log = MemoryLog::new(Epoch::from_random(10));
        Self {
            durable: Durable { log, truth: BTreeMap::new(), keys: HashMap::new() },
            backup: None,
            lost: HashSet::new(),
            gone: HashMap::new(),
            losses: 0,
            reopened: 0,
            appends: VecDeque::new(),
            reads: Vec::new(),
            appended: BTreeMap::new(),
            read: Vec::new(),
            fates: VecDeque::new(),
            failing_reads: 0,
            reads_asked: 0,
            appends_asked: 0,
            reads_failed: 0,
            appends_failed: 0,
            broken: None,
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
                if let Request::Head(ticket, channel, _) = &read {
                    self.check_stampede(*ticket, channel);
                }
                self.reads.push(read);
            }
        }
    }

    /// Commits the oldest append; `false` if there is none.
    pub fn commit(&mut self, now: Timestamp) -> bool {
        let Some((ticket, append)) = self.appends.pop_front() else { return false };
        let fate = self.fates.pop_front().unwrap_or(Fate::Stored);
        self.appends_failed += usize::from(fate != Fate::Stored);
        let result = match fate {
            Fate::Stored => self.append(append, now),
            Fate::NotStored => Err(StoreError::NotStored("the disk is full".to_owned())),
            Fate::UnknownLost => Err(StoreError::Unknown("the line broke".to_owned())),
            Fate::UnknownStored => match self.append(append, now) {
                Err(refused) => Err(refused),
                Ok(_) => Err(StoreError::Unknown("the line broke".to_owned())),
            },
        };
        self.appended.entry(ticket.worker).or_default().push_back(Answer::Appended(ticket, result));
        true
    }

    /// How many reads wait to be carried out.
    #[must_use]
    pub fn waiting_reads(&self) -> usize {
        self.reads.len()
    }

    /// How many answers to reads wait to be given.
    #[must_use]
    pub fn waiting_answers(&self) -> usize {
        self.read.len()
    }

    /// How many reads and appends of `worker` have no answer yet.
    #[must_use]
    pub fn under_way(&self, worker: u16) -> (usize, usize) {
        let reads = self.reads.iter().filter(|request| ticket_of(request).worker == worker).count();
        let answers = self.read.iter().filter(|answer| answer.ticket().worker == worker).count();
        let appends = self.appends.iter().filter(|(ticket, _)| ticket.worker == worker).count();
        (reads + answers, appends + self.appended.get(&worker).map_or(0, VecDeque::len))
    }

    /// Carries out one of the reads.
    pub fn carry_out(&mut self, index: usize) {
        let request = self.reads.remove(index);
        let fails = self.failing_reads > 0;
        self.failing_reads -= usize::from(fails);
        let error = || StoreError::NotStored("the disk does not answer".to_owned());
        let answer = match request {
            Request::Head(ticket, ..) if fails => Answer::Head(ticket, Err(error())),
            Request::Read(ticket, ..) if fails => Answer::Read(ticket, Err(error())),
            Request::Locate(ticket, ..) if fails => Answer::Located(ticket, Err(error())),
            Request::Locate(ticket, channel, position) => {
                Answer::Located(ticket, Ok(self.locate(&channel, position)))
            }
            Request::Read(ticket, read) => self.range(ticket, read),
            Request::Head(ticket, channel, window) => self.head(ticket, channel, window),
            Request::Append(..) => unreachable!("appends have a queue of their own"),
        };
        self.read.push(answer);
    }

    /// The next answer to an append of `worker`.
    pub fn next_appended(&mut self, worker: u16) -> Option<Answer> {
        self.appended.get_mut(&worker)?.pop_front()
    }

    /// Whether an append of `worker` was committed and its answer waits.
    pub(crate) fn is_answered(&self, worker: u16) -> bool {
        self.appended.get(&worker).is_some_and(|answers| !answers.is_empty())
    }

    /// One of the answers to reads.
    pub fn take_answer(&mut self, index: usize) -> Answer {
        let answer = self.read.remove(index);
        self.reads_failed += usize::from(answer.is_refusal());
        answer
    }

    /// Begins a new epoch: what a store does when it is opened again.
    pub fn begin(&mut self, epoch: Epoch) {
        self.reopened += 1;
        self.durable.log.begin(epoch);
    }

    /// The epoch under which entries are written now.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.durable.log.epoch()
    }

    /// The store has lost what came after the last backup, and goes on under `epoch`. The node lives on; what is under way
    /// stays so.
    pub fn lose_end(&mut self, epoch: Epoch) {
        self.losses += 1;
        self.go_back();
        self.begin(epoch);
    }

    /// Whether there is a backup to go back to.
    #[must_use]
    pub fn is_backed_up(&self) -> bool {
        self.backup.is_some()
    }

    /// Goes back to the backup, if there is one. Says how many entries that has cost.
    fn go_back(&mut self) -> usize {
        let Some(backup) = self.backup.clone() else { return 0 };
        let now = std::mem::replace(&mut self.durable, *backup);
        let mut count = 0;
        for (channel, log) in now.truth {
            let kept = self.log(&channel).entries.len();
            let mut before = log.entries[..kept].last().and_then(|entry| entry.position);
            for offset in kept as u64 + 1..=log.head() {
                let Some(entry) = log.original(offset) else { continue };
                let Some(position) = entry.position else { continue };
                self.lost.insert(uid_of(entry).into());
                self.gone.insert((channel.clone(), position), (Arc::clone(entry), before));
                before = Some(position);
                count += 1;
            }
        }
        count
    }

    /// What is, or was, stored under `position`, and the place before it. Of what was erased, what it was.
    pub(crate) fn ever_at(
        &self,
        channel: &ChannelName,
        position: Position,
    ) -> Option<(&Arc<Publication>, Option<Position>)> {
        let log = self.log(channel);
        if let Some(entry) = log.original(position.offset.0).filter(|_| log.holds(position)) {
            let before = log.entry(position.offset.prev().0).and_then(|entry| entry.position);
            return Some((entry, before));
        }
        self.gone.get(&(channel.clone(), position)).map(|(entry, before)| (entry, *before))
    }

    /// Writes an entry that was there before the test began.
    pub fn put(&mut self, channel: &ChannelName, payload: Payload, now: Timestamp) {
        let publisher = Publisher::new("past");
        let keys = std::time::Duration::ZERO;
        let stored = self.append(
            Append {
                channel: channel.clone(),
                payload,
                from: None,
                publisher,
                key: None,
                keys,
                overtaken: Vec::new(),
                condition: None,
                role: Role::Message,
                moderates: false,
                acknowledge: Acknowledge::Disk,
            },
            now,
        );
        stored.expect("nothing is asked of it that could be refused");
    }

    /// Lets go of everything up to `last`. A hub notices when it opens the channel.
    pub fn trim(&mut self, channel: &ChannelName, last: u64) {
        let log = self.durable.truth.entry(channel.clone()).or_default();
        log.trimmed = log.trimmed.max(last.min(log.head()));
    }

    /// The truth about one channel.
    #[must_use]
    pub fn log(&self, channel: &ChannelName) -> &Log {
        static EMPTY: Log =
            Log { entries: Vec::new(), trimmed: 0, trimmed_at_start: 0, erased: BTreeMap::new() };
        self.durable.truth.get(channel).unwrap_or(&EMPTY)
    }

    /// The truth about each channel that was ever written to.
    pub fn logs(&self) -> impl Iterator<Item = (&ChannelName, &Log)> {
        self.durable.truth.iter()
    }

    /// Makes a copy of all that is stored, in place of an earlier one.
    pub fn back_up(&mut self) {
        self.backup = Some(Box::new(self.durable.clone()));
    }

    /// The node has ended: what was committed is kept, all else is gone. It is opened again under `epoch`; if
    /// `restored`, with what the backup holds. Says how many entries that has cost.
    pub fn crash(&mut self, epoch: Epoch, restored: bool) -> usize {
        let gone = if restored { self.go_back() } else { 0 };
        self.begin(epoch);
        self.reopened = 0;
        self.durable.truth.values_mut().for_each(|log| log.trimmed_at_start = log.trimmed);
        self.appends.clear();
        self.reads.clear();
        self.appended.clear();
        self.read.clear();
        gone
    }

    /// Whether the entry with this payload was stored and went with a restored backup.
    #[must_use]
    pub fn has_lost(&self, uid: &str) -> bool {
        self.lost.contains(uid)
    }

    /// Stores it in the log, and in the reference, which must agree.
    fn append(&mut self, append: Append, now: Timestamp) -> Result<Appended, StoreError> {
        let ticket = Ticket { worker: 0, number: 0 };
        match self.durable.log.handle(Request::Append(ticket, append.clone()), now) {
            Answer::Appended(_, Ok(appended)) => {
                let expected = self.append_to_reference(&append, now);
                if appended != expected {
                    self.breaks(Checker::Reference, format!("stored as {appended:?}, not {expected:?}"));
                }
                Ok(appended)
            }
            Answer::Appended(_, Err(refused @ StoreError::Refused(_))) => Err(refused),
            other => {
                let what = format!("an append is answered {other:?}");
                self.breaks(Checker::Reference, what.clone());
                Err(StoreError::NotStored(what))
            }
        }
    }

    fn append_to_reference(&mut self, append: &Append, now: Timestamp) -> Appended {
        let appended = self.add_to_reference(append, now);
        let remembered = u64::try_from(append.keys.as_millis()).unwrap_or(u64::MAX);
        let until = Timestamp(appended.ts.max(now).0.saturating_add(remembered));
        for (publisher, key) in &append.overtaken {
            let scope = (append.channel.clone(), publisher.clone(), key.clone());
            let keys = &mut self.durable.keys;
            if keys.get(&scope).is_none_or(|(_, until)| *until <= now) {
                keys.insert(scope, (appended, until));
            }
        }
        appended
    }

    fn add_to_reference(&mut self, append: &Append, now: Timestamp) -> Appended {
        let Durable { log, truth, keys } = &mut self.durable;
        let scope = append.key.clone().map(|key| (append.channel.clone(), append.publisher.clone(), key));
        let known = scope.as_ref().and_then(|scope| keys.get(scope)).filter(|(_, until)| now < *until);
        if let Some((first, _)) = known {
            return Appended { duplicate: true, ..*first };
        }
        let channel = truth.entry(append.channel.clone()).or_default();
        if let Some(given) = channel.standing_reaction(append) {
            return given;
        }
        if let Some(Reference { target, op: Op::Delete }) = append.role.reference() {
            channel.erase(*target);
        }
        let ts = channel.entries.last().map_or(now, |before| before.ts.max(now));
        let mut entry = Publication::new(append.channel.clone(), ts, append.payload.clone());
        let position = Position { epoch: log.epoch(), offset: Offset(channel.head() + 1) };
        entry.begins_epoch = channel.epoch_at(channel.head()) != Some(position.epoch);
        entry.position = Some(position);
        entry.from = append.from.clone();
        entry.key = append.key.clone();
        entry.role = append.role.clone();
        let appended = Appended { position, begins_epoch: entry.begins_epoch, ts, duplicate: false };
        channel.entries.push(Arc::new(entry));
        if let Some(scope) = scope {
            let until = u64::try_from(append.keys.as_millis()).unwrap_or(u64::MAX);
            keys.insert(scope, (appended, Timestamp(ts.0.saturating_add(until))));
        }
        appended
    }

    fn head(&mut self, ticket: Ticket, channel: ChannelName, window: Window) -> Answer {
        let log = self.log(&channel);
        let floor = Offset(log.floor());
        let answer = self.durable.log.handle(Request::Head(ticket, channel, window), Timestamp(0));
        let Answer::Head(ticket, Ok(mut head)) = answer else { return answer };
        let floor = floor.max(head.floor);
        head.tail.retain(|entry| entry.position.is_some_and(|position| position.offset >= floor));
        Answer::Head(ticket, Ok(Head { floor, ..head }))
    }

    fn range(&mut self, ticket: Ticket, mut read: Read) -> Answer {
        let floor = Offset(self.log(&read.channel).floor());
        read.first = read.first.max(floor);
        let answer = self.durable.log.handle(Request::Read(ticket, read), Timestamp(0));
        let Answer::Read(ticket, Ok(read)) = answer else { return answer };
        Answer::Read(ticket, Ok(ReadResult { floor, ..read }))
    }

    fn locate(&self, channel: &ChannelName, position: Position) -> Located {
        let log = self.log(channel);
        if log.holds(position) {
            return Located::Held;
        }
        let shared = |entry: &Arc<Publication>| entry.position.filter(|place| place.epoch == position.epoch);
        let keep = log.entries.iter().rev().find_map(shared).map(|place| place.offset);
        Located::Parted { keep: keep.map(|keep| keep.min(position.offset.prev())) }
    }

    /// A channel's newest entries are read once, whoever asks for them.
    fn check_stampede(&mut self, ticket: Ticket, channel: &ChannelName) {
        let same = |request: &Request| matches!(request, Request::Head(_, name, _) if name == channel);
        // Each life of the store may make the node ask anew.
        if self.reopened == 0 && self.reads.iter().any(same) {
            self.breaks(
                Checker::Stampede,
                format!("worker {} reads the head of {channel} twice", ticket.worker),
            );
        }
    }

    fn breaks(&mut self, checker: Checker, what: String) {
        self.broken.get_or_insert(Violation { checker, what });
    }
}

fn ticket_of(request: &Request) -> Ticket {
    match request {
        Request::Append(ticket, _)
        | Request::Head(ticket, ..)
        | Request::Read(ticket, _)
        | Request::Locate(ticket, ..) => *ticket,
    }
}

/// The entry that a publication is the state of; `None` in a `value`, and in a log.
pub(crate) fn name_of(publication: &Publication) -> Option<&EntryName> {
    publication.role.entry().and_then(|entry| entry.name.as_ref())
}

/// The unique part of a payload; what follows the blank is padding. What has no payload of its own has it as its key.
pub(crate) fn uid_of(publication: &Publication) -> &str {
    let removes = publication.role.entry().is_some_and(|entry| entry.removed);
    if removes || publication.role.reference().is_some_and(|about| about.op != Op::Edit) {
        return publication.key.as_ref().map_or("(no key)", Key::as_str);
    }
    let text = std::str::from_utf8(&publication.payload.bytes).unwrap_or("(no text)");
    text.split_once(' ').map_or(text, |(uid, _)| uid)
}
