//! The presence of the channels that this worker owns: who is let in becomes a member, and what changes goes to the
//! workers that have somebody to tell.

use std::sync::Arc;

use hashbrown::HashMap;
use trunkline_model::{
    ChannelName, CommandId, ErrorCode, Fault, Limits, Members, Namespace, Payload, PresenceMode,
    PresenceQuery, PresenceUpdate, Reply,
};

use super::{Context, Shard};
use crate::answers::answer;
use crate::join::Join;
use crate::peer::{Entering, Tell};
use crate::presence::{Full, Presence, Rules, Seat};
use crate::timers::Due;

/// Who is in which channel, where somebody is.
#[derive(Debug)]
pub(crate) struct Presences {
    limits: Arc<Limits>,
    present: HashMap<ChannelName, Presence>,
}

impl Presences {
    pub(super) fn new(limits: Arc<Limits>) -> Self {
        Self { limits, present: HashMap::new() }
    }

    /// Whether somebody is there, or has just been.
    pub(super) fn is_present(&self, channel: &ChannelName) -> bool {
        self.present.contains_key(channel)
    }

    /// The session that is about to be let in becomes a member, if it is to be one; and what it is told of the others is
    /// noted with the join.
    pub(super) fn enter(
        &mut self,
        namespace: &Namespace,
        join: &mut Join,
        cx: &mut Context<'_>,
    ) -> Result<(), Fault> {
        let Some(entering) = join.entering.take() else { return Ok(()) };
        let (name, limits) = (&join.channel, &self.limits);
        let new = || Presence::new(Rules::of(namespace, limits), cx.now.uptime);
        let presence = self.present.entry(name.clone()).or_insert_with(new);
        let Entering { member, watches } = *entering;
        let seat = Seat { worker: join.worker, session: join.session };
        let entered = presence.enter(member, seat, join.generation, watches);
        if watches && entered.is_ok() {
            join.present = Some(presence.all(name));
        }
        self.look_again(name, cx);
        entered.map_err(|Full(members)| {
            let message =
                format!("{name} has {members} members, as many as its namespace's `limits.members` allows");
            Fault::new(ErrorCode::LimitExceeded, message)
        })
    }

    fn leave(&mut self, name: &ChannelName, seat: Seat, generation: u32, cx: &mut Context<'_>) {
        if let Some(presence) = self.present.get_mut(name) {
            presence.leave(cx.now.uptime, seat, generation);
            self.look_again(name, cx);
        }
    }

    fn all(&mut self, name: &ChannelName, mode: PresenceMode) -> Arc<PresenceUpdate> {
        if let Some(presence) = self.present.get_mut(name) {
            return presence.all(name);
        }
        let nobody = if mode == PresenceMode::Full { Members::All(Vec::new()) } else { Members::Untold };
        Arc::new(PresenceUpdate::new(name.clone(), 0, nobody))
    }

    fn set_state(
        &mut self,
        name: &ChannelName,
        seat: Seat,
        state: Payload,
        cx: &mut Context<'_>,
    ) -> Result<Arc<PresenceUpdate>, Fault> {
        let set = self.present.get_mut(name).and_then(|presence| presence.set_state(name, seat, state));
        self.look_again(name, cx);
        set.ok_or_else(|| {
            let message = format!("`state` is that of a subscriber, and this session does not follow {name}");
            Fault::new(ErrorCode::BadRequest, message)
        })
    }

    fn set_info(&mut self, name: &ChannelName, seat: Seat, info: Option<Payload>, cx: &mut Context<'_>) {
        if let Some(presence) = self.present.get_mut(name) {
            presence.set_info(seat, info);
            self.look_again(name, cx);
        }
    }

    /// Has the channel looked at when its next moment comes, and lets it go if nobody is there.
    fn look_again(&mut self, name: &ChannelName, cx: &mut Context<'_>) {
        let Some(presence) = self.present.get(name) else { return };
        cx.timers.set(&Due::Presence(name.clone()), presence.next());
        if presence.is_unused() {
            self.present.remove(name);
        }
    }
}

impl Shard {
    /// Somebody may be gone, or something may be told.
    pub(crate) fn tell_presence(&mut self, name: &ChannelName, cx: &mut Context<'_>) {
        let Some(presence) = self.presences.present.get_mut(name) else { return };
        presence.expire(cx.now.uptime);
        let told = presence.tell(cx.now.uptime, name, |worker| cx.peers.may_broadcast(worker));
        for (worker, update) in told {
            cx.peers.tell(worker, Tell::Presence(update), cx.out);
        }
        self.presences.look_again(name, cx);
    }

    pub(super) fn depart(&mut self, name: &ChannelName, seat: Seat, generation: u32, cx: &mut Context<'_>) {
        self.presences.leave(name, seat, generation, cx);
        cx.peers.tell(seat.worker, Tell::Left, cx.out);
    }

    pub(super) fn inform(
        &mut self,
        name: &ChannelName,
        seat: Seat,
        info: Option<Payload>,
        cx: &mut Context<'_>,
    ) {
        self.presences.set_info(name, seat, info, cx);
        cx.peers.tell(seat.worker, Tell::Done { session: seat.session }, cx.out);
    }

    pub(super) fn tell_members(&mut self, name: &ChannelName, seat: Seat, cx: &mut Context<'_>) {
        let mode = self.presence_of(name);
        let update = self.presences.all(name, mode);
        cx.peers.tell(seat.worker, Tell::Members { session: seat.session, update }, cx.out);
    }

    pub(super) fn answer_presence(
        &mut self,
        (seat, id): (Seat, Option<CommandId>),
        query: PresenceQuery,
        cx: &mut Context<'_>,
    ) {
        let PresenceQuery { channel, state } = query;
        let mode = self.presence_of(&channel);
        let answered = match state {
            None => Ok(self.presences.all(&channel, mode)),
            Some(state) => match self.presences.set_state(&channel, seat, state, cx) {
                Ok(_) if id.is_none() => {
                    cx.peers.tell(seat.worker, Tell::Done { session: seat.session }, cx.out);
                    return;
                }
                set => set,
            },
        };
        let reply = match answered {
            Ok(update) => Reply::Presence { id, update },
            Err(fault) => Reply::Fault(fault.about(&channel).answering(id)),
        };
        answer(seat.worker, seat.session, reply, cx);
    }

    fn presence_of(&self, name: &ChannelName) -> PresenceMode {
        self.namespaces.of(name).map_or(PresenceMode::Off, |namespace| namespace.presence)
    }
}
