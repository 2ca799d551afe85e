//! The configuration as who runs a server meets it: what wins over what, `trunkline config`, and reading it again while
//! clients are there.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::Client;
use crate::http::ask;
use crate::server::{Folder, Server, run};
use crate::tokens::{now, token};

const OLD: &str = "an old secret of the tests, 32 bytes or more";
const NEW: &str = "a new secret of the tests, 32 bytes or more";

const CONFIG: &str = r#"
[[auth.keys]]
algorithm = "HS256"
secret = "an old secret of the tests, 32 bytes or more"

[namespace.chat]
kind = "log"
subscribe = "user"
publish = "subscribers"
"#;

fn bearer(secret: &str) -> String {
    token(secret, &json!({ "sub": "ann", "exp": now() + 600 }))
}

async fn connected(server: &Server, secret: &str) -> (Client, Value) {
    let mut client = Client::open(server).await;
    let answer = client.ask(json!({ "type": "connect", "token": bearer(secret) })).await;
    (client, answer)
}

/// Changes the file and has it read; what is then said of it.
async fn change(folder: &Folder, server: &Server, from: &str, to: &str, said: &str) {
    let config = std::fs::read_to_string(folder.path().join("config.toml")).expect("it is there");
    assert!(config.contains(from), "{from:?} is not in {config}");
    folder.write("config.toml", config.replace(from, to));
    server.signal(Signal::HUP);
    server.has_said(said).await;
}

#[tokio::test]
async fn keys_are_changed_while_clients_are_there() {
    let folder = Folder::with_config(CONFIG);
    let server = Server::serve(&folder);
    let (mut ann, _) = connected(&server, OLD).await;
    ann.ask(json!({ "type": "subscribe", "channel": "chat:a" })).await;
    change(&folder, &server, OLD, NEW, "taken over changed=1").await;
    let (_, refused) = connected(&server, OLD).await;
    assert_eq!(refused["code"], "unauthorized", "{refused}");
    let (mut bob, welcome) = connected(&server, NEW).await;
    assert_eq!(welcome["type"], "welcome", "{welcome}");
    bob.ask(json!({ "type": "subscribe", "channel": "chat:a" })).await;
    bob.publish("chat:a", &json!("hi")).await;
    // Who was there is there still.
    assert_eq!(ann.next().await["data"], "hi");
    server.kill();
}

#[tokio::test]
async fn rules_and_namespaces_are_changed_while_clients_are_there() {
    let folder = Folder::with_config(CONFIG);
    let server = Server::serve(&folder);
    let (mut ann, _) = connected(&server, OLD).await;
    let unknown = ann.ask(json!({ "type": "subscribe", "channel": "news:a" })).await;
    assert_eq!(unknown["code"], "unknown_namespace", "{unknown}");
    for channel in ["chat:ann", "chat:b"] {
        ann.ask(json!({ "type": "subscribe", "channel": channel })).await;
    }
    let old = "[namespace.chat]\nkind = \"log\"\nsubscribe = \"user\"";
    let new = "[namespace.news]\nkind = \"log\"\nsubscribe = \"user\"\n[namespace.chat]\nkind = \"log\"\nsubscribe = \"owner\"";
    change(&folder, &server, old, new, "taken over changed=3").await;
    let ended = ann.next().await;
    assert_eq!((&ended["type"], &ended["channel"]), (&json!("unsubscribed"), &json!("chat:b")), "{ended}");
    assert_eq!(ended["code"], "forbidden", "{ended}");
    let published = ann.publish("chat:ann", &json!("mine")).await;
    assert_eq!(published["offset"], 1, "{published}");
    let known = ann.ask(json!({ "type": "subscribe", "channel": "news:a" })).await;
    assert_eq!(known["type"], "subscribed", "{known}");
    server.kill();
}

#[tokio::test]
async fn what_cannot_be_taken_over_changes_nothing_and_is_told() {
    let folder = Folder::with_config(CONFIG);
    let server = Server::serve(&folder);
    let (mut ann, _) = connected(&server, OLD).await;
    for (from, to, said) in [
        ("kind = \"log\"", "kind = \"map\"", "namespace.chat.kind counts when the server is started"),
        ("kind = \"map\"", "kind = \"lag\"", "unknown variant `lag`"),
        ("kind = \"lag\"", "kind = \"log\"\nkepe = 1", "did you mean `keep`"),
        ("kepe = 1", "limits = { message = \"64KiB\" }", "above 16384 B counts when"),
        ("limits = { message = \"64KiB\" }", "", "no setting has changed"),
        ("[namespace", "[server]\nworkers = 9\n[namespace", "server.workers counts when"),
    ] {
        change(&folder, &server, from, to, said).await;
    }
    folder.write("config.toml", CONFIG.replace("[namespace.chat]", "[namespace.talk]"));
    server.signal(Signal::HUP);
    server.has_said("the namespace chat is not there any more").await;
    let subscribed = ann.ask(json!({ "type": "subscribe", "channel": "chat:a" })).await;
    assert_eq!(subscribed["type"], "subscribed", "{subscribed}");
    server.kill();
}

