//! The queues between workers: one bounded FIFO for each ordered pair, woken once per turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    /// We wait for room in the queue to the other worker; it takes the flag down and wakes us.
    waiting: Arc<AtomicBool>,
    /// The other worker waits for room in its queue to us.
    awaited: Arc<AtomicBool>,
}

impl Queues {
    /// The ends of `wakes.len()` workers; `wakes` are what wakes each of them.
    pub(crate) fn mesh(wakes: &[Arc<Notify>], capacity: usize) -> Vec<Self> {
        let mut meshed: Vec<Self> =
            wakes.iter().map(|_| Self { links: wakes.iter().map(|_| None).collect() }).collect();
        for one in 0..wakes.len() {
            for other in 0..one {
                let (to_other, from_one) = RingBuffer::new(capacity);
                let (to_one, from_other) = RingBuffer::new(capacity);
                let (waiting, awaited) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
                meshed[one].links[other] = Some(Link {
                    to: to_other,
                    from: from_other,
                    wake: Arc::clone(&wakes[other]),
                    news: false,
                    waiting: Arc::clone(&waiting),
                    awaited: Arc::clone(&awaited),
                });
                meshed[other].links[one] = Some(Link {
                    to: to_one,
                    from: from_one,
                    wake: Arc::clone(&wakes[one]),
                    news: false,
                    waiting: awaited,
                    awaited: waiting,
                });
            }
        }
        meshed
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

    /// How many messages from `worker` wait.
    pub(crate) fn waiting(&self, worker: u16) -> usize {
        self.links.get(usize::from(worker)).and_then(Option::as_ref).map_or(0, |link| link.from.slots())
    }

    /// Has `worker` wake this one when it has taken something out of the queue to it.
    pub(crate) fn ask_for_room(&mut self, worker: u16) {
        if let Some(link) = self.links.get(usize::from(worker)).and_then(Option::as_ref) {
            link.waiting.store(true, Ordering::SeqCst);
        }
    }

    /// The next message from `worker`.
    pub(crate) fn pop(&mut self, worker: u16) -> Option<Peer> {
        let link = self.links.get_mut(usize::from(worker))?.as_mut()?;
        let message = link.from.pop().ok()?;
        // The room is made before the flag is looked at, as the other side asks before it looks at the room.
        link.news |= link.awaited.load(Ordering::SeqCst) && link.awaited.swap(false, Ordering::SeqCst);
        Some(message)
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
