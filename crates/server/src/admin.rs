//! What is for those who run the server and for nobody else: `/metrics`. On the port that clients use it asks for the
//! administrator's token; there can be an address of its own for it, that only they reach.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use trunkline_model::{ErrorCode, Fault};
use trunkline_node::{Refusal, Refusals};

use crate::http::Shared;
use crate::line::Line;
use crate::metrics::Metrics;
use crate::patient::Patient;
use crate::problem::Problem;
use crate::{credentials, listen};

/// How many connections the address of its own has at a time. Further ones wait.
const CONNECTIONS: usize = 64;
/// How long a request head may take there, and how long a connection without one is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take nothing of its answer there.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long accepting rests when the system has nothing to give.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// A token of which only a digest is kept.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct AdminToken([u8; 32]);

impl AdminToken {
    pub(crate) fn new(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Whether it is this one. How long that takes says nothing of how near it comes.
    fn is(&self, given: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(given).into();
        self.0.iter().zip(digest).fold(0, |all, (ours, theirs)| all | (ours ^ theirs)) == 0
    }
}

/// Shows nothing.
impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken")
    }
}

/// Who counts as an administrator.
#[derive(Clone)]
pub(crate) struct Administrators {
    token: Arc<RwLock<Option<AdminToken>>>,
    /// Whether one who comes without a token does: everyone who reaches `dev`, or the address of its own.
    open: bool,
    refusals: Arc<Refusals>,
}

impl Administrators {
    pub(crate) fn new(token: Option<AdminToken>, open: bool, refusals: Arc<Refusals>) -> Self {
        Self { token: Arc::new(RwLock::new(token)), open, refusals }
    }

    /// The same, where one needs no token unless there is one.
    fn elsewhere(&self) -> Self {
        Self { open: true, ..self.clone() }
    }

    /// From now on this is the token.
    pub(crate) fn set(&self, token: Option<AdminToken>) {
        *self.token.write().unwrap_or_else(PoisonError::into_inner) = token;
    }

    /// Lets administrators through.
    async fn guard(self, request: Request, next: Next) -> Response {
        match self.check(&request) {
            Ok(()) => next.run(request).await,
            Err(fault) => {
                self.refusals.note(Refusal::Credentials);
                Problem::new(fault).into_response()
            }
        }
    }

    fn check(&self, request: &Request) -> Result<(), Fault> {
        let token = self.token.read().unwrap_or_else(PoisonError::into_inner);
        let Some(token) = token.as_ref() else {
            let message = "this is for administrators, of which there are none: `token_file` of [admin] has their token, and \
                `listen` of [admin] an address of its own";
            return if self.open { Ok(()) } else { Err(Fault::new(ErrorCode::Forbidden, message)) };
        };
        match credentials::bearer(request.headers()) {
            Some(given) if token.is(given.reveal()) => Ok(()),
            Some(_) => Err(Fault::new(ErrorCode::Unauthorized, "this is not the administrator's token")),
            None => Err(Fault::new(
                ErrorCode::Unauthorized,
                "send the administrator's token: `Authorization: Bearer <token>`",
            )),
        }
    }
}

/// What administrators see.
pub(crate) fn routes(administrators: Administrators, metrics: Metrics) -> Router {
    Router::new()
        .route("/metrics", get(move || metrics.clone().page()))
        .layer(middleware::from_fn(move |request, next| administrators.clone().guard(request, next)))
}

/// The address of its own.
pub(crate) struct AdminServer {
    listener: TcpListener,
    router: Router,
}

impl AdminServer {
    /// Listens there.
    ///
    /// # Errors
    /// What is in the way, in a sentence.
    pub(crate) fn bind(address: SocketAddr, shared: &Shared) -> anyhow::Result<Self> {
        let Shared { administrators, metrics, ready, .. } = shared;
        let router = routes(administrators.elsewhere(), metrics.clone()).merge(ready.clone().routes());
        Ok(Self { listener: listen::tcp(address)?, router })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it is dropped.
    ///
    /// # Errors
    /// The system's, if it cannot listen.
    pub(crate) async fn run(self) -> std::io::Result<()> {
        self.listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let place = Arc::clone(&places).acquire_owned().await.map_err(std::io::Error::other)?;
            let accepted =
                listener.accept().await.and_then(|(stream, _)| Line::new(stream.into_std()?.into()));
            let stream = match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_REST).await;
                    continue;
                }
            };
            let service = TowerToHyperService::new(self.router.clone());
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            let served = http.serve_connection(TokioIo::new(Patient::new(stream, WRITE_TIMEOUT)), service);
            tokio::spawn(async move {
                if let Err(error) = served.await {
                    tracing::debug!(%error, "a connection of an administrator ended");
                }
                drop(place);
            });
        }
    }
}
