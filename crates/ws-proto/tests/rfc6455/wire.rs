//! Frames written by hand, and a peer who reads them: the words in which the cases are told. Not a second
//! implementation. Used by every section.

use trunkline_ws_proto::{Connection, Incoming, Limits, MessageKind, ProtocolError, Role, unmasked};

/// The masking key of every frame a client sends here.
pub(crate) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What came out of a connection, owned so that it can be compared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    Failed(ProtocolError),
}

pub(crate) fn text(text: &str) -> Event {
    Event::Text(text.to_owned())
}

pub(crate) fn binary(bytes: &[u8]) -> Event {
    Event::Binary(bytes.to_vec())
}

pub(crate) fn closed(code: u16, reason: &str) -> Event {
    Event::Close(code, reason.to_owned())
}

/// A frame as a client sends it, masked; `first` is the first byte (0x81 is a whole text message).
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, Some(KEY), payload)
}

/// A frame as a server sends it.
pub(crate) fn bare(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, None, payload)
}

pub(crate) fn frame(first: u8, key: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let bit = if key.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(bit | len as u8),
        len @ 126..=0xFFFF => {
            frame.push(bit | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(bit | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(key.into_iter().flatten());
    let key = key.unwrap_or_default();
    frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
    frame
}

/// The payload of a close frame.
pub(crate) fn reason(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// A connection and all that came out of it.
pub(crate) struct Peer {
    pub(crate) connection: Connection,
    pub(crate) events: Vec<Event>,
    pub(crate) out: Vec<u8>,
}

impl Peer {
    pub(crate) fn new(role: Role, limits: Limits) -> Self {
        Self { connection: Connection::new(role, limits), events: Vec::new(), out: Vec::new() }
    }

    pub(crate) fn server() -> Self {
        Self::new(Role::Server, Limits::default())
    }

    pub(crate) fn client() -> Self {
        Self::new(Role::Client, Limits::default())
    }

    /// One read of the shell: everything is received, then the connection says what it has to say.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        self.read_only(bytes);
        self.transmit();
    }

    pub(crate) fn read_only(&mut self, bytes: &[u8]) {
        let mut buffer = bytes.to_vec();
        let mut input = &mut buffer[..];
        loop {
            let event = match self.connection.receive(&mut input) {
                Ok(None) => break,
                Ok(Some(incoming)) => owned(incoming),
                Err(error) => Event::Failed(error),
            };
            self.events.push(event);
        }
        assert!(input.is_empty(), "`None` means that all was used");
    }

    pub(crate) fn transmit(&mut self) {
        match self.connection.role() {
            Role::Server => self.connection.poll_transmit(unmasked, &mut self.out),
            Role::Client => self.connection.poll_transmit(|| KEY, &mut self.out),
        };
    }
}

pub(crate) fn owned(incoming: Incoming<'_>) -> Event {
    match incoming {
        Incoming::Message { kind: MessageKind::Text, payload } => {
            Event::Text(String::from_utf8(payload.into_vec()).expect("text is checked"))
        }
        Incoming::Message { kind: MessageKind::Binary, payload } => Event::Binary(payload.into_vec()),
        Incoming::Ping(payload) => Event::Ping(payload.into_vec()),
        Incoming::Pong(payload) => Event::Pong(payload.into_vec()),
        Incoming::Close(frame) => Event::Close(frame.code.0, frame.reason),
    }
}

/// Feeds `frames` to a fresh server, at once and byte by byte, and compares what comes out.
#[track_caller]
pub(crate) fn check(frames: &[Vec<u8>], expect: &[Event]) {
    check_with(Role::Server, &Limits::default(), frames, expect);
}

#[track_caller]
pub(crate) fn check_with(role: Role, limits: &Limits, frames: &[Vec<u8>], expect: &[Event]) {
    let bytes = frames.concat();
    let mut whole = Peer::new(role, limits.clone());
    whole.read(&bytes);
    assert_eq!(whole.events, expect, "at once: {bytes:02x?}");
    let mut trickled = Peer::new(role, limits.clone());
    for byte in &bytes {
        trickled.read_only(&[*byte]);
    }
    assert_eq!(trickled.events, expect, "byte by byte: {bytes:02x?}");
}

/// Feeds `frames` to a fresh server and expects it to fail with `error` and say so in a close frame.
#[track_caller]
pub(crate) fn check_fails(frames: &[Vec<u8>], error: ProtocolError) {
    check_fails_with(Role::Server, &Limits::default(), frames, error);
}

#[track_caller]
pub(crate) fn check_fails_with(role: Role, limits: &Limits, frames: &[Vec<u8>], error: ProtocolError) {
    check_with(role, limits, frames, &[Event::Failed(error)]);
    let mut peer = Peer::new(role, limits.clone());
    peer.read(&frames.concat());
    let key = (role == Role::Client).then_some(KEY);
    let close = frame(0x88, key, &reason(error.close_code().0, &error.to_string()));
    assert_eq!(peer.out, close, "the close frame says why");
    assert!(peer.connection.is_closed());
}
