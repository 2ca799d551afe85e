//! The client's side of the handshake (RFC 6455 §4.1): the request, and a strict look at the answer. Redirects
//! are not followed. Used by clients, once per connection.

use core::time::Duration;

use crate::deflate::DeflateParams;
use crate::error::{HandshakeError, UsageError};
use crate::handshake::deflate::{confirm_deflate, offer_deflate};
use crate::handshake::head::{HandshakeLimits, HeadFault, HeadScan};
use crate::handshake::headers::{Headers, is_origin_form, is_token, is_value};
use crate::handshake::key::{accept_key, encode_key};
use crate::handshake::url::Url;

/// Headers that the handshake writes itself.
const RESERVED: [&str; 9] = [
    "host",
    "upgrade",
    "connection",
    "content-length",
    "transfer-encoding",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
];

/// How the answer begins of a server that expected TLS (RFC 8446 §5.1). With less than that the head is at fault anyway.
const TLS_ALERT: &[u8] = &[21, 3];

/// A handshake that we ask for.
#[derive(Clone, Debug)]
pub struct ClientHandshake {
    host: String,
    target: String,
    key: String,
    headers: Vec<(String, String)>,
    subprotocols: Vec<String>,
    deflate: Option<DeflateParams>,
    scan: HeadScan,
    retry_after: Option<Duration>,
}

/// The server agreed; the rest is frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Established {
    /// The size of the answer's head; what was received after it is the first frames.
    pub head_size: usize,
    /// The subprotocol that the server chose from those asked for.
    pub subprotocol: Option<String>,
    /// How messages may be compressed from now on; for [`Connection::with_deflate`](crate::Connection::with_deflate).
    pub deflate: Option<DeflateParams>,
}

impl ClientHandshake {
    /// A handshake with the host and target of `url`. `nonce` must be random, and new for each connection.
    pub fn new(url: &Url, nonce: [u8; 16]) -> Self {
        debug_assert!(is_origin_form(url.target().as_bytes()), "a parsed URL has a proper target");
        Self {
            host: url.authority(),
            target: url.target().to_owned(),
            key: encode_key(nonce),
            headers: Vec::new(),
            subprotocols: Vec::new(),
            deflate: None,
            scan: HeadScan::default(),
            retry_after: None,
        }
    }

    /// Adds a header, such as `Authorization`, `Cookie` or `Origin`.
    ///
    /// # Errors
    /// [`UsageError`] for characters that HTTP does not allow (CR, LF, NUL …) and for the handshake's own headers.
    pub fn header(&mut self, name: &str, value: &str) -> Result<(), UsageError> {
        if !is_token(name.as_bytes()) || !is_value(value.as_bytes()) {
            return Err(UsageError::HeaderInvalid(name.to_owned()));
        }
        if RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name)) {
            return Err(UsageError::HeaderReserved(name.to_owned()));
        }
        self.headers.push((name.to_owned(), value.to_owned()));
        Ok(())
    }

    /// Asks for a subprotocol; the first asked for is the one liked best.
    ///
    /// # Errors
    /// [`UsageError`] where it is not a token or was asked for before.
    pub fn subprotocol(&mut self, name: &str) -> Result<(), UsageError> {
        if !is_token(name.as_bytes()) || self.subprotocols.iter().any(|other| other == name) {
            return Err(UsageError::SubprotocolInvalid(name.to_owned()));
        }
        self.subprotocols.push(name.to_owned());
        Ok(())
    }

    /// Offers permessage-deflate (RFC 7692), which the server may leave out. `client_max_window_bits` of 15 lets the
    /// server ask for less.
    pub fn deflate(&mut self, params: DeflateParams) {
        self.deflate = Some(params);
    }

    /// The whole request.
    pub fn request(&self) -> Vec<u8> {
        let mut request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n",
            self.target, self.host, self.key,
        );
        if !self.subprotocols.is_empty() {
            request.extend(["Sec-WebSocket-Protocol: ", &self.subprotocols.join(", "), "\r\n"]);
        }
        if let Some(params) = self.deflate {
            request.extend(["Sec-WebSocket-Extensions: ", &offer_deflate(params), "\r\n"]);
        }
        for (name, value) in &self.headers {
            request.extend([name.as_str(), ": ", value.as_str(), "\r\n"]);
        }
        request.push_str("\r\n");
        request.into_bytes()
    }

    /// Looks at all that was `received` so far; `None` while the head is not whole. Each byte is scanned once.
    ///
    /// # Errors
    /// [`HandshakeError`]: the server refused, or its answer is not one that the RFC lets us accept.
    pub fn receive(
        &mut self,
        received: &[u8],
        limits: &HandshakeLimits,
    ) -> Result<Option<Established>, HandshakeError> {
        if received.starts_with(TLS_ALERT) {
            return Err(HandshakeError::Malformed("this port speaks TLS: the URL should be wss://"));
        }
        let Some(head_size) = self.scan.scan(received, limits)? else { return Ok(None) };
        let mut headers = vec![httparse::EMPTY_HEADER; limits.places(head_size)];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(&received[..head_size]) {
            Ok(httparse::Status::Complete(size)) if size == head_size => {}
            Ok(_) => return Err(HandshakeError::Malformed("an empty line in the wrong place")),
            Err(error) => return Err(HeadFault::from_httparse(error, limits).into()),
        }
        let headers = Headers::new(response.headers.iter().map(|header| (header.name, header.value)));
        match (response.code, response.version) {
            (Some(101), Some(1)) => {}
            (Some(101), _) => return Err(HandshakeError::Malformed("the HTTP version")),
            (code, _) => {
                self.retry_after = retry_after(&headers);
                return Err(HandshakeError::Status(code.unwrap_or_default()));
            }
        }
        self.check_upgrade(&headers)?;
        let deflate = confirm_deflate(headers.all("sec-websocket-extensions"), self.deflate)?;
        let subprotocol = self.check_subprotocol(&headers)?;
        Ok(Some(Established { head_size, subprotocol, deflate }))
    }

    /// How long a server that answered [`HandshakeError::Status`] wants us to stay away (RFC 9110 §10.2.3), where it said
    /// so in seconds. A date is not read, because there is no clock here to read it with.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    fn check_upgrade(&self, headers: &Headers<'_>) -> Result<(), HandshakeError> {
        match headers.one("upgrade") {
            Ok(Some(value)) if value.eq_ignore_ascii_case(b"websocket") => {}
            _ => return Err(HandshakeError::UpgradeMissing),
        }
        if !headers.names("connection", "upgrade") {
            return Err(HandshakeError::ConnectionMissing);
        }
        let expected = accept_key(self.key.as_bytes());
        match headers.one("sec-websocket-accept") {
            Ok(Some(value)) if value == expected.as_bytes() => Ok(()),
            _ => Err(HandshakeError::AcceptWrong),
        }
    }

    fn check_subprotocol(&self, headers: &Headers<'_>) -> Result<Option<String>, HandshakeError> {
        match headers.one("sec-websocket-protocol") {
            Ok(None) => Ok(None),
            Ok(Some(chosen)) => self
                .subprotocols
                .iter()
                .find(|ours| ours.as_bytes() == chosen)
                .map(|ours| Some(ours.clone()))
                .ok_or(HandshakeError::SubprotocolUnasked),
            Err(_) => Err(HandshakeError::SubprotocolUnasked),
        }
    }
}

fn retry_after(headers: &Headers<'_>) -> Option<Duration> {
    let value = headers.one("retry-after").ok()??;
    let digits = value.iter().all(u8::is_ascii_digit);
    let seconds = str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}
