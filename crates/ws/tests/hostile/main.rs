//! What hostile peers try on sockets, clocks and memory, by the numbers of the threat list: `t07` is T7. The hostile
//! server, against our client, is `server.rs`. Bytes, allocations and writes are counted and the clock is paused; nothing
//! is timed. What needs no socket is in `crates/ws-proto/tests/hostile`; `conformance/hostile.md` has the whole list.

/// So long that only what never ends takes longer; where the clock is paused it costs nothing.
async fn ends<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(std::time::Duration::from_secs(3_600), future).await.expect("it ends")
}

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
