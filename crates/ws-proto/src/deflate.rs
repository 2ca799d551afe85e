//! permessage-deflate (RFC 7692) after its negotiation: the agreed parameters, the compressors that connections share,
//! a message while it is inflated. Not the negotiation, which is `handshake/deflate.rs`, and not framing.
//!
//! A compressor takes 137 to 380 KB and an inflater 48 KB, whatever the window, so no connection owns one by default:
//! without context takeover a [`DeflatePool`] per thread serves them all, and an idle connection costs nothing.

mod inflation;
mod params;
mod pool;

pub(crate) use inflation::{Inflation, Rules, keep_window};
pub use params::{DeflateParams, WINDOW_BITS_MAX, WINDOW_BITS_MIN};
pub use pool::{DeflateOptions, DeflatePool};
pub(crate) use pool::{Deflater, deflate};

/// What ends every flush of a compressor and is left out on the wire (RFC 7692 §7.2.1).
pub(crate) const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];
