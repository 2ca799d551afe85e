//! What a server says, as a client understands it. Plain data, made by `client::decode`; what follows from it is the
//! client's business.

use std::sync::Arc;
use std::time::Duration;

use trunkline_model::{
    Capability, ChannelName, ClientId, CommandId, EntryName, Epoch, ErrorCode, Fold, Key, Kind, LostReason,
    Offset, Payload, Position, PresenceUpdate, Reference, Secret, Timestamp, UserName,
};

/// One message of a server: the answer to a command, or a push.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum ServerMessage {
    /// The session is open.
    Welcome(Welcome),
    /// A channel is followed.
    Subscribed(Subscribed),
    /// A channel is followed no longer.
    Unsubscribed(Unsubscribed),
    /// A publication is stored.
    Published(Published),
    /// A page of a channel's past.
    History {
        /// The command's id.
        id: Option<CommandId>,
        /// The channel.
        channel: ChannelName,
        /// The page.
        page: Page,
    },
    /// The answer to `ping`.
    Pong {
        /// The command's id.
        id: Option<CommandId>,
        /// The server's time.
        ts: Timestamp,
    },
    /// A publication of a channel that is followed.
    Message {
        /// The channel.
        channel: ChannelName,
        /// The publication.
        message: Message,
    },
    /// Who is in a channel, or what changed of that.
    Presence {
        /// The command's id, in the answer to `presence`.
        id: Option<CommandId>,
        /// What is told.
        update: Arc<PresenceUpdate>,
    },
    /// The answer to `rpc`.
    Result {
        /// The command's id.
        id: Option<CommandId>,
        /// What the application answers: JSON.
        data: Payload,
    },
    /// The answer to `refresh`.
    Refreshed {
        /// The command's id.
        id: Option<CommandId>,
        /// When the new token expires, by the server's clock.
        expires: Option<Timestamp>,
    },
    /// Are you there? To be answered with `pong`.
    Ping,
    /// The server is about to end; leave at a random moment within this time.
    Goaway {
        /// The time.
        within: Duration,
    },
    /// A command could not be done.
    Refused(Refusal),
    /// Something that only newer clients know, with its `type`.
    Unknown(Box<str>),
}

/// The answer to `connect`.
#[derive(Clone, PartialEq, Debug)]
pub struct Welcome {
    /// The command's id.
    pub id: Option<CommandId>,
    /// The public id of the session.
    pub client: ClientId,
    /// The name that others see.
    pub user: UserName,
    /// With this the next connection is the same session.
    pub session: Option<Secret>,
    /// How often the server pings.
    pub ping: Duration,
    /// Over how long to spread the first retry after a good session.
    pub spread: Duration,
    /// The server's time.
    pub ts: Timestamp,
    /// When the session's token expires, by the server's clock. By then it needs another (`refresh`).
    pub expires: Option<Timestamp>,
    /// The largest payload that any namespace takes, in bytes, if it was said.
    pub message_size_max: Option<usize>,
    /// Subscriptions of one session, if it was said.
    pub subscriptions_max: Option<usize>,
}

/// The answer to `subscribe`; also told unasked after a rewind.
#[derive(Clone, PartialEq, Debug)]
pub struct Subscribed {
    /// The command's id.
    pub id: Option<CommandId>,
    /// The channel.
    pub channel: ChannelName,
    /// Its kind; `None` for one that only newer clients know.
    pub kind: Option<Kind>,
    /// Where the subscription stands once the replay is done; `None` in a `signal`.
    pub position: Option<Position>,
    /// The first offset that can be read; 0 in a `signal`.
    pub floor: Offset,
    /// What became of `since`.
    pub recovery: Recovery,
    /// The newest page, if it was asked for, and whether there is more before it.
    pub items: Option<(Vec<Message>, bool)>,
    /// The newest publication of each entry (`value` and `map`), unless the place that was asked for is continued.
    pub entries: Option<Vec<Message>>,
    /// Who is there, if it was asked for.
    pub presence: Option<Arc<PresenceUpdate>>,
    /// What the session may do there, as far as this client knows the words.
    pub can: Vec<Capability>,
}

