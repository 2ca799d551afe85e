//! A client that connects again: an endless supply of sockets, one after the other. Not a socket that pretends to be
//! always there: what was sent to one that broke may have arrived or not, and only the application knows what to do.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep};
use trunkline_ws_proto::CloseCode;

use crate::backoff::Backoff;
use crate::client::{Connect, Failure};
use crate::error::Error;
use crate::socket::Socket;

type Prepared = Pin<Box<dyn Future<Output = Result<Connect, Error>> + Send>>;

/// A connection that is made again whenever it has ended; from [`Connect::reconnecting`].
///
/// ```no_run
/// # async fn run() -> Result<(), trunkline_ws::Error> {
/// use trunkline_ws as ws;
///
/// let mut line = ws::connect("wss://example.com/live").bearer("token").reconnecting(ws::Backoff::default());
/// while let Some(socket) = line.connected().await? {
///     let _ = socket.send("where were we?").await;
///     while let Ok(Some(message)) = socket.recv().await {
///         println!("{message}");
///     }
/// }
/// # Ok(()) }
/// ```
///
/// The inner loop takes `Ok` only: what ends one socket is no reason to end the outer one, which asks
/// [`connected`](Self::connected) whether it is.
///
/// **What is lost.** Nothing is sent twice and nothing is kept: what was sent shortly before a connection broke has arrived
/// or not, and what the server said in between was said to nobody. A protocol that needs more numbers its messages, and
/// says after each connection how far it has come. A [`Sender`](crate::Sender) belongs to one socket and ends with it.
///
/// **When it gives up.** Where trying again cannot help: [`Error::is_retryable`] has the table, [`retry_if`](Self::retry_if)
/// changes it. When it waits: see [`Backoff`]; to a `Retry-After` in seconds it adds its own wait. To end it, drop it, or
/// close its socket with 1000.
#[must_use = "nothing happens until `connected` is called"]
pub struct Reconnecting {
    connect: Connect,
    backoff: Backoff,
    prepare: Box<dyn FnMut(Connect) -> Prepared + Send>,
    retry_if: Box<dyn FnMut(&Error) -> bool + Send>,
    jitter: Box<dyn FnMut() -> u64 + Send>,
    /// In a row.
    failures: u32,
    stage: Stage,
}

/// ```text
///              ┌───────────────── waited ─────────────────┐
///              ▼                                          │
///   Idle ─▶ Connecting ── failed ─────────────────────▶ Waiting
///              │                                          ▲
///              └─▶ Open ── ended, and not for good ───────┘
///                    └──── closed with 1000 ───▶ Ended
/// ```
enum Stage {
    Idle,
    Connecting(Pin<Box<dyn Future<Output = Result<Socket, Failure>> + Send>>),
    Open { socket: Socket, since: Instant },
    Waiting(Pin<Box<Sleep>>),
    Ended,
}

impl Reconnecting {
    pub(crate) fn new(connect: Connect, backoff: Backoff) -> Self {
        Self {
            connect,
            backoff,
            prepare: Box::new(|connect| Box::pin(std::future::ready(Ok(connect)))),
            retry_if: Box::new(Error::is_retryable),
            jitter: Box::new(random),
            failures: 0,
            stage: Stage::Idle,
        }
    }

