//! Sending: messages, the pieces of a message, the senders' queue and the close frame become bytes that wait to be written.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite as _;
use trunkline_ws_proto::{CloseCode, CloseFrame, MessageKind, PreparedMessage, Role, UsageError};

use super::{Driver, Outcome, Stage};
use crate::compression::with_pool;
use crate::error::Error;
use crate::keys::mask_key;
use crate::message::Message;
use crate::sender::Outgoing;

/// Messages over this leave in fragments of this size, so that a pong never waits for more.
const FRAGMENT_SIZE: usize = 64 << 10;

/// A server's payloads from this size on leave from where they lie, without being copied.
const SHARED_MIN: usize = 8 << 10;

/// A message, or a piece of one, on its way out in fragments.
#[derive(Debug)]
pub(super) struct Fragmented {
    kind: MessageKind,
    rest: Bytes,
    deflated: bool,
    /// The message ends with it.
    ends: bool,
}

impl Driver {
    /// Takes the message out of `message` as soon as there is room for it, then writes.
    ///
    /// While messages from the last read still wait to be received, nothing is written: their answers leave together.
    pub(crate) fn poll_send(
        &mut self,
        message: &mut Option<Message>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        while let Some(waiting) = message {
            ready!(self.poll_room(cx))?;
            if self.writing.is_some() {
                return Poll::Ready(Err(Error::Usage(UsageError::MessageUnderWay)));
            }
            if self.is_copied(waiting.as_bytes()) {
                self.send_copied(waiting.kind(), waiting.as_bytes());
                *message = None;
            } else if let Some(message) = message.take() {
                self.enqueue(message.kind(), message.into_bytes());
            }
        }
        if self.has_undecoded() && self.has_room() {
            return Poll::Ready(Ok(()));
        }
        self.poll_flush(cx)
    }

    /// From here on a message goes out piece by piece, until one of them ends it.
    pub(crate) fn begin_message(&mut self, kind: MessageKind) -> Result<(), Error> {
        match self.writing {
            _ if !self.is_open() => Err(self.closed()),
            Some(_) => Err(Error::Usage(UsageError::MessageUnderWay)),
            None => {
                self.writing = Some(kind);
                Ok(())
            }
        }
    }

    /// Takes the piece out of `piece` as soon as there is room for it, then writes. `ends` says that it is the last one.
    pub(crate) fn poll_send_piece(
        &mut self,
        piece: &mut Option<Bytes>,
        ends: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        while piece.is_some() {
            ready!(self.poll_room(cx))?;
            let Some(kind) = self.writing else { return Poll::Ready(Err(self.closed())) };
            let rest = piece.take().expect("the loop runs while there is one");
            if ends {
                self.writing = None;
            }
            self.send_fragments(Fragmented { kind, rest, deflated: false, ends });
        }
        self.poll_flush(cx)
    }

    /// Nobody will end the message that goes out piece by piece: all that is left is to close.
    pub(crate) fn abandon_message(&mut self) {
        self.abandoned = true;
    }

