//! A server with many clients is asked to end, and another takes its place: nothing that was acknowledged is lost, everyone
//! sees all of it, and the clients leave, and come back, not all at once.
//!
//! `TRUNKLINE_TEST_CLIENTS=10000 TRUNKLINE_TEST_WITHIN=30 cargo test --release -p trunkline-server --test process
//! many_clients_leave -- --nocapture` is the measurement; without these variables it is a small test of the same.

use std::fmt;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::watch;
use trunkline_client::{Client, Limits, State};

use super::connection;
use super::ledger::{Acknowledged, Missed, Sent, channel_of, check_acknowledged, content, end, follow, read};
use crate::rng::Rng;
use crate::server::{Folder, Server};

const PUBLISHERS: usize = 16;
/// Subscribers of one channel.
const AUDIENCE: usize = 100;
/// A publisher's rest after each answer.
const REST: Duration = Duration::from_millis(50);
/// Parts of the time that clients have for leaving, by which they are counted.
const PARTS: usize = 10;
/// For all clients to be there, or back. Ten times what ten thousand need here.
const PATIENCE: Duration = Duration::from_mins(10);

#[tokio::test]
async fn many_clients_leave_and_come_back_and_miss_nothing() {
    let number = |name: &str, usual: usize| {
        std::env::var(name).map_or(usual, |number| number.parse().expect("a number"))
    };
    let clients = number("TRUNKLINE_TEST_CLIENTS", 200);
    let within = Duration::from_secs(number("TRUNKLINE_TEST_WITHIN", 2) as u64);
    let channels = clients.div_ceil(AUDIENCE);
    let folder = Folder::with_config(&format!(
        "[server]\ndrain = {{ within = \"{}s\" }}\n\
         [limits]\nconnections = 15000\nconnections_per_address = 15000\n",
        within.as_secs()
    ));
    let listen = format!("127.0.0.1:{}", port());
    let server = Server::with(&folder, &["--listen", &listen]);
    let url = server.url("/ws");
    let follows: Vec<_> = (0..clients).map(|me| Follower::start(me, channels, &url)).collect();
    all("the clients are there", follows.iter().map(Follower::is_online)).await;
    let over = Arc::new(AtomicBool::new(false));
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|me| tokio::spawn(publish(me, channels, url.clone(), Arc::clone(&over))))
        .collect();

    server.signal(Signal::TERM);
    let asked = Instant::now();
    let (status, said) = within_patience("the server's end", server.ended()).await;
    let took = asked.elapsed();
    assert_eq!(status.code(), Some(0), "{said}");
    all("the clients have left", follows.iter().map(Follower::has_left)).await;
    let _server = Server::with(&folder, &["--listen", &listen]);
    let ready = Instant::now();
    all("the clients are back", follows.iter().map(Follower::is_back)).await;

    over.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for publisher in publishers {
        acknowledged.extend(within_patience("a last answer", publisher).await.expect("no panic"));
    }
    let reader = Client::connect(&url);
    let logs = read(&reader, channels).await;
    let (entries, again) = check_acknowledged(&logs, &acknowledged);
    end(&reader, channels).await;
    let (mut left, mut back, mut seen) = (Parts::default(), Parts::default(), 0);
    for (me, follower) in follows.into_iter().enumerate() {
        let moments = follower.moments.borrow().clone();
        left.count(moments.left.expect("it has left").duration_since(asked), within);
        back.count(moments.back.expect("it is back").saturating_duration_since(ready), within);
        let (log, _) = within_patience("a subscriber's end", follower.task).await.expect("no panic");
        assert!(log == logs[me % channels], "subscriber {me} has seen all of its log, once and in order");
        seen += log.len();
    }
    eprintln!(
        "{clients} clients had {within:?} to leave: the process ended after {took:.1?}; {} acknowledged ({again} of them on a \
         second attempt), {entries} entries, {seen} seen, none lost, doubled or out of order",
        acknowledged.len(),
    );
    eprintln!("left, by tenths of that time:             {left}");
    eprintln!("back, likewise, once there was a server:  {back}");
}

