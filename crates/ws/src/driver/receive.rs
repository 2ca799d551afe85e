//! Receiving: what was read becomes messages, or parts of one, for the application.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use trunkline_ws_proto::{
    CloseFrame, Connection, DeflatePool, Incoming, IncomingChunk, MessageKind, ProtocolError,
};

use super::{Driver, Outcome, Stage};
use crate::compression::with_pool;
use crate::error::Error;
use crate::keys::mask_key;
use crate::message::Message;

/// The next bytes of a message.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) kind: MessageKind,
    pub(crate) bytes: Bytes,
    pub(crate) last: bool,
}

/// What came from the peer; `T` is what the application takes.
pub(crate) enum Event<T> {
    Taken(T),
    Ping,
    Pong,
    Close(CloseFrame),
}

type Received<T> = Result<Option<Event<T>>, ProtocolError>;

/// In what form the application takes a message: whole, as [`Message`], or in [`Part`]s.
pub(crate) trait Form: Sized {
    /// Whether it is taken piece by piece.
    const IN_PARTS: bool;

    fn from_message(message: Message) -> Self;

    fn receive(connection: &mut Connection, input: &mut &mut [u8]) -> Received<Self>;

    fn receive_with(
        connection: &mut Connection,
        pool: &mut DeflatePool,
        input: &mut &mut [u8],
    ) -> Received<Self>;
}

impl Form for Message {
    const IN_PARTS: bool = false;

    fn from_message(message: Message) -> Self {
        message
    }

    #[inline]
    fn receive(connection: &mut Connection, input: &mut &mut [u8]) -> Received<Self> {
        Ok(connection.receive(input)?.map(whole))
    }

    fn receive_with(
        connection: &mut Connection,
        pool: &mut DeflatePool,
        input: &mut &mut [u8],
    ) -> Received<Self> {
        Ok(connection.receive_with(pool, input)?.map(whole))
    }
}

impl Form for Part {
    const IN_PARTS: bool = true;

    fn from_message(message: Message) -> Self {
        Self { kind: message.kind(), bytes: message.into_bytes(), last: true }
    }

    fn receive(connection: &mut Connection, input: &mut &mut [u8]) -> Received<Self> {
        Ok(connection.receive_chunk(input)?.map(part))
    }

    fn receive_with(
        connection: &mut Connection,
        pool: &mut DeflatePool,
        input: &mut &mut [u8],
    ) -> Received<Self> {
        Ok(connection.receive_chunk_with(pool, input)?.map(part))
    }
}

#[inline]
fn whole(incoming: Incoming<'_>) -> Event<Message> {
    match incoming {
        Incoming::Message { kind, payload } => Event::Taken(Message::from_payload(kind, payload)),
        Incoming::Ping(_) => Event::Ping,
        Incoming::Pong(_) => Event::Pong,
        Incoming::Close(frame) => Event::Close(frame),
    }
}

fn part(incoming: IncomingChunk<'_>) -> Event<Part> {
    match incoming {
        IncomingChunk::Chunk { kind, payload, last } => {
            Event::Taken(Part { kind, bytes: payload.into_bytes(), last })
        }
        IncomingChunk::Ping(_) => Event::Ping,
        IncomingChunk::Pong(_) => Event::Pong,
        IncomingChunk::Close(frame) => Event::Close(frame),
    }
}

impl Driver {
    /// The next message, or the next part of one, or the end. A message of which parts were taken is skipped to its end
    /// when a whole one is asked for.
    pub(crate) fn poll_recv<T: Form>(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<T>, Error>> {
        // A peer that fills every read must keep neither the senders nor the other tasks of this thread waiting.
        let turn = ready!(tokio::task::coop::poll_proceed(cx));
        self.in_parts = T::IN_PARTS;
        if self.outlet.is_some() {
            self.fill_output(cx);
        }
        if let Some(message) = self.inbox.take() {
            turn.made_progress();
            return Poll::Ready(Ok(Some(T::from_message(*message))));
        }
        loop {
            match &self.stage {
                Stage::Running => {
                    if let Some(taken) = ready!(self.poll_input(cx)) {
                        turn.made_progress();
                        return Poll::Ready(Ok(Some(taken)));
                    }
                }
                Stage::Ending(_) => ready!(self.poll_end(cx)),
                Stage::Ended(outcome) => return Poll::Ready(outcome.to_result().map(|()| None)),
            }
        }
    }

    /// Drops the rest of a message of which the application has parts.
    pub(crate) fn skip_message(&mut self) {
        self.connection.skip_message();
    }

    /// Decodes what was read, up to what the application waits for or the end of the conversation. Each ping has its pong
    /// in its place as long as there is room; then the core keeps the newest only.
    pub(super) fn decode<T: Form>(&mut self) -> Option<T> {
        let Self { connection, deflate, input, output, limits, .. } = self;
        let mut bytes = input.bytes();
        let (taken, outcome) = loop {
            let received = match deflate {
                None => T::receive(connection, &mut bytes),
                Some(options) => with_pool(*options, |pool| T::receive_with(connection, pool, &mut bytes)),
            };
            match received {
                Ok(Some(Event::Taken(taken))) => break (Some(taken), None),
                Ok(Some(Event::Ping)) => {
                    if output.len() < limits.all.unsent_max {
                        connection.poll_transmit(mask_key, output.copied());
                    }
                }
                Ok(Some(Event::Pong)) => {}
                Ok(Some(Event::Close(frame))) => break (None, Some(Outcome::Clean(frame))),
                Ok(None) => break (None, None),
                Err(error) => break (None, Some(Outcome::Failed(error))),
            }
        };
        let rest = bytes.len();
        input.keep(rest);
        if let Some(outcome) = outcome {
            self.begin_ending(outcome);
        }
        taken
    }
}
