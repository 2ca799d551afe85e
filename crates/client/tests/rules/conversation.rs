//! Whole conversations: clients against a server in memory, over lines that are cut at any message, with answers that are
//! lost after what they answer was stored. What was acknowledged is in the log once, in the order in which it was
//! published, and every subscriber has seen its log, or was told what it has not.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};
use trunkline_client::rules::{Ended, Event, Limits, Notice, Output, PublishId, Session};
use trunkline_model::{ChannelName, Epoch, Form, Payload, Publish, Start};

use crate::rng::Rng;

const RUNS: u64 = 600;
const CLIENTS: usize = 3;
const CHANNELS: [&str; 2] = ["chat:a", "chat:b"];
const REPLAY_MAX: u64 = 6;

#[derive(Clone, PartialEq, Debug)]
struct Entry {
    epoch: String,
    key: String,
    publisher: String,
    data: Value,
}

/// A server that keeps logs, keys and sessions, and nothing of a line.
struct Server {
    logs: BTreeMap<&'static str, Vec<Entry>>,
    epoch: u64,
    sessions: usize,
    now: u64,
    /// Whether it sometimes does not know what has become of a publish.
    vague: bool,
}

/// One client with its line.
struct Client {
    session: Session,
    /// Whether there is a line, and what is under way on it.
    open: bool,
    to_server: VecDeque<String>,
    to_client: VecDeque<String>,
    followed: Vec<&'static str>,
    publisher: String,
    /// What was published and not answered yet, and all that was acknowledged.
    open_publishes: HashMap<PublishId, (usize, u64)>,
    acknowledged: Vec<(usize, u64, u64)>,
    serial: u64,
    /// What is held of each channel: offset → data.
    held: [BTreeMap<u64, Value>; 2],
    last: [Option<u64>; 2],
}

struct World {
    rng: Rng,
    now: Duration,
    server: Server,
    clients: Vec<Client>,
    rewinds: bool,
}

impl Server {
    fn epoch_name(&self) -> String {
        Epoch::from_random(self.epoch).to_string()
    }

    /// Answers one command; what is pushed to others comes out too.
    fn answer(
        &mut self,
        command: &Value,
        client: &mut Client,
        rng: &mut Rng,
    ) -> Option<(&'static str, String)> {
        let id = command["id"].clone();
        match command["type"].as_str().expect("a type") {
            "connect" => self.connect(command, client),
            "subscribe" => {
                let channel = command["channel"].as_str().expect("a channel").to_owned();
                self.join(&channel, &command["since"], id, client);
            }
            "unsubscribe" => client.followed.retain(|name| command["channel"] != **name),
            "publish" if self.vague && rng.percent(5) => {
                let stored = rng.percent(50);
                let pushed = stored.then(|| self.store(command, client).1).flatten();
                let error = json!({ "type": "error", "id": id, "code": "internal", "message": "who knows" });
                client.to_client.push_back(error.to_string());
                return pushed;
            }
            "publish" => {
                let (answer, pushed) = self.store(command, client);
                client.to_client.push_back(answer.to_string());
                return pushed;
            }
            "history" => {
                let page = self.page(command);
                client.to_client.push_back(page.to_string());
            }
            "ping" => {
                client.to_client.push_back(json!({ "type": "pong", "id": id, "ts": self.now }).to_string())
            }
            other => panic!("no server knows {other}"),
        }
        None
    }

    fn connect(&mut self, command: &Value, client: &mut Client) {
        match command["session"].as_str() {
            Some(session) => assert_eq!(session, client.publisher, "it is the same session again"),
            None => {
                self.sessions += 1;
                client.publisher = format!("secret-{}", self.sessions);
            }
        }
        let welcome = json!({
            "type": "welcome", "id": command["id"], "client": "c", "user": "guest-1", "session": client.publisher,
            "ping": 25_000, "spread": 5, "ts": self.now, "limits": { "message": 16_384, "subscriptions": 128 },
        });
        client.to_client.push_back(welcome.to_string());
        for (name, start) in command["subscribe"].as_object().into_iter().flatten() {
            self.join(name, &start["since"], Value::Null, client);
        }
    }

