//! The port to a log on disk: append, read, and the head of a channel. Implemented by `memory` here and by
//! the `store-*` crates; used by the node on behalf of the hub.

use std::sync::Arc;
use std::time::Duration;

use trunkline_model::{
    Acknowledge, ChannelName, Epoch, Key, Offset, Payload, Position, Publication, Publisher, Role, Timestamp,
    UserName,
};

/// What an answer is matched with: the worker that asked, and its number for the question. Opaque to the
/// store, which gives it back with the answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ticket {
    /// The worker that asked.
    pub worker: u16,
    /// Its number for the question.
    pub number: u64,
}

/// One question to a store.
#[derive(Debug)]
pub enum Request {
    /// Store one publication at the end of its channel's log.
    Append(Ticket, Append),
    /// Where does this channel stand, and what are its newest entries?
    Head(Ticket, ChannelName, Window),
    /// The entries of a range.
    Read(Ticket, Read),
    /// Is this a place in the channel's log, and if not, up to where are the two logs the same?
    Locate(Ticket, ChannelName, Position),
}

/// A publication to be stored.
///
/// The key is looked at first, then the condition, then the role. A publication whose role is an
/// [`Entry`](trunkline_model::Entry) takes the place of the one that the entry had before: of a channel of such only the
/// newest of each entry is kept. An edit or a deletion is refused unless `from` is the author of its target or
/// `moderates` is set; a deletion erases the payloads of its target and of the target's edits in the same commit, and
/// takes its reactions back. Whose reaction it is says `from`; its value is the payload.
#[derive(Debug, Clone)]
pub struct Append {
    /// The channel.
    pub channel: ChannelName,
    /// What is published.
    pub payload: Payload,
    /// What others see as its author; `None` is the server itself, also where it is asked who wrote a message or gave a
    /// reaction.
    pub from: Option<UserName>,
    /// The scope of its key.
    pub publisher: Publisher,
    /// (channel, publisher, key) is stored at most once.
    pub key: Option<Key>,
    /// How long the key is remembered.
    pub keys: Duration,
    /// Keys of publications that this one has overtaken, so that they were never stored: it answers for them too, also
    /// where it is itself a duplicate. Those that are remembered already keep their answer.
    pub overtaken: Vec<(Publisher, Key)>,
    /// Store it only if the newest offset of the channel is this one (0: there is none), or where the role is an entry
    /// with a name, the newest offset of that entry (0: there is none, or it is removed).
    pub condition: Option<Offset>,
    /// What it is within its channel.
    pub role: Role,
    /// Whether it may edit and delete what others wrote.
    pub moderates: bool,
    /// When it is to be answered: synced, or within a second of being so. What is committed together with one that is to
    /// be synced, is.
    pub acknowledge: Acknowledge,
}

/// How much of a range is wanted: it ends at whichever cap comes first, but holds at least one entry if
/// there is one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Entries at most.
    pub entries: u32,
    /// Bytes at most, counted as [`Publication::cost`].
    pub bytes: usize,
}

/// The entries of `first..=last`, as many as `window` holds, from the end that `direction` says. The
/// result is always ascending.
#[derive(Debug, Clone)]
pub struct Read {
    /// The channel.
    pub channel: ChannelName,
    /// The first offset wanted (inclusive).
    pub first: Offset,
    /// The last offset wanted (inclusive).
    pub last: Offset,
    /// From which end the window counts.
    pub direction: Direction,
    /// How much of it.
    pub window: Window,
    /// Whether the entries are wanted as a reader of history sees them: messages with what references have made of them
    /// (payload of the newest edit, [`Fold`](trunkline_model::Fold)), and no references. The window counts messages; at
    /// most [`FOLDED_LOOKS`] times as many entries are looked at.
    pub folded: bool,
}

/// From which end of a range a window counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// The oldest entries of the range.
    Forward,
    /// The newest entries of the range.
    Backward,
}

/// The answer to one request. Answers to the appends of one channel come in the order of the requests.
#[derive(Debug)]
pub enum Answer {
    /// To [`Request::Append`].
    Appended(Ticket, Result<Appended, StoreError>),
    /// To [`Request::Head`].
    Head(Ticket, Result<Head, StoreError>),
    /// To [`Request::Read`].
    Read(Ticket, Result<ReadResult, StoreError>),
    /// To [`Request::Locate`].
    Located(Ticket, Result<Located, StoreError>),
}

impl Answer {
    /// Whether the store could not do what was asked.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Appended(_, result) => result.is_err(),
            Self::Head(_, result) => result.is_err(),
            Self::Read(_, result) => result.is_err(),
            Self::Located(_, result) => result.is_err(),
        }
    }

    /// The ticket of the request it answers.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        match self {
            Self::Appended(ticket, _)
            | Self::Head(ticket, _)
            | Self::Read(ticket, _)
            | Self::Located(ticket, _) => *ticket,
        }
    }
}

