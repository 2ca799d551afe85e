//! One transaction of the writer: appends in the order given, each seeing those before it. It neither
//! begins nor commits; that is the writer's.

use hashbrown::HashMap;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};
use trunkline_backend::{Append, Appended, Refusal, Retentions};
use trunkline_model::{
    ChannelName, Entry, EntryName, Epoch, Key, Offset, Op, Position, Publisher, Reference, Role, Timestamp,
};

use crate::heads::{self, Heads, KnownHead};
use crate::keys::KeyCount;
use crate::row::{self, REMOVED, begins_bit, entry_name, form_bits, op_bits, signed};
use crate::{keys, references, schema};

/// Expired keys that go with each new one: more than one, so that they never pile up.
const FORGOTTEN_PER_KEY: usize = 2;

/// Expired keys that go where there is no room for a new one.
const FORGOTTEN_FOR_ROOM: usize = 512;

/// What became of an append.
pub(crate) type Outcome = Result<Appended, Refusal>;

/// The appends of one transaction, with their statements at hand.
pub(crate) struct Transaction<'c> {
    connection: &'c Connection,
    heads: &'c mut Heads,
    epoch: Epoch,
    retentions: &'c Retentions,
    insert: CachedStatement<'c>,
    touched: Vec<ChannelName>,
    /// By how much the entries of each namespace weigh more.
    added: HashMap<i64, i64>,
    key_count: KeyCount,
    keys_added: usize,
    /// Expired ones that were deleted because there was no room.
    keys_forgotten: usize,
    /// Whether there may be more of them.
    may_forget: bool,
    erased: bool,
}

/// What a transaction did besides its appends.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    /// Keys that are remembered now and were not before.
    pub(crate) keys_added: usize,
    /// Expired keys that were deleted.
    pub(crate) keys_forgotten: usize,
    /// The channels that were appended to, and their numbers.
    pub(crate) touched: Vec<(ChannelName, i64)>,
    /// Whether payloads were erased.
    pub(crate) erased: bool,
}

