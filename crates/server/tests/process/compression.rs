//! permessage-deflate as clients meet it: agreed on where they offer it, off where the configuration says so, and no
//! way to make the server do more than it would for messages that come as they are.

use rustix::process::Signal;
use serde_json::{Value, json};
use trunkline_ws_proto::{
    Connection, DeflateOptions, DeflateParams, DeflatePool, Incoming, Limits, MessageKind, Role,
};

use crate::client::{Client, check_alive};
use crate::raw::{Raw, TEXT, frame, handshake};
use crate::rng::Rng;
use crate::server::{Folder, Server};

/// First byte of a whole text message that is compressed.
const COMPRESSED: u8 = 0xC1;

const PATHS: [&str; 3] = ["/ws", "/echo", "/room/x"];

/// What the server agrees to at `path`, if these headers are sent.
async fn agreed(server: &Server, path: &str, headers: &[&str]) -> Option<String> {
    let mut raw = Raw::connect(server).await;
    raw.write(handshake(server, path, headers).as_bytes()).await;
    let response = raw.response().await.expect("an answer");
    assert_eq!(response.status, 101, "{path} {headers:?}: {response:?}");
    response.header("sec-websocket-extensions").map(str::to_owned)
}

/// A client that has agreed on compression, and what it compresses and inflates with.
struct Compressing {
    raw: Raw,
    wire: Connection,
    pool: DeflatePool,
}

impl Compressing {
    /// Connects; the server's window is to be of this many bits.
    async fn open(server: &Server, path: &str, window_bits: u8) -> Self {
        let mut raw = Raw::connect(server).await;
        let offer =
            format!("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits={window_bits}");
        raw.write(handshake(server, path, &[&offer]).as_bytes()).await;
        let response = raw.response().await.expect("an answer");
        let answer = response.header("sec-websocket-extensions").expect("compression is agreed on");
        assert!(answer.contains(&format!("server_max_window_bits={window_bits}")), "{answer}");
        let params = DeflateParams { server_max_window_bits: window_bits, ..DeflateParams::default() };
        let wire = Connection::new(Role::Client, Limits::default()).with_deflate(Some(params));
        Self {
            raw,
            wire,
            pool: DeflatePool::new(DeflateOptions { level: 9, size_min: 0, ..DeflateOptions::default() }),
        }
    }

    /// `text` as a compressed frame.
    fn frame(&mut self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let sent = self.wire.send_with(&mut self.pool, MessageKind::Binary, text, || [1, 2, 3, 4], &mut out);
        sent.expect("the line is open");
        assert_eq!(out[0], 0xC2, "{} bytes get smaller", text.len());
        out[0] = COMPRESSED;
        out
    }

    async fn send(&mut self, text: &str) {
        let frame = self.frame(text.as_bytes());
        self.raw.write(&frame).await;
    }

    /// The next message as text, and the first byte of its frame.
    async fn next(&mut self) -> (u8, String) {
        let (first, payload) = self.raw.frame().await.expect("a message");
        (first, self.inflate(first, &payload))
    }

    /// The text in a frame.
    fn inflate(&mut self, first: u8, payload: &[u8]) -> String {
        let mut frame = unmasked_frame(first, payload);
        match self.wire.receive_with(&mut self.pool, &mut &mut frame[..]) {
            Ok(Some(Incoming::Message { kind: MessageKind::Text, payload })) => {
                String::from_utf8(payload.into_vec()).expect("the server sends UTF-8")
            }
            other => panic!("{other:?}"),
        }
    }

    /// The next one with `word` in it.
    async fn next_with(&mut self, word: &str) -> (u8, String) {
        loop {
            let (first, text) = self.next().await;
            if text.contains(word) {
                return (first, text);
            }
        }
    }
}

fn unmasked_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u64).to_be_bytes();
    match payload.len() {
        length @ 0..=125 => [&[first, length as u8], payload].concat(),
        126..=0xFFFF => [&[first, 126], &length[6..], payload].concat(),
        _ => [&[first, 127], &length[..], payload].concat(),
    }
}

fn publish(channel: &str, text: &str) -> Value {
    json!({ "type": "publish", "channel": channel, "text": text })
}

#[tokio::test]
async fn it_is_agreed_on_where_a_client_offers_it() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    const ALONE: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    for path in PATHS {
        let check = async |offer: &str, expect: Option<&str>| {
            let offer = format!("Sec-WebSocket-Extensions: {offer}");
            assert_eq!(agreed(&server, path, &[&offer]).await.as_deref(), expect, "{path}: {offer}");
        };
        assert_eq!(agreed(&server, path, &[]).await, None, "{path}: not offered");
        check("permessage-deflate", Some(ALONE)).await;
        check("permessage-deflate; client_max_window_bits", Some(ALONE)).await;
        check("x-webkit-deflate-frame, permessage-deflate", Some(ALONE)).await;
        check("permessage-deflate; more, permessage-deflate", Some(ALONE)).await;
        check("permessage-deflate; more", None).await;
        check("x-webkit-deflate-frame", None).await;
        let narrow = format!("{ALONE}; server_max_window_bits=10");
        check("permessage-deflate; server_max_window_bits=10", Some(&narrow)).await;
    }
}

