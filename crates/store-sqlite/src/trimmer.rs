//! Retention: deletes what is beyond the bounds of its namespace, a few rows at a time. It neither begins nor commits;
//! the writer does, between its transactions and while it rests.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use trunkline_backend::Retentions;
use trunkline_model::{ChannelName, Retention, Timestamp};

use crate::references;
use crate::row::{self, COST, signed};

/// Entries that one step deletes: a few milliseconds.
const STEP: usize = 512;

/// Channels with nothing to trim that one step passes by; and for each namespace that is bounded by bytes or age, rows of
/// others. Far more than are appended between two steps, so that cursors keep up.
const LOOKED_AT: usize = 2_048;

/// Publications after which a busy writer makes a step: half as many as a step deletes, so that trimming keeps up.
const APPENDS_PER_STEP: usize = STEP / 2;

/// Rows that a cursor may be ahead of what the file says of it. They are passed by again after a restart.
const CURSOR_LEAD: i64 = 65_536;

/// The bounds in force; set by who runs the store, read by the writer.
#[derive(Debug)]
pub(crate) struct SharedRetentions(Mutex<Arc<Retentions>>);

impl SharedRetentions {
    pub(crate) fn new(retentions: Retentions) -> Self {
        Self(Mutex::new(Arc::new(retentions)))
    }

    pub(crate) fn set(&self, retentions: Retentions) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(retentions);
    }

    fn get(&self) -> Arc<Retentions> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a step has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Step {
    /// Entries that were deleted.
    pub(crate) trimmed: usize,
    /// Whether there is more to do at once.
    pub(crate) more: bool,
}

/// What is known of where there is something to trim. Never more than a hint: after an error it begins anew.
#[derive(Debug)]
pub(crate) struct Trimmer {
    shared: Arc<SharedRetentions>,
    retentions: Arc<Retentions>,
    /// Publications since the last step.
    appended: usize,
    /// Channels that may hold more entries than they keep; at most `channels_max`.
    channels: HashSet<i64>,
    channels_max: usize,
    /// The channels with higher numbers are all to be looked at.
    sweep: Option<i64>,
    /// Up to which row nothing of a namespace is left, where that is further than the file says.
    cursors: HashMap<i64, i64>,
    /// How many steps were made.
    steps: usize,
}

/// A namespace as it is in the database.
struct Namespace {
    id: i64,
    bytes: u64,
    cursor: i64,
    retention: Retention,
}

/// A channel as it is in the database.
struct Counted {
    head: u64,
    floor: u64,
    namespace: i64,
    name: String,
    compacted: bool,
}

/// A row on the way from the oldest to the newest.
struct Candidate {
    id: i64,
    channel: i64,
    offset: u64,
    ts: u64,
    cost: u64,
    namespace: i64,
    /// Whether it is the newest state of an entry, which stays.
    is_state: bool,
}

impl Trimmer {
    /// Remembers at most so many channels; if it is more, all are looked at.
    pub(crate) fn new(shared: Arc<SharedRetentions>, channels_max: usize) -> Self {
        let retentions = shared.get();
        Self {
            shared,
            retentions,
            appended: 0,
            channels: HashSet::new(),
            channels_max,
            sweep: Some(0),
            cursors: HashMap::new(),
            steps: 0,
        }
    }

    /// The bounds that were in force at the last step.
    pub(crate) fn retentions(&self) -> Arc<Retentions> {
        Arc::clone(&self.retentions)
    }

    /// Notes what was appended.
    pub(crate) fn handle_appended(&mut self, publications: usize, touched: &[(ChannelName, i64)]) {
        self.appended += publications;
        let bounded =
            touched.iter().filter(|(channel, _)| self.retentions.of(channel.namespace()).entries.is_some());
        self.channels.extend(bounded.map(|(_, id)| *id));
        if self.channels.len() > self.channels_max {
            self.channels.clear();
            self.sweep = Some(0);
        }
    }

    /// Whether a busy writer should make a step.
    pub(crate) fn is_due(&self) -> bool {
        self.appended >= APPENDS_PER_STEP
    }

    /// Forgets where it was: after a rollback none of that can be trusted.
    pub(crate) fn restart(&mut self) {
        self.channels.clear();
        self.sweep = Some(0);
        self.cursors.clear();
    }

