//! Lines of every kind for `cuts.rs` and `drops.rs`: compressed or not, and streams that take a few bytes at a time.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream, ReadBuf};
use trunkline_ws::{DeflateOptions, DeflateParams, Limits, Message, Role, Socket};

use crate::raw::Raw;

pub(crate) const ROLES: [Role; 2] = [Role::Server, Role::Client];

/// What a handshake may have agreed on: nothing, messages compressed by themselves, and with what came before.
pub(crate) const LINES: [Option<DeflateParams>; 3] = [
    None,
    Some(DeflateParams {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        server_max_window_bits: 9,
        client_max_window_bits: 15,
    }),
    Some(DeflateParams {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        server_max_window_bits: 15,
        client_max_window_bits: 10,
    }),
];

pub(crate) fn other(role: Role) -> Role {
    if role == Role::Server { Role::Client } else { Role::Server }
}

/// A socket on a line where messages of any size are compressed if any are.
pub(crate) fn socket(
    role: Role,
    stream: impl AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
    line: Option<DeflateParams>,
) -> Socket {
    let socket = Socket::new(role, stream, Vec::new(), Limits::default());
    match line {
        None => socket,
        Some(params) => {
            socket.compressed(params, DeflateOptions { size_min: 0, ..DeflateOptions::default() })
        }
    }
}

/// What reaches a socket of `role`, and the messages in it, each with the place where it ends.
pub(crate) async fn conversation(
    role: Role,
    line: Option<DeflateParams>,
) -> (Vec<u8>, Vec<(usize, Message)>) {
    let raw = Raw::new((), other(role));
    let mut stream = Vec::new();
    let mut ends = Vec::new();
    for (first, payload, message) in [
        (0x81, "€uro".as_bytes(), Some(Message::from("€uro"))),
        (0x02, &[1; 130][..], None),
        (0x89, b"between", None),
        (0x80, &[2; 70], Some(Message::from([&[1; 130][..], &[2; 70]].concat()))),
        (0x81, b"", Some(Message::from(""))),
    ] {
        stream.extend(raw.frame(first, payload));
        ends.extend(message.map(|message| (stream.len(), message)));
    }
    if line.is_some() {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let mut peer = socket(other(role), near, line);
        let words = "a few words, and the same few words again: ";
        for message in [Message::from(words), Message::from(words.repeat(20)), Message::from(vec![7; 500])] {
            peer.send(message.clone()).await.expect("open");
            let mut frame = [0; 1 << 10];
            let size = far.read(&mut frame).await.expect("it was flushed");
            stream.extend_from_slice(&frame[..size]);
            ends.push((stream.len(), message));
        }
    }
    (stream, ends)
}

/// Takes a few bytes of what it is given, sometimes of several slices, and sometimes nothing for now.
pub(crate) struct Narrow {
    stream: DuplexStream,
    /// Otherwise of the first slice only, as streams do that cannot do better.
    vectored: bool,
    writes: usize,
}

impl Narrow {
    pub(crate) fn new(stream: DuplexStream, vectored: bool) -> Self {
        Self { stream, vectored, writes: 0 }
    }
}

impl AsyncRead for Narrow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Narrow {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writes += 1;
        let slices = if self.vectored { slices } else { &slices[..slices.len().min(1)] };
        let size = [1, 3, 0, 5_000, 8, 2, 0, 9_000, 300][self.writes % 9];
        if size == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).take(size).collect();
        Pin::new(&mut self.stream).poll_write(cx, &bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
