//! `kill -9` at random moments under load, and orderly restarts, with the SDK as the checker: what was acknowledged stands
//! where it was told to, and every subscriber has seen all of its log, once and in order, over all deaths.
//!
//! It shows what a killed process loses, not what a power cut does: the system keeps what was written.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tokio::sync::Notify;
use trunkline_client::Epoch;
use trunkline_client::{
    Channel, Client, Limits, Message, Notice, Offset, Position, Receipt, Subscription, Update,
};

use super::connection;
use super::forwarder::Forwarder;
use super::hasty;
use crate::patience::soon;
use crate::rng::Rng;
use crate::server::{Folder, Server};

const PUBLISHERS: usize = 64;
const SUBSCRIBERS: usize = 200;
const CHANNELS: usize = 8;

/// How often the server is killed, unless `TRUNKLINE_TEST_KILLS` says otherwise.
const KILLS: usize = 6;

/// Acknowledgements between two deaths, at most.
const LOAD_MAX: usize = 400;

/// A publication as it was sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Sent {
    by: usize,
    serial: u64,
}

/// What a publisher was told.
struct Acknowledged {
    sent: Sent,
    receipt: Receipt,
}

/// What stands in a log, or was seen of it: all from offset 1 on.
type Log = Vec<(Option<Epoch>, Sent)>;

#[derive(Default)]
struct Progress {
    acknowledged: AtomicUsize,
    changed: Notify,
    over: AtomicBool,
}

impl Progress {
    async fn reached(&self, target: usize) {
        while self.acknowledged.load(Ordering::Relaxed) < target {
            self.changed.notified().await;
        }
    }
}

/// How a server ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// At once, whatever is under way.
    Kill,
    /// It asks its clients to leave.
    Drain,
}

#[tokio::test]
async fn the_sdk_gets_all_of_it_over_any_number_of_deaths() {
    let kills = std::env::var("TRUNKLINE_TEST_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number"));
    over(kills, End::Kill).await;
}

#[tokio::test]
async fn the_sdk_gets_all_of_it_over_orderly_restarts() {
    over(2, End::Drain).await;
}

async fn over(kills: usize, end: End) {
    let seed = Rng::seed();
    eprintln!("TRUNKLINE_TEST_SEED={seed} TRUNKLINE_TEST_KILLS={kills}");
    let (began, mut rng) = (Instant::now(), Rng::new(seed));
    let folder = Folder::with_config("[server]\ndrain = { within = \"1s\" }\n");
    let forwarder = Forwarder::start().await;
    let progress = Arc::new(Progress::default());
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|me| tokio::spawn(publish(me, client(&forwarder), Arc::clone(&progress))))
        .collect();
    let subscribers: Vec<_> =
        (0..SUBSCRIBERS).map(|me| tokio::spawn(follow(me, client(&forwarder)))).collect();

    for life in 0..kills {
        let server = Server::with_workers(&folder, 1 + life % 3);
        forwarder.lead_to(server.address());
        let target = progress.acknowledged.load(Ordering::Relaxed) + rng.below(LOAD_MAX);
        soon("acknowledgements", progress.reached(target)).await;
        // Not to wait for anything: the moment of death should not be that of an answer.
        tokio::time::sleep(Duration::from_micros(rng.below(4_000) as u64)).await;
        if end == End::Kill {
            server.kill();
            continue;
        }
        server.signal(Signal::TERM);
        let (status, said) = server.ended().await;
        assert_eq!(status.code(), Some(0), "{said}");
    }

    let server = Server::with_workers(&folder, 2);
    forwarder.lead_to(server.address());
    progress.over.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for publisher in publishers {
        acknowledged.extend(soon("a publisher's last answer", publisher).await.expect("no panic"));
    }
    let logs = read(&client(&forwarder)).await;
    let (entries, again) = check_acknowledged(&logs, &acknowledged);
    // The last entry of each log tells its subscribers that it is over.
    let reader = client(&forwarder);
    for channel in 0..CHANNELS {
        soon("an answer", channel_of(&reader, channel).publish(json!("over"))).await.expect("it is stored");
    }
    let mut seen = 0;
    let mut notices = 0;
    for (me, subscriber) in subscribers.into_iter().enumerate() {
        let (log, told) = soon("a subscriber's end", subscriber).await.expect("no panic");
        assert!(log == logs[me / 2 % CHANNELS], "subscriber {me} has seen all of its log, once and in order");
        seen += log.len();
        notices += told;
    }
    eprintln!(
        "{kills} kills: {} acknowledged ({again} of them on a second attempt), {entries} entries, {seen} seen by {SUBSCRIBERS} \
         subscribers over {notices} recoveries, in {:.1} s",
        acknowledged.len(),
        began.elapsed().as_secs_f32()
    );
}

/// Everything that is missing is fetched, however much it is.
fn client(forwarder: &Forwarder) -> Client {
    Client::with(connection(&forwarder.url()), Limits { fill: u64::MAX, ..hasty() })
}

