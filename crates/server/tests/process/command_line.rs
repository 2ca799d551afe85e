//! `trunkline pub` and `trunkline sub` as a person or a script runs them.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::Client;
use crate::http::get;
use crate::server::{Folder, Server, finish, run, spawn};

/// Runs `arguments` against `server`, checks the exit code, and gives both outputs.
async fn check(server: &Server, arguments: &[&str], input: &str, code: i32) -> (String, String) {
    let url = format!("http://{}", server.address());
    let output = run(&[arguments, &["--server", &url]].concat(), input).await;
    let (out, said) = texts(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {out}{said}");
    (out, said)
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (text(&output.stdout), text(&output.stderr))
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("one JSON object per line")).collect()
}

#[tokio::test]
async fn what_is_published_can_be_subscribed_to() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let (out, _) = check(&server, &["pub", "chat:c", r#"{"text":"Hi"}"#], "", 0).await;
    assert_eq!(out, "published to chat:c #1\n");
    let (out, _) = check(&server, &["pub", "chat:c", "-"], "[1,\n 2]", 0).await;
    assert_eq!(out, "published to chat:c #2\n");
    let (out, _) = check(&server, &["pub", "chat:c", "--text", "no JSON\u{1b}[31m"], "", 0).await;
    assert_eq!(out, "published to chat:c #3\n");
    let (out, _) = check(&server, &["pub", "chat:c", "7", "--key", "k", "--output", "json"], "", 0).await;
    let answer = &lines(&out)[0];
    assert_eq!((&answer["channel"], &answer["offset"]), (&json!("chat:c"), &json!(4)), "{answer}");
    assert!(answer.get("dup").is_none(), "{answer}");
    let (out, _) = check(&server, &["pub", "room:x", "7"], "", 0).await;
    assert_eq!(out, "published to room:x\n");

    let (out, _) = check(&server, &["sub", "chat:c", "--last", "10", "--count", "4"], "", 0).await;
    let shown: Vec<_> = out.lines().collect();
    assert_eq!(shown.len(), 4, "{out}");
    for (line, (start, end)) in shown.iter().zip([
        ("chat:c #1 ", r#"{"text":"Hi"}"#),
        ("chat:c #2 ", "[1,  2]"),
        ("chat:c #3 ", r#""no JSON\u{1b}[31m""#),
        ("chat:c #4 ", "7"),
    ]) {
        assert!(line.starts_with(start) && line.ends_with(end), "{line:?}");
    }
    assert!(!out.contains('\u{1b}'), "nothing steers the terminal");
}

/// What others write is shown and steers no terminal: JSON may hold DEL and the C1 controls as they are.
#[tokio::test]
async fn what_others_write_steers_no_terminal() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut client = Client::open(&server).await;
    client.publish("chat:c", &json!("\u{9b}31m\u{7f}\u{1b}[2J\u{0}é")).await;
    client.ask(json!({ "type": "publish", "channel": "chat:c", "text": "\u{9b}31m\u{7f}\u{1b}[2J\n" })).await;
    let (out, _) = check(&server, &["sub", "chat:c", "--last", "2", "--count", "2"], "", 0).await;
    assert_eq!(out.lines().count(), 2, "{out:?}");
    assert!(out.contains("é") && !out.chars().any(|c| c.is_control() && c != '\n'), "{out:?}");
}

#[tokio::test]
async fn a_key_is_stored_once() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let keyed = ["pub", "chat:c", "7", "--key", "k"];
    let (first, _) = check(&server, &keyed, "", 0).await;
    assert_eq!(first, "published to chat:c #1\n");
    let (again, _) = check(&server, &keyed, "", 0).await;
    assert_eq!(again, "published to chat:c #1 (it was there already)\n");
    let (again, _) = check(&server, &[&keyed[..], &["--output", "json"]].concat(), "", 0).await;
    let again = lines(&again);
    assert_eq!(
        (again.len(), &again[0]["offset"], &again[0]["dup"]),
        (1, &json!(1), &json!(true)),
        "{again:?}"
    );
    let page = get(&server, "/api/v1/channels/chat:c/messages").await.json();
    assert_eq!((&page["top"], &page["items"][0]["key"]), (&json!(1), &json!("k")), "{page}");
}

#[tokio::test]
async fn a_running_subscription_prints_what_comes() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let url = format!("ws://{}/ws", server.address());
    let arguments = ["sub", "chat:c", "chat:d", "--count", "2", "--output", "json", "--server", &url];
    let mut child = spawn(&arguments);
    let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
    // No order is promised between channels.
    let mut subscribed = [line(&mut out), line(&mut out)];
    subscribed.sort_by_key(|answer| answer["channel"].to_string());
    for (answer, channel) in subscribed.iter().zip(["chat:c", "chat:d"]) {
        assert_eq!((&answer["type"], &answer["channel"]), (&json!("subscribed"), &json!(channel)));
    }
    let mut client = Client::open(&server).await;
    for channel in ["chat:d", "chat:c"] {
        client.publish(channel, &json!({ "to": channel })).await;
        let message = line(&mut out);
        assert_eq!((&message["type"], &message["data"]["to"]), (&json!("message"), &json!(channel)));
    }
    let output = finish(child).await;
    assert_eq!(output.status.code(), Some(0), "{:?}", texts(&output));
}

