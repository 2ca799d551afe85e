//! A cloneable, bounded way to send to a socket from elsewhere: other tasks, broadcasts. Not a second writer: the
//! socket takes from the queue while its owner waits in `recv`, `send`, `flush` or `close`.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use trunkline_ws_proto::{CloseCode, CloseFrame, PreparedMessage};

use crate::error::Error;
use crate::limits::Limits;
use crate::message::Message;
use crate::queue::{Caps, Queue, Refused, Ticket};

/// Sends to one socket. Clones share one queue, which is full when it holds [`queue_max`](crate::Limits::queue_max)
/// messages or [`queue_bytes_max`](crate::Limits::queue_bytes_max) bytes; [`WhenFull`] says what happens then.
///
/// Nothing leaves while the socket's owner is busy elsewhere: a handler that only sends should still wait in
/// [`recv`](crate::Socket::recv), which also answers pings and sees the peer close.
#[derive(Clone, Debug)]
pub struct Sender {
    queue: Arc<Outbound>,
    when_full: WhenFull,
}

/// What a [`Sender`] does when the queue is full, which means that the peer, or the socket's owner, is slower than what is
/// sent to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenFull {
    /// [`Sender::send`] waits until there is room, [`Sender::try_send`] fails. Nothing is lost; the sender is slowed down.
    #[default]
    Wait,
    /// The oldest messages make room for the new one: for positions, prices and the like, of which the newest counts.
    /// [`Sender::dropped`] counts them.
    DropOldest,
    /// The socket is closed with 1008, and what was queued is dropped: for streams that are of no use with gaps, whose
    /// clients connect again and catch up.
    Close,
}

type Outbound = Queue<Outgoing, CloseFrame>;

/// What waits in the queue.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Message(Message),
    Prepared(PreparedMessage),
    Close(CloseFrame),
}

impl Outgoing {
    fn size(&self) -> usize {
        match self {
            Self::Message(message) => message.as_bytes().len(),
            Self::Prepared(message) => message.frame().len(),
            Self::Close(_) => 0,
        }
    }
}

/// The socket's end; when it goes, senders fail.
#[derive(Debug)]
pub(crate) struct Outlet(Arc<Outbound>);

impl Outlet {
    pub(crate) fn new(limits: &Limits) -> Self {
        let caps = Caps { items_max: limits.queue_max, bytes_max: limits.queue_bytes_max };
        Self(Arc::new(Queue::new(caps)))
    }

    pub(crate) fn sender(&self) -> Sender {
        Sender { queue: Arc::clone(&self.0), when_full: WhenFull::default() }
    }

    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Outgoing> {
        self.0.poll_pop(cx)
    }

    /// Ready once a sender has closed. What is queued before its close frame still counts.
    pub(crate) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_ended(cx)
    }

    /// From now on senders fail, and say why; what they have queued still counts.
    pub(crate) fn close(&self, frame: &CloseFrame) {
        self.0.close(frame);
    }

    /// As [`Outlet::close`], and what is queued is dropped.
    pub(crate) fn end(&self, frame: &CloseFrame) {
        self.0.end(frame);
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.0.end(&CloseFrame { code: CloseCode::ABNORMAL, reason: String::new() });
    }
}

impl Sender {
    /// The same sender with another answer to a full queue. Other clones keep theirs.
    #[must_use]
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// Queues a message; where the queue is full, [`WhenFull`] says what happens. [`WhenFull::Wait`] is not for the handlers
    /// of sockets: two that wait for each other's queues do so for ever, because neither is in `recv`. They use
    /// [`Sender::try_send`].
    ///
    /// Cancel-safe: a cancelled `send` has queued nothing.
    ///
    /// # Errors
    /// [`Error::Closed`] when the socket is gone or closing.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), Error> {
        self.push(Outgoing::Message(message.into())).await
    }

    /// As [`Sender::send`], with a message that was framed once for many sockets.
    ///
    /// Cancel-safe: a cancelled `send_prepared` has queued nothing.
    ///
    /// # Errors
    /// As `send`.
    pub async fn send_prepared(&self, message: &PreparedMessage) -> Result<(), Error> {
        self.push(Outgoing::Prepared(message.clone())).await
    }

    /// Queues a message without waiting: for broadcasts, which should not wait for the slowest.
    ///
    /// # Errors
    /// [`Error::QueueFull`] where [`Sender::send`] would wait; [`Error::Closed`] when the socket is gone or closing.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), Error> {
        self.try_push(Outgoing::Message(message.into()))
    }

    /// As [`Sender::try_send`], with a message that was framed once for many sockets.
    ///
    /// # Errors
    /// As `try_send`.
    pub fn try_send_prepared(&self, message: &PreparedMessage) -> Result<(), Error> {
        self.try_push(Outgoing::Prepared(message.clone()))
    }

    /// Queues a close frame behind the messages that wait, whether or not there is room; from now on senders fail. The
    /// socket's `recv` returns `None` once the peer has answered.
    ///
    /// # Errors
    /// [`Error::Usage`] for a code or reason that cannot be sent, [`Error::Closed`] when the socket is gone or closing.
    pub fn close(&self, code: impl Into<CloseCode>, reason: &str) -> Result<(), Error> {
        let frame = CloseFrame::new(code, reason)?;
        self.queue.push_last(Outgoing::Close(frame.clone()), frame, false).map_err(Error::Closed)
    }

    /// Whether nothing can be sent any more.
    pub fn is_closed(&self) -> bool {
        self.queue.ended().is_some()
    }

    /// How many messages were dropped so far because of [`WhenFull::DropOldest`], by all clones together.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    async fn push(&self, outgoing: Outgoing) -> Result<(), Error> {
        if self.when_full != WhenFull::Wait {
            return self.try_push(outgoing);
        }
        let (size, mut outgoing) = (outgoing.size(), Some(outgoing));
        let mut waiting = Waiting { queue: &self.queue, ticket: Ticket::default() };
        poll_fn(|cx| waiting.queue.poll_push(&mut outgoing, size, &mut waiting.ticket, cx))
            .await
            .map_err(Error::Closed)
    }

    fn try_push(&self, outgoing: Outgoing) -> Result<(), Error> {
        let size = outgoing.size();
        if self.when_full == WhenFull::DropOldest {
            return self.queue.push_over(outgoing, size).map_err(Error::Closed);
        }
        match self.queue.try_push(outgoing, size) {
            Ok(()) => Ok(()),
            Err(Refused::Ended(frame)) => Err(Error::Closed(frame)),
            Err(Refused::Full) if self.when_full == WhenFull::Close => Err(self.give_up()),
            Err(Refused::Full) => Err(Error::QueueFull),
        }
    }

    fn give_up(&self) -> Error {
        let reason = "too slow: the queue of outgoing messages is full".to_owned();
        let frame = CloseFrame { code: CloseCode::POLICY_VIOLATION, reason };
        let closed = self.queue.push_last(Outgoing::Close(frame.clone()), frame.clone(), true);
        Error::Closed(closed.err().unwrap_or(frame))
    }
}

/// One who waits for room; gone from the queue when dropped.
struct Waiting<'q> {
    queue: &'q Outbound,
    ticket: Ticket,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.queue.leave(&self.ticket);
    }
}
