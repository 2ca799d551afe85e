//! The ports of Trunkline: what the hub asks of the world, stated as data and traits.
//!
//! Ports are not async. A caller submits requests in batches; answers come back in batches through the
//! sink that was given when the backend was made, as a rule on a thread of the backend's own. So the hub
//! stays a state machine, and an adapter may bring whatever thread or runtime it needs.
//!
//! ```text
//!   hub ──Output::Store(Request)──▶ node ──submit(Vec<Request>)──▶ Store
//!    ▲                                                              │
//!    └──────────Input::Stored(Answer)──── node ◀──Sink(Vec<Answer>)─┘
//! ```
//!
//! This crate knows no client, no wire format and no driver. [`memory`] is the store that forgets at exit;
//! [`contract`] is the suite that every store must pass.

pub mod contract;
pub mod memory;
mod meter;
mod retention;
mod store;

pub use memory::{MemoryLog, MemoryStore};
pub use meter::Meter;
pub use retention::Retentions;
pub use store::{
    Answer, Append, Appended, Direction, FOLDED_LOOKS, Head, Located, REACTIONS_MAX, Read, ReadResult,
    Refusal, Request, Sink, Store, StoreError, Ticket, Window,
};
