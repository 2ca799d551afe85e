//! Every cap and deadline of a socket, a server and a client, with its default and what happens at the cap.
//! Given to [`Server::limits`](crate::Server::limits), [`Connect::limits`](crate::Connect::limits) and
//! [`Socket::new`](crate::Socket::new).

use std::sync::Arc;
use std::time::Duration;

use trunkline_ws_proto::handshake::HandshakeLimits;

/// What a peer, and we ourselves, may use. All are on; to change some:
///
/// ```
/// # use trunkline_ws::Limits;
/// let limits = Limits { message_size_max: 64 << 10, ..Limits::default() };
/// ```
///
/// | limit | default | at the cap | why so much, and not more |
/// |---|---|---|---|
/// | [`message_size_max`](Self::message_size_max) | 16 MiB | 1009 | what fits comfortably into memory; a chat needs a thousandth of it |
/// | [`frame_size_max`](Self::frame_size_max) | 16 MiB | 1009 | a message may come in one frame |
/// | [`fragments_max`](Self::fragments_max) | 131,072 | 1008 | conformance suites send 65,536; empty fragments cost a sender nothing |
/// | [`inflation_ratio_max`](Self::inflation_ratio_max) | 200 | 1009 | JSON shrinks to a tenth, hardly ever to a hundredth; a bomb to a thousandth |
/// | [`inflation_ratio_from`](Self::inflation_ratio_from) | 1 MiB | | what is small does no harm, however well it shrank |
/// | [`unsent_max`](Self::unsent_max) | 64 KiB | `send` waits | one write fills a socket's buffer; more only waits longer |
/// | [`queue_max`](Self::queue_max) | 1,024 | [`WhenFull`](crate::WhenFull) | a burst passes, a client that is always late does not |
/// | [`queue_bytes_max`](Self::queue_bytes_max) | 1 MiB | [`WhenFull`](crate::WhenFull) | 1,024 messages of 1 KiB |
/// | [`ping_interval`](Self::ping_interval) | 30 s | a ping | proxies cut lines that are silent for 60 s |
/// | [`pong_timeout`](Self::pong_timeout) | 10 s | the line is lost | mobile networks pause for seconds |
/// | [`close_timeout`](Self::close_timeout) | 5 s | the line is cut | an answer takes one round trip |
/// | [`handshake_timeout`](Self::handshake_timeout) | 10 s | the line is cut | TLS and a request on a slow line; it frees what slow senders hold |
/// | [`connect_timeout`](Self::connect_timeout) | 10 s | an error | three retries of TCP |
/// | [`connections_max`](Self::connections_max) | 10,000 | 503 | about 15 MB of memory idle, and within the usual limits on open files |
/// | [`shutdown_timeout`](Self::shutdown_timeout) | 10 s | lines are cut | service managers kill after 10 to 90 s |
/// | [`head_size_max`](Self::head_size_max) | 16 KiB | 431 | cookies; most servers allow 8 to 16 KiB |
/// | [`headers_max`](Self::headers_max) | 100 | 431 | browsers send 15, proxies add 10 |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in one message that we receive. Default 16 MiB. At the cap: the connection is closed with 1009. Does not
    /// apply to [`recv_streamed`](crate::Socket::recv_streamed).
    pub message_size_max: usize,
    /// Bytes in one frame that we receive. Default 16 MiB. At the cap: closed with 1009. Does not apply to
    /// [`recv_streamed`](crate::Socket::recv_streamed).
    pub frame_size_max: usize,
    /// Frames in one message that we receive. Default 131,072. At the cap: closed with 1008.
    pub fragments_max: u32,
    /// Bytes that one byte of a compressed message may become on average, once the message has
    /// [`inflation_ratio_from`](Self::inflation_ratio_from) bytes. Default 200. At the cap: closed with 1009.
    pub inflation_ratio_max: u32,
    /// Bytes that a compressed message may have whatever its ratio. Default 1 MiB.
    pub inflation_ratio_from: usize,
    /// Bytes that wait to be written. Default 64 KiB. At the cap: `send` waits, and pings are answered only
    /// with the newest pong. What was begun may pass it by one fragment of 64 KiB. 0 counts as 1: without any room nothing
    /// could ever leave.
    pub unsent_max: usize,
    /// Messages in the queue of a socket's [`Sender`](crate::Sender)s. Default 1,024. At the cap:
    /// [`WhenFull`](crate::WhenFull) says what happens.
    pub queue_max: usize,
    /// Bytes in that queue. Default 1 MiB. The message that reaches the cap is let in whole; then as for `queue_max`.
    pub queue_bytes_max: usize,
    /// Silence after which the peer is pinged, while the owner of the socket waits in `recv`. Default 30 s;
    /// `Duration::MAX` never pings.
    pub ping_interval: Duration,
    /// Silence after that ping, while the owner waits in one of the socket's methods. Default 10 s. Then the line counts as cut: [`Error::Lost`](crate::Error::Lost).
    pub pong_timeout: Duration,
    /// From our close frame, or the peer's, to the end of the TCP connection. Default 5 s. Then it is cut.
    pub close_timeout: Duration,
    /// From the accepted or opened TCP connection to the finished handshake, TLS included. Default 10 s. Then it is cut.
    pub handshake_timeout: Duration,
    /// Client: name resolution and TCP. Default 10 s. Then [`Error::Timeout`](crate::Error::Timeout).
    pub connect_timeout: Duration,
    /// Server: open connections, handshakes included. Default 10,000. At the cap: answered 503 and dropped.
    pub connections_max: usize,
    /// Server: from the call for shutdown to the end of the last handler. Default 10 s. Then they are cut.
    pub shutdown_timeout: Duration,
    /// Bytes of an HTTP head. Default 16 KiB. At the cap: 431, or an error for a client.
    pub head_size_max: usize,
    /// Headers in an HTTP head. Default 100. At the cap: 431, or an error for a client.
    pub headers_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let wire = trunkline_ws_proto::Limits::default();
        let handshake = HandshakeLimits::default();
        Self {
            message_size_max: wire.message_size_max,
            frame_size_max: wire.frame_size_max,
            fragments_max: wire.fragments_max,
            inflation_ratio_max: wire.inflation_ratio_max,
            inflation_ratio_from: wire.inflation_ratio_from,
            unsent_max: 64 << 10,
            queue_max: 1_024,
            queue_bytes_max: 1 << 20,
            ping_interval: Duration::from_secs(30),
            pong_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            connections_max: 10_000,
            shutdown_timeout: Duration::from_secs(10),
            head_size_max: handshake.head_size_max,
            headers_max: handshake.headers_max,
        }
    }
}

impl Limits {
    pub(crate) fn wire(&self) -> trunkline_ws_proto::Limits {
        trunkline_ws_proto::Limits {
            message_size_max: self.message_size_max,
            frame_size_max: self.frame_size_max,
            fragments_max: self.fragments_max,
            inflation_ratio_max: self.inflation_ratio_max,
            inflation_ratio_from: self.inflation_ratio_from,
        }
    }

    pub(crate) fn handshake(&self) -> HandshakeLimits {
        HandshakeLimits { head_size_max: self.head_size_max, headers_max: self.headers_max }
    }
}

/// [`Limits`] as sockets hold them: the sockets of a server share both parts.
#[derive(Clone, Debug)]
pub(crate) struct SharedLimits {
    pub(crate) all: Arc<Limits>,
    /// What of them the core keeps.
    pub(crate) wire: Arc<trunkline_ws_proto::Limits>,
}

impl From<Arc<Limits>> for SharedLimits {
    fn from(mut all: Arc<Limits>) -> Self {
        if all.unsent_max == 0 {
            Arc::make_mut(&mut all).unsent_max = 1;
        }
        Self { wire: Arc::new(all.wire()), all }
    }
}
