//! The hub under test: whole hubs, the queues between them and a store, all in one thread and virtual time.
//!
//! [`node`] holds them together, [`store`] is the store, [`words`] writes what a client hears as one line.
//! The other files are one topic each; [`simulation`] runs all of it at random beside a ground truth.

mod client;
mod closing;
mod connecting;
mod faults;
mod joining;
mod limits;
mod node;
mod pages;
mod publishing;
mod resuming;
mod rng;
mod signals;
mod simulation;
mod store;
mod words;
