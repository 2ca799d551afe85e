//! Frames that break the WebSocket protocol or its limits, and lines that break off in the midst of one.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::client::{Client, check_alive};
use crate::raw::{BINARY, CLOSE, PING, Raw, TEXT, frame, handshake};
use crate::rng::Rng;
use crate::server::{Folder, Server};

/// What is written, and the code of the close frame that answers it.
fn broken_frames() -> Vec<(&'static str, Vec<u8>, u16)> {
    let fragmented = |rest: &[u8]| [&frame(0x01, b"\xe2\x82"), &frame(0x80, rest)[..]].concat();
    vec![
        ("not masked", vec![TEXT, 2, b'{', b'}'], 1002),
        ("RSV1 set", frame(0xC1, b"{}"), 1002),
        ("RSV2 set", frame(0xA1, b"{}"), 1002),
        ("RSV3 set", frame(0x91, b"{}"), 1002),
        ("opcode 3", frame(0x83, b"{}"), 1002),
        ("opcode 15", frame(0x8F, b""), 1002),
        ("a fragmented ping", frame(0x09, b"hi"), 1002),
        ("a fragmented close", frame(0x08, &[3, 232]), 1002),
        ("a ping of 126 bytes", frame(PING, &[b'x'; 126]), 1002),
        ("a continuation of nothing", frame(0x80, b"{}"), 1002),
        ("a message within a message", [frame(0x01, b"{"), frame(TEXT, b"{}")].concat(), 1002),
        ("a length that is not the shortest", vec![TEXT, 0xFE, 0, 2, 0, 0, 0, 0, b'{', b'}'], 1002),
        ("a length of 2^63", [&[TEXT, 0xFF, 0x80][..], &[0; 11]].concat(), 1002),
        ("a close frame of one byte", frame(CLOSE, &[3]), 1002),
        ("close code 1005", frame(CLOSE, &1005u16.to_be_bytes()), 1002),
        ("close code 999", frame(CLOSE, &999u16.to_be_bytes()), 1002),
        ("close code 5000", frame(CLOSE, &5000u16.to_be_bytes()), 1002),
        ("a close reason that is not UTF-8", frame(CLOSE, &[3, 232, 0xFF]), 1007),
        ("text that is not UTF-8", frame(TEXT, b"{\"type\":\"\xff\"}"), 1007),
        ("text with a surrogate", frame(TEXT, b"\xed\xa0\x80"), 1007),
        ("half a character across fragments", fragmented(b"x"), 1007),
        ("half a character at the end", frame(TEXT, b"\xe2\x82"), 1007),
        (
            "a frame announced with 65,537 bytes",
            [&[TEXT, 0xFF][..], &65_537u64.to_be_bytes(), &[0; 4]].concat(),
            1009,
        ),
        (
            "a frame announced with 2^62 bytes",
            [&[TEXT, 0xFF][..], &(1u64 << 62).to_be_bytes(), &[0; 4]].concat(),
            1009,
        ),
        (
            "fragments of 80,000 bytes",
            [frame(0x01, &[b'a'; 40_000]), frame(0x80, &[b'a'; 40_000])].concat(),
            1009,
        ),
    ]
}

#[tokio::test]
async fn broken_frames_are_answered_with_their_close_code() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    for path in ["/ws", "/room/x"] {
        for (what, bytes, expect) in broken_frames() {
            let mut raw = Raw::upgraded(&server, path).await;
            raw.write(&bytes).await;
            let told = raw.closed().await;
            let (code, reason) = told.unwrap_or_else(|| panic!("{path}, {what}: no close frame"));
            assert_eq!(code, expect, "{path}, {what}: {reason}");
            assert!(!reason.is_empty(), "{path}, {what}: no reason");
        }
    }
    check_alive(&server).await;
}

