//! What a publication is within its channel: a message of its own, a word about an earlier one, or the newest state of
//! an entry. Plain values; the hub decides who may say what, the store keeps the consequences.

use std::fmt;
use std::sync::Arc;

use crate::{ClientId, Offset, Timestamp};

/// The longest name of an entry, in bytes.
pub const ENTRY_NAME_MAX: usize = 255;

/// The longest value of a reaction, in bytes.
pub const REACTION_MAX: usize = 64;

/// What a publication is within its channel.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Role {
    /// A message of its own in a `log`, or a signal.
    #[default]
    Message,
    /// In a `log`: something about an earlier message.
    Reference(Reference),
    /// In a `value` or a `map`: the newest state of an entry.
    Entry(Box<Entry>),
}

impl Role {
    /// What it says about an earlier message, if it does.
    #[must_use]
    pub fn reference(&self) -> Option<&Reference> {
        match self {
            Self::Reference(reference) => Some(reference),
            Self::Message | Self::Entry(_) => None,
        }
    }

    /// Which entry it is the state of, if it is one's.
    #[must_use]
    pub fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Entry(entry) => Some(entry),
            Self::Message | Self::Reference(_) => None,
        }
    }
}

/// Something about an earlier message of the same log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reference {
    /// The message's offset. It is not itself a reference.
    pub target: Offset,
    /// What is done to it.
    pub op: Op,
}

/// What a reference does to its target.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Op {
    /// Its payload is replaced by this one's.
    Edit,
    /// Its payload, and those of all its edits, are erased. Offset and author stay.
    Delete,
    /// The author adds the reaction that the payload names, once.
    React,
    /// The author takes that reaction back.
    Unreact,
}

impl Op {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Edit, Self::Delete, Self::React, Self::Unreact];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edit => "edit",
            Self::Delete => "delete",
            Self::React => "react",
            Self::Unreact => "unreact",
        }
    }
}

/// The newest state of one entry of a `value` or a `map`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Entry {
    /// Its name; `None` in a `value`, which has just one.
    pub name: Option<EntryName>,
    /// Whether it is gone: the payload is empty.
    pub removed: bool,
    /// When it is to be removed, if it is not published again.
    pub expires: Option<Timestamp>,
    /// The session with whose end it is to be removed.
    pub owner: Option<ClientId>,
}

/// The name of an entry of a `map`: 1 to [`ENTRY_NAME_MAX`] bytes of text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryName(Arc<str>);

/// A text that is not an entry's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an entry's name has 1 to {ENTRY_NAME_MAX} bytes, this one has {0}")]
pub struct InvalidEntryName(usize);

impl EntryName {
    /// Checks the length.
    ///
    /// # Errors
    /// [`InvalidEntryName`] if it is empty or over [`ENTRY_NAME_MAX`] bytes.
    pub fn parse(name: &str) -> Result<Self, InvalidEntryName> {
        if (1..=ENTRY_NAME_MAX).contains(&name.len()) {
            Ok(Self(name.into()))
        } else {
            Err(InvalidEntryName(name.len()))
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_entries_have_a_length() {
        let check = |name: &str, expect: Result<(), InvalidEntryName>| {
            assert_eq!(EntryName::parse(name).map(|_| ()), expect, "{name}");
        };
        check("", Err(InvalidEntryName(0)));
        check("EUR/USD", Ok(()));
        check(&"x".repeat(255), Ok(()));
        check(&"x".repeat(256), Err(InvalidEntryName(256)));
    }
}
