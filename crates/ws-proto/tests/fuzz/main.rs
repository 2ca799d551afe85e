//! What the fuzzers check, run here over their committed inputs: each target of `fuzz/` is one `check` function of a file
//! here. Not the fuzzers themselves, which `cargo fuzz` builds from `fuzz/`; they include the same files.

mod close;
mod deflate;
mod frames;
mod inflate;
mod lists;
mod request;
mod response;
mod utf8;

mod reader;
mod script;

mod corpus;
