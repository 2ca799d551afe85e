//! One channel at its owner: where its log stands, what is hot, and which workers are interested.
//!
//! ```text
//!   Opening ──head read──▶ Log ──idle──▶ (let go)          Signal ──idle──▶ (let go)
//!      │ asks wait                                          no log: what comes goes out
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use trunkline_backend::{Head, Window};
use trunkline_model::{ChannelName, ClientId, Kind, LostReason, Namespace, Offset, Position, Publication};

use crate::bucket::Bucket;
use crate::hot::{Hot, Next};
use crate::join::Join;
use crate::output::Output;
use crate::peer::{Ask, Loss, Peers, Tell};
use crate::presence::Seat;
use crate::ring::offset_of;
use crate::shard::{Retry, Stored};

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
    /// How much of its rate is used up.
    bucket: Bucket,
}

/// What the channel is, by its kind and by how much of it is known.
#[derive(Debug)]
pub(crate) enum Body {
    /// A log whose head is being read; these questions wait for it.
    Opening(VecDeque<Ask>),
    /// A log, or the newest of each entry of one.
    Log(Box<Log>),
    /// Nothing is kept.
    Signal,
}

/// The hot part of a log.
#[derive(Debug)]
pub(crate) struct Log {
    /// The newest entry that was delivered; what is sent to workers never goes beyond it.
    pub(crate) applied: Position,
    /// The first offset that can be read, as far as this owner knows.
    pub(crate) floor: Offset,
    pub(crate) hot: Hot,
    /// Joins from a place that this owner, or the queue to their worker, has not reached yet.
    pub(crate) parked: Vec<Join>,
    /// Publications to a `value` or `map` that wait until those under way are stored, so that what is overtaken need
    /// not be.
    pub(crate) queue: VecDeque<Box<Stored>>,
    /// Whether entries after `applied` are being read from the store.
    pub(crate) catching_up: bool,
    /// The highest offset that the store has given to a publication of this owner.
    pub(crate) told: Offset,
    /// Whether the store may hold entries beyond `applied` and `told`, of which it could not say so.
    pub(crate) unsure: bool,
    /// Whether it is open if the store still holds what is applied: nothing is applied or told meanwhile.
    pub(crate) doubted: bool,
    /// Sessions with entries here that have ended, and the uptime at which their entries go, if they are not back by then.
    pub(crate) ended: HashMap<ClientId, Duration>,
    /// The newest connection of each session with entries here: its end is the session's.
    pub(crate) holders: HashMap<ClientId, Seat>,
    /// When removals that are due may be tried again.
    pub(crate) removing: Retry,
    /// How often the log went another way than this owner knew. What was read before is worth nothing after.
    pub(crate) turn: u32,
}

