//! One message too big to hold, in either direction: read as it comes, written as it is made. Made by
//! [`Socket::recv_streamed`](crate::Socket::recv_streamed) and [`Socket::send_streamed`](crate::Socket::send_streamed).

use std::fmt;
use std::future::poll_fn;

use bytes::Bytes;
use trunkline_ws_proto::{MessageKind, UsageError};

use crate::driver::{Driver, Part};
use crate::error::Error;
use crate::message::Message;

/// A message that is coming in. Dropped before its end, the socket skips the rest.
#[must_use = "the message is read by `chunk`"]
pub struct MessageReader<'s> {
    driver: &'s mut Driver,
    kind: MessageKind,
    /// Came with the reader.
    first: Option<Bytes>,
    ended: bool,
}

impl<'s> MessageReader<'s> {
    pub(crate) fn new(driver: &'s mut Driver, part: Part) -> Self {
        Self { driver, kind: part.kind, first: Some(part.bytes), ended: part.last }
    }

    /// Text or binary.
    pub fn kind(&self) -> MessageKind {
        self.kind
    }

    /// The next bytes of the message, in the pieces in which they come, mostly up to 64 KiB and never empty; `None` at
    /// its end. Text may be cut inside a character, and is known to be UTF-8 up to here.
    ///
    /// Cancel-safe: a dropped `chunk` has taken nothing.
    ///
    /// # Errors
    /// As [`Socket::recv`](crate::Socket::recv); and [`Error::Closed`] where the peer closes before the message has ended.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let bytes = match self.first.take() {
                Some(bytes) => bytes,
                None if self.ended => return Ok(None),
                None => {
                    let part: Option<Part> = poll_fn(|cx| self.driver.poll_recv(cx)).await?;
                    let part = part.ok_or_else(|| self.driver.closed())?;
                    self.ended = part.last;
                    part.bytes
                }
            };
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }
}

impl fmt::Debug for MessageReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageReader")
            .field("kind", &self.kind)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// A message that is going out. It ends with [`finish`](Self::finish). Dropped before that, it can never be whole for the
/// peer, so the socket closes with 1011.
#[must_use = "dropped without `finish`, it closes the socket"]
pub struct MessageWriter<'s> {
    driver: &'s mut Driver,
    kind: MessageKind,
    finished: bool,
}

impl<'s> MessageWriter<'s> {
    pub(crate) fn new(driver: &'s mut Driver, kind: MessageKind) -> Result<Self, Error> {
        driver.begin_message(kind)?;
        Ok(Self { driver, kind, finished: false })
    }

    /// Sends the next piece, in frames of at most 64 KiB and not compressed; waits as [`Socket::send`](crate::Socket::send)
    /// does, so that whoever makes the message is held back by whoever reads it. Pings are answered between two frames. What
    /// [`Sender`](crate::Sender)s queue waits until the message is finished.
    ///
    /// Cancel-safe: a dropped `write` has either queued the whole piece or nothing of it.
    ///
    /// # Errors
    /// As `Socket::send`; [`Error::Usage`] for text in a binary message, or the other way round.
    pub async fn write(&mut self, piece: impl Into<Message>) -> Result<(), Error> {
        let piece = piece.into();
        if piece.kind() != self.kind {
            return Err(Error::Usage(UsageError::MessageUnderWay));
        }
        let mut piece = Some(piece.into_bytes()).filter(|piece| !piece.is_empty());
        poll_fn(|cx| self.driver.poll_send_piece(&mut piece, false, cx)).await
    }

    /// Ends the message; waits until it is written.
    ///
    /// Dropped, it has either ended the message, or the socket closes as if the writer had been dropped.
    ///
    /// # Errors
    /// As `Socket::send`.
    pub async fn finish(mut self) -> Result<(), Error> {
        let mut piece = Some(Bytes::new());
        poll_fn(|cx| {
            let polled = self.driver.poll_send_piece(&mut piece, true, cx);
            self.finished = piece.is_none();
            polled
        })
        .await
    }
}

impl Drop for MessageWriter<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.driver.abandon_message();
        }
    }
}

impl fmt::Debug for MessageWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageWriter").field("kind", &self.kind).finish_non_exhaustive()
    }
}
