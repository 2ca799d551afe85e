//! What was acknowledged is never lost: the server is killed again and again (`kill -9`) at random moments
//! under load, and after each restart its log is held against all that its clients were told and had seen.
//!
//! It shows what a killed process loses, not what a power cut does: the system keeps what was written.

mod ledger;
mod publisher;
mod subscriber;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::patience::soon;
use crate::rng::Rng;
use crate::server::{Folder, Server, spawn};
use ledger::Ledger;
use publisher::Publisher;
use subscriber::Subscriber;

/// How often the server is killed.
const KILLS: usize = 200;
const PUBLISHERS: usize = 4;
const SUBSCRIBERS: usize = 3;

/// Channels of two namespaces: the replay of `short` ends at [`SHORT_REPLAY`] entries, that of `chat` at 500.
const CHANNELS: [&str; 6] = ["chat:a", "chat:b", "chat:c", "chat:d", "short:a", "short:b"];
const SHORT_REPLAY: u64 = 20;
const CHAT_REPLAY: u64 = 500;
const CONFIG: &str = "[namespace.short]\nkind = \"log\"\nrecover = { entries = 20 }\n";

/// How many entries the channel replays at most.
fn replay_of(channel: usize) -> u64 {
    if CHANNELS[channel].starts_with("short:") { SHORT_REPLAY } else { CHAT_REPLAY }
}

/// What publishers have been told so far in this life, so that the end can come in the midst of it.
#[derive(Default)]
struct Progress {
    acknowledged: AtomicUsize,
    changed: Notify,
}

impl Progress {
    fn count(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
    }

    async fn reached(&self, target: usize) {
        while self.acknowledged.load(Ordering::Relaxed) < target {
            self.changed.notified().await;
        }
    }
}

/// Everyone who outlives the server.
struct World {
    rng: Rng,
    ledger: Ledger,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let seed = Rng::seed();
    eprintln!("TRUNKLINE_TEST_SEED={seed}");
    let folder = Folder::with_config(CONFIG);
    let mut rng = Rng::new(seed);
    let mut world = World {
        ledger: Ledger::default(),
        publishers: (0..PUBLISHERS).map(|me| Publisher::new(me, rng.next())).collect(),
        subscribers: (0..SUBSCRIBERS).map(|_| Subscriber::new()).collect(),
        rng,
    };
    for life in 0..KILLS {
        let server = Server::with_workers(&folder, 1 + life % 4);
        world.ledger.check(&server, &mut world.publishers, &mut world.subscribers).await;
        world.live_and_die(server).await;
        if world.rng.percent(10) {
            world.die_while_starting(&folder).await;
        }
    }
    let server = Server::with_workers(&folder, 2);
    world.ledger.check(&server, &mut world.publishers, &mut world.subscribers).await;
    world.settle(&server).await;
    world.ledger.check(&server, &mut world.publishers, &mut world.subscribers).await;
    world.ledger.check_again(&server).await;
    eprintln!("{}", world.ledger.summary());
}

impl World {
    /// One life of the server: load until a random moment, then death.
    async fn live_and_die(&mut self, server: Server) {
        let progress = Arc::new(Progress::default());
        let heads = self.ledger.heads();
        let mut publishers = Vec::new();
        for mut publisher in std::mem::take(&mut self.publishers) {
            let (url, progress) = (server.url("/ws"), Arc::clone(&progress));
            publishers.push(tokio::spawn(async move {
                publisher.work(&url, &progress).await;
                publisher
            }));
        }
        let mut subscribers = Vec::new();
        for mut subscriber in std::mem::take(&mut self.subscribers) {
            // One that stays away for a life or two has more to catch up with.
            let comes = self.rng.percent(75);
            let (url, heads, by_connect) = (server.url("/ws"), heads.clone(), self.rng.percent(50));
            subscribers.push(tokio::spawn(async move {
                if comes {
                    subscriber.follow(&url, &heads, by_connect, None).await;
                }
                subscriber
            }));
        }
        let acknowledged = if self.rng.percent(15) { 0 } else { self.rng.below(300) };
        soon("acknowledgements", progress.reached(acknowledged)).await;
        // Not to wait for anything: the moment of death should not be that of an answer.
        tokio::time::sleep(Duration::from_micros(self.rng.below(4_000) as u64)).await;
        server.kill();
        self.publishers = all(publishers).await;
        self.subscribers = all(subscribers).await;
    }

    /// A server that does not live to be ready: it opens the store, and dies somewhere in that.
    async fn die_while_starting(&mut self, folder: &Folder) {
        let data = folder.data();
        let mut child = spawn(&["dev", "--listen", "127.0.0.1:0", "--data", data.to_str().expect("UTF-8")]);
        tokio::time::sleep(Duration::from_micros(self.rng.below(30_000) as u64)).await;
        child.kill().expect("it is our child");
        child.wait().expect("it is our child");
    }

    /// Everything unanswered is sent again, and everyone catches up.
    async fn settle(&mut self, server: &Server) {
        for publisher in &mut self.publishers {
            publisher.settle(&server.url("/ws")).await;
        }
        let before = self.ledger.heads();
        self.ledger.read(server).await;
        let heads = self.ledger.heads();
        for subscriber in &mut self.subscribers {
            subscriber.follow(&server.url("/ws"), &before, false, Some(&heads)).await;
        }
    }
}

async fn all<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut ended = Vec::new();
    for task in tasks {
        ended.push(soon("a client to notice the end", task).await.expect("no panic"));
    }
    ended
}
