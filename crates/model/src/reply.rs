//! What the hub tells a client: replies to its commands, and pushes unasked. A dialect writes them out.

use std::sync::Arc;
use std::time::Duration;

use crate::{
    Capability, ChannelName, CommandId, Epoch, ErrorCode, Identity, Key, Kind, Offset, Payload, Position,
    PresenceUpdate, Publication, Timestamp,
};

/// The answer to one command.
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    /// To `connect`.
    Welcome {
        /// The command's id.
        id: Option<CommandId>,
        /// Who the session is, with its secret.
        identity: Identity,
        /// How often the server pings.
        ping: Duration,
        /// Over how long a client should spread its first retry after a good session.
        spread: Duration,
        /// The server's time.
        ts: Timestamp,
        /// The largest payload of a publication, in bytes.
        message_size_max: usize,
        /// Subscriptions of one session.
        subscriptions_max: usize,
    },
    /// To `refresh`.
    Refreshed {
        /// The command's id.
        id: Option<CommandId>,
        /// When the new token expires.
        expires: Option<Timestamp>,
    },
    /// To `subscribe`.
    Subscribed(Box<Subscribed>),
    /// To `unsubscribe`.
    Unsubscribed {
        /// The command's id.
        id: Option<CommandId>,
        /// The channel.
        channel: ChannelName,
    },
    /// To `publish`: stored at the namespace's level. Written out only if the command had an id.
    Published {
        /// The command's id.
        id: Option<CommandId>,
        /// The channel.
        channel: ChannelName,
        /// Where it stands; `None` in a `signal` channel.
        position: Option<Position>,
        /// The command's key.
        key: Option<Key>,
        /// When it was stored.
        ts: Timestamp,
        /// Whether an earlier publish with the same key had stored it.
        duplicate: bool,
        /// Whether a later publication has taken its place before it was stored; position and time are that one's.
        merged: bool,
    },
    /// To `history`.
    History {
        /// The command's id.
        id: Option<CommandId>,
        /// The channel.
        channel: ChannelName,
        /// The page.
        page: Page,
    },
    /// To `presence`: all members, or what the session's own has become.
    Presence {
        /// The command's id.
        id: Option<CommandId>,
        /// The members.
        update: Arc<PresenceUpdate>,
    },
    /// To `rpc`.
    Result {
        /// The command's id.
        id: Option<CommandId>,
        /// What the application answers: JSON.
        data: Payload,
    },
    /// To `ping`.
    Pong {
        /// The command's id.
        id: Option<CommandId>,
        /// The server's time.
        ts: Timestamp,
    },
    /// To any command that could not be done.
    Fault(Fault),
}

/// A command that could not be done, and why.
#[derive(Clone, PartialEq, Debug)]
pub struct Fault {
    /// The command's id.
    pub id: Option<CommandId>,
    /// The stable code.
    pub code: ErrorCode,
    /// What is wrong and what would be right, for a person.
    pub message: String,
    /// The channel it is about.
    pub channel: Option<ChannelName>,
    /// Where the channel, or the entry, stands instead (with `conflict`).
    pub position: Option<Position>,
    /// After how long trying again makes sense.
    pub retry: Option<Duration>,
}

impl Fault {
    /// A fault with a code and a message, about no channel and no command yet.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { id: None, code, message: message.into(), channel: None, position: None, retry: None }
    }

    /// The same fault, about `channel`.
    #[must_use]
    pub fn about(mut self, channel: &ChannelName) -> Self {
        self.channel = Some(channel.clone());
        self
    }

    /// The same fault, answering the command `id`.
    #[must_use]
    pub fn answering(mut self, id: Option<CommandId>) -> Self {
        self.id = id;
        self
    }

    /// The same fault, saying after how long to try again.
    #[must_use]
    pub fn retry_in(mut self, retry: Duration) -> Self {
        self.retry = Some(retry);
        self
    }
}

/// A subscription has begun.
#[derive(Clone, PartialEq, Debug)]
pub struct Subscribed {
    /// The command's id.
    pub id: Option<CommandId>,
    /// The channel.
    pub channel: ChannelName,
    /// Its kind.
    pub kind: Kind,
    /// Where the subscription stands once the replay is done; `None` in a `signal` channel.
    pub position: Option<Position>,
    /// The first offset that can be read.
    pub floor: Offset,
    /// Whether the place that was asked for could be continued.
    pub recovery: Recovery,
    /// The newest page, ascending, if it was asked for, and whether there is more before it.
    pub items: Option<(Vec<Arc<Publication>>, bool)>,
    /// The newest publication of each entry, ascending by offset (`value` and `map`), unless the place that was asked
    /// for is continued.
    pub entries: Option<Vec<Arc<Publication>>>,
    /// Who is there, if it was asked for.
    pub presence: Option<Arc<PresenceUpdate>>,
    /// What the session may do there.
    pub can: Vec<Capability>,
}

/// What became of `since`.
#[derive(Clone, PartialEq, Debug)]
pub enum Recovery {
    /// It was not asked for.
    NotAsked,
    /// These publications follow the reply as ordinary messages; then comes what is new.
    Recovered(Vec<Arc<Publication>>),
    /// So many publications follow the reply as ordinary messages, as fast as the client reads; then comes what is new.
    CatchingUp(u64),
    /// It could not be continued.
    Lost {
        /// Why.
        reason: LostReason,
        /// The last offset that both sides share, if known.
        keep: Option<Offset>,
    },
}

/// Why a position could not be continued.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LostReason {
    /// It lies below the floor.
    Trimmed,
    /// More than may be replayed lies between it and now.
    Limit,
    /// The log no longer holds what it names.
    Rewound,
}

impl LostReason {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trimmed => "trimmed",
            Self::Limit => "limit",
            Self::Rewound => "rewound",
        }
    }
}

/// A page of history: all visible entries in `lo..=hi`, ascending.
#[derive(Clone, PartialEq, Debug)]
pub struct Page {
    /// The epoch of the entry at `top`.
    pub epoch: Epoch,
    /// The channel's newest offset when the page was made.
    pub top: Offset,
    /// The first offset that the page covers (`hi + 1` if it is empty).
    pub lo: Offset,
    /// The last offset that the page covers.
    pub hi: Offset,
    /// The entries.
    pub items: Vec<Arc<Publication>>,
    /// The first offset that can be read.
    pub floor: Offset,
    /// Whether there are further items in the direction asked for (older if neither was).
    pub more: bool,
}

/// What a client is told unasked.
#[derive(Clone, PartialEq, Debug)]
pub enum Push {
    /// A publication of a channel it follows.
    Message(Arc<Publication>),
    /// A subscription has ended by the server's will.
    Unsubscribed {
        /// The channel.
        channel: ChannelName,
        /// Why.
        code: ErrorCode,
        /// Why, for a person.
        message: String,
        /// After how long subscribing again makes sense.
        retry: Option<Duration>,
    },
    /// Who came, went or changed in a channel it follows; or all who are there.
    Presence(Arc<PresenceUpdate>),
    /// Are you there? (Only with `heartbeat`.)
    Ping,
    /// The server is about to end; leave at a random moment within this time.
    Goaway {
        /// The time.
        within: Duration,
    },
}
