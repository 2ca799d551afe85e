//! What a caller can do wrong: limits of nothing and of everything, sockets used after their end, owners that are
//! elsewhere for long. Nothing panics, hangs or turns in circles. Not what peers do.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{advance, timeout};
use trunkline_ws::{
    CloseCode, CloseFrame, DeflateOptions, DeflateParams, Error, Limits, Message, MessageKind,
    PreparedMessage, Role, Socket, WhenFull,
};

use crate::raw::pair;

/// On the paused clock: longer than any deadline.
const EVER: Duration = Duration::from_secs(1 << 20);

fn line(limits: &Limits) -> (Socket, Socket) {
    let (near, far) = tokio::io::duplex(1 << 12);
    let server = Socket::new(Role::Server, near, Vec::new(), limits.clone());
    (server, Socket::new(Role::Client, far, Vec::new(), limits.clone()))
}

fn echo(mut socket: Socket) -> JoinHandle<Result<(), Error>> {
    tokio::spawn(async move {
        while let Some(message) = socket.recv().await? {
            socket.send(message).await?;
        }
        Ok(())
    })
}

/// Messages there and back, then a closing handshake.
async fn converse(server: Socket, mut client: Socket, messages: &[Message]) {
    let echo = echo(server);
    let talk = async {
        for message in messages {
            client.send(message.clone()).await.expect("open");
            assert_eq!(client.recv().await.expect("open").as_ref(), Some(message));
            client.sender().send(message.clone()).await.expect("open");
            assert_eq!(client.recv().await.expect("open").as_ref(), Some(message));
        }
        client.close(1000, "").await.expect("open");
        echo.await.expect("no panic").expect("open");
    };
    timeout(EVER, talk).await.expect("it does not hang");
}

