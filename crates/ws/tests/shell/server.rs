//! The server over loopback: handshakes, paths, origins, limits, shutdown.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use trunkline_ws::{
    CloseCode, Error, HandshakeError, Limits, OriginPolicy, Rejection, Server, Socket, connect,
};

/// A server in a task, and the way to stop it.
struct Running {
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), Error>>,
}

impl Running {
    fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.addr)
    }

    async fn stop(self) {
        self.stop.send(()).expect("it runs");
        self.task.await.expect("no panic").expect("no error");
    }
}

async fn start<F>(
    configure: impl FnOnce(Server) -> Server,
    handler: impl Fn(Socket) -> F + Send + Sync + 'static,
) -> Running
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let server = configure(Server::bind("127.0.0.1:0").await.expect("a free port"));
    let addr = server.local_addr().expect("it is bound");
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(server.serve_until(handler, async { drop(stopped.await) }));
    Running { addr, stop, task }
}

async fn echo(mut socket: Socket) -> Result<(), Error> {
    while let Some(message) = socket.recv().await? {
        socket.send(message).await?;
    }
    Ok(())
}

/// The answer to raw bytes, as far as the server sends one before it closes.
async fn answer(addr: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.expect("it listens");
    stream.write_all(request).await.expect("it reads");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn echo_over_loopback() {
    let server = start(|server| server, echo).await;
    let mut socket = connect(server.url("/any/path?query")).await.expect("accepted");
    for size in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
        let text = "x".repeat(size);
        socket.send(text.as_str()).await.expect("open");
        assert_eq!(socket.recv().await.expect("open"), Some(text.into()));
        socket.send(vec![7; size]).await.expect("open");
        assert_eq!(socket.recv().await.expect("open"), Some(vec![7; size].into()));
    }
    socket.close(CloseCode::NORMAL, "done").await.expect("the server answers");
    let frame = socket.close_frame().expect("closed");
    assert_eq!((frame.code.0, &*frame.reason), (1000, "done"));
    server.stop().await;
}

#[tokio::test]
async fn a_listener_from_elsewhere() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let server = start(|_| Server::from_listener(listener), echo).await;
    assert_eq!(server.addr, addr);
    connect(server.url("/")).await.expect("accepted").close(1000, "").await.expect("it answers");
    server.stop().await;
}

/// What is printed of a connection to be made may be in a log.
#[test]
fn tokens_are_not_printed() {
    let connect = connect("wss://example.com/live?token=secret").bearer("secret").header("Cookie", "secret");
    let printed = format!("{connect:?}");
    assert!(printed.contains("example.com") && printed.contains("Cookie"), "{printed}");
    assert!(!printed.contains("secret"), "{printed}");
}

