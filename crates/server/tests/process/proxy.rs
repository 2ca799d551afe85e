//! Connections through a balancer that speaks the PROXY protocol: whose they are, and who may say so.

use std::time::Instant;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::patience::soon;
use crate::raw::{Raw, TEXT, handshake};
use crate::secure::{Authority, DEADLINE, TLS};
use crate::server::{Folder, Server, run};

const CONFIG: &str = "[auth]\nanonymous = true\n[namespace.chat]\nkind = \"log\"\nsubscribe = \"anyone\"\npublish = \"user\"\n\
                      [limits]\nconnections_per_address = 2\n[server]\necho = true\nproxy_protocol = true\n";

/// Version 2, for a connection of this IPv4 address.
fn binary(from: [u8; 4]) -> Vec<u8> {
    let rest = [&from[..], &[127, 0, 0, 1], &[1, 2, 3, 4], &[4, 0, 2, 0, 0]].concat();
    let length = u8::try_from(rest.len()).expect("short");
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"[..], &[length], &rest].concat()
}

fn line(from: &str) -> Vec<u8> {
    format!("PROXY TCP4 {from} 127.0.0.1 4711 443\r\n").into_bytes()
}

/// A WebSocket behind this header, `None` if there is no answer.
async fn try_open(server: &Server, header: &[u8], more: &[&str]) -> Option<(u16, Raw)> {
    let mut raw = Raw::connect(server).await;
    raw.try_write(&[header, handshake(server, "/echo", more).as_bytes()].concat()).await;
    let status = raw.response().await?.status;
    Some((status, raw))
}

async fn open(server: &Server, header: &[u8]) -> Raw {
    let (status, mut raw) = try_open(server, header, &[]).await.expect("an answer");
    assert_eq!(status, 101);
    raw.send(TEXT, b"a").await;
    assert_eq!(raw.text().await, "a");
    raw
}

#[tokio::test]
async fn the_address_that_it_says_is_the_clients() {
    let folder = Folder::with_config(CONFIG);
    let server = Server::serve(&folder);
    let first = open(&server, &line("192.0.2.1")).await;
    let _second = open(&server, &binary([192, 0, 2, 1])).await;
    let _other = open(&server, &binary([192, 0, 2, 2])).await;
    for header in [line("192.0.2.1"), binary([192, 0, 2, 1])] {
        let (status, _) = try_open(&server, &header, &[]).await.expect("an answer");
        assert_eq!(status, 503, "one too many");
    }
    // The client itself cannot say otherwise.
    let (status, _) =
        try_open(&server, &line("192.0.2.1"), &["X-Forwarded-For: 192.0.2.9"]).await.expect("an answer");
    assert_eq!(status, 503);
    drop(first);
    // When the server has heard that the line is gone, there is a place again.
    let again = async {
        while try_open(&server, &line("192.0.2.1"), &[]).await.is_none_or(|(status, _)| status != 101) {}
    };
    soon("a place", again).await;
}

/// A proxy that speaks of itself, or says nothing, has as many as it likes; what it says in HTTP counts then.
#[tokio::test]
async fn the_proxys_own_connections_are_not_counted() {
    let folder = Folder::with_config(CONFIG);
    let server = Server::serve(&folder);
    let mut lines = Vec::new();
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    for header in [&local[..], b"PROXY UNKNOWN\r\n"] {
        for _ in 0..5 {
            lines.push(open(&server, header).await);
        }
    }
    let forwarded = ["X-Forwarded-For: 192.0.2.7"];
    for _ in 0..2 {
        let (_, mut raw) = try_open(&server, local, &forwarded).await.expect("an answer");
        // It has its place when it is answered.
        raw.send(TEXT, b"a").await;
        assert_eq!(raw.text().await, "a");
        lines.push(raw);
    }
    let (_, mut third) = try_open(&server, local, &forwarded).await.expect("an answer");
    assert_eq!(third.closed().await.map(|(code, _)| code), Some(4529));
}

