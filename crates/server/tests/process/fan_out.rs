//! Many subscribers and publishers over several workers: everyone gets everything of their channels, once and in
//! order, whoever else is slow, comes or goes.

use std::collections::HashMap;

use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;

use crate::client::{Client, check_alive};
use crate::patience::soon;
use crate::raw::{Raw, TEXT};
use crate::rng::Rng;
use crate::server::{Folder, Server};

const SUBSCRIBERS: usize = 60;
const CHANNELS: usize = 10;
/// Channels that one subscriber follows.
const FOLLOWED: usize = 3;
const PUBLISHERS: usize = 5;
/// What one publisher publishes to each channel.
const EACH: u64 = 20;
const ALL: u64 = EACH * PUBLISHERS as u64;

fn name(channel: usize) -> String {
    format!("chat:{}", channel % CHANNELS)
}

#[tokio::test]
async fn everyone_gets_everything_with_1_worker() {
    fan_out(1).await;
}

#[tokio::test]
async fn everyone_gets_everything_with_2_workers() {
    fan_out(2).await;
}

#[tokio::test]
async fn everyone_gets_everything_with_4_workers() {
    fan_out(4).await;
}

/// Every second has agreed on compression, and everything is compressed for it.
#[tokio::test]
async fn everyone_gets_everything_compressed_or_not() {
    let folder = Folder::with_config("[compression]\nsize_min = \"0B\"\n");
    fan_out_in(&folder, 2, true).await;
}

async fn fan_out(workers: usize) {
    fan_out_in(&Folder::new(), workers, false).await;
}

/// With `compressing` every second subscriber asks for compression.
async fn fan_out_in(folder: &Folder, workers: usize, compressing: bool) {
    let seed = Rng::seed();
    eprintln!("TRUNKLINE_TEST_SEED={seed}");
    let server = Server::with_workers(folder, workers);
    let mut subscribers = Vec::new();
    for me in 0..SUBSCRIBERS {
        let compresses = compressing && me % 2 == 0;
        let client =
            if compresses { Client::compressing(&server).await } else { Client::open(&server).await };
        let mut subscriber = Follower::new(client);
        for channel in me..me + FOLLOWED {
            subscriber.begin(&name(channel)).await;
        }
        // Every third goes away and comes back while it all happens.
        let restless = (me % 3 == 0).then(|| Rng::new(seed + me as u64));
        subscribers.push(tokio::spawn(subscriber.follow(restless)));
    }
    let mut publishers = Vec::new();
    for me in 0..PUBLISHERS {
        publishers.push(tokio::spawn(publish(Client::open(&server).await, me)));
    }
    let mut logs: HashMap<String, Vec<Value>> = HashMap::new();
    all(publishers).await;
    let mut reader = Client::open(&server).await;
    for channel in 0..CHANNELS {
        let page = reader
            .ask(json!({ "type": "history", "channel": name(channel), "after": 0, "limit": 1000 }))
            .await;
        let items = page["items"].as_array().expect("a page has items");
        assert_eq!((items.len() as u64, &page["top"]), (ALL, &json!(ALL)), "{}", name(channel));
        logs.insert(name(channel), items.iter().map(|item| item["data"].clone()).collect());
    }
    for heard in all(subscribers).await {
        assert_eq!(heard.len(), FOLLOWED);
        for (channel, heard) in heard {
            assert!(heard == logs[&channel], "{channel} has another past than a subscriber saw");
        }
    }
    check_alive(&server).await;
}

