//! The fuzzer of `crates/dialect/tests/fuzz/json_client.rs`, which says what is fed and what is checked.
#![no_main]

#[path = "../../crates/dialect/tests/fuzz/json_client.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::check(data));
