//! The shell around one [`Connection`]: bytes from the stream into it, bytes from it into the stream, the queue of the
//! senders, the deadline of the closing handshake. Not the interface, which is `socket.rs`, its only user.
//!
//! Everything is a `poll_*` function and all state is in [`Driver`], so that dropping a future between two polls
//! loses nothing. Input is decoded only when the application wants a message, or while it waits for room to send.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{future::Future, io};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::futures::OwnedNotified;
use tokio::time::{Instant, Sleep};
use trunkline_ws_proto::{
    CloseCode, CloseFrame, Connection, DeflateOptions, Incoming, MessageKind, PreparedMessage, ProtocolError,
    Role,
};

use crate::compression::{Agreed, with_pool};
use crate::error::{Deadline, Error};
use crate::keys::MaskKeys;
use crate::limits::Limits;
use crate::message::Message;
use crate::sender::{Outgoing, Queue};

/// Messages over this leave in fragments of this size, so that a pong never waits for more.
const FRAGMENT_SIZE: usize = 64 << 10;

/// What one read can bring. It lies on the stack, so that a waiting connection owns no buffer.
const READ_SIZE: usize = 16 << 10;

/// What a socket runs on.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// ```text
///            a close frame came, or the peer failed       flushed, and EOF or deadline
///   Running ─────────────────────────────────▶ Ending ─────────────────────────────▶ Ended
///      └────────────── EOF, an error, or the deadline of our close frame ──────────────▲
/// ```
#[derive(Debug)]
enum Stage {
    Running,
    /// Writing the last bytes, then waiting for the peer to end its side.
    Ending(Outcome),
    Ended(Outcome),
}

/// How it ended.
#[derive(Clone, Debug)]
enum Outcome {
    /// Both close frames; this is the peer's.
    Clean(CloseFrame),
    Failed(ProtocolError),
    Lost(Option<io::ErrorKind>),
    /// The peer did not answer our close frame.
    TimedOut,
}

impl Outcome {
    fn close_frame(&self) -> CloseFrame {
        match self {
            Self::Clean(frame) => frame.clone(),
            Self::Failed(error) => CloseFrame { code: error.close_code(), reason: error.to_string() },
            Self::Lost(_) | Self::TimedOut => CloseFrame { code: CloseCode::ABNORMAL, reason: String::new() },
        }
    }

    fn to_result(&self) -> Result<(), Error> {
        match self {
            Self::Clean(_) => Ok(()),
            Self::Failed(error) => Err(Error::Protocol(*error)),
            Self::Lost(kind) => Err(Error::Lost(*kind)),
            Self::TimedOut => Err(Error::Timeout(Deadline::Close)),
        }
    }
}

/// A message on its way out in fragments.
#[derive(Debug)]
struct Fragmented {
    kind: MessageKind,
    rest: Bytes,
    deflated: bool,
}

pub(crate) struct Driver {
    stream: Box<dyn Stream>,
    connection: Connection,
    /// How we compress, where that was agreed on.
    deflate: Option<DeflateOptions>,
    stage: Stage,
    /// Read but not decoded, from `received_from` on.
    received: Vec<u8>,
    received_from: usize,
    /// A message that was decoded while the application was sending.
    inbox: Option<Message>,
    /// To be written, from `out_from` on.
    out: Vec<u8>,
    out_from: usize,
    fragmented: Option<Fragmented>,
    /// Our close frame, as soon as what was begun is in `out`.
    closing: Option<CloseFrame>,
    /// The peer has been told that nothing more comes.
    shut: bool,
    queue: Option<Queue>,
    shutdown: Option<Pin<Box<OwnedNotified>>>,
    deadline: Option<Pin<Box<Sleep>>>,
    /// When bytes last came, and whether a ping has asked for more since.
    heard: Instant,
    pinged: bool,
    keepalive: Option<Pin<Box<Sleep>>>,
    keys: MaskKeys,
    limits: Arc<Limits>,
}

/// What the undecoded bytes led to.
enum Decoded {
    Message(Message),
    NeedsMore,
    Closed(CloseFrame),
    Failed(ProtocolError),
}

