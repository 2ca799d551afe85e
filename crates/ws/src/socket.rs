//! One WebSocket, on either end: what handlers and clients hold. Not how bytes move, which is `driver.rs`.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::futures::OwnedNotified;
use trunkline_ws_proto::handshake::{HandshakeLimits, Parsed, Request};
use trunkline_ws_proto::{CloseCode, CloseFrame, DeflateOptions, DeflateParams, MessageKind, Role};

use crate::compression::Agreed;
use crate::driver::Driver;
use crate::error::Error;
use crate::limits::{Limits, SharedLimits};
use crate::message::Message;
use crate::sender::Sender;
use crate::streamed::{MessageReader, MessageWriter};

/// An open WebSocket, of a server or of a client.
///
/// The application sees text and binary messages only. Pings are answered inside, while it waits in [`recv`](Self::recv),
/// [`send`](Self::send), [`flush`](Self::flush) or [`close`](Self::close); so a task that holds a socket should spend its
/// time in `recv`.
///
/// **Cancel safety.** Every method may be dropped at any await point, in `select!` or by a timeout, and called again: no
/// byte of either direction is lost or doubled. What a dropped call has done stands with each method.
///
/// **Drop.** A socket that is dropped while open says goodbye in the background (code 1000, or 1011 when its task
/// panics), for at most [`close_timeout`](Limits::close_timeout).
pub struct Socket {
    /// `None` only after `drop` has handed it to the background.
    inner: Option<Box<Inner>>,
}

struct Inner {
    driver: Driver,
    origin: Origin,
}

/// Where a socket came from.
#[derive(Default)]
pub(crate) struct Origin {
    /// The request's head, on a server.
    pub(crate) head: Box<[u8]>,
    pub(crate) subprotocol: Option<Box<str>>,
    pub(crate) peer_addr: Option<SocketAddr>,
    /// The place among the server's open connections.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

impl Socket {
    /// A socket whose handshake was made elsewhere, with the functions of [`handshake`](crate::handshake) or by an HTTP
    /// library: `stream` carries frames, and `received` is what was already read of them. Of the handshake it knows nothing,
    /// so [`request`](Self::request), [`subprotocol`](Self::subprotocol) and [`peer_addr`](Self::peer_addr) are `None`.
    ///
    /// Two of them are a line without a network, for tests of handlers:
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), trunkline_ws::Error> {
    /// use trunkline_ws::{Limits, Role, Socket};
    ///
    /// let (near, far) = tokio::io::duplex(4096);
    /// let mut server = Socket::new(Role::Server, near, Vec::new(), Limits::default());
    /// let mut client = Socket::new(Role::Client, far, Vec::new(), Limits::default());
    /// client.send("Hello").await?;
    /// assert_eq!(server.recv().await?, Some("Hello".into()));
    /// # Ok(()) }
    /// ```
    pub fn new(
        role: Role,
        stream: impl AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
        received: Vec<u8>,
        limits: impl Into<Arc<Limits>>,
    ) -> Self {
        Self::with_origin(role, stream, received, limits.into(), None, Origin::default())
    }

    /// The same socket on a line whose handshake has agreed on compression, before anything is received or sent: `params`
    /// is what was agreed on ([`Accepted::deflate`](crate::handshake::Accepted::deflate) or
    /// [`Established::deflate`](crate::handshake::Established::deflate)), `options` says how we compress.
    #[must_use]
    pub fn compressed(self, params: DeflateParams, options: DeflateOptions) -> Self {
        self.agreeing(Some(Agreed { params, options }))
    }

    /// With what the handshake has agreed on, if anything.
    pub(crate) fn agreeing(mut self, agreed: Option<Agreed>) -> Self {
        if let Some(agreed) = agreed {
            self.driver_mut().agree(agreed);
        }
        self
    }

    pub(crate) fn with_origin(
        role: Role,
        stream: impl AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
        received: Vec<u8>,
        limits: impl Into<SharedLimits>,
        shutdown: Option<OwnedNotified>,
        origin: Origin,
    ) -> Self {
        let driver = Driver::new(role, Box::new(stream), received, limits.into(), shutdown);
        Self { inner: Some(Box::new(Inner { driver, origin })) }
    }

    /// The next message; `None` after a closing handshake, whichever side began it ([`close_frame`](Self::close_frame)
    /// says why). Also writes what waits to be sent, the queue of [`sender`](Self::sender) included.
    ///
    /// Cancel-safe: a dropped `recv` has taken no message.
    ///
    /// # Errors
    /// [`Error::Lost`] when the line was cut without a close frame (1006), [`Error::Protocol`] when the peer broke the
    /// protocol and was told so, [`Error::Timeout`] when it did not answer our close frame.
    pub async fn recv(&mut self) -> Result<Option<Message>, Error> {
        poll_fn(|cx| self.driver_mut().poll_recv(cx)).await
    }

    /// Sends a message; waits while [`unsent_max`](Limits::unsent_max) bytes wait to be written, and until this one is written.
    ///
    /// While messages of the same read still wait to be received, it only queues: the answers to all of them leave with one
    /// write, at the latest when `recv` has to wait. To be sooner than that, call [`flush`](Self::flush).
    ///
    /// Cancel-safe: a dropped `send` has either queued the whole message, which then leaves with the next call of any
    /// method, or nothing of it.
    ///
    /// # Errors
    /// [`Error::Closed`] when either side has closed, and what [`recv`](Self::recv) reports for lines that broke.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        let mut message = Some(message.into());
        poll_fn(|cx| self.driver_mut().poll_send(&mut message, cx)).await
    }

