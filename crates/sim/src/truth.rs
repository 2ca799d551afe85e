//! What a client may hold the server to: the log as it is, the limits of the run, and what has failed so far. Made by
//! the world for each look at what a client heard.

use trunkline_model::{ChannelName, Offset, Position, Publication, Timestamp};

use crate::store::{Log, TestStore};

/// The limits of a run, as far as clients feel them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The caps of the replay: entries and bytes.
    pub(crate) recover: (u64, usize),
    pub(crate) subscriptions: usize,
    pub(crate) page_bytes: usize,
    pub(crate) page_default: u64,
    pub(crate) keys_ms: u64,
}

/// What a client may hold the server to.
#[derive(Clone, Copy)]
pub(crate) struct Truth<'a> {
    pub(crate) store: &'a TestStore,
    pub(crate) rules: Rules,
    pub(crate) now: Timestamp,
}

impl<'a> Truth<'a> {
    /// Whether the store has held on to all that it has told this node: then what it holds now is the measure.
    pub(crate) fn is_steady(&self) -> bool {
        self.store.losses == 0
    }

    /// Whether this is, or was, a place of the log.
    pub(crate) fn was_place(&self, channel: &ChannelName, position: Position) -> bool {
        position.offset == Offset::ZERO || self.store.ever_at(channel, position).is_some()
    }

    /// Whether `entries` follow each other, and the place they follow: in the log as it is, or as it was before the store
    /// lost its end.
    pub(crate) fn follow<'e>(
        &self,
        channel: &ChannelName,
        from: Position,
        entries: impl IntoIterator<Item = &'e Publication>,
    ) -> bool {
        let mut at = from;
        entries.into_iter().all(|entry| {
            let Some(position) = entry.position else { return false };
            let known = self.store.ever_at(channel, position);
            let next = known.is_some_and(|(known, before)| {
                is_told_as(known, entry)
                    && (before.is_none() && at.offset == Offset::ZERO || before == Some(at))
            });
            at = position;
            next
        })
    }

    pub(crate) fn log(&self, channel: &ChannelName) -> &'a Log {
        self.store.log(channel)
    }
}

/// Whether this is what was stored, or what a deletion has left of it.
fn is_told_as(stored: &Publication, told: &Publication) -> bool {
    *stored == *told || told.erased && stored.erase() == *told
}
