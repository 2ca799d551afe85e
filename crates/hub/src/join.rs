//! Joining: the only way into a stream. Decides, from what the owner knows, whether a session may continue
//! from the place it names, what must be read first, and what it is told.
//!
//! Called by the shard whenever something has changed that a join waits for. The result for
//! `since` is all of (since, P] or a reason, never a part, where P is what the session's worker has been
//! told already: the next broadcast in that worker's queue comes after P.

use std::sync::Arc;

use trunkline_backend::{Direction, Located, Read, ReadResult, Window};
use trunkline_model::{
    ChannelName, CommandId, Epoch, LostReason, Offset, Position, PresenceUpdate, Publication, Recovery, Start,
};

use crate::channel::{Channel, Log};
use crate::hot::Hot;
use crate::input::SessionId;
use crate::latest::Latest;
use crate::peer::{Entering, Missing};
use crate::ring::{Folded, Ring, offset_of};

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
    /// The first offset that it is given.
    pub(crate) floor: Offset,
    /// Who it is to the others, where the channel has presence and it is not a member yet.
    pub(crate) entering: Option<Box<Entering>>,
    /// Who else is there, where it asked.
    pub(crate) present: Option<Arc<PresenceUpdate>>,
    /// What was read from the store for it, ascending, without a hole.
    have: Vec<Arc<Publication>>,
    /// The range that this was all of, when it was read last.
    covered: Option<(Offset, Offset)>,
    attempts: u8,
    /// What the store said of the place it begins at, once it was asked.
    located: Option<Located>,
    /// [`Log::turn`] when it looked last.
    turn: u32,
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
    /// Nothing: it is let in.
    Finish(Entrance),
    /// Nothing for now: it is told that so much follows, and comes again for it from where it is.
    CatchUp {
        /// P.
        place: Position,
        /// From where.
        since: Position,
    },
    /// Nothing for now: it gets these, at least one, and comes again.
    Page(Vec<Arc<Publication>>),
    /// These entries.
    Read(Read),
    /// Whether this is a place in the log.
    Locate(Position),
    /// That the queue to its worker, or this owner, gets further.
    Park {
        /// Whether the owner itself must catch up with the store.
        catch_up: bool,
    },
}

/// How a session is let in.
#[derive(Debug)]
pub(crate) struct Entrance {
    /// P.
    pub(crate) place: Position,
    /// What became of `since`.
    pub(crate) recovery: Recovery,
    /// The newest page, if it was asked for, and whether there is more before it.
    pub(crate) items: Option<(Vec<Arc<Publication>>, bool)>,
    /// The whole state at P, of a `value` or `map` that is not continued.
    pub(crate) entries: Option<Vec<Arc<Publication>>>,
}

impl Entrance {
    /// Into a channel that has no places.
    pub(crate) fn nowhere() -> Self {
        Self::at(Position { epoch: Epoch::NONE, offset: Offset::ZERO }, Recovery::NotAsked)
    }

