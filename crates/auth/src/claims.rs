//! The claims of a token whose signature is right: what each may be, and what they come to.

use serde_json::Value;
use trunkline_model::{
    Access, Capabilities, Capability, ChannelName, ChannelPattern, Floor, Form, Grant, Offset, Payload,
    Standing, Timestamp, USER_MAX, UserName,
};

use crate::Denied;
use crate::wire::RawClaims;

/// The most entries of `allow`.
pub const ALLOW_MAX: usize = 100;

/// The most of `channels`.
pub const CHANNELS_MAX: usize = 100;

/// The largest `info`, in bytes of JSON.
pub const INFO_MAX: usize = 1 << 10;

/// How the names begin that guests are given. Who has the name of an author may edit what that one wrote.
const GUEST_PREFIX: &str = "guest-";

/// What a token says of its bearer.
#[derive(Clone, PartialEq, Debug)]
pub struct Claims {
    /// Who it is; a token may name nobody, and just allow something.
    pub user: Option<UserName>,
    /// What the bearer may do, until when, and what is shown of it.
    pub access: Access,
    /// Channels that the bearer follows without asking.
    pub channels: Vec<ChannelName>,
    /// The channel that it is for, where it is for a subscription alone (`channel`): it lets nobody in, and is nothing
    /// over HTTP.
    pub only: Option<ChannelName>,
}

/// What a token for one channel allows that does not say it.
const CAN: [Capability; 3] = [Capability::Subscribe, Capability::History, Capability::Presence];

fn wrong<T>(claim: &'static str, why: impl Into<String>) -> Result<T, Denied> {
    Err(Denied::Claim(claim, why.into()))
}

impl RawClaims {
    /// A time in whole seconds (RFC 7519, section 2: NumericDate, which may have a fraction).
    pub(crate) fn time(&self, claim: &'static str) -> Result<Option<u64>, Denied> {
        match self.0.get(claim) {
            None => Ok(None),
            Some(Value::Number(number)) => match (number.as_u64(), number.as_f64()) {
                (Some(seconds), _) => Ok(Some(seconds)),
                (None, Some(seconds)) if (0.0..9e15).contains(&seconds) => Ok(Some(seconds as u64)),
                _ => wrong(claim, "is no time: seconds since 1970"),
            },
            Some(_) => wrong(claim, "is no number: seconds since 1970"),
        }
    }

