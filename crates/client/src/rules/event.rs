//! What the rules ask of the driver and tell the application. Plain data.

use std::time::Duration;

use trunkline_dialect::json::client::{Page, Refusal};
use trunkline_model::{ChannelName, ClientId, Epoch, Key, Kind, Offset, Position, Timestamp, UserName};

use super::message::Message;

/// One thing to be done, in the order in which they come out.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// Open a line; answer with `handle_opened` or `handle_lost`.
    Dial,
    /// Send this text message over the open line.
    Send(String),
    /// Close the line with code 1000, or give up opening it. Nothing is to be reported about it any more.
    Hangup,
    /// Tell the application.
    Event(Event),
}

/// What the application is told.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// The session is open.
    Online {
        /// The public id of the session.
        client: ClientId,
        /// The name that others see.
        user: UserName,
    },
    /// There is no line; the next attempt comes in this time.
    Offline {
        /// The time.
        retry_in: Duration,
    },
    /// It is over; nothing more will come.
    Closed(Closed),
    /// A channel is followed, for the first time.
    Subscribed {
        /// The channel.
        channel: ChannelName,
        /// Its kind, if this client knows it.
        kind: Option<Kind>,
        /// Where it stands; `None` in a `signal`.
        position: Option<Position>,
    },
    /// A publication of a channel: in a log in order, each once.
    Message {
        /// The channel.
        channel: ChannelName,
        /// The publication.
        message: Message,
    },
    /// Something about the order in a channel; it stands where it happened among the messages.
    Notice {
        /// The channel.
        channel: ChannelName,
        /// What.
        notice: Notice,
    },
    /// A subscription has ended by the server's will.
    Ended {
        /// The channel.
        channel: ChannelName,
        /// Why.
        refusal: Refusal,
    },
    /// What became of a publish.
    Published {
        /// The number that `publish` gave.
        id: PublishId,
        /// The acknowledgement, or why there is none.
        result: Result<Receipt, PublishError>,
    },
    /// What became of a request for a page.
    Page {
        /// The number that `history` gave.
        id: RequestId,
        /// The page, or why there is none.
        result: Result<Page, RequestError>,
    },
}

/// What a subscriber is told between the messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice {
    /// The line was lost and is back: what was published meanwhile follows, so many messages at least, and nothing is
    /// missing.
    Recovered {
        /// How many.
        messages: u64,
    },
    /// The log has lost what it had above `keep`: whoever keeps messages drops those, or all of them if `keep` is not
    /// known. What the log has instead follows.
    Rewound {
        /// The last offset that both sides share, if known.
        keep: Option<Offset>,
    },
    /// So many messages are skipped: they are no longer there, or too many to be fetched unasked. Pages of the history
    /// have what is still there.
    Missed {
        /// How many.
        messages: u64,
    },
}

/// Names a publish from `publish` to [`Event::Published`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PublishId(pub u64);

/// Names a request from `history` to [`Event::Page`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

/// The acknowledgement of a publish: it is stored.
#[derive(Clone, PartialEq, Debug)]
pub struct Receipt {
    /// Where it stands; `None` in a `signal`.
    pub position: Option<Position>,
    /// The key under which it was sent.
    pub key: Key,
    /// When it was stored.
    pub ts: Timestamp,
    /// Whether an earlier attempt, or an earlier publish with the same key, had stored it.
    pub duplicate: bool,
    /// Whether a later publication has taken its place before it was stored (`value` and `map`); position and time are
    /// that one's.
    pub merged: bool,
}

impl Receipt {
    /// Its offset, in a log.
    #[must_use]
    pub fn offset(&self) -> Option<Offset> {
        self.position.map(|position| position.offset)
    }

    /// Its epoch, in a log.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        self.position.map(|position| position.epoch)
    }
}

/// Why a publish was not acknowledged.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The server refuses it; it is not stored.
    #[error("refused: {}: {}", .0.code, .0.message)]
    Refused(Refusal),
    /// It is larger than any namespace of the server takes; it was not sent.
    #[error("the payload has {size} bytes, and the server takes at most {size_max}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// What the server takes.
        size_max: usize,
    },
    /// Too many publishes wait already ([`Limits::publishes`](super::Limits::publishes)); it was not sent.
    #[error("{publishes_max} publishes wait for their answer already; wait for some of them")]
    QueueFull {
        /// The limit.
        publishes_max: usize,
    },
    /// No answer came within [`Limits::publish_age`](super::Limits::publish_age).
    #[error("no answer in time; {}", stored(*.sent))]
    Expired {
        /// Whether it was sent, so that it may be stored.
        sent: bool,
    },
    /// The client is closed.
    #[error("{reason}; {}", stored(*.sent))]
    Closed {
        /// Why.
        reason: Closed,
        /// Whether it was sent, so that it may be stored.
        sent: bool,
    },
}

fn stored(sent: bool) -> &'static str {
    if sent { "it may be stored or not" } else { "it was not sent" }
}

/// Why there is no page.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The server refuses it.
    #[error("refused: {}: {}", .0.code, .0.message)]
    Refused(Refusal),
    /// Too many requests wait already ([`Limits::requests`](super::Limits::requests)).
    #[error("{requests_max} requests wait for their answer already; wait for some of them")]
    QueueFull {
        /// The limit.
        requests_max: usize,
    },
    /// The client is closed.
    #[error("{0}")]
    Closed(Closed),
}

/// Why a client has ended.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Closed {
    /// The application closed it.
    #[error("the client was closed")]
    ByUs,
    /// The server closed the line with a code after which a client does not come back.
    #[error("the server closed the line ({code}{}{reason})", if .reason.is_empty() { "" } else { ": " })]
    ByServer {
        /// The close code.
        code: u16,
        /// The reason sent with it.
        reason: Box<str>,
    },
    /// The server refuses the session.
    #[error("the server refuses the session: {code}: {message}")]
    Refused {
        /// The error's code.
        code: Box<str>,
        /// What is wrong, for a person.
        message: Box<str>,
    },
    /// No line can be opened, and trying again cannot help.
    #[error("no connection can be made: {0}")]
    Unreachable(Box<str>),
}

/// How a line ended, or an attempt to open one.
#[derive(Clone, PartialEq, Debug)]
pub enum Ended {
    /// It was cut, or could not be opened; perhaps the server said when to try again.
    Lost {
        /// After how long, if it was said.
        retry: Option<Duration>,
    },
    /// A close frame.
    Closed {
        /// Its code.
        code: u16,
        /// Its reason.
        reason: Box<str>,
    },
    /// It cannot be opened, and trying again cannot help.
    Hopeless(Box<str>),
}
