//! Tokens for one channel, which come with a `subscribe`: the door opens each, what it allows lasts as long as the
//! subscription, and ends it when its time is over. The rules are those of `access`.

use std::time::Duration;

use trunkline_model::{
    ChannelName, Command, CommandId, ErrorCode, Fault, Identity, Offset, Presented, Push, Recovery, Reply,
    Standing, Start, Subscribe, Subscribed, Timestamp,
};

use super::{Outcome, Sessions, reply_fault};
use crate::input::SessionId;
use crate::output::Output;
use crate::pass::Pass;
use crate::peer::Missing;
use crate::session::{Asking, Phase, Place};
use crate::shard::Context;
use crate::timers::Due;

/// What a `subscribe` with a token is to the subscription that the session has.
enum Renewal {
    /// Another one begins.
    No,
    /// It renews it, when it is where it is to go on from.
    NotYet,
    /// It renews it.
    Now,
}

impl Sessions {
    /// The door is asked what the token of a `subscribe` allows. The session's later commands wait for its answer.
    pub(super) fn show(
        &mut self,
        id: SessionId,
        name: Option<CommandId>,
        subscribe: Subscribe,
        cx: &mut Context<'_>,
    ) -> Outcome {
        let is_early = matches!(self.renewal(id, &subscribe, None), Renewal::NotYet);
        let Some(session) = self.get_mut(id) else { return Outcome::Done };
        // One question to the door at a time, so that its answers are known.
        if is_early || session.asking.is_some() {
            return Outcome::Joining(subscribe_again(name, subscribe));
        }
        let Phase::Open(identity) = &session.phase else { return Outcome::Done };
        let presented = Presented {
            token: subscribe.token.clone(),
            session: identity.session.clone(),
            channel: Some(subscribe.channel.clone()),
        };
        session.asking = Some(Box::new(Asking::Subscribe(name, subscribe)));
        cx.out.push(Output::Admit { session: id, presented });
        Outcome::Done
    }

    /// The door says whose token it is and what it allows.
    pub(super) fn shown(
        &mut self,
        id: SessionId,
        name: Option<CommandId>,
        subscribe: Subscribe,
        bearer: &Identity,
        cx: &mut Context<'_>,
    ) {
        match self.pass(id, &subscribe.channel, bearer) {
            Ok(pass) => match self.renewal(id, &subscribe, Some(&pass)) {
                Renewal::No => {
                    let outcome = self.join(id, name, subscribe, Some(Box::new(pass)), cx);
                    self.put_back(id, outcome, cx);
                }
                Renewal::NotYet => {
                    self.put_back(id, Outcome::Joining(subscribe_again(name, subscribe)), cx);
                }
                Renewal::Now => self.renew(id, name, &subscribe.channel, pass, cx),
            },
            Err(fault) => reply_fault(id, fault.about(&subscribe.channel).answering(name), cx),
        }
        self.pump(id, cx);
    }

    /// What the token allows there; who shows another's, or one for other channels, is told so.
    fn pass(&mut self, id: SessionId, channel: &ChannelName, bearer: &Identity) -> Result<Pass, Fault> {
        let forbidden = |message| Err(Fault::new(ErrorCode::Forbidden, message));
        let Some(Phase::Open(identity)) = self.get_mut(id).map(|session| &session.phase) else {
            return forbidden("the session has ended".to_owned());
        };
        let is_own = identity.access.standing == Standing::User && identity.user == bearer.user;
        if bearer.access.standing == Standing::User && !is_own {
            let user = identity.user.as_str();
            return forbidden(format!("the token is not one of {user}, whose session this is"));
        }
        Pass::of(&bearer.access, channel).map_or_else(
            || {
                forbidden(format!(
                    "the token says nothing of {channel}; one with \"channel\":\"{channel}\" would"
                ))
            },
            Ok,
        )
    }

