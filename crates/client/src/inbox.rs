//! The queue from the driver to one subscription: bounded in what the driver lets into it, and with word back to the
//! driver once there is room again or nobody reads any more. One driver, one reader.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::error::Error;
use crate::subscription::Update;

/// So many updates wait, then the channel is paused. What is under way may still be added: a page, and what waited for
/// it.
const HIGH: usize = 512;

/// With so many left it goes on.
const LOW: usize = 128;

/// The queue.
pub(crate) struct Inbox {
    state: Mutex<State>,
    filled: Notify,
    /// Wakes the driver.
    driver: Arc<Notify>,
}

#[derive(Default)]
struct State {
    updates: VecDeque<Update>,
    end: Option<Error>,
    paused: bool,
    abandoned: bool,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").field("waiting", &self.state().updates.len()).finish_non_exhaustive()
    }
}

impl Inbox {
    pub(crate) fn new(driver: Arc<Notify>) -> Self {
        Self { state: Mutex::default(), filled: Notify::new(), driver }
    }

    /// Adds an update; true if the channel is to be paused now.
    pub(crate) fn push(&self, update: Update) -> bool {
        let mut state = self.state();
        state.updates.push_back(update);
        self.filled.notify_one();
        let full = state.updates.len() >= HIGH && !state.paused;
        state.paused |= full;
        full
    }

    /// Nothing more will come, and why.
    pub(crate) fn end(&self, why: Error) {
        self.state().end.get_or_insert(why);
        self.filled.notify_one();
    }

    /// Whether a paused channel may go on; asked by the driver, who then lets it.
    pub(crate) fn take_room(&self) -> bool {
        let mut state = self.state();
        let room = state.paused && state.updates.len() <= LOW;
        state.paused &= !room;
        room
    }

    /// Nobody reads any more.
    pub(crate) fn abandon(&self) {
        let mut state = self.state();
        state.abandoned = true;
        state.updates = VecDeque::new();
        self.driver.notify_one();
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.state().abandoned
    }

    /// The next update. What is taken out is given to the caller at once, so dropping the future loses nothing.
    pub(crate) async fn next(&self) -> Result<Update, Error> {
        loop {
            if let Some(next) = self.try_next() {
                return next;
            }
            self.filled.notified().await;
        }
    }

    fn try_next(&self) -> Option<Result<Update, Error>> {
        let mut state = self.state();
        match state.updates.pop_front() {
            Some(update) => {
                if state.paused && state.updates.len() == LOW {
                    self.driver.notify_one();
                }
                Some(Ok(update))
            }
            None => state.end.clone().map(Err),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Notice;

    #[test]
    fn a_full_queue_pauses_its_channel_until_most_of_it_is_read() {
        let driver = Arc::new(Notify::new());
        let inbox = Inbox::new(Arc::clone(&driver));
        let update = || Update::Notice(Notice::Missed { messages: 1 });
        let paused: Vec<usize> = (1..=HIGH + 100).filter(|_| inbox.push(update())).collect();
        assert_eq!(paused, [HIGH], "it is said once, at the cap");
        let mut read = 0;
        while !inbox.take_room() {
            assert_eq!(inbox.try_next(), Some(Ok(update())));
            read += 1;
        }
        assert_eq!(read, HIGH + 100 - LOW);
        assert!(!inbox.push(update()) && !inbox.take_room(), "it goes on");
    }

    #[test]
    fn what_came_before_the_end_is_read_before_it() {
        let inbox = Inbox::new(Arc::new(Notify::new()));
        let update = Update::Notice(Notice::Recovered { messages: 1 });
        inbox.push(update.clone());
        inbox.end(Error::SubscribedAlready);
        inbox.end(Error::Closed(crate::rules::Closed::ByUs));
        assert_eq!(inbox.try_next(), Some(Ok(update)));
        assert_eq!([inbox.try_next(), inbox.try_next()], [const { Some(Err(Error::SubscribedAlready)) }; 2]);
    }
}
