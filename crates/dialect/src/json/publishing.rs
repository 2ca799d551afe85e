//! What a `publish` asks for beside its payload: key, condition, what it refers to, which entry it is the state of. Read by
//! `json`, for commands and for the body of an HTTP publish.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use trunkline_model::{
    ChannelName, EntryName, ErrorCode, Fault, Form, Key, Offset, Op, Payload, Publish, Reference,
};

use super::{Raw, brief, optional, payload, required, wrong};
use crate::wire::{Braced, WireCommand, WireCondition};

/// Reads it; `channel` is known already.
pub(super) fn publish(channel: ChannelName, wire: &WireCommand<'_>) -> Result<Publish, Fault> {
    let key: Option<Cow<'_, str>> = optional("key", wire.key, "a text of 1 to 64 bytes")?;
    let key = key.map(|key| Key::parse(&key)).transpose().map_err(|error| wrong("key", &error))?;
    let expected = "a condition: {\"offset\": number}, 0 for none yet";
    let condition: Option<Braced<WireCondition>> = optional("if", wire.condition, expected)?;
    let entry: Option<Cow<'_, str>> =
        optional("entry", wire.entry, "the name of an entry, a text of 1 to 255 bytes")?;
    let entry =
        entry.map(|name| EntryName::parse(&name)).transpose().map_err(|error| wrong("entry", &error))?;
    let (reference, removes) = reference(wire)?;
    let deletes = removes || reference.is_some_and(|reference| reference.op == Op::Delete);
    let reacts = reference.is_some_and(|reference| matches!(reference.op, Op::React | Op::Unreact));
    let payload = match (deletes, reacts) {
        (true, _) => nothing(wire)?,
        (_, true) => reaction(wire)?,
        _ => payload(wire.data, wire.text, wire.binary)?,
    };
    Ok(Publish {
        channel,
        payload,
        key,
        condition: condition.map(|Braced(condition)| Offset(condition.offset)),
        reference,
        entry,
        removes,
        ttl: ttl(wire.ttl)?,
        bind: optional("bind", wire.bind, "true or false")?.unwrap_or(false),
        ephemeral: optional("ephemeral", wire.ephemeral, "true or false")?.unwrap_or(false),
    })
}

/// With `ref`, `op` says what is done to that message; alone, `delete` removes an entry.
fn reference(wire: &WireCommand<'_>) -> Result<(Option<Reference>, bool), Fault> {
    let target: Option<u64> = optional("ref", wire.r#ref, "the offset of a message")?;
    let op: Option<Cow<'_, str>> = optional("op", wire.op, "\"edit\", \"delete\", \"react\" or \"unreact\"")?;
    let Some(op) = op else {
        return match target {
            None => Ok((None, false)),
            Some(_) => Err(refuse("`op` is missing: what is done to the message of `ref`")),
        };
    };
    let Some(known) = Op::ALL.iter().copied().find(|known| known.as_str() == op) else {
        let message = format!("`op` is {:?}; it is edit, delete, react or unreact", brief(&op));
        return Err(refuse(&message));
    };
    match (target, known) {
        (Some(target), op) => Ok((Some(Reference { target: Offset(target), op }), false)),
        (None, Op::Delete) => Ok((None, true)),
        (None, _) => Err(refuse("`ref` is missing: the offset of the message that `op` is about")),
    }
}

/// What deletes has no payload.
fn nothing(wire: &WireCommand<'_>) -> Result<Payload, Fault> {
    let given = [("data", wire.data), ("text", wire.text), ("binary", wire.binary)];
    match given.iter().find(|(_, raw)| raw.is_some_and(|raw| raw.get() != "null")) {
        Some((name, _)) => Err(refuse(&format!("`{name}` has no place in a delete"))),
        None => Ok(Payload::new(Form::Text, Bytes::new())),
    }
}

/// A reaction is a text, however it is given.
fn reaction(wire: &WireCommand<'_>) -> Result<Payload, Fault> {
    let expected = "the reaction, a text like \"+1\"";
    let text: Cow<'_, str> = match (wire.data, wire.text, wire.binary) {
        (Some(_), None, None) => required("data", wire.data, expected)?,
        (None, Some(_), None) => required("text", wire.text, expected)?,
        _ => return Err(refuse(&format!("`data` should be {expected}"))),
    };
    Ok(Payload::new(Form::Text, Bytes::from(text.into_owned())))
}

fn ttl(raw: Raw<'_>) -> Result<Option<Duration>, Fault> {
    let ms: Option<u64> = optional("ttl", raw, "a time in ms, more than 0")?;
    match ms {
        Some(0) => Err(refuse("`ttl` is 0; it is a time in ms, more than 0")),
        ms => Ok(ms.map(Duration::from_millis)),
    }
}

fn refuse(message: &str) -> Fault {
    Fault::new(ErrorCode::BadRequest, message)
}
