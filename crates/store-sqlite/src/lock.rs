//! Keeps a second process out of a data directory. Not a lock between threads.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::OpenError;

/// An advisory lock on a data directory, held until it is dropped (or the process ends, however it ends).
/// The file `lock` stays behind; it says nothing by being there.
#[derive(Debug)]
pub(crate) struct DirectoryLock(File);

impl DirectoryLock {
    /// Takes the lock, and leaves this process's number in the file for who is refused.
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join("lock");
        let not_writable = |source| OpenError::NotWritable { path: path.clone(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(not_writable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Locked { dir: dir.to_owned(), pid: left_pid(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(not_writable(source)),
        }
        // A full disk must not keep anyone from opening: the number is a courtesy.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self(file))
    }
}

impl Drop for DirectoryLock {
    /// Closing alone would not do: a child that this process is just starting holds the file for a moment.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

fn left_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