/// Publishes to all channels in turn, everything in flight at once, and checks that answers come in order.
async fn publish(mut client: Client, me: usize) {
    let total = EACH * CHANNELS as u64;
    for id in 0..total {
        let data = json!({ "by": me, "n": id });
        let channel = name(id as usize);
        client.send(&json!({ "type": "publish", "id": id, "channel": channel, "data": data })).await;
    }
    let mut last: HashMap<usize, (u64, u64)> = HashMap::new();
    for _ in 0..total {
        let answer = client.next().await;
        assert_eq!(answer["type"], "published", "{answer}");
        let (id, offset) =
            (answer["id"].as_u64().expect("an id"), answer["offset"].as_u64().expect("an offset"));
        let before = last.insert(id as usize % CHANNELS, (id, offset));
        let in_order = before.is_none_or(|(earlier, lower)| earlier < id && lower < offset);
        assert!(in_order, "{before:?} was answered before {answer}");
    }
}

/// A subscriber that checks offsets as they come.
struct Follower {
    client: Client,
    channels: HashMap<String, Followed>,
}

/// How far it knows a channel, and what it has heard of it.
struct Followed {
    stage: Stage,
    epoch: Value,
    offset: u64,
    heard: Vec<Value>,
}

/// ```text
///    In ──unsubscribe sent──▶ Leaving ──unsubscribed, subscribe sent──▶ Joining ──subscribed──▶ In
///    └───subscribe sent──▶ Replacing ──subscribed──▶ In
/// ```
#[derive(Clone, Copy)]
enum Stage {
    In,
    /// What still comes is taken.
    Leaving,
    /// Nothing may come.
    Joining,
    /// What still comes, from this offset on, comes again by replay.
    Replacing(u64),
}

impl Follower {
    fn new(client: Client) -> Self {
        Self { client, channels: HashMap::new() }
    }

    async fn begin(&mut self, channel: &str) {
        let subscribed = self.client.ask(json!({ "type": "subscribe", "channel": channel })).await;
        assert_eq!((&subscribed["type"], &subscribed["offset"]), (&json!("subscribed"), &json!(0)));
        let epoch = subscribed["epoch"].clone();
        self.channels
            .insert(channel.to_owned(), Followed { stage: Stage::In, epoch, offset: 0, heard: Vec::new() });
    }

    /// Listens until everything was heard. One that is restless leaves a channel now and then, and continues
    /// from the place it has.
    async fn follow(mut self, mut restless: Option<Rng>) -> HashMap<String, Vec<Value>> {
        while self.channels.values().any(|followed| followed.offset < ALL) {
            let message = self.client.next().await;
            let channel = message["channel"].as_str().expect("about a channel");
            let followed = self.channels.get_mut(channel).expect("a channel that is followed");
            let is_message = followed.take(&message);
            let mut next = None;
            if let (Stage::In, true, Some(rng)) = (followed.stage, is_message, &mut restless) {
                if rng.percent(10) {
                    followed.stage = Stage::Leaving;
                    next = Some(json!({ "type": "unsubscribe", "channel": channel }));
                } else if rng.percent(5) {
                    followed.stage = Stage::Replacing(followed.offset + 1);
                    next = Some(followed.subscribe(channel));
                }
            } else if message["type"] == "unsubscribed" {
                next = Some(followed.subscribe(channel));
            }
            if let Some(command) = next {
                self.client.send(&command).await;
            }
        }
        self.channels.into_iter().map(|(channel, followed)| (channel, followed.heard)).collect()
    }
}

impl Followed {
    fn subscribe(&self, channel: &str) -> Value {
        let since = json!({ "epoch": self.epoch, "offset": self.offset });
        json!({ "type": "subscribe", "channel": channel, "since": since })
    }

    /// Takes what the server says of the channel. Whether it was a publication that is new.
    fn take(&mut self, message: &Value) -> bool {
        match (message["type"].as_str(), self.stage) {
            (Some("unsubscribed"), Stage::Leaving) => self.stage = Stage::Joining,
            (Some("subscribed"), Stage::Joining | Stage::Replacing(_)) => {
                let missed = message["offset"].as_u64().expect("an offset") - self.offset;
                let said = (&message["recovered"], &message["replay"]);
                assert_eq!(said, (&json!(true), &json!(missed)), "{message}");
                self.stage = Stage::In;
            }
            (Some("message"), Stage::Replacing(expected)) => {
                assert_eq!(message["offset"], expected, "no gap and no double: {message}");
                self.stage = Stage::Replacing(expected + 1);
            }
            (Some("message"), Stage::In | Stage::Leaving) => {
                assert_eq!(message["offset"], self.offset + 1, "no gap and no double: {message}");
                self.offset += 1;
                if let Some(epoch) = message.get("epoch") {
                    self.epoch = epoch.clone();
                }
                self.heard.push(message["data"].clone());
                return true;
            }
            _ => panic!("not to be expected now: {message}"),
        }
        false
    }
}