    /// Deletes some of what is beyond a bound at `now`, and moves floors, within the transaction that is open.
    pub(crate) fn step(&mut self, connection: &Connection, now: Timestamp) -> rusqlite::Result<Step> {
        self.appended = 0;
        let retentions = self.shared.get();
        if !Arc::ptr_eq(&retentions, &self.retentions) {
            self.retentions = retentions;
            self.sweep = Some(0);
        }
        let mut budget = Budget { rows: STEP, looks: LOOKED_AT };
        forget_removals(connection, now, &mut budget)?;
        if self.namespaces(connection)?.iter().any(|namespace| namespace.retention.entries.is_some()) {
            self.trim_channels(connection, &mut budget)?;
        }
        let mut more = budget.is_spent();
        let mut namespaces = self.namespaces(connection)?; // as they weigh now
        // Each is the first in its turn, so that none waits for ever behind one that always has more to trim.
        self.steps = self.steps.wrapping_add(1);
        let first = self.steps % namespaces.len().max(1);
        namespaces.rotate_left(first);
        for namespace in namespaces {
            if namespace.retention.bytes.is_some() || namespace.retention.age.is_some() {
                budget.looks = LOOKED_AT;
                self.trim_namespace(connection, &namespace, now, &mut budget)?;
                more |= budget.is_spent();
            }
        }
        Ok(Step { trimmed: STEP - budget.rows, more })
    }

    /// Cuts channels to the number of entries that they keep.
    fn trim_channels(&mut self, connection: &Connection, budget: &mut Budget) -> rusqlite::Result<()> {
        while !budget.is_spent() {
            let Some(id) = self.next_channel(connection)? else { return Ok(()) };
            budget.looks -= 1;
            if self.trim_channel(connection, id, budget)? {
                self.channels.remove(&id);
            }
        }
        Ok(())
    }

    /// A channel to be looked at; the sweep adds some where there is none.
    fn next_channel(&mut self, connection: &Connection) -> rusqlite::Result<Option<i64>> {
        if let (true, Some(last)) = (self.channels.is_empty(), self.sweep) {
            let mut select =
                connection.prepare_cached("SELECT id FROM channels WHERE id > ?1 ORDER BY id LIMIT ?2")?;
            let found = select.query_map(params![last, LOOKED_AT as i64], |found| found.get::<_, i64>(0))?;
            self.sweep = None;
            for id in found {
                let id = id?;
                self.sweep = Some(id);
                self.channels.insert(id);
            }
        }
        Ok(self.channels.iter().next().copied())
    }

    /// Whether the channel holds no more than it keeps, now.
    fn trim_channel(&self, connection: &Connection, id: i64, budget: &mut Budget) -> rusqlite::Result<bool> {
        let Counted { head, floor, namespace, name, compacted } = connection
            .prepare_cached(
                "SELECT channels.head, channels.floor, channels.namespace, namespaces.name, channels.compacted
                 FROM channels CROSS JOIN namespaces ON namespaces.id = channels.namespace
                 WHERE channels.id = ?1",
            )?
            .query_row([id], |found| {
                let (namespace, name, compacted) = (found.get(2)?, found.get(3)?, found.get(4)?);
                Ok(Counted {
                    head: row::unsigned(found, 0)?,
                    floor: row::unsigned(found, 1)?,
                    namespace,
                    name,
                    compacted,
                })
            })?;
        let Some(bound) = self.retentions.of(&name).entries.filter(|_| !compacted) else { return Ok(true) };
        let wanted = (head + 1).saturating_sub(bound);
        let reached = wanted.min(floor + budget.rows as u64);
        if reached > floor {
            let mut delete = connection.prepare_cached(&format!(
                "DELETE FROM log WHERE channel = ?1 AND offset < ?2 RETURNING {COST}"
            ))?;
            let costs = delete.query_map(params![id, signed(reached)], |found| found.get::<_, i64>(0))?;
            let mut freed = 0;
            for cost in costs {
                freed += cost?;
                budget.rows = budget.rows.saturating_sub(1);
            }
            move_floor(connection, id, reached)?;
            connection
                .prepare_cached("UPDATE namespaces SET bytes = bytes - ?2 WHERE id = ?1")?
                .execute(params![namespace, freed])?;
        }
        Ok(reached == wanted || reached <= floor)
    }

    fn namespaces(&self, connection: &Connection) -> rusqlite::Result<Vec<Namespace>> {
        let mut select = connection.prepare_cached("SELECT id, bytes, cursor, name FROM namespaces")?;
        let found = select.query_map([], |found| {
            let name: String = found.get(3)?;
            Ok(Namespace {
                id: found.get(0)?,
                bytes: row::unsigned(found, 1)?,
                cursor: found.get(2)?,
                retention: self.retentions.of(&name),
            })
        })?;
        found.collect()
    }

