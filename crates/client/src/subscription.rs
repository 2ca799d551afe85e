//! A channel as a stream of what happens in it. Filled by the driver, read by the application.

use std::sync::Arc;

use trunkline_model::{ChannelName, Kind, Position};

use crate::client::Client;
use crate::error::Error;
use crate::inbox::Inbox;
use crate::rules::{Message, Notice};

/// One thing that happened in a channel.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Update {
    /// A publication. In a log they come in order, each once.
    Message(Message),
    /// Something about the order, where it happened.
    Notice(Notice),
}

/// A channel that is followed, through lost lines and restarts of the server. Dropping it ends the subscription.
///
/// A reader that is slow holds up nobody and loses nothing of a log: what does not fit into its queue is fetched from the
/// history when there is room.
pub struct Subscription {
    channel: ChannelName,
    kind: Option<Kind>,
    position: Option<Position>,
    inbox: Arc<Inbox>,
    /// Who reads is still there.
    _client: Client,
}

impl Subscription {
    pub(crate) fn new(client: Client, channel: ChannelName, inbox: Arc<Inbox>) -> Self {
        Self { channel, kind: None, position: None, inbox, _client: client }
    }

    /// The server has agreed.
    pub(crate) fn agreed(&mut self, kind: Option<Kind>, position: Option<Position>) {
        (self.kind, self.position) = (kind, position);
    }

    /// The next thing that happens.
    ///
    /// # Errors
    /// [`Error::Unsubscribed`] or [`Error::Closed`] once there will be nothing more.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Update, Error> {
        self.inbox.next().await
    }

    /// The next message; notices are passed over.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    ///
    /// # Cancel safety
    /// Dropping the future loses no message.
    pub async fn next_message(&mut self) -> Result<Message, Error> {
        loop {
            if let Update::Message(message) = self.next().await? {
                return Ok(message);
            }
        }
    }

    /// The channel.
    #[must_use]
    pub fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// Its kind, if this client knows it.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        self.kind
    }

    /// Where the channel stood when the subscription began; `None` in a `signal`.
    #[must_use]
    pub fn began_at(&self) -> Option<Position> {
        self.position
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { channel, kind, position, .. } = self;
        f.debug_struct("Subscription")
            .field("channel", channel)
            .field("kind", kind)
            .field("began_at", position)
            .finish_non_exhaustive()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.inbox.abandon();
    }
}
