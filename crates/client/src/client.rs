//! The handle on the client, and on one channel of it: what an application holds. The work is done by the driver's task.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use trunkline_model::{ChannelName, ClientId, HistoryQuery, Key, Offset, Position, Publish, Start, UserName};
use trunkline_ws::Connect;

use crate::content::Content;
use crate::driver::{Call, Driver};
use crate::error::Error;
use crate::inbox::Inbox;
use crate::rules::{Closed, Limits, Page, PublishError, Receipt, RequestError};
use crate::subscription::Subscription;

/// Calls that wait for the driver. At the cap callers wait.
const CALLS_MAX: usize = 256;

/// A client of a Trunkline server. Cheap to clone; the last clone that is dropped, with all channels and subscriptions,
/// closes it.
#[derive(Clone, Debug)]
pub struct Client {
    calls: mpsc::Sender<Call>,
    driver: Arc<Notify>,
    state: watch::Receiver<State>,
}

/// How a client stands.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum State {
    /// There is no line; it tries again and again.
    Offline,
    /// The session is open.
    Online {
        /// The public id of the session.
        client: ClientId,
        /// The name that others see.
        user: UserName,
    },
    /// It is over.
    Closed(Closed),
}

impl Client {
    /// Connects to `ws://host:port/ws` or `wss://host:port/ws`, in the background and again whenever the line is lost.
    /// Returns at once; what is asked before there is a line waits for it. Must be called within a tokio runtime.
    #[must_use]
    pub fn connect(url: &str) -> Self {
        Self::with(trunkline_ws::connect(url), Limits::default())
    }

    /// The same with a connection of one's own making (headers, certificates, compression) and other limits. It is
    /// asked for the subprotocol `trunkline.v1`.
    #[must_use]
    pub fn with(connect: Connect, limits: Limits) -> Self {
        let (calls, called) = mpsc::channel(CALLS_MAX);
        let (told, state) = watch::channel(State::Offline);
        let driver = Arc::new(Notify::new());
        tokio::spawn(Driver::new(connect, limits, called, Arc::clone(&driver), told).run());
        Self { calls, driver, state }
    }

    /// A channel. Nothing is asked of the server yet.
    ///
    /// # Errors
    /// [`Error::ChannelName`] if it is no name.
    pub fn channel(&self, name: &str) -> Result<Channel, Error> {
        Ok(Channel { client: self.clone(), name: ChannelName::parse(name)? })
    }

    /// How it stands now.
    #[must_use]
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Waits for an open session.
    ///
    /// # Errors
    /// [`Error::Closed`] if there will be none.
    pub async fn online(&self) -> Result<(), Error> {
        let mut state = self.state.clone();
        let found = state.wait_for(|state| *state != State::Offline).await;
        match found.as_deref() {
            Ok(State::Closed(why)) => Err(Error::Closed(why.clone())),
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Closed(Closed::ByUs)),
        }
    }

    /// Waits for the next change of [`state`](Self::state), and gives it.
    pub async fn changed(&mut self) -> State {
        // Without a sender the last state stands.
        let _ = self.state.changed().await;
        self.state.borrow_and_update().clone()
    }

    /// The machine woke up, or the network changed: tries at once instead of waiting, and doubts an open line.
    pub async fn wake(&self) {
        // A client that has ended has nothing to be woken.
        let _ = self.calls.send(Call::Wake).await;
    }

    /// Closes the line and waits until that is done. What is not answered ends with [`Closed::ByUs`].
    pub async fn close(self) {
        let (done, ended) = oneshot::channel();
        if self.calls.send(Call::Close(done)).await.is_ok() {
            // The driver drops it when it ends.
            let _ = ended.await;
        }
    }

    fn why_closed(&self) -> Closed {
        match self.state() {
            State::Closed(why) => why,
            _ => Closed::ByUs,
        }
    }
}

/// One channel of a client.
#[derive(Clone, Debug)]
pub struct Channel {
    client: Client,
    name: ChannelName,
}

impl Channel {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &ChannelName {
        &self.name
    }

    /// Publishes, and waits until the server has stored it: through lost lines and restarts, under a key that makes it
    /// stored once. A `signal` stores nothing, so one whose answer was lost may pass twice.
    ///
    /// # Errors
    /// [`Error::Publish`] says why, and whether it may be stored all the same.
    ///
    /// # Cancel safety
    /// Dropping the future does not take the publish back once it was polled: it will be stored, or not, and nobody is
    /// told.
    pub async fn publish(&self, content: impl Into<Content>) -> Result<Receipt, Error> {
        self.send(content.into(), None).await
    }

