//! Random clients on random nodes: every order in which messages, answers, faults and closings can meet,
//! beside a ground truth. A seed names a run.
//!
//! Called by the simulation test, through [`run`].

use std::collections::HashSet;
use std::time::Duration;

use trunkline_model::{
    Action, ChannelName, Command, CommandId, Connect, Epoch, Form, HistoryQuery, Key, Kind, Limits,
    Namespace, Namespaces, Offset, Payload, Position, Publish, Secret, Start, Subscribe,
};

use crate::client::{Client, Tally, Truth, session_of, uid_of};
use crate::node::Node;
use crate::rng::Rng;
use crate::store::Fate;
use crate::words::{line, name, page};

/// A run of a node with its clients.
struct World {
    rng: Rng,
    node: Node,
    clients: Vec<Client>,
    channels: Vec<ChannelName>,
    chat: Namespace,
    limits: Limits,
    /// So many percent of the appends, and twice as many of the reads, fail.
    faults: usize,
    /// A queue that is seldom served.
    sluggish: (u16, u16),
    /// How often each kind of step comes.
    weights: [usize; 8],
    sessions: u64,
    tally: Tally,
    trace: bool,
}

impl World {
    fn new(seed: u64, trace: bool) -> Self {
        let mut rng = Rng::new(seed);
        let limits = limits(&mut rng);
        let chat = Namespace {
            recover_entries: rng.between(4, 8) as u32,
            recover_bytes: rng.pick(&[1 << 20, 1 << 20, 600]),
            ..Namespace::of_kind(Kind::Log)
        };
        let mut namespaces = Namespaces::default();
        namespaces.insert("chat", chat.clone());
        namespaces.insert("live", Namespace::of_kind(Kind::Signal));
        let workers = rng.between(2, 4) as u16;
        let node = Node::new(workers, limits.clone(), namespaces);
        let mut channels: Vec<_> = ["chat:a", "chat:b", "chat:c", "chat:y"][..rng.between(1, 4)]
            .iter()
            .map(|channel| name(channel))
            .collect();
        channels.push(name("live:a"));
        let clients = (0..rng.between(2, 6)).map(Client::new).collect();
        let sluggish = (rng.below(workers.into()) as u16, rng.below(workers.into()) as u16);
        let faults = rng.pick(&[0, 0, 5, 20]);
        let slow = rng.pick(&[0, 2, 6]);
        let mut weight = |usual| usual * rng.pick::<usize>(&[1, 2, 2, 4]);
        let weights = [weight(20), weight(14), weight(8), weight(6), weight(6), 2, 4, slow];
        let mut world = Self {
            rng,
            node,
            clients,
            channels,
            chat,
            limits,
            faults,
            sluggish,
            weights,
            sessions: 0,
            tally: Tally::default(),
            trace,
        };
        world.write_the_past();
        world
    }

    /// What was stored before the node started: up to two epochs, sometimes trimmed.
    fn write_the_past(&mut self) {
        for channel in self.channels.clone().iter().filter(|channel| is_log(channel)) {
            for epoch in [10, 11] {
                self.node.store.begin(Epoch::from_random(epoch));
                for number in 0..self.rng.below(8) {
                    let text = format!("past.{channel}.{epoch}.{number}");
                    let now = self.node.now().ts;
                    self.node.store.put(channel, Payload::new(Form::Text, text), now);
                }
            }
            if self.rng.percent(30) {
                let last = self.rng.below(self.node.store.log(channel).entries.len() + 1);
                self.node.store.trim(channel, last as u64);
            }
        }
        self.node.store.begin(Epoch::from_random(12));
    }

    // ---- a step ----

    fn step(&mut self) {
        let mut at = self.rng.below(self.weights.iter().sum());
        let mut kind = 0;
        while at >= self.weights[kind] {
            at -= self.weights[kind];
            kind += 1;
        }
        match kind {
            0 => self.act(),
            1 => self.move_queue(),
            2 => self.move_appends(),
            3 => self.move_reads(),
            4 => self.read_something(),
            5 => self.pass_time(),
            6 => drop(self.node.admit()),
            _ => self.change_speed(),
        }
    }

    fn move_queue(&mut self) {
        let workers = usize::from(self.node.workers());
        let (from, to) = (self.rng.below(workers) as u16, self.rng.below(workers) as u16);
        if from == to || (from, to) == self.sluggish && self.rng.percent(80) {
            return;
        }
        if self.rng.percent(50) {
            self.node.tell_room(to);
        }
        for _ in 0..self.rng.between(1, 4) {
            self.node.hand_over(from, to);
        }
    }

