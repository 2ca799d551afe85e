//! `from` at random through whole hubs: clients whose tokens hold back different parts of the past follow, fall behind, read
//! pages and renew their tokens, while the log is trimmed and loses its end. None is ever given anything below, none misses
//! anything above, and in the end all are where the log is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use trunkline_model::{
    Access, Action, Admitted, Capability, ChannelName, ChannelPattern, Command, Connect, EntryName, Epoch,
    ErrorCode, Floor, Form, Grant, HistoryQuery, Identity, Kind, Limits, Namespace, Namespaces, Offset, Op,
    Payload, Publication, Publish, Push, Recovery, Reference, Reply, Secret, Standing, Start, Subscribe,
    Subscribed,
};
use trunkline_sim::words::*;
use trunkline_sim::{Heard, Node, Rng, Who, identity};

const LOGS: [&str; 2] = [NEAR, FAR];
const MAP: &str = "map:a";
const FROM_MAX: usize = 40;

#[derive(Default)]
struct Client {
    user: String,
    /// What its connection's token holds back, and what the one says that it has sent.
    floor: u64,
    next_floor: u64,
    /// The least that it ever was: a page may have been asked for then.
    least: u64,
    /// What the token holds back that it shows with every `subscribe`.
    shows: Option<u64>,
    /// The channels that it follows, and the last offset that it was given there.
    follows: BTreeMap<ChannelName, Option<u64>>,
}

struct Run {
    rng: Rng,
    node: Node,
    writer: Who,
    clients: BTreeMap<Who, Client>,
    epoch: u64,
    veiled: u64,
    ended: u64,
}

