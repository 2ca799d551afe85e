//! How long a node is patient with a connection that says nothing, or takes nothing: a whole node on loopback sockets, with
//! short limits. What is said over a connection in good health is tested with the server's process.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use trunkline_backend::MemoryStore;
use trunkline_model::{
    Admitted, ChannelName, ClientId, Epoch, Identity, Kind, Limits, Namespace, Namespaces, Presented,
    Publisher, Timestamp, UserName,
};
use trunkline_node::{
    Admission, Door, Handle, HttpServer, Inboxes, Listener, Node, NodeConfig, Protocol, Socket, Upgrade,
};
use trunkline_ws_proto::DeflateOptions;

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// Longer than any test waits for what must come, so that one that fails ends.
const LONG: Duration = Duration::from_secs(30);

/// No HTTP: whoever connects speaks this protocol from its first byte on.
struct AtOnce(Protocol);

impl HttpServer for AtOnce {
    fn serve(
        &self,
        socket: Socket,
        worker: Handle,
        _drain: watch::Receiver<bool>,
    ) -> Pin<Box<dyn Future<Output = ()>>> {
        let upgrade = Upgrade {
            protocol: self.0.clone(),
            deflate: None,
            address: None,
            token: None,
            leftover: Bytes::new(),
            cipher: None,
        };
        Box::pin(async move { worker.attach(socket, upgrade).expect("the worker runs") })
    }
}

/// Everyone is the same guest.
struct OpenDoor;

impl Door for OpenDoor {
    fn admit(&self, _presented: Presented) -> Admission {
        let identity = Identity {
            client: ClientId::new("client"),
            user: UserName::new("guest"),
            publisher: Publisher::new("session:guest"),
            session: None,
            named: true,
            access: Arc::default(),
        };
        Admission::Now(Ok(Box::new(Admitted { identity, channels: Vec::new() })))
    }
}

/// A node of one worker with these limits, a log `chat` with this ring, and a signal `live`.
fn node(limits: Limits, protocol: Protocol, ring: u32) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("it is bound");
    let inboxes = Inboxes::new(1);
    let store = MemoryStore::new(Epoch::from_random(10), || Timestamp(1), inboxes.sink());
    let mut namespaces = Namespaces::default();
    namespaces.insert("chat", Namespace { recover_entries: ring, ..Namespace::of_kind(Kind::Log) });
    namespaces.insert("live", Namespace::of_kind(Kind::Signal));
    let config = NodeConfig {
        addresses: Arc::default(),
        users: Arc::default(),
        proxies: Vec::new(),
        limits: Arc::new(limits),
        namespaces: Arc::new(namespaces),
        store: Arc::new(store),
        deflate: DeflateOptions::default(),
        door: Arc::new(OpenDoor),
        rpc: None,
        http: Arc::new(AtOnce(protocol)),
        listener: Listener::Tcp(listener),
    };
    // Dropped, the node goes on; it ends with the test's process.
    Node::start(config, inboxes).expect("the node starts");
    address
}

/// The client's end of a connection.
fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the node listens");
    stream.set_read_timeout(Some(LONG)).expect("a timeout");
    stream.set_write_timeout(Some(LONG)).expect("a timeout");
    stream
}

/// A frame as a client sends it. The masking key is zero, so that the payload stays readable.
fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![head];
    match u8::try_from(payload.len()) {
        Ok(short @ ..126) => frame.push(0x80 | short),
        _ => {
            let length = u16::try_from(payload.len()).expect("tests send less than 64 KiB");
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(&frame(TEXT, text.as_bytes())).expect("the node reads");
}

/// The next frame, as its first byte and its payload; `None` at the end of the connection.
fn hear(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    match stream.read_exact(&mut head) {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
            return None;
        }
        Err(error) => panic!("{error}"),
    }
    let mut read = |count: usize| {
        let mut bytes = vec![0; count];
        stream.read_exact(&mut bytes).expect("a frame is whole");
        bytes
    };
    let number = |bytes: Vec<u8>| bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
    let length = match head[1] {
        126 => number(read(2)),
        127 => number(read(8)),
        short => usize::from(short),
    };
    Some((head[0], read(length)))
}

fn hear_text(stream: &mut TcpStream) -> String {
    let (head, payload) = hear(stream).expect("the node says something");
    assert_eq!(head, TEXT, "{payload:?}");
    String::from_utf8(payload).expect("texts are UTF-8")
}

