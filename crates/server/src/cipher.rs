//! rustls as a worker drives it: TLS after the handshake, without a socket and without a task. Made of what tokio-rustls
//! leaves when a connection has become a WebSocket.

use std::io::{self, IoSlice, Read as _, Write};

use rustls::ServerConnection;
use trunkline_node::Cipher;

/// How much plaintext may wait as ciphertext, in bytes.
const ROOM: usize = 64 << 10;

/// One TLS connection.
#[derive(Debug)]
pub(crate) struct TlsCipher {
    connection: ServerConnection,
    /// Plaintext that was encrypted since all was written last. Only an empty buffer is filled again: a socket that takes
    /// little at a time would make small records of it.
    encrypted: usize,
    ended: bool,
}

impl TlsCipher {
    /// Takes over `connection`, and gives what it has read already.
    ///
    /// # Errors
    /// The other side broke the protocol.
    pub(crate) fn new(mut connection: ServerConnection) -> io::Result<(Self, Vec<u8>)> {
        connection.set_buffer_limit(Some(ROOM));
        let mut cipher = Self { connection, encrypted: 0, ended: false };
        let mut plain = Vec::new();
        cipher.take_plain(&mut plain)?;
        Ok((cipher, plain))
    }

    fn take_plain(&mut self, plain: &mut Vec<u8>) -> io::Result<()> {
        let state = self
            .connection
            .process_new_packets()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.ended = state.peer_has_closed();
        let before = plain.len();
        plain.resize(before + state.plaintext_bytes_to_read(), 0);
        self.connection.reader().read_exact(&mut plain[before..])
    }
}

impl Cipher for TlsCipher {
    fn decrypt(&mut self, mut ciphertext: &[u8], plain: &mut Vec<u8>) -> io::Result<()> {
        while !ciphertext.is_empty() && !self.ended {
            if self.connection.read_tls(&mut ciphertext)? == 0 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.take_plain(plain)?;
        }
        Ok(())
    }

    fn has_ended(&self) -> bool {
        self.ended
    }

    fn encrypt(&mut self, plain: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.encrypted >= ROOM {
            return Ok(0);
        }
        let taken = self.connection.writer().write_vectored(plain)?;
        self.encrypted += taken;
        Ok(taken)
    }

    fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    fn write_to(&mut self, socket: &mut dyn Write) -> io::Result<usize> {
        let count = self.connection.write_tls(socket)?;
        if !self.connection.wants_write() {
            self.encrypted = 0;
        }
        Ok(count)
    }

    fn end(&mut self) {
        self.connection.send_close_notify();
    }
}
