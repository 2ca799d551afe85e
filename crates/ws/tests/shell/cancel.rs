//! Every method dropped at every await point, every byte a read of its own: the same result as without.

use std::task::Poll;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use trunkline_ws::{Limits, Message, Role};

use crate::raw::{close, pair, poll_once, server};

/// Runs in a runtime, whose timers the closing handshake needs, but polls by hand.
#[tokio::test]
async fn recv_dropped_after_every_byte() {
    let (mut socket, mut raw) = server();
    let bytes = [
        raw.frame(0x81, "€uro".as_bytes()),
        raw.frame(0x02, &[1; 200]),
        raw.frame(0x89, b"between"),
        raw.frame(0x80, &[2; 300]),
        raw.frame(0x81, b""),
        raw.frame(0x88, &close(1000, "bye")),
    ]
    .concat();
    let mut messages = Vec::new();
    let mut ended = false;
    for byte in bytes {
        raw.stream.write_all(&[byte]).await.expect("there is room");
        match poll_once(socket.recv()) {
            Poll::Ready(Ok(Some(message))) => messages.push(message),
            Poll::Ready(Ok(None)) => ended = true,
            Poll::Ready(Err(error)) => panic!("{error}"),
            Poll::Pending => {}
        }
    }
    assert!(!ended, "the line ends when the peer has ended its side");
    let binary = [[1; 200].as_slice(), &[2; 300]].concat();
    assert_eq!(messages, [Message::from("€uro"), Message::from(binary), Message::from("")]);
    raw.expect(0x8A, b"between").await;
    raw.expect_close(1000, "bye").await;
    assert_eq!(raw.read().await, None);
    drop(raw);
    assert!(matches!(socket.recv().await, Ok(None)));
}

#[tokio::test(start_paused = true)]
async fn send_dropped_at_every_poll() {
    for size in [1, 2, 3, 7, 64, 100_000] {
        let (mut socket, mut raw) = pair(Role::Client, size, Limits::default());
        let sent = [Message::from("first"), Message::from(vec![7; 150_000]), Message::from("last")];
        let mut written = Vec::new();
        for message in &sent {
            // Nothing waits to be written, so the first poll takes the message.
            let _ = poll_once(socket.send(message.clone()));
            while poll_once(socket.flush()).is_pending() {
                let mut bytes = vec![0; size];
                let read = raw.stream.read(&mut bytes).await.expect("open");
                written.extend_from_slice(&bytes[..read]);
            }
        }
        drop(socket);
        raw.stream.read_to_end(&mut written).await.expect("open");
        check_written(&written, &sent).await;
    }
}

async fn check_written(written: &[u8], sent: &[Message]) {
    let (mut near, far) = tokio::io::duplex(written.len());
    near.write_all(written).await.expect("there is room");
    let mut raw = crate::raw::Raw::new(far, Role::Server);
    for message in sent {
        let mut payload = Vec::new();
        loop {
            let (first, fragment) = raw.read().await.expect("a frame");
            payload.extend(fragment);
            if first & 0x80 != 0 {
                break;
            }
        }
        assert_eq!(payload, message.as_bytes());
    }
    raw.expect_close(1000, "").await;
}

/// What waits for room when it is dropped was never sent, and what comes after it is.
#[tokio::test]
async fn a_send_dropped_while_it_waits_for_room_has_sent_nothing() {
    let limits = Limits { unsent_max: 1, ..Limits::default() };
    let (mut socket, mut raw) = pair(Role::Server, 1, limits);
    assert!(poll_once(socket.send("queued")).is_pending());
    assert!(poll_once(socket.send("dropped")).is_pending());
    let (sent, ()) = tokio::join!(socket.send("waits"), async {
        raw.expect(0x81, b"queued").await;
        raw.expect(0x81, b"waits").await;
    });
    sent.expect("open");
}

#[tokio::test]
async fn close_dropped_at_every_poll() {
    let (mut socket, mut raw) = pair(Role::Server, 1, Limits::default());
    let _ = poll_once(socket.send("before"));
    let far = async move {
        raw.expect(0x81, b"before").await;
        raw.expect_close(3000, "why").await;
        raw.write(0x81, b"late").await;
        raw.write(0x88, &close(3000, "why")).await;
        assert_eq!(raw.read().await, None);
    };
    let near = async {
        loop {
            match poll_once(socket.close(3000, "why")) {
                Poll::Ready(end) => break end,
                Poll::Pending => tokio::task::yield_now().await,
            }
        }
    };
    let ((), end) = tokio::join!(far, near);
    end.expect("the peer answered");
    assert_eq!(socket.close_frame().map(|frame| frame.code.0), Some(3000));
}

/// `select!` against something that is always sooner must not starve or break the socket.
#[tokio::test]
async fn recv_in_a_select_that_it_keeps_losing() {
    let (mut socket, mut raw) = server();
    let far = async {
        for n in 0..100u8 {
            raw.write(0x82, &[n]).await;
            tokio::task::yield_now().await;
        }
    };
    let near = async {
        let mut got = Vec::new();
        while got.len() < 100 {
            tokio::select! {
                biased;
                () = tokio::task::yield_now() => {}
                message = socket.recv() => got.extend_from_slice(message.expect("open").expect("open").as_bytes()),
            }
            if let Poll::Ready(message) = poll_once(socket.recv()) {
                got.extend_from_slice(message.expect("open").expect("open").as_bytes());
            }
        }
        got
    };
    let ((), got) = tokio::join!(far, near);
    assert_eq!(got, (0..100).collect::<Vec<u8>>());
}
