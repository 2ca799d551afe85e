//! Compressors and inflaters, lent to one message at a time. Not shared between threads: each thread of a shell has
//! one and passes it in where messages are sent and received.

use std::fmt;

use bytes::Bytes;
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, Strategy};

use super::TAIL;
use super::params::{WINDOW_BITS_MAX, WINDOW_BITS_MIN};
use crate::header::{Header, append_frame};
use crate::role::Role;

/// Inflaters that are kept for the next message; more are lent when needed, and freed when they come back.
const INFLATERS_MAX: usize = 4;

/// What one step of inflation brings at most.
const STEP_SIZE: usize = 16 << 10;

/// The buffer for compressed messages is kept up to this size.
const BUFFER_KEPT: usize = 256 << 10;

/// How what we send is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateOptions {
    /// 1 is fast, 9 is small. Default 1.
    pub level: u8,
    /// Messages with fewer bytes are sent as they are, because compressing them saves next to nothing. Default 256.
    pub size_min: u32,
    /// Messages with more bytes are sent as they are, for shells whose threads must not be busy with one for long.
    /// Default: no such bound.
    pub size_max: u32,
}

impl Default for DeflateOptions {
    fn default() -> Self {
        Self { level: 1, size_min: 256, size_max: u32::MAX }
    }
}

/// The compressors and inflaters of one thread. Empty until the first compressed message; then it keeps one compressor
/// for each size of window in use (up to 380 KB each) and a few inflaters (48 KB each).
#[derive(Default)]
pub struct DeflatePool {
    options: DeflateOptions,
    inflaters: Vec<Inflate>,
    deflaters: [Option<Deflater>; (WINDOW_BITS_MAX - WINDOW_BITS_MIN + 1) as usize],
    /// Where inflation writes.
    step: Vec<u8>,
    /// Where compression writes. Always initialized, so that it need not be cleared for each message.
    buffer: Vec<u8>,
}

/// One compressor, and what it was made for.
pub(crate) struct Deflater {
    state: Deflate,
    level: u8,
}

impl Deflater {
    /// A window of 8 bits is one that zlib cannot limit itself to, so nothing is repeated there: Huffman codes only.
    pub(crate) fn new(window_bits: u8, level: u8) -> Self {
        let strategy = if window_bits == WINDOW_BITS_MIN { Strategy::HuffmanOnly } else { Strategy::Default };
        let config = DeflateConfig {
            window_bits: -i32::from(window_bits.max(WINDOW_BITS_MIN + 1)),
            strategy,
            ..DeflateConfig::new(i32::from(level.clamp(1, 9)))
        };
        Self { state: Deflate::new_with_config(config), level }
    }
}

impl DeflatePool {
    /// An empty pool.
    pub fn new(options: DeflateOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// How what we send is compressed from now on. Compressors with context takeover keep the level they began with.
    pub fn set_options(&mut self, options: DeflateOptions) {
        self.options = options;
    }

    /// How what we send is compressed.
    pub fn options(&self) -> DeflateOptions {
        self.options
    }

    /// Whether messages with so many bytes are compressed at all.
    pub fn is_worthwhile(&self, size: usize) -> bool {
        let DeflateOptions { size_min, size_max, .. } = self.options;
        size > 0 && size >= size_min as usize && size <= size_max as usize
    }

    /// Compresses the frame of a whole message from a server, such as [`PreparedMessage::frame`], for connections with
    /// this [`window`](crate::Connection::shared_window); `None` where that does not help. For those who keep frames in
    /// a place of their own; others have [`PreparedMessage::compressible`].
    ///
    /// [`PreparedMessage::frame`]: crate::PreparedMessage::frame
    /// [`PreparedMessage::compressible`]: crate::PreparedMessage::compressible
    pub fn deflate_frame(&mut self, frame: &[u8], window_bits: u8) -> Option<Bytes> {
        let (header, size) = Header::decode(frame, Role::Client, false).ok()??;
        let window_bits = window_bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX);
        let deflated = self.deflate_alone(&frame[size..], window_bits)?;
        let mut frame = Vec::new();
        append_frame(&mut frame, Header { compressed: true, ..header }, deflated);
        Some(Bytes::from(frame))
    }

    /// Compresses a message by itself; `None` where that would not make it smaller.
    pub(crate) fn deflate_alone(&mut self, payload: &[u8], window_bits: u8) -> Option<&[u8]> {
        if !self.is_worthwhile(payload.len()) {
            return None;
        }
        let level = self.options.level;
        let slot = &mut self.deflaters[usize::from(window_bits - WINDOW_BITS_MIN)];
        let deflater = match slot {
            Some(deflater) if deflater.level == level => {
                deflater.state.reset();
                deflater
            }
            _ => slot.insert(Deflater::new(window_bits, level)),
        };
        deflate(deflater, payload, &mut self.buffer).filter(|deflated| deflated.len() < payload.len())
    }

    /// The buffer for a compressor that a connection owns.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// An inflater at the beginning of a stream.
    pub(crate) fn lend_inflater(&mut self) -> Inflate {
        self.inflaters.pop().unwrap_or_else(|| Inflate::new(false, WINDOW_BITS_MAX))
    }

    pub(crate) fn take_back(&mut self, mut inflater: Inflate) {
        if self.inflaters.len() < INFLATERS_MAX {
            inflater.reset(false);
            self.inflaters.push(inflater);
        }
    }

    /// Where a step of inflation writes to.
    pub(crate) fn step(&mut self) -> &mut [u8] {
        self.step.resize(STEP_SIZE, 0);
        &mut self.step
    }
}

impl fmt::Debug for DeflatePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeflatePool")
            .field("options", &self.options)
            .field("inflaters", &self.inflaters.len())
            .field("deflaters", &self.deflaters.iter().flatten().count())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").field("level", &self.level).finish_non_exhaustive()
    }
}

/// Compresses all of `payload` into `buffer`, flushed, without the tail (RFC 7692 §7.2.1). `None` if the compressor
/// fails, which it cannot on valid parameters and with memory; it must not be used again then.
pub(crate) fn deflate<'b>(
    deflater: &mut Deflater,
    payload: &[u8],
    buffer: &'b mut Vec<u8>,
) -> Option<&'b [u8]> {
    if buffer.len() > BUFFER_KEPT {
        *buffer = Vec::new();
    }
    let state = &mut deflater.state;
    let (mut used, mut made) = (0, 0);
    loop {
        if made == buffer.len() {
            buffer.resize((2 * made).max(STEP_SIZE), 0);
        }
        let before = (state.total_in(), state.total_out());
        state.compress(&payload[used..], &mut buffer[made..], DeflateFlush::SyncFlush).ok()?;
        used += (state.total_in() - before.0) as usize;
        made += (state.total_out() - before.1) as usize;
        // Room that is left means that nothing is: neither input nor output that waits.
        if made < buffer.len() {
            break;
        }
    }
    debug_assert_eq!(used, payload.len());
    buffer[..made].strip_suffix(&TAIL)
}
