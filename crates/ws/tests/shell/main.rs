//! The tokio shell: sockets over streams in memory with a paused clock where deadlines matter, then servers and
//! clients over loopback, then the example programs. The protocol itself is tested in `trunkline-ws-proto`.

mod raw;

mod cancel;
mod close;
mod compression;
mod flow;
#[cfg(feature = "json")]
mod json;
mod memory;
mod streams;

mod client;
mod readme;
mod reconnect;
mod senders;
mod server;
mod streamed;

#[cfg(feature = "tls")]
mod certificates;
#[cfg(feature = "tls")]
mod tls;

mod examples;
