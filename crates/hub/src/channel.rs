//! One channel at its owner: where its log stands, what is hot, and which workers are interested.
//!
//! ```text
//!   Opening ──head read──▶ Log ──idle──▶ (let go)          Signal ──idle──▶ (let go)
//!      │ asks wait                                          no log: what comes goes out
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use trunkline_backend::{Head, Window};
use trunkline_model::{Epoch, Kind, Namespace, Offset, Position, Publication};

use crate::join::Join;
use crate::output::Output;
use crate::peer::{Ask, Peers, Tell};
use crate::ring::Ring;

/// One channel at its owner.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) body: Body,
    links: Vec<Link>,
    /// Appends and reads under way that will come back to this channel.
    pub(crate) pending: u32,
    /// The appends among them.
    pub(crate) appending: u32,
    pub(crate) idle_since: Option<Duration>,
}

/// What the channel is, by its kind and by how much of it is known.
#[derive(Debug)]
pub(crate) enum Body {
    /// A log whose head is being read; these questions wait for it.
    Opening(VecDeque<Ask>),
    /// A log.
    Log(Log),
    /// Nothing is kept.
    Signal,
}

/// The hot part of a log.
#[derive(Debug)]
pub(crate) struct Log {
    /// The newest entry that was delivered; what is sent to workers never goes beyond it.
    pub(crate) applied: Position,
    pub(crate) floor: Offset,
    /// The epoch of the entry before the floor.
    pub(crate) floor_epoch: Option<Epoch>,
    pub(crate) ring: Ring,
    /// Joins from a place that this owner, or the queue to their worker, has not reached yet.
    pub(crate) parked: Vec<Join>,
    /// Whether entries after `applied` are being read from the store.
    pub(crate) catching_up: bool,
    /// The highest offset that the store has given to a publication of this owner.
    pub(crate) told: Offset,
    /// Whether the store may hold entries beyond `applied` and `told`, of which it could not say so.
    pub(crate) unsure: bool,
}

/// A worker that has subscribers, and how far it was told.
#[derive(Debug)]
struct Link {
    worker: u16,
    sent: Position,
    reading: bool,
    /// Whether it stands in the shard's list of those that wait for room.
    behind: bool,
}

/// What became of feeding one worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fed {
    /// It has all that is applied, or is not interested.
    All,
    /// Its queue is full.
    NoRoom,
    /// The ring no longer holds what comes next for it: read from this offset on.
    NeedsRead(Offset),
}

impl Channel {
    pub(crate) fn new(namespace: Arc<Namespace>) -> Self {
        let body = match namespace.kind {
            Kind::Log => Body::Opening(VecDeque::new()),
            Kind::Signal => Body::Signal,
        };
        Self { namespace, body, links: Vec::new(), pending: 0, appending: 0, idle_since: None }
    }

    /// The caps of this channel's hot ring.
    pub(crate) fn ring_caps(&self) -> Window {
        Window { entries: self.namespace.recover_entries, bytes: self.namespace.recover_bytes }
    }

    pub(crate) fn log_mut(&mut self) -> Option<&mut Log> {
        match &mut self.body {
            Body::Log(log) => Some(log),
            Body::Opening(_) | Body::Signal => None,
        }
    }

    /// Takes the head that the store answered, and gives back what waited for it.
    pub(crate) fn open(&mut self, head: Head) -> VecDeque<Ask> {
        let caps = self.ring_caps();
        let mut ring = Ring::default();
        for entry in head.tail {
            ring.push(entry, caps);
        }
        let log = Log {
            applied: head.position,
            floor: head.floor,
            floor_epoch: head.floor_epoch,
            ring,
            parked: Vec::new(),
            catching_up: false,
            told: head.position.offset,
            unsure: false,
        };
        match std::mem::replace(&mut self.body, Body::Log(log)) {
            Body::Opening(waiting) => waiting,
            Body::Log(_) | Body::Signal => VecDeque::new(),
        }
    }

    /// Takes the entry after `applied`. Any other is left alone (`false`).
    pub(crate) fn apply(&mut self, publication: Arc<Publication>) -> bool {
        let caps = self.ring_caps();
        let Some(log) = self.log_mut() else { return false };
        let Some(position) = publication.position else { return false };
        if position.offset != log.applied.offset.next() {
            return false;
        }
        log.applied = position;
        log.ring.push(publication, caps);
        true
    }