    /// The same under a key of one's own, 1 to 64 bytes. Of all publishes of this session with the same key one is
    /// stored.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and [`Error::Key`].
    ///
    /// # Cancel safety
    /// As [`publish`](Self::publish).
    pub async fn publish_once(&self, key: &str, content: impl Into<Content>) -> Result<Receipt, Error> {
        let key = Key::parse(key)?;
        self.send(content.into(), Some(key)).await
    }

    async fn send(&self, content: Content, key: Option<Key>) -> Result<Receipt, Error> {
        let publish = Publish { key, ..Publish::new(self.name.clone(), content.0) };
        let answer = self.call(|answer| Call::Publish(publish, answer)).await;
        let unsent = |reason| PublishError::Closed { reason, sent: false };
        Ok(answer.unwrap_or_else(|| Err(unsent(self.client.why_closed())))?)
    }

    /// Follows the channel from its next publication on. Returns once the server has agreed.
    ///
    /// # Errors
    /// [`Error::Unsubscribed`] if the server refuses, [`Error::SubscribedAlready`], [`Error::Closed`].
    ///
    /// # Cancel safety
    /// Dropping the future ends the subscription.
    pub async fn subscribe(&self) -> Result<Subscription, Error> {
        self.subscribe_from(Start::Next).await
    }

    /// Follows the channel, beginning with the newest so many messages (at most 1,000).
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    ///
    /// # Cancel safety
    /// As [`subscribe`](Self::subscribe).
    pub async fn subscribe_last(&self, count: u32) -> Result<Subscription, Error> {
        self.subscribe_from(Start::Last(count)).await
    }

    /// Follows the channel on from a position, as a message or an earlier run has it. What happened to the messages in
    /// between is told by the first [`Notice`](crate::Notice).
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    ///
    /// # Cancel safety
    /// As [`subscribe`](Self::subscribe).
    pub async fn subscribe_since(&self, position: Position) -> Result<Subscription, Error> {
        self.subscribe_from(Start::Since(position)).await
    }

    /// The same, and whatever the distance, now and after each lost line, all of it comes, as fast as it is read. Needs the
    /// permission `history`.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    ///
    /// # Cancel safety
    /// As [`subscribe`](Self::subscribe).
    pub async fn catch_up(&self, position: Position) -> Result<Subscription, Error> {
        self.subscribe_from(Start::CatchUp(position)).await
    }

    async fn subscribe_from(&self, start: Start) -> Result<Subscription, Error> {
        let inbox = Arc::new(Inbox::new(Arc::clone(&self.client.driver)));
        let given = Arc::clone(&inbox);
        // It exists before the server has agreed, so that dropping this future ends what was asked for.
        let mut subscription = Subscription::new(self.client.clone(), self.name.clone(), inbox);
        let channel = self.name.clone();
        let answer = self.call(|answer| Call::Subscribe { channel, start, inbox: given, answer }).await;
        let (kind, position) = answer.unwrap_or_else(|| Err(Error::Closed(self.client.why_closed())))?;
        subscription.agreed(kind, position);
        Ok(subscription)
    }

    /// The newest so many messages (at most 1,000), ascending.
    ///
    /// # Errors
    /// [`Error::Request`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the page.
    pub async fn newest(&self, limit: u32) -> Result<Page, Error> {
        self.history(None, None, limit).await
    }

    /// So many messages below an offset, the newest of them, ascending.
    ///
    /// # Errors
    /// As [`newest`](Self::newest).
    ///
    /// # Cancel safety
    /// As [`newest`](Self::newest).
    pub async fn before(&self, offset: Offset, limit: u32) -> Result<Page, Error> {
        self.history(Some(offset), None, limit).await
    }

    /// So many messages above an offset, the oldest of them, ascending.
    ///
    /// # Errors
    /// As [`newest`](Self::newest).
    ///
    /// # Cancel safety
    /// As [`newest`](Self::newest).
    pub async fn after(&self, offset: Offset, limit: u32) -> Result<Page, Error> {
        self.history(None, Some(offset), limit).await
    }

    async fn history(
        &self,
        before: Option<Offset>,
        after: Option<Offset>,
        limit: u32,
    ) -> Result<Page, Error> {
        let query = HistoryQuery { channel: self.name.clone(), before, after, limit: Some(limit), at: None };
        let answer = self.call(|answer| Call::History(query, answer)).await;
        Ok(answer.unwrap_or_else(|| Err(RequestError::Closed(self.client.why_closed())))?)
    }

    /// Hands a call to the driver and waits for its answer; `None` if the driver has ended.
    async fn call<T>(&self, call: impl FnOnce(oneshot::Sender<T>) -> Call) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.client.calls.send(call(answer)).await.ok()?;
        answered.await.ok()
    }
}
