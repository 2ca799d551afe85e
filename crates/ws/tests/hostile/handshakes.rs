//! Clients that are slow, lie, or go on after they were refused; and limits at the end of their range.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use trunkline_ws::{Error, Limits, Role, Server, Socket, connect};

use crate::raw::pair;

async fn echo(mut socket: Socket) -> Result<(), Error> {
    while let Some(message) = socket.recv().await? {
        socket.send(message).await?;
    }
    Ok(())
}

/// A server that serves until the runtime ends.
async fn start(limits: Limits) -> SocketAddr {
    let server = Server::bind("127.0.0.1:0").await.expect("a free port").limits(limits);
    let addr = server.local_addr().expect("it is bound");
    tokio::spawn(server.serve(echo));
    addr
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

async fn answer(addr: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.expect("it listens");
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A byte a second for ever: each byte counts as life for TCP, none for the deadline.
async fn trickle(addr: SocketAddr) -> (String, Duration) {
    let start = Instant::now();
    let (mut read, mut write) = TcpStream::connect(addr).await.expect("it listens").into_split();
    let mut answer = Vec::new();
    let head = [b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 10_000]].concat();
    let send = async {
        for byte in head {
            let _ = write.write_all(&[byte]).await;
            sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        () = send => panic!("10,000 seconds for a head"),
        _ = read.read_to_end(&mut answer) => {}
    }
    (String::from_utf8_lossy(&answer).into_owned(), start.elapsed())
}

/// T6 and T20: slow heads end at the deadline, all of them, and give back their places.
#[tokio::test(start_paused = true)]
async fn t20_slow_heads_end_at_the_deadline() {
    let limits = Limits { connections_max: 50, ..Limits::default() };
    let timeout = limits.handshake_timeout;
    let addr = start(limits).await;
    let tasks: Vec<_> = (0..50).map(|_| tokio::spawn(trickle(addr))).collect();
    for task in tasks {
        let (answer, elapsed) = task.await.expect("no panic");
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(elapsed >= timeout && elapsed < timeout + Duration::from_secs(2), "{elapsed:?}");
    }
    connect(format!("ws://{addr}/")).await.expect("there is a place again");
}

/// T4, T17 and T21 over a socket: one answer, then the end, whatever was sent behind the refused head.
#[tokio::test]
async fn t21_nothing_is_served_after_a_refusal() {
    let addr = start(Limits::default()).await;
    let with = |header: &str| REQUEST.replacen("\r\n", &format!("\r\n{header}\r\n"), 1);
    for (refused, status) in [
        (with("Content-Length: 5"), "400"),
        (with("Transfer-Encoding: chunked"), "400"),
        (with("Content-Length: 0\r\nTransfer-Encoding: chunked"), "400"),
        (with("Host : h"), "400"),
        (with("X: a\r\n b"), "400"),
        (REQUEST.replace("\r\n", "\n"), "400"),
        (REQUEST.replace("GET / ", "GET http://h/ "), "400"),
        (REQUEST.replace("GET / ", "CONNECT h:80 "), "400"),
        (REQUEST.replace("GET", "POST"), "405"),
        (with(&"X: y\r\n".repeat(1_000)), "431"),
        (with(&"X: y\r\n".repeat(10_000)), "431"),
        (with("Origin: http://evil"), "403"),
    ] {
        let answer = answer(addr, format!("{refused}hello{REQUEST}").as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{refused:?}: {answer}");
        assert_eq!(answer.matches("\r\nContent-Length: ").count(), 1, "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    }
}

/// Every number as large as it goes.
fn largest(mut limits: Limits) -> Limits {
    limits.message_size_max = usize::MAX;
    limits.frame_size_max = usize::MAX;
    limits.fragments_max = u32::MAX;
    limits.unsent_max = usize::MAX;
    limits.queue_max = usize::MAX;
    limits.ping_interval = Duration::MAX;
    limits.pong_timeout = Duration::MAX;
    limits.close_timeout = Duration::MAX;
    limits.handshake_timeout = Duration::MAX;
    limits.connect_timeout = Duration::MAX;
    limits.connections_max = usize::MAX;
    limits.shutdown_timeout = Duration::MAX;
    limits.head_size_max = usize::MAX;
    limits.headers_max = usize::MAX;
    limits
}

/// T15: caps and deadlines of "none" neither panic nor end anything early.
#[tokio::test]
async fn t15_limits_at_the_end_of_their_range() {
    let limits = largest(Limits::default());
    let addr = start(limits.clone()).await;
    let mut socket = connect(format!("ws://{addr}/")).limits(limits.clone()).await.expect("accepted");
    socket.sender().try_send("queued").expect("there is room");
    socket.send(vec![1; 1 << 20]).await.expect("open");
    let mut received = [socket.recv().await.expect("open"), socket.recv().await.expect("open")];
    received.sort_by_key(|message| message.as_ref().map(|message| message.as_bytes().len()));
    assert_eq!(received, [Some("queued".into()), Some(vec![1; 1 << 20].into())]);
    socket.close(1000, "").await.expect("the server answers");
    let (mut socket, mut raw) = pair(Role::Server, 1 << 20, limits);
    raw.stream.write_all(b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0").await.expect("there is room");
    assert!(crate::raw::poll_once(socket.recv()).is_pending(), "it waits for the rest");
}

/// The smallest limits still speak.
#[tokio::test]
async fn t15_limits_of_nothing() {
    let limits = Limits { unsent_max: 0, queue_max: 0, message_size_max: 0, ..Limits::default() };
    let (mut socket, mut raw) = pair(Role::Server, 1 << 10, limits);
    let sender = socket.sender();
    assert!(sender.try_send("one").is_ok());
    raw.write(0x81, b"").await;
    assert_eq!(socket.recv().await.expect("open"), Some("".into()));
    raw.write(0x81, b"x").await;
    assert!(crate::raw::poll_once(socket.recv()).is_pending());
    assert_eq!(socket.close_frame().map(|frame| frame.code.0), Some(1009));
}
