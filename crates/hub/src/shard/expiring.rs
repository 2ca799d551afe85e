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

/// How long a channel's removals wait at least until they are tried again.
const RETRY_MIN: Duration = Duration::from_secs(1);

/// How long they wait at most, where the store refuses them again and again.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// How many are tried at once.
const REMOVED_AT_ONCE: usize = 512;

/// When removals that are under way, or have failed, may be tried again: twice as long after each time that failed.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Retry {
    at: Duration,
    pause: Duration,
    /// How many the store has not answered yet.
    pending: usize,
}

impl Retry {
    /// They are tried now.
    fn begin(&mut self, now: Duration, count: usize) {
        self.pending = count;
        self.pause = (self.pause * 2).clamp(RETRY_MIN, RETRY_MAX);
        self.at = now + self.pause;
    }

    /// The store has answered one. When it has taken the last, others may follow at once.
    pub(super) fn handle_answer(&mut self, is_stored: bool, now: Duration) {
        self.pending = self.pending.saturating_sub(1);
        if is_stored {
            self.pause = Duration::ZERO;
            if self.pending == 0 {
                self.at = now;
            }
        }
    }
}

impl Shard {
    /// Sees to it that the channel is looked at when its next entry goes.
    pub(super) fn watch_entries(&mut self, name: &ChannelName, cx: &mut Context<'_>) {
        let Some(log) = self.channels.get_mut(name).and_then(Channel::log_mut) else { return };
        let (ended, retry) = (log.ended.values().min().copied(), log.removing.at);
        let Some(latest) = log.hot.latest_mut() else { return };
        let expires = latest.next_expiry().map(|at| {
            let left = Duration::from_millis(at.0.saturating_sub(cx.now.ts.0));
            cx.now.uptime + left
        });
        let due = [expires, ended].into_iter().flatten().min();
        // If it is past, a removal may be under way or have failed.
        let due = due.map(|at| if at > cx.now.uptime { at } else { retry.max(cx.now.uptime) });
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
        gone.truncate(REMOVED_AT_ONCE);
        if !gone.is_empty() {
            log.removing.begin(now.uptime, gone.len());
        }
        for entry in gone {
            self.publish(Stored::removal(&entry), cx);
        }
        self.watch_entries(name, cx);
    }

    /// A connection of a session has ended. If it was the session's newest its entries go, unless it is back within the
    /// namespace's grace.
    pub(super) fn unbind(&mut self, name: &ChannelName, client: ClientId, seat: Seat, cx: &mut Context<'_>) {
        let Some(channel) = self.channels.get_mut(name) else { return };
        let (at, appending) = (cx.now.uptime + channel.namespace.grace, channel.appending);
        let Some(log) = channel.log_mut() else { return };
        if log.holders.get(&client).is_some_and(|holder| *holder != seat) {
            return;
        }
        log.holders.remove(&client);
        // What it has bound may still be under way. If it is for longer than `at`, `Log::push` sees to it.
        if appending > 0 || log.hot.latest_mut().is_some_and(|latest| latest.has_of(&client)) {
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
}
