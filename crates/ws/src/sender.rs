//! A cloneable, bounded way to send to a socket from elsewhere: other tasks, broadcasts. Not a second writer: the
//! socket takes from the queue while its owner waits in `recv`, `send`, `flush` or `close`.

use std::sync::{Arc, OnceLock};

use tokio::sync::{Semaphore, mpsc};
use trunkline_ws_proto::{CloseCode, CloseFrame, PreparedMessage};

use crate::error::Error;
use crate::message::Message;

/// Sends to one socket. Clones share the queue of [`queue_max`](crate::Limits::queue_max) messages.
///
/// Nothing leaves while the socket's owner is busy elsewhere: a handler that only sends should still wait in
/// [`recv`](crate::Socket::recv), which also answers pings and sees the peer close.
#[derive(Clone, Debug)]
pub struct Sender {
    queue: mpsc::Sender<Outgoing>,
    ended: Arc<OnceLock<CloseFrame>>,
}

/// What waits in the queue.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Message(Message),
    Prepared(PreparedMessage),
    Close(CloseFrame),
}

/// The socket's end.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) receiver: mpsc::Receiver<Outgoing>,
    /// Kept so that more senders can be made; the socket is what ends the queue, not the last sender.
    sender: Sender,
}

impl Queue {
    pub(crate) fn new(size: usize) -> Self {
        let (queue, receiver) = mpsc::channel(size.clamp(1, Semaphore::MAX_PERMITS));
        Self { receiver, sender: Sender { queue, ended: Arc::default() } }
    }

    pub(crate) fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// From now on senders fail, and say why.
    pub(crate) fn end(&mut self, frame: &CloseFrame) {
        let _ = self.sender.ended.set(frame.clone());
        self.receiver.close();
    }

    /// Drops what was queued behind a close frame.
    pub(crate) fn clear(&mut self) {
        while self.receiver.try_recv().is_ok() {}
    }
}

impl Sender {
    /// Queues a message; waits while the queue is full. Not for the handlers of sockets: two that wait for each other's
    /// queues do so for ever, because neither is in `recv`. They use [`Sender::try_send`].
    ///
    /// Cancel-safe: a cancelled `send` has queued nothing.
    ///
    /// # Errors
    /// [`Error::Closed`] when the socket is gone.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), Error> {
        self.queue(Outgoing::Message(message.into())).await
    }

    /// Queues a message that was framed once for many sockets; waits while the queue is full.
    ///
    /// Cancel-safe: a cancelled `send_prepared` has queued nothing.
    ///
    /// # Errors
    /// [`Error::Closed`] when the socket is gone.
    pub async fn send_prepared(&self, message: &PreparedMessage) -> Result<(), Error> {
        self.queue(Outgoing::Prepared(message.clone())).await
    }

    /// Queues a message, or fails at once when the queue is full: for broadcasts, which should not wait for the slowest.
    ///
    /// # Errors
    /// [`Error::QueueFull`], or [`Error::Closed`] when the socket is gone.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), Error> {
        self.try_queue(Outgoing::Message(message.into()))
    }

    /// As [`Sender::try_send`], with a message that was framed once for many sockets.
    ///
    /// # Errors
    /// [`Error::QueueFull`], or [`Error::Closed`] when the socket is gone.
    pub fn try_send_prepared(&self, message: &PreparedMessage) -> Result<(), Error> {
        self.try_queue(Outgoing::Prepared(message.clone()))
    }

    /// Queues a close frame behind the messages that wait; what is queued after it is dropped. The socket's `recv`
    /// then returns `None` once the peer has answered.
    ///
    /// # Errors
    /// [`Error::Usage`] for a code or reason that cannot be sent, [`Error::Closed`] when the socket is gone.
    pub async fn close(&self, code: impl Into<CloseCode>, reason: &str) -> Result<(), Error> {
        self.queue(Outgoing::Close(CloseFrame::new(code, reason)?)).await
    }

    /// Whether the socket is gone.
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    async fn queue(&self, outgoing: Outgoing) -> Result<(), Error> {
        self.queue.send(outgoing).await.map_err(|_| self.closed())
    }

    fn try_queue(&self, outgoing: Outgoing) -> Result<(), Error> {
        self.queue.try_send(outgoing).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::QueueFull,
            mpsc::error::TrySendError::Closed(_) => self.closed(),
        })
    }

    fn closed(&self) -> Error {
        let dropped = || CloseFrame { code: CloseCode::ABNORMAL, reason: String::new() };
        Error::Closed(self.ended.get().cloned().unwrap_or_else(dropped))
    }
}
