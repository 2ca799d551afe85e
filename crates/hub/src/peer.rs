//! The words between the hubs of two workers, and the account of how many of them fit.
//!
//! Every [`Ask`] is answered by exactly one [`Tell`] other than a broadcast, so the room for answers is
//! known when the question is put.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use trunkline_model::{
    ChannelName, ClientId, CommandId, HistoryQuery, Kind, LostReason, Member, Offset, Payload, Position,
    PresenceQuery, PresenceUpdate, Publication, Publish, Publisher, Reply, Start, Subscribed, UserName,
};

use crate::{Output, SessionId};

/// One message from a worker's hub to another's.
#[derive(Debug)]
pub enum Peer {
    /// To the owner of a channel.
    Ask(Ask),
    /// To the keeper of a session's lines, or to the worker of one that is to end.
    Line(LineAsk),
    /// From the owner of a channel, or about a session's lines.
    Tell(Tell),
}

/// A question about the connections of one session.
#[derive(Debug)]
pub struct LineAsk {
    /// The worker that asks, where the answer goes.
    pub worker: u16,
    /// The connection that it asks for.
    pub session: SessionId,
    /// What is asked.
    pub question: LineQuestion,
}

/// What is asked about the connections of one session.
#[derive(Debug)]
pub enum LineQuestion {
    /// This connection is one of the session with this public id.
    Begins {
        /// The public id.
        client: ClientId,
        /// The uptime at which it was opened: the latest is the newest.
        since: Duration,
    },
    /// It has ended.
    Ends(ClientId),
    /// It has replaced this one of the worker that is asked.
    Replace(SessionId),
}

/// A question to the owner of a channel.
#[derive(Debug)]
pub struct Ask {
    /// The worker of the session, where the answer goes.
    pub worker: u16,
    /// The session that asks.
    pub session: SessionId,
    /// The client's id of the command.
    pub id: Option<CommandId>,
    /// What is asked.
    pub question: Question,
}

/// What is asked of the owner of a channel.
#[derive(Debug)]
pub enum Question {
    /// Let this session in. `generation` tells this subscription from an earlier one of the same session.
    Join {
        /// The channel.
        channel: ChannelName,
        /// Which subscription of the session to the channel it is.
        generation: u32,
        /// The session's public id.
        client: ClientId,
        /// From where.
        start: Start,
        /// The first offset that it is given.
        floor: Offset,
        /// Who it is to the others, where the channel has presence.
        entering: Option<Box<Entering>>,
    },
    /// Let this session, which had fallen behind, go on.
    Resume {
        /// The channel.
        channel: ChannelName,
        /// Which subscription of the session to the channel it is.
        generation: u32,
        /// From where.
        missing: Missing,
        /// The first offset that it is given.
        floor: Offset,
    },
    /// The worker has no subscriber any more.
    Leave(ChannelName),
    /// Publish.
    Publish {
        /// What and where.
        publish: Publish,
        /// Who.
        author: Author,
    },
    /// A page of history.
    History {
        /// Which.
        query: HistoryQuery,
        /// The first offset that is given.
        floor: Offset,
    },
    /// A session has ended whose entries are to go with it.
    Unbind {
        /// The channel.
        channel: ChannelName,
        /// The session's public id.
        client: ClientId,
    },
    /// All members, or a new state of the session's own.
    Presence(PresenceQuery),
    /// The session's own member is shown with this from now on.
    Inform {
        /// The channel.
        channel: ChannelName,
        /// What the token says of the user: JSON.
        info: Option<Payload>,
    },
    /// This subscription of the session, and any earlier one, is over: it holds its member no more.
    Depart {
        /// The channel.
        channel: ChannelName,
        /// Which subscription of the session to the channel it is.
        generation: u32,
    },
    /// All members, for a session that missed a change.
    Members(ChannelName),
}

/// A session as a member of a channel's presence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entering {
    /// What others are told.
    pub member: Member,
    /// Whether it is to be told of the others.
    pub watches: bool,
}

