//! The connection side of a worker: its sessions, what they may ask, and who of them follows what.
//!
//! Nothing about a channel is known here but who of this worker follows it and how far they were told; the
//! rest is asked of the channel's owner. This file has what a session asks and hears; `presence` who is told of whom,
//! `calls` what the application is asked.

mod admission;
mod binding;
mod calls;
mod errands;
mod floors;
mod pacing;
mod passes;
mod permissions;
mod presence;

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use trunkline_model::{
    Action, Capability, ChannelName, Command, CommandId, DisplayName, ErrorCode, Fault, HistoryQuery,
    Identity, Limits, Namespaces, Offset, Position, Publication, Publish, Push, Recovery, Reply, Rule,
    Secret, Slow, Subscribe, Subscribed, close,
};

use crate::access::permit_publish;
use crate::answers::{RETRY, too_fast};
use crate::bucket::{Buckets, Taker};
use crate::checks::{
    check_author, check_connect, check_history, check_publish, check_subscribe, namespace_of,
};
use crate::input::SessionId;
use crate::join::above;
use crate::local::Locals;
use crate::output::Output;
use crate::pass::Pass;
use crate::peer::{Ask, Author, Loss, Missing, Question, Tell};
use crate::session::{Phase, Place, Session, Subscription};
use crate::shard::Context;
use crate::timers::Due;
use crate::watchers::Watchers;
use binding::Tie;
use calls::Calls;
use errands::Errand;
use floors::{Floors, check_target};
use pacing::Paced;

/// The connection side of one worker.
#[derive(Debug)]
pub(crate) struct Sessions {
    limits: Arc<Limits>,
    namespaces: Arc<Namespaces>,
    slots: Vec<Option<Box<Session>>>,
    count: usize,
    peak: usize,
    locals: Locals,
    /// Sessions whose next command found no room in the queue to this worker.
    blocked: Vec<VecDeque<SessionId>>,
    /// Channels to be left when there is room in the queue to this worker, their owner.
    leaving: Vec<VecDeque<ChannelName>>,
    /// Sessions of which a channel could not be read to go on with it.
    unread: Vec<SessionId>,
    /// The names of sessions that gave themselves one.
    names: HashMap<SessionId, DisplayName>,
    /// A session whose handling is to panic.
    #[cfg(test)]
    pub(crate) trap: Option<SessionId>,
    /// Subscriptions that are told only so often.
    paced: Paced,
    /// How much of their namespaces' rates those who publish have used up.
    buckets: Buckets,
    /// Where the past begins for subscriptions that are not given all of it.
    floors: Floors,
    /// Channels where entries may be that are to go with the session.
    ties: HashMap<SessionId, Vec<Tie>>,
    watchers: Watchers,
    calls: Calls,
    /// What is to be asked of this worker when there is room in the queue to it, though no command waits for it.
    errands: Vec<VecDeque<Errand>>,
}

/// What became of a command.
enum Outcome {
    Done,
    /// It fits into the queue to this worker later.
    NoRoom(u16, Command),
    /// It makes sense when a join that is on its way has its answer.
    Joining(Command),
}

impl Sessions {
    pub(crate) fn new(limits: Arc<Limits>, namespaces: Arc<Namespaces>, workers: u16) -> Self {
        Self {
            limits,
            namespaces,
            slots: Vec::new(),
            count: 0,
            peak: 0,
            locals: Locals::default(),
            blocked: vec![VecDeque::new(); usize::from(workers)],
            leaving: vec![VecDeque::new(); usize::from(workers)],
            unread: Vec::new(),
            names: HashMap::new(),
            #[cfg(test)]
            trap: None,
            paced: Paced::default(),
            buckets: Buckets::default(),
            floors: Floors::default(),
            ties: HashMap::new(),
            watchers: Watchers::default(),
            calls: Calls::default(),
            errands: (0..workers).map(|_| VecDeque::new()).collect(),
        }
    }

    pub(crate) fn opened(
        &mut self,
        id: SessionId,
        identity: Option<Identity>,
        token: Option<Secret>,
        cx: &mut Context<'_>,
    ) {
        let index = id.index as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        if identity.is_none() {
            let at = cx.now.uptime.saturating_add(self.limits.first_command);
            cx.timers.set(&Due::Expiry(id), Some(at));
        }
        self.slots[index] = Some(Box::new(Session::new(id.generation, identity, token, cx.now.uptime)));
        self.count += 1;
        self.peak = self.peak.max(self.count);
    }

    /// Whether the next command of the session may come. If not, [`Output::Ready`] will say when.
    pub(crate) fn accepts(&mut self, id: SessionId) -> bool {
        let in_flight_max = self.limits.commands_in_flight;
        let Some(session) = self.get_mut(id) else { return true };
        let accepts = session.accepts(in_flight_max);
        session.held_back |= !accepts;
        accepts
    }