#[tokio::test(start_paused = true)]
async fn no_room_at_all() {
    let none = Limits { unsent_max: 0, queue_max: 0, queue_bytes_max: 0, ..Limits::default() };
    let (server, client) = line(&none);
    converse(server, client, &["a".into(), "".into(), vec![1; 200_000].into()]).await;
    let empty = Limits { message_size_max: 0, frame_size_max: 0, fragments_max: 1, ..Limits::default() };
    let (server, client) = line(&empty);
    converse(server, client, &["".into(), Vec::new().into()]).await;
    for when_full in [WhenFull::Wait, WhenFull::DropOldest, WhenFull::Close] {
        let (server, mut client) = line(&none);
        let _echo = echo(server);
        client.sender().when_full(when_full).try_send("let in whole").expect("the queue is empty");
        assert_eq!(client.recv().await.expect("open"), Some("let in whole".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn no_limits_at_all() {
    let (size, time) = (usize::MAX, Duration::MAX);
    let limits = Limits {
        message_size_max: size,
        frame_size_max: size,
        fragments_max: u32::MAX,
        inflation_ratio_max: u32::MAX,
        inflation_ratio_from: size,
        unsent_max: size,
        queue_max: size,
        queue_bytes_max: size,
        ping_interval: time,
        pong_timeout: time,
        close_timeout: time,
        ..Limits::default()
    };
    let (server, client) = line(&limits);
    converse(server, client, &["a".into(), vec![1; 200_000].into()]).await;
    let (mut server, _client) = line(&Limits { ping_interval: Duration::from_secs(1), ..limits });
    assert!(timeout(EVER, server.recv()).await.is_err(), "it waits for the pong for ever");
}

#[tokio::test(start_paused = true)]
async fn compression_that_there_is_none_of() {
    for (level, bits) in [(0, 0), (u8::MAX, u8::MAX)] {
        for alone in [false, true] {
            let params = DeflateParams {
                server_no_context_takeover: alone,
                client_no_context_takeover: alone,
                server_max_window_bits: bits,
                client_max_window_bits: bits,
            };
            let options = DeflateOptions { level, size_min: 0, ..DeflateOptions::default() };
            let (server, client) = line(&Limits::default());
            let twice = |socket: Socket| socket.compressed(params, options).compressed(params, options);
            converse(twice(server), twice(client), &["again and again and again".into(), "".into()]).await;
        }
    }
}

/// Every method, again and again, says the same.
#[tokio::test(start_paused = true)]
async fn a_socket_used_after_its_end() {
    let (server, mut client) = line(&Limits::default());
    let echo = echo(server);
    let early = client.sender();
    client.close(1000, "that is all").await.expect("open");
    echo.await.expect("no panic").expect("open");
    let closed = |result: Result<(), Error>| match result {
        Err(Error::Closed(frame)) => assert_eq!(frame.reason, "that is all"),
        other => panic!("{other:?}"),
    };
    let uses = async {
        for _ in 0..3 {
            assert_eq!(client.recv().await.expect("closed cleanly"), None);
            assert!(client.recv_streamed().await.expect("closed cleanly").is_none());
            closed(client.send("late").await);
            closed(client.flush().await);
            closed(client.send_streamed(MessageKind::Text).map(drop));
            client.close(1001, "again").await.expect("it does nothing");
            closed(client.sender().send("late").await);
            closed(early.send("late").await);
            closed(early.try_send("late"));
        }
    };
    timeout(EVER, uses).await.expect("it does not hang");
}

/// From when it is asked for until the peer has answered it.
#[tokio::test(start_paused = true)]
async fn a_socket_that_closes_says_why() {
    let (mut socket, _raw) = pair(Role::Server, 1 << 10, Limits::default());
    let early = socket.sender();
    early.close(4001, "enough").expect("open");
    assert!(timeout(Duration::from_secs(1), socket.recv()).await.is_err(), "the peer has not answered");
    let enough = CloseFrame { code: CloseCode(4001), reason: "enough".to_owned() };
    let late = socket.sender();
    let results = [
        socket.send("late").await,
        socket.send_streamed(MessageKind::Text).map(drop),
        early.try_send("late"),
        late.try_send("late"),
    ];
    for result in results {
        assert!(matches!(&result, Err(Error::Closed(frame)) if *frame == enough), "{result:?}");
    }
}

/// A reader and a writer that are never dropped: the message stays under way, and the socket can be closed.
#[tokio::test(start_paused = true)]
async fn readers_and_writers_that_are_forgotten() {
    let (mut server, mut client) = line(&Limits::default());
    let mut writer = client.send_streamed(MessageKind::Text).expect("open");
    writer.write("begun").await.expect("open");
    std::mem::forget(writer);
    assert!(matches!(client.send("another").await, Err(Error::Usage(_))));
    assert!(matches!(client.send_streamed(MessageKind::Binary), Err(Error::Usage(_))));
    client.sender().try_send("behind it").expect("it waits");
    std::mem::forget(server.recv_streamed().await.expect("open").expect("open"));
    let end = async { tokio::join!(client.close(1000, ""), server.recv()) };
    let (closed, received) = timeout(EVER, end).await.expect("it does not hang");
    closed.expect("open");
    assert_eq!(received.expect("open"), None);
}

/// What the caller has answered for: the peer says no, and we hear it.
#[tokio::test(start_paused = true)]
async fn prepared_text_that_is_none() {
    let bad = PreparedMessage::new(MessageKind::Text, b"\xFF");
    for server_sends in [true, false] {
        let (server, client) = line(&Limits::default());
        let (mut sends, receives) = if server_sends { (server, client) } else { (client, server) };
        let echo = echo(receives);
        sends.sender().try_send_prepared(&bad).expect("open");
        assert_eq!(sends.recv().await.expect("the peer closed"), None);
        assert_eq!(sends.close_frame().expect("closed").code, CloseCode::INVALID_PAYLOAD);
        assert!(matches!(echo.await.expect("no panic"), Err(Error::Protocol(_))));
    }
}

/// The peer has not been asked yet, so its silence says nothing.
#[tokio::test(start_paused = true)]
async fn an_owner_that_was_elsewhere_for_long() {
    let (mut server, client) = line(&Limits::default());
    let echo = echo(client);
    advance(Duration::from_secs(3600)).await;
    assert!(timeout(Duration::from_secs(100), server.recv()).await.is_err(), "pings are answered");
    server.close(1000, "").await.expect("still open");
    echo.await.expect("no panic").expect("open");
}

/// Each ping has its whole `pong_timeout`, and the next one its `ping_interval`.
#[tokio::test(start_paused = true)]
async fn pings_that_are_more_frequent_than_patient() {
    let limits = Limits {
        ping_interval: Duration::from_secs(1),
        pong_timeout: Duration::from_secs(60),
        ..Limits::default()
    };
    let (mut socket, mut raw) = pair(Role::Server, 1 << 10, limits);
    let server = tokio::spawn(async move { socket.recv().await });
    for round in 0..10 {
        let asked = tokio::time::Instant::now();
        raw.expect(0x89, b"").await;
        assert_eq!(asked.elapsed().as_secs(), 1, "round {round}");
        advance(Duration::from_secs(50)).await;
        assert!(!server.is_finished(), "round {round}");
        raw.write(0x8A, b"").await;
        tokio::task::yield_now().await;
    }
    raw.expect(0x89, b"").await;
    let asked = tokio::time::Instant::now();
    assert!(matches!(server.await.expect("no panic"), Err(Error::Lost(_))));
    assert_eq!(asked.elapsed().as_secs(), 60);
}

/// What was begun on one runtime goes on with another, and a socket outside of all is only dropped.
#[test]
fn runtimes_that_end() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let first = runtime();
    let (mut server, mut client) = first.block_on(async { line(&Limits::default()) });
    first.block_on(client.send("Hello")).expect("open");
    drop(first);
    let second = runtime();
    assert_eq!(second.block_on(server.recv()).expect("open"), Some("Hello".into()));
    drop(second);
    drop((server, client));
}
