//! Who is in a channel, as others are told: members, and what changed of them. Plain values; the hub decides who is told
//! what and when, a dialect writes it out.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::deflated::Deflated;
use crate::{ChannelName, ClientId, Encoding, Payload, UserName};

/// The longest name that a client may give itself, in bytes.
pub const DISPLAY_NAME_MAX: usize = 64;

/// What the fields of a member take on the wire beside their content.
const MEMBER_BASE: usize = 48;
/// What the field of its information takes beside its content.
const INFO_BASE: usize = 8;
/// What a member that is gone takes on the wire beside its client.
const GONE_BASE: usize = 3;
/// What an update takes on the wire beside its channel and its members, the frame's head included.
const UPDATE_BASE: usize = 104;

/// A name that a client gives itself, for others to see: 1 to [`DISPLAY_NAME_MAX`] bytes without control characters.
///
/// Nobody has verified it; who it is says [`Member::user`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DisplayName(Arc<str>);

/// A text that is not a display name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDisplayName {
    /// It is empty or too long.
    #[error("a name has 1 to {DISPLAY_NAME_MAX} bytes, this one has {0}")]
    Length(usize),
    /// It holds a control character.
    #[error("a name has no control characters, this one has {0:?}")]
    Control(char),
}

impl DisplayName {
    /// Checks the length and the characters.
    ///
    /// # Errors
    /// [`InvalidDisplayName`] says which rule is broken.
    pub fn parse(name: &str) -> Result<Self, InvalidDisplayName> {
        if !(1..=DISPLAY_NAME_MAX).contains(&name.len()) {
            return Err(InvalidDisplayName::Length(name.len()));
        }
        match name.chars().find(|c| c.is_control()) {
            Some(c) => Err(InvalidDisplayName::Control(c)),
            None => Ok(Self(name.into())),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// One session in one channel, as others see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// The session's public id, which tells members apart.
    pub client: ClientId,
    /// Its user, or the guest name that the server gave.
    pub user: UserName,
    /// The name that the client gave itself.
    pub name: Option<DisplayName>,
    /// What its token says of the user: JSON.
    pub info: Option<Payload>,
    /// What the client says about itself there: JSON.
    pub state: Option<Payload>,
}

impl Member {
    /// What it takes on the wire at most, in bytes.
    #[must_use]
    pub fn cost(&self) -> usize {
        let name = self.name.as_ref().map_or(0, |name| escaped(name.as_str()));
        let state = self.state.as_ref().map_or(0, |state| state.bytes.len());
        let info = self.info.as_ref().map_or(0, |info| INFO_BASE + info.bytes.len());
        MEMBER_BASE + escaped(self.client.as_str()) + escaped(self.user.as_str()) + name + info + state
    }
}

/// How many bytes a text takes in JSON.
fn escaped(text: &str) -> usize {
    text.len() + escapes(text.as_bytes())
}

/// How many bytes more a text takes in JSON than it has, at most.
pub(crate) fn escapes(text: &[u8]) -> usize {
    let surplus = |byte: &u8| match byte {
        b'"' | b'\\' => 1,
        0..=0x1f => 5,
        _ => 0,
    };
    text.iter().map(surplus).sum()
}

/// Who is in a channel, or what changed of that. Shared by all who are told.
pub struct PresenceUpdate {
    /// The channel.
    pub channel: ChannelName,
    /// How many members it has.
    pub count: usize,
    /// Who they are, as far as that is told.
    pub members: Members,
    encoded: OnceLock<Bytes>,
    deflated: Deflated,
}

/// What an update says of the members beside their number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Members {
    /// Nothing.
    Untold,
    /// What became of some of them.
    Changed {
        /// These are there, so.
        set: Vec<Arc<Member>>,
        /// These are not.
        gone: Vec<ClientId>,
    },
    /// These replace all that were told before. There may be more, which follow as changes.
    All(Vec<Arc<Member>>),
}

impl PresenceUpdate {
    /// An update of which nothing is encoded yet.
    #[must_use]
    pub fn new(channel: ChannelName, count: usize, members: Members) -> Self {
        Self { channel, count, members, encoded: OnceLock::new(), deflated: Deflated::default() }
    }

    /// What it takes on the wire at most, in bytes.
    #[must_use]
    pub fn cost(&self) -> usize {
        let members = match &self.members {
            Members::Untold => 0,
            Members::All(set) => set.iter().map(|member| member.cost()).sum(),
            Members::Changed { set, gone } => {
                set.iter().map(|member| member.cost()).sum::<usize>()
                    + gone.iter().map(Self::gone_cost).sum::<usize>()
            }
        };
        Self::base_cost(&self.channel) + members
    }

    /// What an update of `channel` takes without members.
    #[must_use]
    pub fn base_cost(channel: &ChannelName) -> usize {
        UPDATE_BASE + channel.as_str().len()
    }

    /// What it takes in an update to say that `client` is gone.
    #[must_use]
    pub fn gone_cost(client: &ClientId) -> usize {
        GONE_BASE + escaped(client.as_str())
    }

    /// Its WebSocket frame in `trunkline.v1`, made by `encode` if this is the first call.
    pub fn encoded(&self, encode: impl FnOnce(&Self) -> Bytes) -> &Bytes {
        self.encoded.get_or_init(|| encode(self))
    }

    /// The same, compressed for connections with a window of `window_bits`: made by `deflate` if this is the first call
    /// for it. `None` where `deflate` has found that it does not help.
    pub fn deflated(&self, window_bits: u8, deflate: impl FnOnce() -> Option<Bytes>) -> Option<&Bytes> {
        self.deflated.get(Encoding::TrunklineV1, window_bits, deflate)
    }
}

/// Equal in what is told; finished byte forms do not count.
impl PartialEq for PresenceUpdate {
    fn eq(&self, other: &Self) -> bool {
        self.channel == other.channel && self.count == other.count && self.members == other.members
    }
}

/// Sizes, never who it is or what they say of themselves.
impl fmt::Debug for PresenceUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (set, gone, all) = match &self.members {
            Members::Untold => (0, 0, false),
            Members::Changed { set, gone } => (set.len(), gone.len(), false),
            Members::All(set) => (set.len(), 0, true),
        };
        f.debug_struct("PresenceUpdate")
            .field("channel", &self.channel)
            .field("count", &self.count)
            .field("set", &set)
            .field("gone", &gone)
            .field("all", &all)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_are_short_and_printable() {
        let check = |name: &str, expect: Result<(), InvalidDisplayName>| {
            assert_eq!(DisplayName::parse(name).map(|_| ()), expect, "{name}");
        };
        check("", Err(InvalidDisplayName::Length(0)));
        check("Ann \"the\" 👩", Ok(()));
        check(&"x".repeat(64), Ok(()));
        check(&"x".repeat(65), Err(InvalidDisplayName::Length(65)));
        check("two\nlines", Err(InvalidDisplayName::Control('\n')));
    }

    #[test]
    fn a_text_costs_what_it_takes_in_json() {
        assert_eq!(escaped("ann"), 3);
        assert_eq!(escaped("\"é\\\n"), 2 + 2 + 2 + 6);
    }
}
