//! What is checked of a command before its channel's owner is asked. Each fault says which field, which limit,
//! and what would be right.

use std::sync::Arc;

use trunkline_model::{
    ChannelName, Connect, ErrorCode, Fault, Form, HistoryQuery, Kind, Limits, Namespace, Namespaces, Op,
    Payload, PresenceMode, PresenceQuery, Publish, REACTION_MAX, Start, Subscribe,
};

use crate::input::Moment;
use crate::peer::Author;

pub(crate) fn namespace_of<'a>(
    namespaces: &'a Namespaces,
    channel: &ChannelName,
) -> Result<&'a Arc<Namespace>, Fault> {
    namespaces.of(channel).ok_or_else(|| {
        let known: Vec<_> = namespaces.names().collect();
        let message = format!(
            "there is no namespace {:?} (configured: {}); a channel's namespace is what stands before its first `:`",
            channel.namespace(),
            known.join(", ")
        );
        Fault::new(ErrorCode::UnknownNamespace, message)
    })
}

pub(crate) fn check_connect(connect: &Connect, limits: &Limits) -> Result<(), Fault> {
    let listed = &connect.subscribe;
    if listed.len() > limits.subscriptions {
        let message = format!(
            "`subscribe` names {} channels; a session has at most {}",
            listed.len(),
            limits.subscriptions
        );
        return Err(Fault::new(ErrorCode::LimitExceeded, message));
    }
    let mut names: Vec<_> = listed.iter().map(|subscribe| &subscribe.channel).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Fault::new(ErrorCode::BadRequest, format!("`subscribe` names {} twice", pair[0]))),
        None => Ok(()),
    }
}

/// What a subscribe asks beside its place.
pub(crate) fn check_subscribe(
    subscribe: &Subscribe,
    namespace: &Namespace,
    limits: &Limits,
) -> Result<(), Fault> {
    check_start(subscribe.start, limits)?;
    if subscribe.rate_max.is_some() && !matches!(namespace.kind, Kind::Value | Kind::Map) {
        let message = format!(
            "`maxRate` has no place in {}, which is of kind `{}`: nothing of it may be left out",
            subscribe.channel,
            namespace.kind.as_str()
        );
        return Err(Fault::new(ErrorCode::BadRequest, message));
    }
    if subscribe.presence {
        check_has_presence("presence", &subscribe.channel, namespace)?;
    }
    match &subscribe.state {
        Some(state) => check_state(state, &subscribe.channel, namespace, limits),
        None => Ok(()),
    }
}

pub(crate) fn check_presence(
    query: &PresenceQuery,
    is_subscriber: bool,
    namespace: &Namespace,
    limits: &Limits,
) -> Result<(), Fault> {
    let Some(state) = &query.state else {
        return check_has_presence("presence", &query.channel, namespace);
    };
    check_state(state, &query.channel, namespace, limits)?;
    if is_subscriber {
        return Ok(());
    }
    let message = format!(
        "`state` is that of a subscriber; subscribe to {} first, there it may be set, too",
        query.channel
    );
    Err(Fault::new(ErrorCode::BadRequest, message))
}

fn check_state(
    state: &Payload,
    channel: &ChannelName,
    namespace: &Namespace,
    limits: &Limits,
) -> Result<(), Fault> {
    check_has_presence("state", channel, namespace)?;
    let (size, size_max) = (state.bytes.len(), limits.presence_state);
    if size > size_max {
        let message = format!("`state` has {size} bytes; a member's state has at most {size_max}");
        return Err(Fault::new(ErrorCode::TooLarge, message));
    }
    Ok(())
}

fn check_has_presence(field: &str, channel: &ChannelName, namespace: &Namespace) -> Result<(), Fault> {
    if namespace.presence != PresenceMode::Off {
        return Ok(());
    }
    let message = format!(
        "`{field}` has no place in {channel}: the setting `presence` of its namespace is \"off\"; \"count\" or \"full\" \
         would be right"
    );
    Err(Fault::new(ErrorCode::BadRequest, message))
}

fn check_start(start: Start, limits: &Limits) -> Result<(), Fault> {
    match start {
        Start::Last(count) if count > limits.history_page => {
            let message = format!("`last` is {count}; at most {} are given at once", limits.history_page);
            Err(Fault::new(ErrorCode::BadRequest, message))
        }
        Start::Last(_) | Start::Next | Start::Since(_) | Start::CatchUp(_) => Ok(()),
    }
}

