//! Target `lists`: any bytes as the headers that are lists (`Connection`, `Upgrade`, `Sec-WebSocket-Protocol`,
//! `Sec-WebSocket-Extensions`), against a slow reading of RFC 9110 §5.6.1. The first byte chooses the header and the
//! rest is its value, cut into repeated headers at each line feed. Included by `fuzz/` and by `corpus.rs` here.

use trunkline_ws_proto::Rejection;
use trunkline_ws_proto::handshake::{AcceptOptions, Accepted, Request, accept};

const NAMES: [&str; 4] = ["Connection", "Upgrade", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"];

/// The verdict is the one that the slow reading gives.
pub(crate) fn check(data: &[u8]) {
    let [which, value @ ..] = data else { return };
    let name = NAMES[usize::from(*which) % NAMES.len()];
    let values: Vec<&[u8]> = value.split(|byte| *byte == b'\n').collect();
    let usual: [(&str, &[u8]); 5] = [
        ("Host", b"h"),
        ("Upgrade", b"websocket"),
        ("Connection", b"upgrade"),
        ("Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", b"13"),
    ];
    let usual = usual.into_iter().filter(|(other, _)| *other != name);
    let request = Request::new("GET", "/", 1, usual.chain(values.iter().map(|value| (name, *value))));
    let options = AcceptOptions { subprotocols: vec!["b".into(), "a".into()], ..AcceptOptions::default() };
    let verdict = accept(&request, &options);
    let elements = elements(&values);
    let names = |token: &str| elements.iter().any(|element| element.eq_ignore_ascii_case(token.as_bytes()));
    match name {
        "Connection" => assert_eq!(verdict.is_ok(), names("upgrade")),
        "Upgrade" => assert_eq!(verdict.is_ok(), names("websocket")),
        "Sec-WebSocket-Protocol" => check_subprotocol(&elements, &verdict),
        _ => check_extensions(value, &verdict),
    }
}

/// The elements of all values, one byte at a time.
fn elements(values: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut elements = Vec::new();
    for value in values {
        let mut element = Vec::new();
        for byte in value.iter().chain(b",") {
            if *byte != b',' {
                element.push(*byte);
                continue;
            }
            let trimmed = std::mem::take(&mut element).trim_ascii().to_vec();
            if !trimmed.is_empty() {
                elements.push(trimmed);
            }
        }
    }
    elements
}

fn check_subprotocol(elements: &[Vec<u8>], verdict: &Result<Accepted, Rejection>) {
    let token = |element: &Vec<u8>| {
        element.iter().all(|byte| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(byte))
    };
    let mut unique = elements.to_vec();
    unique.sort();
    unique.dedup();
    if elements.len() > 64 || unique.len() < elements.len() || !elements.iter().all(token) {
        assert_eq!(verdict.clone().err(), Some(Rejection::SubprotocolList));
        return;
    }
    let ours = ["b", "a"].into_iter().find(|ours| elements.iter().any(|element| element == ours.as_bytes()));
    let accepted = verdict.as_ref().expect("a list of different tokens");
    assert_eq!(accepted.subprotocol(), ours);
}

/// An extension that nobody has offered is never in the answer.
fn check_extensions(value: &[u8], verdict: &Result<Accepted, Rejection>) {
    let Ok(accepted) = verdict else { return };
    let answer = String::from_utf8(accepted.response()).expect("text").to_ascii_lowercase();
    let offered = value.to_ascii_lowercase().windows(18).any(|window| window == b"permessage-deflate");
    assert!(offered || !answer.contains("sec-websocket-extensions"), "{answer}");
}
