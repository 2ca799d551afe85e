//! The end of a server that is asked to end: what was read is answered, everyone is told, and the folder is free.

use rustix::process::Signal;
use serde_json::{Value, json};

use std::net::TcpStream;

use crate::client::{Client, check_alive};
use crate::http::get;
use crate::patience::until;
use crate::raw::{Raw, TEXT};
use crate::server::{Folder, Server};

#[tokio::test]
async fn sigterm_ends_it_in_order() {
    ends_in_order(Signal::TERM).await;
}

#[tokio::test]
async fn sigint_ends_it_in_order() {
    ends_in_order(Signal::INT).await;
}

async fn ends_in_order(signal: Signal) {
    let folder = Folder::new();
    let server = Server::with_workers(&folder, 2);
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = Client::open(&server).await;
        assert_eq!(
            client.ask(json!({ "type": "subscribe", "channel": "chat:a" })).await["type"],
            "subscribed"
        );
        clients.push(client);
    }
    let mut room = Raw::upgraded(&server, "/room/x").await;
    room.send(TEXT, b"joined").await;
    assert_eq!(room.text().await, "joined");
    let mut echo = Raw::upgraded(&server, "/echo").await;
    let mut kept = Raw::connect(&server).await;
    kept.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(kept.response().await.expect("an answer").status, 200);
    let mut silent = Raw::connect(&server).await;

    server.signal(signal);
    for client in &mut clients {
        assert_eq!(client.closed().await, 4503);
    }
    assert_eq!(room.closed().await.map(|(code, _)| code), Some(1012));
    assert_eq!(echo.closed().await.map(|(code, _)| code), Some(1012));
    assert!(kept.response().await.is_none() && silent.response().await.is_none(), "the lines end");
    let (status, said) = server.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(!said.contains("panicked") && !said.contains("ERROR"), "{said}");
    check_alive(&Server::start(&folder)).await;
}

/// Clients are asked to leave, and are served until they do; who does not is closed at the end.
#[tokio::test]
async fn clients_are_asked_to_leave_before_the_end_and_served_meanwhile() {
    let folder = Folder::with_config("[server]\ndrain = { within = \"2s\" }\n");
    let mut server = Server::with_workers(&folder, 2);
    let (mut stays, mut leaves) = (Client::open(&server).await, Client::open(&server).await);
    for client in [&mut stays, &mut leaves] {
        let subscribed = client.ask(json!({ "type": "subscribe", "channel": "chat:a" })).await;
        assert_eq!(subscribed["type"], "subscribed", "{subscribed}");
    }
    let mut room = Raw::upgraded(&server, "/room/x").await;
    server.signal(Signal::TERM);
    for client in [&mut stays, &mut leaves] {
        let goaway = client.next().await;
        assert_eq!((&goaway["type"], &goaway["code"]), (&json!("goaway"), &json!(4503)), "{goaway}");
        assert!((1..=2_000).contains(&goaway["within"].as_u64().expect("a time")), "{goaway}");
    }
    until("the listener is closed", || TcpStream::connect(server.address()).err()).await;
    // Publishes are taken as long as there is a line.
    let published = leaves.publish("chat:a", &json!("still here")).await;
    assert_eq!(published["type"], "published", "{published}");
    assert_eq!(stays.next().await["data"], "still here");
    leaves.close().await;
    assert!(server.has_ended().is_none(), "others are here still");
    assert_eq!(stays.closed().await, 4503);
    assert_eq!(room.closed().await.map(|(code, _)| code), Some(1012));
    let (status, said) = server.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
}

/// A balancer hears first that nobody should be sent here, and has its time to act on it.
#[tokio::test]
async fn it_says_that_it_is_not_ready_before_it_takes_no_one_any_more() {
    let folder = Folder::with_config("[server]\ndrain = { delay = \"2s\", within = \"10s\" }\n");
    let server = Server::start(&folder);
    assert_eq!(get(&server, "/health/ready").await.status, 200);
    server.signal(Signal::TERM);
    while get(&server, "/health/ready").await.status == 200 {}
    let not_ready = get(&server, "/health/ready").await;
    assert_eq!((not_ready.status, &*not_ready.body), (503, "the server is about to end\n"));
    assert_eq!(get(&server, "/health/live").await.status, 200);
    check_alive(&server).await;
    // When the last has left it ends, however much of its time is left.
    let (status, said) = server.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
}

/// Whoever is in a hurry says it twice.
#[tokio::test]
async fn a_second_signal_waits_for_nobody() {
    let folder = Folder::with_config("[server]\ndrain = { within = \"1h\" }\n");
    let server = Server::start(&folder);
    let mut client = Client::open(&server).await;
    client.ask(json!({ "type": "ping" })).await;
    server.signal(Signal::TERM);
    assert_eq!(client.next().await["type"], "goaway");
    server.signal(Signal::TERM);
    let (status, said) = server.ended().await;
    assert_eq!(status.code(), Some(143), "{said}");
}

