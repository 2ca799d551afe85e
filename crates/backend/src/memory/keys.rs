//! The keys that a [`MemoryLog`](super::MemoryLog) remembers, and what they stand for.

use std::collections::VecDeque;

use hashbrown::HashMap;
use trunkline_model::{ChannelName, Key, Publisher, Timestamp};

use crate::Appended;

/// Keys until they expire.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    known: HashMap<KeyScope, Remembered>,
    /// In the order in which they were stored, to forget a few of them with each append.
    forgetting: VecDeque<KeyScope>,
}

/// What a key is unique within, and the key.
pub(super) type KeyScope = (ChannelName, Publisher, Key);

#[derive(Clone, Copy, Debug)]
struct Remembered {
    first: Appended,
    expires: Timestamp,
}

impl Keys {
    /// What was stored under `scope`, if that is still remembered at `now`.
    pub(super) fn get(&self, scope: &KeyScope, now: Timestamp) -> Option<Appended> {
        let known = self.known.get(scope).filter(|known| now < known.expires)?;
        Some(Appended { duplicate: true, ..known.first })
    }

    /// Remembers it until `expires`. Looks at two older ones as well, so that expired ones go in step with new ones and
    /// no append ever waits for a sweep.
    pub(super) fn insert(&mut self, scope: KeyScope, first: Appended, expires: Timestamp, now: Timestamp) {
        self.forget_some(now);
        if self.known.insert(scope.clone(), Remembered { first, expires }).is_none() {
            self.forgetting.push_back(scope);
        }
    }

    fn forget_some(&mut self, now: Timestamp) {
        for _ in 0..2 {
            let Some(scope) = self.forgetting.pop_front() else { return };
            if self.known.get(&scope).is_some_and(|known| now < known.expires) {
                self.forgetting.push_back(scope);
            } else {
                self.known.remove(&scope);
            }
        }
    }
}
