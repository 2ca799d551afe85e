//! Target `response`: any bytes as the head with which a server answers. Included by `fuzz/` and by `corpus.rs` here.

use trunkline_ws_proto::handshake::{ClientHandshake, Established, HandshakeLimits, Url};

const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Accepted or refused, whole or byte by byte, with the same result; and nothing is accepted that must not be.
pub(crate) fn check(data: &[u8]) {
    let limits = HandshakeLimits { head_size_max: 2_000, headers_max: 20 };
    let whole = handshake().receive(data, &limits);
    let mut trickled = handshake();
    let mut verdict = Ok(None);
    for size in 0..=data.len() {
        verdict = trickled.receive(&data[..size], &limits);
        if verdict != Ok(None) {
            break;
        }
    }
    assert_eq!(verdict, whole, "any split gives the same");
    if let Ok(Some(established)) = whole {
        check_established(&data[..established.head_size], &established);
    }
}

fn handshake() -> ClientHandshake {
    let mut handshake = ClientHandshake::new(&Url::parse("ws://h/").expect("a URL"), *b"the sample nonce");
    handshake.subprotocol("a").expect("a token");
    handshake
}

fn check_established(head: &[u8], established: &Established) {
    let lower = head.to_ascii_lowercase();
    let has = |text: &[u8]| lower.windows(text.len()).any(|window| window == text);
    assert!(head.starts_with(b"HTTP/1.1 101") && head.ends_with(b"\r\n\r\n"));
    assert!(head.windows(ACCEPT.len()).any(|window| window == ACCEPT));
    assert!(has(b"\r\nupgrade:") && has(b"\r\nconnection:") && has(b"websocket"));
    assert_eq!(established.subprotocol.is_some(), has(b"\r\nsec-websocket-protocol:"));
}