/// A worker that has subscribers, and how far it was told.
#[derive(Debug)]
struct Link {
    worker: u16,
    sent: Position,
    reading: bool,
    /// Whether it stands in the shard's list of those that wait for room.
    behind: bool,
    /// Why what comes next for it is not what follows `sent`.
    lost: Option<(LostReason, Option<Offset>)>,
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
            Kind::Log | Kind::Value | Kind::Map => Body::Opening(VecDeque::new()),
            Kind::Signal => Body::Signal,
        };
        Self {
            namespace,
            body,
            links: Vec::new(),
            pending: 0,
            appending: 0,
            idle_since: None,
            bucket: Bucket::default(),
        }
    }

    /// Counts a publish against the channel's rate.
    ///
    /// # Errors
    /// It comes too early by so much.
    pub(crate) fn count_publish(&mut self, now: Duration) -> Result<(), Duration> {
        self.namespace.channel_rate.map_or(Ok(()), |rate| self.bucket.take(rate, now))
    }

    /// The caps of a replay, and of this channel's hot ring.
    pub(crate) fn ring_caps(&self) -> Window {
        Window { entries: self.namespace.recover_entries, bytes: self.namespace.recover_bytes }
    }

    /// How much of its newest entries is wanted with its head: of a `value` or `map` all there is.
    pub(crate) fn head_window(&self) -> Window {
        match self.namespace.kind {
            Kind::Value | Kind::Map => Window { entries: u32::MAX, bytes: usize::MAX },
            Kind::Log | Kind::Signal => self.ring_caps(),
        }
    }

    /// What it holds of publications in memory.
    pub(crate) fn weight(&self) -> usize {
        match &self.body {
            Body::Log(log) => log.hot.weight(),
            Body::Opening(_) | Body::Signal => 0,
        }
    }

    pub(crate) fn log_mut(&mut self) -> Option<&mut Log> {
        match &mut self.body {
            Body::Log(log) => Some(log),
            Body::Opening(_) | Body::Signal => None,
        }
    }

    /// Takes the head that the store answered, and gives back what waited for it.
    pub(crate) fn open(&mut self, head: Head, now: Duration) -> VecDeque<Ask> {
        let (hot, from) = Hot::holding(self.namespace.kind, self.ring_caps(), head.tail);
        let mut log = Log {
            applied: head.position,
            floor: head.floor.max(from),
            hot,
            parked: Vec::new(),
            queue: VecDeque::new(),
            catching_up: false,
            told: head.position.offset,
            unsure: false,
            doubted: false,
            ended: HashMap::new(),
            holders: HashMap::new(),
            removing: Retry::default(),
            turn: 0,
        };
        log.part_from_owners(now + self.namespace.grace);
        match std::mem::replace(&mut self.body, Body::Log(Box::new(log))) {
            Body::Opening(waiting) => waiting,
            Body::Log(_) | Body::Signal => VecDeque::new(),
        }
    }

    /// Goes on with the head of a log that went another way after `keep`. Workers that were told more are to be told so;
    /// the others have missed nothing.
    pub(crate) fn turn(&mut self, head: Head, keep: Option<Offset>, now: Duration) {
        let (kind, caps) = (self.namespace.kind, self.ring_caps());
        let ends = now + self.namespace.grace;
        let Some(log) = self.log_mut() else { return };
        let (hot, from) = Hot::holding(kind, caps, head.tail);
        log.applied = head.position;
        log.floor = head.floor.max(from);
        log.hot = hot;
        log.told = log.told.max(head.position.offset);
        log.catching_up = false;
        log.doubted = false;
        log.unsure = true;
        log.turn = log.turn.wrapping_add(1);
        log.part_from_owners(ends);
        let shared = keep.unwrap_or(Offset::ZERO);
        for link in &mut self.links {
            link.reading = false;
            if link.sent.offset > shared {
                link.lost = Some((LostReason::Rewound, keep));
            }
        }
    }

    /// The log is the one that was known, up to what is applied. What was read beyond that may be of the store's life
    /// before.
    pub(crate) fn trust(&mut self) {
        let Some(log) = self.log_mut() else { return };
        log.catching_up = false;
        log.doubted = false;
        log.turn = log.turn.wrapping_add(1);
        self.links.iter_mut().for_each(|link| link.reading = false);
    }

    /// `head`, cut to what everyone has an answer to, because `published` precedes the broadcast. `None` if nothing of it
    /// is left; then it is read again.
    pub(crate) fn answered(&self, head: Head) -> Option<Head> {
        let Body::Log(log) = &self.body else { return Some(head) };
        if self.appending == 0 || head.position.offset <= log.told {
            return Some(head);
        }
        let mut tail = head.tail;
        tail.retain(|entry| offset_of(entry) <= log.told);
        let position = tail.last()?.position?;
        Some(Head { position, tail, ..head })
    }

    /// Takes the entry after `applied`. Any other is left alone (`false`).
    pub(crate) fn apply(&mut self, publication: Arc<Publication>, now: Duration) -> bool {
        let ends = now + self.namespace.grace;
        let Some(log) = self.log_mut() else { return false };
        let is_next = offset_of(&publication) == log.applied.offset.next();
        is_next && !log.doubted && log.push(publication, ends)
    }

    /// Up to where the store is to be read for what lies beyond `applied`, if at all.
    ///
    /// An entry whose publisher has no answer yet is left alone, because `published` precedes the
    /// broadcast. Answers come in the order of the log, so up to `told` everyone has one.
    pub(crate) fn missing(&self) -> Option<Offset> {
        let Body::Log(log) = &self.body else { return None };
        if log.catching_up || log.doubted {
            None
        } else if log.unsure && self.appending == 0 {
            Some(Offset(u64::MAX))
        } else {
            (log.told > log.applied.offset).then_some(log.told)
        }
    }

    /// Takes what was read beyond `applied`, as far as it may be told.
    pub(crate) fn take_missing(&mut self, entries: Vec<Arc<Publication>>, now: Duration) {
        let ends = now + self.namespace.grace;
        let appending = self.appending > 0;
        let Some(log) = self.log_mut() else { return };
        let told = if appending { log.told } else { Offset(u64::MAX) };
        let (mut forward, mut left) = (false, false);
        for entry in entries {
            left = offset_of(&entry) > told;
            if left {
                break;
            }
            // Between what follows each other in a read there is nothing, or nothing any more.
            let follows = offset_of(&entry) == log.applied.offset.next().max(log.floor);
            let newer = log.hot.skips() && offset_of(&entry) > log.applied.offset;
            forward |= (follows || newer) && log.push(entry, ends);
        }
        // There may be more in the store than was read, or than may be told yet.
        log.unsure |= forward || left;
        if !forward && !log.unsure {
            log.told = log.applied.offset;
        }
    }

    /// The place that a session of `worker` joins at: what that worker was told already, else `applied`. `None` while
    /// that worker is to be told first that it cannot go on from there.
    pub(crate) fn joining_place(&self, worker: u16, applied: Position) -> Option<Position> {
        match self.links.iter().find(|link| link.worker == worker) {
            Some(link) => link.lost.is_none().then_some(link.sent),
            None => Some(applied),
        }
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
            self.links.push(Link { worker, sent, reading: false, behind: false, lost: None });
        }
    }

    /// The worker has no subscribers any more.
    pub(crate) fn unlink(&mut self, worker: u16) {
        self.links.retain(|link| link.worker != worker);
    }

    pub(crate) fn linked_workers(&self) -> Vec<u16> {
        self.links.iter().map(|link| link.worker).collect()
    }

    /// Sends `worker` what it has not been told yet, as far as its queue and what is hot reach.
    pub(crate) fn feed(
        &mut self,
        name: &ChannelName,
        worker: u16,
        peers: &mut Peers,
        out: &mut Vec<Output>,
    ) -> Fed {
        let Body::Log(log) = &self.body else { return Fed::All };
        let Some(link) = self.links.iter_mut().find(|link| link.worker == worker) else { return Fed::All };
        if log.doubted {
            return Fed::All;
        }
        if let Some((reason, keep)) = link.lost {
            if !peers.may_broadcast(worker) {
                return Fed::NoRoom;
            }
            link.lost = None;
            link.sent = log.applied;
            let entries = log.hot.state_at(log.applied.offset);
            let (channel, kind) = (name.clone(), self.namespace.kind);
            let loss = Loss { channel, kind, place: log.applied, floor: log.floor, reason, keep, entries };
            peers.tell(worker, Tell::Lost(Box::new(loss)), out);
        }
        while link.sent.offset < log.applied.offset && !link.reading {
            if !peers.may_broadcast(worker) {
                return Fed::NoRoom;
            }
            let next = match log.hot.next(link.sent.offset) {
                Next::Entry(next) => next,
                Next::Nothing => {
                    link.sent = log.applied;
                    break;
                }
                Next::Cold => {
                    link.reading = true;
                    return Fed::NeedsRead(link.sent.offset.next());
                }
            };
            link.sent = next.position.unwrap_or(link.sent);
            peers.tell(worker, Tell::Broadcast(Arc::clone(next)), out);
        }
        Fed::All
    }

    /// Sends `worker` entries read from the store because the ring had lost them. What is trimmed already, nobody can
    /// send any more.
    pub(crate) fn feed_read(
        &mut self,
        worker: u16,
        entries: &[Arc<Publication>],
        peers: &mut Peers,
        out: &mut Vec<Output>,
    ) {
        let floor = self.log_mut().map(|log| log.floor);
        let Some(link) = self.links.iter_mut().find(|link| link.worker == worker) else { return };
        link.reading = false;
        if floor.is_some_and(|floor| link.sent.offset.next() < floor) {
            link.lost = Some((LostReason::Trimmed, None));
            return;
        }
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

    /// Whether entries of it go by themselves, for which somebody must be there to remove them.
    pub(crate) fn has_mortal(&self) -> bool {
        matches!(&self.body, Body::Log(log) if log.hot.has_mortal())
    }

    /// Whether nobody is interested and nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        let quiet = match &self.body {
            Body::Opening(_) => false,
            Body::Log(log) => {
                log.parked.is_empty()
                    && !log.catching_up
                    && log.queue.is_empty()
                    && log.ended.is_empty()
                    && log.holders.is_empty()
            }
            Body::Signal => true,
        };
        quiet && self.links.is_empty() && self.pending == 0
    }
}

