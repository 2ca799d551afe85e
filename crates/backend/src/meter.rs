//! Counts entries against a [`Window`]. Used by every store, so that all end a page at the same entry.

use crate::Window;

/// What of a window is left. The first entry always fits, so that a page is never empty for being small.
#[derive(Debug)]
pub struct Meter {
    entries: u32,
    bytes: usize,
    untouched: bool,
}

impl Meter {
    /// All of `window` is left.
    #[must_use]
    pub fn new(window: Window) -> Self {
        Self { entries: window.entries, bytes: window.bytes, untouched: true }
    }

    /// Whether one more entry of this cost ([`trunkline_model::Publication::cost`]) fits. If it does it is
    /// counted; if not, the page ends before it.
    pub fn admit(&mut self, cost: usize) -> bool {
        let fits = self.untouched || (self.entries > 0 && cost <= self.bytes);
        if fits {
            self.untouched = false;
            self.entries = self.entries.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(cost);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(entries: u32, bytes: usize, costs: &[usize], expect: usize) {
        let mut meter = Meter::new(Window { entries, bytes });
        let admitted = costs.iter().take_while(|cost| meter.admit(**cost)).count();
        assert_eq!(admitted, expect, "{entries} entries, {bytes} bytes of {costs:?}");
    }

    #[test]
    fn a_page_ends_at_whichever_cap_comes_first_and_holds_at_least_one() {
        check(3, 1_000, &[10, 10, 10, 10], 3);
        check(9, 30, &[10, 10, 10, 10], 3);
        check(9, 29, &[10, 10, 10, 10], 2);
        check(9, 5, &[10, 1], 1);
        check(0, 0, &[10, 0], 1);
        check(9, 10, &[10, 0, 1], 2);
        check(9, 10, &[], 0);
    }
}