    fn move_appends(&mut self) {
        for _ in 0..self.rng.between(0, 3) {
            if self.rng.percent(self.faults) {
                let fate = self.rng.pick(&[Fate::NotStored, Fate::UnknownStored, Fate::UnknownLost]);
                self.node.store.fates.push_back(fate);
            } else {
                self.node.store.fates.push_back(Fate::Stored);
            }
            self.node.commit();
            self.node.store.fates.clear();
        }
        let worker = self.rng.below(self.node.workers().into()) as u16;
        if self.rng.percent(50) {
            self.node.tell_room(worker);
        }
        let (appends, reads) = (self.rng.between(0, 3), self.rng.below(3));
        let picks: Vec<usize> = (0..reads).map(|_| self.rng.below(1_000)).collect();
        self.node.together(|node| {
            for at in 0..appends.max(picks.len()) {
                if at < appends {
                    node.answer_append(worker);
                }
                let answers = node.store.waiting_answers();
                if let Some(pick) = picks.get(at).filter(|_| answers > 0) {
                    node.answer_read(pick % answers);
                }
            }
        });
    }

    fn move_reads(&mut self) {
        let waiting = self.node.store.waiting_reads();
        if waiting > 0 && self.rng.percent(60) {
            self.node.store.failing_reads = usize::from(self.rng.percent(2 * self.faults));
            let index = self.rng.below(waiting);
            self.node.store.carry_out(index);
            self.node.store.failing_reads = 0;
        }
        let answers = self.node.store.waiting_answers();
        if answers > 0 && self.rng.percent(60) {
            let index = self.rng.below(answers);
            self.node.answer_read(index);
        }
    }

    fn pass_time(&mut self) {
        self.node.uptime += Duration::from_millis(self.rng.pick(&[10, 600, 1_500]));
        self.node.tick();
    }

    /// A client's line becomes slow, or fast again.
    fn change_speed(&mut self) {
        let index = self.rng.below(self.clients.len());
        let Some(who) = self.clients[index].who else { return };
        let room = self.rng.pick(&[0, 1, 3, usize::MAX]);
        self.say(index, || format!("takes {room} at a time"));
        self.node.make_slow(who, room);
    }

    fn read_something(&mut self) {
        let index = self.rng.below(self.clients.len());
        self.read(index, usize::MAX);
    }

    /// The client reads up to `count` of what came.
    fn read(&mut self, index: usize, count: usize) {
        let Some(who) = self.clients[index].who else { return };
        let heard = self.node.heard(who, count);
        let truth = Truth {
            store: &self.node.store,
            recover: (self.chat.recover_entries.into(), self.chat.recover_bytes),
            subscriptions: self.limits.subscriptions,
            page_bytes: self.limits.history_page_bytes,
            page_default: self.limits.history_page_default.into(),
            faults: self.faults > 0,
        };
        for heard in heard {
            if self.trace {
                eprintln!("    {} ← {}", self.clients[index].name, line(&heard));
            }
            self.clients[index].hears(heard, truth, &mut self.tally);
        }
    }

    // ---- what clients do ----

    fn act(&mut self) {
        let index = self.rng.below(self.clients.len());
        if self.clients[index].who.is_none() {
            self.open(index);
            return;
        }
        if self.rng.percent(50) {
            self.read(index, usize::MAX);
        }
        match self.rng.below(100) {
            0..=54 => (0..self.rng.pick(&[1, 1, 2, 8])).for_each(|_| self.publish(index)),
            55..=80 => self.subscribe(index),
            81..=86 => self.unsubscribe(index),
            87..=91 => self.page(index),
            92..=93 => self.ping(index),
            _ => self.close(index),
        }
    }

    fn open(&mut self, index: usize) {
        let worker = self.rng.below(self.node.workers().into()) as u16;
        let named = self.rng.percent(50);
        let client = self.clients[index].name.clone();
        self.sessions += 1;
        let who = self.node.open(worker, named.then_some(client.as_str()));
        self.say(index, || format!("opens at worker {worker}"));
        self.clients[index].opened(who, self.sessions);
        if !named {
            self.connect(index);
        }
    }

    /// Resumes everything it knows of in `connect`.
    fn connect(&mut self, index: usize) {
        let id = self.clients[index].id();
        self.clients[index].awaits(id);
        let mut subscribe = Vec::new();
        let most = self.limits.subscriptions;
        for channel in self.clients[index].known_channels().into_iter().take(most) {
            let start = self.start(index, &channel);
            let id = self.clients[index].id();
            self.clients[index].subscribes(id, &channel, start, self.node.store.log(&channel));
            self.clients[index].connects(id, &channel);
            subscribe.push(Subscribe { channel, start });
        }
        let session = Some(Secret::new(&format!("s-{}", self.clients[index].name)));
        let connect = Connect { session, subscribe, ..Connect::default() };
        self.send(index, Some(id), Action::Connect(connect));
    }

