//! §3 and §4.1: URLs, what a client asks, and what it accepts as an answer. The server's side is `s4_2_server`.

use std::time::Duration;

use trunkline_ws_proto::handshake::{
    AcceptOptions, ClientHandshake, Established, HandshakeLimits, Parsed, Request, Url, accept,
};
use trunkline_ws_proto::{HandshakeError, UsageError};

/// The nonce of the RFC's example, whose accept value is known.
const NONCE: [u8; 16] = *b"the sample nonce";

fn handshake() -> ClientHandshake {
    ClientHandshake::new(&Url::parse("ws://example.com/chat").expect("a URL"), NONCE)
}

const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn with_header(header: &str) -> String {
    ANSWER.replacen("\r\n", &format!("\r\n{header}\r\n"), 1)
}

#[track_caller]
fn check(answer: &str, expect: Result<Option<&str>, HandshakeError>) {
    let mut handshake = handshake();
    for name in ["a", "b"] {
        handshake.subprotocol(name).expect("a token");
    }
    let verdict = handshake.receive(answer.as_bytes(), &HandshakeLimits::default());
    let expect = expect.map(|subprotocol| {
        let subprotocol = subprotocol.map(str::to_owned);
        Some(Established { head_size: answer.len(), subprotocol, deflate: None })
    });
    assert_eq!(verdict, expect, "{answer:?}");
}

#[test]
fn the_request() {
    let mut handshake = handshake();
    handshake.subprotocol("chat.v2").expect("a token");
    handshake.subprotocol("chat.v1").expect("a token");
    handshake.header("Authorization", "Bearer x").expect("a header");
    let expect = "GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                  Sec-WebSocket-Protocol: chat.v2, chat.v1\r\nAuthorization: Bearer x\r\n\r\n";
    assert_eq!(String::from_utf8_lossy(&handshake.request()), expect);
}

#[test]
fn both_sides_understand_each_other() {
    let mut client = handshake();
    client.subprotocol("a").expect("a token");
    let head = client.request();
    let Ok(Parsed::Complete { request, .. }) = Request::parse(&head, &HandshakeLimits::default()) else {
        panic!("a whole request");
    };
    let options = AcceptOptions { subprotocols: vec!["a".into()], ..AcceptOptions::default() };
    let response = accept(&request, &options).expect("accepted").response();
    let received = [&response[..], b"\x81\0"].concat();
    for size in 0..response.len() {
        assert_eq!(client.receive(&received[..size], &HandshakeLimits::default()), Ok(None));
    }
    let subprotocol = Some("a".into());
    let established = Established { head_size: response.len(), subprotocol, deflate: None };
    assert_eq!(client.receive(&received, &HandshakeLimits::default()), Ok(Some(established)));
}

