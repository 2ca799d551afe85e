//! A whole node in one thread and virtual time: the real hubs of `trunkline-hub`, the queues between them, a store
//! and a clock, moved by whoever holds them, one movement at a time.
//!
//! It has no rules of its own and is no model of the hub: what it plays is the world around the hub (queues, disk,
//! sockets, time). It has no clock, no thread and no IO; the same seed gives the same run on every machine. The hub's
//! own tests write scenes with [`Node`] and [`words`]; [`run`] lets random clients loose on a node and checks every
//! promise beside a ground truth.
//!
//! ```text
//!   clients ──Command──▶ ┌ hub 0 ┐ ──Peer──▶ queue ──▶ ┌ hub 1 ┐ ◀──Command── clients
//!      ▲                 └───────┘                     └───────┘                 ▲
//!      └── Reply, Deliver ───┘ └──Request──▶ store ◀──Request──┘ └───────────────┘
//! ```

mod acts;
mod calls;
mod checks;
mod client;
mod ending;
mod entries;
mod folding;
mod hearing;
mod node;
mod rng;
mod run;
mod seat;
mod setting;
mod shrink;
mod spelling;
mod store;
mod tally;
mod truth;
mod violation;
pub mod words;
mod world;

pub use node::{Heard, Node, START, Who, identity};
pub use rng::Rng;
pub use run::{Ran, run};
pub use shrink::shrink;
pub use store::{Fate, Log, TestStore};
pub use tally::Tally;
pub use violation::{Checked, Checker, Violation};
