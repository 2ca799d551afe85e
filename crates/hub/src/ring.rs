//! The hot ring: the newest entries of a channel in memory, without a hole. Bounded in entries and bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use trunkline_backend::{Direction, FOLDED_LOOKS, Meter, Window};
use trunkline_model::{Offset, Op, Publication, Reference};

/// The newest entries of one channel. `push` takes them in offset order; the oldest make room.
#[derive(Debug)]
pub(crate) struct Ring {
    entries: VecDeque<Arc<Publication>>,
    bytes: usize,
    caps: Window,
    /// What they take in memory.
    weight: usize,
    /// How many of them are references.
    references: usize,
}

impl Ring {
    /// A ring without entries, that holds as many as `caps` allows, and at least one.
    pub(crate) fn new(caps: Window) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, caps, weight: 0, references: 0 }
    }

    /// Appends the next entry and lets the oldest go while there are more than the caps allow. An entry
    /// that does not continue the ring starts it anew.
    pub(crate) fn push(&mut self, publication: Arc<Publication>) {
        let caps = self.caps;
        if self.last().is_some_and(|last| last.next() != offset_of(&publication)) {
            self.entries.clear();
            (self.bytes, self.weight, self.references) = (0, 0, 0);
        }
        if let Some(Reference { target, op: Op::Delete }) = publication.role.reference() {
            self.erase(*target);
        }
        self.bytes += publication.cost();
        self.weight += publication.weight();
        self.references += usize::from(publication.role.reference().is_some());
        self.entries.push_back(publication);
        while self.entries.len() > 1
            && (self.entries.len() > caps.entries as usize || self.bytes > caps.bytes)
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.entries.pop_front() else { return };
        self.bytes -= oldest.cost();
        self.weight -= oldest.weight();
        self.references -= usize::from(oldest.role.reference().is_some());
    }

    /// What its entries take in memory.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    /// Lets the oldest go until the others take no more than `weight`; nothing may be left.
    pub(crate) fn shrink(&mut self, weight: usize) {
        while self.weight > weight {
            self.forget_oldest();
        }
        self.entries.shrink_to_fit();
    }

    /// Lets go of the payloads of the message at `target` and of its edits, as the store did.
    fn erase(&mut self, target: Offset) {
        let (mut bytes, mut weight) = (0, 0);
        for entry in &mut self.entries {
            let edits = entry
                .role
                .reference()
                .is_some_and(|reference| *reference == Reference { target, op: Op::Edit });
            if edits || offset_of(entry) == target {
                let erased = entry.erase();
                bytes += entry.cost() - erased.cost();
                weight += entry.weight() - erased.weight();
                *entry = Arc::new(erased);
            }
        }
        self.bytes -= bytes;
        self.weight -= weight;
    }

    /// The offset of the oldest entry.
    pub(crate) fn first(&self) -> Option<Offset> {
        self.entries.front().map(|entry| offset_of(entry))
    }

    /// The offset of the newest entry.
    pub(crate) fn last(&self) -> Option<Offset> {
        self.entries.back().map(|entry| offset_of(entry))
    }

    /// The entry at `offset`.
    pub(crate) fn get(&self, offset: Offset) -> Option<&Arc<Publication>> {
        let index = offset.0.checked_sub(self.first()?.0)?;
        self.entries.get(usize::try_from(index).ok()?)
    }

    /// All entries of `first..=last`, ascending, if the ring holds every one of them.
    pub(crate) fn range(&self, first: Offset, last: Offset) -> Option<Vec<Arc<Publication>>> {
        if first > last {
            return Some(Vec::new());
        }
        self.get(last)?;
        self.get(first)?;
        let start = usize::try_from(first.0 - self.first()?.0).ok()?;
        let count = usize::try_from(last.since(first)).ok()? + 1;
        Some(self.entries.iter().skip(start).take(count).cloned().collect())
    }

    /// What a store would answer to a read of `first..=last`, if the ring can tell.
    pub(crate) fn read(
        &self,
        first: Offset,
        last: Offset,
        direction: Direction,
        window: Window,
    ) -> Option<Vec<Arc<Publication>>> {
        if first > last {
            return Some(Vec::new());
        }
        let mut taken = Vec::new();
        let mut bytes = 0;
        let mut at = match direction {
            Direction::Forward => first,
            Direction::Backward => last,
        };
        while taken.len() < window.entries as usize && (first..=last).contains(&at) {
            let entry = self.get(at)?;
            bytes += entry.cost();
            if bytes > window.bytes && !taken.is_empty() {
                break;
            }
            taken.push(Arc::clone(entry));
            at = match direction {
                Direction::Forward => at.next(),
                Direction::Backward if at.0 == 0 => break,
                Direction::Backward => at.prev(),
            };
        }
        if direction == Direction::Backward {
            taken.reverse();
        }
        Some(taken)
    }

    /// What a store would answer to a folded read of `first..=last`, and the range that it covers, if the ring can tell.
    /// What refers to a message comes after it, so the ring holds it if it holds the message.
    pub(crate) fn read_folded(
        &self,
        first: Offset,
        last: Offset,
        direction: Direction,
        window: Window,
    ) -> Option<Folded> {
        if self.references == 0 || window.entries == 0 {
            let items = self.read(first, last, direction, window)?;
            return Some(Folded::dense(items, first, last, direction));
        }
        let mut meter = Meter::new(window);
        let mut items = Vec::new();
        let (mut lo, mut hi) = match direction {
            Direction::Forward => (first, first.prev()),
            Direction::Backward => (last.next(), last),
        };
        // As far as the entry before the first message that does not fit.
        for _ in 0..(window.entries as usize).saturating_mul(FOLDED_LOOKS) {
            let at = if direction == Direction::Forward { hi.next() } else { lo.prev() };
            if !(first.max(Offset(1))..=last).contains(&at) {
                break;
            }
            let entry = self.get(at)?;
            if entry.role.reference().is_none() {
                let item = self.folded(entry);
                if !meter.admit(item.cost()) {
                    break;
                }
                items.push(item);
            }
            if direction == Direction::Forward { hi = at } else { lo = at }
        }
        if direction == Direction::Backward {
            items.reverse();
        }
        Some(Folded { items, lo, hi })
    }

    /// The message with what the ring's references have made of it.
    fn folded(&self, message: &Arc<Publication>) -> Arc<Publication> {
        let target = Some(offset_of(message));
        let about = |entry: &&Arc<Publication>| entry.role.reference().map(|about| about.target) == target;
        let mut references = self.entries.iter().filter(about).peekable();
        if references.peek().is_none() {
            return Arc::clone(message);
        }
        let mut folded = message.copy();
        references.for_each(|reference| folded.fold(reference));
        Arc::new(folded)
    }
}

