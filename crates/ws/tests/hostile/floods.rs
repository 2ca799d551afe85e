//! Peers that send too much or read too little: what they cost is counted in bytes of heap.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use allocation_counter::measure;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use trunkline_ws::{
    DeflateOptions, DeflateParams, Error, Limits, Message, MessageKind, PreparedMessage, ProtocolError, Role,
    Socket, WhenFull,
};
use trunkline_ws_proto::{Connection, DeflatePool};

use crate::raw::{Raw, close, pair, poll_once};

const ROLES: [Role; 2] = [Role::Server, Role::Client];

/// What a full `out` may be: `unsent_max` and one fragment of 64 KiB, in a vector that has just doubled.
const OUT_BYTES_MAX: u64 = 3 * 2 * (64 << 10);

/// A peer that reads nothing: `send` waits, whatever the size and the number of messages.
#[tokio::test]
async fn t07_a_slow_reader_costs_a_full_buffer() {
    for role in ROLES {
        let (mut socket, raw) = pair(role, 1 << 10, Limits::default());
        let message = Bytes::from(vec![7; 256 << 10]);
        let info = measure(|| {
            for _ in 0..1_000 {
                let _ = poll_once(socket.send(message.clone()));
            }
        });
        assert!(info.bytes_max < OUT_BYTES_MAX, "{role:?}: {info:?}");
        drop(raw);
    }
}

/// The same for a message that is sent piece by piece.
#[tokio::test]
async fn t07_a_streamed_message_to_a_slow_reader() {
    for role in ROLES {
        let (mut socket, raw) = pair(role, 1 << 10, Limits::default());
        let mut writer = socket.send_streamed(MessageKind::Binary).expect("open");
        let piece = Bytes::from(vec![7; 100 << 10]);
        let info = measure(|| {
            for _ in 0..1_000 {
                let _ = poll_once(writer.write(piece.clone()));
            }
        });
        assert!(info.bytes_max < OUT_BYTES_MAX, "{role:?}: {info:?}");
        drop((writer, raw));
    }
}

/// The same for a peer that sends and reads nothing, against an echo.
#[tokio::test]
async fn t07_an_echo_to_a_slow_reader() {
    for role in ROLES {
        let (mut socket, mut raw) = pair(role, 64 << 10, Limits::default());
        let message = raw.frame(0x82, &[1; 8 << 10]);
        let mut echoed = 0;
        let info = measure(|| {
            let mut waits: Option<Message> = None;
            let mut written = 0;
            for _ in 0..10_000 {
                if let Poll::Ready(Ok(size)) = poll_once(raw.stream.write(&message[written..])) {
                    written = (written + size) % message.len();
                }
                match waits.take() {
                    None => waits = received(poll_once(socket.recv())),
                    // A `send` that is dropped while there is no room has sent nothing, so it is tried again.
                    Some(message) => match poll_once(socket.send(message.clone())) {
                        Poll::Ready(_) => echoed += 1,
                        Poll::Pending => waits = Some(message),
                    },
                }
            }
        });
        assert!(info.bytes_max < OUT_BYTES_MAX + (256 << 10), "{role:?}: {info:?}");
        assert!(echoed < 30, "the rest waits at the peer: {echoed}");
    }
}

fn received(polled: Poll<Result<Option<Message>, Error>>) -> Option<Message> {
    match polled {
        Poll::Ready(message) => message.expect("open"),
        Poll::Pending => None,
    }
}

/// Broadcasts to a peer that reads nothing end at the cap of the queue.
#[tokio::test]
async fn t07_a_broadcast_to_a_slow_reader() {
    let (mut socket, _raw) = pair(Role::Server, 1 << 10, Limits::default());
    let sender = socket.sender();
    let prepared = PreparedMessage::binary(&[7; 100]);
    let mut queued = 0;
    let info = measure(|| {
        for _ in 0..100_000 {
            queued += usize::from(sender.try_send_prepared(&prepared).is_ok());
            let _ = poll_once(socket.recv());
        }
    });
    let fits = Limits::default().queue_max + (64 << 10) / 100 + 2;
    assert!(queued <= fits, "{queued} of at most {fits}");
    assert!(info.bytes_max < OUT_BYTES_MAX + (1 << 20), "the queue holds references: {info:?}");
}

