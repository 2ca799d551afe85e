//! Presence at the sessions' worker: what a subscriber is to the others, what it may ask of them, and who of this worker
//! is told of them. Who is there is known to the channel's owner.

use std::sync::Arc;

use trunkline_model::{
    Action, Capability, ChannelName, Command, CommandId, Member, PresenceMode, PresenceQuery, PresenceUpdate,
    Push, Subscribe,
};

use super::{Outcome, Sessions, reply_fault};
use crate::access::Bearer;
use crate::checks::{check_presence, namespace_of};
use crate::input::SessionId;
use crate::output::Output;
use crate::pass::Pass;
use crate::peer::{Entering, Question};
use crate::presence::time_for;
use crate::session::{Place, Subscription};
use crate::shard::Context;
use crate::timers::Due;

impl Sessions {
    /// What the session is to the others in the channel, if it has presence.
    pub(super) fn entering(
        &mut self,
        id: SessionId,
        subscribe: &Subscribe,
        pass: Option<&Pass>,
    ) -> Option<Box<Entering>> {
        if !self.has_presence(&subscribe.channel) {
            return None;
        }
        let name = self.names.get(&id).cloned();
        let bearer = Bearer { pass, ..self.get_mut(id)?.bearer(&subscribe.channel)? };
        let (client, user) = (bearer.identity.client.clone(), bearer.identity.user.clone());
        let member =
            Member { client, user, name, info: bearer.info().cloned(), state: subscribe.state.clone() };
        Some(Box::new(Entering { member, watches: subscribe.presence }))
    }

    fn has_presence(&self, channel: &ChannelName) -> bool {
        self.namespaces.of(channel).is_some_and(|namespace| namespace.presence != PresenceMode::Off)
    }

    /// The token was renewed and says something else of the user: others see that where the session is a member.
    pub(super) fn inform(&mut self, id: SessionId, cx: &mut Context<'_>) {
        let Some(session) = self.get_mut(id) else { return };
        // What a subscription's own token says is as it was.
        let is_shown = |subscription: &&mut Subscription| {
            subscription.pass.as_ref().is_none_or(|pass| pass.info.is_none())
        };
        let mut channels = Vec::new();
        for subscription in session.subscriptions.iter_mut().filter(is_shown) {
            match subscription.place {
                Place::Joining(_) => subscription.is_shown_late = true,
                _ => channels.push(subscription.channel.clone()),
            }
        }
        for channel in channels {
            self.inform_owner(id, channel, cx);
        }
    }

    /// It is a member now, perhaps shown as it was before its token was renewed.
    pub(super) fn inform_late(&mut self, id: SessionId, channel: &ChannelName, cx: &mut Context<'_>) {
        let subscription = self.get_mut(id).and_then(|session| session.subscription_mut(channel));
        if subscription.is_some_and(|found| std::mem::take(&mut found.is_shown_late)) {
            self.inform_owner(id, channel.clone(), cx);
        }
    }

    fn inform_owner(&mut self, id: SessionId, channel: ChannelName, cx: &mut Context<'_>) {
        if !self.has_presence(&channel) {
            return;
        }
        let Some(session) = self.get_mut(id) else { return };
        let info = session.bearer(&channel).and_then(|bearer| bearer.info().cloned());
        // It counts among the commands that wait for their answer, so that there are only so many.
        session.in_flight += 1;
        self.send_on(id, Question::Inform { channel, info }, cx);
    }

    /// A subscription is over: the session is told no more of the channel, and holds no member there.
    pub(super) fn departs(
        &mut self,
        session: SessionId,
        channel: &ChannelName,
        generation: u32,
        cx: &mut Context<'_>,
    ) {
        if self.has_presence(channel) {
            self.watchers.remove(channel, session);
            self.send_on(session, Question::Depart { channel: channel.clone(), generation }, cx);
        }
    }

    /// Does as [`Sessions::departs`] for a subscription that is no longer the session's.
    pub(super) fn departs_if_over(
        &mut self,
        session: SessionId,
        channel: &ChannelName,
        generation: u32,
        cx: &mut Context<'_>,
    ) {
        let current = self.get_mut(session).and_then(|found| found.subscription_mut(channel));
        if current.is_none_or(|current| current.generation != generation) && self.has_presence(channel) {
            self.send_on(session, Question::Depart { channel: channel.clone(), generation }, cx);
        }
    }

    /// Asks for all members, or says something about the session's own.
    pub(super) fn presence(
        &mut self,
        id: SessionId,
        name: Option<CommandId>,
        query: PresenceQuery,
        cx: &mut Context<'_>,
    ) -> Outcome {
        let owner = cx.peers.owner_of(&query.channel);
        if !cx.peers.may_ask(owner) {
            return Outcome::NoRoom(owner, Command { id: name, action: Action::Presence(query) });
        }
        let place = self.get_mut(id).and_then(|session| session.subscription_mut(&query.channel));
        let is_subscriber = place.is_some();
        if let Some(Subscription { place: Place::Joining(_), .. }) = place
            && query.state.is_some()
        {
            return Outcome::Joining(Command { id: name, action: Action::Presence(query) });
        }
        let namespaces = Arc::clone(&self.namespaces);
        let checked = namespace_of(&namespaces, &query.channel).and_then(|namespace| {
            // A subscriber may always say something of itself.
            if query.state.is_none() {
                self.permit(id, namespace, &query.channel, Capability::Presence)?;
            }
            check_presence(&query, is_subscriber, namespace, &self.limits)
        });
        match checked {
            Ok(()) => self.ask(id, name, owner, Question::Presence(query), cx),
            Err(fault) => reply_fault(id, fault.about(&query.channel).answering(name), cx),
        }
        Outcome::Done
    }

    /// The owner says what has changed.
    pub(super) fn tell_watchers(&mut self, update: Arc<PresenceUpdate>, cx: &mut Context<'_>) {
        if let Some(sessions) = self.watchers.told(&update.channel) {
            cx.out.push(Output::Present { update, sessions });
        }
    }

    /// The outbox had no room for what has changed: the session is given all members when there is.
    pub(crate) fn presence_missed(&mut self, id: SessionId, channel: ChannelName, cx: &mut Context<'_>) {
        match self.watchers.miss(&channel, id) {
            Some(at) if at > cx.now.uptime => cx.timers.set(&Due::Members(channel, id), Some(at)),
            Some(_) => self.await_room(id, cx),
            None => {}
        }
    }

    /// The session may be given what it missed, as far as its time is concerned.
    pub(crate) fn members_due(&mut self, id: SessionId, cx: &mut Context<'_>) {
        self.await_room(id, cx);
    }

    /// There is room in the outbox.
    pub(super) fn ask_for_members(&mut self, id: SessionId, cx: &mut Context<'_>) {
        for channel in self.watchers.take_missed(id, cx.now.uptime) {
            self.send_on(id, Question::Members(channel), cx);
        }
    }

    /// The owner says who is there.
    pub(super) fn give_members(
        &mut self,
        session: SessionId,
        update: Arc<PresenceUpdate>,
        cx: &mut Context<'_>,
    ) {
        let list_at = cx.now.uptime + time_for(update.cost(), self.limits.presence_bytes_per_second);
        if self.watchers.catch_up(&update.channel, session, list_at) {
            cx.out.push(Output::Push { session, push: Push::Presence(update) });
        }
    }
}
