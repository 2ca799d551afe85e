//! A reader thread: answers `Head`, `Read` and `Locate` from snapshots of the database. It never waits for the writer,
//! nor the writer for it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};
use trunkline_backend::{
    Answer, Direction, Head, Located, Meter, Read, ReadResult, Sink, StoreError, Ticket, Window,
};
use trunkline_model::{ChannelName, Epoch, Offset, Position};

use crate::counters::{Tally, count};
use crate::epoch::SharedEpoch;
use crate::page::Page;
use crate::queue::{Queue, Taken};
use crate::row::{self, signed};
use crate::schema;

/// Questions that are answered from one snapshot and in one call of the sink: few enough that the others
/// get their share, and that a snapshot does not hold up the checkpoints.
const SNAPSHOT_QUESTIONS: u32 = 16;

/// A reader has nothing to do while it waits.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// One question that waits for its answer.
#[derive(Debug)]
pub(crate) enum Question {
    /// Where does this channel stand?
    Head(Ticket, ChannelName, Window),
    /// The entries of a range.
    Read(Ticket, Read),
    /// Is this a place in the channel's log?
    Locate(Ticket, ChannelName, Position),
}

/// The state of one reader; [`Reader::run`] is its thread.
pub(crate) struct Reader {
    pub(crate) path: PathBuf,
    pub(crate) queue: Arc<Queue<Question>>,
    pub(crate) sink: Sink,
    pub(crate) epoch: Arc<SharedEpoch>,
    pub(crate) tally: Arc<Tally>,
    /// `None` after an error; opened again with the next question.
    pub(crate) connection: Option<Connection>,
}

impl Reader {
    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        loop {
            let mut meter = Meter::new(Window { entries: SNAPSHOT_QUESTIONS, bytes: 0 });
            match self.queue.take(PATIENCE, |_| meter.admit(0)) {
                Taken::Items(questions) => {
                    count(&self.tally.reads, questions.len());
                    let answers = self.answer(questions);
                    (self.sink)(answers);
                }
                Taken::Nothing => {}
                Taken::Closed => return,
            }
        }
    }

    fn answer(&mut self, questions: Vec<Question>) -> Vec<Answer> {
        let epoch = self.epoch.get();
        match self.snapshot(&questions, epoch) {
            Ok(answers) => {
                if answers.iter().any(Answer::is_refusal) {
                    // What one question ran into may be the connection's; the next ones begin with a fresh one.
                    self.connection = None;
                }
                answers
            }
            Err(error) => {
                self.connection = None;
                let why = self.why(&error);
                questions.iter().map(|question| question.refuse(&why)).collect()
            }
        }
    }

    fn why(&self, error: &rusqlite::Error) -> String {
        let why = format!("{}: {error}", self.path.display());
        tracing::warn!(why, "a read failed");
        why
    }

    /// Answers all from one snapshot: what was committed before it began is in it.
    fn snapshot(&mut self, questions: &[Question], epoch: Epoch) -> rusqlite::Result<Vec<Answer>> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => schema::open_reader(&self.path)?,
        };
        let mut connection = connection;
        let snapshot = connection.transaction()?;
        // A question about a damaged channel fails alone.
        let answer = |question: &Question| {
            question.answer(&snapshot, epoch).unwrap_or_else(|error| question.refuse(&self.why(&error)))
        };
        let answers = questions.iter().map(answer).collect();
        drop(snapshot);
        self.connection = Some(connection);
        Ok(answers)
    }
}

impl Question {
    fn answer(&self, snapshot: &Connection, epoch: Epoch) -> rusqlite::Result<Answer> {
        Ok(match self {
            Self::Head(ticket, channel, window) => {
                Answer::Head(*ticket, Ok(head(snapshot, channel, *window, epoch)?))
            }
            Self::Read(ticket, wanted) => Answer::Read(*ticket, Ok(read(snapshot, wanted)?)),
            Self::Locate(ticket, channel, position) => {
                Answer::Located(*ticket, Ok(locate(snapshot, channel, *position)?))
            }
        })
    }

