//! The fuzzer of `crates/dialect/tests/fuzz/json.rs`, which says what is fed and what is checked.
#![no_main]

#[path = "../../crates/dialect/tests/fuzz/json.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::check(data));
