//! `trunkline backup` and `trunkline restore`: copies of the database, made beside a running server or without one.

use std::io::Write as _;

use crate::cli::{BackupOptions, RestoreOptions};

/// Copies the database of a data directory to a file of its own, and says so.
///
/// # Errors
/// What is wrong with the database or the file; nothing is left at the file's place then.
pub(crate) fn backup(options: &BackupOptions) -> anyhow::Result<()> {
    trunkline_store_sqlite::backup(&options.data, &options.to)?;
    say(&format!("{} holds all that was stored in {}, checked", options.to.display(), options.data.display()))
}

/// Makes a data directory of a backup, and says what those will hear who know more than it holds.
///
/// # Errors
/// What is wrong with the backup or the directory; neither is changed then.
pub(crate) fn restore(options: &RestoreOptions) -> anyhow::Result<()> {
    trunkline_store_sqlite::restore(&options.from, &options.data)?;
    say(&format!(
        "{} is ready; clients that know more than it holds are told so when they come back (`rewound`)",
        options.data.display()
    ))
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
