//! `send_json` and `recv_json`.

use serde_json::{Value, json};
use trunkline_ws::Error;

use crate::raw::{close, server};

#[tokio::test]
async fn json_in_one_call() {
    let (mut socket, mut raw) = server();
    socket.send_json(&json!({ "type": "chat", "text": "Hi" })).await.expect("open");
    assert_eq!(raw.read().await, Some((0x81, br#"{"text":"Hi","type":"chat"}"#.to_vec())));
    raw.write(0x81, br#"{"n":1}"#).await;
    raw.write(0x82, br#"{"n":2}"#).await;
    raw.write(0x81, b"not json").await;
    raw.write(0x81, b"3").await;
    raw.write(0x88, &close(1000, "")).await;
    assert_eq!(socket.recv_json::<Value>().await.expect("JSON"), json!({ "n": 1 }));
    assert_eq!(socket.recv_json::<Value>().await.expect("JSON in bytes"), json!({ "n": 2 }));
    assert!(matches!(socket.recv_json::<Value>().await, Err(Error::Json(_))));
    assert_eq!(socket.recv_json::<u8>().await.expect("the socket stays open"), 3);
    drop(raw);
    let end = socket.recv_json::<Value>().await.expect_err("closed");
    assert!(matches!(&end, Error::Closed(frame) if frame.code.0 == 1000), "{end:?}");
}
