//! One channel of a [`MemoryLog`](super::MemoryLog): its entries, its head, and which epoch began where.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use trunkline_model::{EntryName, Epoch, Offset, Op, Position, Publication, Reference, Timestamp};

use super::fold::Folding;
use crate::{
    Append, Appended, Direction, FOLDED_LOOKS, Head, Located, Meter, REACTIONS_MAX, Read, ReadResult,
    Refusal, Window,
};

/// A channel that was written to. Its head and its epochs outlive its entries.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    head: Position,
    ts: Timestamp,
    floor: Offset,
    /// Each epoch and its first offset, ascending.
    epochs: Vec<(Epoch, Offset)>,
    entries: BTreeMap<Offset, Stored>,
    /// What references have made of the messages that have any.
    folds: HashMap<Offset, Folding>,
    /// Where the newest of each entry is, in a channel that keeps only that. `None` is the name of the only one of a
    /// `value`.
    newest: HashMap<Option<EntryName>, Offset>,
    /// Whether it keeps, or has ever kept, only the newest of each entry.
    compacted: bool,
}

/// An entry, and its number in the order in which the entries of all channels were stored.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) number: u64,
    pub(super) publication: Arc<Publication>,
}

impl Stored {
    /// Whether it says that an entry is gone.
    pub(super) fn is_removal(&self) -> bool {
        self.publication.role.entry().is_some_and(|entry| entry.removed)
    }

    /// The answer to who wants to store it again.
    fn repeated(&self) -> Option<Appended> {
        let Publication { position, begins_epoch, ts, .. } = &*self.publication;
        position.map(|position| Appended { position, begins_epoch: *begins_epoch, ts: *ts, duplicate: true })
    }
}

