//! The server's judgement of a handshake (RFC 6455 §4.2). Not authentication and not routing, which the shell
//! does before or after with the same [`Request`]. Called once per connection by servers.

use crate::deflate::DeflateParams;
use crate::error::Rejection;
use crate::handshake::deflate::answer_deflate;
use crate::handshake::headers::is_token;
use crate::handshake::key::{accept_key, check_key};
use crate::handshake::origin::OriginPolicy;
use crate::handshake::request::Request;

/// What a server agrees to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcceptOptions {
    /// Which pages may connect. Default: those of the same host.
    pub origin: OriginPolicy,
    /// Subprotocols, the preferred first. Default: none. A client that offers none of them is accepted without.
    pub subprotocols: Vec<String>,
    /// permessage-deflate (RFC 7692), and how, beyond what the client asks for. Default: none, and the extensions that
    /// the client offers are not looked at.
    pub deflate: Option<DeflateParams>,
}

/// A handshake that was accepted; send its response, and the rest is frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    accept: String,
    subprotocol: Option<String>,
    deflate: Option<(DeflateParams, String)>,
}

/// Judges a request for a WebSocket.
///
/// # Errors
/// The first reason to refuse; render it with [`Rejection::response`].
pub fn accept(request: &Request<'_>, options: &AcceptOptions) -> Result<Accepted, Rejection> {
    check_request(request)?;
    check_upgrade(request)?;
    let host = one(request, "Host")?.ok_or(Rejection::HeaderMissing("Host"))?;
    match one(request, "Sec-WebSocket-Version")? {
        Some(b"13") => {}
        Some(_) => return Err(Rejection::WebSocketVersion),
        None => return Err(Rejection::HeaderMissing("Sec-WebSocket-Version")),
    }
    let key = one(request, "Sec-WebSocket-Key")?.ok_or(Rejection::HeaderMissing("Sec-WebSocket-Key"))?;
    check_key(key)?;
    let origin = one(request, "Origin")?;
    if !options.origin.allows(origin, host) {
        let origin = String::from_utf8_lossy(origin.unwrap_or_default()).into_owned();
        return Err(Rejection::OriginForbidden(origin));
    }
    let deflate = match options.deflate {
        Some(wish) => answer_deflate(request.headers.all("sec-websocket-extensions"), wish)?,
        None => None,
    };
    Ok(Accepted { accept: accept_key(key), subprotocol: choose_subprotocol(request, options)?, deflate })
}

fn check_request(request: &Request<'_>) -> Result<(), Rejection> {
    if request.method() != "GET" {
        return Err(Rejection::MethodNotGet);
    }
    if request.minor_version() < 1 {
        return Err(Rejection::VersionTooOld);
    }
    request.check_target()?;
    if request.headers.has("transfer-encoding") {
        return Err(Rejection::BodyUnexpected("Transfer-Encoding"));
    }
    match one(request, "Content-Length")? {
        None | Some(b"0") => Ok(()),
        Some(_) => Err(Rejection::BodyUnexpected("Content-Length")),
    }
}

fn check_upgrade(request: &Request<'_>) -> Result<(), Rejection> {
    if !request.is_upgrade() {
        return Err(Rejection::UpgradeMissing);
    }
    if !request.headers.names("connection", "upgrade") {
        return Err(Rejection::ConnectionMissing);
    }
    Ok(())
}

/// The server's order decides, the client's offer only limits (§4.2.2).
fn choose_subprotocol(request: &Request<'_>, options: &AcceptOptions) -> Result<Option<String>, Rejection> {
    let offers: Vec<&[u8]> = request.headers.list("sec-websocket-protocol").take(OFFERS_MAX + 1).collect();
    let repeated = offers.iter().enumerate().any(|(at, offer)| offers[..at].contains(offer));
    if offers.len() > OFFERS_MAX || repeated || !offers.iter().all(|offer| is_token(offer)) {
        return Err(Rejection::SubprotocolList);
    }
    Ok(options.subprotocols.iter().find(|ours| offers.contains(&ours.as_bytes())).cloned())
}

/// So many that no client offers more, so few that comparing each with each costs nothing.
const OFFERS_MAX: usize = 64;

fn one<'h>(request: &Request<'h>, name: &'static str) -> Result<Option<&'h [u8]>, Rejection> {
    request.headers.one(name).map_err(|_| Rejection::HeaderRepeated(name))
}

impl Accepted {
    /// The subprotocol that both speak from now on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// How messages may be compressed from now on; for [`Connection::with_deflate`](crate::Connection::with_deflate).
    pub fn deflate(&self) -> Option<DeflateParams> {
        self.deflate.as_ref().map(|(params, _)| *params)
    }

    /// The headers of the 101 response, for HTTP libraries.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", self.accept.as_str())]
            .into_iter()
            .chain(self.subprotocol().map(|name| ("Sec-WebSocket-Protocol", name)))
            .chain(self.deflate.iter().map(|(_, answer)| ("Sec-WebSocket-Extensions", answer.as_str())))
    }

    /// The whole 101 response.
    pub fn response(&self) -> Vec<u8> {
        let mut response = String::from("HTTP/1.1 101 Switching Protocols\r\n");
        for (name, value) in self.headers() {
            response.extend([name, ": ", value, "\r\n"]);
        }
        response.push_str("\r\n");
        response.into_bytes()
    }
}
