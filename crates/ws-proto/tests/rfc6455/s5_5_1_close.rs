//! §5.5.1, §7.1 and §7.4: close frames and the closing handshake.

use trunkline_ws_proto::{CLOSE_REASON_MAX, CloseCode, CloseFrame, ProtocolError, UsageError, unmasked};

use crate::wire::{Event, Peer, bare, check, check_fails, closed, masked, reason, text};

#[test]
fn codes_allowed_on_the_wire() {
    let allowed = |code: u16| matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    for code in (0..1100).chain([1999, 2000, 2999, 3000, 3999, 4000, 4999, 5000, 65535]) {
        assert_eq!(CloseCode(code).is_allowed_on_wire(), allowed(code), "{code}");
        let frames = [masked(0x88, &reason(code, ""))];
        if allowed(code) {
            check(&frames, &[closed(code, "")]);
        } else {
            check_fails(&frames, ProtocolError::CloseCodeInvalid(code));
        }
    }
}

#[test]
fn payloads() {
    check(&[masked(0x88, b"")], &[closed(1005, "")]);
    check(&[masked(0x88, &reason(1000, "κόσμε"))], &[closed(1000, "κόσμε")]);
    let longest = "x".repeat(CLOSE_REASON_MAX);
    check(&[masked(0x88, &reason(4000, &longest))], &[closed(4000, &longest)]);
    check_fails(&[masked(0x88, &[3])], ProtocolError::ClosePayloadOfOneByte);
    for broken in [&b"\xff"[..], b"ok\xce", b"\xed\xa0\x80"] {
        let payload = [&1000u16.to_be_bytes(), broken].concat();
        check_fails(&[masked(0x88, &payload)], ProtocolError::CloseReasonNotUtf8);
    }
}

#[test]
fn the_peer_closes() {
    for payload in [Vec::new(), reason(1000, ""), reason(1001, "bye"), reason(4999, "κ")] {
        let mut peer = Peer::server();
        peer.read_only(&masked(0x88, &payload));
        assert!(!peer.connection.may_send() && !peer.connection.is_closed());
        peer.transmit();
        assert_eq!(peer.out, bare(0x88, &payload), "the echo");
        assert!(peer.connection.is_closed() && peer.connection.is_closed_cleanly());
        let seen = peer.connection.close_received().cloned();
        assert_eq!(seen, CloseFrame::decode(&payload).ok());
    }
}

#[test]
fn we_close() {
    let mut peer = Peer::server();
    peer.connection.close(CloseCode::GOING_AWAY, "restart", unmasked, &mut peer.out).expect("open");
    assert_eq!(peer.out, bare(0x88, &reason(1001, "restart")));
    assert!(!peer.connection.is_open() && !peer.connection.is_closed());
    // What was on its way is discarded, also a message that begins before and ends after.
    peer.read(&[masked(0x81, b"late"), masked(0x01, b"la"), masked(0x80, b"te")].concat());
    assert_eq!(peer.events, []);
    peer.read(&masked(0x88, &reason(1001, "")));
    assert_eq!(peer.events, [closed(1001, "")]);
    assert!(peer.connection.is_closed_cleanly());
    assert_eq!(peer.out, bare(0x88, &reason(1001, "restart")), "one close frame, no echo");
}

#[test]
fn nothing_counts_after_the_peers_close_frame() {
    let frames = [masked(0x81, b"a"), masked(0x88, b""), masked(0x81, b"b"), vec![0xFF; 100]];
    check(&frames, &[text("a"), closed(1005, "")]);
}

#[test]
fn a_close_frame_inside_a_fragmented_message() {
    check(&[masked(0x01, b"a"), masked(0x88, b"")], &[closed(1005, "")]);
}

#[test]
fn a_waiting_pong_leaves_before_the_close_frame() {
    let mut peer = Peer::server();
    peer.read_only(&masked(0x89, b"?"));
    peer.connection.close(CloseCode::NORMAL, "", unmasked, &mut peer.out).expect("open");
    assert_eq!(peer.out, [bare(0x8A, b"?"), bare(0x88, &reason(1000, ""))].concat());

    let mut peer = Peer::server();
    peer.read(&[masked(0x89, b"?"), masked(0x88, b"")].concat());
    assert_eq!(peer.out, [bare(0x8A, b"?"), bare(0x88, b"")].concat());
}

#[test]
fn both_close_at_once() {
    let mut peer = Peer::server();
    peer.connection.close(CloseCode::NORMAL, "", unmasked, &mut Vec::new()).expect("open");
    peer.read(&masked(0x88, &reason(3000, "mine")));
    assert_eq!(peer.events, [closed(3000, "mine")]);
    assert_eq!(peer.out, b"");
    assert!(peer.connection.is_closed_cleanly());
}

#[test]
fn what_we_may_not_close_with() {
    let mut peer = Peer::server();
    let mut close =
        |code: u16, reason: &str| peer.connection.close(code.into(), reason, unmasked, &mut peer.out);
    for code in [0, 999, 1004, 1006, 1015, 2999, 5000] {
        assert_eq!(close(code, ""), Err(UsageError::CloseCodeInvalid(code)));
    }
    assert_eq!(close(1000, &"x".repeat(124)), Err(UsageError::CloseReasonTooLong(124)));
    assert_eq!(close(1005, ""), Ok(()), "no code at all");
    assert_eq!(close(1000, ""), Err(UsageError::Closing), "once");
    assert_eq!(peer.out, bare(0x88, b""));
}

#[test]
fn nothing_is_sent_after_a_close_frame() {
    let ends: [fn(&mut Peer); 3] = [
        |peer| peer.connection.close(CloseCode::NORMAL, "", unmasked, &mut Vec::new()).expect("open"),
        |peer| peer.read_only(&masked(0x88, b"")),
        |peer| peer.read_only(&masked(0xFF, b"")),
    ];
    for end in ends {
        let mut peer = Peer::server();
        end(&mut peer);
        let (connection, out) = (&mut peer.connection, &mut peer.out);
        let prepared = trunkline_ws_proto::PreparedMessage::binary(b"x");
        for refused in [
            connection.send(trunkline_ws_proto::MessageKind::Text, b"x", unmasked, out),
            connection.send_prepared(&prepared, out),
            connection.ping(b"", unmasked, out),
            connection.close(CloseCode::NORMAL, "", unmasked, out),
        ] {
            assert_eq!(refused, Err(UsageError::Closing));
        }
        assert_eq!(peer.out, b"");
    }
}

#[test]
fn a_protocol_error_while_we_wait_for_the_close_frame() {
    let mut peer = Peer::server();
    peer.connection.close(CloseCode::NORMAL, "", unmasked, &mut Vec::new()).expect("open");
    peer.read(&masked(0x83, b""));
    assert_eq!(peer.events, [Event::Failed(ProtocolError::ReservedOpcode(3))]);
    assert_eq!(peer.out, b"", "our close frame is already out");
    assert!(peer.connection.is_closed() && !peer.connection.is_closed_cleanly());
}
