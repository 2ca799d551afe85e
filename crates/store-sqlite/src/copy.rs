//! Backups of a store that is in use, and restoring one. Epochs, keys and floors go along: who comes back to a restored
//! store is told to the offset what it no longer holds.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::lock::DirectoryLock;
use crate::store::{FILE, create_private, make_directory, sync_directory};
use crate::{CopyError, OpenError, schema};

/// Pages of one step: 2 MiB.
const STEP_PAGES: i32 = 256;

/// After each step a backup rests for as long as the step took, so that publishing keeps half of the disk; not longer
/// than this.
const REST_MAX: Duration = Duration::from_millis(50);

/// Copies the store at `path`, as it is now, to the file `to`.
pub(crate) fn back_up(path: &Path, to: &Path) -> Result<(), CopyError> {
    if to.exists() {
        return Err(CopyError::Exists(to.to_owned()));
    }
    let source = schema::open_reader(path).map_err(|source| OpenError::from_sqlite(path, source))?;
    copy(path, &source, to, REST_MAX)
}

/// Copies the store in `dir`, as it is now, to the file `to`, and checks the copy. The store may be in use by another
/// process meanwhile; its write-ahead log grows by what is written until the copy is done.
///
/// # Errors
/// [`CopyError`]; nothing is left at `to` then.
pub fn backup(dir: &Path, to: &Path) -> Result<(), CopyError> {
    let path = dir.join(FILE);
    fs::metadata(&path).map_err(|source| CopyError::Io { path: path.clone(), source })?;
    back_up(&path, to)
}

/// How many backups are being made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Copies(Arc<AtomicUsize>);

/// One of them, until it is dropped.
pub(crate) struct Copying(Arc<AtomicUsize>);

impl Copies {
    pub(crate) fn begin(&self) -> Copying {
        self.0.fetch_add(1, Ordering::SeqCst);
        Copying(Arc::clone(&self.0))
    }

    /// Whether there are any: then nobody needs to wait for the write-ahead log to be read to its end.
    pub(crate) fn any(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Makes a data directory of a backup, for a store to be opened there. It begins a new epoch, as each opening does.
///
/// # Errors
/// [`CopyError`]. The directory may have been made by then, with a lock in it; the backup is never changed, nor what
/// `dir` held.
pub fn restore(from: &Path, dir: &Path) -> Result<(), CopyError> {
    let unreadable = |source| OpenError::from_sqlite(from, source);
    // Of a file that is not there SQLite says only that it cannot open it.
    fs::metadata(from).map_err(|source| CopyError::Io { path: from.to_owned(), source })?;
    let source = schema::open_reader(from).map_err(unreadable)?;
    if schema::recognise(&source, from)? == 0 {
        return Err(CopyError::Empty(from.to_owned()));
    }
    make_directory(dir)?;
    let _lock = DirectoryLock::take(dir)?;
    // A log that is left over would be taken for the restored database's.
    for name in [FILE, "trunkline.db-wal", "trunkline.db-journal"] {
        if dir.join(name).exists() {
            return Err(CopyError::Exists(dir.join(name)));
        }
    }
    copy(from, &source, &dir.join(FILE), Duration::ZERO)
}

/// Copies one snapshot of `source` beside `to`, checks the copy, syncs it, and gives it its name.
fn copy(from: &Path, source: &Connection, to: &Path, rest_max: Duration) -> Result<(), CopyError> {
    let io = |source| CopyError::Io { path: to.to_owned(), source };
    let partial = Partial::beside(to)?;
    let damage = partial.fill(source, rest_max).map_err(|source| CopyError::Failed {
        from: from.to_owned(),
        to: to.to_owned(),
        source,
    })?;
    match damage {
        Some(detail) => Err(CopyError::Damaged { path: from.to_owned(), detail }),
        None => partial.publish(to).map_err(io),
    }
}

/// A copy that has no name yet. It goes if it never gets one.
struct Partial(PathBuf);

impl Partial {
    fn beside(to: &Path) -> Result<Self, CopyError> {
        let mut name = to.as_os_str().to_owned();
        name.push(".partial");
        let path = PathBuf::from(name);
        match create_private(&path) {
            Ok(()) => Ok(Self(path)),
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => Err(CopyError::Exists(path)),
            Err(source) => Err(CopyError::Io { path, source }),
        }
    }

    /// Copies all pages of one snapshot, whatever is written meanwhile. Returns the first damage that is found in them.
    fn fill(&self, source: &Connection, rest_max: Duration) -> rusqlite::Result<Option<String>> {
        let mut target = Connection::open(&self.0)?;
        // It is synced as a whole, when it is whole.
        target.pragma_update(None, "synchronous", "OFF")?;
        let snapshot = source.unchecked_transaction()?;
        // Only reading makes it one.
        snapshot.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
        copy_pages(&snapshot, &mut target, rest_max)?;
        drop(snapshot);
        // One file, that needs no other beside it.
        target.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
        let verdict: String = target.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        Ok((verdict != "ok").then_some(verdict))
    }

    fn publish(self, to: &Path) -> io::Result<()> {
        File::open(&self.0)?.sync_all()?;
        fs::rename(&self.0, to)?;
        let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_directory(parent.unwrap_or(Path::new(".")))
    }
}

impl Drop for Partial {
    /// Removes what was not renamed.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn copy_pages(snapshot: &Connection, target: &mut Connection, rest_max: Duration) -> rusqlite::Result<()> {
    let backup = Backup::new(snapshot, target)?;
    loop {
        let start = Instant::now();
        match backup.step(STEP_PAGES)? {
            StepResult::Done => return Ok(()),
            StepResult::More => thread::sleep(start.elapsed().min(rest_max)),
            _ => {
                let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
                return Err(rusqlite::Error::SqliteFailure(busy, None));
            }
        }
    }
}
