//! Those that are sent away before anything else is known of them: counted by reason, and told to the log once per burst,
//! so that a flood of connections is no flood of lines.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Why somebody is sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The server has as many connections as it may.
    Connections,
    /// Its address has.
    Address,
    /// Its user has.
    User,
    /// The server has as little memory left as it may.
    Memory,
    /// It did not say in time what it wants, or not in the words of HTTP.
    Handshake,
    /// Many others had not said either what they want, and it had taken the longest.
    HalfOpen,
    /// Not from a proxy, where only proxies connect.
    Proxy,
    /// A page of a foreign origin.
    Origin,
    /// A name in `Host` that is not ours.
    Host,
    /// A request without a key or a token that would be taken.
    Credentials,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Connections,
        Self::Address,
        Self::User,
        Self::Memory,
        Self::Handshake,
        Self::HalfOpen,
        Self::Proxy,
        Self::Origin,
        Self::Host,
        Self::Credentials,
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Address => "address",
            Self::User => "user",
            Self::Memory => "memory",
            Self::Handshake => "handshake",
            Self::HalfOpen => "half_open",
            Self::Proxy => "proxy",
            Self::Origin => "origin",
            Self::Host => "host",
            Self::Credentials => "credentials",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Connections => "the server has as many connections as `limits.connections` allows",
            Self::Address => "an address has as many connections as `limits.connections_per_address` allows",
            Self::User => "a user has as many connections as `limits.connections_per_user` allows",
            Self::Memory => "the server has more memory than `limits.memory` allows",
            Self::Handshake => "clients did not ask for anything in time, or not in HTTP",
            Self::HalfOpen => {
                "clients that said nothing for a second or more, when half of `limits.connections` did not either"
            }
            Self::Proxy => {
                "connections that are not of a proxy in `server.proxies`, though `server.proxy_protocol` is set"
            }
            Self::Origin => "pages of foreign origins; `server.origins` lists those that may come",
            Self::Host => "requests for a name in `Host` that is not ours",
            Self::Credentials => "requests without a key or a token that is taken",
        }
    }
}

/// How long after a line of the log the next one about the same may come.
const QUIET: Duration = Duration::from_secs(10);

/// How many were sent away, and what was told of it.
#[derive(Debug)]
pub struct Refusals {
    began: Instant,
    each: [Burst; Refusal::ALL.len()],
}

impl Default for Refusals {
    fn default() -> Self {
        Self { began: Instant::now(), each: Default::default() }
    }
}

/// Of one reason.
#[derive(Debug, Default)]
struct Burst {
    count: AtomicU64,
    /// How many of them the log knows of.
    told: AtomicU64,
    /// When the log may be told again, in ms from the beginning.
    quiet_until: AtomicU64,
}

impl Burst {
    /// One more; gives how many the log is to be told of, if it is.
    fn note(&self, now: u64) -> Option<u64> {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let until = self.quiet_until.load(Ordering::Relaxed);
        let next = now + u64::try_from(QUIET.as_millis()).unwrap_or(u64::MAX);
        let is_ours = now >= until
            && self.quiet_until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        is_ours.then(|| count.saturating_sub(self.told.swap(count, Ordering::Relaxed)))
    }
}

impl Refusals {
    /// Somebody is sent away.
    pub fn note(&self, refusal: Refusal) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let index = Refusal::ALL.iter().position(|other| *other == refusal).expect("all are listed");
        if let Some(count) = self.each[index].note(now) {
            tracing::warn!(reason = refusal.as_str(), count, "refused: {}", refusal.meaning());
        }
    }

    pub(crate) fn read(&self) -> Vec<(&'static str, u64)> {
        let counts = self.each.iter().map(|burst| burst.count.load(Ordering::Relaxed));
        Refusal::ALL.iter().map(|refusal| refusal.as_str()).zip(counts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_told_once_and_the_next_tells_what_was_not() {
        let burst = Burst::default();
        let told = |moments: &[u64]| moments.iter().map(|now| burst.note(*now)).collect::<Vec<_>>();
        assert_eq!(told(&[0, 1, 2, 9_999]), [Some(1), None, None, None]);
        assert_eq!(told(&[10_000, 10_001]), [Some(4), None]);
        assert_eq!(told(&[90_000]), [Some(2)]);
    }

    #[test]
    fn every_reason_has_its_count() {
        let refusals = Refusals::default();
        Refusal::ALL.iter().for_each(|refusal| refusals.note(*refusal));
        assert!(refusals.read().iter().all(|(_, count)| *count == 1));
    }
}