    /// Whether a `subscribe` that asks for nothing else brings a token (`pass`, if that is known already) for what there is.
    fn renewal(&mut self, id: SessionId, subscribe: &Subscribe, pass: Option<&Pass>) -> Renewal {
        let Subscribe { start, presence, state, rate_max, .. } = subscribe;
        if (*start, *presence, state.is_some(), *rate_max) != (Start::Next, false, false, None) {
            return Renewal::No;
        }
        let subscription = self.get_mut(id).and_then(|session| session.subscription_mut(&subscribe.channel));
        let Some(subscription) = subscription else { return Renewal::No };
        let Some(before) = &subscription.pass else { return Renewal::No };
        if pass.is_some_and(|pass| !pass.allows_as(before)) {
            return Renewal::No;
        }
        match subscription.place {
            Place::Live { .. } | Place::Paced(Missing::After(_)) => Renewal::Now,
            Place::Joining(_) | Place::Behind(_) | Place::Paced(_) | Place::Resuming(_) => Renewal::NotYet,
        }
    }

    /// The subscription goes on under another token: nothing comes twice, and nothing is left out.
    fn renew(
        &mut self,
        id: SessionId,
        name: Option<CommandId>,
        channel: &ChannelName,
        mut pass: Pass,
        cx: &mut Context<'_>,
    ) {
        let applied = self.locals.subscribed_mut(channel).and_then(|local| local.applied);
        let expires = pass.expires;
        let subscription = self.get_mut(id).and_then(|session| session.subscription_mut(channel));
        let Some(subscription) = subscription else { return };
        let position = match subscription.place {
            Place::Paced(Missing::After(position)) => Some(position),
            _ => applied,
        };
        let floor = subscription.pass.as_ref().map_or(Offset::ZERO, |before| before.told_floor);
        pass.told_floor = floor;
        subscription.pass = Some(Box::new(pass));
        self.set_lapse(id, channel, expires, cx);
        let Some(kind) = self.namespaces.of(channel).map(|namespace| namespace.kind) else { return };
        let subscribed = Box::new(Subscribed {
            id: name,
            channel: channel.clone(),
            kind,
            position,
            floor,
            recovery: Recovery::NotAsked,
            items: None,
            entries: None,
            presence: None,
            can: self.capabilities(id, channel),
        });
        cx.out.push(Output::Reply { session: id, reply: Reply::Subscribed(subscribed) });
    }

    /// The subscription lasts as long as its token, if it has one.
    pub(super) fn set_lapse(
        &mut self,
        id: SessionId,
        channel: &ChannelName,
        expires: Option<Timestamp>,
        cx: &mut Context<'_>,
    ) {
        let left = |at: Timestamp| Duration::from_millis(at.0.saturating_sub(cx.now.ts.0));
        let at = expires.map(|at| cx.now.uptime.saturating_add(left(at)));
        cx.timers.set(&Due::Lapse(channel.clone(), id), at);
    }

    /// The time of a subscription's token is over.
    pub(crate) fn lapse(&mut self, id: SessionId, channel: &ChannelName, cx: &mut Context<'_>) {
        let Some(session) = self.get_mut(id) else { return };
        if session.subscription_mut(channel).is_none_or(|subscription| subscription.pass.is_none()) {
            return;
        }
        self.unsubscribe(id, channel, cx);
        let push = Push::Unsubscribed {
            channel: channel.clone(),
            code: ErrorCode::TokenExpired,
            message: "the token of this subscription has expired; subscribe again with another".to_owned(),
            retry: None,
        };
        cx.out.push(Output::Push { session: id, push });
    }

    /// What the client was told of where the channel's past begins, if it may be told again.
    pub(super) fn note_floor(&mut self, id: SessionId, channel: &ChannelName, floor: Offset) {
        let subscription = self.get_mut(id).and_then(|session| session.subscription_mut(channel));
        if let Some(pass) = subscription.and_then(|subscription| subscription.pass.as_mut()) {
            pass.told_floor = floor;
        }
    }
}

fn subscribe_again(id: Option<CommandId>, subscribe: Subscribe) -> Command {
    Command { id, action: trunkline_model::Action::Subscribe(subscribe) }
}
