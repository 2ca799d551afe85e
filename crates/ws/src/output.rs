//! What waits to be written to the stream: frames that were copied one behind the other, and between them big payloads
//! that are shared. Not the framing. Used by `driver.rs`.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use crate::buffers::{lend_write, take_back_write};

/// The most slices of one write.
const SLICES_MAX: usize = 64;

/// Once this much at the front is written, in bytes, what is behind it moves there.
const WRITTEN_KEPT_MAX: usize = 64 << 10;

/// Bytes on their way to the stream, in order.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// The thread's write buffer while something waits, without capacity otherwise.
    copied: Vec<u8>,
    /// Bytes of `copied` that are written.
    written: usize,
    /// In a box, because most sockets never have any.
    shared: Option<Box<Shared>>,
}

/// Payloads that were not copied.
#[derive(Debug, Default)]
struct Shared {
    parts: VecDeque<Part>,
    /// Bytes of all parts.
    len: usize,
    /// Bytes of `copied` that leave before the last part.
    copied_before: usize,
}

/// A payload that was not copied.
#[derive(Debug)]
struct Part {
    /// Bytes of `copied` between the part before it and it.
    before: usize,
    payload: Bytes,
}

impl Output {
    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.shared.as_ref().map_or(0, |shared| shared.len) + self.copied.len() - self.written
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where frames are appended.
    pub(crate) fn copied(&mut self) -> &mut Vec<u8> {
        if self.copied.capacity() == 0 {
            self.copied = lend_write();
        }
        &mut self.copied
    }

    /// Appends a payload without copying it.
    pub(crate) fn share(&mut self, payload: Bytes) {
        debug_assert!(!payload.is_empty(), "nothing is not worth a slice");
        let shared = self.shared.get_or_insert_default();
        let before = self.copied.len() - self.written - shared.copied_before;
        shared.copied_before += before;
        shared.len += payload.len();
        shared.parts.push_back(Part { before, payload });
    }

    pub(crate) fn clear(&mut self) {
        take_back_write(std::mem::take(self).copied);
    }

    /// One write of what waits; says how much the stream has taken.
    pub(crate) fn poll_write(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin + ?Sized),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut stream = Pin::new(stream);
        let size = match &self.shared {
            None => ready!(stream.as_mut().poll_write(cx, &self.copied[self.written..]))?,
            Some(shared) => {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let count = self.fill(shared, &mut slices);
                ready!(stream.as_mut().poll_write_vectored(cx, &slices[..count]))?
            }
        };
        self.advance(size);
        Poll::Ready(Ok(size))
    }

    /// As much as fits into `slices`; says how many of them.
    fn fill<'s>(&'s self, shared: &'s Shared, slices: &mut [IoSlice<'s>; SLICES_MAX]) -> usize {
        let mut from = self.written;
        let mut count = 0;
        let pieces = shared.parts.iter().flat_map(|part| {
            let copied = &self.copied[from..from + part.before];
            from += part.before;
            [copied, &part.payload]
        });
        let last = &self.copied[self.written + shared.copied_before..];
        for piece in pieces.chain([last]).filter(|piece| !piece.is_empty()).take(SLICES_MAX) {
            slices[count] = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut size: usize) {
        if let Some(shared) = &mut self.shared {
            let (copied, payload) = shared.advance(size);
            self.written += copied;
            size -= copied + payload;
            if shared.parts.is_empty() {
                self.shared = None;
            }
        }
        self.written += size;
        if self.is_empty() {
            self.clear();
        } else if self.written >= WRITTEN_KEPT_MAX {
            self.copied.drain(..self.written);
            self.written = 0;
        }
    }
}

impl Shared {
    /// Of `size` bytes that left, those that stood before the last part: of what was copied, and of the payloads.
    fn advance(&mut self, size: usize) -> (usize, usize) {
        let (mut copied, mut payload) = (0, 0);
        while let Some(part) = self.parts.front_mut() {
            let before = part.before.min(size - copied - payload);
            part.before -= before;
            copied += before;
            let taken = part.payload.len().min(size - copied - payload);
            part.payload.advance(taken);
            payload += taken;
            if part.before > 0 || !part.payload.is_empty() {
                break;
            }
            self.parts.pop_front();
        }
        self.copied_before -= copied;
        self.len -= payload;
        (copied, payload)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use proptest::prelude::*;

    use super::*;

    /// A stream that takes a few bytes at a time.
    struct Narrow {
        takes: Vec<usize>,
        taken: Vec<u8>,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let mut room = self.takes.pop().unwrap_or(usize::MAX);
            let before = self.taken.len();
            for slice in slices {
                let size = room.min(slice.len());
                self.taken.extend_from_slice(&slice[..size]);
                room -= size;
            }
            Poll::Ready(Ok(self.taken.len() - before))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    proptest! {
        /// Whatever is copied or shared, and however little the stream takes: the bytes leave in their order.
        #[test]
        fn bytes_leave_in_order(
            appended in proptest::collection::vec((any::<bool>(), 1usize..200, any::<bool>()), 0..200),
            takes in proptest::collection::vec(1usize..300, 0..100),
        ) {
            let mut stream = Narrow { takes, taken: Vec::new() };
            let (mut output, mut expect) = (Output::default(), Vec::new());
            let mut cx = Context::from_waker(Waker::noop());
            for (at, (share, size, write)) in appended.into_iter().enumerate() {
                let bytes = vec![at as u8; size];
                expect.extend_from_slice(&bytes);
                if share {
                    output.share(Bytes::from(bytes));
                } else {
                    output.copied().extend_from_slice(&bytes);
                }
                prop_assert_eq!(output.len() + stream.taken.len(), expect.len());
                if write && !output.is_empty() {
                    let _ = output.poll_write(&mut stream, &mut cx);
                }
            }
            while !output.is_empty() {
                let _ = output.poll_write(&mut stream, &mut cx);
            }
            prop_assert_eq!(stream.taken, expect);
            prop_assert!(output.copied.capacity() == 0 && output.shared.is_none());
        }
    }
}
