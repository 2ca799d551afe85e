//! The parameters of permessage-deflate (RFC 7692 §7.1): what a server wishes for, what a client offers, and what both
//! agreed on. Not their spelling in headers, which is `handshake/deflate.rs`. Used by handshakes and connections.

use crate::role::Role;

/// The smallest window there is: 256 bytes.
pub const WINDOW_BITS_MIN: u8 = 8;

/// The largest window there is, and the one where none was agreed on: 32 KiB.
pub const WINDOW_BITS_MAX: u8 = 15;

/// How messages are compressed, each direction by itself. Default: no context takeover in either, windows of 15 bits.
///
/// Without takeover each message is compressed by itself. With it, a message may refer to those before it, which makes
/// small messages of the same shape a good deal smaller, and each connection keeps memory for it: a sender its own
/// compressor (up to 380 KB), a receiver as many of the last bytes as the window has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateParams {
    /// The server's messages do not refer to earlier ones.
    pub server_no_context_takeover: bool,
    /// The client's messages do not refer to earlier ones.
    pub client_no_context_takeover: bool,
    /// The server's window, 8 to 15 bits; what is outside counts as the nearest of them.
    pub server_max_window_bits: u8,
    /// The client's window, 8 to 15 bits. A server can only ask clients for less that say that they can do it.
    pub client_max_window_bits: u8,
}

/// One direction of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Direction {
    pub(crate) takeover: bool,
    pub(crate) window_bits: u8,
}

impl DeflateParams {
    /// With its windows in their range.
    pub(crate) fn clamped(self) -> Self {
        Self {
            server_max_window_bits: self.server_max_window_bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX),
            client_max_window_bits: self.client_max_window_bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX),
            ..self
        }
    }

    /// What `sender` compresses with.
    pub(crate) fn sent_by(self, sender: Role) -> Direction {
        match sender {
            Role::Server => Direction {
                takeover: !self.server_no_context_takeover,
                window_bits: self.server_max_window_bits,
            },
            Role::Client => Direction {
                takeover: !self.client_no_context_takeover,
                window_bits: self.client_max_window_bits,
            },
        }
    }

    /// What reaches `receiver`.
    pub(crate) fn received_by(self, receiver: Role) -> Direction {
        match receiver {
            Role::Server => self.sent_by(Role::Client),
            Role::Client => self.sent_by(Role::Server),
        }
    }
}

impl Default for DeflateParams {
    fn default() -> Self {
        Self {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            server_max_window_bits: WINDOW_BITS_MAX,
            client_max_window_bits: WINDOW_BITS_MAX,
        }
    }
}
