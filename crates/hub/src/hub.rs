//! One worker's rules: takes inputs, gives outputs, and lets its two sides talk to each other.

use std::sync::Arc;
use std::time::Duration;

use trunkline_model::{Limits, Namespaces, Publication};

use crate::input::{Input, Moment, SessionId};
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
        self.shard.is_settled() && self.peers.is_settled()
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

    /// The uptime at which [`Input::Due`] is to come, if anything waits for a moment.
    #[must_use]
    pub fn wakes_at(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// Says how many messages the queue to `worker` has room for. At least once per turn.
    pub fn handle_room(&mut self, now: Moment, worker: u16, free: usize, out: &mut Vec<Output>) {
        self.peers.set_room(worker, free);
        let mut cx = Context { now, peers: &mut self.peers, timers: &mut self.timers, out };
        self.shard.feed_behind(worker, &mut cx);
        self.sessions.unblock(worker, &mut cx);
        self.settle_local(now, out);
    }

    /// Takes one input and appends what is to be done to `out`, in order.
    pub fn handle(&mut self, now: Moment, input: Input, out: &mut Vec<Output>) {
        let mut cx = Context { now, peers: &mut self.peers, timers: &mut self.timers, out };
        match input {
            Input::Opened { session, identity } => self.sessions.opened(session, identity),
            Input::Command { session, command } => self.sessions.command(session, command, &mut cx),
            Input::Admitted { session, identity, channels } => {
                self.sessions.admitted(session, identity, channels, &mut cx);
            }
            Input::Behind { session, publication } => self.sessions.behind(session, &publication, &mut cx),
            Input::PresenceMissed { session, channel } => {
                self.sessions.presence_missed(session, channel, &mut cx);
            }
            Input::Drained { session } => self.sessions.drained(session, &mut cx),
            Input::Closed { session } => self.sessions.closed(session, &mut cx),
            Input::Peer { from, message } => self.hear(now, from, message, out),
            Input::Stored(answer) => self.shard.handle_answer(answer, &mut cx),
            Input::Epoch(epoch) => self.shard.handle_epoch(epoch, &mut cx),
            Input::Tick => {
                self.shard.tick(&mut cx);
                self.sessions.tick(&mut cx);
                self.pass_due(now, out);
            }
            Input::Due => self.pass_due(now, out),
        }
        self.settle_local(now, out);
    }

    /// What the two sides of this worker say to each other is heard before anything else comes in.
    fn settle_local(&mut self, now: Moment, out: &mut Vec<Output>) {
        while let Some(message) = self.peers.take_local() {
            self.hear(now, self.peers.me, message, out);
        }
    }

    fn pass_due(&mut self, now: Moment, out: &mut Vec<Output>) {
        while let Some(due) = self.timers.take_due(now.uptime) {
            let mut cx = Context { now, peers: &mut self.peers, timers: &mut self.timers, out };
            match due {
                Due::Presence(channel) => self.shard.tell_presence(&channel, &mut cx),
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
