//! Where RSV1 may stand (§6, §7.2.3.1), and what a compressed message has to be.

use proptest::prelude::*;
use trunkline_ws_proto::{
    Connection, DeflateOptions, DeflateParams, DeflatePool, Limits, MessageKind, PreparedMessage,
    ProtocolError, Role, UsageError, unmasked,
};
use zlib_rs::DeflateFlush;

use crate::wire::{Event, KEY, Peer, TAKEOVER, binary, check, check_with, deflated, masked, noise, text};

const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

fn fails(frames: &[Vec<u8>], error: ProtocolError) {
    check(DeflateParams::default(), frames, &[Event::Failed(error)]);
}

#[test]
fn reserved_bits() {
    for first in [0xA1, 0x91, 0xE1, 0xD1, 0xF2, 0xC0, 0xC8, 0xC9, 0xCA, 0xC3] {
        fails(&[masked(first, &HELLO)], ProtocolError::ReservedBits);
    }
    fails(&[masked(0x41, &HELLO[..3]), masked(0xC0, &HELLO[3..])], ProtocolError::ReservedBits);
    fails(&[masked(0x01, b"He"), masked(0xC0, b"llo")], ProtocolError::ReservedBits);
}

#[test]
fn without_an_agreement_rsv1_is_reserved() {
    let mut connection = Connection::new(Role::Server, Limits::default()).with_deflate(None);
    let mut bytes = masked(0xC1, &HELLO);
    assert_eq!(connection.receive(&mut &mut bytes[..]), Err(ProtocolError::ReservedBits));
    let mut connection = Connection::new(Role::Server, Limits::default());
    let sent = connection.send_deflated(MessageKind::Text, &HELLO, true, unmasked, &mut Vec::new());
    assert_eq!(sent, Err(UsageError::CompressionNotAgreed));
    assert_eq!(connection.deflate(&mut DeflatePool::default(), &[b'x'; 1_000]), None);
}

#[test]
fn plain_and_compressed_messages_take_turns_and_control_frames_come_between() {
    let frames = [
        masked(0x81, b"plain"),
        masked(0x41, &HELLO[..1]),
        masked(0x89, b"ping"),
        masked(0x00, b""),
        masked(0x80, &HELLO[1..]),
        masked(0xC2, &HELLO),
        masked(0x82, &HELLO),
    ];
    let expect =
        [text("plain"), Event::Ping(b"ping".into()), text("Hello"), binary(b"Hello"), binary(&HELLO)];
    check(DeflateParams::default(), &frames, &expect);
}

#[test]
fn what_is_not_deflate() {
    for payload in [&b"\x06"[..], b"\xff\xff", b"Hello", b"\x00\x05\x00\x00\x00Hello"] {
        fails(&[masked(0xC2, payload)], ProtocolError::DeflateInvalid);
    }
    // Refers to a message before it, which without takeover there is none of.
    let second = masked(0xC1, &[0xf2, 0x00, 0x11, 0x00, 0x00]);
    let frames = [masked(0xC1, &HELLO), second];
    check(DeflateParams::default(), &frames, &[text("Hello"), Event::Failed(ProtocolError::DeflateInvalid)]);
}

/// Every cut of a compressed message is refused: it ends in a block, not between two.
#[test]
fn what_is_cut_off() {
    let payload = "the quick brown fox jumps over the lazy dog; ".repeat(5);
    for flush in [DeflateFlush::SyncFlush, DeflateFlush::Finish] {
        let whole = deflated(payload.as_bytes(), flush);
        for size in 1..whole.len() - 1 {
            fails(&[masked(0xC2, &whole[..size])], ProtocolError::DeflateInvalid);
        }
        check(DeflateParams::default(), &[masked(0xC1, &whole)], &[text(&payload)]);
    }
    // A stored block that swallows the tail and what ends the stream behind it.
    fails(&[masked(0xC2, &[0x00, 0x06, 0x00, 0xf9, 0xff])], ProtocolError::DeflateInvalid);
}

#[test]
fn final_blocks_in_the_middle_and_at_the_end() {
    let part = deflated(b"part ", DeflateFlush::Finish);
    let message = [&part[..], &part, &part, &[0x00]].concat();
    check(DeflateParams::default(), &[masked(0xC1, &message)], &[text("part part part ")]);
    // Without the empty block that should come behind it.
    check(DeflateParams::default(), &[masked(0xC1, &part)], &[text("part ")]);
}

#[test]
fn text_is_checked_after_inflation() {
    let invalid = deflated(b"a\xff", DeflateFlush::SyncFlush);
    fails(&[masked(0xC1, &invalid)], ProtocolError::TextNotUtf8);
    fails(
        &[masked(0xC1, &deflated("é".as_bytes()[..1].as_ref(), DeflateFlush::SyncFlush))],
        ProtocolError::TextNotUtf8,
    );
    check(DeflateParams::default(), &[masked(0xC2, &invalid)], &[binary(b"a\xff")]);
}