/// Where a publication stands in the log: synced to disk, if the store has one and it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// Its place.
    pub position: Position,
    /// Whether it is the first entry of its epoch in this channel.
    pub begins_epoch: bool,
    /// When it was stored; never smaller than that of the entry before it.
    pub ts: Timestamp,
    /// Whether an earlier append with the same key had stored it, or the same reaction of the same author stands. Then
    /// all the rest is the earlier one's, and nothing was stored now.
    pub duplicate: bool,
}

/// Where a channel stands.
#[derive(Debug)]
pub struct Head {
    /// The newest entry's position; (the store's epoch, 0) for a channel without any.
    pub position: Position,
    /// The first offset that can be read; 1 while nothing is trimmed. In a channel that keeps only the newest of each
    /// entry: removals before it are forgotten.
    pub floor: Offset,
    /// The newest entries, ascending: without a hole up to `position` in a log.
    pub tail: Vec<Arc<Publication>>,
}

/// The entries of a range.
#[derive(Debug)]
pub struct ReadResult {
    /// Ascending; without a hole in a log, unless it was read folded.
    pub entries: Vec<Arc<Publication>>,
    /// The range that they are all of: what was asked for, cut to what is there and to what the window held. It reaches
    /// up to the entry that did not fit any more, holes and references before that included. The first is one more than
    /// the last if that is nothing.
    pub covered: (Offset, Offset),
    /// The first offset that can be read, when this was read.
    pub floor: Offset,
}

/// Whether a position is a place in a channel's log. Trimmed ones are, too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Located {
    /// It is: whoever holds it holds the same log up to there.
    Held,
    /// It is not: the log went another way.
    Parted {
        /// The last offset that both logs share; `None` if that cannot be told, because nothing of the position's epoch
        /// is left.
        keep: Option<Offset>,
    },
}

/// Why a store could not do it. The difference that matters: is the publication stored or not?
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It is certainly not stored, and nothing else has changed (disk full, store away, read failed).
    #[error("not stored: {0}")]
    NotStored(String),
    /// The log does not allow it; nothing has changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It may or may not be stored; ask again under the same key.
    #[error("it is unknown whether this was stored: {0}")]
    Unknown(String),
}

/// Why the log does not allow an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The condition does not hold; this is the newest position (offset 0 if there is none).
    #[error("the newest offset is {}", .0.offset)]
    Conflict(Position),
    /// There is no message at the offset that it refers to: it is trimmed, or was never there.
    #[error("there is no message {0} to refer to")]
    NoTarget(Offset),
    /// What it refers to is itself a reference.
    #[error("{0} is itself a reference; refer to its message")]
    TargetIsReference(Offset),
    /// What it refers to was deleted.
    #[error("message {0} was deleted")]
    TargetDeleted(Offset),
    /// Only its author, or who moderates, may do this to the target.
    #[error("message {0} is someone else's")]
    NotAuthor(Offset),
    /// The reaction to be taken back was not given.
    #[error("there is no such reaction to message {0} by this user")]
    NoReaction(Offset),
    /// The target has [`REACTIONS_MAX`] different reactions.
    #[error("message {0} has {REACTIONS_MAX} different reactions, the most there may be")]
    TooManyReactions(Offset),
    /// The store remembers so many keys, the most it may, and none of them has expired. Without a key it would be stored.
    #[error("{0} keys are remembered, the most there may be; publish without one, or when some have expired")]
    TooManyKeys(u64),
}

/// How many different reactions a message may have.
pub const REACTIONS_MAX: usize = 100;

/// How many entries are looked at for each message that a folded read may give, so that a page is not paid for by
/// reactions without end. The range that is covered says how far it came.
pub const FOLDED_LOOKS: usize = 10;

/// A log store. One instance serves all workers of a node.
pub trait Store: Send + Sync {
    /// Takes the requests and returns at once. Each is answered exactly once through the sink, also when
    /// the store is closing.
    ///
    /// Appends to one channel are stored in the order of submission. A head or a read shows at least what
    /// was answered as appended before it was submitted; it may already show entries whose own answer has
    /// not come yet. Nothing limits what may wait here: the caller bounds what it has in flight.
    fn submit(&self, requests: Vec<Request>);

    /// The epoch under which new entries are written now.
    fn epoch(&self) -> Epoch;
}

/// Where answers go. Called on a thread of the store, or from within `submit` (by
/// [`MemoryStore`](crate::MemoryStore)); must not block. It may submit again.
pub type Sink = Arc<dyn Fn(Vec<Answer>) + Send + Sync>;
