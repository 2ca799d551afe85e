//! The byte sequences of RFC 7692 §7.2.3, which every implementation has to read.

use trunkline_ws_proto::{DeflateParams, Limits, MessageKind, Role};

use crate::wire::{Peer, TAKEOVER, check, masked, text};

#[test]
fn a_message_compressed_using_one_block() {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    check(DeflateParams::default(), &[masked(0xC1, &hello)], &[text("Hello")]);
    let fragments = [masked(0x41, &hello[..3]), masked(0x80, &hello[3..])];
    check(DeflateParams::default(), &fragments, &[text("Hello")]);
}

#[test]
fn sharing_the_window() {
    let first = masked(0xC1, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    let second = masked(0xC1, &[0xf2, 0x00, 0x11, 0x00, 0x00]);
    check(TAKEOVER, &[first, second], &[text("Hello"), text("Hello")]);
}

#[test]
fn a_block_without_compression() {
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    check(DeflateParams::default(), &[masked(0xC1, &stored)], &[text("Hello")]);
}

#[test]
fn a_block_with_bfinal_set() {
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    check(DeflateParams::default(), &[masked(0xC1, &last)], &[text("Hello")]);
    let last = masked(0xC1, &last);
    check(TAKEOVER, &[last.clone(), last], &[text("Hello"), text("Hello")]);
}

#[test]
fn two_blocks_in_one_message() {
    let blocks = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    check(DeflateParams::default(), &[masked(0xC1, &blocks)], &[text("Hello")]);
}

/// §7.2.3.6; and no byte at all, which is what some senders make of an empty message.
#[test]
fn an_empty_message() {
    check(DeflateParams::default(), &[masked(0xC1, &[0x00])], &[text("")]);
    check(DeflateParams::default(), &[masked(0xC1, &[])], &[text("")]);
    check(TAKEOVER, &[masked(0xC1, &[0x02, 0x00]), masked(0xC1, &[])], &[text(""), text("")]);
}

#[test]
fn what_we_send_is_the_first_example() {
    let mut peer = Peer::new(Role::Server, TAKEOVER, Limits::default());
    peer.send(MessageKind::Text, b"Hello");
    peer.send(MessageKind::Text, b"Hello");
    assert_eq!(peer.out[..9], [0xC1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    assert!(peer.out[9..].len() < 9, "the second refers to the first: {:02x?}", &peer.out[9..]);
    let mut client = Peer::new(Role::Client, TAKEOVER, Limits::default());
    client.read(&peer.out);
    assert_eq!(client.events, [text("Hello"), text("Hello")]);
}
