//! What encrypts one connection, as a worker sees it: bytes in, bytes out, no socket, no clock, no task. The server
//! has it of its TLS library after the handshake; `transport` puts it between a socket and the WebSocket.
//!
//! Not the handshake, and no certificates: a cipher that comes here is ready to carry data in both directions.

use std::fmt;
use std::io::{self, IoSlice, Write};

/// One connection's encryption, after its handshake.
///
/// ```text
///    socket ──ciphertext──▶ decrypt ──────▶ plaintext ──▶ WebSocket
///    socket ◀──write_to── ciphertext ◀── encrypt ◀────────┘
/// ```
///
/// A worker drives it, and holds to these:
/// - all that a socket gave is handed to [`decrypt`](Cipher::decrypt) at once, and all that comes out of it is taken: no
///   plaintext waits inside of it. So that the socket is empty is known from the socket alone, and a session that is held
///   leaves the rest in the socket, as without a cipher;
/// - whatever was called, [`wants_write`](Cipher::wants_write) may be true afterwards: reading may want to write (an
///   answer to a key update, an alert);
/// - what waits to be written counts as what the client does not take: as long as the socket takes nothing of it, the
///   connection is blocked.
pub trait Cipher: Send + fmt::Debug {
    /// Takes all of `ciphertext`, in the order in which it came, and appends what it says to `plain`: at most as much as
    /// `ciphertext` and an unfinished record before it have bytes. May append nothing.
    ///
    /// # Errors
    /// It was not made by the other side, or breaks the protocol. Nothing more can be read; what
    /// [`wants_write`](Cipher::wants_write) then has is a last word to the other side.
    fn decrypt(&mut self, ciphertext: &[u8], plain: &mut Vec<u8>) -> io::Result<()>;

    /// Whether the other side has said that it sends nothing more (`close_notify`). What it sends beyond that is no part
    /// of the connection.
    fn has_ended(&self) -> bool;

    /// Encrypts from the start of `plain`, and keeps the ciphertext until it is written. Takes as much as it has room for,
    /// and says how many bytes that was. 0 means that something has to be written first; it must not be 0 while
    /// [`wants_write`](Cipher::wants_write) is false and there is something in `plain`.
    ///
    /// The room has a cap, because what is in there counts in no outbox.
    ///
    /// # Errors
    /// Nothing more can be sent.
    fn encrypt(&mut self, plain: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Whether there is ciphertext to be written.
    fn wants_write(&self) -> bool;

    /// Writes ciphertext to `socket`, in one vectored write, and says how many bytes it took.
    ///
    /// # Errors
    /// Those of `socket`; after [`io::ErrorKind::WouldBlock`] it goes on where it was.
    fn write_to(&mut self, socket: &mut dyn Write) -> io::Result<usize>;

    /// Says to the other side that nothing more comes (`close_notify`), behind what was encrypted. Once, however often it
    /// is called.
    fn end(&mut self);
}