/// What was read is answered and announced before the end: what is stored is just what was acknowledged, and
/// whoever listened has heard it.
#[tokio::test]
async fn publishes_that_were_read_are_answered_before_the_end() {
    let folder = Folder::new();
    for life in 0..6u64 {
        let server = Server::with_workers(&folder, 1 + life as usize % 3);
        let (before, mut listener) = listen(&server).await;
        let mut publishers = Vec::new();
        for _ in 0..3 {
            publishers.push(Client::open(&server).await);
        }
        for id in 0..200u64 {
            for publisher in &mut publishers {
                let command = json!({ "type": "publish", "id": id, "channel": "chat:a", "data": id });
                publisher.send(&command).await;
            }
        }
        // Some answers are there, others are on their way, and some commands may never be read.
        let first = publishers[0].next().await;
        assert_eq!(first["type"], "published", "{first}");
        server.signal(Signal::TERM);
        let mut acknowledged = vec![first["offset"].as_u64().expect("an offset")];
        for publisher in &mut publishers {
            while let Some(answer) = publisher.try_next().await {
                if answer["type"] == "published" {
                    acknowledged.push(answer["offset"].as_u64().expect("an offset"));
                } else {
                    assert_eq!(answer["code"], "draining", "stored, or told that it is not: {answer}");
                }
            }
            assert_eq!(publisher.close_code(), 4503);
        }
        let mut heard = Vec::new();
        while let Some(message) = listener.try_next().await {
            heard.push(message["offset"].as_u64().expect("an offset"));
        }
        assert_eq!(listener.close_code(), 4503);
        let (status, said) = server.ended().await;
        assert_eq!(status.code(), Some(0), "{said}");
        acknowledged.sort_unstable();

        let server = Server::start(&folder);
        let (after, _) = listen(&server).await;
        let stored: Vec<u64> = (before + 1..=after).collect();
        assert!(acknowledged == stored, "what is stored was answered, and what was answered is stored");
        let (last_heard, last) = (heard.last(), stored.last());
        assert!(heard == stored, "all is announced, not up to {last_heard:?} of {last:?} (life {life})");
        server.kill();
    }
}

/// Requests that do not come to an end, neither theirs nor ours, hold nobody up: not those who follow on the same worker, and
/// not the end.
#[tokio::test]
async fn requests_that_are_not_finished_do_not_hold_up_the_end() {
    let folder = Folder::with_config("[server]\ndrain = { within = \"1s\" }\n");
    let server = Server::with_workers(&folder, 1);
    let mut client = Client::open(&server).await;
    client.ask(json!({ "type": "subscribe", "channel": "chat:a" })).await;
    let mut lines = Vec::new();
    for half in [
        "GET /health/live HTTP/1.1\r\nHost:",
        "POST /api/v1/channels/chat:a/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: 100\r\n\r\n{",
    ] {
        let mut raw = Raw::connect(&server).await;
        raw.write(half.as_bytes()).await;
        lines.push(raw);
    }
    // They are read once this is answered, which came after them.
    assert_eq!(get(&server, "/health/live").await.status, 200);
    server.signal(Signal::TERM);
    assert_eq!(client.next().await["type"], "goaway");
    let published = client.publish("chat:a", &json!("still here")).await;
    assert_eq!(published["type"], "published", "{published}");
    assert_eq!(client.next().await["data"], "still here");
    assert_eq!(client.closed().await, 4503);
    let (status, said) = server.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
}

/// A new subscriber, and where the log stands.
async fn listen(server: &Server) -> (u64, Client) {
    let mut client = Client::open(server).await;
    let subscribed: Value = client.ask(json!({ "type": "subscribe", "channel": "chat:a" })).await;
    (subscribed["offset"].as_u64().expect("an offset"), client)
}

/// Whoever starts it may end it as soon as it says that it is ready.
#[tokio::test]
async fn a_signal_right_after_ready_is_heeded() {
    let folder = Folder::new();
    for signal in [Signal::TERM, Signal::INT].repeat(15) {
        let server = Server::start(&folder);
        server.signal(signal);
        let (status, said) = server.ended().await;
        assert_eq!(status.code(), Some(0), "{signal:?}: {status:?} {said}");
    }
}

/// A second Ctrl-C does not wait for anybody.
#[tokio::test]
async fn a_second_interrupt_ends_it_at_once() {
    let folder = Folder::new();
    let mut server = Server::start(&folder);
    let silent = Raw::upgraded(&server, "/ws").await;
    let status = until("the end of the server", || {
        server.signal(Signal::INT);
        server.has_ended()
    });
    assert_eq!(status.await.code(), Some(130));
    drop(silent);
    check_alive(&Server::start(&folder)).await;
}

/// One that does not answer the close frame is not waited for longer than the deadline.
#[tokio::test]
async fn a_client_that_says_nothing_does_not_keep_it_alive() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let raw = Raw::upgraded(&server, "/ws").await;
    let half = {
        let mut raw = Raw::connect(&server).await;
        raw.write(b"POST /api/v1/channels/chat:a/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
            .await;
        raw
    };
    server.signal(Signal::TERM);
    let (status, said) = server.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
    drop((raw, half));
}
