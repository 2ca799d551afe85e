//! Entries of a `value` or a `map` that go by themselves: when their time is over, or when the session has ended that they
//! are bound to. A removal is a conditional publish of the hub's own, so that what has become something else meanwhile
//! stays.

use std::time::Duration;

use trunkline_model::{ChannelName, ClientId};

use super::publishing::Stored;
use super::{Context, Shard};
use crate::channel::Channel;
use crate::presence::Seat;
use crate::timers::Due;

impl Shard {
    /// Sees to it that the channel is looked at when its next entry goes.
    pub(super) fn watch_entries(&mut self, name: &ChannelName, cx: &mut Context<'_>) {
        let Some(log) = self.channels.get_mut(name).and_then(Channel::log_mut) else { return };
        let ended = log.ended.values().min().copied();
        let Some(latest) = log.hot.latest_mut() else { return };
        let expires = latest.next_expiry().map(|at| {
            let left = Duration::from_millis(at.0.saturating_sub(cx.now.ts.0));
            cx.now.uptime + left
        });
        let due = [expires, ended].into_iter().flatten().min().map(|at| {
            // If it is past, a removal is under way or has failed: again in a moment that does not move with each
            // publication.
            if at > cx.now.uptime { at } else { Duration::from_secs(cx.now.uptime.as_secs() + 1) }
        });
        cx.timers.set(&Due::Entries(name.clone()), due);
    }

    /// Removes the entries whose time is over.
    pub(crate) fn remove_entries(&mut self, name: &ChannelName, cx: &mut Context<'_>) {
        let Some(channel) = self.channels.get_mut(name) else { return };
        let Some(log) = channel.log_mut().filter(|log| !log.doubted) else { return };
        let now = cx.now;
        let Some(latest) = log.hot.latest_mut() else { return };
        let mut gone = latest.expired(now.ts);
        if log.ended.values().any(|at| *at <= now.uptime) {
            gone.extend(latest.owned(|client| log.ended.get(client).is_some_and(|at| *at <= now.uptime)));
            // Whose entries are all gone is forgotten; the others are looked at again until they are.
            log.ended.retain(|client, at| *at > now.uptime || latest.has_of(client));
        }
        for entry in gone {
            self.publish(Stored::removal(&entry), cx);
        }
        self.watch_entries(name, cx);
    }

    /// A connection of a session has ended. If it was the session's newest its entries go, unless it is back within the
    /// namespace's grace.
    pub(super) fn unbind(
        &mut self,
        name: &ChannelName,
        client: ClientId,
        (seat, binds): (Seat, bool),
        cx: &mut Context<'_>,
    ) {
        let Some(channel) = self.channels.get_mut(name) else { return };
        let at = cx.now.uptime + channel.namespace.grace;
        let Some(log) = channel.log_mut() else { return };
        if log.holders.get(&client).is_some_and(|holder| *holder != seat) {
            return;
        }
        log.holders.remove(&client);
        // What it has bound itself may still be under way.
        if binds || log.hot.latest_mut().is_some_and(|latest| latest.has_of(&client)) {
            log.ended.insert(client, at);
            self.watch_entries(name, cx);
        }
    }

    /// A session is here, by this connection: what was said of its end is taken back.
    pub(super) fn rebind(
        &mut self,
        name: &ChannelName,
        client: &ClientId,
        (seat, binds): (Seat, bool),
        cx: &mut Context<'_>,
    ) {
        let Some(log) = self.channels.get_mut(name).and_then(Channel::log_mut) else { return };
        let is_held = log.holders.contains_key(client) || log.ended.contains_key(client);
        if binds || is_held || log.hot.latest_mut().is_some_and(|latest| latest.has_of(client)) {
            log.holders.insert(client.clone(), seat);
        }
        if log.ended.remove(client).is_some() {
            self.watch_entries(name, cx);
        }
    }

    /// The channel was just opened, or read anew: nobody knows of the sessions that its entries are bound to.
    pub(super) fn unbind_all(&mut self, name: &ChannelName, cx: &mut Context<'_>) {
        let Some(channel) = self.channels.get_mut(name) else { return };
        let at = cx.now.uptime + channel.namespace.grace;
        let Some(log) = channel.log_mut() else { return };
        let Some(latest) = log.hot.latest_mut() else { return };
        let owners = latest.owned(|_| true);
        let owners = owners.iter().filter_map(|entry| entry.role.entry()?.owner.clone());
        log.ended.extend(owners.map(|owner| (owner, at)));
        self.watch_entries(name, cx);
    }
}
