//! A compressed line: frames written by hand, both ends of a connection, and a compressor that is not ours to cut short.

use trunkline_ws_proto::{
    Connection, DeflateOptions, DeflateParams, DeflatePool, Incoming, Limits, MessageKind, ProtocolError,
    Role, unmasked,
};
use zlib_rs::{Deflate, DeflateFlush};

/// The masking key of every frame a client sends here.
pub(crate) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Both directions with context takeover.
pub(crate) const TAKEOVER: DeflateParams = DeflateParams {
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};

/// What came out of a connection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Message(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16),
    Failed(ProtocolError),
}

pub(crate) fn text(text: &str) -> Event {
    Event::Message(MessageKind::Text, text.as_bytes().to_vec())
}

pub(crate) fn binary(payload: &[u8]) -> Event {
    Event::Message(MessageKind::Binary, payload.to_vec())
}

/// A frame as a client sends it: 0xC1 begins a compressed text message.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=0xFFFF => {
            frame.push(0x80 | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// Bytes that cannot be compressed.
pub(crate) fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}

/// `payload` compressed and flushed with `flush`; without the tail of a sync flush.
pub(crate) fn deflated(payload: &[u8], flush: DeflateFlush) -> Vec<u8> {
    let mut state = Deflate::new(6, false, 15);
    let mut out = vec![0; payload.len() + 1_000];
    state.compress(payload, &mut out, flush).expect("a valid state");
    out.truncate(state.total_out() as usize);
    if flush == DeflateFlush::SyncFlush {
        out.truncate(out.len() - 4);
    }
    out
}

/// One end of a line and all that came out of it.
pub(crate) struct Peer {
    pub(crate) connection: Connection,
    pub(crate) pool: DeflatePool,
    pub(crate) events: Vec<Event>,
    pub(crate) out: Vec<u8>,
}

impl Peer {
    pub(crate) fn new(role: Role, params: DeflateParams, limits: Limits) -> Self {
        Self {
            connection: Connection::new(role, limits).with_deflate(Some(params)),
            pool: DeflatePool::new(DeflateOptions { size_min: 0, ..DeflateOptions::default() }),
            events: Vec::new(),
            out: Vec::new(),
        }
    }

    pub(crate) fn server(params: DeflateParams) -> Self {
        Self::new(Role::Server, params, Limits::default())
    }

    pub(crate) fn send(&mut self, kind: MessageKind, payload: &[u8]) {
        let Self { connection, pool, out, .. } = self;
        match connection.role() {
            Role::Server => connection.send_with(pool, kind, payload, unmasked, out),
            Role::Client => connection.send_with(pool, kind, payload, || KEY, out),
        }
        .expect("open");
    }

    pub(crate) fn read(&mut self, bytes: &[u8]) {
        let mut buffer = bytes.to_vec();
        let mut input = &mut buffer[..];
        loop {
            let event = match self.connection.receive_with(&mut self.pool, &mut input) {
                Ok(None) => break,
                Ok(Some(incoming)) => owned(incoming),
                Err(error) => Event::Failed(error),
            };
            self.events.push(event);
        }
        assert!(input.is_empty(), "`None` means that all was used");
    }
}

fn owned(incoming: Incoming<'_>) -> Event {
    match incoming {
        Incoming::Message { kind, payload } => {
            assert!(kind == MessageKind::Binary || std::str::from_utf8(&payload).is_ok(), "text is checked");
            Event::Message(kind, payload.into_vec())
        }
        Incoming::Ping(payload) => Event::Ping(payload.into_vec()),
        Incoming::Pong(payload) => Event::Pong(payload.into_vec()),
        Incoming::Close(frame) => Event::Close(frame.code.0),
    }
}

/// Feeds `frames` to fresh servers, at once, byte by byte, and without a pool, and compares what comes out.
#[track_caller]
pub(crate) fn check(params: DeflateParams, frames: &[Vec<u8>], expect: &[Event]) {
    check_with(params, &Limits::default(), frames, expect);
}

#[track_caller]
pub(crate) fn check_with(params: DeflateParams, limits: &Limits, frames: &[Vec<u8>], expect: &[Event]) {
    let mut bytes = frames.concat();
    let mut whole = Peer::new(Role::Server, params, limits.clone());
    whole.read(&bytes);
    assert_eq!(whole.events, expect, "at once: {bytes:02x?}");
    let mut trickled = Peer::new(Role::Server, params, limits.clone());
    for byte in &bytes {
        trickled.read(&[*byte]);
    }
    assert_eq!(trickled.events, expect, "byte by byte: {bytes:02x?}");
    let mut alone = Peer::new(Role::Server, params, limits.clone());
    let mut input = &mut bytes[..];
    loop {
        match alone.connection.receive(&mut input) {
            Ok(None) => break,
            Ok(Some(incoming)) => alone.events.push(owned(incoming)),
            Err(error) => alone.events.push(Event::Failed(error)),
        }
    }
    assert_eq!(alone.events, expect, "without a pool");
}
