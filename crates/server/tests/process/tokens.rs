//! Who is let in by a real server, and what they may do there: tokens in every way they come, keys of the HTTP API, and
//! that none of them is ever in the log.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::client::Client;
use crate::http::ask;
use crate::raw::{Raw, TEXT};
use crate::server::{Folder, Server};

const SECRET: &str = "a secret of the tests, 32 bytes or more";
const API_KEY: &str = "a-key-of-the-tests-made-by-hand";
const WRITER_KEY: &str = "another-key-that-may-only-write";

const CONFIG: &str = r#"
[auth]
anonymous = false
issuer = "tests"
cookie = "line"
[[auth.keys]]
algorithm = "HS256"
secret = "a secret of the tests, 32 bytes or more"
[[auth.api_keys]]
name = "all"
key = "a-key-of-the-tests-made-by-hand"
allow = [{ channels = "*", can = ["subscribe", "publish", "history", "presence", "moderate"] }]
[[auth.api_keys]]
name = "writer"
key = "another-key-that-may-only-write"
allow = [{ channels = "chat:*", can = ["publish"] }]
[namespace.chat]
kind = "log"
subscribe = "user"
publish = "token"
[namespace.user]
kind = "log"
subscribe = "owner"
publish = "server"
[namespace.room]
kind = "signal"
subscribe = "user"
publish = "subscribers"
"#;

pub(crate) fn now() -> u64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_1970.expect("the clock is set").as_secs()
}

/// A token with these claims, made without the server's own crates.
pub(crate) fn token(secret: &str, claims: &Value) -> String {
    let head = BASE64.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let signed = format!("{head}.{}", BASE64.encode(claims.to_string()));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(signed.as_bytes());
    format!("{signed}.{}", BASE64.encode(mac.finalize().into_bytes()))
}

fn of_user(name: &str) -> String {
    let allow = json!([{ "channels": "chat:*", "can": ["publish", "history"] }]);
    token(SECRET, &json!({ "sub": name, "iss": "tests", "exp": now() + 600, "allow": allow }))
}

async fn connect(server: &Server, token: &str) -> (Client, Value) {
    let mut client = Client::open(server).await;
    let answer = client.ask(json!({ "type": "connect", "token": token })).await;
    (client, answer)
}

