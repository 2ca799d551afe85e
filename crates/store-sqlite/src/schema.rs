//! The database file: how a connection to it is set up, how its tables are made and migrated, and how it is
//! checked at opening. Called when the store opens, and when the writer opens its connection again.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use crate::{OpenError, Options};

/// Names the program in the file's header ("Trnk").
const APPLICATION_ID: i32 = 0x5472_6e6b;

/// Rows of about 200 bytes: larger pages than SQLite's 4 KiB write less of the tree above them.
pub(crate) const PAGE_SIZE: u32 = 8_192;

/// How long a connection waits where another one holds what it needs.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What a writer keeps of the file in memory, in KiB.
const WRITER_CACHE_KIB: i32 = 16 << 10;

/// Statements that stay prepared per connection.
const STATEMENTS: usize = 32;

/// The newest entries that are always checked at opening.
const NEWEST_CHECKED: u32 = 256;

/// Migration n (from 1) leads from schema n−1 to schema n. A published one is never changed.
///
/// `log` and `keys` have a rowid, so that whatever channel is written, rows are added at the end of one tree,
/// and only the small trees of their indexes are written all over. The rows of `log` are numbered by the writer, which
/// never uses a number again: so a row's number says when it was stored, also when all before it are trimmed.
///
/// `epochs` says at which offset an epoch began in a channel. It is never trimmed. `namespaces` keeps what the entries
/// of a namespace weigh together, and up to which row of `log` none of them is left.
///
/// `entry` is the name of the entry of which a row is the newest state: empty for the only one of a `value`, NULL in a log.
/// Such rows are not weighed. `removals` says when a row that tells of a removal may go.
///
/// `target` is the offset of the message that a row refers to, and NULL if it is no reference; an index has the edits of
/// a message. `folds` keeps what was made of a message: by which reference last, and which edit has its payload.
/// `reactions` counts those that stand, `reactors` says who gave them and where; there, the author 0 is nobody.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE channels (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        head INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        ts INTEGER NOT NULL,
        floor INTEGER NOT NULL DEFAULT 1,
        floor_epoch INTEGER
    ) STRICT;
    CREATE TABLE log (
        id INTEGER PRIMARY KEY,
        channel INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        ts INTEGER NOT NULL,
        flags INTEGER NOT NULL,
        author TEXT,
        key TEXT,
        payload BLOB NOT NULL,
        UNIQUE (channel, offset)
    ) STRICT;
    CREATE TABLE keys (
        id INTEGER PRIMARY KEY,
        channel INTEGER NOT NULL,
        publisher TEXT NOT NULL,
        key TEXT NOT NULL,
        offset INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        ts INTEGER NOT NULL,
        flags INTEGER NOT NULL,
        expires INTEGER NOT NULL,
        UNIQUE (channel, publisher, key)
    ) STRICT;
    CREATE INDEX keys_by_expiry ON keys (expires);
    CREATE TABLE meta (
        name TEXT PRIMARY KEY,
        value BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
", "
    CREATE TABLE epochs (
        channel INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        first INTEGER NOT NULL,
        PRIMARY KEY (channel, epoch),
        UNIQUE (channel, first)
    ) STRICT, WITHOUT ROWID;
    INSERT OR IGNORE INTO epochs (channel, epoch, first)
        SELECT id, floor_epoch, floor - 1 FROM channels WHERE floor > 1 AND floor_epoch IS NOT NULL;
    INSERT OR IGNORE INTO epochs (channel, epoch, first)
        SELECT channels.id, log.epoch, log.offset
        FROM channels JOIN log ON log.channel = channels.id AND log.offset = channels.floor;
    INSERT OR IGNORE INTO epochs (channel, epoch, first)
        SELECT channel, epoch, offset FROM log WHERE flags & 4;
    INSERT OR IGNORE INTO epochs (channel, epoch, first)
        SELECT id, epoch, head FROM channels WHERE head > 0;
    ALTER TABLE channels DROP COLUMN floor_epoch;

    CREATE TABLE namespaces (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        bytes INTEGER NOT NULL DEFAULT 0,
        cursor INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    ALTER TABLE channels ADD COLUMN namespace INTEGER NOT NULL DEFAULT 0;
    INSERT INTO namespaces (name)
        SELECT DISTINCT iif(instr(name, ':'), substr(name, 1, instr(name, ':') - 1), 'default') FROM channels;
    UPDATE channels SET namespace = (
        SELECT id FROM namespaces
        WHERE namespaces.name
            = iif(instr(channels.name, ':'), substr(channels.name, 1, instr(channels.name, ':') - 1), 'default')
    );
    UPDATE namespaces SET bytes = held.bytes FROM (
        SELECT channels.namespace AS id,
            sum(octet_length(payload) + ifnull(octet_length(author), 0) + ifnull(octet_length(key), 0) + 64)
                AS bytes
        FROM log CROSS JOIN channels ON channels.id = log.channel
        GROUP BY channels.namespace
    ) AS held WHERE held.id = namespaces.id;
", "
    ALTER TABLE channels ADD COLUMN compacted INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE log ADD COLUMN entry TEXT;
    ALTER TABLE log ADD COLUMN expires INTEGER;
    ALTER TABLE log ADD COLUMN owner TEXT;
    CREATE UNIQUE INDEX log_by_entry ON log (channel, entry) WHERE entry IS NOT NULL;
    CREATE TABLE removals (
        row INTEGER PRIMARY KEY,
        due INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX removals_by_due ON removals (due, row);
", "
    ALTER TABLE log ADD COLUMN target INTEGER;
    CREATE INDEX log_edits ON log (channel, target) WHERE flags & 56 = 8;
    CREATE TABLE folds (
        channel INTEGER NOT NULL,
        target INTEGER NOT NULL,
        rev INTEGER NOT NULL,
        edit INTEGER,
        PRIMARY KEY (channel, target)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE reactions (
        channel INTEGER NOT NULL,
        target INTEGER NOT NULL,
        value BLOB NOT NULL,
        first INTEGER NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (channel, target, value)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE reactors (
        channel INTEGER NOT NULL,
        target INTEGER NOT NULL,
        value BLOB NOT NULL,
        author ANY NOT NULL,
        offset INTEGER NOT NULL,
        PRIMARY KEY (channel, target, value, author),
        UNIQUE (channel, offset)
    ) STRICT, WITHOUT ROWID;
"];

/// Looks at each of them: a second for 10,000,000.
pub(crate) const COUNT_KEYS: &str = "SELECT count(*) FROM keys";

/// Opens the database for writing, as it was made by [`prepare`].
pub(crate) fn open_writer(path: &Path, options: &Options) -> rusqlite::Result<Connection> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Where a plain fsync does not reach the medium (macOS).
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    secure_cheaply(&connection)?;
    // The writer checkpoints by itself, after it has answered.
    set(&connection, "wal_autocheckpoint", 0)?;
    set(&connection, "journal_size_limit", i64::from(options.checkpoint_pages) * i64::from(PAGE_SIZE))?;
    if let Some(size) = options.size_max {
        set(&connection, "max_page_count", i64::try_from(size / u64::from(PAGE_SIZE)).unwrap_or(i64::MAX))?;
    }
    Ok(connection)
}

/// Overwrites what is deleted where that costs no writing. So what is moved within the file leaves nothing behind, and an
/// erasure, which overwrites all, has one place to look at.
pub(crate) fn secure_cheaply(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "secure_delete", "FAST", |_| Ok(()))
}

/// Opens the database for reading.
pub(crate) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

fn open(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

/// A pragma that answers with its new value.
fn set(connection: &Connection, name: &str, value: i64) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, name, value, |_| Ok(()))
}

/// Makes the tables, or brings them to the newest schema; refuses what is not ours or damaged.
pub(crate) fn prepare(path: &Path, options: &Options) -> Result<(), OpenError> {
    let failed = |source| OpenError::from_sqlite(path, source);
    let mut connection = open_writer(path, options).map_err(failed)?;
    let version = recognise(&connection, path)?;
    if version == 0 {
        connection.pragma_update(None, "page_size", PAGE_SIZE).map_err(failed)?;
        connection.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
    }
    connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
        .and_then(|()| migrate(&mut connection, version))
        .map_err(failed)?;
    match damage(&connection, path, options.check_size_max).map_err(failed)? {
        Some(detail) => Err(OpenError::Corrupt { path: path.to_owned(), detail }),
        None => Ok(()),
    }
}

/// The highest number that a row of `log` was ever given, as far as that matters: no row and no cursor is above it.
pub(crate) fn last_row(connection: &Connection) -> rusqlite::Result<i64> {
    let highest = "SELECT max(
        ifnull((SELECT max(id) FROM log), 0), ifnull((SELECT max(cursor) FROM namespaces), 0))";
    connection.query_row(highest, [], |row| row.get(0))
}

/// The version of the schema in the file; 0 if the file is new.
pub(crate) fn recognise(connection: &Connection, path: &Path) -> Result<usize, OpenError> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let objects = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
    let (objects, id, version) = objects
        .and_then(|objects| Ok((objects, number("application_id")?, number("user_version")?)))
        .map_err(|source| OpenError::from_sqlite(path, source))?;
    if id != i64::from(APPLICATION_ID) && (objects > 0 || id != 0 || version != 0) {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    match usize::try_from(version) {
        Ok(version) if version <= MIGRATIONS.len() => Ok(version),
        _ => Err(OpenError::Newer {
            path: path.to_owned(),
            found: u32::try_from(version).unwrap_or(u32::MAX),
            known: MIGRATIONS.len() as u32,
        }),
    }
}

/// Each migration and its number are one transaction.
fn migrate(connection: &mut Connection, version: usize) -> rusqlite::Result<()> {
    for (done, migration) in MIGRATIONS.iter().enumerate().skip(version) {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", done as u32 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

/// The first damage that is found: in the whole file if it is small, else where the newest entries lie.
/// Damage elsewhere is found when it is read, and answered as an error of that read.
fn damage(connection: &Connection, path: &Path, size_max: u64) -> rusqlite::Result<Option<String>> {
    if std::fs::metadata(path).is_ok_and(|file| file.len() <= size_max) {
        let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Ok(Some(verdict));
        }
    }
    let newest_without_head = "
        SELECT channel FROM (SELECT channel, offset FROM log ORDER BY id DESC LIMIT ?1) AS newest
        WHERE NOT EXISTS (SELECT 1 FROM channels WHERE id = newest.channel AND head >= newest.offset)";
    let stray: Option<i64> =
        connection.query_row(newest_without_head, [NEWEST_CHECKED], |row| row.get(0)).optional()?;
    Ok(stray.map(|channel| format!("channel number {channel} has entries above its head")))
}
