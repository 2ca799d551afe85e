//! What came from the peer, as a connection hands it out. Not how it is read, which is `connection/receive.rs`.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

use crate::close::CloseFrame;
use crate::opcode::MessageKind;

/// The payload of a message or control frame: borrowed from the caller's buffer when it arrived whole.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload<'b>(pub(crate) Cow<'b, [u8]>);

impl Payload<'_> {
    /// Whether it lies in the caller's buffer, so that keeping it means copying it.
    pub fn is_borrowed(&self) -> bool {
        matches!(self.0, Cow::Borrowed(_))
    }

    /// The bytes as their owner; copied only if borrowed.
    pub fn into_vec(self) -> Vec<u8> {
        self.0.into_owned()
    }

    /// The bytes for sharing; copied only if borrowed.
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Cow::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            Cow::Owned(bytes) => Bytes::from(bytes),
        }
    }
}

impl Deref for Payload<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.escape_ascii().to_string())
    }
}

/// What came from the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming<'b> {
    /// A whole message. The payload of text is valid UTF-8.
    Message {
        /// Text or binary.
        kind: MessageKind,
        /// All of its fragments.
        payload: Payload<'b>,
    },
    /// A ping. Its pong is already queued and leaves with [`Connection::poll_transmit`](crate::Connection::poll_transmit).
    Ping(Payload<'b>),
    /// A pong, asked for or not.
    Pong(Payload<'b>),
    /// The peer's close frame, code 1005 if it had none. Its echo, if one is due, is queued.
    Close(CloseFrame),
}

/// What came from the peer, with messages in the chunks in which they come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IncomingChunk<'b> {
    /// The next part of a message. Text may be cut inside a character; what went out so far is the beginning of valid
    /// UTF-8.
    Chunk {
        /// Text or binary: of the message, the same for all its chunks.
        kind: MessageKind,
        /// The next bytes of the message. May be empty at its beginning and its end.
        payload: Payload<'b>,
        /// Whether the message ends here.
        last: bool,
    },
    /// As [`Incoming::Ping`].
    Ping(Payload<'b>),
    /// As [`Incoming::Pong`].
    Pong(Payload<'b>),
    /// As [`Incoming::Close`].
    Close(CloseFrame),
}

impl<'b> Incoming<'b> {
    /// Where only whole messages were asked for.
    pub(crate) fn from_whole(incoming: IncomingChunk<'b>) -> Self {
        match incoming {
            IncomingChunk::Chunk { kind, payload, last } => {
                debug_assert!(last, "a whole message was asked for");
                Self::Message { kind, payload }
            }
            IncomingChunk::Ping(payload) => Self::Ping(payload),
            IncomingChunk::Pong(payload) => Self::Pong(payload),
            IncomingChunk::Close(frame) => Self::Close(frame),
        }
    }
}
