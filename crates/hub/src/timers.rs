//! What is to be looked at when: one moment for each thing that waits for one. Not a clock; the hub says what time it is.

use std::collections::BTreeSet;
use std::hash::Hash;
use std::time::Duration;

use hashbrown::HashMap;
use trunkline_model::ChannelName;

use crate::input::SessionId;

/// What waits for a moment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Due {
    /// At its owner: something is to be told of the channel's presence, or somebody is gone.
    Presence(ChannelName),
    /// At the session's worker: it may be given the list of all members that it missed.
    Members(ChannelName, SessionId),
    /// At the session's worker: its subscription may be told again.
    Paced(ChannelName, SessionId),
    /// At its owner: an entry of the channel is to be removed.
    Entries(ChannelName),
    /// At the session's worker: the time of its token is over.
    Expiry(SessionId),
    /// At the session's worker: the time of the token of its subscription is over.
    Lapse(ChannelName, SessionId),
    /// At the session's worker: this call of the application has taken too long.
    Call(u64),
}

/// Things and the uptime at which each is due, at most one moment each.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    set: HashMap<T, Duration>,
    ordered: BTreeSet<(Duration, T)>,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self { set: HashMap::new(), ordered: BTreeSet::new() }
    }
}

impl<T: Clone + Ord + Hash> Timers<T> {
    /// From now on `what` is due at `at`, or never; what was set before is forgotten.
    pub(crate) fn set(&mut self, what: &T, at: Option<Duration>) {
        if self.set.get(what).copied() == at {
            return;
        }
        let before = match at {
            Some(at) => self.set.insert(what.clone(), at),
            None => self.set.remove(what),
        };
        if let Some(before) = before {
            self.ordered.remove(&(before, what.clone()));
        }
        if let Some(at) = at {
            self.ordered.insert((at, what.clone()));
        }
    }

    /// The first moment at which something is due.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.ordered.first().map(|(at, _)| *at)
    }

    /// Takes what is due at `now`, the earliest first.
    pub(crate) fn take_due(&mut self, now: Duration) -> Option<T> {
        if self.next()? > now {
            return None;
        }
        let (_, what) = self.ordered.pop_first()?;
        self.set.remove(&what);
        Some(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn each_thing_comes_once_at_its_last_moment_and_in_order() {
        let mut timers = Timers::default();
        assert_eq!((timers.next(), timers.take_due(ms(1_000))), (None, None));
        for (what, at) in [("a", 30), ("b", 10), ("c", 20), ("a", 5), ("b", 40)] {
            timers.set(&what, Some(ms(at)));
        }
        assert_eq!(timers.next(), Some(ms(5)));
        assert_eq!(timers.take_due(ms(4)), None);
        assert_eq!(timers.take_due(ms(5)), Some("a"));
        timers.set(&"c", None);
        timers.set(&"d", Some(ms(50)));
        assert_eq!(timers.take_due(ms(100)), Some("b"), "`c` was taken back");
        assert_eq!(timers.take_due(ms(100)), Some("d"));
        assert_eq!((timers.next(), timers.take_due(ms(100))), (None, None));
    }
}
