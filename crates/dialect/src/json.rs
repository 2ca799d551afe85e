//! `trunkline.v1`: one flat JSON object per text message. `protocol/trunkline-v1.md` is the specification.

pub mod client;
mod publishing;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::value::RawValue;
use trunkline_model::{
    Action, Capability, ChannelName, ClientId, Command, CommandId, Connect, DisplayName, EntryName, Epoch,
    ErrorCode, Fault, Form, HistoryQuery, Key, Members, Method, Offset, Op, Page, Payload, Position,
    PresenceQuery, PresenceUpdate, Publication, Publish, Push, Recovery, Reply, Secret, Start, Subscribe,
    Subscribed,
};

use crate::object::Object;
use crate::wire::{Braced, Field, WireCommand, WireId, WirePosition, WireStart, WireSubscribe};

/// The longest command id, in bytes.
pub const COMMAND_ID_MAX: usize = 64;

/// The types of commands that [`decode`] knows.
pub const COMMAND_TYPES: &[&str] = &[
    "connect",
    "subscribe",
    "unsubscribe",
    "publish",
    "history",
    "presence",
    "rpc",
    "refresh",
    "ping",
    "pong",
];

const A_TOKEN: &str = "a token, as text: three parts with `.` between them";

type Raw<'a> = Option<&'a RawValue>;

/// Reads one command.
///
/// # Errors
/// A [`Fault`] to be told to the client, with the command's id where it could be read: `bad_request` names
/// the field and what it should be, `unknown_type` suggests the nearest type. The session goes on.
pub fn decode(text: &str) -> Result<Command, Fault> {
    let wire = parse(text)?;
    let id = command_id(wire.id)?;
    match action(&wire) {
        Ok(action) => Ok(Command { id, action }),
        Err(fault) => Err(fault.answering(id)),
    }
}

fn parse(text: &str) -> Result<WireCommand<'_>, Fault> {
    serde_json::from_str(text).map(|Braced(wire)| wire).map_err(|error| {
        let looks_like_object = text.trim_start().starts_with('{');
        let what = if looks_like_object { "this is not valid JSON" } else { "this is not a JSON object" };
        // What serde says may quote all that was sent.
        Fault::new(ErrorCode::BadRequest, format!("{what}: {}", cut(&error.to_string(), 120)))
    })
}

fn action(wire: &WireCommand<'_>) -> Result<Action, Fault> {
    let kind: Cow<'_, str> = required("type", wire.r#type, "the name of a command")?;
    match &*kind {
        "connect" => connect(wire).map(Action::Connect),
        "subscribe" => subscribe(wire).map(Action::Subscribe),
        "unsubscribe" => Ok(Action::Unsubscribe(channel(wire.channel)?)),
        "publish" => publishing::publish(channel(wire.channel)?, wire).map(Action::Publish),
        "history" => history(wire).map(Action::History),
        "presence" => presence(wire).map(Action::Presence),
        "rpc" => rpc(wire),
        "refresh" => {
            let token: Cow<'_, str> = required("token", wire.token, A_TOKEN)?;
            Ok(Action::Refresh(Secret::new(&token)))
        }
        "ping" => Ok(Action::Ping),
        "pong" => Ok(Action::Pong),
        other => Err(unknown_type(other)),
    }
}

fn connect(wire: &WireCommand<'_>) -> Result<Connect, Fault> {
    let token: Option<Cow<'_, str>> = optional("token", wire.token, A_TOKEN)?;
    let session: Option<Cow<'_, str>> = optional("session", wire.session, "the text from `welcome`")?;
    let name: Option<Cow<'_, str>> = optional("name", wire.name, "a text of 1 to 64 bytes")?;
    let listed: Option<WireSubscribe<'_>> =
        optional("subscribe", wire.subscribe, "an object of channels, each with `since` or `last`")?;
    let mut subscribe = Vec::new();
    for (name, start) in listed.map(|listed| listed.0).unwrap_or_default() {
        let channel = ChannelName::parse(&name).map_err(|error| {
            Fault::new(ErrorCode::BadRequest, format!("`subscribe` names {:?}: {error}", brief(&name)))
        })?;
        subscribe.push(subscribe_of(channel, &start)?);
    }
    Ok(Connect {
        token: token.map(|text| Secret::new(&text)),
        session: session.map(|text| Secret::new(&text)),
        subscribe,
        heartbeat: optional("heartbeat", wire.heartbeat, "true or false")?.unwrap_or(false),
        name: name
            .map(|name| DisplayName::parse(&name))
            .transpose()
            .map_err(|error| wrong("name", &error))?,
    })
}

