//! The entries of a range, read from a snapshot of the database: as many as a window holds, as they were stored or as
//! readers of history see them. Used by the reader.

use std::sync::Arc;

use rusqlite::{Connection, params};
use trunkline_backend::{Direction, FOLDED_LOOKS, Meter, Read};
use trunkline_model::{ChannelName, Offset, Publication};

use crate::row::{self, TARGET, signed};
use crate::{reader::Found, references};

/// What a window holds of a range.
pub(crate) struct Page {
    /// Ascending.
    pub(crate) entries: Vec<Arc<Publication>>,
    /// The range that they are all of; the first is one more than the last if that is nothing.
    pub(crate) covered: (Offset, Offset),
}

impl Page {
    /// What `wanted` asks of a channel that was found. A hole in a log is damage, and an error.
    pub(crate) fn read(snapshot: &Connection, found: &Found, wanted: &Read) -> rusqlite::Result<Self> {
        let (first, last) = (wanted.first.max(found.lowest()), wanted.last.min(found.head.offset));
        if first > last {
            return Ok(Self::empty(first));
        }
        let (entries, beyond) = collect(snapshot, found, wanted, (first, last))?;
        Ok(match wanted.direction {
            Direction::Forward => Self { entries, covered: (first, beyond.map_or(last, Offset::prev)) },
            Direction::Backward => {
                let entries = entries.into_iter().rev().collect();
                Self { entries, covered: (beyond.map_or(first, Offset::next), last) }
            }
        })
    }

    /// Of a range from `first` on in which there is nothing.
    pub(crate) fn empty(first: Offset) -> Self {
        let first = first.max(Offset(1));
        Self { entries: Vec::new(), covered: (first, first.prev()) }
    }
}

/// The entries that the window holds, in the direction that is wanted, and the offset of the first that it does not.
fn collect(
    snapshot: &Connection,
    found: &Found,
    wanted: &Read,
    (first, last): (Offset, Offset),
) -> rusqlite::Result<(Vec<Arc<Publication>>, Option<Offset>)> {
    let (order, begin, behind, next): (_, _, _, fn(Offset) -> Offset) = match wanted.direction {
        Direction::Forward => ("ASC", first, last.next(), Offset::next),
        Direction::Backward => ("DESC", last, first.prev(), Offset::prev),
    };
    let mut select = snapshot.prepare_cached(&statement(order))?;
    let mut rows = select.query(params![found.id, signed(first.0), signed(last.0)])?;
    let mut meter = Meter::new(wanted.window);
    let looks = wanted.window.entries.max(1) as usize * if wanted.folded { FOLDED_LOOKS } else { 1 };
    let (mut entries, mut expected, mut looked_at) = (Vec::new(), begin, 0);
    while let Some(row) = rows.next()? {
        let offset = Offset(row::unsigned(row, 0)?);
        if offset != expected && !found.compacted {
            return Err(damaged(&wanted.channel, expected));
        }
        if looked_at >= looks {
            return Ok((entries, Some(offset)));
        }
        looked_at += 1;
        expected = next(offset);
        if wanted.folded && row.get::<_, Option<i64>>(TARGET)?.is_some() {
            continue;
        }
        let mut entry = row::publication(&wanted.channel, row)?;
        if wanted.folded {
            entry = references::folded(snapshot, found.id, entry)?;
        }
        if !meter.admit(entry.cost()) {
            return Ok((entries, Some(offset)));
        }
        entries.push(Arc::new(entry));
    }
    if expected != behind && !found.compacted {
        return Err(damaged(&wanted.channel, expected));
    }
    Ok((entries, None))
}

fn statement(order: &str) -> String {
    let columns = row::COLUMNS;
    format!(
        "SELECT {columns} FROM log WHERE channel = ?1 AND offset BETWEEN ?2 AND ?3 ORDER BY offset {order}"
    )
}

fn damaged(channel: &ChannelName, offset: Offset) -> rusqlite::Error {
    let what = format!("the log of {channel} has no entry at offset {offset}");
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT), Some(what))
}
