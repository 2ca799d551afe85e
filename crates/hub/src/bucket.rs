//! Counts what happens against a rate (the generic cell rate algorithm, as a virtual scheduling: ITU-T I.371). Held by
//! sessions, for what one connection asks and publishes, and by channels, for what all publish.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use trunkline_model::{Namespace, Publisher, Rate};

use crate::input::SessionId;

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

/// Who publishes, as far as rates go.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Taker {
    /// One connection.
    Line(SessionId),
    /// A user over HTTP, where each request is a session of its own.
    User(Publisher),
}

/// How much of the rates of namespaces each has used up, of those that publish where there is a rate.
#[derive(Debug, Default)]
pub(crate) struct Buckets(HashMap<Taker, Vec<(Arc<Namespace>, Bucket)>>);

/// So many users may be known before those are forgotten whose buckets are empty.
const USERS_MIN: usize = 1_024;

impl Buckets {
    /// Counts a publish of `taker` against the rate of its namespace.
    ///
    /// # Errors
    /// It comes too early by so much.
    pub(crate) fn take(
        &mut self,
        taker: Taker,
        namespace: &Arc<Namespace>,
        now: Duration,
    ) -> Result<(), Duration> {
        let Some(rate) = namespace.rate else { return Ok(()) };
        // Nobody says when a user has gone. Twice as many as before, so that looking through them costs next to nothing.
        if self.0.len() >= USERS_MIN && self.0.len() == self.0.capacity() {
            let is_empty = |taker: &Taker, buckets: &[(_, Bucket)]| {
                matches!(taker, Taker::User(_)) && buckets.iter().all(|(_, bucket)| bucket.empty_at <= now)
            };
            self.0.retain(|taker, buckets| !is_empty(taker, buckets));
        }
        let buckets = self.0.entry(taker).or_default();
        if let Some((_, bucket)) = buckets.iter_mut().find(|(known, _)| Arc::ptr_eq(known, namespace)) {
            return bucket.take(rate, now);
        }
        let mut bucket = Bucket::default();
        let taken = bucket.take(rate, now);
        buckets.push((Arc::clone(namespace), bucket));
        taken
    }

    /// The connection has ended.
    pub(crate) fn forget(&mut self, session: SessionId) {
        self.0.remove(&Taker::Line(session));
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

    #[test]
    fn users_are_forgotten_when_their_buckets_are_empty() {
        let namespace =
            Arc::new(Namespace { rate: Some(RATE), ..Namespace::of_kind(trunkline_model::Kind::Log) });
        let mut buckets = Buckets::default();
        for user in 0..100_000_u64 {
            let taker = Taker::User(Publisher::new(&user.to_string()));
            buckets.take(taker, &namespace, Duration::from_millis(user)).expect("it is the first");
        }
        assert!(buckets.0.len() < 4 * USERS_MIN, "{} of 100000", buckets.0.len());
    }
}