/// Of a long message what has come is checked, however much is still to come.
#[test]
fn text_fails_before_the_message_ends() {
    let mut noise: Vec<u8> = noise(200_000).iter().map(|byte| b' ' + byte % 95).collect();
    noise[10] = 0xFF;
    let compressed = deflated(&noise, DeflateFlush::SyncFlush);
    let mut peer = Peer::server(DeflateParams::default());
    peer.read(&masked(0x41, &compressed[..48_000]));
    assert_eq!(peer.events, [], "so far it is only held");
    peer.read(&masked(0x00, &compressed[48_000..96_000]));
    assert_eq!(peer.events, [Event::Failed(ProtocolError::TextNotUtf8)]);
}

#[test]
fn small_messages_and_messages_that_do_not_shrink_are_sent_as_they_are() {
    let mut pool = DeflatePool::new(DeflateOptions::default());
    let mut connection =
        Connection::new(Role::Server, Limits::default()).with_deflate(Some(DeflateParams::default()));
    let noise = noise(400);
    for (payload, compressed) in [(&[b'x'; 255][..], false), (&[b'x'; 256], true), (&noise, false)] {
        let mut out = Vec::new();
        connection.send_with(&mut pool, MessageKind::Binary, payload, unmasked, &mut out).expect("open");
        assert_eq!(out[0] & 0x40 != 0, compressed, "{} bytes", payload.len());
    }
}

/// A shell whose threads serve others bounds what is compressed at a time.
#[test]
fn messages_over_the_largest_size_are_sent_as_they_are() {
    let mut pool = DeflatePool::new(DeflateOptions { size_max: 1_000, ..DeflateOptions::default() });
    for (size, compressed) in [(255, false), (256, true), (1_000, true), (1_001, false)] {
        assert_eq!(pool.is_worthwhile(size), compressed, "{size} bytes");
        let mut server = Peer::server(DeflateParams::default());
        let payload = vec![b'x'; size];
        server
            .connection
            .send_with(&mut pool, MessageKind::Binary, &payload, unmasked, &mut server.out)
            .expect("open");
        assert_eq!(server.out[0] & 0x40 != 0, compressed, "{size} bytes");
        let frame = PreparedMessage::binary(&payload);
        assert_eq!(pool.deflate_frame(frame.frame(), 15).is_some(), compressed, "{size} bytes");
    }
}

#[test]
fn a_frame_is_compressed_for_a_window() {
    let mut pool = DeflatePool::default();
    let text = "Hello".repeat(100);
    for bits in 8..=15 {
        let params = DeflateParams { server_max_window_bits: bits, ..DeflateParams::default() };
        let mut client = Peer::new(Role::Client, params, Limits::default());
        assert_eq!(Peer::server(params).connection.shared_window(), Some(bits));
        client.read(&pool.deflate_frame(PreparedMessage::text(&text).frame(), bits).expect("it shrinks"));
        assert_eq!(client.events, [self::text(&text)], "{bits} bits");
    }
    assert_eq!(Peer::server(TAKEOVER).connection.shared_window(), None, "it depends on what was sent before");
    assert_eq!(Connection::new(Role::Server, Limits::default()).shared_window(), None);
    for no_frame in [&b""[..], b"\x81", b"\xF1\x00", &masked(0x81, &[b'x'; 500])] {
        assert_eq!(pool.deflate_frame(no_frame, 15), None);
    }
}

#[test]
fn fragments_carry_the_bit_once() {
    let mut pool = DeflatePool::default();
    let mut sender = Connection::new(Role::Client, Limits::default()).with_deflate(Some(TAKEOVER));
    let message = "0123456789".repeat(100);
    let deflated = sender.deflate(&mut pool, message.as_bytes()).expect("it shrinks").to_vec();
    let (mut out, mut firsts) = (Vec::new(), Vec::new());
    for (at, piece) in deflated.chunks(8).enumerate() {
        firsts.push(out.len());
        let last = (at + 1) * 8 >= deflated.len();
        sender.send_deflated(MessageKind::Text, piece, last, || KEY, &mut out).expect("open");
    }
    let bits: Vec<u8> = firsts.iter().map(|at| out[*at] & 0x70).collect();
    assert_eq!((bits[0], bits[1..].iter().max()), (0x40, Some(&0)));
    let mut receiver = Peer::server(TAKEOVER);
    receiver.read(&out);
    assert_eq!(receiver.events, [text(&message)]);
}