impl<'c> Transaction<'c> {
    /// Entries are written under `epoch`. How long removals are remembered is taken from `retentions`.
    pub(crate) fn new(
        connection: &'c Connection,
        heads: &'c mut Heads,
        epoch: Epoch,
        retentions: &'c Retentions,
        key_count: KeyCount,
    ) -> rusqlite::Result<Self> {
        let insert = connection.prepare_cached(
            "INSERT INTO log (id, channel, offset, epoch, ts, flags, author, key, payload)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        let (touched, added) = (Vec::new(), HashMap::new());
        Ok(Self {
            connection,
            heads,
            epoch,
            retentions,
            insert,
            touched,
            added,
            key_count,
            keys_added: 0,
            keys_forgotten: 0,
            may_forget: true,
            erased: false,
        })
    }

    /// Stores `append` at the end of its channel, unless its key is remembered or it is refused.
    pub(crate) fn append(&mut self, append: &Append, now: Timestamp) -> rusqlite::Result<Outcome> {
        let known = self.find(&append.channel)?;
        if let (Some(key), Some(head)) = (&append.key, known)
            && let Some(first) = keys::find(self.connection, head.id, &append.publisher, key, now)?
        {
            self.answer_overtaken(head.id, append, &first, now)?;
            return Ok(Ok(first));
        }
        if append.key.is_some() && !self.has_room_for_key(now)? {
            return Ok(Err(self.key_count.refusal()));
        }
        if let Err(refusal) = self.check_condition(known, append)? {
            return Ok(Err(refusal));
        }
        match self.check_reference(known, append)? {
            Ok(None) => {}
            Ok(Some(first)) => {
                if let Some(head) = known {
                    self.answer_overtaken(head.id, append, &first, now)?;
                }
                return Ok(Ok(first));
            }
            Err(refusal) => return Ok(Err(refusal)),
        }
        let head = match known {
            Some(head) => head,
            None => self.add_channel(&append.channel)?,
        };
        let appended = Appended {
            position: Position { epoch: self.epoch, offset: head.offset.next() },
            begins_epoch: head.epoch != Some(self.epoch),
            ts: now.max(head.ts),
            duplicate: false,
        };
        let head = self.push(head, &appended, append)?;
        if let Some(key) = &append.key {
            self.add_key(head.id, (&append.publisher, key), &appended, append, appended.ts)?;
        }
        self.answer_overtaken(head.id, append, &appended, now)?;
        self.touch(&append.channel, head, &appended);
        Ok(Ok(appended))
    }

    /// Writes the heads of all channels that were appended to and what their namespaces weigh, and forgets some expired
    /// keys.
    pub(crate) fn finish(mut self, now: Timestamp) -> rusqlite::Result<Finished> {
        let mut update = self
            .connection
            .prepare_cached("UPDATE channels SET head = ?2, epoch = ?3, ts = ?4 WHERE id = ?1")?;
        let mut finished = Finished { erased: self.erased, ..Finished::default() };
        for channel in std::mem::take(&mut self.touched) {
            let head = self.heads.get(&channel).expect("a touched head stays known to the end");
            head.touched = false;
            let epoch = self.epoch.number();
            update.execute(params![head.id, signed(head.offset.0), signed(epoch), signed(head.ts.0)])?;
            finished.touched.push((channel, head.id));
        }
        for (namespace, bytes) in std::mem::take(&mut self.added) {
            self.connection
                .prepare_cached("UPDATE namespaces SET bytes = bytes + ?2 WHERE id = ?1")?
                .execute([namespace, bytes])?;
        }
        if self.erased {
            schema::secure_cheaply(self.connection)?;
        }
        finished.keys_added = self.keys_added;
        finished.keys_forgotten = self.keys_forgotten;
        if self.keys_added > 0 {
            let count = self.keys_added.saturating_mul(FORGOTTEN_PER_KEY);
            finished.keys_forgotten += keys::forget(self.connection, now, count)?;
        }
        Ok(finished)
    }

    fn find(&mut self, channel: &ChannelName) -> rusqlite::Result<Option<KnownHead>> {
        if let Some(head) = self.heads.get(channel) {
            return Ok(Some(*head));
        }
        let found = heads::find(self.connection, channel)?;
        if let Some(head) = found {
            self.heads.insert(channel.clone(), head);
        }
        Ok(found)
    }

    /// Whether the newest offset is the one that `append` expects.
    fn check_condition(
        &self,
        known: Option<KnownHead>,
        append: &Append,
    ) -> rusqlite::Result<Result<(), Refusal>> {
        let Some(wanted) = append.condition else { return Ok(Ok(())) };
        let newest = match (known, append.role.entry().and_then(|entry| entry.name.as_ref())) {
            (Some(head), None) => head.epoch.map(|epoch| Position { epoch, offset: head.offset }),
            (Some(head), Some(name)) => self.newest_of_entry(head.id, name)?,
            (None, _) => None,
        };
        let newest = newest.unwrap_or(Position { epoch: self.epoch, offset: Offset::ZERO });
        Ok(if newest.offset == wanted { Ok(()) } else { Err(Refusal::Conflict(newest)) })
    }

    fn check_reference(
        &self,
        known: Option<KnownHead>,
        append: &Append,
    ) -> rusqlite::Result<Result<Option<Appended>, Refusal>> {
        match (append.role.reference(), known) {
            (None, _) => Ok(Ok(None)),
            (Some(reference), None) => Ok(Err(Refusal::NoTarget(reference.target))),
            (Some(reference), Some(head)) => references::check(self.connection, head.id, append, reference),
        }
    }

    /// Where the entry stands, if it is there.
    fn newest_of_entry(&self, channel: i64, name: &EntryName) -> rusqlite::Result<Option<Position>> {
        self.connection
            .prepare_cached(
                "SELECT offset, epoch FROM log WHERE channel = ?1 AND entry = ?2 AND NOT flags & ?3",
            )?
            .query_row(params![channel, name.as_str(), REMOVED], |found| {
                Ok(Position { offset: Offset(row::unsigned(found, 0)?), epoch: row::epoch(found, 1)? })
            })
            .optional()
    }

    fn add_channel(&self, channel: &ChannelName) -> rusqlite::Result<KnownHead> {
        self.connection
            .prepare_cached("INSERT OR IGNORE INTO namespaces (name) VALUES (?1)")?
            .execute([channel.namespace()])?;
        let namespace = self
            .connection
            .prepare_cached("SELECT id FROM namespaces WHERE name = ?1")?
            .query_row([channel.namespace()], |found| found.get(0))?;
        self.connection
            .prepare_cached(
                "INSERT INTO channels (name, namespace, head, epoch, ts) VALUES (?1, ?2, 0, ?3, 0)",
            )?
            .execute(params![channel.as_str(), namespace, signed(self.epoch.number())])?;
        Ok(KnownHead {
            id: self.connection.last_insert_rowid(),
            namespace,
            offset: Offset::ZERO,
            epoch: None,
            ts: Timestamp(0),
            compacted: false,
            touched: false,
        })
    }

    /// Writes the entry and all that goes with it. Returns what is known of the channel then.
    fn push(&mut self, head: KnownHead, appended: &Appended, append: &Append) -> rusqlite::Result<KnownHead> {
        if appended.begins_epoch {
            self.begin_epoch(head.id, appended.position)?;
        }
        match &append.role {
            Role::Message => {
                *self.added.entry(head.namespace).or_default() += cost(append);
                self.insert(head.id, appended, append)?;
                Ok(head)
            }
            Role::Reference(reference) => {
                self.refer(head.id, appended, append, reference)?;
                let offset = appended.position.offset;
                let erased = references::fold(self.connection, head.id, append, reference, offset)?;
                *self.added.entry(head.namespace).or_default() += cost(append) - erased;
                self.erased |= reference.op == Op::Delete;
                Ok(head)
            }
            Role::Entry(entry) => {
                self.replace(head.id, appended, append, entry)?;
                if !head.compacted {
                    self.connection
                        .prepare_cached("UPDATE channels SET compacted = 1 WHERE id = ?1")?
                        .execute([head.id])?;
                }
                Ok(KnownHead { compacted: true, ..head })
            }
        }
    }

    fn begin_epoch(&self, channel: i64, Position { epoch, offset }: Position) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("INSERT INTO epochs (channel, epoch, first) VALUES (?1, ?2, ?3)")?
            .execute(params![channel, signed(epoch.number()), signed(offset.0)])
            .map(|_| ())
    }

