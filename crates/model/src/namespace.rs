//! The settings of a namespace, as the hub uses them. Read from configuration by the server only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::ChannelName;

/// What a channel keeps of what is published to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Every publication, in order, with dense offsets.
    Log,
    /// Nothing: publications pass through, at most once, in sending order per connection.
    Signal,
}

impl Kind {
    /// The word for it in configuration and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Signal => "signal",
        }
    }
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
}

impl Namespace {
    /// The defaults of a namespace of this kind.
    #[must_use]
    pub fn of_kind(kind: Kind) -> Self {
        Self {
            kind,
            recover_entries: 500,
            recover_bytes: 1 << 20,
            keys: Duration::from_secs(24 * 3600),
            message_size_max: 16 * 1024,
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
