//! §8.1: text is UTF-8, checked as it arrives: across fragments, and inside frames that have not ended.

use trunkline_ws_proto::{MessageKind, ProtocolError, UsageError, unmasked};

use crate::wire::{Event, Peer, check, check_fails, masked, text};

const VALID: [&str; 8] = [
    "",
    "a",
    "κόσμε",
    "€",
    "𝄞🦀",
    "\u{0}\u{7f}\u{80}\u{7ff}\u{800}",
    "\u{d7ff}\u{e000}\u{fffd}",
    "\u{10ffff}",
];

const INVALID: [&[u8]; 12] = [
    b"\x80",
    b"\xc0\xaf",
    b"\xc1\xbf",
    b"\xe0\x80\xaf",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf0\x80\x80\xaf",
    b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfe",
    b"\xce\xba\xe1",
    b"\xf0\x9d\x84",
];

/// All ways to send `payload` as text in two fragments.
fn in_two(payload: &[u8]) -> impl Iterator<Item = [Vec<u8>; 2]> {
    (0..=payload.len()).map(move |cut| [masked(0x01, &payload[..cut]), masked(0x80, &payload[cut..])])
}

#[test]
fn valid_text_however_it_is_cut() {
    for valid in VALID {
        check(&[masked(0x81, valid.as_bytes())], &[text(valid)]);
        for frames in in_two(valid.as_bytes()) {
            check(&frames, &[text(valid)]);
        }
    }
}

#[test]
fn invalid_text_however_it_is_cut() {
    for invalid in INVALID {
        for prefix in ["", "κόσμε", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"] {
            let payload = [prefix.as_bytes(), invalid].concat();
            check_fails(&[masked(0x81, &payload)], ProtocolError::TextNotUtf8);
            for frames in in_two(&payload) {
                check_fails(&frames, ProtocolError::TextNotUtf8);
            }
        }
    }
}

/// The connection fails with the byte that is wrong, not with the end of the frame.
#[test]
fn fails_inside_an_unfinished_frame() {
    let payload = [b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5", &b"\xf4\x90\x80\x80edited"[..]].concat();
    let frame = masked(0x81, &payload);
    let header = frame.len() - payload.len();
    let mut peer = Peer::server();
    for (at, byte) in frame.iter().enumerate() {
        peer.read_only(&[*byte]);
        // F4 may begin a character, 90 may not follow it: the thirteenth byte of the payload.
        assert_eq!(peer.events.is_empty(), at < header + 12, "byte {at}");
    }
    assert_eq!(peer.events, [Event::Failed(ProtocolError::TextNotUtf8)]);
}

#[test]
fn binary_is_not_checked_and_the_next_text_starts_afresh() {
    check(
        &[masked(0x82, b"\xff"), masked(0x81, "é".as_bytes())],
        &[Event::Binary(b"\xff".into()), text("é")],
    );
}

#[test]
fn a_control_frame_inside_a_character() {
    let [first, last] = [masked(0x01, b"\xe2\x82"), masked(0x80, b"\xac")];
    check(&[first, masked(0x89, b"\xff"), last], &[Event::Ping(b"\xff".into()), text("€")]);
}

#[test]
fn our_own_text_is_held_to_the_same_rule() {
    let mut peer = Peer::server();
    let sent = peer.connection.send(MessageKind::Text, b"\xff", unmasked, &mut peer.out);
    assert_eq!(sent, Err(UsageError::TextNotUtf8));
    assert_eq!(peer.out, b"");
}
