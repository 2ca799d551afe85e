//! The streaming layer: a peer's bytes in, pieces of unmasked payload out, in place and without any buffer.
//! It knows the rules between frames, the limits and UTF-8, but assembles nothing and answers nothing; that is
//! `connection.rs`, its main user. Use it directly for a message too big to hold.

use std::sync::Arc;

use crate::error::ProtocolError;
use crate::header::{HEADER_SIZE_MAX, Header};
use crate::limits::Limits;
use crate::mask::apply_mask;
use crate::opcode::{MessageKind, Opcode};
use crate::role::Role;
use crate::utf8::Utf8;

/// A piece of one message or control frame, unmasked, in the caller's own buffer.
#[derive(Debug)]
pub struct Chunk<'b> {
    /// Text or binary (of the message, also in its later fragments), close, ping or pong; never continuation.
    pub opcode: Opcode,
    /// The next bytes of payload. Empty only where `first` or `last` has to be said.
    pub payload: &'b mut [u8],
    /// Whether the message or control frame begins here.
    pub first: bool,
    /// Whether it ends here. Text is then known to be UTF-8 as a whole, unless it is compressed.
    pub last: bool,
    /// Whether it is of a compressed message (RFC 7692), whose payload is as it was on the wire.
    pub compressed: bool,
}

/// Cuts a byte stream into [`Chunk`]s. Holds no payload and no heap memory of its own.
///
/// ```text
///            a whole header            the frame's last byte
///   Header ───────────────▶ Payload ────────────────────────▶ Header
/// ```
#[derive(Debug)]
pub struct Decoder {
    limits: Arc<Limits>,
    stage: Stage,
    role: Role,
    /// The message under way between its first frame's header and its last frame's last byte.
    message: Option<MessageKind>,
    /// Whether a chunk of that message was handed out.
    message_begun: bool,
    /// Whether that message is compressed, which the header of its first frame says.
    message_compressed: bool,
    /// Whether messages may be compressed.
    deflate: bool,
    message_size: u64,
    /// Frames of that message that count against the limit.
    fragments: u32,
    /// Empty between messages, because none may end inside a character.
    utf8: Utf8,
}

/// What sizes are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sizes {
    /// The limits on frames, messages and fragments.
    Limited,
    /// None, because the message is not held: only fragments without payload are counted, and chunks are cut.
    Streamed { chunk_max: usize },
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Waiting for the rest of a header; `spill` holds what came of it.
    Header { spill: [u8; HEADER_SIZE_MAX], len: u8 },
    /// Inside a [`Frame`], whose fields stand here themselves because the enum is then eight bytes smaller.
    Payload { remaining: u64, key: [u8; 4], opcode: Opcode, fin: bool, begun: bool },
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    remaining: u64,
    /// Turned to fit the next byte; zeros where the frame is not masked.
    key: [u8; 4],
    opcode: Opcode,
    fin: bool,
    begun: bool,
}

impl Stage {
    const START: Self = Self::Header { spill: [0; HEADER_SIZE_MAX], len: 0 };

    const fn inside(frame: Frame) -> Self {
        let Frame { remaining, key, opcode, fin, begun } = frame;
        Self::Payload { remaining, key, opcode, fin, begun }
    }
}

impl Decoder {
    /// A decoder of what the peer of `role` sends.
    pub fn new(role: Role, limits: impl Into<Arc<Limits>>) -> Self {
        Self {
            limits: limits.into(),
            stage: Stage::START,
            role,
            message: None,
            message_begun: false,
            message_compressed: false,
            deflate: false,
            message_size: 0,
            fragments: 0,
            utf8: Utf8::default(),
        }
    }

    /// The same decoder for a line that has agreed on permessage-deflate: compressed messages are let through as such.
    #[must_use]
    pub fn with_deflate(mut self) -> Self {
        self.deflate = true;
        self
    }

