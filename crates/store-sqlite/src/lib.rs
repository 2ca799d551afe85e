//! Trunkline's log store on SQLite: one file in the data directory, one writer, readers beside it.
//!
//! It implements [`trunkline_backend::Store`] and knows nothing of clients, channels' settings or sessions.
//! What is answered as appended has been synced to disk.
//!
//! ```text
//!   submit ──appends──▶ Queue ──▶ writer thread: all that waits → one transaction → COMMIT (synced) ──▶ sink
//!          └──reads───▶ Queue ──▶ reader threads: own connections, snapshots of the write-ahead log ──▶ sink
//! ```
//!
//! - `store`: [`SqliteStore`], opening and closing; `options`: [`Options`], every cap by name.
//! - `copy`: backups of a store that is in use ([`SqliteStore::backup`]), and [`restore`].
//! - `epoch` is the name of the store's present life.
//! - `writer` takes batches from its `queue` and puts each through a `transaction`; `heads` spares it the
//!   lookups; `keys` answers for what was stored before, `references` keeps what edits and reactions make of a message; `trimmer` makes room between the transactions. `reader` answers `Head`, `Read` and `Locate`, the
//!   entries of a range as a `page`. `row` says
//!   how an entry lies in the table.
//! - `schema` makes, migrates and checks the file; `lock` keeps a second process out; `error` says what was
//!   wrong at opening, and what to do.
//!
//! Both queues are unbounded: the caller bounds what it has in flight (see [`trunkline_backend::Store`]).

mod copy;
mod counters;
mod epoch;
mod error;
mod heads;
mod keys;
mod lock;
mod options;
mod page;
mod queue;
mod reader;
mod references;
mod row;
mod schema;
mod store;
mod transaction;
mod trimmer;
mod writer;

pub use copy::{backup, restore};
pub use counters::Counters;
pub use error::{CopyError, OpenError};
pub use options::{Clock, Options};
pub use store::SqliteStore;
