//! One worker's rules: takes inputs, gives outputs, and lets its two sides talk to each other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use trunkline_model::{Limits, Namespaces, Publication};

use crate::input::{Input, Moment, SessionId};
use crate::lines::Lines;
use crate::output::Output;
use crate::peer::{Peer, Peers, Tell};
use crate::sessions::Sessions;
use crate::shard::{Context, Shard};
use crate::timers::{Due, Timers};

/// All the rules of one worker. See the crate's picture.
///
/// Time is an argument; calls never block; memory is bounded by [`Limits`] and the number of sessions.
#[derive(Debug)]
pub struct Hub {
    sessions: Sessions,
    shard: Shard,
    lines: Lines,
    peers: Peers,
    timers: Timers<Due>,
}

impl Hub {
    /// The hub of worker `me` (from 0) of `workers`.
    ///
    /// Each worker's queue to each other one has room for [`Limits::queue`] messages.
    #[must_use]
    pub fn new(me: u16, workers: u16, limits: Arc<Limits>, namespaces: Arc<Namespaces>) -> Self {
        Self {
            sessions: Sessions::new(Arc::clone(&limits), Arc::clone(&namespaces), workers),
            peers: Peers::new(me, workers, limits.queue),
            shard: Shard::new(limits, namespaces, workers),
            lines: Lines::default(),
            timers: Timers::default(),
        }
    }

    /// Whether the next command of `session` may be handed in. If not, leave the connection unread;
    /// [`Output::Ready`] says when to go on.
    pub fn accepts(&mut self, session: SessionId) -> bool {
        self.sessions.accepts(session)
    }

    /// Whether a delivery that was handed out ([`Output::Deliver`]) is still for the session. Asked of one that fell
    /// behind ([`Input::Behind`]) while outputs from before that are carried out.
    pub fn takes(&mut self, session: SessionId, publication: &Publication) -> bool {
        self.sessions.takes(session, publication)
    }

