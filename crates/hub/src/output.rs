//! What leaves the hub, for the caller to carry out.

use std::sync::Arc;

use trunkline_backend::Request;
use trunkline_model::close::CloseReason;
use trunkline_model::{PresenceUpdate, Presented, Publication, Push, Reply, RpcRequest};

use crate::{Peer, SessionId};

/// Something to be done.
#[derive(Debug)]
pub enum Output {
    /// Tell a session the answer to its command.
    Reply {
        /// The session; it may have ended meanwhile.
        session: SessionId,
        /// The answer.
        reply: Reply,
    },
    /// Tell a session something unasked.
    Push {
        /// The session; it may have ended meanwhile.
        session: SessionId,
        /// What it is told.
        push: Push,
    },
    /// Send a publication to these sessions of this worker. The list is a snapshot.
    Deliver {
        /// The publication.
        publication: Arc<Publication>,
        /// Who gets it.
        sessions: Arc<Vec<SessionId>>,
    },
    /// Tell these sessions of this worker who came, went or changed. Where an outbox is too full it is dropped, and
    /// [`Input::PresenceMissed`](crate::Input::PresenceMissed) says so. The list is a snapshot.
    Present {
        /// What they are told.
        update: Arc<PresenceUpdate>,
        /// Who is told.
        sessions: Arc<Vec<SessionId>>,
    },
    /// Put this into the queue to another worker. There is room for it.
    Peer {
        /// The other worker.
        to: u16,
        /// What it is told.
        message: Peer,
    },
    /// Ask the store.
    Store(Request),
    /// Ask the door who this is, and answer with [`Input::Admitted`](crate::Input::Admitted) or
    /// [`Input::Refused`](crate::Input::Refused). Asked when a session begins, and when it renews its token.
    Admit {
        /// The session.
        session: SessionId,
        /// What it shows.
        presented: Presented,
    },
    /// Ask the application, and answer with [`Input::Called`](crate::Input::Called).
    Call {
        /// Which call: no other of this worker ever has the same number.
        call: u64,
        /// What is asked.
        request: Box<RpcRequest>,
    },
    /// The answer to this call is not waited for any more: it took too long.
    GiveUp {
        /// Which call.
        call: u64,
    },
    /// Say, with [`Input::Drained`](crate::Input::Drained), when the session's outbox has room for more answers.
    AwaitRoom {
        /// The session; it may have ended meanwhile.
        session: SessionId,
    },
    /// Close the session's connection with 4500: handling it has panicked. It is not to be closed here any more.
    Fail {
        /// The session.
        session: SessionId,
    },
    /// Close the session's connection, and say that it is closed.
    Close {
        /// The session.
        session: SessionId,
        /// Why.
        reason: CloseReason,
    },
    /// The session takes commands again ([`Hub::accepts`](crate::Hub::accepts)).
    Ready {
        /// The session.
        session: SessionId,
    },
}
