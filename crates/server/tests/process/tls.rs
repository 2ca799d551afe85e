//! TLS at the one port: WebSockets and the API behind it, what a slow or hostile other side does to it, and the certificate,
//! which is replaced while the server runs. The worker's loop is tested with a cipher that can be read in `node`.

use std::time::Instant;

use rustix::process::Signal;
use rustls::version::{TLS12, TLS13};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::client::Client;
use crate::http::ask_at;
use crate::patience::soon;
use crate::raw::{CLOSE, PING, Raw, TEXT, frame, handshake};
use crate::secure::{Authority, DEADLINE, TLS};
use crate::server::{Folder, Server, run};

/// Whether a new client can connect, publish and hear itself.
async fn check_alive(authority: &Authority, server: &Server) {
    let mut client = authority.client(server).await;
    check_talks(&mut client).await;
    client.close().await;
}

async fn check_talks(client: &mut Client) {
    let subscribed = client.ask(json!({ "type": "subscribe", "channel": "chat:alive" })).await;
    assert_eq!(subscribed["type"], "subscribed", "{subscribed}");
    let published = client.publish("chat:alive", &json!("still here")).await;
    assert_eq!(published["type"], "published", "{published}");
    let heard = client.next().await;
    assert_eq!((&heard["data"], &heard["offset"]), (&json!("still here"), &published["offset"]), "{heard}");
}

