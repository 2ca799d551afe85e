//! The example programs as a newcomer runs them: started as processes, talked to, ended with Ctrl-C. `cargo test` builds
//! them; a run that is narrowed to this file alone uses what was built before.

use std::io::{BufRead, BufReader, Lines};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use trunkline_ws::{Error, HandshakeError, Message, Server, Socket, connect};

struct Example {
    process: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Example {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let tests = std::env::current_exe().expect("this test");
        let folder: PathBuf = tests.ancestors().nth(2).expect("target/debug").join("examples");
        let mut process = Command::new(folder.join(name))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} is not built ({error}): cargo build --examples"));
        let output = BufReader::new(process.stdout.take().expect("piped")).lines();
        Self { process, output }
    }

    /// A server on a free port, and its URL.
    fn serve(name: &str) -> (Self, String) {
        Self::serve_with(name, &["127.0.0.1:0"])
    }

    fn serve_with(name: &str, arguments: &[&str]) -> (Self, String) {
        let mut example = Self::start(name, arguments);
        let line = example.line();
        let url = line.strip_prefix("listening on ").expect(&line).to_owned();
        (example, url)
    }

    fn line(&mut self) -> String {
        self.output.next().expect("a line").expect("text")
    }

    /// Ctrl-C, after which a program ends by itself and well.
    fn interrupt(mut self) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status().expect("kill");
        assert!(sent.success());
        assert!(self.process.wait().expect("it ends").success());
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A page of any origin, as browsers announce it.
async fn browser(url: &str) -> Socket {
    connect(url).header("Origin", "null").await.expect("accepted")
}

