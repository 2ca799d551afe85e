//! An application to be called: an HTTP server on a free port, whose methods are named after what they do with a call.
//! Knows nothing of clients.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use crate::server::{Folder, Server};

/// The endpoint.
pub(super) struct Endpoint {
    address: SocketAddr,
    accepting: JoinHandle<Infallible>,
    /// How many connections were made to it.
    pub(super) connections: Arc<AtomicUsize>,
    /// A call of `wait` has come.
    pub(super) waits: mpsc::UnboundedReceiver<()>,
    /// Lets one call of `wait` go on.
    pub(super) release: Arc<Notify>,
    /// A call of `never` is waited for no more.
    pub(super) abandoned: mpsc::UnboundedReceiver<()>,
}

/// What its connections share.
#[derive(Clone)]
struct Shared {
    waits: mpsc::UnboundedSender<()>,
    release: Arc<Notify>,
    abandoned: mpsc::UnboundedSender<()>,
}

impl Endpoint {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("an address");
        let (tell_waits, waits) = mpsc::unbounded_channel();
        let (tell_abandoned, abandoned) = mpsc::unbounded_channel();
        let (connections, release) = (Arc::<AtomicUsize>::default(), Arc::<Notify>::default());
        let shared = Shared { waits: tell_waits, release: Arc::clone(&release), abandoned: tell_abandoned };
        let accepting = tokio::spawn(accept(listener, shared, Arc::clone(&connections)));
        Self { address, accepting, connections, waits, release, abandoned }
    }

    /// A server that calls it, with more settings of `[rpc]`.
    pub(super) fn server(&self, folder: &Folder, settings: &str) -> Server {
        folder
            .write("config.toml", format!("[rpc]\nurl = \"http://{}/rpc?key=1\"\n{settings}", self.address));
        Server::start(folder)
    }

    /// Takes no more connections.
    pub(super) async fn end(self) {
        self.accepting.abort();
        // The listener is closed when the task is gone.
        let _ = self.accepting.await;
    }
}

async fn accept(listener: TcpListener, shared: Shared, connections: Arc<AtomicUsize>) -> Infallible {
    loop {
        let (stream, _) = listener.accept().await.expect("loopback");
        connections.fetch_add(1, Ordering::Relaxed);
        let shared = shared.clone();
        let service = service_fn(move |request| answer(request, shared.clone()));
        let serving =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        // The server under test may hang up, and some methods do.
        tokio::spawn(async move { drop(serving.await) });
    }
}

async fn answer(request: Request<Incoming>, shared: Shared) -> Result<Response<Full<Bytes>>, io::Error> {
    let target = request.uri().to_string();
    let kind =
        request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(str::to_owned);
    let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    let body: Value = serde_json::from_slice(&body).expect("the server sends JSON");
    let (status, said) = match body["method"].as_str().expect("a call has a method") {
        "echo" => (200, json!({ "body": body, "target": target, "type": kind }).to_string()),
        "spaced" => (201, "\r\n{\n\"a\":\n1}\n".to_owned()),
        "nothing" => (204, String::new()),
        "refuse" => (403, json!({ "code": "forbidden", "message": "not for you" }).to_string()),
        "limit" => (429, json!({ "code": "rate_limited", "message": "slowly", "retry": 250 }).to_string()),
        "busy" => (503, "later".to_owned()),
        "odd" => (418, json!({ "code": "teapot", "message": "short and stout" }).to_string()),
        "broken" => (500, "<h1>oops</h1>".to_owned()),
        "elsewhere" => (302, String::new()),
        "text" => (200, "done".to_owned()),
        "largest" => (200, format!("{:?}", "x".repeat(65_534))),
        "large" => (200, format!("{:?}", "x".repeat(65_535))),
        "hang_up" => return Err(io::Error::other("as it was asked to")),
        "wait" => {
            // A test that no longer listens has ended.
            let _ = shared.waits.send(());
            shared.release.notified().await;
            (200, "\"waited\"".to_owned())
        }
        "never" => {
            let _told_when_dropped = Abandoned(shared.abandoned);
            std::future::pending().await
        }
        other => panic!("{other} is not one of the endpoint's methods"),
    };
    Ok(Response::builder().status(status).body(Full::new(Bytes::from(said))).expect("a valid answer"))
}

/// Says that nobody waits for a call any more.
struct Abandoned(mpsc::UnboundedSender<()>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        // A test that no longer listens has ended.
        let _ = self.0.send(());
    }
}
