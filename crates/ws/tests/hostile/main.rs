//! What hostile peers try on sockets, clocks and memory, by the numbers of the threat list: `t07` is T7. The hostile
//! server, against our client, is `server.rs`. Bytes, allocations and writes are counted and the clock is paused; nothing
//! is timed. What needs no socket is in `crates/ws-proto/tests/hostile`, whose head also says which numbers are missing.

#[path = "../shell/raw.rs"]
#[expect(dead_code, reason = "the shell's own tests use more of it")]
mod raw;
#[cfg(feature = "tls")]
#[path = "../shell/certificates.rs"]
#[expect(dead_code, reason = "the shell's own tests use more of it")]
mod certificates;

mod line;

mod cuts;
mod drops;
mod floods;
mod handshakes;
mod idle;
mod keys;
mod misuse;
mod server;
#[cfg(feature = "tls")]
mod tls;
