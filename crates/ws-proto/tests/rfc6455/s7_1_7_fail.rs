//! §7.1.7: failing the connection. Each error has its code; the close frame is queued once and nothing is read after.

use trunkline_ws_proto::{Limits, ProtocolError, Role};

use crate::wire::{Event, Peer, check, masked, text};

#[test]
fn each_error_has_its_code_and_its_words_fit_a_close_frame() {
    use ProtocolError::*;
    for (error, code) in [
        (ReservedBits, 1002),
        (ReservedOpcode(15), 1002),
        (MaskMissing, 1002),
        (MaskUnexpected, 1002),
        (ControlFragmented, 1002),
        (ControlTooLong, 1002),
        (LengthNotMinimal, 1002),
        (LengthHighBit, 1002),
        (ContinuationUnexpected, 1002),
        (ContinuationExpected, 1002),
        (ClosePayloadOfOneByte, 1002),
        (CloseCodeInvalid(65535), 1002),
        (TextNotUtf8, 1007),
        (CloseReasonNotUtf8, 1007),
        (FragmentsTooMany, 1008),
        (FrameTooBig, 1009),
        (MessageTooBig, 1009),
    ] {
        assert_eq!(error.close_code().0, code, "{error}");
        assert!(error.to_string().len() <= trunkline_ws_proto::CLOSE_REASON_MAX, "{error}");
    }
}

#[test]
fn what_came_before_counts_and_what_comes_after_does_not() {
    check(
        &[masked(0x81, b"good"), masked(0x83, b""), masked(0x81, b"late"), masked(0x88, b"")],
        &[text("good"), Event::Failed(ProtocolError::ReservedOpcode(3))],
    );
}

#[test]
fn the_close_frame_is_sent_once() {
    let mut peer = Peer::server();
    peer.read(&masked(0x83, b""));
    let sent = peer.out.clone();
    peer.read(&masked(0x83, b""));
    peer.read(&masked(0x89, b""));
    assert_eq!(peer.out, sent);
    assert_eq!(peer.events.len(), 1);
    assert_eq!(peer.connection.failure(), Some(ProtocolError::ReservedOpcode(3)));
}

#[test]
fn what_was_assembled_is_freed() {
    let mut peer = Peer::new(Role::Server, Limits::default());
    peer.read(&masked(0x02, &[0; 10_000]));
    assert!(peer.connection.buffered() >= 10_000);
    peer.read(&masked(0x81, b""));
    assert_eq!(peer.connection.buffered(), 0);
}
