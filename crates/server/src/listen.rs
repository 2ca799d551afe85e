//! Where the server listens: an address and a port, or a file (`unix:/run/trunkline.sock`). Binds it, and takes the file
//! away again. Who may connect is decided elsewhere.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::Mode;
use trunkline_node::Listener;

/// Who may connect to a file: its owner and its group. Both need the right to write.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP).union(Mode::WGRP);

/// Where to listen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => {
                Err("unix: is followed by the path of a file, like unix:/run/trunkline.sock".to_owned())
            }
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Tcp).map_err(|_| {
                "it is an address and a port, like 127.0.0.1:8000, or a file, like unix:/run/trunkline.sock"
                    .to_owned()
            }),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Listen {
    /// Whether only programs of this machine come in by it.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// Listens there.
    ///
    /// # Errors
    /// What is in the way, in a sentence.
    pub(crate) fn bind(&self) -> anyhow::Result<Bound> {
        match self {
            Self::Tcp(address) => {
                let listener = tcp(*address)?;
                let at = Self::Tcp(listener.local_addr()?);
                Ok(Bound { listener: Listener::Tcp(listener), at, file: None })
            }
            Self::Unix(path) => {
                let (listener, file) = unix(path).map_err(|error| anyhow::anyhow!(error))?;
                Ok(Bound { listener: Listener::Unix(listener), at: self.clone(), file: Some(file) })
            }
        }
    }
}

/// A socket that is listened on.
pub(crate) struct Bound {
    pub(crate) listener: Listener,
    /// Where it really is: with the port that was picked.
    pub(crate) at: Listen,
    /// To be kept until the end.
    pub(crate) file: Option<SocketFile>,
}

/// The file of a socket; taken away when this is dropped, if it is still the one that was made.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    made: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_some_and(|identity| identity == self.made)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the socket's file could not be taken away");
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Listens at an address.
///
/// # Errors
/// What is in the way, in a sentence.
pub(crate) fn tcp(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| {
        let message = match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "another program listens on {address}; stop it, or choose another port with --listen {}:0",
                address.ip()
            ),
            _ => format!("cannot listen on {address}: {error}"),
        };
        anyhow::anyhow!(message)
    })
}

fn unix(path: &Path) -> Result<(UnixListener, SocketFile), String> {
    let bound = match bind_file(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path)?;
            bind_file(path)
        }
        bound => bound,
    };
    let listener = bound.map_err(|error| format!("cannot listen on unix:{}: {error}", path.display()))?;
    let made = identity(path).ok_or_else(|| format!("{} is gone as soon as it was made", path.display()))?;
    Ok((listener, SocketFile { path: path.to_owned(), made }))
}

/// The file has its mode from the beginning: nobody else comes in before it would be set.
fn bind_file(path: &Path) -> io::Result<UnixListener> {
    // Called before there are other threads, which make files too.
    let before = rustix::process::umask(!FILE_MODE & Mode::from_bits_truncate(0o777));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    bound
}

/// Takes away what a server left that did not end in order. Nothing else is ever deleted.
fn remove_stale(path: &Path) -> Result<(), String> {
    let at = path.display();
    let file = std::fs::symlink_metadata(path).map_err(|error| format!("cannot look at {at}: {error}"))?;
    if !file.file_type().is_socket() {
        return Err(format!("{at} is there, and is no socket; choose another place with --listen unix:…"));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|error| {
                format!("{at} is left over from a server that is gone, and cannot be taken away: {error}")
            })
        }
        Ok(_) => Err(format!("another program listens on unix:{at}; stop it, or choose another file")),
        Err(error) => {
            Err(format!("{at} is there, and whether anybody listens on it cannot be told: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_files() {
        let check = |text: &str, expect: Option<&str>| {
            let parsed = text.parse::<Listen>().ok().map(|listen| listen.to_string());
            assert_eq!(parsed.as_deref(), expect, "{text}");
        };
        check("127.0.0.1:8000", Some("127.0.0.1:8000"));
        check("[::]:443", Some("[::]:443"));
        check("unix:/run/trunkline.sock", Some("unix:/run/trunkline.sock"));
        check("unix:trunkline.sock", Some("unix:trunkline.sock"));
        check("unix:", None);
        check("/run/trunkline.sock", None);
        check("8000", None);
        check("localhost:8000", None);
    }
}
