//! Much at once: what one turn or one resume brings may be more than an outbox holds, and still nobody who reads is
//! cut off, and nobody who does not costs more than their share.

use rustix::process::Signal;
use serde_json::{Map, Value, json};

use crate::client::{Client, check_alive};
use crate::http;
use crate::server::{Folder, Server};

/// A payload just under the default limit of a namespace.
const SIZE: usize = 16_000;

/// 72 publishers whose publishes all wait in their sockets when the server looks: one turn brings 4.6 MB for a subscriber
/// that reads.
#[tokio::test]
async fn a_burst_larger_than_an_outbox_cuts_nobody_off_who_reads() {
    const PUBLISHERS: usize = 72;
    const EACH: usize = 4;
    let folder = Folder::new();
    let server = Server::with_workers(&folder, 1);
    let mut subscriber = Client::open(&server).await;
    subscriber.ask(json!({ "type": "subscribe", "channel": "room:burst" })).await;
    let mut publishers = Vec::new();
    for _ in 0..PUBLISHERS {
        publishers.push(Client::open(&server).await);
    }
    server.signal(Signal::STOP);
    for publisher in &mut publishers {
        for _ in 0..EACH {
            let data = "x".repeat(SIZE);
            publisher.send(&json!({ "type": "publish", "channel": "room:burst", "data": data })).await;
        }
    }
    server.signal(Signal::CONT);
    for _ in 0..PUBLISHERS * EACH {
        assert_eq!(subscriber.next().await["type"], "message");
    }
    assert_eq!(subscriber.ask(json!({ "type": "ping" })).await["type"], "pong");
}

/// 24 channels, each with most of a replay's megabyte: 23 MB after one `connect`, for a client that takes its time.
#[tokio::test]
async fn a_resume_larger_than_an_outbox_ends_where_the_logs_are() {
    const CHANNELS: u64 = 24;
    const EACH: u64 = 60;
    let folder = Folder::new();
    let server = Server::with_workers(&folder, 2);
    let mut publisher = Client::open(&server).await;
    let data = json!("x".repeat(SIZE));
    for channel in 0..CHANNELS {
        for _ in 0..EACH {
            publisher.publish(&format!("chat:{channel}"), &data).await;
        }
    }
    let since = json!({ "since": { "epoch": "0", "offset": 0 } });
    let subscribe: Map<String, Value> =
        (0..CHANNELS).map(|channel| (format!("chat:{channel}"), since.clone())).collect();
    let mut client = Client::open(&server).await;
    client.send(&json!({ "type": "connect", "subscribe": subscribe })).await;
    for _ in 0..50 {
        check_alive(&server).await;
    }
    assert_eq!(client.next().await["type"], "welcome");
    for _ in 0..CHANNELS {
        let subscribed = client.next().await;
        assert_eq!((&subscribed["recovered"], &subscribed["replay"]), (&json!(true), &json!(EACH)));
        for offset in 1..=EACH {
            let heard = client.next().await;
            assert_eq!((&heard["channel"], &heard["offset"]), (&subscribed["channel"], &json!(offset)));
        }
    }
    assert_eq!(client.ask(json!({ "type": "ping" })).await["type"], "pong");
}

/// Each of these would have been a whole page.
#[tokio::test]
async fn a_connect_that_names_a_channel_a_thousand_times_is_refused() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut client = Client::open(&server).await;
    for (count, code) in [(1_000, "limit_exceeded"), (2, "bad_request")] {
        let names = vec![r#""chat:a":{"last":999}"#; count].join(",");
        client.say(&format!(r#"{{"type":"connect","subscribe":{{{names}}}}}"#)).await;
        let refused = client.next().await;
        assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!(code)), "{refused}");
    }
    client.send(&json!({ "type": "connect" })).await;
    assert_eq!(client.next().await["type"], "welcome", "the line stays");
    check_alive(&server).await;
}

/// What a namespace allows goes through every way in.
#[tokio::test]
async fn a_larger_message_limit_holds_over_http_too() {
    let folder =
        Folder::with_config("[namespace.large]\nkind = \"log\"\nlimits = { message = \"256KiB\" }\n");
    let server = Server::start(&folder);
    let post = async |size: usize| http::post(&server, "large:a", &json!({ "data": "x".repeat(size) })).await;
    assert_eq!(post(256 * 1024 - 2).await.status, 200);
    post(256 * 1024).await.expect_problem(413, "too_large");
    post(2 << 20).await.expect_problem(413, "too_large");
}
