//! T9: little on the wire that wants to be much in memory. Everything is counted.

use allocation_counter::measure;
use trunkline_ws_proto::{DeflateParams, Limits, ProtocolError, Role};
use zlib_rs::{Deflate, DeflateFlush};

use crate::wire::{Event, Peer, TAKEOVER, check_with, deflated, masked, noise};

/// `size` zeros, compressed: about a thousandth of it.
fn zeros(size: usize) -> Vec<u8> {
    deflated(&vec![0; size], DeflateFlush::SyncFlush)
}

/// What a fresh server makes of `frames`, and the most memory that it held above what came.
fn run(limits: &Limits, params: DeflateParams, frames: &[Vec<u8>]) -> (Option<Event>, u64) {
    let mut peer = Peer::new(Role::Server, params, limits.clone());
    peer.events.reserve(frames.len() + 1);
    let info = measure(|| {
        for frame in frames {
            peer.read(frame);
        }
    });
    let read = frames.iter().map(Vec::len).max().unwrap_or(0) as u64;
    (peer.events.pop(), info.bytes_max.saturating_sub(read))
}

/// An inflater, a step, and the message while it grows: for a moment its old memory and its new one.
fn budget(limits: &Limits) -> u64 {
    (2 * limits.message_size_max + (80 << 10)) as u64
}

#[test]
fn t09_one_frame() {
    let limits = Limits { message_size_max: 1 << 20, ..Limits::default() };
    for params in [DeflateParams::default(), TAKEOVER] {
        let (event, held) = run(&limits, params, &[masked(0xC2, &zeros(64 << 20))]);
        assert_eq!(event, Some(Event::Failed(ProtocolError::MessageTooBig)));
        assert!(held < budget(&limits), "{held}");
    }
}

#[test]
fn t09_many_fragments() {
    let limits = Limits { message_size_max: 1 << 20, ..Limits::default() };
    let bomb = zeros(64 << 20);
    let mut frames: Vec<_> = bomb.chunks(10).map(|piece| masked(0x00, piece)).collect();
    frames[0] = masked(0x42, &bomb[..10]);
    let (event, held) = run(&limits, DeflateParams::default(), &frames);
    assert_eq!(event, Some(Event::Failed(ProtocolError::MessageTooBig)));
    assert!(held < budget(&limits), "{held}");
}

/// All of it is short enough to be held until the message ends, and comes out at once then.
#[test]
fn t09_at_the_last_flush() {
    let limits = Limits { message_size_max: 1 << 20, ..Limits::default() };
    let bomb = zeros(3 << 20);
    assert!(bomb.len() < 4_096);
    let frames = [masked(0x42, &bomb), masked(0x80, b"")];
    let (event, held) = run(&limits, DeflateParams::default(), &frames);
    assert_eq!(event, Some(Event::Failed(ProtocolError::MessageTooBig)));
    assert!(held < budget(&limits), "{held}");
}

#[test]
fn t09_behind_final_blocks() {
    let limits = Limits { message_size_max: 1 << 20, ..Limits::default() };
    let part = deflated(&[0; 10_000], DeflateFlush::Finish);
    let (event, held) = run(&limits, TAKEOVER, &[masked(0xC2, &part.repeat(10_000))]);
    assert_eq!(event, Some(Event::Failed(ProtocolError::MessageTooBig)));
    assert!(held < budget(&limits), "{held}");
}

/// A million final blocks with nothing in them, and a million empty stored ones: no memory, and an end.
#[test]
fn t09_empty_blocks() {
    let limits = Limits::default();
    for block in [&[0x03, 0x00][..], &[0x00, 0x00, 0x00, 0xff, 0xff]] {
        let payload = [&block.repeat(1 << 20)[..], &[0x00]].concat();
        let (event, held) = run(&limits, DeflateParams::default(), &[masked(0xC2, &payload)]);
        assert_eq!(event, Some(crate::wire::binary(b"")));
        assert!(held < (80 << 10), "{held}");
    }
}

