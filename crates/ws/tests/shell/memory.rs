//! What a message costs, counted in allocations: received, sent, echoed, queued, broadcast. And that nothing stays with
//! an idle socket. What the core costs is counted in `crates/ws-proto/tests/rfc6455/memory.rs`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use trunkline_ws::{DeflateOptions, DeflateParams, Limits, PreparedMessage, Role, Socket};

use crate::raw::{Raw, poll_once};

/// The same frame with each read, and room for whatever is written. Allocates nothing.
struct Endless(Vec<u8>);

impl AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.put_slice(&self.0);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

const TURNS: u64 = 1_000;

/// A server's socket to whom the same message comes again and again; `first` is the first byte of its frame.
fn server(first: u8, payload: &[u8]) -> Socket {
    let frame = Raw::new((), Role::Client).frame(first, payload);
    Socket::new(Role::Server, Endless(frame), Vec::new(), Limits::default())
}

/// What a thousand turns cost, after one that has made what threads and sockets keep.
fn thousand(mut turn: impl FnMut()) -> AllocationInfo {
    turn();
    measure(|| (0..TURNS).for_each(|_| turn()))
}

/// The allocations of each turn, of which nothing may stay.
#[track_caller]
fn check(what: &str, info: AllocationInfo, each: u64) {
    assert_eq!((info.count_total, info.bytes_current), (each * TURNS, 0), "{what}: {info:?}");
}

fn echo(socket: &mut Socket) {
    let Poll::Ready(message) = poll_once(socket.recv()) else { panic!("a message comes with each read") };
    let message = message.expect("open").expect("open");
    assert!(poll_once(socket.send(message)).is_ready());
}

/// One for a message that is short, which is the message itself. One that is shared instead of copied has to be counted and
/// to stand in a queue.
#[tokio::test]
async fn an_echo() {
    for (first, payload, each) in [
        (0x82, &[7; 100][..], 1),
        (0x81, &[b'x'; 100], 1),
        (0x82, &[7; 8_000], 1),
        (0x82, &[7; 10_000], 3),
        (0x81, &[b'x'; 10_000], 3),
    ] {
        let mut socket = server(first, payload);
        check(&format!("{first:#x}, {} bytes", payload.len()), thousand(|| echo(&mut socket)), each);
    }
}

/// The inflated message, and what it was compressed to.
#[tokio::test]
async fn a_compressed_echo() {
    let (params, options) = (DeflateParams::default(), DeflateOptions::default());
    let (near, mut far) = tokio::io::duplex(10_000);
    let mut client =
        Socket::new(Role::Client, near, Vec::new(), Limits::default()).compressed(params, options);
    client.send("again and ".repeat(100)).await.expect("open");
    let mut frame = vec![0; 1 << 10];
    let size = far.read(&mut frame).await.expect("it was flushed");
    frame.truncate(size);
    let mut socket =
        Socket::new(Role::Server, Endless(frame), Vec::new(), Limits::default()).compressed(params, options);
    check("compressed", thousand(|| echo(&mut socket)), 2);
}

#[tokio::test]
async fn a_client_masks_without_allocating() {
    let mut socket = Socket::new(Role::Client, Endless(Vec::new()), Vec::new(), Limits::default());
    let info = thousand(|| assert!(poll_once(socket.send(Bytes::from_static(b"Hello"))).is_ready()));
    check("a client's send", info, 0);
}

/// None beyond the message, for whatever the queue does when it is full.
#[tokio::test]
async fn a_message_through_a_sender() {
    let mut socket = server(0x82, b"");
    let sender = socket.sender();
    let info = thousand(|| {
        for _ in 0..10 {
            sender.try_send(Bytes::from_static(b"Hello")).expect("there is room");
        }
        assert!(poll_once(socket.flush()).is_ready());
    });
    check("ten messages", info, 0);
    let info = thousand(|| {
        assert!(poll_once(sender.send(Bytes::from_static(b"Hello"))).is_ready());
        assert!(poll_once(socket.flush()).is_ready());
    });
    check("a send that does not wait", info, 0);
}

/// A broadcast is framed and compressed once; a delivery costs nothing, or a queue's entry where it is shared.
#[tokio::test]
async fn the_delivery_of_a_broadcast() {
    let agreed = |params, payload: &[u8]| {
        let prepared = PreparedMessage::binary(payload).compressible();
        let socket = server(0x82, b"");
        match params {
            None => (socket, prepared),
            Some(params) => (socket.compressed(params, DeflateOptions::default()), prepared),
        }
    };
    for (params, payload, each) in [
        (None, &[7; 100][..], 0),
        (None, &[7; 10_000], 2),
        (Some(DeflateParams::default()), &[7; 1_000], 0),
        (Some(DeflateParams::default()), &[7; 50_000], 0),
    ] {
        let (mut socket, prepared) = agreed(params, payload);
        let sender = socket.sender();
        let info = thousand(|| {
            sender.try_send_prepared(&prepared).expect("there is room");
            assert!(poll_once(socket.flush()).is_ready());
        });
        check(&format!("{params:?}, {} bytes", payload.len()), info, each);
    }
}

/// After any traffic a socket that waits has a timer for its pings, and nothing else that it did not have before.
#[tokio::test]
async fn what_an_idle_socket_keeps() {
    // The thread has its buffers.
    echo(&mut server(0x81, b"x"));
    let (mut socket, mut raw) = crate::raw::server();
    let info = measure(|| assert!(poll_once(socket.recv()).is_pending()));
    assert!(info.count_current == 1 && info.bytes_current <= 128, "{info:?}");
    let frames = [raw.frame(0x81, &[b'x'; 20_000]), raw.frame(0x02, b"a"), raw.frame(0x80, b"b")].concat();
    let mut answers = vec![0; 30_000];
    let mut turn = || {
        assert!(poll_once(raw.stream.write_all(&frames)).is_ready());
        for _ in 0..2 {
            echo(&mut socket);
        }
        assert!(poll_once(socket.recv()).is_pending());
        assert!(poll_once(raw.stream.read(&mut answers)).is_ready());
    };
    turn();
    let info = measure(turn);
    assert_eq!(info.bytes_current, 0, "{info:?}");
}
