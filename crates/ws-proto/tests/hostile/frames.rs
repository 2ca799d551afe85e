//! Hostile frames: claims, floods, crossings, masks. Both roles, whole and byte by byte.

use allocation_counter::{AllocationInfo, measure};
use trunkline_ws_proto::{
    Connection, Decoder, DeflateParams, DeflatePool, Header, Incoming, IncomingChunk, Limits, MessageKind,
    Opcode, ProtocolError, Role, unmasked,
};

use crate::wire::{Event, KEY, Peer, frame, reason};

const ROLES: [Role; 2] = [Role::Server, Role::Client];

/// What the peer of `role` masks with.
fn key(role: Role) -> Option<[u8; 4]> {
    (role == Role::Server).then_some(KEY)
}

/// A header that claims `len` bytes; a key of zeros leaves what follows as it is.
fn claim(role: Role, first: u8, len: u64) -> Vec<u8> {
    let bit = if role == Role::Server { 0x80 } else { 0 };
    let key: &[u8] = if role == Role::Server { &[0; 4] } else { &[] };
    [&[first, bit | 127][..], &len.to_be_bytes(), key].concat()
}

fn unlimited() -> Limits {
    Limits { message_size_max: usize::MAX, frame_size_max: usize::MAX, ..Limits::default() }
}

/// Receives everything and drops it.
fn swallow(connection: &mut Connection, bytes: &mut [u8]) -> AllocationInfo {
    measure(|| {
        let mut input = bytes;
        while let Ok(Some(_)) = connection.receive(&mut input) {}
    })
}

/// A message is the bytes that came and nothing else, wherever the reads end and whatever lies behind them.
#[test]
fn t01_only_what_was_received_comes_out() {
    for role in ROLES {
        let payload: Vec<u8> = (1..=100).collect();
        let frames =
            [frame(0x02, key(role), &payload), frame(0x00, key(role), b""), frame(0x80, key(role), &payload)];
        let (stream, expect) = (frames.concat(), [&payload[..], &payload].concat());
        for size in 1..=stream.len() {
            let mut connection = Connection::new(role, Limits::default());
            let mut buffer = [0xAA; 512];
            let mut messages = Vec::new();
            for piece in stream.chunks(size) {
                buffer.fill(0xAA);
                buffer[..piece.len()].copy_from_slice(piece);
                let mut input = &mut buffer[..piece.len()];
                while let Ok(Some(Incoming::Message { payload, .. })) = connection.receive(&mut input) {
                    messages.push(payload.into_vec());
                }
                assert!(
                    buffer[piece.len()..].iter().all(|byte| *byte == 0xAA),
                    "nothing is written behind a read"
                );
            }
            assert_eq!(messages, [&expect[..]]);
        }
    }
}

#[test]
fn t05_ten_million_empty_continuations() {
    for role in ROLES {
        let mut peer = Peer::new(role, Limits::default());
        let cap = Limits::default().fragments_max as usize;
        let empty = frame(0x00, key(role), b"").repeat(1_000);
        peer.read_only(&frame(0x02, key(role), b""));
        let mut buffer = empty.clone();
        let mut begun = 1;
        let info = measure(|| {
            for _ in 0..10_000 {
                buffer.copy_from_slice(&empty);
                let mut input = &mut buffer[..];
                let received = peer.connection.receive(&mut input);
                begun += 1_000;
                assert_eq!(received.is_err(), begun > cap && begun <= cap + 1_000, "after {begun} fragments");
            }
        });
        assert!(info.bytes_max < 500, "{info:?}");
        assert_eq!(peer.connection.failure(), Some(ProtocolError::FragmentsTooMany));
        peer.transmit();
        let words = ProtocolError::FragmentsTooMany.to_string();
        assert_eq!(peer.out, frame(0x88, (role == Role::Client).then_some(KEY), &reason(1008, &words)));
    }
}

