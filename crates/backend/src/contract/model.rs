//! What a store must do, in the fewest words: a `Vec` per channel and a map of keys. Written apart from
//! `MemoryStore`, so that the two can disagree.

use std::collections::BTreeMap;

use trunkline_model::{ChannelName, Epoch, Offset, Position, Publication, Timestamp};

use crate::{Append, Appended, Direction, Window};

/// The state that a store must appear to have.
#[derive(Default)]
pub(super) struct Model {
    logs: BTreeMap<ChannelName, Vec<Publication>>,
    keys: BTreeMap<ScopedKey, (Appended, u128)>,
    latest: Timestamp,
}

type ScopedKey = (ChannelName, String, String);

impl Model {
    /// Tells the time; it may go back.
    pub(super) fn clock_shows(&mut self, now: Timestamp) {
        self.latest = self.latest.max(now);
    }

    /// Whether the port says what becomes of `append`. If its key had expired before the clock went back,
    /// a store may have forgotten it or not.
    pub(super) fn is_settled(&self, append: &Append, now: Timestamp) -> bool {
        let expires = scoped_key(append).and_then(|key| self.keys.get(&key)).map(|(_, expires)| *expires);
        expires.is_none_or(|expires| expires > u128::from(self.latest.0) || expires <= u128::from(now.0))
    }

    pub(super) fn append(&mut self, append: &Append, epoch: Epoch, now: Timestamp) -> Appended {
        let key = scoped_key(append);
        if let Some((first, expires)) = key.as_ref().and_then(|key| self.keys.get(key))
            && u128::from(now.0) < *expires
        {
            return Appended { duplicate: true, ..*first };
        }
        let log = self.logs.entry(append.channel.clone()).or_default();
        let appended = Appended {
            position: Position { epoch, offset: Offset(log.len() as u64 + 1) },
            begins_epoch: log
                .iter()
                .all(|entry| entry.position.map(|position| position.epoch) != Some(epoch)),
            ts: log.iter().map(|entry| entry.ts).fold(now, Timestamp::max),
            duplicate: false,
        };
        log.push(super::asker::entry(append, &appended));
        if let Some(key) = key {
            self.keys.insert(key, (appended, u128::from(appended.ts.0) + append.keys.as_millis()));
        }
        appended
    }

    pub(super) fn head(&self, channel: &ChannelName, epoch: Epoch) -> Position {
        let newest = self.logs.get(channel).and_then(|log| log.last());
        newest.and_then(|entry| entry.position).unwrap_or(Position { epoch, offset: Offset::ZERO })
    }

    pub(super) fn read(
        &self,
        channel: &ChannelName,
        (first, last): (u64, u64),
        direction: Direction,
        window: Window,
    ) -> Vec<&Publication> {
        let within = |entry: &&Publication| {
            entry.position.is_some_and(|position| (first..=last).contains(&position.offset.0))
        };
        let mut candidates: Vec<&Publication> =
            self.logs.get(channel).into_iter().flatten().filter(within).collect();
        if direction == Direction::Backward {
            candidates.reverse();
        }
        let mut page = Vec::new();
        let mut cost = 0;
        for entry in candidates {
            cost += entry.cost();
            let full = page.len() as u64 >= u64::from(window.entries) || cost > window.bytes;
            if full && !page.is_empty() {
                break;
            }
            page.push(entry);
        }
        if direction == Direction::Backward {
            page.reverse();
        }
        page
    }
}

fn scoped_key(append: &Append) -> Option<ScopedKey> {
    let key = append.key.as_ref()?;
    Some((append.channel.clone(), append.publisher.as_str().to_owned(), key.as_str().to_owned()))
}
