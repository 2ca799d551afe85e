//! One immutable entry of a channel, shared by all who deliver it. Made by the hub or read from a store.

use std::fmt;
use std::sync::OnceLock;

use bytes::Bytes;

use crate::deflated::Deflated;
use crate::presence::escapes;
use crate::{ChannelName, Fold, Form, Key, Payload, Position, Role, Timestamp, UserName};

/// A finished byte form of a publication. Each is made at most once per publication, by the first
/// connection that needs it, and shared by reference count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    /// A whole WebSocket frame with a `trunkline.v1` JSON `message` in it.
    TrunklineV1,
    /// A whole WebSocket frame with the bare payload in it, as `/room/{name}` sends it.
    Plain,
}

impl Encoding {
    const COUNT: usize = 2;
}

/// One immutable entry of a channel (on the wire and to users: a message).
pub struct Publication {
    /// The channel it was published to.
    pub channel: ChannelName,
    /// Its place in the channel's log; `None` in a `signal` channel, which keeps nothing.
    pub position: Option<Position>,
    /// Whether it is the first entry of its epoch in this channel.
    pub begins_epoch: bool,
    /// When it was stored, by the store's clock; never decreasing within a channel.
    pub ts: Timestamp,
    /// What it carries.
    pub payload: Payload,
    /// The verified user, or the guest name that the server gave; `None` for the server's own.
    pub from: Option<UserName>,
    /// The idempotency key that its publisher sent.
    pub key: Option<Key>,
    /// What it is within its channel.
    pub role: Role,
    /// Whether its payload was erased by a deletion; it is empty then.
    pub erased: bool,
    /// What references have made of it; only in pages of history, and only if there are any.
    pub fold: Option<Box<Fold>>,
    encoded: [OnceLock<Bytes>; Encoding::COUNT],
    deflated: Deflated,
}

/// What a publication takes in memory besides its payload: itself, its names, and the frame around each form of it.
const WEIGHT_BASE: usize = 640;

impl Publication {
    /// An entry of `channel` with nothing else said of it yet: no position, no author, no key.
    #[must_use]
    pub fn new(channel: ChannelName, ts: Timestamp, payload: Payload) -> Self {
        Self {
            channel,
            position: None,
            begins_epoch: false,
            ts,
            payload,
            from: None,
            key: None,
            role: Role::Message,
            erased: false,
            fold: None,
            encoded: Default::default(),
            deflated: Deflated::default(),
        }
    }

    /// Its byte form in `encoding`, made by `encode` if this is the first call for it.
    pub fn encoded(&self, encoding: Encoding, encode: impl FnOnce(&Self) -> Bytes) -> &Bytes {
        self.encoded[encoding as usize].get_or_init(|| encode(self))
    }

    /// Its byte form in `encoding`, compressed for connections with a window of `window_bits`: made by `deflate` if this
    /// is the first call for both, and kept. `None` where `deflate` has found that it does not help.
    pub fn deflated(
        &self,
        encoding: Encoding,
        window_bits: u8,
        deflate: impl FnOnce() -> Option<Bytes>,
    ) -> Option<&Bytes> {
        self.deflated.get(encoding, window_bits, deflate)
    }

    /// What it counts against byte limits: payload, author, key, the name of its entry and the reactions to it, plus a
    /// flat 64 for the rest.
    #[must_use]
    pub fn cost(&self) -> usize {
        let from = self.from.as_ref().map_or(0, |user| user.as_str().len());
        let key = self.key.as_ref().map_or(0, |key| key.as_str().len());
        let entry = self.role.entry().and_then(|entry| entry.name.as_ref());
        let name = entry.map_or(0, |name| name.as_str().len());
        let fold = self.fold.as_ref().map_or(0, |fold| fold.cost());
        self.payload.bytes.len() + from + key + name + fold + 64
    }

    /// What it may take in memory, in bytes, once it was sent to clients of every kind: its payload, and each form that
    /// is made of it and kept.
    #[must_use]
    pub fn weight(&self) -> usize {
        // As it is, as JSON (escaped, or in base64), and as a plain message or compressed.
        let payload = match self.payload.form {
            Form::Text => 3 * self.payload.bytes.len() + escapes(&self.payload.bytes),
            Form::Json => 3 * self.payload.bytes.len(),
            Form::Binary => 4 * self.payload.bytes.len(),
        };
        payload + WEIGHT_BASE
    }

    /// The same entry without its payload, as a deletion leaves it.
    #[must_use]
    pub fn erase(&self) -> Self {
        let nothing = Payload::new(self.payload.form, Bytes::new());
        Self { erased: true, ..self.with_payload(nothing) }
    }

    /// The same entry as readers of history see it: with what references have made of it, and the payload of its newest
    /// edit.
    #[must_use]
    pub fn folded(&self, payload: Payload, fold: Fold) -> Self {
        Self { fold: Some(Box::new(fold)), ..self.with_payload(payload) }
    }

    /// The same entry with another payload.
    #[must_use]
    pub fn with_payload(&self, payload: Payload) -> Self {
        Self { payload, ..self.copy() }
    }

    /// The same entry, of which nothing is encoded yet. What is shared with all who deliver it stays as it is.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self {
            channel: self.channel.clone(),
            position: self.position,
            begins_epoch: self.begins_epoch,
            ts: self.ts,
            payload: self.payload.clone(),
            from: self.from.clone(),
            key: self.key.clone(),
            role: self.role.clone(),
            erased: self.erased,
            fold: self.fold.clone(),
            encoded: Default::default(),
            deflated: Deflated::default(),
        }
    }
}

/// Equal in all that was published and assigned; finished byte forms do not count.
impl PartialEq for Publication {
    fn eq(&self, other: &Self) -> bool {
        self.channel == other.channel
            && self.position == other.position
            && self.begins_epoch == other.begins_epoch
            && self.ts == other.ts
            && self.payload == other.payload
            && self.from == other.from
            && self.key == other.key
            && self.role == other.role
            && self.erased == other.erased
            && self.fold == other.fold
    }
}

/// Names and sizes, never the payload: logs must not hold what people write.
impl fmt::Debug for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publication")
            .field("channel", &self.channel)
            .field("position", &self.position)
            .field("begins_epoch", &self.begins_epoch)
            .field("ts", &self.ts)
            .field("bytes", &self.payload.bytes.len())
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}