#[tokio::test]
async fn the_api_and_websockets_are_there_with_both_versions() {
    let authority = Authority::new();
    let folder = authority.folder("");
    let server = Server::start(&folder);
    assert!(server.ready().starts_with("https://127.0.0.1:"), "{}", server.ready());
    check_alive(&authority, &server).await;
    for version in [&TLS12, &TLS13] {
        let mut raw = authority.connect_with(&server, version).await;
        for _ in 0..2 {
            raw.write(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
            let response = raw.response().await.expect("an answer");
            assert_eq!((response.status, &*response.body), (200, "ok\n"));
        }
        raw.upgrade(&server, "/echo").await;
        for size in [0, 1, 1_000, 16_384, 70_000] {
            let text = "x".repeat(size);
            raw.send(TEXT, text.as_bytes()).await;
            assert!(raw.text().await == text, "{size} bytes over {version:?}");
        }
        raw.send(CLOSE, &[]).await;
        assert!(raw.closed().await.is_none(), "a close frame without a code is answered by one");
    }
}

/// Behind the handshake there may already be messages, in the same record or the next.
#[tokio::test]
async fn commands_that_come_with_the_handshake_are_answered_in_order() {
    const COUNT: usize = 300;
    let authority = Authority::new();
    let folder = authority.folder("");
    let server = Server::start(&folder);
    for version in [&TLS12, &TLS13] {
        let mut raw = authority.connect_with(&server, version).await;
        let mut all = handshake(&server, "/ws", &[]).into_bytes();
        for id in 0..COUNT {
            let publish = format!(
                r#"{{"type":"publish","id":{id},"channel":"chat:a","data":"{}"}}"#,
                "x".repeat(id * 7)
            );
            all.extend(frame(TEXT, publish.as_bytes()));
        }
        raw.write(&all).await;
        assert_eq!(raw.response().await.expect("an answer").status, 101);
        for id in 0..COUNT {
            let answer = raw.text().await;
            assert!(answer.contains(&format!(r#""id":{id},"#)), "{answer} at {id}");
        }
    }
}

/// More than rustls keeps, and more than the sockets hold.
#[tokio::test]
async fn a_large_message_crosses_in_both_directions() {
    let authority = Authority::new();
    let folder = authority.folder("");
    let server = Server::start(&folder);
    let mut raw = authority.connect(&server).await;
    raw.upgrade(&server, "/echo").await;
    let text = "0123456789abcdef".repeat(10 << 16);
    for _ in 0..2 {
        raw.send(TEXT, text.as_bytes()).await;
        assert!(raw.text().await == text);
    }
}

/// It is written to a client that does not read: the ciphertext waits, and all of it is there when it reads again.
#[tokio::test]
async fn a_subscriber_that_does_not_read_for_long_misses_nothing_and_delays_nobody() {
    const SIZE: usize = 200_000;
    const COUNT: u64 = 120;
    let authority = Authority::new();
    let folder = authority.folder("[namespace.large]\nkind = \"log\"\nlimits = { message = \"256KiB\" }\n");
    let server = Server::with_workers(&folder, 1);
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a TCP option");
    let stream = socket.connect(server.address()).await.expect("the server listens");
    let stream = authority.try_over(stream, rustls::ALL_VERSIONS, &[]).await.expect("it is trusted");
    let mut asleep = Raw::over(stream);
    asleep.upgrade(&server, "/ws").await;
    asleep.send(TEXT, br#"{"type":"subscribe","channel":"large:a"}"#).await;
    assert!(asleep.text().await.contains(r#""type":"subscribed""#));
    let mut awake = authority.client(&server).await;
    awake.ask(json!({ "type": "subscribe", "channel": "large:a" })).await;
    let mut publisher = authority.client(&server).await;
    for offset in 1..=COUNT {
        let answer = publisher.publish("large:a", &json!("x".repeat(SIZE))).await;
        assert_eq!(answer["offset"], offset, "{answer}");
        let heard = awake.next().await;
        assert_eq!((&heard["type"], &heard["offset"]), (&json!("message"), &json!(offset)));
    }
    for offset in 1..=COUNT {
        let message = soon("the next entry", asleep.text()).await;
        let begin = format!(r#"{{"type":"message","channel":"large:a","offset":{offset},"#);
        assert!(message.starts_with(&begin), "{} at {offset}", &message[..100]);
    }
    publisher.publish("large:a", &json!("live")).await;
    let message = soon("what is new", asleep.text()).await;
    assert!(message.contains(&format!(r#""offset":{},"#, COUNT + 1)), "{message}");
    check_alive(&authority, &server).await;
}

#[tokio::test]
async fn a_subscriber_among_many_hears_everything() {
    const SUBSCRIBERS: usize = 60;
    const COUNT: u64 = 50;
    let authority = Authority::new();
    let folder = authority.folder("");
    let server = Server::with_workers(&folder, 2);
    let mut subscribers = Vec::new();
    for _ in 0..SUBSCRIBERS {
        let mut client = authority.client(&server).await;
        client.ask(json!({ "type": "subscribe", "channel": "chat:a" })).await;
        subscribers.push(client);
    }
    let mut publisher = authority.client(&server).await;
    for id in 0..COUNT {
        let data = "x".repeat(id as usize * 100);
        publisher.send(&json!({ "type": "publish", "id": id, "channel": "chat:a", "data": data })).await;
    }
    for client in &mut subscribers {
        for offset in 1..=COUNT {
            let heard = client.next().await;
            assert_eq!((&heard["type"], &heard["offset"]), (&json!("message"), &json!(offset)), "{heard}");
        }
    }
}

#[tokio::test]
async fn what_is_no_tls_does_no_harm() {
    let authority = Authority::new();
    let folder = authority.folder("");
    let server = Server::start(&folder);
    let endless = [&[0x16, 3, 1, 0xff, 0xff][..], &[0; 70_000]].concat();
    let hostile: [&[u8]; 6] = [
        b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.1 1 2\r\n",
        &[0; 600],
        &[0xff; 600],
        &[0x16, 3, 1, 0, 4, 1, 0, 0, 0],
        &endless,
    ];
    for bytes in hostile {
        let mut raw = Raw::connect(&server).await;
        raw.try_write(bytes).await;
        let mut answer = Vec::new();
        // What comes is an alert of TLS, or nothing.
        let _ = soon("the end of the line", raw.stream.read_to_end(&mut answer)).await;
        assert!(answer.is_empty() || answer[0] == 0x15, "{answer:?}");
    }
    // Behind the handshake, on a WebSocket: what was changed on the way is no record.
    let stream = TcpStream::connect(server.address()).await.expect("the server listens");
    let mut stream = authority.try_over(stream, rustls::ALL_VERSIONS, &[]).await.expect("it is trusted");
    stream.write_all(handshake(&server, "/echo", &[]).as_bytes()).await.expect("it is open");
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.expect("an answer");
    let (bare, _) = stream.get_mut();
    bare.write_all(&[0x17, 3, 3, 0, 32]).await.expect("it is open");
    bare.write_all(&[7; 32]).await.expect("it is open");
    let mut rest = Vec::new();
    let _ = soon("the end of the line", stream.read_to_end(&mut rest)).await;
    check_alive(&authority, &server).await;
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_ends_at_the_deadline() {
    let authority = Authority::new();
    let folder = authority.folder("");
    let server = Server::start(&folder);
    let begun = Instant::now();
    let mut silent = Raw::connect(&server).await;
    let mut slow = Raw::connect(&server).await;
    // The head of a record, and none of it.
    slow.write(&[0x16, 3, 1, 1, 0]).await;
    for raw in [&mut silent, &mut slow] {
        let mut answer = Vec::new();
        let _ = soon("the end of the line", raw.stream.read_to_end(&mut answer)).await;
        assert!(answer.is_empty(), "{answer:?}");
    }
    assert!(begun.elapsed() >= DEADLINE.mul_f32(0.9), "{:?}", begun.elapsed());
    check_alive(&authority, &server).await;
}

/// The end is said to TLS too: whoever knows how a stream ends by it knows that nothing was cut off.
#[tokio::test]
async fn a_server_that_ends_says_so_and_closes_in_order() {
    let authority = Authority::new();
    let folder = authority.folder("");
    let server = Server::with_workers(&folder, 2);
    let mut client = authority.client(&server).await;
    check_talks(&mut client).await;
    let mut echo = authority.connect(&server).await;
    echo.upgrade(&server, "/echo").await;
    let mut kept = authority.connect(&server).await;
    kept.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(kept.response().await.expect("an answer").status, 200);
    let mut half = Raw::connect(&server).await;
    half.write(&[0x16, 3, 1, 1, 0]).await;
    server.signal(Signal::TERM);
    assert_eq!(client.closed().await, 4503);
    let (first, payload) = echo.frame().await.expect("a close frame");
    assert_eq!((first, &payload[..2]), (CLOSE, &1012_u16.to_be_bytes()[..]));
    echo.send(CLOSE, &payload).await;
    for raw in [&mut echo, &mut kept] {
        let mut rest = Vec::new();
        let ended = soon("the end of the line", raw.stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok() && rest.is_empty(), "{ended:?} {rest:?}");
    }
    assert!(half.response().await.is_none(), "nobody waits for a handshake");
    let (status, said) = server.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
}

/// A client that closes as RFC 6455 has it sees TLS end behind the close frame.
#[tokio::test]
async fn a_websocket_that_is_closed_ends_its_tls_too() {
    let authority = Authority::new();
    let folder = authority.folder("");
    let server = Server::start(&folder);
    for version in [&TLS12, &TLS13] {
        let mut raw = authority.connect_with(&server, version).await;
        raw.upgrade(&server, "/echo").await;
        raw.write(&[frame(PING, b"1"), frame(CLOSE, &1000_u16.to_be_bytes())].concat()).await;
        assert_eq!(raw.frame().await, Some((0x8a, b"1".to_vec())));
        assert_eq!(raw.frame().await, Some((CLOSE, 1000_u16.to_be_bytes().to_vec())));
        let mut rest = Vec::new();
        let ended = soon("the end of the line", raw.stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok() && rest.is_empty(), "{ended:?} {rest:?}");
        // One that ends TLS alone is let go.
        let mut raw = authority.connect_with(&server, version).await;
        raw.upgrade(&server, "/echo").await;
        raw.send(TEXT, b"last").await;
        raw.stream.shutdown().await.expect("the line is open");
        assert_eq!(raw.text().await, "last");
        let ended = soon("the end of the line", raw.stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok() && rest.is_empty(), "{ended:?} {rest:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_replaced_is_shown_to_new_connections() {
    let (before, after) = (Authority::new(), Authority::new());
    let folder = before.folder("");
    let server = Server::start(&folder);
    let mut old = before.client(&server).await;
    assert_eq!(old.ask(json!({ "type": "ping" })).await["type"], "pong");
    // A key that does not belong to it, and what is no certificate at all, change nothing.
    folder.write("key.pem", after.server().key);
    folder.write("chain.pem", "none");
    for _ in 0..40 {
        check_alive(&before, &server).await;
    }
    after.server().write(&folder);
    soon("the new certificate", async { while after.try_client(&server).await.is_none() {} }).await;
    assert!(before.try_client(&server).await.is_none(), "the old one is not shown any more");
    assert_eq!(old.ask(json!({ "type": "ping" })).await["type"], "pong");
    // It has rested since: what is replaced by something broken stays.
    folder.write("key.pem", before.server().key);
    let mut said = String::new();
    while !said.contains("cannot be used") {
        check_alive(&after, &server).await;
        said = server.said_so_far();
    }
    assert!(said.contains("does not belong to the first certificate"), "{said}");
    check_alive(&after, &server).await;
    server.signal(Signal::TERM);
    let (status, said) = server.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("new connections are shown the new certificate"), "{said}");
}

#[tokio::test]
async fn an_expired_certificate_is_warned_of() {
    let authority = Authority::new();
    let folder = authority.folder("");
    authority.server_until(2001).write(&folder);
    let server = Server::start(&folder);
    assert!(authority.try_client(&server).await.is_none(), "clients refuse it");
    server.signal(Signal::TERM);
    let (_, said) = server.ended().await;
    assert!(said.contains("the certificate has expired"), "{said}");
}

/// For who watches a certificate that somebody has to renew.
#[tokio::test]
async fn the_end_of_the_certificate_is_told() {
    let authority = Authority::new();
    let folder = authority.folder("[admin]\nlisten = \"127.0.0.1:0\"\n");
    let server = Server::start(&folder);
    let end = async || {
        let page = ask_at(server.admin(), "GET", "/metrics", &[], "").await.body;
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix("trunkline_certificate_expiry_timestamp_seconds "));
        line.expect("it is told").to_owned()
    };
    assert_eq!(end().await, "32472144000");
    authority.server_until(2100).write(&folder);
    soon("the other end", async { while end().await != "4102444800" {} }).await;
}

#[tokio::test]
async fn files_that_do_not_do_are_refused_by_name() {
    let authority = Authority::new();
    let (good, other) = (authority.server(), authority.server());
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let cut = &good.chain[..good.chain.len() / 2];
    let cases: [(Option<&str>, Option<&str>, &[&str]); 8] = [
        (None, Some(&good.key), &["chain.pem: cannot be read"]),
        (Some(&good.chain), None, &["key.pem: cannot be read"]),
        (Some("hello"), Some(&good.key), &["chain.pem: there is no certificate in it"]),
        (Some(cut), Some(&good.key), &["chain.pem: it is no whole PEM"]),
        (Some(&good.chain), Some("hello"), &["key.pem: there is no private key in it"]),
        (Some(&good.chain), Some(encrypted), &["key.pem: it is encrypted with a passphrase"]),
        (
            Some(&good.chain),
            Some(&other.key),
            &["key.pem does not belong to the first certificate of", "chain.pem"],
        ),
        (
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            Some(&good.key),
            &["chain.pem: its first certificate cannot be used"],
        ),
    ];
    for (chain, key, words) in cases {
        let folder = Folder::with_config(TLS);
        for (name, text) in [("chain.pem", chain), ("key.pem", key)] {
            if let Some(text) = text {
                folder.write(name, text);
            }
        }
        let (config, data) = (folder.path().join("config.toml"), folder.data());
        let (config, data) = (config.to_str().expect("UTF-8"), data.to_str().expect("UTF-8"));
        let output = run(&["dev", "--config", config, "--data", data, "--listen", "127.0.0.1:0"], "").await;
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(!folder.data().exists(), "nothing is made");
        for words in words {
            assert!(said.contains(words), "{words:?} is not in:\n{said}");
        }
        assert!(!said.contains("BEGIN"), "{said}");
    }
    let folder = Folder::with_config("[server.tls]\ncertificate = \"chain.pem\"\n");
    let config = folder.path().join("config.toml");
    let output = run(&["dev", "--config", config.to_str().expect("UTF-8")], "").await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("missing field `key`"));
}

/// `trunkline serve` beyond this machine needs no word about plaintext where it speaks TLS.
#[tokio::test]
async fn with_tls_a_server_may_listen_for_other_machines() {
    let authority = Authority::new();
    let folder = authority.folder(
        "[auth]\nanonymous = true\n[namespace.chat]\nkind = \"log\"\nsubscribe = \"anyone\"\npublish = \"user\"\n",
    );
    let server = Server::with(&folder, &["serve", "--listen", "0.0.0.0:0"]);
    assert!(server.ready().starts_with("https://0.0.0.0:"), "{}", server.ready());
    let mut raw = authority.connect(&server).await;
    raw.write(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(raw.response().await.expect("an answer").status, 200);
}

#[tokio::test]
async fn the_command_line_speaks_it() {
    let authority = Authority::new();
    let folder = authority.folder("");
    let server = Server::start(&folder);
    let roots = folder.write("roots.pem", authority.pem());
    let roots = roots.to_str().expect("UTF-8");
    let url = server.ready();
    let published = crate::server::run_trusting(roots, &["pub", "chat:a", "1", "--server", url]).await;
    assert_eq!(
        String::from_utf8_lossy(&published.stdout),
        "published to chat:a #1\n",
        "{}",
        String::from_utf8_lossy(&published.stderr)
    );
    let heard = crate::server::run_trusting(
        roots,
        &["sub", "chat:a", "--last", "1", "--count", "1", "--server", url],
    )
    .await;
    let (said, why) = (String::from_utf8_lossy(&heard.stdout), String::from_utf8_lossy(&heard.stderr));
    assert!(said.starts_with("chat:a #1 "), "{said}{why}");
    // Without that authority nobody is believed.
    let refused = run(&["pub", "chat:a", "1", "--server", url], "").await;
    assert_eq!(refused.status.code(), Some(3), "{}", String::from_utf8_lossy(&refused.stderr));
}
