//! Whether the log is still the one that was known: a store that was opened again may have lost the end of it. Then its
//! subscribers are told where the two part, before anything newer.
//!
//! ```text
//!   the store has a new epoch ──▶ doubted ──Locate(applied)──▶ held ──▶ as if nothing had been
//!                                                          └─▶ parted ──Head──▶ another turn of the log
//! ```

use trunkline_backend::{Head, Located, StoreError};
use trunkline_model::{ChannelName, Epoch, Offset};

use super::{Context, Known, Shard, StoreQuestion, Waiting};
use crate::channel::{Body, Channel};

/// So many lives of the store are remembered: more than it can begin while one answer is under way.
const EPOCHS_MAX: usize = 16;

impl Shard {
    /// Takes note of the life that the store is in now.
    pub(crate) fn handle_epoch(&mut self, epoch: Epoch, cx: &mut Context<'_>) {
        if self.epoch == Some(epoch) {
            return;
        }
        let Some(before) = self.epoch.replace(epoch) else { return };
        self.epochs_before.push_front(before);
        self.epochs_before.truncate(EPOCHS_MAX);
        let mut names: Vec<_> = self.channels.keys().cloned().collect();
        names.sort_unstable();
        for name in names {
            self.doubt(&name, cx);
        }
    }

    /// Takes note of the life that an entry was just stored in. Its answer may be here before the store was asked, or
    /// after, if it is of the life before.
    pub(super) fn notice_epoch(&mut self, epoch: Epoch, cx: &mut Context<'_>) {
        if !self.epochs_before.contains(&epoch) {
            self.handle_epoch(epoch, cx);
        }
    }

    /// Asks the store whether it still holds what is applied.
    pub(super) fn doubt(&mut self, name: &ChannelName, cx: &mut Context<'_>) {
        let Some(channel) = self.channels.get_mut(name) else { return };
        match &mut channel.body {
            Body::Log(log) => {
                log.doubted = true;
                // What was told of the life before may be gone, and another's may stand in its place.
                log.told = log.applied.offset;
                log.unsure = true;
                let question = StoreQuestion::Locate(name.clone(), log.applied);
                let known = (log.turn, self.epoch);
                self.ask_store(Waiting::Doubt(name.clone(), known), question, cx);
            }
            // A head of the life before is noticed when it comes.
            Body::Opening(_) | Body::Signal => {}
        }
    }

    pub(super) fn handle_doubt(
        &mut self,
        (name, known): (&ChannelName, Known),
        result: Result<Located, StoreError>,
        cx: &mut Context<'_>,
    ) {
        if self.is_stale(name, known, cx) {
            return;
        }
        let Some(channel) = self.channels.get_mut(name) else { return };
        let Some(log) = channel.log_mut() else { return };
        match result {
            // What comes next is trimmed, so it cannot just go on.
            Ok(Located::Held) if log.applied.offset.next() < log.floor => {
                let keep = Some(log.applied.offset);
                self.ask_turn(name, keep, cx);
            }
            Ok(Located::Held) => {
                channel.trust();
                self.watch_entries(name, cx);
                self.feed_all(name, cx);
                self.catch_up(name, cx);
            }
            Ok(Located::Parted { keep }) => self.ask_turn(name, keep, cx),
            Err(_) => self.doubted.push(name.clone()),
        }
    }

    /// Asks for the head of the log as it is now; what is known of it is right up to `keep`.
    pub(super) fn ask_turn(&mut self, name: &ChannelName, keep: Option<Offset>, cx: &mut Context<'_>) {
        let Some(channel) = self.channels.get_mut(name) else { return };
        let window = channel.head_window();
        let Some(log) = channel.log_mut() else { return };
        log.doubted = true;
        // What was told of before is of the log that is no more.
        log.told = Offset::ZERO;
        let waiting = Waiting::Turn(name.clone(), keep, (log.turn, self.epoch));
        self.ask_store(waiting, StoreQuestion::Head(name.clone(), window), cx);
    }

    pub(super) fn handle_turn(
        &mut self,
        (name, known): (&ChannelName, Known),
        keep: Option<Offset>,
        result: Result<Head, StoreError>,
        cx: &mut Context<'_>,
    ) {
        if self.is_stale(name, known, cx) {
            return;
        }
        let Ok(head) = result else {
            self.doubted.push(name.clone());
            return;
        };
        let Some(channel) = self.channels.get_mut(name) else { return };
        let Some(head) = channel.answered(head) else {
            self.doubted.push(name.clone());
            return;
        };
        let applied = channel.log_mut().map(|log| log.applied.offset);
        if keep < applied {
            tracing::warn!(channel = %name, ?keep, head = ?head.position, "the store has lost the end of a log");
        }
        channel.turn(head, keep, cx.now.uptime);
        let weight = channel.weight();
        self.watch_entries(name, cx);
        self.feed_all(name, cx);
        self.weigh(0, weight, cx);
        self.catch_up(name, cx);
    }

    /// Whether the store was asked too long ago for its word to count. Then it is asked again, if it is not already.
    fn is_stale(&mut self, name: &ChannelName, (turn, epoch): Known, cx: &mut Context<'_>) -> bool {
        let Some(log) = self.channels.get_mut(name).and_then(Channel::log_mut) else { return true };
        let turned = log.turn != turn;
        if epoch == self.epoch && turned {
            self.doubt(name, cx);
        }
        epoch != self.epoch || turned
    }
}
