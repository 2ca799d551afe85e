//! Target `inflate`: what the peer sends on a compressed line. The first three bytes choose role, parameters, limits, cuts
//! and how messages are taken; the rest is a script of frames. Included by `fuzz/` and by `corpus.rs` here.

use trunkline_ws_proto::{
    Connection, DeflateParams, DeflatePool, Header, Limits, MessageKind, Opcode, ProtocolError, Role,
};
use zlib_rs::{Deflate, DeflateFlush};

use crate::reader::{Event, Reader, Way, check_events, without_skipped};
use crate::script::{Script, params};

/// The stream whole, in pieces, in chunks and in any mixture: the same, and never over a limit.
pub(crate) fn check(data: &[u8]) {
    let [setup, windows, cuts, script @ ..] = data else { return };
    let line = Line {
        role: if setup & 1 == 0 { Role::Server } else { Role::Client },
        params: params(setup >> 1, *windows),
        limits: limits(setup >> 3),
    };
    let (stream, expect) = line.play(script);
    let (size, ways) = (usize::from(*cuts), Way::from_bits(setup >> 5 ^ windows >> 6 ^ cuts));
    line.check_pieces(&stream, size);
    line.run(&stream, size, &ways);
    let line = Line { limits: without_limits(), ..line };
    line.check_chunks(&stream, size, &ways);
    if let Some(expect) = expect {
        assert_eq!(line.run(&stream, usize::MAX, &[Way::Whole]), expect, "what was compressed");
    }
}

fn limits(which: u8) -> Limits {
    match which & 3 {
        0 => without_limits(),
        1 => Limits { inflation_ratio_max: 20, inflation_ratio_from: 2_000, ..Limits::default() },
        2 => Limits { message_size_max: 70_000, inflation_ratio_max: u32::MAX, ..Limits::default() },
        _ => Limits { message_size_max: 300, frame_size_max: 130, fragments_max: 4, ..Limits::default() },
    }
}

fn without_limits() -> Limits {
    Limits {
        message_size_max: usize::MAX >> 1,
        frame_size_max: usize::MAX,
        fragments_max: u32::MAX,
        inflation_ratio_max: u32::MAX,
        ..Limits::default()
    }
}

/// A byte, of streams that are not long.
fn little(stream: &[u8]) -> usize {
    1 + stream.len() / 1_000
}

/// One end of it.
struct Line {
    role: Role,
    params: DeflateParams,
    limits: Limits,
}

impl Line {
    /// The stream that a script describes, and what it means if every message in it is well formed.
    fn play(&self, script: &[u8]) -> (Vec<u8>, Option<Vec<Event>>) {
        let mut peer = Peer::new(self);
        let mut script = Script(script);
        while peer.act(&mut script).is_some() {}
        (peer.stream, peer.expect)
    }

    fn reader(&self, pool: Option<DeflatePool>) -> Reader {
        let connection = Connection::new(self.role, self.limits.clone()).with_deflate(Some(self.params));
        Reader::new(connection, pool)
    }

    fn run(&self, stream: &[u8], size: usize, ways: &[Way]) -> Vec<Event> {
        let reader = self.reader(Some(DeflatePool::default())).having_read(stream, size, ways);
        check_events(&reader.events);
        // DEFLATE makes at most 1,032 bytes of one.
        let message_max = self.limits.message_size_max.min(1_032 * (stream.len() + 8));
        // And an inflater, if that much has come.
        assert!(reader.held_max <= 2 * message_max.max(4 << 10) + (48 << 10) + 300, "{}", reader.held_max);
        reader.events
    }

    fn check_pieces(&self, stream: &[u8], size: usize) {
        let whole = self.run(stream, usize::MAX, &[Way::Whole]);
        for size in [little(stream), size] {
            self.check_same(&whole, &self.run(stream, size, &[Way::Whole]), "in pieces");
        }
        let alone = self.reader(None).having_read(stream, usize::MAX, &[Way::Whole]);
        assert_eq!(alone.events, whole, "without a pool");
        if self.limits.inflation_ratio_max < u32::MAX {
            self.check_ratio(stream, &whole);
        }
    }

    /// Within a few bytes of the largest ratio the reads may decide.
    fn check_same(&self, whole: &[Event], pieces: &[Event], what: &str) {
        let ratio = [whole, pieces]
            .iter()
            .position(|events| matches!(events.last(), Some(Event::Failed(ProtocolError::InflationRatio))));
        match ratio {
            None => assert_eq!(pieces, whole, "{what}"),
            Some(0) => assert!(pieces.starts_with(&whole[..whole.len() - 1]), "{what}"),
            Some(_) => assert!(whole.starts_with(&pieces[..pieces.len() - 1]), "{what}"),
        }
    }

    /// No more than the ratio allows, all together.
    fn check_ratio(&self, stream: &[u8], events: &[Event]) {
        let size = |event: &Event| match event {
            Event::Message(_, payload) => payload.len(),
            _ => 0,
        };
        let allowed = events.len() * self.limits.inflation_ratio_from
            + (stream.len() + 8 * events.len()) * self.limits.inflation_ratio_max as usize;
        assert!(events.iter().map(size).sum::<usize>() <= allowed);
    }

