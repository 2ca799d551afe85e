//! The wire state of one connection after its handshake: messages assembled, pings answered, the closing
//! handshake. Not the socket, not the deadlines and not the handshake. Driven by the shells: a loop that
//! reads into a buffer, calls [`Connection::receive`] until it is empty and writes what
//! [`Connection::poll_transmit`] adds.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

use crate::close::{CloseCode, CloseFrame};
use crate::decoder::{Chunk, Decoder};
use crate::deflate::{DeflateParams, DeflatePool, Deflater, Inflation, Rules, deflate, keep_window};
use crate::error::{ProtocolError, UsageError};
use crate::header::{CONTROL_PAYLOAD_MAX, Header, append_frame};
use crate::limits::Limits;
use crate::opcode::{MessageKind, Opcode};
use crate::prepared::PreparedMessage;
use crate::role::Role;

/// Compressed bytes of a message that has not ended are kept as they came up to this size; only then an inflater is
/// lent to it. So a peer has to send something for the 48 KB that an inflater takes.
const COMPRESSED_HELD_MAX: usize = 4 << 10;

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

/// The payload of a message or control frame: borrowed from the caller's buffer when it arrived whole.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload<'b>(Cow<'b, [u8]>);

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
    /// A ping. Its pong is already queued and leaves with [`Connection::poll_transmit`].
    Ping(Payload<'b>),
    /// A pong, asked for or not.
    Pong(Payload<'b>),
    /// The peer's close frame, code 1005 if it had none. Its echo, if one is due, is queued.
    Close(CloseFrame),
}

impl Connection {
    /// A connection whose handshake was just finished. `limits` is a [`Limits`] or an `Arc` of one to share.
    pub fn new(role: Role, limits: impl Into<Arc<Limits>>) -> Self {
        let decoder = Decoder::new(role, limits);
        Self { decoder, phase: Phase::Open, sending: None, deflate: None, rare: None }
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
    /// 48 KiB for one that is compressed and longer than 4 KiB.
    pub fn buffered(&self) -> usize {
        self.rare.as_ref().map_or(0, |rare| {
            let inflation = rare.inflation.as_ref().map_or(0, |it| it.capacity() + Inflation::INFLATER_SIZE);
            rare.message.capacity() + rare.control.capacity() + inflation
        })
    }

    /// Takes what came from the front of `input`, unmasking in place, and advances it past what was used.
    /// Call it until it returns `None`: then all of `input` was used and more is needed (or nothing is
    /// read any more; see [`Connection::is_closed`]).
    ///
    /// # Errors
    /// What the peer did wrong, once. The close frame that says so is queued; from then on all input is discarded.
    ///
    /// A connection that has agreed on compression should use [`Connection::receive_with`]: here each compressed message
    /// gets an inflater of its own, which takes longer than inflating it.
    pub fn receive<'b>(&mut self, input: &mut &'b mut [u8]) -> Result<Option<Incoming<'b>>, ProtocolError> {
        self.receive_from(input, None)
    }

    /// [`Connection::receive`] with the inflaters of `pool`.
    ///
    /// # Errors
    /// As `receive`.
    pub fn receive_with<'b>(
        &mut self,
        pool: &mut DeflatePool,
        input: &mut &'b mut [u8],
    ) -> Result<Option<Incoming<'b>>, ProtocolError> {
        self.receive_from(input, Some(pool))
    }

    fn receive_from<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        mut pool: Option<&mut DeflatePool>,
    ) -> Result<Option<Incoming<'b>>, ProtocolError> {
        while matches!(self.phase, Phase::Open | Phase::CloseSent) {
            let step = self.decoder.decode(input).and_then(|chunk| match chunk {
                None => Ok(Step::NeedsMore),
                Some(chunk) if chunk.opcode.is_control() => self.handle_control(chunk),
                Some(chunk) if chunk.compressed => match pool.as_deref_mut() {
                    Some(pool) => self.handle_compressed(chunk, pool),
                    None => self.handle_compressed(chunk, &mut DeflatePool::default()),
                },
                Some(chunk) => Ok(self.handle_data(chunk)),
            });
            match step {
                Ok(Step::Continue) => {}
                Ok(Step::NeedsMore) => return Ok(None),
                Ok(Step::Done(incoming)) => return Ok(Some(incoming)),
                Err(error) => {
                    self.fail(error);
                    *input = &mut [];
                    return Err(error);
                }
            }
        }
        *input = &mut [];
        Ok(None)
    }

    /// Appends a whole message as one frame to `out`. `key` is asked once, by clients only
    /// (a server passes [`unmasked`](crate::unmasked)).
    ///
    /// # Errors
    /// [`UsageError`] when closing, between the fragments of another message, or for text that is not UTF-8.
    pub fn send(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        key: impl FnOnce() -> [u8; 4],
        out: &mut Vec<u8>,
    ) -> Result<(), UsageError> {
        self.check_message(kind, payload)?;
        self.send_fragment(kind, payload, true, key, out)
    }

    /// [`Connection::send`], compressed where that was agreed on and helps.
    ///
    /// # Errors
    /// As `send`.
    pub fn send_with(
        &mut self,
        pool: &mut DeflatePool,
        kind: MessageKind,
        payload: &[u8],
        key: impl FnOnce() -> [u8; 4],
        out: &mut Vec<u8>,
    ) -> Result<(), UsageError> {
        self.check_message(kind, payload)?;
        let mask = self.mask(key);
        let (payload, compressed) = match self.deflate(pool, payload) {
            Some(deflated) => (deflated, true),
            None => (payload, false),
        };
        let header = Header { compressed, mask, ..Header::whole(kind.opcode(), 0) };
        append_frame(out, header, payload);
        Ok(())
    }

    fn check_message(&self, kind: MessageKind, payload: &[u8]) -> Result<(), UsageError> {
        if kind == MessageKind::Text && simdutf8::basic::from_utf8(payload).is_err() {
            return Err(UsageError::TextNotUtf8);
        }
        match (self.may_send(), self.sending) {
            (false, _) => Err(UsageError::Closing),
            (true, Some(_)) => Err(UsageError::MessageUnderWay),
            (true, None) => Ok(()),
        }
    }

    /// Compresses a whole message, for [`Connection::send_deflated`]; `None` where it is to be sent as it is: because
    /// that was not agreed on, the message is too small, it does not get smaller, or nothing may be sent. With context
    /// takeover the messages must be sent in the order in which they were compressed.
    pub fn deflate<'p>(&mut self, pool: &'p mut DeflatePool, payload: &[u8]) -> Option<&'p [u8]> {
        let direction = self.deflate?.sent_by(self.role());
        if !self.may_send() || !pool.is_worthwhile(payload) {
            return None;
        }
        if !direction.takeover {
            return pool.deflate_alone(payload, direction.window_bits);
        }
        let level = pool.options().level;
        let takeover = self.rare.get_or_insert_default().takeover.get_or_insert_default();
        let mut deflater =
            takeover.deflater.take().unwrap_or_else(|| Deflater::new(direction.window_bits, level));
        // A compressor that failed is dropped: what the peer knows is then not referred to any more.
        let deflated = deflate(&mut deflater, payload, pool.buffer())?;
        takeover.deflater = Some(deflater);
        Some(deflated)
    }

    /// Appends the next fragment of a message to `out`; the message ends with the one that has `last`. Cut big
    /// messages at 64 KiB and call [`Connection::poll_transmit`] in between, so that pongs overtake them.
    ///
    /// The caller answers for the UTF-8 of text, which may be cut inside a character.
    ///
    /// # Errors
    /// [`UsageError`] when closing, or when the fragmented message under way is of the other kind.
    pub fn send_fragment(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        last: bool,
        key: impl FnOnce() -> [u8; 4],
        out: &mut Vec<u8>,
    ) -> Result<(), UsageError> {
        let header = self.next_fragment(kind, last)?;
        append_frame(out, Header { mask: self.mask(key), ..header }, payload);
        Ok(())
    }

    /// [`Connection::send_fragment`] for pieces of what [`Connection::deflate`] returned.
    ///
    /// # Errors
    /// As `send_fragment`, or where compression was not agreed on.
    pub fn send_deflated(
        &mut self,
        kind: MessageKind,
        piece: &[u8],
        last: bool,
        key: impl FnOnce() -> [u8; 4],
        out: &mut Vec<u8>,
    ) -> Result<(), UsageError> {
        if self.deflate.is_none() {
            return Err(UsageError::CompressionNotAgreed);
        }
        let header = self.next_fragment(kind, last)?;
        let compressed = header.opcode != Opcode::Continuation;
        append_frame(out, Header { compressed, mask: self.mask(key), ..header }, piece);
        Ok(())
    }

    /// The header of the next fragment, as far as the message under way says it.
    fn next_fragment(&mut self, kind: MessageKind, last: bool) -> Result<Header, UsageError> {
        if !self.may_send() {
            return Err(UsageError::Closing);
        }
        let opcode = match self.sending {
            None => kind.opcode(),
            Some(other) if other == kind => Opcode::Continuation,
            Some(_) => return Err(UsageError::MessageUnderWay),
        };
        self.sending = if last { None } else { Some(kind) };
        Ok(Header { fin: last, ..Header::whole(opcode, 0) })
    }

    /// Appends a message that was framed before to `out`. A server that writes vectored may instead check
    /// [`Connection::may_send`] and queue [`PreparedMessage::frame`], which copies nothing.
    ///
    /// # Errors
    /// [`UsageError`] when closing, between fragments, or for a client.
    pub fn send_prepared(&mut self, message: &PreparedMessage, out: &mut Vec<u8>) -> Result<(), UsageError> {
        self.check_prepared()?;
        out.extend_from_slice(message.frame());
        Ok(())
    }

    /// [`Connection::send_prepared`], compressed where that was agreed on and helps: once for all connections with the
    /// same window if the message is [`compressible`](PreparedMessage::compressible), by itself with context takeover.
    ///
    /// # Errors
    /// As `send_prepared`.
    pub fn send_prepared_with(
        &mut self,
        pool: &mut DeflatePool,
        message: &PreparedMessage,
        out: &mut Vec<u8>,
    ) -> Result<(), UsageError> {
        self.check_prepared()?;
        if self.deflate.is_some_and(|params| params.sent_by(Role::Server).takeover)
            && let Some(deflated) = self.deflate(pool, &message.payload())
        {
            let header = Header { compressed: true, ..Header::whole(message.kind().opcode(), 0) };
            append_frame(out, header, deflated);
        } else {
            out.extend_from_slice(self.prepared_frame(pool, message));
        }
        Ok(())
    }

    /// The frame of a prepared message that fits this connection, for servers that write vectored and have checked
    /// [`Connection::may_send`]: compressed if that was agreed on without context takeover and helps. Copies nothing.
    pub fn prepared_frame<'m>(&self, pool: &mut DeflatePool, message: &'m PreparedMessage) -> &'m Bytes {
        self.deflate
            .map(|params| params.sent_by(Role::Server))
            .filter(|direction| !direction.takeover)
            .and_then(|direction| message.deflated_frame(direction.window_bits, pool))
            .unwrap_or_else(|| message.frame())
    }

    fn check_prepared(&self) -> Result<(), UsageError> {
        match (self.role(), self.may_send(), self.sending) {
            (Role::Client, ..) => Err(UsageError::PreparedByClient),
            (_, false, _) => Err(UsageError::Closing),
            (_, _, Some(_)) => Err(UsageError::MessageUnderWay),
            _ => Ok(()),
        }
    }

    /// Appends a ping to `out`. The peer's [`Incoming::Pong`] has the same payload.
    ///
    /// # Errors
    /// [`UsageError`] when closing, or for more than 125 bytes.
    pub fn ping(
        &mut self,
        payload: &[u8],
        key: impl FnOnce() -> [u8; 4],
        out: &mut Vec<u8>,
    ) -> Result<(), UsageError> {
        if payload.len() > CONTROL_PAYLOAD_MAX {
            return Err(UsageError::ControlTooLong(payload.len()));
        }
        if !self.may_send() {
            return Err(UsageError::Closing);
        }
        self.append_control(Opcode::Ping, key, payload, out);
        Ok(())
    }

    /// Appends our close frame to `out` and stops sending; a pong that waits leaves first. Code 1005 sends a
    /// close frame without a code. What the peer still sends is discarded until its own close frame comes;
    /// the deadline for that is the shell's.
    ///
    /// # Errors
    /// [`UsageError`] when already closing, for a code not allowed on the wire, or for a reason over 123 bytes.
    pub fn close(
        &mut self,
        code: CloseCode,
        reason: &str,
        mut key: impl FnMut() -> [u8; 4],
        out: &mut Vec<u8>,
    ) -> Result<(), UsageError> {
        let frame = CloseFrame::new(code, reason)?;
        if !self.may_send() {
            return Err(UsageError::Closing);
        }
        self.poll_transmit(&mut key, out);
        self.phase = Phase::CloseSent;
        self.with_rare(Rare::drop_message);
        self.append_control(Opcode::Close, key, &frame.encode(), out);
        Ok(())
    }

    /// Appends what the protocol itself has to say to `out`: the newest pong, then the close frame that echoes
    /// the peer's or says what it did wrong. Returns whether there was anything. Call it after each
    /// [`Incoming::Ping`] while `out` has room, after the last [`Connection::receive`] of a turn, and between the
    /// fragments of a big message.
    pub fn poll_transmit(&mut self, mut key: impl FnMut() -> [u8; 4], out: &mut Vec<u8>) -> bool {
        if !self.wants_transmit() {
            return false;
        }
        if let Some(pong) = self.with_rare(|rare| rare.pong.take()) {
            self.append_control(Opcode::Pong, &mut key, &pong, out);
        }
        let close = match self.phase {
            Phase::CloseReceived => self.close_received().map(CloseFrame::encode),
            Phase::Failed => self
                .failure()
                .map(|error| CloseFrame { code: error.close_code(), reason: error.to_string() }.encode()),
            Phase::Open | Phase::CloseSent | Phase::Closed => None,
        };
        if let Some(payload) = close {
            self.append_control(Opcode::Close, &mut key, &payload, out);
            self.phase = Phase::Closed;
        }
        true
    }

    fn mask(&self, key: impl FnOnce() -> [u8; 4]) -> Option<[u8; 4]> {
        (self.role() == Role::Client).then(key)
    }

    /// Control frames are never compressed (RFC 7692 §6.1).
    fn append_control(
        &self,
        opcode: Opcode,
        key: impl FnOnce() -> [u8; 4],
        payload: &[u8],
        out: &mut Vec<u8>,
    ) {
        append_frame(out, Header { mask: self.mask(key), ..Header::whole(opcode, 0) }, payload);
    }

    fn handle_data<'b>(&mut self, chunk: Chunk<'b>) -> Step<'b> {
        if self.phase != Phase::Open {
            return Step::Continue;
        }
        let kind = if chunk.opcode == Opcode::Text { MessageKind::Text } else { MessageKind::Binary };
        if chunk.first && chunk.last {
            let payload = Payload(Cow::Borrowed(chunk.payload));
            return Step::Done(Incoming::Message { kind, payload });
        }
        let whole = self.with_rare(|rare| {
            rare.message.extend_from_slice(chunk.payload);
            chunk.last.then(|| std::mem::take(&mut rare.message))
        });
        match whole {
            None => Step::Continue,
            Some(whole) => Step::Done(Incoming::Message { kind, payload: Payload(Cow::Owned(whole)) }),
        }
    }

    /// Short messages are inflated when they are whole; of longer ones each piece as it comes.
    fn handle_compressed<'b>(
        &mut self,
        chunk: Chunk<'b>,
        pool: &mut DeflatePool,
    ) -> Result<Step<'b>, ProtocolError> {
        let direction = self.deflate.map(|params| params.received_by(self.role()));
        let (Phase::Open, Some(direction)) = (self.phase, direction) else { return Ok(Step::Continue) };
        let kind = if chunk.opcode == Opcode::Text { MessageKind::Text } else { MessageKind::Binary };
        let rules = Rules { limits: self.decoder.limits(), kind };
        let (lent, held, window) = match &mut self.rare {
            Some(rare) => {
                let window = rare.takeover.as_ref().map_or(&[][..], |takeover| &takeover.window);
                (rare.inflation.take(), std::mem::take(&mut rare.message), window)
            }
            None => (None, Vec::new(), &[][..]),
        };
        if !chunk.last && lent.is_none() && held.len() + chunk.payload.len() <= COMPRESSED_HELD_MAX {
            let mut message = held;
            message.extend_from_slice(chunk.payload);
            self.with_rare(|rare| rare.message = message);
            return Ok(Step::Continue);
        }
        let mut inflation = lent.map_or_else(|| Inflation::begin(pool, window), |lent| *lent);
        inflation.push(&held, rules, pool)?;
        inflation.push(chunk.payload, rules, pool)?;
        if !chunk.last {
            self.with_rare(|rare| rare.inflation = Some(Box::new(inflation)));
            return Ok(Step::Continue);
        }
        let message = inflation.finish(rules, pool)?;
        if direction.takeover || self.rare.is_some() {
            self.with_rare(|rare| {
                if direction.takeover {
                    let takeover = rare.takeover.get_or_insert_default();
                    keep_window(&mut takeover.window, &message, direction.window_bits);
                }
            });
        }
        Ok(Step::Done(Incoming::Message { kind, payload: Payload(Cow::Owned(message)) }))
    }

    fn handle_control<'b>(&mut self, chunk: Chunk<'b>) -> Result<Step<'b>, ProtocolError> {
        let payload = if chunk.first && chunk.last {
            Payload(Cow::Borrowed(chunk.payload))
        } else {
            let whole = self.with_rare(|rare| {
                rare.control.extend_from_slice(chunk.payload);
                chunk.last.then(|| std::mem::take(&mut rare.control))
            });
            let Some(whole) = whole else { return Ok(Step::Continue) };
            Payload(Cow::Owned(whole))
        };
        Ok(Step::Done(match chunk.opcode {
            Opcode::Ping => self.handle_ping(payload),
            Opcode::Pong => Incoming::Pong(payload),
            _ => self.handle_close(CloseFrame::decode(&payload)?),
        }))
    }

    /// One pong waits at most: only the newest ping has to be answered (§5.5.3), so a flood costs no memory.
    fn handle_ping<'b>(&mut self, payload: Payload<'b>) -> Incoming<'b> {
        if self.phase == Phase::Open {
            self.with_rare(|rare| rare.pong = Some(payload.to_vec()));
        }
        Incoming::Ping(payload)
    }

    fn handle_close<'b>(&mut self, frame: CloseFrame) -> Incoming<'b> {
        self.phase = if self.phase == Phase::Open { Phase::CloseReceived } else { Phase::Closed };
        self.with_rare(|rare| {
            rare.drop_message();
            rare.close_received = Some(frame.clone());
        });
        Incoming::Close(frame)
    }

    fn fail(&mut self, error: ProtocolError) {
        self.phase = if self.phase == Phase::Open { Phase::Failed } else { Phase::Closed };
        self.with_rare(|rare| *rare = Rare { failure: Some(error), ..Rare::default() });
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

/// What one chunk led to.
enum Step<'b> {
    Continue,
    NeedsMore,
    Done(Incoming<'b>),
}
