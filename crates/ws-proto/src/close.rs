//! Close codes and the payload of a close frame (RFC 6455 §5.5.1, §7.4). Not the closing handshake,
//! which is in `connection.rs`. Used by the connection, and by applications that say why they close.

use std::fmt;

use crate::error::{ProtocolError, UsageError};

/// The longest reason a close frame can carry, in bytes: 125 less the two of the code.
pub const CLOSE_REASON_MAX: usize = 123;

/// Why a connection ended (RFC 6455 §7.4 and the IANA registry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// 1000: the purpose is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: a server goes down, or a browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a kind of data that cannot be accepted.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1005: the close frame carried no code. Never on the wire.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: the line was cut without a close frame. Never on the wire.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: data that does not fit its kind, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: a rule of the receiver, where no other code fits.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: a message too big to process.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// 1010: the client wanted an extension that the server did not agree to.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// 1011: the server met a condition it did not expect.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the service restarts; come back.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: overload; come back later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway got a bad answer from behind.
    pub const BAD_GATEWAY: Self = Self(1014);

    /// Whether the code may stand in a close frame: 1000–1003, 1007–1014, 3000–4999.
    pub const fn is_allowed_on_wire(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u16> for CloseCode {
    fn from(code: u16) -> Self {
        Self(code)
    }
}

/// The code and reason with which a connection was closed. Printed as `1001 (the server stops)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CloseFrame {
    /// The code; [`CloseCode::NO_STATUS`] when the frame carried none.
    pub code: CloseCode,
    /// Words for people, at most 123 bytes; often empty.
    pub reason: String,
}

impl fmt::Display for CloseFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.reason {
            "" => write!(f, "{}", self.code),
            reason => write!(f, "{} ({reason})", self.code),
        }
    }
}

impl CloseFrame {
    /// A close frame to send: an allowed code, or 1005 for none, and a reason of at most 123 bytes.
    ///
    /// # Errors
    /// [`UsageError`] for another code or a longer reason.
    pub fn new(code: impl Into<CloseCode>, reason: impl Into<String>) -> Result<Self, UsageError> {
        let (code, reason) = (code.into(), reason.into());
        if code != CloseCode::NO_STATUS && !code.is_allowed_on_wire() {
            return Err(UsageError::CloseCodeInvalid(code.0));
        }
        if reason.len() > CLOSE_REASON_MAX {
            return Err(UsageError::CloseReasonTooLong(reason.len()));
        }
        Ok(Self { code, reason })
    }

    /// Reads the payload of a close frame (§5.5.1): empty, or an allowed code and a reason in UTF-8.
    pub fn decode(payload: &[u8]) -> Result<Self, ProtocolError> {
        match payload {
            [] => Ok(Self { code: CloseCode::NO_STATUS, reason: String::new() }),
            [_] => Err(ProtocolError::ClosePayloadOfOneByte),
            [high, low, reason @ ..] => {
                let code = CloseCode(u16::from_be_bytes([*high, *low]));
                if !code.is_allowed_on_wire() {
                    return Err(ProtocolError::CloseCodeInvalid(code.0));
                }
                let reason = std::str::from_utf8(reason).map_err(|_| ProtocolError::CloseReasonNotUtf8)?;
                Ok(Self { code, reason: reason.to_owned() })
            }
        }
    }

    /// The payload for the wire: nothing for 1005, else the code and as much of the reason as fits
    /// into 123 bytes, cut between characters.
    pub fn encode(&self) -> Vec<u8> {
        if self.code == CloseCode::NO_STATUS {
            return Vec::new();
        }
        let reason = &self.reason[..self.reason.floor_char_boundary(CLOSE_REASON_MAX)];
        let mut payload = Vec::with_capacity(2 + reason.len());
        payload.extend_from_slice(&self.code.0.to_be_bytes());
        payload.extend_from_slice(reason.as_bytes());
        payload
    }
}
