//! The running hub: one worker per core, each a thread with its own runtime, its own connections and its
//! own share of the channels. Moves bytes, time and completions; decides nothing that is the hub's to decide.
//!
//! ```text
//!    accept ──round robin──▶ worker 0        worker 1        …        (a thread each)
//!                            ┌───────────┐ Peer queues ┌───────────┐
//!    HTTP requests ─────────▶│ hyper, on │◀───────────▶│           │
//!    upgraded sockets ──────▶│ slab of   │             │           │   one turn:
//!                            │ connections            │           │   inbox → peers → ready sockets
//!                            │ Hub       │             │           │   → timers → store → flush the dirty
//!                            └─────┬─────┘             └─────┬─────┘
//!                                  └────submit / answers─────┴──▶ Store
//! ```
//!
//! A connection never leaves its worker, so nothing it touches needs a lock. There is no task, waker or
//! buffer per WebSocket connection: all of them sit in one slab, are polled by one `mio::Poll` that is
//! nested in the worker's runtime, and share one read buffer, and what compresses and inflates. What a turn produced for a connection leaves
//! it in one vectored write.
//!
//! Invariants: a worker never blocks; between workers nothing is lost (`hub` counts the room); every queue
//! has a cap in [`Limits`](trunkline_model::Limits).

mod cipher;
mod clock;
mod connection;
mod deadlines;
mod door;
mod frame;
mod inbox;
mod lifetime;
mod meters;
mod node;
mod outbox;
mod perform;
mod places;
mod queues;
mod refusals;
mod rpc;
mod socket;
mod transport;
mod turn;
mod worker;

pub use cipher::Cipher;
pub use connection::Protocol;
pub use door::{Admission, Door};
pub use inbox::{Handle, Inboxes, Stopped, Upgrade};
pub use meters::{BUCKETS, Counts, Durations, Meters};
pub use node::{HttpServer, Listener, Node, NodeConfig};
pub use places::{Full, Place, Places};
pub use refusals::{Refusal, Refusals};
pub use rpc::Rpc;
pub use socket::Socket;
