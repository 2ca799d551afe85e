//! Sending out: what is applied goes to each interested worker as far as its queue has room, from memory or from the
//! store; what the store has beyond that is read.

use std::sync::Arc;

use trunkline_backend::{Direction, Read, ReadResult, StoreError, Window};
use trunkline_model::{ChannelName, Offset, Publication};

use super::{Context, Shard, StoreQuestion, Waiting};
use crate::answers::{busy, refuse_join};
use crate::channel::{Body, Channel, Fed};
use crate::ring::offset_of;

/// How much of a gap is read at once.
const GAP_WINDOW: Window = Window { entries: 1_000, bytes: 1 << 20 };

impl Shard {
    /// There is room again in the queue to `worker`.
    pub(crate) fn feed_behind(&mut self, worker: u16, cx: &mut Context<'_>) {
        if self.behind[usize::from(worker)].is_empty() || !cx.peers.may_broadcast(worker) {
            return;
        }
        for name in std::mem::take(&mut self.behind[usize::from(worker)]) {
            if let Some(channel) = self.channels.get_mut(&name) {
                channel.no_longer_behind(worker);
            }
            self.feed(&name, &[worker], cx);
        }
    }

    /// Applies and sends out the next entry; a later one makes the owner read what lies between.
    pub(super) fn deliver(
        &mut self,
        name: &ChannelName,
        publication: Arc<Publication>,
        cx: &mut Context<'_>,
    ) {
        let Some(channel) = self.channels.get_mut(name) else { return };
        let of_this_life =
            self.epoch.is_none() || publication.position.map(|position| position.epoch) == self.epoch;
        if let Some(log) = channel.log_mut() {
            if !of_this_life {
                // The store was opened again since. Whether this is in its log still, only the store can say.
                log.unsure = true;
                return;
            }
            log.told = log.told.max(offset_of(&publication));
        }
        let before = channel.weight();
        if channel.apply(publication, cx.now.uptime) {
            let after = channel.weight();
            self.feed_all(name, cx);
            self.weigh(before, after, cx);
        }
    }

    /// Reads what the store has beyond `applied`, if there is reason to believe that it has something.
    pub(super) fn catch_up(&mut self, name: &ChannelName, cx: &mut Context<'_>) {
        let Some(channel) = self.channels.get_mut(name) else { return };
        let Some(last) = channel.missing() else { return };
        let Some(log) = channel.log_mut() else { return };
        log.catching_up = true;
        log.unsure &= last.0 < u64::MAX;
        let (first, turn) = (log.applied.offset.next(), log.turn);
        self.ask_store(Waiting::CatchUp(name.clone(), turn), gap(name, first, last), cx);
    }

    pub(super) fn handle_caught_up(
        &mut self,
        (name, turn): (&ChannelName, u32),
        result: Result<ReadResult, StoreError>,
        cx: &mut Context<'_>,
    ) {
        let Some(channel) = self.channels.get_mut(name) else { return };
        let Some(log) = channel.log_mut() else { return };
        if log.turn != turn {
            return;
        }
        log.catching_up = false;
        let Ok(read) = result else {
            // The next publication, the next join from ahead, or the next tick tries again.
            log.unsure = true;
            self.lagging.push(name.clone());
            let parked = std::mem::take(&mut log.parked);
            let fault = busy("the store could not be read".to_owned());
            parked.into_iter().for_each(|join| refuse_join(join, fault.clone(), cx));
            return;
        };
        log.raise_floor(read.floor);
        if log.doubted {
            log.unsure = true;
            return;
        }
        let before = channel.weight();
        channel.take_missing(read.entries, cx.now.uptime);
        let after = channel.weight();
        let Some(log) = channel.log_mut() else { return };
        if log.applied.offset.next() < log.floor {
            // What comes next was trimmed before it could be read.
            let keep = Some(log.applied.offset);
            self.ask_turn(name, keep, cx);
            return;
        }
        self.watch_entries(name, cx);
        self.feed_all(name, cx);
        self.weigh(before, after, cx);
        self.catch_up(name, cx);
    }

    pub(super) fn handle_link_read(
        &mut self,
        (name, turn): (&ChannelName, u32),
        worker: u16,
        result: Result<ReadResult, StoreError>,
        cx: &mut Context<'_>,
    ) {
        let Some(channel) = self.channels.get_mut(name) else { return };
        let Some(log) = channel.log_mut() else { return };
        if log.turn != turn {
            return;
        }
        match result {
            Ok(read) => {
                log.raise_floor(read.floor);
                let entries = if log.doubted { Vec::new() } else { read.entries };
                channel.feed_read(worker, &entries, cx.peers, cx.out);
                self.feed(name, &[worker], cx);
            }
            Err(_) => {
                // It stays behind and is fed again with the next tick or publication.
                channel.feed_read(worker, &[], cx.peers, cx.out);
                self.unread.push((name.clone(), worker));
            }
        }
    }

    pub(super) fn feed_all(&mut self, name: &ChannelName, cx: &mut Context<'_>) {
        let Some(channel) = self.channels.get(name) else { return };
        let workers = channel.linked_workers();
        self.feed(name, &workers, cx);
    }

    /// Sends these workers what they have not been told yet, and looks again at what waited for that.
    pub(super) fn feed(&mut self, name: &ChannelName, workers: &[u16], cx: &mut Context<'_>) {
        for &worker in workers {
            let Some(channel) = self.channels.get_mut(name) else { return };
            match channel.feed(name, worker, cx.peers, cx.out) {
                Fed::All => {}
                Fed::NoRoom => {
                    if channel.falls_behind(worker) {
                        self.behind[usize::from(worker)].push(name.clone());
                    }
                }
                Fed::NeedsRead(first) => {
                    let Body::Log(log) = &channel.body else { continue };
                    let (last, turn) = (log.applied.offset, log.turn);
                    self.ask_store(Waiting::Link(name.clone(), worker, turn), gap(name, first, last), cx);
                }
            }
        }
        let Some(log) = self.channels.get_mut(name).and_then(Channel::log_mut) else { return };
        for join in std::mem::take(&mut log.parked) {
            self.advance_join(join, cx);
        }
    }
}

fn gap(name: &ChannelName, first: Offset, last: Offset) -> StoreQuestion {
    let (direction, window) = (Direction::Forward, GAP_WINDOW);
    StoreQuestion::Read(Read { channel: name.clone(), first, last, direction, window, folded: false })
}