impl Channel {
    /// A channel whose first entry is about to be written under `epoch`.
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            head: Position { epoch, offset: Offset::ZERO },
            ts: Timestamp::default(),
            floor: Offset(1),
            epochs: Vec::new(),
            entries: BTreeMap::new(),
            folds: HashMap::new(),
            newest: HashMap::new(),
            compacted: false,
        }
    }

    /// The position that a condition is about: that of the channel's newest entry, or of the newest of `name`.
    pub(super) fn newest(&self, name: Option<&EntryName>) -> Option<Position> {
        match name {
            None => Some(self.head),
            Some(_) => {
                let stored = self.newest.get(&name.cloned()).and_then(|offset| self.entries.get(offset));
                let there = stored.filter(|stored| !stored.is_removal());
                there.and_then(|stored| stored.publication.position)
            }
        }
    }

    /// Takes away what the entry of this name was until now.
    pub(super) fn replace(&mut self, name: &Option<EntryName>) {
        self.compacted = true;
        let replaced = self.newest.insert(name.clone(), self.head.offset.next());
        replaced.and_then(|replaced| self.entries.remove(&replaced));
    }

    /// Whether the reference that `append` is may be stored. If the same reaction of the same author stands, that one.
    pub(super) fn check_reference(
        &self,
        append: &Append,
        &Reference { target: at, op }: &Reference,
    ) -> Result<Option<Appended>, Refusal> {
        let target = self.entries.get(&at).map(|stored| &stored.publication);
        let target = target.filter(|target| target.role.entry().is_none()).ok_or(Refusal::NoTarget(at))?;
        if target.role.reference().is_some() {
            return Err(Refusal::TargetIsReference(at));
        }
        if target.erased {
            return Err(Refusal::TargetDeleted(at));
        }
        let (value, folding) = (&append.payload.bytes, self.folds.get(&at));
        let given = folding.and_then(|folding| folding.reacted(value, &append.from));
        match op {
            Op::Edit | Op::Delete if !append.moderates && append.from != target.from => {
                Err(Refusal::NotAuthor(at))
            }
            Op::Edit | Op::Delete => Ok(None),
            Op::React if folding.is_some_and(|folding| folding.is_full(value, REACTIONS_MAX)) => {
                Err(Refusal::TooManyReactions(at))
            }
            Op::React => Ok(given.and_then(|given| self.entries.get(&given)).and_then(Stored::repeated)),
            Op::Unreact if given.is_none() => Err(Refusal::NoReaction(at)),
            Op::Unreact => Ok(None),
        }
    }

    /// Keeps what the reference at `offset` makes of its target. Returns how many bytes were erased.
    pub(super) fn fold(&mut self, append: &Append, reference: &Reference, offset: Offset) -> usize {
        let folding = self.folds.entry(reference.target).or_default();
        let mut erase = folding.apply(reference.op, offset, &append.payload.bytes, &append.from);
        erase.extend(Some(reference.target).filter(|_| reference.op == Op::Delete));
        let mut bytes = 0;
        for offset in erase {
            if let Some(stored) = self.entries.get_mut(&offset) {
                bytes += stored.publication.payload.bytes.len();
                stored.publication = Arc::new(stored.publication.erase());
            }
        }
        bytes
    }

    /// A message as readers of history see it.
    fn folded(&self, message: &Arc<Publication>) -> Arc<Publication> {
        let folding = message.position.and_then(|position| self.folds.get(&position.offset));
        let Some(folding) = folding else { return Arc::clone(message) };
        let edit = folding.edit().and_then(|edit| self.entries.get(&edit)).map(|edit| &edit.publication);
        Arc::new(message.folded(edit.unwrap_or(message).payload.clone(), folding.fold()))
    }

    /// The next entry, at the end of the log.
    pub(super) fn push(
        &mut self,
        append: &Append,
        epoch: Epoch,
        number: u64,
        now: Timestamp,
    ) -> (Appended, Arc<Publication>) {
        let position = Position { epoch, offset: self.head.offset.next() };
        let begins_epoch = self.epochs.last().is_none_or(|(newest, _)| *newest != epoch);
        if begins_epoch {
            self.epochs.push((epoch, position.offset));
        }
        self.head = position;
        self.ts = self.ts.max(now);

        let mut publication = Publication::new(append.channel.clone(), self.ts, append.payload.clone());
        publication.position = Some(position);
        publication.begins_epoch = begins_epoch;
        publication.from = append.from.clone();
        publication.key = append.key.clone();
        publication.role = append.role.clone();
        let publication = Arc::new(publication);
        let stored = Stored { number, publication: Arc::clone(&publication) };
        self.entries.insert(position.offset, stored);
        (Appended { position, begins_epoch, ts: self.ts, duplicate: false }, publication)
    }

    /// The oldest entry, if there are more than `bound`, which does not hold where only the newest are kept.
    pub(super) fn oldest_beyond(&self, bound: u64) -> Option<Offset> {
        let beyond = !self.compacted && self.entries.len() as u64 > bound;
        self.entries.first_key_value().filter(|_| beyond).map(|(offset, _)| *offset)
    }

    /// The entry at `offset`.
    pub(super) fn entry(&self, offset: Offset) -> Option<&Stored> {
        self.entries.get(&offset)
    }

    /// Takes the entry at `offset` away, before which there is none of its kind, and moves the floor behind it.
    pub(super) fn trim(&mut self, offset: Offset) -> Option<Stored> {
        let stored = self.entries.remove(&offset)?;
        if let Some(entry) = stored.publication.role.entry() {
            self.newest.remove(&entry.name);
        }
        self.folds.remove(&offset);
        self.floor = self.floor.max(offset.next());
        Some(stored)
    }

    /// Where it stands.
    pub(super) fn head(&self, window: Window) -> Head {
        let (tail, _) = self.page(self.entries.values().rev(), window, false);
        let tail = tail.into_iter().rev().collect();
        Head { position: self.head, floor: self.floor, tail }
    }

    /// The entries of a range.
    pub(super) fn read(&self, read: &Read) -> ReadResult {
        let lowest = if self.compacted { Offset(1) } else { self.floor };
        let (first, last) = (read.first.max(lowest), read.last.min(self.head.offset));
        if first > last {
            return ReadResult { entries: Vec::new(), covered: (first, first.prev()), floor: self.floor };
        }
        let range = self.entries.range(first..=last).map(|(_, stored)| stored);
        let (entries, covered) = match read.direction {
            Direction::Forward => {
                let (entries, beyond) = self.page(range, read.window, read.folded);
                (entries, (first, beyond.map_or(last, Offset::prev)))
            }
            Direction::Backward => {
                let (mut entries, beyond) = self.page(range.rev(), read.window, read.folded);
                entries.reverse();
                (entries, (beyond.map_or(first, Offset::next), last))
            }
        };
        ReadResult { entries, covered, floor: self.floor }
    }

    /// Whether `position` is a place in this log.
    pub(super) fn locate(&self, position: Position) -> Located {
        let Some(at) = self.epochs.iter().position(|(epoch, _)| *epoch == position.epoch) else {
            return Located::Parted { keep: None };
        };
        let first = self.epochs[at].1;
        let last = self.epochs.get(at + 1).map_or(self.head.offset, |(_, next)| next.prev());
        if (first..=last).contains(&position.offset) {
            Located::Held
        } else {
            Located::Parted { keep: Some(last.min(position.offset.prev())) }
        }
    }

    /// As many of the entries as the window holds, and the offset of the first one that it does not.
    fn page<'e>(
        &self,
        entries: impl Iterator<Item = &'e Stored>,
        window: Window,
        folded: bool,
    ) -> (Vec<Arc<Publication>>, Option<Offset>) {
        let looks =
            if folded { (window.entries.max(1) as usize).saturating_mul(FOLDED_LOOKS) } else { usize::MAX };
        let mut meter = Meter::new(window);
        let mut page = Vec::new();
        for (looked_at, Stored { publication, .. }) in entries.enumerate() {
            let beyond = publication.position.map(|position| position.offset);
            if looked_at >= looks {
                return (page, beyond);
            }
            if folded && publication.role.reference().is_some() {
                continue;
            }
            let entry = if folded { self.folded(publication) } else { Arc::clone(publication) };
            if !meter.admit(entry.cost()) {
                return (page, beyond);
            }
            page.push(entry);
        }
        (page, None)
    }
}
