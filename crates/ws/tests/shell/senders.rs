//! What a sender does when its queue is full, by number of messages and by bytes.

use trunkline_ws::{CloseFrame, Error, Limits, Role, Socket, WhenFull};

use crate::raw::{close, pair, poll_once};

fn limits(queue_max: usize, queue_bytes_max: usize) -> Limits {
    Limits { queue_max, queue_bytes_max, ..Limits::default() }
}

/// What is still queued, as the peer gets it.
async fn drained(socket: &mut Socket, raw: &mut crate::raw::Raw<tokio::io::DuplexStream>) -> Vec<Vec<u8>> {
    socket.send("end").await.expect("open");
    let mut texts = Vec::new();
    loop {
        match raw.read().await.expect("open") {
            (0x81, text) if text == b"end" => return texts,
            (_, payload) => texts.push(payload),
        }
    }
}

#[tokio::test]
async fn the_oldest_make_room() {
    let (mut socket, mut raw) = pair(Role::Server, 1 << 20, limits(3, usize::MAX));
    let sender = socket.sender().when_full(WhenFull::DropOldest);
    for n in 0..5u8 {
        sender.try_send(vec![n]).expect("it always gets in");
    }
    sender.send(vec![5]).await.expect("it does not wait");
    assert_eq!((sender.dropped(), sender.is_closed()), (3, false));
    socket.flush().await.expect("open");
    assert_eq!(drained(&mut socket, &mut raw).await, [[3], [4], [5]]);
}

#[tokio::test]
async fn bytes_count_too() {
    let (mut socket, mut raw) = pair(Role::Server, 1 << 20, limits(1_000, 10_000));
    let sender = socket.sender();
    for _ in 0..2 {
        sender.try_send(vec![1; 5_000]).expect("there is room");
    }
    assert!(matches!(sender.try_send("x"), Err(Error::QueueFull)));
    let newest = sender.clone().when_full(WhenFull::DropOldest);
    // One that is bigger than all that may wait gets in, alone.
    newest.try_send(vec![2; 50_000]).expect("it always gets in");
    assert_eq!(sender.dropped(), 1);
    assert!(matches!(sender.try_send("x"), Err(Error::QueueFull)));
    socket.flush().await.expect("open");
    let sizes: Vec<_> = drained(&mut socket, &mut raw).await.iter().map(Vec::len).collect();
    assert_eq!(sizes, [5_000, 50_000]);
}

/// The peer reads nothing, so that there is no room for the queue: the socket closes all the same.
#[tokio::test(start_paused = true)]
async fn a_peer_that_is_too_slow_is_closed() {
    let (mut socket, raw) = pair(Role::Server, 1 << 10, limits(4, usize::MAX));
    let sender = socket.sender().when_full(WhenFull::Close);
    let task = tokio::spawn(async move {
        let ended = socket.recv().await;
        (ended, socket.close_frame())
    });
    let refused = loop {
        tokio::task::yield_now().await;
        if let Err(error) = sender.try_send(vec![0; 60_000]) {
            break error;
        }
    };
    let told = |error: &Error| matches!(error, Error::Closed(CloseFrame { code, .. }) if code.0 == 1008);
    assert!(told(&refused), "{refused:?}");
    assert!(sender.is_closed());
    assert!(told(&sender.send("late").await.expect_err("closed")));
    // What the peer has not taken is lost at the deadline of the closing handshake.
    let (ended, frame) = task.await.expect("no panic");
    assert!(matches!(ended, Err(Error::Timeout(_))), "{ended:?}");
    assert_eq!(frame.map(|frame| frame.code.0), Some(1006));
    drop(raw);
}

/// One that reads again gets what was under way and then the reason.
#[tokio::test]
async fn a_peer_that_reads_in_time_learns_why() {
    let (mut socket, mut raw) = pair(Role::Server, 1 << 10, limits(1, usize::MAX));
    let sender = socket.sender().when_full(WhenFull::Close);
    sender.try_send("dropped").expect("there is room");
    assert!(sender.send("one too many").await.is_err());
    let task = tokio::spawn(async move { socket.recv().await });
    raw.expect_close(1008, "too slow: the queue of outgoing messages is full").await;
    raw.write(0x88, &close(1008, "")).await;
    drop(raw);
    assert!(matches!(task.await, Ok(Ok(None))));
}

/// Each clone has its own answer, and all share the queue.
#[tokio::test]
async fn clones_share_the_queue() {
    let (mut socket, _raw) = pair(Role::Server, 1 << 20, limits(1, usize::MAX));
    let waits = socket.sender();
    let drops = waits.clone().when_full(WhenFull::DropOldest);
    waits.try_send("1").expect("there is room");
    assert!(poll_once(waits.send("2")).is_pending());
    drops.try_send("3").expect("it always gets in");
    assert_eq!(waits.dropped(), 1);
}

/// A sender that gave up waiting leaves nothing behind, however often it does.
#[tokio::test]
async fn a_send_that_is_given_up_has_queued_nothing() {
    let (mut socket, mut raw) = pair(Role::Server, 1 << 20, limits(1, usize::MAX));
    let sender = socket.sender();
    sender.try_send("1").expect("there is room");
    for _ in 0..1_000 {
        assert!(poll_once(sender.send("given up")).is_pending());
    }
    socket.flush().await.expect("open");
    assert_eq!(drained(&mut socket, &mut raw).await, [b"1"]);
}

#[tokio::test]
async fn senders_of_a_socket_that_is_gone() {
    let (mut socket, raw) = pair(Role::Server, 1 << 10, Limits::default());
    let sender = socket.sender();
    drop(raw);
    assert!(socket.recv().await.is_err());
    let errors = [sender.try_send("x"), sender.send("x").await, sender.close(1000, "")];
    for error in errors {
        assert!(matches!(&error, Err(Error::Closed(frame)) if frame.code.0 == 1006), "{error:?}");
    }
    let late = socket.sender();
    assert!(late.is_closed());
}
