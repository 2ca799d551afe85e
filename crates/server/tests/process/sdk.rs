//! The Rust SDK against the server as a process: the program of its README, lines that are cut, servers that end and come
//! back. Its rules are tested without a socket in its own crate.

mod drain;
mod forwarder;
mod kill;
mod ledger;
mod readme;

use serde_json::json;
use trunkline_client::{
    Client, Closed, Connect, Error, Limits, Notice, Offset, PublishError, Subscription, Update, ws,
};

use crate::patience::soon;
use crate::server::{Folder, Server, run};
use forwarder::Forwarder;

/// Waits that are worth waiting for in a test.
fn hasty() -> Limits {
    Limits {
        backoff_first: std::time::Duration::from_millis(10),
        backoff_max: std::time::Duration::from_millis(80),
        ..Limits::default()
    }
}

fn connect(url: &str) -> Client {
    Client::with(connection(url), hasty())
}

fn connection(url: &str) -> Connect {
    ws::connect(url)
}

#[tokio::test]
async fn the_readmes_program_runs() {
    let readme = include_str!("../../../client/README.md");
    let program = include_str!("sdk/readme.rs");
    let (_head, code) = program.split_once("\n\n").expect("the head ends");
    assert!(readme.contains(&format!("```rust\n{code}```")), "README.md shows this program:\n{code}");
    let folder = Folder::new();
    let server = Server::start(&folder);
    soon("the program's end", readme::hello(&server.url("/ws"))).await.expect("it runs");
}

#[tokio::test]
async fn a_subscription_goes_on_over_a_restart() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let forwarder = Forwarder::start().await;
    forwarder.lead_to(server.address());
    let client = connect(&forwarder.url());
    let chat = client.channel("chat:lobby").expect("a name");
    let mut updates = soon("a subscription", chat.subscribe()).await.expect("it is followed");
    let one = soon("an answer", chat.publish(json!({ "n": 1 }))).await.expect("it is stored");
    assert_eq!((one.offset(), one.duplicate), (Some(Offset(1)), false));

    server.kill();
    // What is published without a server waits for one, and what was published is followed from there.
    let two = tokio::spawn({
        let chat = chat.clone();
        async move { chat.publish(json!({ "n": 2 })).await }
    });
    let server = Server::start(&folder);
    forwarder.lead_to(server.address());
    let two = soon("an answer", two).await.expect("no panic").expect("it is stored");
    assert_eq!(two.offset(), Some(Offset(2)));
    assert_ne!(two.epoch(), one.epoch(), "each start begins an epoch");

    let mut seen = Vec::new();
    let mut notices = Vec::new();
    while seen.len() < 2 {
        match soon("an update", updates.next()).await.expect("it goes on") {
            Update::Message(message) => seen.push(message.position()),
            Update::Notice(notice) => notices.push(notice),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, [one.position, two.position]);
    assert!(matches!(notices[..], [Notice::Recovered { .. }]), "{notices:?}");
    let page = soon("a page", chat.newest(10)).await.expect("there is one");
    assert_eq!((page.lo, page.hi, page.items.len()), (Offset(1), Offset(2), 2));
    soon("the end", client.close()).await;
    assert_eq!(updates.next().await, Err(Error::Closed(Closed::ByUs)));
}

#[tokio::test]
async fn a_key_of_ones_own_is_stored_once() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = connect(&server.url("/ws"));
    let chat = client.channel("chat:lobby").expect("a name");
    let first = soon("an answer", chat.publish_once("order-42", "one")).await.expect("it is stored");
    let again = soon("an answer", chat.publish_once("order-42", "one")).await.expect("it was stored");
    assert_eq!((first.duplicate, again.duplicate), (false, true));
    assert_eq!(first.position, again.position);
}

