//! Who a session is: the public client id, the name shown to others, the publisher within whose scope
//! idempotency keys count, and secrets that must never be printed.

use std::fmt;
use std::sync::Arc;

use crate::channel::stable_hash;
use crate::{Access, ChannelName};

/// The longest idempotency key, in bytes.
pub const KEY_MAX: usize = 64;

/// The longest name of a user that a token may say, in bytes.
pub const USER_MAX: usize = 255;

/// A user's verified name, or the `guest-…` name that the server gave an anonymous client.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct UserName(Arc<str>);

impl UserName {
    /// Takes the name as it stands; the caller has verified it.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The public id of a session, which others may see.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientId(Arc<str>);

impl ClientId {
    /// Takes the id as it stands.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A hash that is the same on every worker and in every run (FNV-1a), from which follows who keeps the session's
    /// lines. Not for hash tables that hold hostile keys.
    #[must_use]
    pub fn stable_hash(&self) -> u64 {
        stable_hash(&self.0)
    }
}

/// The scope of idempotency keys: the same key of two publishers names two publications.
///
/// A text that no client chooses: `user:…`, `session:…` (the secret's public half) or `api`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Publisher(Arc<str>);

impl Publisher {
    /// Takes the scope's name as it stands.
    #[must_use]
    pub fn new(scope: &str) -> Self {
        Self(scope.into())
    }

    /// The scope's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A publisher's own name for one publication: 1 to [`KEY_MAX`] bytes. Within a channel and a publisher a
/// key is stored at most once.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Key(Arc<str>);

/// A text that is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a key has 1 to {KEY_MAX} bytes, this one has {0}")]
pub struct InvalidKey(usize);

impl Key {
    /// Checks the length.
    ///
    /// # Errors
    /// [`InvalidKey`] if it is empty or over [`KEY_MAX`] bytes.
    pub fn parse(key: &str) -> Result<Self, InvalidKey> {
        if (1..=KEY_MAX).contains(&key.len()) { Ok(Self(key.into())) } else { Err(InvalidKey(key.len())) }
    }

    /// The key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When the key was made, if it has the form `<unix ms, base 36>-<random>` and the time is a
    /// plausible one (after 2001-09-09, below 2^53 ms); else `None`.
    #[must_use]
    pub fn born(&self) -> Option<crate::Timestamp> {
        let (time, random) = self.0.split_once('-')?;
        if random.is_empty() || !time.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()) {
            return None;
        }
        let ms = u64::from_str_radix(time, 36).ok()?;
        (1_000_000_000_000..1 << 53).contains(&ms).then_some(crate::Timestamp(ms))
    }
}

/// A text that must not be printed or logged: a token, a session's secret. It has no `Display`, and its
/// `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps `text`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text itself: for the door that checks it, and for the one reply that tells it to its owner.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// All that the door found out about who is there, given to a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The public id of the session.
    pub client: ClientId,
    /// The user, or the guest name.
    pub user: UserName,
    /// The scope of this session's keys.
    pub publisher: Publisher,
    /// The secret with which the client takes up this identity again; `None` where there is nothing to
    /// take up (HTTP calls).
    pub session: Option<Secret>,
    /// Whether publications carry the user as `from` (false for the server's own API).
    pub named: bool,
    /// What it may do besides what the rules let everybody do.
    pub access: Arc<Access>,
}

/// What a connection shows to say who it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Presented {
    /// A token.
    pub token: Option<Secret>,
    /// The secret of an earlier session.
    pub session: Option<Secret>,
    /// The channel that the token is shown for, to subscribe to it; `None`: it is the connection's own.
    pub channel: Option<ChannelName>,
}

/// Who is let in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admitted {
    /// Who it is.
    pub identity: Identity,
    /// Channels that it follows without asking (server-side subscriptions).
    pub channels: Vec<ChannelName>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    #[test]
    fn a_dated_key_tells_its_birth() {
        let check = |key: &str, born: Option<u64>| {
            assert_eq!(Key::parse(key).expect("a valid key").born(), born.map(Timestamp), "{key}");
        };
        check("mwsb3eaz-k3", Some(u64::from_str_radix("mwsb3eaz", 36).expect("base 36")));
        check("mwsb3eaz-", None);
        check("mwsb3eaz", None);
        check("order-42", None); // a word before the dash is no time: far too early
        check("MWSB3EAZ-k3", None);
        check("zzzzzzzzzzzzzzzz-1", None);
    }

    #[test]
    fn secrets_do_not_print() {
        assert_eq!(format!("{:?}", Secret::new("hush")), "Secret(…)");
    }

    #[test]
    fn keys_have_a_length() {
        assert!(Key::parse("").is_err());
        assert!(Key::parse(&"k".repeat(64)).is_ok());
        assert_eq!(Key::parse(&"k".repeat(65)), Err(InvalidKey(65)));
    }
}
