//! HTTP requests that are refused: what is no request at all, what is too large, and what the API does not know.

use std::fmt::Write as _;

use serde_json::json;

use crate::client::check_alive;
use crate::http::{Response, ask, get, post};
use crate::raw::Raw;
use crate::server::{Folder, Server};

const MESSAGES: &str = "/api/v1/channels/chat:a/messages";
const JSON: (&str, &str) = ("Content-Type", "application/json");

async fn raw_answer(server: &Server, request: &str) -> Option<Response> {
    let mut raw = Raw::connect(server).await;
    raw.try_write(request.as_bytes()).await;
    raw.response().await
}

async fn top(server: &Server) -> u64 {
    get(server, MESSAGES).await.json()["top"].as_u64().expect("a page has a top")
}

#[tokio::test]
async fn a_bad_publish_is_a_problem() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let own = format!("http://{}", server.address());
    let good = r#"{"data":1}"#;
    let long_key = json!({ "data": 1, "key": "k".repeat(65) }).to_string();
    let over_message = json!({ "text": "x".repeat(20_000) }).to_string();
    let over_body = json!({ "text": "x".repeat(70_000) }).to_string();
    let check = async |headers: &[(&str, &str)], body: &str, status: u16, code: &str| {
        ask(&server, "POST", MESSAGES, headers, body).await.expect_problem(status, code);
    };
    check(&[("Content-Type", "text/plain")], good, 415, "bad_request").await;
    check(&[("Content-Type", "application/x-www-form-urlencoded")], good, 415, "bad_request").await;
    check(&[], good, 415, "bad_request").await;
    check(&[JSON, ("Origin", "https://evil.example")], good, 403, "forbidden").await;
    check(&[JSON, ("Origin", "null")], good, 403, "forbidden").await;
    check(&[JSON], "", 400, "bad_request").await;
    check(&[JSON], "[]", 400, "bad_request").await;
    check(&[JSON], "{\"data\":", 400, "bad_request").await;
    check(&[JSON], "{}", 400, "bad_request").await;
    check(&[JSON], r#"{"data":1,"text":"x"}"#, 400, "bad_request").await;
    check(&[JSON], &long_key, 400, "bad_request").await;
    check(&[JSON], r#"{"data":1,"key":"ir4o1o00-x"}"#, 409, "key_expired").await;
    check(&[JSON], &over_message, 413, "too_large").await;
    check(&[JSON], &over_body, 413, "too_large").await;
    post(&server, "nowhere:a", &json!({ "data": 1 })).await.expect_problem(404, "unknown_namespace");
    post(&server, "a%20b", &json!({ "data": 1 })).await.expect_problem(400, "bad_request");
    post(&server, "%ff", &json!({ "data": 1 })).await.expect_problem(400, "bad_request");
    assert_eq!(top(&server).await, 0, "nothing of it was stored");
    let page = [("Content-Type", "Application/JSON; charset=utf-8"), ("Origin", &*own)];
    assert_eq!(ask(&server, "POST", MESSAGES, &page, good).await.status, 200);

    let mut raw = Raw::connect(&server).await;
    let head = format!(
        "POST {MESSAGES} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n"
    );
    raw.write(&[head.as_bytes(), b"{\"text\":\"\xff\"}"].concat()).await;
    raw.response().await.expect("an answer").expect_problem(400, "bad_request");
    check_alive(&server).await;
}

#[tokio::test]
async fn a_bad_question_is_a_problem() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    for (query, status, code) in [
        ("?before=x", 400, "bad_request"),
        ("?before=-1", 400, "bad_request"),
        ("?before=18446744073709551616", 400, "bad_request"),
        ("?limit=0", 400, "bad_request"),
        ("?limit=1001", 400, "bad_request"),
        ("?limit=", 400, "bad_request"),
        ("?before=9&after=1", 400, "bad_request"),
        ("?since=1", 400, "bad_request"),
        ("?limit=1&limit=2", 400, "bad_request"),
        ("?at=a1f", 400, "bad_request"),
        ("?at=A1F:1", 400, "bad_request"),
        ("?at=a1f:x", 400, "bad_request"),
        ("?at=a1f:7", 410, "rewound"),
    ] {
        get(&server, &format!("{MESSAGES}{query}")).await.expect_problem(status, code);
    }
    get(&server, "/api/v1/channels/nowhere:a/messages").await.expect_problem(404, "unknown_namespace");
    get(&server, "/api/v1/channels/a%20b/messages").await.expect_problem(400, "bad_request");
    for unknown in ["/api", "/api/", "/api/v1", "/api/v1/channels", "/api/v2/channels/chat:a/messages"] {
        get(&server, unknown).await.expect_problem(404, "not_found");
    }
    for method in ["DELETE", "PUT", "PATCH"] {
        let refused = ask(&server, method, MESSAGES, &[], "").await;
        assert_eq!(refused.status, 405, "{method}: {refused:?}");
        assert!(refused.header("allow").is_some_and(|allow| allow.contains("GET")), "{refused:?}");
    }
    assert_eq!(get(&server, "/nowhere").await.status, 404);
    assert_eq!(ask(&server, "POST", "/", &[], "").await.status, 405);
    assert_eq!(get(&server, "/").await.status, 200);
    assert_eq!(get(&server, "/health/live").await.status, 200);
    check_alive(&server).await;
}

