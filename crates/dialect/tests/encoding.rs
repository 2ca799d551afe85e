//! What a client is told in `trunkline.v1`: one line of valid JSON each, whatever is in it, from which
//! everything can be read again. The exact text of each reply is in the golden vectors, run by `vectors`.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use trunkline_dialect::json::{
    decode, encode_message, encode_page, encode_presence, encode_published, encode_push, encode_reply,
    json_payload,
};
use trunkline_model::{
    Action, Capability, ChannelName, ClientId, CommandId, DisplayName, Epoch, ErrorCode, Fault, Form,
    Identity, Key, Kind, LostReason, Member, Members, Offset, Page, Payload, Position, PresenceUpdate,
    Publication, Publisher, Push, Recovery, Reply, Secret, Subscribed, Timestamp, UserName,
};

/// What `encode` writes, parsed; it is one line, and goes behind what the buffer held.
fn written(encode: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut out = b"before".to_vec();
    encode(&mut out);
    let line = out.strip_prefix(b"before").expect("the buffer keeps what it held");
    assert!(!line.iter().any(|byte| matches!(byte, b'\n' | b'\r')), "one line: {line:?}");
    let text = std::str::from_utf8(line).expect("UTF-8");
    let value: Value = serde_json::from_str(text).expect("valid JSON");
    assert!(value.is_object(), "{text}");
    value
}

/// What a publication with this payload says, as a client reads it.
fn heard(payload: &Payload) -> Value {
    match payload.form {
        Form::Json => json!({ "data": serde_json::from_slice::<Value>(&payload.bytes).expect("JSON") }),
        Form::Text => json!({ "text": std::str::from_utf8(&payload.bytes).expect("UTF-8") }),
        Form::Binary => json!({ "binary": BASE64.encode(&payload.bytes) }),
    }
}

fn item(publication: &Publication) -> Value {
    let mut item = heard(&publication.payload);
    if let Some(position) = publication.position {
        item["offset"] = position.offset.0.into();
        if publication.begins_epoch {
            item["epoch"] = position.epoch.to_string().into();
        }
    }
    item["ts"] = publication.ts.0.into();
    if let Some(from) = &publication.from {
        item["from"] = from.as_str().into();
    }
    if let Some(key) = &publication.key {
        item["key"] = key.as_str().into();
    }
    item
}

fn with(mut object: Value, fields: Value) -> Value {
    if let (Value::Object(object), Value::Object(fields)) = (&mut object, fields) {
        object.extend(fields);
    }
    object
}

fn id_json(id: Option<&CommandId>) -> Value {
    match id {
        None => json!({}),
        Some(CommandId::Text(text)) => json!({ "id": text }),
        Some(CommandId::Number(number)) => json!({ "id": number }),
    }
}

fn channel() -> impl Strategy<Value = ChannelName> {
    "[A-Za-z0-9_.:~@-]{1,255}".prop_map(|name| ChannelName::parse(&name).expect("allowed characters"))
}

fn key() -> impl Strategy<Value = Key> {
    any::<String>().prop_filter_map("1 to 64 bytes", |text| Key::parse(&text).ok())
}

fn id() -> impl Strategy<Value = Option<CommandId>> {
    let text = any::<String>().prop_map(|text| CommandId::Text(text.into()));
    prop::option::of(prop_oneof![any::<i64>().prop_map(CommandId::Number), text])
}

fn payload() -> impl Strategy<Value = Payload> {
    let json = any::<String>().prop_map(|text| {
        let value = json!([{ &*text: text }, null, 1.5]);
        let text = serde_json::to_string_pretty(&value).expect("a value");
        let raw: Box<RawValue> = serde_json::from_str(&text).expect("JSON");
        json_payload(&raw)
    });
    let text = any::<String>().prop_map(|text| Payload::new(Form::Text, text));
    let binary = any::<Vec<u8>>().prop_map(|bytes| Payload::new(Form::Binary, bytes));
    prop_oneof![json, text, binary]
}

fn position() -> impl Strategy<Value = Position> {
    (any::<u64>(), any::<u64>())
        .prop_map(|(epoch, offset)| Position { epoch: Epoch::from_random(epoch), offset: Offset(offset) })
}

prop_compose! {
    fn publication()(
        channel in channel(),
        ts in any::<u64>(),
        payload in payload(),
        position in prop::option::of(position()),
        begins_epoch in any::<bool>(),
        from in prop::option::of(any::<String>()),
        key in prop::option::of(key()),
    ) -> Arc<Publication> {
        let mut publication = Publication::new(channel, Timestamp(ts), payload);
        publication.position = position;
        publication.begins_epoch = begins_epoch;
        publication.from = from.map(|from| UserName::new(&from));
        publication.key = key;
        Arc::new(publication)
    }
}

