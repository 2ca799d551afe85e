//! Runs the golden vectors of `protocol/vectors` in a client's direction: commands are written, replies and pushes are
//! read. `vectors.rs` is the server's direction. What was read is said again in the words of the vectors' README, and
//! held against what the case says.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use trunkline_dialect::json;
use trunkline_dialect::json::client::{
    InvalidMessage, Message, Page, Recovery, Refusal, ServerMessage, Subscribed, Unsubscribed, decode, encode,
};
use trunkline_model::{
    CommandId, Form, Kind, LostReason, Member, Members, Payload, Position, PresenceUpdate, Secret,
};

fn cases(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol/vectors").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut file: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    match file["cases"].take() {
        Value::Array(cases) if !cases.is_empty() => cases,
        other => panic!("{name} has no cases, but {other}"),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} should be a text"))
}

#[test]
fn commands_are_written_as_a_client_would() {
    let mut canonical = 0;
    for case in cases("commands.json").iter().filter(|case| !case["command"].is_null()) {
        let (name, input) = (text(&case["name"]), text(&case["in"]));
        let command = json::decode(input).unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
        let mut out = Vec::new();
        encode(&command, &mut out);
        let written = std::str::from_utf8(&out).expect("UTF-8");
        assert_eq!(json::decode(written), Ok(command), "{name}: {written}");
        if case["canonical"] == true {
            canonical += 1;
            let as_json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
            assert_eq!(as_json(written), as_json(input), "{name}");
        }
    }
    assert!(canonical >= 20, "only {canonical} cases say how a client writes");
}

#[test]
fn replies_are_read() {
    for case in cases("replies.json") {
        check("reply", case);
    }
}

#[test]
fn pushes_are_read() {
    for case in cases("pushes.json") {
        check("push", case);
    }
}

/// What is read from `out` says what the case says.
fn check(what: &str, mut case: Value) {
    let name = text(&case["name"]).to_owned();
    let read = decode(text(&case["out"])).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut expected = case[what].take();
    as_client_sees(&mut expected);
    assert_eq!(describe(&read), expected, "{name}");
}

/// A client is not told the epoch of each publication, nor the channel of each item of a list.
fn as_client_sees(reply: &mut Value) {
    for list in ["items", "entries"] {
        for item in reply[list].as_array_mut().into_iter().flatten() {
            item.as_object_mut().expect("an item").remove("channel");
            flatten(item);
        }
    }
    // Nobody gone is not written in the cases.
    if let Some(fields) = reply["presence"].as_object_mut().filter(|fields| fields.contains_key("set")) {
        fields.entry("gone").or_insert(json!([]));
    }
    // Whether the replay comes at once or page by page makes no difference to who reads it.
    if let Some(count) = reply["recovery"].get("catching_up").cloned() {
        reply["recovery"] = json!({ "recovered": count });
    }
    if reply["type"] == "message" {
        flatten(reply);
    }
    drop_nulls(reply);
}

fn flatten(publication: &mut Value) {
    let fields = publication.as_object_mut().expect("a publication");
    let begins = fields.remove("begins_epoch").is_some_and(|begins| begins == true);
    if let Some(position) = fields.remove("position") {
        fields.insert("offset".into(), position["offset"].clone());
        if begins {
            fields.insert("epoch".into(), position["epoch"].clone());
        }
    }
    // Of the entry of a `value` nothing is said.
    if fields.get("entry") == Some(&json!({})) {
        fields.remove("entry");
    }
    if let Some(reactions) = fields.get_mut("fold").and_then(|fold| fold["reactions"].as_array_mut()) {
        reactions.sort_by_key(ToString::to_string);
    }
}

