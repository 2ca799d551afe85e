//! The writer thread: takes what waits, puts it through one transaction, answers, and then tidies up. The
//! only one that changes the database while the store is open.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};
use trunkline_backend::{Answer, Append, Meter, Sink, StoreError, Ticket, Window};
use trunkline_model::{Acknowledge, Timestamp};

use crate::copy::Copies;
use crate::counters::{Tally, count};
use crate::epoch::SharedEpoch;
use crate::heads::Heads;
use crate::keys::{self, KeyCount};
use crate::queue::{Queue, Taken};
use crate::schema;
use crate::transaction::{Finished, Outcome, Transaction};
use crate::trimmer::{Step, Trimmer};
use crate::{Clock, Options};

/// How long nothing must have come before the writer looks for something to tidy up: who has just been answered may be
/// about to submit again.
const PAUSE: Duration = Duration::from_millis(50);

/// How long the writer rests until it looks again.
const REST: Duration = Duration::from_secs(1);

/// After so many rests without anything to store the writer looks for expired keys, which otherwise go in step with new
/// ones.
const RESTS_PER_KEYS: u32 = 10;

/// Expired keys that one transaction of an idle writer deletes: a few milliseconds.
const FORGOTTEN_AT_REST: usize = 512;

/// How long what was erased may stay in the write-ahead log of a writer that never rests.
const ERASED_MAX: Duration = Duration::from_secs(1);

/// How long emptying the write-ahead log waits for reads that began earlier. Nothing is appended meanwhile.
const EMPTYING_MAX: Duration = Duration::from_millis(100);

/// How long it is not tried again when they took longer.
const EMPTYING_REST: Duration = Duration::from_secs(2);

/// How long what was answered before it was synced may stay so: half of what is promised, because a sync takes time.
const UNSYNCED_MAX: Duration = Duration::from_millis(500);

/// What is told where the file is not the one that was opened. Nothing is written to it then.
const REPLACED: &str =
    "was removed or replaced while it was in use; restart the server to open what is there now";

/// One publication that waits to be stored.
pub(crate) type Waiting = (Ticket, Append);

/// The writer's state; [`Writer::run`] is its thread.
pub(crate) struct Writer {
    pub(crate) path: PathBuf,
    pub(crate) options: Options,
    pub(crate) queue: Arc<Queue<Waiting>>,
    pub(crate) sink: Sink,
    pub(crate) epoch: Arc<SharedEpoch>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) copies: Copies,
    pub(crate) heads: Heads,
    pub(crate) keys: KeyCount,
    pub(crate) trimmer: Trimmer,
    /// `None` after an error that it cannot be trusted after; opened again before anything is written.
    pub(crate) connection: Option<Connection>,
    pub(crate) identity: FileIdentity,
    /// Whether another file was in its place the last time, and that was told.
    pub(crate) replaced: bool,
    /// Whether the last transaction was rolled back, and that was told.
    pub(crate) refuses: bool,
    /// When the write-ahead log could not be emptied the last time, if it was not since; that was told.
    pub(crate) emptying_failed_at: Option<Instant>,
    /// Since when the write-ahead log may hold payloads that were erased from the database, or when they were last in the
    /// way of a read.
    pub(crate) erased_since: Option<Instant>,
    /// Rests since something was stored, or expired keys were looked for.
    pub(crate) rests: u32,
    /// Whether trimming failed the last time, and that was told.
    pub(crate) trimming_fails: bool,
    /// Whether the connection syncs what it commits.
    pub(crate) syncs: bool,
    /// Since when something is committed and answered that is not synced.
    pub(crate) unsynced_since: Option<Instant>,
}

/// Why a transaction did not succeed.
enum Failure {
    /// Nothing of it is stored.
    RolledBack(String),
    /// It may be stored or not.
    Open(String),
}