#[tokio::test]
async fn what_a_handler_can_ask() {
    let handler = async |mut socket: Socket| {
        let request = socket.request().expect("a server's socket");
        let cookie = request.header("cookie").map(String::from_utf8_lossy).unwrap_or_default();
        let answer = format!("{} {:?} {cookie} {:?}", socket.path(), request.query(), socket.subprotocol());
        let kept: Vec<_> =
            ["host", "upgrade", "sec-websocket-key"].map(|name| request.header(name).is_some()).into();
        assert_eq!(kept, [true, false, false], "what only the handshake needs is gone");
        assert!(socket.peer_addr().is_some_and(|addr| addr.ip().is_loopback()));
        socket.send(answer).await
    };
    let server = start(|server| server.subprotocol("v2").subprotocol("v1"), handler).await;
    let mut socket = connect(server.url("/chat?room=1"))
        .header("Cookie", "a=b")
        .subprotocol("v1")
        .subprotocol("v2")
        .await
        .expect("accepted");
    assert_eq!(socket.subprotocol(), Some("v2"));
    let answer = socket.recv().await.expect("open").expect("an answer");
    assert_eq!(answer.to_string(), r#"/chat Some("room=1") a=b Some("v2")"#);
    drop(socket);
    server.stop().await;
}

#[tokio::test]
async fn paths() {
    let server = start(|server| server.path("/ws").path("/other"), echo).await;
    for (path, status) in
        [("/ws", None), ("/other", None), ("/ws?x", None), ("/", Some(404)), ("/ws/", Some(404))]
    {
        let refused = connect(server.url(path)).await.err();
        match (refused, status) {
            (None, None) => {}
            (Some(Error::Handshake(HandshakeError::Status(got))), Some(status)) => assert_eq!(got, status),
            other => panic!("{path}: {other:?}"),
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn origins() {
    for (policy, origin, allowed) in [
        (OriginPolicy::SameHost, "http://evil.example", false),
        (OriginPolicy::SameHost, "null", false),
        (OriginPolicy::SameHost, "http://HOST", true),
        (OriginPolicy::Any, "null", true),
        (OriginPolicy::List(vec!["https://a.example".into()]), "https://a.example", true),
        (OriginPolicy::List(vec!["https://a.example".into()]), "http://HOST", false),
    ] {
        let server = start(|server| server.origin(policy.clone()), echo).await;
        let origin = origin.replace("HOST", &server.addr.to_string());
        match connect(server.url("/")).header("Origin", &origin).await {
            Ok(_) => assert!(allowed, "{policy:?} {origin}"),
            Err(Error::Handshake(HandshakeError::Status(403))) => assert!(!allowed, "{policy:?} {origin}"),
            Err(error) => panic!("{error}"),
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn an_application_that_refuses() {
    let admit = |request: &trunkline_ws::Request<'_>| match request.header("authorization") {
        Some(b"Bearer good") => Ok(()),
        _ => Err(Rejection::Other { status: 401, reason: "a token is needed".into() }),
    };
    let server = start(|server| server.admit(admit), echo).await;
    let refused = connect(server.url("/")).bearer("bad").await;
    assert!(matches!(refused, Err(Error::Handshake(HandshakeError::Status(401)))), "{refused:?}");
    connect(server.url("/")).bearer("good").await.expect("accepted");
    server.stop().await;
}

#[tokio::test]
async fn refusals_reach_the_client() {
    let server = start(|server| server, echo).await;
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZQ==";
    let usual = "Host: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13";
    for (request, status, words) in [
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), "426", "this address speaks WebSocket"),
        (
            format!("GET / HTTP/1.1\r\n{usual}\r\n{key}\r\n\r\n"),
            "400",
            "16 bytes in base64, but it is 10 bytes",
        ),
        ("\u{16}\u{3}\u{1}".to_owned(), "400", "control character"),
        ("GET / HTTP/1.1\n".to_owned(), "400", "LF instead of CR LF"),
        (format!("GET /{}", "x".repeat(20_000)), "431", "larger than 16384 bytes"),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(101)), "431", "more than 100 headers"),
    ] {
        let answer = answer(server.addr, request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains(words), "{answer}");
    }
    server.stop().await;
}

/// With the clock paused, time passes as soon as nobody has anything to do.
#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_come() {
    let server = start(|server| server, echo).await;
    for begun in ["", "GET / HTTP/1.1\r\nHost: h"] {
        let start = tokio::time::Instant::now();
        let answer = answer(server.addr, begun.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert_eq!(start.elapsed(), Limits::default().handshake_timeout);
    }
}

/// 16 KiB of head, a byte at a time, is work for 16 KiB: see `HeadScan` in the core.
#[tokio::test]
async fn a_handshake_that_trickles_in() {
    let server = start(|server| server, echo).await;
    let mut stream = TcpStream::connect(server.addr).await.expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let padding = "x".repeat(15_000);
    let request = format!(
        "GET / HTTP/1.1\r\nHost: h\r\nX: {padding}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    for byte in request.bytes() {
        stream.write_all(&[byte]).await.expect("it reads");
    }
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 101");
    drop(stream);
    server.stop().await;
}

#[tokio::test]
async fn the_limit_on_open_connections() {
    let server =
        start(|server| server.limits(Limits { connections_max: 1, ..Limits::default() }), echo).await;
    let mut first = connect(server.url("/")).await.expect("there is a place");
    let refused = answer(server.addr, b"").await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    first.send("still served").await.expect("open");
    assert_eq!(first.recv().await.expect("open"), Some("still served".into()));
    first.close(1000, "").await.expect("the server answers");
    // The place is free once the server's task has ended, a moment after its last word.
    while connect(server.url("/")).await.is_err() {
        tokio::task::yield_now().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn shutdown_closes_every_socket_with_1001() {
    let server = start(|server| server, echo).await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        let mut socket = connect(server.url("/")).await.expect("accepted");
        socket.send("hello").await.expect("open");
        socket.recv().await.expect("open");
        sockets.push(socket);
    }
    let clients = tokio::spawn(async move {
        for socket in &mut sockets {
            assert!(matches!(socket.recv().await, Ok(None)));
            assert_eq!(socket.close_frame().map(|frame| frame.code), Some(CloseCode::GOING_AWAY));
        }
    });
    let addr = server.addr;
    server.stop().await;
    clients.await.expect("all were told");
    assert!(TcpStream::connect(addr).await.is_err(), "it listens no more");
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_ever() {
    let server = start(|server| server, async |_socket: Socket| std::future::pending().await).await;
    let _socket = connect(server.url("/")).await.expect("accepted");
    let start = tokio::time::Instant::now();
    server.stop().await;
    let elapsed = start.elapsed();
    assert!(elapsed >= Limits::default().shutdown_timeout, "{elapsed:?}");
    assert!(elapsed < Limits::default().shutdown_timeout + Duration::from_secs(1), "{elapsed:?}");
}

#[tokio::test]
async fn a_handler_that_fails_or_panics_ends_its_own_connection_only() {
    let handler = async |mut socket: Socket| {
        while let Some(message) = socket.recv().await? {
            match message.as_text() {
                Some("fail") => return Err(Error::other("as asked")),
                Some("panic") => panic!("as asked"),
                _ => socket.send(message).await?,
            }
        }
        Ok(())
    };
    let server = start(|server| server, handler).await;
    let mut other = connect(server.url("/")).await.expect("accepted");
    for (word, code) in [("fail", 1000), ("panic", 1011)] {
        let mut socket = connect(server.url("/")).await.expect("accepted");
        socket.send(word).await.expect("open");
        assert_eq!(socket.recv().await.expect("a close frame"), None);
        assert_eq!(socket.close_frame().map(|frame| frame.code.0), Some(code));
    }
    other.send("unharmed").await.expect("open");
    assert_eq!(other.recv().await.expect("open"), Some("unharmed".into()));
    drop(other);
    server.stop().await;
}

/// What is used from several tasks may be.
#[test]
fn what_may_move_between_threads() {
    fn assert_send_sync<T: Send + Sync>() {}
    fn assert_send<T: Send>() {}
    assert_send_sync::<Socket>();
    assert_send_sync::<Server>();
    assert_send_sync::<trunkline_ws::Sender>();
    assert_send_sync::<Error>();
    assert_send_sync::<trunkline_ws::Connect>();
    assert_send_sync::<trunkline_ws::PreparedMessage>();
    assert_send::<trunkline_ws::Reconnecting>();
    assert_send::<trunkline_ws::MessageReader<'_>>();
    assert_send::<trunkline_ws::MessageWriter<'_>>();
}