/// A message in the words of the vectors' README, as far as a client sees them.
fn describe(message: &ServerMessage) -> Value {
    let mut said = match message {
        ServerMessage::Welcome(welcome) => json!({
            "type": "welcome", "id": id(&welcome.id), "client": welcome.client.as_str(),
            "user": welcome.user.as_str(), "session": welcome.session.as_ref().map(Secret::reveal),
            "ping_ms": millis(welcome.ping), "spread_ms": millis(welcome.spread), "ts": welcome.ts.0,
            "expires": welcome.expires.map(|at| at.0), "message_bytes_max": welcome.message_size_max, "subscriptions_max": welcome.subscriptions_max,
        }),
        ServerMessage::Subscribed(subscribed) => describe_subscribed(subscribed),
        ServerMessage::Unsubscribed(Unsubscribed { id: command, channel, refusal }) => json!({
            "type": "unsubscribed", "id": id(command), "channel": channel.as_str(),
            "code": refusal.as_ref().map(|refusal| &*refusal.code),
            "message": refusal.as_ref().map(|refusal| &*refusal.message),
            "retry_ms": refusal.as_ref().and_then(|refusal| refusal.retry).map(millis),
        }),
        ServerMessage::Published(published) => json!({
            "type": "published", "id": id(&published.id), "channel": published.channel.as_str(),
            "position": published.position.as_ref().map(position),
            "key": published.key.as_ref().map(|key| key.as_str()), "ts": published.ts.0,
            "duplicate": published.duplicate, "merged": published.merged.then_some(true),
        }),
        ServerMessage::History { id: command, channel, page } => {
            describe_page(command, channel.as_str(), page)
        }
        ServerMessage::Pong { id: command, ts } => json!({ "type": "pong", "id": id(command), "ts": ts.0 }),
        ServerMessage::Message { channel, message } => {
            let mut said = item(message);
            said["type"] = "message".into();
            said["channel"] = channel.as_str().into();
            said
        }
        ServerMessage::Presence { id: command, update } => json!({
            "type": "presence", "id": id(command), "channel": update.channel.as_str(),
            "presence": describe_presence(update),
        }),
        ServerMessage::Result { id: command, data } => json!({
            "type": "result", "id": id(command), "data": std::str::from_utf8(&data.bytes).expect("UTF-8"),
        }),
        ServerMessage::Refreshed { id: command, expires } => json!({
            "type": "refreshed", "id": id(command), "expires": expires.map(|at| at.0),
        }),
        ServerMessage::Ping => json!({ "type": "ping" }),
        ServerMessage::Goaway { within } => json!({ "type": "goaway", "within_ms": millis(*within) }),
        ServerMessage::Refused(Refusal { id: command, code, message, channel, position: stands, retry }) => {
            json!({
                "type": "error", "id": id(command), "code": code, "message": message,
                "channel": channel.as_ref().map(|channel| channel.as_str()), "position": stands.as_ref().map(position), "retry_ms": retry.map(millis),
            })
        }
        other => panic!("the vectors have nothing like {other:?}"),
    };
    drop_nulls(&mut said);
    said
}

fn describe_subscribed(subscribed: &Subscribed) -> Value {
    let recovery = match subscribed.recovery {
        Recovery::NotAsked => json!("not_asked"),
        Recovery::Recovered(count) => json!({ "recovered": count }),
        Recovery::Lost { reason, keep: None } => json!({ "lost": reason.as_str() }),
        Recovery::Lost { reason, keep: Some(keep) } => json!({ "lost": reason.as_str(), "keep": keep.0 }),
    };
    json!({
        "type": "subscribed", "id": id(&subscribed.id), "channel": subscribed.channel.as_str(),
        "kind": subscribed.kind.map(Kind::as_str), "position": subscribed.position.as_ref().map(position),
        "floor": subscribed.floor.0, "recovery": recovery,
        "items": subscribed.items.as_ref().map(|(items, _)| items.iter().map(item).collect::<Vec<_>>()),
        "entries": subscribed.entries.as_ref().map(|entries| entries.iter().map(item).collect::<Vec<_>>()),
        "more": subscribed.items.as_ref().map(|(_, more)| more),
        "presence": subscribed.presence.as_ref().map(|update| describe_presence(update)),
        "can": subscribed.can.iter().map(|can| can.as_str()).collect::<Vec<_>>(),
    })
}

fn describe_presence(update: &PresenceUpdate) -> Value {
    let list = |set: &[Arc<Member>]| -> Vec<Value> {
        let member = |member: &Arc<Member>| {
            let text = |json: &Option<Payload>| {
                json.as_ref().map(|json| String::from_utf8_lossy(&json.bytes).into_owned())
            };
            let mut said = json!({
                "client": member.client.as_str(), "user": member.user.as_str(),
                "name": member.name.as_ref().map(|name| name.as_str()),
                "info": text(&member.info), "state": text(&member.state),
            });
            drop_nulls(&mut said);
            said
        };
        set.iter().map(member).collect()
    };
    match &update.members {
        Members::Untold => json!({ "count": update.count }),
        Members::All(set) => json!({ "count": update.count, "all": list(set) }),
        Members::Changed { set, gone } => {
            let gone: Vec<_> = gone.iter().map(|client| client.as_str()).collect();
            json!({ "count": update.count, "set": list(set), "gone": gone })
        }
    }
}

fn describe_page(command: &Option<CommandId>, channel: &str, page: &Page) -> Value {
    json!({
        "type": "history", "id": id(command), "channel": channel, "epoch": page.epoch.to_string(),
        "top": page.top.0, "lo": page.lo.0, "hi": page.hi.0, "floor": page.floor.0, "more": page.more,
        "items": page.items.iter().map(item).collect::<Vec<_>>(),
    })
}

