//! How many files this process may hold open: raised to what the system allows, since each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cli::Failure;

/// Descriptors kept for the database, the log and the system.
const RESERVED: u64 = 64;
/// With room for fewer connections there is no point in starting.
const CONNECTIONS_MIN: u64 = 16;

/// Raises the soft limit to the hard one, and gives how many connections fit.
///
/// # Errors
/// [`Failure::Usage`] if the hard limit leaves room for hardly any.
pub(crate) fn connections_max() -> Result<usize, Failure> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    let Some(files) = getrlimit(Resource::Nofile).current else { return Ok(usize::MAX) };
    let connections = files.saturating_sub(RESERVED);
    if connections < CONNECTIONS_MIN {
        return Err(Failure::Usage(format!(
            "this process may hold {files} files open, which leaves no room for connections; \
             allow at least {} (`ulimit -n`)",
            RESERVED + CONNECTIONS_MIN
        )));
    }
    Ok(usize::try_from(connections).unwrap_or(usize::MAX))
}
