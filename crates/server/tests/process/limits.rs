//! Limits of the whole server, and how those who run it see them: metrics, refusals in the log.

use rustix::process::Signal;
use serde_json::json;

use crate::client::Client;
use crate::http::{Response, ask, ask_at};
use crate::raw::Raw;
use crate::server::{Folder, Server};
use crate::tokens::{now, token};

const SECRET: &str = "a secret of the tests, 32 bytes or more";
const ADMIN: &str = "the-token-of-the-administrator";

const CONFIG: &str = r#"
[[auth.keys]]
algorithm = "HS256"
secret = "a secret of the tests, 32 bytes or more"
[namespace.chat]
kind = "log"
subscribe = "user"
publish = "subscribers"
[limits]
connections_per_user = 2
"#;

fn bearer(user: &str) -> String {
    token(SECRET, &json!({ "sub": user, "exp": now() + 600 }))
}

/// The value of a sample.
fn sample(page: &Response, name: &str) -> f64 {
    let line = page.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {}", page.body)).parse().expect("a number")
}

#[tokio::test]
async fn a_user_has_only_so_many_connections() {
    let folder = Folder::with_config(CONFIG);
    let server = Server::serve(&folder);
    let connect = async |user: &str| {
        let mut client = Client::open(&server).await;
        let answer = client.ask(json!({ "type": "connect", "token": bearer(user) })).await;
        (client, answer)
    };
    let (mut first, welcome) = connect("ann").await;
    assert_eq!(welcome["type"], "welcome", "{welcome}");
    // One that renews its token is still one.
    let renewed = first.ask(json!({ "type": "refresh", "token": bearer("ann") })).await;
    assert_eq!(renewed["type"], "refreshed", "{renewed}");
    let (second, welcome) = connect("ann").await;
    assert_eq!(welcome["type"], "welcome", "{welcome}");
    let (mut third, refused) = connect("ann").await;
    assert_eq!(refused["code"], "limit_exceeded", "{refused}");
    let message = refused["message"].as_str().expect("a sentence");
    assert!(message.contains("`limits.connections_per_user`"), "{message}");
    assert_eq!(third.closed().await, 4529);
    assert_eq!(connect("bob").await.1["type"], "welcome", "others are not touched");
    second.close().await;
    // The server has its own time to see that.
    let mut again = None;
    while again.is_none() {
        let (client, answer) = connect("ann").await;
        again = (answer["type"] == "welcome").then_some(client);
    }
    server.kill();
}

/// Who says nothing does not take the place of who does.
#[tokio::test]
async fn of_many_that_say_nothing_the_oldest_go_first() {
    let folder = Folder::with_config("[limits]\nconnections = 8\nhandshake = \"60s\"\n");
    let server = Server::with_workers(&folder, 1);
    let mut inside = Client::open(&server).await;
    let mut silent = Vec::new();
    for half in [b"".as_slice(), b"GET /health/live HTTP/1.1\r\nHost:", b"", b"GET"] {
        let mut raw = Raw::connect(&server).await;
        raw.write(half).await;
        silent.push(raw);
    }
    let said = server.has_said("reason=\"half_open\"");
    let asking = async {
        loop {
            assert_eq!(ask(&server, "GET", "/health/live", &[], "").await.status, 200, "others are answered");
        }
    };
    tokio::select! {
        () = said => {}
        () = asking => {}
    }
    assert!(silent[0].response().await.is_none(), "the oldest is closed");
    assert_eq!(inside.publish("chat:a", &json!("hi")).await["offset"], 1, "who is there goes on");
    server.kill();
}

/// Not even if they have all of them.
#[tokio::test]
async fn those_that_say_nothing_do_not_keep_everybody_else_out() {
    let folder = Folder::with_config("[limits]\nconnections = 8\nhandshake = \"60s\"\n");
    let server = Server::start(&folder);
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(Raw::connect(&server).await);
    }
    let mut answered = false;
    while !answered {
        // The place of one that was refused is free when both sides know it.
        let mut raw = Raw::connect(&server).await;
        raw.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
        answered = raw.response().await.is_some_and(|response| response.status == 200);
    }
    server.has_said("reason=\"half_open\"").await;
    assert!(!server.said_so_far().contains("reason=\"handshake\""), "long before their time was over");
    server.kill();
}

/// Each request is a session of its own, but the rate is not.
#[tokio::test]
async fn a_user_has_a_rate_over_http_too() {
    let rules = "publish = \"user\"\nlimits = { rate = \"1/h\", burst = 2 }";
    let folder = Folder::with_config(&CONFIG.replace("publish = \"subscribers\"", rules));
    let server = Server::with(&folder, &["serve", "--workers", "1"]);
    let publish = async |user: &str| {
        let bearer = format!("Bearer {}", bearer(user));
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        ask(&server, "POST", "/api/v1/channels/chat:a/messages", &headers, "{\"data\":1}").await.status
    };
    let statuses = [publish("ann").await, publish("ann").await, publish("ann").await];
    assert_eq!(statuses, [200, 200, 429]);
    assert_eq!(publish("bob").await, 200, "others are not concerned");
    server.kill();
}

/// At most once in a while, with how often.
#[tokio::test]
async fn what_clients_are_refused_is_told_to_the_log() {
    let folder = Folder::with_config(CONFIG);
    let server = Server::serve(&folder);
    let mut client = Client::open(&server).await;
    client.ask(json!({ "type": "connect", "token": bearer("ann") })).await;
    let refused = client.ask(json!({ "type": "subscribe", "channel": "news:SECRET" })).await;
    assert_eq!(refused["code"], "unknown_namespace", "{refused}");
    server.has_said("errors=\"unknown_namespace 1\" closes=\"\"").await;
    assert!(!server.said_so_far().contains("SECRET"), "not what was asked for");
    server.kill();
}

