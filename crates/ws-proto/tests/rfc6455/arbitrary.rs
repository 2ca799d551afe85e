//! Any bytes in any pieces: no panic, and the pieces make no difference.

use proptest::prelude::*;
use trunkline_ws_proto::handshake::{
    AcceptOptions, ClientHandshake, HandshakeLimits, HeadScan, Parsed, Request, Url, accept,
};
use trunkline_ws_proto::{Limits, Role};

use crate::cuts::ends;
use crate::wire::{Event, Peer, frame};

/// One frame, mostly well formed.
fn any_frame() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let first = prop_oneof![
        30 => prop::sample::select(vec![0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8A]),
        1 => prop::sample::select(vec![0x88, 0x83, 0xC1, 0x09]),
    ];
    let payload = prop_oneof![
        any::<String>().prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..300),
        Just(vec![3, 232]),
    ];
    (first, payload)
}

pub(crate) fn any_stream(role: Role) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec((any_frame(), any::<[u8; 4]>()), 0..20).prop_map(move |frames| {
        let frames = frames.into_iter().map(|((first, mut payload), key)| {
            if first & 0x08 != 0 {
                payload.truncate(125);
            }
            frame(first, (role == Role::Server).then_some(key), &payload)
        });
        frames.flatten().collect()
    })
}

fn limits() -> Limits {
    Limits { message_size_max: 1_000, frame_size_max: 280, fragments_max: 6, ..Limits::default() }
}

/// The events and the bytes sent, when each of `cuts` ends a read. Nothing is sent between reads, so that
/// the answers to pings do not depend on the cuts.
fn run(role: Role, stream: &[u8], cuts: &[prop::sample::Index]) -> (Vec<Event>, Vec<u8>) {
    let mut peer = Peer::new(role, limits());
    let mut from = 0;
    for end in ends(cuts, stream.len()) {
        peer.read_only(&stream[from..end]);
        from = end;
    }
    peer.transmit();
    (peer.events, peer.out)
}

proptest! {
    #[test]
    fn any_split_gives_the_same_events(
        role in prop::sample::select(vec![Role::Server, Role::Client]),
        seed in any_stream(Role::Server),
        other in any_stream(Role::Client),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let stream = if role == Role::Server { seed } else { other };
        prop_assert_eq!(run(role, &stream, &cuts), run(role, &stream, &[]));
    }

    #[test]
    fn any_bytes_are_taken_without_a_panic(
        role in prop::sample::select(vec![Role::Server, Role::Client]),
        stream in proptest::collection::vec(any::<u8>(), 0..600),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        prop_assert_eq!(run(role, &stream, &cuts), run(role, &stream, &[]));
    }

    #[test]
    fn any_bytes_as_a_head(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>()) {
        let limits = HandshakeLimits::default();
        let head = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let at = at.index(head.len());
        for received in [bytes.clone(), [&head[..at], &bytes, &head[at..]].concat()] {
            if let Ok(Parsed::Complete { request, head_size }) = Request::parse(&received, &limits) {
                let _ = accept(&request, &AcceptOptions::default());
                prop_assert!(head_size <= received.len());
                prop_assert_eq!(HeadScan::default().find(&received, &limits), Ok(Some(head_size)));
            }
            let url = Url::parse("ws://h/").expect("a URL");
            let _ = ClientHandshake::new(&url, [0; 16]).receive(&received, &limits);
        }
    }

    /// Arbitrary bytes in the value of every header that a handshake reads.
    #[test]
    fn any_value_of_any_header(value in proptest::collection::vec(any::<u8>(), 0..60), which in 0usize..9) {
        let names = ["host", "upgrade", "connection", "sec-websocket-version", "sec-websocket-key",
            "sec-websocket-protocol", "sec-websocket-extensions", "origin", "content-length"];
        let usual: [&[u8]; 9] = [b"h", b"websocket", b"upgrade", b"13", b"dGhlIHNhbXBsZSBub25jZQ==", b"", b"", b"http://h", b"0"];
        let headers = names.iter().zip(usual).enumerate()
            .map(|(at, (name, usual))| (*name, if at == which { &value[..] } else { usual }));
        let request = Request::new("GET", "/", 1, headers);
        let _ = accept(&request, &AcceptOptions { subprotocols: vec!["a".into()], ..Default::default() });
    }

    #[test]
    fn any_text_as_a_url(url in "(ws|wss)?(://)?[a-z@:\\[\\]#?/ é0-9.]{0,20}") {
        if let Ok(parsed) = Url::parse(&url) {
            let request = ClientHandshake::new(&parsed, [0; 16]).request();
            let read = Request::parse(&request, &HandshakeLimits::default());
            let whole = matches!(read, Ok(Parsed::Complete { .. }));
            prop_assert!(whole, "{:?}", read);
        }
    }
}
