//! What can go wrong, by culprit: the peer's frames, the peer's handshake (as a server or as a client
//! sees it), or our own caller. Not what the network does, which is the shell's business.

use crate::close::CloseCode;

/// The peer broke the protocol or a limit. The connection is failed (RFC 6455 §7.1.7) and has queued the
/// close frame that says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit is set that no extension gave a meaning.
    #[error("a reserved bit is set that no extension gave a meaning")]
    ReservedBits,
    /// The opcode is reserved.
    #[error("opcode {0:#x} is reserved")]
    ReservedOpcode(u8),
    /// A client must mask.
    #[error("a frame from a client must be masked")]
    MaskMissing,
    /// A server must not mask.
    #[error("a frame from a server must not be masked")]
    MaskUnexpected,
    /// Close, ping or pong without FIN.
    #[error("a control frame must not be fragmented")]
    ControlFragmented,
    /// Close, ping or pong with more than 125 bytes.
    #[error("a control frame must not carry more than 125 bytes")]
    ControlTooLong,
    /// The length has a shorter form, which must be used.
    #[error("the payload length is not in its shortest form")]
    LengthNotMinimal,
    /// The most significant bit of a 64-bit length must be 0.
    #[error("the 64-bit payload length has its highest bit set")]
    LengthHighBit,
    /// A continuation with no message under way.
    #[error("a continuation frame without a message to continue")]
    ContinuationUnexpected,
    /// A new message before the last one ended.
    #[error("a new message before the fragmented one was finished")]
    ContinuationExpected,
    /// Over [`Limits::frame_size_max`](crate::Limits::frame_size_max).
    #[error("a frame is larger than the limit")]
    FrameTooBig,
    /// Over [`Limits::message_size_max`](crate::Limits::message_size_max).
    #[error("a message is larger than the limit")]
    MessageTooBig,
    /// Over [`Limits::fragments_max`](crate::Limits::fragments_max).
    #[error("a message has more fragments than the limit")]
    FragmentsTooMany,
    /// Text that is not UTF-8.
    #[error("a text message is not valid UTF-8")]
    TextNotUtf8,
    /// A compressed message that is not DEFLATE, or is cut off (RFC 7692 §7.2.2).
    #[error("a compressed message is not valid DEFLATE")]
    DeflateInvalid,
    /// Over [`Limits::inflation_ratio_max`](crate::Limits::inflation_ratio_max).
    #[error("a compressed message inflates to more than the limit")]
    InflationRatio,
    /// Half a close code.
    #[error("a close frame with one byte of payload")]
    ClosePayloadOfOneByte,
    /// A close code that may not be on the wire.
    #[error("close code {0} may not be sent")]
    CloseCodeInvalid(u16),
    /// A close reason that is not UTF-8.
    #[error("the reason of a close frame is not valid UTF-8")]
    CloseReasonNotUtf8,
}

impl ProtocolError {
    /// The code of the close frame that answers it (§7.4.1).
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::FrameTooBig | Self::MessageTooBig | Self::InflationRatio => CloseCode::MESSAGE_TOO_BIG,
            Self::FragmentsTooMany => CloseCode::POLICY_VIOLATION,
            Self::TextNotUtf8 | Self::CloseReasonNotUtf8 | Self::DeflateInvalid => CloseCode::INVALID_PAYLOAD,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}

