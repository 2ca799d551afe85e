//! Hostile heads: long, slow, smuggling, lying; and what may not get into the heads that we write.

use allocation_counter::measure;
use trunkline_ws_proto::handshake::{
    AcceptOptions, ClientHandshake, HandshakeLimits, HeadScan, OriginPolicy, Parsed, Request, Url, accept,
};
use trunkline_ws_proto::{DeflateParams, HandshakeError, Rejection};

use crate::{lists, request};

const USUAL: [(&str, &str); 5] = [
    ("Host", "example.com"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
];

/// Every header that a handshake looks at.
const NAMES: [&str; 11] = [
    "Host",
    "Upgrade",
    "Connection",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Extensions",
    "Origin",
    "Content-Length",
    "Transfer-Encoding",
    "X-Other",
];

const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// The usual request with one header's value replaced or added.
fn head_with(line: &str, name: &str, value: &[u8]) -> Vec<u8> {
    let mut head = format!("{line}\r\n").into_bytes();
    for (other, usual) in USUAL {
        if other != name {
            head.extend_from_slice(format!("{other}: {usual}\r\n").as_bytes());
        }
    }
    [&head, name.as_bytes(), b": ", value, b"\r\n\r\n"].concat()
}

fn usual() -> Vec<u8> {
    head_with("GET / HTTP/1.1", "X-Other", b"x")
}

fn judge(head: &[u8]) -> Result<(), Rejection> {
    match Request::parse(head, &HandshakeLimits::default())? {
        Parsed::Complete { request, .. } => accept(&request, &AcceptOptions::default()).map(drop),
        Parsed::Partial => panic!("the head is whole: {}", head.escape_ascii()),
    }
}

fn client() -> ClientHandshake {
    ClientHandshake::new(&Url::parse("ws://example.com/").expect("a URL"), *b"the sample nonce")
}

/// Each byte at each place of offers of all kinds, through the fuzzer's slow reading: where compression is wanted and where
/// it is not, as an offer and as an answer.
#[test]
fn t02_the_extension_header() {
    for offer in [
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; server_no_context_takeover;client_max_window_bits=9",
        "permessage-deflate; server_max_window_bits=\"10\", x; y=\"a, b\"; z",
        ",, ;= \"",
    ] {
        for at in 0..=offer.len() {
            for byte in 0..=255 {
                let mut value = offer.as_bytes().to_vec();
                value.insert(at, byte);
                lists::check(&[&[3], &value[..]].concat());
            }
        }
    }
    for value in ["permessage-deflate", "x", ", x", "permessage-deflate; client_no_context_takeover", "\""] {
        let answer = ANSWER.replacen("\r\n", &format!("\r\nSec-WebSocket-Extensions: {value}\r\n"), 1);
        let verdict = client().receive(answer.as_bytes(), &HandshakeLimits::default());
        assert_eq!(verdict, Err(HandshakeError::ExtensionUnasked), "{value}");
    }
}

/// All sentences of four words behind one offer: of the words that mean something, and of one that does not.
#[test]
fn t02_sentences_of_the_extension_header() {
    const WORDS: [&str; 10] = [
        ";",
        ",",
        "=",
        "\"",
        "permessage-deflate",
        "server_no_context_takeover",
        "; client_max_window_bits",
        "; server_max_window_bits=",
        "12",
        " x",
    ];
    for number in 0..WORDS.len().pow(4) {
        let words = (0..4).map(|at| WORDS[number / WORDS.len().pow(at) % WORDS.len()]);
        let value: String = ["permessage-deflate"].into_iter().chain(words).collect();
        lists::check(&[&[3], value.as_bytes()].concat());
    }
}

/// 64 KiB of list are read where they lie: no element is kept beyond the few that are compared. The list of extensions is
/// kept where compression is wanted, until it is answered.
#[test]
fn t03_lists_of_64_kib_cost_nothing() {
    for name in ["Connection", "Upgrade", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"] {
        for filler in [" ", ",", ", ", "a,", "\t,", "a", "ab, "] {
            let value = filler.repeat((64 << 10) / filler.len());
            let headers = USUAL.into_iter().filter(|(other, _)| *other != name);
            let headers = headers.chain([(name, &*value)]).map(|(name, value)| (name, value.as_bytes()));
            let request = Request::new("GET", "/", 1, headers);
            let options = AcceptOptions { subprotocols: vec!["v1".into()], ..AcceptOptions::default() };
            let info = measure(|| drop(std::hint::black_box(accept(&request, &options))));
            assert!(info.bytes_max < 4_096, "{name} of {filler:?}: {info:?}");
            assert!(info.count_total < 40, "{name} of {filler:?}: {info:?}");
        }
    }
    for filler in [" ", ",", ", ", "a,", "\t,", "a", "; a", ";a=b", ";a=\"b\"", "a;a,"] {
        let value = ["a", &filler.repeat((64 << 10) / filler.len())].concat();
        let headers = USUAL.into_iter().chain([("Sec-WebSocket-Extensions", &*value)]);
        let request = Request::new("GET", "/", 1, headers.map(|(name, value)| (name, value.as_bytes())));
        let options = AcceptOptions { deflate: Some(DeflateParams::default()), ..AcceptOptions::default() };
        let info = measure(|| drop(std::hint::black_box(accept(&request, &options))));
        assert!(info.bytes_max < 64 * (64 << 10), "{filler:?}: {info:?}");
        assert!(info.count_total < 64 << 10, "{filler:?}: {info:?}");
    }
}

#[test]
fn t04_hundreds_to_tens_of_thousands_of_headers() {
    let limits = HandshakeLimits { head_size_max: 1 << 20, ..HandshakeLimits::default() };
    for count in [101, 1_000, 10_000] {
        let many = "X: y\r\n".repeat(count);
        let head = format!("GET / HTTP/1.1\r\n{many}\r\n");
        let answer = format!("HTTP/1.1 101 S\r\n{many}\r\n");
        let info = measure(|| {
            let rejection = Request::parse(head.as_bytes(), &limits).expect_err("too many");
            assert_eq!((&rejection, rejection.status()), (&Rejection::HeadersTooMany(100), 431));
            let error = client().receive(answer.as_bytes(), &limits).expect_err("too many");
            assert_eq!(error, HandshakeError::HeadersTooMany(100));
        });
        assert!(info.bytes_max < 10_000, "{count} headers: {info:?}");
        let rejection = Request::parse(head.as_bytes(), &HandshakeLimits::default()).expect_err("too many");
        assert_eq!(rejection.status(), 431, "with the usual limit of size too");
    }
}

/// A head of 64 KiB, a byte at a time. What was scanned is then overwritten with what may not stand in a head, so a scan
/// that looked at a byte again would fail.
#[test]
fn t06_each_byte_is_scanned_once() {
    let limits = HandshakeLimits { head_size_max: 1 << 17, ..HandshakeLimits::default() };
    let head = head_with("GET / HTTP/1.1", "X-Other", &[b'x'; 64 << 10]);
    let answer = ANSWER.replacen("\r\n", &format!("\r\nX: {}\r\n", "x".repeat(64 << 10)), 1);
    let (mut scan, mut handshake) = (HeadScan::default(), client());
    let mut received = Vec::new();
    for (at, byte) in head.iter().enumerate() {
        received.push(*byte);
        let found = scan.find(&received, &limits).expect("well formed");
        assert_eq!(found, (at + 1 == head.len()).then_some(head.len()), "byte {at}");
        overwrite(&mut received);
    }
    received.clear();
    for (at, byte) in answer.bytes().enumerate().take(answer.len() - 1) {
        received.push(byte);
        assert_eq!(handshake.receive(&received, &limits), Ok(None), "byte {at}");
        overwrite(&mut received);
    }
}

/// All but the last four bytes, which decide whether the head ends.
fn overwrite(received: &mut [u8]) {
    if let Some(at) = received.len().checked_sub(5) {
        received[at] = 0;
    }
}

/// "No limit" is a number like any other: it sizes nothing.
#[test]
fn t15_no_limit_on_heads() {
    let limits = HandshakeLimits { head_size_max: usize::MAX, headers_max: usize::MAX };
    let head = usual();
    let info = measure(|| {
        let parsed = Request::parse(&head, &limits);
        assert!(matches!(parsed, Ok(Parsed::Complete { head_size, .. }) if head_size == head.len()));
        let established = client().receive(ANSWER.as_bytes(), &limits).expect("accepted");
        assert_eq!(established.map(|established| established.head_size), Some(ANSWER.len()));
    });
    assert!(info.bytes_max < 10_000, "{info:?}");
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a:\r\n".repeat(10_000));
    let parsed =
        Request::parse(many.as_bytes(), &limits).map(|parsed| matches!(parsed, Parsed::Complete { .. }));
    assert_eq!(parsed, Ok(true), "as many as there are");
}

/// Each byte, in front, inside and at the end of each header's value: refused, or harmless; the answer can be read.
#[test]
fn t16_any_byte_in_any_header() {
    for name in NAMES {
        let usual = USUAL.iter().find(|(other, _)| *other == name).map_or("x", |(_, value)| value);
        for byte in 0..=255u8 {
            for at in [0, usual.len() / 2, usual.len()] {
                let mut value = usual.as_bytes().to_vec();
                value.insert(at, byte);
                let head = head_with("GET / HTTP/1.1", name, &value);
                request::check(&head);
                compressing(&head);
                let control = (byte < b' ' && byte != b'\t') || byte == 0x7F;
                let refused = Request::parse(&head, &HandshakeLimits::default()).is_err();
                if control && byte != b'\r' {
                    let begun =
                        head.windows(value.len()).rposition(|window| window == value).expect("it is there");
                    let found = HeadScan::default().find(&head[..=begun + at], &HandshakeLimits::default());
                    assert!(found.is_err(), "{name}: refused with the byte itself");
                }
                // A CR or LF at the end of the value changes where the line ends, which is malformed as well.
                assert!(refused || !control, "{name}: {}", value.escape_ascii());
            }
        }
    }
}

/// The verdict of a server that wants compression; its answer can be read.
fn compressing(head: &[u8]) {
    let limits = HandshakeLimits::default();
    let Ok(Parsed::Complete { request, .. }) = Request::parse(head, &limits) else { return };
    let options = AcceptOptions { deflate: Some(DeflateParams::default()), ..AcceptOptions::default() };
    let verdict = accept(&request, &options);
    let answer = verdict.map_or_else(|rejection| rejection.response(), |accepted| accepted.response());
    let found = HeadScan::default().find(&answer, &limits);
    assert!(matches!(found, Ok(Some(_))), "{}", answer.escape_ascii());
}

/// The same in the answer that a client reads.
#[test]
fn t16_any_byte_in_any_header_of_an_answer() {
    for name in [
        "Upgrade",
        "Connection",
        "Sec-WebSocket-Accept",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
        "X-Other",
    ] {
        for byte in 0..=255u8 {
            let mut answer = ANSWER.as_bytes().to_vec();
            let line = [name.as_bytes(), b": ", &[byte], b"x\r\n"].concat();
            answer.splice(answer.len() - 2..answer.len() - 2, line);
            let mut handshake = client();
            handshake.deflate(DeflateParams::default());
            let verdict = handshake.receive(&answer, &HandshakeLimits::default());
            let control = (byte < b' ' && byte != b'\t') || byte == 0x7F;
            // A repeated Connection is a longer list; an unknown header is nobody's business; all else is refused.
            let harmless = matches!(name, "Connection" | "X-Other") && !control;
            assert_eq!(verdict.is_ok(), harmless, "{name}: {byte:#x}: {verdict:?}");
        }
    }
}

#[test]
fn t17_targets_for_proxies_are_refused() {
    for target in [
        "http://example.com/",
        "HTTP://example.com/",
        "ws://example.com/",
        "wss://example.com",
        "//example.com/",
        "example.com:80",
        "example.com",
        "*",
        "?x",
        "#x",
        "/#x",
        "\\",
        "/a b",
        "/\u{e9}",
        "",
    ] {
        let head = head_with(&format!("GET {target} HTTP/1.1"), "X-Other", b"x");
        let origin_form = target == "//example.com/";
        assert_eq!(
            judge(&head).is_ok(),
            origin_form,
            "{target}: a path may begin with two slashes, and is only a path"
        );
        let usual = USUAL.map(|(name, value)| (name, value.as_bytes()));
        let taken_over = accept(&Request::new("GET", target, 1, usual), &AcceptOptions::default());
        assert_eq!(taken_over.is_ok(), origin_form, "{target}");
    }
    let connect = head_with("CONNECT example.com:80 HTTP/1.1", "X-Other", b"x");
    assert!(judge(&connect).is_err());
}

/// Origins that look like the host and are not. The usual matrix is in `s4_2_server`.
#[test]
fn t19_origins_that_pretend() {
    for (origin, host) in [
        ("http://example.com.evil", "example.com"),
        ("http://evil.example.com", "example.com"),
        ("http://evilexample.com", "example.com"),
        ("http://example.com@evil", "example.com"),
        ("http://evil@example.com", "example.com"),
        ("http://evil/example.com", "example.com"),
        ("http://evil#example.com", "example.com"),
        ("http://evil?example.com", "example.com"),
        ("http://example.com:80@evil", "example.com"),
        ("http://example.com:8080", "example.com"),
        ("http://example.com:", "example.com:0"),
        ("http://example.com:+80", "example.com"),
        ("http://example.com:080x", "example.com"),
        ("http://example.com, http://evil", "example.com"),
        ("http://evil http://example.com", "example.com"),
        ("http://example.com/", "example.com"),
        ("http:example.com", "example.com"),
        ("http:///example.com", "example.com"),
        ("example.com", "example.com"),
        ("://example.com", "example.com"),
        ("chrome-extension://example.com", "example.com"),
        ("null", "null"),
        ("http://null", "example.com"),
        ("http://[::1]", "[::2]"),
        ("http://[::1].evil", "[::1]"),
        ("http://\u{435}xample.com", "example.com"),
        ("", "example.com"),
    ] {
        let mut head = head_with("GET / HTTP/1.1", "Host", host.as_bytes());
        head.truncate(head.len() - 2);
        head.extend_from_slice(format!("Origin: {origin}\r\n\r\n").as_bytes());
        let rejection = judge(&head).expect_err(origin);
        assert_eq!((&rejection, rejection.status()), (&Rejection::OriginForbidden(origin.into()), 403));
    }
    let twice = head_with("GET / HTTP/1.1", "Origin", b"http://example.com\r\nOrigin: http://example.com");
    assert_eq!(judge(&twice), Err(Rejection::HeaderRepeated("Origin")));
    assert!(!OriginPolicy::List(Vec::new()).allows(Some(b"http://h"), b"h"), "an empty list allows no page");
}

/// Nothing that two programs in a row could read differently.
#[test]
fn t21_smuggling() {
    for (name, value) in [
        ("Content-Length", "1"),
        ("Content-Length", "00"),
        ("Content-Length", "0x0"),
        ("Content-Length", "+0"),
        ("Content-Length", "0, 0"),
        ("Content-Length", ""),
        ("Content-Length", "18446744073709551616"),
        ("Transfer-Encoding", "chunked"),
        ("Transfer-Encoding", "identity"),
        ("Transfer-Encoding", "x, chunked"),
        ("Transfer-Encoding", ""),
        ("transfer-ENCODING", "chunked"),
    ] {
        let verdict = judge(&head_with("GET / HTTP/1.1", name, value.as_bytes()));
        assert!(matches!(verdict, Err(Rejection::BodyUnexpected(_))), "{name}: {value}: {verdict:?}");
    }
    // With the byte that folds, before any parser sees the line.
    for fold in [" ", "\t"] {
        let found = HeadScan::default()
            .find(format!("GET / HTTP/1.1\r\nHost: a\r\n{fold}").as_bytes(), &HandshakeLimits::default());
        assert_eq!(found, Err(Rejection::Malformed("a folded header line")));
    }
    let both = head_with("GET / HTTP/1.1", "Content-Length", b"0\r\nTransfer-Encoding: chunked");
    assert_eq!(judge(&both), Err(Rejection::BodyUnexpected("Transfer-Encoding")));
    let twice = head_with("GET / HTTP/1.1", "Content-Length", b"0\r\nContent-Length: 0");
    assert_eq!(judge(&twice), Err(Rejection::HeaderRepeated("Content-Length")));
    let text = String::from_utf8(usual()).expect("text");
    for head in [
        text.replace("\r\n", "\n"),
        text.replacen("\r\n", "\n", 2),
        text.replace("\r\n\r\n", "\r\n\n"),
        text.replace("\r\n\r\n", "\n\r\n"),
        text.replace("Host:", "Host :"),
        text.replace("Host:", "Host\t:"),
        text.replace("Host:", " Host:"),
        text.replace("Host:", "\tHost:"),
        text.replace("Host:", "Host"),
        text.replace("Host: ", "Host: a\r\n b"),
        text.replace("Host: ", "Host: a\r\n\tb"),
        text.replace("Host: ", "Host: a\rX: "),
        text.replace("Host: ", "Host: a\u{0}"),
        text.replace("Host:", "Ho st:"),
        text.replace("Host:", "Host\u{0}:"),
        text.replace("Host:", "\"Host\":"),
        text.replace("GET / HTTP/1.1", "GET / HTTP/1.1 "),
        text.replace("GET / HTTP/1.1", "GET\t/\tHTTP/1.1"),
        text.replace("GET / HTTP/1.1", "GET /  HTTP/1.1"),
        text.replace("GET / HTTP/1.1", "GET / HTTP/1.11"),
        text.replace("GET / HTTP/1.1", "GET / http/1.1"),
        format!("\r\n{text}"),
        format!(" {text}"),
    ] {
        let verdict = Request::parse(head.as_bytes(), &HandshakeLimits::default());
        assert!(matches!(verdict, Err(Rejection::Malformed(_))), "{head:?}: {verdict:?}");
    }
}

/// What cannot be sent is refused when it is given, and what is sent comes out as one header.
#[test]
fn t22_no_line_breaks_get_into_what_we_send() {
    for byte in (0..=255u8).map(char::from) {
        let (name, value) = (format!("X{byte}Y"), format!("a{byte}b"));
        let mut handshake = client();
        let allowed = handshake.header("X-Value", &value).is_ok();
        assert_eq!(allowed, byte == '\t' || !byte.is_control() || !byte.is_ascii(), "{value:?}");
        let named = handshake.header(&name, "x").is_ok();
        assert_eq!(named, byte.is_ascii_graphic() && !"\"(),/:;<=>?@[\\]{}".contains(byte), "{name:?}");
        assert_eq!(handshake.subprotocol(&name).is_ok(), named, "{name:?}");
        let sent = handshake.request();
        let limits = HandshakeLimits::default();
        let Ok(Parsed::Complete { request, head_size }) = Request::parse(&sent, &limits) else {
            panic!("{}", sent.escape_ascii())
        };
        assert_eq!(head_size, sent.len(), "one head");
        let expect = USUAL.len() + usize::from(allowed) + 2 * usize::from(named);
        assert_eq!(request.headers().count(), expect, "{}", sent.escape_ascii());
        for url in [format!("ws://h{byte}h/"), format!("ws://h/{byte}"), format!("ws://h/?{byte}")] {
            let Ok(url) = Url::parse(&url) else { continue };
            let request = ClientHandshake::new(&url, [0; 16]).request();
            assert!(
                matches!(Request::parse(&request, &limits), Ok(Parsed::Complete { head_size, .. }) if head_size == request.len())
            );
        }
    }
}

/// A server's own configuration cannot break its answer either: only what a client offered, a token, is repeated.
#[test]
fn t22_a_subprotocol_with_a_line_break_is_never_chosen() {
    let evil = "a\r\nSet-Cookie: x";
    let options = AcceptOptions { subprotocols: vec![evil.into()], ..AcceptOptions::default() };
    for offer in ["a", evil, "Set-Cookie: x"] {
        let headers = USUAL.into_iter().chain([("Sec-WebSocket-Protocol", offer)]);
        let headers = headers.map(|(name, value)| (name, value.as_bytes()));
        let verdict = accept(&Request::new("GET", "/", 1, headers), &options);
        let answer = verdict.map_or_else(|rejection| rejection.response(), |accepted| accepted.response());
        assert!(!String::from_utf8_lossy(&answer).contains("Set-Cookie: x"), "{offer:?}");
    }
    for rejection in [
        Rejection::OriginForbidden("http://a\r\nX: y".into()),
        Rejection::Other { status: 404, reason: "a\r\n\r\nHTTP/1.1 200 OK\r\n\r\n".into() },
    ] {
        let answer = String::from_utf8(rejection.response()).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let length = head.rsplit_once("Content-Length: ").map(|(_, length)| length.parse());
        assert_eq!(length, Some(Ok(body.len())), "what it quotes is inside the body");
    }
}
