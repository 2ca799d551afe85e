//! What a store must do, in the fewest words: a `Vec` of all that was ever stored in a channel, and a map of keys.
//! Written apart from `MemoryStore`, so that the two can disagree.
//!
//! When a store trims is its own business, so the model follows: it takes each floor that the store shows, after it has
//! checked that what is below was beyond a bound.

use std::collections::BTreeMap;

use trunkline_model::{
    ChannelName, Epoch, Fold, Key, Offset, Op, Position, Publication, Publisher, Reference, Retention,
    Timestamp,
};

use crate::{Append, Appended, Direction, FOLDED_LOOKS, Located, Read, Refusal, Retentions, StoreError};

/// The state that a store must appear to have.
pub(super) struct Model {
    retentions: Retentions,
    logs: BTreeMap<ChannelName, Log>,
    keys: BTreeMap<ScopedKey, (Appended, u128)>,
    latest: Timestamp,
    stored: u64,
}

type ScopedKey = (ChannelName, String, String);

/// A channel: all that was ever stored in it, each with its number among all entries of all channels, and the floor.
#[derive(Default)]
struct Log {
    entries: Vec<(u64, Publication)>,
    floor: usize,
}

impl Log {
    /// Whether there are entries of which only the newest are kept. Then there is nothing else.
    fn is_compacted(&self) -> bool {
        self.entries.iter().any(|(_, entry)| entry.role.entry().is_some())
    }

    /// What is there: what is not below the floor; or the newest of each entry, but for removals below the floor.
    fn kept(&self) -> Vec<&Publication> {
        let all = || self.entries.iter().map(|(_, entry)| entry).enumerate();
        if !self.is_compacted() {
            return all().filter(|(at, _)| *at >= self.floor).map(|(_, entry)| entry).collect();
        }
        let newest = all().filter(|(at, _)| self.newest(entry_name(&self.entries[*at].1)) == Some(*at));
        newest.filter(|(at, entry)| *at >= self.floor || !is_removal(entry)).map(|(_, entry)| entry).collect()
    }

    /// The references to a message, in order.
    fn references(&self, target: Offset) -> impl DoubleEndedIterator<Item = (Op, &Publication)> {
        self.entries.iter().filter_map(move |(_, entry)| {
            let reference = entry.role.reference().filter(|reference| reference.target == target)?;
            Some((reference.op, entry))
        })
    }

    /// The reactions to a message that stand, each with who gave it, in the order in which they came.
    fn reactions(&self, target: Offset) -> Vec<Vec<&Publication>> {
        let mut standing: Vec<Vec<&Publication>> = Vec::new();
        for (op, entry) in self.references(target) {
            let same = |given: &[&Publication]| given[0].payload.bytes == entry.payload.bytes;
            let found = standing.iter_mut().find(|given| same(given));
            match (op, found) {
                (Op::Edit, _) => {}
                (Op::Delete, _) => standing.clear(),
                (Op::React, Some(given)) => given.push(entry),
                (Op::React, None) => standing.push(vec![entry]),
                (Op::Unreact, given) => {
                    given.into_iter().for_each(|given| given.retain(|given| given.from != entry.from));
                    standing.retain(|given| !given.is_empty());
                }
            }
        }
        standing
    }

    fn allow(
        &self,
        append: &Append,
        Reference { target: at, op }: Reference,
    ) -> Result<Option<Appended>, Refusal> {
        let target = self.kept().into_iter().find(|entry| position(entry).offset == at);
        let target = target.filter(|entry| entry.role.entry().is_none()).ok_or(Refusal::NoTarget(at))?;
        if target.role.reference().is_some() {
            return Err(Refusal::TargetIsReference(at));
        }
        if target.erased {
            return Err(Refusal::TargetDeleted(at));
        }
        let standing = self.reactions(at);
        let of_value = |given: &&&Publication| given.payload.bytes == append.payload.bytes;
        let given = standing.iter().flatten().filter(of_value).find(|given| given.from == append.from);
        match op {
            Op::Edit | Op::Delete if append.from == target.from || append.moderates => Ok(None),
            Op::Edit | Op::Delete => Err(Refusal::NotAuthor(at)),
            Op::React => Ok(given.map(|given| Appended {
                position: position(given),
                begins_epoch: given.begins_epoch,
                ts: given.ts,
                duplicate: true,
            })),
            Op::Unreact => given.map(|_| None).ok_or(Refusal::NoReaction(at)),
        }
    }