/// Messages as a reader of history sees them.
#[derive(Debug)]
pub(crate) struct Folded {
    /// Ascending.
    pub(crate) items: Vec<Arc<Publication>>,
    /// The first offset that they are all of; one more than `hi` if that is nothing.
    pub(crate) lo: Offset,
    /// The last.
    pub(crate) hi: Offset,
}

impl Folded {
    /// `items` are entries without a hole, from the end of `first..=last` that `direction` says.
    fn dense(items: Vec<Arc<Publication>>, first: Offset, last: Offset, direction: Direction) -> Self {
        let (lo, hi) = match (items.first(), items.last(), direction) {
            (Some(lowest), Some(highest), _) => (offset_of(lowest), offset_of(highest)),
            (_, _, Direction::Forward) => (first, first.prev()),
            (_, _, Direction::Backward) => (last.next(), last),
        };
        Self { items, lo, hi }
    }
}

/// The offset of a publication of a log.
pub(crate) fn offset_of(publication: &Publication) -> Offset {
    publication.position.map_or(Offset::ZERO, |position| position.offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_model::{ChannelName, Epoch, Form, Payload, Position, Timestamp};

    fn entry(offset: u64) -> Arc<Publication> {
        let channel = ChannelName::parse("chat:x").expect("a name");
        let payload = Payload::new(Form::Text, "x".repeat(36));
        let mut publication = Publication::new(channel, Timestamp(0), payload);
        publication.position = Some(Position { epoch: Epoch::from_random(1), offset: Offset(offset) });
        Arc::new(publication)
    }

    fn ring(offsets: std::ops::RangeInclusive<u64>, entries: u32) -> Ring {
        let mut ring = Ring::new(Window { entries, bytes: 1 << 20 });
        offsets.for_each(|offset| ring.push(entry(offset)));
        ring
    }

    fn offsets(entries: Option<Vec<Arc<Publication>>>) -> Option<Vec<u64>> {
        entries.map(|entries| entries.iter().map(|e| offset_of(e).0).collect())
    }

    #[test]
    fn keeps_the_newest_within_both_caps() {
        let by_count = ring(1..=9, 4);
        assert_eq!((by_count.first(), by_count.last()), (Some(Offset(6)), Some(Offset(9))));
        let mut by_bytes = Ring::new(Window { entries: 100, bytes: 250 });
        (1..=9).for_each(|offset| by_bytes.push(entry(offset)));
        assert_eq!(by_bytes.first(), Some(Offset(8)));
        let mut one = Ring::new(Window { entries: 100, bytes: 1 });
        one.push(entry(1));
        assert_eq!(one.first(), Some(Offset(1)), "at least one entry stays");
    }

    #[test]
    fn ranges_are_whole_or_nothing() {
        let ring = ring(1..=9, 4);
        assert_eq!(offsets(ring.range(Offset(6), Offset(9))), Some(vec![6, 7, 8, 9]));
        assert_eq!(offsets(ring.range(Offset(7), Offset(8))), Some(vec![7, 8]));
        assert_eq!(offsets(ring.range(Offset(5), Offset(9))), None);
        assert_eq!(offsets(ring.range(Offset(9), Offset(10))), None);
        assert_eq!(offsets(ring.range(Offset(10), Offset(9))), Some(vec![]));
    }

    #[test]
    fn reads_as_a_store_would_or_says_that_it_cannot() {
        let ring = ring(1..=9, 4);
        let read = |first, last, direction, entries, bytes| {
            offsets(ring.read(Offset(first), Offset(last), direction, Window { entries, bytes }))
        };
        assert_eq!(read(1, 9, Direction::Backward, 3, 1 << 20), Some(vec![7, 8, 9]));
        assert_eq!(read(1, 9, Direction::Backward, 5, 1 << 20), None);
        assert_eq!(read(1, 9, Direction::Backward, 9, 250), Some(vec![8, 9]));
        assert_eq!(read(7, 9, Direction::Forward, 2, 1 << 20), Some(vec![7, 8]));
        assert_eq!(read(1, 9, Direction::Forward, 2, 1 << 20), None);
        assert_eq!(read(9, 9, Direction::Forward, 2, 1), Some(vec![9]));
    }

    #[test]
    fn an_entry_after_a_hole_starts_anew() {
        let mut ring = ring(1..=3, 10);
        ring.push(entry(7));
        assert_eq!((ring.first(), ring.last()), (Some(Offset(7)), Some(Offset(7))));
    }
}
