//! Drives the rules: one task that has the line, the clock and the dice. It decides nothing; what it is told by the
//! application, the socket and the clock goes into the [`Session`], and what comes out is done.

use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;
use trunkline_model::{ChannelName, HistoryQuery, Kind, Position, Publish, Start};
use trunkline_ws::{CloseCode, Connect, Error as WsError, Failure, Message, Sender, Socket};

use crate::client::State;
use crate::error::Error;
use crate::inbox::Inbox;
use crate::rules::{
    Closed, Ended, Event, Limits, Output, Page, PublishError, PublishId, Receipt, RequestError, RequestId,
    Session,
};
use crate::subscription::Update;

/// What an application asks.
#[derive(Debug)]
pub(crate) enum Call {
    Publish(Publish, oneshot::Sender<Result<Receipt, PublishError>>),
    Subscribe { channel: ChannelName, start: Start, inbox: Arc<Inbox>, answer: oneshot::Sender<Joined> },
    History(HistoryQuery, oneshot::Sender<Result<Page, RequestError>>),
    Wake,
    Close(oneshot::Sender<()>),
}

/// What a subscription is told when it begins.
pub(crate) type Joined = Result<(Option<Kind>, Option<Position>), Error>;

/// The task.
pub(crate) struct Driver {
    session: Session,
    connect: Connect,
    line: Line,
    /// Messages for which the socket's queue has no room yet; as many as the session has under way.
    unsent: VecDeque<String>,
    calls: mpsc::Receiver<Call>,
    /// Word from the inboxes.
    inboxes_changed: Arc<Notify>,
    state: watch::Sender<State>,
    began: Instant,
    chance: Chance,
    publishes: HashMap<PublishId, oneshot::Sender<Result<Receipt, PublishError>>>,
    pages: HashMap<RequestId, oneshot::Sender<Result<Page, RequestError>>>,
    followed: HashMap<ChannelName, Followed>,
    closing: Vec<oneshot::Sender<()>>,
}

struct Followed {
    inbox: Arc<Inbox>,
    /// Until it is told that it has begun.
    answer: Option<oneshot::Sender<Joined>>,
}

enum Line {
    None,
    Opening(Pin<Box<dyn Future<Output = Result<Socket, Failure>> + Send>>),
    Open(Box<Socket>, Sender),
}

/// What a line does.
enum Happened {
    Opened(Result<Socket, Failure>),
    Received(Result<Option<Message>, WsError>),
    /// There was room for one more message.
    Sent(Result<(), WsError>),
}

impl Driver {
    pub(crate) fn new(
        connect: Connect,
        limits: Limits,
        calls: mpsc::Receiver<Call>,
        inboxes_changed: Arc<Notify>,
        state: watch::Sender<State>,
    ) -> Self {
        Self {
            session: Session::new(limits),
            connect: connect.subprotocol("trunkline.v1"),
            line: Line::None,
            unsent: VecDeque::new(),
            calls,
            inboxes_changed,
            state,
            began: Instant::now(),
            chance: Chance::default(),
            publishes: HashMap::new(),
            pages: HashMap::new(),
            followed: HashMap::new(),
            closing: Vec::new(),
        }
    }

    /// Runs until the session has ended, and the line with it.
    pub(crate) async fn run(mut self) {
        let now = self.now();
        self.session.handle_timeout(now, self.chance.next());
        while self.session.closed().is_none() {
            self.perform();
            self.turn().await;
        }
        let socket = std::mem::replace(&mut self.line, Line::None);
        self.perform();
        if let Line::Open(mut socket, _) = socket {
            // A server that does not answer is left alone after a while.
            let _ = socket.close(CloseCode::NORMAL, "").await;
        }
    }