    /// Erases a message and its edits.
    fn erase(&mut self, target: Offset) {
        for (_, entry) in &mut self.entries {
            let edits = entry.role.reference() == Some(&Reference { target, op: Op::Edit });
            if edits || position(entry).offset == target {
                *entry = entry.erase();
            }
        }
    }

    /// A message as readers of history see it, if anything was said about it.
    fn fold(&self, message: &Publication) -> Option<Publication> {
        let offset = position(message).offset;
        let rev = position(self.references(offset).next_back()?.1).offset;
        let edit = self.references(offset).rfind(|(op, edit)| *op == Op::Edit && !edit.erased);
        let payload = edit.map_or(&message.payload, |(_, edit)| &edit.payload).clone();
        let counted = |given: Vec<&Publication>| {
            (String::from_utf8_lossy(&given[0].payload.bytes).into(), given.len() as u32)
        };
        let reactions = self.reactions(offset).into_iter().map(counted).collect();
        Some(message.folded(payload, Fold { rev, reactions }))
    }

    /// The index of the newest with this name.
    fn newest(&self, name: Option<&str>) -> Option<usize> {
        self.entries.iter().rposition(|(_, entry)| entry_name(entry) == name)
    }
}

impl Model {
    pub(super) fn new(retentions: Retentions) -> Self {
        Self {
            retentions,
            logs: BTreeMap::new(),
            keys: BTreeMap::new(),
            latest: Timestamp::default(),
            stored: 0,
        }
    }

    /// Tells the time; it may go back.
    pub(super) fn clock_shows(&mut self, now: Timestamp) {
        self.latest = self.latest.max(now);
    }

    /// Whether the port says what becomes of `append`. If its key had expired before the clock went back,
    /// a store may have forgotten it or not.
    pub(super) fn is_settled(&self, append: &Append, now: Timestamp) -> bool {
        scoped_key(append).into_iter().chain(overtaken(append)).all(|key| {
            let expires = self.keys.get(&key).map(|(_, expires)| *expires);
            expires.is_none_or(|expires| expires > u128::from(self.latest.0) || expires <= u128::from(now.0))
        })
    }

    pub(super) fn append(
        &mut self,
        append: &Append,
        epoch: Epoch,
        now: Timestamp,
    ) -> Result<Appended, StoreError> {
        let known = scoped_key(append).and_then(|key| self.remembered(&key, now));
        let appended = match known {
            Some(first) => Appended { duplicate: true, ..first },
            None => match self.allow(append, epoch)? {
                Some(standing) => standing,
                None => self.store(append, epoch, now),
            },
        };
        for key in overtaken(append) {
            if self.remembered(&key, now).is_none() {
                let since = appended.ts.max(now);
                self.keys.insert(key, (appended, u128::from(since.0) + append.keys.as_millis()));
            }
        }
        Ok(appended)
    }

    fn remembered(&self, key: &ScopedKey, now: Timestamp) -> Option<Appended> {
        let known = self.keys.get(key).filter(|(_, expires)| u128::from(now.0) < *expires);
        known.map(|(first, _)| *first)
    }

    /// Whether the condition holds and what it refers to may be referred to; the reaction that stands already, if it is
    /// that.
    fn allow(&self, append: &Append, epoch: Epoch) -> Result<Option<Appended>, Refusal> {
        self.allow_condition(append, epoch)?;
        match append.role.reference() {
            None => Ok(None),
            Some(reference) => {
                let log = self.logs.get(&append.channel).ok_or(Refusal::NoTarget(reference.target))?;
                log.allow(append, *reference)
            }
        }
    }

    fn allow_condition(&self, append: &Append, epoch: Epoch) -> Result<(), Refusal> {
        let Some(wanted) = append.condition else { return Ok(()) };
        let nothing = Position { epoch, offset: Offset::ZERO };
        let log = self.logs.get(&append.channel);
        let found = match append.role.entry().and_then(|entry| entry.name.as_ref()) {
            None => log.and_then(|log| log.entries.last()),
            Some(name) => log
                .and_then(|log| log.newest(Some(name.as_str())).map(|at| &log.entries[at]))
                .filter(|(_, entry)| !is_removal(entry)),
        };
        let newest = found.map_or(nothing, |(_, entry)| position(entry));
        if newest.offset == wanted { Ok(()) } else { Err(Refusal::Conflict(newest)) }
    }