#[test]
fn t09_the_ratio_decides_before_the_size_does() {
    let limits = Limits { inflation_ratio_from: 100_000, inflation_ratio_max: 100, ..Limits::default() };
    let fails = [Event::Failed(ProtocolError::InflationRatio)];
    check_with(DeflateParams::default(), &limits, &[masked(0xC2, &zeros(8 << 20))], &fails);
    let (_, held) = run(&limits, DeflateParams::default(), &[masked(0xC2, &zeros(8 << 20))]);
    assert!(held < (400 << 10), "{held}");
    let small = [masked(0xC2, &zeros(100_000))];
    check_with(DeflateParams::default(), &limits, &small, &[crate::wire::binary(&[0; 100_000])]);
    assert_eq!(ProtocolError::InflationRatio.close_code().0, 1009);
    assert_eq!(ProtocolError::MessageTooBig.close_code().0, 1009);
}

/// Text that is wrong before it is too much fails as wrong, also where both come out in one step.
#[test]
fn the_first_fault_decides() {
    let limits = Limits { message_size_max: 8_000, ..Limits::default() };
    let mut payload = noise(20_000);
    payload.iter_mut().for_each(|byte| *byte &= 0x7F);
    payload[7_000] = 0xFF;
    let frame = masked(0xC1, &deflated(&payload[..8_200], DeflateFlush::SyncFlush));
    check_with(DeflateParams::default(), &limits, &[frame], &[Event::Failed(ProtocolError::TextNotUtf8)]);
    payload[7_000] = b'x';
    payload[8_001] = 0xFF;
    let frame = masked(0xC1, &deflated(&payload[..8_200], DeflateFlush::SyncFlush));
    check_with(DeflateParams::default(), &limits, &[frame], &[Event::Failed(ProtocolError::MessageTooBig)]);
}

/// The default lets 1 MiB of zeros through, and not 8 MiB.
#[test]
fn t09_the_default_ratio() {
    let expect = |size: usize| {
        let (event, _) = run(&Limits::default(), DeflateParams::default(), &[masked(0xC2, &zeros(size))]);
        event
    };
    assert_eq!(expect(1 << 20), Some(crate::wire::binary(&vec![0; 1 << 20])));
    assert_eq!(expect(8 << 20), Some(Event::Failed(ProtocolError::InflationRatio)));
}

/// Messages that are never finished: little is kept for those who have sent little.
#[test]
fn t09_unfinished_messages_hold_no_inflater() {
    let mut peer = Peer::server(TAKEOVER);
    let start = masked(0x42, &zeros(1 << 20)[..100]);
    let info = measure(|| peer.read(&start));
    assert!(info.bytes_max < 1_000, "{info:?}");
    assert!(peer.connection.buffered() < 1_000);
    // Nor do more than twice of what they have sent, however much that is.
    let compressed = deflated(&crate::wire::noise(400_000), DeflateFlush::SyncFlush);
    for sent in [5_000, 20_000, 45_000, 60_000, 300_000] {
        let mut peer = Peer::server(TAKEOVER);
        peer.read(&masked(0x42, &compressed[..sent]));
        assert!(peer.connection.buffered() <= 2 * sent + 1_000, "{} of {sent}", peer.connection.buffered());
    }
}

/// A stream that is valid so far and never ends.
#[test]
fn t09_an_endless_message_of_empty_flushes() {
    let mut state = Deflate::new(6, false, 15);
    let mut start = [0; 100];
    state.compress(b"x", &mut start, DeflateFlush::SyncFlush).expect("a valid state");
    let mut peer = Peer::server(DeflateParams::default());
    peer.read(&masked(0x42, &start[..state.total_out() as usize]));
    let empty = masked(0x00, &[0x00, 0x00, 0x00, 0xff, 0xff].repeat(1_000));
    for _ in 0..3_000 {
        peer.read(&empty);
    }
    assert!(peer.connection.buffered() < (60 << 10), "{}", peer.connection.buffered());
    for _ in 0..1_000 {
        peer.read(&empty);
    }
    assert_eq!(peer.events, [Event::Failed(ProtocolError::MessageTooBig)]);
}