#[tokio::test]
async fn what_is_refused_says_why() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = connect(&server.url("/ws"));
    soon("a session", client.online()).await.expect("there is one");
    let nowhere = client.channel("nowhere:x").expect("a name");
    let refused = soon("an answer", nowhere.publish("x")).await;
    let Err(Error::Publish(PublishError::Refused(refusal))) = refused else { panic!("{refused:?}") };
    assert_eq!(&*refusal.code, "unknown_namespace");
    let refused = soon("an answer", nowhere.subscribe()).await.map(|_| ());
    let Err(Error::Unsubscribed(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!(&*refusal.code, "unknown_namespace");
    let chat = client.channel("chat:lobby").expect("a name");
    let large = soon("an answer", chat.publish("x".repeat(16_385))).await;
    let expected = PublishError::TooLarge { size: 16_385, size_max: 16_384 };
    assert_eq!(large, Err(Error::Publish(expected)));
    let first = soon("a subscription", chat.subscribe()).await.expect("it is followed");
    let second = soon("an answer", chat.subscribe()).await.map(|_| ());
    assert_eq!(second, Err(Error::SubscribedAlready));
    drop(first);
    soon("a subscription", chat.subscribe()).await.expect("the first one is gone");
}

/// A backup is restored that is older than what everyone has seen: all are told from where, and what is gone comes back
/// from its author, under the same keys.
#[tokio::test]
async fn what_a_restored_backup_lacks_comes_back_from_its_author() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let forwarder = Forwarder::start().await;
    forwarder.lead_to(server.address());
    let (author, reader) = (connect(&forwarder.url()), connect(&forwarder.url()));
    let chat = author.channel("chat:lobby").expect("a name");
    let mut own = soon("a subscription", chat.subscribe()).await.expect("it is followed");
    let read = reader.channel("chat:lobby").expect("a name");
    let mut updates = soon("a subscription", read.subscribe()).await.expect("it is followed");
    let mut keys = Vec::new();
    let mut say = async |count: usize| {
        for _ in 0..count {
            let receipt = soon("an answer", chat.publish(json!("x"))).await.expect("it is stored");
            keys.push(receipt.key);
        }
    };
    say(5).await;
    let (data, backup) = (folder.data(), folder.path().join("backup.db"));
    let (data, backup) = (data.to_str().expect("UTF-8"), backup.to_str().expect("UTF-8"));
    assert!(run(&["backup", backup, "--data", data], "").await.status.success());
    say(3).await;
    for updates in [&mut own, &mut updates] {
        assert_eq!(story(updates, 8).await, ["1", "2", "3", "4", "5", "6", "7", "8"]);
    }
    server.kill();
    std::fs::rename(data, folder.path().join("old")).expect("it can be moved");
    assert!(run(&["restore", backup, "--data", data], "").await.status.success());
    let server = Server::start(&folder);
    forwarder.lead_to(server.address());
    for updates in [&mut own, &mut updates] {
        assert_eq!(story(updates, 4).await, ["Rewound { keep: Some(#5) }", "6", "7", "8"]);
    }
    let page = soon("a page", chat.newest(100)).await.expect("there is one");
    let stored: Vec<_> = page.items.into_iter().map(|item| item.key.expect("the SDK gives keys")).collect();
    assert_eq!(stored, keys, "all of it is back, once and in order");
}

/// The offsets of the messages, and the notices between them. That nothing was missed is no news.
async fn story(updates: &mut Subscription, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    while told.len() < count {
        match soon("an update", updates.next()).await.expect("it goes on") {
            Update::Message(message) => told.push(message.offset.expect("a log has offsets").to_string()),
            Update::Notice(Notice::Recovered { .. }) => {}
            Update::Notice(notice) => told.push(format!("{notice:?}")),
            other => panic!("{other:?}"),
        }
    }
    told
}

/// A reader that takes nothing for a long time gets all of it afterwards, once and in order.
#[tokio::test]
async fn a_slow_reader_loses_nothing() {
    const COUNT: u64 = 4_000;
    let folder = Folder::new();
    let server = Server::start(&folder);
    // One connection alone may not send so many commands.
    let (reader, writers) = (connect(&server.url("/ws")), [(); 4].map(|()| connect(&server.url("/ws"))));
    let slow = reader.channel("chat:lobby").expect("a name");
    let mut updates = soon("a subscription", slow.subscribe()).await.expect("it is followed");
    let chats = writers.map(|writer| writer.channel("chat:lobby").expect("a name"));
    let mut sent = Vec::new();
    for (n, chat) in (0..COUNT).zip(chats.iter().cycle()) {
        let chat = chat.clone();
        sent.push(tokio::spawn(async move { chat.publish(json!(n)).await }));
        if sent.len() == 50 {
            for publish in sent.drain(..) {
                soon("an answer", publish).await.expect("no panic").expect("it is stored");
            }
        }
    }
    for expected in 1..=COUNT {
        let message = soon("a message", updates.next_message()).await.expect("it goes on");
        assert_eq!(message.offset, Some(Offset(expected)));
    }
}
