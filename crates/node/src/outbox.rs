//! What waits to be written to one connection: frames of its own, appended, and frames shared with others,
//! by reference. Leaves in vectored writes.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};

use bytes::{Buf, Bytes};

/// How many pieces one write may gather.
const GATHER_MAX: usize = 64;
/// From this size on an own piece is not appended to any more.
const PIECE_SIZE: usize = 64 << 10;
/// Up to this size a shared frame that is not the first is copied.
const SHARED_SIZE_MIN: usize = 256;
/// Outboxes kept for reuse by a worker, the largest buffer that one of them keeps, and what all of them keep. What is not
/// kept goes back to the kernel, which faults it in again for the next turn: that costs more than the turn.
const SPARE_MAX: usize = 256;
const SPARE_PIECE_MAX: usize = 2 * PIECE_SIZE;
const SPARE_BYTES_MAX: usize = 2 << 20;

/// Frames on their way to one connection.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pieces: VecDeque<Piece>,
    bytes: usize,
    /// An empty buffer kept for the next own piece.
    spare: Vec<u8>,
}

#[derive(Debug)]
enum Piece {
    Own(Vec<u8>, usize),
    Shared(Bytes),
    /// A frame that makes room for newer ones of its kind, unless it has begun to be written.
    Signal(Bytes),
}

impl Piece {
    fn rest(&self) -> &[u8] {
        match self {
            Self::Own(bytes, written) => &bytes[*written..],
            Self::Shared(bytes) | Self::Signal(bytes) => bytes,
        }
    }
}

/// What became of a flush.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flushed {
    /// Everything left.
    All,
    /// The socket takes no more now.
    Blocked,
}

impl Outbox {
    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends what `write` appends to the buffer it is given.
    pub(crate) fn append<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        if !matches!(self.pieces.back(), Some(Piece::Own(bytes, _)) if bytes.len() < PIECE_SIZE) {
            self.pieces.push_back(Piece::Own(std::mem::take(&mut self.spare), 0));
        }
        let Some(Piece::Own(buffer, _)) = self.pieces.back_mut() else {
            unreachable!("an own piece was just made sure of")
        };
        let before = buffer.len();
        let result = write(buffer);
        self.bytes += buffer.len().saturating_sub(before);
        result
    }

    /// Appends a frame that others send too. A small one behind others is copied: as a piece of its own it
    /// would cost more memory, and more of a write, than its bytes.
    pub(crate) fn share(&mut self, frame: &Bytes) {
        if !self.pieces.is_empty() && frame.len() <= SHARED_SIZE_MIN {
            self.append(|buffer| buffer.extend_from_slice(frame));
            return;
        }
        self.bytes += frame.len();
        self.pieces.push_back(Piece::Shared(frame.clone()));
    }

    /// Appends a frame that may be dropped while it waits.
    pub(crate) fn share_signal(&mut self, frame: &Bytes) {
        self.bytes += frame.len();
        self.pieces.push_back(Piece::Signal(frame.clone()));
    }

    /// Drops the oldest signals that wait, as far as it takes until `size` more bytes make `cap` at most.
    pub(crate) fn make_room_for_signal(&mut self, size: usize, cap: usize) {
        let mut surplus = (self.bytes + size).saturating_sub(cap);
        let mut bytes = self.bytes;
        let mut at = 0;
        self.pieces.retain(|piece| {
            // The first may have begun to be written.
            at += 1;
            let Piece::Signal(frame) = piece else { return true };
            if at == 1 || surplus == 0 {
                return true;
            }
            surplus = surplus.saturating_sub(frame.len());
            bytes -= frame.len();
            false
        });
        self.bytes = bytes;
    }

    /// Drops everything that has not begun to be written.
    pub(crate) fn drop_unsent(&mut self) {
        let begun = self.pieces.front().is_some_and(|piece| match piece {
            Piece::Own(_, written) => *written > 0,
            // A shared piece is cut as it is written; it cannot tell, so it is kept: it is one frame.
            Piece::Shared(_) | Piece::Signal(_) => true,
        });
        self.pieces.truncate(usize::from(begun));
        self.bytes = self.pieces.iter().map(|piece| piece.rest().len()).sum();
    }

    /// Writes as much as `socket` takes.
    ///
    /// # Errors
    /// The socket's, if it is broken.
    pub(crate) fn flush(&mut self, socket: &mut impl Write) -> io::Result<Flushed> {
        while self.bytes > 0 {
            let mut gathered = [IoSlice::new(&[]); GATHER_MAX];
            let mut count = 0;
            for piece in self.pieces.iter().take(GATHER_MAX) {
                gathered[count] = IoSlice::new(piece.rest());
                count += 1;
            }
            match socket.write_vectored(&gathered[..count]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Flushed::All)
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(piece) = self.pieces.front_mut() {
            let rest = piece.rest().len();
            if written < rest {
                match piece {
                    Piece::Own(_, sent) => *sent += written,
                    Piece::Shared(bytes) | Piece::Signal(bytes) => bytes.advance(written),
                }
                return;
            }
            written -= rest;
            if let Some(Piece::Own(mut buffer, _)) = self.pieces.pop_front()
                && buffer.capacity() <= SPARE_PIECE_MAX
            {
                buffer.clear();
                self.spare = buffer;
            }
        }
    }
}

