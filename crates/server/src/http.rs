//! HTTP on the one port: which path goes where, and how one connection is served.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::uri::Authority;
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;
use tower::ServiceExt as _;
use trunkline_model::{ErrorCode, Fault, Limits};
use trunkline_node::{Handle, HttpServer, Refusal, Refusals};

use crate::admin::Administrators;
use crate::config::ServerSettings;
use crate::door::ServerDoor;
use crate::forwarded::Proxies;
use crate::metrics::Metrics;
use crate::origins::Origins;
use crate::patient::Patient;
use crate::problem::Problem;
use crate::upgrade::Terms;
use crate::{admin, api, ui, upgrade};

/// The largest head of a request, in bytes, and its most headers. Above them 431.
const HEAD_SIZE_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 100;
/// How long a request may take from the end of its head to its answer. Then 504.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// The other end of a connection.
#[derive(Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// What the endpoints have in common with the rest of the server.
pub(crate) struct Shared {
    pub(crate) door: Arc<ServerDoor>,
    pub(crate) origins: Origins,
    pub(crate) ready: Readiness,
    pub(crate) administrators: Administrators,
    pub(crate) metrics: Metrics,
    pub(crate) refusals: Arc<Refusals>,
}

/// Speaks HTTP/1.1 on every accepted connection.
pub(crate) struct Http {
    router: Router,
    refusals: Arc<Refusals>,
    head_timeout: Duration,
    write_timeout: Duration,
}

impl Http {
    /// The endpoints. `terms` are those of WebSockets.
    pub(crate) fn new(limits: &Limits, terms: Terms, server: ServerSettings, shared: Shared) -> Self {
        let ServerSettings { local, echo, pages, proxies, .. } = server;
        let Shared { door, origins, ready, administrators, metrics, refusals } = shared;
        let (guard, counting) = (origins.clone(), metrics.clone());
        let mut router = Router::new()
            .route("/ws", any(upgrade::session))
            .route("/room/{name}", any(upgrade::room))
            .route("/api/v1/channels/{channel}/messages", get(api::messages).post(api::publish))
            .route("/api", any(api::not_found))
            .route("/api/", any(api::not_found))
            .route("/api/{*rest}", any(api::not_found))
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
            .layer(axum::Extension(Proxies::new(proxies)))
            .layer(axum::Extension(terms))
            .layer(axum::Extension(door))
            .layer(axum::Extension(Arc::clone(&refusals)))
            .layer(middleware::from_fn(move |request, next| guard.clone().guard(request, next)))
            .layer(middleware::from_fn(end_in_time))
            .layer(middleware::from_fn(move |request, next| counting.clone().count(request, next)));
        Self { refusals, router, head_timeout: limits.handshake_timeout, write_timeout: limits.write_timeout }
    }
}

impl HttpServer for Http {
    fn serve(
        &self,
        stream: tokio::net::TcpStream,
        worker: Handle,
        mut drain: watch::Receiver<bool>,
    ) -> Pin<Box<dyn Future<Output = ()>>> {
        let (router, refusals) = (self.router.clone(), Arc::clone(&self.refusals));
        let peer = stream.peer_addr().ok().map(Peer);
        let service = tower::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(worker.clone());
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            router.clone().oneshot(request)
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.head_timeout)
            .max_buf_size(HEAD_SIZE_MAX)
            .max_headers(HEADERS_MAX);
        let stream = Patient::new(stream, self.write_timeout);
        let served =
            http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).with_upgrades();
        Box::pin(async move {
            let mut served = pin!(served);
            let result = tokio::select! {
                result = served.as_mut() => result,
                _ = drain.wait_for(|drain| *drain) => {
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
        })
    }
}

/// Whether new clients are wanted.
#[derive(Clone, Default)]
pub(crate) struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// They are not any more.
    pub(crate) fn end(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is alive, and ready, for balancers.
    pub(crate) fn routes(self) -> Router {
        Router::new()
            .route("/health/live", get(alive))
            .route("/health/ready", get(move || self.clone().answer()))
    }

    async fn answer(self) -> Response {
        if self.0.load(Ordering::Relaxed) {
            return (StatusCode::SERVICE_UNAVAILABLE, "the server is about to end\n").into_response();
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
    let message =
        "`trunkline dev` answers to localhost, 127.0.0.1 and [::1] only, not to another name in `Host`";
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
