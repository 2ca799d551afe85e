//! A reader thread: answers `Head` and `Read` from snapshots of the database. It never waits for the writer,
//! nor the writer for it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};
use trunkline_backend::{Answer, Direction, Head, Meter, Read, ReadResult, Sink, StoreError, Ticket, Window};
use trunkline_model::{ChannelName, Epoch, Offset, Position, Publication};

use crate::counters::{Tally, count};
use crate::epoch::SharedEpoch;
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
        })
    }

    /// The answer that it could not be answered.
    pub(crate) fn refuse(&self, why: &str) -> Answer {
        let error = StoreError::NotStored(why.to_owned());
        match self {
            Self::Head(ticket, ..) => Answer::Head(*ticket, Err(error)),
            Self::Read(ticket, _) => Answer::Read(*ticket, Err(error)),
        }
    }
}

fn head(
    snapshot: &Connection,
    channel: &ChannelName,
    window: Window,
    epoch: Epoch,
) -> rusqlite::Result<Head> {
    let found = snapshot
        .prepare_cached("SELECT id, head, epoch, floor, floor_epoch FROM channels WHERE name = ?1")?
        .query_row([channel.as_str()], |found| {
            let position =
                Position { offset: Offset(row::unsigned(found, 1)?), epoch: row::epoch(found, 2)? };
            let floor = Offset(row::unsigned(found, 3)?);
            let floor_epoch: Option<i64> = found.get(4)?;
            let floor_epoch = floor_epoch.map(|_| row::epoch(found, 4)).transpose()?;
            Ok((found.get::<_, i64>(0)?, Head { position, floor, floor_epoch, tail: Vec::new() }))
        })
        .optional()?;
    let Some((id, head)) = found else {
        let position = Position { epoch, offset: Offset::ZERO };
        return Ok(Head { position, floor: Offset(1), floor_epoch: None, tail: Vec::new() });
    };
    let range = (head.floor, head.position.offset);
    let tail = entries(snapshot, channel, id, range, Direction::Backward, window)?;
    Ok(Head { tail: tail.into_iter().map(Arc::new).collect(), ..head })
}

fn read(snapshot: &Connection, wanted: &Read) -> rusqlite::Result<ReadResult> {
    let found = snapshot
        .prepare_cached("SELECT id, head, floor FROM channels WHERE name = ?1")?
        .query_row([wanted.channel.as_str()], |found| {
            Ok((found.get::<_, i64>(0)?, Offset(row::unsigned(found, 1)?), Offset(row::unsigned(found, 2)?)))
        })
        .optional()?;
    let Some((id, head, floor)) = found else { return Ok(ReadResult { entries: Vec::new() }) };
    let range = (wanted.first.max(floor), wanted.last.min(head));
    let entries = entries(snapshot, &wanted.channel, id, range, wanted.direction, wanted.window)?;
    Ok(ReadResult { entries: entries.into_iter().map(Arc::new).collect() })
}

/// The entries of a range that lies within floor and head, as many as the window holds, ascending. A hole in
/// it is damage, and an error.
fn entries(
    snapshot: &Connection,
    channel: &ChannelName,
    id: i64,
    (first, last): (Offset, Offset),
    direction: Direction,
    window: Window,
) -> rusqlite::Result<Vec<Publication>> {
    if first > last {
        return Ok(Vec::new());
    }
    let (order, mut expected, next): (_, _, fn(Offset) -> Offset) = match direction {
        Direction::Forward => ("ASC", first, Offset::next),
        Direction::Backward => ("DESC", last, Offset::prev),
    };
    let columns = row::COLUMNS;
    let mut select = snapshot.prepare_cached(&format!(
        "SELECT {columns} FROM log WHERE channel = ?1 AND offset BETWEEN ?2 AND ?3
         ORDER BY offset {order} LIMIT ?4"
    ))?;
    let mut rows = select.query(params![id, signed(first.0), signed(last.0), window.entries.max(1)])?;
    let mut meter = Meter::new(window);
    let mut page = Vec::new();
    while let Some(found) = rows.next()? {
        let entry = row::publication(channel, found)?;
        if entry.position.is_none_or(|position| position.offset != expected) {
            return Err(damaged(channel, expected));
        }
        if !meter.admit(entry.cost()) {
            break;
        }
        page.push(entry);
        expected = next(expected);
    }
    if page.is_empty() {
        return Err(damaged(channel, expected));
    }
    if direction == Direction::Backward {
        page.reverse();
    }
    Ok(page)
}

fn damaged(channel: &ChannelName, offset: Offset) -> rusqlite::Error {
    let what = format!("the log of {channel} has no entry at offset {offset}");
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT), Some(what))
}
