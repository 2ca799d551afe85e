//! What hostile clients and servers try, by the numbers of the list that the threat tests go by: `t05` is T5. Bytes,
//! allocations and steps are counted, never time. The rules of the RFC are in `tests/rfc6455`, what needs a socket or
//! a clock in `crates/ws/tests/hostile`.
//!
//! Which number is where, and what each test said when its protection was taken away, is in `conformance/hostile.md`.

#[path = "../rfc6455/wire.rs"]
#[expect(dead_code, reason = "the sections of the RFC use more of it")]
mod wire;

#[path = "../fuzz/lists.rs"]
mod lists;
#[path = "../fuzz/request.rs"]
mod request;

mod frames;
mod handshake;
