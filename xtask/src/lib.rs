//! The chores of this repository, so that nobody needs make, a shell dialect or a page of instructions.
//!
//! It is not part of the product: no crate imports it and it imports none of them. It looks at the workspace
//! from outside, through `cargo metadata`, the files and the programs that it starts.
//!
//! ```text
//!   serve ────────┐                  ┌─ suites/{fmt, tidy, clippy, doc, rust, bench, ui, browser, …}
//!                 ├─ Workshop ───────┤
//!   test ── Suite ┘   │ Workspace    └─ tidy/{imports, calls, heads, …}   one rule each
//!   conformance ──┘   │ Runner ── Reaper   (child processes; none outlives us)
//!   bench, sim ───┘   │
//!   tidy, lock        └ npm, services      (what must be there first)
//! ```

pub mod bench;
pub mod conformance;
pub mod help;
pub mod log;
pub mod npm;
pub mod npm_lock;
pub mod plants;
pub mod process;
pub mod reaper;
pub mod serve;
pub mod server;
pub mod services;
pub mod sim;
pub mod suite;
pub mod suites;
pub mod tally;
pub mod test;
pub mod tidy;
pub mod ui;
pub mod workshop;
pub mod workspace;
