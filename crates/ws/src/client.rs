//! Connecting to a server: a builder that becomes a [`Socket`] when it is awaited. Not the handshake's rules, which are
//! the core's. Redirects are not followed, so that credentials go to nobody else.

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use trunkline_ws_proto::Role;
use trunkline_ws_proto::handshake::{ClientHandshake, Established, Url};

use crate::compression::{Agreed, Compression};
use crate::error::{Deadline, Error};
use crate::keys::nonce;
use crate::limits::Limits;
use crate::socket::{Origin, Socket};

/// Connects to `ws://host:port/path` when awaited.
///
/// ```no_run
/// # async fn run() -> Result<(), trunkline_ws::Error> {
/// let mut socket = trunkline_ws::connect("ws://127.0.0.1:8080/live").bearer("token").subprotocol("v1").await?;
/// socket.send("Hello").await?;
/// # Ok(()) }
/// ```
pub fn connect(url: impl Into<String>) -> Connect {
    Connect {
        url: url.into(),
        headers: Vec::new(),
        subprotocols: Vec::new(),
        compression: None,
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

    /// How long the handshake may take; see [`Limits::handshake_timeout`].
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.limits.handshake_timeout = timeout;
        self
    }

    async fn connect(self) -> Result<Socket, Error> {
        let url = Url::parse(&self.url)?;
        let handshake = self.handshake(&url)?;
        if url.is_secure() {
            return Err(Error::TlsUnsupported);
        }
        let stream = timeout(self.limits.connect_timeout, TcpStream::connect((url.host(), url.port())))
            .await
            .map_err(|_| Error::Timeout(Deadline::Connect))??;
        stream.set_nodelay(true)?;
        let peer_addr = stream.peer_addr().ok();
        open(stream, peer_addr, handshake, self.compression, self.limits).await
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

async fn open(
    mut stream: TcpStream,
    peer_addr: Option<SocketAddr>,
    mut handshake: ClientHandshake,
    compression: Option<Compression>,
    limits: Limits,
) -> Result<Socket, Error> {
    let mut received = Vec::new();
    let answer = answer(&mut stream, &mut handshake, &limits, &mut received);
    let established = timeout(limits.handshake_timeout, answer)
        .await
        .map_err(|_| Error::Timeout(Deadline::Handshake))??;
    received.drain(..established.head_size);
    let origin = Origin {
        subprotocol: established.subprotocol.map(String::into_boxed_str),
        peer_addr,
        deflate: Agreed::new(established.deflate, compression),
        ..Origin::default()
    };
    Ok(Socket::with_origin(Role::Client, stream, received, Arc::new(limits), None, origin))
}

/// Sends the request and reads until the server's answer is whole.
async fn answer(
    stream: &mut TcpStream,
    handshake: &mut ClientHandshake,
    limits: &Limits,
    received: &mut Vec<u8>,
) -> Result<Established, Error> {
    let lost = |error: std::io::Error| Error::Lost(Some(error.kind()));
    stream.write_all(&handshake.request()).await.map_err(lost)?;
    loop {
        if let Some(established) = handshake.receive(received, &limits.handshake())? {
            return Ok(established);
        }
        if stream.read_buf(received).await.map_err(lost)? == 0 {
            return Err(Error::Lost(None));
        }
    }
}

impl IntoFuture for Connect {
    type Output = Result<Socket, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.connect())
    }
}
