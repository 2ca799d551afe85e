//! RFC 7692 (permessage-deflate), section by section, and then what no section names: bombs, arbitrary bytes, memory.
//! Not the framing without compression, which is `rfc6455`.

#[path = "../rfc6455/cuts.rs"]
mod cuts;
mod wire;

mod s7_1_negotiation;
mod s7_2_3_examples;
mod s7_2_framing;

mod arbitrary;
mod bombs;
mod memory;
mod streaming;
