//! Joining: the only way into a stream. Decides, from what the owner knows, whether a session may continue
//! from the place it names, what must be read first, and what it is told.
//!
//! Called by the shard whenever something has changed that a join waits for. The result for
//! `since` is all of (since, P] or a reason, never a part, where P is what the session's worker has been
//! told already: the next broadcast in that worker's queue is P+1.

use std::sync::Arc;

use trunkline_backend::{Direction, Read, Window};
use trunkline_model::{ChannelName, CommandId, LostReason, Offset, Position, Publication, Recovery, Start};

use crate::channel::{Channel, Log};
use crate::input::SessionId;
use crate::peer::Missing;
use crate::ring::offset_of;

/// How often a join reads a page again because the log ran away from it.
const ATTEMPTS_MAX: u8 = 3;

/// A session on its way into a channel.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) worker: u16,
    pub(crate) session: SessionId,
    pub(crate) id: Option<CommandId>,
    pub(crate) channel: ChannelName,
    pub(crate) generation: u32,
    pub(crate) begin: Begin,
    /// What was read from the store for it, ascending, without a hole.
    pub(crate) have: Vec<Arc<Publication>>,
    attempts: u8,
    /// Whether the store was asked about a place ahead of this owner.
    looked_ahead: bool,
}

/// From where a session is to go on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Begin {
    /// As its client asks.
    Asked(Start),
    /// Where it stopped: it is a subscriber that fell behind.
    Missing(Missing),
}

/// What a join needs next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing: it is let in at `place`.
    Finish {
        /// P.
        place: Position,
        /// What became of `since`.
        recovery: Recovery,
        /// The newest page, if it was asked for.
        items: Option<(Vec<Arc<Publication>>, bool)>,
    },
    /// Nothing for now: it gets these, at least one, and comes again.
    Page(Vec<Arc<Publication>>),
    /// These entries.
    Read(Read),
    /// That the queue to its worker, or this owner, gets further.
    Park {
        /// Whether the owner itself must catch up with the store.
        catch_up: bool,
    },
}

impl Join {
    pub(crate) fn new(
        worker: u16,
        session: SessionId,
        id: Option<CommandId>,
        channel: ChannelName,
        generation: u32,
        begin: Begin,
    ) -> Self {
        Self {
            worker,
            session,
            id,
            channel,
            generation,
            begin,
            have: Vec::new(),
            attempts: 0,
            looked_ahead: false,
        }
    }

    /// What this join needs next in `channel`, whose open log is `log`.
    pub(crate) fn step(&mut self, channel: &Channel, log: &Log, page: Window) -> Step {
        let place = channel.joining_place(self.worker, log.applied);
        match self.begin {
            Begin::Asked(Start::Next) => Step::Finish { place, recovery: Recovery::NotAsked, items: None },
            Begin::Asked(Start::Last(count)) => {
                self.step_last(log, place, Window { entries: count, bytes: page.bytes })
            }
            Begin::Asked(Start::Since(since)) => self.step_since(channel, log, place, since),
            Begin::Missing(missing) => self.step_missing(log, place, missing, page),
        }
    }

    /// However far it is behind: a page at a time, until what is left of (…, P] fits into one.
    fn step_missing(&mut self, log: &Log, place: Position, missing: Missing, page: Window) -> Step {
        let (anchor, first) = match missing {
            Missing::At(position) => (position, position.offset),
            Missing::After(position) => (position, position.offset.next()),
        };
        if first < log.floor {
            return lost(place, LostReason::Trimmed);
        }
        if anchor.offset > place.offset {
            return lost(place, LostReason::Rewound);
        }
        let named = self.names_this_log(log, anchor);
        match (named, log.ring.read(first, place.offset, Direction::Forward, page)) {
            (Some(false), _) => lost(place, LostReason::Rewound),
            (Some(true), Some(entries)) => page_or_all(place, entries),
            // The store was asked and holds no such entry.
            (None, _) if self.attempts > 0 => lost(place, LostReason::Rewound),
            (None, _) => Step::Read(self.read(anchor.offset, place.offset, Direction::Forward, page)),
            (Some(true), None) => {
                let read =
                    self.have.iter().filter(|entry| offset_of(entry) >= first).cloned().collect::<Vec<_>>();
                if read.first().is_some_and(|entry| offset_of(entry) == first) {
                    page_or_all(place, read)
                } else if self.attempts >= ATTEMPTS_MAX {
                    lost(place, LostReason::Trimmed)
                } else {
                    Step::Read(self.read(first, place.offset, Direction::Forward, page))
                }
            }
        }
    }

