//! Target `frames`: any bytes as what the peer sends, for both roles. The first byte chooses role and limits, the second
//! the cuts, the rest is the stream. Included by `fuzz/` and by `corpus.rs` here.

use trunkline_ws_proto::{Connection, Decoder, Incoming, Limits, MessageKind, ProtocolError, Role, unmasked};

/// What came out, owned.
#[derive(Clone, Debug, PartialEq)]
enum Event {
    Message(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    Failed(ProtocolError),
}

/// The stream whole, in pieces, and through the layer below: always the same, and never over a limit.
pub(crate) fn check(data: &[u8]) {
    let [setup, cuts, stream @ ..] = data else { return };
    let role = if setup & 1 == 0 { Role::Server } else { Role::Client };
    let limits = if setup & 2 == 0 {
        Limits::default()
    } else {
        Limits { message_size_max: 200, fragments_max: 4, ..Limits::default() }
    };
    let whole = run(role, &limits, stream, usize::MAX);
    assert_eq!(run(role, &limits, stream, 1), whole, "byte by byte");
    assert_eq!(run(role, &limits, stream, usize::from(*cuts).max(1)), whole, "in pieces");
    check_events(&limits, &whole.0);
    assert_eq!(assembled(role, &limits, stream), messages(&whole.0), "the streaming layer");
    check_answers(role, &whole.1);
}

/// The events and what is answered, with reads of `size` bytes.
fn run(role: Role, limits: &Limits, stream: &[u8], size: usize) -> (Vec<Event>, Vec<u8>) {
    let mut connection = Connection::new(role, limits.clone());
    let (mut events, mut out) = (Vec::new(), Vec::new());
    for piece in stream.chunks(size.min(stream.len()).max(1)) {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        loop {
            match connection.receive(&mut input) {
                Ok(None) => break,
                Ok(Some(incoming)) => events.push(owned(incoming)),
                Err(error) => events.push(Event::Failed(error)),
            }
        }
        assert!(input.is_empty(), "`None` means that all was used");
        assert!(
            connection.buffered() <= 2 * limits.message_size_max.max(1 << 10) + 300,
            "bounded by the limit"
        );
        assert!(
            connection.buffered() <= 4 * stream.len() + 300,
            "bounded by what came, not by what was claimed"
        );
    }
    match role {
        Role::Server => connection.poll_transmit(unmasked, &mut out),
        Role::Client => connection.poll_transmit(|| [1, 2, 3, 4], &mut out),
    };
    let ended = matches!(events.last(), Some(Event::Close(..) | Event::Failed(_)));
    assert_eq!(connection.is_closed(), ended, "closed once the close frame is out");
    (events, out)
}

fn owned(incoming: Incoming<'_>) -> Event {
    match incoming {
        Incoming::Message { kind, payload } => Event::Message(kind, payload.into_vec()),
        Incoming::Ping(payload) => Event::Ping(payload.into_vec()),
        Incoming::Pong(payload) => Event::Pong(payload.into_vec()),
        Incoming::Close(frame) => Event::Close(frame.code.0, frame.reason),
    }
}

fn check_events(limits: &Limits, events: &[Event]) {
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Message(kind, payload) => {
                assert!(payload.len() <= limits.message_size_max);
                assert!(*kind == MessageKind::Binary || std::str::from_utf8(payload).is_ok());
            }
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
    let (events, _) = run(other, &Limits::default(), out, usize::MAX);
    let fine = |event: &Event| matches!(event, Event::Pong(_) | Event::Close(..));
    assert!(events.len() <= 2 && events.iter().all(fine), "{events:?}");
}
