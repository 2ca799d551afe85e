//! `kill -9` at random moments under load, and orderly restarts, with the SDK as the checker: what was acknowledged stands
//! where it was told to, and every subscriber has seen all of its log, once and in order, over all deaths.
//!
//! It shows what a killed process loses, not what a power cut does: the system keeps what was written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::Notify;
use trunkline_client::{Client, Limits};

use super::connection;
use super::forwarder::Forwarder;
use super::hasty;
use super::ledger::{Acknowledged, Missed, Sent, channel_of, check_acknowledged, content, end, follow, read};
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

async fn over(kills: usize, how: End) {
    let seed = Rng::seed();
    eprintln!("TRUNKLINE_TEST_SEED={seed} TRUNKLINE_TEST_KILLS={kills}");
    let (began, mut rng) = (Instant::now(), Rng::new(seed));
    let folder = Folder::with_config("[server]\ndrain = { within = \"1s\" }\n");
    let forwarder = Forwarder::start().await;
    let progress = Arc::new(Progress::default());
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|me| tokio::spawn(publish(me, client(&forwarder), Arc::clone(&progress))))
        .collect();
    let subscribers: Vec<_> = (0..SUBSCRIBERS)
        .map(|me| {
            let missed = if me % 2 == 0 { Missed::Replayed } else { Missed::Fetched };
            tokio::spawn(follow(channel_of(&client(&forwarder), me / 2, CHANNELS), missed))
        })
        .collect();

    for life in 0..kills {
        let server = Server::with_workers(&folder, 1 + life % 3);
        forwarder.lead_to(server.address());
        let target = progress.acknowledged.load(Ordering::Relaxed) + rng.below(LOAD_MAX);
        soon("acknowledgements", progress.reached(target)).await;
        // Not to wait for anything: the moment of death should not be that of an answer.
        tokio::time::sleep(Duration::from_micros(rng.below(4_000) as u64)).await;
        if how == End::Kill {
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
    let logs = read(&client(&forwarder), CHANNELS).await;
    let (entries, again) = check_acknowledged(&logs, &acknowledged);
    end(&client(&forwarder), CHANNELS).await;
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

/// Publishes, three at a time, until it is over.
async fn publish(me: usize, client: Client, progress: Arc<Progress>) -> Vec<Acknowledged> {
    let channel = channel_of(&client, me, CHANNELS);
    let mut acknowledged = Vec::new();
    let mut serial = 0;
    while !progress.over.load(Ordering::Relaxed) {
        let publish = |serial: u64| channel.publish(content(Sent { by: me, serial }));
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
