//! The client's side of `trunkline.v1`: writes commands and reads what a server says. The other half of `json`, which
//! is the server's; used by the Rust SDK.
//!
//! A client may be older than its server: fields and words that it does not know are passed over, and a message of an
//! unknown type is [`ServerMessage::Unknown`].

mod message;
mod wire;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::value::RawValue;
use trunkline_model::{
    Action, Capability, ChannelName, ClientId, Command, CommandId, Connect, DisplayName, EntryName, Epoch,
    Fold, Form, HistoryQuery, Key, Kind, LostReason, Member, Members, Offset, Op, Payload, Position,
    PresenceQuery, PresenceUpdate, Publish, Reference, Secret, Start, Subscribe, Timestamp, UserName,
};

pub use self::message::{
    Message, Page, Published, Recovery, Refusal, ServerMessage, Subscribed, Unsubscribed, Welcome,
};
use self::wire::{WireItem, WireMember, WireMessage, WirePresence, WireType};
use super::{cut, write_id, write_payload};
use crate::object::Object;
use crate::wire::{Braced, WireId};

/// Why a text is not a message of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a message of trunkline.v1: {0}")]
pub struct InvalidMessage(String);

/// Writes a command as one JSON object to the end of `out`. What is not asked for is left out.
pub fn encode(command: &Command, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    let id = command.id.as_ref();
    match &command.action {
        Action::Connect(connect) => write_connect(&mut object, id, connect),
        Action::Subscribe(subscribe) => {
            write_head(&mut object, "subscribe", id).text("channel", subscribe.channel.as_str());
            write_asked(&mut object, subscribe);
        }
        Action::Unsubscribe(channel) => {
            write_head(&mut object, "unsubscribe", id).text("channel", channel.as_str());
        }
        Action::Publish(publish) => write_publish(&mut object, id, publish),
        Action::History(query) => write_history(&mut object, id, query),
        Action::Presence(PresenceQuery { channel, state }) => {
            write_head(&mut object, "presence", id).text("channel", channel.as_str());
            write_state(&mut object, state.as_ref());
        }
        Action::Rpc { method, data } => {
            write_head(&mut object, "rpc", id).text("method", method.as_str()).raw("data", &data.bytes);
        }
        Action::Refresh(token) => {
            write_head(&mut object, "refresh", id).text("token", token.reveal());
        }
        Action::Ping => {
            write_head(&mut object, "ping", id);
        }
        Action::Pong => {
            write_head(&mut object, "pong", id);
        }
    }
    object.end();
}

fn write_head<'o, 'a>(object: &'o mut Object<'a>, kind: &str, id: Option<&CommandId>) -> &'o mut Object<'a> {
    object.text("type", kind);
    write_id(object, id);
    object
}

fn write_connect(object: &mut Object<'_>, id: Option<&CommandId>, connect: &Connect) {
    write_head(object, "connect", id).text_if("token", connect.token.as_ref().map(Secret::reveal));
    object.text_if("session", connect.session.as_ref().map(Secret::reveal));
    object.text_if("name", connect.name.as_ref().map(DisplayName::as_str));
    object.value_if("heartbeat", connect.heartbeat.then_some(true));
    if !connect.subscribe.is_empty() {
        object.object("subscribe", |channels| {
            for subscribe in &connect.subscribe {
                channels.object(subscribe.channel.as_str(), |asked| write_asked(asked, subscribe));
            }
        });
    }
}

fn write_asked(object: &mut Object<'_>, subscribe: &Subscribe) {
    write_start(object, subscribe.start);
    object.value_if("presence", subscribe.presence.then_some(true));
    object.value_if("maxRate", subscribe.rate_max);
    object.text_if("token", subscribe.token.as_ref().map(Secret::reveal));
    write_state(object, subscribe.state.as_ref());
}

fn write_state(object: &mut Object<'_>, state: Option<&Payload>) {
    if let Some(state) = state {
        object.raw("state", &state.bytes);
    }
}

fn write_start(object: &mut Object<'_>, start: Start) {
    match start {
        Start::Next => {}
        Start::Last(count) => {
            object.value("last", count);
        }
        Start::Since(position) => write_place(object, "since", &position),
        Start::CatchUp(position) => {
            write_place(object, "since", &position);
            object.value("catchUp", true);
        }
    }
}

fn write_place(object: &mut Object<'_>, name: &str, position: &Position) {
    object.object(name, |place| {
        place.text("epoch", &position.epoch.to_string()).value("offset", position.offset);
    });
}