fn line(out: &mut impl std::io::BufRead) -> Value {
    let mut text = String::new();
    out.read_line(&mut text).expect("it prints a line");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

#[tokio::test]
async fn refusals_are_1() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let check = async |arguments: &[&str], part: &str| {
        let (out, said) = check(&server, arguments, "", 1).await;
        assert!(said.starts_with("trunkline: refused (") && said.contains(part), "{said}");
        assert_eq!(out, "", "nothing was published");
    };
    check(&["pub", "nowhere:c", "1"], "unknown_namespace").await;
    check(&["pub", "chat:c", "1", "--key", ""], "bad_request").await;
    check(&["pub", "chat:c", &format!("{:?}", "x".repeat(17_000))], "too_large").await;
    check(&["sub", "nowhere:c"], "unknown_namespace").await;
    check(&["sub", "chat:c", "--last", "5000"], "bad_request").await;
    check(&["sub", "chat:c", "--last", "5000", "--output", "json"], "bad_request").await;
}

#[tokio::test]
async fn wrong_messages_and_urls_are_2() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let (_, said) = check(&server, &["pub", "chat:c", "Hi"], "", 2).await;
    assert!(said.contains("not JSON") && said.contains("--text"), "{said}");
    let (_, said) = check(&server, &["pub", "chat:c", "-"], "", 2).await;
    assert!(said.contains("not JSON"), "{said}");
    let (_, said) = check(&server, &["pub", "chat:a b", "1"], "", 2).await;
    assert!(said.contains("not ' '"), "{said}");
    for url in ["ftp://127.0.0.1:1", "http://", "http://a b"] {
        let output = run(&["pub", "chat:c", "1", "--server", url], "").await;
        assert!(matches!(output.status.code(), Some(2 | 3)), "{url}: {:?}", texts(&output));
    }
}

#[tokio::test]
async fn no_connection_is_3() {
    let folder = Folder::new();
    let gone = Server::start(&folder);
    let url = format!("http://{}", gone.address());
    gone.kill();
    for arguments in [&["pub", "chat:c", "1"][..], &["sub", "chat:c"]] {
        let output = run(&[arguments, &["--server", &url]].concat(), "").await;
        let (_, said) = texts(&output);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("no connection to ") && said.contains("trunkline dev"), "{said}");
    }
}