    /// Takes the next chunk from the front of `input`, which is advanced past what was used; `None` when the
    /// whole of `input` was used and more is needed. Call again until then.
    ///
    /// # Errors
    /// The first thing the peer did wrong. Stop decoding then: what follows has no meaning.
    pub fn decode<'b>(&mut self, input: &mut &'b mut [u8]) -> Result<Option<Chunk<'b>>, ProtocolError> {
        self.decode_as(Sizes::Limited, input)
    }

    /// The commonest case in a few steps: between two messages, a whole one in one frame that is not compressed, within the
    /// limits, all of it in `input`. Anything else, be it wrong, is left where it is for [`Decoder::decode`].
    #[inline]
    pub(crate) fn decode_whole<'b>(
        &mut self,
        input: &mut &'b mut [u8],
    ) -> Result<Option<(MessageKind, &'b mut [u8])>, ProtocolError> {
        let Some((kind, header_size, key, len)) = self.peek_whole(input) else { return Ok(None) };
        take_front(input, header_size);
        let payload = take_front(input, len);
        if self.role == Role::Server {
            let _ = apply_mask(payload, key);
        }
        if kind == MessageKind::Text {
            self.utf8.receive(payload, true).map_err(|_| ProtocolError::TextNotUtf8)?;
        }
        Ok(Some((kind, payload)))
    }

    /// The kind, the header's size, the key and the payload's size of such a message.
    #[inline]
    fn peek_whole(&self, input: &[u8]) -> Option<(MessageKind, usize, [u8; 4], usize)> {
        let kind = match input.first()? {
            0x81 => MessageKind::Text,
            0x82 => MessageKind::Binary,
            _ => return None,
        };
        let second = *input.get(1)?;
        let (len, size) = match second & 0x7F {
            126 => (usize::from(u16::from_be_bytes(*input.get(2..)?.first_chunk()?)), 4),
            127 => return None,
            len => (usize::from(len), 2),
        };
        let (key, size) = match self.role {
            Role::Server => (*input.get(size..)?.first_chunk()?, size + 4),
            Role::Client => ([0; 4], size),
        };
        let limits = &self.limits;
        let fits = input.len() >= size + len
            && len <= limits.frame_size_max.min(limits.message_size_max)
            && limits.fragments_max > 0;
        let is_minimal = second & 0x7F < 126 || len >= 126;
        let is_right = is_minimal && (second & 0x80 != 0) == (self.role == Role::Server);
        (fits && is_right && self.is_idle()).then_some((kind, size, key, len))
    }

    /// [`Decoder::decode`] under other rules for sizes.
    pub(crate) fn decode_as<'b>(
        &mut self,
        sizes: Sizes,
        input: &mut &'b mut [u8],
    ) -> Result<Option<Chunk<'b>>, ProtocolError> {
        loop {
            let frame = match self.stage {
                Stage::Payload { remaining, key, opcode, fin, begun } => {
                    Frame { remaining, key, opcode, fin, begun }
                }
                Stage::Header { spill, len } => match self.decode_header(spill, len, sizes, input)? {
                    Some(frame) => frame,
                    None => return Ok(None),
                },
            };
            if frame.remaining > 0 && input.is_empty() {
                self.stage = Stage::inside(frame);
                return Ok(None);
            }
            let chunk = self.decode_payload(frame, sizes, input)?;
            // A middle fragment without payload has nothing to say.
            if !chunk.payload.is_empty() || chunk.first || chunk.last {
                return Ok(Some(chunk));
            }
        }
    }

    /// Whether the stream may end here: no frame and no message is unfinished.
    pub fn is_idle(&self) -> bool {
        self.message.is_none() && matches!(self.stage, Stage::Header { len: 0, .. })
    }

    /// The limits it was made with.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// Reads a header that lies in `input` or is spread over `spill` and `input`.
    fn decode_header(
        &mut self,
        mut spill: [u8; HEADER_SIZE_MAX],
        len: u8,
        sizes: Sizes,
        input: &mut &mut [u8],
    ) -> Result<Option<Frame>, ProtocolError> {
        let had = usize::from(len);
        let decoded = if had == 0 {
            Header::decode(input, self.role, self.deflate)?
        } else {
            let more = input.len().min(HEADER_SIZE_MAX - had);
            spill[had..had + more].copy_from_slice(&input[..more]);
            Header::decode(&spill[..had + more], self.role, self.deflate)?
        };
        if let Some((header, size)) = decoded {
            take_front(input, size - had);
            return self.begin_frame(header, sizes).map(Some);
        }
        // A header that is not whole is shorter than the longest one, so all of the input fits.
        let rest = take_front(input, input.len());
        spill[had..had + rest.len()].copy_from_slice(rest);
        self.stage = Stage::Header { spill, len: len + rest.len() as u8 };
        Ok(None)
    }

    /// The rules that need to know what came before (§5.4), and the limits.
    fn begin_frame(&mut self, header: Header, sizes: Sizes) -> Result<Frame, ProtocolError> {
        let frame = Frame {
            remaining: header.payload_len,
            key: header.mask.unwrap_or_default(),
            opcode: header.opcode,
            fin: header.fin,
            begun: false,
        };
        match (header.opcode, self.message) {
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => return Ok(frame),
            (Opcode::Continuation, None) => return Err(ProtocolError::ContinuationUnexpected),
            (Opcode::Continuation, Some(_)) => {}
            (_, Some(_)) => return Err(ProtocolError::ContinuationExpected),
            (_, None) => self.begin_message(header),
        }
        let limited = sizes == Sizes::Limited;
        if limited && header.payload_len > self.limits.frame_size_max as u64 {
            return Err(ProtocolError::FrameTooBig);
        }
        self.message_size =
            self.message_size.checked_add(header.payload_len).ok_or(ProtocolError::MessageTooBig)?;
        if limited && self.is_too_big() {
            return Err(ProtocolError::MessageTooBig);
        }
        // Of a message without end each fragment that brings something is welcome.
        let counts = u32::from(limited || header.payload_len == 0);
        self.fragments = self.fragments.checked_add(counts).ok_or(ProtocolError::FragmentsTooMany)?;
        if self.fragments > self.limits.fragments_max {
            return Err(ProtocolError::FragmentsTooMany);
        }
        Ok(frame)
    }

    fn is_too_big(&self) -> bool {
        self.message_size > self.limits.message_size_max as u64
    }

    fn begin_message(&mut self, header: Header) {
        let kind = if header.opcode == Opcode::Text { MessageKind::Text } else { MessageKind::Binary };
        self.message = Some(kind);
        self.message_begun = false;
        self.message_compressed = header.compressed;
        self.message_size = 0;
        self.fragments = 0;
    }

    /// Takes what `input` has of the frame's payload and unmasks it where it lies.
    fn decode_payload<'b>(
        &mut self,
        mut frame: Frame,
        sizes: Sizes,
        input: &mut &'b mut [u8],
    ) -> Result<Chunk<'b>, ProtocolError> {
        let size_max = match sizes {
            Sizes::Streamed { chunk_max } => chunk_max,
            // The header may have come while sizes had no limit.
            Sizes::Limited if !frame.opcode.is_control() && self.is_too_big() => {
                return Err(ProtocolError::MessageTooBig);
            }
            Sizes::Limited => usize::MAX,
        };
        let size = usize::try_from(frame.remaining).unwrap_or(usize::MAX).min(input.len()).min(size_max);
        let payload = take_front(input, size);
        if self.role == Role::Server {
            frame.key = apply_mask(payload, frame.key);
        }
        frame.remaining -= size as u64;
        let ends = frame.remaining == 0;
        let begun = std::mem::replace(&mut frame.begun, true);
        self.stage = if ends { Stage::START } else { Stage::inside(frame) };
        match self.message {
            Some(kind) if !frame.opcode.is_control() => self.message_chunk(kind, payload, ends && frame.fin),
            _ => Ok(Chunk { opcode: frame.opcode, payload, first: !begun, last: ends, compressed: false }),
        }
    }

    fn message_chunk<'b>(
        &mut self,
        kind: MessageKind,
        payload: &'b mut [u8],
        last: bool,
    ) -> Result<Chunk<'b>, ProtocolError> {
        if kind == MessageKind::Text && !self.message_compressed {
            self.utf8.receive(payload, last).map_err(|_| ProtocolError::TextNotUtf8)?;
        }
        if last {
            self.message = None;
        }
        let first = !std::mem::replace(&mut self.message_begun, true);
        Ok(Chunk { opcode: kind.opcode(), payload, first, last, compressed: self.message_compressed })
    }
}

