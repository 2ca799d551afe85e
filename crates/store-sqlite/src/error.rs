//! Why a store could not be opened or copied, told so that the reader knows which file it is about and what to do.

use std::io;
use std::path::PathBuf;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The data directory's path is something else.
    #[error("{} is not a directory; give the store a directory of its own", .0.display())]
    NotADirectory(PathBuf),
    /// The data directory or a file in it cannot be made or written.
    #[error("cannot write {}: {source}; the user that runs the server needs to own the data directory", path.display())]
    NotWritable {
        /// What was to be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the store open.
    #[error("the data directory {} is in use by {}; only one process at a time may open it", dir.display(), holder(*pid))]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// The other process, if it has left its number.
        pid: Option<u32>,
    },
    /// The file is not a SQLite database.
    #[error("{} is not a SQLite database, or its first page is destroyed; move it away to begin with an empty store, or restore a backup", .0.display())]
    NotADatabase(PathBuf),
    /// The file is the database of another program.
    #[error("{} is a SQLite database of another program; give the store a directory of its own", .0.display())]
    Foreign(PathBuf),
    /// The file was written by a newer version.
    #[error("{} was written by a newer version (its schema is {found}, this version knows up to {known}); run that version, or restore an older backup", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// The version of its schema.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// The file is damaged.
    #[error("{} is damaged ({detail}); keep a copy, then restore a backup, or salvage what is readable with `sqlite3 {} .recover`", path.display(), path.display())]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// The first thing that was found.
        detail: String,
    },
    /// There is no room to open it.
    #[error("there is no room on the disk to open {}: {source}; free some and start again", path.display())]
    Full {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Anything else that SQLite reported.
    #[error("cannot open {}: {source}", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The system has no randomness for the name of an epoch, or no thread.
    #[error("cannot start the store: {0}")]
    System(#[from] io::Error),
}

/// Why a backup was not made or not restored. There is no part of a copy then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// Something is where the copy was to be.
    #[error("{} is already there; move it away, or choose another place", .0.display())]
    Exists(PathBuf),
    /// What was to be restored is an empty file.
    #[error("{} is empty; it is not a backup of a store", .0.display())]
    Empty(PathBuf),
    /// What was to be copied, or the directory for it, cannot be used.
    #[error(transparent)]
    Unusable(#[from] OpenError),
    /// A file cannot be read, made, synced or named.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Copying failed on the way.
    #[error("{} could not be copied to {}: {source}", from.display(), to.display())]
    Failed {
        /// What was copied.
        from: PathBuf,
        /// Where to.
        to: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// What was copied is damaged.
    #[error("{} is damaged ({detail}); nothing was copied, take an earlier backup", path.display())]
    Damaged {
        /// What was copied.
        path: PathBuf,
        /// The first thing that was found.
        detail: String,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

impl OpenError {
    /// What SQLite's `source` means for who opens `path`.
    pub(crate) fn from_sqlite(path: &std::path::Path, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(Code::NotADatabase) => Self::NotADatabase(path),
            Some(Code::DatabaseCorrupt) => Self::Corrupt { path, detail: source.to_string() },
            Some(Code::DiskFull) => Self::Full { path, source },
            Some(Code::CannotOpen | Code::ReadOnly | Code::PermissionDenied) => {
                Self::NotWritable { path, source: io::Error::other(source) }
            }
            _ => Self::Sqlite { path, source },
        }
    }
}