#[test]
fn a_prepared_message_is_compressed_once_for_each_window() {
    let prepared = PreparedMessage::text(&"Hello".repeat(100)).compressible();
    let (mut pool, clone) = (DeflatePool::default(), prepared.clone());
    let connection = |bits| {
        let params = DeflateParams { server_max_window_bits: bits, ..DeflateParams::default() };
        Connection::new(Role::Server, Limits::default()).with_deflate(Some(params))
    };
    let first = connection(15).prepared_frame(&mut pool, &prepared).clone();
    assert_eq!(first[0], 0xC1);
    // The same bytes in the same place, from a clone, and with another pool.
    let mut other = DeflatePool::default();
    assert_eq!(connection(15).prepared_frame(&mut other, &clone).as_ptr(), first.as_ptr());
    assert_ne!(connection(9).prepared_frame(&mut pool, &prepared).as_ptr(), first.as_ptr());
    // A compressor that remembers would not know of it.
    let takeover = Connection::new(Role::Server, Limits::default()).with_deflate(Some(TAKEOVER));
    assert_eq!(takeover.prepared_frame(&mut pool, &prepared), prepared.frame());
    let plain = Connection::new(Role::Server, Limits::default());
    assert_eq!(plain.prepared_frame(&mut pool, &prepared), prepared.frame());
    let not_asked_for = PreparedMessage::text(&"Hello".repeat(100));
    assert_eq!(connection(15).prepared_frame(&mut pool, &not_asked_for), not_asked_for.frame());

    for params in [DeflateParams::default(), TAKEOVER] {
        let mut server = Peer::server(params);
        for _ in 0..3 {
            let Peer { connection, pool, out, .. } = &mut server;
            connection.send_prepared_with(pool, &prepared, out).expect("open");
        }
        let mut client = Peer::new(Role::Client, params, Limits::default());
        client.read(&server.out);
        assert_eq!(client.events, vec![text(&"Hello".repeat(100)); 3]);
        assert!(server.out.len() < 100);
    }
}

/// What we send refers back no further than the window: noise that comes again behind it does not get smaller, noise
/// that comes again within it does. A window of 8 bits is not used at all.
#[test]
fn the_window_is_kept_to() {
    let word = noise(200);
    for bits in 8..=15u8 {
        let params = DeflateParams { server_max_window_bits: bits, ..TAKEOVER };
        let deflated = |gap: usize| {
            let message = [&word[..], &vec![0; gap], &word].concat();
            let Peer { mut connection, mut pool, .. } = Peer::server(params);
            pool.set_options(DeflateOptions { level: 9, size_min: 0, ..DeflateOptions::default() });
            connection.deflate(&mut pool, &message).expect("with takeover all is compressed").len()
        };
        let size = 1 << bits;
        assert!(deflated(size) > 400, "{bits} bits: {}", deflated(size));
        let near = if bits == 8 { 0 } else { size / 2 - 220 };
        assert_eq!(deflated(near) < 350, bits != 8, "{bits} bits: {}", deflated(near));
    }
}

#[test]
fn the_size_limit_counts_what_was_inflated() {
    let limits = Limits { message_size_max: 100_000, ..Limits::default() };
    for (size, fits) in [(99_999, true), (100_000, true), (100_001, false), (1 << 20, false)] {
        let payload = vec![b'x'; size];
        let compressed = deflated(&payload, DeflateFlush::SyncFlush);
        let expect = if fits { binary(&payload) } else { Event::Failed(ProtocolError::MessageTooBig) };
        check_with(DeflateParams::default(), &limits, &[masked(0xC2, &compressed)], &[expect]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever was agreed, what one end sends the other end gets, in any pieces.
    #[test]
    fn round_trips(
        flags in any::<(bool, bool)>(),
        bits in (8u8..=15, 8u8..=15),
        level in 1u8..=9,
        messages in proptest::collection::vec(("[a-e ]{0,20}", 1usize..2_000, any::<bool>()), 1..12),
        piece in 1usize..5_000,
        from_server in any::<bool>(),
    ) {
        let params = DeflateParams {
            server_no_context_takeover: flags.0,
            client_no_context_takeover: flags.1,
            server_max_window_bits: bits.0,
            client_max_window_bits: bits.1,
        };
        let (from, to) = if from_server { (Role::Server, Role::Client) } else { (Role::Client, Role::Server) };
        let mut sender = Peer::new(from, params, Limits::default());
        sender.pool.set_options(DeflateOptions { level, size_min: 0, ..DeflateOptions::default() });
        let mut receiver = Peer::new(to, params, Limits::default());
        let mut expect = Vec::new();
        for (word, times, varied) in messages {
            let noise = if varied { (0..times).map(|at| char::from(b'!' + (at * at % 91) as u8)).collect() } else { String::new() };
            let message = word.repeat(times) + &noise;
            sender.send(MessageKind::Text, message.as_bytes());
            expect.push(text(&message));
        }
        for piece in sender.out.chunks(piece) {
            receiver.read(piece);
        }
        prop_assert_eq!(receiver.events, expect);
    }
}
