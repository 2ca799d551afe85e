//! One client's conversation at its worker: who it is, what it follows, what it waits for. Held by
//! `Sessions`, which decides; this file keeps the books.
//!
//! ```text
//!   New ──first command──▶ Admitting ──admitted──▶ Open
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use trunkline_model::{ChannelName, Command, CommandId, Identity, Offset, Secret, Subscribe};

use crate::access::Bearer;
use crate::bucket::Bucket;
use crate::pass::Pass;
use crate::peer::Missing;

/// One client's conversation.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) generation: u32,
    /// The uptime at which the connection was there: of two with the same identity the later one is the newer.
    pub(crate) since: Duration,
    pub(crate) phase: Phase,
    pub(crate) subscriptions: Vec<Subscription>,
    /// How much of the rate of commands is used up.
    pub(crate) commands: Bucket,
    /// Questions to owners that have no answer yet.
    pub(crate) in_flight: usize,
    /// Commands that could not be asked yet. Commands of the client's own stop coming while there are any.
    pub(crate) waiting: VecDeque<Command>,
    /// Whether what waits was given in `connect` and is answered one by one.
    pub(crate) one_by_one: bool,
    /// Whether the next of them waits for room in the outbox.
    pub(crate) awaits_room: bool,
    /// Whether a subscription may be behind, so that it is worth looking for one.
    pub(crate) has_lagged: bool,
    /// Whether a channel that is behind could not be read, and waits for the next tick.
    pub(crate) awaits_store: bool,
    /// Whether what waits stands in the line for a place in the queue to a worker.
    pub(crate) blocked: bool,
    /// Whether the caller was told to hold back commands, and is to be told when to go on.
    pub(crate) held_back: bool,
    /// Whether it is known to others, so that a newer connection takes its place.
    pub(crate) has_line: bool,
    /// For what the door is asked, after the first time.
    pub(crate) asking: Option<Box<Asking>>,
    next_subscription: u32,
}

/// How far the conversation has come.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Nothing was said yet, but for a token in the handshake.
    New(Option<Secret>),
    /// The door is being asked; this command was the first.
    Admitting(Box<Command>),
    /// It is known who this is.
    Open(Box<Identity>),
}

/// The command that shows a token, while the door looks at it.
#[derive(Debug)]
pub(crate) enum Asking {
    /// A `refresh` under this id. Other commands go on meanwhile.
    Refresh(Option<CommandId>),
    /// A `subscribe` under this id. Other commands wait.
    Subscribe(Option<CommandId>, Subscribe),
}

/// A session's way into, or place in, one channel.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) channel: ChannelName,
    /// Tells it from an earlier subscription of the session to the channel.
    pub(crate) generation: u32,
    pub(crate) place: Place,
    /// What a token of its own allows, if it has one.
    pub(crate) pass: Option<Box<Pass>>,
    /// Whether presence shows the user as it was when the owner was asked: it has changed since.
    pub(crate) is_shown_late: bool,
}

/// How a subscription stands to its channel.
///
/// ```text
///   Joining ──────────────────────▶ Live ──no room in the outbox──▶ Behind ◀──────────────┐
///                                    ▲                                │ the outbox drained │ a page, or no answer
///                                    ├──────── all is there ────── Resuming ──────────────┘
///                                    └──was told, and is paced──▶ Paced ──its time has come──▶ Behind
/// ```
#[derive(Debug)]
pub(crate) enum Place {
    /// The owner is asked; this is the client's id of its command.
    Joining(Option<CommandId>),
    /// It stands in the worker's list.
    Live {
        /// Where.
        slot: u32,
        /// What it was told when it came in; in a signal nothing.
        after: Offset,
    },
    /// It is pushed nothing until its session's outbox has drained; this is where.
    Behind(Missing),
    /// It is pushed nothing until its time has come, because it wants to be told only so often.
    Paced(Missing),
    /// The owner is asked to go on from there.
    Resuming(Missing),
}

impl Session {
    pub(crate) fn new(
        generation: u32,
        identity: Option<Identity>,
        token: Option<Secret>,
        since: Duration,
    ) -> Self {
        Self {
            generation,
            since,
            phase: identity.map_or(Phase::New(token), |identity| Phase::Open(Box::new(identity))),
            subscriptions: Vec::new(),
            commands: Bucket::default(),
            in_flight: 0,
            waiting: VecDeque::new(),
            one_by_one: false,
            awaits_room: false,
            has_lagged: false,
            awaits_store: false,
            blocked: false,
            held_back: false,
            has_line: false,
            asking: None,
            next_subscription: 0,
        }
    }

    /// Whether the client's next command may come.
    pub(crate) fn accepts(&self, in_flight_max: usize) -> bool {
        !matches!(self.phase, Phase::Admitting(_))
            && !self.awaits_door()
            && self.waiting.is_empty()
            && self.in_flight < in_flight_max
    }

    /// Whether commands wait until the door has looked at a token.
    pub(crate) fn awaits_door(&self) -> bool {
        matches!(self.asking.as_deref(), Some(Asking::Subscribe(..)))
    }

    /// Who the session is to the rules of `channel`; `None` as long as that is not known.
    pub(crate) fn bearer(&self, channel: &ChannelName) -> Option<Bearer<'_>> {
        let Phase::Open(identity) = &self.phase else { return None };
        let subscription = self.subscriptions.iter().find(|subscription| subscription.channel == *channel);
        let pass = subscription.and_then(|subscription| subscription.pass.as_deref());
        Some(Bearer { identity, pass, is_subscriber: subscription.is_some() })
    }

    pub(crate) fn subscription_mut(&mut self, channel: &ChannelName) -> Option<&mut Subscription> {
        self.subscriptions.iter_mut().find(|subscription| subscription.channel == *channel)
    }

    /// Notes a new subscription on its way, and gives its generation.
    pub(crate) fn joining(
        &mut self,
        channel: &ChannelName,
        id: Option<CommandId>,
        pass: Option<Box<Pass>>,
    ) -> u32 {
        self.next_subscription = self.next_subscription.wrapping_add(1);
        let generation = self.next_subscription;
        if self.subscriptions.is_empty() {
            // Most sessions follow one channel; a vector's own first step makes room for four.
            self.subscriptions.reserve_exact(1);
        }
        self.subscriptions.push(Subscription {
            channel: channel.clone(),
            generation,
            place: Place::Joining(id),
            pass,
            is_shown_late: false,
        });
        generation
    }

    /// A subscription that waits for the outbox to drain.
    pub(crate) fn behind_mut(&mut self) -> Option<&mut Subscription> {
        self.subscriptions.iter_mut().find(|subscription| matches!(subscription.place, Place::Behind(_)))
    }

    pub(crate) fn is_resuming(&self) -> bool {
        self.subscriptions.iter().any(|subscription| matches!(subscription.place, Place::Resuming(_)))
    }

    pub(crate) fn remove_subscription(&mut self, channel: &ChannelName) -> Option<Subscription> {
        let index = self.subscriptions.iter().position(|subscription| subscription.channel == *channel)?;
        Some(self.subscriptions.swap_remove(index))
    }
}