    /// Waits for one thing to happen, and tells the rules.
    async fn turn(&mut self) {
        let timeout = self.session.poll_timeout().map(|at| self.began + at);
        tokio::select! {
            call = self.calls.recv() => self.call(call),
            () = self.inboxes_changed.notified() => self.look_at_inboxes(),
            happened = self.line.next(&self.unsent) => self.happened(happened),
            () = sleep_until(timeout) => {
                let now = self.now();
                self.session.handle_timeout(now, self.chance.next());
            }
        }
    }

    fn call(&mut self, call: Option<Call>) {
        let now = self.now();
        match call {
            Some(Call::Publish(publish, answer)) => {
                let id = self.session.publish(publish, now, self.chance.next());
                self.publishes.insert(id, answer);
            }
            Some(Call::Subscribe { channel, start, inbox, answer }) => {
                self.look_at_inboxes();
                if self.followed.contains_key(&channel) {
                    // Nobody may wait for it any more.
                    let _ = answer.send(Err(Error::SubscribedAlready));
                } else {
                    self.followed.insert(channel.clone(), Followed { inbox, answer: Some(answer) });
                    self.session.subscribe(channel, start, now);
                }
            }
            Some(Call::History(query, answer)) => {
                let id = self.session.history(query, now);
                self.pages.insert(id, answer);
            }
            Some(Call::Wake) => self.session.wake(now),
            Some(Call::Close(done)) => {
                self.closing.push(done);
                self.session.close();
            }
            // No handle is left.
            None => self.session.close(),
        }
    }

    /// Some inbox has room again, or nobody reads it any more.
    fn look_at_inboxes(&mut self) {
        let now = self.now();
        let session = &mut self.session;
        self.followed.retain(|channel, followed| {
            if followed.inbox.is_abandoned() {
                session.unsubscribe(channel);
                return false;
            }
            if followed.inbox.take_room() {
                session.set_paused(channel, false, now);
            }
            true
        });
    }

    fn happened(&mut self, happened: Happened) {
        let now = self.now();
        match happened {
            Happened::Opened(Ok(mut socket)) => {
                let sender = socket.sender();
                self.line = Line::Open(Box::new(socket), sender);
                self.session.handle_opened(now);
            }
            Happened::Opened(Err(failure)) => {
                tracing::debug!(error = %failure.error, "no connection");
                let ended = if failure.error.is_retryable() {
                    Ended::Lost { retry: failure.retry_after }
                } else {
                    Ended::Hopeless(failure.error.to_string().into())
                };
                self.lost(ended, now);
            }
            Happened::Received(Ok(Some(message))) => {
                if let Some(text) = message.as_text() {
                    self.session.handle_text(text, now, self.chance.next());
                }
            }
            Happened::Received(Ok(None)) => {
                let ended = self.line.close_frame();
                self.lost(ended, now);
            }
            Happened::Received(Err(error)) | Happened::Sent(Err(error)) => {
                tracing::debug!(%error, "the line is lost");
                self.lost(ended_by(&error), now);
            }
            Happened::Sent(Ok(())) => {
                self.unsent.pop_front();
            }
        }
    }

    fn lost(&mut self, ended: Ended, now: Duration) {
        self.line = Line::None;
        self.unsent.clear();
        self.session.handle_lost(ended, now, self.chance.next());
    }

