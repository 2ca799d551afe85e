//! The port to a log on disk: append, read, and the head of a channel. Implemented by `memory` here and by
//! the `store-*` crates; used by the node on behalf of the hub.

use std::sync::Arc;
use std::time::Duration;

use trunkline_model::{
    ChannelName, Epoch, Key, Offset, Payload, Position, Publication, Publisher, Timestamp, UserName,
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
}

/// A publication to be stored.
#[derive(Debug, Clone)]
pub struct Append {
    /// The channel.
    pub channel: ChannelName,
    /// What is published.
    pub payload: Payload,
    /// What others see as its author.
    pub from: Option<UserName>,
    /// The scope of its key.
    pub publisher: Publisher,
    /// (channel, publisher, key) is stored at most once.
    pub key: Option<Key>,
    /// How long the key is remembered.
    pub keys: Duration,
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
}

impl Answer {
    /// Whether the store could not do what was asked.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Appended(_, result) => result.is_err(),
            Self::Head(_, result) => result.is_err(),
            Self::Read(_, result) => result.is_err(),
        }
    }

    /// The ticket of the request it answers.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        match self {
            Self::Appended(ticket, _) | Self::Head(ticket, _) | Self::Read(ticket, _) => *ticket,
        }
    }
}

/// Where a publication stands in the log: synced to disk, if the store has one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// Its place.
    pub position: Position,
    /// Whether it is the first entry of its epoch in this channel.
    pub begins_epoch: bool,
    /// When it was stored; never smaller than that of the entry before it.
    pub ts: Timestamp,
    /// Whether an earlier append with the same key had stored it. Then all the rest is the earlier one's,
    /// and nothing was stored now.
    pub duplicate: bool,
}

/// Where a channel stands.
#[derive(Debug)]
pub struct Head {
    /// The newest entry's position; (the store's epoch, 0) for a channel without any.
    pub position: Position,
    /// The first offset that can be read; 1 while nothing is trimmed.
    pub floor: Offset,
    /// The epoch of the entry before the floor; `None` while nothing is trimmed.
    pub floor_epoch: Option<Epoch>,
    /// The newest entries, ascending, without a hole up to `position`.
    pub tail: Vec<Arc<Publication>>,
}

/// The entries of a range.
#[derive(Debug)]
pub struct ReadResult {
    /// Ascending and without a hole.
    pub entries: Vec<Arc<Publication>>,
}

/// Why a store could not do it. The difference that matters: is the publication stored or not?
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It is certainly not stored, and nothing else has changed (disk full, store away, read failed).
    #[error("not stored: {0}")]
    NotStored(String),
    /// It may or may not be stored; ask again under the same key.
    #[error("it is unknown whether this was stored: {0}")]
    Unknown(String),
}

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
