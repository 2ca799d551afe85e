//! What the fuzzers check, run here over their committed inputs: each target of `fuzz/` is one `check` function of a file
//! here. Not the fuzzers themselves, which `cargo fuzz` builds from `fuzz/`; they include the same files.

mod close;
mod frames;
mod lists;
mod request;
mod response;
mod utf8;

mod corpus;