    /// Whether every command that came in has been answered, as far as this worker knows.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.shard.is_settled() && self.sessions.is_settled() && self.peers.is_settled()
    }

    /// Whether `worker` was not told everything, for want of room in the queue to it.
    #[must_use]
    pub fn is_behind(&self, worker: u16) -> bool {
        self.shard.is_behind(worker)
    }

    /// How many channels this worker holds the state of: at most [`Limits::channels`].
    #[must_use]
    pub fn channels(&self) -> usize {
        self.shard.channels()
    }

    /// How many subscriptions the sessions of this worker have. Looks at every channel that somebody here follows.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.sessions.subscriptions()
    }

    /// What the channels of this worker hold of publications in memory, in bytes: at most [`Limits::hot_bytes`], but for
    /// one channel that was just opened. Looks at every channel.
    #[must_use]
    pub fn hot_bytes(&self) -> usize {
        self.shard.hot_bytes()
    }

    /// The uptime at which [`Input::Due`] is to come, if anything waits for a moment.
    #[must_use]
    pub fn wakes_at(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// From now on these are the namespaces and their rules. Each of those that were there has to be there still, with the
    /// same kind. Who follows what it may not follow any more is told `unsubscribed`.
    pub fn configure(&mut self, now: Moment, namespaces: &Arc<Namespaces>, out: &mut Vec<Output>) {
        let mut cx = Context { now, peers: &mut self.peers, timers: &mut self.timers, out };
        self.shard.configure(namespaces);
        self.sessions.configure(namespaces, &mut cx);
        self.settle(now, out);
    }

    /// Says how many messages the queue to `worker` has room for. At least once per turn.
    pub fn handle_room(&mut self, now: Moment, worker: u16, free: usize, out: &mut Vec<Output>) {
        self.peers.set_room(worker, free);
        let mut cx = Context { now, peers: &mut self.peers, timers: &mut self.timers, out };
        self.shard.feed_behind(worker, &mut cx);
        self.sessions.unblock(worker, &mut cx);
        self.settle(now, out);
    }

    /// Takes one input and appends what is to be done to `out`, in order.
    ///
    /// A panic on the way is a bug of ours, and ends what was being handled, not the worker: the session
    /// ([`Output::Fail`]), or the channel, whose subscribers are told to subscribe again.
    pub fn handle(&mut self, now: Moment, input: Input, out: &mut Vec<Output>) {
        let culprit = match &input {
            Input::Called { call, .. } => self.sessions.who_called(*call),
            input => session_of(input),
        };
        self.contained(now, culprit, out, |hub, out| hub.handle_input(now, input, out));
        self.settle(now, out);
    }

    /// What the two sides of this worker say to each other is heard before anything else comes in.
    fn settle(&mut self, now: Moment, out: &mut Vec<Output>) {
        while let Some(message) = self.peers.take_local() {
            let me = self.peers.me;
            self.contained(now, None, out, |hub, out| hub.hear(now, me, message, out));
        }
    }

    fn contained(
        &mut self,
        now: Moment,
        session: Option<SessionId>,
        out: &mut Vec<Output>,
        handle: impl FnOnce(&mut Self, &mut Vec<Output>),
    ) {
        if catch_unwind(AssertUnwindSafe(|| handle(self, out))).is_ok() {
            return;
        }
        let mut cx = Context { now, peers: &mut self.peers, timers: &mut self.timers, out };
        if self.shard.is_handling() {
            self.shard.break_handled(&mut cx);
        } else if let Some(session) = session {
            self.sessions.break_session(session, &mut cx);
        }
    }

    fn handle_input(&mut self, now: Moment, input: Input, out: &mut Vec<Output>) {
        let mut cx = Context { now, peers: &mut self.peers, timers: &mut self.timers, out };
        match input {
            Input::Opened { session, identity, token } => {
                self.sessions.opened(session, identity, token, &mut cx);
            }
            Input::Command { session, command } => self.sessions.command(session, command, &mut cx),
            Input::Admitted { session, admitted } => self.sessions.admitted(session, *admitted, &mut cx),
            Input::Refused { session, fault } => self.sessions.refused(session, fault, &mut cx),
            Input::Behind { session, publication } => self.sessions.behind(session, &publication, &mut cx),
            Input::PresenceMissed { session, channel } => {
                self.sessions.presence_missed(session, channel, &mut cx);
            }
            Input::Drained { session } => self.sessions.drained(session, &mut cx),
            Input::Closed { session } => self.sessions.closed(session, &mut cx),
            Input::Peer { from, message } => self.hear(now, from, message, out),
            Input::Stored(answer) => self.shard.handle_answer(answer, &mut cx),
            Input::Called { call, result } => self.sessions.called(call, result, &mut cx),
            Input::Epoch(epoch) => self.shard.handle_epoch(epoch, &mut cx),
            Input::Tick => {
                self.shard.tick(&mut cx);
                self.sessions.tick(&mut cx);
                self.pass_due(now, out);
            }
            Input::Due => self.pass_due(now, out),
        }
    }

    fn pass_due(&mut self, now: Moment, out: &mut Vec<Output>) {
        while let Some(due) = self.timers.take_due(now.uptime) {
            let mut cx = Context { now, peers: &mut self.peers, timers: &mut self.timers, out };
            match due {
                Due::Presence(channel) => self.shard.tell_presence(&channel, &mut cx),
                Due::Expiry(session) => self.sessions.expire(session, &mut cx),
                Due::Lapse(channel, session) => self.sessions.lapse(session, &channel, &mut cx),
                Due::Call(call) => self.sessions.call_overdue(call, &mut cx),
                Due::Members(_, session) => self.sessions.members_due(session, &mut cx),
                Due::Paced(channel, session) => self.sessions.pace_due(&channel, session, &mut cx),
                Due::Entries(channel) => self.shard.remove_entries(&channel, &mut cx),
            }
        }
    }

    fn hear(&mut self, now: Moment, from: u16, message: Peer, out: &mut Vec<Output>) {
        match message {
            Peer::Ask(ask) => {
                let mut cx = Context { now, peers: &mut self.peers, timers: &mut self.timers, out };
                self.shard.handle_ask(ask, &mut cx);
            }
            Peer::Line(ask) => {
                let mut cx = Context { now, peers: &mut self.peers, timers: &mut self.timers, out };
                self.lines.handle(ask, &mut cx);
            }
            Peer::Tell(tell) => self.hear_tell(now, from, tell, out),
        }
    }

    fn hear_tell(&mut self, now: Moment, from: u16, tell: Tell, out: &mut Vec<Output>) {
        self.peers.heard(from, &tell);
        let mut cx = Context { now, peers: &mut self.peers, timers: &mut self.timers, out };
        self.sessions.told(tell, &mut cx);
        if from != cx.peers.me {
            self.sessions.unblock(from, &mut cx);
        }
    }
}

