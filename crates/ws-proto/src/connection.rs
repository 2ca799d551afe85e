//! The wire state of one connection after its handshake: messages assembled, pings answered, the closing
//! handshake. Not the socket, not the deadlines and not the handshake. Driven by the shells: a loop that
//! reads into a buffer, calls [`Connection::receive`] until it is empty and writes what
//! [`Connection::poll_transmit`] adds.

mod receive;
mod send;

use std::sync::Arc;

use crate::close::CloseFrame;
use crate::decoder::Decoder;
use crate::deflate::{DeflateParams, Deflater, Inflation};
use crate::error::ProtocolError;
use crate::limits::Limits;
use crate::opcode::MessageKind;
use crate::role::Role;

/// One connection after the handshake: at most 64 bytes, and no heap memory while it is idle, unless it has agreed on
/// compression with context takeover.
///
/// ```text
///            close()                      the peer's close frame
///   Open ──────────────▶ CloseSent ────────────────────────────────▶ Closed
///    │                    (data is discarded, a protocol error closes)  ▲
///    │ the peer's close frame                                           │
///    ├─────────────────▶ CloseReceived ── poll_transmit: the echo ──────┤
///    │ a protocol error                                                 │
///    └─────────────────▶ Failed ──────── poll_transmit: close frame ────┘
/// ```
///
/// In `CloseReceived`, `Failed` and `Closed` whatever the peer still sends is discarded unread.
#[derive(Debug)]
pub struct Connection {
    decoder: Decoder,
    phase: Phase,
    /// The fragmented message that we are sending.
    sending: Option<MessageKind>,
    streamed: Streamed,
    /// How messages may be compressed.
    deflate: Option<DeflateParams>,
    /// What a connection seldom has; freed as soon as it is empty.
    rare: Option<Box<Rare>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    CloseSent,
    CloseReceived,
    Failed,
    Closed,
}

/// Whether the beginning of the message that is coming in went out in chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Streamed {
    No,
    Begun,
    /// It did, and the rest is dropped as it comes.
    Skipped,
}

#[derive(Debug, Default)]
struct Rare {
    /// The message that came in pieces, as far as it has come; compressed, if it is.
    message: Vec<u8>,
    /// The compressed message that came in pieces, once it is too much to be held.
    inflation: Option<Box<Inflation>>,
    /// What stays between messages, with context takeover.
    takeover: Option<Box<Takeover>>,
    /// The control frame that came in pieces, as far as it has come.
    control: Vec<u8>,
    /// The newest ping's payload, not yet answered.
    pong: Option<Vec<u8>>,
    close_received: Option<CloseFrame>,
    failure: Option<ProtocolError>,
}

#[derive(Debug, Default)]
struct Takeover {
    /// The last bytes of what the peer has sent.
    window: Vec<u8>,
    /// What compresses all that we send.
    deflater: Option<Deflater>,
}

impl Rare {
    fn is_empty(&self) -> bool {
        self.message.capacity() == 0
            && self.inflation.is_none()
            && self.takeover.is_none()
            && self.control.capacity() == 0
            && self.pong.is_none()
            && self.close_received.is_none()
            && self.failure.is_none()
    }

    /// Frees the message that is coming in.
    fn drop_message(&mut self) {
        self.message = Vec::new();
        self.inflation = None;
    }
}

impl Connection {
    /// A connection whose handshake was just finished. `limits` is a [`Limits`] or an `Arc` of one to share.
    pub fn new(role: Role, limits: impl Into<Arc<Limits>>) -> Self {
        let decoder = Decoder::new(role, limits);
        Self { decoder, phase: Phase::Open, sending: None, streamed: Streamed::No, deflate: None, rare: None }
    }

    /// The same connection with what its handshake agreed on: [`Accepted::deflate`](crate::handshake::Accepted::deflate)
    /// or [`Established::deflate`](crate::handshake::Established::deflate). To be called before anything is received or
    /// sent.
    #[must_use]
    pub fn with_deflate(mut self, params: Option<DeflateParams>) -> Self {
        self.deflate = params.map(DeflateParams::clamped);
        if params.is_some() {
            self.decoder = self.decoder.with_deflate();
        }
        self
    }

    /// Whether messages flow both ways: nobody has closed and nothing has failed.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether messages and pings may be sent.
    pub fn may_send(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether nothing more is to be sent or read: flush what was handed out, then close the socket
    /// (a server at once; a client should wait for the server to do it, RFC 6455 §7.1.1).
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Whether both close frames were seen, so that the line ended as it should (§7.1.4).
    pub fn is_closed_cleanly(&self) -> bool {
        self.phase == Phase::Closed && self.close_received().is_some()
    }

    /// Whether [`Connection::poll_transmit`] has something: a pong or a close frame.
    pub fn wants_transmit(&self) -> bool {
        matches!(self.phase, Phase::CloseReceived | Phase::Failed)
            || self.rare.as_ref().is_some_and(|rare| rare.pong.is_some())
    }

    /// Why the peer closed, once it has; code 1005 if it gave none.
    pub fn close_received(&self) -> Option<&CloseFrame> {
        self.rare.as_ref()?.close_received.as_ref()
    }

    /// What the peer did wrong, if it did.
    pub fn failure(&self) -> Option<ProtocolError> {
        self.rare.as_ref()?.failure
    }

    /// The end that we are.
    pub fn role(&self) -> Role {
        self.decoder.role()
    }

    /// The limits it was made with.
    pub fn limits(&self) -> &Limits {
        self.decoder.limits()
    }

    /// How messages may be compressed, if the handshake has agreed on it.
    pub fn deflate_params(&self) -> Option<DeflateParams> {
        self.deflate
    }

    /// Bytes of heap memory it holds for a message that has not ended: at most the message's size so far, doubled, and
    /// 48 KiB for one of which more than 48 KiB have come compressed.
    pub fn buffered(&self) -> usize {
        self.rare.as_ref().map_or(0, |rare| {
            let inflation = rare.inflation.as_ref().map_or(0, |it| it.capacity() + Inflation::INFLATER_SIZE);
            rare.message.capacity() + rare.control.capacity() + inflation
        })
    }

    /// Runs `change` on the rare part, which exists only while it holds something.
    fn with_rare<T>(&mut self, change: impl FnOnce(&mut Rare) -> T) -> T {
        let rare = self.rare.get_or_insert_default();
        let result = change(rare);
        if rare.is_empty() {
            self.rare = None;
        }
        result
    }
}
