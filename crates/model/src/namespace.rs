//! The settings of a namespace, as the hub uses them. Read from configuration by the server only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::{ChannelName, Edits, Rule};

/// What a channel keeps of what is published to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Every publication, in order, with dense offsets.
    Log,
    /// The newest publication. Offsets rise but skip.
    Value,
    /// The newest publication of each of many entries. Offsets rise but skip.
    Map,
    /// Nothing: publications pass through, at most once, in sending order per connection.
    Signal,
}

impl Kind {
    /// The word for it in configuration and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Value => "value",
            Self::Map => "map",
            Self::Signal => "signal",
        }
    }
}

/// How much the subscribers of a channel may know of each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PresenceMode {
    /// Nothing.
    #[default]
    Off,
    /// How many they are.
    Count,
    /// Who they are.
    Full,
}

impl PresenceMode {
    /// The word for it in configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Count => "count",
            Self::Full => "full",
        }
    }
}

/// What becomes of a subscriber that reads more slowly than is published.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Slow {
    /// It is told nothing until it has read, and then goes on from its place.
    #[default]
    CatchUp,
    /// Its connection is closed with 4508; it comes back and goes on from its place, as far as that is replayed.
    Disconnect,
}

/// The settings that all channels of one namespace share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Namespace {
    /// What its channels keep.
    pub kind: Kind,
    /// How many entries are replayed at most to a client that comes back; more is answered with
    /// `recovered: false, reason: "limit"`. Also the size of a channel's hot ring.
    pub recover_entries: u32,
    /// The same limit in bytes ([`Publication::cost`](crate::Publication::cost)).
    pub recover_bytes: usize,
    /// How long idempotency keys are remembered. A dated key that is older is refused with `key_expired`.
    pub keys: Duration,
    /// The largest payload of one publication, in bytes; a larger one is answered with `too_large`.
    pub message_size_max: usize,
    /// When a publish is answered and delivered.
    pub acknowledge: Acknowledge,
    /// How much is kept.
    pub retention: Retention,
    /// How fast one connection may publish to its channels, all of them together (`None`: as fast as it can). More is
    /// answered with `rate_limited` and `retry`.
    pub rate: Option<Rate>,
    /// How fast all together may publish to one channel. More is answered likewise.
    pub channel_rate: Option<Rate>,
    /// How often a subscriber of a `value` or a `map` is told at most (`None`: of each publication); then it is given what
    /// is newest.
    pub max_rate: Option<Rate>,
    /// What becomes of a subscriber that is slow. Of a signal the oldest that wait are dropped, whatever this says.
    pub slow: Slow,
    /// Who may follow its channels, read their past and see who is there.
    pub subscribe: Rule,
    /// Who may publish to them.
    pub publish: Rule,
    /// Who may edit and delete.
    pub edits: Edits,
    /// How much its subscribers may know of each other.
    pub presence: PresenceMode,
    /// How long after its last connection a member of a channel's presence is gone.
    pub grace: Duration,
    /// Members of one channel's presence; a subscribe that would add one more is answered with `limit_exceeded`.
    pub members_max: usize,
}

/// How often something may happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Once in this time, on average.
    pub interval: Duration,
    /// So many at once, if there were none for long enough; at least 1.
    pub burst: u32,
}

/// When a publish is answered and delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Acknowledge {
    /// After it is synced to disk: no crash takes it back.
    #[default]
    Disk,
    /// After it is ordered and handed to the system, which is synced within a second: a crash of the server takes nothing
    /// back, one of the machine perhaps the last second. What it takes is told as `rewound`.
    Memory,
}

/// How much of what was stored is kept; what is older makes room. `None` is for ever, or all.
///
/// It moves a channel's floor and nothing else: positions stay valid and keys are remembered. What is beyond a bound
/// goes within a few seconds, not at once. The entries of a `value` or a `map` neither count nor go: each stays until it
/// is published anew or removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// So many entries of each channel.
    pub entries: Option<u64>,
    /// So many bytes of all channels of the namespace together ([`Publication::cost`](crate::Publication::cost)).
    pub bytes: Option<u64>,
    /// So long, by the store's clock.
    pub age: Option<Duration>,
    /// How long a `value` or `map` remembers that an entry was removed: for so long a client may be away and is told
    /// what changed, afterwards it is given all that is there.
    pub removals: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { entries: None, bytes: None, age: None, removals: Duration::from_secs(600) }
    }
}

impl Namespace {
    /// The defaults of a namespace of this kind. It is open to anyone.
    #[must_use]
    pub fn of_kind(kind: Kind) -> Self {
        Self {
            kind,
            recover_entries: 500,
            recover_bytes: 1 << 20,
            keys: Duration::from_secs(24 * 3600),
            message_size_max: 16 * 1024,
            acknowledge: Acknowledge::Disk,
            retention: Retention::default(),
            rate: None,
            channel_rate: None,
            max_rate: None,
            slow: Slow::CatchUp,
            subscribe: Rule::Anyone,
            publish: Rule::Anyone,
            edits: Edits::Author,
            presence: PresenceMode::Off,
            grace: Duration::from_secs(3),
            members_max: 5_000,
        }
    }
}

/// All namespaces by name. A channel outside of them does not exist.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Namespaces(BTreeMap<Box<str>, Arc<Namespace>>);

impl Namespaces {
    /// Sets the namespace `name`, replacing what it was.
    pub fn insert(&mut self, name: &str, namespace: Namespace) {
        self.0.insert(name.into(), Arc::new(namespace));
    }

    /// The settings for `channel`; `None` if its namespace is not configured.
    #[must_use]
    pub fn of(&self, channel: &ChannelName) -> Option<&Arc<Namespace>> {
        self.0.get(channel.namespace())
    }

    /// All of them with their names, in the order of these.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Namespace)> {
        self.0.iter().map(|(name, namespace)| (&**name, &**namespace))
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }

    /// The largest payload that any namespace takes, in bytes.
    #[must_use]
    pub fn message_size_max(&self) -> usize {
        self.0.values().map(|namespace| namespace.message_size_max).max().unwrap_or(0)
    }
}
