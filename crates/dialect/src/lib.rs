//! What clients say, in both directions: bytes to [`Command`](trunkline_model::Command) and
//! [`Reply`](trunkline_model::Reply) or [`Push`](trunkline_model::Push) to bytes.
//!
//! Pure functions over one message at a time. A dialect knows neither the transport that carries its
//! messages nor the other dialects, and keeps no state.
//!
//! ```text
//!   WebSocket text ──json::decode──▶ Command        Reply ──json::encode_reply──▶ WebSocket text
//!   any frame      ──plain::decode─▶ Command  Publication ──plain::content──────▶ the same frame
//! ```
//!
//! - [`json`]: `trunkline.v1`, flat JSON objects that one can type by hand; `protocol/trunkline-v1.md` is its
//!   specification. [`json::client`] is the client's side of it: writes commands, reads what a server says.
//! - [`plain`]: `/room/{name}`, where every frame is a publication and nothing else is said.

pub mod json;
mod object;
pub mod plain;
mod wire;
