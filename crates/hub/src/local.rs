//! The subscribers of one channel at one worker: a dense list to fan out over, and the count of those on
//! their way in.

use std::sync::Arc;

use hashbrown::HashMap;
use trunkline_model::{ChannelName, Position};

use crate::SessionId;

/// One channel's subscribers at this worker.
#[derive(Debug, Default)]
pub(crate) struct Local {
    /// Who they are. Shared with deliveries under way; copied only if it changes meanwhile.
    pub(crate) sessions: Arc<Vec<SessionId>>,
    /// The last place that came from the owner; the next broadcast is the one after it.
    pub(crate) applied: Option<Position>,
    /// Joins that were asked and not answered.
    joining: u32,
}

/// channel → its subscribers at this worker, while there are any or some are joining.
#[derive(Debug, Default)]
pub(crate) struct Locals(HashMap<ChannelName, Local>);

impl Locals {
    /// How many subscribers there are.
    pub(crate) fn count(&self) -> usize {
        self.0.values().map(|local| local.sessions.len()).sum()
    }

    /// A join was asked of the owner.
    pub(crate) fn joining(&mut self, channel: &ChannelName) {
        self.0.entry(channel.clone()).or_default().joining += 1;
    }

    /// A join was answered.
    pub(crate) fn joined(&mut self, channel: &ChannelName) {
        if let Some(local) = self.0.get_mut(channel) {
            local.joining = local.joining.saturating_sub(1);
        }
    }

    /// The channel's list, if there is anyone on it.
    pub(crate) fn subscribed_mut(&mut self, channel: &ChannelName) -> Option<&mut Local> {
        self.0.get_mut(channel).filter(|local| !local.sessions.is_empty())
    }

    /// Adds `session`, which knows everything up to `applied`, and says at which place it stands.
    pub(crate) fn add(
        &mut self,
        channel: &ChannelName,
        session: SessionId,
        applied: Option<Position>,
    ) -> u32 {
        let local = self.0.entry(channel.clone()).or_default();
        debug_assert!(
            local.sessions.is_empty() || local.applied == applied,
            "a join and the broadcasts before it come through one queue"
        );
        local.applied = applied;
        let sessions = Arc::make_mut(&mut local.sessions);
        sessions.push(session);
        u32::try_from(sessions.len() - 1).expect("fewer than 2^32 sessions per worker")
    }

    /// Removes the session at `slot`; gives the session that now stands there, if any.
    pub(crate) fn remove(&mut self, channel: &ChannelName, slot: u32) -> Option<SessionId> {
        let local = self.0.get_mut(channel)?;
        let sessions = Arc::make_mut(&mut local.sessions);
        sessions.swap_remove(slot as usize);
        sessions.get(slot as usize).copied()
    }

    /// Takes everyone off the channel's list.
    pub(crate) fn take_sessions(&mut self, channel: &ChannelName) -> Arc<Vec<SessionId>> {
        self.0.get_mut(channel).map(|local| std::mem::take(&mut local.sessions)).unwrap_or_default()
    }

    /// Whether the channel is listed though nobody follows it and nobody is on the way.
    pub(crate) fn is_unused(&self, channel: &ChannelName) -> bool {
        self.0.get(channel).is_some_and(|local| local.sessions.is_empty() && local.joining == 0)
    }

    /// Takes the channel off the list.
    pub(crate) fn drop_unused(&mut self, channel: &ChannelName) {
        if self.is_unused(channel) {
            self.0.remove(channel);
        }
    }
}
