//! The queues between workers: one bounded FIFO for each ordered pair, woken once per turn.

use std::sync::Arc;

use rtrb::{Consumer, Producer, RingBuffer};
use tokio::sync::Notify;
use trunkline_hub::Peer;

/// One worker's ends of all the queues it has to others.
pub(crate) struct Queues {
    links: Vec<Option<Link>>,
}

struct Link {
    to: Producer<Peer>,
    from: Consumer<Peer>,
    wake: Arc<Notify>,
    /// Whether the other worker has a reason to wake: something was sent to it, or it has room again.
    news: bool,
}

/// From which share of a queue on its sender is told that it was emptied: it may wait for room.
const CROWDED: usize = 8;

impl Queues {
    /// The ends of `wakes.len()` workers; `wakes` are what wakes each of them.
    pub(crate) fn mesh(wakes: &[Arc<Notify>], capacity: usize) -> Vec<Self> {
        let workers = wakes.len();
        let mut producers: Vec<Vec<Option<Producer<Peer>>>> = Vec::new();
        let mut consumers: Vec<Vec<Option<Consumer<Peer>>>> =
            (0..workers).map(|_| (0..workers).map(|_| None).collect()).collect();
        for from in 0..workers {
            let mut row = Vec::new();
            for (to, receiving) in consumers.iter_mut().enumerate() {
                if to == from {
                    row.push(None);
                    continue;
                }
                let (producer, consumer) = RingBuffer::new(capacity);
                row.push(Some(producer));
                receiving[from] = Some(consumer);
            }
            producers.push(row);
        }
        let ends = producers.into_iter().zip(consumers);
        ends.map(|(to, from)| Self {
            links: to
                .into_iter()
                .zip(from)
                .zip(wakes)
                .map(|((to, from), wake)| {
                    let (to, from) = to.zip(from)?;
                    Some(Link { to, from, wake: Arc::clone(wake), news: false })
                })
                .collect(),
        })
        .collect()
    }

    /// How many more messages fit into the queue to `worker`; `None` for the worker itself.
    pub(crate) fn room(&self, worker: u16) -> Option<usize> {
        self.links.get(usize::from(worker))?.as_ref().map(|link| link.to.slots())
    }

    /// Puts a message into the queue to `worker`, and says whether it fitted: it does, because the hub
    /// counts the room.
    pub(crate) fn push(&mut self, worker: u16, message: Peer) -> bool {
        let Some(link) = self.links.get_mut(usize::from(worker)).and_then(Option::as_mut) else {
            return false;
        };
        link.news = true;
        link.to.push(message).is_ok()
    }

    /// How many messages from `worker` wait. The sender is told if they were so many that it may be
    /// waiting for room.
    pub(crate) fn waiting(&mut self, worker: u16) -> usize {
        let Some(link) = self.links.get_mut(usize::from(worker)).and_then(Option::as_mut) else { return 0 };
        let waiting = link.from.slots();
        link.news |= waiting > link.from.buffer().capacity() / CROWDED;
        waiting
    }

    /// The next message from `worker`.
    pub(crate) fn pop(&mut self, worker: u16) -> Option<Peer> {
        let link = self.links.get_mut(usize::from(worker))?.as_mut()?;
        link.from.pop().ok()
    }

    pub(crate) fn workers(&self) -> u16 {
        u16::try_from(self.links.len()).expect("worker numbers are u16")
    }

    /// Wakes all other workers.
    pub(crate) fn wake_all(&self) {
        self.links.iter().flatten().for_each(|link| link.wake.notify_one());
    }

    /// Wakes every worker that was sent something, or was made room for, since the last call.
    pub(crate) fn wake(&mut self) {
        for link in self.links.iter_mut().flatten() {
            if std::mem::take(&mut link.news) {
                link.wake.notify_one();
            }
        }
    }
}
