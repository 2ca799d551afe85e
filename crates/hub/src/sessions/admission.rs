//! How a session begins: the door is asked who it is, and says so, or refuses. Later the token may be renewed, or its time
//! is over.
//!
//! ```text
//!   New ──first command──▶ Admitting ──Admitted──▶ Open ──refresh──▶ Open, and the door is asked ──Admitted / Refused──▶ Open
//!                              └──Refused──▶ closed   └──the token's time is over──▶ closed
//! ```

use std::sync::Arc;
use std::time::Duration;

use trunkline_model::close::{self, CloseReason};
use trunkline_model::{
    Action, Admitted, Capability, ChannelName, Command, CommandId, Connect, ErrorCode, Fault, Identity,
    Presented, Push, Reply, Secret, Start, Subscribe,
};

use super::{Sessions, reply_fault};
use crate::access::permit;
use crate::input::{Moment, SessionId};
use crate::output::Output;
use crate::session::{Asking, Phase};
use crate::shard::Context;
use crate::timers::Due;

impl Sessions {
    /// The first command of a session: the door is asked who it is.
    pub(super) fn ask_door(&mut self, id: SessionId, first: Command, cx: &mut Context<'_>) {
        let Some(session) = self.get_mut(id) else { return };
        let Phase::New(token) = &mut session.phase else { return };
        let shown = token.take();
        let presented = match &first.action {
            // What the client says is newer than what its handshake said.
            Action::Connect(connect) => {
                let token = connect.token.clone().or(shown);
                Presented { token, session: connect.session.clone(), channel: None }
            }
            _ => Presented { token: shown, ..Presented::default() },
        };
        session.phase = Phase::Admitting(Box::new(first));
        cx.out.push(Output::Admit { session: id, presented });
    }

    /// It is known who this is. It follows `channels` without having asked, but for those that it resumes itself.
    pub(crate) fn admitted(&mut self, id: SessionId, admitted: Admitted, cx: &mut Context<'_>) {
        let Some(session) = self.get_mut(id) else { return };
        match std::mem::replace(&mut session.phase, Phase::New(None)) {
            Phase::Admitting(first) => self.open(id, admitted, *first, cx),
            Phase::Open(identity) => {
                session.phase = Phase::Open(identity);
                let asking = session.asking.take();
                match asking.map(|asking| *asking) {
                    Some(Asking::Refresh(name)) => self.refreshed(id, name, admitted.identity, cx),
                    Some(Asking::Subscribe(name, subscribe)) => {
                        self.shown(id, name, subscribe, &admitted.identity, cx);
                    }
                    None => {}
                }
            }
            Phase::New(token) => session.phase = Phase::New(token),
        }
    }

    fn open(&mut self, id: SessionId, admitted: Admitted, first: Command, cx: &mut Context<'_>) {
        let Admitted { identity, channels } = admitted;
        self.set_expiry(id, &identity, cx);
        if let Some(session) = self.get_mut(id) {
            session.phase = Phase::Open(Box::new(identity.clone()));
        }
        match first.action {
            Action::Connect(connect) => {
                if identity.session.is_some() {
                    self.begin_line(id, identity.client.clone(), cx);
                }
                cx.out.push(Output::Reply { session: id, reply: self.welcome(first.id, identity, cx.now) });
                if let Some(name) = &connect.name {
                    self.names.insert(id, name.clone());
                }
                self.resume(id, connect, channels);
            }
            action => {
                let first = Command { id: first.id, action };
                if let Some(session) = self.get_mut(id) {
                    session.waiting.push_front(first);
                }
                self.resume(id, Connect::default(), channels);
            }
        }
        self.pump(id, cx);
    }

    /// The door does not let it in, or does not take its new token.
    pub(crate) fn refused(&mut self, id: SessionId, fault: Fault, cx: &mut Context<'_>) {
        let Some(session) = self.get_mut(id) else { return };
        match &session.phase {
            Phase::Admitting(first) => {
                let (name, reason) = (first.id.clone(), reason_for(fault.code));
                reply_fault(id, fault.answering(name), cx);
                cx.out.push(Output::Close { session: id, reason });
            }
            Phase::Open(_) => {
                match session.asking.take().map(|asking| *asking) {
                    Some(Asking::Refresh(name)) => reply_fault(id, fault.answering(name), cx),
                    Some(Asking::Subscribe(name, subscribe)) => {
                        reply_fault(id, fault.about(&subscribe.channel).answering(name), cx);
                    }
                    None => return,
                }
                self.pump(id, cx);
            }
            Phase::New(_) => {}
        }
    }

    /// The door is asked whether this token is still the session's.
    pub(super) fn refresh(
        &mut self,
        id: SessionId,
        name: Option<CommandId>,
        token: Secret,
        cx: &mut Context<'_>,
    ) {
        let Some(session) = self.get_mut(id) else { return };
        if session.asking.is_some() {
            let fault =
                Fault::new(ErrorCode::LimitExceeded, "one `refresh` is answered before the next is taken");
            reply_fault(id, fault.answering(name), cx);
            return;
        }
        session.asking = Some(Box::new(Asking::Refresh(name)));
        // Whom the token does not name is who it was.
        let secret = match &session.phase {
            Phase::Open(identity) => identity.session.clone(),
            Phase::New(_) | Phase::Admitting(_) => None,
        };
        cx.out.push(Output::Admit {
            session: id,
            presented: Presented { token: Some(token), session: secret, channel: None },
        });
    }

