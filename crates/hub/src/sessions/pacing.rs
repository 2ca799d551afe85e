//! Subscriptions to a `value` or a `map` that want to hear of it only so often (`maxRate`). The same as being slow, with a
//! timer: after a publication one keeps its place, and when its time has come joins again from there and is given what is
//! newest.

use std::time::Duration;

use hashbrown::HashMap;
use trunkline_model::{ChannelName, Kind, Namespace, Position};

use super::Sessions;
use crate::input::SessionId;
use crate::peer::Missing;
use crate::session::{Place, Subscription};
use crate::shard::Context;
use crate::timers::Due;

/// The subscriptions of a worker that are told only so often, and how often.
#[derive(Debug, Default)]
pub(super) struct Paced(HashMap<ChannelName, HashMap<SessionId, Duration>>);

impl Paced {
    fn interval(&self, channel: &ChannelName, id: SessionId) -> Option<Duration> {
        self.0.get(channel)?.get(&id).copied()
    }

    /// Whether anyone's subscription to `channel` is.
    pub(super) fn has(&self, channel: &ChannelName) -> bool {
        !self.0.is_empty() && self.0.contains_key(channel)
    }

    fn remove(&mut self, channel: &ChannelName, id: SessionId) -> bool {
        let Some(sessions) = self.0.get_mut(channel) else { return false };
        let removed = sessions.remove(&id).is_some();
        if sessions.is_empty() {
            self.0.remove(channel);
        }
        removed
    }
}

impl Sessions {
    /// A subscription has begun that wants, or by its namespace is, to be told once in so long at most.
    pub(super) fn pace(
        &mut self,
        id: SessionId,
        channel: &ChannelName,
        asked: Option<Duration>,
        namespace: &Namespace,
        cx: &mut Context<'_>,
    ) {
        self.unpace(id, channel, cx);
        let interval = asked.max(namespace.max_rate.map(|rate| rate.interval));
        let skips = matches!(namespace.kind, Kind::Value | Kind::Map);
        if let Some(interval) = interval.filter(|_| skips) {
            self.paced.0.entry(channel.clone()).or_default().insert(id, interval);
        }
    }

    /// A subscription is over.
    pub(super) fn unpace(&mut self, id: SessionId, channel: &ChannelName, cx: &mut Context<'_>) {
        if self.paced.remove(channel, id) {
            cx.timers.set(&Due::Paced(channel.clone(), id), None);
        }
    }

    /// The subscribers of the worker have just been given the publication at `position`; those that are paced step aside.
    pub(super) fn rest_paced(&mut self, channel: &ChannelName, position: Position, cx: &mut Context<'_>) {
        let Some(paced) = self.paced.0.get(channel) else { return };
        let mut sessions: Vec<_> = paced.keys().copied().collect();
        sessions.sort_unstable_by_key(|id| id.index);
        for id in sessions {
            self.rest(id, channel, position, cx);
        }
    }

    /// The subscription, if it is live and paced, has been given what is newest up to `position`: it is told nothing for
    /// its time.
    pub(super) fn rest(
        &mut self,
        id: SessionId,
        channel: &ChannelName,
        position: Position,
        cx: &mut Context<'_>,
    ) {
        let Some(interval) = self.paced.interval(channel, id) else { return };
        let subscription = self.get_mut(id).and_then(|session| session.subscription_mut(channel));
        let Some(Subscription { place, .. }) = subscription else { return };
        let Place::Live { slot, .. } = *place else { return };
        *place = Place::Paced(Missing::After(position));
        // It stays on its way in, so that the channel is not given up meanwhile.
        self.locals.joining(channel);
        self.leave_slot(channel, slot, cx);
        cx.timers.set(&Due::Paced(channel.clone(), id), Some(cx.now.uptime + interval));
    }

    /// Its time has come.
    pub(crate) fn pace_due(&mut self, channel: &ChannelName, id: SessionId, cx: &mut Context<'_>) {
        let Some(session) = self.get_mut(id) else { return };
        let Some(subscription) = session.subscription_mut(channel) else { return };
        let Place::Paced(missing) = subscription.place else { return };
        subscription.place = Place::Behind(missing);
        session.has_lagged = true;
        self.await_room(id, cx);
    }

    /// The interval of a rate that a client asks for, in times per second.
    pub(super) fn interval_of(per_second: Option<u32>) -> Option<Duration> {
        per_second.map(|count| Duration::from_secs(1) / count.max(1))
    }
}