async fn hears(socket: &mut Socket, text: &str) {
    assert_eq!(socket.recv().await.expect("open"), Some(Message::from(text)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn welcome_echo() {
    let (mut example, url) = Example::serve("welcome_echo");
    let mut socket = browser(&url).await;
    hears(&mut socket, "Welcome!").await;
    socket.send("Hello").await.expect("open");
    hears(&mut socket, "Echo: Hello").await;
    socket.close(1000, "").await.expect("answered");
    let log: Vec<_> = (0..3).map(|_| example.line()).collect();
    assert_eq!(log, ["Client connected", "Received: Hello", "Client disconnected"]);
    let mut open = browser(&url).await;
    hears(&mut open, "Welcome!").await;
    let told = tokio::spawn(async move { open.recv().await.map(|_| open.close_frame()) });
    example.interrupt();
    let frame = told.await.expect("no panic").expect("closed cleanly").expect("closed");
    assert_eq!(frame.code.0, 1001);
}

#[tokio::test]
async fn echo() {
    let (mut example, url) = Example::serve("echo");
    let mut socket = browser(&url).await;
    socket.send("Hello").await.expect("open");
    hears(&mut socket, "Echo: Hello").await;
    socket.close(3001, "enough").await.expect("answered");
    assert_eq!(example.line(), "Connection closed: 3001 enough");
    example.interrupt();
}

#[tokio::test]
async fn message_received() {
    let (example, url) = Example::serve("message_received");
    assert!(url.ends_with("/ws"));
    let mut socket = browser(&url).await;
    socket.send("Hello").await.expect("open");
    hears(&mut socket, "Message received: Hello").await;
    assert!(connect(url.replace("/ws", "/")).await.is_err(), "only /ws");
    socket.close(1000, "").await.expect("answered");
    example.interrupt();
}

#[tokio::test]
async fn broadcast() {
    let (example, url) = Example::serve("broadcast");
    let mut sockets = [browser(&url).await, browser(&url).await, browser(&url).await];
    // Who has heard itself is on the list.
    for (n, socket) in sockets.iter_mut().enumerate() {
        let hello = format!("hello from {n}");
        socket.send(hello.as_str()).await.expect("open");
        loop {
            let heard = socket.recv().await.expect("open").expect("open");
            if heard.to_string() == hello {
                break;
            }
        }
    }
    let chat = r#"{ "type": "chat", "text": "Hi" }"#;
    sockets[0].send(chat).await.expect("open");
    for socket in &mut sockets {
        while socket.recv().await.expect("open").expect("open").to_string() != chat {}
        socket.close(1000, "").await.expect("answered");
    }
    example.interrupt();
}

#[tokio::test]
async fn client() {
    let (server, url) = Example::serve("welcome_echo");
    let mut client = Example::start("client", &[&url]);
    let log: Vec<_> = (0..3).map(|_| client.line()).collect();
    assert_eq!(log, [&format!("connected to {url}"), "Welcome!", "Echo: Hello from Rust!"]);
    client.interrupt();
    let mut client = Example::start("client", &[&url]);
    let log: Vec<_> = (0..3).map(|_| client.line()).collect();
    assert_eq!(log[2], "Echo: Hello from Rust!");
    server.interrupt();
    assert_eq!(client.line(), "closed: 1001 the server stops");
    assert!(client.process.wait().expect("it ends").success());
}

#[tokio::test]
async fn auth() {
    let (example, url) = Example::serve("auth");
    for refused in [connect(&url), connect(&url).bearer("guess"), connect(format!("{url}/?token=guess"))] {
        match refused.await {
            Err(Error::Handshake(HandshakeError::Status(status))) => assert_eq!(status, 401),
            other => panic!("{other:?}"),
        }
    }
    for (admitted, greeting) in [
        (connect(&url).bearer("secret-of-ada"), "Hello, Ada!"),
        (connect(format!("{url}/?token=secret-of-grace")), "Hello, Grace!"),
    ] {
        let mut socket = admitted.await.expect("admitted");
        hears(&mut socket, greeting).await;
        socket.close(1000, "").await.expect("answered");
    }
    example.interrupt();
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn tls_echo() {
    let authority = crate::certificates::Authority::new();
    let certified = authority.server(&["127.0.0.1"]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let (certificate, key) = (file("certificate.pem", &certified.chain), file("key.pem", &certified.key));
    let trusted = file("authority.pem", &authority.pem());
    let (server, url) = Example::serve_with("tls_echo", &["127.0.0.1:0", &certificate, &key]);
    let mut client = Example::start("tls_echo", &[&url, &trusted]);
    assert_eq!(client.line(), "Hello over TLS!");
    assert!(client.process.wait().expect("it ends").success());
    let mut stranger = Example::start("tls_echo", &[&url]);
    assert!(!stranger.process.wait().expect("it ends").success(), "nobody knows the authority");
    server.interrupt();
}

/// A server that sends its first client away for a moment, and its second one for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn reconnecting_client() {
    let server = Server::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("ws://{}", server.local_addr().expect("it is bound"));
    let first = AtomicBool::new(true);
    tokio::spawn(server.serve(move |mut socket: Socket| {
        let (code, reason) =
            if first.swap(false, Ordering::Relaxed) { (1012, "restart") } else { (1000, "") };
        async move {
            if let Some(message) = socket.recv().await? {
                socket.send(message).await?;
            }
            socket.close(code, reason).await
        }
    }));
    let mut client = Example::start("reconnecting_client", &[&url]);
    let expect = [
        "connected",
        "Hello again!",
        "not connected: the connection is closed (1012: restart)",
        "connected",
        "Hello again!",
        "not connected: the connection is closed (1000)",
        "closed for good",
    ];
    assert_eq!(expect.map(|_| client.line()), expect);
    assert!(client.process.wait().expect("it ends").success());
}

#[tokio::test]
async fn rooms() {
    let (example, url) = Example::serve("rooms");
    let refused = connect(format!("{url}/lobby")).await.expect_err("no room").to_string();
    assert!(refused.contains("404"), "{refused}");
    let (mut ada, mut grace) =
        (browser(&format!("{url}/room/a")).await, browser(&format!("{url}/room/b")).await);
    for (socket, text) in [(&mut ada, "to a"), (&mut grace, "to b")] {
        socket.send(text).await.expect("open");
        hears(socket, text).await;
    }
    let mut both = browser(&format!("{url}/room/a")).await;
    both.send("who came later").await.expect("open");
    hears(&mut both, "who came later").await;
    hears(&mut ada, "who came later").await;
    for socket in [&mut ada, &mut grace, &mut both] {
        socket.close(1000, "").await.expect("answered");
    }
    example.interrupt();
}

#[tokio::test]
async fn json() {
    let (example, url) = Example::serve("json");
    let mut socket = browser(&url).await;
    for (question, answer) in [
        (r#"{"a":1,"op":"+","b":2}"#, r#"{"result":3.0}"#),
        (r#"{"a":1,"op":"/","b":0}"#, r#"{"error":"division by zero"}"#),
        (r#"{"a":1,"op":"^","b":2}"#, r#"{"error":"there is no operation '^'"}"#),
        (r#"{"a":1}"#, r#"{"error":"missing field `op` at line 1 column 7"}"#),
    ] {
        socket.send(question).await.expect("open");
        hears(&mut socket, answer).await;
    }
    socket.close(1000, "").await.expect("answered");
    example.interrupt();
}

#[tokio::test]
async fn stream_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (original, copy) = (folder.path().join("original"), folder.path().join("copy"));
    let content: Vec<u8> = (0..5_000_000u32).map(|at| (at % 251) as u8).collect();
    std::fs::write(&original, &content).expect("written");
    let [original, copy] = [original, copy].map(|path| path.to_str().expect("text").to_owned());
    let (server, url) = Example::serve_with("stream_file", &["serve", &original, "127.0.0.1:0"]);
    let mut client = Example::start("stream_file", &["fetch", &url, &copy]);
    assert_eq!(client.line(), "received 5000000 bytes");
    assert!(client.process.wait().expect("it ends").success());
    assert!(std::fs::read(copy).expect("read") == content);
    server.interrupt();
}

/// The core's own example, on blocking sockets.
#[tokio::test]
async fn blocking_echo() {
    let (_example, url) = Example::serve("blocking_echo");
    let mut socket = connect(&url).await.expect("accepted");
    for text in ["Hello".to_owned(), "long ".repeat(20_000)] {
        socket.send(text.as_str()).await.expect("open");
        hears(&mut socket, &text).await;
    }
    socket.close(1000, "").await.expect("answered");
    let refused = connect(&url).header("Origin", "http://elsewhere.example").await.expect_err("refused");
    assert!(refused.to_string().contains("403"), "{refused}");
}
