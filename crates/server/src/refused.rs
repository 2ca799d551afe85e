//! What clients that are there were refused, for the log: which errors they were told, and which of them were closed, once
//! per burst. Who does not even get in is counted by `trunkline_node::Refusals`.

use std::fmt::Display;
use std::time::{Duration, Instant};

use trunkline_model::close;
use trunkline_node::{Counts, Meters};

/// How long after a line the next one may come.
const QUIET: Duration = Duration::from_secs(10);
/// Errors that say how things are, or what has become of the server, and refuse nobody anything.
const NO_REFUSALS: [&str; 8] =
    ["not_found", "conflict", "rewound", "not_available", "timeout", "internal", "draining", "key_expired"];
/// The same for close codes.
const NO_FAULTS: [u16; 5] = [
    close::NORMAL.code,
    close::SERVICE_RESTART.code,
    close::REPLACED.code,
    close::DRAINING.code,
    close::INTERNAL.code,
];

/// What the log knows of.
#[derive(Debug)]
pub(crate) struct Refused {
    meters: Meters,
    told: Counts,
    quiet_until: Option<Instant>,
}

impl Refused {
    pub(crate) fn of(meters: Meters) -> Self {
        Self { meters, told: Counts::default(), quiet_until: None }
    }

    /// Tells the log what is new, if it is time.
    pub(crate) fn look(&mut self, now: Instant) {
        if self.quiet_until.is_some_and(|until| now < until) {
            return;
        }
        if let Some((errors, closes)) = self.note(self.meters.read(), now) {
            tracing::warn!(errors, closes, "clients were refused what they asked for");
        }
    }

    /// What is new, in words.
    fn note(&mut self, counts: Counts, now: Instant) -> Option<(String, String)> {
        let errors = news(&self.told.errors, &counts.errors, |code| !NO_REFUSALS.contains(code));
        let closes = news(&self.told.closes, &counts.closes, |code| !NO_FAULTS.contains(code));
        self.told = counts;
        if errors.is_empty() && closes.is_empty() {
            return None;
        }
        self.quiet_until = Some(now + QUIET);
        Some((errors, closes))
    }
}

/// By how much each has grown that is wanted: `forbidden 2, rate_limited 250`. Both are in the same order.
fn news<T: Display>(before: &[(T, u64)], now: &[(T, u64)], wanted: impl Fn(&T) -> bool) -> String {
    let grown = now.iter().enumerate().filter_map(|(index, (code, count))| {
        let more = count.saturating_sub(before.get(index).map_or(0, |(_, before)| *before));
        (more > 0 && wanted(code)).then(|| format!("{code} {more}"))
    });
    grown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_model::ErrorCode;

    #[test]
    fn what_is_new_is_told_once() {
        let (mut refused, now) = (Refused::of(trunkline_node::Inboxes::new(1).meters()), Instant::now());
        let counts = |forbidden: u64, slow: u64, missing: u64| {
            let mut counts = Counts::default();
            counts.errors = vec![("forbidden", forbidden), ("not_found", missing)];
            counts.closes = vec![(1000, 9), (4508, slow)];
            counts
        };
        assert_eq!(refused.note(counts(0, 0, 0), now), None);
        assert_eq!(refused.note(counts(0, 0, 7), now), None, "that is an answer like others");
        let told = |errors: &str, closes: &str| Some((errors.to_owned(), closes.to_owned()));
        assert_eq!(refused.note(counts(2, 1, 7), now), told("forbidden 2", "4508 1"));
        assert_eq!(refused.quiet_until, Some(now + QUIET));
        assert_eq!(refused.note(counts(5, 1, 8), now), told("forbidden 3", ""));
        assert_eq!(refused.note(counts(5, 1, 9), now), None);
    }

    #[test]
    fn what_is_left_out_exists() {
        for name in NO_REFUSALS {
            assert!(ErrorCode::ALL.iter().any(|code| code.as_str() == name), "{name}");
        }
    }
}