/// Empty outboxes of a worker: a connection borrows one while it has something to send, so that an idle one
/// keeps none.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "the boxes themselves are handed out and taken back")]
pub(crate) struct Outboxes {
    spare: Vec<Box<Outbox>>,
    /// What their buffers hold.
    bytes: usize,
}

impl Outboxes {
    pub(crate) fn take(&mut self) -> Box<Outbox> {
        let outbox = self.spare.pop().unwrap_or_default();
        self.bytes -= outbox.spare.capacity();
        outbox
    }

    pub(crate) fn give_back(&mut self, mut outbox: Box<Outbox>) {
        if self.spare.len() >= SPARE_MAX || outbox.bytes > 0 || outbox.pieces.capacity() > GATHER_MAX {
            return;
        }
        if self.bytes + outbox.spare.capacity() > SPARE_BYTES_MAX {
            outbox.spare = Vec::new();
        }
        self.bytes += outbox.spare.capacity();
        self.spare.push(outbox);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `room` bytes, then blocks.
    struct Pipe {
        taken: Vec<u8>,
        room: usize,
        writes: usize,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.writes += 1;
            let count = bytes.len().min(self.room);
            self.room -= count;
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            self.write(&all)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn filled() -> Outbox {
        let mut outbox = Outbox::default();
        outbox.append(|buffer| buffer.extend_from_slice(b"own "));
        outbox.share(&Bytes::from_static(b"shared "));
        outbox.append(|buffer| buffer.extend_from_slice(b"own"));
        outbox.append(|buffer| buffer.extend_from_slice(b" again"));
        outbox
    }

    #[test]
    fn leaves_in_order_whatever_the_socket_takes_at_a_time() {
        for step in 1..=20 {
            let mut outbox = filled();
            let mut pipe = Pipe { taken: Vec::new(), room: 0, writes: 0 };
            while outbox.flush(&mut pipe).expect("the pipe does not break") == Flushed::Blocked {
                pipe.room = step;
            }
            assert_eq!(pipe.taken, b"own shared own again", "{step} bytes at a time");
            assert_eq!(outbox.bytes(), 0);
        }
    }

    #[test]
    fn the_oldest_signals_make_room() {
        let frame = |n: u8| Bytes::from(vec![n; 100]);
        let mut outbox = Outbox::default();
        outbox.append(|buffer| buffer.extend_from_slice(&[0; 100]));
        (1..=5).for_each(|n| outbox.share_signal(&frame(n)));
        outbox.share(&Bytes::from(vec![9; 300]));
        assert_eq!(outbox.bytes(), 900);
        outbox.make_room_for_signal(100, 800);
        outbox.share_signal(&frame(6));
        assert_eq!(outbox.bytes(), 800);
        // What cannot be dropped stays, whatever is asked.
        let mut full = Outbox::default();
        full.share_signal(&frame(7));
        full.share(&Bytes::from(vec![9; 300]));
        full.make_room_for_signal(100, 0);
        assert_eq!(full.bytes(), 400, "the first may have begun to be written");
        let mut pipe = Pipe { taken: Vec::new(), room: 10_000, writes: 0 };
        outbox.flush(&mut pipe).expect("the pipe does not break");
        let firsts: Vec<u8> = pipe.taken.chunks(100).map(|chunk| chunk[0]).collect();
        assert_eq!(firsts, [0, 3, 4, 5, 9, 9, 9, 6]);
    }

    #[test]
    fn all_pieces_of_a_turn_leave_in_one_write() {
        let mut pipe = Pipe { taken: Vec::new(), room: 1_000, writes: 0 };
        assert_eq!(filled().flush(&mut pipe).expect("the pipe does not break"), Flushed::All);
        assert_eq!(pipe.writes, 1);
    }

    #[test]
    fn small_shared_frames_wait_in_one_piece() {
        let mut outbox = Outbox::default();
        for _ in 0..10_000 {
            outbox.share(&Bytes::from_static(b"\x81\x00"));
        }
        assert_eq!(outbox.bytes(), 20_000);
        assert_eq!(outbox.pieces.len(), 2, "the first as it is, the others together");
    }

    #[test]
    fn what_was_begun_is_kept_when_the_rest_is_dropped() {
        let mut outbox = Outbox::default();
        outbox.append(|buffer| buffer.extend_from_slice(b"own "));
        outbox.share(&Bytes::from(vec![b'x'; SHARED_SIZE_MIN + 1]));
        let mut pipe = Pipe { taken: Vec::new(), room: 2, writes: 0 };
        assert_eq!(outbox.flush(&mut pipe).expect("the pipe does not break"), Flushed::Blocked);
        outbox.drop_unsent();
        pipe.room = 1_000;
        assert_eq!(outbox.flush(&mut pipe).expect("the pipe does not break"), Flushed::All);
        assert_eq!(pipe.taken, b"own ");
    }
}
