//! What a person can do by hand: type JSON into a bare socket, come back after a restart, page through the past
//! over WebSocket and HTTP, and talk with those in `/room`.

use serde_json::{Value, json};

use crate::client::Client;
use crate::http::{ask, get, post};
use crate::raw::{BINARY, Raw, TEXT};
use crate::server::{Folder, Server};

/// Publishes `count` messages and waits for their answers.
async fn fill(client: &mut Client, channel: &str, count: u64) -> Value {
    for id in 1..=count {
        let data = json!({ "n": id });
        client.send(&json!({ "type": "publish", "id": id, "channel": channel, "data": data })).await;
    }
    let mut last = Value::Null;
    for id in 1..=count {
        last = client.answer(id).await;
        assert_eq!((&last["type"], &last["offset"]), (&json!("published"), &json!(id)), "{last}");
    }
    last
}

/// The example of the protocol's specification: no subprotocol, no `connect`, no ids.
#[tokio::test]
async fn the_typed_example_gives_the_written_replies() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut client = Client::open(&server).await;
    let last = fill(&mut client, "chat:lobby", 42).await;
    let epoch = last["epoch"].as_str().expect("a log has epochs");

    let mut typed = Raw::upgraded(&server, "/ws").await;
    typed.send(TEXT, br#"{"type":"subscribe","channel":"chat:lobby","last":20}"#).await;
    let subscribed = typed.text().await;
    let start = format!(
        r#"{{"type":"subscribed","channel":"chat:lobby","kind":"log","epoch":"{epoch}","offset":42,"floor":1,"items":[{{"offset":23,"data":{{"n":23}},"from":"guest-"#
    );
    assert!(subscribed.starts_with(&start), "{subscribed}");
    assert!(subscribed.contains(r#","more":true,"can":["#), "{subscribed}");
    let parsed: Value = serde_json::from_str(&subscribed).expect("JSON");
    assert_eq!(parsed["items"].as_array().map(Vec::len), Some(20), "{parsed}");
    assert!(parsed.get("id").is_none() && parsed.get("recovered").is_none(), "{parsed}");
    assert!(parsed["can"].as_array().is_some_and(|can| can.contains(&json!("publish"))), "{parsed}");

    typed
        .send(TEXT, br#"{"type":"publish","channel":"chat:lobby","data":{"type":"chat","text":"Hi"}}"#)
        .await;
    let message = typed.text().await;
    let start = r#"{"type":"message","channel":"chat:lobby","offset":43,"data":{"type":"chat","text":"Hi"},"from":"guest-"#;
    assert!(message.starts_with(start), "no `published` without an id, and: {message}");
    let parsed: Value = serde_json::from_str(&message).expect("JSON");
    assert!(parsed["ts"].as_u64().is_some_and(|ts| ts > 1_700_000_000_000), "{parsed}");
    let fields: Vec<_> = parsed.as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["channel", "data", "from", "offset", "ts", "type"]);

    typed.send(TEXT, br#"{"type":"ping"}"#).await;
    assert!(typed.text().await.starts_with(r#"{"type":"pong","ts":"#), "and no `welcome` at any time");
    client.close().await;
}

#[tokio::test]
async fn a_session_keeps_its_name_and_its_keys_across_a_restart() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut client = Client::open(&server).await;
    let first = client.ask(json!({ "type": "connect" })).await;
    assert_eq!(first["type"], "welcome");
    assert!(first["user"].as_str().is_some_and(|user| user.starts_with("guest-")), "{first}");
    let publish = json!({ "type": "publish", "channel": "chat:a", "data": "once", "key": "k1" });
    let stored = client.ask(publish.clone()).await;
    assert_eq!((&stored["type"], &stored["offset"]), (&json!("published"), &json!(1)), "{stored}");
    assert!(stored.get("dup").is_none(), "{stored}");
    server.kill();

    let server = Server::start(&folder);
    let mut client = Client::open(&server).await;
    let again = client.ask(json!({ "type": "connect", "session": first["session"] })).await;
    for field in ["session", "user", "client"] {
        assert_eq!(again[field], first[field], "{field}");
    }
    let mut changed = publish.clone();
    changed["data"] = "another payload, which is not looked at".into();
    let repeated = client.ask(changed).await;
    assert_eq!(repeated["dup"], true, "{repeated}");
    for field in ["type", "channel", "offset", "epoch", "ts", "key"] {
        assert_eq!(repeated[field], stored[field], "{field}");
    }
    let page = client.ask(json!({ "type": "history", "channel": "chat:a" })).await;
    assert_eq!((&page["top"], &page["items"][0]["data"]), (&json!(1), &json!("once")), "{page}");

    // Keys count per session, and another's secret cannot be made up.
    for presented in [json!(null), json!("forged.secret"), json!(format!("{}x", first["session"]))] {
        let mut stranger = Client::open(&server).await;
        let welcome = stranger.ask(json!({ "type": "connect", "session": presented })).await;
        assert_ne!(welcome["user"], first["user"], "{presented}");
        let theirs = stranger.ask(publish.clone()).await;
        assert!(theirs.get("dup").is_none(), "{theirs}");
    }
}

#[tokio::test]
async fn a_name_of_ones_own_is_never_the_author() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut client = Client::open(&server).await;
    let welcome = client.ask(json!({ "type": "connect", "name": "admin" })).await;
    client.ask(json!({ "type": "subscribe", "channel": "chat:a" })).await;
    for fields in [json!({}), json!({ "from": "admin" }), json!({ "name": "admin", "user": "admin" })] {
        let mut command = json!({ "type": "publish", "channel": "chat:a", "data": 1 });
        command.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        client.send(&command).await;
        let heard = client.next().await;
        assert_eq!((&heard["type"], &heard["from"]), (&json!("message"), &welcome["user"]), "{heard}");
    }
    let body = json!({ "data": 1, "from": "admin", "name": "admin" });
    assert_eq!(post(&server, "chat:a", &body).await.status, 200);
    let heard = client.next().await;
    assert_eq!((&heard["offset"], heard.get("from")), (&json!(4), None), "{heard}");
    client.close().await;
}

#[tokio::test]
async fn an_epoch_ends_with_the_process_and_positions_do_not() {
    let folder = Folder::new();
    let mut epochs = Vec::new();
    for life in 0..3u64 {
        let server = Server::start(&folder);
        let mut client = Client::open(&server).await;
        let since = json!({ "epoch": epochs.last().unwrap_or(&json!("0")), "offset": life });
        let subscribed =
            client.ask(json!({ "type": "subscribe", "channel": "chat:a", "since": since })).await;
        let expected = (&json!(true), &json!(0), &json!(life));
        assert_eq!((&subscribed["recovered"], &subscribed["replay"], &subscribed["offset"]), expected);
        let published = client.publish("chat:a", &json!(life)).await;
        assert_eq!(published["offset"], life + 1, "offsets go on");
        assert!(!epochs.contains(&published["epoch"]), "a new epoch with each life");
        let heard = client.next().await;
        assert_eq!(heard["epoch"], published["epoch"], "the first entry of an epoch says so");
        epochs.push(published["epoch"].clone());
    }
    let server = Server::start(&folder);
    let check = async |epoch: &Value, offset: u64, expect: Value| {
        let mut client = Client::open(&server).await;
        let since = json!({ "epoch": epoch, "offset": offset });
        let subscribed =
            client.ask(json!({ "type": "subscribe", "channel": "chat:a", "since": since })).await;
        let said = json!([subscribed["recovered"], subscribed["replay"], subscribed["reason"]]);
        assert_eq!(said, expect, "({epoch}, {offset}): {subscribed}");
        for offset in offset + 1..=offset + said[1].as_u64().unwrap_or(0) {
            let heard = client.next().await;
            assert_eq!((&heard["offset"], &heard["epoch"]), (&json!(offset), &epochs[offset as usize - 1]));
        }
    };
    check(&json!("zz"), 0, json!([true, 3, null])).await;
    check(&epochs[0], 1, json!([true, 2, null])).await;
    check(&epochs[1], 2, json!([true, 1, null])).await;
    check(&epochs[2], 3, json!([true, 0, null])).await;
    check(&epochs[0], 2, json!([false, null, "rewound"])).await;
    check(&epochs[2], 2, json!([false, null, "rewound"])).await;
    check(&epochs[2], 4, json!([false, null, "rewound"])).await;
    check(&json!("zz"), 3, json!([false, null, "rewound"])).await;
}

#[tokio::test]
async fn history_is_the_same_over_websocket_and_http() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut client = Client::open(&server).await;
    let last = fill(&mut client, "chat:h", 120).await;
    let at = format!("{}:{}", last["epoch"].as_str().expect("a log has epochs"), 120);
    let position = json!({ "epoch": last["epoch"], "offset": 120 });
    let mut check = async |query: &str, mut command: Value, expect: Value| {
        command["type"] = "history".into();
        command["channel"] = "chat:h".into();
        let mut over_ws = client.ask(command).await;
        let fields = over_ws.as_object_mut().expect("an object");
        for field in ["type", "id", "channel"] {
            assert!(fields.remove(field).is_some(), "{field}");
        }
        let target = format!("/api/v1/channels/chat:h/messages{query}");
        let over_http = get(&server, &target).await;
        assert_eq!(over_http.status, 200, "{over_http:?}");
        assert_eq!(over_http.header("content-type"), Some("application/json"));
        assert_eq!(over_http.header("cache-control"), Some("private, no-cache"));
        assert_eq!(over_http.json(), over_ws, "{query}");
        let items = over_ws["items"].as_array().expect("a page has items");
        let offsets: Vec<_> = items.iter().map(|item| item["offset"].as_u64().expect("an offset")).collect();
        let dense: Vec<_> =
            (over_ws["lo"].as_u64().expect("lo")..=over_ws["hi"].as_u64().expect("hi")).collect();
        assert_eq!(offsets, dense, "{query}");
        assert_eq!(json!([over_ws["lo"], over_ws["hi"], over_ws["more"]]), expect, "{query}");
        let tag = over_http.header("etag").expect("a page has a tag").to_owned();
        let known = ask(&server, "GET", &target, &[("If-None-Match", &tag)], "").await;
        assert_eq!((known.status, known.header("etag"), &*known.body), (304, Some(&*tag), ""), "{query}");
        tag
    };
    let newest = check("", json!({}), json!([71, 120, true])).await;
    check("?limit=120", json!({ "limit": 120 }), json!([1, 120, false])).await;
    check("?before=71&limit=10", json!({ "before": 71, "limit": 10 }), json!([61, 70, true])).await;
    check("?before=1", json!({ "before": 1 }), json!([1, 0, false])).await;
    check("?after=0&limit=3", json!({ "after": 0, "limit": 3 }), json!([1, 3, true])).await;
    check("?after=118", json!({ "after": 118 }), json!([119, 120, false])).await;
    check("?after=120", json!({ "after": 120 }), json!([121, 120, false])).await;
    check(&format!("?at={at}"), json!({ "at": position }), json!([71, 120, true])).await;

    let published = client.publish("chat:h", &json!("one more")).await;
    assert_eq!(published["offset"], 121);
    let target = "/api/v1/channels/chat:h/messages";
    let newer = ask(&server, "GET", target, &[("If-None-Match", &newest)], "").await;
    assert_eq!((newer.status, &newer.json()["hi"]), (200, &json!(121)), "the old tag no longer fits");
    let several = format!("\"x\", {}", newer.header("etag").expect("a page has a tag"));
    assert_eq!(ask(&server, "GET", target, &[("If-None-Match", &several)], "").await.status, 304);
    client.close().await;
}

#[tokio::test]
async fn a_post_reaches_subscribers_and_is_stored_once_per_key() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut client = Client::open(&server).await;
    client.ask(json!({ "type": "subscribe", "channel": "chat:p" })).await;
    let body = json!({ "data": { "from": "a backend" }, "key": "invoice-7" });
    let first = post(&server, "chat:p", &body).await;
    assert_eq!((first.status, first.header("content-type")), (200, Some("application/json")), "{first:?}");
    let again = post(&server, "chat:p", &body).await.json();
    let first = first.json();
    assert_eq!((&first["offset"], &first["key"]), (&json!(1), &json!("invoice-7")), "{first}");
    assert!(first.get("dup").is_none() && first.get("id").is_none(), "{first}");
    assert_eq!((&again["offset"], &again["dup"]), (&json!(1), &json!(true)), "{again}");
    let heard = client.next().await;
    assert_eq!((&heard["data"], &heard["key"]), (&body["data"], &body["key"]), "{heard}");
    assert!(heard.get("from").is_none(), "the server's own key has no name: {heard}");
    post(&server, "chat:p", &json!({ "text": "zwei" })).await;
    post(&server, "chat:p", &json!({ "binary": "AAEC" })).await;
    let (second, third) = (client.next().await, client.next().await);
    assert_eq!((&second["offset"], &second["text"]), (&json!(2), &json!("zwei")), "{second}");
    assert_eq!((&third["offset"], &third["binary"]), (&json!(3), &json!("AAEC")), "{third}");
    client.close().await;
}

#[tokio::test]
async fn payloads_come_back_as_they_were_sent() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut typed = Raw::upgraded(&server, "/ws").await;
    typed.send(TEXT, br#"{"type":"subscribe","channel":"chat:p"}"#).await;
    typed.text().await;
    let mut check = async |sent: &str, expect: &str| {
        let command = format!(r#"{{"type":"publish","channel":"chat:p",{sent}}}"#);
        typed.send(TEXT, command.as_bytes()).await;
        let message = typed.text().await;
        assert!(message.contains(&format!(",{expect},\"from\":")), "{sent}: {message}");
    };
    check(r#""data":1e400"#, r#""data":1e400"#).await;
    check(r#""data":12345678901234567890.10"#, r#""data":12345678901234567890.10"#).await;
    check("\"data\":{ \"a\" :\r\n1 }", "\"data\":{ \"a\" :  1 }").await;
    check(r#""data":"\ud83d\ude00 \u0000 é""#, r#""data":"\ud83d\ude00 \u0000 é""#).await;
    check(r#""data":{"a":1,"a":2}"#, r#""data":{"a":1,"a":2}"#).await;
    check("\"text\":\"line\\nline \\u00e9 \\\"\"", "\"text\":\"line\\nline é \\\"\"").await;
    check(r#""text":"""#, r#""text":"""#).await;
    check(r#""binary":"/+8=""#, r#""binary":"/+8=""#).await;
    check(r#""binary":"""#, r#""binary":"""#).await;
    let page = get(&server, "/api/v1/channels/chat:p/messages?after=0").await;
    for kept in
        [r#""data":1e400"#, r#""data":{"a":1,"a":2}"#, r#""text":"line\nline é \"""#, r#""binary":"/+8=""#]
    {
        assert!(page.body.contains(kept), "{kept}: {}", page.body);
    }
}

/// `null` is JSON as well, and not the same as no `data`.
#[tokio::test]
async fn null_can_be_published() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut client = Client::open(&server).await;
    client.ask(json!({ "type": "subscribe", "channel": "chat:p" })).await;
    let published = client.publish("chat:p", &Value::Null).await;
    assert_eq!(published["type"], "published", "{published}");
    let heard = client.next().await;
    assert_eq!(heard.get("data"), Some(&Value::Null), "{heard}");
    assert_eq!(post(&server, "chat:p", &json!({ "data": null })).await.status, 200);
    client.close().await;
}

#[tokio::test]
async fn rooms_and_channels_are_the_same_thing() {
    let folder = Folder::new();
    let server = Server::with_workers(&folder, 2);
    let (mut one, mut two) =
        (Raw::upgraded(&server, "/room/x").await, Raw::upgraded(&server, "/room/x").await);
    let mut client = Client::open(&server).await;
    let subscribed = client.ask(json!({ "type": "subscribe", "channel": "room:x" })).await;
    assert_eq!((&subscribed["kind"], subscribed.get("offset")), (&json!("signal"), None), "{subscribed}");
    // What is said last and heard by all shows that all have joined.
    one.send(TEXT, b"one").await;
    assert_eq!(one.text().await, "one");
    two.send(TEXT, b"two").await;
    while two.text().await != "two" {}
    assert_eq!(one.text().await, "two");
    assert_eq!((&client.next().await["text"], &client.next().await["text"]), (&json!("one"), &json!("two")));

    one.send(TEXT, "{\"not\":\"parsed\" Grüße".as_bytes()).await;
    assert_eq!(two.text().await, "{\"not\":\"parsed\" Grüße");
    assert_eq!(one.text().await, "{\"not\":\"parsed\" Grüße");
    let heard = client.next().await;
    assert_eq!(heard["text"], "{\"not\":\"parsed\" Grüße", "{heard}");
    assert!(heard.get("offset").is_none() && heard["from"].is_string(), "{heard}");

    two.send(BINARY, &[0, 255, 7]).await;
    assert_eq!(one.frame().await, Some((BINARY, vec![0, 255, 7])));
    assert_eq!(client.next().await["binary"], "AP8H");

    let published =
        client.ask(json!({ "type": "publish", "channel": "room:x", "data": { "a": [1, 2] } })).await;
    assert_eq!(published["type"], "published", "{published}");
    assert!(published.get("offset").is_none() && published.get("epoch").is_none(), "{published}");
    assert_eq!(one.text().await, r#"{"a":[1,2]}"#, "JSON goes out as its text");
    let posted = post(&server, "room:x", &json!({ "binary": "AP8H" })).await;
    assert_eq!((posted.status, posted.json().get("offset")), (200, None), "{posted:?}");
    assert_eq!(one.frame().await, Some((BINARY, vec![0, 255, 7])));
    let page = client.ask(json!({ "type": "history", "channel": "room:x" })).await;
    assert!(page["type"] == "error" || page["items"] == json!([]), "nothing is kept: {page}");
}

#[tokio::test]
async fn an_echo_gives_back_what_it_gets() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut echo = Raw::upgraded(&server, "/echo").await;
    let large = vec![b'x'; 300_000];
    for (first, payload) in [(TEXT, "Grüße".as_bytes()), (BINARY, &[0, 1, 2]), (TEXT, b""), (BINARY, &large)]
    {
        echo.send(first, payload).await;
        let (back, content) = echo.frame().await.expect("an echo");
        assert!(back == first && content == payload, "{} bytes came back", content.len());
    }
}
