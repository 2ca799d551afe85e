//! How a line ends: by either side, by a broken peer, by a cut, by a deadline, by dropping the socket.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use trunkline_ws::{CloseCode, Deadline, Error, Limits, ProtocolError, Role, Socket, UsageError};

use crate::raw::{close, pair, server};

fn code_and_reason(socket: &Socket) -> (u16, String) {
    let frame = socket.close_frame().expect("it has ended");
    (frame.code.0, frame.reason)
}

#[tokio::test]
async fn the_peer_closes() {
    for (payload, code, reason) in [(close(1001, "bye"), 1001, "bye"), (Vec::new(), 1005, "")] {
        let (mut socket, mut raw) = server();
        raw.write(0x81, b"last words").await;
        raw.write(0x88, &payload).await;
        let far = async {
            raw.expect(0x88, &payload).await;
            assert_eq!(raw.read().await, None, "a server ends the line");
            drop(raw);
        };
        let near = async {
            assert_eq!(socket.recv().await.expect("open"), Some("last words".into()));
            assert_eq!(socket.recv().await.expect("closed cleanly"), None);
            assert_eq!(socket.recv().await.expect("for ever"), None);
        };
        tokio::join!(far, near);
        assert_eq!(code_and_reason(&socket), (code, reason.to_owned()));
        let error = socket.send("late").await.expect_err("closed");
        assert!(matches!(&error, Error::Closed(frame) if frame.code.0 == code), "{error:?}");
        assert_eq!(error.close_code(), Some(CloseCode(code)));
        socket.close(1000, "").await.expect("nothing to do");
    }
}

#[tokio::test]
async fn we_close() {
    let (mut socket, mut raw) = server();
    raw.write(0x81, b"never seen").await;
    let far = async {
        raw.expect_close(4000, "enough").await;
        raw.write(0x88, &close(4000, "enough")).await;
        assert_eq!(raw.read().await, None);
        drop(raw);
    };
    let (closed, ()) = tokio::join!(socket.close(4000, "enough"), far);
    closed.expect("the peer answered");
    assert_eq!(code_and_reason(&socket), (4000, "enough".to_owned()));
    assert!(matches!(socket.recv().await, Ok(None)));
}

#[tokio::test]
async fn a_peer_that_breaks_the_protocol_is_told_so() {
    let (mut socket, mut raw) = server();
    raw.write(0x81, b"good").await;
    raw.write(0xF1, b"bad").await;
    let far = async {
        let error = ProtocolError::ReservedBits;
        raw.expect_close(1002, &error.to_string()).await;
        assert_eq!(raw.read().await, None);
        drop(raw);
    };
    let near = async {
        assert_eq!(socket.recv().await.expect("open"), Some("good".into()));
        let error = socket.recv().await.expect_err("the peer is broken");
        assert!(matches!(error, Error::Protocol(ProtocolError::ReservedBits)), "{error:?}");
    };
    tokio::join!(far, near);
    assert_eq!(code_and_reason(&socket).0, 1002);
}

#[tokio::test]
async fn a_line_that_is_cut() {
    let (mut socket, mut raw) = server();
    raw.write(0x81, b"whole").await;
    let partial = raw.frame(0x81, b"not whole");
    raw.stream.write_all(&partial[..10]).await.expect("open");
    drop(raw);
    assert_eq!(socket.recv().await.expect("it came before the cut"), Some("whole".into()));
    let error = socket.recv().await.expect_err("cut");
    assert!(matches!(error, Error::Lost(_)), "{error:?}");
    assert_eq!(error.close_code(), Some(CloseCode::ABNORMAL));
    assert_eq!(code_and_reason(&socket), (1006, String::new()));
    assert!(matches!(socket.send("x").await, Err(Error::Lost(_))));
}

