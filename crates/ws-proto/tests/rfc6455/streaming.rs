//! Messages taken in chunks: the same bytes as whole ones, without their limits, and in any mixture of the two ways.

use proptest::prelude::*;
use trunkline_ws_proto::{
    CloseCode, Connection, IncomingChunk, Limits, MessageKind, ProtocolError, Role, UsageError, unmasked,
};

use crate::arbitrary::any_stream;
use crate::cuts::ends;
use crate::wire::{Event, masked, owned};

/// How the bytes of one read are taken.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Whole,
    Chunks,
}

/// Takes `stream` in pieces, each in its way; chunks are put together again.
struct Reader {
    connection: Connection,
    message: Vec<u8>,
    events: Vec<Event>,
}

impl Reader {
    fn new(limits: Limits) -> Self {
        Self { connection: Connection::new(Role::Server, limits), message: Vec::new(), events: Vec::new() }
    }

    fn read(&mut self, way: Way, bytes: &[u8]) {
        let mut buffer = bytes.to_vec();
        let mut input = &mut buffer[..];
        while self.step(way, &mut input) {}
        assert!(input.is_empty(), "`None` means that all was used");
    }

    fn step(&mut self, way: Way, input: &mut &mut [u8]) -> bool {
        let event = match way {
            Way::Whole => match self.connection.receive(input) {
                Ok(None) => return false,
                Ok(Some(incoming)) => Some(owned(incoming)),
                Err(error) => Some(Event::Failed(error)),
            },
            Way::Chunks => match self.connection.receive_chunk(input) {
                Ok(None) => return false,
                Ok(Some(chunk)) => self.take(chunk),
                Err(error) => Some(Event::Failed(error)),
            },
        };
        self.events.extend(event);
        true
    }

    fn take(&mut self, chunk: IncomingChunk<'_>) -> Option<Event> {
        match chunk {
            IncomingChunk::Chunk { kind, payload, last } => {
                self.message.extend_from_slice(&payload);
                let message = last.then(|| std::mem::take(&mut self.message))?;
                Some(match kind {
                    MessageKind::Text => Event::Text(String::from_utf8(message).expect("text is checked")),
                    MessageKind::Binary => Event::Binary(message),
                })
            }
            IncomingChunk::Ping(payload) => Some(Event::Ping(payload.into_vec())),
            IncomingChunk::Pong(payload) => Some(Event::Pong(payload.into_vec())),
            IncomingChunk::Close(frame) => Some(Event::Close(frame.code.0, frame.reason)),
        }
    }
}

fn run(ways: &[Way], stream: &[u8], cuts: &[prop::sample::Index]) -> Vec<Event> {
    let mut reader = Reader::new(Limits::default());
    let mut from = 0;
    for (at, end) in ends(cuts, stream.len()).into_iter().enumerate() {
        reader.read(ways[at % ways.len()], &stream[from..end]);
        from = end;
    }
    reader.events
}

proptest! {
    #[test]
    fn chunks_are_what_the_message_would_be(
        stream in any_stream(Role::Server),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        prop_assert_eq!(run(&[Way::Chunks], &stream, &cuts), run(&[Way::Whole], &stream, &[]));
    }

    /// From whole to chunks at any place: the part that was assembled is the first chunk.
    #[test]
    fn a_message_begun_whole_goes_on_in_chunks(
        stream in any_stream(Role::Server),
        cut in any::<prop::sample::Index>(),
    ) {
        prop_assert_eq!(run(&[Way::Whole, Way::Chunks], &stream, &[cut]), run(&[Way::Whole], &stream, &[]));
    }

    /// From chunks to whole at any place: the message that was under way is missing, and no other.
    #[test]
    fn the_rest_of_a_message_begun_in_chunks_is_skipped(
        stream in any_stream(Role::Server),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut all = run(&[Way::Whole], &stream, &[]);
        let mixed = run(&[Way::Chunks, Way::Whole], &stream, &[cut]);
        if mixed.len() < all.len() {
            let at = mixed.iter().zip(&all).take_while(|(left, right)| left == right).count();
            prop_assert!(matches!(all.remove(at), Event::Text(_) | Event::Binary(_)));
        }
        prop_assert_eq!(mixed, all);
    }
}

/// A frame of a gigabyte that no limit lets in goes out as it comes, and nothing is kept of it.
#[test]
fn a_huge_message_needs_neither_limits_nor_memory() {
    let limits = Limits { message_size_max: 1_000, frame_size_max: 1_000, ..Limits::default() };
    let mut connection = Connection::new(Role::Server, limits);
    let mut header = vec![0x82, 0xFF];
    header.extend((1u64 << 30).to_be_bytes());
    header.extend([0; 4]);
    assert_eq!(connection.receive_chunk(&mut &mut header[..]), Ok(None));
    let mut piece = vec![7; 1 << 20];
    let mut total = 0;
    for at in 1..=1_024 {
        let mut input = &mut piece[..];
        let Ok(Some(IncomingChunk::Chunk { payload, last, .. })) = connection.receive_chunk(&mut input)
        else {
            panic!("piece {at} is a chunk");
        };
        assert!(payload.is_borrowed());
        total += payload.len();
        assert_eq!((last, connection.buffered()), (at == 1_024, 0));
    }
    assert_eq!(total, 1 << 30);
    // The next message has its limits again, unless it is streamed too.
    let mut next = masked(0x82, &[0; 1_001]);
    let error = connection.receive(&mut &mut next[..]).expect_err("too big");
    assert_eq!(error.close_code(), CloseCode::MESSAGE_TOO_BIG);
}

