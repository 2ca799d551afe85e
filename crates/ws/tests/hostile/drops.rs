//! T25: every future dropped after each of its polls, on lines that take a few bytes at a time, compressed or not: nothing
//! is lost, doubled or made up. Lines that are cut are in `cuts.rs`.

use std::task::Poll;

use tokio::io::AsyncWriteExt;
use trunkline_ws::{
    CloseFrame, DeflateParams, Error, Limits, Message, PreparedMessage, Role, Socket, WhenFull,
};

use crate::line::{LINES, Narrow, ROLES, conversation, other, socket};
use crate::raw::{close, pair, poll_once};

/// Polls what `attempt` makes once and drops it, until a poll is the last one it needs. That is many times what it takes.
async fn again<T>(mut attempt: impl AsyncFnMut() -> T) -> T {
    for _ in 0..500_000 {
        if let Poll::Ready(done) = poll_once(attempt()) {
            return done;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never ends");
}

/// Sends a message while nothing waits to be written, so that the first poll of `send` takes it.
async fn send(socket: &mut Socket, message: Message) {
    let _ = poll_once(socket.send(message));
    again(async || socket.flush().await).await.expect("open");
}

/// Two sockets talk both ways at once over a line that holds a byte.
#[tokio::test]
async fn t25_every_future_dropped_after_each_poll() {
    for line in LINES {
        let (near, far) = tokio::io::duplex(1);
        talk(socket(Role::Server, near, line), socket(Role::Client, far, line));
    }
}

fn talk(mut server: Socket, mut client: Socket) {
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

/// `recv_streamed` and `chunk`, each byte a read of its own.
#[tokio::test]
async fn t25_readers_dropped_after_every_byte() {
    for role in ROLES {
        for line in LINES {
            let (stream, ends) = conversation(role, line).await;
            let (near, mut far) = tokio::io::duplex(1 << 10);
            let mut socket = socket(role, near, line);
            let (mut bytes, mut payloads) = (stream.into_iter(), Vec::new());
            while let Some(byte) = bytes.next() {
                far.write_all(&[byte]).await.expect("there is room");
                if let Poll::Ready(reader) = poll_once(socket.recv_streamed()) {
                    let mut reader = reader.expect("open").expect("open");
                    let mut payload = Vec::new();
                    loop {
                        match poll_once(reader.chunk()) {
                            Poll::Ready(Ok(Some(chunk))) => payload.extend_from_slice(&chunk),
                            Poll::Ready(end) => break assert!(end.is_ok(), "{end:?}"),
                            Poll::Pending => {
                                let byte = [bytes.next().expect("the message has not ended")];
                                far.write_all(&byte).await.expect("there is room");
                            }
                        }
                    }
                    payloads.push(payload);
                }
            }
            let expect: Vec<_> = ends.iter().map(|(_, message)| message.as_bytes()).collect();
            assert_eq!(payloads, expect, "{role:?}, {line:?}");
        }
    }
}

/// `write` and `finish`: each first poll finds room, so it takes the piece.
#[tokio::test]
async fn t25_writers_dropped_after_each_poll() {
    for role in ROLES {
        for line in LINES {
            let (near, far) = tokio::io::duplex(3);
            let mut sends = socket(role, near, line);
            let mut reads = socket(other(role), far, line);
            let sent = [vec!["first ", "of ", "three"], vec![], vec!["", "€uro"], vec!["last"]];
            let sending = async {
                for pieces in &sent {
                    let mut writer = sends.send_streamed(Message::from("").kind()).expect("open");
                    for piece in pieces {
                        let _ = poll_once(writer.write(*piece));
                        again(async || writer.write("").await).await.expect("open");
                    }
                    let _ = poll_once(writer.finish());
                    again(async || sends.flush().await).await.expect("open");
                }
            };
            let reading = async {
                for pieces in &sent {
                    let message = again(async || reads.recv().await).await.expect("open");
                    assert_eq!(message, Some(Message::from(pieces.concat())), "{role:?}, {line:?}");
                }
            };
            tokio::join!(sending, reading);
        }
    }
}

/// A `finish` that was dropped while there was no room has ended nothing, and nobody else can: the socket closes.
#[tokio::test]
async fn t25_a_finish_dropped_while_it_waits_for_room() {
    for role in ROLES {
        let (mut socket, mut raw) = pair(role, 1 << 10, Limits::default());
        let mut writer = socket.send_streamed(Message::from("").kind()).expect("open");
        assert!(poll_once(writer.write("x".repeat(100_000))).is_pending());
        assert!(poll_once(writer.finish()).is_pending());
        let far = async move {
            let mut size = 0;
            while let Some((first, payload)) = raw.read().await {
                if first == 0x88 {
                    assert_eq!((size, payload), (100_000, close(1011, "a message was not finished")));
                    return raw.write(0x88, &close(1011, "")).await;
                }
                assert!(matches!(first, 0x01 | 0x00), "{first:#x}");
                size += payload.len();
            }
        };
        let (end, ()) = tokio::join!(again(async || socket.recv().await), far);
        assert!(matches!(end, Ok(None)), "{end:?}");
    }
}

/// A sender that gives up at each poll and tries again, on a line that is slower than it is: what the peer gets, how many
/// were dropped, and how it ended.
async fn give_up_often(
    role: Role,
    line: Option<DeflateParams>,
    when_full: WhenFull,
) -> (Vec<Message>, u64, Result<(), Error>) {
    let (near, far) = tokio::io::duplex(2);
    let limits = Limits { queue_max: 3, unsent_max: 10, ..Limits::default() };
    let mut owner = Socket::new(role, near, Vec::new(), limits);
    if let Some(params) = line {
        owner = owner.compressed(params, trunkline_ws::DeflateOptions::default());
    }
    let mut peer = socket(other(role), far, line);
    let sender = owner.sender().when_full(when_full);
    let dropped = sender.clone();
    let sending = async move {
        for n in 0..100 {
            again(async || sender.send(n.to_string()).await).await?;
            if when_full == WhenFull::Close || n % 8 == 0 {
                tokio::task::yield_now().await;
            }
        }
        sender.close(1000, "")
    };
    let owning = async { while again(async || owner.recv().await).await.is_ok_and(|it| it.is_some()) {} };
    let reading = async {
        let mut messages = Vec::new();
        while let Ok(Some(message)) = again(async || peer.recv().await).await {
            messages.push(message);
        }
        // The client waits for the server to end the line.
        drop(peer);
        messages
    };
    let (sent, (), messages) = tokio::join!(sending, owning, reading);
    (messages, dropped.dropped(), sent)
}

#[tokio::test]
async fn t25_senders_dropped_after_each_poll() {
    let all: Vec<Message> = (0..100).map(|n| Message::from(n.to_string())).collect();
    for role in ROLES {
        for line in LINES {
            let (messages, dropped, sent) = give_up_often(role, line, WhenFull::Wait).await;
            sent.expect("open");
            assert_eq!((messages, dropped), (all.clone(), 0));

            let (messages, dropped, sent) = give_up_often(role, line, WhenFull::DropOldest).await;
            sent.expect("open");
            assert!(dropped > 0);
            assert_eq!(messages.len() as u64 + dropped, 100);
            let mut left = all.iter();
            assert!(messages.iter().all(|message| left.any(|it| it == message)), "in order: {messages:?}");
            assert!(messages.ends_with(&all[97..]), "the newest are in the queue: {messages:?}");

            let (messages, dropped, sent) = give_up_often(role, line, WhenFull::Close).await;
            assert!(matches!(sent, Err(Error::Closed(CloseFrame { code, .. })) if code.0 == 1008));
            assert_eq!(dropped, 0);
            assert_eq!(messages, all[..messages.len()], "no gap before the end");
        }
    }
}

/// Text that compression makes somewhat smaller, so that both forms are long enough to be shared.
fn noise(size: usize) -> String {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b' ' + (state >> 58) as u8)
    };
    std::iter::repeat_with(next).take(size).collect()
}

/// Big payloads leave from where they lie, between small frames that are copied: whatever part of them a write takes.
#[tokio::test]
async fn t25_streams_that_take_part_of_a_slice() {
    for role in ROLES {
        for line in LINES {
            for vectored in [false, true] {
                let (near, far) = tokio::io::duplex(32 << 10);
                let sends = socket(role, Narrow::new(near, vectored), line);
                parts(sends, socket(other(role), far, line)).await;
            }
        }
    }
}

async fn parts(mut sends: Socket, mut reads: Socket) {
    let sizes = [8 << 10, 1, 20_000, 0, 70_000, 200, 140_000, (8 << 10) - 1];
    let mut sent = Vec::new();
    let sender = sends.sender();
    for size in sizes {
        let text = noise(size);
        sent.extend([Message::from(text.clone()), Message::from(text.clone().into_bytes()), text.into()]);
    }
    let sending = async {
        for copies in sent.chunks(3) {
            // The first of each is sent, the others are queued meanwhile, so that several slices wait.
            let _ = poll_once(sends.send(copies[0].clone()));
            let binary = PreparedMessage::binary(copies[1].as_bytes()).compressible();
            sender.try_send_prepared(&binary).expect("there is room");
            sender.try_send(copies[2].clone()).expect("there is room");
            again(async || sends.flush().await).await.expect("open");
        }
        send(&mut sends, Message::from("end")).await;
    };
    let reading = async {
        for message in sent.iter().chain([&Message::from("end")]) {
            let received = again(async || reads.recv().await).await.expect("open");
            assert!(received.as_ref() == Some(message), "{message} is not {received:?}");
        }
    };
    tokio::join!(sending, reading);
}
