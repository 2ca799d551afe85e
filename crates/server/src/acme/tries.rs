//! When the authority may be asked again, and when a certificate is to be renewed. Pure: time and chance are arguments.
//!
//! Each order that does not bring a certificate for long makes the rest before the next longer, whether it failed or not, and
//! over restarts: what an authority counts is all that comes from an account, and it lets nobody in for a week who asks too
//! often. Let's Encrypt counts five names an hour that could not be proven: the sixth try of ours is in the third.

use std::time::Duration;

use crate::dto::AcmeTries;
use crate::tls::Outline;

/// How long nothing is asked after an order has failed for the first time, if the authority does not say it.
const REST: Duration = Duration::from_secs(60);
/// The longest that it grows to, three times as long with each try.
const REST_MAX: Duration = Duration::from_secs(6 * 3_600);
/// The longest that the authority is believed.
const SAID_MAX: Duration = Duration::from_secs(24 * 3_600);
/// The shortest rest between two orders, which grows likewise.
const FLOOR: Duration = Duration::from_secs(1);
/// A certificate that is left alone for so long was worth its order.
const WORTH: Duration = Duration::from_secs(3_600);

/// The orders since the last that was worth it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Tries {
    count: u32,
    /// Seconds since 1970 when the last one began or ended.
    at: u64,
    /// How long nothing is asked from then on.
    rest: Duration,
}

impl Tries {
    /// One begins. Until it has ended it counts as one that failed: so it does for a server that is killed meanwhile.
    pub(super) fn begin(&mut self, now: u64) {
        self.count = self.count.saturating_add(1);
        self.fail(now, None, 0.0);
    }

    /// It has failed; `said` is how long the authority wants to be left alone. `chance` is from 0 to 1.
    pub(super) fn fail(&mut self, now: u64, said: Option<Duration>, chance: f64) {
        self.at = now;
        let rest = match said {
            Some(said) => said.min(SAID_MAX).max(self.grown(FLOOR)),
            None => self.grown(REST),
        };
        self.rest = rest.mul_f64(1.0 + chance.clamp(0.0, 1.0) / 4.0);
    }

    /// It has brought a certificate that is to be renewed at `due`.
    pub(super) fn succeed(&mut self, now: u64, due: u64) {
        if due.saturating_sub(now) >= WORTH.as_secs() {
            *self = Self::default();
        } else {
            (self.at, self.rest) = (now, self.grown(FLOOR));
        }
    }

    /// How long nothing may be asked yet. A clock that was set back makes it no longer than it was.
    pub(super) fn rest(&self, now: u64) -> Duration {
        self.rest.saturating_sub(Duration::from_secs(now.saturating_sub(self.at)))
    }

    fn grown(&self, first: Duration) -> Duration {
        first.saturating_mul(3_u32.saturating_pow(self.count.saturating_sub(1))).min(REST_MAX)
    }

    /// As they are kept, for these names and this authority.
    pub(super) fn to_kept(self, directory: String, domains: Vec<String>) -> AcmeTries {
        AcmeTries { directory, domains, count: self.count, at: self.at, rest: self.rest.as_secs().max(1) }
    }

    /// As they were kept.
    pub(super) fn of_kept(kept: &AcmeTries) -> Self {
        let rest = Duration::from_secs(kept.rest).min(SAID_MAX.mul_f64(1.25));
        Self { count: kept.count, at: kept.at, rest }
    }
}

/// When a certificate is to be renewed, in seconds since 1970: when a third of its time is left, and a little earlier, so that
/// not all who were given one at the same moment come back at the same.
pub(super) fn due(outline: &Outline, chance: f64) -> u64 {
    let before = outline.life().div_f64(3.0) + outline.life().div_f64(50.0).mul_f64(chance.clamp(0.0, 1.0));
    outline.end.saturating_sub(before.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;
    const DAY: u64 = 86_400;

    fn after(count: usize, said: Option<Duration>, chance: f64) -> u64 {
        let mut tries = Tries::default();
        for _ in 0..count {
            tries.begin(NOW);
            tries.fail(NOW, said, chance);
        }
        tries.rest(NOW).as_secs()
    }

    #[test]
    fn rests_grow_from_a_minute_to_hours() {
        let rests: Vec<_> = (0..=8).map(|count| after(count, None, 0.0)).collect();
        assert_eq!(rests, [0, 60, 180, 540, 1_620, 4_860, 14_580, 21_600, 21_600]);
        let first_hour = rests.iter().scan(0, |at, rest| {
            *at += rest;
            (*at < 3_600).then_some(*at)
        });
        assert_eq!(first_hour.count(), 5, "the most that Let's Encrypt allows");
        assert_eq!((after(1, None, 1.0), after(5_000, None, 1.0)), (75, 27_000));
    }

    #[test]
    fn the_authority_says_how_long_within_reason() {
        let said = |count, secs| after(count, Some(Duration::from_secs(secs)), 0.0);
        assert_eq!((said(1, 3_600), said(1, 7), said(1, 86_400 * 365)), (3_600, 7, 86_400));
        // Who says "at once" again and again is not asked in a tight loop.
        assert_eq!([1, 2, 3, 4, 9, 30].map(|count| said(count, 0)), [1, 3, 9, 27, 6_561, 21_600]);
    }

    #[test]
    fn one_that_was_killed_counts_as_failed() {
        let mut tries = Tries::default();
        for rest in [60, 180, 540] {
            tries.begin(NOW);
            tries = Tries::of_kept(&tries.to_kept(String::new(), Vec::new()));
            assert_eq!(tries.rest(NOW).as_secs(), rest);
            assert_eq!(tries.rest(NOW + rest - 1).as_secs(), 1);
            assert_eq!(tries.rest(NOW + rest), Duration::ZERO);
        }
        // The clock was set back, or the file says nonsense.
        assert_eq!(tries.rest(0).as_secs(), 540);
        let wild = AcmeTries {
            directory: String::new(),
            domains: Vec::new(),
            count: u32::MAX,
            at: u64::MAX,
            rest: u64::MAX,
        };
        let mut wild = Tries::of_kept(&wild);
        assert_eq!(wild.rest(NOW).as_secs(), 108_000);
        wild.begin(NOW);
        assert_eq!(wild.rest(NOW).as_secs(), 21_600);
    }

    #[test]
    fn a_certificate_for_long_forgets_what_was_before_and_others_do_not() {
        let mut tries = Tries::default();
        tries.begin(NOW);
        tries.fail(NOW, None, 0.0);
        tries.begin(NOW);
        tries.succeed(NOW, NOW + 60 * DAY);
        assert_eq!(tries, Tries::default());
        // Each is over as soon as it is given: they are ordered more and more slowly.
        let rests = [0; 6].map(|_| {
            tries.begin(NOW);
            tries.succeed(NOW, NOW + 10);
            tries.rest(NOW).as_secs()
        });
        assert_eq!(rests, [1, 3, 9, 27, 81, 243]);
    }

    #[test]
    fn a_certificate_is_renewed_when_a_third_is_left() {
        let outline = Outline { begin: NOW, end: NOW + 90 * DAY };
        assert_eq!(due(&outline, 0.0), NOW + 60 * DAY);
        assert_eq!(due(&outline, 1.0), NOW + 60 * DAY - 90 * DAY / 50);
        assert_eq!(due(&Outline { begin: NOW, end: NOW }, 1.0), NOW);
        assert_eq!(due(&Outline { begin: NOW, end: 0 }, 1.0), 0);
    }
}