    pub(crate) fn closed(&mut self, id: SessionId, cx: &mut Context<'_>) {
        if self.get_mut(id).is_none() {
            return;
        }
        let session = self.slots[id.index as usize].take();
        self.count -= 1;
        self.untie(id, session.as_deref(), cx);
        self.end_line(id, session.as_deref(), cx);
        cx.timers.set(&Due::Expiry(id), None);
        self.buckets.forget(id);
        self.names.remove(&id);
        for subscription in session.into_iter().flat_map(|session| session.subscriptions) {
            self.forget(id, &subscription, cx);
        }
    }

    /// The handling of the session has panicked: it is over.
    pub(crate) fn break_session(&mut self, id: SessionId, cx: &mut Context<'_>) {
        tracing::error!(?id, "a panic while handling a session; it is closed");
        cx.out.push(Output::Fail { session: id });
        self.closed(id, cx);
    }

    pub(crate) fn command(&mut self, id: SessionId, command: Command, cx: &mut Context<'_>) {
        #[cfg(test)]
        assert_ne!(self.trap, Some(id), "the trap was set for this");
        let limits = Arc::clone(&self.limits);
        let Some(session) = self.get_mut(id) else { return };
        if let Some(rate) = limits.command_rate
            && let Err(wait) = session.commands.take(rate, cx.now.uptime)
        {
            let fault = too_fast("this connection sends commands", Some(rate), wait);
            let fault = command.action.channel().into_iter().fold(fault, Fault::about);
            reply_fault(id, fault.answering(command.id), cx);
            return;
        }
        match &mut session.phase {
            Phase::New(_) => {
                if let Action::Connect(connect) = &command.action
                    && let Err(fault) = check_connect(connect, &limits)
                {
                    reply_fault(id, fault.answering(command.id), cx);
                    return;
                }
                self.ask_door(id, command, cx);
            }
            Phase::Admitting(_) => session.waiting.push_back(command),
            Phase::Open(_) => {
                session.waiting.push_back(command);
                self.pump(id, cx);
            }
        }
    }

    pub(crate) fn told(&mut self, tell: Tell, cx: &mut Context<'_>) {
        match tell {
            Tell::Joined { session, generation, subscribed } => {
                let channel = subscribed.channel.clone();
                self.locals.joined(&channel);
                self.joined(session, generation, subscribed, cx);
                self.departs_if_over(session, &channel, generation, cx);
                self.leave_if_unused(&channel, cx);
                self.answered(session, cx);
            }
            Tell::Behind { session, generation, subscribed, missing } => {
                let channel = subscribed.channel.clone();
                self.locals.joined(&channel);
                self.catches_up(session, generation, subscribed, missing, cx);
                self.departs_if_over(session, &channel, generation, cx);
                self.leave_if_unused(&channel, cx);
                self.answered(session, cx);
            }
            Tell::CaughtUp { session, generation, channel, entries } => {
                self.locals.joined(&channel);
                self.takes_page(session, generation, &channel, entries, cx);
                self.leave_if_unused(&channel, cx);
                self.answered(session, cx);
            }
            Tell::NotJoined { session, generation, channel, reply } => {
                self.locals.joined(&channel);
                self.not_joined(session, generation, &channel, reply, cx);
                self.leave_if_unused(&channel, cx);
                self.answered(session, cx);
            }
            Tell::Answer { session, reply } => {
                if !matches!(reply, Reply::Published { id: None, .. }) {
                    cx.out.push(Output::Reply { session, reply });
                }
                self.answered(session, cx);
            }
            Tell::Done { session } => self.answered(session, cx),
            Tell::Members { session, update } => self.give_members(session, update, cx),
            Tell::Presence(update) => self.tell_watchers(update, cx),
            Tell::Broadcast(publication) => self.broadcast(publication, cx),
            Tell::Lost(loss) => self.lose(&loss, cx),
            Tell::Broken(channel) => self.break_off(&channel, cx),
            Tell::Replaces { session, worker, older } => self.replace_line(session, (worker, older), cx),
            Tell::Replaced { session } => {
                cx.out.push(Output::Close { session, reason: close::REPLACED });
            }
            Tell::Left => {}
        }
    }

    /// There is room again in the queue to `worker`.
    pub(crate) fn unblock(&mut self, worker: u16, cx: &mut Context<'_>) {
        self.run_errands(worker, cx);
        while cx.peers.may_ask(worker) {
            let Some(id) = self.blocked[usize::from(worker)].pop_front() else { break };
            if let Some(session) = self.get_mut(id) {
                session.blocked = false;
                self.pump(id, cx);
            }
        }
        while cx.peers.may_ask(worker) {
            let Some(channel) = self.leaving[usize::from(worker)].pop_front() else { break };
            self.leave_if_unused(&channel, cx);
        }
    }

