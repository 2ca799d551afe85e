//! The header of one frame (RFC 6455 §5.2): reading it, refusing what can be refused without any state, and
//! writing it into a few bytes on the stack. Not the rules between frames, which are in `decoder.rs`.
//! Used by the decoder, by what sends, and by servers that write header and payload with one vectored write.

use std::ops::Deref;

use crate::error::ProtocolError;
use crate::mask::apply_mask;
use crate::opcode::Opcode;
use crate::role::Role;

/// The longest header: two bytes, a length of eight, a key of four.
pub const HEADER_SIZE_MAX: usize = 14;

/// The longest payload of a control frame (§5.5).
pub const CONTROL_PAYLOAD_MAX: usize = 125;

/// The header of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether this is the message's last frame.
    pub fin: bool,
    /// RSV1: this is the first frame of a compressed message (RFC 7692 §6). The other reserved bits have no meaning.
    pub compressed: bool,
    /// What the frame is.
    pub opcode: Opcode,
    /// The masking key; `None` when the frame is not masked.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload that follow.
    pub payload_len: u64,
}

/// A header as it goes onto the wire; derefs to its 2 to 14 bytes.
#[derive(Clone, Copy, Debug)]
pub struct HeaderBytes {
    bytes: [u8; HEADER_SIZE_MAX],
    len: u8,
}

impl Header {
    /// The header of a frame that is a whole unmasked message: what a server sends before a payload.
    pub const fn whole(opcode: Opcode, payload_len: usize) -> Self {
        Self { fin: true, compressed: false, opcode, mask: None, payload_len: payload_len as u64 }
    }

    /// The header for the wire, its length in the shortest form.
    #[inline]
    pub fn encode(&self) -> HeaderBytes {
        let mask_bit = if self.mask.is_some() { 0x80 } else { 0 };
        let mut out = HeaderBytes { bytes: [0; HEADER_SIZE_MAX], len: 2 };
        out.bytes[0] = self.first_byte();
        match self.payload_len {
            len @ 0..=125 => out.bytes[1] = mask_bit | len as u8,
            len @ 126..=0xFFFF => {
                out.bytes[1] = mask_bit | 126;
                out.push(&(len as u16).to_be_bytes());
            }
            len => {
                out.bytes[1] = mask_bit | 127;
                out.push(&len.to_be_bytes());
            }
        }
        if let Some(key) = self.mask {
            out.push(&key);
        }
        out
    }

    fn first_byte(&self) -> u8 {
        u8::from(self.fin) << 7 | u8::from(self.compressed) << 6 | self.opcode as u8
    }

    /// Reads a header from the front of what the peer of `receiver` sent: it and its size, or `None` where
    /// bytes are missing. What is wrong is refused as soon as the byte that says so is there. `deflate` says that
    /// messages may be compressed.
    pub fn decode(
        bytes: &[u8],
        receiver: Role,
        deflate: bool,
    ) -> Result<Option<(Self, usize)>, ProtocolError> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let (fin, compressed, bits) = (first & 0x80 != 0, first & 0x40 != 0, first & 0x0F);
        // RSV1 stands on the first frame of a data message only (RFC 7692 §6.1).
        if first & 0x70 != 0 && !(deflate && first & 0x30 == 0 && matches!(bits, 0x1 | 0x2)) {
            return Err(ProtocolError::ReservedBits);
        }
        let opcode = Opcode::from_bits(bits).ok_or(ProtocolError::ReservedOpcode(bits))?;
        if opcode.is_control() && !fin {
            return Err(ProtocolError::ControlFragmented);
        }
        let Some(&second) = bytes.get(1) else { return Ok(None) };
        match (receiver, second & 0x80 != 0) {
            (Role::Server, false) => return Err(ProtocolError::MaskMissing),
            (Role::Client, true) => return Err(ProtocolError::MaskUnexpected),
            _ => {}
        }
        if opcode.is_control() && usize::from(second & 0x7F) > CONTROL_PAYLOAD_MAX {
            return Err(ProtocolError::ControlTooLong);
        }
        let Some((payload_len, size)) = decode_length(bytes, second & 0x7F)? else { return Ok(None) };
        if receiver == Role::Client {
            return Ok(Some((Self { fin, compressed, opcode, mask: None, payload_len }, size)));
        }
        let key = bytes.get(size..).and_then(<[u8]>::first_chunk::<4>);
        Ok(key.map(|key| (Self { fin, compressed, opcode, mask: Some(*key), payload_len }, size + 4)))
    }
}

/// The payload length and where it ends, or `None` where bytes are missing.
fn decode_length(bytes: &[u8], short: u8) -> Result<Option<(u64, usize)>, ProtocolError> {
    let rest = &bytes[2..];
    match short {
        126 => {
            let Some(&raw) = rest.first_chunk::<2>() else { return Ok(None) };
            let len = u64::from(u16::from_be_bytes(raw));
            if len < 126 { Err(ProtocolError::LengthNotMinimal) } else { Ok(Some((len, 4))) }
        }
        127 => {
            let Some(&raw) = rest.first_chunk::<8>() else { return Ok(None) };
            match u64::from_be_bytes(raw) {
                len if len >> 63 == 1 => Err(ProtocolError::LengthHighBit),
                len if len <= 0xFFFF => Err(ProtocolError::LengthNotMinimal),
                len => Ok(Some((len, 10))),
            }
        }
        len => Ok(Some((u64::from(len), 2))),
    }
}

impl HeaderBytes {
    fn push(&mut self, bytes: &[u8]) {
        let from = usize::from(self.len);
        self.bytes[from..from + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len() as u8;
    }
}

impl Deref for HeaderBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl AsRef<[u8]> for HeaderBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Appends a frame to `out`: header, then payload, masked where the header says so. The header's length is set here.
#[inline]
pub(crate) fn append_frame(out: &mut Vec<u8>, header: Header, payload: &[u8]) {
    let mask = header.mask;
    let header = Header { payload_len: payload.len() as u64, ..header };
    out.reserve(HEADER_SIZE_MAX + payload.len());
    if payload.len() <= CONTROL_PAYLOAD_MAX && mask.is_none() {
        // Most frames, of which putting a header together would take longer than all the rest.
        out.extend_from_slice(&[header.first_byte(), payload.len() as u8]);
        out.extend_from_slice(payload);
        return;
    }
    out.extend_from_slice(&header.encode());
    let from = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = mask {
        let _ = apply_mask(&mut out[from..], key);
    }
}