    /// Into the stream from `place` on.
    pub(crate) fn at(place: Position, recovery: Recovery) -> Self {
        Self { place, recovery, items: None, entries: None }
    }
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
            floor: Offset::ZERO,
            entering: None,
            present: None,
            have: Vec::new(),
            covered: None,
            attempts: 0,
            located: None,
            turn: 0,
        }
    }

    /// The same, of one that is to become a member.
    pub(crate) fn of(self, entering: Option<Box<Entering>>) -> Self {
        Self { entering, ..self }
    }

    /// The same, of one that is given nothing below `floor`.
    pub(crate) fn above(self, floor: Offset) -> Self {
        Self { floor, ..self }
    }

    /// What this join needs next in `channel`, whose open log is `log`.
    pub(crate) fn step(&mut self, channel: &Channel, log: &Log, page: Window) -> Step {
        if std::mem::replace(&mut self.turn, log.turn) != log.turn {
            (self.attempts, self.located, self.covered) = (0, None, None);
            self.have.clear();
        }
        let place = channel.joining_place(self.worker, log.applied).filter(|_| !log.doubted);
        let Some(place) = place else { return Step::Park { catch_up: false } };
        if self.floor > place.offset.next() {
            // Where it lies beyond what is known here, the session's worker says so.
            let is_near = self.floor <= log.applied.offset.next();
            return match is_near {
                true => Step::Park { catch_up: false },
                false => Step::Finish(Entrance::at(place, Recovery::NotAsked)),
            };
        }
        let step = match self.begin {
            Begin::Asked(Start::Since(since)) => self.step_since(channel, log, place, since),
            Begin::Asked(Start::CatchUp(since)) => match self.step_since(channel, log, place, since) {
                Step::Finish(Entrance {
                    recovery: Recovery::Lost { reason: LostReason::Limit, .. }, ..
                }) => Step::CatchUp { place, since },
                step => step,
            },
            Begin::Missing(missing) => self.step_missing(log, place, missing, page),
            Begin::Asked(Start::Next) => Step::Finish(Entrance::at(place, Recovery::NotAsked)),
            Begin::Asked(Start::Last(count)) => match &log.hot {
                Hot::Ring(ring) => {
                    let window = Window { entries: count, bytes: page.bytes };
                    self.step_last(log, ring, place, window)
                }
                Hot::Latest(_) => Step::Finish(Entrance::at(place, Recovery::NotAsked)),
            },
        };
        match step {
            Step::Finish(entrance) => Step::Finish(with_state(entrance, log, self.floor)),
            step => step,
        }
    }

    /// However far it is behind: a page at a time, until what is left of (…, P] fits into one.
    fn step_missing(&mut self, log: &Log, place: Position, missing: Missing, page: Window) -> Step {
        let (anchor, first) = match missing {
            Missing::At(position) => (position, position.offset),
            Missing::After(position) => (position, position.offset.next()),
        };
        match self.standing(log, anchor) {
            None => return Step::Locate(anchor),
            // What it did not get is gone; what it got is right.
            Some(Located::Parted { keep: Some(keep) }) if keep.next() == first => {}
            Some(Located::Parted { keep }) => return lost(place, LostReason::Rewound, keep),
            Some(Located::Held) => {}
        }
        if first < log.floor.max(self.floor) {
            return lost(place, LostReason::Trimmed, None);
        }
        let ring = match &log.hot {
            Hot::Ring(ring) => ring,
            Hot::Latest(latest) => return page_of_state(latest, place, first, page),
        };
        if let Some(entries) = ring.read(first, place.offset, Direction::Forward, page) {
            return page_or_all(place, entries);
        }
        let read = self.have.iter().filter(|entry| offset_of(entry) >= first).cloned().collect::<Vec<_>>();
        if read.first().is_some_and(|entry| offset_of(entry) == first) {
            page_or_all(place, read)
        } else if self.attempts >= ATTEMPTS_MAX {
            lost(place, LostReason::Trimmed, None)
        } else {
            Step::Read(self.read(first, place.offset, Direction::Forward, page))
        }
    }

    fn step_last(&mut self, log: &Log, ring: &Ring, place: Position, window: Window) -> Step {
        let (first, last) = (log.floor.max(self.floor), place.offset);
        let folded = ring
            .read_folded(first, last, Direction::Backward, window)
            .or_else(|| self.folded_up_to(ring, place, window));
        let with = |items| Entrance { items: Some(items), ..Entrance::at(place, Recovery::NotAsked) };
        match folded {
            Some(folded) => Step::Finish(with((folded.items, folded.lo > first))),
            None if self.attempts >= ATTEMPTS_MAX => Step::Finish(with((Vec::new(), true))),
            None => {
                let read = self.read(first, last, Direction::Backward, window);
                Step::Read(Read { folded: true, ..read })
            }
        }
    }

    /// What was read folded, continued from the ring up to `place`; `None` if a hole would be left.
    fn folded_up_to(&self, ring: &Ring, place: Position, window: Window) -> Option<Folded> {
        let (lo, hi) = self.covered?;
        let newer = ring.range(hi.next(), place.offset)?;
        let (references, messages): (Vec<_>, Vec<_>) =
            newer.into_iter().partition(|entry| entry.role.reference().is_some());
        let mut items: Vec<_> = self.have.iter().cloned().chain(messages).collect();
        for reference in references {
            let Some(about) = reference.role.reference() else { continue };
            let Ok(index) = items.binary_search_by_key(&about.target, |item| offset_of(item)) else {
                continue;
            };
            let mut folded = items[index].copy();
            folded.fold(&reference);
            items[index] = Arc::new(folded);
        }
        let read = items.len();
        let items = newest(items, window);
        let lo = if items.len() < read { items.first().map_or(lo, |item| offset_of(item)) } else { lo };
        Some(Folded { items, lo, hi: place.offset })
    }

    /// The store alone proves that a place is gone; one that is ahead of what the session's worker was told, but in the
    /// store, waits for it.
    fn step_since(&mut self, channel: &Channel, log: &Log, place: Position, since: Position) -> Step {
        if since.offset.next() < self.floor {
            // Whether the log holds it is nothing that it is told.
            return lost(place, LostReason::Trimmed, None);
        }
        let ahead = since.offset > place.offset;
        if ahead && since.offset <= log.applied.offset {
            return Step::Park { catch_up: false };
        }
        match self.standing(log, since) {
            None => return Step::Locate(since),
            Some(Located::Parted { keep }) => return lost(place, LostReason::Rewound, keep),
            Some(Located::Held) if ahead => return Step::Park { catch_up: true },
            Some(Located::Held) => {}
        }
        if since.offset.next() < log.floor {
            return lost(place, LostReason::Trimmed, None);
        }
        let first = since.offset.next();
        match &log.hot {
            Hot::Latest(latest) => {
                match page_of_state(latest, place, first, channel.ring_caps()) {
                    // The whole state is less than so many changes, or little more.
                    Step::Page(_) => lost(place, LostReason::Limit, None),
                    step => step,
                }
            }
            Hot::Ring(_) if place.offset.since(since.offset) > u64::from(channel.ring_caps().entries) => {
                lost(place, LostReason::Limit, None)
            }
            Hot::Ring(ring) => self.step_replay(ring, place, first, channel.ring_caps()),
        }
    }

    fn step_replay(&mut self, ring: &Ring, place: Position, first: Offset, caps: Window) -> Step {
        let entries = ring.range(first, place.offset).or_else(|| self.replay_from_reads(ring, first, place));
        match entries {
            Some(entries) if cost(&entries) > caps.bytes => lost(place, LostReason::Limit, None),
            Some(entries) => Step::Finish(Entrance::at(place, Recovery::Recovered(entries))),
            // Each read brings it forward, so that at the latest the limit of entries ends this.
            None if self.cost_from(first) > caps.bytes => lost(place, LostReason::Limit, None),
            None => {
                let window = Window { entries: caps.entries.saturating_add(1), bytes: caps.bytes };
                let next = self.have.last().map_or(first, |entry| offset_of(entry).next().max(first));
                Step::Read(self.read(next, place.offset, Direction::Forward, window))
            }
        }
    }

    fn replay_from_reads(
        &self,
        ring: &Ring,
        first: Offset,
        place: Position,
    ) -> Option<Vec<Arc<Publication>>> {
        let entries = self.topped_up(ring, place)?;
        let lowest = entries.first().map(|entry| offset_of(entry))?;
        (lowest <= first).then(|| entries.into_iter().filter(|entry| offset_of(entry) >= first).collect())
    }

    /// What was read, continued from the ring up to `place`; `None` if a hole would be left.
    fn topped_up(&self, ring: &Ring, place: Position) -> Option<Vec<Arc<Publication>>> {
        let last = offset_of(self.have.last()?);
        let mut entries: Vec<_> =
            self.have.iter().filter(|entry| offset_of(entry) <= place.offset).cloned().collect();
        entries.extend(ring.range(last.next(), place.offset)?);
        Some(entries)
    }

    /// Whether `since` is a place in the log; `None` if the store must be asked.
    fn standing(&self, log: &Log, since: Position) -> Option<Located> {
        if log.holds(since) { Some(Located::Held) } else { self.located }
    }

    /// Takes the store's word on the place it begins at.
    pub(crate) fn take_located(&mut self, located: Located) {
        self.located = Some(located);
    }

    /// Takes what was read: it continues what is there, or replaces it.
    pub(crate) fn take(&mut self, read: ReadResult) {
        let ReadResult { entries, covered, .. } = read;
        self.covered = Some(covered);
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

    fn cost_from(&self, first: Offset) -> usize {
        self.have.iter().filter(|entry| offset_of(entry) >= first).map(|entry| entry.cost()).sum()
    }

    fn read(&self, first: Offset, last: Offset, direction: Direction, window: Window) -> Read {
        Read { channel: self.channel.clone(), first, last, direction, window, folded: false }
    }
}