    fn store(&mut self, append: &Append, epoch: Epoch, now: Timestamp) -> Appended {
        self.stored += 1;
        let log = self.logs.entry(append.channel.clone()).or_default();
        let entries = || log.entries.iter().map(|(_, entry)| entry);
        let appended = Appended {
            position: Position { epoch, offset: Offset(log.entries.len() as u64 + 1) },
            begins_epoch: entries().all(|entry| position(entry).epoch != epoch),
            ts: entries().map(|entry| entry.ts).fold(now, Timestamp::max),
            duplicate: false,
        };
        log.entries.push((self.stored, super::asker::entry(append, &appended)));
        if let Some(Reference { target, op: Op::Delete }) = append.role.reference() {
            log.erase(*target);
        }
        if let Some(key) = scoped_key(append) {
            self.keys.insert(key, (appended, u128::from(appended.ts.0) + append.keys.as_millis()));
        }
        appended
    }

    pub(super) fn head(&self, channel: &ChannelName, epoch: Epoch) -> Position {
        let newest = self.logs.get(channel).and_then(|log| log.entries.last());
        newest.map_or(Position { epoch, offset: Offset::ZERO }, |(_, entry)| position(entry))
    }

    /// The entries of a range, and the range that they are all of.
    pub(super) fn read(&self, read: &Read) -> (Vec<Publication>, (Offset, Offset)) {
        let log = self.logs.get(&read.channel);
        let floor = log.map_or(1, |log| if log.is_compacted() { 1 } else { log.floor as u64 + 1 });
        let newest = log.map_or(0, |log| log.entries.len() as u64);
        let (first, last) = (read.first.0.max(floor), read.last.0.min(newest));
        if first > last {
            return (Vec::new(), (Offset(first), Offset(first - 1)));
        }
        let mut offsets: Vec<u64> = (first..=last).collect();
        if read.direction == Direction::Backward {
            offsets.reverse();
        }
        let kept = log.map(Log::kept).unwrap_or_default();
        let looks = if read.folded { FOLDED_LOOKS * read.window.entries.max(1) as usize } else { usize::MAX };
        let mut page = Vec::new();
        let mut covered = Vec::new();
        let (mut cost, mut looked_at) = (0, 0);
        for offset in offsets {
            let entry = kept.iter().find(|entry| position(entry).offset.0 == offset);
            if entry.is_some() && looked_at == looks {
                break;
            }
            looked_at += usize::from(entry.is_some());
            if let Some(entry) = entry.filter(|entry| !read.folded || entry.role.reference().is_none()) {
                let fold = log.filter(|_| read.folded).and_then(|log| log.fold(entry));
                let entry = fold.unwrap_or_else(|| copy(entry));
                cost += entry.cost();
                let full = page.len() as u64 >= u64::from(read.window.entries) || cost > read.window.bytes;
                if full && !page.is_empty() {
                    break;
                }
                page.push(entry);
            }
            covered.push(Offset(offset));
        }
        page.sort_by_key(|entry| position(entry).offset);
        covered.sort();
        let covered = (covered[0], covered[covered.len() - 1]);
        (page, covered)
    }

    pub(super) fn locate(&self, channel: &ChannelName, wanted: Position) -> Located {
        let places = || {
            let log = self.logs.get(channel);
            log.into_iter().flat_map(|log| &log.entries).map(|(_, entry)| position(entry))
        };
        if wanted.offset == Offset::ZERO || places().any(|place| place == wanted) {
            return Located::Held;
        }
        let last = places().filter(|place| place.epoch == wanted.epoch).map(|place| place.offset).max();
        Located::Parted { keep: last.map(|last| last.min(wanted.offset.prev())) }
    }

    /// The store says that `channel` begins at `floor` now.
    pub(super) fn floor_seen(&mut self, channel: &ChannelName, floor: Offset) {
        let seen = floor.0 as usize - 1;
        let Some(log) = self.logs.get(channel) else {
            assert_eq!(floor, Offset(1), "the floor of {channel}, which nobody has written to");
            return;
        };
        assert!(seen >= log.floor, "the floor of {channel} went back to {floor:?}");
        if log.is_compacted() && seen > log.floor {
            let entry = &log.entries[seen - 1].1;
            let due = is_over(entry, self.removals(channel), self.latest);
            assert!(is_removal(entry) && due, "{channel} forgot its entry {seen}");
            self.logs.get_mut(channel).expect("it was found").floor = seen;
            return;
        }
        for offset in log.floor..seen {
            assert!(self.may_go(channel, offset), "{channel} lost its entry {}", offset + 1);
        }
        self.logs.get_mut(channel).expect("it was found").floor = seen;
    }

