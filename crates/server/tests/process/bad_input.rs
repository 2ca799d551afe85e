//! What nobody should send. Each gets a clear answer — an error, a close code, an HTTP status, an exit code —
//! and the server goes on: a new client can still chat.

mod commands;
mod frames;
mod handshakes;
mod requests;
mod starts;