    /// Until something may be queued.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if !self.is_open() {
                return Poll::Ready(Err(self.closed()));
            }
            if self.has_room() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_progress(cx));
        }
    }

    /// Until all is written.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            match &self.stage {
                Stage::Running => {}
                Stage::Ending(_) => return Poll::Ready(Err(self.closed())),
                Stage::Ended(outcome) => {
                    return Poll::Ready(outcome.to_result().and_then(|()| Err(self.closed())));
                }
            }
            if self.poll_output(cx).is_ready() && matches!(self.stage, Stage::Running) {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_progress(cx));
        }
    }

    /// Moves everything that waits into `output` and writes it; ready when nothing is left or the line is gone.
    pub(super) fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_goodbyes(cx);
        loop {
            self.fill_output(cx);
            if self.output.is_empty() {
                return self.poll_stream_flush(cx);
            }
            self.unflushed = true;
            match self.output.poll_write(&mut self.stream, cx) {
                Poll::Ready(Ok(written)) if written > 0 => {}
                Poll::Ready(Ok(_)) => self.end(Outcome::Lost(Some(io::ErrorKind::WriteZero))),
                Poll::Ready(Err(error)) => self.end(Outcome::Lost(Some(error.kind()))),
                Poll::Pending => {
                    self.poll_senders_end(cx);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Where there is no room for what a sender has queued, its close frame must be seen all the same: what was queued
    /// before it has as long as the closing handshake.
    fn poll_senders_end(&mut self, cx: &mut Context<'_>) {
        let is_cut_off = self.writing.is_some() || self.output.len() >= self.limits.all.unsent_max;
        if is_cut_off
            && self.deadline.is_none()
            && let Some(outlet) = &self.outlet
            && outlet.poll_closed(cx).is_ready()
        {
            self.set_deadline();
        }
    }

    /// A stream that encrypts takes bytes before it has written them; a TCP socket has nothing to flush.
    fn poll_stream_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.unflushed {
            let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
            self.unflushed = false;
            if let Err(error) = flushed {
                self.end(Outcome::Lost(Some(error.kind())));
            }
        }
        Poll::Ready(())
    }

    /// Whoever but the owner and the senders wants to close: the server, a message that was given up.
    fn poll_goodbyes(&mut self, cx: &mut Context<'_>) {
        self.poll_shutdown(cx);
        if std::mem::take(&mut self.abandoned) {
            let reason = "a message was not finished".to_owned();
            self.begin_close(CloseFrame { code: CloseCode::INTERNAL_ERROR, reason });
        }
    }

    /// Pongs first, then the fragments under way, then the queue, then our close frame; as much as there is room for.
    pub(super) fn fill_output(&mut self, cx: &mut Context<'_>) {
        while self.output.len() < self.limits.all.unsent_max && !self.is_ended() {
            if self.connection.wants_transmit() {
                self.connection.poll_transmit(mask_key, self.output.copied());
            }
            if !self.connection.may_send() {
                return;
            }
            if let Some(fragmented) = self.fragmented.take() {
                self.send_fragments(*fragmented);
            } else if let Some(outgoing) = self.poll_queue(cx) {
                self.dequeue(outgoing);
            } else if let Some(frame) = self.closing.take() {
                self.close(&frame);
                self.closing = Some(frame);
            } else {
                return;
            }
        }
    }

    fn poll_queue(&mut self, cx: &mut Context<'_>) -> Option<Outgoing> {
        if self.writing.is_some() {
            return None;
        }
        match self.outlet.as_ref()?.poll_next(cx) {
            Poll::Ready(outgoing) => Some(outgoing),
            Poll::Pending => None,
        }
    }

    fn dequeue(&mut self, outgoing: Outgoing) {
        match outgoing {
            Outgoing::Message(message) => self.enqueue(message.kind(), message.into_bytes()),
            Outgoing::Prepared(message) => self.send_prepared(&message),
            Outgoing::Close(frame) => self.begin_close(frame),
        }
    }

    fn send_prepared(&mut self, message: &PreparedMessage) {
        // A client has to mask, so it frames anew; what is long is cut.
        if self.connection.role() == Role::Client || message.frame().len() > FRAGMENT_SIZE {
            return self.enqueue(message.kind(), message.payload());
        }
        let Self { connection, output, .. } = self;
        match self.deflate {
            None if message.frame().len() >= SHARED_MIN => {
                output.share(message.frame().clone());
                return;
            }
            None => connection.send_prepared(message, output.copied()),
            Some(options) => {
                with_pool(options, |pool| connection.send_prepared_with(pool, message, output.copied()))
            }
        }
        .expect("an open server between two messages");
    }

    fn enqueue(&mut self, kind: MessageKind, payload: Bytes) {
        if self.is_copied(&payload) {
            return self.send_copied(kind, &payload);
        }
        let connection = &mut self.connection;
        let deflated = self.deflate.and_then(|options| {
            with_pool(options, |pool| connection.deflate(pool, &payload).map(Bytes::copy_from_slice))
        });
        self.send_fragments(match deflated {
            Some(rest) => Fragmented { kind, rest, deflated: true, ends: true },
            None => Fragmented { kind, rest: payload, deflated: false, ends: true },
        });
    }

    /// Whether a message leaves in one frame that is copied behind the others.
    fn is_copied(&self, payload: &[u8]) -> bool {
        self.deflate.is_none() && payload.len() < SHARED_MIN
    }

    fn send_copied(&mut self, kind: MessageKind, payload: &[u8]) {
        let sent = self.connection.send_fragment(kind, payload, true, mask_key, self.output.copied());
        sent.expect("open, and one message at a time");
    }

    /// Sends the first of what may be many fragments; the rest waits.
    fn send_fragments(&mut self, mut message: Fragmented) {
        let fragment = message.rest.split_to(message.rest.len().min(FRAGMENT_SIZE));
        let cut = message.rest.is_empty();
        let (kind, deflated, last) = (message.kind, message.deflated, cut && message.ends);
        let Self { connection, output, .. } = self;
        if connection.role() == Role::Server && fragment.len() >= SHARED_MIN {
            let header =
                connection.send_fragment_header(kind, fragment.len(), last, deflated, output.copied());
            header.expect("an open server, one message at a time");
            output.share(fragment);
        } else if deflated {
            let sent = connection.send_deflated(kind, &fragment, last, mask_key, output.copied());
            sent.expect("open, and one message at a time");
        } else {
            let sent = connection.send_fragment(kind, &fragment, last, mask_key, output.copied());
            sent.expect("open, and one message at a time");
        }
        if !cut {
            self.fragmented = Some(Box::new(message));
        }
    }

    fn close(&mut self, frame: &CloseFrame) {
        self.connection
            .close(frame.code, &frame.reason, mask_key, self.output.copied())
            .expect("open, and the frame was checked when it was made");
    }

    fn has_undecoded(&self) -> bool {
        self.inbox.is_some() || !self.input.is_empty()
    }
}
