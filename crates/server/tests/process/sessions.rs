//! A session by more than one connection: the newest stays.

use serde_json::{Value, json};

use crate::client::Client;
use crate::server::{Folder, Server};

async fn connected(server: &Server, session: &Value) -> (Client, Value) {
    let mut client = Client::open(server).await;
    let welcome = client.ask(json!({ "type": "connect", "session": session })).await;
    assert_eq!(welcome["type"], "welcome", "{welcome}");
    (client, welcome)
}

async fn answers(client: &mut Client) {
    let pong = client.ask(json!({ "type": "ping" })).await;
    assert_eq!(pong["type"], "pong", "{pong}");
}

#[tokio::test]
async fn a_newer_connection_closes_the_older_with_4409() {
    let folder = Folder::new();
    // More workers than connections of a session, so that they and its keeper meet in every way.
    let server = Server::with_workers(&folder, 4);
    for _ in 0..16 {
        let (mut other, _) = connected(&server, &Value::Null).await;
        let (mut older, welcome) = connected(&server, &Value::Null).await;
        let subscribed = older.ask(json!({ "type": "subscribe", "channel": "chat:lobby" })).await;
        assert_eq!(subscribed["type"], "subscribed", "{subscribed}");
        for _ in 0..3 {
            let (newer, again) = connected(&server, &welcome["session"]).await;
            assert_eq!(again["client"], welcome["client"]);
            assert_eq!(older.closed().await, 4409);
            older = newer;
        }
        answers(&mut older).await;
        answers(&mut other).await;
    }
}

#[tokio::test]
async fn a_line_that_was_just_lost_does_not_close_the_new_one() {
    let folder = Folder::new();
    let server = Server::with_workers(&folder, 2);
    let (mut client, welcome) = connected(&server, &Value::Null).await;
    for _ in 0..100 {
        drop(client);
        (client, _) = connected(&server, &welcome["session"]).await;
    }
    answers(&mut client).await;
}
