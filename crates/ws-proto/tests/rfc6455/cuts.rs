//! Cuts of a stream as property tests choose them. Used by both RFCs' sections.

use proptest::prelude::*;

/// Where the reads end.
pub(crate) fn ends(cuts: &[prop::sample::Index], size: usize) -> Vec<usize> {
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(size + 1)).collect();
    ends.push(size);
    ends.sort_unstable();
    ends
}
