//! Compressed messages taken in chunks: the same bytes as whole ones, and the limits that still hold.

use allocation_counter::measure;
use proptest::prelude::*;
use trunkline_ws_proto::{DeflateParams, IncomingChunk, Limits, MessageKind, ProtocolError, Role};
use zlib_rs::DeflateFlush;

use crate::arbitrary::any_message;
use crate::cuts::ends;
use crate::wire::{Event, Peer, TAKEOVER, deflated, masked, noise};

/// A peer that takes chunks and puts them together again.
struct Reader {
    peer: Peer,
    message: Vec<u8>,
    chunk_max: usize,
}

impl Reader {
    fn new(params: DeflateParams, limits: Limits) -> Self {
        Self { peer: Peer::new(Role::Server, params, limits), message: Vec::new(), chunk_max: 0 }
    }

    fn read(&mut self, bytes: &[u8]) {
        let mut buffer = bytes.to_vec();
        let mut input = &mut buffer[..];
        loop {
            match self.peer.connection.receive_chunk_with(&mut self.peer.pool, &mut input) {
                Ok(None) => break,
                Ok(Some(IncomingChunk::Chunk { kind, payload, last })) => {
                    self.chunk_max = self.chunk_max.max(payload.len());
                    self.message.extend_from_slice(&payload);
                    if last {
                        self.peer.events.push(Event::Message(kind, std::mem::take(&mut self.message)));
                    }
                }
                Ok(Some(IncomingChunk::Ping(payload))) => {
                    self.peer.events.push(Event::Ping(payload.into_vec()));
                }
                Ok(Some(IncomingChunk::Pong(payload))) => {
                    self.peer.events.push(Event::Pong(payload.into_vec()));
                }
                Ok(Some(IncomingChunk::Close(frame))) => self.peer.events.push(Event::Close(frame.code.0)),
                Err(error) => self.peer.events.push(Event::Failed(error)),
            }
        }
        assert!(input.is_empty(), "`None` means that all was used");
    }
}

proptest! {
    #[test]
    fn chunks_are_what_the_message_would_be(
        params in prop::sample::select(vec![DeflateParams::default(), TAKEOVER]),
        messages in proptest::collection::vec(any_message(), 1..6),
        whole_until in any::<prop::sample::Index>(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let stream = messages.concat();
        let mut whole = Peer::new(Role::Server, params, Limits::default());
        whole.read(&stream);
        let mut reader = Reader::new(params, Limits::default());
        let first = whole_until.index(stream.len() + 1);
        reader.peer.read(&stream[..first]);
        let mut from = first;
        for end in ends(&cuts, stream.len() - first) {
            reader.read(&stream[from..first + end]);
            from = first + end;
        }
        // What is held until it is whole is judged later, so that pings may come before the verdict.
        let chunks = reader.peer.events;
        let (last, before) = chunks.split_last().map_or((None, &[][..]), |(last, before)| (Some(last), before));
        prop_assert_eq!(last, whole.events.last());
        if matches!(last, Some(Event::Failed(_))) {
            prop_assert!(whole.events.starts_with(before));
        } else {
            prop_assert_eq!(chunks, whole.events);
        }
    }

    /// With context takeover also what is skipped counts: the next message may refer to it.
    #[test]
    fn the_rest_of_a_message_begun_in_chunks_is_skipped(
        params in prop::sample::select(vec![DeflateParams::default(), TAKEOVER]),
        words in "[a-d]{1,8}",
        cut in any::<prop::sample::Index>(),
    ) {
        let mut sender = Peer::new(Role::Client, params, Limits::default());
        sender.send(MessageKind::Text, words.repeat(3_000).as_bytes());
        let first = sender.out.len();
        sender.send(MessageKind::Text, words.repeat(3_000).as_bytes());
        let cut = cut.index(first);
        let mut reader = Reader::new(params, Limits::default());
        reader.read(&sender.out[..cut]);
        let begun = !reader.message.is_empty();
        reader.peer.read(&sender.out[cut..]);
        let message = crate::wire::text(&words.repeat(3_000));
        prop_assert_eq!(reader.peer.events, if begun { vec![message] } else { vec![message.clone(), message] });
    }
}

/// The size of the message has no limit, but what a chunk may hold has, and so has the ratio.
#[test]
fn t09_a_huge_message_comes_in_chunks_that_are_bounded() {
    let limits = Limits { message_size_max: 1 << 20, frame_size_max: 1 << 20, ..Limits::default() };
    let payload = [noise(3 << 20), vec![0; 900 << 10], noise(3 << 20)].concat();
    let mut reader = Reader::new(DeflateParams::default(), limits);
    reader.read(&masked(0xC2, &deflated(&payload, DeflateFlush::SyncFlush)));
    assert_eq!(reader.peer.events, [crate::wire::binary(&payload)]);
    assert!(reader.chunk_max <= 4 << 20, "{}", reader.chunk_max);
}

/// Noise first, so that the ratio allows whatever follows.
#[test]
fn t09_no_chunk_is_over_four_mebibytes() {
    let payload = [noise(1 << 20), vec![0; 16 << 20]].concat();
    let mut reader = Reader::new(DeflateParams::default(), Limits::default());
    reader.read(&masked(0xC2, &deflated(&payload, DeflateFlush::SyncFlush)));
    assert_eq!(reader.peer.events, [crate::wire::binary(&payload)]);
    assert!(reader.chunk_max <= 4 << 20, "{}", reader.chunk_max);
}

#[test]
fn t09_a_bomb_in_chunks_is_stopped_by_its_ratio() {
    let bomb = masked(0xC2, &deflated(&vec![0; 256 << 20], DeflateFlush::SyncFlush));
    let mut reader = Reader::new(DeflateParams::default(), Limits::default());
    reader.message.reserve(16 << 20);
    let mut held = 0;
    for piece in bomb.chunks(64 << 10) {
        held = held.max(measure(|| reader.read(piece)).bytes_max);
    }
    assert_eq!(reader.peer.events, [Event::Failed(ProtocolError::InflationRatio)]);
    assert!(held < 10 << 20, "{held}");
}
