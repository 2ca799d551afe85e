//! Lines cut at every byte, reads of every size, futures dropped after every poll: nothing is lost, doubled or made up.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use trunkline_ws::{Error, Limits, Message, Role, Socket};

use crate::raw::{Raw, close, pair, poll_once};

const ROLES: [Role; 2] = [Role::Server, Role::Client];

/// What `raw` sends, and the messages in it, each with the place where it ends.
fn conversation<S>(raw: &Raw<S>) -> (Vec<u8>, Vec<(usize, Message)>) {
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
    (stream, ends)
}

/// T25: the messages that were whole before the cut, then 1006; after a close frame its code.
#[tokio::test(start_paused = true)]
async fn t25_cut_at_every_byte() {
    for role in ROLES {
        let (_, raw) = pair(role, 1, Limits::default());
        let (mut stream, ends) = conversation(&raw);
        let data = stream.len();
        stream.extend(raw.frame(0x88, &close(1001, "bye")));
        for cut in 0..=stream.len() {
            let (mut socket, mut raw) = pair(role, 1 << 10, Limits::default());
            raw.stream.write_all(&stream[..cut]).await.expect("there is room");
            drop(raw);
            let mut messages = Vec::new();
            let end = loop {
                match socket.recv().await {
                    Ok(Some(message)) => messages.push(message),
                    end => break end,
                }
            };
            let whole: Vec<_> =
                ends.iter().filter(|(at, _)| *at <= cut).map(|(_, message)| message.clone()).collect();
            assert_eq!(messages, whole, "{role:?} cut at {cut} of {data}");
            let code = socket.close_frame().expect("it has ended").code.0;
            if cut == stream.len() {
                assert!(matches!(end, Ok(None)) && code == 1001, "{end:?}");
            } else {
                assert!(matches!(end, Err(Error::Lost(_))) && code == 1006, "{end:?}");
            }
        }
    }
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
            let other = if role == Role::Server { Role::Client } else { Role::Server };
            let mut raw = Raw::new(far, other);
            let mut socket = Socket::new(role, Dirty(near), Vec::new(), Limits::default());
            let (stream, ends) = conversation(&raw);
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

/// T25: two sockets talk over a line that holds a byte, and every future is dropped after each poll.
#[tokio::test]
async fn t25_every_future_dropped_after_each_poll() {
    let (near, far) = tokio::io::duplex(1);
    let mut server = Socket::new(Role::Server, near, Vec::new(), Limits::default());
    let mut client = Socket::new(Role::Client, far, Vec::new(), Limits::default());
    let sent: Vec<Message> = (0..20).map(|n| Message::from(format!("{n}€").repeat(n))).collect();
    let (mut to_send, mut to_echo) = (sent.iter(), None);
    let (mut at_server, mut at_client) = (Vec::new(), Vec::new());
    let mut flushed = true;
    for _ in 0..1_000_000 {
        // A `send` whose first poll finds room has taken the message, done or not; `flush` goes on with it.
        if flushed && let Some(message) = to_send.next() {
            let _ = poll_once(client.send(message.clone()));
        }
        flushed = poll_once(client.flush()).is_ready();
        if let Poll::Ready(message) = poll_once(client.recv()) {
            at_client.extend(message.expect("open"));
        }
        if to_echo.is_none()
            && let Poll::Ready(message) = poll_once(server.recv())
        {
            to_echo = message.expect("open");
            at_server.extend(to_echo.clone());
        }
        if poll_once(server.flush()).is_ready()
            && let Some(message) = to_echo.take()
        {
            let _ = poll_once(server.send(message));
        }
        if at_client.len() == sent.len() {
            break;
        }
    }
    assert_eq!(at_server, sent);
    assert_eq!(at_client, sent);
}