/// Who publishes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Author {
    /// In whose name others see it.
    pub from: Option<UserName>,
    /// The scope of its keys.
    pub publisher: Publisher,
    /// The session's public id.
    pub client: ClientId,
    /// Whether it may edit and delete what others wrote.
    pub moderates: bool,
    /// The first offset of the channel that it is given.
    pub floor: Offset,
}

/// The place of a subscriber that has fallen behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing {
    /// This entry is the first that it did not get.
    At(Position),
    /// This entry is the last that it got.
    After(Position),
}

impl Question {
    /// The channel it is about.
    pub(crate) fn channel(&self) -> &ChannelName {
        match self {
            Self::Join { channel, .. }
            | Self::Resume { channel, .. }
            | Self::Depart { channel, .. }
            | Self::Inform { channel, .. }
            | Self::Unbind { channel, .. }
            | Self::Leave(channel)
            | Self::Members(channel) => channel,
            Self::Presence(PresenceQuery { channel, .. }) => channel,
            Self::Publish { publish: Publish { channel, .. }, .. } => channel,
            Self::History { query: HistoryQuery { channel, .. }, .. } => channel,
        }
    }
}

/// What the owner of a channel says.
#[derive(Debug)]
pub enum Tell {
    /// The session is in, from `subscribed.position` on.
    Joined {
        /// The session.
        session: SessionId,
        /// Which subscription.
        generation: u32,
        /// What the client is told.
        subscribed: Box<Subscribed>,
    },
    /// The session may go on from where it is, but much lies between; it is not in yet.
    Behind {
        /// The session.
        session: SessionId,
        /// Which subscription.
        generation: u32,
        /// What the client is told.
        subscribed: Box<Subscribed>,
        /// From where it is to go on.
        missing: Missing,
    },
    /// The answer to [`Question::Resume`] where much is missing: a part of it. The session is not in yet.
    CaughtUp {
        /// The session.
        session: SessionId,
        /// Which subscription.
        generation: u32,
        /// The channel.
        channel: ChannelName,
        /// What it did not get, from its place on; at least one.
        entries: Vec<Arc<Publication>>,
    },
    /// The session is not in.
    NotJoined {
        /// The session.
        session: SessionId,
        /// Which subscription.
        generation: u32,
        /// The channel.
        channel: ChannelName,
        /// What the client is told.
        reply: Reply,
    },
    /// The leave, the departure or the word about a line has been taken.
    Left,
    /// The connection takes the place of an older one of its session, which is to end.
    Replaces {
        /// The connection.
        session: SessionId,
        /// The older one's worker.
        worker: u16,
        /// The older one.
        older: SessionId,
    },
    /// A newer connection of its session was faster: it is to end.
    Replaced {
        /// The connection.
        session: SessionId,
    },
    /// It is done, and the client wants no word of it.
    Done {
        /// The session.
        session: SessionId,
    },
    /// The answer to [`Question::Members`].
    Members {
        /// The session.
        session: SessionId,
        /// All who are there.
        update: Arc<PresenceUpdate>,
    },
    /// The answer to a publish or a question for history.
    Answer {
        /// The session.
        session: SessionId,
        /// What the client is told.
        reply: Reply,
    },
    /// A publication for the worker's subscribers; not an answer.
    Broadcast(Arc<Publication>),
    /// What changed of a channel's presence, for the worker's subscribers that asked to be told; not an answer.
    Presence(Arc<PresenceUpdate>),
    /// The worker's subscribers cannot go on from where they are; not an answer.
    Lost(Box<Loss>),
    /// The channel's state is gone, and its subscribers with it; not an answer.
    Broken(ChannelName),
}

/// Why the subscribers of a channel cannot go on from where they are, and where they stand now.
#[derive(Debug)]
pub struct Loss {
    /// The channel.
    pub channel: ChannelName,
    /// Its kind.
    pub kind: Kind,
    /// Where they stand now.
    pub place: Position,
    /// The first offset that can be read.
    pub floor: Offset,
    /// Why.
    pub reason: LostReason,
    /// The last offset that they have rightly, if known.
    pub keep: Option<Offset>,
    /// The whole state, of a `value` or `map`.
    pub entries: Option<Vec<Arc<Publication>>>,
}

