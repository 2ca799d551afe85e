//! What a client asks, whatever its dialect. Made by a dialect from checked input, taken by the hub.

use std::time::Duration;

use crate::{ChannelName, DisplayName, EntryName, Key, Method, Offset, Payload, Position, Reference, Secret};

/// The client's own name for a command, echoed in its reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CommandId {
    /// A text of at most 64 bytes.
    Text(Box<str>),
    /// An integer.
    Number(i64),
}

/// One command of a client.
#[derive(Clone, PartialEq, Debug)]
pub struct Command {
    /// Named by the client if it wants to recognise the reply.
    pub id: Option<CommandId>,
    /// What is asked.
    pub action: Action,
}

/// What a command asks.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Open the session.
    Connect(Connect),
    /// Follow a channel.
    Subscribe(Subscribe),
    /// Stop following a channel.
    Unsubscribe(ChannelName),
    /// Publish to a channel.
    Publish(Publish),
    /// A page of a channel's stored past.
    History(HistoryQuery),
    /// Who is in a channel, or one's own state there.
    Presence(PresenceQuery),
    /// Something of the application behind the server. It comes with an id, or its answer could not be told apart.
    Rpc {
        /// What is to be done.
        method: Method,
        /// With what: JSON.
        data: Payload,
    },
    /// Go on with this token, when the time of the other is nearly over.
    Refresh(Secret),
    /// Is anyone there?
    Ping,
    /// The answer to the server's `ping`.
    Pong,
}

impl Action {
    /// The channel that it is about, if it is about one.
    #[must_use]
    pub fn channel(&self) -> Option<&ChannelName> {
        match self {
            Self::Subscribe(Subscribe { channel, .. })
            | Self::Publish(Publish { channel, .. })
            | Self::History(HistoryQuery { channel, .. })
            | Self::Presence(PresenceQuery { channel, .. })
            | Self::Unsubscribe(channel) => Some(channel),
            Self::Connect(_) | Self::Rpc { .. } | Self::Refresh(_) | Self::Ping | Self::Pong => None,
        }
    }
}

/// Opens a session; without it the first other command opens an anonymous one.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Connect {
    /// A token that says who it is and what it may do.
    pub token: Option<Secret>,
    /// The secret of an earlier session, to be that one again.
    pub session: Option<Secret>,
    /// Channels to subscribe to, answered one by one in this order.
    pub subscribe: Vec<Subscribe>,
    /// Whether the server's pings come as `ping` messages instead of WebSocket pings.
    pub heartbeat: bool,
    /// What others see of it in presence, beside its user.
    pub name: Option<DisplayName>,
}

/// Follows a channel.
#[derive(Clone, PartialEq, Debug)]
pub struct Subscribe {
    /// The channel.
    pub channel: ChannelName,
    /// From where.
    pub start: Start,
    /// Whether it wants to know who is there, and who comes and goes.
    pub presence: bool,
    /// What others see of it there: JSON.
    pub state: Option<Payload>,
    /// So many times per second at most it wants to hear of the channel (`value` and `map`).
    pub rate_max: Option<u32>,
    /// A token that allows it, beside the connection's own.
    pub token: Option<Secret>,
}

impl Subscribe {
    /// A subscription to `channel` from `start` on, with nothing else asked of it.
    #[must_use]
    pub fn new(channel: ChannelName, start: Start) -> Self {
        Self { channel, start, presence: false, state: None, rate_max: None, token: None }
    }
}

/// Asks who is in a channel, or says something about oneself there.
#[derive(Clone, PartialEq, Debug)]
pub struct PresenceQuery {
    /// The channel.
    pub channel: ChannelName,
    /// The new state of the session's own member, JSON; `None` asks for all members.
    pub state: Option<Payload>,
}

/// From where a subscription begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// With what comes next.
    Next,
    /// With the newest page of so many items, given in the reply.
    Last(u32),
    /// After this position, by replay.
    Since(Position),
    /// After this position, by replay, however much that is.
    CatchUp(Position),
}

/// Publishes to a channel.
#[derive(Clone, PartialEq, Debug)]
pub struct Publish {
    /// The channel.
    pub channel: ChannelName,
    /// What is published; empty where something is removed or deleted.
    pub payload: Payload,
    /// The idempotency key.
    pub key: Option<Key>,
    /// Store it only if this is the newest offset: of the channel, or in a `map` of the entry (0: there is none).
    pub condition: Option<Offset>,
    /// What it says about an earlier message (`log`).
    pub reference: Option<Reference>,
    /// The entry that it is the new state of (`map`).
    pub entry: Option<EntryName>,
    /// Whether the entry is to be removed (`value` and `map`).
    pub removes: bool,
    /// After how long the entry is removed by itself (`value` and `map`).
    pub ttl: Option<Duration>,
    /// Whether the entry is removed when the session has ended (`map`).
    pub bind: bool,
    /// Whether it passes through as a signal does and is not stored.
    pub ephemeral: bool,
}

impl Publish {
    /// A publication of `payload` to `channel`, with nothing else asked of it.
    #[must_use]
    pub fn new(channel: ChannelName, payload: Payload) -> Self {
        Self {
            channel,
            payload,
            key: None,
            condition: None,
            reference: None,
            entry: None,
            removes: false,
            ttl: None,
            bind: false,
            ephemeral: false,
        }
    }
}

/// Asks for a page of history. Bounds are exclusive and at most one of them is set; without any the
/// newest page is meant.
#[derive(Clone, PartialEq, Debug)]
pub struct HistoryQuery {
    /// The channel.
    pub channel: ChannelName,
    /// Items below this offset, the newest of them.
    pub before: Option<Offset>,
    /// Items above this offset, the oldest of them.
    pub after: Option<Offset>,
    /// How many items at most.
    pub limit: Option<u32>,
    /// The answer must be at least as new as this and of the same log.
    pub at: Option<Position>,
}
