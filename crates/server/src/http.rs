//! HTTP on the one port: which path goes where, and how one connection is served with HTTP/1.1. HTTP/2 is in `http2`.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::uri::Authority;
use axum::http::{StatusCode, Version, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tower::{Service, ServiceExt as _};
use trunkline_model::{ErrorCode, Fault, Limits, UserName};
use trunkline_node::{Handle, HttpServer, Places, Refusal, Refusals, Socket};

use crate::admin::Administrators;
use crate::config::ServerSettings;
use crate::door::ServerDoor;
use crate::entrance::{Entered, Entrance, Stream};
use crate::forwarded::Proxies;
use crate::half_open::{HalfOpen, Ticket};
use crate::line::Peer;
use crate::metrics::Metrics;
use crate::origins::Origins;
use crate::problem::Problem;
use crate::tls::Tls;
use crate::upgrade::Terms;
use crate::{admin, api, http2, tls, ui, upgrade};

/// The largest head of a request, in bytes, and its most headers. Above them 431.
pub(crate) const HEAD_SIZE_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 100;
/// How long a request may take from the end of its head to its answer. Then 504.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// What a connection hears for which there is no place.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n\
    Content-Type: text/plain\r\nContent-Length: 32\r\n\r\nthe server has no place for you\n";

/// What the endpoints have in common with the rest of the server, which may change it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) door: Arc<ServerDoor>,
    pub(crate) addresses: Arc<Places<IpAddr>>,
    pub(crate) users: Arc<Places<UserName>>,
    pub(crate) origins: Origins,
    pub(crate) ready: Readiness,
    /// Those who have asked for nothing yet.
    pub(crate) half_open: HalfOpen,
    /// Whether there is no memory for others, or for large answers.
    pub(crate) crowded: Arc<AtomicBool>,
    pub(crate) administrators: Administrators,
    pub(crate) metrics: Metrics,
    pub(crate) refusals: Arc<Refusals>,
}

/// Speaks HTTP/1.1 on every accepted connection, and HTTP/2 on those that have chosen it in their TLS handshake.
pub(crate) struct Http {
    router: Router,
    entrance: Entrance,
    half_open: HalfOpen,
    waits: Waits,
}

/// How long one waits for what a client does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits {
    /// For the head of a request.
    pub(crate) head: Duration,
    /// For room to write.
    pub(crate) write: Duration,
    /// For any sign of life.
    pub(crate) ping: Duration,
}

impl Http {
    /// The endpoints, behind TLS or not. `terms` are those of WebSockets.
    pub(crate) fn new(
        limits: &Limits,
        terms: Terms,
        server: &ServerSettings,
        tls: Option<Arc<Tls>>,
        shared: Shared,
    ) -> Self {
        let ServerSettings { local, echo, pages, proxy_protocol, .. } = *server;
        let Shared { door, addresses, origins, ready, administrators, metrics, refusals, half_open, .. } =
            shared;
        let entrance = Entrance {
            tls,
            proxy_protocol,
            addresses,
            refusals: Arc::clone(&refusals),
            proxies: Proxies::new(server.proxies.clone()),
            deadline: limits.handshake_timeout,
            patience: limits.write_timeout,
        };
        let (guard, counting) = (origins.clone(), metrics.clone());
        let mut router = Router::new()
            .route("/ws", any(upgrade::session))
            .route("/room/{name}", any(upgrade::room))
            .route("/api/v1/channels/{channel}/messages", get(api::messages).post(api::publish))
            .route("/api", any(api::not_found))
            .route("/api/", any(api::not_found))
            .route("/api/{*rest}", any(api::not_found))
            .route("/trunkline.js", get(ui::sdk))
            .merge(ready.routes())
            .merge(admin::routes(administrators, metrics))
            .fallback(if pages { get(ui::page) } else { get(ui::no_page) });
        if echo {
            router = router.route("/echo", any(upgrade::echo));
        }
        if local {
            let hosts = Arc::clone(&refusals);
            router = router.layer(middleware::from_fn(move |request, next| {
                refuse_foreign_hosts(Arc::clone(&hosts), request, next)
            }));
        }
        let router = router
            .layer(DefaultBodyLimit::max(limits.http_body))
            .layer(axum::Extension(origins))
            .layer(axum::Extension(entrance.proxies.clone()))
            .layer(axum::Extension(terms))
            .layer(axum::Extension(door))
            .layer(axum::Extension(shared.crowded))
            .layer(axum::Extension(Arc::clone(&refusals)))
            .layer(middleware::from_fn(move |request, next| guard.clone().guard(request, next)))
            .layer(middleware::from_fn(http2::read_rest))
            .layer(middleware::from_fn(end_in_time))
            .layer(middleware::from_fn(move |request, next| counting.clone().count(request, next)));
        let waits =
            Waits { head: limits.handshake_timeout, write: limits.write_timeout, ping: limits.ping_interval };
        Self { router, entrance, half_open, waits }
    }
}