/// Our caller asked for something the protocol does not allow. Nothing was sent and nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// A close frame was sent or received: nothing more may be sent.
    #[error("the connection is closing or closed; nothing more may be sent")]
    Closing,
    /// A fragmented message must be finished before another one begins.
    #[error("a fragmented message is under way and must be finished first")]
    MessageUnderWay,
    /// A text message must be UTF-8.
    #[error("a text message must be UTF-8")]
    TextNotUtf8,
    /// A ping or pong payload over 125 bytes.
    #[error("a control frame carries at most 125 bytes, not {0}")]
    ControlTooLong(usize),
    /// A close code that may not be on the wire.
    #[error("close code {0} may not be sent; use 1000-1003, 1007-1014 or 3000-4999")]
    CloseCodeInvalid(u16),
    /// A close reason over 123 bytes.
    #[error("a close reason has at most 123 bytes, not {0}")]
    CloseReasonTooLong(usize),
    /// A frame without a mask, as prepared messages are, which only a server may send.
    #[error("a frame that is not masked, as those of prepared messages, cannot be sent by a client")]
    UnmaskedByClient,
    /// A compressed frame on a line that has not agreed on compression.
    #[error("compression was not agreed on in the handshake")]
    CompressionNotAgreed,
    /// A header name or value that cannot be sent, such as one with CR, LF or NUL.
    #[error("the header {0:?} cannot be sent: its name or its value has characters that HTTP does not allow")]
    HeaderInvalid(String),
    /// A header that the handshake itself writes.
    #[error("the header {0:?} is written by the handshake and cannot be set")]
    HeaderReserved(String),
    /// A subprotocol that is not a token, or is named twice.
    #[error("the subprotocol {0:?} is not a token or is named twice")]
    SubprotocolInvalid(String),
    /// A URL that is not `ws://` or `wss://` with a host.
    #[error("{url:?} is not a WebSocket URL: {reason}")]
    UrlInvalid {
        /// The URL, with its user information and query left out.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// Why a server refuses a handshake. It knows its status and prints a sentence that helps the client's author;
/// [`Rejection::response`] renders the answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The bytes are not an HTTP/1.1 request (400).
    #[error("not a valid HTTP/1.1 request: {0}")]
    Malformed(&'static str),
    /// The head is over [`head_size_max`](crate::handshake::HandshakeLimits::head_size_max) (431).
    #[error("the request head is larger than {0} bytes")]
    HeadTooLarge(usize),
    /// More headers than [`headers_max`](crate::handshake::HandshakeLimits::headers_max) (431).
    #[error("the request has more than {0} headers")]
    HeadersTooMany(usize),
    /// Not a GET (405).
    #[error("a WebSocket handshake is a GET request")]
    MethodNotGet,
    /// Older than HTTP/1.1 (400).
    #[error("a WebSocket handshake needs HTTP/1.1")]
    VersionTooOld,
    /// Not an upgrade to WebSocket (426).
    #[error("this address speaks WebSocket: the request lacks `Upgrade: websocket`")]
    UpgradeMissing,
    /// `Connection` does not name `Upgrade` (400).
    #[error("the request has `Upgrade: websocket` but its Connection header does not name `Upgrade`")]
    ConnectionMissing,
    /// A header that must be there is not (400).
    #[error("the {0} header is missing")]
    HeaderMissing(&'static str),
    /// A header that may be there once is there twice (400).
    #[error("the {0} header is there more than once")]
    HeaderRepeated(&'static str),
    /// The request has, or may have, a body (400).
    #[error("a WebSocket handshake has no body, but the request has a {0} header")]
    BodyUnexpected(&'static str),
    /// The version is not 13 (426).
    #[error("Sec-WebSocket-Version must be 13")]
    WebSocketVersion,
    /// The key is not base64 (400).
    #[error("Sec-WebSocket-Key is not base64")]
    KeyNotBase64,
    /// The key is base64 of the wrong size (400).
    #[error("Sec-WebSocket-Key must be 16 bytes in base64, but it is {0} bytes")]
    KeyLength(usize),
    /// The subprotocol list is malformed (400).
    #[error("Sec-WebSocket-Protocol is not a list of different tokens")]
    SubprotocolList,
    /// The extension list is malformed (400).
    #[error("Sec-WebSocket-Extensions does not follow its grammar")]
    ExtensionList,
    /// The page's origin may not connect (403).
    #[error("pages from {0:?} may not connect here")]
    OriginForbidden(String),
    /// The shell refuses, for a reason of its own such as 401, 404 or 503.
    #[error("{reason}")]
    Other {
        /// The HTTP status, 400–599; another one, which might look like an acceptance, is sent as 500.
        status: u16,
        /// The sentence in the answer's body.
        reason: String,
    },
}

/// Why a client cannot accept a server's answer to its handshake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The bytes are not an HTTP/1.1 response.
    #[error("the server's answer is not a valid HTTP/1.1 response: {0}")]
    Malformed(&'static str),
    /// The head is over [`head_size_max`](crate::handshake::HandshakeLimits::head_size_max).
    #[error("the head of the server's answer is larger than {0} bytes")]
    HeadTooLarge(usize),
    /// More headers than [`headers_max`](crate::handshake::HandshakeLimits::headers_max).
    #[error("the server's answer has more than {0} headers")]
    HeadersTooMany(usize),
    /// Any status but 101. Redirects are not followed.
    #[error("the server answered {0} instead of 101 Switching Protocols")]
    Status(u16),
    /// `Upgrade: websocket` is missing or different.
    #[error("the server's answer lacks `Upgrade: websocket`")]
    UpgradeMissing,
    /// `Connection: Upgrade` is missing.
    #[error("the server's answer lacks `Connection: Upgrade`")]
    ConnectionMissing,
    /// `Sec-WebSocket-Accept` is missing, repeated or not the digest of our key.
    #[error("the server's Sec-WebSocket-Accept is missing or does not fit our key")]
    AcceptWrong,
    /// An extension that we did not ask for.
    #[error("the server chose an extension that was not asked for")]
    ExtensionUnasked,
    /// An answer about permessage-deflate that does not fit our offer (RFC 7692 §7.1).
    #[error("the server's answer to permessage-deflate is not one to our offer: {0}")]
    DeflateAnswer(&'static str),
    /// A subprotocol that we did not ask for, or more than one.
    #[error("the server chose a subprotocol that was not asked for")]
    SubprotocolUnasked,
}
