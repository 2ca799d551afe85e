//! Two buffers per thread, lent to whichever socket is at work: one to read into, one to write from. So a socket that
//! waits owns neither. Used by `input.rs` and `output.rs`.

use std::cell::Cell;

/// What one read can bring, in bytes.
pub(crate) const READ_SIZE: usize = 64 << 10;

/// A buffer that has grown beyond this is freed, not kept.
const WRITE_KEPT_MAX: usize = 256 << 10;

thread_local! {
    static READ: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static WRITE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A buffer of [`READ_SIZE`] bytes. If the thread's own is lent already, a new one.
pub(crate) fn lend_read() -> Vec<u8> {
    let buffer = READ.take();
    if buffer.is_empty() { vec![0; READ_SIZE] } else { buffer }
}

/// Takes back what [`lend_read`] has lent; frees it if the thread has one.
pub(crate) fn take_back_read(buffer: Vec<u8>) {
    debug_assert_eq!(buffer.len(), READ_SIZE);
    READ.set(buffer);
}

/// An empty buffer, mostly one that has capacity.
pub(crate) fn lend_write() -> Vec<u8> {
    WRITE.take()
}

/// Takes back what [`lend_write`] has lent.
pub(crate) fn take_back_write(mut buffer: Vec<u8>) {
    if buffer.capacity() <= WRITE_KEPT_MAX {
        buffer.clear();
        WRITE.set(buffer);
    }
}
