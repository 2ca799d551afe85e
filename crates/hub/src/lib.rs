//! All the rules of Trunkline, as pure state machines: who may do what, where a publication goes, how a
//! client that comes back continues where it was.
//!
//! The hub has no IO, no async, no clock, no randomness, no serde and no wire format. Everything enters as
//! an [`Input`] with the [`Moment`] it happened at; everything leaves as an [`Output`] that the caller
//! carries out. There is one [`Hub`] per worker, and it plays two roles:
//!
//! ```text
//!            Input                                                      Output
//!   Command ───────▶ Sessions ──Ask──▶ Shard ──▶ Channel ──Append──▶ Store(Request)
//!                    (connection side)  (owner side: the channels whose
//!   Reply   ◀─────── Sessions ◀──Tell── Shard    name hashes to this worker)  ◀── Stored(Answer)
//!   Deliver ◀───────    │
//!                       └── local subscriber lists: channel → sessions of this worker
//! ```
//!
//! `Ask` and `Tell` cross to another worker as [`Output::Peer`] where the channel's owner is not this one.
//! Everything about a channel reaches a worker through one queue in order; on that rests the promise that
//! a subscriber sees every publication once and in order (`Shard` has the details).
//!
//! The caller's loop, once per turn:
//!
//! ```text
//! hub.handle_room(worker, free_slots, &mut outputs);       // for each other worker
//! hub.handle(now, Input::Command { session, command }, &mut outputs);
//! if hub.wakes_at().is_some_and(|at| at <= now.uptime) { hub.handle(now, Input::Due, &mut outputs) }
//! for output in outputs.drain(..) { perform(output) }
//! ```

mod access;
mod answers;
mod bucket;
mod channel;
mod checks;
mod history;
mod hot;
mod hub;
mod input;
mod join;
mod latest;
mod lines;
mod local;
mod output;
mod pass;
mod peer;
mod presence;
mod ring;
mod session;
mod sessions;
mod shard;
mod timers;
mod watchers;

pub use hub::Hub;
pub use input::{Input, Moment, SessionId};
pub use output::Output;
pub use peer::{Ask, Author, Entering, LineAsk, LineQuestion, Loss, Missing, Peer, Question, Tell};
