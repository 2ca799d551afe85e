//! What goes with a session: the owner of each `value` or `map` where it may have bound entries is told when it ends.
//! Entries may be there from an earlier connection of the session, so following a channel is enough to be in the list.

use trunkline_model::{ChannelName, ErrorCode, Fault, Kind};

use super::Sessions;
use crate::input::SessionId;
use crate::peer::Question;
use crate::session::{Phase, Session};
use crate::shard::Context;

/// A channel whose owner is told of the session's end.
#[derive(Debug)]
pub(super) struct Tie {
    channel: ChannelName,
    /// Whether it has bound an entry there itself; else it only follows.
    binds: bool,
}

impl Sessions {
    /// Notes that the session has entries in `channel` that are to go with it.
    pub(super) fn bind(&mut self, id: SessionId, channel: &ChannelName) -> Result<(), Fault> {
        if self.tie(id, channel, true) {
            return Ok(());
        }
        let message =
            format!("a session has bound entries in at most {} channels", self.limits.subscriptions);
        Err(Fault::new(ErrorCode::LimitExceeded, message))
    }

    /// Notes that the session follows `channel`, where its entries of an earlier connection may be.
    pub(super) fn follow(&mut self, id: SessionId, channel: &ChannelName) {
        let kind = self.namespaces.of(channel).map(|namespace| namespace.kind);
        if matches!(kind, Some(Kind::Value | Kind::Map)) {
            self.tie(id, channel, false);
        }
    }

    /// Of those that are only followed the oldest make room.
    fn tie(&mut self, id: SessionId, channel: &ChannelName, binds: bool) -> bool {
        let ties = self.ties.entry(id).or_default();
        if let Some(tie) = ties.iter_mut().find(|tie| tie.channel == *channel) {
            tie.binds |= binds;
            return true;
        }
        if ties.len() >= self.limits.subscriptions {
            let Some(oldest) = ties.iter().position(|tie| !tie.binds) else { return false };
            ties.remove(oldest);
        }
        ties.push(Tie { channel: channel.clone(), binds });
        true
    }

    /// The session has ended.
    pub(super) fn untie(&mut self, id: SessionId, session: Option<&Session>, cx: &mut Context<'_>) {
        let Some(ties) = self.ties.remove(&id) else { return };
        let Some(Session { phase: Phase::Open(identity), .. }) = session else { return };
        for Tie { channel, .. } in ties {
            let client = identity.client.clone();
            self.send_on(id, Question::Unbind { channel, client }, cx);
        }
    }
}
