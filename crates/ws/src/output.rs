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
    shared: VecDeque<Shared>,
    /// Bytes of all that is shared.
    shared_len: usize,
    /// Bytes of `copied` that leave before the last of what is shared.
    copied_before: usize,
}

/// A payload that was not copied.
#[derive(Debug)]
struct Shared {
    /// Bytes of `copied` between the one before it and it.
    before: usize,
    payload: Bytes,
}

impl Output {
    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.shared_len + self.copied.len() - self.written
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
        let before = self.copied.len() - self.written - self.copied_before;
        self.copied_before += before;
        self.shared_len += payload.len();
        self.shared.push_back(Shared { before, payload });
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
        let size = if self.shared.is_empty() {
            ready!(stream.as_mut().poll_write(cx, &self.copied[self.written..]))?
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = self.fill(&mut slices);
            ready!(stream.as_mut().poll_write_vectored(cx, &slices[..count]))?
        };
        self.advance(size);
        Poll::Ready(Ok(size))
    }

    /// As much as fits into `slices`; says how many of them.
    fn fill<'s>(&'s self, slices: &mut [IoSlice<'s>; SLICES_MAX]) -> usize {
        let mut from = self.written;
        let mut count = 0;
        let pieces = self.shared.iter().flat_map(|shared| {
            let copied = &self.copied[from..from + shared.before];
            from += shared.before;
            [copied, &shared.payload]
        });
        let last = &self.copied[self.written + self.copied_before..];
        for piece in pieces.chain([last]).filter(|piece| !piece.is_empty()).take(SLICES_MAX) {
            slices[count] = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut size: usize) {
        while let Some(shared) = self.shared.front_mut() {
            let copied = size.min(shared.before);
            let taken = (size - copied).min(shared.payload.len());
            shared.before -= copied;
            shared.payload.advance(taken);
            let ended = shared.before == 0 && shared.payload.is_empty();
            self.written += copied;
            self.copied_before -= copied;
            self.shared_len -= taken;
            size -= copied + taken;
            if !ended {
                break;
            }
            self.shared.pop_front();
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
            prop_assert!(output.copied.capacity() == 0 && output.shared.is_empty());
        }
    }
}
