//! Connections that are encrypted, as the worker's loop drives them: a whole node on loopback sockets, with a cipher that can
//! be read, and that is as awkward as its trait allows. TLS itself is tested with the server's process.

use std::io::{self, ErrorKind, IoSlice, Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use trunkline_backend::MemoryStore;
use trunkline_model::{Epoch, Limits, Namespaces, Presented, Timestamp};
use trunkline_node::{
    Admission, Cipher, Door, Handle, HttpServer, Inboxes, Listener, Node, NodeConfig, Protocol, Socket,
    Upgrade,
};
use trunkline_ws_proto::DeflateOptions;

/// Longer than any test waits for what must come, so that one that fails ends.
const LONG: Duration = Duration::from_secs(30);

/// Each byte of plaintext is two of ciphertext: what it is, and its value.
const DATA: u8 = 1;
/// What asks for `ANSWER`, as a key update does.
const QUESTION: u8 = 2;
const ANSWER: u8 = 3;
const END: u8 = 4;
/// The last word to who breaks the protocol.
const ALERT: u8 = 5;

#[derive(Debug)]
struct Doubled {
    /// How much ciphertext may wait.
    room: usize,
    waiting: Vec<u8>,
    /// How much of it is written.
    written: usize,
    /// The first half of a pair.
    half: Option<u8>,
    ended: bool,
    said_end: bool,
}

impl Doubled {
    fn with_room(room: usize) -> Self {
        Self { room, waiting: Vec::new(), written: 0, half: None, ended: false, said_end: false }
    }
}

impl Cipher for Doubled {
    fn decrypt(&mut self, ciphertext: &[u8], plain: &mut Vec<u8>) -> io::Result<()> {
        for byte in ciphertext {
            let Some(kind) = self.half.take() else {
                self.half = Some(*byte);
                continue;
            };
            match kind {
                _ if self.ended => {}
                DATA => plain.push(*byte),
                QUESTION => self.waiting.extend([ANSWER, 0]),
                END => self.ended = true,
                _ => {
                    self.waiting.extend([ALERT, 0]);
                    return Err(ErrorKind::InvalidData.into());
                }
            }
        }
        Ok(())
    }

    fn has_ended(&self) -> bool {
        self.ended
    }

    fn encrypt(&mut self, plain: &[IoSlice<'_>]) -> io::Result<usize> {
        let room = self.room.saturating_sub(self.waiting.len()) / 2;
        let bytes = plain.iter().flat_map(|slice| slice.iter()).take(room);
        let before = self.waiting.len();
        self.waiting.extend(bytes.flat_map(|byte| [DATA, *byte]));
        Ok((self.waiting.len() - before) / 2)
    }

    fn wants_write(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn write_to(&mut self, socket: &mut dyn Write) -> io::Result<usize> {
        let count = socket.write_vectored(&[IoSlice::new(&self.waiting[self.written..])])?;
        self.written += count;
        if self.written == self.waiting.len() {
            self.waiting.clear();
            self.written = 0;
        }
        Ok(count)
    }

    fn end(&mut self) {
        if !std::mem::replace(&mut self.said_end, true) {
            self.waiting.extend([END, 0]);
        }
    }
}

/// No HTTP: whoever connects has an echo behind such a cipher from the first byte on.
struct AtOnce {
    room: usize,
    /// What is known of the other side when the connection is handed over.
    leftover: &'static [u8],
    ended: bool,
}

impl HttpServer for AtOnce {
    fn serve(
        &self,
        socket: Socket,
        worker: Handle,
        _drain: watch::Receiver<bool>,
    ) -> Pin<Box<dyn Future<Output = ()>>> {
        let cipher = Doubled { ended: self.ended, ..Doubled::with_room(self.room) };
        let upgrade = Upgrade {
            protocol: Protocol::Echo,
            deflate: None,
            address: None,
            token: None,
            leftover: Bytes::from_static(self.leftover),
            cipher: Some(Box::new(cipher)),
        };
        Box::pin(async move { worker.attach(socket, upgrade).expect("the worker runs") })
    }
}

/// An echo asks nobody.
struct NoDoor;

impl Door for NoDoor {
    fn admit(&self, _presented: Presented) -> Admission {
        unreachable!("an echo has no session")
    }
}

fn node(http: AtOnce, limits: Limits) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("it is bound");
    let inboxes = Inboxes::new(1);
    let store = MemoryStore::new(Epoch::from_random(10), || Timestamp(1), inboxes.sink());
    let config = NodeConfig {
        addresses: Arc::default(),
        users: Arc::default(),
        proxies: Vec::new(),
        limits: Arc::new(limits),
        namespaces: Arc::new(Namespaces::default()),
        store: Arc::new(store),
        deflate: DeflateOptions::default(),
        door: Arc::new(NoDoor),
        rpc: None,
        http: Arc::new(http),
        listener: Listener::Tcp(listener),
    };
    // Dropped, the node goes on; it ends with the test's process.
    Node::start(config, inboxes).expect("the node starts");
    address
}

fn echo(room: usize) -> TcpStream {
    connect(node(AtOnce { room, leftover: b"", ended: false }, Limits::default()))
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the node listens");
    stream.set_read_timeout(Some(LONG)).expect("a timeout");
    stream.set_write_timeout(Some(LONG)).expect("a timeout");
    stream
}

/// A frame as a client sends it, with a masking key of zero.
fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
    doubled(&[&start(head, payload.len(), 0x80)[..], &[0; 4], payload].concat())
}

/// The same as the server sends it.
fn answer(head: u8, payload: &[u8]) -> Vec<u8> {
    doubled(&[&start(head, payload.len(), 0)[..], payload].concat())
}

fn start(head: u8, length: usize, mask: u8) -> Vec<u8> {
    match length {
        0..126 => vec![head, mask | length as u8],
        126..0x1_0000 => [&[head, mask | 126], &(length as u16).to_be_bytes()[..]].concat(),
        _ => [&[head, mask | 127], &(length as u64).to_be_bytes()[..]].concat(),
    }
}

fn doubled(plain: &[u8]) -> Vec<u8> {
    plain.iter().flat_map(|byte| [DATA, *byte]).collect()
}

const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
/// An empty close frame is answered by one.
const CLOSED: [u8; 4] = [DATA, CLOSE, DATA, 0];

/// The next bytes, which must be these.
fn expect(stream: &mut TcpStream, expected: &[u8]) {
    let mut heard = vec![0; expected.len()];
    stream.read_exact(&mut heard).expect("it comes");
    assert!(heard == expected, "{} bytes are not as they should be", heard.len());
}

/// All that still comes.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    rest
}

