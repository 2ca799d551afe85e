//! From an HTTP request to a WebSocket: the handshake is answered here, then the bare socket goes to the
//! worker and hyper lets go of it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::extract::{Extension, Path, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_rustls::server::TlsStream;
use trunkline_model::{ChannelName, ErrorCode, Fault, Secret};
use trunkline_node::{Cipher, Handle, Protocol, Upgrade};
use trunkline_ws_proto::handshake::{AcceptOptions, Accepted, OriginPolicy, Request as Handshake, accept};
use trunkline_ws_proto::{DeflateParams, Rejection};

use crate::cipher::TlsCipher;
use crate::credentials;
use crate::forwarded::Proxies;
use crate::line::{Line, Peer};
use crate::origins::Origins;
use crate::patient::Patient;
use crate::problem::Problem;

/// The name of our protocol among a client's subprotocols.
const SUBPROTOCOL: &str = "trunkline.v1";

/// `/ws`
pub(crate) async fn session(
    Extension(worker): Extension<Handle>,
    Extension(terms): Extension<Terms>,
    request: Request,
) -> Response {
    let options = AcceptOptions { subprotocols: vec![SUBPROTOCOL.to_owned()], ..terms.options() };
    upgrade(request, worker, Protocol::Json, &options, &terms)
}

/// `/echo`
pub(crate) async fn echo(
    Extension(worker): Extension<Handle>,
    Extension(terms): Extension<Terms>,
    request: Request,
) -> Response {
    upgrade(request, worker, Protocol::Echo, &terms.options(), &terms)
}

/// `/room/{name}`
pub(crate) async fn room(
    Path(name): Path<String>,
    Extension(worker): Extension<Handle>,
    Extension(terms): Extension<Terms>,
    request: Request,
) -> Response {
    if !terms.rooms.load(Ordering::Relaxed) {
        let message = "there is no namespace \"room\" in the configuration, so there are no rooms";
        return Problem::new(Fault::new(ErrorCode::UnknownNamespace, message)).into_response();
    }
    match ChannelName::parse(&format!("room:{name}")) {
        Ok(channel) => upgrade(request, worker, Protocol::Plain(channel), &terms.options(), &terms),
        Err(error) => Problem::bad_request(format!("the room's name: {error}")).into_response(),
    }
}

/// What the configuration says about WebSockets.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// Whether the namespace `room` exists. One may come while the server runs.
    pub(crate) rooms: Arc<AtomicBool>,
    /// Whether compression is agreed to, if a client offers it.
    pub(crate) compression: bool,
    /// The name of the cookie that may hold a token.
    pub(crate) cookie: Option<Arc<str>>,
}

impl Terms {
    /// Compression without context takeover in either direction: no connection owns a compressor or an inflater.
    fn options(&self) -> AcceptOptions {
        let deflate = self.compression.then(DeflateParams::default);
        AcceptOptions { deflate, ..AcceptOptions::default() }
    }
}

fn upgrade(
    mut request: Request,
    worker: Handle,
    protocol: Protocol,
    options: &AcceptOptions,
    terms: &Terms,
) -> Response {
    if request.version() == Version::HTTP_2 {
        let message =
            "this connection speaks HTTP/2, and a WebSocket begins with HTTP/1.1; offer only that by ALPN";
        return Problem::bad_request(message).into_response();
    }
    let origins: Option<&Origins> = request.extensions().get();
    let is_listed = origins.is_some_and(|origins| origins.allow(request.headers()));
    let origin = if is_listed { OriginPolicy::Any } else { OriginPolicy::SameHost };
    let options = &AcceptOptions { origin, ..options.clone() };
    let accepted = match check(&request, options) {
        Ok(accepted) => accepted,
        Err(rejection) => {
            if let (Some(origins), Rejection::OriginForbidden(_)) = (origins, &rejection) {
                origins.refused();
            }
            return refusal(&rejection);
        }
    };
    let Some(upgrading) = request.extensions_mut().remove::<OnUpgrade>() else {
        let message = "this connection cannot become a WebSocket; use HTTP/1.1";
        return Problem::bad_request(message).into_response();
    };
    let token = credentials::of_handshake(request.headers(), request.uri(), terms.cookie.as_deref());
    let peer: Option<&Peer> = request.extensions().get();
    let proxies: Option<&Proxies> = request.extensions().get();
    let address = peer.zip(proxies).and_then(|(peer, proxies)| proxies.origin_of(*peer, request.headers()));
    let asked = Asked { protocol, deflate: accepted.deflate(), address, token };
    tokio::task::spawn_local(hand_over(upgrading, worker, asked));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    for (name, value) in accepted.headers() {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

fn check(request: &Request, options: &AcceptOptions) -> Result<Accepted, Rejection> {
    let target = request.uri().to_string();
    let minor = u8::from(request.version() == Version::HTTP_11);
    let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    accept(&Handshake::new(request.method().as_str(), &target, minor, headers), options)
}

/// What the handshake has asked for, and who asks.
struct Asked {
    protocol: Protocol,
    deflate: Option<DeflateParams>,
    address: Option<IpAddr>,
    token: Option<Secret>,
}

async fn hand_over(upgrading: OnUpgrade, worker: Handle, asked: Asked) {
    let upgraded = match upgrading.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            tracing::debug!(%error, "a client left during its handshake");
            return;
        }
    };
    let Some(Bare { line, cipher, leftover }) = bare(upgraded) else { return };
    let Asked { protocol, deflate, address, token } = asked;
    let upgrade = Upgrade { protocol, deflate, address, token, leftover, cipher };
    match line.into_socket() {
        // A worker that has ended drops the socket; the client comes back.
        Ok(socket) => drop(worker.attach(socket, upgrade)),
        Err(error) => tracing::warn!(%error, "an upgraded socket could not be taken out of the runtime"),
    }
}

/// What a worker drives, of an upgraded connection.
struct Bare {
    line: Line,
    cipher: Option<Box<dyn Cipher>>,
    leftover: Bytes,
}

/// Takes hyper, and what waits for tasks, off a connection.
fn bare(upgraded: Upgraded) -> Option<Bare> {
    let upgraded = match upgraded.downcast::<TokioIo<Patient>>() {
        Ok(parts) => {
            let line = parts.io.into_inner().into_inner();
            return Some(Bare { line, cipher: None, leftover: parts.read_buf });
        }
        Err(upgraded) => upgraded,
    };
    let Ok(parts) = upgraded.downcast::<TokioIo<TlsStream<Patient>>>() else {
        tracing::error!("an upgraded connection is not one of those that were accepted");
        return None;
    };
    let (patient, connection) = parts.io.into_inner().into_inner();
    match TlsCipher::new(connection) {
        Ok((cipher, plain)) => {
            // hyper has read the first of it, the rest waits in the cipher.
            let leftover =
                if plain.is_empty() { parts.read_buf } else { [&parts.read_buf[..], &plain].concat().into() };
            Some(Bare { line: patient.into_inner(), cipher: Some(Box::new(cipher)), leftover })
        }
        Err(error) => {
            tracing::debug!(%error, "a client broke TLS during its handshake");
            None
        }
    }
}

fn refusal(rejection: &Rejection) -> Response {
    let status = StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = (status, format!("{rejection}\n")).into_response();
    for (name, value) in rejection.headers() {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