    fn join(&mut self, name: &str, since: &Value, id: Value, client: &mut Client) {
        let name = *CHANNELS.iter().find(|known| **known == name).expect("it is ours");
        let log = &self.logs[name];
        let top = log.len() as u64;
        let epoch = log.last().map_or_else(|| self.epoch_name(), |entry| entry.epoch.clone());
        let mut said = json!({
            "type": "subscribed", "channel": name, "kind": "log", "epoch": epoch, "offset": top, "floor": 1,
            "can": ["publish", "history"],
        });
        if !id.is_null() {
            said["id"] = id;
        }
        let mut replay = top..top;
        if let Some(offset) = since["offset"].as_u64() {
            let claimed = since["epoch"].as_str().expect("an epoch");
            let holds =
                offset == 0 || log.get(offset as usize - 1).is_some_and(|entry| entry.epoch == claimed);
            said["recovered"] = (holds && top - offset <= REPLAY_MAX).into();
            if !holds {
                said["reason"] = "rewound".into();
                if let Some(at) = log.iter().rposition(|entry| entry.epoch == claimed) {
                    said["keep"] = (at + 1).into();
                }
            } else if top - offset <= REPLAY_MAX {
                said["replay"] = (top - offset).into();
                replay = offset..top;
            } else {
                said["reason"] = "limit".into();
            }
        }
        client.to_client.push_back(said.to_string());
        for at in replay {
            client.to_client.push_back(self.message(name, at as usize).to_string());
        }
        client.followed.retain(|followed| *followed != name);
        client.followed.push(name);
    }