    /// Deletes the oldest entries of a namespace that are beyond its bytes or its age.
    fn trim_namespace(
        &mut self,
        connection: &Connection,
        namespace: &Namespace,
        now: Timestamp,
        budget: &mut Budget,
    ) -> rusqlite::Result<()> {
        let Retention { bytes: bound, age, .. } = namespace.retention;
        let mut bytes = namespace.bytes;
        let is_beyond = |bytes: u64, ts: u64| {
            bound.is_some_and(|bound| bytes > bound) || age.is_some_and(|age| is_over(ts, age, now))
        };
        if age.is_none() && !is_beyond(bytes, 0) {
            return Ok(());
        }
        let begin = self.cursors.get(&namespace.id).map_or(namespace.cursor, |ahead| *ahead);
        let begin = begin.max(namespace.cursor);
        let (mut cursor, mut beyond) = (begin, Vec::new());
        let mut select = connection.prepare_cached(&candidates())?;
        let mut rows = select.query([begin])?;
        while let (false, Some(found)) = (budget.is_spent(), rows.next()?) {
            let candidate = Candidate::read(found)?;
            if candidate.namespace == namespace.id && !candidate.is_state {
                if !is_beyond(bytes, candidate.ts) {
                    break;
                }
                budget.rows -= 1;
                bytes = bytes.saturating_sub(candidate.cost);
                beyond.push((candidate.id, candidate.channel, candidate.offset));
            }
            budget.looks -= 1;
            cursor = candidate.id;
        }
        drop(rows);
        let mut delete = connection.prepare_cached("DELETE FROM log WHERE id = ?1")?;
        let mut floors: HashMap<i64, u64> = HashMap::new();
        for (id, channel, offset) in beyond {
            delete.execute([id])?;
            floors.insert(channel, offset + 1);
        }
        for (channel, floor) in &floors {
            move_floor(connection, *channel, *floor)?;
        }
        self.cursors.insert(namespace.id, cursor);
        if !floors.is_empty() || cursor - namespace.cursor > CURSOR_LEAD {
            connection
                .prepare_cached("UPDATE namespaces SET bytes = ?2, cursor = ?3 WHERE id = ?1")?
                .execute(params![namespace.id, signed(bytes), cursor])?;
        }
        Ok(())
    }
}

/// What a step may still do.
struct Budget {
    rows: usize,
    looks: usize,
}

impl Budget {
    fn is_spent(&self) -> bool {
        self.rows == 0 || self.looks == 0
    }
}

/// The rows behind a cursor, from the oldest on.
fn candidates() -> String {
    format!(
        "SELECT log.id, log.channel, log.offset, log.ts, channels.namespace, log.entry IS NOT NULL, {COST}
         FROM log CROSS JOIN channels ON channels.id = log.channel
         WHERE log.id > ?1 ORDER BY log.id"
    )
}

impl Candidate {
    fn read(found: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: found.get(0)?,
            channel: found.get(1)?,
            offset: row::unsigned(found, 2)?,
            ts: row::unsigned(found, 3)?,
            namespace: found.get(4)?,
            is_state: found.get(5)?,
            cost: row::unsigned(found, 6)?,
        })
    }
}

/// Deletes the rows of removals that were remembered for long enough.
fn forget_removals(connection: &Connection, now: Timestamp, budget: &mut Budget) -> rusqlite::Result<()> {
    let mut select =
        connection.prepare_cached("SELECT row FROM removals WHERE due <= ?1 ORDER BY due, row LIMIT ?2")?;
    let due: Vec<i64> = select
        .query_map(params![signed(now.0), budget.rows as i64], |found| found.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for row in due {
        budget.rows -= 1;
        connection.prepare_cached("DELETE FROM removals WHERE row = ?1")?.execute([row])?;
        let forgotten = connection
            .prepare_cached("DELETE FROM log WHERE id = ?1 RETURNING channel, offset")?
            .query_row([row], |found| Ok((found.get(0)?, row::unsigned(found, 1)?)))
            .optional()?;
        if let Some((channel, offset)) = forgotten {
            move_floor(connection, channel, offset + 1)?;
        }
    }
    Ok(())
}

fn move_floor(connection: &Connection, channel: i64, floor: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE channels SET floor = ?2 WHERE id = ?1 AND floor < ?2")?
        .execute(params![channel, signed(floor)])?;
    references::forget(connection, channel, floor)
}

fn is_over(ts: u64, age: Duration, now: Timestamp) -> bool {
    u128::from(ts) + age.as_millis() <= u128::from(now.0)
}
