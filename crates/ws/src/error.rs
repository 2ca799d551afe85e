//! What can go wrong with a socket, by culprit: the peer, the caller, or the world between them.

use std::io;

use trunkline_ws_proto::{CloseCode, CloseFrame, HandshakeError, ProtocolError, UsageError};

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The line was cut without a close frame (code 1006), by the peer or by the network.
    #[error("the connection was cut without a close frame{}", cause(.0))]
    Lost(Option<io::ErrorKind>),
    /// The peer broke the protocol; it was told so and the connection is closed.
    #[error("the peer broke the protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// The socket is closed or closing; this is why.
    #[error("the connection is closed ({}{}{})", .0.code, if .0.reason.is_empty() { "" } else { ": " }, .0.reason)]
    Closed(CloseFrame),
    /// We asked for something that the protocol does not allow.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The server's answer to our handshake cannot be accepted.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// A deadline of [`Limits`](crate::Limits) passed.
    #[error("{0} took longer than its deadline")]
    Timeout(Deadline),
    /// `wss://` needs TLS.
    #[error(
        "wss:// needs TLS, which comes with a cargo feature that this version does not have yet; use ws://"
    )]
    TlsUnsupported,
    /// The queue of a [`Sender`](crate::Sender) has [`queue_max`](crate::Limits::queue_max) messages or
    /// [`queue_bytes_max`](crate::Limits::queue_bytes_max) bytes.
    #[error("the queue of outgoing messages is full")]
    QueueFull,
    /// A message that is not the JSON that was expected, or a value that has no JSON.
    #[cfg(feature = "json")]
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The operating system refused something before there was a connection.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A handler's own error, made with [`Error::other`].
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

/// Which deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deadline {
    /// [`connect_timeout`](crate::Limits::connect_timeout).
    Connect,
    /// [`handshake_timeout`](crate::Limits::handshake_timeout).
    Handshake,
    /// [`close_timeout`](crate::Limits::close_timeout).
    Close,
}

impl std::fmt::Display for Deadline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Handshake => "the opening handshake",
            Self::Close => "the closing handshake",
        })
    }
}

impl Error {
    /// An error of a handler's own, so that `?` and this crate's errors go together.
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other(error.into())
    }

    /// The close code that goes with it: 1006 when the line was cut, the code that was sent or received otherwise.
    pub fn close_code(&self) -> Option<CloseCode> {
        match self {
            Self::Lost(_) | Self::Timeout(Deadline::Close) => Some(CloseCode::ABNORMAL),
            Self::Protocol(error) => Some(error.close_code()),
            Self::Closed(frame) => Some(frame.code),
            _ => None,
        }
    }
}

fn cause(kind: &Option<io::ErrorKind>) -> String {
    kind.map(|kind| format!(": {kind}")).unwrap_or_default()
}