#[tokio::test]
async fn heads_have_limits() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let many = |count: usize| {
        let mut request = String::from("GET /health/live HTTP/1.1\r\nHost: localhost\r\n");
        for at in 1..count {
            write!(request, "X-{at}: y\r\n").expect("a String takes all");
        }
        request + "\r\n"
    };
    assert_eq!(raw_answer(&server, &many(100)).await.expect("an answer").status, 200);
    assert_eq!(raw_answer(&server, &many(101)).await.expect("an answer").status, 431);
    assert_eq!(raw_answer(&server, &many(500)).await.expect("an answer").status, 431);
    let long = |size: usize| {
        format!("GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "y".repeat(size))
    };
    assert_eq!(raw_answer(&server, &long(12 << 10)).await.expect("an answer").status, 200);
    assert_eq!(raw_answer(&server, &long(20 << 10)).await.expect("an answer").status, 431);
    let target = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "y".repeat(20 << 10));
    let status = raw_answer(&server, &target).await.expect("an answer").status;
    assert!(matches!(status, 414 | 431), "{status}");
    check_alive(&server).await;
}

/// What two servers in a row might read differently must not be read at all, or in one way only.
#[tokio::test]
async fn requests_that_could_be_read_in_two_ways_are_refused() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let post = format!("POST {MESSAGES} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
    let body = r#"{"data":"smuggled"}"#;
    let length = body.len();
    let inner = format!("{post}Content-Length: {length}\r\n\r\n{body}");
    let cases = [
        ("two lengths", format!("{post}Content-Length: 0\r\nContent-Length: {}\r\n\r\n{inner}", inner.len())),
        ("a list of lengths", format!("{post}Content-Length: 0, {}\r\n\r\n{inner}", inner.len())),
        ("a length with a sign", format!("{post}Content-Length: +{length}\r\n\r\n{body}")),
        ("a length in hexadecimal", format!("{post}Content-Length: 0x13\r\n\r\n{body}")),
        ("an unknown coding", format!("{post}Transfer-Encoding: xchunked\r\n\r\n{inner}")),
        ("a coding after chunked", format!("{post}Transfer-Encoding: chunked, identity\r\n\r\n{inner}")),
        ("a space before the colon", format!("{post}Content-Length : {length}\r\n\r\n{body}")),
        ("a folded header", format!("{post}X: a\r\n Content-Length: {length}\r\n\r\n{body}")),
        ("a bare CR in a header", format!("{post}X: a\rContent-Length: {length}\r\n\r\n{body}")),
        ("a NUL in a header", format!("{post}X: a\0b\r\nContent-Length: {length}\r\n\r\n{body}")),
        ("no HTTP at all", "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned()),
        ("HTTP/2 without asking", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        ("HTTP/3.0", "GET / HTTP/3.0\r\nHost: localhost\r\n\r\n".to_owned()),
        ("a method of nothing", " / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned()),
    ];
    for (what, request) in cases {
        // No answer at all is an answer too; but the line must end.
        let answer = raw_answer(&server, &request).await;
        let status = answer.as_ref().map_or(400, |response| response.status);
        assert!((400..500).contains(&status), "{what}: {answer:?}");
        assert_eq!(top(&server).await, 0, "{what}: something was stored");
    }
    check_alive(&server).await;
}

/// A length beside chunks: the chunks count (RFC 9112 section 6.3) or it is refused; what follows is never taken
/// for a request of its own.
#[tokio::test]
async fn a_length_beside_chunks_smuggles_nothing() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let post = format!("POST {MESSAGES} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
    let inner = format!("{post}Content-Length: 10\r\n\r\n{{\"data\":1}}");
    let lines = [
        "Content-Length: 6\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 6",
    ];
    for line in lines {
        let mut raw = Raw::connect(&server).await;
        raw.write(format!("{post}{line}\r\n\r\n0\r\n\r\n{inner}").as_bytes()).await;
        let first = raw.response().await.expect("an answer");
        assert_eq!(first.status, 400, "an empty body is no publication: {first:?}");
        let second = raw.response().await;
        assert!(second.is_none(), "the line must not go on behind it: {second:?}");
        assert_eq!(top(&server).await, 0, "{line:?}: something was smuggled in");
    }
    check_alive(&server).await;
}

#[tokio::test]
async fn an_absolute_target_is_served_as_its_path_or_refused() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    for (target, allowed) in [
        ("http://elsewhere.example/health/live", &[200, 400][..]),
        ("http://elsewhere.example/api/nowhere", &[404, 400]),
        ("elsewhere.example:443", &[400, 404, 405]),
        ("*", &[400, 404, 405]),
    ] {
        let status = get(&server, target).await.status;
        assert!(allowed.contains(&status), "{target}: {status}");
    }
    let connect = "CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: elsewhere.example:443\r\n\r\n";
    let refused = raw_answer(&server, connect).await.expect("an answer");
    assert!((400..500).contains(&refused.status), "{refused:?}");
    check_alive(&server).await;
}

/// A page whose name was made to point at this machine (DNS rebinding) is of the same origin as itself.
#[tokio::test]
async fn only_loopback_names_are_answered() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let port = server.address().port();
    for (host, status) in
        [("localhost", 200), ("127.0.0.1", 200), ("[::1]", 200), ("evil.example", 403), ("10.0.0.1", 403)]
    {
        let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
        let answer = raw_answer(&server, &request("/health/live")).await.expect("an answer");
        assert_eq!(answer.status, status, "{host}");
        let upgrade = request("/ws").replace(
            "\r\n\r\n",
            &format!(
                "\r\nOrigin: http://{host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            ),
        );
        let answer = raw_answer(&server, &upgrade).await.expect("an answer");
        assert_eq!(answer.status, if status == 200 { 101 } else { 403 }, "{host}");
    }
}

/// Requests on one connection, one behind the other without waiting.
#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut raw = Raw::connect(&server).await;
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    raw.write([one("/health/live"), one("/api/none"), one(MESSAGES), one("/nowhere")].concat().as_bytes())
        .await;
    for status in [200, 404, 200, 404] {
        assert_eq!(raw.response().await.expect("an answer").status, status);
    }
    raw.try_write(b"and then garbage\r\n\r\n").await;
    let end = raw.response().await;
    assert!(end.as_ref().is_none_or(|response| response.status == 400), "{end:?}");
    assert!(raw.response().await.is_none(), "the line ends behind garbage");
    check_alive(&server).await;
}

/// A body that does not come to its end: the request is answered when its deadline (20 s) has passed, and the
/// line, whose rest nobody can read, is closed.
#[tokio::test]
async fn a_body_that_never_comes_is_not_waited_for() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut raw = Raw::connect(&server).await;
    let head = format!("POST {MESSAGES} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
    raw.write(format!("{head}Content-Length: 900\r\n\r\n{{\"data\":").as_bytes()).await;
    let answer = raw.response().await.expect("an answer");
    answer.expect_problem(504, "timeout");
    assert!(raw.response().await.is_none(), "the line ends");
    assert_eq!(top(&server).await, 0);
    check_alive(&server).await;
}

/// A head that does not come to its end: the line is closed when the deadline (10 s) has passed.
#[tokio::test]
async fn a_head_that_never_ends_is_not_waited_for() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut silent = Raw::connect(&server).await;
    let mut slow = Raw::connect(&server).await;
    slow.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await;
    for raw in [&mut silent, &mut slow] {
        let answer = raw.response().await;
        assert!(answer.as_ref().is_none_or(|response| response.status == 408), "{answer:?}");
    }
    check_alive(&server).await;
}