    fn step_last(&mut self, log: &Log, place: Position, window: Window) -> Step {
        let (first, last) = (log.floor, place.offset);
        let held = match log.ring.read(first, last, Direction::Backward, window) {
            Some(items) => Some(items),
            None => self.topped_up(log, place).map(|entries| newest(entries, window)),
        };
        match held {
            Some(items) => {
                let lowest = items.first().map_or(last.next(), |entry| offset_of(entry));
                let more = lowest > first;
                Step::Finish { place, recovery: Recovery::NotAsked, items: Some((items, more)) }
            }
            None if self.attempts >= ATTEMPTS_MAX => {
                let items = Some((Vec::new(), true));
                Step::Finish { place, recovery: Recovery::NotAsked, items }
            }
            None => Step::Read(self.read(first, last, Direction::Backward, window)),
        }
    }

    fn step_since(&mut self, channel: &Channel, log: &Log, place: Position, since: Position) -> Step {
        if since.offset > place.offset {
            return self.step_ahead(log, place, since);
        }
        if since.offset.next() < log.floor {
            return lost(place, LostReason::Trimmed);
        }
        let caps = channel.ring_caps();
        let too_far = place.offset.since(since.offset) > u64::from(caps.entries);
        match self.names_this_log(log, since) {
            Some(false) => lost(place, LostReason::Rewound),
            Some(true) if too_far => lost(place, LostReason::Limit),
            Some(true) => self.step_replay(log, place, since.offset, caps),
            // The store was asked and holds no such entry.
            None if self.attempts > 0 => lost(place, LostReason::Rewound),
            None => {
                let last = if too_far { since.offset } else { place.offset };
                let window = Window { entries: caps.entries.saturating_add(1), bytes: caps.bytes };
                Step::Read(self.read(since.offset, last, Direction::Forward, window))
            }
        }
    }

    /// The client is ahead of what its worker was told. The worker's queue may be behind, or this owner may
    /// be; only the store's own word proves that the place is gone.
    fn step_ahead(&mut self, log: &Log, place: Position, since: Position) -> Step {
        if since.offset <= log.applied.offset {
            return Step::Park { catch_up: false };
        }
        if !self.looked_ahead {
            self.looked_ahead = true;
            let window = Window { entries: 1, bytes: usize::MAX };
            return Step::Read(self.read(since.offset, since.offset, Direction::Forward, window));
        }
        match self.have.iter().find_map(|entry| entry.position.filter(|p| p.offset == since.offset)) {
            Some(found) if found == since => Step::Park { catch_up: true },
            Some(_) | None => lost(place, LostReason::Rewound),
        }
    }

    fn step_replay(&mut self, log: &Log, place: Position, since: Offset, caps: Window) -> Step {
        let first = since.next();
        let entries =
            log.ring.range(first, place.offset).or_else(|| self.replay_from_reads(log, first, place));
        match entries {
            Some(entries) if cost(&entries) > caps.bytes => lost(place, LostReason::Limit),
            Some(entries) => Step::Finish { place, recovery: Recovery::Recovered(entries), items: None },
            // The store was asked and begins later: the log was trimmed since this owner last looked.
            None if self.attempts > 0 && self.have.first().is_none_or(|lowest| offset_of(lowest) > first) => {
                lost(place, LostReason::Trimmed)
            }
            // Each read brings it forward, so that at the latest the limit of entries ends this.
            None if self.cost_after(since) > caps.bytes => lost(place, LostReason::Limit),
            None => {
                let window = Window { entries: caps.entries.saturating_add(1), bytes: caps.bytes };
                let next = self.have.last().map_or(first, |entry| offset_of(entry).next());
                Step::Read(self.read(next, place.offset, Direction::Forward, window))
            }
        }
    }

