//! Counts durations in buckets that are at most 6 % wide, in fixed memory.

use std::time::Duration;

/// Durations are counted in steps of 64 ns.
const UNIT_BITS: u32 = 6;
/// Each doubling has 16 buckets.
const STEP_BITS: u32 = 4;
const BUCKETS: usize = 512;

/// How often which duration was seen.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Box<[u32; BUCKETS]>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), total: 0 }
    }
}

impl Histogram {
    /// Counts `duration`, `times` times.
    pub fn add(&mut self, duration: Duration, times: u32) {
        self.counts[bucket(duration)] += times;
        self.total += u64::from(times);
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts.iter()).for_each(|(own, other)| *own += other);
        self.total += other.total;
    }

    /// How many durations were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The duration that this share of all stays below; zero if there are none.
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = (self.total as f64 * share).ceil() as u64;
        let mut seen = 0;
        let place = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank.max(1)
        });
        place.map_or(Duration::ZERO, end)
    }
}

fn bucket(duration: Duration) -> usize {
    let units = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX) >> UNIT_BITS;
    let shift = (u64::BITS - units.leading_zeros()).saturating_sub(STEP_BITS + 1);
    let place = (u64::from(shift) << STEP_BITS) + (units >> shift);
    usize::try_from(place).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// Where a bucket ends.
fn end(place: usize) -> Duration {
    let place = place as u64;
    let shift = (place >> STEP_BITS).saturating_sub(1);
    let units = place - (shift << STEP_BITS) + 1;
    Duration::from_nanos((units << shift) << UNIT_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_just_below_the_end_of_its_bucket() {
        for exponent in 0..35 {
            for nanos in [1u64 << exponent, (1 << exponent) + (1 << exponent) / 3, (2 << exponent) - 1] {
                let end = end(bucket(Duration::from_nanos(nanos))).as_nanos() as u64;
                assert!(end > nanos && end <= nanos + nanos / 16 + 64, "{nanos} is said to be {end}");
            }
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_found() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), Duration::ZERO);
        for millis in 1..=100 {
            histogram.add(Duration::from_millis(millis), 2);
        }
        assert_eq!(histogram.total(), 200);
        for (share, millis) in [(0.5, 50), (0.99, 99), (1.0, 100)] {
            let said = histogram.quantile(share).as_secs_f64() * 1e3;
            assert!((f64::from(millis)..f64::from(millis) * 1.07).contains(&said), "{share}: {said}");
        }
    }
}