/// What became of `since`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recovery {
    /// It was not asked for.
    NotAsked,
    /// So many messages follow that lie between `since` and the position.
    Recovered(u64),
    /// It could not be continued.
    Lost {
        /// Why; a reason that this client does not know counts as `Rewound`, after which nothing held is trusted.
        reason: LostReason,
        /// The last offset that both sides share, if known.
        keep: Option<Offset>,
    },
}

/// The end of a subscription: asked for, or by the server's will.
#[derive(Clone, PartialEq, Debug)]
pub struct Unsubscribed {
    /// The command's id.
    pub id: Option<CommandId>,
    /// The channel.
    pub channel: ChannelName,
    /// Why, if it was the server's will.
    pub refusal: Option<Refusal>,
}

/// The answer to `publish`.
#[derive(Clone, PartialEq, Debug)]
pub struct Published {
    /// The command's id.
    pub id: Option<CommandId>,
    /// The channel.
    pub channel: ChannelName,
    /// Where it stands; `None` in a `signal`.
    pub position: Option<Position>,
    /// The command's key.
    pub key: Option<Key>,
    /// When it was stored.
    pub ts: Timestamp,
    /// Whether an earlier publish with the same key had stored it.
    pub duplicate: bool,
    /// Whether a later publication has taken its place before it was stored; position and time are that one's.
    pub merged: bool,
}

/// A publication.
#[derive(Clone, PartialEq, Debug)]
pub struct Message {
    /// Its place; `None` in a `signal`.
    pub offset: Option<Offset>,
    /// Its epoch. A server says it only of the first publication of an epoch; the others have that of the one before
    /// them, and whoever keeps them in order fills it in.
    pub epoch: Option<Epoch>,
    /// What it carries; empty where something is removed or was erased.
    pub payload: Payload,
    /// What it says about an earlier message (`log`).
    pub reference: Option<Reference>,
    /// Whose newest state it is (`map`).
    pub entry: Option<EntryName>,
    /// Whether that state is that the entry is gone (`value` and `map`).
    pub removed: bool,
    /// Whether a deletion has erased its payload.
    pub erased: bool,
    /// What references have made of it; in pages.
    pub fold: Option<Fold>,
    /// The user who published it; `None` for the server's own HTTP API.
    pub from: Option<UserName>,
    /// When it was stored.
    pub ts: Timestamp,
    /// Its publisher's key.
    pub key: Option<Key>,
}

impl Message {
    /// Its position, if it is in a log and its epoch is known.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        Some(Position { epoch: self.epoch?, offset: self.offset? })
    }
}

/// A page of history: what can be seen of `lo..=hi`, ascending.
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
    /// The messages in it.
    pub items: Vec<Message>,
    /// The first offset that can be read.
    pub floor: Offset,
    /// Whether there are further ones in the direction asked for.
    pub more: bool,
}

/// A command that could not be done, or a subscription that has ended, and why.
#[derive(Clone, PartialEq, Debug)]
pub struct Refusal {
    /// The command's id.
    pub id: Option<CommandId>,
    /// The stable code, as the server wrote it.
    pub code: Box<str>,
    /// What is wrong and what would be right, for a person.
    pub message: Box<str>,
    /// The channel it is about.
    pub channel: Option<ChannelName>,
    /// Where the channel, or the entry, stands instead (with `conflict`).
    pub position: Option<Position>,
    /// After how long trying again makes sense.
    pub retry: Option<Duration>,
}

impl Refusal {
    /// The code, if this client knows it.
    #[must_use]
    pub fn known(&self) -> Option<ErrorCode> {
        ErrorCode::ALL.iter().copied().find(|code| code.as_str() == &*self.code)
    }

    /// Whether it leaves open if a publication was stored. A code that this client does not know means: not stored.
    #[must_use]
    pub fn leaves_outcome_open(&self) -> bool {
        self.known().is_some_and(ErrorCode::leaves_outcome_open)
    }
}