#[tokio::test]
async fn the_log_is_for_programs_and_can_be_changed_while_it_is_written() {
    let folder = Folder::with_config("[log]\nformat = \"json\"\nlevel = \"warn\"\n");
    let server = Server::start(&folder);
    let debug = "level = \"info,trunkline=debug\"";
    // What is not to be logged is not: the first word is of the second change.
    folder.write("config.toml", format!("[log]\nformat = \"json\"\n{debug}\n"));
    server.signal(Signal::HUP);
    server.has_said("taken over").await;
    change(&folder, &server, debug, "level = \"loud\"", "no level").await;
    server.signal(Signal::TERM);
    let (_, said) = server.ended().await;
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let levels: Vec<_> = lines.iter().filter_map(|line| line["level"].as_str()).collect();
    assert_eq!(levels, ["INFO", "ERROR"], "{said}");
    assert_eq!(
        (&lines[0]["changed"], &lines[0]["target"]),
        (&json!(1), &json!("trunkline::running")),
        "{said}"
    );
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["message"].is_string()), "{said}");
}

#[tokio::test]
async fn flags_win_over_the_environment_and_that_over_the_file() {
    let folder = Folder::with_config("[server]\necho = false\npages = false\nworkers = 200\n");
    let variables = [("TRUNKLINE_SERVER__ECHO", "true"), ("TRUNKLINE_SERVER__PAGES", "true")];
    let server =
        Server::with_environment(&folder, &variables, &["--set", "server.pages=false", "--workers", "1"]);
    assert_eq!(ask(&server, "GET", "/", &[], "").await.status, 404);
    assert_eq!(ask(&server, "GET", "/echo", &[], "").await.status, 426, "it wants a WebSocket");
    server.kill();
}

#[tokio::test]
async fn a_server_can_be_configured_without_a_file() {
    let folder = Folder::new();
    let key = format!("[{{ algorithm = \"HS256\", secret = \"{OLD}\" }}]");
    let variables = [
        ("TRUNKLINE_AUTH__KEYS", key.as_str()),
        ("TRUNKLINE_NAMESPACE__CHAT__KIND", "log"),
        ("TRUNKLINE_NAMESPACE__CHAT__SUBSCRIBE", "user"),
    ];
    let server = Server::with_environment(&folder, &variables, &["serve"]);
    let (mut ann, _) = connected(&server, OLD).await;
    let subscribed = ann.ask(json!({ "type": "subscribe", "channel": "chat:a" })).await;
    assert_eq!(subscribed["type"], "subscribed", "{subscribed}");
    server.kill();
}

#[tokio::test]
async fn a_configuration_can_be_looked_at_without_a_server() {
    let folder = Folder::with_config(CONFIG);
    let path = folder.path().join("config.toml");
    let path = path.to_str().expect("UTF-8");
    let config = async |arguments: &[&str]| {
        let output = run(&[&["config"], arguments, &["--config", path]].concat(), "").await;
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).expect("UTF-8"))
    };
    let (code, said) = config(&["check"]).await;
    assert_eq!((code, said.as_str()), (Some(0), "this is right; namespaces (1): chat\n"));
    let (code, said) = config(&["check", "--listen", "0.0.0.0:1"]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("(with --listen) is not safe to serve with"), "{said}");
    let (code, said) = config(&["check", "--set", "server.drain.within=soon"]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("(with --set): [server]: drain.within: \"soon\" is not a duration"), "{said}");
    let (code, said) = config(&["show", "--origin", "--set", "server.drain.within=5s"]).await;
    assert_eq!(code, Some(0), "{said}");
    for line in
        [&format!("# {path}:7"), "# flag --set", "# default", "secret = \"(not shown)\"", "[namespace.chat]"]
    {
        assert!(said.contains(line), "{line:?} is not in {said}");
    }
    assert!(!said.contains(OLD), "{said}");
    // What is shown is what it was made of.
    let shown = folder.write("shown.toml", said.replace("(not shown)", OLD));
    let shown = shown.to_str().expect("UTF-8");
    let output = run(&["config", "check", "--config", shown], "").await;
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let output = run(&["config", "schema"], "").await;
    let schema: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(schema["properties"]["namespace"]["type"], "object");
}