    /// Whether the entry at this index is beyond a bound.
    fn may_go(&self, channel: &ChannelName, at: usize) -> bool {
        let Retention { entries, bytes, age, .. } = self.retentions.of(channel.namespace());
        let log = &self.logs[channel];
        let (number, entry) = &log.entries[at];
        let since = self.namespace(channel.namespace()).filter(|(stored, _)| stored >= number);
        let cost: usize = since.map(|(_, entry)| entry.cost()).sum();
        entries.is_some_and(|bound| (log.entries.len() - at) as u64 > bound)
            || bytes.is_some_and(|bound| cost as u64 > bound)
            || age.is_some_and(|age| is_over(entry, age.as_millis(), self.latest))
    }

    fn removals(&self, channel: &ChannelName) -> u128 {
        self.retentions.of(channel.namespace()).removals.as_millis()
    }

    /// All entries that were ever stored in the channels of a namespace.
    fn namespace(&self, namespace: &str) -> impl Iterator<Item = &(u64, Publication)> {
        let logs = self.logs.iter().filter(move |(channel, _)| channel.namespace() == namespace);
        logs.flat_map(|(_, log)| &log.entries)
    }

    /// What is beyond a bound and still there.
    pub(super) fn beyond(&self, now: Timestamp) -> Vec<String> {
        let mut beyond = Vec::new();
        let mut bytes: BTreeMap<&str, u64> = BTreeMap::new();
        for (channel, log) in &self.logs {
            if log.is_compacted() {
                let forgettable =
                    |entry: &&&Publication| is_removal(entry) && is_over(entry, self.removals(channel), now);
                beyond.extend(log.kept().iter().find(forgettable).map(|_| format!("removals of {channel}")));
                continue;
            }
            let bounds = self.retentions.of(channel.namespace());
            if bounds.entries.is_some_and(|bound| log.kept().len() as u64 > bound) {
                beyond.push(format!("{} entries of {channel}", log.kept().len()));
            }
            let old =
                |entry: &&&Publication| bounds.age.is_some_and(|age| is_over(entry, age.as_millis(), now));
            beyond.extend(log.kept().iter().find(old).map(|_| format!("old ones of {channel}")));
            let kept: usize = log.kept().iter().map(|entry| entry.cost()).sum();
            *bytes.entry(channel.namespace()).or_default() += kept as u64;
        }
        let full = bytes.into_iter().filter(|(namespace, kept)| {
            self.retentions.of(namespace).bytes.is_some_and(|bound| *kept > bound)
        });
        beyond.extend(full.map(|(namespace, kept)| format!("{kept} bytes of {namespace}")));
        beyond
    }
}

fn entry_name(entry: &Publication) -> Option<&str> {
    entry.role.entry().map(|entry| entry.name.as_ref().map_or("", |name| name.as_str()))
}

fn is_removal(entry: &Publication) -> bool {
    entry.role.entry().is_some_and(|entry| entry.removed)
}

fn is_over(entry: &Publication, age: u128, now: Timestamp) -> bool {
    u128::from(entry.ts.0) + age <= u128::from(now.0)
}

fn position(entry: &Publication) -> Position {
    entry.position.expect("a stored entry has a position")
}

fn copy(entry: &Publication) -> Publication {
    let mut copy = Publication::new(entry.channel.clone(), entry.ts, entry.payload.clone());
    copy.position = entry.position;
    copy.begins_epoch = entry.begins_epoch;
    copy.from = entry.from.clone();
    copy.key = entry.key.clone();
    copy.role = entry.role.clone();
    copy.erased = entry.erased;
    copy
}

fn scoped_key(append: &Append) -> Option<ScopedKey> {
    append.key.as_ref().map(|key| scoped(append, &append.publisher, key))
}

fn overtaken(append: &Append) -> impl Iterator<Item = ScopedKey> {
    append.overtaken.iter().map(move |(publisher, key)| scoped(append, publisher, key))
}

fn scoped(append: &Append, publisher: &Publisher, key: &Key) -> ScopedKey {
    (append.channel.clone(), publisher.as_str().to_owned(), key.as_str().to_owned())
}
