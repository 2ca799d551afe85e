//! The hostile server: what a client of ours must not fall for, wait for or pay for. T14 is here too.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use allocation_counter::measure;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use trunkline_ws::{Backoff, Deadline, Error, HandshakeError, Limits, ProtocolError, Role, Socket, connect};
use trunkline_ws_proto::handshake::accept_key;

use crate::ends;
use crate::raw::{Raw, close, pair};

const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                    Sec-WebSocket-Accept: ACCEPT\r\n\r\n";

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    (listener, addr)
}

/// Reads one request and gives `answer` with the right value for `ACCEPT`.
fn fill_in(answer: &str, request: &str) -> String {
    let key = request.split_once("Sec-WebSocket-Key: ").and_then(|(_, rest)| rest.split("\r\n").next());
    answer.replace("ACCEPT", &accept_key(key.expect("a key").as_bytes()))
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a whole request"));
    }
    String::from_utf8(head).expect("text")
}

/// Answers one client with `answer` and ends the line. What the client makes of it.
async fn answered(answer: &str) -> Result<Socket, Error> {
    let (listener, addr) = listen().await;
    let server = async {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let answer = fill_in(answer, &read_request(&mut stream).await);
        let _ = stream.write_all(answer.as_bytes()).await;
    };
    tokio::join!(connect(format!("ws://{addr}/secret?token=x")).subprotocol("a").bearer("x"), server).0
}

#[tokio::test]
async fn an_answer_that_lies() {
    use HandshakeError::*;
    let with = |header: &str| GOOD.replacen("\r\n\r\n", &format!("\r\n{header}\r\n\r\n"), 1);
    for (answer, expect) in [
        (GOOD.replace("ACCEPT", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), AcceptWrong),
        (GOOD.replace("ACCEPT", "\"ACCEPT\""), AcceptWrong),
        (GOOD.replace("ACCEPT", "ACCEPT, ACCEPT"), AcceptWrong),
        (GOOD.replace("ACCEPT", "ACCEPT="), AcceptWrong),
        (GOOD.replace("ACCEPT", ""), AcceptWrong),
        (GOOD.replace("Sec-WebSocket-Accept: ACCEPT\r\n", ""), AcceptWrong),
        (with("Sec-WebSocket-Accept: ACCEPT"), AcceptWrong),
        (with("Sec-WebSocket-Extensions: permessage-bzip2"), ExtensionUnasked),
        (with("Sec-WebSocket-Extensions: x, permessage-deflate"), ExtensionUnasked),
        (with("Sec-WebSocket-Protocol: b"), SubprotocolUnasked),
        (with("Sec-WebSocket-Protocol: A"), SubprotocolUnasked),
        (with("Sec-WebSocket-Protocol: a, a"), SubprotocolUnasked),
        (with("Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a"), SubprotocolUnasked),
        (with("Sec-WebSocket-Protocol: "), SubprotocolUnasked),
        (GOOD.replace("websocket", "websockets"), UpgradeMissing),
        (GOOD.replace("Connection: Upgrade", "Connection: close"), ConnectionMissing),
        (GOOD.replace("101 Switching Protocols", "200 OK"), Status(200)),
        (GOOD.replace("101 Switching Protocols", "401 Unauthorized"), Status(401)),
        (with(&"X: y\r\n".repeat(200)), HeadersTooMany(100)),
        (with(&"x".repeat(20_000)), HeadTooLarge(16 << 10)),
    ] {
        match answered(&answer).await {
            Err(Error::Handshake(error)) => assert_eq!(error, expect, "{answer:?}"),
            other => panic!("{answer:?}: {other:?}"),
        }
    }
    for malformed in [
        GOOD.replace("\r\n", "\n"),
        GOOD.replace("HTTP/1.1", "HTTP/1.0"),
        GOOD.replace("HTTP/1.1", "ICY"),
        with("Folded: a\r\n b"),
        with("Space : a"),
        with("Nul: \u{0}"),
    ] {
        let verdict = answered(&malformed).await;
        assert!(matches!(verdict, Err(Error::Handshake(Malformed(_)))), "{malformed:?}: {verdict:?}");
    }
}

#[tokio::test]
async fn an_answer_cut_at_every_byte() {
    let (listener, addr) = listen().await;
    for cut in 0..=GOOD.len() {
        let server = async {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let answer = fill_in(GOOD, &read_request(&mut stream).await);
            let whole = cut == GOOD.len();
            let size = if whole { answer.len() } else { cut };
            stream.write_all(&answer.as_bytes()[..size]).await.expect("the client reads");
            stream.shutdown().await.expect("open");
        };
        let (socket, ()) = tokio::join!(connect(format!("ws://{addr}/")), server);
        match socket {
            Ok(mut socket) => {
                assert_eq!(cut, GOOD.len());
                assert!(matches!(socket.recv().await, Err(Error::Lost(_))));
            }
            Err(Error::Lost(_)) => assert!(cut < GOOD.len()),
            Err(error) => panic!("cut at {cut}: {error}"),
        }
    }
}

