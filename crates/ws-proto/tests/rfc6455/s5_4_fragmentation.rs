//! §5.4: messages in fragments, control frames between them.

use trunkline_ws_proto::{Connection, Limits, MessageKind, ProtocolError, Role, UsageError, unmasked};

use crate::wire::{Event, Peer, bare, binary, check, check_fails, masked, text};

#[test]
fn fragments_become_one_message() {
    let cases: [(&[(u8, &str)], Event); 6] = [
        (&[(0x01, "Hel"), (0x80, "lo")], text("Hello")),
        (&[(0x02, "Hel"), (0x80, "lo")], binary(b"Hello")),
        (&[(0x01, ""), (0x00, ""), (0x80, "")], text("")),
        (&[(0x01, ""), (0x00, "a"), (0x00, ""), (0x80, "")], text("a")),
        (&[(0x01, "a"), (0x00, "b"), (0x00, "c"), (0x80, "")], text("abc")),
        (&[(0x01, ""), (0x80, "z")], text("z")),
    ];
    for (fragments, expect) in cases {
        let frames: Vec<_> =
            fragments.iter().map(|(first, payload)| masked(*first, payload.as_bytes())).collect();
        check(&frames, &[expect]);
    }
}

#[test]
fn control_frames_pass_between_fragments() {
    check(
        &[masked(0x01, b"Hel"), masked(0x89, b"?"), masked(0x8A, b"!"), masked(0x80, b"lo")],
        &[Event::Ping(b"?".into()), Event::Pong(b"!".into()), text("Hello")],
    );
}

#[test]
fn one_message_at_a_time() {
    check_fails(&[masked(0x80, b"")], ProtocolError::ContinuationUnexpected);
    check_fails(&[masked(0x00, b"")], ProtocolError::ContinuationUnexpected);
    for first in [0x01, 0x02, 0x81, 0x82] {
        check_fails(&[masked(0x01, b"a"), masked(first, b"b")], ProtocolError::ContinuationExpected);
    }
    let after_the_end = [masked(0x01, b"a"), masked(0x80, b"b"), masked(0x80, b"c")];
    let mut peer = Peer::server();
    peer.read(&after_the_end.concat());
    assert_eq!(peer.events, [text("ab"), Event::Failed(ProtocolError::ContinuationUnexpected)]);
}

#[test]
fn many_messages_in_one_read() {
    let frames: Vec<_> = (0..100).map(|n| masked(0x81, n.to_string().as_bytes())).collect();
    let expect: Vec<_> = (0..100).map(|n| text(&n.to_string())).collect();
    check(&frames, &expect);
}

#[test]
fn sending_in_fragments() {
    let mut server = Connection::new(Role::Server, Limits::default());
    let mut out = Vec::new();
    server.send_fragment(MessageKind::Text, b"Hel", false, unmasked, &mut out).expect("open");
    server.ping(b"?", unmasked, &mut out).expect("control frames pass");
    for refused in [
        server.send(MessageKind::Text, b"x", unmasked, &mut out),
        server.send_fragment(MessageKind::Binary, b"x", true, unmasked, &mut out),
    ] {
        assert_eq!(refused, Err(UsageError::MessageUnderWay));
    }
    server.send_fragment(MessageKind::Text, b"lo", true, unmasked, &mut out).expect("open");
    server.send(MessageKind::Text, b"x", unmasked, &mut out).expect("the message is finished");
    assert_eq!(out, [bare(0x01, b"Hel"), bare(0x89, b"?"), bare(0x80, b"lo"), bare(0x81, b"x")].concat());
}

#[test]
fn a_pong_overtakes_the_fragments_of_a_big_message() {
    let mut peer = Peer::server();
    let mut out = Vec::new();
    peer.connection.send_fragment(MessageKind::Binary, b"1", false, unmasked, &mut out).expect("open");
    peer.read_only(&masked(0x89, b"now"));
    assert!(peer.connection.poll_transmit(unmasked, &mut out));
    peer.connection.send_fragment(MessageKind::Binary, b"2", true, unmasked, &mut out).expect("open");
    assert_eq!(out, [bare(0x02, b"1"), bare(0x8A, b"now"), bare(0x80, b"2")].concat());
}
