//! A page of history: which entries it takes, whether the ring can tell them, and what the page says.

use std::sync::Arc;

use trunkline_backend::{Direction, Read, Window};
use trunkline_model::{
    CommandId, ErrorCode, Fault, HistoryQuery, Limits, Offset, Page, Position, Publication,
};

use crate::answers::RETRY;
use crate::channel::Log;
use crate::input::SessionId;
use crate::ring::offset_of;

/// A question for a page, and who gets the answer.
#[derive(Debug)]
pub(crate) struct PageQuestion {
    pub(crate) worker: u16,
    pub(crate) session: SessionId,
    pub(crate) id: Option<CommandId>,
    pub(crate) query: HistoryQuery,
    /// What the store said of the entry at `query.at`, once it was asked.
    pub(crate) entry_at: Option<Option<Position>>,
    /// Where the log stood when the store was asked for the entries, once it was.
    pub(crate) top: Option<Position>,
}

/// What a page needs next.
#[derive(Debug)]
pub(crate) enum PageStep {
    /// Nothing.
    Finish(Page),
    /// The entry at `query.at`, to see whether it is of this log.
    ReadAt(Read),
    /// The entries.
    Read(Read),
    /// It cannot be given.
    Refuse(Fault),
}

impl PageQuestion {
    /// What this page needs next from `log`.
    pub(crate) fn step(&mut self, log: &Log, limits: &Limits) -> PageStep {
        if let Some(at) = self.query.at {
            match self.names_this_log(log, at) {
                Some(true) if at.offset > log.applied.offset => {
                    let message = format!("offset {} is not yet known here", at.offset);
                    return PageStep::Refuse(Fault::new(ErrorCode::NotAvailable, message).retry_in(RETRY));
                }
                Some(true) => {}
                Some(false) => {
                    let fault = Fault::new(
                        ErrorCode::Rewound,
                        format!("the log no longer holds position ({}, {})", at.epoch, at.offset),
                    );
                    return PageStep::Refuse(fault);
                }
                None => {
                    let window = Window { entries: 1, bytes: usize::MAX };
                    return PageStep::ReadAt(Read {
                        channel: self.query.channel.clone(),
                        first: at.offset,
                        last: at.offset,
                        direction: Direction::Forward,
                        window,
                    });
                }
            }
        }
        let read = self.read(log, limits);
        match log.ring.read(read.first, read.last, read.direction, read.window) {
            Some(items) => PageStep::Finish(self.page(log, items)),
            None => {
                self.top = Some(log.applied);
                PageStep::Read(read)
            }
        }
    }

    /// The page that `items` make, which were read as [`PageQuestion::step`] asked.
    pub(crate) fn page(&self, log: &Log, items: Vec<Arc<Publication>>) -> Page {
        let (first, last) = self.range(log);
        let forward = self.query.after.is_some();
        let empty = if forward { (first, first.prev()) } else { (last.next(), last) };
        let (lo, hi) = match (items.first(), items.last()) {
            (Some(lowest), Some(highest)) => (offset_of(lowest), offset_of(highest)),
            _ => empty,
        };
        let more = if forward { hi < last } else { lo > first };
        let top = self.top(log);
        Page { epoch: top.epoch, top: top.offset, lo, hi, items, floor: log.floor, more }
    }

    /// `None` if the store must be asked.
    fn names_this_log(&self, log: &Log, at: Position) -> Option<bool> {
        if at.offset == Offset::ZERO || at == log.applied {
            return Some(true);
        }
        if at.offset.next() < log.floor {
            return Some(false);
        }
        if at.offset.next() == log.floor {
            return Some(log.floor_epoch == Some(at.epoch));
        }
        let found = match log.ring.get(at.offset) {
            Some(entry) => entry.position,
            None => self.entry_at?,
        };
        Some(found == Some(at))
    }

    fn range(&self, log: &Log) -> (Offset, Offset) {
        let first = self.query.after.map_or(log.floor, |after| after.next().max(log.floor));
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
        Read { channel: self.query.channel.clone(), first, last, direction, window }
    }
}