#[tokio::test]
async fn off_by_configuration_it_is_agreed_on_nowhere() {
    let folder = Folder::with_config("[compression]\nenabled = false\n");
    let server = Server::start(&folder);
    for path in PATHS {
        let offer = "Sec-WebSocket-Extensions: permessage-deflate";
        assert_eq!(agreed(&server, path, &[offer]).await, None, "{path}");
        let mut raw = Raw::connect(&server).await;
        raw.write(handshake(&server, path, &[offer]).as_bytes()).await;
        assert_eq!(raw.response().await.expect("an answer").status, 101);
        raw.send(COMPRESSED, b"{}").await;
        assert_eq!(raw.closed().await.map(|(code, _)| code), Some(1002), "{path}");
    }
}

#[tokio::test]
async fn an_echo_comes_back_compressed_if_it_is_worth_it() {
    let folder = Folder::with_config("[compression]\nsize_min = \"1KiB\"\n");
    let server = Server::start(&folder);
    let mut echo = Compressing::open(&server, "/echo", 15).await;
    for (size, first) in [(1_023, TEXT), (1_024, COMPRESSED), (256 << 10, COMPRESSED), (300_000, TEXT)] {
        let text = "Trunk ".repeat(size / 6 + 1);
        echo.send(&text[..size]).await;
        let (back, said) = echo.next().await;
        assert!(back == first && said == text[..size], "{size} bytes came back as {back:x}");
    }
}

/// Everyone gets the same, whatever they agreed on.
#[tokio::test]
async fn publications_are_compressed_for_those_who_agreed_on_it() {
    let folder = Folder::new();
    let server = Server::with_workers(&folder, 2);
    let (mut compressing, mut plain) = (Vec::new(), Vec::new());
    for (me, bits) in [15, 9, 8, 15, 9, 8].into_iter().enumerate() {
        let path = if me < 3 { "/ws" } else { "/room/x" };
        let mut reader = Compressing::open(&server, path, bits).await;
        let mut other = Raw::upgraded(&server, path).await;
        // A room's own words come back when it has joined.
        let (opening, word) = match path {
            "/ws" => (r#"{"type":"subscribe","channel":"room:x"}"#.to_owned(), "subscribed".to_owned()),
            _ => (format!("joined {me}"), format!("joined {me}")),
        };
        reader.raw.send(TEXT, opening.as_bytes()).await;
        reader.next_with(&word).await;
        other.send(TEXT, opening.as_bytes()).await;
        text_with(&mut other, &word).await;
        compressing.push(reader);
        plain.push(other);
    }
    let mut publisher = Client::open(&server).await;
    for text in ["short", &"Hello ".repeat(500)] {
        let published = publisher.ask(publish("room:x", text)).await;
        assert_eq!(published["type"], "published", "{published}");
        for (reader, other) in compressing.iter_mut().zip(&mut plain) {
            let (first, said) = reader.next_with(text).await;
            assert_eq!(said, text_with(other, text).await);
            assert_eq!(first == COMPRESSED, text.len() > 256, "{} bytes", text.len());
        }
    }
    check_alive(&server).await;
}

/// Noise that comes twice: the second time can be told by pointing back at the first, but not out of a narrow window.
#[tokio::test]
async fn nobody_is_sent_what_lies_beyond_its_window() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let seed = Rng::seed();
    eprintln!("TRUNKLINE_TEST_SEED={seed}");
    let mut rng = Rng::new(seed);
    let noise: String = (0..2_000).map(|_| char::from(b'0' + rng.below(64) as u8)).collect();
    let mut sizes = Vec::new();
    for bits in [15, 10] {
        let mut reader = Compressing::open(&server, "/room/x", bits).await;
        reader.raw.send(TEXT, noise.repeat(2).as_bytes()).await;
        let (first, payload) = reader.raw.frame().await.expect("its own message");
        assert_eq!(reader.inflate(first, &payload), noise.repeat(2));
        sizes.push(payload.len());
    }
    assert!(sizes[0] < 2_500 && sizes[1] > 2_500, "{sizes:?}");
}

/// The next message with `word` in it.
async fn text_with(raw: &mut Raw, word: &str) -> String {
    loop {
        let text = raw.text().await;
        if text.contains(word) {
            return text;
        }
    }
}

