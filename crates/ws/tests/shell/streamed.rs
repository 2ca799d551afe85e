//! Messages too big to hold, in both directions.

use std::task::Poll;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use trunkline_ws::{Error, Limits, MessageKind, Role, UsageError};

use crate::raw::{close, pair, poll_once, server};

const SIZE: usize = 8 << 20;

/// What a message of this size might be.
fn pattern(from: usize, size: usize) -> Vec<u8> {
    (from..from + size).map(|at| (at % 251) as u8).collect()
}

/// From one socket to another, over the limits of both, in pieces that are never all there.
#[tokio::test]
async fn a_file_from_end_to_end() {
    let limits = Limits { message_size_max: 10_000, frame_size_max: 10_000, ..Limits::default() };
    for role in [Role::Server, Role::Client] {
        let (near, far) = tokio::io::duplex(100_000);
        let other = if role == Role::Server { Role::Client } else { Role::Server };
        let mut sends = trunkline_ws::Socket::new(role, near, Vec::new(), limits.clone());
        let mut reads = trunkline_ws::Socket::new(other, far, Vec::new(), limits.clone());
        let sending = async {
            let mut writer = sends.send_streamed(MessageKind::Binary).expect("open");
            for from in (0..SIZE).step_by(100_000) {
                let piece = pattern(from, 100_000.min(SIZE - from));
                writer.write(piece).await.expect("open");
            }
            writer.finish().await.expect("open");
            sends.send("and then").await.expect("open");
        };
        let reading = async {
            let mut message = reads.recv_streamed().await.expect("open").expect("a message");
            assert_eq!(message.kind(), MessageKind::Binary);
            let mut read = 0;
            while let Some(chunk) = message.chunk().await.expect("open") {
                assert!(!chunk.is_empty() && chunk == pattern(read, chunk.len()));
                read += chunk.len();
            }
            assert_eq!(read, SIZE);
            assert!(message.chunk().await.expect("open").is_none());
            let next = reads.recv().await.expect("open").expect("a message");
            assert_eq!(next.as_text(), Some("and then"));
        };
        tokio::join!(sending, reading);
    }
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_message_is_skipped() {
    let limits = Limits { message_size_max: 10, ..Limits::default() };
    let (mut socket, mut raw) = pair(Role::Server, 1 << 20, limits);
    raw.write(0x02, &[1; 1_000]).await;
    let mut message = socket.recv_streamed().await.expect("open").expect("a message");
    assert_eq!(message.chunk().await.expect("open"), Some(Bytes::from(vec![1; 1_000])));
    drop(message);
    raw.write(0x00, &[1; 1_000]).await;
    raw.write(0x80, &[1; 1_000]).await;
    raw.write(0x81, b"next").await;
    assert_eq!(socket.recv().await.expect("open"), Some("next".into()));
    // The limits are back.
    raw.write(0x82, &[1; 11]).await;
    assert!(matches!(socket.recv().await, Err(Error::Protocol(_))));
}

/// A message of which `recv` has taken the beginning when it was cancelled is read in chunks from its beginning.
#[tokio::test]
async fn a_reader_after_a_recv_that_was_dropped() {
    let (mut socket, mut raw) = server();
    raw.write(0x01, b"a").await;
    assert!(poll_once(socket.recv()).is_pending());
    raw.write(0x80, b"b").await;
    let mut message = socket.recv_streamed().await.expect("open").expect("a message");
    assert_eq!(
        (message.kind(), message.chunk().await.expect("open")),
        (MessageKind::Text, Some("ab".into()))
    );
    assert_eq!(message.chunk().await.expect("open"), None);
}

/// Also where the rest would be read in chunks: it is not a message of its own.
#[tokio::test]
async fn a_reader_after_a_reader_that_was_dropped() {
    let (mut socket, mut raw) = server();
    raw.write(0x01, b"a").await;
    let mut message = socket.recv_streamed().await.expect("open").expect("a message");
    assert_eq!(message.chunk().await.expect("open"), Some("a".into()));
    drop(message);
    raw.write(0x00, b"b").await;
    assert!(poll_once(socket.recv_streamed()).is_pending());
    raw.write(0x00, b"c").await;
    assert!(poll_once(socket.recv()).is_pending());
    raw.write(0x80, b"d").await;
    raw.write(0x81, b"next").await;
    let mut message = socket.recv_streamed().await.expect("open").expect("a message");
    assert_eq!(message.chunk().await.expect("open"), Some("next".into()));
    assert_eq!(message.chunk().await.expect("open"), None);
}

/// While a message waits to be written, the socket takes nothing of one of which it cannot know how it will be read.
#[tokio::test]
async fn nothing_is_taken_ahead_of_a_reader() {
    let (mut socket, mut raw) = pair(Role::Server, 10_000, Limits::default());
    raw.write(0x81, b"first").await;
    drop(socket.recv_streamed().await.expect("open"));
    raw.write(0x01, b"a").await;
    assert!(poll_once(socket.send(vec![0; 200_000])).is_pending());
    raw.write(0x80, b"b").await;
    assert_eq!(socket.recv().await.expect("open"), Some("ab".into()));
}

#[tokio::test]
async fn a_message_that_is_cut_off() {
    let (mut socket, mut raw) = server();
    raw.write(0x02, b"beginning").await;
    raw.write(0x88, &close(1001, "gone")).await;
    let mut message = socket.recv_streamed().await.expect("open").expect("a message");
    assert!(message.chunk().await.expect("open").is_some());
    drop(raw);
    let cut = message.chunk().await;
    assert!(matches!(&cut, Err(Error::Closed(frame)) if frame.code.0 == 1001), "{cut:?}");
    assert!(matches!(socket.recv_streamed().await, Ok(None)));
}

#[tokio::test]
async fn a_writer_that_is_dropped_closes() {
    let (mut socket, mut raw) = server();
    let sender = socket.sender();
    let mut writer = socket.send_streamed(MessageKind::Text).expect("open");
    writer.write("half of").await.expect("open");
    sender.try_send("waits").expect("there is room");
    drop(writer);
    let owner = tokio::spawn(async move { socket.recv().await });
    raw.expect(0x01, b"half of").await;
    raw.expect_close(1011, "a message was not finished").await;
    raw.write(0x88, &close(1011, "")).await;
    drop(raw);
    assert!(matches!(owner.await, Ok(Ok(None))));
    assert!(matches!(sender.try_send("late"), Err(Error::Closed(_))));
}

#[tokio::test]
async fn one_message_at_a_time_and_of_one_kind() {
    let (mut socket, mut raw) = server();
    let sender = socket.sender();
    sender.try_send("before").expect("there is room");
    let mut writer = socket.send_streamed(MessageKind::Text).expect("open");
    sender.try_send("behind").expect("there is room");
    let wrong = writer.write(vec![0]).await;
    assert!(matches!(wrong, Err(Error::Usage(UsageError::MessageUnderWay))));
    writer.write("").await.expect("nothing is no piece");
    writer.write("a").await.expect("open");
    writer.finish().await.expect("open");
    socket.send("last").await.expect("open");
    raw.expect(0x01, b"a").await;
    raw.expect(0x80, b"").await;
    for text in ["before", "behind", "last"] {
        raw.expect(0x81, text.as_bytes()).await;
    }
}

/// A ping between two pieces is answered between two frames.
#[tokio::test]
async fn a_pong_between_two_pieces() {
    let (mut socket, mut raw) = pair(Role::Server, 100_000, Limits::default());
    let mut writer = socket.send_streamed(MessageKind::Binary).expect("open");
    raw.write(0x89, b"?").await;
    let task = async {
        let mut pongs = 0;
        loop {
            match raw.read().await.expect("open") {
                (0x8A, payload) => pongs += usize::from(payload == b"?"),
                (0x80, _) => return pongs,
                (first, _) => assert!(matches!(first, 0x02 | 0x00)),
            }
        }
    };
    let sending = async {
        for _ in 0..20 {
            writer.write(vec![0; 64 << 10]).await.expect("open");
        }
        writer.finish().await.expect("open");
    };
    let (pongs, ()) = tokio::join!(task, sending);
    assert_eq!(pongs, 1);
}

#[tokio::test]
async fn a_write_dropped_while_it_waits_for_room_has_sent_nothing() {
    let (mut socket, mut raw) = pair(Role::Server, 1 << 10, Limits::default());
    let mut writer = socket.send_streamed(MessageKind::Binary).expect("open");
    assert!(poll_once(writer.write(vec![1; 100_000])).is_pending());
    for _ in 0..10 {
        assert!(poll_once(writer.write(vec![2; 100_000])).is_pending());
    }
    let reading = async {
        let mut read = Vec::new();
        loop {
            let (first, payload) = raw.read().await.expect("open");
            read.extend(payload);
            if first & 0x80 != 0 {
                return read;
            }
        }
    };
    let (read, finished) = tokio::join!(reading, writer.finish());
    finished.expect("open");
    assert_eq!(read, [1; 100_000]);
}

/// What the peer does not read holds the writer back, not memory.
#[tokio::test]
async fn a_writer_waits_for_a_slow_reader() {
    let (mut socket, raw) = pair(Role::Server, 1 << 10, Limits::default());
    let mut writer = socket.send_streamed(MessageKind::Binary).expect("open");
    let polled = poll_once(async {
        for at in 0..100 {
            writer.write(vec![0; 64 << 10]).await.expect("open");
            assert_eq!(at, 0, "the first piece already has to wait");
        }
    });
    assert!(matches!(polled, Poll::Pending));
    drop(raw);
}

#[tokio::test]
async fn what_came_with_the_handshake_is_streamed_too() {
    let (near, mut far) = tokio::io::duplex(1 << 10);
    let mut frame = vec![0x82, 0x05];
    frame.extend_from_slice(b"Hel");
    let mut socket = trunkline_ws::Socket::new(Role::Client, near, frame, Limits::default());
    let mut message = socket.recv_streamed().await.expect("open").expect("a message");
    assert_eq!(message.chunk().await.expect("open"), Some("Hel".into()));
    far.write_all(b"lo").await.expect("there is room");
    assert_eq!(message.chunk().await.expect("open"), Some("lo".into()));
    assert_eq!(message.chunk().await.expect("open"), None);
}
