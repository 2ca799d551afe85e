//! What a connection costs, counted: bytes inline, allocations per message, and nothing for a length that is only claimed.

use allocation_counter::{AllocationInfo, measure};
use trunkline_ws_proto::{Connection, HEADER_SIZE_MAX, Incoming, Limits, PreparedMessage, Role, unmasked};

use crate::wire::{Peer, bare, masked};

/// Receives all of `bytes` in pieces of `size` and returns the messages' total size.
fn receive_in_pieces(connection: &mut Connection, bytes: &mut [u8], size: usize) -> usize {
    let mut total = 0;
    for mut piece in bytes.chunks_mut(size) {
        while let Some(incoming) = connection.receive(&mut piece).expect("well formed") {
            if let Incoming::Message { payload, .. } = incoming {
                total += payload.len();
            }
        }
    }
    total
}

#[test]
fn an_idle_connection_is_small_and_owns_nothing() {
    assert!(size_of::<Connection>() <= 64, "{}", size_of::<Connection>());
    let limits = std::sync::Arc::new(Limits::default());
    let info = measure(|| {
        let mut connection = Connection::new(Role::Server, limits.clone());
        let _ = connection.receive(&mut &mut [0x81, 0x85][..]);
        std::hint::black_box(&connection);
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn a_message_that_arrived_whole_is_not_copied() {
    let mut connection = Connection::new(Role::Server, Limits::default());
    let mut bytes = masked(0x81, &[b'x'; 10_000]).repeat(10);
    let mut total = 0;
    let info = measure(|| total = receive_in_pieces(&mut connection, &mut bytes, usize::MAX));
    assert_eq!((total, info), (100_000, AllocationInfo::default()));
}

#[test]
fn an_echo_allocates_nothing_but_its_answer() {
    let mut connection = Connection::new(Role::Server, Limits::default());
    let mut bytes = masked(0x81, b"Hello");
    let mut out = Vec::with_capacity(100);
    let info = measure(|| {
        let mut input = &mut bytes[..];
        while let Ok(Some(Incoming::Message { kind, payload })) = connection.receive(&mut input) {
            connection.send(kind, &payload, unmasked, &mut out).expect("open");
        }
        connection.poll_transmit(unmasked, &mut out);
    });
    assert_eq!((info.count_total, &out[..]), (0, &bare(0x81, b"Hello")[..]));
}

/// A header that claims 2^63-1 bytes reserves nothing, whatever the limit is.
#[test]
fn a_claimed_length_reserves_nothing() {
    let limits = Limits { message_size_max: usize::MAX, frame_size_max: usize::MAX, ..Limits::default() };
    for first in [0x82u8, 0x02, 0x81, 0x01] {
        let mut connection = Connection::new(Role::Server, limits.clone());
        let header = [&[first, 0xFF][..], &(u64::MAX >> 1).to_be_bytes(), &[0; 4]].concat();
        let mut bytes = [header, vec![b'x'; 10]].concat();
        let info = measure(|| {
            assert_eq!(receive_in_pieces(&mut connection, &mut bytes, usize::MAX), 0);
        });
        assert!(info.bytes_max < 500, "{info:?}");
    }
}

#[test]
fn ten_million_empty_fragments_cost_nothing() {
    let limits = Limits { fragments_max: u32::MAX, ..Limits::default() };
    let mut connection = Connection::new(Role::Server, limits);
    let mut first = masked(0x02, b"");
    let empty = masked(0x00, b"").repeat(1_000);
    let mut buffer = empty.clone();
    let info = measure(|| {
        receive_in_pieces(&mut connection, &mut first, usize::MAX);
        for _ in 0..10_000 {
            buffer.copy_from_slice(&empty);
            receive_in_pieces(&mut connection, &mut buffer, usize::MAX);
        }
    });
    assert!(info.bytes_max < 500, "{info:?}");
}

#[test]
fn sixteen_mebibytes_in_small_pieces_grow_by_doubling() {
    let mut connection = Connection::new(Role::Server, Limits::default());
    let mut bytes = masked(0x81, &vec![b'x'; 16 << 20]);
    let mut total = 0;
    let info = measure(|| total = receive_in_pieces(&mut connection, &mut bytes, 64));
    assert_eq!(total, 16 << 20);
    assert!(info.count_total < 40, "{info:?}");
    assert!(info.bytes_total < 4 * (16 << 20), "{info:?}");
    assert_eq!(info.bytes_current, 0, "freed when the message was taken");
}

#[test]
fn a_flood_of_pings_holds_one_pong() {
    let mut peer = Peer::server();
    let flood = masked(0x89, &[7; 125]).repeat(1_000);
    peer.events.reserve(1_000);
    let connection = &mut peer.connection;
    let mut buffer = flood;
    let info = measure(|| {
        let mut input = &mut buffer[..];
        while let Ok(Some(_)) = connection.receive(&mut input) {}
    });
    assert!(info.bytes_max < 1_000, "{info:?}");
    peer.transmit();
    assert_eq!(peer.out, bare(0x8A, &[7; 125]));
}

#[test]
fn a_prepared_message_is_framed_once() {
    let prepared = PreparedMessage::text("Hello");
    assert_eq!(prepared.frame()[..], bare(0x81, b"Hello"));
    assert_eq!(prepared.payload()[..], b"Hello"[..]);
    let info = measure(|| std::mem::drop(std::hint::black_box(prepared.clone())));
    assert!(info.bytes_total <= 64, "shared, not copied: {info:?}");
    let big = PreparedMessage::binary(&vec![1; 70_000]);
    assert_eq!(big.frame().len(), 70_000 + HEADER_SIZE_MAX - 4);
}