impl Writer {
    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let mut patience = REST;
        loop {
            let mut meter = Meter::new(Window {
                entries: self.options.transaction_publications,
                bytes: self.options.transaction_bytes,
            });
            let unsynced = self.unsynced_since.map(|since| UNSYNCED_MAX.saturating_sub(since.elapsed()));
            let patience_now = unsynced.map_or(patience, |left| patience.min(left));
            let taken = self.queue.take(patience_now, |(_, append)| meter.admit(append.payload.bytes.len()));
            match taken {
                Taken::Items(batch) => {
                    let answers = self.store(batch);
                    (self.sink)(answers);
                    patience = self.survive(Self::tidy);
                }
                Taken::Nothing => patience = self.survive(Self::rest),
                Taken::Closed => {
                    self.sync_if_due(Duration::ZERO);
                    return;
                }
            }
        }
    }

    /// What is done behind an answer. Returns how long to wait for what comes next.
    fn tidy(&mut self) -> Duration {
        self.sync_if_due(UNSYNCED_MAX);
        if self.trimmer.is_due() {
            self.trim();
        }
        self.checkpoint();
        // A writer that never rests takes it out as well.
        if self.erased_since.is_some_and(|since| since.elapsed() >= ERASED_MAX) {
            self.empty_erased();
        }
        self.rests = 0;
        PAUSE
    }

    /// Does `work`, of which nobody waits for an answer. A panic in it leaves a connection of which nothing is left.
    fn survive(&mut self, work: fn(&mut Self) -> Duration) -> Duration {
        catch_unwind(AssertUnwindSafe(|| work(self))).unwrap_or_else(|_| {
            tracing::error!(path = %self.path.display(), "the writer panicked at rest");
            self.connection = None;
            self.trimmer.restart();
            REST
        })
    }

    fn store(&mut self, batch: Vec<Waiting>) -> Vec<Answer> {
        let failure = match self.commit_or_panic(&batch) {
            Ok(outcomes) => {
                if std::mem::take(&mut self.refuses) {
                    tracing::info!(path = %self.path.display(), "publications are stored again");
                }
                let answers = batch.into_iter().zip(outcomes);
                return answers
                    .map(|((ticket, _), outcome)| Answer::Appended(ticket, outcome.map_err(Into::into)))
                    .collect();
            }
            Err(failure) => failure,
        };
        self.heads.clear();
        // Where there is no room, trimming makes some.
        self.trimmer.handle_appended(batch.len(), &[]);
        count(&self.tally.failed, batch.len());
        match failure {
            Failure::RolledBack(why) => {
                if !std::mem::replace(&mut self.refuses, true) {
                    tracing::warn!(
                        publications = batch.len(),
                        why,
                        "a transaction was rolled back; more may be"
                    );
                }
                batch.iter().map(|waiting| self.refuse(waiting, &why)).collect()
            }
            Failure::Open(why) => {
                tracing::error!(publications = batch.len(), why, "a commit failed; beginning a new epoch");
                let unknown = |(ticket, _)| Answer::Appended(ticket, Err(StoreError::Unknown(why.clone())));
                batch.into_iter().map(unknown).collect()
            }
        }
    }

    /// A panic on the way is a failure like that of a commit: whoever waits is answered, and the store goes on
    /// with a connection of which nothing is left.
    fn commit_or_panic(&mut self, batch: &[Waiting]) -> Result<Vec<Outcome>, Failure> {
        catch_unwind(AssertUnwindSafe(|| self.commit(batch))).unwrap_or_else(|_| {
            self.connection = None;
            Err(Failure::Open(format!("{}: the writer panicked", self.path.display())))
        })
    }

    /// One transaction: all of `batch` or nothing.
    fn commit(&mut self, batch: &[Waiting]) -> Result<Vec<Outcome>, Failure> {
        self.ready()?;
        let syncs = batch.iter().any(|(_, append)| append.acknowledge == Acknowledge::Disk);
        self.set_syncing(syncs).map_err(|error| self.name_file(&error))?;
        let connection = self.connection.as_ref().expect("it is ready");
        run(connection, "BEGIN IMMEDIATE").map_err(|error| self.name_file(&error))?;
        self.heads.age();
        let retentions = self.trimmer.retentions();
        let transaction =
            Transaction::new(connection, &mut self.heads, self.epoch.get(), &retentions, self.keys);
        let written = transaction.and_then(|transaction| write(transaction, &self.options.clock, batch));
        let (outcomes, finished) = match written {
            Ok(written) => written,
            Err(error) => {
                self.roll_back();
                return Err(self.name_file(&error));
            }
        };
        if let Err(error) = run(connection, "COMMIT") {
            return Err(self.give_up(&error));
        }
        let refused = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        let duplicates = outcomes.iter().flatten().filter(|appended| appended.duplicate).count();
        count(&self.tally.transactions, 1);
        if syncs {
            // The write-ahead log is synced as a whole.
            self.unsynced_since = None;
        } else {
            count(&self.tally.unsynced, 1);
            self.unsynced_since.get_or_insert_with(Instant::now);
        }
        count(&self.tally.refused, refused);
        count(&self.tally.duplicates, duplicates);
        count(&self.tally.appended, outcomes.len() - refused - duplicates);
        count(&self.tally.keys_forgotten, finished.keys_forgotten);
        self.keys.change(finished.keys_added, finished.keys_forgotten);
        if finished.erased {
            self.erased_since.get_or_insert_with(Instant::now);
        }
        self.trimmer.handle_appended(outcomes.len(), &finished.touched);
        Ok(outcomes)
    }

    /// After a COMMIT that failed. SQLite writes the mark of a transaction last and says `FULL` only where
    /// a write itself found no room, and `BUSY` before it has written anything: then the transaction is
    /// certainly not there. After any other error the mark may have reached the disk, and a later sync that
    /// succeeds proves nothing: this connection is not used again, and what comes gets a new epoch.
    fn give_up(&mut self, error: &rusqlite::Error) -> Failure {
        let code = error.sqlite_error_code();
        if matches!(code, Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) {
            self.roll_back();
            return self.name_file(error);
        }
        let why =
            self.reopen().err().map_or_else(String::new, |again| format!("; opening it again: {again}"));
        Failure::Open(format!("{}: {error}{why}", self.path.display()))
    }

    /// Opens the database anew, under a new epoch, and brings all that is committed into the file: what is
    /// left of a commit that failed goes with the log, and a disk that still fails is noticed before
    /// anything is written to it. Until all this succeeds nothing is written.
    fn reopen(&mut self) -> Result<(), String> {
        self.connection = None;
        (self.syncs, self.unsynced_since) = (true, None);
        self.epoch.renew().map_err(|error| error.to_string())?;
        count(&self.tally.renewals, 1);
        let opened = schema::open_writer(&self.path, &self.options).map_err(|error| error.to_string())?;
        checkpoint(&opened, "TRUNCATE").map_err(|error| error.to_string())?;
        self.keys = KeyCount::take(&opened, self.options.keys_max).map_err(|error| error.to_string())?;
        self.connection = Some(opened);
        Ok(())
    }

    /// Whether what is committed from now on is synced.
    fn set_syncing(&mut self, syncs: bool) -> rusqlite::Result<()> {
        if self.syncs != syncs
            && let Some(connection) = &self.connection
        {
            connection.pragma_update(None, "synchronous", if syncs { "FULL" } else { "NORMAL" })?;
            self.syncs = syncs;
        }
        Ok(())
    }

    /// Syncs what was answered without, if it has been so for `after`. If that fails nobody knows what of it is on disk:
    /// a new epoch begins, and who was told more than there is then will hear of it.
    fn sync_if_due(&mut self, after: Duration) {
        if self.unsynced_since.is_none_or(|since| since.elapsed() < after) {
            return;
        }
        self.unsynced_since = None;
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        match File::open(&log).and_then(|log| log.sync_data()) {
            Ok(()) => count(&self.tally.syncs, 1),
            // It is all in the database, which was synced before the log was emptied.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::error!(%error, path = %self.path.display(), "a sync failed; beginning a new epoch");
                self.heads.clear();
                if let Err(again) = self.reopen() {
                    tracing::error!(error = again, "the store could not be opened again");
                }
            }
        }
    }

    /// Whether the connection leads to the file that others find by its name. Tells it when that changes.
    fn is_in_place(&mut self) -> bool {
        let holds = self.identity.holds(&self.path);
        if !holds && !self.replaced {
            count(&self.tally.replacements, 1);
            tracing::error!(path = %self.path.display(), "{REPLACED}");
        }
        self.replaced = !holds;
        holds
    }

    /// Sees to it that there is a connection, and that the file is in its place.
    fn ready(&mut self) -> Result<(), Failure> {
        if !self.is_in_place() {
            return Err(Failure::RolledBack(format!("{} {REPLACED}", self.path.display())));
        }
        match self.connection {
            Some(_) => Ok(()),
            None => self.reopen().map_err(Failure::RolledBack),
        }
    }

    fn roll_back(&mut self) {
        let Some(connection) = &self.connection else { return };
        // After some errors SQLite has already rolled back.
        if !connection.is_autocommit() && connection.execute_batch("ROLLBACK").is_err() {
            self.connection = None;
        }
    }

    /// The answer to an append whose transaction was rolled back. One whose key was stored by an earlier
    /// transaction is stored, whatever became of this one.
    fn refuse(&self, (ticket, append): &Waiting, why: &str) -> Answer {
        let known = match (&append.key, &self.connection) {
            (None, _) => Ok(None),
            (Some(_), Some(connection)) => {
                keys::find_duplicate(connection, append, (self.options.clock)()).map_err(|_| ())
            }
            (Some(_), None) => Err(()),
        };
        let answer = match known {
            Ok(Some(first)) => Ok(first),
            Ok(None) => Err(StoreError::NotStored(why.to_owned())),
            Err(()) => Err(StoreError::Unknown(why.to_owned())),
        };
        Answer::Appended(*ticket, answer)
    }

    fn name_file(&self, error: &rusqlite::Error) -> Failure {
        Failure::RolledBack(format!("{}: {error}", self.path.display()))
    }

    /// One step of retention, in a transaction of its own. It need not be synced: what a power loss takes back of it is
    /// trimmed again. Returns whether there is more to do at once.
    fn trim(&mut self) -> bool {
        let Some(connection) = self.connection.as_ref() else { return false };
        let step = trim(connection, &mut self.trimmer, (self.options.clock)());
        // Whatever happened, nothing is appended by a connection that does not sync.
        let synced = connection.pragma_update(None, "synchronous", "FULL");
        self.syncs = true;
        match step.and_then(|step| synced.map(|()| step)) {
            Ok(step) => {
                count(&self.tally.trimmed, step.trimmed);
                self.trimming_fails = false;
                step.more
            }
            Err(error) => {
                self.trimmer.restart();
                self.connection = None;
                if !std::mem::replace(&mut self.trimming_fails, true) {
                    tracing::warn!(%error, path = %self.path.display(), "old entries could not be trimmed");
                }
                false
            }
        }
    }

    /// What is done while nothing waits. Returns how long to rest before the next time.
    fn rest(&mut self) -> Duration {
        self.sync_if_due(UNSYNCED_MAX);
        if !self.is_in_place() {
            return REST;
        }
        let more = self.trim();
        self.checkpoint();
        self.empty_erased();
        if more {
            return Duration::ZERO;
        }
        self.rests += 1;
        let more = self.rests > RESTS_PER_KEYS && self.forget_keys();
        if more { Duration::ZERO } else { REST }
    }

    /// Deletes some expired keys. Returns whether there may be more.
    fn forget_keys(&mut self) -> bool {
        let Some(connection) = &self.connection else { return false };
        match keys::forget(connection, (self.options.clock)(), FORGOTTEN_AT_REST) {
            Ok(forgotten) => {
                count(&self.tally.keys_forgotten, forgotten);
                self.keys.change(0, forgotten);
                let more = forgotten == FORGOTTEN_AT_REST;
                if more {
                    self.checkpoint();
                } else {
                    self.rests = 0;
                }
                more
            }
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "expired keys could not be deleted");
                self.rests = 0;
                false
            }
        }
    }

    /// Takes what was erased out of the write-ahead log too. If a read is in the way, the next time.
    fn empty_erased(&mut self) {
        let Some(connection) = self.connection.as_ref().filter(|_| self.erased_since.is_some()) else {
            return;
        };
        let emptied =
            connection.busy_timeout(Duration::ZERO).and_then(|()| checkpoint(connection, "TRUNCATE"));
        self.erased_since = emptied.is_err().then(Instant::now);
        if connection.busy_timeout(schema::BUSY_TIMEOUT).is_err() {
            self.connection = None;
        }
    }

    /// Keeps the write-ahead log short. After the answers were given, so that they do not wait for it.
    fn checkpoint(&mut self) {
        let Some(connection) = &self.connection else { return };
        // A backup may read for minutes, also one that another process makes; it is not waited for again and again.
        let rests = self.emptying_failed_at.is_some_and(|at| at.elapsed() < EMPTYING_REST);
        match checkpoint_if_long(connection, &self.options, !rests && !self.copies.any()) {
            Ok(done) => {
                count(&self.tally.checkpoints, usize::from(done));
                if !rests {
                    self.emptying_failed_at = None;
                }
            }
            Err(error) => {
                if self.emptying_failed_at.replace(Instant::now()).is_none() {
                    tracing::warn!(%error, path = %self.path.display(), "the write-ahead log cannot be emptied; it grows");
                }
            }
        }
    }
}

fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}

/// One step of `trimmer` in a transaction of its own, which is not synced. The connection must be set to sync again.
fn trim(connection: &Connection, trimmer: &mut Trimmer, now: Timestamp) -> rusqlite::Result<Step> {
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    run(connection, "BEGIN IMMEDIATE")?;
    let step = trimmer.step(connection, now).and_then(|step| run(connection, "COMMIT").map(|()| step));
    if step.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    step
}

/// Puts `batch` into the transaction that is open. Returns what became of each, and what else was done.
fn write(
    mut transaction: Transaction<'_>,
    clock: &Clock,
    batch: &[Waiting],
) -> rusqlite::Result<(Vec<Outcome>, Finished)> {
    let outcomes = batch
        .iter()
        .map(|(_, append)| transaction.append(append, clock()))
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let finished = transaction.finish(clock())?;
    Ok((outcomes, finished))
}

/// Whether there was something to move. If `empties`, a long log is emptied, for which reads that began earlier are
/// waited for a little.
fn checkpoint_if_long(connection: &Connection, options: &Options, empties: bool) -> rusqlite::Result<bool> {
    let (pages, moved) = checkpoint(connection, "NOOP")?;
    if pages >= i64::from(options.wal_pages_max) && empties {
        connection.busy_timeout(EMPTYING_MAX)?;
        let emptied = checkpoint(connection, "TRUNCATE");
        connection.busy_timeout(schema::BUSY_TIMEOUT)?;
        return emptied.map(|_| true);
    }
    if pages - moved < i64::from(options.checkpoint_pages) {
        return Ok(false);
    }
    checkpoint(connection, "PASSIVE").map(|_| true)
}

/// The pages in the write-ahead log, and how many of them are in the database too.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<(i64, i64)> {
    connection.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?.query_row([], |row| {
        // That others were in the way is told in a row like any other.
        if mode == "TRUNCATE" && row.get::<_, i64>(0)? != 0 {
            let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
            let why = "a read kept the write-ahead log from being emptied".to_owned();
            return Err(rusqlite::Error::SqliteFailure(busy, Some(why)));
        }
        Ok((row.get(1)?, row.get(2)?))
    })
}

/// Which file it was that was opened. A file that is moved away or replaced under a running server keeps
/// being written by who has it open, and nobody would ever see that again.
#[derive(Debug)]
pub(crate) struct FileIdentity(Option<(u64, u64)>);

impl FileIdentity {
    /// The file that is at `path` now, by its device and number.
    pub(crate) fn of(path: &Path) -> Self {
        Self(fs::metadata(path).ok().map(|file| (file.dev(), file.ino())))
    }

    /// Whether it is still the one at `path`.
    fn holds(&self, path: &Path) -> bool {
        self.0 == Self::of(path).0
    }
}