/// A port that no connection to elsewhere gets by chance, this machine's own clients included: where nobody listens, one
/// could be given the port that it wants to reach, and meet itself.
fn port() -> u16 {
    let mut rng = Rng::new(Rng::seed());
    let mut ports = std::iter::repeat_with(|| 10_000 + u16::try_from(rng.below(20_000)).expect("it fits"));
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("there is a free one")
}

/// One that follows a channel, and when its line went and came.
struct Follower {
    moments: watch::Receiver<Moments>,
    task: tokio::task::JoinHandle<(super::ledger::Log, usize)>,
}

#[derive(Clone, Default, Debug)]
struct Moments {
    online: Option<Instant>,
    left: Option<Instant>,
    back: Option<Instant>,
}

impl Follower {
    fn start(me: usize, channels: usize, url: &str) -> Self {
        // Everything that is missing is fetched, however much it is.
        let client = Client::with(connection(url), Limits { fill: u64::MAX, ..Limits::default() });
        let missed = if me.is_multiple_of(2) { Missed::Replayed } else { Missed::Fetched };
        let task = tokio::spawn(follow(channel_of(&client, me, channels), missed));
        let (tell, moments) = watch::channel(Moments::default());
        tokio::spawn(watch_line(client, tell));
        Self { moments, task }
    }

    async fn is_online(&self) {
        self.moment(|moments| moments.online).await;
    }

    async fn has_left(&self) {
        self.moment(|moments| moments.left).await;
    }

    async fn is_back(&self) {
        self.moment(|moments| moments.back).await;
    }

    async fn moment(&self, which: fn(&Moments) -> Option<Instant>) {
        let mut moments = self.moments.clone();
        moments.wait_for(|moments| which(moments).is_some()).await.expect("it is told");
    }
}

/// Tells when the line comes, goes, and comes back.
async fn watch_line(mut client: Client, tell: watch::Sender<Moments>) {
    let now = || Some(Instant::now());
    if client.online().await.is_ok() {
        tell.send_modify(|moments| moments.online = now());
    }
    while let state @ (State::Offline | State::Online { .. }) = client.changed().await {
        tell.send_modify(|moments| match (state, &moments) {
            (State::Offline, Moments { online: Some(_), left: None, .. }) => moments.left = now(),
            (State::Online { .. }, Moments { left: Some(_), back: None, .. }) => moments.back = now(),
            _ => {}
        });
    }
}

async fn publish(me: usize, channels: usize, url: String, over: Arc<AtomicBool>) -> Vec<Acknowledged> {
    let client = Client::connect(&url);
    let channel = channel_of(&client, me, channels);
    let mut acknowledged = Vec::new();
    for serial in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let sent = Sent { by: me, serial };
        let receipt = channel.publish(content(sent)).await.expect("it is stored, sooner or later");
        acknowledged.push(Acknowledged { sent, receipt });
        // Many clients follow it, on the cores of this machine.
        tokio::time::sleep(REST).await;
    }
    client.close().await;
    acknowledged
}

async fn all(what: &str, waits: impl Iterator<Item = impl Future<Output = ()>>) {
    within_patience(what, async {
        for wait in waits {
            wait.await;
        }
    })
    .await;
}

async fn within_patience<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("no {what} in {PATIENCE:?}"))
}

/// How many came in each part of the time, and after it.
#[derive(Default)]
struct Parts([usize; PARTS + 1]);

impl Parts {
    fn count(&mut self, at: Duration, within: Duration) {
        let part = at.as_secs_f64() / within.as_secs_f64() * PARTS as f64;
        self.0[(part as usize).min(PARTS)] += 1;
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: usize = self.0.iter().sum();
        for (at, count) in self.0.iter().enumerate() {
            let name = if at == PARTS { "later" } else { "" };
            write!(f, "{name} {:.1} %  ", *count as f64 * 100.0 / total as f64)?;
        }
        Ok(())
    }
}