fn write_publish(object: &mut Object<'_>, id: Option<&CommandId>, publish: &Publish) {
    write_head(object, "publish", id).text("channel", publish.channel.as_str());
    object.value_if("ref", publish.reference.map(|reference| reference.target));
    let removes = publish.removes.then_some(Op::Delete);
    let op = publish.reference.map(|reference| reference.op).or(removes);
    object.text_if("op", op.map(Op::as_str));
    if op != Some(Op::Delete) {
        write_payload(object, &publish.payload);
    }
    object.text_if("key", publish.key.as_ref().map(Key::as_str));
    if let Some(offset) = publish.condition {
        object.object("if", |condition| {
            condition.value("offset", offset);
        });
    }
    object.text_if("entry", publish.entry.as_ref().map(EntryName::as_str));
    object.value_if("ttl", publish.ttl.map(|ttl| ttl.as_millis()));
    object.value_if("bind", publish.bind.then_some(true));
    object.value_if("ephemeral", publish.ephemeral.then_some(true));
}

fn write_history(object: &mut Object<'_>, id: Option<&CommandId>, query: &HistoryQuery) {
    write_head(object, "history", id).text("channel", query.channel.as_str());
    object.value_if("before", query.before).value_if("after", query.after).value_if("limit", query.limit);
    if let Some(at) = &query.at {
        write_place(object, "at", at);
    }
}

/// Reads one message of a server.
///
/// # Errors
/// [`InvalidMessage`] says which field of a known type is missing or wrong. The line itself is not broken.
pub fn decode(text: &str) -> Result<ServerMessage, InvalidMessage> {
    match serde_json::from_str::<Braced<WireMessage<'_>>>(text) {
        Ok(Braced(wire)) => understand(wire),
        // A newer type may use the name of a field that is known here for something else.
        Err(error) => match serde_json::from_str::<Braced<WireType>>(text) {
            Ok(Braced(WireType { r#type: kind })) if !TYPES.contains(&&*kind) => {
                Ok(ServerMessage::Unknown(kind.into()))
            }
            _ => Err(InvalidMessage(cut(&error.to_string(), 120))),
        },
    }
}

/// The types that [`decode`] knows.
const TYPES: [&str; 13] = [
    "welcome",
    "subscribed",
    "unsubscribed",
    "published",
    "history",
    "pong",
    "message",
    "presence",
    "result",
    "refreshed",
    "ping",
    "goaway",
    "error",
];

const KINDS: [Kind; 4] = [Kind::Log, Kind::Value, Kind::Map, Kind::Signal];

fn understand(wire: WireMessage<'_>) -> Result<ServerMessage, InvalidMessage> {
    Ok(match &*wire.r#type {
        "welcome" => ServerMessage::Welcome(welcome(wire)?),
        "subscribed" => ServerMessage::Subscribed(subscribed(wire)?),
        "unsubscribed" => ServerMessage::Unsubscribed(unsubscribed(wire)?),
        "published" => ServerMessage::Published(published(wire)?),
        "history" => history(wire)?,
        "pong" => ServerMessage::Pong { id: wire.id.map(id), ts: Timestamp(need("ts", wire.ts)?) },
        "message" => {
            let channel = channel(wire.channel.as_deref())?;
            ServerMessage::Message { channel, message: item(pushed(wire))? }
        }
        "presence" => {
            let channel = channel(wire.channel.as_deref())?;
            let WireMessage { set, gone, count, all, .. } = wire;
            let told = presence(channel, WirePresence { set, gone, count, all })?;
            ServerMessage::Presence { id: wire.id.map(id), update: told }
        }
        "result" => {
            let data = payload(Some(need("data", wire.data)?), None, None, false)?;
            ServerMessage::Result { id: wire.id.map(id), data }
        }
        "refreshed" => ServerMessage::Refreshed { id: wire.id.map(id), expires: wire.expires.map(Timestamp) },
        "ping" => ServerMessage::Ping,
        "goaway" => ServerMessage::Goaway { within: Duration::from_millis(need("within", wire.within)?) },
        "error" => ServerMessage::Refused(refusal(wire)?),
        other => ServerMessage::Unknown(other.into()),
    })
}

fn welcome(wire: WireMessage<'_>) -> Result<Welcome, InvalidMessage> {
    Ok(Welcome {
        id: wire.id.map(id),
        client: ClientId::new(&need("client", wire.client)?),
        user: UserName::new(&need("user", wire.user)?),
        session: wire.session.as_deref().map(Secret::new),
        ping: Duration::from_millis(need("ping", wire.ping)?),
        spread: Duration::from_millis(need("spread", wire.spread)?),
        ts: Timestamp(need("ts", wire.ts)?),
        expires: wire.expires.map(Timestamp),
        message_size_max: wire.limits.message,
        subscriptions_max: wire.limits.subscriptions,
    })
}

