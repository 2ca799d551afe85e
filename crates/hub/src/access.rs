//! Who may do what: the rules of a namespace, and what a token allows beside them. A denial says who, what, which rule, and
//! how to allow it.

use trunkline_model::{
    Capability, ChannelName, Edits, ErrorCode, Fault, Identity, Kind, Namespace, Offset, Op, Payload,
    PresenceMode, Publish, Rule, Standing,
};

use crate::pass::Pass;

/// Who asks, and how they stand to the channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bearer<'a> {
    pub(crate) identity: &'a Identity,
    /// What a token for this channel alone allows them.
    pub(crate) pass: Option<&'a Pass>,
    pub(crate) is_subscriber: bool,
}

impl Bearer<'_> {
    /// Whether a token allows this.
    pub(crate) fn is_granted(&self, channel: &ChannelName, capability: Capability) -> bool {
        self.identity.access.grants(channel, capability)
            || self.pass.is_some_and(|pass| pass.can.has(capability))
    }

    /// What presence shows of the user.
    pub(crate) fn info(&self) -> Option<&Payload> {
        let of_pass = self.pass.and_then(|pass| pass.info.as_ref());
        of_pass.or(self.identity.access.info.as_ref())
    }

    /// The first offset of `channel` that is given: of all tokens the highest counts.
    pub(crate) fn floor(&self, channel: &ChannelName) -> Offset {
        let of_pass = self.pass.map_or(Offset::ZERO, |pass| pass.floor);
        self.identity.access.floor(channel).max(of_pass)
    }
}

/// Whether `bearer` may do this in `channel`.
///
/// # Errors
/// `forbidden`.
pub(crate) fn permit(
    bearer: &Bearer<'_>,
    namespace: &Namespace,
    channel: &ChannelName,
    capability: Capability,
) -> Result<(), Fault> {
    let Bearer { identity, is_subscriber, .. } = *bearer;
    let (setting, rule) = match capability {
        Capability::Publish => ("publish", namespace.publish),
        Capability::Subscribe | Capability::History | Capability::Presence => {
            ("subscribe", namespace.subscribe)
        }
        Capability::Moderate => ("edits", Rule::Token),
    };
    let access = &identity.access;
    let is_user = access.standing == Standing::User;
    let granted = bearer.is_granted(channel, capability);
    let allowed = match rule {
        Rule::Server => granted && access.standing == Standing::Server,
        _ if granted => true,
        // What a key of the server's API may do is said by its scope alone.
        _ if access.standing == Standing::Server => false,
        Rule::Anyone => true,
        Rule::User => is_user,
        Rule::Owner => is_user && owner_of(channel) == Some(identity.user.as_str()),
        Rule::Subscribers => is_subscriber,
        Rule::Token => false,
    };
    if allowed { Ok(()) } else { Err(denial(identity, channel, capability, (setting, rule))) }
}

/// The user that a channel is named after.
fn owner_of(channel: &ChannelName) -> Option<&str> {
    channel.as_str().split_once(':').map(|(_, owner)| owner)
}

fn denial(
    identity: &Identity,
    channel: &ChannelName,
    capability: Capability,
    (setting, rule): (&str, Rule),
) -> Fault {
    let who = match identity.access.standing {
        Standing::Server => "this API key".to_owned(),
        Standing::User => format!("user {}", identity.user.as_str()),
        Standing::Anonymous => format!("{}, who has no token that names a user,", identity.user.as_str()),
    };
    let what = match capability {
        Capability::Subscribe => "subscribe to",
        Capability::Publish => "publish to",
        Capability::History => "read the history of",
        Capability::Presence => "see who is in",
        Capability::Moderate => "moderate",
    };
    let namespace = channel.namespace();
    let grant = format!("{{\"channels\":\"{channel}\",\"can\":[\"{}\"]}}", capability.as_str());
    let how = match (identity.access.standing, rule) {
        (Standing::Server, _) => format!("its scope does not have it; {grant} in its `allow` would"),
        (_, Rule::Server) => format!(
            "`{setting}` of [namespace.{namespace}] is {}: only the server's own API may",
            if setting == "publish" { "\"server\"" } else { "\"nobody\"" }
        ),
        (_, Rule::Owner) => format!(
            "`{setting}` of [namespace.{namespace}] is \"owner\": only the user after whom the channel is named may; \
             {grant} in the token's `allow` would let another"
        ),
        (_, Rule::Subscribers) => {
            format!("`{setting}` of [namespace.{namespace}] is \"subscribers\": subscribe to it first")
        }
        (_, Rule::User) => format!(
            "`{setting}` of [namespace.{namespace}] is \"user\": connect with a token that has a `sub`, or say \
             {setting} = \"anyone\""
        ),
        (_, Rule::Token | Rule::Anyone) if capability == Capability::Moderate => {
            format!(
                "only its author and who may `moderate` it can; {grant} in the token's `allow` would let others"
            )
        }
        (_, Rule::Token | Rule::Anyone) => format!(
            "`{setting}` of [namespace.{namespace}] is \"token\": {grant} in the token's `allow` would, or \
             {setting} = \"user\" would let every user"
        ),
    };
    Fault::new(ErrorCode::Forbidden, format!("{who} may not {what} {channel}: {how}"))
}

/// What `bearer`, who is subscribed to it, may do in `channel`, of what there is in its kind.
pub(crate) fn capabilities(
    bearer: &Bearer<'_>,
    namespace: &Namespace,
    channel: &ChannelName,
) -> Vec<Capability> {
    let exists = |capability: &Capability| match capability {
        Capability::Subscribe => false,
        Capability::Publish => true,
        Capability::History | Capability::Moderate => namespace.kind == Kind::Log,
        Capability::Presence => namespace.presence != PresenceMode::Off,
    };
    let may = |capability: &Capability| permit(bearer, namespace, channel, *capability).is_ok();
    Capability::ALL.iter().copied().filter(exists).filter(may).collect()
}

/// Whether `bearer` may publish this.
///
/// # Errors
/// `forbidden`.
pub(crate) fn permit_publish(
    bearer: &Bearer<'_>,
    namespace: &Namespace,
    publish: &Publish,
) -> Result<(), Fault> {
    let channel = &publish.channel;
    permit(bearer, namespace, channel, Capability::Publish)?;
    let changes = publish.reference.is_some_and(|reference| matches!(reference.op, Op::Edit | Op::Delete));
    match namespace.edits {
        _ if !changes => Ok(()),
        // What came over the HTTP API has no author that could be told from another.
        _ if bearer.identity.access.standing == Standing::Server => {
            permit(bearer, namespace, channel, Capability::Moderate)
        }
        Edits::Author => Ok(()),
        Edits::Token => permit(bearer, namespace, channel, Capability::Moderate),
        Edits::Server => {
            let message = format!(
                "`edits` of [namespace.{}] is \"nobody\": only the server's own API edits and deletes in {channel}; \
                 \"author\" would let who wrote a message",
                channel.namespace()
            );
            Err(Fault::new(ErrorCode::Forbidden, message))
        }
    }
}