/// Messages that are few and big fill the queue by their bytes: it holds as many as its cap and one message more.
#[tokio::test]
async fn t07_the_queue_is_capped_by_bytes() {
    for when_full in [WhenFull::Wait, WhenFull::DropOldest, WhenFull::Close] {
        let limits = Limits::default();
        let cap = (limits.queue_bytes_max + (100 << 10)) as u64;
        let (mut socket, _raw) = pair(Role::Server, 1 << 10, limits);
        let sender = socket.sender().when_full(when_full);
        let info = measure(|| {
            for _ in 0..200 {
                let _ = sender.try_send(vec![7; 100 << 10]);
                let _ = poll_once(sender.send(vec![7; 100 << 10]));
                let _ = poll_once(socket.recv());
            }
        });
        // And the message that is not let in.
        assert!(info.bytes_max < cap + (100 << 10) + OUT_BYTES_MAX, "{when_full:?}: {info:?}");
        assert_eq!(sender.is_closed(), when_full == WhenFull::Close);
    }
}

/// T9 on a socket, in a message that is held and in one that is taken piece by piece: the peer learns that it is too big,
/// and until then it costs what the limit is, or what a piece is.
#[tokio::test]
async fn t09_a_bomb_on_a_socket() {
    let mut bomb = Vec::new();
    // As small as it gets: level 1 stays below what the default ratio allows.
    let (params, options) = (DeflateParams::default(), DeflateOptions { level: 9, ..Default::default() });
    let mut sender =
        Connection::new(Role::Client, trunkline_ws_proto::Limits::default()).with_deflate(Some(params));
    let zeros = vec![0; 64 << 20];
    let sent =
        sender.send_with(&mut DeflatePool::new(options), MessageKind::Binary, &zeros, || [1; 4], &mut bomb);
    sent.expect("open");
    drop(zeros);
    for (in_pieces, budget) in [(false, (2 << 20) + (512 << 10)), (true, 10 << 20)] {
        let limits = Limits { message_size_max: 1 << 20, ..Limits::default() };
        let (socket, mut raw) = pair(Role::Server, 64 << 10, limits);
        let mut socket = socket.compressed(params, options);
        let info = measure(|| {
            for piece in bomb.chunks(16 << 10) {
                assert!(poll_once(raw.stream.write_all(piece)).is_ready());
                if in_pieces {
                    // What one read brings is a few chunks.
                    for _ in 0..100 {
                        let _ = poll_once(socket.recv_streamed());
                    }
                } else {
                    assert!(poll_once(socket.recv()).is_pending());
                }
                if socket.close_frame().is_some() {
                    break;
                }
            }
        });
        assert!(info.bytes_max < budget, "in pieces {in_pieces}: {info:?}");
        assert_eq!(socket.close_frame().map(|frame| frame.code.0), Some(1009), "in pieces {in_pieces}");
        let error = if in_pieces { ProtocolError::InflationRatio } else { ProtocolError::MessageTooBig };
        raw.expect_close(1009, &error.to_string()).await;
    }
}

#[tokio::test]
async fn t05_endless_empty_fragments() {
    for role in ROLES {
        let (mut socket, mut raw) = pair(role, 64 << 10, Limits::default());
        raw.write(0x02, b"").await;
        let fragments = raw.frame(0x00, b"").repeat(1_000);
        let mut end = None;
        let info = measure(|| {
            // Twice as many as there may be.
            for _ in 0..260 {
                let _ = poll_once(raw.stream.write(&fragments));
                if let Poll::Ready(ended) = poll_once(socket.recv()) {
                    end = Some(ended);
                    break;
                }
                if socket.close_frame().is_some() {
                    break;
                }
            }
        });
        assert!(info.bytes_max < 256 << 10, "{info:?}");
        let words = ProtocolError::FragmentsTooMany.to_string();
        assert_eq!(
            socket.close_frame().map(|frame| (frame.code.0, frame.reason)),
            Some((1008, words.clone()))
        );
        assert!(end.is_none(), "it waits until the peer has heard it");
        raw.expect_close(1008, &words).await;
    }
}

