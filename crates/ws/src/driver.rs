//! The shell around one [`Connection`]: bytes from the stream into it, bytes from it into the stream, the queue of the
//! senders, the deadline of the closing handshake. Not the interface, which is `socket.rs`, its only user.
//!
//! Everything is a `poll_*` function and all state is in [`Driver`], so that dropping a future between two polls
//! loses nothing. Input is decoded only when the application wants a message, or while it waits for room to send.

mod receive;
mod send;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::futures::OwnedNotified;
use tokio::time::{Instant, Sleep};
use trunkline_ws_proto::{
    CloseCode, CloseFrame, Connection, DeflateOptions, DeflateParams, MessageKind, ProtocolError, Role,
};

use crate::buffers::{lend_read, take_back_read};
use crate::compression::Agreed;
use crate::error::{Deadline, Error};
use crate::input::Input;
use crate::keys::mask_key;
use crate::limits::SharedLimits;
use crate::message::Message;
use crate::output::Output;
use crate::sender::{Outlet, Sender};

use receive::Form;
pub(crate) use receive::Part;
use send::Fragmented;

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
    Ending(Box<Outcome>),
    Ended(Box<Outcome>),
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

/// What a socket seldom has is in boxes, so that an idle one is small.
pub(crate) struct Driver {
    stream: Box<dyn Stream>,
    connection: Connection,
    /// How we compress, where that was agreed on.
    deflate: Option<DeflateOptions>,
    stage: Stage,
    /// Read, but not decoded.
    input: Input,
    /// What was decoded while the application was sending.
    inbox: Option<Box<Message>>,
    /// The application took the last message piece by piece.
    in_parts: bool,
    output: Output,
    /// The stream may still hold back what was written.
    unflushed: bool,
    fragmented: Option<Box<Fragmented>>,
    /// The message that the application sends piece by piece.
    writing: Option<MessageKind>,
    /// The application has given that message up.
    abandoned: bool,
    /// Our close frame, from when it is asked for: it leaves as soon as what was begun is in `output`, and then says why
    /// nothing can be sent, until the peer has answered.
    closing: Option<Box<CloseFrame>>,
    /// The peer has been told that nothing more comes.
    shut: bool,
    outlet: Option<Outlet>,
    shutdown: Option<Pin<Box<OwnedNotified>>>,
    deadline: Option<Pin<Box<Sleep>>>,
    /// Since when the peer is silent: when bytes last came, or the ping that has asked for more since.
    silent_since: Instant,
    pinged: bool,
    keepalive: Option<Pin<Box<Sleep>>>,
    limits: SharedLimits,
}

impl Driver {
    pub(crate) fn new(
        role: Role,
        stream: Box<dyn Stream>,
        received: Vec<u8>,
        limits: SharedLimits,
        shutdown: Option<OwnedNotified>,
    ) -> Self {
        Self {
            stream,
            connection: Connection::new(role, limits.wire.clone()),
            deflate: None,
            stage: Stage::Running,
            input: Input::new(received),
            inbox: None,
            in_parts: false,
            output: Output::default(),
            unflushed: false,
            fragmented: None,
            writing: None,
            abandoned: false,
            closing: None,
            shut: false,
            outlet: None,
            shutdown: shutdown.map(Box::pin),
            deadline: None,
            silent_since: Instant::now(),
            pinged: false,
            keepalive: None,
            limits,
        }
    }

    /// Before anything is received or sent.
    pub(crate) fn agree(&mut self, Agreed { params, options }: Agreed) {
        let role = self.connection.role();
        self.connection = Connection::new(role, self.limits.wire.clone()).with_deflate(Some(params));
        self.deflate = Some(options);
    }

    pub(crate) fn compression(&self) -> Option<DeflateParams> {
        self.connection.deflate_params()
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

    pub(crate) fn sender(&mut self) -> Sender {
        let ended = self.close_frame().or_else(|| self.closing.as_deref().cloned());
        let outlet = self.outlet.get_or_insert_with(|| Outlet::new(&self.limits.all));
        if let Some(frame) = ended {
            outlet.end(&frame);
        }
        outlet.sender()
    }

    /// Asks for the end; [`Driver::poll_closed`] brings it about. The first reason counts.
    pub(crate) fn begin_close(&mut self, frame: CloseFrame) {
        if self.is_open() {
            if let Some(outlet) = &self.outlet {
                outlet.close(&frame);
            }
            self.closing = Some(Box::new(frame));
            self.set_deadline();
        }
    }

    /// The closing handshake; messages that still come are dropped.
    pub(crate) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while ready!(self.poll_recv::<Part>(cx))?.is_some() {}
        Poll::Ready(Ok(()))
    }

