//! Connecting again, with the clock paused: a server that follows a script, a chance that always says half, and the
//! moments at which the client came.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};
use trunkline_ws::{
    Backoff, CloseCode, CloseFrame, Connect, Error, HandshakeError, Limits, Message, ProtocolError,
    Reconnecting, Role, Socket, UsageError, connect,
};
use trunkline_ws_proto::handshake::accept_key;

use crate::raw::poll_once;

/// What the server does with one client.
#[derive(Clone, Copy)]
enum Act {
    /// An answer to the handshake, without its last line.
    Answer(&'static str),
    /// Accepted, and closed with this code after that many seconds.
    Close(u16, u64),
    /// Accepted, and cut after that many seconds.
    Cut(u64),
    /// Accepted; it echoes until the client closes.
    Echo,
}

use Act::{Answer, Close, Cut, Echo};

struct Scripted {
    url: String,
    /// When the clients came, in milliseconds, and what they said.
    seen: Arc<Mutex<Vec<(u64, String)>>>,
}

impl Scripted {
    /// A server that does this with its first clients and echoes to all others.
    async fn start(script: &[Act]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("ws://{}/", listener.local_addr().expect("it is bound"));
        let seen = Arc::<Mutex<Vec<(u64, String)>>>::default();
        let (script, log, start) = (script.to_vec(), seen.clone(), Instant::now());
        tokio::spawn(async move {
            for act in script.into_iter().chain(std::iter::repeat(Echo)) {
                let (mut stream, _) = listener.accept().await.expect("a client");
                let millis = u64::try_from(start.elapsed().as_millis()).expect("not that long");
                let request = read_request(&mut stream).await;
                log.lock().expect("no panic").push((millis, request.clone()));
                tokio::spawn(perform(act, stream, request));
            }
        });
        Self { url, seen }
    }

    /// The waits before each client but the first.
    fn waits(&self) -> Vec<u64> {
        let seen = self.seen.lock().expect("no panic");
        seen.windows(2).map(|pair| pair[1].0 - pair[0].0).collect()
    }

