//! All that a memory store holds, as a pure state machine: time and epoch are arguments, and each request has one
//! answer. Held by [`MemoryStore`](super::MemoryStore), and by simulators directly.

use std::collections::BTreeMap;
use std::time::Duration;

use hashbrown::HashMap;
use trunkline_model::{ChannelName, Epoch, Key, Offset, Position, Publisher, Retention, Timestamp};

use super::channel::Channel;
use super::keys::{KeyScope, Keys};
use crate::{
    Answer, Append, Appended, Head, Located, Read, ReadResult, Refusal, Request, Retentions, StoreError,
    Window,
};

/// The logs of all channels and the keys that are remembered, without thread, lock or clock. A clone is a
/// snapshot (entries are shared).
///
/// What is beyond a bound of its namespace goes with the next append to the namespace, or with [`MemoryLog::trim`].
#[derive(Clone, Debug)]
pub struct MemoryLog {
    epoch: Epoch,
    retentions: Retentions,
    channels: HashMap<ChannelName, Channel>,
    namespaces: HashMap<String, Stock>,
    keys: Keys,
    /// The place of each removal, by when it may be forgotten and its number.
    removals: BTreeMap<(Timestamp, u64), (ChannelName, Offset)>,
    /// How many entries were ever stored.
    stored: u64,
}

/// What the channels of one namespace hold together, but for the entries of which only the newest are kept.
#[derive(Clone, Debug, Default)]
struct Stock {
    bytes: u64,
    /// The place of each, in the order in which they were stored.
    order: BTreeMap<u64, (ChannelName, Offset)>,
}

