//! What came out of either implementation, in words that both have. Used by `main.rs` and `verdict.rs`.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use trunkline_ws_proto::{Connection, Incoming, MessageKind, ProtocolError, Role};
use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::{Role as TheirRole, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use crate::stream::Pieces;
use crate::{FRAME_SIZE_MAX, MESSAGE_SIZE_MAX, limits};

/// What came out, in order; nothing follows a `Close` or a `Failed`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// 1005 where the frame had no code.
    Close(u16, String),
    Failed(Fault),
}

/// Why it failed, as coarsely as both say it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// 1002, with what this crate says about it.
    Protocol(Option<ProtocolError>),
    NotUtf8,
    TooBig,
    TooManyFragments,
}

impl Event {
    pub(crate) const KINDS: usize = 9;

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Binary(_) => "binary",
            Self::Ping(_) => "ping",
            Self::Pong(_) => "pong",
            Self::Close(..) => "close",
            Self::Failed(Fault::Protocol(_)) => "protocol error",
            Self::Failed(Fault::NotUtf8) => "not UTF-8",
            Self::Failed(Fault::TooBig) => "too big",
            Self::Failed(Fault::TooManyFragments) => "too many fragments",
        }
    }
}

/// The events of this crate.
pub(crate) fn ours(role: Role, pieces: &Pieces) -> Vec<Event> {
    let mut connection = Connection::new(role, limits());
    let mut events = Vec::new();
    for piece in pieces {
        let mut piece = piece.clone();
        let mut input = &mut piece[..];
        loop {
            events.push(match connection.receive(&mut input) {
                Ok(None) => break,
                Ok(Some(Incoming::Message { kind: MessageKind::Text, payload })) => {
                    Event::Text(String::from_utf8(payload.into_vec()).expect("text is checked"))
                }
                Ok(Some(Incoming::Message { payload, .. })) => Event::Binary(payload.into_vec()),
                Ok(Some(Incoming::Ping(payload))) => Event::Ping(payload.into_vec()),
                Ok(Some(Incoming::Pong(payload))) => Event::Pong(payload.into_vec()),
                Ok(Some(Incoming::Close(frame))) => Event::Close(frame.code.0, frame.reason),
                Err(error) => Event::Failed(match error.close_code().0 {
                    1007 => Fault::NotUtf8,
                    1008 => Fault::TooManyFragments,
                    1009 => Fault::TooBig,
                    _ => Fault::Protocol(Some(error)),
                }),
            });
        }
    }
    events
}

/// A stream in memory: each read brings one piece, then nothing comes any more; what is written is kept.
#[derive(Default)]
struct Line {
    pieces: VecDeque<Vec<u8>>,
    written: Vec<u8>,
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(mut piece) = self.pieces.pop_front() else { return Err(io::ErrorKind::WouldBlock.into()) };
        let size = piece.len().min(buffer.len());
        buffer[..size].copy_from_slice(&piece[..size]);
        piece.drain(..size);
        if !piece.is_empty() {
            self.pieces.push_front(piece);
        }
        Ok(size)
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn socket(role: Role, pieces: &Pieces) -> WebSocket<Line> {
    let line = Line { pieces: pieces.iter().cloned().collect(), written: Vec::new() };
    let role = if role == Role::Server { TheirRole::Server } else { TheirRole::Client };
    let config = WebSocketConfig::default()
        .read_buffer_size(256)
        .max_message_size(Some(MESSAGE_SIZE_MAX))
        .max_frame_size(Some(FRAME_SIZE_MAX));
    WebSocket::from_raw_socket(line, role, Some(config))
}

/// The events of tungstenite.
pub(crate) fn theirs(role: Role, pieces: &Pieces) -> Vec<Event> {
    let mut socket = socket(role, pieces);
    let mut events = Vec::new();
    loop {
        events.push(match socket.read() {
            Ok(Message::Text(text)) => Event::Text(text.as_str().to_owned()),
            Ok(Message::Binary(bytes)) => Event::Binary(bytes.to_vec()),
            Ok(Message::Ping(bytes)) => Event::Ping(bytes.to_vec()),
            Ok(Message::Pong(bytes)) => Event::Pong(bytes.to_vec()),
            Ok(Message::Close(None)) => Event::Close(1005, String::new()),
            Ok(Message::Close(Some(frame))) => {
                Event::Close(frame.code.into(), frame.reason.as_str().to_owned())
            }
            Ok(Message::Frame(_)) => panic!("raw frames were not asked for"),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return events,
            Err(Error::Protocol(_)) => Event::Failed(Fault::Protocol(None)),
            Err(Error::Utf8(_)) => Event::Failed(Fault::NotUtf8),
            Err(Error::Capacity(_)) => Event::Failed(Fault::TooBig),
            Err(error) => panic!("{error}"),
        });
        if matches!(events.last(), Some(Event::Close(..) | Event::Failed(_))) {
            return events;
        }
    }
}

/// What tungstenite writes for these messages and a close frame.
pub(crate) fn written_by_it(role: Role, messages: &[Event]) -> Vec<u8> {
    let mut socket = socket(role, &Vec::new());
    for message in messages {
        let message = match message {
            Event::Text(text) => Message::text(text.as_str()),
            Event::Binary(bytes) => Message::binary(bytes.clone()),
            Event::Ping(bytes) => Message::Ping(bytes.clone().into()),
            other => panic!("{other:?} is not for sending"),
        };
        socket.send(message).expect("the line takes everything");
    }
    socket.close(Some(CloseFrame { code: 1000.into(), reason: "bye".into() })).expect("open");
    std::mem::take(&mut socket.get_mut().written)
}
