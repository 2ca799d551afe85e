//! The rules of the client, without a socket: the merge, the whole conversation against a server in memory, and each rule
//! by itself.

mod rig;
mod rng;

mod conversation;
mod gaps;
mod lines;
mod merge;
mod publishes;