    /// Lets each attempt begin with `prepare`, which gets the connection to be made as it was described: for a fresh token,
    /// another URL. Its error counts as the attempt's, so [`Error::Io`] is tried again and [`Error::other`] is not. It has
    /// no deadline but its own. The later call of this and [`bearer_with`](Self::bearer_with) counts.
    pub fn prepare<F>(mut self, mut prepare: impl FnMut(Connect) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Connect, Error>> + Send + 'static,
    {
        self.prepare = Box::new(move |connect| Box::pin(prepare(connect)));
        self
    }

    /// Sends `Authorization: Bearer …` with a token that `token` gets for each attempt. A server that refuses a token which
    /// has expired says 401, or closes with a code of 44xx, and both count as final unless [`retry_if`](Self::retry_if)
    /// says that a fresh one may help.
    pub fn bearer_with<F>(self, mut token: impl FnMut() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<String, Error>> + Send + 'static,
    {
        self.prepare(move |connect| {
            let token = token();
            async move { Ok(connect.bearer(&token.await?)) }
        })
    }

    /// Decides whether to connect again, instead of [`Error::is_retryable`]. It hears of each failure: of attempts, and of
    /// sockets that ended, as [`Error::Lost`] or [`Error::Closed`].
    pub fn retry_if(mut self, retry_if: impl FnMut(&Error) -> bool + Send + 'static) -> Self {
        self.retry_if = Box::new(retry_if);
        self
    }

    /// Where chance comes from: for each wait one number of all that a `u64` can be. Default: the operating system. For
    /// tests.
    pub fn jitter(mut self, jitter: impl FnMut() -> u64 + Send + 'static) -> Self {
        self.jitter = Box::new(jitter);
        self
    }

    /// The open socket: the last one, as long as it is open, else a new one. `None` when the peer closed the last one with
    /// 1000, or answered our own 1000.
    ///
    /// Cancel-safe: a wait or an attempt that was begun goes on with the next call. Its deadlines run meanwhile.
    ///
    /// # Errors
    /// What cannot be helped by trying again, be it from an attempt or a close code ([`Error::Closed`]); or the last of
    /// [`failures_max`](Backoff::failures_max). A further call waits, as after any failure, and tries again.
    pub async fn connected(&mut self) -> Result<Option<&mut Socket>, Error> {
        while !self.is_open() {
            match &mut self.stage {
                Stage::Idle => {
                    let prepared = (self.prepare)(self.connect.clone());
                    self.stage = Stage::Connecting(Box::pin(async { prepared.await?.attempt().await }));
                }
                Stage::Connecting(attempt) => match attempt.as_mut().await {
                    Ok(socket) => self.stage = Stage::Open { socket, since: Instant::now() },
                    Err(failure) => self.attempt_failed(failure)?,
                },
                Stage::Open { socket, since } => {
                    if socket.close_frame().is_none() {
                        // It was we who closed, and nobody has waited for the answer.
                        let _ = socket.close(CloseCode::NORMAL, "").await;
                    }
                    let stable = since.elapsed() >= self.backoff.stable_after;
                    let error = match socket.close_frame() {
                        Some(frame) if frame.code != CloseCode::ABNORMAL => Error::Closed(frame),
                        _ => Error::Lost(None),
                    };
                    self.socket_ended(error, stable)?;
                }
                Stage::Waiting(sleep) => {
                    sleep.as_mut().await;
                    self.stage = Stage::Idle;
                }
                Stage::Ended => return Ok(None),
            }
        }
        match &mut self.stage {
            Stage::Open { socket, .. } => Ok(Some(socket)),
            _ => Ok(None),
        }
    }

    fn is_open(&self) -> bool {
        matches!(&self.stage, Stage::Open { socket, .. } if socket.is_open())
    }

    fn attempt_failed(&mut self, Failure { error, retry_after }: Failure) -> Result<(), Error> {
        self.failures = self.failures.saturating_add(1);
        self.wait(&error, retry_after);
        self.check(error)
    }

    fn socket_ended(&mut self, error: Error, stable: bool) -> Result<(), Error> {
        self.failures = if stable { 0 } else { self.failures.saturating_add(1) };
        let done = error.close_code() == Some(CloseCode::NORMAL);
        self.wait(&error, None);
        match self.check(error) {
            Err(_) if done => {
                self.stage = Stage::Ended;
                Ok(())
            }
            checked => checked,
        }
    }

    /// Also where the error is given to the caller, so that one who asks again at once does not storm the server.
    fn wait(&mut self, error: &Error, retry_after: Option<Duration>) {
        let delay = self.backoff.delay(self.failures, (self.jitter)(), retry_after);
        tracing::debug!(%error, ?delay, failures = self.failures, "not connected");
        self.stage = Stage::Waiting(Box::pin(tokio::time::sleep(delay)));
    }

    fn check(&mut self, error: Error) -> Result<(), Error> {
        let tired = self.backoff.failures_max.is_some_and(|max| self.failures >= max);
        if (self.retry_if)(&error) && !tired { Ok(()) } else { Err(error) }
    }
}

/// Without a random source the whole wait, which is the kind one.
fn random() -> u64 {
    let mut bytes = [0xFF; 8];
    let _ = getrandom::fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

impl fmt::Debug for Reconnecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::Idle => "idle",
            Stage::Connecting(_) => "connecting",
            Stage::Open { .. } => "open",
            Stage::Waiting(_) => "waiting",
            Stage::Ended => "ended",
        };
        let Self { backoff, failures, .. } = self;
        f.debug_struct("Reconnecting")
            .field("stage", &stage)
            .field("failures", failures)
            .field("backoff", backoff)
            .finish_non_exhaustive()
    }
}
