//! Measures servers from outside: what an echo costs and what an idle connection keeps, against floors and peers.
//!
//! It knows servers as programs that print `ready ADDRESS`, and uses nothing of ours but as such a program. The
//! figures that count are the server's own CPU time and memory, as the kernel accounts for them, given as ratios to
//! a floor that was measured right beside it; rates and latencies stand beside them.
//!
//! ```text
//!   bench echo ── echo ──┐            ┌─ Load ── Exchange        one thread, one epoll, pinned to the second core
//!   bench idle ── idle ──┼─ Roster ───┤
//!                        │            └─ Server ── /proc, strace  a child, pinned to the first core
//!                        └─ table, results/*.json
//! ```
//!
//! A chore to come (fan-out, publish, storm) is a module beside `echo` and `idle`, with floors of its own among the
//! programs in `src/bin`.

pub mod options;
pub mod roster;
pub mod server;
pub mod handshake;
pub mod exchange;
pub mod histogram;
pub mod load;
pub mod samples;
pub mod machine;
pub mod table;
pub mod echo;
pub mod idle;
