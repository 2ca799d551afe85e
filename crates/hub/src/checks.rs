//! What is checked of a command before its channel's owner is asked. Each fault says which field, which limit,
//! and what would be right.

use std::sync::Arc;

use trunkline_model::{
    ChannelName, Connect, ErrorCode, Fault, HistoryQuery, Limits, Namespace, Namespaces, Publish, Start,
};

use crate::input::Moment;

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

pub(crate) fn check_start(start: Start, limits: &Limits) -> Result<(), Fault> {
    match start {
        Start::Last(count) if count > limits.history_page => {
            let message = format!("`last` is {count}; at most {} are given at once", limits.history_page);
            Err(Fault::new(ErrorCode::BadRequest, message))
        }
        Start::Last(_) | Start::Next | Start::Since(_) => Ok(()),
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
    let born = publish.key.as_ref().and_then(trunkline_model::Key::born);
    let window = u64::try_from(namespace.keys.as_millis()).unwrap_or(u64::MAX);
    if born.is_some_and(|born| born.0.saturating_add(window) < now.ts.0) {
        let message =
            format!("the key was made more than {} s ago, longer than keys are remembered", window / 1_000);
        return Err(Fault::new(ErrorCode::KeyExpired, message));
    }
    Ok(())
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