#[test]
fn messages_come_back_whatever_room_the_cipher_has() {
    for room in [2, 3, 100, 64 << 10, usize::MAX] {
        let mut stream = echo(room);
        for size in [0, 1, 125, 5_000, 70_000] {
            let payload: Vec<u8> = (0..size).map(|at: usize| at.to_le_bytes()[0]).collect();
            stream.write_all(&frame(BINARY, &payload)).expect("the node reads");
            expect(&mut stream, &answer(BINARY, &payload));
        }
        // Many at once, cut anywhere.
        let all = frame(BINARY, b"abc").repeat(1_000);
        for part in all.chunks(777) {
            stream.write_all(part).expect("the node reads");
        }
        expect(&mut stream, &answer(BINARY, b"abc").repeat(1_000));
    }
}

/// Far more than the sockets hold.
const LARGE: usize = 10 << 20;

/// It is written to one that does not read for now, and is all there when it does, be it that it waited in the outbox or in
/// the cipher.
#[test]
fn what_waits_as_ciphertext_leaves_when_the_socket_takes_bytes_again() {
    for room in [64 << 10, usize::MAX] {
        let mut stream = echo(room);
        let payload: Vec<u8> = (0..LARGE).map(|at| (at >> 8).to_le_bytes()[0]).collect();
        stream.write_all(&frame(BINARY, &payload)).expect("the node reads");
        expect(&mut stream, &answer(BINARY, &payload));
        stream.write_all(&frame(BINARY, b"and on")).expect("the node reads");
        expect(&mut stream, &answer(BINARY, b"and on"));
    }
}

/// Nothing waits in the outbox, all in the cipher: whoever takes none of it is dropped all the same.
#[test]
fn ciphertext_that_nobody_takes_counts_as_blocked() {
    let second = Duration::from_secs(1);
    let limits = Limits { write_timeout: second, ping_interval: second, ..Limits::default() };
    let mut stream = connect(node(AtOnce { room: usize::MAX, leftover: b"", ended: false }, limits));
    stream.write_all(&frame(BINARY, &vec![7; LARGE])).expect("the node reads");
    // It is heard all the time: what it says fails when the other end is gone.
    let pong = doubled(&[0x8a, 0x80, 0, 0, 0, 0]);
    while stream.write_all(&pong).is_ok() {
        std::thread::yield_now();
    }
    assert!(rest(&mut stream).len() < LARGE, "most of it was never written");
}

#[test]
fn reading_may_want_to_write() {
    let mut stream = echo(64 << 10);
    for _ in 0..3 {
        stream.write_all(&[QUESTION, 0]).expect("the node reads");
        expect(&mut stream, &[ANSWER, 0]);
    }
    stream.write_all(&[&frame(BINARY, b"a")[..], &[QUESTION, 0]].concat()).expect("the node reads");
    expect(&mut stream, &[ANSWER, 0]);
    expect(&mut stream, &answer(BINARY, b"a"));
}

/// The last word of the cipher comes behind the last of the WebSocket, and before the end of TCP.
#[test]
fn the_end_is_said_before_our_half_is_shut_down() {
    for room in [2, 64 << 10] {
        let mut stream = echo(room);
        stream.write_all(&[frame(BINARY, b"a"), frame(CLOSE, b"")].concat()).expect("the node reads");
        let expected = [&answer(BINARY, b"a")[..], &CLOSED, &[END, 0]].concat();
        assert_eq!(rest(&mut stream), expected);
    }
}

#[test]
fn one_that_ends_is_answered_what_came_before() {
    let mut stream = echo(64 << 10);
    let all = [&frame(BINARY, b"a").repeat(500)[..], &[END, 0], &frame(BINARY, b"behind it")].concat();
    stream.write_all(&all).expect("the node reads");
    let expected = [&answer(BINARY, b"a").repeat(500)[..], &[END, 0]].concat();
    let heard = rest(&mut stream);
    assert!(heard == expected, "{} bytes", heard.len());
}

/// Nothing will come that would wake it.
#[test]
fn one_that_ended_during_the_handshake_is_answered_and_let_go() {
    // A ping.
    let leftover = &[0x89, 0x80, 0, 0, 0, 0];
    let mut stream = connect(node(AtOnce { room: 64 << 10, leftover, ended: true }, Limits::default()));
    assert_eq!(rest(&mut stream), [DATA, 0x8a, DATA, 0, END, 0]);
}

#[test]
fn one_that_breaks_the_protocol_hears_why() {
    let mut stream = echo(64 << 10);
    stream.write_all(&[0xff, 0xff]).expect("the node reads");
    let heard = rest(&mut stream);
    assert_eq!(heard, [ALERT, 0]);
}