fn subscribe(wire: &WireCommand<'_>) -> Result<Subscribe, Fault> {
    let WireCommand { since, last, catch_up, presence, state, max_rate, token, .. } = *wire;
    let start = WireStart { since, last, catch_up, presence, state, max_rate, token };
    subscribe_of(channel(wire.channel)?, &start)
}

fn subscribe_of(channel: ChannelName, wire: &WireStart<'_>) -> Result<Subscribe, Fault> {
    let presence = optional("presence", wire.presence, "true or false")?.unwrap_or(false);
    let expected = "how often per second, a whole number from 1 to 100";
    let rate_max: Option<u32> = optional("maxRate", wire.max_rate, expected)?;
    if rate_max.is_some_and(|rate| !(1..=100).contains(&rate)) {
        return Err(wrong("maxRate", &format!("it is {expected}")));
    }
    let (start, state) = (start_of(wire)?, state(wire.state));
    let token: Option<Cow<'_, str>> = optional("token", wire.token, A_TOKEN)?;
    let token = token.map(|text| Secret::new(&text));
    Ok(Subscribe { channel, start, presence, state, rate_max, token })
}

/// A member's state, any JSON; `null` is as good as none.
fn state(raw: Raw<'_>) -> Option<Payload> {
    raw.filter(|raw| raw.get() != "null").map(json_payload)
}

fn presence(wire: &WireCommand<'_>) -> Result<PresenceQuery, Fault> {
    Ok(PresenceQuery { channel: channel(wire.channel)?, state: state(wire.state) })
}

/// Without `data` it is `null`. Its answer says nothing of what was asked, so it needs an `id`.
fn rpc(wire: &WireCommand<'_>) -> Result<Action, Fault> {
    let method: Cow<'_, str> =
        required("method", wire.method, "the name of a method, like \"orders.place\"")?;
    let method = Method::parse(&method).map_err(|error| wrong("method", &error))?;
    if command_id(wire.id)?.is_none() {
        let message =
            "`id` is missing: an integer, or a text of at most 64 bytes, by which the answer is known";
        return Err(Fault::new(ErrorCode::BadRequest, message));
    }
    let data = wire.data.map_or_else(|| Payload::new(Form::Json, "null"), json_payload);
    Ok(Action::Rpc { method, data })
}

/// `since` wins over `last`.
fn start_of(wire: &WireStart<'_>) -> Result<Start, Fault> {
    let catches_up = optional("catchUp", wire.catch_up, "true or false")?.unwrap_or(false);
    match position("since", wire.since)? {
        Some(position) if catches_up => return Ok(Start::CatchUp(position)),
        Some(position) => return Ok(Start::Since(position)),
        None if catches_up => {
            let message = "`since` is missing: the position to catch up from; offset 0 for all there is";
            return Err(Fault::new(ErrorCode::BadRequest, message));
        }
        None => {}
    }
    let last: Option<u32> = optional("last", wire.last, "a number of messages, 0 or more")?;
    Ok(last.map_or(Start::Next, Start::Last))
}

/// Reads the body of an HTTP publish: a `publish` command without `type` and `channel`.
///
/// # Errors
/// As [`decode`].
pub fn decode_publish(channel: ChannelName, text: &str) -> Result<Publish, Fault> {
    publishing::publish(channel, &parse(text)?)
}

fn payload(data: Raw<'_>, text: Raw<'_>, binary: Raw<'_>) -> Result<Payload, Fault> {
    // Beside another form, `null` is a field left empty; alone it is what is published.
    let data = data.filter(|data| data.get() != "null" || (text.is_none() && binary.is_none()));
    match (data, text, binary) {
        (Some(data), None, None) => Ok(json_payload(data)),
        (None, Some(_), None) => {
            let text: Cow<'_, str> = required("text", text, "a text")?;
            Ok(Payload::new(Form::Text, Bytes::from(text.into_owned())))
        }
        (None, None, Some(_)) => {
            let coded: Cow<'_, str> = required("binary", binary, "a text in base64")?;
            let bytes = BASE64.decode(&*coded).map_err(|error| wrong("binary", &error))?;
            Ok(Payload::new(Form::Binary, bytes))
        }
        _ => Err(Fault::new(
            ErrorCode::BadRequest,
            "a publish has just one of `data` (any JSON), `text`, and `binary` (base64)",
        )),
    }
}

