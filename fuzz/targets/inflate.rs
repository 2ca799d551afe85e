//! The fuzzer of `crates/ws-proto/tests/fuzz/inflate.rs`, which says what is fed and what is checked.
#![no_main]

#[path = "../../crates/ws-proto/tests/fuzz/reader.rs"]
#[expect(dead_code, reason = "another target uses the rest")]
mod reader;
#[path = "../../crates/ws-proto/tests/fuzz/script.rs"]
mod script;
#[path = "../../crates/ws-proto/tests/fuzz/inflate.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::check(data));