fn item(message: &Message) -> Value {
    let reference = message.reference;
    let reference = reference.map(|about| json!({ "target": about.target.0, "op": about.op.as_str() }));
    let mut entry = json!({ "name": message.entry.as_ref().map(|name| name.as_str()) });
    if message.removed {
        entry["removed"] = true.into();
    }
    drop_nulls(&mut entry);
    let fold = message.fold.as_ref().map(|fold| {
        let mut reactions: Vec<Value> =
            fold.reactions.iter().map(|(value, count)| json!([value, count])).collect();
        reactions.sort_by_key(ToString::to_string);
        json!({ "rev": fold.rev.0, "reactions": reactions })
    });
    let mut said = json!({
        "offset": message.offset.map(|offset| offset.0), "epoch": message.epoch.map(|epoch| epoch.to_string()),
        "payload": payload(&message.payload), "from": message.from.as_ref().map(|from| from.as_str()),
        "ts": message.ts.0, "key": message.key.as_ref().map(|key| key.as_str()), "reference": reference,
        "erased": message.erased.then_some(true), "fold": fold,
        "entry": Some(entry).filter(|entry| *entry != json!({})),
    });
    drop_nulls(&mut said);
    said
}

fn drop_nulls(object: &mut Value) {
    object.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
}

fn payload(payload: &Payload) -> Value {
    let text = || std::str::from_utf8(&payload.bytes).expect("UTF-8");
    match payload.form {
        Form::Json => json!({ "json": text() }),
        Form::Text => json!({ "text": text() }),
        Form::Binary => json!({ "base64": BASE64.encode(&payload.bytes) }),
    }
}

fn position(position: &Position) -> Value {
    json!({ "epoch": position.epoch.to_string(), "offset": position.offset.0 })
}

fn id(id: &Option<CommandId>) -> Value {
    match id {
        None => Value::Null,
        Some(CommandId::Number(number)) => (*number).into(),
        Some(CommandId::Text(text)) => (**text).into(),
    }
}

fn millis(time: std::time::Duration) -> u64 {
    time.as_millis().try_into().expect("it came as a number of 64 bits")
}

#[test]
fn what_newer_servers_say_is_passed_over() {
    let check = |text: &str, expect: ServerMessage| assert_eq!(decode(text), Ok(expect), "{text}");
    check(r#"{"type":"outcome","id":1,"data":{}}"#, ServerMessage::Unknown("outcome".into()));
    // A field of another type than the one that is known here.
    check(r#"{"type":"tree","more":{},"set":[]}"#, ServerMessage::Unknown("tree".into()));
    check(r#"{"type":"ping","and":{"so":["on"]}}"#, ServerMessage::Ping);
    let subscribed = decode(
        r#"{"type":"subscribed","channel":"a:b","kind":"tree","epoch":"a1f","offset":4,"floor":1,
            "recovered":false,"reason":"eaten","can":["publish","fly"]}"#,
    );
    let Ok(ServerMessage::Subscribed(subscribed)) = subscribed else { panic!("{subscribed:?}") };
    assert_eq!((subscribed.kind, subscribed.can.len()), (None, 1));
    assert_eq!(subscribed.recovery, Recovery::Lost { reason: LostReason::Rewound, keep: None });
    let refused = decode(r#"{"type":"error","id":1,"code":"too_late","message":"no"}"#);
    let Ok(ServerMessage::Refused(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!((refusal.known(), refusal.leaves_outcome_open()), (None, false));
}

#[test]
fn what_is_no_message_says_why() {
    let check = |text: &str, expect: &str| {
        let error: InvalidMessage = decode(text).expect_err(text);
        assert!(error.to_string().contains(expect), "{text}: {error}");
    };
    check("", "EOF");
    check("[]", "an object");
    check(r#"{"type":"message","channel":"a:b","ts":1}"#, "none of `data`, `text` and `binary`");
    check(r#"{"type":"message","channel":"a b","ts":1,"data":1}"#, "`channel`");
    check(r#"{"type":"message","channel":"a:b","data":1}"#, "`ts` is missing");
    check(r#"{"type":"message","channel":"a:b","ts":1,"binary":"?"}"#, "`binary`");
    check(r#"{"type":"published","channel":"a:b","ts":1,"offset":4}"#, "`epoch` is missing");
    check(r#"{"type":"subscribed","channel":"a:b","kind":"log","epoch":"A","offset":4}"#, "`epoch`");
    check(r#"{"type":"history","channel":"a:b","epoch":"a","items":[]}"#, "`top` is missing");
    check(r#"{"type":"result","id":1}"#, "`data` is missing");
    check(r#"{"type":"error","code":4503,"message":"no"}"#, "`code`");
    check(r#"{"type":"welcome","client":7}"#, "invalid type");
}
