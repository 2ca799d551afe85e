//! A message framed once, for any number of connections, and compressed once for those that agreed on it. Not for
//! clients, who must mask each frame with a key of its own. Used by broadcasts.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::deflate::{DeflatePool, WINDOW_BITS_MAX, WINDOW_BITS_MIN};
use crate::header::Header;
use crate::opcode::MessageKind;

/// One unmasked frame that is a whole message. Cloning shares it, between threads too.
#[derive(Clone, Debug)]
pub struct PreparedMessage {
    frame: Bytes,
    kind: MessageKind,
    header_size: u8,
    /// The same message compressed, shared by all clones; `None` where it was not asked for.
    deflated: Option<Arc<Deflated>>,
}

/// A frame for each window, made when the first connection asks for it; `None` where compressing does not help.
type Deflated = [OnceLock<Option<Bytes>>; (WINDOW_BITS_MAX - WINDOW_BITS_MIN + 1) as usize];

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
        Self { frame: Bytes::from(frame), kind, header_size: header.len() as u8, deflated: None }
    }

    /// The same message, to be compressed for connections that agreed on it: once for each size of window, by whichever
    /// asks first, at the level of its pool. Costs one allocation, which messages that no such connection gets need not
    /// pay. Clones made before do not know of it.
    #[must_use]
    pub fn compressible(mut self) -> Self {
        self.deflated.get_or_insert_default();
        self
    }

    /// The bytes for the wire, not compressed.
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

    /// The bytes for the wire, compressed by themselves for a window of `window_bits`; `None` where that does not help
    /// or was not asked for. Two threads that ask at the same time wait for the one that compresses.
    pub(crate) fn deflated_frame(&self, window_bits: u8, pool: &mut DeflatePool) -> Option<&Bytes> {
        let cell = &self.deflated.as_ref()?[usize::from(window_bits - WINDOW_BITS_MIN)];
        cell.get_or_init(|| pool.deflate_frame(&self.frame, window_bits)).as_ref()
    }
}

/// Whether both say the same; how often they were compressed makes no difference.
impl PartialEq for PreparedMessage {
    fn eq(&self, other: &Self) -> bool {
        self.frame == other.frame
    }
}

impl Eq for PreparedMessage {}
