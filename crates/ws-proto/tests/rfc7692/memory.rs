//! What compression costs, counted: bytes inline, bytes of an idle connection, allocations per message.

use std::sync::Arc;

use allocation_counter::measure;
use trunkline_ws_proto::{
    Connection, DeflateOptions, DeflateParams, DeflatePool, Incoming, Limits, MessageKind, PreparedMessage,
    Role, unmasked,
};

use crate::wire::{Peer, TAKEOVER, deflated, masked};

#[test]
fn an_idle_connection_costs_nothing_without_takeover() {
    assert!(size_of::<Connection>() <= 64, "{}", size_of::<Connection>());
    let limits = Arc::new(Limits::default());
    let mut pool = DeflatePool::default();
    let message = "Hello, Hello, Hello! ".repeat(100);
    let compressed = masked(0xC1, &deflated(message.as_bytes(), zlib_rs::DeflateFlush::SyncFlush));
    let (mut input, mut out) = (Vec::with_capacity(compressed.len()), Vec::with_capacity(1_000));
    let mut connections = Vec::with_capacity(1_000);
    let mut turn = |connections: &mut Vec<Connection>| {
        let mut connection =
            Connection::new(Role::Server, limits.clone()).with_deflate(Some(DeflateParams::default()));
        input.clear();
        input.extend_from_slice(&compressed);
        let mut read = &mut input[..];
        let Ok(Some(Incoming::Message { kind, payload })) = connection.receive_with(&mut pool, &mut read)
        else {
            panic!("a message");
        };
        out.clear();
        connection.send_with(&mut pool, kind, &payload, unmasked, &mut out).expect("open");
        assert!(out.len() < 200);
        drop(payload);
        connections.push(connection);
    };
    turn(&mut connections);
    let info = measure(|| (0..999).for_each(|_| turn(&mut connections)));
    assert_eq!(info.bytes_current, 0, "a thousand connections that have each echoed a compressed message");
    assert_eq!(info.count_total, 999, "one allocation each: the inflated message");
}

/// A receiver keeps the window's bytes, not an inflater.
#[test]
fn takeover_keeps_the_window() {
    let params = DeflateParams { client_max_window_bits: 10, server_no_context_takeover: true, ..TAKEOVER };
    let mut peer = Peer::server(params);
    let mut client = Peer::new(Role::Client, params, Limits::default());
    client.send(MessageKind::Text, &[b'x'; 5_000]);
    peer.read(&client.out);
    peer.events.clear();
    client.out.clear();
    client.send(MessageKind::Text, &[b'x'; 5_000]);
    let mut second = Peer::server(params);
    second.pool = peer.pool;
    // What the first message leaves with a connection, the pool being warm.
    let mut bytes = client.out.clone();
    let info = measure(|| {
        let _ = second.connection.receive_with(&mut second.pool, &mut &mut bytes[..]);
    });
    assert!(info.bytes_current <= 1_024 + 300, "{info:?}");
}

#[test]
fn a_pool_is_empty_until_it_is_used_and_bounded_afterwards() {
    let info = measure(|| drop(std::hint::black_box(DeflatePool::new(DeflateOptions::default()))));
    assert_eq!(info.count_total, 0);
    let mut pool = DeflatePool::default();
    let info = measure(|| {
        for bits in 8..=15 {
            let params = DeflateParams { server_max_window_bits: bits, ..DeflateParams::default() };
            let mut connection = Connection::new(Role::Server, Limits::default()).with_deflate(Some(params));
            for _ in 0..10 {
                assert!(connection.deflate(&mut pool, &[b'x'; 1_000]).is_some());
            }
        }
    });
    assert!(info.bytes_current < 8 * (400 << 10), "{info:?}");
}

#[test]
fn a_prepared_message_costs_connections_nothing_after_the_first() {
    let prepared = PreparedMessage::text(&"Hello".repeat(200)).compressible();
    let mut pool = DeflatePool::default();
    let mut connection =
        Connection::new(Role::Server, Limits::default()).with_deflate(Some(DeflateParams::default()));
    let mut out = Vec::with_capacity(100_000);
    connection.send_prepared_with(&mut pool, &prepared, &mut out).expect("open");
    let info = measure(|| {
        for _ in 0..1_000 {
            connection.send_prepared_with(&mut pool, &prepared, &mut out).expect("open");
        }
    });
    assert_eq!(info.count_total, 0);
}