impl Driver {
    pub(crate) fn new(
        role: Role,
        stream: Box<dyn Stream>,
        received: Vec<u8>,
        limits: Arc<Limits>,
        shutdown: Option<OwnedNotified>,
        deflate: Option<Agreed>,
    ) -> Self {
        Self {
            stream,
            connection: Connection::new(role, limits.wire())
                .with_deflate(deflate.map(|agreed| agreed.params)),
            deflate: deflate.map(|agreed| agreed.options),
            stage: Stage::Running,
            received,
            received_from: 0,
            inbox: None,
            out: Vec::new(),
            out_from: 0,
            fragmented: None,
            closing: None,
            shut: false,
            queue: None,
            shutdown: shutdown.map(Box::pin),
            deadline: None,
            heard: Instant::now(),
            pinged: false,
            keepalive: None,
            keys: MaskKeys::default(),
            limits,
        }
    }

    pub(crate) fn close_frame(&self) -> Option<CloseFrame> {
        match &self.stage {
            Stage::Running => None,
            Stage::Ending(outcome) | Stage::Ended(outcome) => Some(outcome.close_frame()),
        }
    }

    /// Whether the application may still send.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Running) && self.closing.is_none() && self.connection.may_send()
    }

    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended(_))
    }

    pub(crate) fn queue(&mut self) -> &mut Queue {
        let frame = self.close_frame();
        let queue = self.queue.get_or_insert_with(|| Queue::new(self.limits.queue_max));
        if !matches!(self.stage, Stage::Running) || self.closing.is_some() {
            queue.end(&frame.unwrap_or(CloseFrame { code: CloseCode::NO_STATUS, reason: String::new() }));
        }
        queue
    }

    /// The next message, or the end.
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, Error>> {
        // A peer that fills every read must keep neither the senders nor the other tasks of this thread waiting.
        let turn = ready!(tokio::task::coop::poll_proceed(cx));
        if self.queue.is_some() {
            self.fill_out(cx);
        }
        loop {
            if let Some(message) = self.inbox.take() {
                turn.made_progress();
                return Poll::Ready(Ok(Some(message)));
            }
            match &self.stage {
                Stage::Running => ready!(self.poll_input(cx)),
                Stage::Ending(_) => ready!(self.poll_end(cx)),
                Stage::Ended(outcome) => return Poll::Ready(outcome.to_result().map(|()| None)),
            }
        }
    }

    /// Takes the message out of `message` as soon as there is room for it, then writes.
    ///
    /// While messages from the last read still wait to be received, nothing is written: their answers leave together.
    pub(crate) fn poll_send(
        &mut self,
        message: &mut Option<Message>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        while message.is_some() {
            if !self.is_open() {
                return Poll::Ready(Err(self.closed()));
            }
            if self.has_room() {
                let message = message.take().expect("the loop runs while there is one");
                self.enqueue(message.kind(), message.into_bytes());
            } else {
                ready!(self.poll_progress(cx));
            }
        }
        if self.has_undecoded() && self.has_room() {
            return Poll::Ready(Ok(()));
        }
        self.poll_flush(cx)
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

    /// Asks for the end; [`Driver::poll_closed`] brings it about. The first reason counts.
    pub(crate) fn begin_close(&mut self, frame: CloseFrame) {
        if self.is_open() {
            self.end_queue(&frame);
            self.closing = Some(frame);
            self.set_deadline();
        }
    }

    /// The closing handshake; messages that still come are dropped.
    pub(crate) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while let Some(_unread) = ready!(self.poll_recv(cx))? {}
        Poll::Ready(Ok(()))
    }

    /// Waits for room in the way that keeps the line alive: writes, and reads as far as pings and close frames go.
    /// Ready when something has changed.
    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.poll_deadline(cx).is_ready() {
            self.end(Outcome::TimedOut);
            return Poll::Ready(());
        }
        let before = (self.out.len() - self.out_from, self.fragmented.is_some());
        let written = self.poll_output(cx);
        if written.is_ready() || before != (self.out.len() - self.out_from, self.fragmented.is_some()) {
            return Poll::Ready(());
        }
        if self.inbox.is_some() { Poll::Pending } else { self.poll_input(cx) }
    }

    /// Ready when a message is in the inbox or the stage has changed.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.decode_received() {
                return Poll::Ready(());
            }
            let _ = self.poll_output(cx);
            if !matches!(self.stage, Stage::Running) {
                return Poll::Ready(());
            }
            if self.poll_deadline(cx).is_ready() {
                self.end(Outcome::TimedOut);
                return Poll::Ready(());
            }
            match self.poll_read(cx) {
                Poll::Ready(true) => return Poll::Ready(()),
                Poll::Ready(false) => {}
                Poll::Pending => ready!(self.poll_keepalive(cx)),
            }
        }
    }

    /// What is left of earlier reads. Says whether there is something to do.
    fn decode_received(&mut self) -> bool {
        let size = self.received.len();
        let mut input = &mut self.received[self.received_from..];
        let len_max = self.out_from.saturating_add(self.limits.unsent_max);
        let answers = Answers { out: &mut self.out, len_max, keys: &mut self.keys };
        let decoded = decode(&mut self.connection, self.deflate, &mut input, answers);
        self.received_from = size - input.len();
        if self.received_from == size {
            self.received = Vec::new();
            self.received_from = 0;
        }
        self.handle(decoded)
    }

    /// One read, decoded where it lies; what is left of it is kept. Says whether there is something to do.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        // A stream that is not tokio's own may always be ready: others get their turn all the same.
        let turn = ready!(tokio::task::coop::poll_proceed(cx));
        let mut buffer = [MaybeUninit::uninit(); READ_SIZE];
        let mut buffer = ReadBuf::uninit(&mut buffer);
        if let Err(error) = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
            self.end(Outcome::Lost(Some(error.kind())));
            return Poll::Ready(true);
        }
        let mut input = buffer.filled_mut();
        if input.is_empty() {
            self.end(Outcome::Lost(None));
            return Poll::Ready(true);
        }
        turn.made_progress();
        (self.heard, self.pinged) = (Instant::now(), false);
        let len_max = self.out_from.saturating_add(self.limits.unsent_max);
        let answers = Answers { out: &mut self.out, len_max, keys: &mut self.keys };
        let decoded = decode(&mut self.connection, self.deflate, &mut input, answers);
        self.received.extend_from_slice(input);
        Poll::Ready(self.handle(decoded))
    }

    /// Pings a peer that is silent for long, and gives up one that stays silent. Ready when it has done either.
    fn poll_keepalive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let patience = if self.pinged { self.limits.pong_timeout } else { Duration::ZERO };
            let silence = self.limits.ping_interval.checked_add(patience);
            let Some(due) = silence.and_then(|silence| self.heard.checked_add(silence)) else {
                return Poll::Pending;
            };
            let timer = self.keepalive.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            ready!(timer.as_mut().poll(cx));
            // The timer is not touched when bytes come, only when it fires.
            if due > Instant::now() {
                timer.as_mut().reset(due);
            } else if self.pinged {
                self.end(Outcome::Lost(Some(io::ErrorKind::TimedOut)));
                return Poll::Ready(());
            } else {
                self.pinged = true;
                // A peer that reads so slowly that there is no room is asked by what fills the room.
                if self.has_room() && self.connection.may_send() {
                    let key = || self.keys.next();
                    self.connection.ping(b"", key, &mut self.out).expect("open, and short");
                }
                return Poll::Ready(());
            }
        }
    }

    /// Whether there is something for the caller.
    fn handle(&mut self, decoded: Decoded) -> bool {
        match decoded {
            Decoded::NeedsMore => return false,
            Decoded::Message(message) => self.inbox = Some(message),
            Decoded::Closed(frame) => self.begin_ending(Outcome::Clean(frame)),
            Decoded::Failed(error) => self.begin_ending(Outcome::Failed(error)),
        }
        true
    }

    /// Moves everything that waits into `out` and writes it; ready when nothing is left or the line is gone.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_shutdown(cx);
        loop {
            self.fill_out(cx);
            if self.out_from == self.out.len() {
                self.out = Vec::new();
                self.out_from = 0;
                return Poll::Ready(());
            }
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out[self.out_from..])) {
                Ok(written) if written > 0 => self.out_from += written,
                Ok(_) => self.end(Outcome::Lost(Some(io::ErrorKind::WriteZero))),
                Err(error) => self.end(Outcome::Lost(Some(error.kind()))),
            }
            if self.out_from >= self.limits.unsent_max || self.out_from == self.out.len() {
                self.out.drain(..self.out_from);
                self.out_from = 0;
            }
        }
    }

    /// Pongs first, then the fragments under way, then the queue, then our close frame; as much as there is room for.
    fn fill_out(&mut self, cx: &mut Context<'_>) {
        while self.out.len() - self.out_from < self.limits.unsent_max && !self.is_ended() {
            self.connection.poll_transmit(|| self.keys.next(), &mut self.out);
            if !self.connection.may_send() {
                return;
            }
            if self.fragmented.is_some() {
                self.send_fragment();
            } else if let Some(outgoing) = self.poll_queue(cx) {
                self.dequeue(outgoing);
            } else if let Some(frame) = self.closing.take() {
                self.close(&frame);
            } else {
                return;
            }
        }
    }

    fn poll_queue(&mut self, cx: &mut Context<'_>) -> Option<Outgoing> {
        match self.queue.as_mut()?.receiver.poll_recv(cx) {
            Poll::Ready(outgoing) => outgoing,
            Poll::Pending => None,
        }
    }

    fn dequeue(&mut self, outgoing: Outgoing) {
        match outgoing {
            Outgoing::Message(message) => self.enqueue(message.kind(), message.into_bytes()),
            Outgoing::Prepared(message) => self.send_prepared(&message),
            Outgoing::Close(frame) => {
                self.begin_close(frame);
                self.queue.as_mut().map(Queue::clear);
            }
        }
    }

    fn send_prepared(&mut self, message: &PreparedMessage) {
        // A client has to mask, so it frames anew; what is long is cut.
        if self.connection.role() == Role::Client || message.frame().len() > FRAGMENT_SIZE {
            return self.enqueue(message.kind(), message.payload());
        }
        let Self { connection, out, .. } = self;
        match self.deflate {
            None => connection.send_prepared(message, out),
            Some(options) => with_pool(options, |pool| connection.send_prepared_with(pool, message, out)),
        }
        .expect("an open server between two messages");
    }

    fn enqueue(&mut self, kind: MessageKind, payload: Bytes) {
        let connection = &mut self.connection;
        let deflated = self.deflate.and_then(|options| {
            with_pool(options, |pool| connection.deflate(pool, &payload).map(Bytes::copy_from_slice))
        });
        self.fragmented = Some(match deflated {
            Some(rest) => Fragmented { kind, rest, deflated: true },
            None => Fragmented { kind, rest: payload, deflated: false },
        });
        self.send_fragment();
    }

    fn send_fragment(&mut self) {
        let Some(mut message) = self.fragmented.take() else { return };
        let fragment = message.rest.split_to(message.rest.len().min(FRAGMENT_SIZE));
        let last = message.rest.is_empty();
        let key = || self.keys.next();
        if message.deflated {
            self.connection.send_deflated(message.kind, &fragment, last, key, &mut self.out)
        } else {
            self.connection.send_fragment(message.kind, &fragment, last, key, &mut self.out)
        }
        .expect("open, and one message at a time");
        if !last {
            self.fragmented = Some(message);
        }
    }

    fn close(&mut self, frame: &CloseFrame) {
        self.connection
            .close(frame.code, &frame.reason, || self.keys.next(), &mut self.out)
            .expect("open, and the frame was checked when it was made");
    }

    /// Writes what is left, ends our side, and waits for the peer to end its own: whoever closes with bytes unread makes
    /// TCP drop what the peer has not read yet, which may be our close frame. A client lets the server end first (§7.1.1).
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Stage::Ending(outcome) = &self.stage else { return Poll::Ready(()) };
        let outcome = outcome.clone();
        if self.poll_deadline(cx).is_pending() {
            ready!(self.poll_output(cx));
            if self.is_ended() {
                self.end(outcome);
                return Poll::Ready(());
            }
            let lets_peer_end =
                self.connection.role() == Role::Client && matches!(outcome, Outcome::Clean(_));
            if !self.shut && !lets_peer_end {
                let _ = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
                self.shut = true;
            }
            ready!(self.poll_drain(cx));
        }
        // Whatever went wrong after the close frames does not change how the conversation ended.
        self.end(outcome);
        Poll::Ready(())
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let turn = ready!(tokio::task::coop::poll_proceed(cx));
            let mut buffer = [MaybeUninit::uninit(); READ_SIZE];
            let mut buffer = ReadBuf::uninit(&mut buffer);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => turn.made_progress(),
                _ => return Poll::Ready(()),
            }
        }
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.deadline {
            Some(deadline) => deadline.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) {
        if let Some(shutdown) = &mut self.shutdown
            && shutdown.as_mut().poll(cx).is_ready()
        {
            self.shutdown = None;
            self.begin_close(CloseFrame {
                code: CloseCode::GOING_AWAY,
                reason: "the server stops".to_owned(),
            });
        }
    }

    fn begin_ending(&mut self, outcome: Outcome) {
        self.set_deadline();
        self.closing = None;
        self.fragmented = None;
        self.received = Vec::new();
        self.received_from = 0;
        self.end_queue(&outcome.close_frame());
        self.stage = Stage::Ending(outcome);
    }

    /// Closes the stream; what was not written is lost.
    fn end(&mut self, outcome: Outcome) {
        self.end_queue(&outcome.close_frame());
        self.stage = Stage::Ended(outcome);
        self.stream = Box::new(tokio::io::empty());
        (self.out, self.out_from, self.fragmented, self.closing) = (Vec::new(), 0, None, None);
        (self.deadline, self.keepalive, self.shutdown) = (None, None, None);
    }

    fn end_queue(&mut self, frame: &CloseFrame) {
        if let Some(queue) = &mut self.queue {
            queue.end(frame);
        }
    }

    fn set_deadline(&mut self) {
        let timeout = self.limits.close_timeout;
        self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
    }

    fn has_room(&self) -> bool {
        self.fragmented.is_none() && self.out.len() - self.out_from < self.limits.unsent_max
    }

    fn has_undecoded(&self) -> bool {
        self.inbox.is_some() || !self.received.is_empty()
    }

    fn closed(&self) -> Error {
        match &self.stage {
            Stage::Ending(outcome) | Stage::Ended(outcome) => match outcome {
                Outcome::Clean(frame) => Error::Closed(frame.clone()),
                other => other.to_result().expect_err("only `Clean` is no error"),
            },
            Stage::Running => {
                Error::Closed(CloseFrame { code: CloseCode::NO_STATUS, reason: "we are closing".to_owned() })
            }
        }
    }
}

/// Where the answers to pings go.
struct Answers<'d> {
    out: &'d mut Vec<u8>,
    /// Where `out` is full: from here on the core keeps the newest pong only.
    len_max: usize,
    keys: &'d mut MaskKeys,
}

/// Up to the next message or the end of the conversation. Each ping has its pong in its place as long as there is room.
fn decode(
    connection: &mut Connection,
    deflate: Option<DeflateOptions>,
    input: &mut &mut [u8],
    answers: Answers<'_>,
) -> Decoded {
    loop {
        let received = match deflate {
            None => connection.receive(input),
            Some(options) => with_pool(options, |pool| connection.receive_with(pool, input)),
        };
        match received {
            Ok(None) => return Decoded::NeedsMore,
            Ok(Some(Incoming::Message { kind, payload })) => {
                return Decoded::Message(Message::from_payload(kind, payload));
            }
            Ok(Some(Incoming::Ping(_))) => {
                if answers.out.len() < answers.len_max {
                    connection.poll_transmit(|| answers.keys.next(), answers.out);
                }
            }
            Ok(Some(Incoming::Pong(_))) => {}
            Ok(Some(Incoming::Close(frame))) => return Decoded::Closed(frame),
            Err(error) => return Decoded::Failed(error),
        }
    }
}
