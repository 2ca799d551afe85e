//! # The WebSocket protocol without IO
//!
//! RFC 6455 and permessage-deflate (RFC 7692) as pure state machines, for both ends of the line. Bytes, masking keys
//! and handshake keys are arguments; what is to be sent is appended to a buffer of the caller's. There is no clock,
//! socket, task, lock or `unsafe` here, so that the same core drives an event loop with a hundred thousand connections, a tokio
//! crate, and a test.
//!
//! ```text
//!    bytes read                                                 bytes to write
//!        │                                                            ▲
//!        ▼                                                            │
//!   ┌─────────┐  head complete  ┌────────────────────── Connection ───┴─────┐
//!   │handshake├────────────────▶│ Decoder ──▶ messages, pings, close frames  │
//!   └─────────┘   the rest of   │  in place     │                            │
//!    requests,    the buffer    │               ▼                            │
//!    responses                  │  receive() ─▶ you ─▶ send() ping() close() │
//!                               │             poll_transmit(): pongs, closes │
//!                               └────────────────────────────────────────────┘
//! ```
//!
//! What it refuses, it refuses from the frame's header, before any payload is kept: missing or unexpected masks,
//! reserved bits and opcodes, control frames that are long or fragmented, lengths not in their shortest form, sizes
//! over [`Limits`]. Text is checked as it arrives. Each [`ProtocolError`] knows its close code, and the connection
//! queues the close frame itself. A length field never sizes an allocation.
//!
//! What it leaves to its caller: sockets, TLS, deadlines, randomness, backpressure.
//!
//! # Compression
//!
//! Where a handshake agrees on permessage-deflate ([`handshake::AcceptOptions::deflate`],
//! [`handshake::ClientHandshake::deflate`]), [`Connection::with_deflate`] takes what was agreed, and the `*_with` calls
//! take the thread's [`DeflatePool`]. By default each message is compressed by itself, so that connections own neither
//! a compressor nor an inflater: an idle one costs what it costs without. A message is inflated in steps, each
//! counted against the limits on size and ratio before the next.
//!
//! # The loop
//!
//! ```
//! use trunkline_ws_proto::{Connection, Incoming, Limits, Role, unmasked};
//!
//! /// One turn of an echo server: what was read in, what is to be written out.
//! fn turn(connection: &mut Connection, mut read: &mut [u8], out: &mut Vec<u8>) -> bool {
//!     loop {
//!         match connection.receive(&mut read) {
//!             Ok(Some(Incoming::Message { kind, payload })) => {
//!                 // An error means that the line is closing, which the next `receive` says too.
//!                 let _ = connection.send(kind, &payload, unmasked, out);
//!             }
//!             // Answered at once, so that pongs keep their place between messages. When `out` is full, do not: then the
//!             // newest pong waits inside, and a flood of pings costs nothing.
//!             Ok(Some(Incoming::Ping(_))) => {
//!                 connection.poll_transmit(unmasked, out);
//!             }
//!             Ok(Some(Incoming::Pong(_) | Incoming::Close(_))) => {}
//!             Ok(None) => break,
//!             Err(error) => eprintln!("closing with {}: {error}", error.close_code()),
//!         }
//!     }
//!     connection.poll_transmit(unmasked, out);
//!     !connection.is_closed()
//! }
//!
//! let mut connection = Connection::new(Role::Server, Limits::default());
//! let mut out = Vec::new();
//! // "Hello", masked, as in RFC 6455 §5.7.
//! let mut read = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
//! assert!(turn(&mut connection, &mut read, &mut out));
//! assert_eq!(out, b"\x81\x05Hello");
//! ```

pub mod handshake;

mod role;
mod limits;
mod deflate;
mod connection;
mod incoming;
mod decoder;
mod header;
mod opcode;
mod close;
mod prepared;
mod mask;
mod utf8;
mod error;

pub use close::{CLOSE_REASON_MAX, CloseCode, CloseFrame};
pub use connection::Connection;
pub use decoder::{Chunk, Decoder};
pub use deflate::{DeflateOptions, DeflateParams, DeflatePool, WINDOW_BITS_MAX, WINDOW_BITS_MIN};
pub use error::{HandshakeError, ProtocolError, Rejection, UsageError};
pub use header::{CONTROL_PAYLOAD_MAX, HEADER_SIZE_MAX, Header, HeaderBytes};
pub use incoming::{Incoming, IncomingChunk, Payload};
pub use limits::Limits;
pub use mask::{apply_mask, unmasked};
pub use opcode::{MessageKind, Opcode};
pub use prepared::PreparedMessage;
pub use role::Role;

/// The README's program runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
