//! A message framed once, for any number of connections. Not for clients, who must mask each frame with a key
//! of its own. Used by broadcasts.

use bytes::Bytes;

use crate::header::Header;
use crate::opcode::MessageKind;

/// One unmasked frame that is a whole message. Cloning shares it, between threads too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedMessage {
    frame: Bytes,
    kind: MessageKind,
    header_size: u8,
}

impl PreparedMessage {
    /// Frames a text message.
    pub fn text(text: &str) -> Self {
        Self::new(MessageKind::Text, text.as_bytes())
    }

    /// Frames a binary message.
    pub fn binary(payload: &[u8]) -> Self {
        Self::new(MessageKind::Binary, payload)
    }

    /// Frames what is already known to fit its kind; the caller answers for the UTF-8 of text.
    pub fn new(kind: MessageKind, payload: &[u8]) -> Self {
        let header = Header::whole(kind.opcode(), payload.len()).encode();
        let mut frame = Vec::with_capacity(header.len() + payload.len());
        frame.extend_from_slice(&header);
        frame.extend_from_slice(payload);
        Self { frame: Bytes::from(frame), kind, header_size: header.len() as u8 }
    }

    /// The bytes for the wire.
    pub const fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// Text or binary.
    pub const fn kind(&self) -> MessageKind {
        self.kind
    }

    /// What is inside the frame; shared, not copied.
    pub fn payload(&self) -> Bytes {
        self.frame.slice(usize::from(self.header_size)..)
    }
}
