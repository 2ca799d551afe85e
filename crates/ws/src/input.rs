//! What was read from the stream and not decoded yet. Not the decoding. Used by `driver.rs`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::buffers::{READ_SIZE, lend_read, take_back_read};

/// What a read brought beyond the first message moves into memory of its own size if it is less than this, so that the
/// thread's buffer is free again; else the buffer stays lent until all of it is decoded.
const REST_LENT_MIN: usize = 4 << 10;

/// Bytes that came, between `from` and `to`.
#[derive(Debug, Default)]
pub(crate) struct Input {
    /// The thread's read buffer while it is lent, or a smaller one; empty while nothing waits.
    buffer: Vec<u8>,
    from: usize,
    to: usize,
}

impl Input {
    /// What came with the handshake.
    pub(crate) fn new(received: Vec<u8>) -> Self {
        Self { from: 0, to: received.len(), buffer: received }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// The bytes that wait.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.buffer[self.from..self.to]
    }

    /// All but the last `rest` bytes were used. What is lent goes back, unless much of it is still to be used.
    #[inline]
    pub(crate) fn keep(&mut self, rest: usize) {
        let is_fresh = self.from == 0;
        self.from = self.to - rest;
        if rest == 0 || is_fresh {
            self.settle(rest, is_fresh);
        }
    }

    fn settle(&mut self, rest: usize, is_fresh: bool) {
        if rest == 0 {
            self.clear();
        } else if is_fresh && rest < REST_LENT_MIN && self.buffer.len() == READ_SIZE {
            let rest = self.bytes().to_vec();
            self.clear();
            *self = Self::new(rest);
        }
    }

    pub(crate) fn clear(&mut self) {
        let Self { buffer, .. } = std::mem::take(self);
        if buffer.len() == READ_SIZE {
            take_back_read(buffer);
        }
    }

    /// One read, while nothing waits; says how much came, 0 at the end of the stream.
    pub(crate) fn poll_read(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin + ?Sized),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        debug_assert!(self.is_empty());
        let mut buffer = lend_read();
        let mut read = ReadBuf::new(&mut buffer);
        let polled = Pin::new(stream).poll_read(cx, &mut read);
        let size = read.filled().len();
        if !matches!(polled, Poll::Ready(Ok(()))) || size == 0 {
            take_back_read(buffer);
            ready!(polled)?;
            return Poll::Ready(Ok(0));
        }
        *self = Self { buffer, from: 0, to: size };
        Poll::Ready(Ok(size))
    }
}
