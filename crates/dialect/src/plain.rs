//! The plain dialect of `/room/{name}`: a frame is a publication, a publication is a frame, and nothing else
//! is said. What a client cannot be told in words is told by a close code.

use bytes::Bytes;
use trunkline_model::close::{self, CloseReason};
use trunkline_model::{
    Action, ChannelName, Command, ErrorCode, Fault, Form, Payload, Publication, Publish, Start, Subscribe,
};

/// The command with which a plain session begins: follow the room.
#[must_use]
pub fn opening(channel: &ChannelName) -> Command {
    Command {
        id: None,
        action: Action::Subscribe(Subscribe { channel: channel.clone(), start: Start::Next }),
    }
}

/// A frame as a command: publish it as it came.
#[must_use]
pub fn decode(channel: &ChannelName, form: Form, bytes: Bytes) -> Command {
    let publish = Publish { channel: channel.clone(), payload: Payload { bytes, form }, key: None };
    Command { id: None, action: Action::Publish(publish) }
}

/// A publication as a frame: whether it is binary, and its bytes. JSON goes out as its text.
#[must_use]
pub fn content(publication: &Publication) -> (bool, &Bytes) {
    (publication.payload.form == Form::Binary, &publication.payload.bytes)
}

/// How a session ends that cannot be told what was wrong.
#[must_use]
pub fn close_for(fault: &Fault) -> CloseReason {
    match fault.code {
        ErrorCode::TooLarge => close::TOO_LARGE,
        ErrorCode::Forbidden | ErrorCode::Unauthorized => close::FORBIDDEN,
        ErrorCode::BadRequest | ErrorCode::UnknownNamespace | ErrorCode::NotFound => close::BAD_FRAME,
        ErrorCode::Draining => close::DRAINING,
        _ => close::INTERNAL,
    }
}