/// A message that is taken piece by piece may have any size, but not any number of fragments that bring nothing.
#[tokio::test]
async fn t05_endless_empty_fragments_of_a_streamed_message() {
    for role in ROLES {
        let (mut socket, mut raw) = pair(role, 64 << 10, Limits::default());
        raw.write(0x02, b"x").await;
        let mut message = socket.recv_streamed().await.expect("open").expect("a message");
        assert_eq!(message.chunk().await.expect("open"), Some("x".into()));
        let fragments = raw.frame(0x00, b"").repeat(1_000);
        let mut polled = Poll::Pending;
        let info = measure(|| {
            for _ in 0..260 {
                let _ = poll_once(raw.stream.write(&fragments));
                polled = poll_once(message.chunk());
                if polled.is_ready() {
                    break;
                }
            }
        });
        assert!(info.bytes_max < 256 << 10, "{info:?}");
        assert!(polled.is_pending(), "it waits until the peer has heard it: {polled:?}");
        drop(message);
        let words = ProtocolError::FragmentsTooMany.to_string();
        let frame = socket.close_frame().map(|frame| (frame.code.0, frame.reason));
        assert_eq!(frame, Some((1008, words.clone())));
        raw.expect_close(1008, &words).await;
    }
}

/// A peer that pings and reads nothing: as many pongs as there is room for, then one, the newest.
#[tokio::test]
async fn t24_a_ping_flood() {
    for (role, streamed) in ROLES.into_iter().flat_map(|role| [(role, false), (role, true)]) {
        let (mut socket, mut raw) = pair(role, 32 << 10, Limits::default());
        let flood = raw.frame(0x89, &[7; 125]).repeat(100);
        let info = measure(|| {
            for _ in 0..2_000 {
                let _ = poll_once(raw.stream.write_all(&flood));
                assert!(if streamed {
                    poll_once(socket.recv_streamed()).is_pending()
                } else {
                    poll_once(socket.recv()).is_pending()
                });
            }
        });
        assert!(info.bytes_max < OUT_BYTES_MAX, "{role:?}: {info:?}");
    }
}

/// T27: the peer hears a pong after few fragments of a message of 1 GiB, or of a piece of one.
#[tokio::test]
async fn t27_a_pong_during_a_send_of_one_gibibyte() {
    let huge = Bytes::from(vec![0; 1 << 30]);
    for (role, streamed) in ROLES.into_iter().flat_map(|role| [(role, false), (role, true)]) {
        let (mut socket, mut raw) = pair(role, 4 << 10, Limits::default());
        let far = async {
            let (first, fragment) = raw.read().await.expect("the first fragment");
            assert_eq!((first, fragment.len()), (0x02, 64 << 10));
            raw.write(0x89, b"urgent").await;
            let mut fragments = 0;
            loop {
                match raw.read().await.expect("open") {
                    (0x8A, payload) => break assert_eq!(payload, b"urgent"),
                    (0x00, fragment) => assert_eq!(fragment.len(), 64 << 10),
                    other => panic!("{other:?}"),
                }
                fragments += 1;
                assert!(fragments <= 3, "{fragments}");
            }
        };
        let send = async {
            if streamed {
                socket.send_streamed(MessageKind::Binary)?.write(huge.clone()).await
            } else {
                socket.send(huge.clone()).await
            }
        };
        tokio::select! {
            sent = send => panic!("nobody has read it: {sent:?}"),
            () = far => {}
        }
    }
}

/// A stream that is always ready and never ends, and that knows nothing of tokio's budget: a flood in memory.
struct Endless {
    frame: Vec<u8>,
    reads: usize,
    reads_max: usize,
}

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reads += 1;
        assert!(self.reads < self.reads_max, "one poll never ends");
        buffer.put_slice(&self.frame);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// One poll, within tokio's budget.
async fn poll_in_budget<T>(future: impl Future<Output = T>) -> Poll<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Pings without end, or anything without end after the close frames: a poll comes back, so that other tasks and the
/// deadlines have their turn.
#[tokio::test]
async fn t20_a_poll_comes_back_from_an_endless_stream() {
    for frame in [(0x89, Vec::new()), (0x88, close(1000, ""))] {
        let raw = Raw::new((), Role::Client);
        let frame = raw.frame(frame.0, &frame.1);
        let endless = Endless { frame, reads: 0, reads_max: 1_000 };
        let mut socket = Socket::new(Role::Server, endless, Vec::new(), Limits::default());
        assert!(poll_in_budget(socket.recv()).await.is_pending());
        std::mem::forget(socket);
    }
}
