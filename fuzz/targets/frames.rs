//! The fuzzer of `crates/ws-proto/tests/fuzz/frames.rs`, which says what is fed and what is checked.
#![no_main]

#[path = "../../crates/ws-proto/tests/fuzz/reader.rs"]
mod reader;
#[path = "../../crates/ws-proto/tests/fuzz/frames.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::check(data));