/// Splits `size` bytes off the front of the caller's buffer.
fn take_front<'b>(input: &mut &'b mut [u8], size: usize) -> &'b mut [u8] {
    let (front, rest) = std::mem::take(input).split_at_mut(size);
    *input = rest;
    front
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What no test can send: so much that the counters come to their ends. They stop there, whatever the limits are.
    #[test]
    fn t15_counters_at_their_end() {
        for sizes in [Sizes::Limited, Sizes::Streamed { chunk_max: usize::MAX }] {
            let limits =
                Limits { message_size_max: usize::MAX, fragments_max: u32::MAX, ..Limits::default() };
            let begun = || {
                let mut decoder = Decoder::new(Role::Client, limits.clone());
                assert!(decoder.decode_as(sizes, &mut &mut [0x02, 0x00][..]).is_ok());
                decoder
            };
            for (message_size, fails) in [(u64::MAX - 5, false), (u64::MAX - 4, true)] {
                let mut decoder = begun();
                decoder.message_size = message_size;
                let error = decoder.decode_as(sizes, &mut &mut [0x00, 0x05][..]).err();
                assert_eq!(error, fails.then_some(ProtocolError::MessageTooBig));
            }
            for (fragments, fails) in [(u32::MAX - 1, false), (u32::MAX, true)] {
                let mut decoder = begun();
                decoder.fragments = fragments;
                let error = decoder.decode_as(sizes, &mut &mut [0x00, 0x00][..]).err();
                assert_eq!(error, fails.then_some(ProtocolError::FragmentsTooMany));
            }
        }
    }
}
