//! The store as its users see it: opening, submitting, closing. The work is done by the threads it starts.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::{OptionalExtension as _, TransactionBehavior, params};
use trunkline_backend::{Answer, Request, Retentions, Sink, Store, StoreError};
use trunkline_model::Epoch;

use crate::copy::Copies;
use crate::counters::Tally;
use crate::epoch::SharedEpoch;
use crate::heads::Heads;
use crate::keys::KeyCount;
use crate::lock::DirectoryLock;
use crate::queue::{Queue, Taken};
use crate::reader::{Question, Reader};
use crate::trimmer::{SharedRetentions, Trimmer};
use crate::writer::{FileIdentity, Waiting, Writer};
use crate::{CopyError, Counters, OpenError, Options, copy, schema};

/// The database's name in the data directory.
pub(crate) const FILE: &str = "trunkline.db";

/// Why a request is refused that comes after the end.
const CLOSED: &str = "the store is closed";

/// A log store in a directory of its own.
///
/// Dropping it answers everything that was submitted, writes all into the database file, ends the threads
/// and releases the directory. That blocks; on a thread of the store itself (in its sink) it does not, and
/// the directory is released a little later.
pub struct SqliteStore {
    path: PathBuf,
    appends: Arc<Queue<Waiting>>,
    questions: Arc<Queue<Question>>,
    sink: Sink,
    epoch: Arc<SharedEpoch>,
    tally: Arc<Tally>,
    retentions: Arc<SharedRetentions>,
    copies: Copies,
    writer: Option<JoinHandle<()>>,
    readers: Vec<JoinHandle<()>>,
    lock: Arc<DirectoryLock>,
}

impl SqliteStore {
    /// Opens the store in `dir`, and makes both if they are not there (for the owner alone: modes 0700 and
    /// 0600). A new epoch begins. Answers go to `sink`, on the store's threads.
    ///
    /// The database is migrated if it is of an older version. It is checked for damage: all of it if it is
    /// small ([`Options::check_size_max`]), else the newest entries.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong and what to do. Nothing but an empty directory, `lock` and an empty
    /// database may have been made by then.
    pub fn open(dir: &Path, sink: Sink, options: Options) -> Result<Self, OpenError> {
        make_directory(dir)?;
        let lock = Arc::new(DirectoryLock::take(dir)?);
        let path = dir.join(FILE);
        make_file(dir, &path)?;
        schema::prepare(&path, &options)?;

        let mut store = Self {
            path,
            appends: Arc::new(Queue::new()),
            questions: Arc::new(Queue::new()),
            sink,
            epoch: Arc::new(SharedEpoch::random()?),
            tally: Arc::default(),
            retentions: Arc::new(SharedRetentions::new(options.retentions.clone())),
            copies: Copies::default(),
            writer: None,
            readers: Vec::new(),
            lock,
        };
        store.start(options)?;
        Ok(store)
    }

    fn start(&mut self, options: Options) -> Result<(), OpenError> {
        let readers = options.readers.max(1);
        let writer = self.writer(options).map_err(|source| OpenError::from_sqlite(&self.path, source))?;
        let ending = self.ending(&self.appends, refuse_append);
        self.writer = Some(spawn("store-writer", move || {
            let _ending = ending;
            writer.run();
        })?);
        for _ in 0..readers {
            let reader = self.reader().map_err(|source| OpenError::from_sqlite(&self.path, source))?;
            let ending = self.ending(&self.questions, |question| question.refuse(CLOSED));
            self.readers.push(spawn("store-reader", move || {
                let _ending = ending;
                reader.run();
            })?);
        }
        Ok(())
    }

    fn writer(&self, options: Options) -> rusqlite::Result<Writer> {
        let connection = schema::open_writer(&self.path, &options)?;
        Ok(Writer {
            path: self.path.clone(),
            queue: Arc::clone(&self.appends),
            sink: Arc::clone(&self.sink),
            epoch: Arc::clone(&self.epoch),
            tally: Arc::clone(&self.tally),
            copies: self.copies.clone(),
            keys: KeyCount::take(&connection, options.keys_max)?,
            heads: Heads::new(options.heads, schema::last_row(&connection)?),
            trimmer: Trimmer::new(Arc::clone(&self.retentions), options.heads),
            connection: Some(connection),
            identity: FileIdentity::of(&self.path),
            replaced: false,
            refuses: false,
            emptying_failed_at: None,
            // A process that was killed may have left some.
            erased_since: Some(Instant::now()),
            rests: 0,
            trimming_fails: false,
            syncs: true,
            unsynced_since: None,
            options,
        })
    }

    fn reader(&self) -> rusqlite::Result<Reader> {
        Ok(Reader {
            path: self.path.clone(),
            queue: Arc::clone(&self.questions),
            sink: Arc::clone(&self.sink),
            epoch: Arc::clone(&self.epoch),
            tally: Arc::clone(&self.tally),
            connection: Some(schema::open_reader(&self.path)?),
        })
    }

    fn ending<T>(&self, queue: &Arc<Queue<T>>, refuse: fn(T) -> Answer) -> Ending<T> {
        Ending {
            queue: Arc::clone(queue),
            sink: Arc::clone(&self.sink),
            refuse,
            _lock: Arc::clone(&self.lock),
        }
    }