    /// Up to where the store is to be read for what lies beyond `applied`, if at all.
    ///
    /// An entry whose publisher has no answer yet is left alone, because `published` precedes the
    /// broadcast. Answers come in the order of the log, so up to `told` everyone has one.
    pub(crate) fn missing(&self) -> Option<Offset> {
        let Body::Log(log) = &self.body else { return None };
        if log.catching_up {
            None
        } else if log.unsure && self.appending == 0 {
            Some(Offset(u64::MAX))
        } else {
            (log.told > log.applied.offset).then_some(log.told)
        }
    }

    /// Takes what was read beyond `applied`, as far as it may be told.
    pub(crate) fn take_missing(&mut self, entries: Vec<Arc<Publication>>) {
        let appending = self.appending > 0;
        let told = self.log_mut().map(|log| log.told).filter(|_| appending).unwrap_or(Offset(u64::MAX));
        let (mut forward, mut left) = (false, false);
        for entry in entries {
            left = entry.position.is_some_and(|position| position.offset > told);
            if left {
                break;
            }
            forward |= self.apply(entry);
        }
        if let Some(log) = self.log_mut() {
            // There may be more in the store than was read, or than may be told yet.
            log.unsure |= forward || left;
        }
    }

    /// The place that a session of `worker` joins at: what that worker was told already, else `applied`.
    pub(crate) fn joining_place(&self, worker: u16, applied: Position) -> Position {
        self.links.iter().find(|link| link.worker == worker).map_or(applied, |link| link.sent)
    }

    /// Notes that `worker` waits for room in its queue; whether that is news.
    pub(crate) fn falls_behind(&mut self, worker: u16) -> bool {
        let link = self.links.iter_mut().find(|link| link.worker == worker);
        link.is_some_and(|link| !std::mem::replace(&mut link.behind, true))
    }

    /// The note is taken back.
    pub(crate) fn no_longer_behind(&mut self, worker: u16) {
        if let Some(link) = self.links.iter_mut().find(|link| link.worker == worker) {
            link.behind = false;
        }
    }

    /// Registers the interest of `worker`, which knows everything up to `sent`.
    pub(crate) fn link(&mut self, worker: u16, sent: Position) {
        if !self.links.iter().any(|link| link.worker == worker) {
            self.links.push(Link { worker, sent, reading: false, behind: false });
        }
    }

    /// The worker has no subscribers any more.
    pub(crate) fn unlink(&mut self, worker: u16) {
        self.links.retain(|link| link.worker != worker);
    }

    pub(crate) fn linked_workers(&self) -> Vec<u16> {
        self.links.iter().map(|link| link.worker).collect()
    }

    /// Sends `worker` what it has not been told yet, as far as its queue and the ring reach.
    pub(crate) fn feed(&mut self, worker: u16, peers: &mut Peers, out: &mut Vec<Output>) -> Fed {
        let Body::Log(log) = &self.body else { return Fed::All };
        let Some(link) = self.links.iter_mut().find(|link| link.worker == worker) else { return Fed::All };
        while link.sent.offset < log.applied.offset && !link.reading {
            if !peers.may_broadcast(worker) {
                return Fed::NoRoom;
            }
            let Some(next) = log.ring.get(link.sent.offset.next()) else {
                link.reading = true;
                return Fed::NeedsRead(link.sent.offset.next());
            };
            link.sent = next.position.unwrap_or(link.sent);
            peers.tell(worker, Tell::Broadcast(Arc::clone(next)), out);
        }
        Fed::All
    }

    /// Sends `worker` entries read from the store because the ring had lost them.
    pub(crate) fn feed_read(
        &mut self,
        worker: u16,
        entries: &[Arc<Publication>],
        peers: &mut Peers,
        out: &mut Vec<Output>,
    ) {
        let Some(link) = self.links.iter_mut().find(|link| link.worker == worker) else { return };
        link.reading = false;
        for entry in entries {
            let Some(position) = entry.position else { continue };
            if position.offset == link.sent.offset.next() && peers.may_broadcast(worker) {
                link.sent = position;
                peers.tell(worker, Tell::Broadcast(Arc::clone(entry)), out);
            }
        }
    }

    /// Sends a publication that is not kept to every interested worker that has room for it.
    pub(crate) fn signal(&self, publication: &Arc<Publication>, peers: &mut Peers, out: &mut Vec<Output>) {
        for link in &self.links {
            if peers.may_broadcast(link.worker) {
                peers.tell(link.worker, Tell::Broadcast(Arc::clone(publication)), out);
            }
        }
    }

    /// Whether nobody is interested and nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        let quiet = match &self.body {
            Body::Opening(_) => false,
            Body::Log(log) => log.parked.is_empty() && !log.catching_up,
            Body::Signal => true,
        };
        quiet && self.links.is_empty() && self.pending == 0
    }
}
