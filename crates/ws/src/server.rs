//! A listener that turns TCP connections into [`Socket`]s, one task each. Not an HTTP server: whatever is no WebSocket
//! handshake is refused. For applications that want a WebSocket port in a few lines.

use std::fmt;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
#[cfg(feature = "tls")]
use tokio::time::Instant;
use tokio::time::timeout;
use trunkline_ws_proto::handshake::{
    AcceptOptions, Accepted, HeadScan, OriginPolicy, Parsed, Request, accept,
};
use trunkline_ws_proto::{Rejection, Role};

use crate::compression::{Agreed, Compression};
use crate::error::Error;
use crate::limits::{Limits, SharedLimits};
use crate::socket::{Origin, Socket};
#[cfg(feature = "tls")]
use crate::tls::{ServerStream, TlsConfig};

/// How long a refused client has to read its answer.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// The pause after a failed `accept`, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

type Admit = dyn Fn(&Request<'_>) -> Result<(), Rejection> + Send + Sync;

/// A WebSocket server on one address. Bind, set what is to be different, then serve.
pub struct Server {
    listener: TcpListener,
    config: Config,
}

struct Config {
    limits: SharedLimits,
    options: AcceptOptions,
    compression: Option<Compression>,
    paths: Vec<String>,
    admit: Option<Box<Admit>>,
    #[cfg(feature = "tls")]
    tls: Option<TlsConfig>,
}

impl Server {
    /// Listens on an address; port 0 takes a free one, see [`Server::local_addr`].
    ///
    /// # Errors
    /// [`Error::Io`] when the address cannot be had.
    pub async fn bind(addr: impl ToSocketAddrs) -> Result<Self, Error> {
        Ok(Self::from_listener(TcpListener::bind(addr).await?))
    }

    /// Listens on a socket that is already bound: one that a service manager has handed over, or that was made with
    /// options of its own.
    pub fn from_listener(listener: TcpListener) -> Self {
        let config = Config {
            limits: SharedLimits::from(Arc::new(Limits::default())),
            options: AcceptOptions::default(),
            compression: None,
            paths: Vec::new(),
            admit: None,
            #[cfg(feature = "tls")]
            tls: None,
        };
        Self { listener, config }
    }

    /// Serves this path and answers 404 elsewhere; call again for more paths. Default: all paths.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.config.paths.push(path.into());
        self
    }

    /// Which web pages may connect. Default: [`OriginPolicy::SameHost`].
    #[must_use]
    pub fn origin(mut self, policy: OriginPolicy) -> Self {
        self.config.options.origin = policy;
        self
    }

    /// Offers a subprotocol; the first offered is preferred.
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.config.options.subprotocols.push(name.into());
        self
    }

    /// Compresses messages for clients that offer it, as all browsers do. Default: no.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.config.options.deflate = Some(compression.params);
        self.config.compression = Some(compression);
        self
    }

    /// Caps and deadlines.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = SharedLimits::from(Arc::new(limits));
        self
    }

    /// Lets `admit` refuse a handshake by its request, with [`Rejection::Other`] and status 401 for example.
    #[must_use]
    pub fn admit(
        mut self,
        admit: impl Fn(&Request<'_>) -> Result<(), Rejection> + Send + Sync + 'static,
    ) -> Self {
        self.config.admit = Some(Box::new(admit));
        self
    }

    /// Speaks TLS, and nothing else on this port: `wss://`. The TLS handshake falls under
    /// [`handshake_timeout`](Limits::handshake_timeout) and [`connections_max`](Limits::connections_max) as the other one
    /// does.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: impl Into<TlsConfig>) -> Self {
        self.config.tls = Some(config.into());
        self
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// [`Error::Io`] when the operating system does not say.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves until the future is dropped, which cuts all connections. See [`Server::serve_until`].
    ///
    /// # Errors
    /// None today; `accept` failures are logged and tried again.
    pub async fn serve<H, F>(self, handler: H) -> Result<(), Error>
    where
        H: Fn(Socket) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        self.serve_until(handler, std::future::pending()).await
    }

    /// Runs `handler` for each socket, in a task of its own, until `stop` is done. Then it accepts no more, closes every
    /// open socket with 1001, and waits up to [`shutdown_timeout`](Limits::shutdown_timeout) for the handlers to return:
    /// `recv` gives them `None` once the peer has answered.
    ///
    /// A handler's error ends its connection only, and is logged at DEBUG; so is a panic, at ERROR.
    ///
    /// # Errors
    /// None today; `accept` failures are logged and tried again.
    pub async fn serve_until<H, F>(self, handler: H, stop: impl Future<Output = ()>) -> Result<(), Error>
    where
        H: Fn(Socket) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let Self { listener, config } = self;
        let (config, handler, shutdown) = (Arc::new(config), Arc::new(handler), Arc::new(Notify::new()));
        let places_max = config.limits.all.connections_max.min(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(places_max));
        let mut tasks = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(ended) = tasks.join_next() => report(ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => match places.clone().try_acquire_owned() {
                        Ok(place) => {
                            let told = shutdown.clone().notified_owned();
                            let (config, handler) = (config.clone(), handler.clone());
                            // In a box of its own, which is freed when the socket is open: the task is as
                            // big as the biggest of its futures for as long as it lives.
                            let opening = Box::pin(async move { config.open(stream, peer, place, told).await });
                            tasks.spawn(async move {
                                let socket = opening.await;
                                let Some(socket) = socket else { return };
                                if let Err(error) = handler(socket).await {
                                    tracing::debug!(%peer, %error, "a handler failed");
                                }
                            });
                        }
                        Err(_) => config.refuse_full(stream),
                    },
                    Err(error) => {
                        tracing::warn!(%error, "accept failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        shutdown.notify_waiters();
        // A dropped socket says goodbye in the background and keeps its place until it has.
        let all_gone = async {
            while let Some(ended) = tasks.join_next().await {
                report(ended);
            }
            let _ = places.acquire_many(u32::try_from(places_max).unwrap_or(u32::MAX)).await;
        };
        if timeout(config.limits.all.shutdown_timeout, all_gone).await.is_err() {
            tracing::warn!("connections were cut: they did not end in time");
        }
        Ok(())
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .field("paths", &self.config.paths)
            .field("options", &self.config.options)
            .field("limits", &self.config.limits.all)
            .finish_non_exhaustive()
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a handler panicked");
    }
}

impl Config {
    /// The handshakes, within their deadline; `None` when they were refused.
    async fn open(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        place: OwnedSemaphorePermit,
        told: OwnedNotified,
    ) -> Option<Socket> {
        let _ = stream.set_nodelay(true);
        let time = self.limits.all.handshake_timeout;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let begun = Instant::now();
            let stream = secure(tls, stream, peer, time).await?;
            let rest = time.saturating_sub(begun.elapsed());
            return self.open_on(stream, peer, place, told, rest).await;
        }
        self.open_on(stream, peer, place, told, time).await
    }

    async fn open_on(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
        peer: SocketAddr,
        place: OwnedSemaphorePermit,
        told: OwnedNotified,
        time: Duration,
    ) -> Option<Socket> {
        let rejection = match timeout(time, self.handshake(&mut stream)).await {
            Ok(Ok(Some((mut head, head_size, accepted)))) => {
                let received = head.split_off(head_size);
                let origin = Origin {
                    head: without_handshake(&head).into_boxed_slice(),
                    subprotocol: accepted.subprotocol().map(Box::from),
                    peer_addr: Some(peer),
                    permit: Some(place),
                };
                let limits = self.limits.clone();
                let socket = Socket::with_origin(Role::Server, stream, received, limits, Some(told), origin);
                return Some(socket.agreeing(Agreed::new(accepted.deflate(), self.compression)));
            }
            Ok(Ok(None)) => return None,
            Ok(Err(rejection)) => rejection,
            Err(_) => Rejection::Other { status: 408, reason: "the handshake took too long".to_owned() },
        };
        tracing::debug!(%peer, status = rejection.status(), %rejection, "refused a handshake");
        let _ = timeout(REFUSAL_TIMEOUT, refuse(stream, &rejection.response())).await;
        None
    }

    /// Says so without waiting: nothing may be spent on connections that there is no place for. Over TLS it takes several
    /// steps to say anything.
    fn refuse_full(&self, stream: TcpStream) {
        #[cfg(feature = "tls")]
        if self.tls.is_some() {
            return;
        }
        let rejection = Rejection::Other { status: 503, reason: "too many open connections".to_owned() };
        // As a plain socket, because tokio does not know yet that a fresh one can be written to.
        if let Ok(mut stream) = stream.into_std() {
            let _ = stream.write(&rejection.response());
        }
    }

    /// Reads the head and answers it; `None` when the client went away.
    async fn handshake(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ) -> Result<Option<(Vec<u8>, usize, Accepted)>, Rejection> {
        let limits = self.limits.all.handshake();
        let (mut received, mut scan) = (Vec::new(), HeadScan::default());
        while scan.find(&received, &limits)?.is_none() {
            match stream.read_buf(&mut received).await {
                Ok(size) if size > 0 => {}
                _ => return Ok(None),
            }
        }
        let Parsed::Complete { request, head_size } = Request::parse(&received, &limits)? else {
            return Ok(None);
        };
        let accepted = self.judge(&request)?;
        let written = match stream.write_all(&accepted.response()).await {
            Ok(()) => stream.flush().await,
            Err(error) => Err(error),
        };
        Ok(written.is_ok().then_some((received, head_size, accepted)))
    }

    fn judge(&self, request: &Request<'_>) -> Result<Accepted, Rejection> {
        if !self.paths.is_empty() && !self.paths.iter().any(|path| path == request.path()) {
            let reason = format!("there is no WebSocket at {}", request.path());
            return Err(Rejection::Other { status: 404, reason });
        }
        let accepted = accept(request, &self.options)?;
        match &self.admit {
            Some(admit) => admit(request).map(|()| accepted),
            None => Ok(accepted),
        }
    }
}

