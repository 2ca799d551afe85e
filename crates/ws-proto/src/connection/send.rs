//! Sending: messages, fragments and control frames become bytes for the wire.

use bytes::Bytes;

use super::{Connection, Phase, Rare};
use crate::close::{CloseCode, CloseFrame};
use crate::deflate::{DeflatePool, Deflater, deflate};
use crate::error::UsageError;
use crate::header::{CONTROL_PAYLOAD_MAX, Header, append_frame};
use crate::opcode::{MessageKind, Opcode};
use crate::prepared::PreparedMessage;
use crate::role::Role;

impl Connection {
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
        if !self.may_send() || !pool.is_worthwhile(payload.len()) {
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

    /// Appends the header of the next fragment to `out`, for a server that writes vectored: the `payload_len` bytes of
    /// payload must leave right behind it. `compressed` says that they are a piece of what [`Connection::deflate`] returned.
    ///
    /// # Errors
    /// As [`Connection::send_fragment`]; for a client, which has to mask; and for `compressed` where that was not agreed on.
    pub fn send_fragment_header(
        &mut self,
        kind: MessageKind,
        payload_len: usize,
        last: bool,
        compressed: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), UsageError> {
        if self.role() == Role::Client {
            return Err(UsageError::UnmaskedByClient);
        }
        if compressed && self.deflate.is_none() {
            return Err(UsageError::CompressionNotAgreed);
        }
        let header = self.next_fragment(kind, last)?;
        let compressed = compressed && header.opcode != Opcode::Continuation;
        let header = Header { compressed, payload_len: payload_len as u64, ..header };
        out.extend_from_slice(&header.encode());
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
        self.shared_window()
            .and_then(|window_bits| message.deflated_frame(window_bits, pool))
            .unwrap_or_else(|| message.frame())
    }

    /// The window that a server's message must be compressed for, to be sent to this connection as to any other with the
    /// same one; `None` where messages are not compressed, or with context takeover.
    pub fn shared_window(&self) -> Option<u8> {
        let direction = self.deflate?.sent_by(Role::Server);
        (!direction.takeover).then_some(direction.window_bits)
    }

    fn check_prepared(&self) -> Result<(), UsageError> {
        match (self.role(), self.may_send(), self.sending) {
            (Role::Client, ..) => Err(UsageError::UnmaskedByClient),
            (_, false, _) => Err(UsageError::Closing),
            (_, _, Some(_)) => Err(UsageError::MessageUnderWay),
            _ => Ok(()),
        }
    }

    /// Appends a ping to `out`. The peer's [`Incoming::Pong`](crate::Incoming::Pong) has the same payload.
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
    /// [`Incoming::Ping`](crate::Incoming::Ping) while `out` has room, after the last [`Connection::receive`] of a turn, and between the
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
}