/// The rest of the line after a broken frame is not looked at any more.
#[tokio::test]
async fn nothing_counts_after_a_broken_frame() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let publish = br#"{"type":"publish","id":1,"channel":"chat:a","data":1}"#;
    for bad in [frame(0x83, b""), frame(CLOSE, &1000u16.to_be_bytes())] {
        let mut raw = Raw::upgraded(&server, "/ws").await;
        raw.write(&[bad, frame(TEXT, publish)].concat()).await;
        assert!(raw.closed().await.is_some());
    }
    let mut client = Client::open(&server).await;
    let page = client.ask(json!({ "type": "history", "channel": "chat:a" })).await;
    assert_eq!(page["top"], 0, "{page}");
    client.close().await;
}

#[tokio::test]
async fn a_binary_frame_on_ws_is_4400() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut raw = Raw::upgraded(&server, "/ws").await;
    raw.send(BINARY, b"{\"type\":\"ping\"}").await;
    assert_eq!(raw.closed().await.map(|(code, _)| code), Some(4400));
    check_alive(&server).await;
}

/// Over the namespace's limit and under the frame's: an error, and the line stays.
#[tokio::test]
async fn a_message_over_its_limit_is_an_error_and_the_line_stays() {
    let folder = Folder::with_config("[namespace.tiny]\nkind = \"log\"\nlimits = { message = \"10B\" }\n");
    let server = Server::start(&folder);
    let mut client = Client::open(&server).await;
    let mut check = async |channel: &str, payload: Value, fits: bool| {
        let mut command = payload;
        command["type"] = "publish".into();
        command["channel"] = channel.into();
        let answer = client.ask(command).await;
        if fits {
            assert_eq!(answer["type"], "published", "{answer}");
        } else {
            assert_eq!(
                (&answer["type"], &answer["code"]),
                (&json!("error"), &json!("too_large")),
                "{answer}"
            );
            assert_eq!(answer["channel"], channel, "{answer}");
        }
    };
    check("chat:a", json!({ "text": "x".repeat(16 * 1024) }), true).await;
    check("chat:a", json!({ "text": "x".repeat(16 * 1024 + 1) }), false).await;
    check("chat:a", json!({ "data": "x".repeat(60_000) }), false).await;
    check("tiny:a", json!({ "text": "1234567890" }), true).await;
    check("tiny:a", json!({ "text": "12345678901" }), false).await;
    check("tiny:a", json!({ "data": "12345678" }), true).await;
    check("tiny:a", json!({ "data": "123456789" }), false).await;
    check("tiny:a", json!({ "binary": "AAECAwQFBgcICQ==" }), true).await;
    check("tiny:a", json!({ "binary": "AAECAwQFBgcICQo=" }), false).await;
    client.close().await;

    let mut room = Raw::upgraded(&server, "/room/x").await;
    room.send(TEXT, &[b'x'; 20_000]).await;
    assert_eq!(room.closed().await.map(|(code, _)| code), Some(4413), "a room has no words, only a code");
    check_alive(&server).await;
}

#[tokio::test]
async fn an_echo_has_a_limit_too() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut raw = Raw::upgraded(&server, "/echo").await;
    raw.write(&[&[BINARY, 0xFF][..], &((16u64 << 20) + 1).to_be_bytes(), &[0; 4]].concat()).await;
    assert_eq!(raw.closed().await.map(|(code, _)| code), Some(1009));
    check_alive(&server).await;
}

