//! How long a client waits before it connects again: full jitter under an exponential cap. Not the waiting. Used by
//! `session`.

use std::time::Duration;

use super::limits::Limits;

/// The failures in a row, and what follows from them.
#[derive(Default, Debug)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after a line that was up for `up` (`None`: it never was) has ended. `random` is the share of the cap, in
    /// parts of 2^64. After a good session the cap is the `spread` that the server gave.
    pub(super) fn after(
        &mut self,
        limits: &Limits,
        up: Option<Duration>,
        spread: Duration,
        random: u64,
    ) -> Duration {
        if up.is_some_and(|up| up >= limits.good_after) {
            self.failures = 0;
            return share(spread.min(limits.retry_max), random);
        }
        self.failures = self.failures.saturating_add(1);
        share(cap(limits, self.failures), random)
    }
}

/// The cap of the wait after so many failures in a row.
pub(super) fn cap(limits: &Limits, failures: u32) -> Duration {
    limits.backoff_first.saturating_mul(2_u32.saturating_pow(failures)).min(limits.backoff_max)
}

/// A random part of `cap`.
pub(super) fn share(cap: Duration, random: u64) -> Duration {
    let nanos = u128::from(u64::try_from(cap.as_nanos()).unwrap_or(u64::MAX));
    let part = (nanos * u128::from(random)) >> 64;
    Duration::from_nanos(u64::try_from(part).expect("it is less than what it is a part of"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: u64 = 1 << 63;

    #[test]
    fn the_wait_is_a_random_part_of_a_growing_cap() {
        let (limits, mut backoff) = (Limits::default(), Backoff::default());
        let mut wait = |up: Option<u64>, spread: u64, random: u64| {
            let up = up.map(Duration::from_millis);
            backoff.after(&limits, up, Duration::from_millis(spread), random).as_millis()
        };
        // Half of 1, 2, 4, 8, 16 and 20 seconds.
        for expect in [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000] {
            assert_eq!(wait(None, 0, HALF), expect);
        }
        // A session that is up for less than 5 s is one more failure; a good one begins anew.
        assert_eq!(wait(Some(4_999), 300, HALF), 10_000);
        assert_eq!(wait(Some(5_000), 300, HALF), 150);
        assert_eq!(wait(Some(4_999), 300, HALF), 500);
        assert_eq!(wait(Some(5_000), 300, 0), 0);
        assert_eq!(wait(None, 0, u64::MAX), 999);
        assert_eq!(wait(Some(5_000), u64::MAX, u64::MAX), limits.retry_max.as_millis() - 1);
    }
}
