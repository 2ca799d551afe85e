//! What can go wrong for an application that uses the client.

use trunkline_model::{InvalidChannelName, InvalidKey};

use crate::rules::{Closed, PublishError, Refusal, RequestError};

/// An error of the client.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not a channel's name.
    #[error(transparent)]
    ChannelName(#[from] InvalidChannelName),
    /// The text is not a key.
    #[error(transparent)]
    Key(#[from] InvalidKey),
    /// The publish was not acknowledged. Whether it may be stored all the same, the reason says.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// There is no page.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The server refuses the subscription, or has ended it.
    #[error("the subscription has ended: {}: {}", .0.code, .0.message)]
    Unsubscribed(Refusal),
    /// This client follows the channel already; drop that subscription first.
    #[error("this client is subscribed to the channel already")]
    SubscribedAlready,
    /// The client has ended.
    #[error("{0}")]
    Closed(Closed),
}
