//! `trunkline serve` as who runs it meets it: what it refuses to start with, and how to mend that; then tokens, from the
//! command line to a subscriber; and which pages may talk to it.

use serde_json::json;

use crate::client::Client;
use crate::http::ask;
use crate::raw::{Raw, TEXT};
use crate::secure::Authority;
use crate::server::{Folder, Server, run};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

const CONFIG: &str = r#"
[[auth.keys]]
algorithm = "HS256"
secret_file = "token.key"

[namespace.chat]
kind = "log"
subscribe = "user"
publish = "subscribers"

[server]
origins = ["https://app.example.com"]
"#;

fn folder(config: &str) -> Folder {
    let folder = Folder::with_config(config);
    folder.write("token.key", format!("{SECRET}\n"));
    folder
}

/// What is said of a configuration that it does not start with.
async fn refused(config: &str, listen: &str) -> String {
    let folder = folder(config);
    let path = folder.path().join("config.toml");
    let data = folder.data();
    let (path, data) = (path.to_str().expect("UTF-8"), data.to_str().expect("UTF-8"));
    let output = run(&["serve", "--config", path, "--data", data, "--listen", listen], "").await;
    assert_eq!(output.status.code(), Some(2), "{config}");
    assert!(!folder.data().exists(), "nothing is made");
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[tokio::test]
async fn without_a_configuration_it_says_what_to_write() {
    let output = run(&["serve"], "").await;
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    let example: String =
        said.lines().filter(|line| line.starts_with("  ")).map(|line| format!("{line}\n")).collect();
    let example = example.split("  trunkline serve").next().expect("it comes first");
    // What it says to write is something to start with.
    let folder = folder(example);
    Server::serve(&folder).kill();
}

/// The configuration that the how-to begins with, and nothing else.
#[tokio::test]
async fn the_ten_lines_of_the_how_to_serve_with_tls_and_tokens() {
    let page = include_str!("../../../../docs/how-to/serve.md");
    let (_, rest) = page.split_once("```toml\n").expect("there is one");
    let (example, _) = rest.split_once("```").expect("it ends");
    assert_eq!(example.lines().count(), 10, "{example}");
    let (authority, folder) = (Authority::new(), folder(example));
    authority.server().write(&folder);
    let server = Server::with(&folder, &["serve", "--listen", "127.0.0.1:0"]);
    let config = folder.path().join("config.toml");
    let made = run(&["token", "new", "--user", "ann", "--config", config.to_str().expect("UTF-8")], "").await;
    let token = String::from_utf8(made.stdout).expect("UTF-8").trim().to_owned();
    let mut nobody = authority.client(&server).await;
    let refused = nobody.ask(json!({ "type": "connect" })).await;
    assert_eq!(refused["code"], "unauthorized", "{refused}");
    let mut ann = authority.client(&server).await;
    let welcome = ann.ask(json!({ "type": "connect", "token": token })).await;
    assert_eq!(welcome["user"], "ann", "{welcome}");
    let subscribed = ann.ask(json!({ "type": "subscribe", "channel": "chat:lobby" })).await;
    assert_eq!(subscribed["type"], "subscribed", "{subscribed}");
    ann.publish("chat:lobby", &json!("hi")).await;
    assert_eq!(ann.next().await["data"], "hi");
    server.kill();
}

#[tokio::test]
async fn what_is_unsafe_is_refused_with_the_line_that_mends_it() {
    let keys = "[[auth.keys]]\nalgorithm = \"HS256\"\nsecret_file = \"token.key\"\n";
    let chat = |rest: &str| format!("[namespace.chat]\nkind = \"log\"\n{rest}\n");
    let here = "127.0.0.1:0";
    let cases = [
        (keys.to_owned(), here, vec!["there is no namespace", "[namespace.chat]"]),
        (chat(""), here, vec!["nobody could connect", "[[auth.keys]]", "openssl rand -base64 32"]),
        (
            format!("{}[auth]\nanonymous = true\n", chat("publish = \"anyone\"")),
            here,
            vec!["anyone could publish to chat:*", "publish = \"user\"", "anonymous = false"],
        ),
        (
            format!(
                "{}[auth]\nanonymous = true\n",
                chat("subscribe = \"anyone\"\npublish = \"subscribers\"")
            ),
            here,
            vec!["anyone could publish to chat:*"],
        ),
        (
            format!("{keys}{}", chat("publish = \"server\"")),
            here,
            vec!["nobody could publish to chat:*", "[[auth.api_keys]]"],
        ),
        (
            format!("{keys}{}", chat("")),
            "0.0.0.0:8123",
            vec![
                "in the clear",
                "[server.tls]",
                "[server.acme]",
                "--listen 127.0.0.1:8123",
                "plaintext = true",
            ],
        ),
        (
            format!("{keys}{}[admin]\nlisten = \"0.0.0.0:9123\"\n", chat("")),
            here,
            vec!["without a token", "token_file", "listen = \"127.0.0.1:9123\""],
        ),
    ];
    for (config, listen, wanted) in cases {
        let said = refused(&config, listen).await;
        for words in wanted {
            assert!(said.contains(words), "{words:?} is not in:\n{said}");
        }
    }
}

#[tokio::test]
async fn a_wrong_key_is_refused_by_its_number() {
    let cases = [
        (
            "[[auth.keys]]\nalgorithm = \"none\"\nsecret = \"x\"",
            "keys, number 1: algorithm: \"none\" is no algorithm",
        ),
        (
            "[[auth.keys]]\nalgorithm = \"HS256\"\nsecret = \"secret\"",
            "the secret has 6 bytes; it has at least 32",
        ),
        ("[[auth.keys]]\nalgorithm = \"HS256\"", "one of `secret` or `secret_file` is needed"),
        (
            "[[auth.keys]]\nalgorithm = \"RS256\"\nsecret_file = \"token.key\"",
            "RS256 has public keys, not secrets",
        ),
        ("[[auth.keys]]\nalgorithm = \"RS256\"\npublic_key = \"x\"", "no public key in PEM"),
        ("[[auth.keys]]\nalgorithm = \"HS256\"\nsecret_file = \"nowhere.key\"", "cannot read "),
        ("[[auth.api_keys]]\nname = \"a\"\nkey = \"short\"\nallow = []", "the key has 5 characters"),
        ("[auth]\nleeway = \"1h\"", "it may be 0s to 300 s"),
        ("[server]\norigins = [\"app.example.com\"]", "origins: \"app.example.com\" is none"),
        ("[server]\norigins = [\"https://app.example.com/path\"]", "write one like"),
        ("[server]\norigins = [\"https://*.example.com\"]", "write one like"),
        ("[auth]\ncookie = \"a b;c\"", "is no name of a cookie"),
        ("[admin]\ntoken = \"a token with spaces in it, long enough\"", "cannot stand in a header"),
        ("[admin]\ntoken = 7701234567890123456789", "line 2"),
        ("[auth]\napi_keys = [\"0123456789abcdef\"]", "invalid type: string, expected a table, like { name"),
        (
            "[[auth.keys]]\nalgorithm = \"HS256\"\nsecret = 123456789",
            "invalid type: integer, expected a string",
        ),
        ("[rpc]\nurl = \"http://u:0123456789abcdef@x/\"", "http://x/"),
        ("[auth]\njwks = { url = \"ftp://x/?key=0123456789abcdef\" }", "ftp://x/"),
    ];
    for (config, words) in cases {
        let said = refused(config, "127.0.0.1:0").await;
        assert!(said.contains(words), "{words:?} is not in:\n{said}");
        assert!(!said.contains("0123456789abcdef") && !said.contains("123456789"), "{said}");
    }
}

#[tokio::test]
async fn from_a_token_of_the_command_line_to_a_subscriber() {
    let folder = folder(CONFIG);
    let server = Server::serve(&folder);
    let config = folder.path().join("config.toml");
    let config = config.to_str().expect("UTF-8");
    let url = format!("http://{}", server.address());
    let made = async |arguments: &[&str]| {
        let output = run(&[&["token", "new", "--config", config], arguments].concat(), "").await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    };
    let ann = made(&["--user", "ann", "--allow", "chat:*=publish,history", "--info", "{\"n\":1}"]).await;
    let shown = run(&["token", "show", "-", "--config", config], &ann).await;
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!((&shown["claims"]["sub"], &shown["verdict"]), (&json!("ann"), &json!("good")), "{shown}");
    let published = run(&["pub", "chat:a", "1", "--server", &url, "--token", &ann], "").await;
    assert_eq!(String::from_utf8_lossy(&published.stdout), "published to chat:a #1\n");
    let refused = run(&["pub", "chat:a", "1", "--server", &url], "").await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("unauthorized"));
    let arguments = ["sub", "chat:a", "--last", "1", "--count", "1", "--server", &url, "--token", &ann];
    let heard = run(&arguments, "").await;
    assert_eq!(String::from_utf8_lossy(&heard.stdout), "chat:a #1 ann: 1\n");

    let bob = made(&["--user", "bob", "--channel", "chat:b", "--expires", "10m"]).await;
    let mut client = Client::open(&server).await;
    let welcome = client.ask(json!({ "type": "connect", "token": bob })).await;
    assert_eq!(welcome["user"], "bob", "{welcome}");
    let subscribed = client.next().await;
    assert_eq!(
        (&subscribed["channel"], &subscribed["can"]),
        (&json!("chat:b"), &json!(["publish", "history"]))
    );
    let one = made(&["--subscribe", "chat:a", "--can", "subscribe,history", "--from", "2"]).await;
    run(&["pub", "chat:a", "2", "--server", &url, "--token", &ann], "").await;
    let subscribe = json!({ "type": "subscribe", "channel": "chat:a", "last": 9, "token": one });
    let subscribed = client.ask(subscribe).await;
    assert_eq!(
        (&subscribed["floor"], &subscribed["items"][0]["offset"]),
        (&json!(2), &json!(2)),
        "{subscribed}"
    );
    for (arguments, words) in [
        (&["--subscribe", "a b"][..], "--subscribe"),
        (&["--subscribe", "chat:a", "--can", "fly"], "\"fly\" is none of"),
        (&["--subscribe", "chat:a", "--allow", "chat:*=publish"], "cannot be used with"),
        (&["--from", "2"], "--subscribe"),
        (&["--allow", "chat:*"], "has no `=`"),
        (&["--allow", "chat:*=fly"], "\"fly\" is none of"),
        (&["--expires", "soon"], "is not a duration"),
        (&["--channel", "a b"], "--channel"),
        (&["--info", "{"], "no JSON"),
    ] {
        let output = run(&[&["token", "new", "--config", config], arguments].concat(), "").await;
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{words}");
    }
}

