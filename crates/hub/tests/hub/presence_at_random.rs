//! Presence at random through whole hubs: clients of several workers come, go and change, queues are full and outboxes
//! slow. At rest everyone who asked knows who is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use trunkline_model::{
    ChannelName, Kind, Limits, Member, Members, Namespace, Namespaces, PresenceMode, PresenceUpdate, Push,
    Reply,
};

use trunkline_sim::words::*;
use trunkline_sim::{Heard, Node, Rng, Who};

const CHANNELS: [&str; 2] = [NEAR, SIGNAL];
const NAMES: usize = 6;

/// What one connection knows of one channel: who is there, by client; nothing where it did not ask.
type Known = BTreeMap<String, Member>;

#[derive(Default)]
struct Client {
    name: usize,
    /// Whether it asked to be told, by channel.
    follows: BTreeMap<ChannelName, bool>,
    known: BTreeMap<ChannelName, Known>,
}

struct Run {
    rng: Rng,
    node: Node,
    clients: BTreeMap<Who, Client>,
    missed: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut namespaces = Namespaces::default();
        let mut visible = |name, kind| {
            let (presence, grace) = (PresenceMode::Full, Duration::from_secs(1));
            namespaces.insert(name, Namespace { presence, grace, ..Namespace::of_kind(kind) });
        };
        visible("chat", Kind::Log);
        visible("live", Kind::Signal);
        let limits = Limits { queue: rng.between(8, 16), ..Limits::default() };
        let node = Node::new(rng.between(1, 3) as u16, limits, namespaces);
        Self { rng, node, clients: BTreeMap::new(), missed: 0 }
    }

    fn step(&mut self) {
        let workers = usize::from(self.node.workers());
        match self.rng.below(100) {
            0..=9 if self.clients.len() < 10 => {
                let (worker, name) = (self.rng.below(workers) as u16, self.rng.below(NAMES));
                let who = self.node.open(worker, Some(&format!("u{name}")));
                self.clients.insert(who, Client { name, ..Client::default() });
            }
            10..=14 => self.with_one(|run, who| {
                run.node.close(who);
                run.clients.remove(&who);
            }),
            15..=34 => self.subscribes(),
            35..=44 => self.with_one(|run, who| {
                let channel = run.rng.pick(&CHANNELS);
                if run.node.accepts(who) {
                    run.node.send(who, unsubscribe(channel));
                    let client = run.clients.get_mut(&who).expect("it is open");
                    client.follows.remove(&name(channel));
                }
            }),
            45..=64 => self.with_one(|run, who| {
                let channel = run.rng.pick(&CHANNELS);
                let follows = run.clients[&who].follows.contains_key(&name(channel));
                if follows && run.node.accepts(who) {
                    run.node.send(who, set_state(channel, &run.rng.below(100).to_string()));
                }
            }),
            65..=69 => self.with_one(|run, who| run.node.make_slow(who, run.rng.below(3))),
            70..=72 => self.node.hold_room = self.rng.percent(50),
            73..=79 => {
                let queue = (self.rng.below(workers) as u16, self.rng.below(workers) as u16);
                self.node.held_queues = if self.rng.percent(50) { vec![queue] } else { Vec::new() };
            }
            80..=89 => self.node.settle(),
            _ => self.node.uptime += Duration::from_millis(self.rng.between(1, 400) as u64),
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

    fn subscribes(&mut self) {
        self.with_one(|run, who| {
            let (channel, watches) = (run.rng.pick(&CHANNELS), run.rng.percent(60));
            if run.node.accepts(who) {
                run.node.send(who, if watches { watch(channel) } else { enter(channel, "0") });
                let client = run.clients.get_mut(&who).expect("it is open");
                client.follows.insert(name(channel), watches);
            }
        });
    }

    fn hear(&mut self) {
        for (who, client) in &mut self.clients {
            for heard in self.node.take_heard(*who) {
                match heard {
                    Heard::Reply(Reply::Subscribed(subscribed)) => {
                        client.known.remove(&subscribed.channel);
                        subscribed.presence.iter().for_each(|update| client.hears(update));
                    }
                    Heard::Reply(Reply::Unsubscribed { channel, .. }) => drop(client.known.remove(&channel)),
                    Heard::Pushed(Push::Presence(update)) => {
                        self.missed += u64::from(matches!(update.members, Members::All(_)));
                        assert!(client.known.contains_key(&update.channel), "it did not ask for {update:?}");
                        client.hears(&update);
                    }
                    Heard::Reply(Reply::Fault(fault)) => panic!("{fault:?}"),
                    _ => {}
                }
            }
        }
    }

    fn check_at_rest(&mut self) {
        self.node.held_queues.clear();
        self.node.hold_room = false;
        self.clients.keys().for_each(|who| self.node.make_slow(*who, usize::MAX));
        self.node.settle();
        for _ in 0..20 {
            self.node.pass(Duration::from_millis(250));
        }
        self.hear();
        let reader = self.node.open(0, Some("reader"));
        for channel in CHANNELS {
            self.node.does(reader, who(channel));
            let heard = self.node.take_heard(reader);
            let [Heard::Reply(Reply::Presence { update, .. })] = &heard[..] else { panic!("{heard:?}") };
            let Members::All(all) = &update.members else { panic!("{update:?}") };
            let there: Known = by_client(all);
            let name = name(channel);
            let follow = self.clients.values().filter(|client| client.follows.contains_key(&name));
            let expect: BTreeSet<_> = follow.map(|client| format!("c-u{}", client.name)).collect();
            assert_eq!(there.keys().cloned().collect::<BTreeSet<_>>(), expect, "{channel}");
            for (who, client) in &self.clients {
                let watches = client.follows.get(&name).copied().unwrap_or(false);
                assert_eq!(client.known.get(&name), watches.then_some(&there), "{who} of {channel}");
            }
        }
        self.node.close(reader);
    }
}

impl Client {
    fn hears(&mut self, update: &PresenceUpdate) {
        let known = self.known.entry(update.channel.clone()).or_default();
        match &update.members {
            Members::All(all) => *known = by_client(all),
            Members::Changed { set, gone } => {
                known.extend(by_client(set));
                gone.iter().for_each(|client| drop(known.remove(client.as_str())));
            }
            Members::Untold => panic!("they are few enough to be named"),
        }
    }
}

fn by_client(members: &[std::sync::Arc<Member>]) -> Known {
    members.iter().map(|member| (member.client.as_str().to_owned(), (**member).clone())).collect()
}

#[test]
fn everyone_who_asked_knows_who_is_there_at_rest() {
    let mut missed = 0;
    for seed in 0..200 {
        let mut run = Run::new(seed);
        for _ in 0..3 {
            (0..300).for_each(|_| run.step());
            run.check_at_rest();
        }
        missed += run.missed;
        run.clients.keys().for_each(|who| run.node.close(*who));
        (0..3).for_each(|_| run.node.pass(Duration::from_secs(60)));
        assert!(run.node.leftovers().is_empty(), "{:?}", run.node.leftovers());
    }
    assert!(missed > 100, "only {missed} lists were given to those who missed something");
}
