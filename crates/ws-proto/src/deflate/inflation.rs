//! One compressed message while it is inflated (RFC 7692 §7.2.2): in steps of 16 KiB, each of which is counted and, in
//! text, checked before the next one is made. Not the frames around it. Used by `connection.rs`.

use std::fmt;

use zlib_rs::{Inflate, InflateFlush, Status};

use super::TAIL;
use super::pool::DeflatePool;
use crate::error::ProtocolError;
use crate::limits::Limits;
use crate::opcode::MessageKind;
use crate::utf8::Utf8;

/// A block that is empty and the last one: ten bits. Behind [`TAIL`] it ends the stream exactly if the message ended
/// between two blocks, as it must; zlib does not say it otherwise.
const LAST_BLOCK: [u8; 2] = [0x03, 0x00];

/// What a message must keep to.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'l> {
    pub(crate) limits: &'l Limits,
    pub(crate) kind: MessageKind,
    /// The message goes out in pieces, so that its size has no limit.
    pub(crate) streamed: bool,
}

/// A message that is being inflated, with the inflater that is lent to it.
pub(crate) struct Inflation {
    inflater: Inflate,
    /// Bytes taken by the inflater, and before it by those that a final block has ended.
    taken: u64,
    /// Bytes of the message so far.
    made: u64,
    /// Those of them that were not taken out.
    message: Vec<u8>,
    utf8: Utf8,
    /// Whether the last byte ended a final block, so that nothing is under way.
    between_streams: bool,
}

impl Inflation {
    /// Memory of an inflater, in bytes.
    pub(crate) const INFLATER_SIZE: usize = 48 << 10;

    /// A new message; it may refer to what `window` has.
    pub(crate) fn begin(pool: &mut DeflatePool, window: &[u8]) -> Self {
        let mut inflater = pool.lend_inflater();
        if !window.is_empty() {
            inflater.set_dictionary(window).expect("a raw stream takes a dictionary at its beginning");
        }
        let utf8 = Utf8::default();
        Self { inflater, taken: 0, made: 0, message: Vec::new(), utf8, between_streams: false }
    }

    /// The message's memory so far.
    pub(crate) fn capacity(&self) -> usize {
        self.message.capacity()
    }

    /// Inflates the next bytes of the message.
    pub(crate) fn push(
        &mut self,
        mut compressed: &[u8],
        rules: Rules<'_>,
        pool: &mut DeflatePool,
    ) -> Result<(), ProtocolError> {
        if compressed.is_empty() {
            return Ok(());
        }
        let step = pool.step();
        loop {
            if self.between_streams {
                if compressed.is_empty() {
                    return Ok(());
                }
                // A final block does not end a message (§7.2.3.4); what follows it is a stream of its own.
                self.inflater.reset(false);
                self.between_streams = false;
            }
            let before = (self.inflater.total_in(), self.inflater.total_out());
            let outcome = self.inflater.decompress(compressed, step, InflateFlush::NoFlush);
            let taken = self.inflater.total_in() - before.0;
            let made = (self.inflater.total_out() - before.1) as usize;
            compressed = &compressed[taken as usize..];
            self.taken += taken;
            // What came out before the fault counts, so that the verdict does not depend on the pieces.
            self.keep(&step[..made], rules)?;
            let status = outcome.map_err(|_| ProtocolError::DeflateInvalid)?;
            self.between_streams = status == Status::StreamEnd;
            // Room that is left means that the inflater has nothing to say until more comes.
            if !self.between_streams && made < step.len() {
                match (compressed.is_empty(), taken) {
                    (true, _) => return Ok(()),
                    (false, 0) => return Err(ProtocolError::DeflateInvalid),
                    (false, _) => {}
                }
            }
        }
    }

    /// What was made since it was last asked.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.message)
    }

    /// The whole message, or what is left of it.
    pub(crate) fn finish(
        mut self,
        rules: Rules<'_>,
        pool: &mut DeflatePool,
    ) -> Result<Vec<u8>, ProtocolError> {
        // Zlib makes nothing of nothing, so there are peers whose empty message is empty also when compressed. And there
        // are peers that end a message with a final block and leave out the empty one after it.
        if self.taken > 0 && !self.between_streams {
            self.push(&TAIL, rules, pool)?;
            self.push(&LAST_BLOCK, rules, pool)?;
            if !self.between_streams {
                return Err(ProtocolError::DeflateInvalid);
            }
        }
        if rules.kind == MessageKind::Text {
            self.utf8.receive(&[], true).map_err(|_| ProtocolError::TextNotUtf8)?;
        }
        pool.take_back(self.inflater);
        Ok(self.message)
    }

    /// Counts and checks what came out of one step, and keeps it. Memory grows by doubling, up to the limit.
    fn keep(&mut self, piece: &[u8], rules: Rules<'_>) -> Result<(), ProtocolError> {
        let limits = rules.limits;
        let size_max = if rules.streamed { u64::MAX } else { limits.message_size_max as u64 };
        let room = size_max.saturating_sub(self.made);
        self.made += piece.len() as u64;
        if self.made > size_max {
            // Text may be wrong before it is too much.
            self.check_text(&piece[..room as usize], rules)?;
            return Err(ProtocolError::MessageTooBig);
        }
        let ratio_allows = self.taken.saturating_mul(u64::from(limits.inflation_ratio_max));
        if self.made > limits.inflation_ratio_from as u64 && self.made > ratio_allows {
            return Err(ProtocolError::InflationRatio);
        }
        self.check_text(piece, rules)?;
        let size = self.message.len() + piece.len();
        if size > self.message.capacity() {
            let size_max = limits.message_size_max.max(size);
            let capacity = self.message.capacity().saturating_mul(2).clamp(size, size_max);
            self.message.reserve_exact(capacity - self.message.len());
        }
        self.message.extend_from_slice(piece);
        Ok(())
    }

    fn check_text(&mut self, piece: &[u8], rules: Rules<'_>) -> Result<(), ProtocolError> {
        if rules.kind == MessageKind::Text {
            self.utf8.receive(piece, false).map_err(|_| ProtocolError::TextNotUtf8)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Inflation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflation")
            .field("taken", &self.taken)
            .field("made", &self.made)
            .finish_non_exhaustive()
    }
}

/// Adds `message` to the last bytes of those before it, of which the next message may repeat as many as fit into the
/// window.
pub(crate) fn keep_window(window: &mut Vec<u8>, message: &[u8], window_bits: u8) {
    let size_max = 1 << window_bits;
    let message = &message[message.len().saturating_sub(size_max)..];
    let surplus = (window.len() + message.len()).saturating_sub(size_max);
    window.drain(..surplus);
    window.reserve_exact(message.len());
    window.extend_from_slice(message);
}