    fn insert(&mut self, channel: i64, appended: &Appended, append: &Append) -> rusqlite::Result<()> {
        self.insert
            .execute(params![
                self.heads.number_row(),
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

    fn refer(
        &mut self,
        channel: i64,
        appended: &Appended,
        append: &Append,
        reference: &Reference,
    ) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO log (id, channel, offset, epoch, ts, flags, author, key, payload, target)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                self.heads.number_row(),
                channel,
                signed(appended.position.offset.0),
                signed(appended.position.epoch.number()),
                signed(appended.ts.0),
                form_bits(append.payload.form) | begins_bit(appended) | op_bits(reference.op),
                append.from.as_ref().map(|from| from.as_str()),
                append.key.as_ref().map(Key::as_str),
                &append.payload.bytes[..],
                signed(reference.target.0),
            ])
            .map(|_| ())
    }

    /// Puts the newest state of an entry in the place of the one before.
    fn replace(
        &mut self,
        channel: i64,
        appended: &Appended,
        append: &Append,
        entry: &Entry,
    ) -> rusqlite::Result<()> {
        // If that was a removal, the note of when to forget it finds nothing then.
        self.connection
            .prepare_cached("DELETE FROM log WHERE channel = ?1 AND entry = ?2")?
            .execute(params![channel, entry_name(entry)])?;
        let row = self.heads.number_row();
        let removed = if entry.removed { REMOVED } else { 0 };
        self.connection
            .prepare_cached(
                "INSERT INTO log
                 (id, channel, offset, epoch, ts, flags, author, key, payload, entry, expires, owner)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                row,
                channel,
                signed(appended.position.offset.0),
                signed(appended.position.epoch.number()),
                signed(appended.ts.0),
                form_bits(append.payload.form) | begins_bit(appended) | removed,
                append.from.as_ref().map(|from| from.as_str()),
                append.key.as_ref().map(Key::as_str),
                &append.payload.bytes[..],
                entry_name(entry),
                entry.expires.map(|expires| signed(expires.0)),
                entry.owner.as_ref().map(|owner| owner.as_str()),
            ])?;
        if entry.removed { self.remember_removal(row, appended, append) } else { Ok(()) }
    }

    fn remember_removal(&self, row: i64, appended: &Appended, append: &Append) -> rusqlite::Result<()> {
        let remembered = self.retentions.of(append.channel.namespace()).removals;
        let ms = u64::try_from(remembered.as_millis()).unwrap_or(u64::MAX);
        self.connection
            .prepare_cached("INSERT INTO removals (row, due) VALUES (?1, ?2)")?
            .execute(params![row, signed(appended.ts.0.saturating_add(ms))])
            .map(|_| ())
    }

    fn add_key(
        &mut self,
        channel: i64,
        scope: (&Publisher, &Key),
        stored: &Appended,
        append: &Append,
        since: Timestamp,
    ) -> rusqlite::Result<()> {
        let is_new = keys::add(self.connection, channel, scope, stored, append, since)?;
        self.keys_added += usize::from(is_new);
        Ok(())
    }

    /// Whether one more key may be remembered; expired ones make room.
    fn has_room_for_key(&mut self, now: Timestamp) -> rusqlite::Result<bool> {
        let room = |forgotten: usize| self.key_count.room() + forgotten as u64;
        if self.keys_added as u64 >= room(self.keys_forgotten) && self.may_forget {
            let forgotten = keys::forget(self.connection, now, FORGOTTEN_FOR_ROOM)?;
            self.keys_forgotten += forgotten;
            self.may_forget = forgotten == FORGOTTEN_FOR_ROOM;
        }
        Ok((self.keys_added as u64) < self.key_count.room() + self.keys_forgotten as u64)
    }

    /// What `append` has overtaken has its answer from now on.
    fn answer_overtaken(
        &mut self,
        channel: i64,
        append: &Append,
        answer: &Appended,
        now: Timestamp,
    ) -> rusqlite::Result<()> {
        for (publisher, key) in &append.overtaken {
            if keys::find(self.connection, channel, publisher, key, now)?.is_none() {
                self.add_key(channel, (publisher, key), answer, append, answer.ts.max(now))?;
            }
        }
        Ok(())
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

/// What an entry of a log will count against byte limits; [`row::COST`] reads the same from its row.
fn cost(append: &Append) -> i64 {
    let from = append.from.as_ref().map_or(0, |from| from.as_str().len());
    let key = append.key.as_ref().map_or(0, |key| key.as_str().len());
    signed((append.payload.bytes.len() + from + key + 64) as u64)
}
