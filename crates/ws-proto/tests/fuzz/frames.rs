//! Target `frames`: any bytes as what the peer sends, for both roles. The first byte chooses role and limits and how
//! messages are taken, the second the cuts, the rest is the stream. Included by `fuzz/` and by `corpus.rs` here.

use trunkline_ws_proto::{Connection, Decoder, Limits, Role};

use crate::reader::{Event, Reader, Way, check_events, without_skipped};

/// The stream whole, in pieces, in chunks, and through the layer below: always the same, and never over a limit.
pub(crate) fn check(data: &[u8]) {
    let [setup, cuts, stream @ ..] = data else { return };
    let role = if setup & 1 == 0 { Role::Server } else { Role::Client };
    let limits = limits(setup >> 1);
    let whole = run(role, &limits, stream, usize::MAX, &[Way::Whole]);
    // The shortcut for a whole message in one frame needs all of its header at once, so it is never taken here.
    let trickled = run(role, &limits, stream, 1, &[Way::Whole]);
    assert_eq!(trickled.events, whole.events, "byte by byte");
    let size = usize::from(*cuts);
    let pieces = run(role, &limits, stream, size, &[Way::Whole]);
    assert_eq!(pieces.events, whole.events, "in pieces");
    assert_eq!(assembled(role, &limits, stream), messages(&whole.events), "the streaming layer");
    let mixed = run(role, &limits, stream, size, &Way::from_bits(setup >> 3 ^ cuts));
    check_chunks(role, stream, size, setup >> 3 ^ cuts);
    let answers = whole.answers();
    assert_eq!(trickled.answers(), answers);
    assert_eq!(pieces.answers(), answers);
    check_answers(role, &answers);
    check_answers(role, &mixed.answers());
}

fn limits(which: u8) -> Limits {
    match which & 3 {
        0 => Limits::default(),
        1 => Limits { message_size_max: 200, fragments_max: 4, ..Limits::default() },
        2 => Limits { message_size_max: 300, frame_size_max: 130, ..Limits::default() },
        _ => Limits { fragments_max: 0, ..Limits::default() },
    }
}

fn run(role: Role, limits: &Limits, stream: &[u8], size: usize, ways: &[Way]) -> Reader {
    let reader = Reader::new(Connection::new(role, limits.clone()), None).having_read(stream, size, ways);
    check_events(&reader.events);
    assert!(reader.held_max <= 2 * limits.message_size_max.max(1 << 10) + 300, "bounded by the limit");
    assert!(reader.held_max <= 4 * stream.len() + 300, "bounded by what came, not by what was claimed");
    reader
}

/// Without limits, which are others for chunks: what is not skipped is the same.
fn check_chunks(role: Role, stream: &[u8], size: usize, ways: u8) {
    let limits = Limits {
        message_size_max: usize::MAX >> 1,
        frame_size_max: usize::MAX,
        fragments_max: u32::MAX,
        ..Limits::default()
    };
    let events = |size, ways: &[Way]| {
        Reader::new(Connection::new(role, limits.clone()), None).having_read(stream, size, ways).events
    };
    let whole = events(usize::MAX, &[Way::Whole]);
    assert_eq!(events(1, &[Way::Chunks]), whole, "chunks of a byte");
    let (whole, mixed) = without_skipped(&whole, &events(size, &Way::from_bits(ways)));
    assert_eq!(mixed, whole, "chunks and whole messages");
}

fn messages(events: &[Event]) -> Vec<Vec<u8>> {
    let payload = |event: &Event| match event {
        Event::Message(_, payload) => Some(payload.clone()),
        _ => None,
    };
    events.iter().filter_map(payload).collect()
}

/// The messages before the first close frame or error, put together from the chunks of the streaming layer.
fn assembled(role: Role, limits: &Limits, stream: &[u8]) -> Vec<Vec<u8>> {
    let mut decoder = Decoder::new(role, limits.clone());
    let mut bytes = stream.to_vec();
    let mut input = &mut bytes[..];
    let (mut messages, mut message) = (Vec::new(), Vec::new());
    while let Ok(Some(chunk)) = decoder.decode(&mut input) {
        match chunk.opcode {
            trunkline_ws_proto::Opcode::Close if chunk.last => break,
            opcode if opcode.is_control() => {}
            _ => {
                assert_eq!(chunk.first, message.is_empty() && chunk.first, "begins once");
                message.extend_from_slice(chunk.payload);
                if chunk.last {
                    messages.push(std::mem::take(&mut message));
                }
            }
        }
    }
    messages
}

/// Whatever we answer is well formed for the other end.
fn check_answers(role: Role, out: &[u8]) {
    let other = if role == Role::Server { Role::Client } else { Role::Server };
    let events = run(other, &Limits::default(), out, usize::MAX, &[Way::Whole]).events;
    let fine = |event: &Event| matches!(event, Event::Pong(_) | Event::Close(..));
    assert!(events.len() <= 2 && events.iter().all(fine), "{events:?}");
}
