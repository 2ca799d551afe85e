//! The client over loopback, mostly against servers that are hostile: the mirror of the server's tests.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use trunkline_ws::{Deadline, Error, HandshakeError, Limits, ProtocolError, UsageError, connect};
use trunkline_ws_proto::handshake::accept_key;

/// Answers one handshake with `answer`, in which `ACCEPT` stands for the right value, and with `frames`; then it reads to the end.
async fn hostile(answer: &str, frames: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let answer = answer.to_owned();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let key = read_key(&mut stream).await;
        let answer = answer.replace("ACCEPT", &accept_key(key.as_bytes()));
        let _ = stream.write_all(&[answer.as_bytes(), frames].concat()).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    addr
}

async fn read_key(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a whole request"));
    }
    let head = String::from_utf8(head).expect("text");
    let (_, rest) = head.split_once("Sec-WebSocket-Key: ").expect("a key");
    rest.split("\r\n").next().expect("a value").to_owned()
}

const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                    Sec-WebSocket-Accept: ACCEPT\r\n\r\n";

#[tokio::test]
async fn answers_that_cannot_be_accepted() {
    for (answer, expect) in [
        (GOOD.replace("ACCEPT", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), HandshakeError::AcceptWrong),
        (GOOD.replace("Sec-WebSocket-Accept: ACCEPT\r\n", ""), HandshakeError::AcceptWrong),
        (
            GOOD.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
            HandshakeError::ExtensionUnasked,
        ),
        (
            GOOD.replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: chat\r\n\r\n"),
            HandshakeError::SubprotocolUnasked,
        ),
        ("HTTP/1.1 302 Found\r\nLocation: ws://elsewhere/\r\n\r\n".to_owned(), HandshakeError::Status(302)),
        (
            GOOD.replace("\r\n\r\n", &format!("\r\nX: {}", "x".repeat(20_000))),
            HandshakeError::HeadTooLarge(16_384),
        ),
    ] {
        let addr = hostile(&answer, b"").await;
        match connect(format!("ws://{addr}/")).await {
            Err(Error::Handshake(error)) => assert_eq!(error, expect),
            other => panic!("{expect:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn frames_that_come_with_the_answer() {
    let addr = hostile(GOOD, b"\x81\x05early\x01\x03Hel\x80\x02lo").await;
    let mut socket = connect(format!("ws://{addr}/")).await.expect("accepted");
    assert_eq!(socket.recv().await.expect("open"), Some("early".into()));
    assert_eq!(socket.recv().await.expect("open"), Some("Hello".into()));
}

#[tokio::test]
async fn frames_that_break_the_protocol() {
    for (frames, expect) in [
        (&b"\x81\x81\x01\x02\x03\x04x"[..], ProtocolError::MaskUnexpected),
        (b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", ProtocolError::FrameTooBig),
        (b"\xc1\x00", ProtocolError::ReservedBits),
    ] {
        let addr = hostile(GOOD, frames).await;
        let mut socket = connect(format!("ws://{addr}/")).await.expect("accepted");
        match socket.recv().await {
            Err(Error::Protocol(error)) => assert_eq!(error, expect),
            other => panic!("{expect:?}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer() {
    for begun in ["", "HTTP/1.1 101 Switching"] {
        let addr = hostile(begun, b"").await;
        let start = tokio::time::Instant::now();
        let error = connect(format!("ws://{addr}/")).await.expect_err("no answer");
        assert!(matches!(error, Error::Timeout(Deadline::Handshake)), "{error:?}");
        assert_eq!(start.elapsed(), Limits::default().handshake_timeout);
    }
}

#[tokio::test]
async fn a_server_that_goes_away() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("it is bound"));
    let (client, ()) = tokio::join!(connect(&url), async { drop(listener.accept().await) });
    assert!(matches!(client, Err(Error::Lost(_))), "{client:?}");
    drop(listener);
    let nobody = connect(&url).await;
    assert!(matches!(nobody, Err(Error::Io(_))), "{nobody:?}");
}

#[tokio::test]
async fn what_is_wrong_before_there_is_a_connection() {
    if cfg!(not(feature = "tls")) {
        let tls = connect("wss://example.com/").await.expect_err("no TLS");
        assert!(matches!(tls, Error::TlsUnsupported));
        assert!(tls.to_string().contains("feature `tls`"), "{tls}");
    }
    for url in ["http://h/", "h", "ws://", "ws://h/#f"] {
        let error = connect(url).await.expect_err(url);
        assert!(matches!(error, Error::Usage(UsageError::UrlInvalid { .. })), "{error:?}");
    }
    let header = connect("ws://127.0.0.1:1/").bearer("a\r\nX: y").await.expect_err("CR and LF");
    assert!(matches!(header, Error::Usage(UsageError::HeaderInvalid(_))), "{header:?}");
    let subprotocol = connect("ws://127.0.0.1:1/").subprotocol("a b").await.expect_err("no token");
    assert!(matches!(subprotocol, Error::Usage(UsageError::SubprotocolInvalid(_))), "{subprotocol:?}");
}