/// A frame and a handshake in one packet, byte by byte, and cut off at every byte.
#[tokio::test]
async fn frames_may_come_in_any_pieces_and_break_off_anywhere() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let ping = frame(TEXT, br#"{"type":"ping","id":"p"}"#);
    let mut raw = Raw::connect(&server).await;
    raw.write(&[handshake(&server, "/ws", &[]).as_bytes(), &ping].concat()).await;
    assert_eq!(raw.response().await.expect("an answer").status, 101);
    assert!(raw.text().await.contains(r#""type":"pong""#), "what came with the handshake is answered");

    let mut raw = Raw::connect(&server).await;
    raw.stream.set_nodelay(true).expect("a TCP option");
    for byte in handshake(&server, "/ws", &[]).as_bytes() {
        raw.write(&[*byte]).await;
    }
    assert_eq!(raw.response().await.expect("an answer").status, 101);
    for byte in &ping {
        raw.write(&[*byte]).await;
    }
    assert!(raw.text().await.contains(r#""type":"pong""#));

    for cut in 1..ping.len() {
        let mut raw = Raw::upgraded(&server, "/ws").await;
        raw.write(&ping[..cut]).await;
        raw.stream.shutdown().await.expect("the line is open");
        assert_eq!(raw.closed().await, None, "cut after {cut} bytes");
    }
    check_alive(&server).await;
}

/// Bytes that are no frames behind a handshake.
#[tokio::test]
async fn http_behind_an_upgrade_is_no_frame() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut raw = Raw::connect(&server).await;
    let request = handshake(&server, "/ws", &[]);
    raw.write(format!("{request}GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await;
    assert_eq!(raw.response().await.expect("an answer").status, 101);
    assert_eq!(raw.closed().await.map(|(code, _)| code), Some(1002));
    check_alive(&server).await;
}

/// Half-closed behind a whole command: it is done, and its answer may still be read.
#[tokio::test]
async fn a_half_closed_line_ends_and_harms_nobody() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut raw = Raw::upgraded(&server, "/ws").await;
    raw.send(TEXT, br#"{"type":"ping","id":"p"}"#).await;
    raw.stream.shutdown().await.expect("the line is open");
    assert!(raw.text().await.contains(r#""type":"pong""#));
    assert_eq!(raw.closed().await, None);
    check_alive(&server).await;
}

/// Anything at all, before the handshake and after it; and commands with some bytes changed.
#[tokio::test]
async fn random_bytes_harm_nobody() {
    let seed = Rng::seed();
    eprintln!("TRUNKLINE_TEST_SEED={seed}");
    let mut rng = Rng::new(seed);
    let folder = Folder::new();
    let server = Server::start(&folder);
    for round in 0..200 {
        let mut raw = Raw::connect(&server).await;
        if round % 4 != 0 {
            raw.upgrade(&server, ["/ws", "/room/x", "/echo"][round % 3]).await;
        }
        let bytes: Vec<u8> = (0..rng.below(400)).map(|_| rng.next() as u8).collect();
        raw.try_write(&bytes).await;
        // It may be gone already.
        let _ = raw.stream.shutdown().await;
        raw.closed().await;
    }
    const COMMAND: &[u8] =
        br#"{"type":"subscribe","id":"a","channel":"chat:a","last":7,"since":{"epoch":"a1f","offset":9}}"#;
    let mut raw = Raw::upgraded(&server, "/ws").await;
    for _ in 0..500 {
        let mut command = COMMAND.to_vec();
        for _ in 0..=rng.below(3) {
            let at = rng.below(command.len());
            command[at] = b' ' + (rng.below(95) as u8);
        }
        raw.send(TEXT, &command).await;
        raw.text().await;
    }
    check_alive(&server).await;
}

/// A reset (SO_LINGER 0) at every stage of a connection's life.
#[tokio::test]
async fn resets_harm_nobody() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let half = handshake(&server, "/ws", &[]);
    let publish = frame(TEXT, br#"{"type":"publish","id":1,"channel":"chat:r","data":1}"#);
    let subscribe = frame(TEXT, br#"{"type":"subscribe","channel":"chat:r"}"#);
    for round in 0..60 {
        let mut raw = Raw::connect(&server).await;
        match round % 6 {
            0 => {}
            1 => raw.write(&half.as_bytes()[..40]).await,
            2 => raw.write(half.as_bytes()).await,
            3 => raw.upgrade(&server, "/ws").await,
            4 => {
                raw.upgrade(&server, "/ws").await;
                raw.write(&publish).await;
            }
            _ => {
                raw.upgrade(&server, "/ws").await;
                raw.write(&[subscribe.clone(), publish.clone(), publish[..9].to_vec()].concat()).await;
            }
        }
        raw.stream.set_zero_linger().expect("a TCP option");
    }
    check_alive(&server).await;
}
