//! Chance with a seed, so that a failure can be run again. Not for keys. Used by all of this test.

/// SplitMix64.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// At most `size_max` bytes, short ones more often.
    pub(crate) fn bytes(&mut self, size_max: usize) -> Vec<u8> {
        let ceiling = self.below(size_max + 1);
        (0..self.below(ceiling + 1)).map(|_| self.next() as u8).collect()
    }

    /// At most `characters_max` characters of one to four bytes.
    pub(crate) fn text(&mut self, characters_max: usize) -> String {
        (0..self.below(characters_max + 1))
            .map(|_| self.pick(&['a', ' ', 'é', '€', '\u{d7ff}', '𝄞', '\u{10ffff}']))
            .collect()
    }
}