/// Of a message that is taken in chunks, compressed or not, the fragments that bring nothing are counted, and only those.
#[test]
fn t05_empty_continuations_of_a_streamed_message() {
    for (role, first) in ROLES.into_iter().flat_map(|role| [(role, 0x02), (role, 0x42)]) {
        let cap = Limits::default().fragments_max as usize;
        let mut connection =
            Connection::new(role, Limits::default()).with_deflate(Some(DeflateParams::default()));
        let mut pool = DeflatePool::default();
        // An empty stored block, so that the message may as well be compressed.
        let block = frame(0x00, key(role), &[0x00, 0x00, 0x00, 0xff, 0xff]);
        let mut begin = [frame(first, key(role), b""), block.repeat(200_000)].concat();
        let mut input = &mut begin[..];
        while connection.receive_chunk_with(&mut pool, &mut input).expect("each brings something").is_some() {
        }
        let empty = frame(0x00, key(role), b"").repeat(1_000);
        let mut buffer = empty.clone();
        let mut begun = 1;
        let info = measure(|| {
            for _ in 0..cap / 1_000 + 10 {
                buffer.copy_from_slice(&empty);
                let received = connection.receive_chunk_with(&mut pool, &mut &mut buffer[..]);
                begun += 1_000;
                assert_eq!(received.is_err(), begun > cap && begun <= cap + 1_000, "after {begun} fragments");
            }
        });
        assert!(info.bytes_max < 500, "{info:?}");
        assert_eq!(connection.failure(), Some(ProtocolError::FragmentsTooMany));
    }
}

/// The cap counts fragments exactly, with pings between them or not, and a message of one frame has one.
#[test]
fn t05_the_cap_is_exact() {
    for role in ROLES {
        for pings in [false, true] {
            let limits = Limits { fragments_max: 100, ..Limits::default() };
            let mut peer = Peer::new(role, limits);
            peer.read_only(&frame(0x02, key(role), b""));
            for fragment in 2..=101 {
                if pings {
                    peer.read_only(&frame(0x89, key(role), b""));
                }
                assert_eq!(peer.connection.failure(), None, "before fragment {fragment}");
                peer.read_only(&frame(0x00, key(role), b""));
            }
            assert_eq!(peer.connection.failure(), Some(ProtocolError::FragmentsTooMany));
        }
        let mut none = Peer::new(role, Limits { fragments_max: 0, ..Limits::default() });
        none.read_only(&frame(0x82, key(role), b"whole"));
        assert_eq!(none.events, [Event::Failed(ProtocolError::FragmentsTooMany)]);
    }
}

#[test]
fn t08_a_claimed_length_reserves_nothing() {
    for role in ROLES {
        for first in [0x82, 0x02, 0x81, 0x01] {
            let mut connection = Connection::new(role, unlimited());
            let mut bytes = [claim(role, first, u64::MAX >> 1), vec![b'x'; 10]].concat();
            let info = swallow(&mut connection, &mut bytes);
            assert!(connection.is_open() && info.bytes_max < 500, "{info:?}");
            let mut trickled = Connection::new(role, unlimited());
            let spilled = measure(|| {
                for byte in &bytes {
                    let _ = trickled.receive(&mut &mut [*byte][..]);
                }
            });
            assert!(trickled.is_open() && spilled.bytes_max < 500, "{spilled:?}");
        }
    }
}

/// The same where messages are taken in chunks or are compressed: what is lent to the first of those is all that it costs.
#[test]
fn t08_a_claimed_length_in_chunks_or_compressed() {
    for role in ROLES {
        for first in [0x82, 0x02, 0xC2, 0x42] {
            for in_chunks in [false, true] {
                let mut connection =
                    Connection::new(role, unlimited()).with_deflate(Some(DeflateParams::default()));
                let block = [0x00, 0x00, 0x00, 0xff, 0xff];
                let mut bytes = [claim(role, first, u64::MAX >> 1), block.repeat(2)].concat();
                let info = measure(|| {
                    let (mut pool, mut input) = (DeflatePool::default(), &mut bytes[..]);
                    if in_chunks {
                        while let Ok(Some(_)) = connection.receive_chunk_with(&mut pool, &mut input) {}
                    } else {
                        while let Ok(Some(_)) = connection.receive_with(&mut pool, &mut input) {}
                    }
                });
                // An inflater, and what one step of it writes to.
                let lent = if in_chunks && first & 0x40 != 0 { 80 << 10 } else { 0 };
                assert!(connection.is_open() && info.bytes_max < 500 + lent, "{first:#x}: {info:?}");
            }
        }
    }
}

/// A message of 16 MiB that is claimed and comes slowly holds what came, not what was claimed.
#[test]
fn t08_memory_follows_what_came() {
    for role in ROLES {
        let mut connection = Connection::new(role, Limits::default());
        let _ = swallow(&mut connection, &mut claim(role, 0x82, 16 << 20));
        for size in [1, 10, 100, 1_000, 10_000] {
            let _ = swallow(&mut connection, &mut vec![0; size]);
            assert!(
                connection.buffered() <= 4 * size + 64,
                "{} after {size} bytes more",
                connection.buffered()
            );
        }
    }
}