/// T14: a redirect is an answer like any other that is not 101. Nobody else hears of the credentials, and a loop has no
/// second turn.
#[tokio::test]
async fn t14_a_redirect_is_not_followed() {
    for status in [
        "301 Moved Permanently",
        "302 Found",
        "303 See Other",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let ((listener, addr), (elsewhere, other)) = (listen().await, listen().await);
        for location in
            [format!("ws://{other}/"), format!("http://{other}/"), format!("ws://{addr}/"), "/".to_owned()]
        {
            let answer = format!("HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
            let server = async {
                let (mut stream, _) = listener.accept().await.expect("a client");
                assert!(read_request(&mut stream).await.contains("Authorization: Bearer secret\r\n"));
                stream.write_all(answer.as_bytes()).await.expect("the client reads");
                let rest = stream.read_to_end(&mut Vec::new()).await;
                assert!(matches!(rest, Ok(0) | Err(_)), "no second request on the same line");
            };
            let client =
                connect(format!("ws://{addr}/")).bearer("secret").header("Cookie", "secret").into_future();
            let (client, ()) = tokio::join!(client, server);
            let code: u16 = status[..3].parse().expect("a number");
            assert!(
                matches!(client, Err(Error::Handshake(HandshakeError::Status(got))) if got == code),
                "{client:?}"
            );
        }
        tokio::select! {
            biased;
            _ = listener.accept() => panic!("it has come again"),
            _ = elsewhere.accept() => panic!("it has followed"),
            () = tokio::task::yield_now() => {}
        }
    }
}

/// A server that sends its clients from itself to itself: one turn, also for a client that connects again by itself.
#[tokio::test(start_paused = true)]
async fn t14_a_redirect_loop_has_one_turn() {
    let (listener, addr) = listen().await;
    let turns = Arc::new(AtomicUsize::new(0));
    let count = turns.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a client");
            count.fetch_add(1, Ordering::Relaxed);
            read_request(&mut stream).await;
            let answer = format!(
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: ws://{addr}/\r\nRetry-After: 0\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let mut line = connect(format!("ws://{addr}/")).bearer("secret").reconnecting(Backoff::default());
    for turn in 1..=3 {
        let error = timeout(Duration::from_secs(60), line.connected()).await.expect("it gives up");
        let status = error.expect_err("no WebSocket here");
        assert!(matches!(status, Error::Handshake(HandshakeError::Status(307))), "{status:?}");
        assert_eq!(turns.load(Ordering::Relaxed), turn);
    }
}

/// A byte a second: the deadline is for the whole head.
#[tokio::test(start_paused = true)]
async fn a_slow_head() {
    let (listener, addr) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        read_request(&mut stream).await;
        for byte in b"HTTP/1.1 101 S\r\nX: ".iter().chain(&[b'x'; 10_000]) {
            let _ = stream.write_all(&[*byte]).await;
            sleep(Duration::from_secs(1)).await;
        }
    });
    let start = Instant::now();
    let error = connect(format!("ws://{addr}/")).await.expect_err("never whole");
    assert!(matches!(error, Error::Timeout(Deadline::Handshake)), "{error:?}");
    assert_eq!(start.elapsed(), Limits::default().handshake_timeout);
}