    /// The answer, and what is to be pushed.
    fn store(&mut self, command: &Value, client: &Client) -> (Value, Option<(&'static str, String)>) {
        let name = *CHANNELS.iter().find(|known| command["channel"] == **known).expect("it is ours");
        let key = command["key"].as_str().expect("the SDK always gives a key");
        let epoch = self.epoch_name();
        let log = self.logs.get_mut(name).expect("it is ours");
        let known = log.iter().position(|entry| entry.key == key && entry.publisher == client.publisher);
        let at = known.unwrap_or_else(|| {
            let (key, publisher) = (key.to_owned(), client.publisher.clone());
            log.push(Entry { epoch, key, publisher, data: command["data"].clone() });
            log.len() - 1
        });
        let mut answer = json!({
            "type": "published", "id": command["id"], "channel": name, "epoch": log[at].epoch, "offset": at + 1,
            "key": key, "ts": self.now,
        });
        if known.is_some() {
            answer["dup"] = true.into();
        }
        (answer, known.is_none().then(|| (name, self.message(name, at).to_string())))
    }

    fn message(&self, name: &str, at: usize) -> Value {
        let mut said = self.item(name, at);
        said["type"] = "message".into();
        said["channel"] = name.into();
        said
    }

    fn item(&self, name: &str, at: usize) -> Value {
        let log = &self.logs[name];
        let mut said = json!({ "offset": at + 1, "data": log[at].data, "ts": self.now, "key": log[at].key });
        if at == 0 || log[at - 1].epoch != log[at].epoch {
            said["epoch"] = log[at].epoch.as_str().into();
        }
        said
    }

    fn page(&self, command: &Value) -> Value {
        let name = command["channel"].as_str().expect("a channel");
        let log = &self.logs[name];
        let (top, limit) = (log.len(), 4);
        if let Some(at) = command["at"]["offset"].as_u64() {
            let holds = log.get(at as usize - 1).is_some_and(|entry| command["at"]["epoch"] == *entry.epoch);
            if !holds {
                return json!({ "type": "error", "id": command["id"], "code": "rewound", "message": "gone" });
            }
        }
        let (from, to) = match command["after"].as_u64() {
            Some(after) => ((after as usize).min(top), (after as usize + limit).min(top)),
            None => (top.saturating_sub(limit), top),
        };
        let epoch = log.last().map_or_else(|| self.epoch_name(), |entry| entry.epoch.clone());
        json!({
            "type": "history", "id": command["id"], "channel": name, "epoch": epoch, "top": top, "lo": from + 1,
            "hi": to, "items": (from..to).map(|at| self.item(name, at)).collect::<Vec<_>>(), "floor": 1,
            "more": to < top,
        })
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let logs = CHANNELS.iter().map(|name| (*name, Vec::new())).collect();
        let server =
            Server { logs, epoch: rng.next(), sessions: 0, now: 1_795_300_000_000, vague: rng.percent(50) };
        let limits = Limits { fill: 1_000, ..Limits::default() };
        let clients = (0..CLIENTS).map(|_| Client::new(limits.clone())).collect();
        let rewinds = rng.percent(40);
        Self { rng, now: Duration::ZERO, server, clients, rewinds }
    }

    fn run(&mut self) {
        for me in 0..CLIENTS {
            for channel in CHANNELS {
                let channel = ChannelName::parse(channel).expect("a name");
                self.clients[me].session.subscribe(channel, Start::Since(nowhere()), self.now);
            }
        }
        for _ in 0..300 {
            let me = self.rng.below(CLIENTS);
            match self.rng.below(100) {
                0..20 => self.publish(me),
                20..22 => self.cut(me),
                22 if self.rewinds => self.rewind(),
                22 => self.restart(),
                23..26 => self.pause(me),
                _ => self.step(me, true),
            }
            self.now += Duration::from_millis(self.rng.below(40) as u64);
            self.server.now += 20;
        }
        // In the end the lines hold and everything is answered.
        for me in 0..CLIENTS {
            for channel in CHANNELS {
                let channel = ChannelName::parse(channel).expect("a name");
                self.clients[me].session.set_paused(&channel, false, self.now);
            }
        }
        for _ in 0..4_000 {
            let me = self.rng.below(CLIENTS);
            self.step(me, false);
            self.now += Duration::from_millis(20);
        }
    }

    fn publish(&mut self, me: usize) {
        let channel = self.rng.below(2);
        let client = &mut self.clients[me];
        client.serial += 1;
        let data = json!({ "by": me, "serial": client.serial }).to_string();
        let name = ChannelName::parse(CHANNELS[channel]).expect("a name");
        let publish = Publish::new(name, Payload::new(Form::Json, data));
        let id = client.session.publish(publish, self.now, self.rng.next());
        client.open_publishes.insert(id, (channel, client.serial));
    }

    fn pause(&mut self, me: usize) {
        let channel = ChannelName::parse(CHANNELS[self.rng.below(2)]).expect("a name");
        let paused = self.rng.percent(50);
        self.clients[me].session.set_paused(&channel, paused, self.now);
    }

    /// The line is gone with all that is under way, in both directions.
    fn cut(&mut self, me: usize) {
        let random = self.rng.next();
        let client = &mut self.clients[me];
        if client.open {
            client.hang_up();
            client.session.handle_lost(Ended::Lost { retry: None }, self.now, random);
        }
    }

    fn restart(&mut self) {
        self.server.epoch = self.rng.next();
        (0..CLIENTS).for_each(|me| self.cut(me));
    }

    /// The server comes back with an older log, and its keys with it.
    fn rewind(&mut self) {
        for log in self.server.logs.values_mut() {
            log.truncate(self.rng.below(log.len() + 1));
        }
        self.restart();
    }

    /// One thing happens to a client: time, a message to the server, or one from it.
    fn step(&mut self, me: usize, may_break: bool) {
        let random = self.rng.next();
        let mut pushed = None;
        let client = &mut self.clients[me];
        match self.rng.below(3) {
            0 if client.session.poll_timeout().is_some_and(|at| at <= self.now) => {
                client.session.handle_timeout(self.now, random);
            }
            1 => {
                if let Some(command) = client.to_server.pop_front() {
                    let command: Value = serde_json::from_str(&command).expect("JSON");
                    pushed = self.server.answer(&command, client, &mut self.rng);
                }
            }
            _ => {
                if let Some(text) = client.to_client.pop_front() {
                    client.session.handle_text(&text, self.now, random);
                }
            }
        }
        self.perform(me);
        if let Some((name, message)) = pushed {
            for client in self.clients.iter_mut().filter(|client| client.followed.contains(&name)) {
                client.to_client.push_back(message.clone());
            }
        }
        if may_break && self.rng.percent(1) {
            self.cut(me);
        }
    }

    fn perform(&mut self, me: usize) {
        let client = &mut self.clients[me];
        while let Some(output) = client.session.poll_output() {
            match output {
                Output::Dial => {
                    client.open = true;
                    client.session.handle_opened(self.now);
                }
                Output::Send(text) => client.to_server.push_back(text),
                Output::Hangup => client.hang_up(),
                Output::Event(event) => client.hear(event),
            }
        }
    }

    fn check(&self) {
        for (me, client) in self.clients.iter().enumerate() {
            assert!(client.open_publishes.is_empty(), "all is answered: {:?}", client.open_publishes);
            for (channel, name) in CHANNELS.iter().enumerate() {
                let log: BTreeMap<u64, Value> =
                    (1..).zip(self.server.logs[name].iter().map(|entry| entry.data.clone())).collect();
                // After a rewind without a shared place it begins again with the newest page.
                let first = client.held[channel].keys().next().copied().filter(|_| self.rewinds).unwrap_or(1);
                let log: BTreeMap<u64, Value> =
                    log.into_iter().filter(|(offset, _)| *offset >= first).collect();
                assert_eq!(client.held[channel], log, "client {me} holds {name}");
            }
            for (channel, serial, offset) in &client.acknowledged {
                let data = json!({ "by": me, "serial": serial });
                let log = &self.server.logs[CHANNELS[*channel]];
                let places: Vec<_> =
                    (1..).zip(log).filter(|(_, entry)| entry.data == data).map(|(at, _)| at).collect();
                assert_eq!(places.len(), 1, "{data} is there once");
                assert!(self.rewinds || places == [*offset], "{data} is at {offset}: {places:?}");
            }
        }
        // An answer that leaves the outcome open lets later publishes pass, and so does a rewind.
        if !self.rewinds && !self.server.vague {
            self.check_order();
        }
    }

    fn check_order(&self) {
        for log in self.server.logs.values() {
            for me in 0..CLIENTS {
                let own = log.iter().filter(|entry| entry.data["by"] == me);
                let serials: Vec<u64> =
                    own.map(|entry| entry.data["serial"].as_u64().expect("a serial")).collect();
                assert!(serials.is_sorted(), "client {me} has published in order: {serials:?}");
            }
        }
    }
}

fn nowhere() -> trunkline_model::Position {
    trunkline_model::Position { epoch: Epoch::NONE, offset: trunkline_model::Offset::ZERO }
}

impl Client {
    fn new(limits: Limits) -> Self {
        Self {
            session: Session::new(limits),
            open: false,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            followed: Vec::new(),
            publisher: String::new(),
            open_publishes: HashMap::new(),
            acknowledged: Vec::new(),
            serial: 0,
            held: Default::default(),
            last: Default::default(),
        }
    }

