//! What hostile clients and servers try, by the numbers of the list that the threat tests go by: `t05` is T5. Bytes,
//! allocations and steps are counted, never time. The rules of the RFC are in `tests/rfc6455`, what needs a socket or
//! a clock in `crates/ws/tests/hostile`.
//!
//! Here: T1, T2 (where compression was not asked for), T3, T4, T5, T6, T8, T10, T12, T15, T16, T17, T19, T21, T22, T23, T24,
//! T25, T28. In `crates/ws`: T1, T6, T7, T14, T15, T20, T24, T25, T27, T29 and the hostile server.
//!
//! In `tests/rfc7692`: T9 (inflation) and T11 (window bits). Not there yet, because what it attacks is not: T18 (HPACK).
//! In `crates/ws/tests/loom`: T26, the queue that stands in the place of split halves.
//! Not in these two crates: T13, because nothing secret is compared in them (`Sec-WebSocket-Accept` is a digest of what the client sent
//! in clear).

#[path = "../rfc6455/wire.rs"]
#[expect(dead_code, reason = "the sections of the RFC use more of it")]
mod wire;

#[path = "../fuzz/lists.rs"]
mod lists;
#[path = "../fuzz/request.rs"]
mod request;

mod frames;
mod handshake;
