//! HTTP/2 behind TLS: the API and the pages, no WebSockets, and connections that say nothing or ask for too much.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{Connection, SendRequest, handshake};
use hyper::{Method, Request, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

use crate::patience::{soon, until};
use crate::secure::{Authority, DEADLINE};
use crate::server::Server;

/// One connection, and the task that drives it.
struct Http2 {
    sender: SendRequest<Full<Bytes>>,
    driven: JoinHandle<hyper::Result<()>>,
}

impl Http2 {
    async fn connect(authority: &Authority, server: &Server) -> Self {
        let stream = choose_http2(authority, server).await;
        let (sender, connection): (_, Connection<_, _, _>) =
            soon("a preface", handshake(TokioExecutor::new(), TokioIo::new(stream)))
                .await
                .expect("it is open");
        Self { sender, driven: tokio::spawn(connection) }
    }

    async fn ask(&mut self, method: Method, url: &str, body: &Value) -> (StatusCode, String) {
        let mut request = Request::builder().method(method).uri(url).version(Version::HTTP_2);
        let mut text = String::new();
        if !body.is_null() {
            request = request.header("Content-Type", "application/json");
            text = body.to_string();
        }
        let request = request.body(Full::new(Bytes::from(text))).expect("a request");
        soon("room for a request", self.sender.ready()).await.expect("the line is open");
        let answer = soon("an answer", self.sender.send_request(request)).await.expect("an answer");
        assert_eq!(answer.version(), Version::HTTP_2);
        let status = answer.status();
        let body = soon("its body", answer.into_body().collect()).await.expect("all of it").to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    async fn get(&mut self, url: &str) -> (StatusCode, String) {
        self.ask(Method::GET, url, &Value::Null).await
    }
}

async fn choose_http2(authority: &Authority, server: &Server) -> TlsStream<TcpStream> {
    let stream = soon("a connection", TcpStream::connect(server.address())).await;
    let stream = stream.expect("the server listens");
    let stream = authority.try_over(stream, rustls::ALL_VERSIONS, &[b"h2", b"http/1.1"]).await;
    let stream = stream.expect("the certificate is trusted");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "it is preferred");
    stream
}

#[tokio::test]
async fn the_api_is_there_and_websockets_are_not() {
    let authority = Authority::new();
    let folder = authority.folder("");
    let server = Server::start(&folder);
    let mut http2 = Http2::connect(&authority, &server).await;
    let url = |path: &str| format!("https://localhost{path}");
    assert_eq!(http2.get(&url("/health/ready")).await, (StatusCode::OK, "ok\n".to_owned()));
    let messages = url("/api/v1/channels/chat:a/messages");
    for offset in 1..=50 {
        let (status, body) = http2.ask(Method::POST, &messages, &json!({ "data": offset })).await;
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((status, &body["offset"]), (StatusCode::OK, &json!(offset)), "{body}");
    }
    let (status, page) = http2.get(&messages).await;
    let page: Value = serde_json::from_str(&page).expect("JSON");
    assert_eq!((status, &page["top"]), (StatusCode::OK, &json!(50)), "{page}");
    let (status, said) = http2.get(&url("/ws")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{said}");
    assert!(said.contains("HTTP/1.1"), "{said}");
    // A name that is not this machine's may be an attacker's, here as in HTTP/1.1.
    assert_eq!(http2.get("https://evil.example/health/ready").await.0, StatusCode::FORBIDDEN);
    // Too much of a head, or a body, is refused; the connection stays.
    let (status, _) = http2.ask(Method::POST, &messages, &json!({ "data": "x".repeat(200_000) })).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(http2.get(&url("/health/live")).await.0, StatusCode::OK);
    // A WebSocket beside it, by HTTP/1.1, as browsers open them.
    authority.connect(&server).await.upgrade(&server, "/ws").await;
}

#[tokio::test]
async fn many_requests_at_once_are_answered() {
    let authority = Authority::new();
    let folder = authority.folder("");
    let server = Server::start(&folder);
    let http2 = Http2::connect(&authority, &server).await;
    let asked = (0..200).map(|id| {
        let mut sender = http2.sender.clone();
        tokio::spawn(async move {
            let url = "https://localhost/api/v1/channels/chat:a/messages";
            let request = Request::post(url).header("Content-Type", "application/json");
            let request = request.body(Full::new(Bytes::from(json!({ "data": id }).to_string())));
            sender.ready().await.expect("the line is open");
            sender.send_request(request.expect("a request")).await.map(|answer| answer.status())
        })
    });
    for answer in asked.collect::<Vec<_>>() {
        let status = soon("an answer", answer).await.expect("no panic").expect("it is answered");
        assert_eq!(status, StatusCode::OK);
    }
}

/// The end of a server is no end of a request, and the connection ends in order.
#[tokio::test]
async fn a_connection_ends_in_order_with_its_server() {
    let authority = Authority::new();
    let folder = authority.folder("");
    let server = Server::start(&folder);
    let mut http2 = Http2::connect(&authority, &server).await;
    assert_eq!(http2.get("https://localhost/health/ready").await.0, StatusCode::OK);
    let silent = choose_http2(&authority, &server).await;
    server.signal(Signal::TERM);
    soon("the end of the line", http2.driven).await.expect("no panic").expect("a proper end");
    let (status, said) = server.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
    drop(silent);
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_asked_is_ended() {
    let authority = Authority::new();
    let folder = authority.folder("");
    let server = Server::start(&folder);
    let begun = Instant::now();
    // One begins properly and asks nothing, the other does not even begin.
    let polite = Http2::connect(&authority, &server).await;
    let mut silent = choose_http2(&authority, &server).await;
    soon("the end of the line", polite.driven).await.expect("no panic").expect("a proper end");
    let mut rest = Vec::new();
    let _ = soon("the end of the line", silent.read_to_end(&mut rest)).await;
    assert!(begun.elapsed() >= DEADLINE.mul_f32(0.9), "{:?}", begun.elapsed());
    drop(polite.sender);
}

/// Who takes nothing of its answers makes the server hold few of them.
#[tokio::test]
async fn few_answers_are_held_for_a_client_that_takes_none() {
    let authority = Authority::new();
    let folder = authority.folder("");
    let server = Server::start(&folder);
    let stream = choose_http2(&authority, &server).await;
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(0);
    let opened: (SendRequest<Full<Bytes>>, Connection<_, _, _>) =
        soon("a preface", builder.handshake(TokioIo::new(stream))).await.expect("it is open");
    let (mut sender, connection) = opened;
    let driven = tokio::spawn(connection);
    let heads = Arc::new(AtomicUsize::new(0));
    let mut asked = Vec::new();
    for _ in 0..40 {
        soon("room for a request", sender.ready()).await.expect("the line is open");
        let request = Request::get("https://localhost/health/live").body(Full::default()).expect("a request");
        let (answer, heads) = (sender.send_request(request), Arc::clone(&heads));
        asked.push(tokio::spawn(async move {
            let answer = answer.await;
            heads.fetch_add(1, Ordering::SeqCst);
            answer
        }));
    }
    let count = || heads.load(Ordering::SeqCst);
    until("the first answers begin", || (count() >= 4).then_some(())).await;
    let mut other = Http2::connect(&authority, &server).await;
    for _ in 0..100 {
        assert_eq!(other.get("https://localhost/health/live").await.0, StatusCode::OK, "others are answered");
    }
    assert_eq!(count(), 4, "of 40");
    driven.abort();
    drop(asked);
}

/// Not even where all that there is to say is written down.
#[tokio::test]
async fn no_secret_and_no_payload_is_in_the_log() {
    let authority = Authority::new();
    let folder = authority.folder("");
    let server = Server::verbose(&folder);
    let mut http2 = Http2::connect(&authority, &server).await;
    let url = "https://localhost/api/v1/channels/chat:a/messages";
    let (status, _) = http2.ask(Method::POST, url, &json!({ "data": "SECRET-payload" })).await;
    assert_eq!(status, StatusCode::OK);
    let (status, _) = http2.get(&format!("{url}?token=SECRET-query")).await;
    assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR);
    let request =
        Request::get(url).header("Authorization", "Bearer SECRET-token").header("Cookie", "a=SECRET-cookie");
    let request = request.body(Full::default()).expect("a request");
    let answer = soon("an answer", http2.sender.send_request(request)).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let mut raw = authority.connect(&server).await;
    raw.upgrade(&server, "/echo").await;
    raw.send(crate::raw::TEXT, b"SECRET-echo").await;
    assert_eq!(raw.text().await, "SECRET-echo");
    server.signal(Signal::TERM);
    let (_, said) = server.ended().await;
    assert!(said.contains("TRACE"), "it says all there is");
    assert!(!said.contains("SECRET"), "{:?}", said.lines().find(|line| line.contains("SECRET")));
}

/// What is refused before its body is there is not reset behind the answer, which some clients lose then.
#[tokio::test]
async fn an_answer_that_does_not_wait_for_the_body_is_not_followed_by_a_reset() {
    const RESET: u8 = 3;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    let authority = Authority::new();
    let folder = authority.folder("");
    let server = Server::start(&folder);
    let mut stream = choose_http2(&authority, &server).await;
    let literal = |name: &str, value: &str| {
        let length = |text: &str| u8::try_from(text.len()).expect("short");
        [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
    };
    let head = [
        literal(":method", "POST"),
        literal(":scheme", "https"),
        literal(":authority", "localhost"),
        literal(":path", "/api/v1/channels/chat:a/messages"),
        literal("content-type", "application/json"),
        literal("authorization", "Bearer nobodys"),
    ]
    .concat();
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).expect("short");
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let begin = [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        &frame(SETTINGS, 0, 0, &[]),
        &frame(1, 4, 1, &head),
        &frame(PING, 0, 0, b"the head"),
    ];
    stream.write_all(&begin.concat()).await.expect("it is open");
    let (mut seen, mut answered) = (Vec::new(), false);
    // The head is read, and could be answered; then comes the body, and after the answer another ping.
    loop {
        let mut head = [0; 9];
        soon("a frame", stream.read_exact(&mut head)).await.expect("it is open");
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        soon("a frame", stream.read_exact(&mut payload)).await.expect("it is open");
        let [_, _, _, kind, flags, ..] = head;
        seen.push(kind);
        match (kind, &payload[..]) {
            (PING, b"the head") => {
                stream.write_all(&frame(0, 1, 1, b"{\"data\":1}")).await.expect("it is open");
            }
            (PING, b"the last") => break,
            (0, _) if flags & 1 == 1 => {
                answered = true;
                stream.write_all(&frame(PING, 0, 0, b"the last")).await.expect("it is open");
            }
            _ => {}
        }
    }
    assert!(answered && !seen.contains(&RESET), "{seen:?}");
}

/// Frames that break the protocol, or ask for too much of it.
#[tokio::test]
async fn what_is_no_http2_does_no_harm() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let authority = Authority::new();
    let folder = authority.folder("");
    let server = Server::start(&folder);
    // A request that is taken back at once, again and again (CVE-2023-44487).
    let resets = (0..10_000_u32).flat_map(|number| {
        let stream = (number * 2 + 1).to_be_bytes();
        let head = [&[0, 0, 4, 1, 5][..], &stream, &[0x82, 0x87, 0x84, 0x86]].concat();
        [head, [&[0, 0, 4, 3, 0][..], &stream, &[0, 0, 0, 8]].concat()].concat()
    });
    // A head that never ends (CVE-2024-27316).
    let endless = [0, 0, 4, 1, 0, 0, 0, 0, 1, 0x82, 0x87, 0x84, 0x86]
        .into_iter()
        .chain((0..2_000).flat_map(|_| [&[0, 1, 0, 9, 0, 0, 0, 0, 1][..], &[0; 256]].concat()));
    let hostile: [Vec<u8>; 4] = [
        b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        [PREFACE, &[0xff; 100]].concat(),
        PREFACE.iter().copied().chain(resets).collect(),
        PREFACE.iter().copied().chain(endless).collect(),
    ];
    for bytes in hostile {
        let mut stream = choose_http2(&authority, &server).await;
        // The server may have had enough before all is written.
        let _ = soon("room to write", stream.write_all(&bytes)).await;
        let mut rest = Vec::new();
        let _ = soon("the end of the line", stream.read_to_end(&mut rest)).await;
    }
    let mut http2 = Http2::connect(&authority, &server).await;
    assert_eq!(http2.get("https://localhost/health/ready").await.0, StatusCode::OK);
}
