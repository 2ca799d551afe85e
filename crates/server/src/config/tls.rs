//! `[server.tls]`: which files. They are read by `tls`.

use std::path::{Path, PathBuf};

use crate::dto::TlsTable;

/// Where the certificate and its key are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TlsSettings {
    /// PEM: the server's own certificate first, then those that lead to its authority.
    pub(crate) certificate: PathBuf,
    /// PEM: its key.
    pub(crate) key: PathBuf,
}

impl TlsSettings {
    /// Paths are beside the configuration, which is in `dir`.
    pub(super) fn of(table: &TlsTable, dir: &Path) -> Self {
        Self { certificate: dir.join(&table.certificate), key: dir.join(&table.key) }
    }
}