    /// There is room in the outbox for the answer to what comes next of a `connect`.
    pub(crate) fn drained(&mut self, id: SessionId, cx: &mut Context<'_>) {
        if let Some(session) = self.get_mut(id) {
            session.awaits_room = false;
            self.ask_for_members(id, cx);
            self.pump(id, cx);
        }
    }

    /// The outbox had no room for this: the subscription is pushed nothing until there is.
    pub(crate) fn behind(&mut self, id: SessionId, publication: &Publication, cx: &mut Context<'_>) {
        let (channel, Some(position)) = (&publication.channel, publication.position) else { return };
        let slow = self.namespaces.of(channel).map(|namespace| namespace.slow);
        let Some(session) = self.get_mut(id) else { return };
        let is_given = session.awaits_room;
        let Some(subscription) = session.subscription_mut(channel) else { return };
        // Whoever is being given what it has asked for is not slow.
        if slow == Some(Slow::Disconnect) && !is_given {
            cx.out.push(Output::Close { session: id, reason: close::SLOW });
            return;
        }
        let (slot, after) = match subscription.place {
            Place::Live { slot, after } => (slot, after),
            // It was handed out just before it stepped aside.
            Place::Paced(Missing::After(told)) if told == position => {
                subscription.place = Place::Behind(Missing::At(position));
                session.has_lagged = true;
                cx.timers.set(&Due::Paced(channel.clone(), id), None);
                self.await_room(id, cx);
                return;
            }
            _ => return,
        };
        // It was handed out to an earlier subscription, and this one has begun behind it.
        if position.offset <= after {
            return;
        }
        subscription.place = Place::Behind(Missing::At(position));
        session.has_lagged = true;
        // It stays on its way in, so that the channel is not given up meanwhile.
        self.locals.joining(channel);
        self.leave_slot(channel, slot, cx);
        self.await_room(id, cx);
    }

    /// Whether this is for the session: not if it has fallen behind, nor if it went on meanwhile and has it already.
    pub(crate) fn takes(&mut self, id: SessionId, publication: &Publication) -> bool {
        let subscription =
            self.get_mut(id).and_then(|session| session.subscription_mut(&publication.channel));
        match (subscription.map(|found| &found.place), publication.position) {
            (Some(Place::Live { after, .. }), Some(position)) => position.offset > *after,
            (Some(Place::Live { .. }), None) => true,
            // Handed out just before it stepped aside.
            (Some(Place::Paced(Missing::After(told))), Some(position)) => position == *told,
            _ => false,
        }
    }

    /// Asks again for those whose channel could not be read.
    pub(crate) fn tick(&mut self, cx: &mut Context<'_>) {
        for id in std::mem::take(&mut self.unread) {
            if let Some(session) = self.get_mut(id) {
                session.awaits_store = false;
                self.pump(id, cx);
            }
        }
    }

    fn await_room(&mut self, id: SessionId, cx: &mut Context<'_>) {
        if let Some(session) = self.get_mut(id)
            && !std::mem::replace(&mut session.awaits_room, true)
        {
            cx.out.push(Output::AwaitRoom { session: id });
        }
    }

    fn joined(
        &mut self,
        session: SessionId,
        generation: u32,
        mut subscribed: Box<Subscribed>,
        cx: &mut Context<'_>,
    ) {
        let place = subscribed.position;
        if self.awaits(session, generation, &subscribed.channel)
            && self.ends_below(session, &subscribed.channel, place, cx)
        {
            return;
        }
        let Some(before) = self.goes_live(session, generation, &subscribed.channel, place) else { return };
        self.note_floor(session, &subscribed.channel, subscribed.floor);
        self.inform_late(session, &subscribed.channel, cx);
        let paced = self.paced.has(&subscribed.channel).then(|| subscribed.channel.clone());
        let (replay, is_lost) = match &mut subscribed.recovery {
            Recovery::Recovered(entries) => {
                self.veil(session, entries);
                (entries.clone(), false)
            }
            Recovery::NotAsked | Recovery::CatchingUp(_) => (Vec::new(), false),
            Recovery::Lost { .. } => (Vec::new(), true),
        };
        let was_told = is_lost || !replay.is_empty();
        if subscribed.presence.is_some() {
            self.watchers.add(&subscribed.channel, session);
        }
        // One that had fallen behind goes on as if nothing had been, unless something was lost.
        if matches!(before, Place::Joining(_)) || is_lost {
            subscribed.can = self.capabilities(session, &subscribed.channel);
            cx.out.push(Output::Reply { session, reply: Reply::Subscribed(subscribed) });
        }
        cx.out.extend(replay.into_iter().map(|entry| Output::Push { session, push: Push::Message(entry) }));
        if let (Some(place), Some(channel)) = (place.filter(|_| was_told), paced) {
            self.rest(session, &channel, place, cx);
        }
        if matches!(before, Place::Resuming(_)) {
            // Another subscription may be behind too, and the outbox has just been given a page.
            self.await_room(session, cx);
        }
    }

