//! `cargo fmt --check`: one check that passes or fails.

use anyhow::Result;

use crate::log::Log;
use crate::suite::{Outcome, Suite};
use crate::tally::Tally;
use crate::workshop::Workshop;

/// The suite.
pub(super) const SUITE: Suite = Suite { name: "fmt", about: "cargo fmt --all --check", needs: &[], run };

fn run(workshop: &Workshop, log: &Log) -> Result<Outcome> {
    let mut probe = workshop.workspace.cargo();
    probe.args(["fmt", "--version"]);
    if !workshop.runner.run(probe, log)?.success() {
        return Ok(Outcome::Skipped("no rustfmt; rustup component add rustfmt".to_owned()));
    }
    let mut command = workshop.workspace.cargo();
    command.args(["fmt", "--all", "--", "--check", "--color", "never"]);
    Ok(Outcome::Ran(Tally::one(workshop.runner.run(command, log)?.success())))
}
