//! Every cap of the wire state, with its default and what happens at the cap. Not the caps of the handshake,
//! which are in [`HandshakeLimits`](crate::handshake::HandshakeLimits). Set once per listener and shared by its connections.

/// What a peer may send. A value of `usize::MAX` (or `u32::MAX`) means no limit; sums are still checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of payload in one message, all fragments together. Default 16 MiB. At the cap: the frame whose
    /// header would pass it is refused with 1009 before any of its payload is kept. A compressed message must keep to
    /// it on the wire, and again while it is inflated.
    pub message_size_max: usize,
    /// Bytes of payload in one frame. Default 16 MiB. At the cap: refused from the header with 1009.
    pub frame_size_max: usize,
    /// Frames in one message. Default 131,072. At the cap: the next fragment is refused with 1008.
    /// A fragment costs nothing but its bytes; the cap bounds a peer who sends empty ones for ever.
    pub fragments_max: u32,
    /// Bytes that one byte of a compressed message may become on average. Default 200; DEFLATE reaches 1,032. Counted
    /// while inflating, once the message has [`inflation_ratio_from`](Self::inflation_ratio_from) bytes. At the cap:
    /// 1009. (Within eight compressed bytes of the cap, how the bytes arrive may decide.)
    pub inflation_ratio_max: u32,
    /// Bytes that a compressed message may have whatever its ratio. Default 1 MiB.
    pub inflation_ratio_from: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_size_max: 16 << 20,
            frame_size_max: 16 << 20,
            fragments_max: 131_072,
            inflation_ratio_max: 200,
            inflation_ratio_from: 1 << 20,
        }
    }
}