    /// Keeps so much from now on. What is beyond a bound goes within seconds, whenever it was stored.
    pub fn set_retentions(&self, retentions: Retentions) {
        self.retentions.set(retentions);
    }

    /// What the store has done since it was opened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.tally.read()
    }

    /// Copies the store as it is now, with all that was answered by then, to the file `to`, and checks the copy. The
    /// store goes on meanwhile; its write-ahead log cannot be emptied before the copy is done, so that it grows by what
    /// is written. Blocks for as long as it takes; not for workers.
    ///
    /// # Errors
    /// [`CopyError`]; nothing is left at `to` then.
    pub fn backup(&self, to: &Path) -> Result<(), CopyError> {
        let _copying = self.copies.begin();
        copy::back_up(&self.path, to)
    }

    /// A value that the store keeps under `name` for who runs it (a signing key, say): the one that was
    /// kept, or, if there is none, what `make` gives, which is kept from now on. Blocks until it is on disk;
    /// meant for start-up, not for workers.
    ///
    /// # Errors
    /// [`StoreError::NotStored`] if it could not be read or kept; [`StoreError::Unknown`] if the commit
    /// failed.
    pub fn get_or_create(&self, name: &str, make: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let not_stored =
            |error: rusqlite::Error| StoreError::NotStored(format!("{}: {error}", self.path.display()));
        let mut connection = schema::open_writer(&self.path, &Options::default()).map_err(not_stored)?;
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(not_stored)?;
        let kept = transaction
            .query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0))
            .optional()
            .map_err(not_stored)?;
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let made = make();
        transaction
            .execute("INSERT INTO meta (name, value) VALUES (?1, ?2)", params![name, made])
            .map_err(not_stored)?;
        match transaction.commit() {
            Ok(()) => Ok(made),
            Err(error) => Err(StoreError::Unknown(format!("{}: {error}", self.path.display()))),
        }
    }

    /// Ends the store, as dropping it does.
    pub fn close(self) {}
}

impl Store for SqliteStore {
    fn submit(&self, requests: Vec<Request>) {
        let mut appends = Vec::with_capacity(requests.len());
        let mut questions = Vec::new();
        for request in requests {
            match request {
                Request::Append(ticket, append) => appends.push((ticket, append)),
                Request::Head(ticket, channel, window) => {
                    questions.push(Question::Head(ticket, channel, window))
                }
                Request::Read(ticket, read) => questions.push(Question::Read(ticket, read)),
                Request::Locate(ticket, channel, position) => {
                    questions.push(Question::Locate(ticket, channel, position))
                }
            }
        }
        let mut refused: Vec<Answer> = self.appends.push(appends).into_iter().map(refuse_append).collect();
        refused.extend(self.questions.push(questions).into_iter().map(|question| question.refuse(CLOSED)));
        if !refused.is_empty() {
            (self.sink)(refused);
        }
    }

    fn epoch(&self) -> Epoch {
        self.epoch.get()
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // The writer ends last: who is the last to close the file writes all of the log into it.
        self.questions.close();
        self.readers.drain(..).for_each(join);
        self.appends.close();
        self.writer.take().into_iter().for_each(join);
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.path)
            .field("epoch", &self.epoch())
            .finish_non_exhaustive()
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.thread().id() != thread::current().id() && thread.join().is_err() {
        tracing::error!("a thread of the store has panicked");
    }
}

/// Held by a thread of the store; whichever way the thread ends, nothing stays unanswered behind it, and
/// the directory is not released before.
struct Ending<T> {
    queue: Arc<Queue<T>>,
    sink: Sink,
    refuse: fn(T) -> Answer,
    _lock: Arc<DirectoryLock>,
}

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        self.queue.close();
        if let Taken::Items(left) = self.queue.take(Duration::ZERO, |_| true) {
            let answers = left.into_iter().map(self.refuse).collect();
            // It may be the sink that has panicked, and a second panic on the way out would end the process.
            let _ = catch_unwind(AssertUnwindSafe(|| (self.sink)(answers)));
        }
    }
}

fn refuse_append((ticket, _): Waiting) -> Answer {
    Answer::Appended(ticket, Err(StoreError::NotStored(CLOSED.to_owned())))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Makes the data directory, if it is not there, and the entry that leads to it durable.
pub(crate) fn make_directory(dir: &Path) -> Result<(), OpenError> {
    match fs::metadata(dir) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => return Err(OpenError::NotADirectory(dir.to_owned())),
        Err(_) => {}
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .and_then(|()| sync_directory(parent.unwrap_or(Path::new("."))))
        .map_err(|source| OpenError::NotWritable { path: dir.to_owned(), source })
}

/// Makes a file for the owner alone, which must not be there.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(|_| ())
}

/// Makes the file, if it is not there, with a mode that SQLite gives to the files beside it too.
fn make_file(dir: &Path, path: &Path) -> Result<(), OpenError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .and_then(|_| sync_directory(dir))
        .map_err(|source| OpenError::NotWritable { path: path.to_owned(), source })
}

pub(crate) fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