#[tokio::test]
async fn a_connection_that_does_not_begin_with_a_header_is_closed() {
    let folder = Folder::with_config(CONFIG);
    let server = Server::serve(&folder);
    let long = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"[..], &[0; 70_000]].concat();
    let endless = format!("PROXY TCP4 {}", "1".repeat(70_000));
    let hostile: [&[u8]; 7] = [
        b"",
        b"PROXY TCP4 192.0.2.1 192.0.2.1 1\r\n",
        b"PROXY TCP4 192.0.2.999 192.0.2.1 1 1\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0b",
        b"\r\n\r\n\0\r\nQUIT\n\x51\x11\0\x0c",
        &long,
        endless.as_bytes(),
    ];
    for header in hostile {
        assert!(try_open(&server, header, &[]).await.is_none(), "{:?}", String::from_utf8_lossy(header));
    }
    // Half of one has its deadline.
    let begun = Instant::now();
    let mut half = Raw::connect(&server).await;
    half.write(b"PROXY TCP4 192.").await;
    let mut rest = Vec::new();
    let _ = soon("the end of the line", half.stream.read_to_end(&mut rest)).await;
    assert!(rest.is_empty() && begun.elapsed() >= DEADLINE.mul_f32(0.9), "{:?}", begun.elapsed());
    open(&server, &line("192.0.2.1")).await;
}

#[tokio::test]
async fn only_proxies_may_say_so() {
    let folder = Folder::with_config(&CONFIG.replace("echo = true", "echo = true\nproxies = [\"10.0.0.1\"]"));
    let server = Server::serve(&folder);
    assert!(try_open(&server, &line("192.0.2.1"), &[]).await.is_none());
    assert!(try_open(&server, b"", &[]).await.is_none());
    // Without any it could only be a mistake.
    let folder = Folder::with_config(&CONFIG.replace("echo = true", "echo = true\nproxies = []"));
    let (config, data) = (folder.path().join("config.toml"), folder.data());
    let (config, data) = (config.to_str().expect("UTF-8"), data.to_str().expect("UTF-8"));
    let output = run(&["serve", "--config", config, "--data", data, "--listen", "127.0.0.1:0"], "").await;
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("proxies = [") && said.contains("proxy_protocol"), "{said}");
}

#[tokio::test]
async fn tls_comes_behind_it() {
    let authority = Authority::new();
    let folder = Folder::with_config(&format!("{CONFIG}\n{TLS}"));
    authority.server().write(&folder);
    let server = Server::serve(&folder);
    let connect = async |header: Vec<u8>| {
        let mut raw = Raw::connect(&server).await;
        raw.try_write(&header).await;
        let stream: TcpStream = raw.stream;
        let stream = authority.try_over(stream, rustls::ALL_VERSIONS, &[]).await.ok()?;
        let mut raw = Raw::over(stream);
        raw.upgrade(&server, "/echo").await;
        raw.send(TEXT, b"a").await;
        assert_eq!(raw.text().await, "a");
        Some(raw)
    };
    let _first = connect(line("192.0.2.1")).await.expect("there is a place");
    let _second = connect(binary([192, 0, 2, 1])).await.expect("there is a place");
    assert!(connect(line("192.0.2.1")).await.is_none(), "one too many");
    assert!(connect(Vec::new()).await.is_none(), "there is no header");
}

/// By a file comes a proxy of this machine.
#[tokio::test]
async fn it_is_spoken_over_a_file_too() {
    let folder = Folder::with_config(&CONFIG.replace("echo = true", "echo = true\nproxies = []"));
    let socket = folder.path().join("trunkline.sock");
    let listen = format!("unix:{}", socket.display());
    let server = Server::with(&folder, &["serve", "--listen", &listen]);
    let open = async |header: Vec<u8>| {
        let stream = tokio::net::UnixStream::connect(&socket).await.expect("the server listens");
        let mut raw = Raw::over(stream);
        raw.try_write(&[header, handshake(&server, "/echo", &[]).into_bytes()].concat()).await;
        raw.response().await.map(|response| (response.status, raw))
    };
    let mut lines = Vec::new();
    for _ in 0..2 {
        let (status, line) = open(line("192.0.2.1")).await.expect("an answer");
        assert_eq!(status, 101);
        lines.push(line);
    }
    assert_eq!(open(line("192.0.2.1")).await.expect("an answer").0, 503);
    assert!(open(Vec::new()).await.is_none());
}