/// A request's head as it is kept for the handler: without the headers that the handshake has used up, which are half of a
/// short one.
fn without_handshake(head: &[u8]) -> Vec<u8> {
    let used: [&[u8]; 5] = [
        b"connection:",
        b"sec-websocket-extensions:",
        b"sec-websocket-key:",
        b"sec-websocket-version:",
        b"upgrade:",
    ];
    let is_used = |line: &[u8]| {
        used.iter().any(|name| line.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name)))
    };
    head.split_inclusive(|byte| *byte == b'\n').filter(|line| !is_used(line)).flatten().copied().collect()
}

/// The TLS handshake; `None` where there is none. A client that speaks something else hears so in TLS' own way.
#[cfg(feature = "tls")]
async fn secure(
    tls: &TlsConfig,
    stream: TcpStream,
    peer: SocketAddr,
    time: Duration,
) -> Option<ServerStream> {
    match timeout(time, tls.accept(stream)).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err((error, stream))) => {
            tracing::debug!(%peer, %error, "no TLS");
            let _ = timeout(REFUSAL_TIMEOUT, refuse(stream, b"")).await;
        }
        Err(_) => tracing::debug!(%peer, "the TLS handshake took too long"),
    }
    None
}

/// Answers, and waits for the client to read it: closing with its bytes unread might make TCP drop the answer.
async fn refuse(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) {
    if stream.write_all(answer).await.is_ok() && stream.shutdown().await.is_ok() {
        let mut rest = [0; 4096];
        while matches!(stream.read(&mut rest).await, Ok(size) if size > 0) {}
    }
}
