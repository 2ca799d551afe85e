//! `cargo test` for the whole workspace, documentation included.

use anyhow::Result;

use crate::log::Log;
use crate::suite::{Outcome, Suite};
use crate::tally::Tally;
use crate::workshop::Workshop;

/// The suite.
pub(super) const SUITE: Suite =
    Suite { name: "rust", about: "cargo test (minutes the first time, then seconds)", needs: &[], run };

fn run(workshop: &Workshop, log: &Log) -> Result<Outcome> {
    let mut command = workshop.workspace.cargo();
    command.arg("test").args(workshop.same_build()).arg("--no-fail-fast");
    let finished = workshop.runner.run(command, log)?;
    Ok(Outcome::Ran(Tally::from_cargo_test(&finished.output).with_exit(finished.success())))
}