    fn refreshed(&mut self, id: SessionId, name: Option<CommandId>, renewed: Identity, cx: &mut Context<'_>) {
        let Some(session) = self.get_mut(id) else { return };
        let Phase::Open(identity) = &mut session.phase else { return };
        if renewed.user != identity.user || renewed.access.standing != identity.access.standing {
            let message = format!(
                "the token is not one of {}, whose session this is; connect anew as somebody else",
                identity.user.as_str()
            );
            reply_fault(id, Fault::new(ErrorCode::Forbidden, message).answering(name), cx);
            self.pump(id, cx);
            return;
        }
        let before = std::mem::replace(&mut identity.access, Arc::clone(&renewed.access));
        self.set_expiry(id, &renewed, cx);
        let expires = renewed.access.expires;
        cx.out.push(Output::Reply { session: id, reply: Reply::Refreshed { id: name, expires } });
        self.drop_forbidden(id, cx);
        self.drop_raised(id, cx);
        if before.info != renewed.access.info {
            self.inform(id, cx);
        }
        // A token for a subscription may have waited for its turn at the door.
        self.pump(id, cx);
    }

    /// What the session follows and may not follow any more ends.
    pub(super) fn drop_forbidden(&mut self, id: SessionId, cx: &mut Context<'_>) {
        let namespaces = Arc::clone(&self.namespaces);
        let Some(session) = self.get_mut(id) else { return };
        let denied = |channel: &ChannelName| {
            let (namespace, bearer) = (namespaces.of(channel)?, session.bearer(channel)?);
            permit(&bearer, namespace, channel, Capability::Subscribe).err()
        };
        let channels = session.subscriptions.iter().map(|subscription| &subscription.channel);
        let ended: Vec<_> =
            channels.filter_map(|channel| Some((channel.clone(), denied(channel)?))).collect();
        let unseen = |channel: &ChannelName| {
            let asked = namespaces.of(channel).zip(session.bearer(channel));
            asked.is_some_and(|(namespace, bearer)| {
                permit(&bearer, namespace, channel, Capability::Presence).is_err()
            })
        };
        let channels = session.subscriptions.iter().map(|subscription| &subscription.channel);
        let unseen: Vec<_> = channels.filter(|channel| unseen(channel)).cloned().collect();
        for channel in unseen {
            self.watchers.remove(&channel, id);
        }
        for (channel, Fault { code, message, retry, .. }) in ended {
            self.unsubscribe(id, &channel, cx);
            let push = Push::Unsubscribed { channel, code, message, retry };
            cx.out.push(Output::Push { session: id, push });
        }
    }

    fn set_expiry(&mut self, id: SessionId, identity: &Identity, cx: &mut Context<'_>) {
        let left = |at: trunkline_model::Timestamp| Duration::from_millis(at.0.saturating_sub(cx.now.ts.0));
        let at = identity.access.expires.map(|at| cx.now.uptime.saturating_add(left(at)));
        cx.timers.set(&Due::Expiry(id), at);
    }

    /// The time of the session's token is over, or that of saying something at all.
    pub(crate) fn expire(&mut self, id: SessionId, cx: &mut Context<'_>) {
        let reason = match self.get_mut(id).map(|session| &session.phase) {
            Some(Phase::New(_)) => close::INVALID_TOKEN,
            Some(Phase::Open(_)) => close::TOKEN_EXPIRED,
            // The door's answer says more.
            Some(Phase::Admitting(_)) | None => return,
        };
        cx.out.push(Output::Close { session: id, reason });
    }

    fn welcome(&self, id: Option<CommandId>, identity: Identity, now: Moment) -> Reply {
        let clients = self.peak as f64 * self.blocked.len() as f64;
        Reply::Welcome {
            id,
            identity,
            ping: self.limits.ping_interval,
            spread: Duration::from_secs_f64(clients / f64::from(self.limits.accept_rate.max(1))),
            ts: now.ts,
            message_size_max: self.namespaces.message_size_max(),
            subscriptions_max: self.limits.subscriptions,
        }
    }

    /// What `connect` resumes, and after it what the session is given, come before everything else.
    fn resume(&mut self, id: SessionId, connect: Connect, mut given: Vec<ChannelName>) {
        let Some(session) = self.get_mut(id) else { return };
        given.retain(|channel| connect.subscribe.iter().all(|asked| asked.channel != *channel));
        let given = given.into_iter().map(|channel| Subscribe::new(channel, Start::Next));
        let subscribe: Vec<_> = connect.subscribe.into_iter().chain(given).collect();
        session.one_by_one |= !subscribe.is_empty();
        for subscribe in subscribe.into_iter().rev() {
            session.waiting.push_front(Command { id: None, action: Action::Subscribe(subscribe) });
        }
    }
}

/// How a connection ends that is not let in.
fn reason_for(code: ErrorCode) -> CloseReason {
    match code {
        ErrorCode::TokenExpired => close::TOKEN_EXPIRED,
        ErrorCode::Unauthorized | ErrorCode::BadRequest => close::INVALID_TOKEN,
        ErrorCode::Forbidden => close::FORBIDDEN,
        ErrorCode::LimitExceeded => close::CONNECTION_LIMIT,
        // It may be let in later.
        _ => close::INTERNAL,
    }
}