/// Checked JSON as a payload: its bytes are kept, but CR and LF, which can only stand outside of strings,
/// become spaces.
#[must_use]
pub fn json_payload(json: &RawValue) -> Payload {
    let bytes = json.get().as_bytes();
    if bytes.iter().any(|byte| is_line_break(*byte)) {
        let spaced: Vec<u8> = bytes.iter().map(|b| if is_line_break(*b) { b' ' } else { *b }).collect();
        return Payload::new(Form::Json, spaced);
    }
    Payload::new(Form::Json, Bytes::copy_from_slice(bytes))
}

fn is_line_break(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

fn history(wire: &WireCommand<'_>) -> Result<HistoryQuery, Fault> {
    let offset = "an offset: a whole number, 0 or more";
    let before: Option<u64> = optional("before", wire.before, offset)?;
    let after: Option<u64> = optional("after", wire.after, offset)?;
    Ok(HistoryQuery {
        channel: channel(wire.channel)?,
        before: before.map(Offset),
        after: after.map(Offset),
        limit: optional("limit", wire.limit, "a number of messages")?,
        at: position("at", wire.at)?,
    })
}

fn channel(raw: Raw<'_>) -> Result<ChannelName, Fault> {
    let name: Cow<'_, str> = required("channel", raw, "the name of a channel, like \"chat:lobby\"")?;
    ChannelName::parse(&name).map_err(|error| wrong("channel", &error))
}

fn position(name: &str, raw: Raw<'_>) -> Result<Option<Position>, Fault> {
    let expected = "a position: {\"epoch\": text, \"offset\": number}";
    let Some(Braced(wire)) = optional::<Braced<WirePosition<'_>>>(name, raw, expected)? else {
        return Ok(None);
    };
    let epoch = Epoch::parse(&wire.epoch).map_err(|error| wrong(name, &error))?;
    Ok(Some(Position { epoch, offset: Offset(wire.offset) }))
}

fn command_id(raw: Raw<'_>) -> Result<Option<CommandId>, Fault> {
    let expected = "an integer, or a text of at most 64 bytes";
    match optional("id", raw, expected)? {
        None => Ok(None),
        Some(WireId::Number(number)) => Ok(Some(CommandId::Number(number))),
        Some(WireId::Text(text)) if text.len() <= COMMAND_ID_MAX => {
            Ok(Some(CommandId::Text(text.into_boxed_str())))
        }
        Some(WireId::Text(text)) => Err(wrong("id", &format!("{} bytes; it is {expected}", text.len()))),
    }
}

fn optional<'a, T: Field<'a>>(name: &str, raw: Raw<'a>, expected: &str) -> Result<Option<T>, Fault> {
    let Some(raw) = raw.filter(|raw| raw.get() != "null") else { return Ok(None) };
    T::read(raw).map(Some).map_err(|_| {
        Fault::new(ErrorCode::BadRequest, format!("`{name}` should be {expected}, not {}", brief(raw.get())))
    })
}

fn required<'a, T: Field<'a>>(name: &str, raw: Raw<'a>, expected: &str) -> Result<T, Fault> {
    optional(name, raw, expected)?
        .ok_or_else(|| Fault::new(ErrorCode::BadRequest, format!("`{name}` is missing: {expected}")))
}

fn wrong(name: &str, error: &dyn std::fmt::Display) -> Fault {
    Fault::new(ErrorCode::BadRequest, format!("`{name}`: {error}"))
}

/// What was sent, short enough to be told back.
fn brief(text: &str) -> String {
    cut(text, 40)
}

fn cut(text: &str, characters_max: usize) -> String {
    match text.char_indices().nth(characters_max) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn unknown_type(given: &str) -> Fault {
    let short = brief(given);
    let nearest = COMMAND_TYPES
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&short, known), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len() / 2);
    let hint = match nearest {
        Some((_, known)) => format!("did you mean {known:?}?"),
        None => format!("commands are {}", COMMAND_TYPES.join(", ")),
    };
    Fault::new(ErrorCode::UnknownType, format!("there is no command {short:?}; {hint}"))
}