impl Tell {
    fn is_answer(&self) -> bool {
        !matches!(self, Self::Broadcast(_) | Self::Presence(_) | Self::Lost(_) | Self::Broken(_))
    }
}

/// The account with the other workers: how many questions are open, and how much room each queue has.
///
/// A queue of `capacity` keeps a quarter for questions and a quarter for answers, so that these always
/// fit; broadcasts take what is left.
#[derive(Debug)]
pub(crate) struct Peers {
    pub(crate) me: u16,
    workers: u16,
    window: u32,
    open: Vec<u32>,
    free: Vec<u32>,
    local: VecDeque<Peer>,
}

impl Peers {
    pub(crate) fn new(me: u16, workers: u16, capacity: usize) -> Self {
        let count = usize::from(workers);
        let capacity = u32::try_from(capacity).unwrap_or(u32::MAX);
        Self {
            me,
            workers,
            window: capacity / 4,
            open: vec![0; count],
            free: vec![capacity; count],
            local: VecDeque::new(),
        }
    }

    pub(crate) fn owner_of(&self, channel: &ChannelName) -> u16 {
        // The remainder is below `workers`, a u16.
        (channel.stable_hash() % u64::from(self.workers)) as u16
    }

    /// The worker that knows which connection of a session is its newest.
    pub(crate) fn keeper_of(&self, client: &ClientId) -> u16 {
        (client.stable_hash() % u64::from(self.workers)) as u16
    }

    pub(crate) fn set_room(&mut self, worker: u16, free: usize) {
        self.free[usize::from(worker)] = u32::try_from(free).unwrap_or(u32::MAX);
    }

    pub(crate) fn may_ask(&self, worker: u16) -> bool {
        worker == self.me || self.open[usize::from(worker)] < self.window
    }

    pub(crate) fn may_broadcast(&self, worker: u16) -> bool {
        worker == self.me || self.free[usize::from(worker)] > 2 * self.window
    }

    /// Whether every question has its answer.
    pub(crate) fn is_settled(&self) -> bool {
        self.local.is_empty() && self.open.iter().all(|open| *open == 0)
    }

    /// The caller has asked [`Peers::may_ask`].
    pub(crate) fn ask(&mut self, worker: u16, ask: Ask, out: &mut Vec<Output>) {
        if worker != self.me {
            self.open[usize::from(worker)] += 1;
        }
        self.send(worker, Peer::Ask(ask), out);
    }

    /// The caller has asked [`Peers::may_ask`].
    pub(crate) fn ask_line(&mut self, worker: u16, ask: LineAsk, out: &mut Vec<Output>) {
        if worker != self.me {
            self.open[usize::from(worker)] += 1;
        }
        self.send(worker, Peer::Line(ask), out);
    }

    /// For a broadcast the caller has asked [`Peers::may_broadcast`].
    pub(crate) fn tell(&mut self, worker: u16, tell: Tell, out: &mut Vec<Output>) {
        self.send(worker, Peer::Tell(tell), out);
    }

    /// Takes note of what another worker told: an answer closes one question.
    pub(crate) fn heard(&mut self, from: u16, tell: &Tell) {
        if from != self.me && tell.is_answer() {
            let open = &mut self.open[usize::from(from)];
            *open = open.saturating_sub(1);
        }
    }

    /// The next message of this worker to itself.
    pub(crate) fn take_local(&mut self) -> Option<Peer> {
        self.local.pop_front()
    }

    fn send(&mut self, to: u16, message: Peer, out: &mut Vec<Output>) {
        if to == self.me {
            self.local.push_back(message);
        } else {
            let free = &mut self.free[usize::from(to)];
            *free = free.saturating_sub(1);
            out.push(Output::Peer { to, message });
        }
    }
}