    /// The next message, to be read piece by piece: for one that may be too big to hold, such as a file. Its size is not
    /// limited: [`message_size_max`](Limits::message_size_max) and [`frame_size_max`](Limits::frame_size_max) do not apply,
    /// and of its frames only those without payload count for [`fragments_max`](Limits::fragments_max). `None` as in
    /// [`recv`](Self::recv).
    ///
    /// While the owner waits in [`send`](Self::send), the socket reads one message ahead, as `recv` would. It does not do so
    /// after `recv_streamed`, so a socket that gets such messages should take all of them this way.
    ///
    /// Cancel-safe: a dropped `recv_streamed` has taken nothing.
    ///
    /// # Errors
    /// As `recv`.
    pub async fn recv_streamed(&mut self) -> Result<Option<MessageReader<'_>>, Error> {
        self.driver_mut().skip_message();
        let part = poll_fn(|cx| self.driver_mut().poll_recv(cx)).await?;
        Ok(part.map(|part| MessageReader::new(self.driver_mut(), part)))
    }

    /// Begins a message that is sent piece by piece: for one that is too big to hold, or is still being made.
    ///
    /// # Errors
    /// [`Error::Closed`] when either side has closed.
    pub fn send_streamed(&mut self, kind: MessageKind) -> Result<MessageWriter<'_>, Error> {
        MessageWriter::new(self.driver_mut(), kind)
    }

    /// Waits until all that was sent is written, the queue of [`sender`](Self::sender) included.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.driver_mut().poll_flush(cx)).await
    }

    /// Closes: writes what was sent, then the close frame, and waits for the peer's. Messages that still come are dropped.
    /// Does nothing when the socket is already closed.
    ///
    /// Cancel-safe: from its first poll on the socket is closing; a later `close` or `recv` waits for the end.
    ///
    /// # Errors
    /// [`Error::Usage`] for a code that may not be sent or a reason over 123 bytes; [`Error::Timeout`] when the peer did
    /// not answer within [`close_timeout`](Limits::close_timeout); [`Error::Lost`] or [`Error::Protocol`] as in `recv`.
    pub async fn close(&mut self, code: impl Into<CloseCode>, reason: &str) -> Result<(), Error> {
        let frame = CloseFrame::new(code, reason)?;
        self.driver_mut().begin_close(frame);
        poll_fn(|cx| self.driver_mut().poll_closed(cx)).await
    }

    /// A cloneable sender for other tasks. Its queue is emptied while this socket's owner waits in one of its methods.
    pub fn sender(&mut self) -> Sender {
        self.driver_mut().sender()
    }

    /// Why the connection ended, once it has: the peer's code and reason (1005 if it gave none), 1006 when the line was
    /// cut, or what we told a peer that broke the protocol.
    pub fn close_frame(&self) -> Option<CloseFrame> {
        self.inner().driver.close_frame()
    }

    /// Whether messages can be sent.
    pub fn is_open(&self) -> bool {
        self.inner().driver.is_open()
    }

    /// The subprotocol that both sides agreed to.
    pub fn subprotocol(&self) -> Option<&str> {
        self.inner().origin.subprotocol.as_deref()
    }

    /// How messages are compressed, where both sides agreed to that.
    pub fn compression(&self) -> Option<DeflateParams> {
        self.inner().driver.compression()
    }

    /// The peer's address, where the stream has one.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.inner().origin.peer_addr
    }

    /// On a server, the path that was asked for, without the query; `/` elsewhere.
    pub fn path(&self) -> &str {
        self.request().map_or("/", |request| request.path())
    }

    /// On a server, the request of the handshake: its path, query and headers, read again from the head at each call.
    /// The headers that only the handshake needs are not kept: `Upgrade`, `Connection`, and `Sec-WebSocket-Key`, `-Version`
    /// and `-Extensions`.
    pub fn request(&self) -> Option<Request<'_>> {
        let head = &self.inner().origin.head;
        let limits = HandshakeLimits { head_size_max: head.len(), headers_max: head.len() / 4 };
        match Request::parse(head, &limits) {
            Ok(Parsed::Complete { request, .. }) => Some(request),
            _ => None,
        }
    }

    fn inner(&self) -> &Inner {
        self.inner.as_ref().expect("only `drop` takes it")
    }

    fn driver_mut(&mut self) -> &mut Driver {
        &mut self.inner.as_mut().expect("only `drop` takes it").driver
    }
}