    fn not_joined(
        &mut self,
        id: SessionId,
        generation: u32,
        channel: &ChannelName,
        reply: Reply,
        cx: &mut Context<'_>,
    ) {
        // One that was overtaken has its answer already.
        if !self.awaits(id, generation, channel) {
            return;
        }
        let Some(session) = self.get_mut(id) else { return };
        let Some(subscription) = session.subscription_mut(channel) else { return };
        if let Place::Resuming(missing) = subscription.place {
            subscription.place = Place::Behind(missing);
            session.awaits_store = true;
            self.locals.joining(channel);
            self.unread.push(id);
            return;
        }
        session.remove_subscription(channel);
        // The one that it was to replace may hold a member still.
        self.departs(id, channel, generation, cx);
        self.has_ended(id, channel, cx);
        cx.out.push(Output::Reply { session: id, reply });
    }

    /// It is told how much there is, and is given it as fast as it reads.
    fn catches_up(
        &mut self,
        id: SessionId,
        generation: u32,
        mut subscribed: Box<Subscribed>,
        missing: Missing,
        cx: &mut Context<'_>,
    ) {
        if !self.awaits(id, generation, &subscribed.channel) {
            return;
        }
        self.locals.joining(&subscribed.channel);
        if subscribed.presence.is_some() {
            self.watchers.add(&subscribed.channel, id);
        }
        let Some(session) = self.get_mut(id) else { return };
        let Some(subscription) = session.subscription_mut(&subscribed.channel) else { return };
        subscription.place = Place::Behind(missing);
        session.has_lagged = true;
        self.note_floor(id, &subscribed.channel, subscribed.floor);
        self.inform_late(id, &subscribed.channel, cx);
        subscribed.can = self.capabilities(id, &subscribed.channel);
        cx.out.push(Output::Reply { session: id, reply: Reply::Subscribed(subscribed) });
        self.await_room(id, cx);
    }

    /// A part of what a subscriber is behind.
    fn takes_page(
        &mut self,
        id: SessionId,
        generation: u32,
        channel: &ChannelName,
        mut entries: Vec<Arc<Publication>>,
        cx: &mut Context<'_>,
    ) {
        if !self.awaits(id, generation, channel) {
            return;
        }
        self.veil(id, &mut entries);
        let last = entries.last().and_then(|entry| entry.position);
        let subscription = self.get_mut(id).and_then(|session| session.subscription_mut(channel));
        if let (Some(subscription), Some(last)) = (subscription, last) {
            subscription.place = Place::Behind(Missing::After(last));
            self.locals.joining(channel);
        }
        let push = |entry| Output::Push { session: id, push: Push::Message(entry) };
        cx.out.extend(entries.into_iter().map(push));
        self.await_room(id, cx);
    }

    /// Lets the next subscription that is behind go on, one at a time, because each may bring a page.
    fn resume_one(&mut self, id: SessionId, cx: &mut Context<'_>) {
        let Some(session) = self.get_mut(id) else { return };
        if !session.has_lagged || session.awaits_store || session.is_resuming() {
            return;
        }
        let Some(subscription) = session.behind_mut() else {
            session.has_lagged = false;
            return;
        };
        let Place::Behind(missing) = subscription.place else { return };
        let owner = cx.peers.owner_of(&subscription.channel);
        if !cx.peers.may_ask(owner) {
            session.blocked = true;
            self.blocked[usize::from(owner)].push_back(id);
            return;
        }
        subscription.place = Place::Resuming(missing);
        let (channel, generation) = (subscription.channel.clone(), subscription.generation);
        let floor = self.floors.of(&channel, id);
        self.ask(id, None, owner, Question::Resume { channel, generation, missing, floor }, cx);
    }

    fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        let session = self.slots.get_mut(id.index as usize)?.as_deref_mut()?;
        (session.generation == id.generation).then_some(session)
    }

    /// Performs what waits, as far as it goes, and tells the caller if the client's commands may come again.
    fn pump(&mut self, id: SessionId, cx: &mut Context<'_>) {
        let in_flight_max = self.limits.commands_in_flight;
        loop {
            let Some(session) = self.get_mut(id) else { return };
            let turn_of_another = session.one_by_one && session.in_flight > 0;
            let full = session.in_flight >= in_flight_max;
            if turn_of_another || full || session.awaits_room || session.blocked || session.awaits_door() {
                return;
            }
            let Some(command) = session.waiting.pop_front() else { break };
            let outcome = self.perform(id, command, cx);
            if self.put_back(id, outcome, cx) {
                return;
            }
        }
        let Some(session) = self.get_mut(id) else { return };
        session.one_by_one = false;
        if std::mem::take(&mut session.held_back) {
            cx.out.push(Output::Ready { session: id });
        }
        self.resume_one(id, cx);
    }

    /// Has the command wait, if it could not be asked yet.
    fn put_back(&mut self, id: SessionId, outcome: Outcome, cx: &mut Context<'_>) -> bool {
        let (command, worker) = match outcome {
            Outcome::Done => return false,
            Outcome::NoRoom(worker, command) => (command, Some(worker)),
            // The answer to the join, or the door's, brings it here again.
            Outcome::Joining(command) => (command, None),
        };
        if let Some(worker) = worker {
            self.blocked[usize::from(worker)].push_back(id);
        }
        if let Some(session) = self.get_mut(id) {
            session.blocked = worker.is_some();
            session.waiting.push_front(command);
        }
        if worker.is_none() {
            // It may wait for a subscription that is behind.
            self.resume_one(id, cx);
        }
        true
    }

    /// A question of this session has come back.
    fn answered(&mut self, id: SessionId, cx: &mut Context<'_>) {
        if let Some(session) = self.get_mut(id) {
            session.in_flight = session.in_flight.saturating_sub(1);
            if session.one_by_one && !session.waiting.is_empty() && !session.awaits_room {
                // Each answer may bring a whole replay, so the next is asked for when this one has left.
                session.awaits_room = true;
                cx.out.push(Output::AwaitRoom { session: id });
            } else {
                self.pump(id, cx);
            }
        }
    }

    fn perform(&mut self, id: SessionId, command: Command, cx: &mut Context<'_>) -> Outcome {
        let Command { id: name, action } = command;
        match action {
            Action::Ping => {
                cx.out.push(Output::Reply { session: id, reply: Reply::Pong { id: name, ts: cx.now.ts } })
            }
            Action::Pong => {}
            Action::Connect(_) => {
                let fault = Fault::new(
                    ErrorCode::BadRequest,
                    "the session is open already; `connect` is the first command or none",
                );
                reply_fault(id, fault.answering(name), cx);
            }
            Action::Unsubscribe(channel) => {
                self.unsubscribe(id, &channel, cx);
                cx.out.push(Output::Reply { session: id, reply: Reply::Unsubscribed { id: name, channel } });
            }
            Action::Subscribe(subscribe) => return self.subscribe(id, name, subscribe, cx),
            Action::Publish(publish) => return self.publish(id, name, publish, cx),
            Action::History(query) => return self.history(id, name, query, cx),
            Action::Presence(query) => return self.presence(id, name, query, cx),
            Action::Rpc { method, data } => self.call(id, name, method, data, cx),
            Action::Refresh(token) => self.refresh(id, name, token, cx),
        }
        Outcome::Done
    }

    fn subscribe(
        &mut self,
        id: SessionId,
        name: Option<CommandId>,
        subscribe: Subscribe,
        cx: &mut Context<'_>,
    ) -> Outcome {
        let owner = cx.peers.owner_of(&subscribe.channel);
        if !cx.peers.may_ask(owner) {
            return Outcome::NoRoom(owner, Command { id: name, action: Action::Subscribe(subscribe) });
        }
        let checked = namespace_of(&self.namespaces, &subscribe.channel)
            .and_then(|namespace| check_subscribe(&subscribe, namespace, &self.limits));
        match checked {
            Ok(()) if subscribe.token.is_some() => self.show(id, name, subscribe, cx),
            Ok(()) => self.join(id, name, subscribe, None, cx),
            Err(fault) => {
                reply_fault(id, fault.about(&subscribe.channel).answering(name), cx);
                Outcome::Done
            }
        }
    }

    /// The owner of the channel is asked to let the session in, if it may; with what a token for this alone allows it.
    fn join(
        &mut self,
        id: SessionId,
        name: Option<CommandId>,
        subscribe: Subscribe,
        pass: Option<Box<Pass>>,
        cx: &mut Context<'_>,
    ) -> Outcome {
        let owner = cx.peers.owner_of(&subscribe.channel);
        if !cx.peers.may_ask(owner) {
            return Outcome::NoRoom(owner, Command { id: name, action: Action::Subscribe(subscribe) });
        }
        let (limits, namespaces) = (Arc::clone(&self.limits), Arc::clone(&self.namespaces));
        let refused = self.deny_subscribe(id, &subscribe, pass.as_deref());
        let entering = self.entering(id, &subscribe, pass.as_deref());
        let Subscribe { channel, start, rate_max, .. } = subscribe;
        let Some(session) = self.get_mut(id) else { return Outcome::Done };
        let known = session.subscription_mut(&channel).is_some();
        let full = !known && session.subscriptions.len() >= limits.subscriptions;
        let refused = refused.or_else(|| {
            full.then(|| {
                let message = format!("a session has at most {} subscriptions", limits.subscriptions);
                Fault::new(ErrorCode::LimitExceeded, message)
            })
        });
        if let Some(fault) = refused {
            reply_fault(id, fault.about(&channel).answering(name), cx);
            return Outcome::Done;
        }
        // The join is counted before the old place is given up, so that no leave goes out in between.
        self.locals.joining(&channel);
        self.replace(id, &channel, cx);
        let Some(session) = self.get_mut(id) else { return Outcome::Done };
        let expires = pass.as_ref().and_then(|pass| pass.expires);
        let generation = session.joining(&channel, name.clone(), pass);
        let Phase::Open(identity) = &session.phase else { return Outcome::Done };
        let client = identity.client.clone();
        let floor = self.floor(id, &channel);
        self.floors.set(&channel, id, floor);
        if let Some(namespace) = namespaces.of(&channel) {
            self.pace(id, &channel, Self::interval_of(rate_max), namespace, cx);
        }
        self.set_lapse(id, &channel, expires, cx);
        self.follow(id, &channel, cx);
        let question = Question::Join { channel, generation, client, start, floor, entering };
        self.ask(id, name, owner, question, cx);
        Outcome::Done
    }

    fn publish(
        &mut self,
        id: SessionId,
        name: Option<CommandId>,
        publish: Publish,
        cx: &mut Context<'_>,
    ) -> Outcome {
        let owner = cx.peers.owner_of(&publish.channel);
        if !cx.peers.may_ask(owner) {
            return Outcome::NoRoom(owner, Command { id: name, action: Action::Publish(publish) });
        }
        let namespaces = Arc::clone(&self.namespaces);
        let now = cx.now;
        let Some(session) = self.get_mut(id) else { return Outcome::Done };
        let place = session.subscription_mut(&publish.channel).map(|subscription| &subscription.place);
        let rule = namespaces.of(&publish.channel).map(|namespace| namespace.publish);
        // Whether it is a subscriber will be known.
        if rule == Some(Rule::Subscribers) && matches!(place, Some(Place::Joining(_))) {
            return Outcome::Joining(Command { id: name, action: Action::Publish(publish) });
        }
        let Some(bearer) = session.bearer(&publish.channel) else { return Outcome::Done };
        let floor = bearer.floor(&publish.channel);
        // The backend, which has no name, has no rate over HTTP.
        let by_request = bearer.identity.session.is_none() && bearer.identity.named;
        let taker = if by_request { Taker::User(bearer.identity.publisher.clone()) } else { Taker::Line(id) };
        let permitted = namespaces
            .of(&publish.channel)
            .map_or(Ok(()), |namespace| permit_publish(&bearer, namespace, &publish));
        let checked = namespace_of(&namespaces, &publish.channel).and_then(|namespace| {
            permitted?;
            check_target(publish.reference, floor)?;
            check_publish(&publish, namespace, now)?;
            let counted = self.buckets.take(taker, namespace, now.uptime);
            counted
                .map_err(|wait| too_fast("this connection publishes to the namespace", namespace.rate, wait))
        });
        if let Err(fault) = checked {
            reply_fault(id, fault.about(&publish.channel).answering(name), cx);
            return Outcome::Done;
        }
        let Some(session) = self.get_mut(id) else { return Outcome::Done };
        let Some(bearer) = session.bearer(&publish.channel) else { return Outcome::Done };
        let identity = bearer.identity;
        let author = Author {
            from: identity.named.then(|| identity.user.clone()),
            publisher: identity.publisher.clone(),
            client: identity.client.clone(),
            moderates: bearer.is_granted(&publish.channel, Capability::Moderate),
            floor,
        };
        let has_session = identity.session.is_some();
        if let Err(fault) = check_author(&publish, &author, has_session) {
            reply_fault(id, fault.about(&publish.channel).answering(name), cx);
            return Outcome::Done;
        }
        if publish.bind
            && let Err(fault) = self.bind(id, &publish.channel)
        {
            reply_fault(id, fault.about(&publish.channel).answering(name), cx);
            return Outcome::Done;
        }
        self.ask(id, name, owner, Question::Publish { publish, author }, cx);
        Outcome::Done
    }

    fn history(
        &mut self,
        id: SessionId,
        name: Option<CommandId>,
        query: HistoryQuery,
        cx: &mut Context<'_>,
    ) -> Outcome {
        let owner = cx.peers.owner_of(&query.channel);
        if !cx.peers.may_ask(owner) {
            return Outcome::NoRoom(owner, Command { id: name, action: Action::History(query) });
        }
        let namespaces = Arc::clone(&self.namespaces);
        let checked = namespace_of(&namespaces, &query.channel).and_then(|namespace| {
            self.permit(id, namespace, &query.channel, Capability::History)?;
            check_history(&query, &self.limits)
        });
        match checked {
            Ok(()) => {
                let floor = self.floor(id, &query.channel);
                self.ask(id, name, owner, Question::History { query, floor }, cx);
            }
            Err(fault) => reply_fault(id, fault.about(&query.channel).answering(name), cx),
        }
        Outcome::Done
    }

    fn ask(
        &mut self,
        id: SessionId,
        name: Option<CommandId>,
        owner: u16,
        question: Question,
        cx: &mut Context<'_>,
    ) {
        if let Some(session) = self.get_mut(id) {
            session.in_flight += 1;
        }
        let ask = Ask { worker: cx.peers.me, session: id, id: name, question };
        cx.peers.ask(owner, ask, cx.out);
    }

    fn unsubscribe(&mut self, id: SessionId, channel: &ChannelName, cx: &mut Context<'_>) {
        if let Some(subscription) = self.take_subscription(id, channel, cx) {
            self.forget(id, &subscription, cx);
        }
    }

    /// The same where a new one takes its place, which holds the member that the old one held.
    fn replace(&mut self, id: SessionId, channel: &ChannelName, cx: &mut Context<'_>) {
        if let Some(subscription) = self.take_subscription(id, channel, cx) {
            self.watchers.remove(channel, id);
            self.leave_place(&subscription, cx);
        }
    }

    fn take_subscription(
        &mut self,
        id: SessionId,
        channel: &ChannelName,
        cx: &mut Context<'_>,
    ) -> Option<Subscription> {
        let subscription = self.get_mut(id)?.remove_subscription(channel)?;
        if let Place::Joining(Some(overtaken)) = &subscription.place {
            // Whoever named it waits for an answer.
            let reply = Reply::Unsubscribed { id: Some(overtaken.clone()), channel: channel.clone() };
            cx.out.push(Output::Reply { session: id, reply });
        }
        Some(subscription)
    }

    /// Takes a subscription that has ended out of the worker's lists, and out of the channel's presence.
    fn forget(&mut self, id: SessionId, subscription: &Subscription, cx: &mut Context<'_>) {
        self.departs(id, &subscription.channel, subscription.generation, cx);
        self.has_ended(id, &subscription.channel, cx);
        self.leave_place(subscription, cx);
    }

    /// Nothing waits for a moment of the session's subscription any more.
    fn has_ended(&mut self, id: SessionId, channel: &ChannelName, cx: &mut Context<'_>) {
        self.unpace(id, channel, cx);
        self.set_lapse(id, channel, None, cx);
        self.floors.set(channel, id, Offset::ZERO);
    }

    fn leave_place(&mut self, subscription: &Subscription, cx: &mut Context<'_>) {
        match subscription.place {
            Place::Live { slot, .. } => self.leave_slot(&subscription.channel, slot, cx),
            Place::Behind(_) | Place::Paced(_) => {
                self.locals.joined(&subscription.channel);
                self.leave_if_unused(&subscription.channel, cx);
            }
            // The answer takes it off.
            Place::Joining(_) | Place::Resuming(_) => {}
        }
    }

    fn leave_slot(&mut self, channel: &ChannelName, slot: u32, cx: &mut Context<'_>) {
        if let Some(moved) = self.locals.remove(channel, slot) {
            let moved = self.get_mut(moved).and_then(|session| session.subscription_mut(channel));
            if let Some(Subscription { place: Place::Live { slot: place, .. }, .. }) = moved {
                *place = slot;
            }
        }
        self.leave_if_unused(channel, cx);
    }

    /// Tells the owner that this worker has no subscriber left and none on its way.
    fn leave_if_unused(&mut self, channel: &ChannelName, cx: &mut Context<'_>) {
        if !self.locals.is_unused(channel) {
            return;
        }
        let owner = cx.peers.owner_of(channel);
        if !cx.peers.may_ask(owner) {
            self.leaving[usize::from(owner)].push_back(channel.clone());
            return;
        }
        self.locals.drop_unused(channel);
        let nobody = SessionId { index: u32::MAX, generation: 0 };
        let ask = Ask {
            worker: cx.peers.me,
            session: nobody,
            id: None,
            question: Question::Leave(channel.clone()),
        };
        cx.peers.ask(owner, ask, cx.out);
    }

    /// Adds the session to the worker's list, if it still waits for just this subscription; says how it stood before.
    fn goes_live(
        &mut self,
        id: SessionId,
        generation: u32,
        channel: &ChannelName,
        applied: Option<Position>,
    ) -> Option<Place> {
        if !self.awaits(id, generation, channel) {
            return None;
        }
        let slot = self.locals.add(channel, id, applied);
        let subscription = self.get_mut(id).and_then(|session| session.subscription_mut(channel))?;
        let after = applied.map_or(Offset::ZERO, |position| position.offset);
        let live = Place::Live { slot, after };
        Some(std::mem::replace(&mut subscription.place, live))
    }

    /// Whether the session still waits for just this subscription.
    fn awaits(&mut self, id: SessionId, generation: u32, channel: &ChannelName) -> bool {
        let subscription = self.get_mut(id).and_then(|session| session.subscription_mut(channel));
        subscription.is_some_and(|found| {
            found.generation == generation && matches!(found.place, Place::Joining(_) | Place::Resuming(_))
        })
    }

    /// Ends all subscriptions of this worker to a channel whose stream is broken, and says so.
    fn break_off(&mut self, channel: &ChannelName, cx: &mut Context<'_>) {
        for session in self.locals.take_sessions(channel).iter() {
            let ended = self.get_mut(*session).and_then(|live| live.remove_subscription(channel));
            if let Some(ended) = ended {
                self.departs(*session, channel, ended.generation, cx);
                self.has_ended(*session, channel, cx);
            }
            let push = Push::Unsubscribed {
                channel: channel.clone(),
                code: ErrorCode::Internal,
                message: "the stream was broken; subscribe again from where you are".to_owned(),
                retry: Some(RETRY),
            };
            cx.out.push(Output::Push { session: *session, push });
        }
        self.leave_if_unused(channel, cx);
    }

    /// Tells all subscribers of this worker that they cannot go on from where they are, and where they stand now.
    /// Those that are behind are told when they go on.
    fn lose(&mut self, loss: &Loss, cx: &mut Context<'_>) {
        let Loss { channel, kind, place, floor, reason, keep, entries } = loss;
        let told = *floor;
        let Some(local) = self.locals.subscribed_mut(channel) else { return };
        local.applied = Some(*place);
        for id in Arc::clone(&local.sessions).iter() {
            if self.ends_below(*id, channel, Some(*place), cx) {
                continue;
            }
            let subscription = self.get_mut(*id).and_then(|session| session.subscription_mut(channel));
            if let Some(Subscription { place: Place::Live { after, .. }, .. }) = subscription {
                *after = place.offset;
            }
            let floor = self.floors.of(channel, *id);
            self.note_floor(*id, channel, told.max(floor));
            let subscribed = Box::new(Subscribed {
                id: None,
                channel: channel.clone(),
                kind: *kind,
                position: Some(*place),
                floor: told.max(floor),
                recovery: Recovery::Lost { reason: *reason, keep: *keep },
                items: None,
                entries: entries.clone().map(|entries| above(entries, floor)),
                presence: None,
                can: self.capabilities(*id, channel),
            });
            cx.out.push(Output::Reply { session: *id, reply: Reply::Subscribed(subscribed) });
        }
    }

    fn broadcast(&mut self, publication: Arc<Publication>, cx: &mut Context<'_>) {
        let Some(local) = self.locals.subscribed_mut(&publication.channel) else { return };
        if let Some(position) = publication.position {
            let applied = local.applied;
            let skips = publication.role.entry().is_some();
            let follows = applied.is_some_and(|applied| match skips {
                true => position.offset > applied.offset,
                false => position.offset == applied.offset.next(),
            });
            debug_assert!(
                follows,
                "the owner sends each entry once, in order: {position:?} after {applied:?}"
            );
            if !follows {
                tracing::error!(channel = %publication.channel, ?position, ?applied, "not the next entry");
                self.break_off(&publication.channel, cx);
                return;
            }
            local.applied = Some(position);
        }
        let sessions = Arc::clone(&local.sessions);
        let told = publication.position.map(|position| (publication.channel.clone(), position));
        self.deliver(publication, sessions, cx);
        if let Some((channel, position)) = told.filter(|(channel, _)| self.paced.has(channel)) {
            self.rest_paced(&channel, position, cx);
        }
    }
}

fn reply_fault(session: SessionId, fault: Fault, cx: &mut Context<'_>) {
    cx.out.push(Output::Reply { session, reply: Reply::Fault(fault) });
}