#[test]
fn answers() {
    check(ANSWER, Ok(None));
    check(&ANSWER.replace("websocket", "WebSocket").replace("Connection: U", "connection: x, u"), Ok(None));
    check(&with_header("Sec-WebSocket-Protocol: b"), Ok(Some("b")));
    for (answer, error) in [
        (ANSWER.replace("101", "200"), HandshakeError::Status(200)),
        (ANSWER.replace("101", "302"), HandshakeError::Status(302)),
        (ANSWER.replace("Upgrade: websocket\r\n", ""), HandshakeError::UpgradeMissing),
        (ANSWER.replace("websocket", "h2c, websocket"), HandshakeError::UpgradeMissing),
        (with_header("Upgrade: websocket"), HandshakeError::UpgradeMissing),
        (ANSWER.replace("Connection: Upgrade", "Connection: close"), HandshakeError::ConnectionMissing),
        (ANSWER.replace("s3pP", "S3pP"), HandshakeError::AcceptWrong),
        (ANSWER.replace("Sec-WebSocket-Accept", "X"), HandshakeError::AcceptWrong),
        (with_header("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), HandshakeError::AcceptWrong),
        (with_header("Sec-WebSocket-Extensions: permessage-deflate"), HandshakeError::ExtensionUnasked),
        (with_header("Sec-WebSocket-Protocol: c"), HandshakeError::SubprotocolUnasked),
        (with_header("Sec-WebSocket-Protocol: A"), HandshakeError::SubprotocolUnasked),
        (with_header("Sec-WebSocket-Protocol: a, b"), HandshakeError::SubprotocolUnasked),
        (
            with_header("Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a"),
            HandshakeError::SubprotocolUnasked,
        ),
    ] {
        check(&answer, Err(error));
    }
    for malformed in [
        ANSWER.replace("\r\n", "\n"),
        ANSWER.replace("HTTP/1.1", "HTTP/1.0"),
        ANSWER.replace("HTTP/1.1", "SIP/2.0"),
        ANSWER.replace("Upgrade: ", "Upgrade : "),
        "SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned(),
        "\u{15}\u{3}\u{3}\0\u{2}\u{2}\u{32}".to_owned(),
    ] {
        let verdict = handshake().receive(malformed.as_bytes(), &HandshakeLimits::default());
        assert!(matches!(verdict, Err(HandshakeError::Malformed(_))), "{malformed:?}: {verdict:?}");
    }
}

/// RFC 9110 §10.2.3, the form in seconds.
#[test]
fn retry_after() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    for (headers, expect) in [
        ("X: 1", None),
        ("Retry-After: 0", seconds(0)),
        ("retry-after:  120 ", seconds(120)),
        ("Retry-After: 18446744073709551615", seconds(u64::MAX)),
        ("Retry-After: 18446744073709551616", None),
        ("Retry-After: -1", None),
        ("Retry-After: +1", None),
        ("Retry-After: 1.5", None),
        ("Retry-After: ", None),
        ("Retry-After: 1\r\nRetry-After: 1", None),
        ("Retry-After: Fri, 31 Dec 1999 23:59:59 GMT", None),
    ] {
        let answer = with_header(headers).replace("101", "503");
        let mut handshake = handshake();
        let verdict = handshake.receive(answer.as_bytes(), &HandshakeLimits::default());
        assert_eq!(verdict, Err(HandshakeError::Status(503)), "{headers:?}");
        assert_eq!(handshake.retry_after(), expect, "{headers:?}");
    }
}

#[test]
fn an_endless_head_is_cut_off() {
    let limits = HandshakeLimits::default();
    let endless = [ANSWER.trim_end().as_bytes(), b"\r\nX: ", &vec![b'x'; 1 << 14]].concat();
    assert_eq!(handshake().receive(&endless, &limits), Err(HandshakeError::HeadTooLarge(1 << 14)));
    let many = with_header("X: y\r\n".repeat(100).trim_end());
    assert_eq!(handshake().receive(many.as_bytes(), &limits), Err(HandshakeError::HeadersTooMany(100)));
}

#[test]
fn headers_that_cannot_be_sent() {
    for (name, value) in [
        ("X", "a\r\nY: b"),
        ("X", "a\n"),
        ("X", "a\u{0}"),
        ("X", "\u{7f}"),
        ("X\r\nY", "b"),
        ("X Y", "b"),
        ("X:", "b"),
        ("", "b"),
        ("é", "b"),
    ] {
        let refused = handshake().header(name, value);
        assert_eq!(refused, Err(UsageError::HeaderInvalid(name.into())), "{name:?}: {value:?}");
    }
    for name in
        ["Host", "connection", "Upgrade", "sec-websocket-key", "Content-Length", "Sec-WebSocket-Extensions"]
    {
        assert_eq!(handshake().header(name, "x"), Err(UsageError::HeaderReserved(name.into())));
    }
    assert_eq!(handshake().header("Origin", "http://example.com"), Ok(()));
    for name in ["", "a b", "a,b", "a\r\n", "é"] {
        assert_eq!(handshake().subprotocol(name), Err(UsageError::SubprotocolInvalid(name.into())));
    }
    let mut twice = handshake();
    assert_eq!(twice.subprotocol("a"), Ok(()));
    assert_eq!(twice.subprotocol("a"), Err(UsageError::SubprotocolInvalid("a".into())));
}

#[test]
fn urls() {
    for (url, host, port, target, authority) in [
        ("ws://h", "h", 80, "/", "h"),
        ("WS://H:80/", "h", 80, "/", "h"),
        ("ws://h:8080/a?b=c", "h", 8080, "/a?b=c", "h:8080"),
        ("wss://h?q", "h", 443, "/?q", "h"),
        ("wss://h:80", "h", 80, "/", "h:80"),
        ("ws://[::1]:9000/x", "::1", 9000, "/x", "[::1]:9000"),
        ("ws://[::1]", "::1", 80, "/", "[::1]"),
        ("ws://127.0.0.1:1", "127.0.0.1", 1, "/", "127.0.0.1:1"),
    ] {
        let parsed = Url::parse(url).expect(url);
        let parts = (parsed.host(), parsed.port(), parsed.target(), &*parsed.authority());
        assert_eq!(parts, (host, port, target, authority), "{url}");
        assert_eq!(parsed.is_secure(), url.starts_with("wss"));
    }
    for url in [
        "",
        "h",
        "http://h",
        "ws:/h",
        "ws://",
        "ws:///a",
        "ws://h:0",
        "ws://h:65536",
        "ws://h:-1",
        "ws://:80",
        "ws://h#f",
        "ws://h/a#f",
        "ws://u:p@h",
        "ws://h/a b",
        "ws://h/é",
        "ws://h\r\nX: y/",
        "ws://h\r\n/",
        "ws://h h/",
        "ws://h:80:80/",
        "ws://h/\r\nX: y",
        "ws://[::1",
        "ws://[x]",
        "ws://::1",
    ] {
        assert!(matches!(Url::parse(url), Err(UsageError::UrlInvalid { .. })), "{url:?}");
    }
}

#[test]
fn an_error_about_a_url_keeps_its_secrets() {
    for url in ["ws://user:secret@h/", "http://h/?token=secret", "ws://h/#secret"] {
        let error = Url::parse(url).expect_err(url).to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
