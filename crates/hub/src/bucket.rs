//! Counts what happens against a rate (the generic cell rate algorithm, as a virtual scheduling: ITU-T I.371). Held by
//! sessions, for what one connection publishes, and by channels, for what all publish.

use std::time::Duration;

use trunkline_model::Rate;

/// How much of a rate is used up. Costs one duration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Bucket {
    /// When it would be empty again.
    empty_at: Duration,
}

impl Bucket {
    /// Counts one more at `now`.
    ///
    /// # Errors
    /// It would be too many; after so long it is not.
    pub(crate) fn take(&mut self, rate: Rate, now: Duration) -> Result<(), Duration> {
        let starts_at = self.empty_at.max(now);
        let tolerated = rate.interval * rate.burst.max(1).saturating_sub(1);
        let too_early = starts_at.saturating_sub(now).saturating_sub(tolerated);
        if too_early > Duration::ZERO {
            return Err(too_early);
        }
        self.empty_at = starts_at + rate.interval;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { interval: Duration::from_millis(100), burst: 3 };

    /// Takes at these moments; what is expected is the wait, 0 for taken.
    fn check(moments: &[(u64, u64)]) {
        let mut bucket = Bucket::default();
        for (now, wait) in moments {
            let taken = bucket.take(RATE, Duration::from_millis(*now));
            let expect = if *wait == 0 { Ok(()) } else { Err(Duration::from_millis(*wait)) };
            assert_eq!(taken, expect, "at {now} of {moments:?}");
        }
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        check(&[(0, 0), (0, 0), (0, 0), (0, 100), (60, 40), (100, 0), (100, 100), (1_000, 0), (1_000, 0)]);
    }

    #[test]
    fn what_is_refused_is_not_counted() {
        check(&[(0, 0), (0, 0), (0, 0), (10, 90), (20, 80), (30, 70), (100, 0)]);
    }
}