/// Whatever goes wrong after the close frames does not change how the conversation ended.
#[tokio::test]
async fn a_peer_that_is_gone_before_it_has_our_answer() {
    let (mut socket, mut raw) = server();
    raw.write(0x88, &close(3000, "in a hurry")).await;
    drop(raw);
    assert!(matches!(socket.recv().await, Ok(None)));
    assert_eq!(code_and_reason(&socket), (3000, "in a hurry".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_our_close_frame() {
    for role in [Role::Server, Role::Client] {
        let (mut socket, raw) = pair(role, 1 << 10, Limits::default());
        let start = Instant::now();
        let error = socket.close(1000, "").await.expect_err("no answer");
        assert!(matches!(error, Error::Timeout(Deadline::Close)), "{error:?}");
        assert_eq!(start.elapsed(), Limits::default().close_timeout);
        assert_eq!(code_and_reason(&socket), (1006, String::new()));
        drop(raw);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_cannot_keep_us_from_closing() {
    let (mut socket, raw) = pair(Role::Server, 16, Limits::default());
    let sent = tokio::time::timeout(Duration::from_secs(1), socket.send(vec![0; 1 << 20])).await;
    assert!(sent.is_err(), "the peer reads nothing");
    let start = Instant::now();
    let error = socket.close(1000, "").await.expect_err("no answer");
    assert!(matches!(error, Error::Timeout(Deadline::Close)), "{error:?}");
    assert_eq!(start.elapsed(), Limits::default().close_timeout);
    drop(raw);
}

/// The hostile server's last trick: both close frames are exchanged, but TCP never ends.
#[tokio::test(start_paused = true)]
async fn a_server_that_never_ends_tcp() {
    let (mut socket, mut raw) = pair(Role::Client, 1 << 10, Limits::default());
    raw.write(0x88, &close(1000, "")).await;
    let start = Instant::now();
    assert!(matches!(socket.recv().await, Ok(None)));
    assert_eq!(start.elapsed(), Limits::default().close_timeout);
    assert_eq!(code_and_reason(&socket).0, 1000);
    raw.expect_close(1000, "").await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_goes_on_for_ever_after_its_close_frame() {
    let (mut socket, mut raw) = pair(Role::Server, 1 << 10, Limits::default());
    raw.write(0x88, b"").await;
    let endless = async {
        while raw.stream.write_all(&[0; 100]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await
        }
    };
    let start = Instant::now();
    let (end, ()) = tokio::join!(
        async {
            let end = socket.recv().await;
            drop(socket);
            end
        },
        endless
    );
    assert!(matches!(end, Ok(None)));
    assert!(start.elapsed() <= Limits::default().close_timeout + Duration::from_millis(2));
}

#[tokio::test]
async fn a_dropped_socket_says_goodbye() {
    let (mut socket, mut raw) = server();
    socket.send("last words").await.expect("open");
    drop(socket);
    raw.expect(0x81, b"last words").await;
    raw.expect_close(1000, "").await;
    raw.write(0x88, &close(1000, "")).await;
    assert_eq!(raw.read().await, None);
}

#[tokio::test]
async fn a_socket_dropped_by_a_panic_says_so() {
    let (socket, mut raw) = server();
    let task = tokio::spawn(async move {
        let _socket = socket;
        panic!("a bug in a handler");
    });
    task.await.expect_err("it panics");
    raw.expect_close(1011, "").await;
}

#[tokio::test]
async fn what_we_may_not_close_with() {
    let (mut socket, mut raw) = server();
    let code = socket.close(1006, "").await;
    assert!(matches!(code, Err(Error::Usage(UsageError::CloseCodeInvalid(1006)))));
    let reason = socket.close(1000, &"x".repeat(124)).await;
    assert!(matches!(reason, Err(Error::Usage(UsageError::CloseReasonTooLong(124)))));
    assert!(socket.is_open());
    socket.send("still here").await.expect("open");
    raw.expect(0x81, b"still here").await;
}

#[tokio::test]
async fn limits_are_told_with_their_code() {
    let limits = Limits { message_size_max: 10, ..Limits::default() };
    let (mut socket, mut raw) = pair(Role::Server, 1 << 10, limits);
    raw.write(0x81, b"eleven byte").await;
    let (message, frame) = tokio::join!(socket.recv(), async {
        let frame = raw.read().await;
        drop(raw);
        frame
    });
    assert!(matches!(message, Err(Error::Protocol(ProtocolError::MessageTooBig))), "{message:?}");
    assert_eq!(frame.map(|(_, payload)| payload[..2].to_vec()), Some(vec![3, 241]));
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_and_then_given_up() {
    let (mut socket, mut raw) = server();
    let start = Instant::now();
    let far = async {
        for _ in 0..3 {
            raw.expect(0x89, b"").await;
            raw.write(0x8A, b"").await;
        }
        assert_eq!(start.elapsed(), 3 * Limits::default().ping_interval);
        raw.write(0x81, b"a sign of life").await;
        raw.expect(0x89, b"").await;
    };
    let near = async {
        assert_eq!(socket.recv().await.expect("open"), Some("a sign of life".into()));
        socket.recv().await
    };
    let (end, ()) = tokio::join!(near, far);
    assert!(matches!(end, Err(Error::Lost(Some(std::io::ErrorKind::TimedOut)))), "{end:?}");
    let limits = Limits::default();
    assert_eq!(start.elapsed(), 4 * limits.ping_interval + limits.pong_timeout);
}

#[tokio::test(start_paused = true)]
async fn a_peer_may_be_silent_for_ever_if_that_is_wanted() {
    let limits = Limits { ping_interval: Duration::MAX, ..Limits::default() };
    let (mut socket, _raw) = pair(Role::Server, 1 << 10, limits);
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    assert!(tokio::time::timeout(year, socket.recv()).await.is_err());
}
