//! # WebSocket client and server for tokio
//!
//! The socket around [`trunkline_ws_proto`]: strict by default, limits on everything, an origin policy that keeps
//! strangers' pages out, sockets whose methods can be cancelled anywhere, and close codes that are always visible.
//!
//! ```text
//!   Server ── accept, TLS, handshake, one task each ──┐
//!                                                     ├──▶ Socket ── recv, send, close ── your async fn
//!   connect("wss://…") ── TLS, handshake ─────────────┘      ▲
//!                                                            └── Sender (Clone, bounded): other tasks, broadcasts
//! ```
//!
//! # An echo server
//!
//! ```no_run
//! use trunkline_ws as ws;
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), ws::Error> {
//!     let server = ws::Server::bind("127.0.0.1:8080").await?;
//!     server
//!         .serve(|mut socket| async move {
//!             while let Some(message) = socket.recv().await? {
//!                 socket.send(message).await?;
//!             }
//!             Ok(())
//!         })
//!         .await
//! }
//! ```
//!
//! # A client
//!
//! ```no_run
//! # async fn run() -> Result<(), trunkline_ws::Error> {
//! let mut socket = trunkline_ws::connect("wss://example.com/live").await?;
//! socket.send("Hello").await?;
//! while let Some(message) = socket.recv().await? {
//!     println!("{message}");
//! }
//! println!("closed: {:?}", socket.close_frame());
//! # Ok(()) }
//! ```
//!
//! # A client that connects again
//!
//! [`Connect::reconnecting`] gives one socket after the other, with random, growing waits between them, until trying
//! again cannot help: see [`Reconnecting`], which also says what is lost in between.
//!
//! # TLS
//!
//! `wss://` works as it is: the server's certificate must be for the host of the URL and signed by a certificate authority
//! of the operating system, read once per process (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others). An authority of one's
//! own goes to `Connect::root_certificate`, client certificates and all else to `Connect::tls`, as a rustls configuration.
//! A server takes its certificate with `Server::tls`:
//!
//! ```no_run
//! # #[cfg(feature = "tls")]
//! # async fn run() -> Result<(), trunkline_ws::Error> {
//! use trunkline_ws::{Server, TlsConfig};
//!
//! let tls = TlsConfig::from_pem_files("certificate.pem", "key.pem")?;
//! let server = Server::bind("0.0.0.0:443").await?.tls(tls);
//! # Ok(()) }
//! ```
//!
//! TLS 1.2 and 1.3 by rustls on aws-lc-rs, whatever else is in the application's tree. It adds about 8 KB to the 1.5 KB
//! of an idle connection, and up to 64 KiB to what [`Limits::unsent_max`] lets wait.
//!
//! # A listener of one's own
//!
//! [`Server::from_listener`] takes one that is already bound. An application that accepts connections itself, because it
//! has other things to say on the same port, makes the handshake with the functions of [`handshake`], or with those of its
//! HTTP library, and gives the line to [`Socket::new`]. The deadlines, the count and the shutdown are its own then.
//!
//! ```no_run
//! use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
//! use trunkline_ws::handshake::{AcceptOptions, HandshakeLimits, HeadScan, Parsed, Request, accept};
//! use trunkline_ws::{Error, Limits, Rejection, Role, Socket};
//!
//! async fn upgrade(mut stream: tokio::net::TcpStream) -> Result<Option<Socket>, Error> {
//!     let (mut received, mut scan, limits) = (Vec::new(), HeadScan::default(), HandshakeLimits::default());
//!     let parsed = loop {
//!         match scan.find(&received, &limits) {
//!             Ok(Some(_)) => break Request::parse(&received, &limits),
//!             Ok(None) if stream.read_buf(&mut received).await? == 0 => return Ok(None),
//!             Ok(None) => {}
//!             Err(rejection) => break Err(rejection),
//!         }
//!     };
//!     let judged = parsed.and_then(|parsed| match parsed {
//!         // Here is the place to look at the path, and at `request.is_upgrade()`.
//!         Parsed::Complete { request, head_size } => {
//!             Ok((accept(&request, &AcceptOptions::default())?.response(), head_size))
//!         }
//!         Parsed::Partial => Err(Rejection::Malformed("a head without an end")),
//!     });
//!     match judged {
//!         Ok((response, head_size)) => {
//!             stream.write_all(&response).await?;
//!             let frames = received.split_off(head_size);
//!             Ok(Some(Socket::new(Role::Server, stream, frames, Limits::default())))
//!         }
//!         Err(rejection) => {
//!             stream.write_all(&rejection.response()).await?;
//!             Ok(None)
//!         }
//!     }
//! }
//! ```
//!
//! # Features
//!
//! | feature | default | what it brings | what it costs |
//! |---|---|---|---|
//! | `json` | yes | `Socket::send_json`, `Socket::recv_json` | serde, serde_json |
//! | `tls` | yes | `wss://`, `Server::tls`, the module `rustls` | rustls, and aws-lc-rs, which compiles C |
//!
//! # What a socket does
//!
//! It lives in the task of its owner: nothing runs in the background. Whenever the owner waits in one of its methods, it goes
//! round this loop, and that is also when pings are answered and the queue of its [`Sender`]s is emptied.
//!
//! ```text
//!             ┌──────────────────────────────────────────────────────────────┐
//!             ▼                                                              │
//!   read into the thread's buffer ─▶ decode where it lies ─▶ your message ─▶ your code
//!             ▲                          │ pongs                    │ send: framed, queued
//!             │                          ▼                          ▼        │
//!             └── wait ◀── one write: pongs, your answers, the senders' queue, our close frame
//! ```
//!
//! While messages of one read are still to be received, `send` only queues; what answers all of them leaves with one write.
//!
//! What it leaves out, so far: HTTP/2 (RFC 8441), proxies. What it will not
//! do: follow redirects, speak older versions of the protocol, be an HTTP server.
//!
//! Messages are compressed (RFC 7692) where [`Server::compression`] or [`Connect::compression`] asks for it; see
//! [`Compression`].
//!
//! All caps and deadlines are in [`Limits`], with their defaults.

mod server;
mod client;
mod reconnect;
mod backoff;
mod socket;
mod sender;
mod streamed;
mod message;
mod limits;
mod compression;
#[cfg(feature = "tls")]
mod tls;
mod error;
mod driver;
mod input;
mod output;
mod queue;
mod buffers;
mod keys;
mod sync;

pub use backoff::Backoff;
pub use bytes::Bytes;
pub use client::{Connect, Failure, connect};
pub use compression::Compression;
#[cfg(feature = "tls")]
pub use error::TlsError;
pub use error::{Deadline, Error};
pub use limits::Limits;
pub use message::Message;
pub use reconnect::Reconnecting;
#[cfg(feature = "tls")]
pub use rustls;
pub use sender::{Sender, WhenFull};
pub use server::Server;
pub use socket::Socket;
pub use streamed::{MessageReader, MessageWriter};
#[cfg(feature = "tls")]
pub use tls::TlsConfig;
pub use trunkline_ws_proto::handshake::{self, OriginPolicy, Request};
pub use trunkline_ws_proto::{
    CloseCode, CloseFrame, DeflateOptions, DeflateParams, HandshakeError, MessageKind, PreparedMessage,
    ProtocolError, Rejection, Role, UsageError,
};

/// The README's programs compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
