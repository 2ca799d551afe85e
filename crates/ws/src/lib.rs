//! # WebSocket client and server for tokio
//!
//! The socket around [`trunkline_ws_proto`]: strict by default, limits on everything, an origin policy that keeps
//! strangers' pages out, sockets whose methods can be cancelled anywhere, and close codes that are always visible.
//!
//! ```text
//!   Server ── accept, handshake, one task each ──┐
//!                                                ├──▶ Socket ── recv, send, close ── your async fn
//!   connect("ws://…") ── handshake ──────────────┘      ▲
//!                                                       └── Sender (Clone, bounded): other tasks, broadcasts
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
//! let mut socket = trunkline_ws::connect("ws://127.0.0.1:8080").await?;
//! socket.send("Hello").await?;
//! while let Some(message) = socket.recv().await? {
//!     println!("{message}");
//! }
//! println!("closed: {:?}", socket.close_frame());
//! # Ok(()) }
//! ```
//!
//! What it leaves out, so far: TLS, HTTP/2 (RFC 8441), reconnecting, proxies. What it will not
//! do: follow redirects, speak older versions of the protocol, be an HTTP server.
//!
//! Messages are compressed (RFC 7692) where [`Server::compression`] or [`Connect::compression`] asks for it; see
//! [`Compression`].
//!
//! All caps and deadlines are in [`Limits`], with their defaults.

mod server;
mod client;
mod socket;
mod sender;
mod streamed;
mod message;
mod limits;
mod compression;
mod error;
mod driver;
mod input;
mod output;
mod queue;
mod buffers;
mod keys;
mod sync;

pub use client::{Connect, connect};
pub use compression::Compression;
pub use error::{Deadline, Error};
pub use limits::Limits;
pub use message::Message;
pub use sender::{Sender, WhenFull};
pub use server::Server;
pub use socket::Socket;
pub use streamed::{MessageReader, MessageWriter};
pub use trunkline_ws_proto::handshake::{OriginPolicy, Request};
pub use trunkline_ws_proto::{
    CloseCode, CloseFrame, DeflateOptions, DeflateParams, HandshakeError, MessageKind, PreparedMessage,
    ProtocolError, Rejection, Role, UsageError,
};
