//! The keys that the store remembers, and what they stand for: the table `keys`. Used by the transaction, and by the
//! writer after a rollback.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use trunkline_backend::{Append, Appended, Refusal};
use trunkline_model::{Key, Offset, Position, Publisher, Timestamp};

use crate::heads;
use crate::row::{self, BEGINS_EPOCH, begins_bit, signed};
use crate::schema;

/// How many keys there are, as the writer knows it, and how many there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyCount {
    count: u64,
    max: u64,
}

impl KeyCount {
    /// Counts those that are there, one by one.
    pub(crate) fn take(connection: &Connection, max: u64) -> rusqlite::Result<Self> {
        let count = connection.query_row(schema::COUNT_KEYS, [], |found| row::unsigned(found, 0))?;
        Ok(Self { count, max })
    }

    /// How many more there may be.
    pub(crate) fn room(self) -> u64 {
        self.max.saturating_sub(self.count)
    }

    /// Takes note of what a transaction has added and deleted.
    pub(crate) fn change(&mut self, added: usize, forgotten: usize) {
        self.count = (self.count + added as u64).saturating_sub(forgotten as u64);
    }

    /// Why there may be no more.
    pub(crate) fn refusal(self) -> Refusal {
        Refusal::TooManyKeys(self.max)
    }
}

/// What was stored under this key, if the key is still remembered at `now`.
pub(crate) fn find(
    connection: &Connection,
    channel: i64,
    publisher: &Publisher,
    key: &Key,
    now: Timestamp,
) -> rusqlite::Result<Option<Appended>> {
    connection
        .prepare_cached(
            "SELECT offset, epoch, ts, flags FROM keys
             WHERE channel = ?1 AND publisher = ?2 AND key = ?3 AND expires > ?4",
        )?
        .query_row(params![channel, publisher.as_str(), key.as_str(), signed(now.0)], remembered)
        .optional()
}

fn remembered(found: &Row<'_>) -> rusqlite::Result<Appended> {
    Ok(Appended {
        position: Position { offset: Offset(row::unsigned(found, 0)?), epoch: row::epoch(found, 1)? },
        begins_epoch: found.get::<_, i64>(3)? & BEGINS_EPOCH != 0,
        ts: Timestamp(row::unsigned(found, 2)?),
        duplicate: true,
    })
}

/// Remembers from `since` on, for as long as `append` says, that the key stands for `stored`. Returns whether there is
/// one more now; else it has taken the place of one that had expired.
pub(crate) fn add(
    connection: &Connection,
    channel: i64,
    (publisher, key): (&Publisher, &Key),
    stored: &Appended,
    append: &Append,
    since: Timestamp,
) -> rusqlite::Result<bool> {
    let window = u64::try_from(append.keys.as_millis()).unwrap_or(u64::MAX);
    let columns = params![
        channel,
        publisher.as_str(),
        key.as_str(),
        signed(stored.position.offset.0),
        signed(stored.position.epoch.number()),
        signed(stored.ts.0),
        begins_bit(stored),
        signed(since.0.saturating_add(window)),
    ];
    let added = connection
        .prepare_cached(
            "INSERT INTO keys (channel, publisher, key, offset, epoch, ts, flags, expires)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
        )?
        .execute(columns)?;
    if added == 0 {
        connection
            .prepare_cached(
                "UPDATE keys SET offset = ?4, epoch = ?5, ts = ?6, flags = ?7, expires = ?8
                 WHERE channel = ?1 AND publisher = ?2 AND key = ?3",
            )?
            .execute(columns)?;
    }
    Ok(added > 0)
}

/// Where an earlier append with the key of `append` was stored, if there is one. Outside of a transaction.
pub(crate) fn find_duplicate(
    connection: &Connection,
    append: &Append,
    now: Timestamp,
) -> rusqlite::Result<Option<Appended>> {
    let Some(key) = &append.key else { return Ok(None) };
    match heads::find(connection, &append.channel)? {
        Some(head) => find(connection, head.id, &append.publisher, key, now),
        None => Ok(None),
    }
}

/// Deletes up to `count` keys that have expired at `now`, the oldest first. Returns how many.
pub(crate) fn forget(connection: &Connection, now: Timestamp, count: usize) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM keys WHERE id IN
             (SELECT id FROM keys WHERE expires <= ?1 ORDER BY expires LIMIT ?2)",
        )?
        .execute(params![signed(now.0), signed(count as u64)])
}
