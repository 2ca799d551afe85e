//! A page of history: which entries it takes, whether the ring can tell them, and what the page says.

use trunkline_backend::{Direction, Located, Read, ReadResult, Window};
use trunkline_model::{CommandId, ErrorCode, Fault, HistoryQuery, Limits, Offset, Page, Position};

use crate::answers::RETRY;
use crate::channel::Log;
use crate::hot::Hot;
use crate::input::SessionId;
use crate::ring::Folded;

/// A question for a page, and who gets the answer.
#[derive(Debug)]
pub(crate) struct PageQuestion {
    pub(crate) worker: u16,
    pub(crate) session: SessionId,
    pub(crate) id: Option<CommandId>,
    pub(crate) query: HistoryQuery,
    /// The first offset that is given.
    floor: Offset,
    /// What the store said of `query.at`, once it was asked.
    pub(crate) located: Option<Located>,
    /// Where the log stood when the store was asked for the entries, once it was.
    top: Option<Position>,
    /// [`Log::turn`] at that time.
    turn: u32,
}

/// What a page needs next.
#[derive(Debug)]
pub(crate) enum PageStep {
    /// Nothing.
    Finish(Page),
    /// Whether `query.at` is a place in this log.
    Locate(Position),
    /// The entries.
    Read(Read),
    /// It cannot be given.
    Refuse(Fault),
}

impl PageQuestion {
    pub(crate) fn new(
        worker: u16,
        session: SessionId,
        id: Option<CommandId>,
        (query, floor): (HistoryQuery, Offset),
    ) -> Self {
        Self { worker, session, id, query, floor, located: None, top: None, turn: 0 }
    }

    /// Whether what was read for it is of a log that has gone another way since.
    pub(crate) fn is_stale(&self, log: &Log) -> bool {
        self.turn != log.turn
    }

    /// What this page needs next from `log`.
    pub(crate) fn step(&mut self, log: &Log, limits: &Limits) -> PageStep {
        if std::mem::replace(&mut self.turn, log.turn) != log.turn {
            (self.located, self.top) = (None, None);
        }
        if let Some(at) = self.query.at {
            let located = if log.holds(at) { Some(Located::Held) } else { self.located };
            match located {
                None => return PageStep::Locate(at),
                Some(Located::Held) if at.offset > log.applied.offset => {
                    let message = format!("offset {} is not yet known here", at.offset);
                    return PageStep::Refuse(Fault::new(ErrorCode::NotAvailable, message).retry_in(RETRY));
                }
                Some(Located::Held) => {}
                Some(Located::Parted { .. }) => {
                    let fault = Fault::new(
                        ErrorCode::Rewound,
                        format!("the log no longer holds position ({}, {})", at.epoch, at.offset),
                    );
                    return PageStep::Refuse(fault);
                }
            }
        }
        let read = self.read(log, limits);
        let Hot::Ring(ring) = &log.hot else {
            let message = format!("{} keeps only the newest; subscribe to it", self.query.channel);
            return PageStep::Refuse(Fault::new(ErrorCode::BadRequest, message));
        };
        match ring.read_folded(read.first, read.last, read.direction, read.window) {
            Some(Folded { items: entries, lo, hi }) => {
                PageStep::Finish(self.page(log, ReadResult { entries, covered: (lo, hi), floor: log.floor }))
            }
            None => {
                self.top = Some(log.applied);
                PageStep::Read(read)
            }
        }
    }

    /// The page that `read` makes, which was read as [`PageQuestion::step`] asked.
    pub(crate) fn page(&self, log: &Log, read: ReadResult) -> Page {
        let (first, last) = self.range(log);
        let forward = self.query.after.is_some();
        let (lo, hi) = read.covered;
        let nothing = lo > hi;
        let (lo, hi) = match (nothing, forward) {
            (false, _) => (lo, hi),
            (true, true) => (first, first.prev()),
            (true, false) => (last.next(), last),
        };
        let more = if forward { hi < last } else { lo > first };
        let top = self.top(log);
        // The floor as it was read with the entries, so that none lies below it.
        let floor = read.floor.max(self.floor);
        Page { epoch: top.epoch, top: top.offset, lo, hi, items: read.entries, floor, more }
    }

    fn range(&self, log: &Log) -> (Offset, Offset) {
        let floor = log.floor.max(self.floor);
        let first = self.query.after.map_or(floor, |after| after.next().max(floor));
        let top = self.top(log).offset;
        let last = self.query.before.map_or(top, |before| before.prev().min(top));
        (first, last)
    }

    fn top(&self, log: &Log) -> Position {
        self.top.unwrap_or(log.applied)
    }

    fn read(&self, log: &Log, limits: &Limits) -> Read {
        let (first, last) = self.range(log);
        let direction = if self.query.after.is_some() { Direction::Forward } else { Direction::Backward };
        let entries = self.query.limit.unwrap_or(limits.history_page_default);
        let window = Window { entries, bytes: limits.history_page_bytes };
        Read { channel: self.query.channel.clone(), first, last, direction, window, folded: true }
    }
}