    fn hang_up(&mut self) {
        self.open = false;
        self.to_server.clear();
        self.to_client.clear();
        self.followed.clear();
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Published { id, result } => {
                let (channel, serial) = self.open_publishes.remove(&id).expect("it is answered once");
                let receipt = result.expect("every publish is fit to be stored");
                let offset = receipt.offset().expect("a log has offsets").0;
                self.acknowledged.push((channel, serial, offset));
            }
            Event::Message { channel, message } => {
                let number = number_of(&channel);
                let offset = message.offset.expect("a log has offsets").0;
                if let Some(last) = self.last[number].replace(offset) {
                    assert_eq!(offset, last + 1, "no gap and no double in {channel}");
                }
                let data = serde_json::from_slice(&message.payload.bytes).expect("JSON");
                self.held[number].insert(offset, data);
            }
            Event::Notice { channel, notice } => match notice {
                Notice::Rewound { keep } => {
                    let (number, keep) = (number_of(&channel), keep.map_or(0, |keep| keep.0));
                    self.held[number].retain(|offset, _| *offset <= keep);
                    self.last[number] = self.last[number].map(|last| last.min(keep)).filter(|last| *last > 0);
                }
                Notice::Missed { .. } => panic!("everything can be had: {notice:?}"),
                Notice::Recovered { .. } => {}
            },
            Event::Ended { refusal, .. } => panic!("{refusal:?}"),
            _ => {}
        }
    }
}

fn number_of(channel: &ChannelName) -> usize {
    CHANNELS.iter().position(|name| *name == channel.as_str()).expect("it is ours")
}

#[test]
fn what_was_acknowledged_is_there_once_and_all_have_seen_it() {
    let first = Rng::seed();
    let (mut acknowledged, mut entries) = (0, 0);
    for seed in first..first + RUNS {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            world.run();
            world.check();
            let entries: usize = world.server.logs.values().map(Vec::len).sum();
            (world.clients.iter().map(|client| client.acknowledged.len()).sum::<usize>(), entries)
        });
        match run {
            Ok((some, more)) => (acknowledged, entries) = (acknowledged + some, entries + more),
            Err(_) => panic!("TRUNKLINE_TEST_SEED={seed} shows it"),
        }
    }
    eprintln!("{RUNS} conversations, {acknowledged} publishes acknowledged, {entries} entries at the end");
}
