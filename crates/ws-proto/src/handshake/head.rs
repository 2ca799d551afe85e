//! Where an HTTP head ends, and what no head may contain (RFC 9112). Not its parsing, which httparse does
//! once the head is whole. Used by `request.rs`, `client.rs`, and by loops that receive a head in pieces.

use crate::error::{HandshakeError, Rejection};

/// What a handshake may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeLimits {
    /// Bytes of the head, from the first line to the empty one. Default 16 KiB. At the cap: 431, or
    /// [`HandshakeError::HeadTooLarge`] for a client.
    pub head_size_max: usize,
    /// Headers in the head. Default 100. At the cap: 431, or [`HandshakeError::HeadersTooMany`] for a client.
    pub headers_max: usize,
}

impl Default for HandshakeLimits {
    fn default() -> Self {
        Self { head_size_max: 16 << 10, headers_max: 100 }
    }
}

impl HandshakeLimits {
    /// Places for the headers of a head: no more than fit into it, so that a limit of `usize::MAX` sizes nothing.
    pub(crate) fn places(&self, head_size: usize) -> usize {
        self.headers_max.min(head_size / HEADER_LINE_SIZE_MIN)
    }
}

/// `a:` and the end of the line.
const HEADER_LINE_SIZE_MIN: usize = 4;

/// Looks for the end of a head that arrives in pieces; each byte is looked at once, however small the pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScan {
    scanned: usize,
}

/// What is wrong with a head, whoever sent it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HeadFault {
    TooLarge(usize),
    TooMany(usize),
    Malformed(&'static str),
}

impl HeadScan {
    /// The size of the head, once `received` (all that came so far, from the first byte) contains its end.
    ///
    /// # Errors
    /// [`Rejection`] as soon as the head is over the limit or cannot be a valid head any more.
    pub fn find(&mut self, received: &[u8], limits: &HandshakeLimits) -> Result<Option<usize>, Rejection> {
        Ok(self.scan(received, limits)?)
    }

    pub(crate) fn scan(
        &mut self,
        received: &[u8],
        limits: &HandshakeLimits,
    ) -> Result<Option<usize>, HeadFault> {
        let end = received.len().min(limits.head_size_max);
        while self.scanned < end {
            let before = &received[..self.scanned];
            check_byte(before, received[self.scanned])?;
            self.scanned += 1;
            if before.ends_with(b"\r\n\r") {
                return Ok(Some(self.scanned));
            }
        }
        if received.len() > end { Err(HeadFault::TooLarge(limits.head_size_max)) } else { Ok(None) }
    }
}

/// Whether `byte` may follow `before`. Refuses what servers and proxies are known to read differently.
fn check_byte(before: &[u8], byte: u8) -> Result<(), HeadFault> {
    let fault = match (before.last(), byte) {
        (Some(b'\r'), b'\n') => return Ok(()),
        (Some(b'\r'), _) => "a CR without LF",
        (_, b'\n') => "a line ends with LF instead of CR LF",
        (None, b'\r') => "it begins with an empty line",
        (Some(b'\n'), b' ' | b'\t') => "a folded header line",
        (_, b'\r' | b'\t') => return Ok(()),
        (_, 0..=0x1F | 0x7F) => "a control character",
        _ => return Ok(()),
    };
    Err(HeadFault::Malformed(fault))
}

impl From<HeadFault> for Rejection {
    fn from(fault: HeadFault) -> Self {
        match fault {
            HeadFault::TooLarge(max) => Self::HeadTooLarge(max),
            HeadFault::TooMany(max) => Self::HeadersTooMany(max),
            HeadFault::Malformed(what) => Self::Malformed(what),
        }
    }
}

impl From<HeadFault> for HandshakeError {
    fn from(fault: HeadFault) -> Self {
        match fault {
            HeadFault::TooLarge(max) => Self::HeadTooLarge(max),
            HeadFault::TooMany(max) => Self::HeadersTooMany(max),
            HeadFault::Malformed(what) => Self::Malformed(what),
        }
    }
}

impl HeadFault {
    pub(crate) fn from_httparse(error: httparse::Error, limits: &HandshakeLimits) -> Self {
        Self::Malformed(match error {
            httparse::Error::TooManyHeaders => return Self::TooMany(limits.headers_max),
            httparse::Error::HeaderName => "a header name with a character that is not allowed",
            httparse::Error::HeaderValue => "a header value with a character that is not allowed",
            httparse::Error::NewLine => "a line that does not end as it should",
            httparse::Error::Status => "the status line",
            httparse::Error::Token => "the first line",
            httparse::Error::Version => "the HTTP version",
        })
    }
}
