//! `cargo clippy` with warnings denied: one check that passes or fails.

use anyhow::Result;

use crate::log::Log;
use crate::suite::{Outcome, Suite};
use crate::tally::Tally;
use crate::workshop::Workshop;

/// The suite.
pub(super) const SUITE: Suite =
    Suite { name: "clippy", about: "cargo clippy (minutes the first time, then seconds)", needs: &[], run };

fn run(workshop: &Workshop, log: &Log) -> Result<Outcome> {
    let mut probe = workshop.workspace.cargo();
    probe.args(["clippy", "--version"]);
    if !workshop.runner.run(probe, log)?.success() {
        return Ok(Outcome::Skipped("no clippy; rustup component add clippy".to_owned()));
    }
    let mut command = workshop.workspace.cargo();
    command.arg("clippy").args(workshop.same_build()).args(["--all-targets", "--", "-D", "warnings"]);
    Ok(Outcome::Ran(Tally::one(workshop.runner.run(command, log)?.success())))
}