/// Writes a reply as one JSON object to the end of `out`. What follows a [`Reply::Subscribed`] as replay is
/// not part of it.
pub fn encode_reply(reply: &Reply, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    match reply {
        Reply::Welcome { id, identity, ping, spread, ts, message_size_max, subscriptions_max } => {
            object.text("type", "welcome");
            write_id(&mut object, id.as_ref());
            object.text("client", identity.client.as_str()).text("user", identity.user.as_str());
            object.text_if("session", identity.session.as_ref().map(Secret::reveal));
            object.value("ping", ping.as_millis()).value("spread", spread.as_millis()).value("ts", ts.0);
            object.value_if("expires", identity.access.expires.map(|at| at.0));
            object.object("limits", |limits| {
                limits.value("message", message_size_max).value("subscriptions", subscriptions_max);
            });
        }
        Reply::Refreshed { id, expires } => {
            object.text("type", "refreshed");
            write_id(&mut object, id.as_ref());
            object.value_if("expires", expires.map(|at| at.0));
        }
        Reply::Subscribed(subscribed) => write_subscribed(&mut object, subscribed),
        Reply::Unsubscribed { id, channel } => {
            object.text("type", "unsubscribed");
            write_id(&mut object, id.as_ref());
            object.text("channel", channel.as_str());
        }
        Reply::Published { id, .. } => {
            object.text("type", "published");
            write_id(&mut object, id.as_ref());
            write_published(&mut object, reply);
        }
        Reply::History { id, channel, page } => {
            object.text("type", "history");
            write_id(&mut object, id.as_ref());
            object.text("channel", channel.as_str());
            write_page(&mut object, page);
        }
        Reply::Presence { id, update } => {
            object.text("type", "presence");
            write_id(&mut object, id.as_ref());
            object.text("channel", update.channel.as_str());
            write_presence(&mut object, update);
        }
        Reply::Result { id, data } => {
            object.text("type", "result");
            write_id(&mut object, id.as_ref());
            object.raw("data", &data.bytes);
        }
        Reply::Pong { id, ts } => {
            object.text("type", "pong");
            write_id(&mut object, id.as_ref());
            object.value("ts", ts.0);
        }
        Reply::Fault(fault) => write_fault(&mut object, fault),
    }
    object.end();
}

/// Writes a push as one JSON object to the end of `out`.
pub fn encode_push(push: &Push, out: &mut Vec<u8>) {
    if let Push::Message(publication) = push {
        return encode_message(publication, out);
    }
    if let Push::Presence(update) = push {
        return encode_presence(update, out);
    }
    let mut object = Object::begin(out);
    match push {
        Push::Message(_) | Push::Presence(_) => {}
        Push::Unsubscribed { channel, code, message, retry } => {
            object.text("type", "unsubscribed").text("channel", channel.as_str());
            object.text("code", code.as_str()).text("message", message);
            object.value_if("retry", retry.map(|retry| retry.as_millis()));
        }
        Push::Ping => {
            object.text("type", "ping");
        }
        Push::Goaway { within } => {
            object.text("type", "goaway").value("within", within.as_millis());
            object.value("code", trunkline_model::close::DRAINING.code);
        }
    }
    object.end();
}

/// Writes a publication as a `message` object to the end of `out`.
pub fn encode_message(publication: &Publication, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.text("type", "message").text("channel", publication.channel.as_str());
    write_item(&mut object, publication);
    object.end();
}

/// Writes an update of presence as a `presence` object to the end of `out`.
pub fn encode_presence(update: &PresenceUpdate, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.text("type", "presence").text("channel", update.channel.as_str());
    write_presence(&mut object, update);
    object.end();
}

/// Writes a page of history as one JSON object, as the HTTP API answers it, to the end of `out`.
pub fn encode_page(page: &Page, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    write_page(&mut object, page);
    object.end();
}

/// Writes what a [`Reply::Published`] says as one JSON object, as the HTTP API answers it, to the end of
/// `out`.
pub fn encode_published(reply: &Reply, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    write_published(&mut object, reply);
    object.end();
}

fn write_published(object: &mut Object<'_>, reply: &Reply) {
    let Reply::Published { channel, position, key, ts, duplicate, merged, .. } = reply else { return };
    object.text("channel", channel.as_str());
    write_position(object, position.as_ref());
    object.text_if("key", key.as_ref().map(Key::as_str)).value("ts", ts.0);
    object.value_if("dup", duplicate.then_some(true)).value_if("merged", merged.then_some(true));
}