impl Log {
    /// Makes `publication` the newest entry. If it is bound to a session that is not here, it goes at `ends`.
    fn push(&mut self, publication: Arc<Publication>, ends: Duration) -> bool {
        let Some(position) = publication.position else { return false };
        self.applied = position;
        if let Some(owner) = publication.role.entry().and_then(|entry| entry.owner.as_ref())
            && !self.holders.contains_key(owner)
        {
            self.ended.entry(owner.clone()).or_insert(ends);
        }
        if let Some(forgotten) = self.hot.push(publication) {
            self.raise_floor(forgotten.next());
        }
        true
    }

    /// Of the sessions that entries are bound to, those that are not here have ended: what is theirs goes at `ends`.
    fn part_from_owners(&mut self, ends: Duration) {
        let Some(latest) = self.hot.latest_mut() else { return };
        for owner in latest.owners().filter(|owner| !self.holders.contains_key(*owner)) {
            self.ended.entry(owner.clone()).or_insert(ends);
        }
    }

    /// Whether `position` is known to be a place in it. If not, the store may know better.
    pub(crate) fn holds(&self, position: Position) -> bool {
        let hot = || self.hot.get(position.offset).and_then(|entry| entry.position);
        position.offset == Offset::ZERO || position == self.applied || hot() == Some(position)
    }

    /// Takes note of a floor that the store has told.
    pub(crate) fn raise_floor(&mut self, floor: Offset) {
        self.floor = self.floor.max(floor);
    }
}
