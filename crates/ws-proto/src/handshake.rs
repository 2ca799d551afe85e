//! The opening handshake (RFC 6455 §4), both roles, as functions of bytes. Not an HTTP server or client: it
//! reads one head, and what follows the head belongs to the [`Connection`](crate::Connection).
//!
//! A server calls [`Request::parse`] (or [`Request::new`], when an HTTP library already read the head), then
//! [`accept`], and writes [`Accepted::response`] or [`Rejection::response`](crate::Rejection::response).
//! A client builds a [`ClientHandshake`], writes its request and gives it what comes back.

mod accept;
mod client;
mod deflate;
mod extension;
mod head;
mod headers;
mod key;
mod origin;
mod rejection;
mod request;
mod url;

pub use accept::{AcceptOptions, Accepted, accept};
pub use client::{ClientHandshake, Established};
pub use deflate::{answer_deflate, confirm_deflate, offer_deflate};
pub use head::{HandshakeLimits, HeadScan};
pub use key::accept_key;
pub use origin::OriginPolicy;
pub use request::{Parsed, Request};
pub use url::Url;
