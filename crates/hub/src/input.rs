//! What enters the hub.

use std::sync::Arc;
use std::time::Duration;

use trunkline_backend::Answer;
use trunkline_model::{
    Admitted, ChannelName, Command, Epoch, Fault, Identity, Payload, Publication, Secret, Timestamp,
};

use crate::Peer;

/// When something happened: by the wall clock, for people and keys; and since the start, for durations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// The wall clock's time. It may step.
    pub ts: Timestamp,
    /// Time since the node started. It never steps back.
    pub uptime: Duration,
}

/// A session's place at its worker. The caller assigns it: `index` is small and dense, and used again after
/// [`Input::Closed`] with another `generation`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId {
    /// Its slot.
    pub index: u32,
    /// Which user of the slot it is.
    pub generation: u32,
}

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// A session begins. Without an identity, its first command asks for one ([`Output::Admit`]).
    ///
    /// [`Output::Admit`]: crate::Output::Admit
    Opened {
        /// The session.
        session: SessionId,
        /// Who it is, if that is known already.
        identity: Option<Identity>,
        /// The token that its handshake showed; `connect` may show a newer one.
        token: Option<Secret>,
    },
    /// A client asks something. Only while [`Hub::accepts`](crate::Hub::accepts) says so.
    Command {
        /// The session.
        session: SessionId,
        /// The command.
        command: Command,
    },
    /// The answer to [`Output::Admit`](crate::Output::Admit): who it is. Channels that it follows without asking are
    /// answered like those of `connect`.
    Admitted {
        /// The session.
        session: SessionId,
        /// Who it is.
        admitted: Box<Admitted>,
    },
    /// The answer to [`Output::Admit`](crate::Output::Admit): it is not let in, or its new token is not taken.
    Refused {
        /// The session.
        session: SessionId,
        /// Why: `unauthorized`, `token_expired`, or what else the door has against it.
        fault: Fault,
    },
    /// The session's outbox had no room for this publication of a log. It is not pushed to any more, and continues here
    /// when its outbox has drained. What was handed out of the channel meanwhile is to be dropped:
    /// [`Hub::takes`](crate::Hub::takes).
    Behind {
        /// The session.
        session: SessionId,
        /// The first publication that it did not get.
        publication: Arc<Publication>,
    },
    /// The session's outbox had no room for a change of this channel's presence, which was dropped. It is told nothing
    /// more of it until the outbox has drained, and then who is there.
    PresenceMissed {
        /// The session.
        session: SessionId,
        /// The channel.
        channel: ChannelName,
    },
    /// The answer to [`Output::AwaitRoom`](crate::Output::AwaitRoom).
    Drained {
        /// The session.
        session: SessionId,
    },
    /// The connection has ended, whoever ended it.
    Closed {
        /// The session.
        session: SessionId,
    },
    /// Another worker's hub says something.
    Peer {
        /// The other worker.
        from: u16,
        /// What it says.
        message: Peer,
    },
    /// The store answers.
    Stored(Answer),
    /// The answer to [`Output::Call`](crate::Output::Call). One that nobody waits for any more is dropped.
    Called {
        /// Which call.
        call: u64,
        /// What the application answers: JSON, or why it did not do it.
        result: Result<Payload, Fault>,
    },
    /// The life that the store is in. At the beginning, and before any answer of a new life is handed in.
    Epoch(Epoch),
    /// Time passes: at least every few seconds. What failed is tried again, what is unused let go.
    Tick,
    /// The moment has come that [`Hub::wakes_at`](crate::Hub::wakes_at) named.
    Due,
}