/// Wherever three fragments cross the limit, the header that crosses it is refused: its payload is not waited for.
#[test]
fn t10_fragments_crossing_the_limit_at_every_boundary() {
    const MAX: usize = 12;
    for role in ROLES {
        for first in 0..=MAX + 1 {
            for second in 0..=MAX + 1 - first {
                let third = MAX + 1 - first - second;
                let sizes = [(0x02, first), (0x00, second), (0x80, third)];
                let limits = Limits { message_size_max: MAX, ..Limits::default() };
                let mut peer = Peer::new(role, limits);
                let mut sum = 0;
                for (opcode, size) in sizes {
                    let bytes = frame(opcode, key(role), &vec![1; size]);
                    let (head, payload) = bytes.split_at(bytes.len() - size);
                    sum += size;
                    peer.read_only(head);
                    assert_eq!(peer.connection.failure().is_some(), sum > MAX, "{sizes:?} at {sum}");
                    peer.read_only(payload);
                    assert!(peer.connection.buffered() <= 2 * MAX, "never more than the limit, doubled");
                }
                assert_eq!(peer.events, [Event::Failed(ProtocolError::MessageTooBig)]);
                let mut at_once = Peer::new(role, Limits { message_size_max: MAX, ..Limits::default() });
                let frames = sizes.map(|(opcode, size)| frame(opcode, key(role), &vec![1; size]));
                at_once.read_only(&frames.concat());
                assert_eq!(at_once.events, peer.events);
            }
        }
    }
}

/// A message that comes whole in one frame takes a shorter way through the decoder, which has the same limits.
#[test]
fn t10_a_whole_message_over_the_limit() {
    for (role, size) in ROLES.into_iter().flat_map(|role| [12, 13, 200, 65_535].map(|size| (role, size))) {
        for (message_size_max, frame_size_max, error) in
            [(12, 16 << 20, ProtocolError::MessageTooBig), (16 << 20, 12, ProtocolError::FrameTooBig)]
        {
            let limits = Limits { message_size_max, frame_size_max, ..Limits::default() };
            let mut peer = Peer::new(role, limits);
            peer.read_only(&frame(0x82, key(role), &vec![1; size]));
            let expect = if size <= 12 { Event::Binary(vec![1; size]) } else { Event::Failed(error) };
            assert!(peer.events == [expect], "{size}: {:?}", peer.connection.failure());
        }
    }
}

#[test]
fn t12_lengths_of_2_to_the_53_and_2_to_the_63() {
    for role in ROLES {
        for (len, error) in [
            ((1 << 53) - 1, ProtocolError::FrameTooBig),
            (1 << 53, ProtocolError::FrameTooBig),
            ((1 << 53) + 1, ProtocolError::FrameTooBig),
            ((1 << 63) - 1, ProtocolError::FrameTooBig),
            (1 << 63, ProtocolError::LengthHighBit),
            ((1 << 63) + 1, ProtocolError::LengthHighBit),
            (u64::MAX, ProtocolError::LengthHighBit),
        ] {
            for first in [0x81, 0x82, 0x01, 0x02] {
                let mut peer = Peer::new(role, Limits::default());
                peer.read(&claim(role, first, len));
                assert_eq!(peer.events, [Event::Failed(error)], "{len:#x}");
                assert!(peer.connection.is_closed());
            }
        }
        let mut unlimited = Peer::new(role, unlimited());
        unlimited.read(&claim(role, 0x82, 1 << 63));
        assert_eq!(unlimited.events, [Event::Failed(ProtocolError::LengthHighBit)], "whatever the limit is");
    }
}

/// Taken in chunks, a message may be of any size; but 2^63 is none.
#[test]
fn t12_lengths_in_chunks() {
    for role in ROLES {
        for (len, error) in [
            (1 << 53, None),
            ((1 << 63) - 1, None),
            (1 << 63, Some(ProtocolError::LengthHighBit)),
            (u64::MAX, Some(ProtocolError::LengthHighBit)),
        ] {
            for first in [0x81, 0x82, 0x01, 0x02] {
                let mut connection = Connection::new(role, Limits::default());
                let mut bytes = [claim(role, first, len), b"x".to_vec()].concat();
                let mut input = &mut bytes[..];
                let received = connection.receive_chunk(&mut input);
                let brought = match &received {
                    Ok(Some(IncomingChunk::Chunk { payload, last: false, .. })) => payload.to_vec(),
                    _ => Vec::new(),
                };
                let expect = if error.is_some() { &b""[..] } else { b"x" };
                assert_eq!((received.err(), &brought[..]), (error, expect), "{len:#x}");
            }
        }
    }
}

