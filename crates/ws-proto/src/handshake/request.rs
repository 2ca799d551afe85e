//! A request's head, read from raw bytes or taken over from an HTTP library. Not yet judged as a WebSocket
//! handshake: that is `accept.rs`. Used by servers.

use crate::error::Rejection;
use crate::handshake::head::{HandshakeLimits, HeadFault, HeadScan};
use crate::handshake::headers::{Headers, is_origin_form};

/// The head of an HTTP request, borrowed from where it lies.
#[derive(Clone, Debug)]
pub struct Request<'h> {
    method: &'h str,
    target: &'h str,
    minor_version: u8,
    pub(crate) headers: Headers<'h>,
}

/// How far [`Request::parse`] came.
#[derive(Clone, Debug)]
pub enum Parsed<'h> {
    /// The head is whole.
    Complete {
        /// The head.
        request: Request<'h>,
        /// Its size; `received[head_size..]` is what the client sent after it.
        head_size: usize,
    },
    /// More bytes are needed.
    Partial,
}

impl<'h> Request<'h> {
    /// A head that something else has parsed. `target` is the target as it stood in the request line, so that
    /// `http://…` and `host:port` are seen and refused; `minor_version` is 1 for HTTP/1.1.
    pub fn new(
        method: &'h str,
        target: &'h str,
        minor_version: u8,
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    ) -> Self {
        Self { method, target, minor_version, headers: Headers::new(headers) }
    }

    /// Reads a head from all that was `received` so far. While a head trickles in, ask a [`HeadScan`] first: it
    /// looks at each byte once, and this function from the start.
    ///
    /// # Errors
    /// [`Rejection`] as soon as the head is over a limit or malformed: bare LF, folded lines, space before a colon,
    /// control characters, a target that is not a path.
    pub fn parse(received: &'h [u8], limits: &HandshakeLimits) -> Result<Parsed<'h>, Rejection> {
        let Some(head_size) = HeadScan::default().scan(received, limits)? else {
            return Ok(Parsed::Partial);
        };
        let mut headers = vec![httparse::EMPTY_HEADER; limits.places(head_size)];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&received[..head_size]) {
            Ok(httparse::Status::Complete(size)) if size == head_size => {}
            Ok(_) => return Err(Rejection::Malformed("an empty line in the wrong place")),
            Err(error) => return Err(HeadFault::from_httparse(error, limits).into()),
        }
        let request = Self::new(
            request.method.unwrap_or_default(),
            request.path.unwrap_or_default(),
            request.version.unwrap_or_default(),
            request.headers.iter().map(|header| (header.name, header.value)),
        );
        request.check_target()?;
        Ok(Parsed::Complete { request, head_size })
    }

    /// The method, such as `GET`.
    pub fn method(&self) -> &'h str {
        self.method
    }

    /// Path and query.
    pub fn target(&self) -> &'h str {
        self.target
    }

    /// The path, without the query; not percent-decoded.
    pub fn path(&self) -> &'h str {
        self.target.split_once('?').map_or(self.target, |(path, _)| path)
    }

    /// The query, without the question mark; not percent-decoded.
    pub fn query(&self) -> Option<&'h str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// 1 for HTTP/1.1.
    pub fn minor_version(&self) -> u8 {
        self.minor_version
    }

    /// All headers, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&'h str, &'h [u8])> {
        self.headers.iter()
    }

    /// The first value of a header, without the space around it; the name in any case.
    pub fn header(&self, name: &str) -> Option<&'h [u8]> {
        self.headers.all(name).next().map(<[u8]>::trim_ascii)
    }

    /// Whether the client asks for a WebSocket, so that [`accept`](crate::handshake::accept) should judge it.
    pub fn is_upgrade(&self) -> bool {
        self.headers.names("upgrade", "websocket")
    }

    /// A client talks to an origin server with a path; the other forms are for proxies (RFC 9112 §3.2).
    pub(crate) fn check_target(&self) -> Result<(), Rejection> {
        if is_origin_form(self.target.as_bytes()) {
            Ok(())
        } else {
            Err(Rejection::Malformed("the target is not a path of visible ASCII characters"))
        }
    }
}