async fn all<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut ended = Vec::new();
    for task in tasks {
        ended.push(soon("everyone to hear everything", task).await.expect("no panic"));
    }
    ended
}

/// The answer to a publish is there before the publication itself comes round.
#[tokio::test]
async fn an_answer_precedes_its_own_broadcast() {
    let folder = Folder::new();
    let server = Server::with_workers(&folder, 3);
    for channel in 0..6 {
        let mut client = Client::open(&server).await;
        client.ask(json!({ "type": "subscribe", "channel": name(channel) })).await;
        for id in 1..=60u64 {
            client.send(&json!({ "type": "publish", "id": id, "channel": name(channel), "data": id })).await;
        }
        let (mut answered, mut heard) = (0, 0);
        while heard < 60 {
            let message = client.next().await;
            match message["type"].as_str() {
                Some("published") => {
                    answered += 1;
                    assert_eq!((&message["id"], &message["offset"]), (&json!(answered), &json!(answered)));
                }
                _ => {
                    heard += 1;
                    assert_eq!((&message["data"], &message["offset"]), (&json!(heard), &json!(heard)));
                    assert!(heard <= answered, "{message} came before its answer");
                }
            }
        }
        client.close().await;
    }
}

/// A connection with a small receive buffer, which follows `channel` and reads nothing more for now.
async fn asleep(server: &Server, channel: &str) -> Raw {
    asleep_after(server, &json!({ "type": "subscribe", "channel": channel })).await
}

