//! What a seed draws before the first step: how large the node is, how tight its limits, how often each kind of step
//! comes, what may go wrong. Read by the world.

use std::time::Duration;

use trunkline_model::{ChannelName, Kind, Limits, Namespace, Namespaces, PresenceMode};

use crate::rng::Rng;
use crate::truth::Rules;
use crate::words::name;

/// How often each kind of step comes, relative to the others.
pub(crate) type Weights = [(StepKind, usize); 13];

/// What a step does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StepKind {
    /// A client does something.
    Act,
    /// A queue between two workers is served.
    Queue,
    /// Appends are committed and answered.
    Appends,
    /// Reads are carried out and answered.
    Reads,
    /// A client reads what has come.
    Listen,
    /// Time passes.
    Time,
    /// The door answers, or an outbox has drained.
    Door,
    /// A line becomes slow, or fast again.
    Speed,
    /// The disk becomes full, slow or deaf, or well again.
    Disk,
    /// Retention takes the oldest of a log.
    Trim,
    /// All that is stored is copied.
    BackUp,
    /// The store is opened again under a running node, and may have lost the end of its logs.
    Reopen,
    /// The node ends without a word and starts again.
    Crash,
}

/// What a seed draws before the first step.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) workers: u16,
    pub(crate) clients: usize,
    pub(crate) channels: Vec<ChannelName>,
    pub(crate) limits: Limits,
    pub(crate) chat: Namespace,
    /// So many percent of the appends, and twice as many of the reads, fail.
    pub(crate) faults: usize,
    /// A queue that is seldom served.
    pub(crate) sluggish: (u16, u16),
    /// Whether commands and answers go through the dialect.
    pub(crate) spelled: bool,
    /// So many percent of what clients do is mischief.
    pub(crate) mischief: usize,
    /// So many names do the entries of a map have.
    pub(crate) entries: usize,
    pub(crate) weights: Weights,
}

impl Setting {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let limits = limits(rng);
        let chat = Namespace {
            recover_entries: rng.between(4, 8) as u32,
            recover_bytes: rng.pick(&[1 << 20, 1 << 20, 600]),
            keys: Duration::from_secs(rng.pick(&[24 * 3_600, 24 * 3_600, 4])),
            message_size_max: 200,
            // Nobody asks who is there, but everybody comes and goes.
            presence: PresenceMode::Full,
            grace: Duration::from_millis(5),
            ..Namespace::of_kind(Kind::Log)
        };
        let workers = rng.between(1, 4) as u16;
        let mut channels: Vec<_> = ["chat:a", "chat:b", "chat:c", "chat:y"][..rng.between(1, 4)]
            .iter()
            .map(|channel| name(channel))
            .collect();
        channels.push(name("live:a"));
        channels.extend(rng.pick(&[None, Some("map:a"), Some("map:a"), Some("value:a")]).map(name));
        Self {
            workers,
            clients: rng.between(2, 6),
            channels,
            limits,
            chat,
            faults: rng.pick(&[0, 0, 5, 20]),
            sluggish: (rng.below(workers.into()) as u16, rng.below(workers.into()) as u16),
            spelled: rng.percent(20),
            mischief: rng.pick(&[0, 5, 30]),
            entries: rng.between(2, 4),
            weights: weights(rng),
        }
    }

    pub(crate) fn namespaces(&self) -> Namespaces {
        let mut namespaces = Namespaces::default();
        namespaces.insert("chat", self.chat.clone());
        namespaces.insert("live", Namespace { message_size_max: 200, ..Namespace::of_kind(Kind::Signal) });
        for (word, kind) in [("map", Kind::Map), ("value", Kind::Value)] {
            let namespace =
                Namespace { keys: self.chat.keys, message_size_max: 200, ..Namespace::of_kind(kind) };
            namespaces.insert(word, namespace);
        }
        namespaces
    }

    pub(crate) fn rules(&self) -> Rules {
        Rules {
            recover: (self.chat.recover_entries.into(), self.chat.recover_bytes),
            subscriptions: self.limits.subscriptions,
            page_bytes: self.limits.history_page_bytes,
            page_default: self.limits.history_page_default.into(),
            keys_ms: self.chat.keys.as_millis() as u64,
        }
    }

    pub(crate) fn kind(&self, rng: &mut Rng) -> StepKind {
        let mut at = rng.below(self.weights.iter().map(|(_, weight)| weight).sum());
        for (kind, weight) in self.weights {
            if at < weight {
                return kind;
            }
            at -= weight;
        }
        StepKind::Act
    }
}

fn weights(rng: &mut Rng) -> Weights {
    let mut usual = |weight: usize| 10 * weight * rng.pick::<usize>(&[1, 2, 2, 4]);
    let (act, queue, appends, reads, listen) = (usual(20), usual(14), usual(8), usual(6), usual(6));
    // The others come to about 1,200: a run of 2,000 steps crashes two or three times, if it does at all.
    let (crash, back_up) = rng.pick(&[(0, 0), (0, 0), (1, 0), (2, 2)]);
    let reopen = rng.pick(&[0, 0, 0, 2]);
    [
        (StepKind::Act, act),
        (StepKind::Queue, queue),
        (StepKind::Appends, appends),
        (StepKind::Reads, reads),
        (StepKind::Listen, listen),
        (StepKind::Time, 20),
        (StepKind::Door, 120),
        (StepKind::Speed, rng.pick(&[0, 20, 60])),
        (StepKind::Disk, rng.pick(&[0, 0, 4])),
        (StepKind::Trim, rng.pick(&[0, 0, 10, 30])),
        (StepKind::BackUp, back_up.max(reopen)),
        (StepKind::Reopen, reopen),
        (StepKind::Crash, crash),
    ]
}

fn limits(rng: &mut Rng) -> Limits {
    Limits {
        queue: rng.pick(&[8, 8, 11, 16, 24]),
        subscriptions: rng.pick(&[2, 100, 100, 100]),
        commands_in_flight: rng.pick(&[1, 4, 20, 64]),
        appends_in_flight: rng.pick(&[2, 10, 100, 100, 100, 100]),
        channel_waiting: rng.pick(&[1, 4, 100, 100]),
        reads_in_flight: rng.between(1, 4),
        channels: rng.pick(&[1, 2, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100]),
        // Half of it is more than the one map of a run may hold.
        hot_bytes: rng.pick(&[128 << 20, 128 << 20, 8 << 10]),
        channel_idle: Duration::from_millis(500),
        history_page: 20,
        history_page_bytes: rng.pick(&[1 << 20, 1 << 20, 400]),
        history_page_default: 5,
        // Time hardly passes here.
        command_rate: None,
        ..Limits::default()
    }
}
