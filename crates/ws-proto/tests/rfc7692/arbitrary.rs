//! Any bytes in any pieces on a compressed line: no panic, and the pieces make no difference.

use proptest::prelude::*;
use trunkline_ws_proto::handshake::{answer_deflate, confirm_deflate};
use trunkline_ws_proto::{DeflateParams, Limits, Role};
use zlib_rs::DeflateFlush;

use crate::cuts::ends;
use crate::wire::{Event, Peer, TAKEOVER, deflated, masked};

/// A payload that is DEFLATE, almost DEFLATE, or not.
fn any_payload() -> impl Strategy<Value = Vec<u8>> {
    let words = "[a-d]{1,8}".prop_flat_map(|word| (Just(word), 1usize..3_000));
    let compressed =
        words.prop_map(|(word, times)| deflated(word.repeat(times).as_bytes(), DeflateFlush::SyncFlush));
    let noise = proptest::collection::vec(any::<u8>(), 0..9_000)
        .prop_map(|noise| deflated(&noise, DeflateFlush::SyncFlush));
    let broken =
        (compressed.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut bytes, at, byte)| {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes
        });
    prop_oneof![
        6 => compressed,
        2 => noise,
        1 => broken,
        1 => proptest::collection::vec(any::<u8>(), 0..300),
    ]
}

/// A message in a few fragments, sometimes with a ping between them.
pub(crate) fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(vec![0x41u8, 0x42, 0x42, 0x01]);
    (kind, any_payload(), 1usize..6, any::<bool>()).prop_map(|(first, payload, parts, ping)| {
        let size = payload.len().div_ceil(parts).max(1);
        let mut bytes = Vec::new();
        let last = payload.len().div_ceil(size).max(1) - 1;
        for at in 0..=last {
            let piece = payload.chunks(size).nth(at).unwrap_or_default();
            let start = if at == 0 { first } else { 0x00 };
            bytes.extend(masked(start | if at == last { 0x80 } else { 0 }, piece));
            if ping && at < last {
                bytes.extend(masked(0x89, b"?"));
            }
        }
        bytes
    })
}

fn run(params: DeflateParams, stream: &[u8], cuts: &[prop::sample::Index]) -> Vec<Event> {
    let limits = Limits { message_size_max: 16_000, ..Limits::default() };
    let mut peer = Peer::new(Role::Server, params, limits);
    let mut from = 0;
    for end in ends(cuts, stream.len()) {
        peer.read(&stream[from..end]);
        from = end;
    }
    peer.events
}

proptest! {
    #[test]
    fn any_split_gives_the_same_events(
        params in prop::sample::select(vec![DeflateParams::default(), TAKEOVER]),
        messages in proptest::collection::vec(any_message(), 1..6),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let stream = messages.concat();
        prop_assert_eq!(run(params, &stream, &cuts), run(params, &stream, &[]));
    }

    #[test]
    fn any_bytes_in_a_compressed_frame(payload in proptest::collection::vec(any::<u8>(), 0..600), cut in any::<prop::sample::Index>()) {
        for first in [0xC1, 0xC2] {
            let frame = masked(first, &payload);
            prop_assert_eq!(run(TAKEOVER, &frame, &[cut]), run(TAKEOVER, &frame, &[]));
        }
    }

    #[test]
    fn any_extension_header(value in "(permessage-deflate|[a-z;=, \"\\\\0-9_]|server_max_window_bits|client_max_window_bits|=1[0-9]){0,12}") {
        for wish in [DeflateParams::default(), TAKEOVER] {
            let answer = answer_deflate([value.as_bytes()], wish);
            let _ = confirm_deflate([value.as_bytes()], Some(wish));
            if let Ok(Some((params, header))) = answer {
                prop_assert!((8..=15).contains(&params.server_max_window_bits));
                prop_assert!((8..=15).contains(&params.client_max_window_bits));
                prop_assert!(header.starts_with("permessage-deflate"));
            }
        }
    }
}