fn subscribed(wire: WireMessage<'_>) -> Result<Subscribed, InvalidMessage> {
    let kind = need("kind", wire.kind)?;
    let recovery = match wire.recovered {
        None => Recovery::NotAsked,
        Some(true) => Recovery::Recovered(need("replay", wire.replay)?),
        Some(false) => Recovery::Lost { reason: reason(wire.reason.as_deref()), keep: wire.keep.map(Offset) },
    };
    let all = |items: Vec<WireItem<'_>>| items.into_iter().map(item).collect::<Result<Vec<_>, _>>();
    let items = wire.items.map(all).transpose()?;
    let channel = channel(wire.channel.as_deref())?;
    let told = wire.presence.map(|told| presence(channel.clone(), told)).transpose()?;
    Ok(Subscribed {
        id: wire.id.map(id),
        channel,
        kind: KINDS.into_iter().find(|known| known.as_str() == kind),
        position: position(wire.epoch.as_deref(), wire.offset)?,
        floor: Offset(wire.floor.unwrap_or(0)),
        recovery,
        items: items.map(|items| (items, wire.more.unwrap_or(false))),
        entries: wire.entries.map(all).transpose()?,
        presence: told,
        can: wire.can.iter().filter_map(|word| capability(word)).collect(),
    })
}

fn presence(channel: ChannelName, wire: WirePresence<'_>) -> Result<Arc<PresenceUpdate>, InvalidMessage> {
    let WirePresence { set, gone, count, all } = wire;
    let set = set.map(|set| set.into_iter().map(member).collect::<Result<Vec<_>, _>>()).transpose()?;
    let members = match set {
        None => Members::Untold,
        Some(set) if all => Members::All(set),
        Some(set) => {
            Members::Changed { set, gone: gone.iter().map(|client| ClientId::new(client)).collect() }
        }
    };
    Ok(Arc::new(PresenceUpdate::new(channel, need("count", count)?, members)))
}

fn member(wire: WireMember<'_>) -> Result<Arc<Member>, InvalidMessage> {
    let name = wire.name.map(|name| DisplayName::parse(&name)).transpose();
    Ok(Arc::new(Member {
        client: ClientId::new(&wire.client),
        user: UserName::new(&wire.user),
        name: name.map_err(|error| wrong("name", &error))?,
        info: wire.info.map(super::json_payload),
        state: wire.state.map(super::json_payload),
    }))
}

fn unsubscribed(wire: WireMessage<'_>) -> Result<Unsubscribed, InvalidMessage> {
    let (channel, command) = (channel(wire.channel.as_deref())?, wire.id.as_ref().map(copy));
    let refusal = if wire.code.is_some() { Some(refusal(wire)?) } else { None };
    Ok(Unsubscribed { id: command, channel, refusal })
}

fn published(wire: WireMessage<'_>) -> Result<Published, InvalidMessage> {
    Ok(Published {
        id: wire.id.map(id),
        channel: channel(wire.channel.as_deref())?,
        position: position(wire.epoch.as_deref(), wire.offset)?,
        key: key(wire.key.as_deref())?,
        ts: Timestamp(need("ts", wire.ts)?),
        duplicate: wire.dup,
        merged: wire.merged,
    })
}

fn history(wire: WireMessage<'_>) -> Result<ServerMessage, InvalidMessage> {
    let (command, channel) = (wire.id.as_ref().map(copy), channel(wire.channel.as_deref())?);
    Ok(ServerMessage::History { id: command, channel, page: page(wire)? })
}

fn page(wire: WireMessage<'_>) -> Result<Page, InvalidMessage> {
    let epoch = need("epoch", wire.epoch)?;
    let items = need("items", wire.items)?;
    Ok(Page {
        epoch: Epoch::parse(&epoch).map_err(|error| wrong("epoch", &error))?,
        top: Offset(need("top", wire.top)?),
        lo: Offset(need("lo", wire.lo)?),
        hi: Offset(need("hi", wire.hi)?),
        items: items.into_iter().map(item).collect::<Result<_, _>>()?,
        floor: Offset(need("floor", wire.floor)?),
        more: need("more", wire.more)?,
    })
}

fn refusal(wire: WireMessage<'_>) -> Result<Refusal, InvalidMessage> {
    let code = need("code", wire.code)?;
    let code: String = serde_json::from_str(code.get()).map_err(|error| wrong("code", &error))?;
    let channel = wire.channel.as_deref().map(|name| channel(Some(name))).transpose()?;
    Ok(Refusal {
        id: wire.id.map(id),
        code: code.into(),
        message: wire.message.unwrap_or_default().into(),
        channel,
        position: wire
            .epoch
            .is_some()
            .then(|| position(wire.epoch.as_deref(), wire.offset))
            .transpose()?
            .flatten(),
        retry: wire.retry.map(Duration::from_millis),
    })
}

