//! The rules of the client, without a socket: the merge and the whole conversation against a server in memory.

mod rng;

mod conversation;
mod merge;
