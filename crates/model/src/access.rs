//! What a session may do: what its token allows, and the words for the rules of a namespace that say what needs no token.

use std::fmt;

use crate::channel::{CHANNEL_NAME_MAX, is_allowed};
use crate::{ChannelName, Offset, Payload, Timestamp};

/// Something that one may do in a channel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Capability {
    /// Follow it, and be given what was missed as far as that is replayed.
    Subscribe,
    /// Publish to it.
    Publish,
    /// Read its stored past.
    History,
    /// See who is there.
    Presence,
    /// Edit and delete what others wrote.
    Moderate,
}

impl Capability {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Subscribe, Self::Publish, Self::History, Self::Presence, Self::Moderate];

    /// The word in tokens and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::History => "history",
            Self::Presence => "presence",
            Self::Moderate => "moderate",
        }
    }
}

/// Some capabilities.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities(u8);

impl Capabilities {
    /// These and the ones of `self`.
    #[must_use]
    pub fn with(self, capability: Capability) -> Self {
        Self(self.0 | 1 << capability as u8)
    }

    /// These and those.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether it is one of them.
    #[must_use]
    pub fn has(self, capability: Capability) -> bool {
        self.0 & 1 << capability as u8 != 0
    }

    /// All there are.
    #[must_use]
    pub fn all() -> Self {
        Capability::ALL.iter().copied().collect()
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<T: IntoIterator<Item = Capability>>(capabilities: T) -> Self {
        capabilities.into_iter().fold(Self::default(), Self::with)
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = Capability::ALL.iter().filter(|capability| self.has(**capability));
        f.debug_list().entries(held.map(|capability| capability.as_str())).finish()
    }
}

/// Channels by name: one (`chat:lobby`), those that begin alike (`chat:*`), or all (`*`).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ChannelPattern {
    text: Box<str>,
    is_prefix: bool,
}

/// A text that is no pattern of channels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// A `*` stands elsewhere than at the end.
    #[error("a `*` stands at the end of a pattern, if at all")]
    Star,
    /// It is empty, or longer than a channel's name may be.
    #[error("a pattern has 1 to {CHANNEL_NAME_MAX} bytes, this one has {0}")]
    Length(usize),
    /// It holds what no channel's name does.
    #[error("a channel's name has letters, digits and `_-.:~@`, not {0:?}")]
    Character(char),
}

impl ChannelPattern {
    /// Checks the form.
    ///
    /// # Errors
    /// [`InvalidPattern`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        if text.is_empty() || text.len() > CHANNEL_NAME_MAX {
            return Err(InvalidPattern::Length(text.len()));
        }
        let (name, is_prefix) = text.strip_suffix('*').map_or((text, false), |prefix| (prefix, true));
        match name.chars().find(|c| !is_allowed(*c)) {
            Some('*') => Err(InvalidPattern::Star),
            Some(other) => Err(InvalidPattern::Character(other)),
            None => Ok(Self { text: name.into(), is_prefix }),
        }
    }

    /// All channels.
    #[must_use]
    pub fn all() -> Self {
        Self { text: "".into(), is_prefix: true }
    }

    /// This one.
    #[must_use]
    pub fn one(channel: &ChannelName) -> Self {
        Self { text: channel.as_str().into(), is_prefix: false }
    }

    /// Whether `channel` is one of them.
    #[must_use]
    pub fn matches(&self, channel: &ChannelName) -> bool {
        if self.is_prefix {
            channel.as_str().starts_with(&*self.text)
        } else {
            channel.as_str() == &*self.text
        }
    }
}

impl fmt::Display for ChannelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text, if self.is_prefix { "*" } else { "" })
    }
}

impl fmt::Debug for ChannelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What is allowed in some channels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Which.
    pub channels: ChannelPattern,
    /// What.
    pub can: Capabilities,
}

/// Of some channels nothing below an offset is given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Floor {
    /// Which.
    pub channels: ChannelPattern,
    /// The first offset that is given. It counts in every life of the store, also where the log has lost its end and has
    /// not come to it again.
    pub from: Offset,
}

/// Who somebody is to the rules of namespaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Standing {
    /// Somebody without a token, or with one that names nobody.
    #[default]
    Anonymous,
    /// A user that a token names.
    User,
    /// The server's own API, by a key.
    Server,
}

/// What a session may do besides what the rules of a namespace let everybody do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Access {
    /// Who it is to the rules.
    pub standing: Standing,
    /// What its token or its key allows.
    pub allow: Vec<Grant>,
    /// Where the past begins that it is given.
    pub floors: Vec<Floor>,
    /// When the token expires.
    pub expires: Option<Timestamp>,
    /// What presence shows of the user.
    pub info: Option<Payload>,
}

