//! A small deterministic generator (splitmix64), so that a seed names the choices of a run.

use std::hash::{BuildHasher as _, RandomState};

/// The generator.
#[derive(Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// A seed from the environment (`TRUNKLINE_TEST_SEED`), to run again what failed, or a new one.
    pub(crate) fn seed() -> u64 {
        match std::env::var("TRUNKLINE_TEST_SEED") {
            Ok(given) => given.parse().expect("TRUNKLINE_TEST_SEED is a number"),
            Err(_) => RandomState::new().hash_one(std::process::id()) >> 16,
        }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `bound - 1`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}
