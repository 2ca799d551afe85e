//! How the bytes of one connection travel: through its socket as they are, or through a cipher. Reads into the buffers
//! of its worker, and keeps nothing itself. When it is read and written is decided in `turn`.

use std::io::{self, IoSlice, Read as _, Write};

use crate::cipher::Cipher;
use crate::outbox::Flushed;
use crate::socket::Polled;

/// How much one read may bring, shared by all connections of the worker.
const READ_BUFFER: usize = 64 << 10;

/// Where a worker reads to.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    socket: Vec<u8>,
    /// What ciphertext says: no more than was read, and one unfinished record.
    plain: Vec<u8>,
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Self { socket: vec![0; READ_BUFFER], plain: Vec::new() }
    }
}

/// What a read has brought.
pub(crate) struct Received<'b> {
    /// Bytes of the WebSocket. With a cipher there may be none though something came.
    pub(crate) bytes: &'b mut [u8],
    /// The socket may have more. If not, it is empty, and says when something comes.
    pub(crate) more: bool,
    /// Nothing comes after these.
    pub(crate) ended: bool,
}

/// A socket, and what encrypts it.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) socket: Polled,
    cipher: Option<Box<dyn Cipher>>,
}

impl Transport {
    pub(crate) fn new(socket: Polled, cipher: Option<Box<dyn Cipher>>) -> Self {
        Self { socket, cipher }
    }

    /// Whether the other side has ended its half before this one was handed over.
    pub(crate) fn has_ended(&self) -> bool {
        self.cipher.as_ref().is_some_and(|cipher| cipher.has_ended())
    }

    /// Reads once.
    ///
    /// # Errors
    /// The socket's, and the cipher's.
    pub(crate) fn receive<'b>(&mut self, buffers: &'b mut Buffers) -> io::Result<Received<'b>> {
        let Buffers { socket, plain } = buffers;
        let count = self.socket.read(socket)?;
        if count == 0 {
            return Ok(Received { bytes: &mut [], more: false, ended: true });
        }
        let more = count == socket.len();
        let Some(cipher) = &mut self.cipher else {
            return Ok(Received { bytes: &mut socket[..count], more, ended: false });
        };
        plain.clear();
        cipher.decrypt(&socket[..count], plain)?;
        Ok(Received { bytes: plain, more, ended: cipher.has_ended() })
    }

    /// Writes the ciphertext that waits.
    ///
    /// # Errors
    /// The socket's, if it is broken.
    pub(crate) fn push_out(&mut self) -> io::Result<Flushed> {
        match self.flush() {
            Ok(()) => Ok(Flushed::All),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Flushed::Blocked),
            Err(error) => Err(error),
        }
    }

    /// Ends our half, once everything is written.
    ///
    /// # Errors
    /// The socket's, if it is broken.
    pub(crate) fn end(&mut self) -> io::Result<Flushed> {
        if let Some(cipher) = &mut self.cipher {
            cipher.end();
        }
        let flushed = self.push_out()?;
        if flushed == Flushed::All {
            self.socket.shut_down()?;
        }
        Ok(flushed)
    }
}

/// Takes plaintext, as much as the cipher has room for; [`Write::flush`] writes the rest of the ciphertext.
impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let Some(cipher) = &mut self.cipher else { return self.socket.write_vectored(slices) };
        let taken = cipher.encrypt(slices)?;
        if taken > 0 {
            return Ok(taken);
        }
        self.flush()?;
        self.cipher.as_mut().map_or(Ok(0), |cipher| cipher.encrypt(slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        let Some(cipher) = &mut self.cipher else { return Ok(()) };
        // Over when the socket takes nothing, or all of what a cipher has room for.
        while cipher.wants_write() {
            match cipher.write_to(&mut self.socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