fn every_second() -> Limits {
    Limits { ping_interval: Duration::from_secs(1), ..Limits::default() }
}

fn plain() -> Protocol {
    Protocol::Plain(ChannelName::parse("chat:plain").expect("a name"))
}

#[test]
fn who_is_silent_is_pinged_and_then_dropped() {
    let open = |protocol: Protocol| (connect(node(every_second(), protocol.clone(), 10)), protocol);
    for (mut stream, protocol) in [Protocol::Json, plain(), Protocol::Echo].map(open) {
        assert_eq!(hear(&mut stream), Some((PING, Vec::new())), "{protocol:?}");
        assert_eq!(hear(&mut stream), None, "{protocol:?}: the ping was not answered");
    }
}

#[test]
fn who_answers_pings_stays() {
    let mut stream = connect(node(every_second(), plain(), 10));
    for _ in 0..4 {
        assert_eq!(hear(&mut stream), Some((PING, Vec::new())));
        stream.write_all(&frame(PONG, b"")).expect("the node reads");
    }
}

#[test]
fn pings_are_messages_for_those_who_ask_for_them() {
    let mut stream = connect(node(every_second(), Protocol::Json, 10));
    say(&mut stream, r#"{"type":"connect","heartbeat":true}"#);
    assert!(hear_text(&mut stream).starts_with(r#"{"type":"welcome""#));
    for _ in 0..3 {
        assert_eq!(hear_text(&mut stream), r#"{"type":"ping"}"#);
        say(&mut stream, r#"{"type":"pong"}"#);
    }
    assert_eq!(hear_text(&mut stream), r#"{"type":"ping"}"#);
    assert_eq!(hear(&mut stream), None, "the last one was not answered");
}

const QUESTION: &str = r#"{"type":"history","id":1,"channel":"chat:a","limit":60}"#;

/// Publishes 60 messages, together just under a page.
fn fill(stream: &mut TcpStream) {
    for _ in 0..60 {
        let text = "x".repeat(15_000);
        say(stream, &format!(r#"{{"type":"publish","id":1,"channel":"chat:a","text":"{text}"}}"#));
        assert!(hear_text(stream).starts_with(r#"{"type":"published""#));
    }
}

/// The pages come from memory, one by one, and the next question is not read before the last page has room. So nobody waits
/// for its pong, and all that ever ends this connection is that it takes nothing.
#[test]
fn who_takes_no_byte_is_dropped() {
    let limits = Limits {
        write_timeout: Duration::from_secs(1),
        close_timeout: Duration::from_secs(3_600),
        ..every_second()
    };
    let mut stream = connect(node(limits, Protocol::Json, 100));
    fill(&mut stream);
    let question = frame(TEXT, QUESTION.as_bytes());
    let error = loop {
        if let Err(error) = stream.write_all(&question) {
            break error;
        }
    };
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
}

/// The pages come from the store, for all questions at once. They are more than may wait, and than the system takes.
#[test]
fn who_asks_for_more_than_may_wait_is_told_to_be_slow() {
    const QUESTIONS: usize = 60;
    let address = node(Limits { outbox_bytes: 2 << 20, ..Limits::default() }, Protocol::Json, 1);
    let (mut deaf, mut witness) = (connect(address), connect(address));
    fill(&mut deaf);
    say(&mut witness, r#"{"type":"subscribe","channel":"live:a"}"#);
    assert!(hear_text(&mut witness).starts_with(r#"{"type":"subscribed""#));
    let mut said = frame(TEXT, QUESTION.as_bytes()).repeat(QUESTIONS);
    said.extend(frame(TEXT, br#"{"type":"publish","channel":"live:a","text":"all asked"}"#));
    deaf.write_all(&said).expect("the node reads");
    // When the worker has taken the last question, and a turn later, all answers have found their room or not.
    assert!(hear_text(&mut witness).contains("all asked"));
    say(&mut witness, r#"{"type":"ping"}"#);
    assert!(hear_text(&mut witness).starts_with(r#"{"type":"pong""#));
    let mut pages = 0;
    let code = loop {
        match hear(&mut deaf).expect("a close frame comes before the end") {
            (CLOSE, payload) => break u16::from_be_bytes([payload[0], payload[1]]),
            _ => pages += 1,
        }
    };
    assert_eq!(code, 4508);
    assert!(pages < QUESTIONS, "all {pages} pages came");
}