    /// What is not skipped is the same. A fault that is still held where messages are whole shows sooner in chunks.
    fn check_chunks(&self, stream: &[u8], size: usize, ways: &[Way]) {
        let whole = self.run(stream, usize::MAX, &[Way::Whole]);
        let chunks = self.run(stream, size, &[Way::Chunks]);
        assert_eq!(self.run(stream, little(stream), &[Way::Chunks]), chunks, "chunks, byte by byte");
        for mixed in [chunks, self.run(stream, size, ways)] {
            let (whole, mut mixed) = without_skipped(&whole, &mixed);
            let sooner = [ProtocolError::DeflateInvalid, ProtocolError::TextNotUtf8].map(Event::Failed);
            if mixed != whole && mixed.last().is_some_and(|last| sooner.contains(last)) {
                mixed.pop();
                assert!(whole.starts_with(&mixed), "chunks fail sooner: {mixed:?}, {whole:?}");
            } else {
                assert_eq!(mixed, whole, "chunks");
            }
        }
    }
}

/// Who sends: any frames, among them compressed ones that mean something.
struct Peer<'l> {
    line: &'l Line,
    stream: Vec<u8>,
    expect: Option<Vec<Event>>,
    deflater: Option<Deflate>,
}

impl<'l> Peer<'l> {
    fn new(line: &'l Line) -> Self {
        Self { line, stream: Vec::new(), expect: Some(Vec::new()), deflater: None }
    }

    /// One step of the script.
    fn act(&mut self, script: &mut Script<'_>) -> Option<()> {
        match script.byte()? {
            0x00..0x20 => {
                self.stream.extend_from_slice(script.bytes()?);
                self.expect = None;
            }
            0x20..0x60 => {
                let first = script.byte()?;
                let payload = script.bytes()?;
                self.frame(first, payload);
                self.expect = None;
            }
            op => self.message(op, script)?,
        }
        Some(())
    }

    fn frame(&mut self, first: u8, payload: &[u8]) {
        // A key of zeros, so that the payload stands in the stream as it is.
        let mask = (self.line.role == Role::Server).then_some([0; 4]);
        let header = Header { mask, payload_len: payload.len() as u64, ..Header::whole(Opcode::Binary, 0) };
        let at = self.stream.len();
        self.stream.extend_from_slice(&header.encode());
        self.stream[at] = first;
        self.stream.extend_from_slice(payload);
    }

    /// A compressed message; `op` says how it ends, in how many fragments it comes and what goes wrong.
    fn message(&mut self, op: u8, script: &mut Script<'_>) -> Option<()> {
        let shape = script.byte()?;
        let message = script.message()?;
        let is_text = std::str::from_utf8(&message).is_ok();
        let text = shape & 1 == 0 && (is_text || shape & 0x80 != 0);
        if text && !is_text {
            self.expect = None;
        }
        let kind = if text { MessageKind::Text } else { MessageKind::Binary };
        let mut payload = self.deflated(&message, shape >> 1 & 3);
        if op & 0x0F == 0 && !payload.is_empty() {
            let at = usize::from(script.byte()?) * payload.len() / 256;
            payload[at] ^= script.byte()?;
            self.expect = None;
        }
        let size = payload.len().div_ceil(1 + usize::from(shape >> 3 & 7)).max(1);
        let last = payload.len().div_ceil(size).max(1) - 1;
        for at in 0..=last {
            let opcode = if at == 0 { kind.opcode() as u8 | 0x40 } else { 0 };
            let piece = payload.chunks(size).nth(at).unwrap_or_default();
            self.frame(if at == last { opcode | 0x80 } else { opcode }, piece);
            if shape & 0x40 != 0 && at < last {
                self.frame(0x89, b"?");
                self.expect.iter_mut().for_each(|expect| expect.push(Event::Ping(b"?".to_vec())));
            }
        }
        self.expect.iter_mut().for_each(|expect| expect.push(Event::Message(kind, message.clone())));
        Some(())
    }

    /// As RFC 7692 §7.2.1 and §7.2.3 have it, by a compressor that is not ours to cut short.
    fn deflated(&mut self, message: &[u8], end: u8) -> Vec<u8> {
        let params = self.line.params;
        let (alone, window_bits) = match self.line.role {
            Role::Server => (params.client_no_context_takeover, params.client_max_window_bits),
            Role::Client => (params.server_no_context_takeover, params.server_max_window_bits),
        };
        let state = self.deflater.get_or_insert_with(|| Deflate::new(6, false, window_bits.max(9)));
        let flush = match end {
            0 | 1 => DeflateFlush::SyncFlush,
            2 => DeflateFlush::FullFlush,
            _ => DeflateFlush::Finish,
        };
        let mut out = vec![0; message.len() + 1_000];
        let before = state.total_out();
        state.compress(message, &mut out, flush).expect("a valid state");
        out.truncate((state.total_out() - before) as usize);
        if flush == DeflateFlush::Finish {
            state.reset();
            // With the empty block whose beginning a peer may add (§7.2.3.4).
            out.extend(message.first().filter(|first| *first & 1 == 0).map(|_| 0));
        } else {
            // A compressor that has nothing new to flush says nothing; an empty message is an empty block (§7.2.3.6).
            out = out.strip_suffix(&[0x00, 0x00, 0xFF, 0xFF]).unwrap_or(&[0]).to_vec();
            if alone {
                state.reset();
            }
        }
        out
    }
}
