//! The rules of a client, pure: no socket, no clock, no chance of its own. Time and random numbers are arguments, what is
//! to be done comes out as [`Output`]s. Driven by the driver of this crate, and by simulations.
//!
//! ```text
//!   opened · text · lost · time ──▶ Session ──▶ Dial · Send · Hangup · Event
//!                                     │
//!                    Backoff ─────────┼───────── Outgoing: publishes until they are answered
//!                                     └───────── Following, one per channel ── Timeline
//! ```

mod backoff;
mod event;
mod following;
mod limits;
mod message;
mod outgoing;
mod session;
mod timeline;

pub use event::{
    Closed, Ended, Event, Notice, Output, PublishError, PublishId, Receipt, RequestError, RequestId,
};
pub use limits::Limits;
pub use message::Message;
pub use session::Session;
pub use timeline::Timeline;
pub use trunkline_dialect::json::client::{Page, Refusal};
