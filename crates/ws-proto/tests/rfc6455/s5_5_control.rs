//! §5.5, §5.5.2 and §5.5.3: control frames, pings and pongs. Close frames are in `s5_5_1_close`.

use trunkline_ws_proto::{Connection, Limits, ProtocolError, Role, UsageError, unmasked};

use crate::wire::{Event, KEY, Peer, bare, check, check_fails, masked};

#[test]
fn short_and_in_one_frame() {
    for first in [0x88, 0x89, 0x8A] {
        check_fails(&[masked(first, &[b'x'; 126])], ProtocolError::ControlTooLong);
        check_fails(&[masked(first & 0x0F, b"")], ProtocolError::ControlFragmented);
    }
    check(&[masked(0x89, &[7; 125])], &[Event::Ping(vec![7; 125])]);
    check(&[masked(0x8A, b"")], &[Event::Pong(Vec::new())]);
}

#[test]
fn a_ping_is_answered_with_its_payload() {
    for payload in [&b""[..], b"x", &[0xFF; 125]] {
        let mut peer = Peer::server();
        peer.read(&masked(0x89, payload));
        assert_eq!(peer.out, bare(0x8A, payload));
        assert!(!peer.connection.wants_transmit());
    }
    let mut client = Peer::client();
    client.read(&bare(0x89, b"x"));
    assert_eq!(client.out, masked(0x8A, b"x"));
}

#[test]
fn a_flood_of_pings_leaves_one_pong_the_newest() {
    let mut peer = Peer::server();
    for n in 0..10_000u32 {
        peer.read_only(&masked(0x89, &n.to_be_bytes()));
    }
    peer.transmit();
    assert_eq!(peer.out, bare(0x8A, &9_999u32.to_be_bytes()));
}

#[test]
fn a_pong_is_never_answered() {
    let mut peer = Peer::server();
    peer.read(&masked(0x8A, b"unasked"));
    assert_eq!(peer.out, b"");
    assert!(peer.connection.is_open());
}

#[test]
fn our_own_pings_are_held_to_the_same_length() {
    let mut client = Connection::new(Role::Client, Limits::default());
    let mut out = Vec::new();
    assert_eq!(client.ping(&[0; 126], || KEY, &mut out), Err(UsageError::ControlTooLong(126)));
    assert_eq!(client.ping(&[0; 125], || KEY, &mut out), Ok(()));
    assert_eq!(out, masked(0x89, &[0; 125]));
}

#[test]
fn no_pong_after_our_close_frame() {
    let mut peer = Peer::server();
    peer.connection.close(1000.into(), "", unmasked, &mut Vec::new()).expect("open");
    peer.read(&masked(0x89, b"?"));
    assert_eq!(peer.events, [Event::Ping(b"?".into())]);
    assert_eq!(peer.out, b"");
}
