//! Target `deflate`: what we send on a compressed line, in every way there is to send it, received by a connection and by
//! plain zlib. The first four bytes choose role, parameters, cuts and how messages are taken; the rest is a script of
//! messages. Included by `fuzz/` and by `corpus.rs` here.

use trunkline_ws_proto::{
    Connection, DeflateOptions, DeflateParams, DeflatePool, Header, Limits, MessageKind, Opcode,
    PreparedMessage, Role,
};
use zlib_rs::{Inflate, InflateFlush};

use crate::reader::{Event, Reader, Way, without_skipped};
use crate::script::{Script, params};

/// What is sent is what is received.
pub(crate) fn check(data: &[u8]) {
    let [setup, windows, cuts, ways, script @ ..] = data else { return };
    let role = if setup & 1 == 0 { Role::Server } else { Role::Client };
    let params = params(setup >> 1, *windows);
    let mut sender = Sender::new(role, params, setup & 0x80 == 0);
    let mut script = Script(script);
    while sender.act(&mut script).is_some() {}
    let Sender { out, sent, pool, .. } = sender;
    assert_eq!(reference(role, params, &out), sent, "plain zlib");
    let limits = Limits { inflation_ratio_max: u32::MAX, ..Limits::default() };
    let peer = Connection::new(other(role), limits.clone()).with_deflate(Some(params));
    let whole = Reader::new(peer, Some(pool)).having_read(&out, usize::MAX, &[Way::Whole]);
    assert_eq!(whole.events, sent, "a connection");
    let peer = Connection::new(other(role), limits).with_deflate(Some(params));
    let mixed = Reader::new(peer, Some(DeflatePool::default()));
    let mixed = mixed.having_read(&out, usize::from(*cuts), &Way::from_bits(*ways));
    let (sent, received) = without_skipped(&sent, &mixed.events);
    assert_eq!(received, sent, "in pieces");
}

fn other(role: Role) -> Role {
    if role == Role::Server { Role::Client } else { Role::Server }
}

/// One who sends, all that it has sent and what that means.
struct Sender {
    connection: Connection,
    pool: DeflatePool,
    out: Vec<u8>,
    sent: Vec<Event>,
}

/// The key of every frame of a client.
const fn key() -> [u8; 4] {
    [0x37, 0xfa, 0x21, 0x3d]
}

impl Sender {
    fn new(role: Role, params: DeflateParams, whatever_size: bool) -> Self {
        let connection = Connection::new(role, Limits::default()).with_deflate(Some(params));
        let size_min = if whatever_size { 0 } else { 256 };
        let pool = DeflatePool::new(DeflateOptions { size_min, ..DeflateOptions::default() });
        Self { connection, pool, out: Vec::new(), sent: Vec::new() }
    }

    /// One message of the script, at a level of its own.
    fn act(&mut self, script: &mut Script<'_>) -> Option<()> {
        let (way, shape) = (script.byte()?, script.byte()?);
        let payload = script.message()?;
        let text = shape & 1 == 0 && std::str::from_utf8(&payload).is_ok();
        let kind = if text { MessageKind::Text } else { MessageKind::Binary };
        self.pool.set_options(DeflateOptions { level: shape >> 4, ..self.pool.options() });
        let pieces = usize::from(shape >> 1 & 7);
        match (way & 7, self.connection.role()) {
            (0, _) => self.fragments(kind, &payload, pieces, false),
            (1 | 2, _) => self.fragments(kind, &payload, pieces, true),
            (3, Role::Server) => self.headers_apart(kind, &payload, pieces),
            (4 | 5, Role::Server) => self.prepared(&PreparedMessage::new(kind, &payload), way),
            _ => {
                let Self { connection, pool, out, .. } = self;
                connection.send_with(pool, kind, &payload, key, out).expect("open");
            }
        }
        self.sent.push(Event::Message(kind, payload));
        Some(())
    }

    /// As shells do that cut what is long; a ping between two fragments.
    fn fragments(&mut self, kind: MessageKind, payload: &[u8], pieces: usize, compressed: bool) {
        let Self { connection, pool, out, sent } = self;
        let deflated = if compressed { connection.deflate(pool, payload) } else { None };
        let bytes = deflated.unwrap_or(payload);
        let size = bytes.len().div_ceil(pieces + 1).max(1);
        let mut rest = bytes;
        loop {
            let piece = rest.split_off(..size.min(rest.len())).expect("there is as much");
            let last = rest.is_empty();
            match deflated {
                Some(_) => connection.send_deflated(kind, piece, last, key, out).expect("open"),
                None => connection.send_fragment(kind, piece, last, key, out).expect("open"),
            }
            if last {
                return;
            }
            connection.ping(b"!", key, out).expect("open");
            sent.push(Event::Ping(b"!".to_vec()));
        }
    }

