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
    pub(super) fn follow(&mut self, id: SessionId, channel: &ChannelName, cx: &mut Context<'_>) {
        let kind = self.namespaces.of(channel).map(|namespace| namespace.kind);
        if !matches!(kind, Some(Kind::Value | Kind::Map)) {
            return;
        }
        self.tie(id, channel, false);
        let ties = self.ties.get(&id).map_or(&[][..], Vec::as_slice);
        if ties.iter().filter(|tie| !tie.binds).count() <= self.limits.subscriptions {
            return;
        }
        // As many as it may follow are there, so one of them it does not follow any more.
        let followed: Vec<_> = ties.iter().filter(|tie| !tie.binds).map(|tie| tie.channel.clone()).collect();
        let Some(session) = self.get_mut(id) else { return };
        let Phase::Open(identity) = &session.phase else { return };
        let client = identity.client.clone();
        let left =
            followed.into_iter().find(|tied| tied != channel && session.subscription_mut(tied).is_none());
        if let (Some(left), Some(ties)) = (left, self.ties.get_mut(&id)) {
            ties.retain(|tie| tie.channel != left);
            self.send_on(id, Question::Unbind { channel: left, client }, cx);
        }
    }

    /// Of those that are bound there are only so many.
    fn tie(&mut self, id: SessionId, channel: &ChannelName, binds: bool) -> bool {
        let max = self.limits.subscriptions;
        let ties = self.ties.entry(id).or_default();
        let bound = ties.iter().filter(|tie| tie.binds).count();
        let known = ties.iter_mut().find(|tie| tie.channel == *channel);
        if binds && bound >= max && known.as_ref().is_none_or(|tie| !tie.binds) {
            return false;
        }
        match known {
            Some(tie) => tie.binds |= binds,
            None => ties.push(Tie { channel: channel.clone(), binds }),
        }
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
