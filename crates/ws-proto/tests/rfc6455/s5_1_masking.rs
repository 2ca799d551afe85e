//! §5.1 and §5.3: who masks, and how.

use proptest::prelude::*;
use trunkline_ws_proto::{
    Connection, Limits, MessageKind, PreparedMessage, ProtocolError, Role, UsageError, apply_mask, unmasked,
};

use crate::wire::{KEY, bare, check, check_fails, check_fails_with, check_with, masked, text};

#[test]
fn the_mask_matrix_of_both_roles() {
    for first in [0x81, 0x82, 0x88, 0x89, 0x8A] {
        check_fails(&[bare(first, b"")], ProtocolError::MaskMissing);
        check_fails_with(
            Role::Client,
            &Limits::default(),
            &[masked(first, b"")],
            ProtocolError::MaskUnexpected,
        );
    }
    check(&[masked(0x81, b"Hello")], &[text("Hello")]);
    check_with(Role::Client, &Limits::default(), &[bare(0x81, b"Hello")], &[text("Hello")]);
}

#[test]
fn the_example_of_section_5_7() {
    let frame = vec![0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    check(&[frame], &[text("Hello")]);
}

#[test]
fn a_server_sends_bare_and_a_client_masked() {
    let mut out = Vec::new();
    let mut server = Connection::new(Role::Server, Limits::default());
    server.send(MessageKind::Text, b"Hello", unmasked, &mut out).expect("open");
    assert_eq!(out, bare(0x81, b"Hello"));

    out.clear();
    let mut client = Connection::new(Role::Client, Limits::default());
    client.send(MessageKind::Text, b"Hello", || KEY, &mut out).expect("open");
    client.ping(b"p", || KEY, &mut out).expect("open");
    client.close(1000.into(), "", || KEY, &mut out).expect("open");
    let expect = [masked(0x81, b"Hello"), masked(0x89, b"p"), masked(0x88, &[3, 232])].concat();
    assert_eq!(out, expect);
}

#[test]
fn each_frame_asks_for_a_key_of_its_own() {
    let mut keys = 0u32;
    let mut out = Vec::new();
    let mut client = Connection::new(Role::Client, Limits::default());
    for _ in 0..3 {
        let key = || {
            keys += 1;
            keys.to_be_bytes()
        };
        client.send(MessageKind::Binary, b"", key, &mut out).expect("open");
    }
    assert_eq!(out, b"\x82\x80\0\0\0\x01\x82\x80\0\0\0\x02\x82\x80\0\0\0\x03");
}

#[test]
fn a_client_cannot_send_what_was_framed_without_a_mask() {
    let mut client = Connection::new(Role::Client, Limits::default());
    let sent = client.send_prepared(&PreparedMessage::text("Hello"), &mut Vec::new());
    assert_eq!(sent, Err(UsageError::UnmaskedByClient));
}

proptest! {
    /// Masking in any pieces is the byte-wise rule of §5.3, whatever the alignment.
    #[test]
    fn masking_in_pieces_is_the_rule_of_the_rfc(
        payload in proptest::collection::vec(any::<u8>(), 0..200),
        key in any::<[u8; 4]>(),
        cut in 0usize..200,
    ) {
        let expect: Vec<u8> = payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();
        let mut masked = payload.clone();
        let cut = cut.min(masked.len());
        let (front, back) = masked.split_at_mut(cut);
        let next = apply_mask(front, key);
        let _ = apply_mask(back, next);
        prop_assert_eq!(masked, expect);
    }
}
