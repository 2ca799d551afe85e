//! The checked name of a channel. Made from outside input by dialects and the HTTP API, used everywhere;
//! not the channel's state, which is the hub's.

use std::fmt;
use std::sync::Arc;

/// The longest channel name, in bytes.
pub const CHANNEL_NAME_MAX: usize = 255;

/// A channel's name: 1 to [`CHANNEL_NAME_MAX`] bytes of `A–Z a–z 0–9 _ - . : ~ @`.
///
/// Cheap to clone (reference-counted).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

/// Why a text is not a channel name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidChannelName {
    /// It has no byte at all.
    #[error("a channel name needs at least one character")]
    Empty,
    /// It is longer than [`CHANNEL_NAME_MAX`] bytes.
    #[error("a channel name has at most {CHANNEL_NAME_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// It holds a character outside of the allowed set.
    #[error("a channel name may hold A–Z a–z 0–9 _ - . : ~ @, not {0:?}")]
    Character(char),
}

impl ChannelName {
    /// Checks `name`.
    ///
    /// # Errors
    /// [`InvalidChannelName`] says which rule is broken.
    pub fn parse(name: &str) -> Result<Self, InvalidChannelName> {
        if name.is_empty() {
            return Err(InvalidChannelName::Empty);
        }
        if name.len() > CHANNEL_NAME_MAX {
            return Err(InvalidChannelName::TooLong(name.len()));
        }
        match name.chars().find(|c| !is_allowed(*c)) {
            Some(c) => Err(InvalidChannelName::Character(c)),
            None => Ok(Self(name.into())),
        }
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the first `:`; `default` where there is none.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.0.split_once(':').map_or("default", |(namespace, _)| namespace)
    }

    /// A hash that is the same on every worker and in every run (FNV-1a), from which the channel's owner
    /// follows. Not for hash tables that hold hostile keys.
    #[must_use]
    pub fn stable_hash(&self) -> u64 {
        stable_hash(&self.0)
    }
}

/// FNV-1a.
pub(crate) fn stable_hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Whether a name of what clients may name holds this character.
pub(crate) fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '~' | '@')
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expect: Result<&str, InvalidChannelName>) {
        let parsed = ChannelName::parse(name);
        assert_eq!(parsed.as_ref().map(ChannelName::namespace).map_err(Clone::clone), expect);
    }

    #[test]
    fn names_and_their_namespaces() {
        check("chat:lobby", Ok("chat"));
        check("chat:a:b", Ok("chat"));
        check("lobby", Ok("default"));
        check(":x", Ok(""));
        check("a_b-c.d~e@f:9", Ok("a_b-c.d~e@f"));
        check(&"x".repeat(255), Ok("default"));
        check("", Err(InvalidChannelName::Empty));
        check(&"x".repeat(256), Err(InvalidChannelName::TooLong(256)));
        check("chat lobby", Err(InvalidChannelName::Character(' ')));
        check("chat:lobby\n", Err(InvalidChannelName::Character('\n')));
        check("café", Err(InvalidChannelName::Character('é')));
        check("a/b", Err(InvalidChannelName::Character('/')));
    }
}