impl HttpServer for Http {
    fn serve(
        &self,
        socket: Socket,
        worker: Handle,
        mut drain: watch::Receiver<bool>,
    ) -> Pin<Box<dyn Future<Output = ()>>> {
        let (entrance, waits) = (self.entrance.clone(), self.waits);
        let router = self.router.clone();
        let refusal = self.refusal();
        let (ticket, over) = self.half_open.enter(Instant::now());
        let refusals = Arc::clone(&entrance.refusals);
        let served = async move {
            let entered = tokio::select! {
                entered = entrance.enter(socket, refusal) => entered,
                // Nothing was asked yet.
                () = begun(&mut drain) => None,
            };
            let Some(Entered { stream, peer, place }) = entered else { return };
            let refusals = Arc::clone(&entrance.refusals);
            let service = TowerToHyperService::new(answers(router, worker, peer, ticket));
            match stream {
                Stream::Plain(stream) => {
                    Box::pin(serve_http1(stream, service, waits, drain, &refusals)).await
                }
                Stream::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(tls::HTTP_2) => {
                    Box::pin(http2::serve(*stream, service, waits, drain)).await;
                }
                Stream::Tls(stream) => Box::pin(serve_http1(*stream, service, waits, drain, &refusals)).await,
            }
            drop(place);
        };
        Box::pin(async move {
            tokio::select! {
                () = served => {}
                () = over.notified() => refusals.note(Refusal::HalfOpen),
            }
        })
    }

    fn refusal(&self) -> &'static [u8] {
        // Who waits for a handshake would not understand it.
        if self.entrance.speaks_plainly() { FULL } else { b"" }
    }
}

/// Waits until the end has begun. What `wait_for` gives is a lock, which nobody may keep: who wants to tell of the end once
/// more would wait for it, on this very thread.
pub(crate) async fn begun(drain: &mut watch::Receiver<bool>) {
    // Without a sender the worker is gone.
    drop(drain.wait_for(|drain| *drain).await);
}

/// Answers what comes by one connection, which is half open up to then.
fn answers(router: Router, worker: Handle, peer: Peer, ticket: Ticket) -> impl Answers {
    let half_open = Rc::new(Cell::new(Some(ticket)));
    tower::service_fn(move |mut request: hyper::Request<Incoming>| {
        half_open.take();
        request.extensions_mut().insert(worker.clone());
        request.extensions_mut().insert(peer);
        if request.version() == Version::HTTP_2 {
            http2::name_host(&mut request);
        }
        router.clone().oneshot(request)
    })
}

/// What answers requests.
pub(crate) trait Answers:
    Service<hyper::Request<Incoming>, Response = Response, Error = Infallible, Future: 'static> + Clone + 'static
{
}

impl<S> Answers for S where
    S: Service<hyper::Request<Incoming>, Response = Response, Error = Infallible, Future: 'static>
        + Clone
        + 'static
{
}

async fn serve_http1(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    service: TowerToHyperService<impl Answers>,
    waits: Waits,
    mut drain: watch::Receiver<bool>,
    refusals: &Refusals,
) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(waits.head)
        .max_buf_size(HEAD_SIZE_MAX)
        .max_headers(HEADERS_MAX);
    let mut served = pin!(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let result = tokio::select! {
        result = served.as_mut() => result,
        () = begun(&mut drain) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        if error.is_timeout() || error.is_parse() {
            refusals.note(Refusal::Handshake);
        }
        tracing::debug!(%error, "an HTTP connection ended");
    }
}

/// Whether new clients are wanted.
#[derive(Clone, Default)]
pub(crate) struct Readiness {
    ends: Arc<AtomicBool>,
    tls: Option<Arc<Tls>>,
}

impl Readiness {
    /// Of a server that speaks TLS like this: while it has no certificate, nobody gets in.
    pub(crate) fn of(tls: Option<Arc<Tls>>) -> Self {
        Self { ends: Arc::default(), tls }
    }

    /// They are not any more.
    pub(crate) fn end(&self) {
        self.ends.store(true, Ordering::Relaxed);
    }

    /// Whether it is alive, and ready, for balancers.
    pub(crate) fn routes(self) -> Router {
        Router::new()
            .route("/health/live", get(alive))
            .route("/health/ready", get(move || self.clone().answer()))
    }

    async fn answer(self) -> Response {
        if self.ends.load(Ordering::Relaxed) {
            return (StatusCode::SERVICE_UNAVAILABLE, "the server is about to end\n").into_response();
        }
        if self.tls.as_ref().is_some_and(|tls| !tls.is_ready()) {
            return (StatusCode::SERVICE_UNAVAILABLE, "there is no certificate yet\n").into_response();
        }
        "ok\n".into_response()
    }
}

/// The server is up.
async fn alive() -> &'static str {
    "ok\n"
}

/// A body that does not come, or an answer that does not, must not hold a place for ever.
async fn end_in_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await.unwrap_or_else(|_| {
        let message = "the request was not answered in time, or its body did not come";
        Problem::new(Fault::new(ErrorCode::Timeout, message)).into_response()
    })
}

/// A name that an attacker's DNS points at this machine makes a foreign page look like one of ours (DNS
/// rebinding). `dev` trusts everyone who reaches it, so it answers to loopback names only.
async fn refuse_foreign_hosts(refusals: Arc<Refusals>, request: Request, next: Next) -> Response {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    if hosts.all(|host| host.to_str().is_ok_and(is_loopback)) {
        return next.run(request).await;
    }
    refusals.note(Refusal::Host);
    let message = "`trunkline dev` answers to localhost, 127.0.0.1 and [::1] only, not to another name in `Host`; \
        `trunkline serve` answers to any";
    Problem::new(Fault::new(ErrorCode::Forbidden, message)).into_response()
}

fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_loopback_names_are_ours() {
        for ours in [
            "localhost",
            "LOCALHOST:8000",
            "127.0.0.1",
            "127.0.0.1:8000",
            "127.1.2.3:1",
            "[::1]:8000",
            "[::1]",
        ] {
            assert!(is_loopback(ours), "{ours}");
        }
        for foreign in [
            "evil.example:8000",
            "localhost.evil.example",
            "10.0.0.1",
            "",
            ":8000",
            "127.0.0.1.evil.example",
            "[::2]",
        ] {
            assert!(!is_loopback(foreign), "{foreign}");
        }
    }
}
