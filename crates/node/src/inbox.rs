//! What reaches a worker from outside of its own loop: accepted sockets, upgraded sockets, calls from HTTP,
//! the store's answers and the application's. Bounded by what each of these senders may have under way.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use trunkline_backend::{Answer, Sink};
use trunkline_hub::SessionId;
use trunkline_model::{Admitted, Command, Fault, Identity, Namespaces, Payload, Reply, Secret};
use trunkline_ws_proto::DeflateParams;

use crate::cipher::Cipher;
use crate::connection::Protocol;
use crate::meters::Meters;
use crate::socket::Socket;
use crate::worker::Counted;

/// What a WebSocket handshake has led to.
#[derive(Debug)]
pub struct Upgrade {
    /// What is spoken from now on.
    pub protocol: Protocol,
    /// How messages may be compressed, if that was agreed on. Without context takeover a connection that is idle
    /// costs no more for it.
    pub deflate: Option<DeflateParams>,
    /// Where it comes from, as far as that is known and counts.
    pub address: Option<IpAddr>,
    /// The token that the handshake showed, if it did.
    pub token: Option<Secret>,
    /// Bytes that were read behind the handshake, decrypted.
    pub leftover: Bytes,
    /// What encrypts it, if anything does.
    pub cipher: Option<Box<dyn Cipher>>,
}

/// One letter to a worker.
pub(crate) enum Mail {
    /// A connection that was accepted for this worker.
    Accepted(Socket, Counted),
    /// A socket that speaks WebSocket from now on.
    Attach { socket: Socket, upgrade: Upgrade },
    /// One command, answered once.
    Call { identity: Box<Identity>, command: Command, reply: oneshot::Sender<Reply> },
    /// What the store answered.
    Stored(Vec<Answer>),
    /// What the application answers to a call.
    Called { call: u64, result: Result<Payload, Fault> },
    /// What the door says of a session.
    Door { session: SessionId, answer: Result<Box<Admitted>, Fault> },
    /// These are the namespaces from now on.
    Configure(Arc<Namespaces>),
    /// Ask everyone to leave, each at a moment of its own within this time.
    Leave { within: Duration },
    /// End: answer what was read, say goodbye, stop.
    Drain,
}

/// The inboxes of all workers of a node to be; made first, because the store needs their sink and the node
/// needs the store.
pub struct Inboxes {
    pub(crate) meters: Meters,
    pub(crate) handles: Vec<Handle>,
    pub(crate) receivers: Vec<Receiver<Mail>>,
}

impl Inboxes {
    /// Inboxes for this many workers, at least one.
    #[must_use]
    pub fn new(workers: u16) -> Self {
        let (handles, receivers) = (0..workers.max(1))
            .map(|_| {
                let (mail, receiver) = channel();
                (Handle { mail, wake: Arc::new(Notify::new()) }, receiver)
            })
            .unzip();
        Self { meters: Meters::of(usize::from(workers.max(1))), handles, receivers }
    }

    /// What the workers count.
    #[must_use]
    pub fn meters(&self) -> Meters {
        self.meters.clone()
    }

    /// Where a store puts its answers: each goes to the worker that asked.
    #[must_use]
    pub fn sink(&self) -> Sink {
        let handles = self.handles.clone();
        Arc::new(move |answers: Vec<Answer>| {
            let mut sorted: Vec<Vec<Answer>> = handles.iter().map(|_| Vec::new()).collect();
            for answer in answers {
                if let Some(batch) = sorted.get_mut(usize::from(answer.ticket().worker)) {
                    batch.push(answer);
                }
            }
            for (handle, batch) in handles.iter().zip(sorted) {
                if !batch.is_empty() {
                    // A worker that has ended needs no answer any more.
                    let _ = handle.send(Mail::Stored(batch));
                }
            }
        })
    }
}

/// The way to one worker, from any thread. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    mail: Sender<Mail>,
    pub(crate) wake: Arc<Notify>,
}

/// The worker has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server is about to end")]
pub struct Stopped;

impl Handle {
    /// Hands over a socket after its WebSocket handshake was answered. From here on the worker owns it.
    ///
    /// # Errors
    /// [`Stopped`]; the socket is then closed.
    pub fn attach(&self, socket: Socket, upgrade: Upgrade) -> Result<(), Stopped> {
        self.send(Mail::Attach { socket, upgrade })
    }

    /// Does one command in the name of `identity` and gives its reply. Commands without a reply are not for
    /// calls. Dropping the future does not take the command back.
    ///
    /// # Errors
    /// [`Stopped`]: it is unknown whether the command was done.
    pub async fn call(&self, identity: Identity, command: Command) -> Result<Reply, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.send(Mail::Call { identity: Box::new(identity), command, reply })?;
        answer.await.map_err(|_| Stopped)
    }

    pub(crate) fn send(&self, mail: Mail) -> Result<(), Stopped> {
        self.mail.send(mail).map_err(|_| Stopped)?;
        self.wake.notify_one();
        Ok(())
    }
}
