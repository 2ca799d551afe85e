//! How many files this process may hold open: raised to what the system allows, since each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors kept for the database, the log and the system.
const RESERVED: u64 = 64;

/// Raises the soft limit to the hard one, and gives how many connections fit.
pub(crate) fn raise_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    match getrlimit(Resource::Nofile).current {
        Some(files) => usize::try_from(files.saturating_sub(RESERVED)).unwrap_or(usize::MAX),
        None => usize::MAX,
    }
}