    /// As servers do that write vectored.
    fn headers_apart(&mut self, kind: MessageKind, payload: &[u8], pieces: usize) {
        let Self { connection, pool, out, .. } = self;
        let deflated = connection.deflate(pool, payload);
        let mut rest = deflated.unwrap_or(payload);
        let size = rest.len().div_ceil(pieces + 1).max(1);
        loop {
            let piece = rest.split_off(..size.min(rest.len())).expect("there is as much");
            let last = rest.is_empty();
            connection
                .send_fragment_header(kind, piece.len(), last, deflated.is_some(), out)
                .expect("an open server");
            out.extend_from_slice(piece);
            if last {
                return;
            }
        }
    }

    /// Twice, because the second time it is compressed already; the shared frame where that is right.
    fn prepared(&mut self, message: &PreparedMessage, way: u8) {
        let Self { connection, pool, out, sent } = self;
        let message = if way & 8 == 0 { message.clone().compressible() } else { message.clone() };
        connection.send_prepared_with(pool, &message, out).expect("an open server");
        sent.push(Event::Message(message.kind(), message.payload().to_vec()));
        match connection.shared_window() {
            Some(window_bits) if way & 16 == 0 => {
                let deflated = pool.deflate_frame(message.frame(), window_bits);
                out.extend_from_slice(&deflated.unwrap_or_else(|| message.frame().clone()));
            }
            Some(_) => out.extend_from_slice(connection.prepared_frame(pool, &message)),
            None => connection.send_prepared_with(pool, &message, out).expect("an open server"),
        }
    }
}

/// The stream read by hand and inflated by an inflater that knows no more than the window.
fn reference(sender: Role, params: DeflateParams, mut stream: &[u8]) -> Vec<Event> {
    let (alone, window_bits) = match sender {
        Role::Server => (params.server_no_context_takeover, params.server_max_window_bits),
        Role::Client => (params.client_no_context_takeover, params.client_max_window_bits),
    };
    let mut inflater = Inflate::new(false, window_bits);
    let (mut events, mut kind, mut payload, mut compressed) =
        (Vec::new(), MessageKind::Text, Vec::new(), false);
    while let Some((header, size)) = Header::decode(stream, other(sender), true).expect("a header") {
        let (frame, rest) = stream[size..].split_at(header.payload_len as usize);
        stream = rest;
        let key = header.mask.unwrap_or_default();
        let frame: Vec<u8> = frame.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        match header.opcode {
            Opcode::Ping => {
                events.push(Event::Ping(frame));
                continue;
            }
            Opcode::Continuation => assert!(!header.compressed),
            opcode => {
                kind = if opcode == Opcode::Text { MessageKind::Text } else { MessageKind::Binary };
                compressed = header.compressed;
            }
        }
        payload.extend(frame);
        if header.fin {
            let message = std::mem::take(&mut payload);
            let message = if compressed { inflated(&mut inflater, &message) } else { message };
            events.push(Event::Message(kind, message));
            if alone {
                inflater.reset(false);
            }
        }
    }
    assert!(stream.is_empty() && payload.is_empty());
    events
}

/// Sixteen bytes at a time: what an inflater has just written it can refer to, whatever its window.
fn inflated(inflater: &mut Inflate, compressed: &[u8]) -> Vec<u8> {
    let bytes = [compressed, &[0x00, 0x00, 0xFF, 0xFF]].concat();
    let (mut rest, mut message, mut step) = (&bytes[..], Vec::new(), [0; 16]);
    loop {
        let before = (inflater.total_in(), inflater.total_out());
        inflater.decompress(rest, &mut step, InflateFlush::NoFlush).expect("DEFLATE");
        let made = (inflater.total_out() - before.1) as usize;
        rest = &rest[(inflater.total_in() - before.0) as usize..];
        message.extend_from_slice(&step[..made]);
        if rest.is_empty() && made < step.len() {
            return message;
        }
    }
}
