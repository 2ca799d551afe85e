//! A peer that writes and reads frames by hand, so that it can misbehave. Used by all tests here.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use trunkline_ws::{Limits, Role, Socket};

/// The far end of a socket.
pub(crate) struct Raw<S> {
    pub(crate) stream: S,
    role: Role,
}

/// A socket of `role` and its far end, with `size` bytes of room in each direction between them.
pub(crate) fn pair(role: Role, size: usize, limits: Limits) -> (Socket, Raw<DuplexStream>) {
    let (near, far) = tokio::io::duplex(size);
    let raw = Raw { stream: far, role: if role == Role::Server { Role::Client } else { Role::Server } };
    (Socket::new(role, near, Vec::new(), limits), raw)
}

/// A server's socket and a raw client.
pub(crate) fn server() -> (Socket, Raw<DuplexStream>) {
    pair(Role::Server, 1 << 20, Limits::default())
}

impl<S> Raw<S> {
    pub(crate) fn new(stream: S, role: Role) -> Self {
        Self { stream, role }
    }

    /// A frame as this peer sends it; `first` is the first byte.
    pub(crate) fn frame(&self, first: u8, payload: &[u8]) -> Vec<u8> {
        let key: &[u8] = if self.role == Role::Client { &[1, 2, 3, 4] } else { &[] };
        let bit = if key.is_empty() { 0 } else { 0x80 };
        let mut frame = match payload.len() {
            len @ 0..=125 => vec![first, bit | len as u8],
            len @ 126..=0xFFFF => [&[first, bit | 126][..], &(len as u16).to_be_bytes()].concat(),
            len => [&[first, bit | 127][..], &(len as u64).to_be_bytes()].concat(),
        };
        frame.extend_from_slice(key);
        let masks = key.iter().copied().cycle().chain(std::iter::repeat(0));
        frame.extend(payload.iter().zip(masks).map(|(byte, mask)| byte ^ mask));
        frame
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub(crate) async fn write(&mut self, first: u8, payload: &[u8]) {
        let frame = self.frame(first, payload);
        self.stream.write_all(&frame).await.expect("the socket reads");
    }

    /// The next frame: its first byte and its payload, unmasked; `None` at the end of the stream.
    pub(crate) async fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut start = [0; 2];
        self.stream.read_exact(&mut start).await.ok()?;
        let len = match start[1] & 0x7F {
            126 => u64::from(self.stream.read_u16().await.ok()?),
            127 => self.stream.read_u64().await.ok()?,
            len => u64::from(len),
        };
        let masked = start[1] & 0x80 != 0;
        assert_eq!(masked, self.role == Role::Server, "only clients mask");
        let mut key = [0; 4];
        if masked {
            self.stream.read_exact(&mut key).await.ok()?;
        }
        let mut payload = vec![0; usize::try_from(len).expect("it fits")];
        self.stream.read_exact(&mut payload).await.ok()?;
        payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        Some((start[0], payload))
    }

    pub(crate) async fn expect(&mut self, first: u8, payload: &[u8]) {
        assert_eq!(self.read().await, Some((first, payload.to_vec())));
    }

    pub(crate) async fn expect_close(&mut self, code: u16, reason: &str) {
        self.expect(0x88, &close(code, reason)).await;
    }
}

/// The payload of a close frame.
pub(crate) fn close(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// Polls once and drops: what `select!` and timeouts do to a future. Outside of tokio's budget, which would make a
/// future wait that has nothing to wait for.
pub(crate) fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(tokio::task::unconstrained(future)).poll(&mut Context::from_waker(Waker::noop()))
}
