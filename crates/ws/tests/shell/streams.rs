//! Streams that are no TCP sockets: one that holds back what it is given until it is flushed, as TLS does.

use std::time::Duration;

use tokio::io::BufWriter;
use tokio::time::timeout;
use trunkline_ws::{Limits, Role, Socket};

use crate::raw::{Raw, close, poll_once};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_stream_that_buffers_is_flushed() {
    let (near, far) = tokio::io::duplex(1 << 20);
    let mut socket = Socket::new(Role::Server, BufWriter::new(near), Vec::new(), Limits::default());
    let mut raw = Raw::new(far, Role::Client);
    socket.send("sent").await.expect("open");
    timeout(MINUTE, raw.expect(0x81, b"sent")).await.expect("it has left");
    raw.write(0x89, b"ping").await;
    assert!(poll_once(socket.recv()).is_pending());
    timeout(MINUTE, raw.expect(0x8A, b"ping")).await.expect("it has left");
    let far = async {
        raw.expect_close(1000, "").await;
        raw.write(0x88, &close(1000, "")).await;
        drop(raw);
    };
    let (closed, told) = tokio::join!(socket.close(1000, ""), timeout(MINUTE, far));
    told.expect("it has left");
    closed.expect("the peer answered");
}