impl Access {
    /// Whether the token allows this.
    #[must_use]
    pub fn grants(&self, channel: &ChannelName, capability: Capability) -> bool {
        self.allow.iter().any(|grant| grant.can.has(capability) && grant.channels.matches(channel))
    }

    /// All that the token allows in this channel; `None` if it does not speak of it.
    #[must_use]
    pub fn granted(&self, channel: &ChannelName) -> Option<Capabilities> {
        let mut grants = self.allow.iter().filter(|grant| grant.channels.matches(channel)).peekable();
        grants.peek()?;
        Some(grants.fold(Capabilities::default(), |all, grant| all.and(grant.can)))
    }

    /// The first offset of this channel that is given: the highest of all that is said of it, 0 if nothing is.
    #[must_use]
    pub fn floor(&self, channel: &ChannelName) -> Offset {
        let floors = self.floors.iter().filter(|floor| floor.channels.matches(channel));
        floors.map(|floor| floor.from).max().unwrap_or_default()
    }
}

/// Who may do something in the channels of a namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Anyone, with a token or without.
    Anyone,
    /// Whoever has a token that names a user.
    User,
    /// The user that the channel is named after: what stands after the first `:` is its name.
    Owner,
    /// Whoever is subscribed to it.
    Subscribers,
    /// Whose token allows it.
    Token,
    /// The server's own API alone.
    Server,
}

impl Rule {
    /// The word in configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::User => "user",
            Self::Owner => "owner",
            Self::Subscribers => "subscribers",
            Self::Token => "token",
            Self::Server => "server",
        }
    }
}

/// Who may edit and delete the messages of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Edits {
    /// Who wrote the message, and whoever may moderate.
    #[default]
    Author,
    /// Whoever may moderate.
    Token,
    /// The server's own API alone.
    Server,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_how_names_begin() {
        let matches = |pattern: &str, name: &str| {
            let pattern = ChannelPattern::parse(pattern).expect("a pattern");
            pattern.matches(&ChannelName::parse(name).expect("a name"))
        };
        assert!(matches("chat:lobby", "chat:lobby"));
        assert!(!matches("chat:lobby", "chat:lobby2"));
        assert!(matches("chat:*", "chat:lobby"));
        assert!(matches("chat:*", "chat:"));
        assert!(!matches("chat:*", "chats:lobby"));
        assert!(matches("*", "anything"));
        for (wrong, why) in [
            ("", InvalidPattern::Length(0)),
            ("a*b", InvalidPattern::Star),
            ("**", InvalidPattern::Star),
            ("a b", InvalidPattern::Character(' ')),
            ("ä", InvalidPattern::Character('ä')),
        ] {
            assert_eq!(ChannelPattern::parse(wrong), Err(why), "{wrong}");
        }
        assert_eq!(ChannelPattern::parse(&"x".repeat(256)), Err(InvalidPattern::Length(256)));
    }

    #[test]
    fn a_grant_is_for_its_channels_and_its_capabilities() {
        let grant = |channels: &str, can: &[Capability]| Grant {
            channels: ChannelPattern::parse(channels).expect("a pattern"),
            can: can.iter().copied().collect(),
        };
        let access = Access {
            allow: vec![
                grant("chat:*", &[Capability::Subscribe]),
                grant("chat:lobby", &[Capability::Publish, Capability::History]),
            ],
            ..Access::default()
        };
        let can = |channel: &str| {
            let channel = ChannelName::parse(channel).expect("a name");
            let held = Capability::ALL.iter().filter(|capability| access.grants(&channel, **capability));
            held.map(|capability| capability.as_str()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(can("chat:lobby"), "subscribe publish history");
        assert_eq!(can("chat:other"), "subscribe");
        assert_eq!(can("desk:lobby"), "");
        let granted = |channel: &str| access.granted(&ChannelName::parse(channel).expect("a name"));
        assert_eq!(granted("chat:other"), Some([Capability::Subscribe].into_iter().collect()));
        assert_eq!(granted("desk:lobby"), None);
    }

    #[test]
    fn of_several_floors_the_highest_counts() {
        let floor = |channels: &str, from| Floor {
            channels: ChannelPattern::parse(channels).expect("a pattern"),
            from: Offset(from),
        };
        let floors = vec![floor("chat:*", 10), floor("chat:lobby", 30), floor("chat:l*", 20)];
        let access = Access { floors, ..Access::default() };
        let from = |channel: &str| access.floor(&ChannelName::parse(channel).expect("a name")).0;
        assert_eq!((from("chat:lobby"), from("chat:x"), from("desk:x")), (30, 10, 0));
    }
}
