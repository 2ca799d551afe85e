//! `[server.tls]` or `[server.acme]`: whether the server speaks TLS itself, and where its certificate comes from. The files are
//! read by `tls`, the authority is asked by `acme`.

use std::path::{Path, PathBuf};

use super::AcmeSettings;
use crate::dto::ServerTable;

/// Where the certificate comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum TlsSettings {
    /// Somebody puts it there.
    Files(TlsFiles),
    /// An authority gives it.
    Acme(AcmeSettings),
}

/// Where the certificate and its key are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TlsFiles {
    /// PEM: the server's own certificate first, then those that lead to its authority.
    pub(crate) certificate: PathBuf,
    /// PEM: its key.
    pub(crate) key: PathBuf,
}

impl TlsSettings {
    /// Paths are beside the configuration, which is in `dir`.
    ///
    /// # Errors
    /// The rest of the name of what is wrong, behind `[server`, and why.
    pub(super) fn of(table: &ServerTable, dir: &Path) -> Result<Option<Self>, String> {
        match (&table.tls, &table.acme) {
            (None, None) => Ok(None),
            (Some(files), None) => Ok(Some(Self::Files(TlsFiles {
                certificate: dir.join(&files.certificate),
                key: dir.join(&files.key),
            }))),
            (None, Some(acme)) => {
                let settings = AcmeSettings::of(acme, dir).map_err(|error| format!(".acme]: {error}"))?;
                Ok(Some(Self::Acme(settings)))
            }
            (Some(_), Some(_)) => Err(".tls] and [server.acme]: a certificate comes from `certificate` and `key` of [server.tls], or \
                                       from the authority of [server.acme]; take one of the two tables away"
                .to_owned()),
        }
    }
}