/// A handshake with these headers, then `connect`; the first thing that is said.
async fn shaken(server: &Server, target: &str, headers: &[(&str, &str)]) -> Value {
    let mut request = format!(
        "GET {target} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        server.address()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut raw = Raw::connect(server).await;
    raw.write(format!("{request}\r\n").as_bytes()).await;
    let response = raw.response().await.expect("an answer");
    assert_eq!(response.status, 101, "{response:?}");
    let protocol = response.header("sec-websocket-protocol");
    assert!(protocol.is_none_or(|protocol| protocol == "trunkline.v1"), "{protocol:?}");
    raw.send(TEXT, br#"{"type":"connect","id":1}"#).await;
    serde_json::from_str(&raw.text().await).expect("JSON")
}

#[tokio::test]
async fn a_user_comes_in_by_a_token_and_nobody_without() {
    let folder = Folder::with_config(CONFIG);
    let server = Server::start(&folder);
    let (mut ann, welcome) = connect(&server, &of_user("ann")).await;
    assert_eq!((&welcome["type"], &welcome["user"]), (&json!("welcome"), &json!("ann")), "{welcome}");
    let expires = welcome["expires"].as_u64().expect("a time");
    assert!(expires > (now() + 500) * 1_000, "{welcome}");
    let subscribed = ann.ask(json!({ "type": "subscribe", "channel": "chat:a" })).await;
    assert_eq!(subscribed["can"], json!(["publish", "history"]), "{subscribed}");
    let published = ann.publish("chat:a", &json!("hi")).await;
    assert_eq!(published["offset"], 1, "{published}");
    let message = ann.next().await;
    assert_eq!(message["from"], "ann", "{message}");

    let mut nobody = Client::open(&server).await;
    let refused = nobody.ask(json!({ "type": "ping" })).await;
    assert_eq!(refused["code"], "unauthorized", "{refused}");
    assert!(
        refused["message"].as_str().is_some_and(|message| message.contains("anonymous = true")),
        "{refused}"
    );
    assert_eq!(nobody.closed().await, 4401);
}

#[tokio::test]
async fn bad_tokens_are_refused_with_the_reason_and_the_code() {
    let folder = Folder::with_config(CONFIG);
    let server = Server::start(&folder);
    let claims = |changes: &Value| {
        let mut claims = json!({ "sub": "ann", "iss": "tests", "exp": now() + 600 });
        for (name, value) in changes.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        claims
    };
    let signed = |changes: Value| token(SECRET, &claims(&changes));
    let none =
        format!("{}.{}.", BASE64.encode(r#"{"alg":"none"}"#), BASE64.encode(claims(&json!({})).to_string()));
    for (what, token, code, close) in [
        ("forged", token("some other secret of thirty-two bytes", &claims(&json!({}))), "unauthorized", 4401),
        ("expired", signed(json!({ "exp": now() - 60 })), "token_expired", 4501),
        ("unsigned", none, "unauthorized", 4401),
        ("too early", signed(json!({ "nbf": now() + 600 })), "unauthorized", 4401),
        ("of another issuer", signed(json!({ "iss": "others" })), "unauthorized", 4401),
        ("for another audience", signed(json!({ "aud": "others" })), "unauthorized", 4401),
        ("oversized", signed(json!({ "x": "x".repeat(9_000) })), "unauthorized", 4401),
        ("no token", "hello".to_owned(), "unauthorized", 4401),
        ("empty", String::new(), "unauthorized", 4401),
    ] {
        let (mut client, answer) = connect(&server, &token).await;
        assert_eq!(answer["code"], code, "{what}: {answer}");
        assert_eq!(client.closed().await, close, "{what}");
    }
}

#[tokio::test]
async fn a_token_comes_in_every_way_of_the_handshake() {
    let folder = Folder::with_config(CONFIG);
    let server = Server::start(&folder);
    let token = of_user("ann");
    let origin = format!("http://{}", server.address());
    let bearer = format!("Bearer {token}");
    let protocols = format!("trunkline.v1, jwt.{token}");
    let cookie = format!("other=1; line={token}");
    let query = format!("/ws?token={token}");
    for (target, headers) in [
        ("/ws", vec![("Authorization", &*bearer)]),
        ("/ws", vec![("Sec-WebSocket-Protocol", &*protocols)]),
        (&*query, vec![]),
        ("/ws", vec![("Cookie", &*cookie), ("Origin", &*origin)]),
    ] {
        let answer = shaken(&server, target, &headers).await;
        assert_eq!(answer["user"], "ann", "{answer}");
    }
    // A cookie that comes without a word of where from.
    let answer = shaken(&server, "/ws", &[("Cookie", &cookie)]).await;
    assert_eq!(answer["code"], "unauthorized", "{answer}");
    // A page of another origin does not come so far.
    let foreign = [("Cookie", &*cookie), ("Origin", "http://evil.example")];
    let upgrade = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")];
    let key = [("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")];
    let headers: Vec<_> = foreign.into_iter().chain(upgrade).chain(key).collect();
    assert_eq!(ask(&server, "GET", "/ws", &headers, "").await.status, 403);
    // `connect` says it last, so it counts.
    let mut raw = Raw::connect(&server).await;
    let mut request =
        format!("GET /ws HTTP/1.1\r\nHost: {}\r\nAuthorization: {bearer}\r\n", server.address());
    for (name, value) in upgrade.into_iter().chain(key) {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    raw.write(format!("{request}\r\n").as_bytes()).await;
    raw.response().await.expect("an answer");
    let connect = json!({ "type": "connect", "id": 1, "token": of_user("bob") });
    raw.send(TEXT, connect.to_string().as_bytes()).await;
    let answer: Value = serde_json::from_str(&raw.text().await).expect("JSON");
    assert_eq!(answer["user"], "bob", "{answer}");
}

#[tokio::test]
async fn a_personal_channel_is_its_users_own() {
    let folder = Folder::with_config(CONFIG);
    let server = Server::start(&folder);
    let (mut ann, _) = connect(&server, &of_user("ann")).await;
    let mine = ann.ask(json!({ "type": "subscribe", "channel": "user:ann" })).await;
    assert_eq!(mine["type"], "subscribed", "{mine}");
    let theirs = ann.ask(json!({ "type": "subscribe", "channel": "user:bob" })).await;
    assert_eq!(theirs["code"], "forbidden", "{theirs}");
    let said = ann.publish("user:ann", &json!("x")).await;
    assert_eq!(said["code"], "forbidden", "{said}");
    let target = "/api/v1/channels/user:ann/messages";
    let bearer = format!("Bearer {API_KEY}");
    let headers = [("Authorization", &*bearer), ("Content-Type", "application/json")];
    let posted = ask(&server, "POST", target, &headers, r#"{"data":"for ann"}"#).await;
    assert_eq!(posted.status, 200, "{posted:?}");
    assert_eq!(ann.next().await["data"], "for ann");
}

#[tokio::test]
async fn the_api_asks_for_a_key_or_a_token() {
    let folder = Folder::with_config(CONFIG);
    let server = Server::start(&folder);
    let target = "/api/v1/channels/chat:a/messages";
    let try_both = async |authorization: Option<&str>| {
        let json = ("Content-Type", "application/json");
        let headers: Vec<_> =
            authorization.map(|value| ("Authorization", value)).into_iter().chain([json]).collect();
        let posted = ask(&server, "POST", target, &headers, r#"{"data":1}"#).await.status;
        (posted, ask(&server, "GET", target, &headers, "").await.status)
    };
    let bearer = |key: &str| format!("Bearer {key}");
    assert_eq!(try_both(None).await, (401, 401));
    assert_eq!(try_both(Some(&bearer("no-such-key"))).await, (401, 401));
    assert_eq!(try_both(Some(&bearer(&API_KEY[1..]))).await, (401, 401));
    assert_eq!(try_both(Some(&bearer(API_KEY))).await, (200, 200));
    assert_eq!(try_both(Some(&bearer(WRITER_KEY))).await, (200, 403));
    assert_eq!(try_both(Some(&bearer(&of_user("ann")))).await, (200, 200));
    let elsewhere = "/api/v1/channels/user:ann/messages";
    let (key, json) = (bearer(WRITER_KEY), ("Content-Type", "application/json"));
    let headers = [("Authorization", &*key), json];
    let refused = ask(&server, "POST", elsewhere, &headers, r#"{"data":1}"#).await;
    refused.expect_problem(403, "forbidden");
    // What a user publishes over HTTP is the user's.
    let key = bearer(API_KEY);
    let page = ask(&server, "GET", target, &[("Authorization", &key)], "").await.json();
    let from: Vec<_> = page["items"].as_array().expect("a list").iter().map(|item| &item["from"]).collect();
    assert_eq!(from, [&Value::Null, &Value::Null, &json!("ann")], "{page}");
}

#[tokio::test]
async fn a_session_goes_on_with_a_new_token_and_ends_with_the_last() {
    let folder = Folder::with_config(&CONFIG.replace("[auth]\n", "[auth]\nleeway = \"0s\"\n"));
    let server = Server::start(&folder);
    let lives =
        |seconds: u64| token(SECRET, &json!({ "sub": "ann", "iss": "tests", "exp": now() + seconds }));
    let (mut ann, _) = connect(&server, &lives(600)).await;
    let wrong = ann.ask(json!({ "type": "refresh", "token": "x" })).await;
    assert_eq!(wrong["code"], "unauthorized", "{wrong}");
    let another = ann.ask(json!({ "type": "refresh", "token": of_user("bob") })).await;
    assert_eq!(another["code"], "forbidden", "{another}");
    let refreshed = ann.ask(json!({ "type": "refresh", "token": lives(2) })).await;
    assert_eq!(refreshed["type"], "refreshed", "{refreshed}");
    assert_eq!(ann.closed().await, 4501);
}

/// A subscription of its own token: who may show it, what it gives, and that it ends.
#[tokio::test]
async fn a_token_for_one_channel_is_for_that_channel() {
    let closed =
        CONFIG.replace("kind = \"log\"\nsubscribe = \"user\"", "kind = \"log\"\nsubscribe = \"token\"");
    let folder = Folder::with_config(&closed.replace("[auth]\n", "[auth]\nleeway = \"0s\"\n"));
    let server = Server::verbose(&folder);
    let of = |channel: &str, seconds: u64, claims: &Value| {
        let mut all = json!({ "iss": "tests", "exp": now() + seconds, "channel": channel });
        for (name, value) in claims.as_object().expect("an object") {
            all[name] = value.clone();
        }
        token(SECRET, &all)
    };
    let (mut ann, _) = connect(&server, &of_user("ann")).await;
    for text in ["one", "two"] {
        ann.publish("chat:a", &json!(text)).await;
    }
    let ask_for =
        |token: &str| json!({ "type": "subscribe", "channel": "chat:a", "last": 2, "token": token });
    let without = ann.ask(json!({ "type": "subscribe", "channel": "chat:a" })).await;
    assert_eq!(without["code"], "forbidden", "{without}");
    for (token, code) in [
        (of("chat:a", 600, &json!({ "sub": "bob" })), "forbidden"),
        (of("chat:b", 600, &json!({})), "forbidden"),
        (of("chat:a", 0, &json!({})), "token_expired"),
        (token("some other secret of thirty-two bytes", &json!({ "channel": "chat:a" })), "unauthorized"),
    ] {
        let refused = ann.ask(ask_for(&token)).await;
        assert_eq!((&refused["code"], &refused["channel"]), (&json!(code), &json!("chat:a")), "{refused}");
    }
    let good = of("chat:a", 2, &json!({ "sub": "ann" }));
    let subscribed = ann.ask(ask_for(&good)).await;
    assert_eq!(subscribed["items"].as_array().map(Vec::len), Some(2), "{subscribed}");
    ann.publish("chat:a", &json!("three")).await;
    assert_eq!(ann.next().await["data"], "three");
    let ended = ann.next().await;
    assert_eq!(
        (&ended["type"], &ended["code"]),
        (&json!("unsubscribed"), &json!("token_expired")),
        "{ended}"
    );
    assert_eq!(ann.ask(json!({ "type": "ping" })).await["type"], "pong");
    // It lets nobody in, and is nothing over HTTP.
    let (mut nobody, refused) = connect(&server, &of("chat:a", 600, &json!({ "sub": "ann" }))).await;
    assert_eq!(refused["code"], "unauthorized", "{refused}");
    assert_eq!(nobody.closed().await, 4401);
    let bearer = format!("Bearer {}", of("chat:a", 600, &json!({})));
    let page =
        ask(&server, "GET", "/api/v1/channels/chat:a/messages", &[("Authorization", &bearer)], "").await;
    page.expect_problem(401, "unauthorized");
    ann.close().await;
    server.signal(Signal::TERM);
    let (_, log) = server.ended().await;
    assert!(!log.contains(good.rsplit('.').next().expect("a part")), "a token is in the log:\n{log}");
}

#[tokio::test]
async fn others_see_what_a_token_says_of_its_user() {
    let config = CONFIG.replace("kind = \"signal\"\n", "kind = \"signal\"\npresence = \"full\"\n");
    let folder = Folder::with_config(&config);
    let server = Server::start(&folder);
    let says = |name: &str, info: Value| {
        token(SECRET, &json!({ "sub": name, "iss": "tests", "exp": now() + 600, "info": info }))
    };
    let (mut ann, _) = connect(&server, &says("ann", json!({ "team": "red" }))).await;
    let subscribed = ann.ask(json!({ "type": "subscribe", "channel": "room:a", "presence": true })).await;
    let member = &subscribed["presence"]["set"][0];
    assert_eq!((&member["user"], &member["info"]), (&json!("ann"), &json!({ "team": "red" })), "{member}");
    ann.ask(json!({ "type": "refresh", "token": says("ann", json!("blue")) })).await;
    loop {
        let told = ann.next().await;
        if told["set"][0]["info"] == "blue" {
            break;
        }
    }
    let (mut bob, refused) = connect(&server, &says("bob", json!("x".repeat(1_100)))).await;
    assert_eq!(refused["code"], "unauthorized", "{refused}");
    assert!(refused["message"].as_str().is_some_and(|words| words.contains("it may have 1024")), "{refused}");
    assert_eq!(bob.closed().await, 4401);
}

/// Over a line and over HTTP, by the token of a connection and by that of a subscription.
#[tokio::test]
async fn nothing_below_from_is_given() {
    let folder = Folder::with_config(CONFIG);
    let server = Server::start(&folder);
    let (mut ann, _) = connect(&server, &of_user("ann")).await;
    for number in 1..=5 {
        ann.publish("chat:a", &json!(number)).await;
    }
    let told = |page: &Value| {
        let items = page["items"].as_array().expect("a list").iter().map(|item| item["data"].clone());
        (items.collect::<Vec<_>>(), page["floor"].clone())
    };
    let grant = json!([{ "channels": "chat:*", "can": ["history"], "from": 4 }]);
    let late = token(SECRET, &json!({ "sub": "bob", "iss": "tests", "exp": now() + 600, "allow": grant }));
    let bearer = format!("Bearer {late}");
    let target = "/api/v1/channels/chat:a/messages?after=0";
    let page = ask(&server, "GET", target, &[("Authorization", &bearer)], "").await.json();
    assert_eq!(told(&page), (vec![json!(4), json!(5)], json!(4)), "{page}");
    let (mut bob, _) = connect(&server, &late).await;
    let page = bob.ask(json!({ "type": "history", "channel": "chat:a" })).await;
    assert_eq!(told(&page), (vec![json!(4), json!(5)], json!(4)), "{page}");
    let own = token(SECRET, &json!({ "iss": "tests", "exp": now() + 600, "channel": "chat:a", "from": 5 }));
    let subscribe = json!({ "type": "subscribe", "channel": "chat:a", "last": 9, "token": own });
    let subscribed = bob.ask(subscribe).await;
    assert_eq!(told(&subscribed), (vec![json!(5)], json!(5)), "{subscribed}");
}

#[tokio::test]
async fn a_plain_room_asks_too() {
    let folder = Folder::with_config(CONFIG);
    let server = Server::start(&folder);
    let mut ann = Raw::upgraded(&server, &format!("/room/a?token={}", of_user("ann"))).await;
    let mut nobody = Raw::upgraded(&server, "/room/a").await;
    assert_eq!(nobody.closed().await.map(|(code, _)| code), Some(4401));
    ann.send(TEXT, b"hi").await;
    assert_eq!(ann.text().await, "hi");
}

/// What is given to a session with its token is for those who can tell channels apart.
#[tokio::test]
async fn a_plain_room_hears_nothing_of_other_channels() {
    let folder = Folder::with_config(CONFIG);
    let server = Server::start(&folder);
    let given = json!(["user:ann", "nowhere:x"]);
    let token =
        token(SECRET, &json!({ "sub": "ann", "iss": "tests", "exp": now() + 600, "channels": given }));
    let mut room = Raw::upgraded(&server, &format!("/room/a?token={token}")).await;
    room.send(TEXT, b"one").await;
    assert_eq!(room.text().await, "one");
    let bearer = format!("Bearer {API_KEY}");
    let headers = [("Authorization", &*bearer), ("Content-Type", "application/json")];
    let posted =
        ask(&server, "POST", "/api/v1/channels/user:ann/messages", &headers, r#"{"data":"secret"}"#).await;
    assert_eq!(posted.status, 200, "{posted:?}");
    room.send(TEXT, b"two").await;
    assert_eq!(room.text().await, "two");
}

/// Over HTTP too a repeat is known by its publisher, also where the token names nobody.
#[tokio::test]
async fn one_token_without_a_name_is_one_publisher() {
    let folder = Folder::with_config(CONFIG);
    let server = Server::start(&folder);
    let allow = json!([{ "channels": "chat:*", "can": ["publish"] }]);
    let nameless = token(SECRET, &json!({ "iss": "tests", "exp": now() + 600, "allow": allow }));
    let bearer = format!("Bearer {nameless}");
    let headers = [("Authorization", &*bearer), ("Content-Type", "application/json")];
    let target = "/api/v1/channels/chat:a/messages";
    let mut offsets = Vec::new();
    for _ in 0..2 {
        let posted = ask(&server, "POST", target, &headers, r#"{"data":1,"key":"k1"}"#).await.json();
        offsets.push(posted["offset"].clone());
    }
    assert_eq!(offsets, [1, 1]);
}

/// A user that the token does not name stays who it was.
#[tokio::test]
async fn a_token_without_a_name_can_be_renewed() {
    let folder = Folder::with_config(CONFIG);
    let server = Server::start(&folder);
    let nameless = || token(SECRET, &json!({ "iss": "tests", "exp": now() + 600 }));
    let (mut guest, welcome) = connect(&server, &nameless()).await;
    assert_eq!(welcome["type"], "welcome", "{welcome}");
    let refreshed = guest.ask(json!({ "type": "refresh", "token": nameless() })).await;
    assert_eq!(refreshed["type"], "refreshed", "{refreshed}");
}

#[tokio::test]
async fn no_secret_and_no_payload_is_ever_in_the_log() {
    const PAYLOAD: &str = "a payload that nobody logs";
    let folder = Folder::with_config(CONFIG);
    let server = Server::verbose(&folder);
    let (good, bad) = (of_user("ann"), format!("{}x", of_user("bob")));
    let (mut ann, welcome) = connect(&server, &good).await;
    ann.publish("chat:a", &json!(PAYLOAD)).await;
    ann.ask(json!({ "type": "refresh", "token": bad })).await;
    connect(&server, &bad).await.0.closed().await;
    let query = format!("/ws?token={good}");
    shaken(&server, &query, &[]).await;
    shaken(&server, "/ws", &[("Authorization", &format!("Bearer {bad}"))]).await;
    let target = format!("/api/v1/channels/chat:a/messages?token={good}");
    let bearer = format!("Bearer {API_KEY}");
    ask(&server, "GET", &target, &[("Authorization", &bearer)], "").await;
    ask(&server, "GET", &target, &[("Authorization", "Bearer wrong-key-of-somebody")], "").await;
    ask(&server, "GET", "/nowhere", &[("Cookie", &format!("line={good}"))], "").await;
    let session = welcome["session"].as_str().expect("a secret").to_owned();
    ann.close().await;
    server.signal(Signal::TERM);
    let (_, log) = server.ended().await;
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "{log}");
    let signature = |token: &str| token.rsplit('.').next().expect("a part").to_owned();
    for secret in
        [&*signature(&good), &signature(&bad), API_KEY, "wrong-key-of-somebody", SECRET, &session, PAYLOAD]
    {
        assert!(!log.contains(secret), "{secret:?} is in the log:\n{log}");
    }
}
