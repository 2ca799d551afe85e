//! How long a client waits before it connects again: full jitter under an exponential cap. Not the waiting, which is
//! `reconnect.rs`, its only user.

use std::time::Duration;

/// The waits of a client that reconnects.
///
/// Before each attempt but the very first it waits for a random time between nothing and a cap: the cap is
/// [`first`](Self::first), and grows by [`factor`](Self::factor) with each failure in a row, up to [`max`](Self::max).
/// That all of it is random ("full jitter") keeps the clients of a server that has just restarted from coming back in step;
/// of all such rules it has them back with the fewest attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The cap after a connection that was stable, and after the first failure. Default 250 ms: a blink for a person, long
    /// enough for a server to hear a thousand clients one after the other.
    pub first: Duration,
    /// The highest cap. Default 30 s: so long, at most, is a server back before a client notices.
    pub max: Duration,
    /// What the cap grows by with each failure in a row. Default 2, which takes seven failures to the highest.
    pub factor: u32,
    /// How long a connection must have lived to count as a success. Default 10 s. One that ends sooner counts as a failure,
    /// so that a server that accepts everybody and drops them is not stormed.
    pub stable_after: Duration,
    /// Failures in a row after which the last error is returned. Default `None`: it never gives up for their number.
    pub failures_max: Option<u32>,
    /// The longest `Retry-After` of a server that is obeyed. Default 5 min. More is cut to it.
    pub retry_after_max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(250),
            max: Duration::from_secs(30),
            factor: 2,
            stable_after: Duration::from_secs(10),
            failures_max: None,
            retry_after_max: Duration::from_secs(5 * 60),
        }
    }
}

impl Backoff {
    /// The wait after so many failures in a row; `chance` is the share of the cap, in parts of 2^64. What the server asked
    /// for comes on top, because it asks all its clients for the same.
    pub(crate) fn delay(&self, failures: u32, chance: u64, retry_after: Option<Duration>) -> Duration {
        let retry_after = retry_after.unwrap_or_default().min(self.retry_after_max);
        share(self.cap(failures), chance).saturating_add(retry_after)
    }

    fn cap(&self, failures: u32) -> Duration {
        let growth = self.factor.saturating_pow(failures.saturating_sub(1));
        self.first.saturating_mul(growth).min(self.max)
    }
}

fn share(cap: Duration, chance: u64) -> Duration {
    // No cap over 500 years, so that the product fits.
    let nanos = u64::try_from(cap.as_nanos()).unwrap_or(u64::MAX);
    let share = (u128::from(nanos) * u128::from(chance)) >> 64;
    Duration::from_nanos(u64::try_from(share).expect("it is less than what it is a share of"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u64 = u64::MAX;
    const HALF: u64 = 1 << 63;

    #[test]
    fn the_cap_grows_and_ends() {
        let backoff = Backoff::default();
        let caps: Vec<u128> = (0..10).map(|failures| backoff.cap(failures).as_millis()).collect();
        assert_eq!(caps, [250, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert_eq!(backoff.cap(u32::MAX), backoff.max);
        assert_eq!(Backoff { factor: 0, ..Backoff::default() }.cap(9), Duration::ZERO);
        let longest = Backoff { first: Duration::MAX, max: Duration::MAX, ..Backoff::default() };
        assert_eq!(longest.cap(u32::MAX), Duration::MAX);
    }

    #[test]
    fn the_wait_is_a_share_of_the_cap() {
        let backoff = Backoff::default();
        let after = |millis| Some(Duration::from_millis(millis));
        for (failures, chance, retry_after, expect) in [
            (1, 0, None, 0),
            (1, HALF, None, 125),
            (1, ALL, None, 249),
            (4, HALF / 2, None, 500),
            (99, HALF, None, 15_000),
            (1, 0, after(7_000), 7_000),
            (1, HALF, after(7_000), 7_125),
            (1, HALF, after(u64::MAX), 300_125),
        ] {
            let delay = backoff.delay(failures, chance, retry_after).as_millis();
            assert_eq!(delay, expect, "{failures} {chance} {retry_after:?}");
        }
        let longest = Backoff {
            first: Duration::MAX,
            max: Duration::MAX,
            retry_after_max: Duration::MAX,
            ..Backoff::default()
        };
        assert_eq!(longest.delay(1, ALL, Some(Duration::MAX)), Duration::MAX);
    }
}
