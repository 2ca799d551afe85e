//! Handshakes that are refused, each with its status and a reason that a client's author can read.

use crate::client::check_alive;
use crate::raw::{Raw, handshake};
use crate::server::{Folder, Server};

/// Sends the handshake that `change` makes of a good one.
async fn check(server: &Server, what: &str, change: impl Fn(String) -> String, status: u16, reason: &str) {
    let good = handshake(server, "/ws", &[]);
    let sent = change(good.clone());
    assert!(sent != good || status == 101, "{what}: nothing was changed");
    let mut raw = Raw::connect(server).await;
    raw.write(sent.as_bytes()).await;
    let response = raw.response().await.unwrap_or_else(|| panic!("{what}: no answer"));
    assert_eq!(response.status, status, "{what}: {response:?}");
    assert!(response.body.contains(reason), "{what}: {:?} should contain {reason:?}", response.body);
    if status == 426 {
        assert_eq!(response.header("sec-websocket-version"), Some("13"), "{what}: {response:?}");
    }
}

/// The handshake without the header `name`.
fn without(request: &str, name: &str) -> String {
    let start = request.find(&format!("{name}: ")).expect("it is there");
    let end = start + request[start..].find("\r\n").expect("a line ends") + 2;
    request[..start].to_owned() + &request[end..]
}

/// The handshake with one more header line.
fn with(request: &str, line: &str) -> String {
    format!("{}{line}\r\n\r\n", request.strip_suffix("\r\n").expect("it ends with an empty line"))
}

#[tokio::test]
async fn handshakes_that_break_the_rules_are_refused_with_a_reason() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let check = async |what: &str, change: &dyn Fn(String) -> String, status: u16, reason: &str| {
        check(&server, what, change, status, reason).await;
    };
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    check("a good one", &|good| good, 101, "").await;
    check("a key of 10 bytes", &|good| good.replace(key, "MDEyMzQ1Njc4OQ=="), 400, "it is 10 bytes").await;
    check("a key that is not base64", &|good| good.replace(key, "?"), 400, "not base64").await;
    check("an empty key", &|good| good.replace(key, ""), 400, "Sec-WebSocket-Key").await;
    check("no key", &|good| without(&good, "Sec-WebSocket-Key"), 400, "Sec-WebSocket-Key header is missing")
        .await;
    let two_keys = |good: String| with(&good, &format!("Sec-WebSocket-Key: {key}"));
    check("two keys", &two_keys, 400, "more than once").await;
    let old = |good: String| good.replace("Version: 13", "Version: 12");
    check("version 12", &old, 426, "must be 13").await;
    check("no version", &|good| without(&good, "Sec-WebSocket-Version"), 400, "Version header is missing")
        .await;
    check("no upgrade", &|good| without(&good, "Upgrade"), 426, "Upgrade: websocket").await;
    check("no connection", &|good| without(&good, "Connection"), 400, "Connection").await;
    check("an upgrade to h2c", &|good| good.replace("Upgrade: websocket", "Upgrade: h2c"), 426, "").await;
    check("HTTP/1.0", &|good| good.replace("HTTP/1.1", "HTTP/1.0"), 400, "HTTP/1.1").await;
    check("POST", &|good| good.replace("GET ", "POST "), 405, "GET").await;
    check("a body", &|good| with(&good, "Content-Length: 5") + "hello", 400, "no body").await;
    let chunked = |good: String| with(&good, "Transfer-Encoding: chunked") + "0\r\n\r\n";
    check("a chunked body", &chunked, 400, "no body").await;
    check("no host", &|good| without(&good, "Host"), 400, "").await;
    check("two hosts", &|good| with(&good, "Host: localhost"), 400, "").await;
    check("a subprotocol twice", &|good| with(&good, "Sec-WebSocket-Protocol: a, a"), 400, "Protocol").await;
    let absolute = |good: String| good.replace("GET /ws ", "GET http://elsewhere.example/ws ");
    check("an absolute target", &absolute, 400, "target").await;
    check("a foreign subprotocol", &|good| with(&good, "Sec-WebSocket-Protocol: mqtt"), 101, "").await;
    check_alive(&server).await;
}

#[tokio::test]
async fn pages_of_other_origins_may_not_connect() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let own = format!("http://{}", server.address());
    let localhost = format!("http://localhost:{}", server.address().port());
    let cases = [
        (&*own, 101),
        ("https://evil.example", 403),
        ("null", 403),
        (&*localhost, 403),
        ("http://127.0.0.1", 403),
        (&*format!("{own}.evil.example"), 403),
        (&*format!("http://evil.example@{}", server.address()), 403),
        ("", 403),
    ];
    for path in ["/ws", "/room/x", "/echo"] {
        for (origin, status) in cases {
            let mut raw = Raw::connect(&server).await;
            raw.write(handshake(&server, path, &[&format!("Origin: {origin}")]).as_bytes()).await;
            let response = raw.response().await.expect("an answer");
            assert_eq!(response.status, status, "{path} from {origin:?}: {response:?}");
        }
    }
    check_alive(&server).await;
}

#[tokio::test]
async fn rooms_need_a_name() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    for (path, status) in [
        ("/room/", 404),
        ("/room", 404),
        ("/room/a/b", 404),
        ("/room/a%20b", 400),
        ("/room/%C3%A9", 400),
        ("/room/%ff", 400),
        ("/room/a%2Fb", 400),
        ("/room/a%3Ab", 101),
    ] {
        let mut raw = Raw::connect(&server).await;
        raw.write(handshake(&server, path, &[]).as_bytes()).await;
        assert_eq!(raw.response().await.expect("an answer").status, status, "{path}");
    }
    let long = format!("/room/{}", "x".repeat(255));
    let mut raw = Raw::connect(&server).await;
    raw.write(handshake(&server, &long, &[]).as_bytes()).await;
    assert_eq!(raw.response().await.expect("an answer").status, 400, "room: and 255 bytes are too long");
    check_alive(&server).await;
}

#[tokio::test]
async fn the_answer_fits_the_key_and_names_the_subprotocol() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut raw = Raw::connect(&server).await;
    raw.write(handshake(&server, "/ws", &["Sec-WebSocket-Protocol: trunkline.v1"]).as_bytes()).await;
    let response = raw.response().await.expect("an answer");
    assert_eq!(response.header("sec-websocket-protocol"), Some("trunkline.v1"));
    assert_eq!(response.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
}
