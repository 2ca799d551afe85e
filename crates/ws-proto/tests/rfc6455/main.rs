//! RFC 6455, section by section: each file is named after the section whose rules it checks. Not the fuzzing of
//! arbitrary bytes and not the memory budgets, which are `arbitrary.rs` and `memory.rs` here.

mod cuts;
mod wire;

mod s4_1_client;
mod s4_2_server;
mod s5_1_masking;
mod s5_2_lengths;
mod s5_4_fragmentation;
mod s5_5_control;
mod s5_5_1_close;
mod s7_1_7_fail;
mod s8_1_utf8;

mod arbitrary;
mod memory;
mod streaming;
