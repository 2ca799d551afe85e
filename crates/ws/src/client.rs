//! Connecting to a server: a builder that becomes a [`Socket`] when it is awaited. Not the handshake's rules, which are
//! the core's. Redirects are not followed, so that credentials go to nobody else.

use std::fmt;
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use trunkline_ws_proto::Role;
use trunkline_ws_proto::handshake::{ClientHandshake, Established, Url};

use crate::backoff::Backoff;
use crate::compression::{Agreed, Compression};
use crate::error::{Deadline, Error};
use crate::keys::nonce;
use crate::limits::Limits;
use crate::reconnect::Reconnecting;
use crate::socket::{Origin, Socket};
#[cfg(feature = "tls")]
use crate::tls::Trust;

/// Connects to `ws://host:port/path` or `wss://host:port/path` when awaited.
///
/// ```no_run
/// # async fn run() -> Result<(), trunkline_ws::Error> {
/// let mut socket = trunkline_ws::connect("wss://example.com/live").bearer("token").subprotocol("v1").await?;
/// socket.send("Hello").await?;
/// # Ok(()) }
/// ```
pub fn connect(url: impl Into<String>) -> Connect {
    Connect {
        url: url.into(),
        headers: Vec::new(),
        subprotocols: Vec::new(),
        compression: None,
        #[cfg(feature = "tls")]
        trust: Trust::default(),
        limits: Limits::default(),
    }
}

/// A connection to be made; await it. What is wrong with its parts is said then.
#[derive(Clone)]
#[must_use = "nothing happens until it is awaited"]
pub struct Connect {
    url: String,
    headers: Vec<(String, String)>,
    subprotocols: Vec<String>,
    compression: Option<Compression>,
    #[cfg(feature = "tls")]
    trust: Trust,
    limits: Limits,
}

impl Connect {
    /// Asks for a subprotocol; the first asked for is the one liked best.
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocols.push(name.into());
        self
    }

    /// Sends a header with the handshake, such as `Cookie` or `Origin`.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sends `Authorization: Bearer …`.
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }

    /// Offers to compress messages; the server decides. Default: no.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = Some(compression);
        self
    }

    /// Caps and deadlines.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How long name resolution and TCP may take; see [`Limits::connect_timeout`].
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.limits.connect_timeout = timeout;
        self
    }

    /// How long TLS and the handshake may take; see [`Limits::handshake_timeout`].
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.limits.handshake_timeout = timeout;
        self
    }

    /// A connection that is made again whenever it has ended: see [`Reconnecting`].
    pub fn reconnecting(self, backoff: Backoff) -> Reconnecting {
        Reconnecting::new(self, backoff)
    }

    /// Connects as awaiting it does, but says of a refusal also for how long the server wants us to stay away
    /// (`Retry-After`): for callers with a way of their own to connect again.
    ///
    /// # Errors
    /// [`Failure`]: why there is no socket.
    ///
    /// Cancel-safe: dropping it cuts the line.
    pub async fn attempt(self) -> Result<Socket, Failure> {
        let url = Url::parse(&self.url).map_err(Error::Usage)?;
        let handshake = self.handshake(&url)?;
        #[cfg(feature = "tls")]
        let connector = if url.is_secure() { Some(self.trust.connector(url.host()).await?) } else { None };
        #[cfg(not(feature = "tls"))]
        if url.is_secure() {
            return Err(Error::TlsUnsupported.into());
        }
        let stream = timeout(self.limits.connect_timeout, TcpStream::connect((url.host(), url.port())))
            .await
            .map_err(|_| Error::Timeout(Deadline::Connect))?
            .map_err(Error::Io)?;
        stream.set_nodelay(true).map_err(Error::Io)?;
        let deadline = self.limits.handshake_timeout;
        let opening = async {
            let peer_addr = stream.peer_addr().ok();
            #[cfg(feature = "tls")]
            if let Some(connector) = connector {
                let stream = connector.connect(stream).await?;
                return open(stream, peer_addr, handshake, self.compression, self.limits).await;
            }
            open(stream, peer_addr, handshake, self.compression, self.limits).await
        };
        timeout(deadline, opening).await.map_err(|_| Error::Timeout(Deadline::Handshake))?
    }

    fn handshake(&self, url: &Url) -> Result<ClientHandshake, Error> {
        let mut handshake = ClientHandshake::new(url, nonce()?);
        for name in &self.subprotocols {
            handshake.subprotocol(name)?;
        }
        for (name, value) in &self.headers {
            handshake.header(name, value)?;
        }
        if let Some(compression) = self.compression {
            handshake.deflate(compression.params);
        }
        Ok(handshake)
    }
}

/// Why there is no socket.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The error; [`Error::is_retryable`] says whether trying again can help.
    pub error: Error,
    /// How long the server wants us to stay away, if it said so.
    pub retry_after: Option<Duration>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, retry_after: None }
    }
}

async fn open(
    mut stream: impl AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
    peer_addr: Option<SocketAddr>,
    mut handshake: ClientHandshake,
    compression: Option<Compression>,
    limits: Limits,
) -> Result<Socket, Failure> {
    let mut received = Vec::new();
    let established = answer(&mut stream, &mut handshake, &limits, &mut received)
        .await
        .map_err(|error| Failure { error, retry_after: handshake.retry_after() })?;
    received.drain(..established.head_size);
    let origin = Origin {
        subprotocol: established.subprotocol.map(String::into_boxed_str),
        peer_addr,
        ..Origin::default()
    };
    let socket = Socket::with_origin(Role::Client, stream, received, Arc::new(limits), None, origin);
    Ok(socket.agreeing(Agreed::new(established.deflate, compression)))
}

/// Sends the request and reads until the server's answer is whole.
async fn answer(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    handshake: &mut ClientHandshake,
    limits: &Limits,
    received: &mut Vec<u8>,
) -> Result<Established, Error> {
    stream.write_all(&handshake.request()).await.map_err(Error::from_line)?;
    stream.flush().await.map_err(Error::from_line)?;
    loop {
        if let Some(established) = handshake.receive(received, &limits.handshake())? {
            return Ok(established);
        }
        if stream.read_buf(received).await.map_err(Error::from_line)? == 0 {
            return Err(Error::Lost(None));
        }
    }
}

#[cfg(feature = "tls")]
impl Connect {
    /// For `wss://`: trusts this certificate authority instead of those of the operating system; call again for more.
    /// `root` is PEM with any number of certificates, or DER of one. What is wrong with it is said when this is awaited.
    pub fn root_certificate(mut self, root: impl Into<Vec<u8>>) -> Self {
        self.trust.add_root(root.into());
        self
    }

    /// For `wss://`: a rustls configuration of one's own, for client certificates or a verifier. Only its ALPN protocols
    /// are replaced, by `http/1.1`. It and [`root_certificate`](Self::root_certificate) exclude each other; the later
    /// call counts.
    pub fn tls(mut self, config: impl Into<Arc<rustls::ClientConfig>>) -> Self {
        self.trust.set_config(Arc::unwrap_or_clone(config.into()));
        self
    }
}

/// Without what may be a token: the query, and the values of headers.
impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Connect")
            .field("host", &Url::parse(&self.url).ok().map(|url| url.authority()))
            .field("headers", &headers)
            .field("subprotocols", &self.subprotocols)
            .field("compression", &self.compression)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl IntoFuture for Connect {
    type Output = Result<Socket, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async { self.attempt().await.map_err(|failure| failure.error) })
    }
}
