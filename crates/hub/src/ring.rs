//! The hot ring: the newest entries of a channel in memory, without a hole. Bounded in entries and bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use trunkline_backend::{Direction, Window};
use trunkline_model::{Offset, Publication};

/// The newest entries of one channel. `push` takes them in offset order; the oldest make room.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    entries: VecDeque<Arc<Publication>>,
    bytes: usize,
}

impl Ring {
    /// Appends the next entry and lets the oldest go while there are more than `caps` allows. An entry
    /// that does not continue the ring starts it anew.
    pub(crate) fn push(&mut self, publication: Arc<Publication>, caps: Window) {
        if self.last().is_some_and(|last| last.next() != offset_of(&publication)) {
            self.entries.clear();
            self.bytes = 0;
        }
        self.bytes += publication.cost();
        self.entries.push_back(publication);
        while self.entries.len() > 1
            && (self.entries.len() > caps.entries as usize || self.bytes > caps.bytes)
        {
            let oldest = self.entries.pop_front().expect("more than one entry");
            self.bytes -= oldest.cost();
        }
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
        let mut ring = Ring::default();
        for offset in offsets {
            ring.push(entry(offset), Window { entries, bytes: 1 << 20 });
        }
        ring
    }

    fn offsets(entries: Option<Vec<Arc<Publication>>>) -> Option<Vec<u64>> {
        entries.map(|entries| entries.iter().map(|e| offset_of(e).0).collect())
    }

    #[test]
    fn keeps_the_newest_within_both_caps() {
        let by_count = ring(1..=9, 4);
        assert_eq!((by_count.first(), by_count.last()), (Some(Offset(6)), Some(Offset(9))));
        let mut by_bytes = Ring::default();
        for offset in 1..=9 {
            by_bytes.push(entry(offset), Window { entries: 100, bytes: 250 });
        }
        assert_eq!(by_bytes.first(), Some(Offset(8)));
        let mut one = Ring::default();
        one.push(entry(1), Window { entries: 100, bytes: 1 });
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
        ring.push(entry(7), Window { entries: 10, bytes: 1 << 20 });
        assert_eq!((ring.first(), ring.last()), (Some(Offset(7)), Some(Offset(7))));
    }
}
