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
    /// There is no TLS with the other end.
    #[cfg(feature = "tls")]
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// `wss://` needs the cargo feature `tls`.
    #[error("wss:// needs the cargo feature `tls` of trunkline-ws, which is switched off")]
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

/// Why there is no TLS with the other end. Nothing but TLS was sent then.
#[cfg(feature = "tls")]
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The server's certificate is not for the host of the URL.
    #[error("the server's certificate is not for {expected:?}{}", names(.presented))]
    NameMismatch {
        /// The host of the URL.
        expected: String,
        /// The names in the certificate.
        presented: Vec<String>,
    },
    /// No certificate authority that we trust has signed the certificate.
    #[error(
        "the peer's certificate is not signed by a certificate authority that is trusted here; \
         for one of your own see `Connect::root_certificate`"
    )]
    UnknownIssuer,
    /// The certificate has expired.
    #[error("the peer's certificate has expired, or the clock here is wrong")]
    Expired,
    /// The certificate is not valid yet.
    #[error("the peer's certificate is not valid yet, or the clock here is wrong")]
    NotValidYet,
    /// Anything else that is wrong with the certificate.
    #[error("the peer's certificate cannot be accepted: {0:?}")]
    Certificate(rustls::CertificateError),
    /// The peer refuses us, for example for want of a client certificate.
    #[error("the peer refuses the connection: {0:?}")]
    Refused(rustls::AlertDescription),
    /// The peer does not speak TLS on this port.
    #[error("the server does not speak TLS on this port; should it be ws://?")]
    NotTls,
    /// The peer breaks the rules of TLS, or shares no version or cipher with us.
    #[error("{0}")]
    Protocol(rustls::Error),
    /// The certificates, the key or the configuration that we were given cannot be used.
    #[error("{0}")]
    Config(String),
}

#[cfg(feature = "tls")]
fn names(presented: &[String]) -> String {
    if presented.is_empty() { String::new() } else { format!(", but for {}", presented.join(", ")) }
}

#[cfg(feature = "tls")]
impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        use rustls::{CertificateError::*, Error::*};
        match error {
            InvalidCertificate(NotValidForNameContext { expected, presented }) => {
                Self::NameMismatch { expected: expected.to_str().into_owned(), presented }
            }
            InvalidCertificate(UnknownIssuer) => Self::UnknownIssuer,
            InvalidCertificate(Expired | ExpiredContext { .. }) => Self::Expired,
            InvalidCertificate(NotValidYet | NotValidYetContext { .. }) => Self::NotValidYet,
            InvalidCertificate(other) => Self::Certificate(other),
            AlertReceived(alert) => Self::Refused(alert),
            InvalidMessage(rustls::InvalidMessage::InvalidContentType) => Self::NotTls,
            other => Self::Protocol(other),
        }
    }
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

    /// Whether to connect again may help: `false` only where nothing changes as long as nobody changes something.
    ///
    /// | error | again? |
    /// |---|---|
    /// | [`Lost`](Self::Lost), [`Timeout`](Self::Timeout), [`Io`](Self::Io), which is also a name that cannot be resolved | yes |
    /// | the server answered 408, 425, 429 or 5xx, without 501 and 505 | yes |
    /// | it answered any other status, such as 401, 404 or a redirect, or is no WebSocket server | no |
    /// | `Tls`: the certificate, our own configuration, no TLS on that port | no |
    /// | the connection ended with 1000, 1002, 1003, 1007–1010 or 4400–4499 | no |
    /// | it ended with any other code | yes |
    /// | the caller's: [`Usage`](Self::Usage), [`TlsUnsupported`](Self::TlsUnsupported), [`Other`](Self::Other) … | no |
    ///
    /// 1000 says that all is done, 1008 that the server wants no such client, 1002 to 1010 that the two do not understand
    /// each other; 44xx is what many servers send where HTTP has 4xx, Trunkline's own among them.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Lost(_) | Self::Timeout(_) | Self::Io(_) => true,
            Self::Handshake(HandshakeError::Status(status)) => {
                matches!(status, 408 | 425 | 429 | 500..=599) && !matches!(status, 501 | 505)
            }
            Self::Protocol(_) | Self::Closed(_) => {
                !matches!(self.close_code(), Some(CloseCode(1000 | 1002 | 1003 | 1007..=1010 | 4400..=4499)))
            }
            #[cfg(feature = "tls")]
            Self::Tls(error) => matches!(error, TlsError::Protocol(_)),
            _ => false,
        }
    }

    /// What a failed read or write means before there is a socket.
    pub(crate) fn from_line(error: io::Error) -> Self {
        #[cfg(feature = "tls")]
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Self::Tls(error.clone().into());
        }
        Self::Lost(Some(error.kind()))
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