impl MemoryLog {
    /// An empty log that writes under `epoch`, and keeps everything.
    #[must_use]
    pub fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            retentions: Retentions::default(),
            channels: HashMap::new(),
            namespaces: HashMap::new(),
            keys: Keys::default(),
            removals: BTreeMap::new(),
            stored: 0,
        }
    }

    /// Keeps so much from now on.
    pub fn set_retentions(&mut self, retentions: Retentions) {
        self.retentions = retentions;
    }

    /// Begins a new epoch: what a store does when it is opened again.
    pub fn begin(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    /// The epoch under which new entries are written.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Does what is asked, at the time `now`.
    pub fn handle(&mut self, request: Request, now: Timestamp) -> Answer {
        match request {
            Request::Append(ticket, append) => Answer::Appended(ticket, self.append(&append, now)),
            Request::Head(ticket, channel, window) => Answer::Head(ticket, Ok(self.head(&channel, window))),
            Request::Read(ticket, read) => Answer::Read(ticket, Ok(self.read(&read))),
            Request::Locate(ticket, channel, position) => {
                Answer::Located(ticket, Ok(self.locate(&channel, position)))
            }
        }
    }

    /// Lets go of all that is beyond the bounds of its namespace at `now`.
    pub fn trim(&mut self, now: Timestamp) {
        let channels: Vec<ChannelName> = self.channels.keys().cloned().collect();
        for channel in channels {
            self.trim_channel(&channel);
        }
        let namespaces: Vec<String> = self.namespaces.keys().cloned().collect();
        for namespace in namespaces {
            self.trim_namespace(&namespace, now);
        }
        self.forget_removals(now);
    }

    fn append(&mut self, append: &Append, now: Timestamp) -> Result<Appended, StoreError> {
        if let Some(key) = &append.key
            && let Some(first) = self.keys.get(&scope(append, &append.publisher, key), now)
        {
            self.answer_overtaken(append, first, now);
            return Ok(first);
        }
        self.check_condition(append)?;
        if let Some(first) = self.check_reference(append)? {
            self.answer_overtaken(append, first, now);
            return Ok(first);
        }
        let appended = self.push(append, now);
        if let Some(key) = &append.key {
            let expires = after(appended.ts, append.keys);
            self.keys.insert(scope(append, &append.publisher, key), appended, expires, now);
        }
        self.answer_overtaken(append, appended, now);
        self.trim_channel(&append.channel);
        self.trim_namespace(append.channel.namespace(), now);
        self.forget_removals(now);
        Ok(appended)
    }

    /// What `append` has overtaken has its answer from now on.
    fn answer_overtaken(&mut self, append: &Append, answer: Appended, now: Timestamp) {
        let expires = after(answer.ts.max(now), append.keys);
        for (publisher, key) in &append.overtaken {
            let scope = scope(append, publisher, key);
            if self.keys.get(&scope, now).is_none() {
                self.keys.insert(scope, answer, expires, now);
            }
        }
    }

    fn check_condition(&self, append: &Append) -> Result<(), Refusal> {
        let Some(wanted) = append.condition else { return Ok(()) };
        let name = append.role.entry().and_then(|entry| entry.name.as_ref());
        let newest = self.channels.get(&append.channel).and_then(|channel| channel.newest(name));
        match newest.unwrap_or(Position { epoch: self.epoch, offset: Offset::ZERO }) {
            newest if newest.offset == wanted => Ok(()),
            newest => Err(Refusal::Conflict(newest)),
        }
    }

    fn check_reference(&self, append: &Append) -> Result<Option<Appended>, Refusal> {
        let Some(reference) = append.role.reference() else { return Ok(None) };
        let channel = self.channels.get(&append.channel).ok_or(Refusal::NoTarget(reference.target))?;
        channel.check_reference(append, reference)
    }

    fn push(&mut self, append: &Append, now: Timestamp) -> Appended {
        self.stored += 1;
        let channel = self.channels.entry(append.channel.clone()).or_insert_with(|| Channel::new(self.epoch));
        if let Some(entry) = append.role.entry() {
            channel.replace(&entry.name);
        }
        let (appended, publication) = channel.push(append, self.epoch, self.stored, now);
        let erased = append
            .role
            .reference()
            .map(|reference| channel.fold(append, reference, appended.position.offset) as u64);
        let place = (append.channel.clone(), appended.position.offset);
        match append.role.entry() {
            None => {
                let stock = self.namespaces.entry_ref(append.channel.namespace()).or_default();
                stock.bytes += publication.cost() as u64;
                stock.bytes -= erased.unwrap_or(0);
                stock.order.insert(self.stored, place);
            }
            Some(entry) if entry.removed => {
                let remembered = self.retentions.of(append.channel.namespace()).removals;
                self.removals.insert((after(appended.ts, remembered), self.stored), place);
            }
            Some(_) => {}
        }
        appended
    }

    fn trim_channel(&mut self, channel: &ChannelName) {
        let Some(bound) = self.retentions.of(channel.namespace()).entries else { return };
        while let Some(oldest) = self.channels.get(channel).and_then(|found| found.oldest_beyond(bound)) {
            self.trim_entry(channel, oldest);
        }
    }

    fn trim_namespace(&mut self, namespace: &str, now: Timestamp) {
        let retention = self.retentions.of(namespace);
        while let Some((channel, offset)) = self.namespaces.get(namespace).and_then(|stock| {
            let oldest = stock.order.first_key_value()?.1;
            self.is_beyond(&retention, stock, oldest, now).then(|| oldest.clone())
        }) {
            self.trim_entry(&channel, offset);
        }
    }

    /// Whether the oldest entry of the namespace is to go.
    fn is_beyond(
        &self,
        retention: &Retention,
        stock: &Stock,
        (channel, offset): &(ChannelName, Offset),
        now: Timestamp,
    ) -> bool {
        let oldest = self.channels.get(channel).and_then(|channel| channel.entry(*offset));
        let expires = |age| oldest.map(|oldest| after(oldest.publication.ts, age));
        retention.bytes.is_some_and(|bound| stock.bytes > bound)
            || retention.age.and_then(expires).is_some_and(|expires| expires <= now)
    }

    fn trim_entry(&mut self, channel: &ChannelName, offset: Offset) {
        let trimmed = self.channels.get_mut(channel).and_then(|channel| channel.trim(offset));
        let stock = self.namespaces.get_mut(channel.namespace());
        if let (Some(trimmed), Some(stock)) = (trimmed, stock) {
            stock.bytes -= trimmed.publication.cost() as u64;
            stock.order.remove(&trimmed.number);
        }
    }

    /// Drops removals that were remembered for long enough, unless their entry was published again meanwhile.
    fn forget_removals(&mut self, now: Timestamp) {
        while let Some(oldest) = self.removals.first_entry().filter(|oldest| oldest.key().0 <= now) {
            let (channel, offset) = oldest.remove();
            self.channels.get_mut(&channel).and_then(|channel| channel.trim(offset));
        }
    }

    fn head(&self, channel: &ChannelName, window: Window) -> Head {
        let unknown = || {
            let position = Position { epoch: self.epoch, offset: Offset::ZERO };
            Head { position, floor: Offset(1), tail: Vec::new() }
        };
        self.channels.get(channel).map_or_else(unknown, |channel| channel.head(window))
    }

    fn read(&self, read: &Read) -> ReadResult {
        let unknown = || Channel::new(self.epoch).read(read);
        self.channels.get(&read.channel).map_or_else(unknown, |channel| channel.read(read))
    }

    fn locate(&self, channel: &ChannelName, position: Position) -> Located {
        match self.channels.get(channel) {
            _ if position.offset == Offset::ZERO => Located::Held,
            Some(channel) => channel.locate(position),
            None => Located::Parted { keep: None },
        }
    }
}

fn scope(append: &Append, publisher: &Publisher, key: &Key) -> KeyScope {
    (append.channel.clone(), publisher.clone(), key.clone())
}

/// The moment `duration` after `ts`.
fn after(ts: Timestamp, duration: Duration) -> Timestamp {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Timestamp(ts.0.saturating_add(ms))
}