    pub(crate) fn text(&self, claim: &'static str) -> Result<Option<String>, Denied> {
        match self.0.get(claim) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => wrong(claim, "is no text"),
        }
    }

    /// A text, or a list of them.
    pub(crate) fn texts(&self, claim: &'static str) -> Result<Vec<String>, Denied> {
        match self.0.get(claim) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text.clone()]),
            Some(Value::Array(list)) => list
                .iter()
                .map(|item| match item {
                    Value::String(text) => Ok(text.clone()),
                    _ => wrong(claim, "is no list of texts"),
                })
                .collect(),
            Some(_) => wrong(claim, "is neither a text nor a list of texts"),
        }
    }

    /// What they come to.
    pub(crate) fn read(&self, expires: Timestamp) -> Result<Claims, Denied> {
        let user = match self.text("sub")? {
            None => None,
            Some(name) if name.starts_with(GUEST_PREFIX) => {
                return wrong("sub", format!("begins with `{GUEST_PREFIX}`, as the names of guests do"));
            }
            Some(name) if (1..=USER_MAX).contains(&name.len()) => Some(UserName::new(&name)),
            Some(name) => {
                return wrong("sub", format!("has {} bytes; a user's name has 1 to {USER_MAX}", name.len()));
            }
        };
        let standing = if user.is_some() { Standing::User } else { Standing::Anonymous };
        let only = self.only()?;
        let (allow, floors) = match &only {
            Some(channel) => self.of_one(channel)?,
            None => self.allow()?,
        };
        let access = Access { standing, allow, floors, expires: Some(expires), info: self.info()? };
        Ok(Claims { user, access, channels: self.channels()?, only })
    }

    /// The channel that it is for, if it is for one.
    fn only(&self) -> Result<Option<ChannelName>, Denied> {
        let Some(name) = self.text("channel")? else {
            // Nothing may be given that somebody has tried to hold back.
            return match self.0.get("from") {
                None => Ok(None),
                Some(_) => wrong("from", "stands beside `channel`, or in an entry of `allow`"),
            };
        };
        if let Some(claim) = ["allow", "channels"].into_iter().find(|claim| self.0.contains_key(*claim)) {
            return wrong("channel", format!("and `{claim}` exclude each other; `can` says what is allowed"));
        }
        let channel = ChannelName::parse(&name);
        channel.map(Some).or_else(|error| wrong("channel", format!("is wrong: {error}")))
    }

    fn of_one(&self, channel: &ChannelName) -> Result<(Vec<Grant>, Vec<Floor>), Denied> {
        let can = self.0.get("can").map_or_else(
            || Ok(CAN.into_iter().collect()),
            |words| capabilities(words).or_else(|why| wrong("can", why)),
        )?;
        let channels = ChannelPattern::one(channel);
        let floor = self.0.get("from").map(offset).transpose().or_else(|why| wrong("from", why))?;
        let floor = floor.map(|from| Floor { channels: channels.clone(), from });
        Ok((vec![Grant { channels, can }], floor.into_iter().collect()))
    }

    fn allow(&self) -> Result<(Vec<Grant>, Vec<Floor>), Denied> {
        let list = match self.0.get("allow") {
            None => return Ok((Vec::new(), Vec::new())),
            Some(Value::Array(list)) if list.len() <= ALLOW_MAX => list,
            Some(Value::Array(list)) => {
                return wrong("allow", format!("has {} entries; it may have {ALLOW_MAX}", list.len()));
            }
            Some(_) => return wrong("allow", "is no list of {\"channels\": …, \"can\": […]}"),
        };
        let read = list.iter().map(grant).collect::<Result<Vec<_>, _>>()?;
        let (allow, floors): (Vec<_>, Vec<_>) = read.into_iter().unzip();
        Ok((allow, floors.into_iter().flatten().collect()))
    }

    fn channels(&self) -> Result<Vec<ChannelName>, Denied> {
        let names = self.texts("channels")?;
        if names.len() > CHANNELS_MAX {
            return wrong("channels", format!("has {} names; it may have {CHANNELS_MAX}", names.len()));
        }
        let parsed = names.iter().map(|name| ChannelName::parse(name));
        parsed.collect::<Result<_, _>>().or_else(|error| wrong("channels", format!("is wrong: {error}")))
    }

    fn info(&self) -> Result<Option<Payload>, Denied> {
        let Some(info) = self.0.get("info").filter(|info| !info.is_null()) else { return Ok(None) };
        let json = info.to_string();
        if json.len() > INFO_MAX {
            return wrong("info", format!("has {} bytes of JSON; it may have {INFO_MAX}", json.len()));
        }
        Ok(Some(Payload::new(Form::Json, json)))
    }
}

fn grant(entry: &Value) -> Result<(Grant, Option<Floor>), Denied> {
    let Value::Object(entry) = entry else { return wrong("allow", "holds what is no object") };
    let Some(Value::String(pattern)) = entry.get("channels") else {
        return wrong("allow", "has an entry whose `channels` is no text");
    };
    let channels =
        ChannelPattern::parse(pattern).or_else(|error| wrong("allow", format!("is wrong: {error}")))?;
    let Some(words) = entry.get("can") else { return wrong("allow", "has an entry whose `can` is no list") };
    let can = capabilities(words).or_else(|why| wrong("allow", format!("has an entry whose `can` {why}")))?;
    let from = entry.get("from").map(offset).transpose();
    let from = from.or_else(|why| wrong("allow", format!("has an entry whose `from` {why}")))?;
    let floor = from.map(|from| Floor { channels: channels.clone(), from });
    Ok((Grant { channels, can }, floor))
}

fn capabilities(words: &Value) -> Result<Capabilities, String> {
    let Value::Array(words) = words else { return Err("is no list".to_owned()) };
    let word = |word: &Value| {
        let word = word.as_str().unwrap_or_default();
        let known = Capability::ALL.iter().copied().find(|capability| capability.as_str() == word);
        known.ok_or_else(|| {
            let words: Vec<_> = Capability::ALL.iter().map(|capability| capability.as_str()).collect();
            format!("has a word that is none of {}", words.join(", "))
        })
    };
    words.iter().map(word).collect()
}

fn offset(value: &Value) -> Result<Offset, String> {
    value.as_u64().map(Offset).ok_or_else(|| "is no offset: a whole number, 0 or more".to_owned())
}