#[cfg(feature = "json")]
impl Socket {
    /// Sends `value` as JSON in a text message. Cancel-safe as [`send`](Self::send).
    ///
    /// # Errors
    /// [`Error::Json`] when it has no JSON; else as `send`.
    pub async fn send_json(&mut self, value: &(impl serde::Serialize + ?Sized)) -> Result<(), Error> {
        let text = serde_json::to_string(value)?;
        self.send(text).await
    }

    /// The next message, read as JSON. Cancel-safe as [`recv`](Self::recv).
    ///
    /// # Errors
    /// [`Error::Json`] for a message that is not such JSON (the socket stays open), [`Error::Closed`] after the closing
    /// handshake; else as `recv`.
    pub async fn recv_json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, Error> {
        match self.recv().await? {
            Some(message) => Ok(serde_json::from_slice(message.as_bytes())?),
            None => Err(Error::Closed(self.close_frame().expect("`recv` has returned `None`"))),
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("path", &self.path())
            .field("peer_addr", &self.peer_addr())
            .field("close_frame", &self.close_frame())
            .finish_non_exhaustive()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let Some(mut inner) = self.inner.take().filter(|inner| !inner.driver.is_ended()) else { return };
        // Without a runtime nobody can wait for the peer: the line is cut.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let code = if std::thread::panicking() { CloseCode::INTERNAL_ERROR } else { CloseCode::NORMAL };
        runtime.spawn(async move {
            inner.driver.begin_close(CloseFrame { code, reason: String::new() });
            let end = poll_fn(|cx| inner.driver.poll_closed(cx)).await;
            tracing::trace!(?end, "a dropped socket has ended");
            drop(inner.origin.permit);
        });
    }
}
