//! The hub under test: whole hubs, the queues between them and a store, all in one thread and virtual time.
//!
//! `trunkline-sim` holds them together and writes what a client hears as one line; its own test runs all of it at
//! random beside a ground truth. The files here are scenes, one topic each.

mod closing;
mod connecting;
mod entries;
mod faults;
mod floors;
mod floors_at_random;
mod joining;
mod limits;
mod memory;
mod pages;
mod passes;
mod permissions;
mod presence;
mod presence_at_random;
mod publishing;
mod rates;
mod references;
mod resuming;
mod rewinding;
mod rpc;
mod signals;
