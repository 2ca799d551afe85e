//! Who is there? The node asks; whoever embeds it answers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use trunkline_hub::{Input, Moment, SessionId};
use trunkline_model::{Admitted, ErrorCode, Fault, Presented};

use crate::connection::Protocol;
use crate::inbox::{Handle, Mail};
use crate::places::Full;
use crate::refusals::Refusal;
use crate::worker::Worker;

/// Decides who a session is.
pub trait Door: Send + Sync {
    /// Who presents this, or why it is not let in: `unauthorized`, `token_expired`, `forbidden`, `limit_exceeded`; any other
    /// code says that it may be tried again. Called on a worker, so it must not block. The secret of an earlier session
    /// that is not the door's own is treated as none.
    fn admit(&self, presented: Presented) -> Admission;
}

/// An answer of the door, now or later.
pub enum Admission {
    /// At once.
    Now(Result<Box<Admitted>, Fault>),
    /// When this is done, on the worker beside its connections. The session's commands wait meanwhile. One that panics is
    /// answered with `internal`.
    Later(Pin<Box<dyn Future<Output = Result<Box<Admitted>, Fault>> + Send>>),
}

/// A question to the door that is under way. It is answered when it is over, however it ends.
struct Asking {
    worker: Handle,
    session: SessionId,
    answer: Option<Result<Box<Admitted>, Fault>>,
}

impl Asking {
    fn finish(mut self, answer: Result<Box<Admitted>, Fault>) {
        self.answer = Some(answer);
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let failed =
            || Err(Fault::new(ErrorCode::Internal, "the server failed while it looked at the token"));
        let answer = self.answer.take().unwrap_or_else(failed);
        // A worker that has ended tells nobody any more.
        let _ = self.worker.send(Mail::Door { session: self.session, answer });
    }
}

impl Worker {
    pub(crate) fn ask_door(&mut self, now: Moment, session: SessionId, presented: Presented) {
        match self.door.admit(presented) {
            Admission::Now(answer) => self.hear_door(now, session, answer),
            Admission::Later(answer) => {
                let asking = Asking { worker: self.handle.clone(), session, answer: None };
                tokio::task::spawn_local(async move {
                    let answer = answer.await;
                    asking.finish(answer);
                });
            }
        }
    }

    pub(crate) fn hear_door(
        &mut self,
        now: Moment,
        session: SessionId,
        answer: Result<Box<Admitted>, Fault>,
    ) {
        let is_plain = self.socket(session).is_some_and(|found| matches!(found.protocol, Protocol::Plain(_)));
        let input = match answer {
            // What comes of other channels could not be told from what comes of its own.
            Ok(mut admitted) if is_plain => {
                admitted.channels.clear();
                self.seat(session, admitted)
            }
            Ok(admitted) => self.seat(session, admitted),
            Err(fault) => Input::Refused { session, fault },
        };
        self.hub.handle(now, input, &mut self.outputs);
    }

    /// A place among the connections of its user.
    fn seat(&mut self, session: SessionId, admitted: Box<Admitted>) -> Input {
        let users = Arc::clone(&self.users);
        let Some(connection) = self.socket(session) else { return Input::Admitted { session, admitted } };
        // One that renews its token has it already.
        if connection.places.as_ref().is_none_or(|held| held.of_user.is_none()) {
            let user = &admitted.identity.user;
            match users.enter(user.clone()) {
                Ok(Some(place)) => connection.places.get_or_insert_default().of_user = Some(place),
                Ok(None) => {}
                Err(Full) => {
                    let message = format!(
                        "{} has as many connections as `limits.connections_per_user` allows; close another one",
                        user.as_str()
                    );
                    self.refusals.note(Refusal::User);
                    let fault = Fault::new(ErrorCode::LimitExceeded, message);
                    return Input::Refused { session, fault };
                }
            }
        }
        Input::Admitted { session, admitted }
    }
}
