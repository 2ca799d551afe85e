//! The heads of the channels that were written to lately, so that an append needs no lookup, and the number of the
//! newest row. Used by the writer alone.

use hashbrown::HashMap;
use rusqlite::{Connection, OptionalExtension as _};
use trunkline_model::{ChannelName, Epoch, Offset, Timestamp};

use crate::row;

/// Where a channel stands, as the writer last wrote or is about to write it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct KnownHead {
    /// The channel's number in the database.
    pub(crate) id: i64,
    /// Its namespace's number in the database.
    pub(crate) namespace: i64,
    /// The newest entry's offset.
    pub(crate) offset: Offset,
    /// The newest entry's epoch; `None` while there is no entry.
    pub(crate) epoch: Option<Epoch>,
    /// When the newest entry was stored.
    pub(crate) ts: Timestamp,
    /// Whether it is known to keep only the newest of each entry.
    pub(crate) compacted: bool,
    /// Whether the row in `channels` is behind this.
    pub(crate) touched: bool,
}

/// A bounded map in two generations: what is used moves to the young one; when that is full, the old one is
/// forgotten and the young one becomes old.
#[derive(Debug)]
pub(crate) struct Heads {
    young: HashMap<ChannelName, KnownHead>,
    old: HashMap<ChannelName, KnownHead>,
    generation: usize,
    last_row: i64,
}

impl Heads {
    /// Keeps at most `cap` heads, and those of one transaction on top. Rows are numbered from behind `last_row`.
    pub(crate) fn new(cap: usize, last_row: i64) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), generation: cap.div_ceil(2), last_row }
    }

    /// The number of the next row of `log`, higher than all before it. What a rollback leaves unused stays so.
    pub(crate) fn number_row(&mut self) -> i64 {
        self.last_row += 1;
        self.last_row
    }

    /// The head of `channel`, if it is known.
    pub(crate) fn get(&mut self, channel: &ChannelName) -> Option<&mut KnownHead> {
        if let Some((channel, head)) = self.old.remove_entry(channel) {
            self.young.insert(channel, head);
        }
        self.young.get_mut(channel)
    }

    /// Remembers a head.
    pub(crate) fn insert(&mut self, channel: ChannelName, head: KnownHead) {
        self.young.insert(channel, head);
    }

    /// Forgets the old generation if the young one is full. Only between transactions: within one, heads
    /// are known that are not yet written.
    pub(crate) fn age(&mut self) {
        if self.young.len() >= self.generation {
            self.old = std::mem::take(&mut self.young);
        }
    }

    /// Forgets all: after a rollback none of them can be trusted.
    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

/// Where a channel stands by the database, if it was ever written to.
pub(crate) fn find(connection: &Connection, channel: &ChannelName) -> rusqlite::Result<Option<KnownHead>> {
    connection
        .prepare_cached("SELECT id, head, epoch, ts, namespace, compacted FROM channels WHERE name = ?1")?
        .query_row([channel.as_str()], |found| {
            Ok(KnownHead {
                id: found.get(0)?,
                offset: Offset(row::unsigned(found, 1)?),
                epoch: Some(row::epoch(found, 2)?),
                ts: Timestamp(row::unsigned(found, 3)?),
                namespace: found.get(4)?,
                compacted: found.get(5)?,
                touched: false,
            })
        })
        .optional()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str) -> ChannelName {
        ChannelName::parse(name).expect("a valid name")
    }

    fn head(id: i64) -> KnownHead {
        KnownHead {
            id,
            namespace: 1,
            offset: Offset(1),
            epoch: None,
            ts: Timestamp(0),
            compacted: false,
            touched: false,
        }
    }

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let mut heads = Heads::new(4, 0);
        for (id, name) in ["a", "b"].into_iter().enumerate() {
            heads.insert(channel(name), head(id as i64));
        }
        heads.age();
        assert!(heads.get(&channel("a")).is_some(), "the old generation is still known");
        heads.insert(channel("c"), head(3));
        heads.age();
        heads.insert(channel("d"), head(4));
        let known = |heads: &mut Heads, name| heads.get(&channel(name)).map(|head| head.id);
        assert_eq!(known(&mut heads, "a"), Some(0));
        assert_eq!(known(&mut heads, "b"), None);
        assert_eq!(known(&mut heads, "c"), Some(3));
        heads.clear();
        assert_eq!(known(&mut heads, "a"), None);
    }
}
