//! Commands that are none: each is answered with an error that names what is wrong, and the line stays open.

use serde_json::{Value, json};

use crate::client::{Client, check_alive};
use crate::server::{Folder, Server};

/// What is sent, the code, and a part of the message.
fn bad_commands() -> Vec<(String, &'static str, &'static str)> {
    let fixed = no_commands().into_iter().chain(wrong_fields()).chain(wrong_questions());
    let mut all: Vec<_> = fixed.map(|(text, code, part)| (text.to_owned(), code, part)).collect();
    let name = "x".repeat(256);
    all.extend([
        (json!({ "type": "subscribe", "channel": name }).to_string(), "bad_request", "at most 255 bytes"),
        (json!({ "type": "ping", "id": "x".repeat(65) }).to_string(), "bad_request", "at most 64 bytes"),
        (json!({ "type": "ping", "id": "é".repeat(33) }).to_string(), "bad_request", "at most 64 bytes"),
        (json!({ "type": name }).to_string(), "unknown_type", "commands are"),
        (publish_with_key(&"k".repeat(65)), "bad_request", "1 to 64 bytes"),
        ("[".repeat(30_000), "bad_request", ""),
        (
            format!(r#"{{"type":"publish","channel":"chat:a","data":{}}}"#, "[".repeat(30_000)),
            "bad_request",
            "",
        ),
    ]);
    all
}

type Fixed = (&'static str, &'static str, &'static str);

/// No JSON, no object, no type that there is.
fn no_commands() -> Vec<Fixed> {
    vec![
        ("", "bad_request", "not a JSON object"),
        ("nonsense", "bad_request", "not a JSON object"),
        ("[]", "bad_request", "not a JSON object"),
        ("null", "bad_request", ""),
        ("7", "bad_request", "not a JSON object"),
        ("\"text\"", "bad_request", "not a JSON object"),
        ("{", "bad_request", "not valid JSON"),
        ("{\"type\":\"ping\"", "bad_request", "not valid JSON"),
        ("{'type':'ping'}", "bad_request", "not valid JSON"),
        ("{\"type\":\"ping\"}{\"type\":\"ping\"}", "bad_request", "not valid JSON"),
        ("{\"type\":\"ping\",\"type\":\"pong\"}", "bad_request", "type"),
        ("{}", "bad_request", "`type` is missing"),
        (r#"{"type":null}"#, "bad_request", "`type` is missing"),
        (r#"{"type":7}"#, "bad_request", "`type` should be"),
        (r#"{"type":""}"#, "unknown_type", "commands are"),
        (r#"{"type":"subscrbe"}"#, "unknown_type", "did you mean \"subscribe\"?"),
        (r#"{"type":"Publish"}"#, "unknown_type", "did you mean \"publish\"?"),
        (r#"{"type":"refresh","token":"x"}"#, "unauthorized", "three parts"),
        (r#"{"type":"refresh"}"#, "bad_request", "`token` is missing"),
    ]
}

/// Channels and places that are none.
fn wrong_fields() -> Vec<Fixed> {
    vec![
        (r#"{"type":"subscribe"}"#, "bad_request", "`channel` is missing"),
        (r#"{"type":"subscribe","channel":7}"#, "bad_request", "`channel` should be"),
        (r#"{"type":"subscribe","channel":["chat:a"]}"#, "bad_request", "`channel` should be"),
        (r#"{"type":"subscribe","channel":""}"#, "bad_request", "at least one character"),
        (r#"{"type":"subscribe","channel":"chat:a b"}"#, "bad_request", "not ' '"),
        (r#"{"type":"subscribe","channel":"chat:é"}"#, "bad_request", "not 'é'"),
        (r#"{"type":"subscribe","channel":"chat/a"}"#, "bad_request", "not '/'"),
        (r#"{"type":"subscribe","channel":"chat:\u0000"}"#, "bad_request", "not '\\0'"),
        (r#"{"type":"subscribe","channel":"nowhere:a"}"#, "unknown_namespace", "no namespace \"nowhere\""),
        (r#"{"type":"subscribe","channel":"lobby"}"#, "unknown_namespace", "no namespace \"default\""),
        (r#"{"type":"publish","channel":":a","data":1}"#, "unknown_namespace", "no namespace \"\""),
        (r#"{"type":"history","channel":"nowhere:a"}"#, "unknown_namespace", "no namespace"),
        (r#"{"type":"subscribe","channel":"chat:a","last":-1}"#, "bad_request", "`last` should be"),
        (r#"{"type":"subscribe","channel":"chat:a","last":1.5}"#, "bad_request", "`last` should be"),
        (r#"{"type":"subscribe","channel":"chat:a","last":"20"}"#, "bad_request", "`last` should be"),
        (r#"{"type":"subscribe","channel":"chat:a","last":1001}"#, "bad_request", "`last` is 1001"),
        (r#"{"type":"subscribe","channel":"chat:a","last":4294967296}"#, "bad_request", "`last` should be"),
        (r#"{"type":"subscribe","channel":"chat:a","since":7}"#, "bad_request", "`since` should be"),
        (r#"{"type":"subscribe","channel":"chat:a","since":{}}"#, "bad_request", "`since` should be"),
        (
            r#"{"type":"subscribe","channel":"chat:a","since":{"epoch":"A","offset":1}}"#,
            "bad_request",
            "`since`",
        ),
        (
            r#"{"type":"subscribe","channel":"chat:a","since":{"epoch":"a","offset":-1}}"#,
            "bad_request",
            "`since`",
        ),
        (r#"{"type":"subscribe","channel":"chat:a","catchUp":true}"#, "bad_request", "`since` is missing"),
        (r#"{"type":"subscribe","channel":"chat:a","presence":1}"#, "bad_request", "`presence`"),
    ]
}

/// Publications and questions that are none, and ids.
fn wrong_questions() -> Vec<Fixed> {
    vec![
        (r#"{"type":"publish","channel":"chat:a"}"#, "bad_request", "just one of `data`"),
        (r#"{"type":"publish","channel":"chat:a","data":1,"text":"x"}"#, "bad_request", "just one of `data`"),
        (r#"{"type":"publish","channel":"chat:a","text":7}"#, "bad_request", "`text` should be"),
        (r#"{"type":"publish","channel":"chat:a","binary":"%%%"}"#, "bad_request", "`binary`"),
        (r#"{"type":"publish","channel":"chat:a","binary":"AAA"}"#, "bad_request", "`binary`"),
        (r#"{"type":"publish","channel":"chat:a","data":1,"key":""}"#, "bad_request", "1 to 64 bytes"),
        (r#"{"type":"publish","channel":"chat:a","data":1,"key":7}"#, "bad_request", "`key` should be"),
        (
            r#"{"type":"publish","channel":"chat:a","data":1,"key":"ir4o1o00-x"}"#,
            "key_expired",
            "longer than keys",
        ),
        (
            r#"{"type":"publish","channel":"chat:a","data":1,"if":{"offset":9}}"#,
            "conflict",
            "newest offset is 0",
        ),
        (r#"{"type":"publish","channel":"chat:a","data":1,"if":7}"#, "bad_request", "`if` should be"),
        (r#"{"type":"publish","channel":"chat:a","data":1,"ephemeral":7}"#, "bad_request", "`ephemeral`"),
        (
            r#"{"type":"publish","channel":"chat:a","data":1,"ref":1,"op":"edit"}"#,
            "not_found",
            "no message 1",
        ),
        (
            r#"{"type":"publish","channel":"chat:a","data":1,"entry":"x"}"#,
            "bad_request",
            "`entry` has no place",
        ),
        (r#"{"type":"publish","channel":"map:a","data":1}"#, "bad_request", "`entry` is missing"),
        (r#"{"type":"history","channel":"map:a"}"#, "bad_request", "keeps only the newest"),
        (
            r#"{"type":"history","channel":"chat:a","before":9,"after":1}"#,
            "bad_request",
            "exclude each other",
        ),
        (r#"{"type":"history","channel":"chat:a","limit":0}"#, "bad_request", "`limit` is 0"),
        (r#"{"type":"history","channel":"chat:a","limit":1001}"#, "bad_request", "`limit` is 1001"),
        (r#"{"type":"history","channel":"chat:a","before":-3}"#, "bad_request", "`before` should be"),
        (r#"{"type":"history","channel":"chat:a","at":"a:1"}"#, "bad_request", "`at` should be"),
        (
            r#"{"type":"history","channel":"chat:a","at":{"epoch":"a","offset":9}}"#,
            "rewound",
            "no longer holds",
        ),
        (r#"{"type":"connect"}"#, "bad_request", "open already"),
        (r#"{"type":"ping","id":1.5}"#, "bad_request", "`id` should be"),
        (r#"{"type":"ping","id":{}}"#, "bad_request", "`id` should be"),
        (r#"{"type":"ping","id":9223372036854775808}"#, "bad_request", "`id` should be"),
    ]
}

fn publish_with_key(key: &str) -> String {
    json!({ "type": "publish", "channel": "chat:a", "data": 1, "key": key }).to_string()
}

#[tokio::test]
async fn what_is_no_command_is_named_and_the_line_stays() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut client = Client::open(&server).await;
    assert_eq!(client.ask(json!({ "type": "connect" })).await["type"], "welcome");
    for (text, code, part) in bad_commands() {
        client.say(&text).await;
        let answer = client.next().await;
        let short: String = text.chars().take(120).collect();
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(code)), "{short}: {answer}");
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(message.contains(part), "{short}: {message:?} should contain {part:?}");
        assert!(message.len() < 600 && !message.is_empty(), "{short}: {} bytes of message", message.len());
    }
    let page = client.ask(json!({ "type": "history", "channel": "chat:a" })).await;
    assert_eq!(page["top"], 0, "nothing of it was stored: {page}");
    client.close().await;
    check_alive(&server).await;
}

/// The same as the first words of a session, each on a line of its own.
#[tokio::test]
async fn what_is_no_command_may_come_first() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    for (text, code, _) in bad_commands().into_iter().filter(|(text, ..)| text != r#"{"type":"connect"}"#) {
        let mut client = Client::open(&server).await;
        client.say(&text).await;
        assert_eq!(client.next().await["code"], code, "{}", text.chars().take(120).collect::<String>());
        assert_eq!(client.ask(json!({ "type": "ping" })).await["type"], "pong");
        client.close().await;
    }
}

#[tokio::test]
async fn an_error_carries_the_commands_id_and_channel() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut client = Client::open(&server).await;
    let mut check = async |mut command: Value, channel: Value| {
        for id in [json!(7), json!(-7), json!("seven"), json!("")] {
            command["id"] = id.clone();
            client.send(&command).await;
            let answer = client.next().await;
            assert_eq!((&answer["type"], &answer["id"]), (&json!("error"), &id), "{command}: {answer}");
            assert_eq!(answer["channel"], channel, "{command}: {answer}");
        }
    };
    check(json!({ "type": "nonsense" }), json!(null)).await;
    check(json!({ "type": "subscribe", "channel": "nowhere:a" }), json!("nowhere:a")).await;
    check(json!({ "type": "publish", "channel": "nowhere:a", "data": 1 }), json!("nowhere:a")).await;
    check(json!({ "type": "history", "channel": "chat:a", "limit": 0 }), json!("chat:a")).await;
    check(json!({ "type": "publish", "channel": "chat:a" }), json!(null)).await;
    client.close().await;
}

/// `connect` with a bad list, and with a good one in which some channels are bad.
#[tokio::test]
async fn a_bad_connect_is_an_error_and_bad_channels_fail_alone() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut client = Client::open(&server).await;
    for (subscribe, code) in [
        (json!({ "chat:a b": {} }), "bad_request"),
        (json!(["chat:a"]), "bad_request"),
        (json!({ "chat:a": { "last": "x" } }), "bad_request"),
    ] {
        let answer = client.ask(json!({ "type": "connect", "subscribe": subscribe })).await;
        assert_eq!(answer["code"], code, "{subscribe}: {answer}");
    }
    let subscribe =
        json!({ "chat:a": {}, "nowhere:x": {}, "chat:b": { "last": 5000 }, "chat:c": { "last": 1 } });
    let welcome = client.ask(json!({ "type": "connect", "subscribe": subscribe })).await;
    assert_eq!(welcome["type"], "welcome", "{welcome}");
    let mut said = Vec::new();
    for _ in 0..4 {
        let answer = client.next().await;
        said.push(json!([answer["channel"], answer["type"], answer["code"]]));
    }
    let expected = [
        json!(["chat:a", "subscribed", null]),
        json!(["chat:b", "error", "bad_request"]),
        json!(["chat:c", "subscribed", null]),
        json!(["nowhere:x", "error", "unknown_namespace"]),
    ];
    assert_eq!(said, expected, "in the order given, which is that of the names here");
    client.close().await;
}

#[tokio::test]
async fn subscriptions_are_counted() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut client = Client::open(&server).await;
    for at in 0..128 {
        let answer = client.ask(json!({ "type": "subscribe", "channel": format!("chat:{at}") })).await;
        assert_eq!(answer["type"], "subscribed", "{answer}");
    }
    let more = json!({ "type": "subscribe", "channel": "chat:more" });
    let refused = client.ask(more.clone()).await;
    assert_eq!(refused["code"], "limit_exceeded", "{refused}");
    let again = client.ask(json!({ "type": "subscribe", "channel": "chat:7" })).await;
    assert_eq!(again["type"], "subscribed", "one that is there already is replaced: {again}");
    client.ask(json!({ "type": "unsubscribe", "channel": "chat:7" })).await;
    assert_eq!(client.ask(more).await["type"], "subscribed");
    let nothing = client.ask(json!({ "type": "unsubscribe", "channel": "chat:never" })).await;
    assert_eq!(nothing["type"], "unsubscribed", "{nothing}");
    client.close().await;
}