/// Whoever skips the rest of a huge message is not told that it is too big.
#[test]
fn the_skipped_rest_has_no_limit() {
    let limits = Limits { message_size_max: 1_000, frame_size_max: 500, ..Limits::default() };
    let mut reader = Reader::new(limits);
    reader.read(Way::Chunks, &masked(0x02, &[1; 400]));
    for _ in 0..10 {
        reader.read(Way::Whole, &masked(0x00, &[1; 800]));
    }
    reader.read(Way::Whole, &[masked(0x80, b""), masked(0x81, b"next")].concat());
    assert_eq!(reader.events, [Event::Text("next".to_owned())]);
}

/// A message of which `receive` has skipped something has a hole: no chunk of it goes out any more.
#[test]
fn what_is_skipped_is_skipped_to_its_end() {
    let mut reader = Reader::new(Limits::default());
    reader.read(Way::Chunks, &masked(0x02, b"a"));
    reader.read(Way::Whole, &masked(0x00, b"b"));
    reader.read(Way::Chunks, &masked(0x80, b"c"));
    assert_eq!((reader.message.as_slice(), reader.events.as_slice()), (&b"a"[..], &[][..]));
    reader.message.clear();
    reader.read(Way::Chunks, &masked(0x82, b"next"));
    assert_eq!(reader.events, [Event::Binary(b"next".to_vec())]);
}

/// Nothing of the message went out, so it is assembled, and then the limits count.
#[test]
fn t10_a_header_taken_in_chunks_lifts_no_limit() {
    let limits = Limits { message_size_max: 1_000, ..Limits::default() };
    let message = masked(0x82, &[7; 1_001]);
    for pieces in [&[2][..], &[8, 9], &[8, 500]] {
        let mut reader = Reader::new(limits.clone());
        let mut from = pieces[0];
        reader.read(Way::Chunks, &message[..from]);
        for &to in &pieces[1..] {
            reader.read(Way::Whole, &message[from..to]);
            from = to;
        }
        reader.read(Way::Whole, &message[from..]);
        let too_big = [ProtocolError::FrameTooBig, ProtocolError::MessageTooBig].map(Event::Failed);
        assert!(matches!(&reader.events[..], [event] if too_big.contains(event)), "{pieces:?}");
    }
}

#[test]
fn t05_only_fragments_without_payload_are_counted() {
    let limits = Limits { fragments_max: 10, ..Limits::default() };
    let mut reader = Reader::new(limits);
    reader.read(Way::Chunks, &masked(0x02, b"x"));
    for _ in 0..1_000 {
        reader.read(Way::Chunks, &masked(0x00, b"x"));
    }
    for _ in 0..10 {
        reader.read(Way::Chunks, &masked(0x00, b""));
    }
    assert_eq!(reader.events, []);
    reader.read(Way::Chunks, &masked(0x00, b""));
    assert_eq!(reader.events, [Event::Failed(ProtocolError::FragmentsTooMany)]);
}

#[test]
fn text_in_chunks_fails_at_the_byte_that_is_not_utf8() {
    let mut reader = Reader::new(Limits::default());
    reader.read(Way::Chunks, &masked(0x01, "é".as_bytes())[..7]);
    assert_eq!((reader.message.as_slice(), reader.events.len()), (&"é".as_bytes()[..1], 0));
    reader.read(Way::Chunks, &masked(0x01, "éé".as_bytes())[6..7]);
    assert_eq!(reader.events, [Event::Failed(ProtocolError::TextNotUtf8)]);
}

#[test]
fn the_beginning_of_a_message_is_seen_before_it_is_taken() {
    let mut connection = Connection::new(Role::Server, Limits::default());
    let check = |connection: &Connection, first: u8, expect: bool| {
        assert_eq!(connection.begins_message(&masked(first, b"x")), expect, "{first:#x}");
    };
    for (first, expect) in [(0x81, true), (0x02, true), (0x00, false), (0x89, false), (0x8B, false)] {
        check(&connection, first, expect);
    }
    assert!(!connection.begins_message(&[]));
    // Inside a frame, inside a header, and between two fragments: it has begun already.
    for begun in [&masked(0x02, b"abc")[..7], &[0x00, 0x83][..], &masked(0x00, b"abc")[2..]] {
        let _ = connection.receive(&mut begun.to_vec().as_mut_slice());
        check(&connection, 0x81, false);
    }
}

#[test]
fn a_header_alone_is_what_the_fragment_would_begin_with() {
    for size in [0, 125, 126, 70_000] {
        let payload = vec![b'x'; size];
        let mut whole = Connection::new(Role::Server, Limits::default());
        let mut alone = Connection::new(Role::Server, Limits::default());
        for last in [false, false, true] {
            let (mut expect, mut out) = (Vec::new(), Vec::new());
            whole.send_fragment(MessageKind::Text, &payload, last, unmasked, &mut expect).expect("open");
            alone.send_fragment_header(MessageKind::Text, size, last, false, &mut out).expect("open");
            assert_eq!([out.as_slice(), &payload].concat(), expect);
        }
    }
    let mut out = Vec::new();
    let mut client = Connection::new(Role::Client, Limits::default());
    let error = client.send_fragment_header(MessageKind::Text, 1, true, false, &mut out);
    assert_eq!(error, Err(UsageError::UnmaskedByClient));
    let mut server = Connection::new(Role::Server, Limits::default());
    let error = server.send_fragment_header(MessageKind::Text, 1, true, true, &mut out);
    assert_eq!((error, out.len()), (Err(UsageError::CompressionNotAgreed), 0));
}
