//! What waits for a thread of the store. Unbounded: the callers of a store bound what they have in flight.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A first-in, first-out queue from any threads to any threads.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    closed: bool,
}

/// What a consumer gets.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Taken<T> {
    /// Some items, at least one, in the order in which they came.
    Items(Vec<T>),
    /// Nothing came in time.
    Nothing,
    /// The queue is closed and empty, for ever.
    Closed,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State { items: VecDeque::new(), closed: false }), ready: Condvar::new() }
    }

    /// Adds all of `items` in one step, so that a consumer who comes at any moment sees all or none. Gives
    /// them back if the queue is closed.
    #[must_use]
    pub(crate) fn push(&self, items: Vec<T>) -> Vec<T> {
        if items.is_empty() {
            return items;
        }
        let several = items.len() > 1;
        let mut state = self.state();
        if state.closed {
            return items;
        }
        state.items.extend(items);
        drop(state);
        if several {
            self.ready.notify_all()
        } else {
            self.ready.notify_one()
        }
        Vec::new()
    }

    /// Ends the queue: what is in it can still be taken.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.ready.notify_all();
    }

    /// Takes from the front as long as `admit` says so, which must admit the first. Waits up to `patience`
    /// for something to take.
    pub(crate) fn take(&self, patience: Duration, mut admit: impl FnMut(&T) -> bool) -> Taken<T> {
        let state = self.state();
        let (mut state, _) = self
            .ready
            .wait_timeout_while(state, patience, |state| state.items.is_empty() && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        let count = state.items.iter().take_while(|item| admit(item)).count();
        match (count, state.closed) {
            (0, true) => Taken::Closed,
            (0, false) => Taken::Nothing,
            _ => Taken::Items(state.items.drain(..count).collect()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing in here can panic halfway, so a poisoned state is a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn what_is_left_at_closing_can_still_be_taken() {
        let queue = Queue::new();
        assert_eq!(queue.take(NOW, |_| true), Taken::Nothing);
        assert!(queue.push(vec![1, 2, 3]).is_empty());
        queue.close();
        assert_eq!(queue.push(vec![4]), vec![4], "given back");
        assert_eq!(queue.take(NOW, |item| *item < 3), Taken::Items(vec![1, 2]));
        assert_eq!(queue.take(NOW, |_| true), Taken::Items(vec![3]));
        assert_eq!(queue.take(NOW, |_| true), Taken::Closed);
    }

    #[test]
    fn a_waiting_consumer_is_woken() {
        let queue = Queue::new();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.take(Duration::from_secs(60), |_| true));
            assert!(queue.push(vec![7]).is_empty());
            assert_eq!(waiting.join().expect("no panic"), Taken::Items(vec![7]));
            let waiting = scope.spawn(|| queue.take(Duration::from_secs(60), |_| true));
            queue.close();
            assert_eq!(waiting.join().expect("no panic"), Taken::Closed);
        });
    }
}