/// What a push says of its publication.
fn pushed(wire: WireMessage<'_>) -> WireItem<'_> {
    WireItem {
        offset: wire.offset,
        epoch: wire.epoch,
        r#ref: wire.r#ref,
        op: wire.op,
        entry: wire.entry,
        deleted: wire.deleted,
        rev: None,
        reactions: BTreeMap::new(),
        data: wire.data,
        text: wire.text,
        binary: wire.binary,
        from: wire.from,
        ts: wire.ts,
        key: wire.key,
    }
}

fn item(wire: WireItem<'_>) -> Result<Message, InvalidMessage> {
    let op = Op::ALL.iter().copied().find(|op| wire.op.as_deref() == Some(op.as_str()));
    let reference = wire.r#ref.zip(op).map(|(target, op)| Reference { target: Offset(target), op });
    let empty = wire.deleted || op == Some(Op::Delete);
    let epoch = wire.epoch.as_deref().map(Epoch::parse).transpose();
    let entry = wire.entry.as_deref().map(EntryName::parse).transpose();
    let reactions = wire.reactions.into_iter().map(|(value, count)| (value.into(), count)).collect();
    Ok(Message {
        offset: wire.offset.map(Offset),
        epoch: epoch.map_err(|error| wrong("epoch", &error))?,
        payload: payload(wire.data, wire.text, wire.binary, empty)?,
        reference,
        entry: entry.map_err(|error| wrong("entry", &error))?,
        removed: wire.r#ref.is_none() && op == Some(Op::Delete),
        erased: wire.deleted,
        fold: wire.rev.map(|rev| Fold { rev: Offset(rev), reactions }),
        from: wire.from.as_deref().map(UserName::new),
        ts: Timestamp(need("ts", wire.ts)?),
        key: key(wire.key.as_deref())?,
    })
}

fn payload(
    data: Option<&RawValue>,
    text: Option<String>,
    binary: Option<String>,
    empty: bool,
) -> Result<Payload, InvalidMessage> {
    match (data, text, binary) {
        (_, Some(text), _) => Ok(Payload::new(Form::Text, text)),
        (_, _, Some(coded)) => {
            let bytes = BASE64.decode(coded).map_err(|error| wrong("binary", &error))?;
            Ok(Payload::new(Form::Binary, bytes))
        }
        (Some(data), None, None) => {
            Ok(Payload::new(Form::Json, Bytes::copy_from_slice(data.get().as_bytes())))
        }
        (None, None, None) if empty => Ok(Payload::new(Form::Text, Bytes::new())),
        (None, None, None) => Err(InvalidMessage("none of `data`, `text` and `binary` is there".into())),
    }
}

fn position(epoch: Option<&str>, offset: Option<u64>) -> Result<Option<Position>, InvalidMessage> {
    let Some(offset) = offset else { return Ok(None) };
    let epoch = Epoch::parse(need("epoch", epoch)?).map_err(|error| wrong("epoch", &error))?;
    Ok(Some(Position { epoch, offset: Offset(offset) }))
}

fn channel(name: Option<&str>) -> Result<ChannelName, InvalidMessage> {
    ChannelName::parse(need("channel", name)?).map_err(|error| wrong("channel", &error))
}

fn key(text: Option<&str>) -> Result<Option<Key>, InvalidMessage> {
    text.map(Key::parse).transpose().map_err(|error| wrong("key", &error))
}

fn reason(word: Option<&str>) -> LostReason {
    let known = [LostReason::Trimmed, LostReason::Limit];
    known.into_iter().find(|reason| word == Some(reason.as_str())).unwrap_or(LostReason::Rewound)
}

fn capability(word: &str) -> Option<Capability> {
    Capability::ALL.iter().copied().find(|known| known.as_str() == word)
}

fn id(wire: WireId) -> CommandId {
    match wire {
        WireId::Number(number) => CommandId::Number(number),
        WireId::Text(text) => CommandId::Text(text.into()),
    }
}

fn copy(wire: &WireId) -> CommandId {
    match wire {
        WireId::Number(number) => CommandId::Number(*number),
        WireId::Text(text) => CommandId::Text(text.as_str().into()),
    }
}

fn need<T>(name: &str, value: Option<T>) -> Result<T, InvalidMessage> {
    value.ok_or_else(|| InvalidMessage(format!("`{name}` is missing")))
}

fn wrong(name: &str, error: &dyn Display) -> InvalidMessage {
    InvalidMessage(format!("`{name}`: {error}"))
}
