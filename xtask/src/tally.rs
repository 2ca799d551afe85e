//! How many tests passed and failed, read from what test programs print.

use std::ops::AddAssign;

use serde_json::Value;

/// Counts of one suite, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tests that did what they should.
    pub passed: u64,
    /// Tests that did not, and suites that could not run.
    pub failed: u64,
    /// Tests that were left out.
    pub skipped: u64,
}

impl Tally {
    /// One check that passed or failed.
    pub fn one(passed: bool) -> Self {
        Self { passed: u64::from(passed), failed: u64::from(!passed), skipped: 0 }
    }

    /// A program that ended badly has at least one failure, whatever it counted.
    #[must_use]
    pub fn with_exit(mut self, success: bool) -> Self {
        if !success && self.failed == 0 {
            self.failed = 1;
        }
        self
    }

    /// Sums the `test result:` lines of `cargo test`.
    pub fn from_cargo_test(output: &str) -> Self {
        let mut tally = Self::default();
        for line in output.lines() {
            let Some((_, counts)) = line.split_once("test result: ") else { continue };
            tally.passed += number_before(counts, " passed").unwrap_or(0);
            tally.failed += number_before(counts, " failed").unwrap_or(0);
            tally.skipped += number_before(counts, " ignored").unwrap_or(0);
        }
        tally
    }

    /// Reads vitest's JSON report.
    pub fn from_vitest(report: &str) -> Option<Self> {
        let report: Value = serde_json::from_str(report).ok()?;
        let number = |name: &str| report.get(name).and_then(Value::as_u64);
        Some(Self {
            passed: number("numPassedTests")?,
            failed: number("numFailedTests")?,
            skipped: number("numPendingTests").unwrap_or(0) + number("numTodoTests").unwrap_or(0),
        })
    }

    /// Reads a last line `N passed, N failed[, N skipped]`.
    pub fn from_last_line(output: &str) -> Option<Self> {
        let line = output.lines().rfind(|line| !line.trim().is_empty())?;
        Some(Self {
            passed: number_before(line, " passed")?,
            failed: number_before(line, " failed")?,
            skipped: number_before(line, " skipped").unwrap_or(0),
        })
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// The number that stands right before `word`.
fn number_before(text: &str, word: &str) -> Option<u64> {
    let before = &text[..text.find(word)?];
    let digits = before.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
    before[digits..].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: u64, failed: u64, skipped: u64) -> Tally {
        Tally { passed, failed, skipped }
    }

    #[test]
    fn cargo_test_lines_are_summed() {
        let cases = [
            ("", tally(0, 0, 0)),
            ("error: could not compile `x`", tally(0, 0, 0)),
            (
                "running 5 tests\ntest a ... ok\n\ntest result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; \
                 0 filtered out; finished in 0.00s\n   Doc-tests x\n\
                 test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.20s",
                tally(17, 3, 1),
            ),
            ("  test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured", tally(0, 0, 0)),
        ];
        for (output, expected) in cases {
            assert_eq!(Tally::from_cargo_test(output), expected, "{output}");
        }
    }

    #[test]
    fn last_lines_are_read() {
        let cases = [
            ("31 passed, 2 failed", Some(tally(31, 2, 0))),
            ("noise\n31 passed, 0 failed, 4 skipped\n\n", Some(tally(31, 0, 4))),
            ("31 passed, 0 failed\nTypeError: x is not a function", None),
            ("", None),
            ("all passed, none failed", None),
        ];
        for (output, expected) in cases {
            assert_eq!(Tally::from_last_line(output), expected, "{output}");
        }
    }

    #[test]
    fn vitest_reports_are_read() {
        let report = r#"{"numTotalTests":7,"numPassedTests":4,"numFailedTests":1,"numPendingTests":1,
                         "numTodoTests":1,"success":false}"#;
        assert_eq!(Tally::from_vitest(report), Some(tally(4, 1, 2)));
        assert_eq!(Tally::from_vitest("{}"), None);
        assert_eq!(Tally::from_vitest("RUN v5"), None);
    }

    #[test]
    fn a_bad_exit_is_at_least_one_failure() {
        assert_eq!(tally(4, 0, 0).with_exit(false), tally(4, 1, 0));
        assert_eq!(tally(4, 2, 0).with_exit(false), tally(4, 2, 0));
        assert_eq!(tally(4, 0, 0).with_exit(true), tally(4, 0, 0));
    }
}
