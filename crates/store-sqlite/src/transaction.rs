//! One transaction of the writer: appends in the order given, each seeing those before it. It neither
//! begins nor commits; that is the writer's.

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row, params};
use trunkline_backend::{Append, Appended};
use trunkline_model::{ChannelName, Epoch, Key, Offset, Position, Publisher, Timestamp};

use crate::heads::{Heads, KnownHead};
use crate::row::{self, BEGINS_EPOCH, form_bits, signed};

/// Expired keys that go with each new one: more than one, so that they never pile up.
const FORGOTTEN_PER_KEY: usize = 2;

/// The appends of one transaction, with their statements at hand.
pub(crate) struct Transaction<'c> {
    connection: &'c Connection,
    heads: &'c mut Heads,
    epoch: Epoch,
    insert: CachedStatement<'c>,
    touched: Vec<ChannelName>,
    keys_added: usize,
}

impl<'c> Transaction<'c> {
    /// Entries are written under `epoch`.
    pub(crate) fn new(
        connection: &'c Connection,
        heads: &'c mut Heads,
        epoch: Epoch,
    ) -> rusqlite::Result<Self> {
        let insert = connection.prepare_cached(
            "INSERT INTO log (channel, offset, epoch, ts, flags, author, key, payload)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        Ok(Self { connection, heads, epoch, insert, touched: Vec::new(), keys_added: 0 })
    }

    /// Stores `append` at the end of its channel, unless its key is remembered.
    pub(crate) fn append(&mut self, append: &Append, now: Timestamp) -> rusqlite::Result<Appended> {
        let head = self.head(&append.channel)?;
        if let Some(key) = &append.key
            && let Some(first) = find_key(self.connection, head.id, &append.publisher, key, now)?
        {
            return Ok(first);
        }
        let appended = Appended {
            position: Position { epoch: self.epoch, offset: head.offset.next() },
            begins_epoch: head.epoch != Some(self.epoch),
            ts: now.max(head.ts),
            duplicate: false,
        };
        self.insert(head.id, &appended, append)?;
        if let Some(key) = &append.key {
            self.add_key(head.id, &appended, append, key)?;
        }
        self.touch(&append.channel, head, &appended);
        Ok(appended)
    }

    /// Writes the heads of all channels that were appended to, and forgets some expired keys. Returns how
    /// many.
    pub(crate) fn finish(mut self, now: Timestamp) -> rusqlite::Result<usize> {
        let mut update = self
            .connection
            .prepare_cached("UPDATE channels SET head = ?2, epoch = ?3, ts = ?4 WHERE id = ?1")?;
        for channel in std::mem::take(&mut self.touched) {
            let head = self.heads.get(&channel).expect("a touched head stays known to the end");
            head.touched = false;
            let epoch = self.epoch.number();
            update.execute(params![head.id, signed(head.offset.0), signed(epoch), signed(head.ts.0)])?;
        }
        match self.keys_added {
            0 => Ok(0),
            added => forget_keys(self.connection, now, added.saturating_mul(FORGOTTEN_PER_KEY)),
        }
    }

    fn head(&mut self, channel: &ChannelName) -> rusqlite::Result<KnownHead> {
        if let Some(head) = self.heads.get(channel) {
            return Ok(*head);
        }
        let head = match find_head(self.connection, channel)? {
            Some(head) => head,
            None => self.add_channel(channel)?,
        };
        self.heads.insert(channel.clone(), head);
        Ok(head)
    }

    fn add_channel(&self, channel: &ChannelName) -> rusqlite::Result<KnownHead> {
        self.connection
            .prepare_cached("INSERT INTO channels (name, head, epoch, ts) VALUES (?1, 0, ?2, 0)")?
            .execute(params![channel.as_str(), signed(self.epoch.number())])?;
        let id = self.connection.last_insert_rowid();
        Ok(KnownHead { id, offset: Offset::ZERO, epoch: None, ts: Timestamp(0), touched: false })
    }

    fn insert(&mut self, channel: i64, appended: &Appended, append: &Append) -> rusqlite::Result<()> {
        self.insert
            .execute(params![
                channel,
                signed(appended.position.offset.0),
                signed(appended.position.epoch.number()),
                signed(appended.ts.0),
                form_bits(append.payload.form) | begins_bit(appended),
                append.from.as_ref().map(|from| from.as_str()),
                append.key.as_ref().map(Key::as_str),
                &append.payload.bytes[..],
            ])
            .map(|_| ())
    }

    fn add_key(
        &mut self,
        channel: i64,
        appended: &Appended,
        append: &Append,
        key: &Key,
    ) -> rusqlite::Result<()> {
        let window = u64::try_from(append.keys.as_millis()).unwrap_or(u64::MAX);
        let expires = appended.ts.0.saturating_add(window);
        self.keys_added += 1;
        // What is replaced, if anything, has expired.
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO keys (channel, publisher, key, offset, epoch, ts, flags, expires)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                channel,
                append.publisher.as_str(),
                key.as_str(),
                signed(appended.position.offset.0),
                signed(appended.position.epoch.number()),
                signed(appended.ts.0),
                begins_bit(appended),
                signed(expires),
            ])
            .map(|_| ())
    }

    fn touch(&mut self, channel: &ChannelName, head: KnownHead, appended: &Appended) {
        if !head.touched {
            self.touched.push(channel.clone());
        }
        let Position { offset, epoch } = appended.position;
        let head = KnownHead { offset, epoch: Some(epoch), ts: appended.ts, touched: true, ..head };
        self.heads.insert(channel.clone(), head);
    }
}

fn begins_bit(appended: &Appended) -> i64 {
    if appended.begins_epoch { BEGINS_EPOCH } else { 0 }
}

fn find_head(connection: &Connection, channel: &ChannelName) -> rusqlite::Result<Option<KnownHead>> {
    connection
        .prepare_cached("SELECT id, head, epoch, ts FROM channels WHERE name = ?1")?
        .query_row([channel.as_str()], |found| {
            Ok(KnownHead {
                id: found.get(0)?,
                offset: Offset(row::unsigned(found, 1)?),
                epoch: Some(row::epoch(found, 2)?),
                ts: Timestamp(row::unsigned(found, 3)?),
                touched: false,
            })
        })
        .optional()
}

/// Where the entry with this key stands, if the key is still remembered at `now`.
fn find_key(
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

/// Where an earlier append with the key of `append` was stored, if there is one. Outside of a transaction.
pub(crate) fn find_duplicate(
    connection: &Connection,
    append: &Append,
    now: Timestamp,
) -> rusqlite::Result<Option<Appended>> {
    let Some(key) = &append.key else { return Ok(None) };
    match find_head(connection, &append.channel)? {
        Some(head) => find_key(connection, head.id, &append.publisher, key, now),
        None => Ok(None),
    }
}

/// Deletes up to `count` keys that have expired at `now`, the oldest first. Returns how many.
pub(crate) fn forget_keys(connection: &Connection, now: Timestamp, count: usize) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM keys WHERE id IN
             (SELECT id FROM keys WHERE expires <= ?1 ORDER BY expires LIMIT ?2)",
        )?
        .execute(params![signed(now.0), signed(count as u64)])
}