/// Who is not continued is given the whole state, where there is one.
fn with_state(entrance: Entrance, log: &Log, floor: Offset) -> Entrance {
    if matches!(entrance.recovery, Recovery::Recovered(_)) {
        return entrance;
    }
    let entries = log.hot.state_at(entrance.place.offset).map(|entries| above(entries, floor));
    Entrance { entries, ..entrance }
}

/// Those from `floor` on.
pub(crate) fn above(mut entries: Vec<Arc<Publication>>, floor: Offset) -> Vec<Arc<Publication>> {
    entries.retain(|entry| offset_of(entry) >= floor);
    entries
}

/// `entries` are the next ones that are missing, without a hole.
fn page_or_all(place: Position, entries: Vec<Arc<Publication>>) -> Step {
    match entries.last() {
        Some(last) if offset_of(last) < place.offset => Step::Page(entries),
        _ => Step::Finish(Entrance::at(place, Recovery::Recovered(entries))),
    }
}

/// What changed since `first`, as much of it as fits into a page.
fn page_of_state(latest: &Latest, place: Position, first: Offset, page: Window) -> Step {
    let entries = latest.range(first, place.offset, page);
    let last = entries.last().map_or(first.prev(), |entry| offset_of(entry));
    match latest.after(last) {
        Some(next) if offset_of(next) <= place.offset => Step::Page(entries),
        _ => Step::Finish(Entrance::at(place, Recovery::Recovered(entries))),
    }
}

fn lost(place: Position, reason: LostReason, keep: Option<Offset>) -> Step {
    Step::Finish(Entrance::at(place, Recovery::Lost { reason, keep }))
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