    /// The answer that it could not be answered.
    pub(crate) fn refuse(&self, why: &str) -> Answer {
        let error = StoreError::NotStored(why.to_owned());
        match self {
            Self::Head(ticket, ..) => Answer::Head(*ticket, Err(error)),
            Self::Read(ticket, _) => Answer::Read(*ticket, Err(error)),
            Self::Locate(ticket, ..) => Answer::Located(*ticket, Err(error)),
        }
    }
}

/// A channel as it is in the database.
pub(crate) struct Found {
    pub(crate) id: i64,
    pub(crate) head: Position,
    pub(crate) floor: Offset,
    /// Whether it keeps only the newest of each entry. Then there are holes, and the floor is not where it begins.
    pub(crate) compacted: bool,
}

impl Found {
    /// The first offset that may be there.
    pub(crate) fn lowest(&self) -> Offset {
        if self.compacted { Offset(1) } else { self.floor }
    }
}

fn find(snapshot: &Connection, channel: &ChannelName) -> rusqlite::Result<Option<Found>> {
    snapshot
        .prepare_cached("SELECT id, head, epoch, floor, compacted FROM channels WHERE name = ?1")?
        .query_row([channel.as_str()], |found| {
            let head = Position { offset: Offset(row::unsigned(found, 1)?), epoch: row::epoch(found, 2)? };
            let floor = Offset(row::unsigned(found, 3)?);
            Ok(Found { id: found.get(0)?, head, floor, compacted: found.get(4)? })
        })
        .optional()
}

fn head(
    snapshot: &Connection,
    channel: &ChannelName,
    window: Window,
    epoch: Epoch,
) -> rusqlite::Result<Head> {
    let Some(found) = find(snapshot, channel)? else {
        let position = Position { epoch, offset: Offset::ZERO };
        return Ok(Head { position, floor: Offset(1), tail: Vec::new() });
    };
    let (first, last, direction) = (Offset(1), found.head.offset, Direction::Backward);
    let newest = Read { channel: channel.clone(), first, last, direction, window, folded: false };
    let page = Page::read(snapshot, &found, &newest)?;
    Ok(Head { position: found.head, floor: found.floor, tail: page.entries })
}

fn read(snapshot: &Connection, wanted: &Read) -> rusqlite::Result<ReadResult> {
    let found = find(snapshot, &wanted.channel)?;
    let floor = found.as_ref().map_or(Offset(1), |found| found.floor);
    let Page { entries, covered } = match found {
        Some(found) => Page::read(snapshot, &found, wanted)?,
        None => Page::empty(wanted.first),
    };
    Ok(ReadResult { entries, covered, floor })
}

fn locate(snapshot: &Connection, channel: &ChannelName, position: Position) -> rusqlite::Result<Located> {
    if position.offset == Offset::ZERO {
        return Ok(Located::Held);
    }
    let nowhere = Located::Parted { keep: None };
    let Some(Found { id, head, .. }) = find(snapshot, channel)? else { return Ok(nowhere) };
    let first = snapshot
        .prepare_cached("SELECT first FROM epochs WHERE channel = ?1 AND epoch = ?2")?
        .query_row(params![id, signed(position.epoch.number())], |found| row::unsigned(found, 0))
        .optional()?;
    let Some(first) = first else { return Ok(nowhere) };
    let next = snapshot
        .prepare_cached("SELECT first FROM epochs WHERE channel = ?1 AND first > ?2 ORDER BY first LIMIT 1")?
        .query_row(params![id, signed(first)], |found| row::unsigned(found, 0))
        .optional()?;
    let last = next.map_or(head.offset, |next| Offset(next).prev());
    if (Offset(first)..=last).contains(&position.offset) {
        Ok(Located::Held)
    } else {
        Ok(Located::Parted { keep: Some(last.min(position.offset.prev())) })
    }
}
