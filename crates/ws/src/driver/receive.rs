//! Receiving: what was read becomes messages, or parts of one, for the application.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use trunkline_ws_proto::{Incoming, IncomingChunk, MessageKind};

use super::{Driver, Outcome, Stage};
use crate::compression::with_pool;
use crate::error::Error;
use crate::keys::mask_key;
use crate::message::Message;

/// How the application takes a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Whole,
    Parts,
}

/// The next bytes of a message.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) kind: MessageKind,
    pub(crate) bytes: Bytes,
    pub(crate) last: bool,
}

/// What was decoded for the application. A [`Part`] never stays in the inbox between two calls.
#[derive(Debug)]
pub(super) enum Received {
    Message(Message),
    Part(Part),
}

/// What the undecoded bytes led to.
enum Decoded {
    Received(Received),
    Ping,
    Pong,
    End(Outcome),
    NeedsMore,
}

impl Driver {
    /// The next message, or the end. Of a message that was begun in parts the rest is skipped.
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, Error>> {
        self.form = Form::Whole;
        let received = ready!(self.poll_received(cx))?;
        Poll::Ready(Ok(received.map(|received| match received {
            Received::Message(message) => message,
            Received::Part(part) => Message::from_bytes(part.kind, part.bytes),
        })))
    }

    /// The next part of a message, or the end.
    pub(crate) fn poll_recv_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Part>, Error>> {
        self.form = Form::Parts;
        let received = ready!(self.poll_received(cx))?;
        Poll::Ready(Ok(received.map(|received| match received {
            Received::Message(message) => {
                Part { kind: message.kind(), bytes: message.into_bytes(), last: true }
            }
            Received::Part(part) => part,
        })))
    }

    fn poll_received(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Received>, Error>> {
        // A peer that fills every read must keep neither the senders nor the other tasks of this thread waiting.
        let turn = ready!(tokio::task::coop::poll_proceed(cx));
        if self.outlet.is_some() {
            self.fill_output(cx);
        }
        let mut received = self.inbox.take().map(|received| *received);
        loop {
            if received.is_some() {
                turn.made_progress();
                return Poll::Ready(Ok(received));
            }
            match &self.stage {
                Stage::Running => received = ready!(self.poll_input(cx)),
                Stage::Ending(_) => ready!(self.poll_end(cx)),
                Stage::Ended(outcome) => return Poll::Ready(outcome.to_result().map(|()| None)),
            }
        }
    }

    /// Decodes what was read, up to what the application waits for or the end of the conversation. Each ping has its pong
    /// in its place as long as there is room; then the core keeps the newest only.
    pub(super) fn decode(&mut self) -> Option<Received> {
        loop {
            match self.decode_next() {
                Decoded::Received(received) => {
                    self.input.settle();
                    return Some(received);
                }
                Decoded::Ping => {
                    if self.output.len() < self.limits.all.unsent_max {
                        self.connection.poll_transmit(mask_key, self.output.copied());
                    }
                }
                Decoded::Pong => {}
                Decoded::End(outcome) => {
                    self.begin_ending(outcome);
                    return None;
                }
                Decoded::NeedsMore => return None,
            }
        }
    }

    fn decode_next(&mut self) -> Decoded {
        let Self { connection, deflate, input, form, .. } = self;
        let mut bytes = input.bytes();
        let decoded = match (form, deflate) {
            (Form::Whole, None) => connection.receive(&mut bytes).map(Decoded::from_whole),
            (Form::Whole, Some(options)) => {
                with_pool(*options, |pool| connection.receive_with(pool, &mut bytes).map(Decoded::from_whole))
            }
            (Form::Parts, None) => connection.receive_chunk(&mut bytes).map(Decoded::from_chunk),
            (Form::Parts, Some(options)) => with_pool(*options, |pool| {
                connection.receive_chunk_with(pool, &mut bytes).map(Decoded::from_chunk)
            }),
        };
        let rest = bytes.len();
        input.keep(rest);
        decoded.unwrap_or_else(|error| Decoded::End(Outcome::Failed(error)))
    }
}

impl Decoded {
    fn from_whole(incoming: Option<Incoming<'_>>) -> Self {
        match incoming {
            None => Self::NeedsMore,
            Some(Incoming::Message { kind, payload }) => {
                Self::Received(Received::Message(Message::from_payload(kind, payload)))
            }
            Some(Incoming::Ping(_)) => Self::Ping,
            Some(Incoming::Pong(_)) => Self::Pong,
            Some(Incoming::Close(frame)) => Self::End(Outcome::Clean(frame)),
        }
    }

    fn from_chunk(incoming: Option<IncomingChunk<'_>>) -> Self {
        match incoming {
            None => Self::NeedsMore,
            Some(IncomingChunk::Chunk { kind, payload, last }) => {
                Self::Received(Received::Part(Part { kind, bytes: payload.into_bytes(), last }))
            }
            Some(IncomingChunk::Ping(_)) => Self::Ping,
            Some(IncomingChunk::Pong(_)) => Self::Pong,
            Some(IncomingChunk::Close(frame)) => Self::End(Outcome::Clean(frame)),
        }
    }
}