#[tokio::test]
async fn only_what_is_asked_for_is_there() {
    let folder = folder(CONFIG);
    let server = Server::serve(&folder);
    for (path, status) in
        [("/", 404), ("/demo/", 404), ("/echo", 404), ("/health/ready", 200), ("/health/live", 200)]
    {
        assert_eq!(ask(&server, "GET", path, &[], "").await.status, status, "{path}");
    }
    // Behind a proxy it has the names that the proxy gives it.
    let mut raw = Raw::connect(&server).await;
    raw.write(b"GET /health/ready HTTP/1.1\r\nHost: chat.example.com\r\n\r\n").await;
    assert_eq!(raw.response().await.map(|response| response.status), Some(200));
    let with_all = CONFIG.replace("[server]\n", "[server]\necho = true\npages = true\n");
    let folder = self::folder(&with_all);
    let server = Server::serve(&folder);
    assert_eq!(ask(&server, "GET", "/", &[], "").await.status, 200);
    Raw::upgraded(&server, "/echo").await;
}

#[tokio::test]
async fn pages_of_listed_origins_may_connect_and_read_and_no_others() {
    let folder = folder(CONFIG);
    let server = Server::serve(&folder);
    let (listed, other) = ("https://app.example.com", "https://evil.example.com");
    let upgrade = |origin: &'static str| {
        [
            ("Origin", origin),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ]
    };
    assert_eq!(ask(&server, "GET", "/ws", &upgrade(listed), "").await.status, 101);
    assert_eq!(ask(&server, "GET", "/ws", &upgrade(other), "").await.status, 403);

    let target = "/api/v1/channels/chat:a/messages";
    let preflight = |origin: &'static str| {
        [
            ("Origin", origin),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "authorization, content-type"),
        ]
    };
    let answer = ask(&server, "OPTIONS", target, &preflight(listed), "").await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (204, Some(listed)),
        "{answer:?}"
    );
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET, POST"));
    assert!(
        answer.header("access-control-allow-headers").is_some_and(|names| names.contains("authorization"))
    );
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    let answer = ask(&server, "OPTIONS", target, &preflight(other), "").await;
    assert_eq!(answer.header("access-control-allow-origin"), None, "{answer:?}");

    let get = |origin: &'static str| [("Origin", origin)];
    let answer = ask(&server, "GET", target, &get(listed), "").await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (401, Some(listed)),
        "{answer:?}"
    );
    assert_eq!(answer.header("vary"), Some("origin"));
    let answer = ask(&server, "GET", target, &get(other), "").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (401, None), "{answer:?}");
    let post = |origin: &'static str| [("Origin", origin), ("Content-Type", "application/json")];
    let answer = ask(&server, "POST", target, &post(other), "{\"data\":1}").await;
    answer.expect_problem(403, "forbidden");
    assert_eq!(ask(&server, "POST", target, &post(listed), "{\"data\":1}").await.status, 401);
}