    fn publish(&mut self, index: usize) {
        if !self.may_send(index) {
            return;
        }
        let mut channel = self.channel();
        let mut key: Option<Key> = None;
        if self.rng.percent(30) && is_log(&channel) {
            let known = self.clients[index].keys();
            if !known.is_empty() && self.rng.percent(40) {
                let (first, again) = self.rng.pick(known);
                (channel, key) = (first, Some(again));
            } else {
                key = Some(self.clients[index].key(&channel));
            }
        }
        let uid = self.clients[index].uid();
        let padding = "x".repeat(self.rng.below(60));
        let payload = Payload::new(Form::Text, format!("{uid} {padding}"));
        let id = self.rng.percent(80).then(|| self.clients[index].id());
        self.clients[index].publishes(id, &channel, &uid, key.clone());
        self.send(index, id, Action::Publish(Publish { channel, payload, key }));
    }

    fn subscribe(&mut self, index: usize) {
        if !self.may_send(index) {
            return;
        }
        let channel = self.channel();
        let start = self.start(index, &channel);
        let id = self.clients[index].id();
        self.clients[index].subscribes(id, &channel, start, self.node.store.log(&channel));
        self.send(index, Some(id), Action::Subscribe(Subscribe { channel, start }));
    }

    fn unsubscribe(&mut self, index: usize) {
        if self.may_send(index) {
            let id = self.clients[index].id();
            self.clients[index].awaits(id);
            let channel = self.channel();
            self.send(index, Some(id), Action::Unsubscribe(channel));
        }
    }

    fn ping(&mut self, index: usize) {
        if self.may_send(index) {
            let id = self.clients[index].id();
            self.clients[index].awaits(id);
            self.send(index, Some(id), Action::Ping);
        }
    }

    fn page(&mut self, index: usize) {
        let channel = self.channel();
        if !is_log(&channel) || !self.may_send(index) {
            return;
        }
        let around = self.rng.below(self.node.store.log(&channel).entries.len() + 3) as u64;
        let mut query = HistoryQuery { limit: Some(self.rng.between(1, 9) as u32), ..page(channel.as_str()) };
        match self.rng.below(4) {
            0 => query.before = Some(Offset(around)),
            1 => query.after = Some(Offset(around)),
            2 => query.limit = None,
            _ => {}
        }
        if self.rng.percent(40) {
            let own = self.clients[index].acknowledged.iter().rev().find(|(of, _)| *of == channel);
            query.at = own.map(|(_, position)| *position).or_else(|| self.clients[index].known(&channel));
        } else if self.rng.percent(20) {
            let epoch = Epoch::from_random(self.rng.between(10, 13) as u64);
            query.at = Some(Position { epoch, offset: Offset(around) });
        }
        let id = self.clients[index].id();
        self.clients[index].pages(id, query.clone(), self.node.store.log(&channel));
        self.send(index, Some(id), Action::History(query));
    }

    fn close(&mut self, index: usize) {
        let Some(who) = self.clients[index].who else { return };
        let count = self.rng.below(6);
        self.read(index, count);
        self.say(index, || "closes".to_owned());
        self.node.close(who);
        self.clients[index].closed();
    }

    fn channel(&mut self) -> ChannelName {
        if self.rng.percent(40) { self.channels[0].clone() } else { self.rng.pick(&self.channels) }
    }

    /// Where a subscription begins: mostly where the client was, sometimes elsewhere, sometimes nowhere.
    fn start(&mut self, index: usize, channel: &ChannelName) -> Start {
        let known = self.clients[index].known(channel);
        match (known, self.rng.below(100)) {
            (Some(known), 0..=54) => Start::Since(known),
            (_, 0..=69) => {
                let log = self.node.store.log(channel);
                let offset = self.rng.below(log.entries.len() + 1) as u64;
                let here = log.entry(offset).and_then(|entry| entry.position);
                Start::Since(here.unwrap_or(Position { epoch: Epoch::from_random(3), offset: Offset::ZERO }))
            }
            (_, 70..=74) => {
                let epoch = Epoch::from_random(self.rng.between(9, 12) as u64);
                let offset = self.rng.below(self.node.store.log(channel).entries.len() + 4) as u64;
                Start::Since(Position { epoch, offset: Offset(offset) })
            }
            (_, 75..=89) => Start::Last(self.rng.below(12) as u32),
            _ => Start::Next,
        }
    }

