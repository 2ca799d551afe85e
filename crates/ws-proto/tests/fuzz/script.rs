//! Bytes read as a script: what a fuzzer chooses, in order. It ends where the bytes do. Used by the targets `inflate` and
//! `deflate`.

use trunkline_ws_proto::DeflateParams;

/// The most bytes that come from repeating others, so that a run stays short.
const REPEATED_MAX: usize = 20 << 10;

/// What is still over 48 KiB when it is compressed, so that it is inflated before it is whole.
const NOISE_MAX: usize = 68 << 10;

/// What is left of the script.
pub(crate) struct Script<'d>(pub(crate) &'d [u8]);

impl<'d> Script<'d> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// As many bytes as the next one says, or all that are left.
    pub(crate) fn bytes(&mut self) -> Option<&'d [u8]> {
        let size = usize::from(self.byte()?).min(self.0.len());
        let (front, rest) = self.0.split_at(size);
        self.0 = rest;
        Some(front)
    }

    /// A message: some bytes many times, or after some that hardly get smaller.
    pub(crate) fn message(&mut self) -> Option<Vec<u8>> {
        let times = usize::from(self.byte()?);
        let words = self.bytes()?;
        let noisy = |size| [noise(words, size), words.repeat(4)].concat();
        Some(match times {
            0..0xF0 => {
                let mut message = words.repeat(times * times.div_ceil(16));
                message.truncate(REPEATED_MAX);
                message
            }
            0xF0..0xFF => noisy((times - 0xEF) << 9),
            _ => noisy(NOISE_MAX),
        })
    }
}

/// Text that cannot be made smaller than six of eight bits.
fn noise(seed: &[u8], size: usize) -> Vec<u8> {
    let seed = seed.iter().fold(0, |hash: u64, byte| hash.rotate_left(8) ^ u64::from(*byte));
    let mut state = seed | 1 << 63;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b' ' + (state >> 58) as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}

/// Any parameters there are.
pub(crate) fn params(takeover: u8, windows: u8) -> DeflateParams {
    DeflateParams {
        server_no_context_takeover: takeover & 1 == 0,
        client_no_context_takeover: takeover & 2 == 0,
        server_max_window_bits: 8 + (windows & 7),
        client_max_window_bits: 8 + (windows >> 3 & 7),
    }
}