    fn clients(&self) -> usize {
        self.seen.lock().expect("no panic").len()
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a whole request"));
    }
    String::from_utf8(head).expect("text")
}

async fn perform(act: Act, mut stream: TcpStream, request: String) {
    if let Answer(answer) = act {
        let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
        return;
    }
    let key = request.split_once("Sec-WebSocket-Key: ").and_then(|(_, rest)| rest.split("\r\n").next());
    let accept = accept_key(key.expect("a key").as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await.expect("the client reads");
    match act {
        Cut(seconds) => sleep(Duration::from_secs(seconds)).await,
        Close(code, seconds) => {
            sleep(Duration::from_secs(seconds)).await;
            // By hand, because some of these codes are the last thing that a socket of ours would send.
            let _ = stream.write_all(&[&[0x88, 2][..], &code.to_be_bytes()].concat()).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
        _ => {
            let mut socket = Socket::new(Role::Server, stream, Vec::new(), quiet());
            while let Ok(Some(message)) = socket.recv().await {
                let _ = socket.send(message).await;
            }
        }
    }
}

/// Without pings: while bytes are on their way through the kernel, the paused clock should have nowhere to go.
fn quiet() -> Limits {
    Limits { ping_interval: Duration::MAX, ..Limits::default() }
}

fn to(url: &str) -> Connect {
    connect(url).limits(quiet())
}

fn reconnecting(connect: Connect) -> Reconnecting {
    connect.reconnecting(Backoff::default()).jitter(|| 1 << 63)
}

/// Uses one socket after the other until one of them echoes.
async fn until_it_echoes(line: &mut Reconnecting) {
    loop {
        let socket = line.connected().await.expect("not given up").expect("not ended");
        if socket.send("Hello").await.is_ok()
            && socket.recv().await.is_ok_and(|message| message == Some(Message::from("Hello")))
        {
            return;
        }
        while socket.recv().await.is_ok_and(|message| message.is_some()) {}
    }
}

#[tokio::test(start_paused = true)]
async fn waits() {
    const BUSY: Act = Answer("503 Service Unavailable");
    let cases: [(&[Act], &[u64]); 8] = [
        (&[], &[]),
        (&[BUSY; 9], &[125, 250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]),
        // The wait is counted from the end of the connection.
        (&[Cut(10)], &[10_125]),
        (&[Close(1001, 20)], &[20_125]),
        // A connection that lived ends the row of failures, one that did not is another.
        (&[BUSY, BUSY, BUSY, Cut(10), BUSY, BUSY], &[125, 250, 500, 10_125, 125, 250]),
        (&[BUSY, BUSY, BUSY, Cut(9), BUSY], &[125, 250, 500, 10_000, 2_000]),
        (&[Close(1012, 0), Close(4503, 0), Cut(0)], &[125, 250, 500]),
        // What the server asks for comes on top.
        (
            &[
                Answer("503 Service Unavailable\r\nRetry-After: 7"),
                Answer("429 Too Many Requests\r\nretry-after:  1 "),
                Answer("503 Service Unavailable\r\nRetry-After: Fri, 20 Nov 2026 10:00:00 GMT"),
                Answer("503 Service Unavailable\r\nRetry-After: +1"),
                Answer("503 Service Unavailable\r\nRetry-After: 1\r\nRetry-After: 1"),
                Answer("503 Service Unavailable\r\nRetry-After: 18446744073709551615"),
                Answer("503 Service Unavailable\r\nRetry-After: 99999999999999999999"),
            ],
            &[7_125, 1_250, 500, 1_000, 2_000, 304_000, 8_000],
        ),
    ];
    for (n, (script, expect)) in cases.into_iter().enumerate() {
        let server = Scripted::start(script).await;
        until_it_echoes(&mut reconnecting(to(&server.url))).await;
        assert_eq!(server.waits(), expect, "case {n}");
    }
}

/// The first attempt does not wait, and nothing is random but what is asked for.
#[tokio::test(start_paused = true)]
async fn chance_is_asked_once_for_each_wait() {
    let server = Scripted::start(&[Cut(10), Cut(10), Cut(10)]).await;
    let mut shares = [0, u64::MAX, 1 << 62].into_iter();
    let line = to(&server.url).reconnecting(Backoff::default());
    until_it_echoes(&mut line.jitter(move || shares.next().expect("three waits"))).await;
    assert_eq!(server.waits(), [10_000, 10_250, 10_063], "rounded up to milliseconds");
}

/// Whether a client comes again after what the server has done. The table of `Error::is_retryable`.
#[tokio::test(start_paused = true)]
async fn what_is_tried_again() {
    for (act, again) in [
        (Answer("101 Switching Protocols"), false),
        (Answer("200 OK"), false),
        (Answer("302 Found\r\nLocation: /"), false),
        (Answer("400 Bad Request"), false),
        (Answer("401 Unauthorized\r\nRetry-After: 1"), false),
        (Answer("403 Forbidden"), false),
        (Answer("404 Not Found"), false),
        (Answer("408 Request Timeout"), true),
        (Answer("425 Too Early"), true),
        (Answer("426 Upgrade Required"), false),
        (Answer("429 Too Many Requests"), true),
        (Answer("500 Internal Server Error"), true),
        (Answer("501 Not Implemented"), false),
        (Answer("502 Bad Gateway"), true),
        (Answer("504 Gateway Timeout"), true),
        (Answer("505 HTTP Version Not Supported"), false),
        (Answer("599 Whatever"), true),
        (Cut(0), true),
        (Close(1001, 0), true),
        (Close(1002, 0), false),
        (Close(1003, 0), false),
        (Close(1007, 0), false),
        (Close(1008, 0), false),
        (Close(1009, 0), false),
        (Close(1010, 0), false),
        (Close(1011, 0), true),
        (Close(1013, 0), true),
        (Close(3000, 0), true),
        (Close(4399, 0), true),
        (Close(4400, 0), false),
        (Close(4499, 0), false),
        (Close(4500, 0), true),
        // A code that may not be sent: we told the peer 1002.
        (Close(1005, 0), false),
    ] {
        let server = Scripted::start(&[act]).await;
        let mut line = reconnecting(to(&server.url));
        let name = match act {
            Answer(answer) => answer.to_owned(),
            Close(code, _) => code.to_string(),
            _ => "cut".to_owned(),
        };
        if matches!(act, Close(..) | Cut(_)) {
            let socket = line.connected().await.expect("accepted").expect("a socket");
            let _ = socket.recv().await;
        }
        match line.connected().await {
            Ok(Some(socket)) => {
                assert!(socket.is_open() && again, "{name}");
                assert_eq!(server.clients(), 2, "{name}");
            }
            Ok(None) => panic!("{name}"),
            Err(error) => {
                assert!(!again && !error.is_retryable(), "{name}: {error}");
                assert_eq!(server.clients(), 1, "{name}");
                if let Close(code, _) = act {
                    let told = if code == 1005 { 1002 } else { code };
                    assert!(matches!(&error, Error::Closed(frame) if frame.code.0 == told), "{error:?}");
                }
            }
        }
    }
}

#[test]
fn errors_that_come_from_no_server() {
    let frame = |code| CloseFrame { code: CloseCode(code), reason: String::new() };
    for (error, again) in [
        (Error::Lost(None), true),
        (Error::Timeout(trunkline_ws::Deadline::Connect), true),
        (Error::Io(std::io::ErrorKind::ConnectionRefused.into()), true),
        (Error::Closed(frame(1006)), true),
        (Error::Closed(frame(1005)), true),
        (Error::Protocol(ProtocolError::MessageTooBig), false),
        (Error::Usage(UsageError::Closing), false),
        (Error::Handshake(HandshakeError::AcceptWrong), false),
        (Error::TlsUnsupported, false),
        (Error::QueueFull, false),
        (Error::other("mine"), false),
    ] {
        assert_eq!(error.is_retryable(), again, "{error:?}");
    }
}

/// 1000 is the end, whoever said it first, and stays the end.
#[tokio::test(start_paused = true)]
async fn closed_with_1000() {
    let server = Scripted::start(&[Close(1000, 0), Echo]).await;
    let mut line = reconnecting(to(&server.url));
    let socket = line.connected().await.expect("accepted").expect("a socket");
    assert!(matches!(socket.recv().await, Ok(None)));
    for _ in 0..2 {
        assert!(line.connected().await.expect("no error").is_none());
    }
    let mut line = reconnecting(to(&server.url));
    let socket = line.connected().await.expect("accepted").expect("a socket");
    // Begun, not waited for.
    assert!(poll_once(socket.close(1000, "")).is_pending());
    assert!(line.connected().await.expect("no error").is_none());
    assert_eq!(server.clients(), 2);
}

/// An application that wants it otherwise, and hears why.
#[tokio::test(start_paused = true)]
async fn an_opinion_of_ones_own() {
    let server = Scripted::start(&[Close(1000, 0), Answer("404 Not Found"), Cut(0), Close(4000, 0)]).await;
    let heard = Arc::<Mutex<Vec<String>>>::default();
    let log = heard.clone();
    let mut line = reconnecting(to(&server.url)).retry_if(move |error| {
        log.lock().expect("no panic").push(error.to_string());
        error.close_code() != Some(CloseCode(4000))
    });
    let error = loop {
        match line.connected().await {
            Ok(socket) => drop(socket.expect("not ended").recv().await),
            Err(error) => break error,
        }
    };
    assert_eq!(error.close_code(), Some(CloseCode(4000)));
    let heard = heard.lock().expect("no panic").clone();
    assert_eq!(
        heard,
        [
            "the connection is closed (1000)",
            "the server answered 404 instead of 101 Switching Protocols",
            "the connection was cut without a close frame",
            "the connection is closed (4000)",
        ]
    );
}

/// Who gives up is not made to wait, but who asks again at once is.
#[tokio::test(start_paused = true)]
async fn asking_again_after_the_end() {
    let server = Scripted::start(&[Answer("401 Unauthorized"); 4]).await;
    let mut line = reconnecting(to(&server.url));
    for attempt in 1..=4 {
        let error = line.connected().await.expect_err("no token");
        assert!(matches!(error, Error::Handshake(HandshakeError::Status(401))), "{error:?}");
        assert_eq!(server.clients(), attempt);
    }
    until_it_echoes(&mut line).await;
    assert_eq!(server.waits(), [125, 250, 500, 1_000]);
}

/// Nobody listens. The last error is returned, and only failures in a row count.
#[tokio::test(start_paused = true)]
async fn a_number_of_failures() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("it is bound"));
    drop(listener);
    let backoff = Backoff { failures_max: Some(3), ..Backoff::default() };
    let start = Instant::now();
    let error = connect(url).reconnecting(backoff.clone()).jitter(|| 1 << 63).connected().await.err();
    assert!(matches!(error, Some(Error::Io(_))), "{error:?}");
    assert_eq!(start.elapsed().as_millis(), 125 + 250);
    const BUSY: Act = Answer("503 Service Unavailable");
    let server = Scripted::start(&[BUSY, BUSY, Cut(10), BUSY, BUSY, Cut(9)]).await;
    let mut line = to(&server.url).reconnecting(backoff).jitter(|| 1 << 63);
    for _ in 0..2 {
        let socket = line.connected().await.expect("not yet").expect("a socket");
        let _ = socket.recv().await;
    }
    assert!(matches!(line.connected().await, Err(Error::Lost(_))), "the third in a row");
    assert_eq!(server.clients(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_token_for_each_attempt() {
    let server = Scripted::start(&[Answer("503 Service Unavailable"), Cut(0)]).await;
    let mut issued = 0;
    let mut line = reconnecting(to(&server.url).header("X-Client", "a")).bearer_with(move || {
        issued += 1;
        let token = format!("token-{issued}");
        async move {
            // The second time the one who issues them cannot be reached.
            if issued == 2 { Err(Error::Lost(None)) } else { Ok(token) }
        }
    });
    until_it_echoes(&mut line).await;
    let seen = server.seen.lock().expect("no panic").clone();
    for ((_, request), token) in seen.iter().zip(["token-1", "token-3", "token-4"]) {
        assert!(request.contains("X-Client: a\r\n"), "{request}");
        assert!(request.contains(&format!("Authorization: Bearer {token}\r\n")), "{request}");
        assert_eq!(request.matches("Authorization").count(), 1, "{request}");
    }
    assert_eq!(seen.len(), 3);
    assert_eq!(server.waits(), [125 + 250, 500]);
    let mut line = reconnecting(to(&server.url)).prepare(async |_| Err(Error::other("no more tokens")));
    assert!(matches!(line.connected().await, Err(Error::Other(_))));
    let mut line = reconnecting(connect("ws://elsewhere.invalid/")).prepare({
        let url = server.url.clone();
        move |_| std::future::ready(Ok(to(&url)))
    });
    until_it_echoes(&mut line).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_before_there_is_an_attempt() {
    let error = reconnecting(connect("http://h/")).connected().await.expect_err("no WebSocket URL");
    assert!(matches!(error, Error::Usage(UsageError::UrlInvalid { .. })), "{error:?}");
}

/// Dropped at every poll: the same waits, and no attempt is begun twice.
#[tokio::test(start_paused = true)]
async fn cancelled_at_every_await() {
    let server = Scripted::start(&[Answer("503 Service Unavailable"), Cut(3), Answer("500 Oops")]).await;
    let mut line = reconnecting(to(&server.url));
    let mut sockets = 0;
    for _ in 0..10_000 {
        tokio::select! {
            biased;
            socket = line.connected() => {
                let socket = socket.expect("not given up").expect("not ended");
                sockets += 1;
                if sockets == 2 {
                    break;
                }
                let _ = socket.recv().await;
            }
            // Of two timers the one that is due first decides how far the clock goes.
            () = sleep(Duration::from_millis(1)) => {}
        }
    }
    assert_eq!(sockets, 2, "it gets there");
    assert_eq!(server.clients(), 4);
    assert_eq!(server.waits(), [125, 3_250, 500]);
}

/// A socket that still works is the one that is given, as often as it is asked for.
#[tokio::test(start_paused = true)]
async fn an_open_socket_is_given_again() {
    let server = Scripted::start(&[]).await;
    let mut line = reconnecting(to(&server.url));
    for _ in 0..3 {
        until_it_echoes(&mut line).await;
    }
    assert_eq!(server.clients(), 1);
    assert!(format!("{line:?}").contains("open"));
}
