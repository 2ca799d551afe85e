//! A certificate that an authority gives by itself (ACME, RFC 8555): asked for when there is none, and again when a third of its
//! time is left. Runs on a thread of its own beside everything else, and ends with the process.
//!
//! ```text
//!            ┌── folder: account, certificate, tries ──┐
//!   running ─▶ keeper ──▶ tries: may it ask again? ────┴──▶ order ──▶ courier ──▶ the authority
//!                ▲                                            │                       │ looks at our port
//!                └── what it has given ──▶ tls ◀── challenges ┘ ◀── entrance ◀────────┘
//! ```
//!
//! Whatever the authority says is said by somebody else: it is bounded in size and time, and what it gives is looked at before
//! it is shown.

mod certified;
mod courier;
mod folder;
mod keeper;
mod order;
mod tries;

use std::path::Path;
use std::sync::Arc;

use crate::config::AcmeSettings;
use crate::outgoing;
use crate::tls::Tls;
use courier::Courier;
use folder::Folder;
use keeper::Keeper;

/// How many connections to the authority are kept.
const IDLE_MAX: usize = 1;

/// Shows through `tls` what an authority has given, and sees to it that there always is something.
///
/// # Errors
/// The folder cannot be made, as for [`client`], or there can be no thread.
pub(crate) fn start(settings: AcmeSettings, data: &Path, tls: Arc<Tls>) -> Result<(), String> {
    let folder = Folder::open(data.join("acme"))?;
    let courier = Courier::new(client(&settings)?, settings.directory.clone());
    let mut keeper = Keeper::new(settings, folder, courier, tls);
    // Before anybody is told that the server is ready.
    keeper.show_kept();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    std::thread::Builder::new()
        .name("acme".to_owned())
        .spawn(move || runtime.block_on(keeper.keep()))
        .map_err(|error| error.to_string())?;
    Ok(())
}

/// What asks the authority.
///
/// # Errors
/// There is nothing that it could be trusted by.
pub(crate) fn client(settings: &AcmeSettings) -> Result<outgoing::Client, String> {
    match &settings.roots {
        Some(roots) => outgoing::client_trusting(roots, IDLE_MAX),
        None => outgoing::client(&settings.directory, IDLE_MAX),
    }
}