proptest! {
    #[test]
    fn a_message_says_all_of_its_publication(publication in publication()) {
        let expect = with(
            json!({ "type": "message", "channel": publication.channel.as_str() }),
            item(&publication),
        );
        prop_assert_eq!(written(|out| encode_message(&publication, out)), expect.clone());
        let push = Push::Message(publication);
        prop_assert_eq!(written(|out| encode_push(&push, out)), expect);
    }

    #[test]
    fn a_payload_comes_back_as_it_was_sent(payload in payload()) {
        let mut line = Vec::new();
        let mut publication =
            Publication::new(ChannelName::parse("chat:x").expect("a name"), Timestamp(0), payload.clone());
        publication.from = Some(UserName::new("guest-7"));
        encode_message(&publication, &mut line);
        let text = String::from_utf8(line).expect("UTF-8");
        let sent_again = text.replacen(r#""type":"message""#, r#""type":"publish""#, 1);
        let command = decode(&sent_again).expect("what a message says can be published");
        let Action::Publish(publish) = command.action else { panic!("a publish") };
        prop_assert_eq!(publish.payload, payload);
    }

    #[test]
    fn a_page_lists_its_items(
        items in prop::collection::vec(publication(), 0..5),
        (epoch, numbers, more) in (any::<u64>(), any::<[u64; 4]>(), any::<bool>()),
        (id, channel) in (id(), channel()),
    ) {
        let [top, lo, hi, floor] = numbers.map(Offset);
        let epoch = Epoch::from_random(epoch);
        let expect = json!({
            "epoch": epoch.to_string(), "top": top.0, "lo": lo.0, "hi": hi.0,
            "items": items.iter().map(|publication| item(publication)).collect::<Vec<_>>(),
            "floor": floor.0, "more": more,
        });
        let page = Page { epoch, top, lo, hi, items, floor, more };
        prop_assert_eq!(written(|out| encode_page(&page, out)), expect.clone());
        let head = json!({ "type": "history", "channel": channel.as_str() });
        let reply = Reply::History { id: id.clone(), channel, page };
        let expect = with(with(head, id_json(id.as_ref())), expect);
        prop_assert_eq!(written(|out| encode_reply(&reply, out)), expect);
    }

    #[test]
    fn a_subscribed_says_where_it_stands(
        items in prop::option::of((prop::collection::vec(publication(), 0..4), any::<bool>())),
        replay in prop::collection::vec(publication(), 0..4),
        (position, floor) in (prop::option::of(position()), any::<u64>()),
        (id, channel) in (id(), channel()),
        (way, keep) in (0..5u8, prop::option::of(any::<u64>())),
    ) {
        let reason = [LostReason::Trimmed, LostReason::Limit, LostReason::Rewound][usize::from(way % 3)];
        let recovery = match way {
            0 => Recovery::NotAsked,
            1 => Recovery::Recovered(replay.clone()),
            _ => Recovery::Lost { reason, keep: keep.map(Offset) },
        };
        let kind = if position.is_some() { Kind::Log } else { Kind::Signal };
        let mut expect = json!({
            "type": "subscribed", "channel": channel.as_str(), "kind": kind.as_str(), "can": ["publish", "history"],
        });
        expect = with(expect, id_json(id.as_ref()));
        if let Some(position) = position {
            let place = json!({
                "epoch": position.epoch.to_string(), "offset": position.offset.0, "floor": floor,
            });
            expect = with(expect, place);
        }
        match &recovery {
            Recovery::NotAsked => {}
            Recovery::Recovered(replay) => {
                expect = with(expect, json!({ "recovered": true, "replay": replay.len() }));
            }
            Recovery::CatchingUp(count) => {
                expect = with(expect, json!({ "recovered": true, "replay": count }));
            }
            Recovery::Lost { reason, keep } => {
                expect = with(expect, json!({ "recovered": false, "reason": reason.as_str() }));
                if let Some(keep) = keep {
                    expect["keep"] = keep.0.into();
                }
            }
        }
        if let Some((items, more)) = &items {
            expect["items"] = items.iter().map(|publication| item(publication)).collect();
            expect["more"] = (*more).into();
        }
        let can = vec![Capability::Publish, Capability::History];
        let floor = Offset(floor);
        let entries = None;
        let subscribed =
            Subscribed { id, channel, kind, position, floor, recovery, items, entries, presence: None, can };
        prop_assert_eq!(written(|out| encode_reply(&Reply::Subscribed(Box::new(subscribed)), out)), expect);
    }

    /// Whoever counts the bytes of presence counts none too few: what it takes, with the head of its frame, is at most this.
    #[test]
    fn an_update_of_presence_takes_no_more_than_it_counts(
        channel in channel(),
        members in prop::collection::vec((any::<String>(), any::<String>(), "[^\\p{Cc}]{1,16}", "[0-9]{0,40}"), 0..5),
        (gone, count, all) in (prop::collection::vec(any::<String>(), 0..3), any::<usize>(), any::<bool>()),
    ) {
        let set: Vec<_> = members
            .iter()
            .map(|(client, user, name, state)| {
                let state = Some(Payload::new(Form::Json, format!("\"{state}\"")));
                let name = DisplayName::parse(name).ok();
                let info = Some(Payload::new(Form::Json, format!("[{}]", user.len())));
                Arc::new(Member { client: ClientId::new(client), user: UserName::new(user), name, info, state })
            })
            .collect();
        let gone = gone.iter().map(|client| ClientId::new(client)).collect();
        let members = if all { Members::All(set) } else { Members::Changed { set, gone } };
        let update = PresenceUpdate::new(channel, count, members);
        let mut out = Vec::new();
        encode_presence(&update, &mut out);
        const FRAME_HEAD_MAX: usize = 10;
        prop_assert!(out.len() + FRAME_HEAD_MAX <= update.cost(), "{} bytes, counted as {}", out.len(), update.cost());
    }

    #[test]
    fn a_published_is_the_same_over_http_without_its_id(
        (id, channel, key) in (id(), channel(), prop::option::of(key())),
        (position, ts, duplicate) in (prop::option::of(position()), any::<u64>(), any::<bool>()),
    ) {
        let mut expect = json!({ "channel": channel.as_str(), "ts": ts });
        if let Some(position) = position {
            let place = json!({ "epoch": position.epoch.to_string(), "offset": position.offset.0 });
            expect = with(expect, place);
        }
        if let Some(key) = &key {
            expect["key"] = key.as_str().into();
        }
        if duplicate {
            expect["dup"] = true.into();
        }
        let reply =
            Reply::Published { id: id.clone(), channel, position, key, ts: Timestamp(ts), duplicate, merged: false };
        prop_assert_eq!(written(|out| encode_published(&reply, out)), expect.clone());
        let expect = with(with(expect, id_json(id.as_ref())), json!({ "type": "published" }));
        prop_assert_eq!(written(|out| encode_reply(&reply, out)), expect);
    }

    #[test]
    fn an_error_says_what_is_wrong(
        code in prop::sample::select(ErrorCode::ALL),
        message in any::<String>(),
        (id, channel) in (id(), prop::option::of(channel())),
        retry in prop::option::of(0..u64::from(u32::MAX)),
    ) {
        let mut expect = json!({ "type": "error", "code": code.as_str(), "message": message });
        expect = with(expect, id_json(id.as_ref()));
        if let Some(channel) = &channel {
            expect["channel"] = channel.as_str().into();
        }
        if let Some(retry) = retry {
            expect["retry"] = retry.into();
        }
        let retry = retry.map(Duration::from_millis);
        let fault = Fault { id, code, message, channel, position: None, retry };
        prop_assert_eq!(written(|out| encode_reply(&Reply::Fault(fault), out)), expect);
    }

    #[test]
    fn names_are_told_as_they_are(
        (client, user, session) in (any::<String>(), any::<String>(), prop::option::of(any::<String>())),
        (id, ping, spread, ts) in (id(), 0..u64::from(u32::MAX), 0..u64::from(u32::MAX), any::<u64>()),
    ) {
        let mut expect = json!({
            "type": "welcome", "client": client, "user": user, "ping": ping, "spread": spread, "ts": ts,
            "limits": { "message": 16_384, "subscriptions": 128 },
        });
        expect = with(expect, id_json(id.as_ref()));
        if let Some(session) = &session {
            expect["session"] = session.as_str().into();
        }
        let welcome = Reply::Welcome {
            id,
            identity: Identity {
                client: ClientId::new(&client),
                user: UserName::new(&user),
                publisher: Publisher::new("session:hidden"),
                session: session.as_deref().map(Secret::new),
                named: true,
                access: std::sync::Arc::default(),
            },
            ping: Duration::from_millis(ping),
            spread: Duration::from_millis(spread),
            ts: Timestamp(ts),
            message_size_max: 16_384,
            subscriptions_max: 128,
        };
        prop_assert_eq!(written(|out| encode_reply(&welcome, out)), expect);
    }

    #[test]
    fn the_end_of_a_subscription_says_why(
        (channel, message) in (channel(), any::<String>()),
        retry in prop::option::of(0..u64::from(u32::MAX)),
    ) {
        let mut expect = json!({
            "type": "unsubscribed", "channel": channel.as_str(), "code": "internal", "message": message,
        });
        if let Some(retry) = retry {
            expect["retry"] = retry.into();
        }
        let retry = retry.map(Duration::from_millis);
        let push = Push::Unsubscribed { channel, code: ErrorCode::Internal, message, retry };
        prop_assert_eq!(written(|out| encode_push(&push, out)), expect);
    }

    #[test]
    fn an_id_comes_back_as_it_was_sent(id in id(), ts in any::<u64>()) {
        let short = |id: &CommandId| !matches!(id, CommandId::Text(text) if text.len() > 64);
        prop_assume!(id.as_ref().is_none_or(short));
        let mut line = Vec::new();
        encode_reply(&Reply::Pong { id: id.clone(), ts: Timestamp(ts) }, &mut line);
        let text = String::from_utf8(line).expect("UTF-8");
        prop_assert_eq!(decode(&text).expect("a pong is a command too").id, id);
    }
}
