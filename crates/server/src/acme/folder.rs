//! `acme/` in the data directory: the account, the certificate with its key, and how the last orders went. Nobody but the
//! server's user reads it. Each file is written beside its place and moved there, so that it is whole or as before.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::dto::{AcmeAccount, AcmeCertificate, AcmeTries};

/// The largest file that is read, in bytes.
const FILE_MAX: u64 = 1 << 20;
const ACCOUNT: &str = "account.json";
const CERTIFICATE: &str = "certificate.json";
const TRIES: &str = "tries.json";

/// The folder.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes it, if it is not there. One that is there is closed to others.
    ///
    /// # Errors
    /// Which folder, and what is in the way.
    pub(super) fn open(path: PathBuf) -> Result<Self, String> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.and_then(|()| std::fs::set_permissions(&path, Permissions::from_mode(0o700)))
            .map_err(|error| format!("the folder {} cannot be made: {error}", path.display()))?;
        Ok(Self(path))
    }

    /// The account that is kept, if there is one that can be read.
    pub(super) fn account(&self) -> Option<AcmeAccount> {
        let text = self.read(ACCOUNT)?;
        self.said(ACCOUNT, serde_json::from_slice(&text))
    }

    /// The certificate likewise.
    pub(super) fn certificate(&self) -> Option<AcmeCertificate> {
        let text = self.read(CERTIFICATE)?;
        self.said(CERTIFICATE, serde_json::from_slice(&text))
    }

    /// The tries likewise.
    pub(super) fn tries(&self) -> Option<AcmeTries> {
        let text = self.read(TRIES)?;
        self.said(TRIES, serde_json::from_slice(&text))
    }

    /// Keeps an account.
    ///
    /// # Errors
    /// Which file, and what is in the way.
    pub(super) fn keep_account(&self, account: &AcmeAccount) -> Result<(), String> {
        self.write(ACCOUNT, serde_json::to_vec_pretty(account))
    }

    /// Forgets the account.
    pub(super) fn forget_account(&self) {
        self.forget(ACCOUNT);
    }

    /// Keeps a certificate with its key.
    ///
    /// # Errors
    /// As above.
    pub(super) fn keep_certificate(&self, certificate: &AcmeCertificate) -> Result<(), String> {
        self.write(CERTIFICATE, serde_json::to_vec_pretty(certificate))
    }

    /// Keeps how the last orders went.
    ///
    /// # Errors
    /// As above.
    pub(super) fn keep_tries(&self, tries: &AcmeTries) -> Result<(), String> {
        self.write(TRIES, serde_json::to_vec_pretty(tries))
    }

    /// Forgets the tries.
    pub(super) fn forget_tries(&self) {
        self.forget(TRIES);
    }

    fn forget(&self, name: &str) {
        if let Err(error) = std::fs::remove_file(self.0.join(name))
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(path = %self.0.join(name).display(), %error, "a file could not be taken away");
        }
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.0.join(name);
        let read = File::open(&path).and_then(|file| {
            let mut text = Vec::new();
            file.take(FILE_MAX + 1).read_to_end(&mut text)?;
            if text.len() as u64 > FILE_MAX { Err(ErrorKind::FileTooLarge.into()) } else { Ok(text) }
        });
        match read {
            Ok(text) => Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "what was kept cannot be read, and counts as nothing");
                None
            }
        }
    }

    /// What of it can be read. The reason why not says where, and repeats nothing of it.
    fn said<T>(&self, name: &str, read: serde_json::Result<T>) -> Option<T> {
        read.inspect_err(|error| {
            let (path, line, column) = (self.0.join(name), error.line(), error.column());
            let path = path.display();
            tracing::warn!(%path, line, column, "what was kept is not what is kept there, and counts as nothing");
        })
        .ok()
    }

    fn write(&self, name: &str, text: serde_json::Result<Vec<u8>>) -> Result<(), String> {
        let path = self.0.join(name);
        let written = text.map_err(std::io::Error::from).and_then(|text| replace(&self.0, &path, &text));
        written.map_err(|error| format!("{} cannot be written: {error}", path.display()))
    }
}

fn replace(folder: &Path, path: &Path, text: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    // What was left there may have another mode.
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_closed_to_others() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("data/acme");
        let folder = Folder::open(path.clone()).expect("it can be made");
        assert_eq!(folder.tries(), None);
        let tries =
            AcmeTries { directory: "d".to_owned(), domains: vec!["a".to_owned()], count: 1, at: 2, rest: 3 };
        // Left by one that was killed.
        std::fs::write(path.join("tries.new"), "half").expect("it is writable");
        folder.keep_tries(&tries).expect("it is writable");
        assert_eq!(folder.tries(), Some(tries));
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("it is ours");
        let folder = Folder::open(path.clone()).expect("it is there");
        let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join("tries.json"))), (0o700, 0o600));
        assert_eq!(std::fs::read_dir(&path).expect("it is there").count(), 1);
        for text in ["", "{", "[]", "{\"directory\": 1}", &" ".repeat(FILE_MAX as usize + 1)] {
            std::fs::write(path.join("tries.json"), text).expect("it is writable");
            assert_eq!(folder.tries(), None);
        }
        folder.forget_tries();
        folder.forget_tries();
        assert_eq!(std::fs::read_dir(&path).expect("it is there").count(), 0);
        std::fs::write(place.path().join("file"), "").expect("it is writable");
        let error = Folder::open(place.path().join("file/acme")).expect_err("it is in the way");
        assert!(error.contains("cannot be made"), "{error}");
    }
}