    fn replay_from_reads(&self, log: &Log, first: Offset, place: Position) -> Option<Vec<Arc<Publication>>> {
        let entries = self.topped_up(log, place)?;
        let lowest = entries.first().map(|entry| offset_of(entry))?;
        (lowest <= first).then(|| entries.into_iter().filter(|entry| offset_of(entry) >= first).collect())
    }

    /// What was read, continued from the ring up to `place`; `None` if a hole would be left.
    fn topped_up(&self, log: &Log, place: Position) -> Option<Vec<Arc<Publication>>> {
        let last = offset_of(self.have.last()?);
        let mut entries: Vec<_> =
            self.have.iter().filter(|entry| offset_of(entry) <= place.offset).cloned().collect();
        entries.extend(log.ring.range(last.next(), place.offset)?);
        Some(entries)
    }

    /// Whether the log's entry at `since` has that epoch; `None` if it must be read first.
    fn names_this_log(&self, log: &Log, since: Position) -> Option<bool> {
        if since.offset == Offset::ZERO {
            return Some(true);
        }
        if since.offset == log.applied.offset {
            return Some(since.epoch == log.applied.epoch);
        }
        if since.offset.next() == log.floor {
            return Some(log.floor_epoch == Some(since.epoch));
        }
        let read = || self.have.iter().find(|entry| offset_of(entry) == since.offset);
        let entry = log.ring.get(since.offset).or_else(read)?;
        Some(entry.position.is_some_and(|position| position == since))
    }

    /// Takes what was read: it continues what is there, or replaces it.
    pub(crate) fn take(&mut self, entries: Vec<Arc<Publication>>) {
        self.attempts = self.attempts.saturating_add(1);
        let continues = match (self.have.last(), entries.first()) {
            (Some(last), Some(first)) => offset_of(last).next() == offset_of(first),
            _ => false,
        };
        if continues {
            self.have.extend(entries);
        } else {
            self.have = entries;
        }
    }

    fn cost_after(&self, since: Offset) -> usize {
        self.have.iter().filter(|entry| offset_of(entry) > since).map(|entry| entry.cost()).sum()
    }

    fn read(&self, first: Offset, last: Offset, direction: Direction, window: Window) -> Read {
        Read { channel: self.channel.clone(), first, last, direction, window }
    }
}

/// `entries` are the next ones that are missing, without a hole.
fn page_or_all(place: Position, entries: Vec<Arc<Publication>>) -> Step {
    match entries.last() {
        Some(last) if offset_of(last) < place.offset => Step::Page(entries),
        _ => Step::Finish { place, recovery: Recovery::Recovered(entries), items: None },
    }
}

fn lost(place: Position, reason: LostReason) -> Step {
    Step::Finish { place, recovery: Recovery::Lost { reason, keep: None }, items: None }
}

fn cost(entries: &[Arc<Publication>]) -> usize {
    entries.iter().map(|entry| entry.cost()).sum()
}

/// The newest of `entries` that `window` holds, at least one if there is one.
fn newest(mut entries: Vec<Arc<Publication>>, window: Window) -> Vec<Arc<Publication>> {
    let mut bytes = 0;
    let fits = entries
        .iter()
        .rev()
        .take(window.entries as usize)
        .enumerate()
        .take_while(|(index, entry)| {
            bytes += entry.cost();
            *index == 0 || bytes <= window.bytes
        })
        .count();
    entries.drain(..entries.len() - fits);
    entries
}