/// The session that an input is about, if it is one's.
fn session_of(input: &Input) -> Option<SessionId> {
    match input {
        Input::Opened { session, .. }
        | Input::Command { session, .. }
        | Input::Admitted { session, .. }
        | Input::Refused { session, .. }
        | Input::Behind { session, .. }
        | Input::PresenceMissed { session, .. }
        | Input::Drained { session } => Some(*session),
        Input::Closed { .. }
        | Input::Peer { .. }
        | Input::Stored(_)
        | Input::Called { .. }
        | Input::Epoch(_)
        | Input::Tick
        | Input::Due => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_backend::{Answer, MemoryLog};
    use trunkline_model::{
        Action, ChannelName, ClientId, Command, CommandId, Epoch, Form, Identity, Kind, Namespace, Payload,
        Publish, Publisher, Push, Reply, Start, Subscribe, Timestamp, UserName,
    };

    /// One worker with a store at hand, and what its sessions hear.
    struct Alone {
        hub: Hub,
        log: MemoryLog,
        heard: Vec<String>,
    }

    const NOW: Moment = Moment { ts: Timestamp(1_800_000_000_000), uptime: Duration::from_secs(1) };

    fn id(index: u32) -> SessionId {
        SessionId { index, generation: 1 }
    }

    fn lobby() -> ChannelName {
        ChannelName::parse("chat:lobby").expect("a name")
    }

    impl Alone {
        fn new() -> Self {
            let mut namespaces = Namespaces::default();
            namespaces.insert("chat", Namespace::of_kind(Kind::Log));
            let hub = Hub::new(0, 1, Arc::default(), Arc::new(namespaces));
            let mut alone = Self { hub, log: MemoryLog::new(Epoch::from_random(1)), heard: Vec::new() };
            for index in 0..2 {
                let identity = Identity {
                    client: ClientId::new("c"),
                    user: UserName::new("ann"),
                    publisher: Publisher::new("user:ann"),
                    session: None,
                    named: true,
                    access: Arc::default(),
                };
                alone.take(Input::Opened { session: id(index), identity: Some(identity), token: None });
            }
            alone
        }

        fn take(&mut self, input: Input) {
            let mut out = Vec::new();
            self.hub.handle(NOW, input, &mut out);
            for output in out {
                match output {
                    Output::Store(request) => {
                        let answer: Answer = self.log.handle(request, NOW.ts);
                        self.take(Input::Stored(answer));
                    }
                    Output::Reply { session, reply: Reply::Fault(fault) } => {
                        self.heard.push(format!("{} {}", session.index, fault.code));
                    }
                    Output::Reply { session, reply } => {
                        let words = format!("{reply:?}");
                        let kind = words.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
                        self.heard.push(format!("{} {kind}", session.index));
                    }
                    Output::Push { session, push: Push::Unsubscribed { code, .. } } => {
                        self.heard.push(format!("{} unsubscribed {code}", session.index));
                    }
                    Output::Deliver { sessions, .. } => {
                        self.heard
                            .extend(sessions.iter().map(|session| format!("{} message", session.index)));
                    }
                    Output::Fail { session } => self.heard.push(format!("{} fails", session.index)),
                    _ => {}
                }
            }
        }

        fn ask(&mut self, index: u32, action: Action) {
            let command = Command { id: Some(CommandId::Number(1)), action };
            self.take(Input::Command { session: id(index), command });
        }

        fn subscribe(&mut self, index: u32) {
            self.ask(index, Action::Subscribe(Subscribe::new(lobby(), Start::Next)));
        }

        fn publish(&mut self, index: u32) {
            let payload = Payload::new(Form::Text, "x");
            self.ask(index, Action::Publish(Publish::new(lobby(), payload)));
        }

        fn check(&mut self, expect: &[&str]) {
            assert_eq!(std::mem::take(&mut self.heard), expect);
        }
    }

    #[test]
    fn a_panic_in_a_session_ends_that_session() {
        let mut alone = Alone::new();
        alone.subscribe(0);
        alone.subscribe(1);
        alone.check(&["0 Subscribed", "1 Subscribed"]);
        alone.hub.sessions.trap = Some(id(0));
        alone.ask(0, Action::Ping);
        alone.check(&["0 fails"]);
        alone.publish(1);
        alone.check(&["1 Published", "1 message"]);
    }

    #[test]
    fn a_panic_in_a_channel_opens_it_again() {
        let mut alone = Alone::new();
        alone.subscribe(0);
        alone.check(&["0 Subscribed"]);
        alone.hub.shard.trap = Some(lobby());
        alone.publish(1);
        alone.check(&["1 internal", "0 unsubscribed internal"]);
        alone.hub.shard.trap = None;
        alone.subscribe(0);
        alone.publish(1);
        alone.check(&["0 Subscribed", "1 Published", "0 message"]);
        assert!(alone.hub.is_settled());
    }
}
