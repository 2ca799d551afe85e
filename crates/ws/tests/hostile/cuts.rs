//! Lines cut at every byte, reads of every size: nothing is lost, doubled or made up. Futures that are dropped are in
//! `drops.rs`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use trunkline_ws::{DeflateParams, Error, Limits, Message, MessageKind, Role, Socket};

use crate::line::{LINES, ROLES, conversation, other, socket};
use crate::raw::{Raw, close, pair, poll_once};

/// T25: the messages that were whole before the cut, then 1006; after a close frame its code. The same for messages that
/// are read piece by piece.
#[tokio::test(start_paused = true)]
async fn t25_cut_at_every_byte() {
    for (role, line, in_chunks) in every_line() {
        let (mut stream, ends) = conversation(role, line).await;
        let data = stream.len();
        stream.extend(Raw::new((), other(role)).frame(0x88, &close(1001, "bye")));
        for cut in 0..=stream.len() {
            let (near, mut far) = tokio::io::duplex(4 << 10);
            let mut socket = socket(role, near, line);
            far.write_all(&stream[..cut]).await.expect("there is room");
            drop(far);
            let mut messages = Vec::new();
            let end = loop {
                match take(&mut socket, in_chunks).await {
                    Ok(Some(message)) => messages.push(message),
                    end => break end,
                }
            };
            let whole: Vec<_> =
                ends.iter().filter(|(at, _)| *at <= cut).map(|(_, message)| message.clone()).collect();
            assert_eq!(messages, whole, "{role:?}, {line:?}, cut at {cut} of {data}");
            let code = socket.close_frame().expect("it has ended").code.0;
            if cut == stream.len() {
                assert!(matches!(end, Ok(None)) && code == 1001, "{end:?}");
            } else {
                assert!(matches!(end, Err(Error::Lost(_))) && code == 1006, "{end:?}");
            }
        }
    }
}

fn every_line() -> impl Iterator<Item = (Role, Option<DeflateParams>, bool)> {
    let ways = [false, true];
    ROLES.into_iter().flat_map(move |role| {
        LINES.into_iter().flat_map(move |line| ways.map(|in_chunks| (role, line, in_chunks)))
    })
}

/// The next message, whole or put together from its chunks.
async fn take(socket: &mut Socket, in_chunks: bool) -> Result<Option<Message>, Error> {
    if !in_chunks {
        return socket.recv().await;
    }
    let Some(mut reader) = socket.recv_streamed().await? else { return Ok(None) };
    let mut payload = Vec::new();
    while let Some(chunk) = reader.chunk().await? {
        payload.extend_from_slice(&chunk);
    }
    Ok(Some(match reader.kind() {
        MessageKind::Text => Message::from(String::from_utf8(payload).expect("text is checked")),
        MessageKind::Binary => Message::from(payload),
    }))
}

/// A peer that closes and is gone has closed, also when our answer cannot be written and the task's budget ends at any step.
#[tokio::test(start_paused = true)]
async fn t25_a_close_frame_counts_though_the_answer_is_lost() {
    for role in ROLES {
        for spent in 0..=128 {
            let (mut socket, mut raw) = pair(role, 1 << 10, Limits::default());
            raw.write(0x89, b"?").await;
            raw.write(0x88, &close(1001, "bye")).await;
            drop(raw);
            tokio::task::yield_now().await;
            let mut recv = std::pin::pin!(socket.recv());
            let mut first = true;
            let end = std::future::poll_fn(|cx| {
                for _ in 0..if std::mem::take(&mut first) { spent } else { 0 } {
                    if let Poll::Ready(turn) = tokio::task::coop::poll_proceed(cx) {
                        turn.made_progress();
                    }
                }
                recv.as_mut().poll(cx)
            });
            let end = end.await;
            assert!(matches!(end, Ok(None)), "{role:?} with {spent} of the budget spent: {end:?}");
        }
    }
}

/// Fills the room behind what it reads with rubbish, as an old buffer would have it.
struct Dirty(DuplexStream);

impl AsyncRead for Dirty {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.initialize_unfilled().fill(0xAA);
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Dirty {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// T1: only what a read has brought is received, whatever lies behind it in the buffer.
#[tokio::test]
async fn t01_only_what_a_read_brought() {
    for role in ROLES {
        for size in 1..40 {
            let (near, far) = tokio::io::duplex(1 << 10);
            let mut raw = Raw::new(far, other(role));
            let mut socket = Socket::new(role, Dirty(near), Vec::new(), Limits::default());
            let (stream, ends) = conversation(role, None).await;
            let mut messages = Vec::new();
            for piece in stream.chunks(size) {
                raw.stream.write_all(piece).await.expect("there is room");
                while let Poll::Ready(message) = poll_once(socket.recv()) {
                    messages.push(message.expect("open").expect("open"));
                }
            }
            let expect: Vec<_> = ends.into_iter().map(|(_, message)| message).collect();
            assert_eq!(messages, expect, "{role:?}, reads of {size}");
        }
    }
}