#[tokio::test]
async fn without_memory_nobody_else_is_let_in() {
    let folder = Folder::with_config("");
    let server = Server::start(&folder);
    let mut inside = Client::open(&server).await;
    folder.write("config.toml", "[limits]\nmemory = \"1MiB\"\n");
    server.signal(Signal::HUP);
    server.has_said("crowded=true").await;
    assert_eq!(ask(&server, "GET", "/health/live", &[], "").await.status, 503);
    server.has_said("reason=\"memory\"").await;
    assert_eq!(inside.publish("chat:a", &json!("hi")).await["offset"], 1, "who is there goes on");
    folder.write("config.toml", "[limits]\nmemory = \"1GiB\"\n");
    server.signal(Signal::HUP);
    // The door is open again.
    while Client::try_open(&server.url("/ws")).await.is_none() {}
    server.kill();
}

#[tokio::test]
async fn a_flood_of_refusals_is_counted_and_told_once() {
    let folder =
        Folder::with_config("[limits]\nconnections_per_address = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n");
    let server = Server::start(&folder);
    let _only = Client::open(&server).await;
    for _ in 0..50 {
        assert!(Client::try_open(&server.url("/ws")).await.is_none());
    }
    server.has_said("reason=\"address\"").await;
    let admin = server.admin();
    let page = ask_at(admin, "GET", "/metrics", &[], "").await;
    assert!(sample(&page, "trunkline_refusals_total{reason=\"address\"}") >= 50.0);
    assert_eq!(server.said_so_far().matches("reason=\"address\"").count(), 1, "{}", server.said_so_far());
    server.kill();
}

#[tokio::test]
async fn metrics_tell_what_happens() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut ann = Client::open(&server).await;
    ann.ask(json!({ "type": "subscribe", "channel": "chat:a" })).await;
    ann.publish("chat:a", &json!("hi")).await;
    ann.next().await;
    let refused = ann.ask(json!({ "type": "subscribe", "channel": "nowhere:a" })).await;
    assert_eq!(refused["code"], "unknown_namespace");
    let page = ask(&server, "GET", "/metrics", &[], "").await;
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-type").is_some_and(|value| value.starts_with("application/openmetrics-text"))
    );
    assert!(page.body.ends_with("# EOF\n"), "{}", page.body);
    for (name, value) in [
        ("trunkline_websockets{protocol=\"trunkline.v1\"}", 1.0),
        ("trunkline_websockets_opened_total{protocol=\"trunkline.v1\"}", 1.0),
        ("trunkline_commands_total{type=\"subscribe\"}", 2.0),
        ("trunkline_commands_total{type=\"publish\"}", 1.0),
        ("trunkline_errors_total{code=\"unknown_namespace\"}", 1.0),
        ("trunkline_deliveries_total", 1.0),
        ("trunkline_append_duration_seconds_count", 1.0),
        ("trunkline_append_duration_seconds_bucket{le=\"+Inf\"}", 1.0),
    ] {
        assert!((sample(&page, name) - value).abs() < f64::EPSILON, "{name} is {}", sample(&page, name));
    }
    for name in [
        "trunkline_received_bytes_total",
        "trunkline_sent_bytes_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_cpu_seconds_total",
    ] {
        assert!(sample(&page, name) > 0.0, "{name}");
    }
    let subscriptions =
        async || sample(&ask(&server, "GET", "/metrics", &[], "").await, "trunkline_subscriptions");
    while subscriptions().await < 1.0 {
        tokio::task::yield_now().await;
    }
    let page = ask(&server, "GET", "/metrics", &[], "").await;
    assert!(sample(&page, "trunkline_http_requests_total{status=\"2xx\"}") >= 2.0);
    server.kill();
}

#[tokio::test]
async fn metrics_are_for_administrators() {
    let open = Folder::with_config(CONFIG);
    let server = Server::serve(&open);
    let refused = ask(&server, "GET", "/metrics", &[], "").await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("`token_file` of [admin]"), "{}", refused.body);
    server.kill();

    let folder =
        Folder::with_config(&format!("{CONFIG}[admin]\ntoken = \"{ADMIN}\"\nlisten = \"127.0.0.1:0\"\n"));
    let server = Server::serve(&folder);
    let right = format!("Bearer {ADMIN}");
    let admin = server.admin();
    for address in [server.address(), admin] {
        assert_eq!(ask_at(address, "GET", "/metrics", &[], "").await.status, 401);
        let wrong = [("Authorization", "Bearer the-token-of-the-administratos")];
        assert_eq!(ask_at(address, "GET", "/metrics", &wrong, "").await.status, 401);
        assert_eq!(ask_at(address, "GET", "/metrics", &[("Authorization", &right)], "").await.status, 200);
        assert_eq!(ask_at(address, "GET", "/health/ready", &[], "").await.status, 200);
    }
    assert_eq!(ask_at(admin, "GET", "/ws", &[], "").await.status, 404, "only what is theirs is there");
    assert!(!server.said_so_far().contains(ADMIN));
    let config = std::fs::read_to_string(folder.path().join("config.toml")).expect("it is there");
    folder.write("config.toml", config.replace(ADMIN, "another-token-of-the-administrator"));
    server.signal(Signal::HUP);
    server.has_said("taken over").await;
    assert_eq!(ask_at(admin, "GET", "/metrics", &[("Authorization", &right)], "").await.status, 401);
    server.kill();
}