fn channel_of(client: &Client, number: usize) -> Channel {
    client.channel(&format!("chat:{}", number % CHANNELS)).expect("a name")
}

/// Publishes, three at a time, until it is over.
async fn publish(me: usize, client: Client, progress: Arc<Progress>) -> Vec<Acknowledged> {
    let channel = channel_of(&client, me);
    let mut acknowledged = Vec::new();
    let mut serial = 0;
    while !progress.over.load(Ordering::Relaxed) {
        let publish = |serial: u64| channel.publish(json!({ "by": me, "serial": serial }));
        let (one, two, three) =
            tokio::join!(biased; publish(serial), publish(serial + 1), publish(serial + 2));
        for (result, serial) in [one, two, three].into_iter().zip(serial..) {
            let receipt = result.expect("every publish is fit to be stored, sooner or later");
            acknowledged.push(Acknowledged { sent: Sent { by: me, serial }, receipt });
        }
        serial += 3;
        progress.acknowledged.fetch_add(3, Ordering::Relaxed);
        progress.changed.notify_one();
    }
    client.close().await;
    acknowledged
}

/// Follows one channel from its beginning to the message that says that it is over.
async fn follow(me: usize, client: Client) -> (Log, usize) {
    let beginning = Position { epoch: Epoch::NONE, offset: Offset::ZERO };
    let channel = channel_of(&client, me / 2);
    // Half of them let the server replay all of it, half fetch what it does not replay by themselves.
    let subscribing: Result<Subscription, _> = match me % 2 {
        0 => channel.catch_up(beginning).await,
        _ => channel.subscribe_since(beginning).await,
    };
    let mut updates = subscribing.expect("it is followed");
    let (mut log, mut recovered) = (Log::new(), 0);
    loop {
        match updates.next().await.expect("it goes on") {
            Update::Notice(Notice::Recovered { .. }) => recovered += 1,
            Update::Notice(notice) => panic!("subscriber {me}: a crash takes nothing back: {notice:?}"),
            Update::Message(message) => {
                assert_eq!(message.offset, Some(Offset(log.len() as u64 + 1)), "no gap and no double");
                match sent(&message) {
                    Some(sent) => log.push((message.epoch, sent)),
                    None => return (log, recovered),
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

fn sent(message: &Message) -> Option<Sent> {
    let said: serde_json::Value =
        serde_json::from_slice(&message.payload.bytes).expect("all that is published is JSON");
    let number = |name: &str| said[name].as_u64();
    Some(Sent { by: usize::try_from(number("by")?).ok()?, serial: number("serial")? })
}

/// All logs, from their pages.
async fn read(client: &Client) -> Vec<Log> {
    let mut logs = Vec::new();
    for number in 0..CHANNELS {
        let (channel, mut log, mut epoch) = (channel_of(client, number), Log::new(), None);
        loop {
            let page =
                soon("a page", channel.after(Offset(log.len() as u64), 1_000)).await.expect("there is one");
            for item in page.items {
                epoch = item.epoch.or(epoch);
                assert_eq!(item.offset, Some(Offset(log.len() as u64 + 1)), "offsets are dense");
                log.push((epoch, sent(&item).expect("nobody has published anything else")));
            }
            if !page.more {
                assert_eq!(page.top.0, log.len() as u64, "the last page ends at the top");
                break;
            }
        }
        logs.push(log);
    }
    logs
}

/// Each acknowledged publish stands where it was told to, each once, and each publisher's in its order. Gives the number
/// of entries, and how many acknowledgements were duplicates.
fn check_acknowledged(logs: &[Log], acknowledged: &[Acknowledged]) -> (usize, usize) {
    let mut places = HashMap::new();
    for (number, log) in logs.iter().enumerate() {
        let mut last: HashMap<usize, u64> = HashMap::new();
        for (at, (_, sent)) in log.iter().enumerate() {
            let twice = places.insert(*sent, (number, at));
            assert!(twice.is_none(), "{sent:?} stands at {twice:?} and at {at} of {number}");
            let before = last.insert(sent.by, sent.serial);
            assert!(before.is_none_or(|before| before < sent.serial), "{sent:?} was sent before {before:?}");
        }
    }
    for Acknowledged { sent, receipt } in acknowledged {
        let position = receipt.position.expect("a log has positions");
        let log = &logs[sent.by % CHANNELS];
        let entry = log.get(usize::try_from(position.offset.0).expect("it fits") - 1);
        assert_eq!(entry, Some(&(Some(position.epoch), *sent)), "it stands at {position:?}");
    }
    let entries = logs.iter().map(Vec::len).sum();
    assert_eq!(entries, acknowledged.len(), "all that is stored was acknowledged in the end");
    (entries, acknowledged.iter().filter(|told| told.receipt.duplicate).count())
}