    /// Waits for room in the way that keeps the line alive: writes, and reads as far as pings and close frames go.
    /// Ready when something has changed.
    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let before = (self.output.len(), self.fragmented.is_some());
        let written = self.poll_output(cx);
        if self.poll_deadline(cx).is_ready() {
            self.end(Outcome::TimedOut);
            return Poll::Ready(());
        }
        if written.is_ready() || before != (self.output.len(), self.fragmented.is_some()) {
            return Poll::Ready(());
        }
        // Of a message that is taken piece by piece nothing is taken ahead.
        if self.inbox.is_some() || self.in_parts {
            return Poll::Pending;
        }
        self.inbox = ready!(self.poll_input(cx)).map(Box::new);
        Poll::Ready(())
    }

    /// Ready with a message, or a part of one, or with nothing when the stage has changed.
    fn poll_input<T: Form>(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        loop {
            if !self.input.is_empty() {
                let taken = self.decode();
                if taken.is_some() || !matches!(self.stage, Stage::Running) {
                    return Poll::Ready(taken);
                }
            }
            let _ = self.poll_output(cx);
            if self.poll_deadline(cx).is_ready() && matches!(self.stage, Stage::Running) {
                self.end(Outcome::TimedOut);
            }
            if !matches!(self.stage, Stage::Running) {
                return Poll::Ready(None);
            }
            if self.poll_read(cx).is_pending() {
                ready!(self.poll_keepalive(cx));
            }
        }
    }

    /// One read; ready when it has brought something, be it the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // A stream that is not tokio's own may always be ready: others get their turn all the same.
        let turn = ready!(tokio::task::coop::poll_proceed(cx));
        match ready!(self.input.poll_read(&mut self.stream, cx)) {
            Ok(0) => self.end(Outcome::Lost(None)),
            Ok(_) => {
                turn.made_progress();
                (self.silent_since, self.pinged) = (Instant::now(), false);
            }
            Err(error) => self.end(Outcome::Lost(Some(error.kind()))),
        }
        Poll::Ready(())
    }

    /// Pings a peer that is silent for long, and gives up one that stays silent. Ready when it has done either. The ping's
    /// time runs from the ping: an owner that was elsewhere for long has heard nothing, which is not the peer's fault.
    fn poll_keepalive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let limits = &self.limits.all;
            let patience = if self.pinged { limits.pong_timeout } else { limits.ping_interval };
            let Some(due) = self.silent_since.checked_add(patience) else { return Poll::Pending };
            let timer = self.keepalive.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            // It is touched when bytes come only where it would be late, else when it fires.
            if timer.deadline() > due {
                timer.as_mut().reset(due);
            }
            ready!(timer.as_mut().poll(cx));
            if due > Instant::now() {
                timer.as_mut().reset(due);
            } else if self.pinged {
                self.end(Outcome::Lost(Some(io::ErrorKind::TimedOut)));
                return Poll::Ready(());
            } else {
                (self.silent_since, self.pinged) = (Instant::now(), true);
                // A peer that reads so slowly that there is no room is asked by what fills the room.
                if self.has_room() && self.connection.may_send() {
                    self.connection.ping(b"", mask_key, self.output.copied()).expect("open, and short");
                }
                return Poll::Ready(());
            }
        }
    }

    /// Writes what is left, ends our side, and waits for the peer to end its own: whoever closes with bytes unread makes
    /// TCP drop what the peer has not read yet, which may be our close frame. A client lets the server end first (§7.1.1).
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Stage::Ending(outcome) = &self.stage else { return Poll::Ready(()) };
        let outcome = Outcome::clone(outcome);
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
            if !self.shut {
                // Over TLS an end without this word is a line that was cut.
                let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
            }
        }
        // Whatever went wrong after the close frames does not change how the conversation ended.
        self.end(outcome);
        Poll::Ready(())
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let turn = ready!(tokio::task::coop::poll_proceed(cx));
            let mut buffer = lend_read();
            let mut read = ReadBuf::new(&mut buffer);
            let polled = Pin::new(&mut self.stream).poll_read(cx, &mut read);
            let size = read.filled().len();
            take_back_read(buffer);
            match ready!(polled) {
                Ok(()) if size > 0 => turn.made_progress(),
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
        (self.fragmented, self.writing) = (None, None);
        self.input.clear();
        self.end_outlet(&outcome.close_frame());
        self.stage = Stage::Ending(Box::new(outcome));
    }

    /// Closes the stream; what was not written is lost.
    fn end(&mut self, outcome: Outcome) {
        self.end_outlet(&outcome.close_frame());
        self.stage = Stage::Ended(Box::new(outcome));
        self.stream = Box::new(tokio::io::empty());
        self.input.clear();
        self.output.clear();
        self.unflushed = false;
        (self.fragmented, self.writing, self.closing) = (None, None, None);
        (self.deadline, self.keepalive, self.shutdown) = (None, None, None);
    }

    fn end_outlet(&mut self, frame: &CloseFrame) {
        if let Some(outlet) = &self.outlet {
            outlet.end(frame);
        }
    }

    fn set_deadline(&mut self) {
        let timeout = self.limits.all.close_timeout;
        self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
    }

    fn has_room(&self) -> bool {
        self.fragmented.is_none() && self.output.len() < self.limits.all.unsent_max
    }

    pub(crate) fn closed(&self) -> Error {
        match &self.stage {
            Stage::Ending(outcome) | Stage::Ended(outcome) => match &**outcome {
                Outcome::Clean(frame) => Error::Closed(frame.clone()),
                other => other.to_result().expect_err("only `Clean` is no error"),
            },
            Stage::Running => Error::Closed(self.closing.as_deref().cloned().unwrap_or_else(|| CloseFrame {
                code: CloseCode::NO_STATUS,
                reason: "we are closing".to_owned(),
            })),
        }
    }
}
