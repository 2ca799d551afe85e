//! A connection that is read in any mixture of whole messages and chunks, and what came out of it. Used by the targets
//! `frames`, `inflate` and `deflate`.

use trunkline_ws_proto::{
    Connection, DeflatePool, Incoming, IncomingChunk, MessageKind, Payload, ProtocolError, Role, unmasked,
};

/// What a chunk of a compressed message may have.
const CHUNK_MAX: usize = 4 << 20;

/// What came out, owned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Message(MessageKind, Vec<u8>),
    /// The beginning of a message, whose rest was not asked for.
    Skipped(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    Failed(ProtocolError),
}

/// How the bytes of one read are taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    Whole,
    Chunks,
}

impl Way {
    /// One for each bit, for one read after the other.
    pub(crate) fn from_bits(bits: u8) -> [Self; 8] {
        std::array::from_fn(|at| if bits >> at & 1 == 0 { Self::Whole } else { Self::Chunks })
    }
}

/// Chunks are put together again.
pub(crate) struct Reader {
    connection: Connection,
    pool: Option<DeflatePool>,
    /// What came in chunks of a message that has not ended.
    begun: Option<Vec<u8>>,
    /// Whether `receive` may have taken in what the next chunk begins with.
    taken_in: bool,
    pub(crate) events: Vec<Event>,
    /// The most that the connection held after a read.
    pub(crate) held_max: usize,
}

impl Reader {
    pub(crate) fn new(connection: Connection, pool: Option<DeflatePool>) -> Self {
        Self { connection, pool, begun: None, taken_in: false, events: Vec::new(), held_max: 0 }
    }

    /// The same, having read `stream` in pieces of `size`, the ways taking turns.
    pub(crate) fn having_read(mut self, stream: &[u8], size: usize, ways: &[Way]) -> Self {
        for (piece, way) in stream.chunks(size.max(1)).zip(ways.iter().cycle()) {
            self.read(*way, piece);
        }
        self
    }

    fn read(&mut self, way: Way, bytes: &[u8]) {
        if way == Way::Whole {
            self.events.extend(self.begun.take().map(Event::Skipped));
            self.taken_in = true;
        }
        let mut bytes = bytes.to_vec();
        let mut input = &mut bytes[..];
        while self.step(way, &mut input) {}
        assert!(input.is_empty(), "`None` means that all was used");
        let held = self.connection.buffered();
        self.held_max = self.held_max.max(held);
        let between_messages = self.connection.begins_message(&[0x81]);
        assert!(held == 0 || (self.connection.is_open() && !between_messages), "{held} bytes for nothing");
    }

    fn step(&mut self, way: Way, input: &mut &mut [u8]) -> bool {
        let Self { connection, pool, .. } = self;
        let received = match (way, pool) {
            (Way::Whole, None) => connection.receive(input).map(|it| it.map(whole)),
            (Way::Whole, Some(pool)) => connection.receive_with(pool, input).map(|it| it.map(whole)),
            (Way::Chunks, None) => connection.receive_chunk(input),
            (Way::Chunks, Some(pool)) => connection.receive_chunk_with(pool, input),
        };
        let event = match received {
            Ok(None) => return false,
            Ok(Some(IncomingChunk::Chunk { kind, payload, last })) => self.take(way, kind, payload, last),
            Ok(Some(IncomingChunk::Ping(payload))) => Some(Event::Ping(payload.into_vec())),
            Ok(Some(IncomingChunk::Pong(payload))) => Some(Event::Pong(payload.into_vec())),
            Ok(Some(IncomingChunk::Close(frame))) => Some(Event::Close(frame.code.0, frame.reason)),
            Err(error) => {
                assert!(input.is_empty(), "what follows has no meaning");
                Some(Event::Failed(error))
            }
        };
        if matches!(event, Some(Event::Close(..) | Event::Failed(_))) {
            self.begun = None;
        }
        self.events.extend(event);
        true
    }

    fn take(&mut self, way: Way, kind: MessageKind, payload: Payload<'_>, last: bool) -> Option<Event> {
        match way {
            Way::Whole => assert!(payload.len() <= self.connection.limits().message_size_max),
            Way::Chunks => assert!(payload.len() <= CHUNK_MAX || self.taken_in),
        }
        self.taken_in = false;
        let begun = self.begun.get_or_insert_default();
        begun.extend_from_slice(&payload);
        // As far as it goes: a character may be cut.
        let text = std::str::from_utf8(begun);
        let is_text = text.is_ok() || (!last && text.is_err_and(|error| error.error_len().is_none()));
        assert!(kind == MessageKind::Binary || is_text);
        let whole = self.begun.take_if(|_| last)?;
        Some(Event::Message(kind, whole))
    }

    /// What is answered, after which the line is closed if it has to be.
    pub(crate) fn answers(mut self) -> Vec<u8> {
        let mut out = Vec::new();
        match self.connection.role() {
            Role::Server => self.connection.poll_transmit(unmasked, &mut out),
            Role::Client => self.connection.poll_transmit(|| [1, 2, 3, 4], &mut out),
        };
        let ended = matches!(self.events.last(), Some(Event::Close(..) | Event::Failed(_)));
        assert_eq!(self.connection.is_closed(), ended, "closed once the close frame is out");
        out
    }
}

fn whole(incoming: Incoming<'_>) -> IncomingChunk<'_> {
    match incoming {
        Incoming::Message { kind, payload } => IncomingChunk::Chunk { kind, payload, last: true },
        Incoming::Ping(payload) => IncomingChunk::Ping(payload),
        Incoming::Pong(payload) => IncomingChunk::Pong(payload),
        Incoming::Close(frame) => IncomingChunk::Close(frame),
    }
}

/// `whole` without the messages that were skipped in `mixed`, and `mixed` without what it has of them.
pub(crate) fn without_skipped(whole: &[Event], mixed: &[Event]) -> (Vec<Event>, Vec<Event>) {
    let (mut whole, mut kept) = (whole.to_vec(), Vec::new());
    for event in mixed {
        let Event::Skipped(begun) = event else {
            kept.push(event.clone());
            continue;
        };
        // Between its beginning and its end there may be pings.
        let is_message = |event: &Event| matches!(event, Event::Message(..));
        if let Some(at) = whole.iter().skip(kept.len()).position(is_message)
            && let Event::Message(_, payload) = whole.remove(kept.len() + at)
        {
            assert!(payload.starts_with(begun), "the beginning of another message");
        }
    }
    (whole, kept)
}

/// What holds of any events.
pub(crate) fn check_events(events: &[Event]) {
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Message(..) | Event::Skipped(_) => {}
            Event::Ping(payload) | Event::Pong(payload) => assert!(payload.len() <= 125),
            Event::Close(code, reason) => {
                assert!(reason.len() <= 123);
                assert!(matches!(code, 1000..=1003 | 1005 | 1007..=1014 | 3000..=4999));
                assert_eq!(at + 1, events.len(), "nothing after a close frame");
            }
            Event::Failed(_) => assert_eq!(at + 1, events.len(), "nothing after a failure"),
        }
    }
}