/// No limit, and limits at the end of their range: sums neither wrap nor panic.
#[test]
fn t15_no_limit_still_checks_the_sum() {
    let largest = (u64::MAX >> 1) as usize;
    for role in ROLES {
        for (message_size_max, fails) in
            [(usize::MAX, false), (largest + 10, false), (largest + 9, true), (largest, true)]
        {
            let limits = Limits { message_size_max, ..unlimited() };
            let mut peer = Peer::new(role, limits);
            peer.read(&frame(0x02, key(role), &[1; 10]));
            peer.read(&claim(role, 0x00, largest as u64));
            assert_eq!(peer.connection.failure().is_some(), fails, "{message_size_max:#x}");
            peer.read(&[0; 1_000]);
        }
        let mut peer = Peer::new(role, Limits { fragments_max: u32::MAX, ..unlimited() });
        peer.read(&[frame(0x02, key(role), b""), frame(0x00, key(role), b"").repeat(1_000)].concat());
        assert!(peer.connection.is_open());
    }
}

/// The allocations are those of one growing buffer; that each byte is looked at once, `utf8.rs` counts. Judged while it
/// comes, because work that is not linear would take hours to come to the end.
#[test]
fn t23_sixteen_mebibytes_of_text_in_64_byte_chops() {
    for role in ROLES {
        let text = "日本語のテキスト".repeat((16 << 20) / 24);
        let mut stream = frame(0x81, key(role), text.as_bytes());
        let mut connection = Connection::new(role, Limits::default());
        let mut received = None;
        let (mut count, mut bytes) = (0, 0);
        for block in stream.chunks_mut(64 << 10) {
            let info = measure(|| {
                for mut piece in block.chunks_mut(64) {
                    while let Some(incoming) = connection.receive(&mut piece).expect("valid") {
                        let Incoming::Message { payload, .. } = incoming else { panic!("one message") };
                        received = Some(payload.into_vec());
                    }
                }
            });
            (count, bytes) = (count + info.count_total, bytes + info.bytes_total);
            assert!(count < 40, "{count} allocations");
            assert!(bytes < 4 * (16 << 20), "{bytes} bytes allocated");
        }
        assert!(received.as_deref() == Some(text.as_bytes()));
    }
}

/// A peer that pings and does not read costs one pong, the newest.
#[test]
fn t24_a_ping_flood_leaves_one_pong() {
    for role in ROLES {
        let mut peer = Peer::new(role, Limits::default());
        let flood: Vec<u8> = (0..=255u8).flat_map(|n| frame(0x89, key(role), &[n; 125])).collect();
        let mut buffer = flood.clone();
        let info = measure(|| {
            for _ in 0..400 {
                buffer.copy_from_slice(&flood);
                let mut input = &mut buffer[..];
                while let Ok(Some(Incoming::Ping(_))) = peer.connection.receive(&mut input) {}
            }
        });
        assert!(info.bytes_max < 1_000, "{info:?}");
        peer.transmit();
        assert_eq!(peer.out, frame(0x8A, (role == Role::Client).then_some(KEY), &[255; 125]));
    }
}

/// Everything in one conversation, cut at every byte: the same events, the same answers.
#[test]
fn t25_cut_at_every_byte() {
    for role in ROLES {
        let stream = [
            frame(0x81, key(role), "€uro".as_bytes()),
            frame(0x02, key(role), &[1; 130]),
            frame(0x89, key(role), b"between"),
            frame(0x80, key(role), &[2; 70]),
            frame(0x8A, key(role), b""),
            frame(0x01, key(role), b"\xe2\x82"),
            frame(0x80, key(role), b"\xac"),
            frame(0x88, key(role), &reason(1000, "bye")),
        ]
        .concat();
        let mut whole = Peer::new(role, Limits::default());
        whole.read(&stream);
        assert_eq!(whole.events.len(), 6);
        for cut in 0..=stream.len() {
            let mut peer = Peer::new(role, Limits::default());
            // The middle read brings one byte, so that headers come in three pieces too.
            let next = (cut + 1).min(stream.len());
            peer.read(&stream[..cut]);
            peer.read(&stream[cut..next]);
            peer.read(&stream[next..]);
            assert_eq!((&peer.events, &peer.out), (&whole.events, &whole.out), "cut at {cut}");
        }
    }
}