fn text(text: &str) -> Payload {
    Payload::new(Form::Text, text.to_owned())
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut namespaces = Namespaces::default();
        namespaces.insert("chat", ring_of(rng.between(2, 8) as u32));
        namespaces.insert("map", Namespace::of_kind(Kind::Map));
        let limits = Limits {
            queue: rng.between(8, 16),
            history_page: 5,
            history_page_default: 4,
            command_rate: None,
            ..Limits::default()
        };
        let mut node = Node::new(rng.between(1, 3) as u16, limits, namespaces);
        let writer = node.open(0, Some("writer"));
        Self { rng, node, writer, clients: BTreeMap::new(), epoch: 10, veiled: 0, ended: 0 }
    }

    /// A token of the user that holds back what is below.
    fn token(&mut self, user: &str, from: u64) -> Secret {
        let grant = Grant { channels: ChannelPattern::all(), can: Capability::ALL.iter().copied().collect() };
        let floor = Floor { channels: ChannelPattern::all(), from: Offset(from) };
        let access =
            Access { standing: Standing::User, allow: vec![grant], floors: vec![floor], ..Access::default() };
        let identity = Identity { access: Arc::new(access), ..identity(user) };
        let token = format!("{user} from {from}");
        self.node.tokens.insert(token.clone(), Ok(Admitted { identity, channels: Vec::new() }));
        Secret::new(&token)
    }

    fn step(&mut self) {
        let workers = usize::from(self.node.workers());
        match self.rng.below(100) {
            0..=7 if self.clients.len() < 8 => self.opens(workers),
            8..=10 => self.with_one(|run, who| {
                run.node.close(who);
                run.clients.remove(&who);
            }),
            11..=30 => self.subscribes(),
            31..=50 => self.writes(),
            51..=58 => self.reads_page(),
            59..=63 => self.refreshes(),
            64..=68 => self.with_one(|run, who| run.node.make_slow(who, run.rng.below(4))),
            69..=71 => self.node.hold_room = self.rng.percent(50),
            72..=75 => self.node.hold_reads = self.rng.percent(30),
            76..=79 => {
                let queue = (self.rng.below(workers) as u16, self.rng.below(workers) as u16);
                self.node.held_queues = if self.rng.percent(50) { vec![queue] } else { Vec::new() };
            }
            80 => self.node.store.back_up(),
            81 if self.node.store.is_backed_up() => {
                self.epoch += 1;
                self.node.store.lose_end(Epoch::from_random(self.epoch));
            }
            82..=83 => {
                let channel = name(self.rng.pick(&LOGS));
                let head = self.node.store.log(&channel).head();
                self.node.store.trim(&channel, head.saturating_sub(self.rng.below(8) as u64));
            }
            84..=93 => self.node.settle(),
            _ => {
                self.node.uptime += Duration::from_millis(self.rng.between(1, 400) as u64);
                self.node.tick();
            }
        }
        self.node.move_once();
        self.hear();
    }

    fn with_one(&mut self, act: impl FnOnce(&mut Self, Who)) {
        let open: Vec<_> = self.clients.keys().copied().collect();
        if !open.is_empty() {
            let who = self.rng.pick(&open);
            act(self, who);
        }
    }

    fn sends(&mut self, who: Who, command: Command) -> bool {
        let accepts = self.node.accepts(who);
        if accepts {
            self.node.send(who, command);
        }
        accepts
    }

    fn opens(&mut self, workers: usize) {
        let who = self.node.open(self.rng.below(workers) as u16, None);
        let user = format!("u{who}");
        let floor = if self.rng.percent(50) { self.rng.below(FROM_MAX) as u64 } else { 0 };
        let shows = self.rng.percent(50).then(|| self.rng.below(FROM_MAX) as u64);
        let token = Some(self.token(&user, floor));
        self.sends(who, Action::Connect(Connect { token, ..Connect::default() }).command());
        let (next_floor, least) = (floor, floor);
        let client = Client { user, floor, next_floor, least, shows, ..Client::default() };
        self.clients.insert(who, client);
    }

    fn subscribes(&mut self) {
        self.with_one(|run, who| {
            let channel = run.rng.pick(&[NEAR, FAR, MAP]);
            let head = run.node.store.log(&name(channel)).head();
            let place = at(run.epoch, run.rng.below(head as usize + 2) as u64);
            let given = run.clients[&who].follows.get(&name(channel)).copied().flatten();
            let place = given.filter(|_| run.rng.percent(50)).map_or(place, |given| at(run.epoch, given));
            let start = run.rng.pick(&[
                Start::Next,
                Start::Next,
                Start::Last(5),
                Start::Since(place),
                Start::CatchUp(place),
            ]);
            let (user, shows) = (run.clients[&who].user.clone(), run.clients[&who].shows);
            let token = shows.map(|from| run.token(&user, from));
            let subscribe = Subscribe { token, ..Subscribe::new(name(channel), start) };
            run.sends(who, Action::Subscribe(subscribe).command());
        });
    }

    fn writes(&mut self) {
        let channel = self.rng.pick(&[NEAR, FAR, MAP]);
        let head = self.node.store.log(&name(channel)).head();
        let mut publish = Publish::new(name(channel), text("said"));
        if channel == MAP {
            let entry = format!("e{}", self.rng.below(6));
            publish.entry = EntryName::parse(&entry).ok();
        } else if self.rng.percent(40) && head > 0 {
            let op = self.rng.pick(&[Op::Edit, Op::Edit, Op::React, Op::Delete]);
            let target = Offset(self.rng.between(1, head as usize) as u64);
            publish.reference = Some(Reference { target, op });
            publish.payload = text(if op == Op::Delete { "" } else { "made of it" });
        }
        let writer = self.writer;
        self.sends(writer, Action::Publish(publish).command());
        self.node.take_heard(writer);
    }

    fn reads_page(&mut self) {
        self.with_one(|run, who| {
            let bound = run.rng.percent(50).then(|| Offset(run.rng.below(30) as u64));
            let (before, after) = if run.rng.percent(50) { (bound, None) } else { (None, bound) };
            let query = HistoryQuery { before, after, ..page(run.rng.pick(&LOGS)) };
            run.sends(who, query.command());
        });
    }

    fn refreshes(&mut self) {
        self.with_one(|run, who| {
            let floor = run.rng.below(FROM_MAX) as u64;
            let client = &run.clients[&who];
            // One at a time, so that it is known which is in force.
            if client.next_floor != client.floor {
                return;
            }
            let user = client.user.clone();
            let token = run.token(&user, floor);
            if run.sends(who, Action::Refresh(token).command()) {
                run.clients.get_mut(&who).expect("it is open").next_floor = floor;
            }
        });
    }

    fn hear(&mut self) {
        for (who, client) in &mut self.clients {
            for heard in self.node.take_heard(*who) {
                match heard {
                    Heard::Message(entry) | Heard::Pushed(Push::Message(entry)) => {
                        self.veiled += u64::from(client.takes(&entry));
                    }
                    Heard::Reply(Reply::Subscribed(subscribed)) => client.begins(&subscribed),
                    Heard::Reply(Reply::Unsubscribed { channel, .. }) => {
                        client.follows.remove(&channel);
                    }
                    Heard::Pushed(Push::Unsubscribed { channel, .. }) => {
                        self.ended += 1;
                        client.follows.remove(&channel);
                    }
                    Heard::Reply(Reply::History { page, .. }) => {
                        let below = page.items.iter().find(|item| offset(item) < client.least);
                        assert!(below.is_none(), "{below:?} is below {}", client.least);
                        assert!(page.floor.0 >= client.least);
                    }
                    Heard::Reply(Reply::Refreshed { .. }) => {
                        client.floor = client.next_floor;
                        client.least = client.least.min(client.floor);
                    }
                    Heard::Reply(Reply::Fault(fault)) => {
                        let known = [ErrorCode::NotAvailable, ErrorCode::LimitExceeded];
                        assert!(known.contains(&fault.code), "{fault:?}");
                        // One that it has replaced is over too, or goes on where it was: it follows anew to know.
                        let channel = fault.channel.expect("it is about one");
                        client.follows.entry(channel).and_modify(|given| *given = None);
                    }
                    _ => {}
                }
            }
        }
    }

    fn check_at_rest(&mut self) {
        self.node.held_queues.clear();
        (self.node.hold_room, self.node.hold_reads) = (false, false);
        self.clients.keys().for_each(|who| self.node.make_slow(*who, usize::MAX));
        for _ in 0..10 {
            self.node.settle();
            self.node.pass(Duration::from_secs(1));
            self.hear();
        }
        for client in self.clients.values() {
            for (channel, given) in client.follows.iter().filter(|(channel, _)| channel.as_str() != MAP) {
                let head = self.node.store.log(channel).head();
                assert!(given.is_none_or(|given| given == head), "{given:?} of {head} in {channel}");
            }
        }
    }
}

