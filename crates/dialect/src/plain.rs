//! The plain dialect of `/room/{name}`: a frame is a publication, a publication is a frame, and nothing else
//! is said. What a client cannot be told in words is told by a close code.

use bytes::Bytes;
use trunkline_model::close::{self, CloseReason};
use trunkline_model::{
    Action, ChannelName, Command, ErrorCode, Fault, Form, Payload, Publication, Publish, Recovery, Reply,
    Start, Subscribe,
};

/// The command with which a plain session begins: follow the room.
#[must_use]
pub fn opening(channel: &ChannelName) -> Command {
    Command { id: None, action: Action::Subscribe(Subscribe::new(channel.clone(), Start::Next)) }
}

/// A frame as a command: publish it as it came.
#[must_use]
pub fn decode(channel: &ChannelName, form: Form, bytes: Bytes) -> Command {
    let publish = Publish::new(channel.clone(), Payload { bytes, form });
    Command { id: None, action: Action::Publish(publish) }
}

/// A publication as a frame: whether it is binary, and its bytes. JSON goes out as its text.
#[must_use]
pub fn content(publication: &Publication) -> (bool, &Bytes) {
    (publication.payload.form == Form::Binary, &publication.payload.bytes)
}

/// How a session ends that was answered something it cannot be told.
#[must_use]
pub fn close_after(reply: &Reply) -> Option<CloseReason> {
    match reply {
        Reply::Fault(fault) => Some(close_for(fault)),
        // It cannot go on from where it was; it begins anew when it connects again.
        Reply::Subscribed(subscribed) => {
            matches!(subscribed.recovery, Recovery::Lost { .. }).then_some(close::SLOW)
        }
        _ => None,
    }
}

/// How a session ends that cannot be told what was wrong.
#[must_use]
pub fn close_for(fault: &Fault) -> CloseReason {
    match fault.code {
        ErrorCode::TooLarge => close::TOO_LARGE,
        ErrorCode::Forbidden => close::FORBIDDEN,
        ErrorCode::Unauthorized => close::INVALID_TOKEN,
        ErrorCode::TokenExpired => close::TOKEN_EXPIRED,
        ErrorCode::BadRequest | ErrorCode::UnknownNamespace | ErrorCode::NotFound => close::BAD_FRAME,
        ErrorCode::Draining => close::DRAINING,
        _ => close::INTERNAL,
    }
}
