//! A store that holds less than its clients were told: a restored backup, a database without its write-ahead log, a file
//! that was exchanged. Who knew more hears `rewound`, with the last offset that is still right; nobody else does.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::Client;
use crate::server::{Folder, Server, run};

const CHANNEL: &str = "chat:a";

/// Publishes so many, and gives the position of the last.
async fn publish(client: &mut Client, count: usize) -> Value {
    let mut last = Value::Null;
    for _ in 0..count {
        let answer = client.ask(json!({ "type": "publish", "channel": CHANNEL, "data": 1 })).await;
        assert_eq!(answer["type"], "published", "{answer}");
        last = json!({ "epoch": answer["epoch"], "offset": answer["offset"] });
    }
    last
}

/// What who comes back with `since` is told: whether it is recovered, why not, and what it may keep.
async fn resume(server: &Server, since: &Value) -> (Value, Value, Value) {
    let mut client = Client::open(server).await;
    let answer = client.ask(json!({ "type": "subscribe", "channel": CHANNEL, "since": since })).await;
    (answer["recovered"].clone(), answer["reason"].clone(), answer["keep"].clone())
}

/// The same epoch, at another offset.
fn at(position: &Value, offset: u64) -> Value {
    json!({ "epoch": position["epoch"], "offset": offset })
}

async fn tool(arguments: &[&str], code: i32) -> String {
    let output = run(arguments, "").await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    said
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().expect("a temporary path is text")
}

#[tokio::test]
async fn a_restored_backup_tells_each_what_is_gone() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut client = Client::open(&server).await;
    publish(&mut client, 5).await;
    let backup = folder.path().join("backup.db");
    tool(&["backup", text(&backup), "--data", text(&folder.data())], 0).await;
    let said = tool(&["backup", text(&backup), "--data", text(&folder.data())], 1).await;
    assert!(said.contains("backup.db"), "a backup is never written over: {said}");
    let last = publish(&mut client, 3).await;
    assert_eq!(last["offset"], 8);
    drop(server);

    let said = tool(&["restore", text(&backup), "--data", text(&folder.data())], 1).await;
    assert!(said.contains("trunkline.db"), "a database is never written over: {said}");
    fs::rename(folder.data(), folder.path().join("old")).expect("it can be moved");
    tool(&["restore", text(&backup), "--data", text(&folder.data())], 0).await;

    let server = Server::start(&folder);
    let told = (json!(false), json!("rewound"), json!(5));
    assert_eq!(resume(&server, &last).await, told);
    assert_eq!(resume(&server, &at(&last, 6)).await, told);
    assert_eq!(resume(&server, &at(&last, 5)).await, (json!(true), Value::Null, Value::Null));
    assert_eq!(resume(&server, &at(&last, 2)).await.0, true);
    // The new log grows past what they know; they are told all the same, and only they.
    let new = publish(&mut Client::open(&server).await, 6).await;
    assert_eq!(new["offset"], 11);
    assert_eq!(resume(&server, &last).await, told);
    assert_eq!(resume(&server, &at(&last, 5)).await.0, true);
    assert_eq!(resume(&server, &new).await.0, true);
}

#[tokio::test]
async fn a_database_without_its_log_tells_each_what_is_gone() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let early = publish(&mut Client::open(&server).await, 4).await;
    // An orderly end brings all of it into the file.
    server.signal(Signal::TERM);
    let (status, _) = server.ended().await;
    assert!(status.success());
    let server = Server::start(&folder);
    let last = publish(&mut Client::open(&server).await, 3).await;
    server.kill();
    let log = folder.data().join("trunkline.db-wal");
    assert!(fs::metadata(&log).is_ok_and(|file| file.len() > 0), "there is something to lose");
    fs::remove_file(&log).expect("it can be removed");

    let server = Server::start(&folder);
    assert_eq!(
        resume(&server, &last).await,
        (json!(false), json!("rewound"), Value::Null),
        "all of its epoch is gone"
    );
    assert_eq!(resume(&server, &early).await.0, true);
    assert_eq!(resume(&server, &at(&early, 1)).await.0, true);
}

#[tokio::test]
async fn a_file_that_was_exchanged_is_not_written_to_and_then_tells() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut client = Client::open(&server).await;
    publish(&mut client, 2).await;
    let backup = folder.path().join("backup.db");
    tool(&["backup", text(&backup), "--data", text(&folder.data())], 0).await;
    let last = publish(&mut client, 2).await;
    fs::rename(&backup, folder.data().join("trunkline.db")).expect("it can be moved");

    let refused = client.ask(json!({ "type": "publish", "channel": CHANNEL, "data": 1 })).await;
    assert_eq!(refused["code"], "not_available", "{refused}");
    let said = refused["message"].as_str().unwrap_or_default();
    assert!(said.contains("replaced while it was in use"), "{said}");
    drop(server);
    for name in ["trunkline.db-wal", "trunkline.db-shm"] {
        // They are the old file's.
        let _ = fs::remove_file(folder.data().join(name));
    }
    let server = Server::start(&folder);
    assert_eq!(resume(&server, &last).await, (json!(false), json!("rewound"), json!(2)));
    assert_eq!(resume(&server, &at(&last, 2)).await.0, true);
}