impl Client {
    fn bound(&self) -> u64 {
        self.floor.max(self.shows.unwrap_or(0))
    }

    fn check_above(&self, entry: &Publication) -> bool {
        let bound = self.bound();
        assert!(offset(entry) >= bound, "{entry:?} is below {bound}");
        let Some(about) = entry.role.reference() else { return false };
        let veiled = about.target.0 < bound && about.op != Op::Delete;
        assert!(
            !veiled || (entry.erased && entry.payload.bytes.is_empty()),
            "{entry:?} tells of below {bound}"
        );
        veiled
    }

    fn takes(&mut self, entry: &Publication) -> bool {
        let given = self.follows.get_mut(&entry.channel).expect("it follows");
        let is_log = entry.role.entry().is_none();
        let follows = given.is_none_or(|given| offset(entry) == given + 1);
        assert!(follows || !is_log, "{entry:?} after {given:?}");
        *given = Some(offset(entry));
        self.check_above(entry)
    }

    fn begins(&mut self, subscribed: &Subscribed) {
        let place = subscribed.position.expect("it has places").offset.0;
        let bound = self.bound();
        assert!(place + 1 >= bound && subscribed.floor.0 >= bound, "{subscribed:?} with {bound}");
        let (mut given, mut told) = (Some(place), Vec::new());
        match &subscribed.recovery {
            Recovery::Recovered(entries) => {
                told.extend(entries);
                given = entries.first().map_or(given, |first| Some(offset(first) - 1));
            }
            Recovery::CatchingUp(_) => given = None,
            Recovery::NotAsked | Recovery::Lost { .. } => {}
        }
        told.extend(subscribed.items.iter().flat_map(|(items, _)| items));
        told.extend(subscribed.entries.iter().flatten());
        for entry in told {
            self.check_above(entry);
        }
        self.follows.insert(subscribed.channel.clone(), given);
    }
}

fn offset(entry: &Publication) -> u64 {
    entry.position.expect("it is stored").offset.0
}

#[test]
fn nobody_is_given_what_a_token_holds_back_and_nobody_misses_what_it_does_not() {
    let (mut veiled, mut ended) = (0, 0);
    for seed in 0..300 {
        println!("seed {seed}");
        let mut run = Run::new(seed);
        for _ in 0..3 {
            (0..300).for_each(|_| run.step());
            run.check_at_rest();
        }
        (veiled, ended) = (veiled + run.veiled, ended + run.ended);
        run.clients.keys().for_each(|who| run.node.close(*who));
        run.node.close(run.writer);
        (0..4).for_each(|_| run.node.pass(Duration::from_secs(70)));
        assert!(run.node.leftovers().is_empty(), "{:?}", run.node.leftovers());
    }
    assert!(veiled > 100, "only {veiled} were told of without their payload");
    assert!(ended > 100, "only {ended} ended because of what they were not to be given");
}