/// The same, after this subscribe.
pub(crate) async fn asleep_after(server: &Server, subscribe: &Value) -> Raw {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a TCP option");
    let connected = socket.connect(server.address()).await.expect("the server listens");
    let mut asleep = Raw::over(connected);
    asleep.upgrade(server, "/ws").await;
    asleep.send(TEXT, subscribe.to_string().as_bytes()).await;
    assert!(asleep.text().await.contains(r#""type":"subscribed""#));
    asleep
}

/// One that does not read keeps its place in a log: far more than its outbox holds comes when it reads again, each entry
/// once and in order, and then what is new. It delays nobody meanwhile, and costs an outbox at most.
#[tokio::test]
async fn a_subscriber_that_does_not_read_for_long_misses_nothing_and_delays_nobody() {
    const SIZE: usize = 200_000;
    const COUNT: u64 = 120;
    let folder =
        Folder::with_config("[namespace.large]\nkind = \"log\"\nlimits = { message = \"256KiB\" }\n");
    for workers in [1, 2] {
        let server = Server::with_workers(&folder, workers);
        let channel = format!("large:{workers}");
        let mut asleep = asleep(&server, &channel).await;
        let mut awake = Client::open(&server).await;
        awake.ask(json!({ "type": "subscribe", "channel": channel })).await;
        let mut publisher = Client::open(&server).await;
        for offset in 1..=COUNT {
            let answer = publisher.publish(&channel, &json!("x".repeat(SIZE))).await;
            assert_eq!(answer["offset"], offset, "{answer}");
            let heard = awake.next().await;
            assert_eq!((&heard["type"], &heard["offset"]), (&json!("message"), &json!(offset)));
        }
        if let Some(kib) = memory(&server) {
            assert!(kib < 60 << 10, "{kib} KiB while one of two subscribers sleeps on {} MB", COUNT / 5);
        }
        for offset in 1..=COUNT {
            let message = soon("the next entry", asleep.text()).await;
            let begin = format!(r#"{{"type":"message","channel":"{channel}","offset":{offset},"#);
            assert!(message.starts_with(&begin), "{} at {offset}", &message[..100]);
        }
        publisher.publish(&channel, &json!("live")).await;
        let message = soon("what is new", asleep.text()).await;
        assert!(message.contains(&format!(r#""offset":{},"#, COUNT + 1)), "{message}");
        check_alive(&server).await;
    }
}

/// The old way, where the namespace asks for it: it hears why, and misses nothing if it comes back soon.
#[tokio::test]
async fn a_slow_subscriber_is_closed_where_its_namespace_says_so() {
    const SIZE: usize = 200_000;
    let folder = Folder::with_config(
        "[namespace.large]\nkind = \"log\"\nslow = \"disconnect\"\nlimits = { message = \"256KiB\" }\n",
    );
    let server = Server::with_workers(&folder, 1);
    let mut asleep = asleep(&server, "large:a").await;
    let mut publisher = Client::open(&server).await;
    // More than an outbox and two sockets hold, many of them stored together.
    for id in 0..60 {
        let data = "x".repeat(SIZE);
        publisher.send(&json!({ "type": "publish", "id": id, "channel": "large:a", "data": data })).await;
    }
    for id in 0..60 {
        assert_eq!(publisher.answer(id).await["type"], "published");
    }
    let closed = soon("the end of the line", asleep.closed()).await;
    assert_eq!(closed.map(|(code, _)| code), Some(4508));
    check_alive(&server).await;
}

/// Of a signal, which is not kept, the newest are there when it reads again.
#[tokio::test]
async fn of_signals_the_newest_wait_for_a_slow_subscriber() {
    const SIZE: usize = 15_000;
    const COUNT: u64 = 1_000;
    let folder = Folder::with_config("[namespace.live]\nkind = \"signal\"\n");
    let server = Server::with_workers(&folder, 1);
    let mut asleep = asleep(&server, "live:a").await;
    let mut publisher = Client::open(&server).await;
    for number in 1..=COUNT {
        let data = format!("{number} {}", "x".repeat(SIZE));
        let answer = publisher.publish("live:a", &json!(data)).await;
        assert_eq!(answer["type"], "published", "{answer}");
    }
    let (mut heard, mut last) = (0, 0);
    while last < COUNT {
        let message = soon("the newest", asleep.text()).await;
        let message: Value = serde_json::from_str(&message).expect("JSON");
        let number = message["data"].as_str().and_then(|data| data.split(' ').next()?.parse().ok());
        let number: u64 = number.expect("a number");
        assert!(number > last, "{number} after {last}");
        (heard, last) = (heard + 1, number);
    }
    assert!(heard < COUNT, "all of {COUNT} were kept");
    check_alive(&server).await;
}

/// A connection that asks and never reads its answers: it is held, and nobody else is.
#[tokio::test]
async fn a_client_that_never_reads_its_answers_costs_little_and_delays_nobody() {
    let folder = Folder::new();
    let server = Server::with_workers(&folder, 1);
    let mut client = Client::open(&server).await;
    for _ in 0..20 {
        client.publish("chat:a", &json!("x".repeat(16_000))).await;
    }
    let question = crate::raw::frame(TEXT, br#"{"type":"history","id":1,"channel":"chat:a"}"#);
    let mut deaf = Raw::upgraded(&server, "/ws").await;
    // 320 KB of answer to each of 2,000 questions.
    deaf.write(&question.repeat(2_000)).await;
    for _ in 0..20 {
        check_alive(&server).await;
    }
    if let Some(kib) = memory(&server) {
        assert!(kib < 200_000, "{kib} KiB are held for one who never reads");
    }
    client.close().await;
}

/// What the process holds in memory, in KiB, where the system says so.
fn memory(server: &Server) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