#[tokio::test]
async fn one_address_has_only_so_many_connections() {
    let config =
        CONFIG.replace("[server]\n", "[limits]\nconnections_per_address = 3\n[server]\nproxies = []\n");
    let folder = folder(&config);
    let server = Server::serve(&folder);
    let mut lines = Vec::new();
    for _ in 0..3 {
        lines.push(Raw::upgraded(&server, "/ws").await);
    }
    let mut refused = Raw::connect(&server).await;
    let response = refused.response().await.expect("an answer");
    assert_eq!((response.status, response.header("retry-after")), (503, Some("5")), "{response:?}");
    drop(lines.pop());
    // When the server has heard that the line is gone, there is a place again.
    loop {
        let mut raw = Raw::connect(&server).await;
        raw.try_write(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        if raw.response().await.is_some_and(|response| response.status == 200) {
            break;
        }
    }
}

#[tokio::test]
async fn behind_a_proxy_the_address_is_what_the_proxy_says() {
    let config =
        CONFIG.replace("[server]\n", "[limits]\nconnections_per_address = 2\n[server]\necho = true\n");
    let folder = folder(&config);
    let server = Server::serve(&folder);
    let open = async |address: &str| {
        let mut raw = Raw::connect(&server).await;
        let request = format!(
            "GET /echo HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Forwarded-For: {address}\r\n\r\n",
            server.address()
        );
        raw.write(request.as_bytes()).await;
        assert_eq!(raw.response().await.expect("an answer").status, 101);
        raw
    };
    let mut lines = Vec::new();
    for address in ["192.0.2.1", "192.0.2.1", "192.0.2.2"] {
        let mut raw = open(address).await;
        // It has its place when it is answered.
        raw.send(TEXT, b"a").await;
        assert_eq!(raw.text().await, "a");
        lines.push(raw);
    }
    let mut third = open("192.0.2.1").await;
    assert_eq!(third.closed().await.map(|(code, _)| code), Some(4529));
    // What a client writes itself does not help it.
    let mut third = open("203.0.113.5, 192.0.2.1").await;
    assert_eq!(third.closed().await.map(|(code, _)| code), Some(4529));
}