fn write_subscribed(object: &mut Object<'_>, subscribed: &Subscribed) {
    object.text("type", "subscribed");
    write_id(object, subscribed.id.as_ref());
    object.text("channel", subscribed.channel.as_str()).text("kind", subscribed.kind.as_str());
    if subscribed.position.is_some() {
        write_position(object, subscribed.position.as_ref());
        object.value("floor", subscribed.floor);
    }
    match &subscribed.recovery {
        Recovery::NotAsked => {}
        Recovery::Recovered(entries) => {
            object.value("recovered", true).value("replay", entries.len());
        }
        Recovery::CatchingUp(count) => {
            object.value("recovered", true).value("replay", count);
        }
        Recovery::Lost { reason, keep } => {
            object.value("recovered", false).text("reason", reason.as_str()).value_if("keep", *keep);
        }
    }
    if let Some((items, more)) = &subscribed.items {
        object.objects("items", items, |item, publication| write_item(item, publication));
        object.value("more", more);
    }
    if let Some(entries) = &subscribed.entries {
        object.objects("entries", entries, |item, publication| write_item(item, publication));
    }
    if let Some(update) = &subscribed.presence {
        object.object("presence", |presence| write_presence(presence, update));
    }
    object.texts("can", subscribed.can.iter().copied().map(Capability::as_str));
}

/// Who is there as far as it is told, and how many.
fn write_presence(object: &mut Object<'_>, update: &PresenceUpdate) {
    let (set, gone, all) = match &update.members {
        Members::Untold => {
            object.value("count", update.count);
            return;
        }
        Members::Changed { set, gone } => (set, &gone[..], None),
        Members::All(set) => (set, &[][..], Some(true)),
    };
    object.objects("set", set, |object, member| {
        object.text("client", member.client.as_str()).text("user", member.user.as_str());
        object.text_if("name", member.name.as_ref().map(DisplayName::as_str));
        if let Some(info) = &member.info {
            object.raw("info", &info.bytes);
        }
        if let Some(state) = &member.state {
            object.raw("state", &state.bytes);
        }
    });
    object.texts("gone", gone.iter().map(ClientId::as_str));
    object.value("count", update.count).value_if("all", all);
}

fn write_page(object: &mut Object<'_>, page: &Page) {
    object.text("epoch", &page.epoch.to_string()).value("top", page.top);
    object.value("lo", page.lo).value("hi", page.hi);
    object.objects("items", &page.items, |item, publication| write_item(item, publication));
    object.value("floor", page.floor).value("more", page.more);
}

fn write_item(object: &mut Object<'_>, publication: &Publication) {
    if let Some(position) = &publication.position {
        object.value("offset", position.offset);
        if publication.begins_epoch {
            object.text("epoch", &position.epoch.to_string());
        }
    }
    let entry = publication.role.entry();
    let reference = publication.role.reference();
    object.text_if("entry", entry.and_then(|entry| entry.name.as_ref()).map(EntryName::as_str));
    object.value_if("ref", reference.map(|reference| reference.target));
    let removes = entry.is_some_and(|entry| entry.removed).then_some(Op::Delete);
    let op = reference.map(|reference| reference.op).or(removes);
    object.text_if("op", op.map(Op::as_str));
    if publication.erased {
        object.value("deleted", true);
    } else if op != Some(Op::Delete) {
        write_payload(object, &publication.payload);
    }
    object.text_if("from", publication.from.as_ref().map(trunkline_model::UserName::as_str));
    object.value("ts", publication.ts.0).text_if("key", publication.key.as_ref().map(Key::as_str));
    if let Some(fold) = &publication.fold {
        object.value("rev", fold.rev);
        if !fold.reactions.is_empty() {
            let counts = fold.reactions.iter().map(|(value, count)| (&**value, *count));
            object.counts("reactions", counts);
        }
    }
}

fn write_payload(object: &mut Object<'_>, payload: &Payload) {
    match payload.form {
        Form::Json => object.raw("data", &payload.bytes),
        Form::Text => object.text("text", &String::from_utf8_lossy(&payload.bytes)),
        Form::Binary => object.text("binary", &BASE64.encode(&payload.bytes)),
    };
}

fn write_fault(object: &mut Object<'_>, fault: &Fault) {
    object.text("type", "error");
    write_id(object, fault.id.as_ref());
    object.text("code", fault.code.as_str()).text("message", &fault.message);
    object.text_if("channel", fault.channel.as_ref().map(ChannelName::as_str));
    write_position(object, fault.position.as_ref());
    object.value_if("retry", fault.retry.map(|retry| retry.as_millis()));
}

fn write_position(object: &mut Object<'_>, position: Option<&Position>) {
    if let Some(position) = position {
        object.text("epoch", &position.epoch.to_string()).value("offset", position.offset);
    }
}

fn write_id(object: &mut Object<'_>, id: Option<&CommandId>) {
    match id {
        None => {}
        Some(CommandId::Text(text)) => {
            object.text("id", text);
        }
        Some(CommandId::Number(number)) => {
            object.value("id", number);
        }
    }
}
