//! HTTP/2 (RFC 9113) behind TLS, for the API and the pages. No WebSockets over it (RFC 8441): that setting would move every
//! WebSocket of a browser into one connection, where no worker's loop can drive it; without it, browsers open them with
//! HTTP/1.1. Used by `http`, which has HTTP/1.1.

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Request, Version, header};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::server::TlsStream;

use crate::http::{Answers, HEAD_SIZE_MAX, Waits, begun};
use crate::patient::Patient;

/// Requests of one connection at a time. Further ones are refused with `REFUSED_STREAM`, and may be asked again. Not fewer
/// than a client may assume before it has read our settings (section 6.5.2 recommends 100).
const STREAMS_MAX: u32 = 100;
/// Requests that were taken back and are not yet forgotten. Above it the connection is closed (CVE-2023-44487).
const RESETS_MAX: usize = 32;
/// Requests that we refused or reset ourselves, likewise (CVE-2025-8671).
const REFUSALS_MAX: usize = 256;
/// What may be on its way to us before it is read, in bytes: of one request, and of a connection.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;
/// Requests of one connection that are answered at a time; the others wait for their turn. An answer is held until the
/// client has taken it, and a page has up to 1 MiB.
const ANSWERS_MAX: usize = 4;
/// Bytes of one answer that wait for a client.
const SEND_BUFFER_MAX: usize = 64 << 10;
/// How long a request may take from its head to the end of its answer, the client's share of it included. Then it is reset.
const STREAM_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a body that nobody wants, which are read all the same.
const REST_MAX: usize = 64 << 10;
/// How long the rest of a body is waited for that nobody wants.
const REST_TIMEOUT: Duration = Duration::from_secs(2);
/// After this time without a request the connection is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a client that asks nothing may take to hear that its connection ends.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves one connection to its end. The first request has the time of a head; `drain` ends it after the requests it is at.
pub(crate) async fn serve(
    stream: TlsStream<Patient>,
    service: TowerToHyperService<impl Answers>,
    waits: Waits,
    mut drain: watch::Receiver<bool>,
) {
    let streams = Streams::default();
    let mut builder = http2::Builder::new(streams.clone());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(REFUSALS_MAX)
        .max_header_list_size(u32::try_from(HEAD_SIZE_MAX).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER_MAX)
        .keep_alive_interval(waits.ping)
        .keep_alive_timeout(waits.ping);
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = served.as_mut() => Some(ended),
        () = begun(&mut drain) => None,
        () = streams.nothing_asked(waits.head) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            served.as_mut().graceful_shutdown();
            // Who does not take its answers, or does not answer at all, is not waited for.
            let patience = if streams.0.open.get() == 0 { GOODBYE_TIMEOUT } else { waits.write };
            timeout(patience, served).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP/2 connection ended");
    }
}

/// The name that was asked for stands in `:authority`; all that looks for it looks at `Host`. They say the same, or the
/// first counts (section 8.3.1).
pub(crate) fn name_host<B>(request: &mut Request<B>) {
    let authority = request.uri().authority().and_then(|name| HeaderValue::from_str(name.as_str()).ok());
    if let Some(authority) = authority {
        request.headers_mut().insert(header::HOST, authority);
    }
}

/// Reads what is left of a request's body before the answer leaves. If it were let go, the stream would be reset behind the
/// answer, which is in order (section 8.1), but some clients then lose the answer.
pub(crate) async fn read_rest(request: axum::extract::Request, next: Next) -> Response {
    if request.version() != Version::HTTP_2 || request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let body = Lent(Arc::new(Mutex::new(body)));
    let lent = Body::new(Lent(Arc::clone(&body.0)));
    let response = next.run(axum::extract::Request::from_parts(parts, lent)).await;
    // A client that goes on all the same has to bear it.
    let rest = Limited::new(body, REST_MAX);
    let _ = timeout(REST_TIMEOUT, rest.collect()).await;
    response
}

/// A body that its owner reads on from where a handler has stopped.
struct Lent(Arc<Mutex<Body>>);

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}

/// The requests of one connection: each a task of its own, until its answer has left or its time is over.
#[derive(Clone, Default)]
struct Streams(Rc<State>);

struct State {
    open: Cell<usize>,
    asked: Cell<bool>,
    /// One has ended.
    ended: Notify,
    /// To be answered.
    turns: Semaphore,
}

impl Default for State {
    fn default() -> Self {
        let (open, asked, ended) = (Cell::default(), Cell::default(), Notify::default());
        Self { open, asked, ended, turns: Semaphore::new(ANSWERS_MAX) }
    }
}

impl Streams {
    /// Waits until nothing was asked for a while; for the first request at most for `first`.
    async fn nothing_asked(&self, first: Duration) {
        let mut idle_from = Instant::now();
        loop {
            let patience = if self.0.asked.get() { IDLE_TIMEOUT } else { first };
            tokio::select! {
                () = sleep_until(idle_from + patience) => {
                    let asked_meanwhile = patience == first && self.0.asked.get();
                    if self.0.open.get() == 0 && !asked_meanwhile {
                        return;
                    }
                    idle_from = Instant::now();
                }
                () = self.0.ended.notified() => idle_from = Instant::now(),
            }
        }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future + 'static,
{
    fn execute(&self, stream: F) {
        self.0.asked.set(true);
        self.0.open.set(self.0.open.get() + 1);
        let open = Open(Rc::clone(&self.0));
        tokio::task::spawn_local(async move {
            let answered = async {
                let _turn = open.0.turns.acquire().await;
                stream.await;
            };
            if timeout(STREAM_TIMEOUT, answered).await.is_err() {
                tracing::debug!("a request over HTTP/2 took too long");
            }
            drop(open);
        });
    }
}

/// A request that is under way.
struct Open(Rc<State>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
        self.0.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(10);

    /// The clock is virtual: it jumps to the next deadline when nothing else can happen.
    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_when_nothing_was_asked_for_a_while() {
        let begun = Instant::now();
        Streams::default().nothing_asked(FIRST).await;
        assert_eq!(begun.elapsed(), FIRST, "the first request has its own time");

        let streams = Streams::default();
        let (begun, local) = (Instant::now(), tokio::task::LocalSet::new());
        let asking = async {
            let request = Duration::from_secs(9);
            tokio::time::sleep(request).await;
            streams.execute(tokio::time::sleep(request));
            std::future::pending::<()>().await;
        };
        let idle = local.run_until(async {
            tokio::select! {
                () = streams.nothing_asked(FIRST) => {}
                () = asking => {}
            }
        });
        idle.await;
        assert_eq!(
            begun.elapsed(),
            Duration::from_secs(18) + IDLE_TIMEOUT,
            "from the end of the last request"
        );
    }

    /// A client that takes nothing of its answer holds it no longer than that.
    #[tokio::test(start_paused = true)]
    async fn a_request_has_its_time() {
        let streams = Streams::default();
        let (begun, local) = (Instant::now(), tokio::task::LocalSet::new());
        let ended = local.run_until(async {
            streams.execute(std::future::pending::<()>());
            assert_eq!(streams.0.open.get(), 1);
            streams.0.ended.notified().await;
        });
        ended.await;
        assert_eq!((begun.elapsed(), streams.0.open.get()), (STREAM_TIMEOUT, 0));
    }
}