/// A head without end costs its limit, as bytes of heap of the whole thread.
#[test]
fn an_endless_head() {
    for line in ["X: y\r\n", "x", "Sec-WebSocket-Protocol: a, b, c\r\n"] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let block = line.repeat(1_000);
        let info = measure(|| {
            runtime.block_on(async {
                let (listener, addr) = listen().await;
                let server = async {
                    let (mut stream, _) = listener.accept().await.expect("a client");
                    let _ = stream.write_all(b"HTTP/1.1 101 S\r\nX: ").await;
                    // Not for ever, so that a client without a limit gets to the end.
                    for _ in 0..(8 << 20) / block.len() {
                        if stream.write_all(block.as_bytes()).await.is_err() {
                            break;
                        }
                    }
                };
                let (client, ()) = tokio::join!(connect(format!("ws://{addr}/")), server);
                assert!(matches!(client, Err(Error::Handshake(_))), "{client:?}");
            });
        });
        assert!(info.bytes_max < 256 << 10, "{line:?}: {info:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn masked_frames() {
    for first in [0x81, 0x82, 0x01, 0x89, 0x8A, 0x88] {
        let (mut socket, mut raw) = pair(Role::Client, 1 << 10, Limits::default());
        let masked = Raw::new((), Role::Client).frame(first, b"");
        raw.stream.write_all(&masked).await.expect("there is room");
        let far = async {
            raw.expect_close(1002, &ProtocolError::MaskUnexpected.to_string()).await;
            drop(raw);
        };
        let (end, ()) = ends(async { tokio::join!(socket.recv(), far) }).await;
        assert!(matches!(end, Err(Error::Protocol(ProtocolError::MaskUnexpected))), "{end:?}");
    }
}

/// A frame that claims more than the limit is refused from its header; one that claims less costs what comes.
#[tokio::test(start_paused = true)]
async fn an_endless_frame() {
    let (mut socket, mut raw) = pair(Role::Client, 64 << 10, Limits::default());
    raw.stream.write_all(b"\x82\x7f\0\0\0\0\x01\0\0\x01").await.expect("there is room");
    let far = async {
        raw.expect_close(1009, &ProtocolError::FrameTooBig.to_string()).await;
        drop(raw);
    };
    let (end, ()) = ends(async { tokio::join!(socket.recv(), far) }).await;
    assert!(matches!(end, Err(Error::Protocol(ProtocolError::FrameTooBig))), "{end:?}");

    let (mut socket, mut raw) = pair(Role::Client, 64 << 10, Limits::default());
    raw.stream.write_all(b"\x82\x7f\0\0\0\0\x01\0\0\0").await.expect("there is room");
    let info = measure(|| {
        for _ in 0..100 {
            assert!(crate::raw::poll_once(raw.stream.write_all(&[0; 1_000])).is_ready());
            assert!(crate::raw::poll_once(socket.recv()).is_pending());
        }
    });
    assert!(info.bytes_max < 4 * 100_000 + (128 << 10), "{info:?}");
}

/// A message without end: at the limit of its size or of its fragments it is over, and so is what was kept of it.
#[tokio::test]
async fn an_endless_message() {
    let limits = Limits { message_size_max: 1 << 20, ..Limits::default() };
    for size in [0usize, 1, 1 << 10, 64 << 10] {
        let (mut socket, mut raw) = pair(Role::Client, 256 << 10, limits.clone());
        raw.write(0x02, b"").await;
        let fragments = raw.frame(0x00, &vec![0; size]).repeat(if size > 1 { 1 } else { 1_000 });
        let info = measure(|| {
            // More than enough for each size.
            for _ in 0..3_000 {
                let _ = crate::raw::poll_once(raw.stream.write_all(&fragments));
                let _ = crate::raw::poll_once(socket.recv());
                if socket.close_frame().is_some() {
                    break;
                }
            }
        });
        // The message doubles as it grows, so the old half and the new whole are there at once.
        assert!(info.bytes_max < (2 + 1) * (1 << 20) + (512 << 10), "fragments of {size}: {info:?}");
        assert!(info.bytes_current < 512 << 10, "fragments of {size}: {info:?}");
        let code = if size > 1 { 1009 } else { 1008 };
        assert_eq!(socket.close_frame().map(|frame| frame.code.0), Some(code));
    }
}

/// A server has to end TCP first. One that does not is waited for only so long, and it ended cleanly all the same.
#[tokio::test(start_paused = true)]
async fn a_server_that_never_ends_tcp() {
    for chatty in [false, true] {
        let (mut socket, mut raw) = pair(Role::Client, 1 << 10, Limits::default());
        let start = Instant::now();
        let far = async {
            raw.expect_close(1000, "").await;
            raw.write(0x88, &close(1000, "")).await;
            while chatty && raw.stream.write_all(&[0x81, 0]).await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            end = ends(socket.close(1000, "")) => end.expect("both close frames were seen"),
            () = far => {}
        }
        assert_eq!(start.elapsed(), Limits::default().close_timeout);
        assert_eq!(socket.close_frame().map(|frame| frame.code.0), Some(1000));
    }
}

/// One that does not even answer the close frame, and goes on sending.
#[tokio::test(start_paused = true)]
async fn a_server_that_never_closes() {
    for message in [&b"\x81\0"[..], b"\x89\0", b"\x02\0"] {
        let (mut socket, mut raw) = pair(Role::Client, 1 << 10, Limits::default());
        let start = Instant::now();
        let far = async {
            raw.expect_close(1000, "").await;
            raw.stream.write_all(message).await.expect("open");
            loop {
                sleep(Duration::from_secs(1)).await;
                let more = if message[0] == 0x02 { b"\x00\0" } else { message };
                if raw.stream.write_all(more).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let end = tokio::select! {
            end = ends(socket.close(1000, "")) => end,
            () = far => Ok(()),
        };
        assert!(matches!(end, Err(Error::Timeout(Deadline::Close))), "{end:?}");
        assert_eq!(start.elapsed(), Limits::default().close_timeout);
        assert_eq!(socket.close_frame().map(|frame| frame.code.0), Some(1006));
    }
}

/// A server that goes silent in the middle of a frame is asked, and then given up.
#[tokio::test(start_paused = true)]
async fn a_server_that_goes_silent() {
    let (mut socket, mut raw) = pair(Role::Client, 1 << 10, Limits::default());
    raw.stream.write_all(b"\x82\x7e\x10\x00begun").await.expect("there is room");
    let start = Instant::now();
    let end = ends(socket.recv()).await;
    assert!(matches!(end, Err(Error::Lost(Some(std::io::ErrorKind::TimedOut)))), "{end:?}");
    let limits = Limits::default();
    assert_eq!(start.elapsed(), limits.ping_interval + limits.pong_timeout);
    raw.expect(0x89, b"").await;
}