pub(crate) fn check_publish(publish: &Publish, namespace: &Namespace, now: Moment) -> Result<(), Fault> {
    let size = publish.payload.bytes.len();
    if size > namespace.message_size_max {
        let message = format!(
            "the payload has {size} bytes; {} takes at most {}",
            publish.channel, namespace.message_size_max
        );
        return Err(Fault::new(ErrorCode::TooLarge, message));
    }
    check_fits_kind(publish, namespace.kind)?;
    check_reaction(publish)?;
    let born = publish.key.as_ref().and_then(trunkline_model::Key::born);
    let window = u64::try_from(namespace.keys.as_millis()).unwrap_or(u64::MAX);
    if born.is_some_and(|born| born.0.saturating_add(window) < now.ts.0) {
        let message =
            format!("the key was made more than {} s ago, longer than keys are remembered", window / 1_000);
        return Err(Fault::new(ErrorCode::KeyExpired, message));
    }
    Ok(())
}

/// What a publish asks beside its payload depends on what the channel keeps.
fn check_fits_kind(publish: &Publish, kind: Kind) -> Result<(), Fault> {
    let refuse = |message: String| Err(Fault::new(ErrorCode::BadRequest, message));
    let given = [
        ("if", publish.condition.is_some(), kind != Kind::Signal),
        ("ref", publish.reference.is_some(), kind == Kind::Log),
        ("entry", publish.entry.is_some(), kind == Kind::Map),
        ("op", publish.removes, matches!(kind, Kind::Value | Kind::Map)),
        ("ttl", publish.ttl.is_some(), matches!(kind, Kind::Value | Kind::Map)),
        ("bind", publish.bind, matches!(kind, Kind::Value | Kind::Map)),
    ];
    for (name, is_given, fits) in given {
        if is_given && publish.ephemeral {
            return refuse(format!(
                "`{name}` has no place in a publish that is `ephemeral`: it is not stored"
            ));
        }
        if is_given && !fits {
            return refuse(format!(
                "`{name}` has no place in {}, which is of kind `{}`",
                publish.channel,
                kind.as_str()
            ));
        }
    }
    if kind == Kind::Map && publish.entry.is_none() && !publish.ephemeral {
        return refuse(format!(
            "`entry` is missing: {} is a map, and each publication is one entry's",
            publish.channel
        ));
    }
    Ok(())
}

/// A reaction is someone's, and so is what lives as long as a session.
pub(crate) fn check_author(publish: &Publish, author: &Author, has_session: bool) -> Result<(), Fault> {
    let reacts = publish.reference.is_some_and(|reference| matches!(reference.op, Op::React | Op::Unreact));
    if author.from.is_none() && reacts {
        return Err(Fault::new(
            ErrorCode::BadRequest,
            "a reaction is a user's, and the server's API is none",
        ));
    }
    if !has_session && publish.bind {
        let message = "`bind` ties an entry to a session, and an HTTP request is none; give it a `ttl`";
        return Err(Fault::new(ErrorCode::BadRequest, message));
    }
    Ok(())
}

/// A reaction is a short text.
fn check_reaction(publish: &Publish) -> Result<(), Fault> {
    let reacts = publish.reference.is_some_and(|reference| matches!(reference.op, Op::React | Op::Unreact));
    if !reacts {
        return Ok(());
    }
    if publish.payload.form == Form::Text && (1..=REACTION_MAX).contains(&publish.payload.bytes.len()) {
        return Ok(());
    }
    let message = format!("a reaction is a text of 1 to {REACTION_MAX} bytes, in `data` or `text`");
    Err(Fault::new(ErrorCode::BadRequest, message))
}

pub(crate) fn check_history(query: &HistoryQuery, limits: &Limits) -> Result<(), Fault> {
    if query.before.is_some() && query.after.is_some() {
        return Err(Fault::new(ErrorCode::BadRequest, "`before` and `after` exclude each other"));
    }
    match query.limit {
        Some(limit) if limit == 0 || limit > limits.history_page => {
            let message = format!("`limit` is {limit}; it is 1 to {}", limits.history_page);
            Err(Fault::new(ErrorCode::BadRequest, message))
        }
        _ => Ok(()),
    }
}
