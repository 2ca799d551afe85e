//! How bytes flow: one write per read, backpressure, pongs that overtake, floods, the queue of the senders.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::{io, iter};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use trunkline_ws::{Error, Limits, Message, PreparedMessage, Role, Socket, UsageError};

use crate::raw::{Raw, close, pair, poll_once, server};

/// Counts the writes that a real socket would see.
struct Counted {
    stream: DuplexStream,
    writes: Arc<AtomicUsize>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

async fn echo(mut socket: Socket) -> Result<(), Error> {
    while let Some(message) = socket.recv().await? {
        socket.send(message).await?;
    }
    Ok(())
}

#[tokio::test]
async fn all_that_one_read_brought_is_answered_with_one_write() {
    let (near, far) = tokio::io::duplex(1 << 16);
    let writes = Arc::new(AtomicUsize::new(0));
    let near = Counted { stream: near, writes: writes.clone() };
    let mut raw = Raw::new(far, Role::Client);
    let messages: Vec<u8> = (0..100).flat_map(|n: u8| raw.frame(0x82, &[n])).collect();
    raw.stream.write_all(&messages).await.expect("there is room");
    let task = tokio::spawn(echo(Socket::new(Role::Server, near, Vec::new(), Limits::default())));
    for n in 0..100 {
        raw.expect(0x82, &[n]).await;
    }
    assert_eq!(writes.load(Ordering::Relaxed), 1);
    raw.write(0x88, b"").await;
    raw.expect(0x88, b"").await;
    drop(raw);
    task.await.expect("no panic").expect("closed cleanly");
}

#[tokio::test]
async fn what_came_with_the_handshake_is_received_first() {
    let (near, far) = tokio::io::duplex(1 << 16);
    let mut raw = Raw::new(far, Role::Client);
    let early = [raw.frame(0x81, b"early"), raw.frame(0x81, b"bird")].concat();
    let (early, cut) = early.split_at(15);
    let mut socket = Socket::new(Role::Server, near, early.to_vec(), Limits::default());
    raw.stream.write_all(cut).await.expect("there is room");
    assert_eq!(socket.recv().await.expect("open"), Some("early".into()));
    assert_eq!(socket.recv().await.expect("open"), Some("bird".into()));
}

/// A ping is answered while a message far bigger than all buffers is on its way.
#[tokio::test]
async fn t27_a_pong_overtakes_a_big_message() {
    let (mut socket, mut raw) = pair(Role::Server, 4 << 10, Limits::default());
    let size = 64 << 20;
    let far = async {
        let (first, fragment) = raw.read().await.expect("the first fragment");
        assert_eq!((first, fragment.len()), (0x02, 64 << 10));
        raw.write(0x89, b"urgent").await;
        let (mut fragments, mut received) = (0, fragment.len());
        loop {
            match raw.read().await.expect("open") {
                (0x8A, payload) => {
                    assert_eq!(payload, b"urgent");
                    break;
                }
                (0x00, fragment) => received += fragment.len(),
                other => panic!("{other:?}"),
            }
            fragments += 1;
        }
        // One fragment is in the stream and one in `out` when the ping comes.
        assert!(fragments <= 3, "{fragments}");
        while received < size {
            received += raw.read().await.expect("open").1.len();
        }
        received
    };
    let (sent, received) = tokio::join!(socket.send(vec![0; size]), far);
    sent.expect("open");
    assert_eq!(received, size);
}

/// A peer that pings without end and reads nothing costs one pong and a full `out`.
#[tokio::test]
async fn t24_a_ping_flood_from_a_peer_that_does_not_read() {
    let limits = Limits { unsent_max: 1_000, ..Limits::default() };
    let (mut socket, mut raw) = pair(Role::Server, 4 << 10, limits);
    let pings: u32 = 20_000;
    for n in 0..pings {
        raw.write(0x89, &n.to_be_bytes()).await;
        assert!(poll_once(socket.recv()).is_pending());
    }
    raw.write(0x81, b"after the flood").await;
    let (message, last) = tokio::join!(
        async {
            let message = socket.recv().await;
            socket.flush().await.expect("open");
            message
        },
        async {
            let mut pongs = 0;
            loop {
                let (first, payload) = raw.read().await.expect("open");
                assert_eq!((first, payload.len()), (0x8A, 4));
                pongs += 1;
                if payload == (pings - 1).to_be_bytes() {
                    break pongs;
                }
            }
        }
    );
    assert_eq!(message.expect("open"), Some("after the flood".into()));
    assert!(last < 1_000, "only what fits was kept: {last}");
}

/// Who does not read makes `send` wait, and only that.
#[tokio::test(start_paused = true)]
async fn t07_a_slow_reader_holds_the_sender_back() {
    let (mut socket, mut raw) = pair(Role::Server, 1 << 10, Limits::default());
    let mut sent = 0;
    while sent < 1_000 && poll_once(socket.send(vec![0; 1 << 10])).is_ready() {
        sent += 1;
    }
    assert!(sent < 3, "the stream takes about one message: {sent}");
    let refused = (0..1_000).filter(|_| poll_once(socket.send(vec![1; 1 << 10])).is_ready()).count();
    assert_eq!(refused, 0);
    // What was polled without room was not taken: all that is in the line fits `unsent_max` and the stream.
    drop(socket);
    let mut bytes = Vec::new();
    raw.stream.read_to_end(&mut bytes).await.expect("open");
    assert!(bytes.len() < (64 << 10) + (4 << 10), "{}", bytes.len());
}

/// Both sides send more than all buffers hold before they receive anything.
#[tokio::test]
async fn messages_that_come_while_we_send_are_kept() {
    let (near, far) = tokio::io::duplex(100);
    let mut server = Socket::new(Role::Server, near, Vec::new(), Limits::default());
    let mut client = Socket::new(Role::Client, far, Vec::new(), Limits::default());
    let exchange = async |socket: &mut Socket, fill: u8| {
        socket.send(vec![fill; 500]).await.expect("open");
        socket.recv().await.expect("open")
    };
    let (at_server, at_client) = tokio::join!(exchange(&mut server, 1), exchange(&mut client, 2));
    assert_eq!((at_server, at_client), (Some(vec![2; 500].into()), Some(vec![1; 500].into())));
}

#[tokio::test]
async fn senders_of_other_tasks() {
    let (mut socket, mut raw) = server();
    let sender = socket.sender();
    let tasks: Vec<_> = (0..4u8)
        .map(|n| {
            let sender = sender.clone();
            tokio::spawn(async move {
                for _ in 0..1_000 {
                    sender.send(vec![n]).await.expect("open");
                }
            })
        })
        .collect();
    let owner = tokio::spawn(async move { socket.recv().await });
    let mut counts = [0; 4];
    for _ in 0..4_000 {
        let (first, payload) = raw.read().await.expect("open");
        assert_eq!(first, 0x82);
        counts[usize::from(payload[0])] += 1;
    }
    assert_eq!(counts, [1_000; 4]);
    for task in tasks {
        task.await.expect("no panic");
    }
    sender.send_prepared(&PreparedMessage::text("framed once")).await.expect("open");
    sender.try_send("tried").expect("there is room");
    sender.close(4001, "enough").expect("open");
    assert!(matches!(sender.try_send("behind the close frame"), Ok(()) | Err(Error::Closed(_))));
    raw.expect(0x81, b"framed once").await;
    raw.expect(0x81, b"tried").await;
    raw.expect_close(4001, "enough").await;
    raw.write(0x88, &close(4001, "enough")).await;
    drop(raw);
    assert!(matches!(owner.await, Ok(Ok(None))));
    let late = sender.send("late").await.expect_err("the socket is gone");
    assert!(matches!(&late, Error::Closed(frame) if frame.code.0 == 4001), "{late:?}");
}

#[tokio::test]
async fn a_full_queue() {
    let limits = Limits { queue_max: 2, ..Limits::default() };
    let (mut socket, mut raw) = pair(Role::Server, 1 << 10, limits);
    let sender = socket.sender();
    for text in ["1", "2"] {
        sender.try_send(text).expect("there is room");
    }
    assert!(matches!(sender.try_send("3"), Err(Error::QueueFull)));
    let mut waits = Box::pin(sender.send("4"));
    assert!(poll_once(waits.as_mut()).is_pending());
    assert!(poll_once(socket.recv()).is_pending());
    assert!(poll_once(waits).is_ready());
    socket.flush().await.expect("open");
    for text in ["1", "2", "4"] {
        raw.expect(0x81, text.as_bytes()).await;
    }
}

/// `close` writes what is queued first.
#[tokio::test]
async fn what_is_queued_leaves_before_our_close_frame() {
    let (mut socket, mut raw) = server();
    let sender = socket.sender();
    for n in 0..10u8 {
        sender.try_send(vec![n]).expect("there is room");
    }
    let _ = poll_once(socket.close(1000, ""));
    for n in 0..10 {
        raw.expect(0x82, &[n]).await;
    }
    raw.expect_close(1000, "").await;
    assert!(matches!(sender.try_send("late"), Err(Error::Closed(_))));
}

/// A peer whose messages fill every read does not starve the senders of its socket.
#[tokio::test]
async fn a_busy_peer_does_not_starve_the_queue() {
    let (mut socket, mut raw) = pair(Role::Server, 1 << 20, Limits::default());
    let flood: Vec<u8> = iter::repeat_n(raw.frame(0x82, b"x"), 2_000).flatten().collect();
    raw.stream.write_all(&flood).await.expect("there is room");
    let sender = socket.sender();
    let mut failed = 0;
    for _ in 0..2_000 {
        socket.recv().await.expect("open").expect("open");
        failed += usize::from(sender.try_send("y").is_err());
    }
    assert_eq!(failed, 0);
}

#[tokio::test]
async fn prepared_messages_of_any_size_to_either_end() {
    for role in [Role::Server, Role::Client] {
        let (mut socket, mut raw) = pair(role, 1 << 20, Limits::default());
        let sender = socket.sender();
        sender.try_send_prepared(&PreparedMessage::binary(&[5; 100_000])).expect("there is room");
        sender.try_send_prepared(&PreparedMessage::text("small")).expect("there is room");
        socket.flush().await.expect("open");
        raw.expect(0x02, &[5; 64 << 10]).await;
        raw.expect(0x80, &[5; 100_000 - (64 << 10)]).await;
        raw.expect(0x81, b"small").await;
    }
}

#[tokio::test]
async fn a_close_code_that_a_sender_may_not_use() {
    let (mut socket, _raw) = server();
    let refused = socket.sender().close(1006, "");
    assert!(matches!(refused, Err(Error::Usage(UsageError::CloseCodeInvalid(1006)))));
}

#[test]
fn messages_from_what_is_at_hand() {
    assert_eq!(Message::from("a").as_text(), Some("a"));
    assert_eq!(Message::from(String::from("a")), Message::from("a"));
    assert_eq!(Message::from(vec![1]).as_text(), None);
    assert_eq!(Message::from(&[1u8][..]).as_bytes(), [1]);
    assert_eq!(Message::from(b"\x01"), Message::from(vec![1]));
    assert_eq!(Message::from(&String::from("a")), Message::from("a"));
    assert_eq!(Message::from("a").into_bytes(), "a");
    assert_eq!(Message::from("a").to_string(), "a");
    assert_eq!(Message::from(vec![1, 2]).to_string(), "(2 bytes)");
}
