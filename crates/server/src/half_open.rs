//! Connections on which nothing was asked yet: those in a TLS handshake, or before the end of their first head. Each has
//! `limits.handshake` for it; if they get many, the oldest have less, so that those who say nothing cannot take the places
//! of those who do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// What each has at least, however many there are: after a restart all clients come at once, and mean well.
const PATIENCE_MIN: Duration = Duration::from_secs(1);

/// All of them, the oldest first. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct HalfOpen {
    /// How many may take all of their time.
    max: usize,
    list: Arc<Mutex<List>>,
}

#[derive(Debug, Default)]
struct List {
    next: u64,
    each: BTreeMap<u64, (Instant, Arc<Notify>)>,
}

/// One that is half open as long as this lives.
#[derive(Debug)]
pub(crate) struct Ticket {
    list: Arc<Mutex<List>>,
    id: u64,
}

impl HalfOpen {
    pub(crate) fn up_to(max: usize) -> Self {
        Self { max, list: Arc::default() }
    }

    /// One more; and what is told when its time is over before its time. For those who have waited too long it is.
    pub(crate) fn enter(&self, now: Instant) -> (Ticket, Arc<Notify>) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.end_oldest(self.max, now);
        let (id, over) = (list.next, Arc::new(Notify::new()));
        list.next += 1;
        list.each.insert(id, (now, Arc::clone(&over)));
        (Ticket { list: Arc::clone(&self.list), id }, over)
    }
}

impl HalfOpen {
    /// Ends those that have waited too long, if they are too many. Where there is no place for anybody else nobody enters,
    /// so it is to be called now and then.
    pub(crate) fn look(&self, now: Instant) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).end_oldest(self.max, now);
    }
}

impl List {
    fn end_oldest(&mut self, max: usize, now: Instant) {
        while self.each.len() >= max
            && let Some(oldest) = self.each.first_entry()
            && now.saturating_duration_since(oldest.get().0) >= PATIENCE_MIN
        {
            oldest.remove().1.notify_one();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).each.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Waker};

    fn is_over(over: &Notify) -> bool {
        pin!(over.notified()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn if_they_get_many_the_oldest_are_over() {
        let (half_open, start) = (HalfOpen::up_to(2), Instant::now());
        let enter = |millis: u64| half_open.enter(start + Duration::from_millis(millis));
        let (first, second, third) = (enter(0), enter(10), enter(20));
        assert!(!is_over(&first.1), "a crowd that comes at once has its time");
        let fourth = enter(1_005);
        assert!(is_over(&first.1) && !is_over(&second.1));
        let fifth = enter(1_100);
        assert!(is_over(&second.1) && is_over(&third.1), "there are no more than two and the new one");
        drop(fifth);
        let sixth = enter(9_000);
        assert!(!is_over(&fourth.1) && !is_over(&sixth.1), "who is through makes room");
        let seventh = enter(9_100);
        half_open.look(start + Duration::from_secs(11));
        assert!(is_over(&sixth.1) && !is_over(&seventh.1), "as many go as are too many");
        drop((first, second, third, fourth, sixth, seventh));
        assert!(half_open.list.lock().expect("nobody panics").each.is_empty(), "nothing is kept");
    }
}