/// A subscription whose server ends says so and exits with 3, whether the server said goodbye or not.
#[tokio::test]
async fn a_lost_connection_is_3() {
    let folder = Folder::new();
    for goodbye in [true, false] {
        let server = Server::start(&folder);
        let url = format!("http://{}", server.address());
        let mut child = spawn(&["sub", "chat:c", "--output", "json", "--server", &url]);
        let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
        assert_eq!(line(&mut out)["type"], "subscribed");
        if goodbye {
            server.signal(Signal::TERM);
            assert!(server.ended().await.0.success());
        } else {
            server.kill();
        }
        let output = finish(child).await;
        let (_, said) = texts(&output);
        assert_eq!(output.status.code(), Some(3), "goodbye {goodbye}: {said}");
        assert!(!goodbye || said.contains("4503"), "{said}");
    }
}

/// The server announces itself in a form that people and scripts can read.
#[tokio::test]
async fn a_server_says_where_it_is() {
    let folder = Folder::new();
    let data = folder.data();
    let child = spawn(&["dev", "--listen", "127.0.0.1:0", "--data", data.to_str().expect("UTF-8")]);
    let pid = rustix::process::Pid::from_child(&child);
    let mut child = child;
    let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut said = Vec::new();
    while !said.last().is_some_and(|line: &String| line.starts_with("ready ")) {
        let mut line = String::new();
        assert!(out.read_line(&mut line).expect("it prints lines") > 0, "{said:?}");
        said.push(line.trim_end().to_owned());
    }
    let url = said.last().and_then(|line| line.strip_prefix("ready ")).expect("it is the last");
    let all = said.join("\n");
    for part in [&format!("--server {url}"), "ws://", "/ws", "/room/lobby", data.to_str().expect("UTF-8")] {
        assert!(all.contains(part), "{all:?} should contain {part:?}");
    }
    let output = run(&["pub", "chat:lobby", "1", "--server", url], "").await;
    assert_eq!(output.status.code(), Some(0), "{:?}", texts(&output));
    rustix::process::kill_process(pid, Signal::INT).expect("it runs");
    assert_eq!(finish(child).await.status.code(), Some(0));
}

/// Tokens can be tried without a configuration: the key is made at random, for its owner alone, and kept.
#[tokio::test]
async fn dev_takes_tokens_that_need_no_configuration() {
    let folder = Folder::new();
    let data = folder.data();
    let data = data.to_str().expect("UTF-8");
    let new = async || run(&["token", "new", "--user", "ann", "--data", data], "").await;
    let early = new().await;
    assert_eq!(early.status.code(), Some(2));
    let (_, said) = texts(&early);
    assert!(said.contains("token.key") && said.contains("`trunkline dev` makes one"), "{said}");
    let server = Server::start(&folder);
    let mode = std::fs::metadata(folder.data().join("token.key")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let token = texts(&new().await).0.trim().to_owned();
    let user = async |server: &Server, token: &str| {
        let mut client = Client::open(server).await;
        client.ask(json!({ "type": "connect", "token": token })).await
    };
    assert_eq!(user(&server, &token).await["user"], "ann");
    server.signal(Signal::HUP);
    server.has_said("no setting has changed").await;
    assert_eq!(user(&server, &token).await["user"], "ann", "when the configuration was read again");
    server.kill();
    let server = Server::start(&folder);
    assert_eq!(user(&server, &token).await["user"], "ann", "after a restart");
    let (out, _) = check(&server, &["pub", "chat:c", "1", "--token", &token], "", 0).await;
    assert_eq!(out, "published to chat:c #1\n");
    let others = Server::start(&Folder::new());
    assert_eq!(user(&others, &token).await["code"], "unauthorized", "each has its own");
    server.kill();
    // One whose key cannot be used says which file it is.
    folder.write("data/token.key", "short");
    let refused = run(&["dev", "--data", data, "--listen", "127.0.0.1:0"], "").await;
    let (_, said) = texts(&refused);
    assert!(!refused.status.success() && said.contains("token.key") && said.contains("32"), "{said}");
}
