//! Who of a worker is told of the presence of which channel. Not who is there; that is `presence`, at the channel's owner.
//! Held by `Sessions`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use trunkline_model::ChannelName;

use crate::SessionId;

/// channel → the sessions of this worker that asked to be told who is there.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    watched: HashMap<ChannelName, BTreeMap<SessionId, Watcher>>,
    /// Of which channels a session missed a change.
    missed: HashMap<SessionId, Vec<ChannelName>>,
}

/// One session that is told of one channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Watcher {
    lag: Lag,
    /// It is given no list of all members before.
    list_at: Duration,
}

/// Whether a session has been told everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Lag {
    #[default]
    None,
    /// It missed a change, and is told nothing until it is given all members.
    Missed,
    /// These are asked for.
    Asked,
}

impl Watchers {
    /// The session has just been told who is there, and is to be told what changes.
    pub(crate) fn add(&mut self, channel: &ChannelName, session: SessionId) {
        self.watched.entry(channel.clone()).or_default().insert(session, Watcher::default());
    }

    /// The session is told no more.
    pub(crate) fn remove(&mut self, channel: &ChannelName, session: SessionId) {
        let Some(watchers) = self.watched.get_mut(channel) else { return };
        watchers.remove(&session);
        if watchers.is_empty() {
            self.watched.remove(channel);
        }
        self.forget_missed(channel, session);
    }

    /// Who is told of a change now. Those who missed an earlier one are not.
    pub(crate) fn told(&self, channel: &ChannelName) -> Option<Arc<Vec<SessionId>>> {
        let up_to_date = |(session, watcher): (&SessionId, &Watcher)| match watcher.lag {
            Lag::None => Some(*session),
            Lag::Missed | Lag::Asked => None,
        };
        let told: Vec<_> = self.watched.get(channel)?.iter().filter_map(up_to_date).collect();
        (!told.is_empty()).then(|| Arc::new(told))
    }

    /// The session had no room for a change. Says from when on it may be given all members instead.
    pub(crate) fn miss(&mut self, channel: &ChannelName, session: SessionId) -> Option<Duration> {
        let watcher = self.watched.get_mut(channel)?.get_mut(&session)?;
        if watcher.lag != Lag::None {
            return None;
        }
        watcher.lag = Lag::Missed;
        self.missed.entry(session).or_default().push(channel.clone());
        Some(watcher.list_at)
    }

    /// The channels whose members the session may be given now. They count as asked for.
    pub(crate) fn take_missed(&mut self, session: SessionId, now: Duration) -> Vec<ChannelName> {
        let mut due = Vec::new();
        for channel in self.missed.get(&session).into_iter().flatten() {
            let watcher = self.watched.get_mut(channel).and_then(|watchers| watchers.get_mut(&session));
            if let Some(watcher) = watcher.filter(|found| found.lag == Lag::Missed && found.list_at <= now) {
                watcher.lag = Lag::Asked;
                due.push(channel.clone());
            }
        }
        due
    }

    /// The session is given all members; what it misses after that it is given from `list_at` on. `false` if it does
    /// not wait for them any more.
    pub(crate) fn catch_up(&mut self, channel: &ChannelName, session: SessionId, list_at: Duration) -> bool {
        let watcher = self.watched.get_mut(channel).and_then(|watchers| watchers.get_mut(&session));
        let Some(watcher) = watcher.filter(|watcher| watcher.lag == Lag::Asked) else { return false };
        *watcher = Watcher { lag: Lag::None, list_at };
        self.forget_missed(channel, session);
        true
    }

    fn forget_missed(&mut self, channel: &ChannelName, session: SessionId) {
        let Some(missed) = self.missed.get_mut(&session) else { return };
        missed.retain(|name| name != channel);
        if missed.is_empty() {
            self.missed.remove(&session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_missed_something_is_told_nothing_until_given_all() {
        let (mut watchers, second) = (Watchers::default(), Duration::from_secs(1));
        let channel = ChannelName::parse("chat:a").expect("a name");
        let [ann, bob] = [0, 1].map(|index| SessionId { index, generation: 1 });
        assert_eq!(watchers.told(&channel), None);
        watchers.add(&channel, ann);
        watchers.add(&channel, bob);
        assert_eq!(watchers.told(&channel), Some(Arc::new(vec![ann, bob])));
        assert_eq!(watchers.miss(&channel, ann), Some(Duration::ZERO));
        assert_eq!(watchers.miss(&channel, ann), None, "once is enough");
        assert_eq!(watchers.told(&channel), Some(Arc::new(vec![bob])));
        assert!(!watchers.catch_up(&channel, ann, second), "nobody has asked");
        assert_eq!(watchers.take_missed(ann, Duration::ZERO), vec![channel.clone()]);
        assert_eq!(watchers.take_missed(ann, Duration::ZERO), vec![], "it is on its way");
        assert!(watchers.catch_up(&channel, ann, second));
        assert_eq!(watchers.told(&channel), Some(Arc::new(vec![ann, bob])));
        assert_eq!(watchers.miss(&channel, ann), Some(second));
        assert_eq!(watchers.take_missed(ann, Duration::ZERO), vec![], "not before its time");
        assert_eq!(watchers.take_missed(ann, second), vec![channel.clone()]);
        watchers.remove(&channel, ann);
        assert!(!watchers.catch_up(&channel, ann, second), "it is gone");
        watchers.remove(&channel, bob);
        assert!(watchers.watched.is_empty() && watchers.missed.is_empty());
    }
}