    /// Does all that the rules ask for.
    fn perform(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Dial => {
                    let connect = self.connect.clone();
                    self.line = Line::Opening(Box::pin(connect.attempt()));
                }
                Output::Send(text) => self.unsent.push_back(text),
                Output::Hangup => {
                    // A socket that is dropped says goodbye in the background.
                    self.line = Line::None;
                    self.unsent.clear();
                }
                Output::Event(event) => self.tell(event),
            }
        }
        while let (Line::Open(_, sender), Some(text)) = (&self.line, self.unsent.pop_front()) {
            // The error says that the line has ended, as the next `recv` will.
            if let Err(WsError::QueueFull) = sender.try_send(&text) {
                self.unsent.push_front(text);
                break;
            }
        }
    }

    /// Hands an event to whom it concerns. Whoever does not wait any more is not told.
    fn tell(&mut self, event: Event) {
        match event {
            Event::Online { client, user } => drop(self.state.send_replace(State::Online { client, user })),
            Event::Offline { .. } => drop(self.state.send_replace(State::Offline)),
            Event::Closed(why) => {
                for (_, followed) in self.followed.drain() {
                    followed.inbox.end(Error::Closed(why.clone()));
                }
                self.state.send_replace(State::Closed(why));
            }
            Event::Subscribed { channel, kind, position } => {
                let answer = self.followed.get_mut(&channel).and_then(|followed| followed.answer.take());
                answer.map(|answer| answer.send(Ok((kind, position))));
            }
            Event::Message { channel, message } => self.update(&channel, Update::Message(message)),
            Event::Notice { channel, notice } => self.update(&channel, Update::Notice(notice)),
            Event::Ended { channel, refusal } => {
                let Some(followed) = self.followed.remove(&channel) else { return };
                let error = Error::Unsubscribed(refusal);
                match followed.answer {
                    Some(answer) => drop(answer.send(Err(error))),
                    None => followed.inbox.end(error),
                }
            }
            Event::Published { id, result } => {
                drop(self.publishes.remove(&id).map(|answer| answer.send(result)))
            }
            Event::Page { id, result } => drop(self.pages.remove(&id).map(|answer| answer.send(result))),
        }
    }

    fn update(&mut self, channel: &ChannelName, update: Update) {
        let full = self.followed.get(channel).is_some_and(|followed| followed.inbox.push(update));
        if full {
            let now = self.now();
            self.session.set_paused(channel, true, now);
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Line {
    /// What happens next. Dropping the future loses nothing.
    async fn next(&mut self, unsent: &VecDeque<String>) -> Happened {
        match self {
            Self::None => pending().await,
            Self::Opening(attempt) => Happened::Opened(attempt.await),
            Self::Open(socket, sender) => tokio::select! {
                received = socket.recv() => Happened::Received(received),
                sent = send(sender, unsent.front()) => Happened::Sent(sent),
            },
        }
    }

    fn close_frame(&self) -> Ended {
        let Self::Open(socket, _) = self else { return Ended::Lost { retry: None } };
        socket.close_frame().map_or(Ended::Lost { retry: None }, |frame| closed(frame.code, frame.reason))
    }
}

async fn send(sender: &Sender, text: Option<&String>) -> Result<(), WsError> {
    match text {
        Some(text) => sender.send(text).await,
        None => pending().await,
    }
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => pending().await,
    }
}

fn ended_by(error: &WsError) -> Ended {
    match error {
        WsError::Closed(frame) => closed(frame.code, frame.reason.clone()),
        WsError::Protocol(broken) => closed(broken.close_code(), broken.to_string()),
        _ => Ended::Lost { retry: None },
    }
}

fn closed(code: CloseCode, reason: String) -> Ended {
    match code {
        CloseCode::ABNORMAL => Ended::Lost { retry: None },
        CloseCode(code) => Ended::Closed { code, reason: reason.into() },
    }
}

/// Random numbers, drawn many at a time.
#[derive(Default)]
struct Chance {
    drawn: Vec<u64>,
}

impl Chance {
    fn next(&mut self) -> u64 {
        if self.drawn.is_empty() {
            let mut bytes = [0; 64 * 8];
            getrandom::fill(&mut bytes).expect("the system has a random source");
            self.drawn.extend(bytes.as_chunks().0.iter().map(|chunk| u64::from_ne_bytes(*chunk)));
        }
        self.drawn.pop().expect("a draw brings numbers")
    }
}

/// Why a client has ended is told once more to those who come too late.
impl Drop for Driver {
    fn drop(&mut self) {
        // A task that was cut short (its runtime ended) leaves nobody waiting.
        for (_, followed) in self.followed.drain() {
            followed.inbox.end(Error::Closed(Closed::ByUs));
        }
    }
}
