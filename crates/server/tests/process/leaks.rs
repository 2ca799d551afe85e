//! Connections leave nothing behind: after thousands of them the process holds as many files as before, and a
//! server that was full has places again.

use serde_json::json;

use crate::client::{Client, check_alive};
use crate::http::get;
use crate::patience::until;
use crate::raw::{BINARY, CLOSE, Raw, TEXT, frame, handshake};
use crate::server::{Folder, Server};

const CYCLES: usize = 2_000;

/// What the process holds open, or `None` where the system does not say.
fn open_files(server: &Server) -> Option<usize> {
    Some(std::fs::read_dir(format!("/proc/{}/fd", server.pid())).ok()?.count())
}

#[tokio::test]
async fn connections_leave_no_open_file_behind() {
    let folder = Folder::new();
    let server = Server::with_workers(&folder, 2);
    // The threads of the store open their files when they are first asked something.
    for cycle in 0..CYCLES / 10 {
        one(&server, cycle).await;
    }
    let Some(before) = settled(&server).await else {
        eprintln!("skipped: this system has no /proc to count open files in");
        return;
    };
    for cycle in 0..CYCLES {
        one(&server, cycle).await;
    }
    let after = settled(&server).await.expect("it said so before");
    assert_eq!(after, before, "files are open");
    check_alive(&server).await;
}

/// How many files are open once those of the last connection are closed.
async fn settled(server: &Server) -> Option<usize> {
    let mut last = open_files(server)?;
    let mut calm = 0;
    let look = || {
        let now = open_files(server)?;
        calm = if now == last { calm + 1 } else { 0 };
        last = now;
        (calm > 50).then_some(now)
    };
    Some(until("a number that stays", look).await)
}

/// A connection that comes and goes in one of many ways.
async fn one(server: &Server, cycle: usize) {
    let subscribe = frame(TEXT, br#"{"type":"subscribe","channel":"chat:a","last":3}"#);
    let publish = frame(TEXT, br#"{"type":"publish","channel":"chat:a","data":1}"#);
    match cycle % 10 {
        0 => {
            let mut client = Client::open(server).await;
            client.ask(json!({ "type": "subscribe", "channel": "chat:a" })).await;
            client.close().await;
        }
        1 => drop(Raw::upgraded(server, "/ws").await),
        2 => {
            let mut raw = Raw::upgraded(server, "/ws").await;
            raw.write(&[subscribe, publish].concat()).await;
        }
        3 => {
            let mut raw = Raw::connect(server).await;
            raw.write(&handshake(server, "/ws", &[]).as_bytes()[..50]).await;
        }
        4 => {
            let mut raw = Raw::connect(server).await;
            raw.write(handshake(server, "/room/x", &[]).as_bytes()).await;
        }
        5 => {
            let mut raw = Raw::upgraded(server, "/room/x").await;
            raw.send(CLOSE, &1000u16.to_be_bytes()).await;
            assert_eq!(raw.closed().await.map(|(code, _)| code), Some(1000));
        }
        6 => {
            let mut raw = Raw::upgraded(server, "/ws").await;
            raw.send(BINARY, b"no command").await;
            assert_eq!(raw.closed().await.map(|(code, _)| code), Some(4400));
        }
        7 => {
            let mut raw = Raw::upgraded(server, "/ws").await;
            raw.write(&[&subscribe[..], &publish[..7]].concat()).await;
            raw.stream.set_zero_linger().expect("a TCP option");
        }
        8 => drop(Raw::connect(server).await),
        _ => assert_eq!(get(server, "/api/v1/channels/chat:a/messages?limit=1").await.status, 200),
    }
}

/// Connections are limited by the files that the process may open: above that one is told so, and those that
/// are in go on.
#[tokio::test]
async fn a_full_server_says_so_and_has_places_again() {
    let folder = Folder::new();
    let server = Server::with_files(&folder, 128);
    for _ in 0..3 {
        let mut inside = Client::open(&server).await;
        inside.ask(json!({ "type": "subscribe", "channel": "chat:a" })).await;
        let mut idle = Vec::new();
        let refused = loop {
            assert!(idle.len() < 128, "it took more connections than it has files");
            let mut raw = Raw::connect(&server).await;
            raw.try_write(handshake(&server, "/ws", &[]).as_bytes()).await;
            match raw.response().await {
                Some(response) if response.status == 101 => idle.push(raw),
                other => break other,
            }
        };
        // The refusal may be cut off by the reset of a line whose request nobody has read.
        if let Some(refused) = refused {
            assert_eq!(refused.status, 503, "{refused:?}");
            assert!(refused.header("retry-after").is_some(), "{refused:?}");
        }
        assert!(idle.len() >= 32, "{} places", idle.len());
        let published = inside.publish("chat:a", &json!("still in")).await;
        assert_eq!(published["type"], "published", "{published}");
        drop(idle);
        drop(inside);
        settled(&server).await;
        check_alive(&server).await;
    }
}