    fn may_send(&mut self, index: usize) -> bool {
        let Some(who) = self.clients[index].who else { return false };
        if self.clients[index].held {
            return false;
        }
        let accepts = self.node.accepts(who);
        self.clients[index].held = !accepts;
        if !accepts {
            self.tally.count("held back");
        }
        accepts
    }

    fn send(&mut self, index: usize, id: Option<i64>, action: Action) {
        self.say(index, || format!("{id:?} {action:?}"));
        let who = self.clients[index].who.expect("it is connected");
        self.node.send(who, Command { id: id.map(CommandId::Number), action });
    }

    fn say(&self, index: usize, what: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{} → {}", self.clients[index].name, what());
        }
    }

    // ---- the end ----

    /// Everything that is under way arrives, and what had failed is tried again.
    fn come_to_rest(&mut self) {
        let seats: Vec<_> = self.clients.iter().filter_map(|client| client.who).collect();
        seats.into_iter().for_each(|who| self.node.make_slow(who, usize::MAX));
        if self.faults > 0 {
            self.node.store.failing_reads = self.rng.below(5);
        }
        for _ in 0..4 {
            self.node.settle();
            self.node.store.failing_reads = 0;
            (0..self.clients.len()).for_each(|index| self.read(index, usize::MAX));
            self.node.uptime += Duration::from_millis(10);
            self.node.tick();
        }
        self.node.settle();
        (0..self.clients.len()).for_each(|index| self.read(index, usize::MAX));
    }

    fn check_the_end(&mut self) {
        self.come_to_rest();
        let truth = Truth {
            store: &self.node.store,
            recover: (0, 0),
            subscriptions: 0,
            page_bytes: 0,
            page_default: 0,
            faults: self.faults > 0,
        };
        self.clients
            .iter()
            .filter(|client| client.who.is_some())
            .for_each(|client| client.check_at_rest(truth));
        self.check_the_logs();
        (0..self.clients.len()).for_each(|index| self.close(index));
        self.node.settle();
        for _ in 0..3 {
            self.node.uptime += self.limits.channel_idle;
            self.node.tick();
            self.node.settle();
        }
        assert_eq!(self.node.leftovers(), Vec::<&str>::new(), "all are gone, but something is still held");
    }

    fn check_the_logs(&self) {
        let (mut uids, mut keys) = (HashSet::new(), HashSet::new());
        for (channel, log) in self.node.store.logs() {
            let mut last = std::collections::HashMap::new();
            for entry in &log.entries {
                let uid = uid_of(entry);
                let (session, count) = session_of(&uid);
                let before = last.insert(session, count);
                assert!(
                    before.is_none_or(|before| before < count),
                    "{uid} is stored out of order in {channel}"
                );
                if let Some(key) = &entry.key {
                    let first = keys.insert((channel.clone(), entry.from.clone(), key.clone()));
                    assert!(first, "{} is stored twice in {channel}", key.as_str());
                }
                assert!(uids.insert(uid), "stored twice");
            }
        }
        for refused in self.clients.iter().flat_map(|client| &client.refused) {
            assert!(!uids.contains(refused), "{refused} was refused and is stored");
        }
    }
}

fn limits(rng: &mut Rng) -> Limits {
    Limits {
        queue: rng.pick(&[8, 8, 11, 16, 24]),
        subscriptions: rng.pick(&[2, 100, 100, 100]),
        commands_in_flight: rng.pick(&[1, 4, 20, 64]),
        appends_in_flight: rng.pick(&[2, 10, 100, 100, 100, 100]),
        channel_waiting: rng.pick(&[1, 4, 100, 100]),
        reads_in_flight: rng.between(1, 4),
        channels: rng.pick(&[1, 2, 100, 100, 100, 100, 100, 100]),
        channel_idle: Duration::from_millis(500),
        history_page: 20,
        history_page_bytes: rng.pick(&[1 << 20, 1 << 20, 400]),
        history_page_default: 5,
        ..Limits::default()
    }
}

fn is_log(channel: &ChannelName) -> bool {
    channel.namespace() == "chat"
}

/// Runs one seed to its end; with `trace` each step is printed. A broken promise panics.
pub fn run(seed: u64, trace: bool) -> Tally {
    let mut world = World::new(seed, trace);
    for _ in 0..world.rng.between(200, 2_000) {
        world.step();
    }
    world.check_the_end();
    let World { mut tally, node, limits, .. } = world;
    tally.add("fell behind", node.fell_behind as u64);
    tally.add("full queue", u64::from(node.fullest == limits.queue));
    tally
}