#[tokio::test]
async fn replies_are_compressed_too() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut client = Client::open(&server).await;
    for number in 0..100 {
        client.publish("chat:h", &json!({ "number": number, "text": "Hello again" })).await;
    }
    let mut reader = Compressing::open(&server, "/ws", 15).await;
    reader.raw.send(TEXT, br#"{"type":"history","channel":"chat:h","after":0,"limit":100}"#).await;
    let (first, page) = reader.next().await;
    let page: Value = serde_json::from_str(&page).expect("JSON");
    assert_eq!((first, page["items"].as_array().map(Vec::len)), (COMPRESSED, Some(100)));
}

/// The limits count what comes out, not what was sent.
#[tokio::test]
async fn a_message_is_measured_as_it_comes_out() {
    let folder = Folder::with_config("[namespace.tiny]\nkind = \"log\"\nlimits = { message = \"1000B\" }\n");
    let server = Server::start(&folder);
    let mut client = Compressing::open(&server, "/ws", 15).await;
    let mut check = async |size: usize, part: &str| {
        let mut command = publish("tiny:a", &"x".repeat(size));
        command["id"] = size.into();
        client.send(&command.to_string()).await;
        let (_, said) = client.next().await;
        assert!(said.contains(part), "{size} bytes: {said}");
    };
    check(1_000, r#""type":"published""#).await;
    check(1_001, r#""code":"too_large""#).await;
    check(60_000, r#""code":"too_large""#).await;
    check(999, r#""type":"published""#).await;
    let mut room = Compressing::open(&server, "/room/x", 15).await;
    room.send(&"x".repeat(20_000)).await;
    assert_eq!(room.raw.closed().await.map(|(code, _)| code), Some(4413));
    check_alive(&server).await;
}

/// Little on the wire that becomes much: stopped at the limit of what may come out.
#[tokio::test]
async fn a_bomb_is_1009_and_the_server_goes_on() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    // The last one is within the limit of its size, but not of its ratio.
    for (path, size) in
        [("/ws", 65_537), ("/ws", 50 << 20), ("/room/x", 65_537), ("/echo", 17 << 20), ("/echo", 15 << 20)]
    {
        let mut bomber = Compressing::open(&server, path, 15).await;
        let bomb = bomber.frame(&vec![b' '; size]);
        assert!(bomb.len() * 500 < size);
        bomber.raw.try_write(&bomb).await;
        let told = bomber.raw.closed().await;
        assert_eq!(told.map(|(code, _)| code), Some(1009), "{path}, {size} bytes");
        check_alive(&server).await;
    }
}

#[tokio::test]
async fn what_is_no_deflate_is_1007() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    for path in PATHS {
        let mut broken = Compressing::open(&server, path, 15).await;
        broken.raw.write(&frame(COMPRESSED, b"\xff\xff\xff\xff")).await;
        assert_eq!(broken.raw.closed().await.map(|(code, _)| code), Some(1007), "{path}");
    }
    check_alive(&server).await;
}

/// What one turn reads of one connection can become a thousand times as much. Others are served in between, and nothing is lost.
#[tokio::test]
async fn much_out_of_one_read_waits_for_its_turn() {
    const MESSAGES: usize = 1_400;
    let folder =
        Folder::with_config("[namespace.room]\nkind = \"signal\"\nlimits = { message = \"64KiB\" }\n");
    let server = Server::with_workers(&folder, 1);
    let mut much = Compressing::open(&server, "/room/x", 15).await;
    let mut other = Raw::upgraded(&server, "/room/x").await;
    much.raw.send(TEXT, b"in").await;
    much.next_with("in").await;
    let mut burst = Vec::new();
    for number in 0..MESSAGES {
        burst.extend(much.frame(format!("{number:>60000}").as_bytes()));
    }
    let reads = burst.len() >> 16;
    assert!(
        (1..4).contains(&reads),
        "{} bytes are one read and a part, and no more than a turn",
        burst.len()
    );
    // Both have something to say when the server looks.
    server.signal(Signal::STOP);
    much.raw.write(&burst).await;
    other.send(TEXT, b"and me?").await;
    server.signal(Signal::CONT);
    let (mut number, mut heard_at) = (0, None);
    while number < MESSAGES || heard_at.is_none() {
        match much.next().await {
            (TEXT, text) if text == "and me?" => heard_at = Some(number),
            (first, text) => {
                assert_eq!((first, text.trim_start()), (COMPRESSED, &*number.to_string()));
                number += 1;
            }
        }
    }
    assert!(heard_at < Some(MESSAGES / 4), "another connection was heard after {heard_at:?} messages");
}