/// Each role, each opcode, each form of the length: the right mask bit passes, the wrong one fails with the second byte,
/// also when all of the frame comes at once, which takes a shorter way through the decoder.
#[test]
fn t28_the_mask_matrix() {
    for role in ROLES {
        for first in [0x81, 0x82, 0x01, 0x02, 0xC1, 0xC2, 0x41, 0x42, 0x89, 0x8A, 0x88] {
            let fresh = || {
                let deflate = (first & 0x40 != 0).then(DeflateParams::default);
                let mut peer = Peer::new(role, Limits::default());
                peer.connection = Connection::new(role, Limits::default()).with_deflate(deflate);
                peer
            };
            for form in [0, 1, 125, 126, 127] {
                let control = first & 0x08 != 0;
                if control && form > 125 {
                    continue;
                }
                let right = if role == Role::Server { 0x80 } else { 0 };
                let mut peer = fresh();
                peer.read_only(&[first, right | form]);
                assert_eq!(peer.connection.failure(), None);
                let mut peer = fresh();
                peer.read_only(&[first]);
                assert_eq!(peer.connection.failure(), None);
                peer.read_only(&[(right ^ 0x80) | form]);
                let error = if role == Role::Server {
                    ProtocolError::MaskMissing
                } else {
                    ProtocolError::MaskUnexpected
                };
                assert_eq!(peer.connection.failure(), Some(error), "{role:?} {first:#x} {form}");
                let mut at_once = fresh();
                at_once.read_only(&[&[first, (right ^ 0x80) | form][..], &[0; 200]].concat());
                assert_eq!(at_once.connection.failure(), Some(error), "{role:?} {first:#x} {form}, at once");
            }
        }
        // A key of zeros changes nothing, but it is a key.
        let mut zeros = Peer::new(Role::Server, Limits::default());
        zeros.read(&frame(0x81, Some([0; 4]), b"x"));
        assert_eq!(zeros.events, [Event::Text("x".into())]);
    }
}

/// All that a client sends is masked, answers too; nothing that a server sends is.
#[test]
fn t28_what_we_send() {
    for role in ROLES {
        let mut drawn = 0;
        let mut key_of = || {
            if role == Role::Server {
                return unmasked();
            }
            drawn += 1;
            [drawn; 4]
        };
        let mut connection = Connection::new(role, Limits::default());
        let mut out = Vec::new();
        connection.send(MessageKind::Text, b"whole", &mut key_of, &mut out).expect("open");
        connection.send_fragment(MessageKind::Binary, b"a", false, &mut key_of, &mut out).expect("open");
        connection.send_fragment(MessageKind::Binary, b"b", true, &mut key_of, &mut out).expect("open");
        connection.ping(b"p", &mut key_of, &mut out).expect("open");
        let mut ping = frame(0x89, key(role), b"q");
        let _ = connection.receive(&mut &mut ping[..]);
        connection.poll_transmit(&mut key_of, &mut out);
        connection.close(1000.into(), "", &mut key_of, &mut out).expect("open");
        let other = if role == Role::Server { Role::Client } else { Role::Server };
        let mut rest = &out[..];
        let mut frames = 0u8;
        while let Some((header, size)) =
            Header::decode(rest, other, false).expect("well formed for the other end")
        {
            frames += 1;
            assert_eq!(header.mask, (role == Role::Client).then_some([frames; 4]), "each frame its own key");
            rest = &rest[size + header.payload_len as usize..];
        }
        assert_eq!(frames, 6);
        assert!(rest.is_empty());
    }
}

/// The layer below knows the same limits: whoever streams is as safe as whoever assembles.
#[test]
fn t10_the_streaming_layer_has_the_same_limits() {
    for role in ROLES {
        let limits = Limits { message_size_max: 10, ..Limits::default() };
        let mut decoder = Decoder::new(role, limits);
        let mut bytes = [frame(0x02, key(role), &[1; 6]), frame(0x80, key(role), &[1; 5])].concat();
        let mut input = &mut bytes[..];
        let chunk = decoder.decode(&mut input).expect("within the limit").expect("a chunk");
        assert_eq!((chunk.opcode, chunk.payload.len()), (Opcode::Binary, 6));
        assert_eq!(decoder.decode(&mut input).err(), Some(ProtocolError::MessageTooBig));
    }
}
