//! Commands as a client spells them in `trunkline.v1`, and the check that the dialect reads and writes what is said.
//! Used by the node for every command and answer where it is told to, and to print what clients do.

use std::fmt::Write as _;

use trunkline_dialect::json;
use trunkline_model::{
    Action, Command, CommandId, Connect, Form, HistoryQuery, Op, Payload, Position, Publish, Push, Start,
    Subscribe,
};

use crate::node::Heard;
use crate::store::uid_of;
use crate::violation::{Checked, Checker, broken, ensure};

/// One command as one JSON object. Texts are taken to need no escapes, which those of the simulator do not.
pub(crate) fn spell(command: &Command) -> String {
    let mut text = String::from("{");
    match &command.id {
        Some(CommandId::Number(id)) => field(&mut text, "id", id),
        Some(CommandId::Text(id)) => quoted(&mut text, "id", id),
        None => {}
    }
    match &command.action {
        Action::Connect(connect) => spell_connect(&mut text, connect),
        Action::Subscribe(subscribe) => {
            quoted(&mut text, "type", "subscribe");
            quoted(&mut text, "channel", subscribe.channel.as_str());
            spell_subscribe(&mut text, subscribe);
        }
        Action::Unsubscribe(channel) => {
            quoted(&mut text, "type", "unsubscribe");
            quoted(&mut text, "channel", channel.as_str());
        }
        Action::Publish(publish) => spell_publish(&mut text, publish),
        Action::History(query) => spell_history(&mut text, query),
        Action::Presence(query) => {
            quoted(&mut text, "type", "presence");
            quoted(&mut text, "channel", query.channel.as_str());
            spell_state(&mut text, query.state.as_ref());
        }
        Action::Rpc { method, data } => {
            quoted(&mut text, "type", "rpc");
            quoted(&mut text, "method", method.as_str());
            field(&mut text, "data", &String::from_utf8_lossy(&data.bytes));
        }
        Action::Refresh(token) => {
            quoted(&mut text, "type", "refresh");
            quoted(&mut text, "token", token.reveal());
        }
        Action::Ping => quoted(&mut text, "type", "ping"),
        Action::Pong => quoted(&mut text, "type", "pong"),
    }
    text.push('}');
    text
}

fn spell_connect(text: &mut String, connect: &Connect) {
    quoted(text, "type", "connect");
    if let Some(token) = &connect.token {
        quoted(text, "token", token.reveal());
    }
    if let Some(secret) = &connect.session {
        quoted(text, "session", secret.reveal());
    }
    if let Some(name) = &connect.name {
        quoted(text, "name", name.as_str());
    }
    if connect.heartbeat {
        field(text, "heartbeat", &true);
    }
    if !connect.subscribe.is_empty() {
        let mut listed = String::from("{");
        for subscribe in &connect.subscribe {
            let mut start = String::from("{");
            spell_subscribe(&mut start, subscribe);
            field(&mut listed, subscribe.channel.as_str(), &(start + "}"));
        }
        field(text, "subscribe", &(listed + "}"));
    }
}

fn spell_subscribe(text: &mut String, subscribe: &Subscribe) {
    spell_start(text, subscribe.start);
    if subscribe.presence {
        field(text, "presence", &true);
    }
    spell_state(text, subscribe.state.as_ref());
}

fn spell_state(text: &mut String, state: Option<&Payload>) {
    if let Some(state) = state {
        field(text, "state", &String::from_utf8_lossy(&state.bytes));
    }
}

fn spell_start(text: &mut String, start: Start) {
    match start {
        Start::Next => {}
        Start::Last(count) => field(text, "last", &count),
        Start::Since(position) => field(text, "since", &spell_position(position)),
        Start::CatchUp(position) => {
            field(text, "since", &spell_position(position));
            field(text, "catchUp", &true);
        }
    }
}

fn spell_publish(text: &mut String, publish: &Publish) {
    quoted(text, "type", "publish");
    quoted(text, "channel", publish.channel.as_str());
    let content = String::from_utf8_lossy(&publish.payload.bytes);
    match publish.payload.form {
        // What is removed or deleted has no content.
        _ if publish.payload.bytes.is_empty() => {}
        Form::Json => field(text, "data", &content),
        Form::Text => quoted(text, "text", &content),
        Form::Binary => quoted(text, "binary", &content),
    }
    if let Some(key) = &publish.key {
        quoted(text, "key", key.as_str());
    }
    if let Some(offset) = publish.condition {
        field(text, "if", &format_args!("{{\"offset\":{offset}}}"));
    }
    if let Some(entry) = &publish.entry {
        quoted(text, "entry", entry.as_str());
    }
    if let Some(reference) = publish.reference {
        field(text, "ref", &reference.target);
    }
    let removes = publish.removes.then_some(Op::Delete);
    if let Some(op) = publish.reference.map(|reference| reference.op).or(removes) {
        quoted(text, "op", op.as_str());
    }
}

fn spell_history(text: &mut String, query: &HistoryQuery) {
    quoted(text, "type", "history");
    quoted(text, "channel", query.channel.as_str());
    for (name, offset) in [("before", query.before), ("after", query.after)] {
        if let Some(offset) = offset {
            field(text, name, &offset);
        }
    }
    if let Some(limit) = query.limit {
        field(text, "limit", &limit);
    }
    if let Some(at) = query.at {
        field(text, "at", &spell_position(at));
    }
}

fn spell_position(position: Position) -> String {
    format!("{{\"epoch\":\"{}\",\"offset\":{}}}", position.epoch, position.offset)
}

fn quoted(text: &mut String, name: &str, value: &str) {
    field(text, name, &format_args!("\"{value}\""));
}

fn field(text: &mut String, name: &str, value: &dyn std::fmt::Display) {
    let comma = if text.ends_with('{') { "" } else { "," };
    write!(text, "{comma}\"{name}\":{value}").expect("a text takes what is written to it");
}

/// The dialect reads the command as it is meant.
pub(crate) fn check_command(command: &Command) -> Checked {
    let text = spell(command);
    match json::decode(&text) {
        Ok(read) if read == *command => Ok(()),
        read => broken(Checker::Dialect, format!("{text} is read as {read:?}")),
    }
}

/// The dialect writes what is said as one object on one line, and a publication with its place and its text.
pub(crate) fn check_heard(heard: &Heard) -> Checked {
    let mut out = Vec::new();
    match heard {
        Heard::Reply(reply) => json::encode_reply(reply, &mut out),
        Heard::Message(publication) => json::encode_message(publication, &mut out),
        Heard::Pushed(push) => json::encode_push(push, &mut out),
        Heard::Ready => return Ok(()),
    }
    let text = String::from_utf8_lossy(&out);
    let whole = text.starts_with('{') && text.ends_with('}') && !text.contains('\n');
    ensure(whole, Checker::Dialect, || format!("{heard:?} is written as {text}"))?;
    let (Heard::Message(publication) | Heard::Pushed(Push::Message(publication))) = heard else {
        return Ok(());
    };
    let place = publication.position.map_or(String::new(), |place| format!("\"offset\":{},", place.offset));
    let told = text.contains(&place) && text.contains(uid_of(publication));
    ensure(told, Checker::Dialect, || format!("{publication:?} is written as {text}"))
}
