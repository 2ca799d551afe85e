//! `cargo doc` with warnings denied: one check that passes or fails. The examples in the docs are tests of `rust`.

use anyhow::Result;

use crate::log::Log;
use crate::suite::{Outcome, Suite};
use crate::tally::Tally;
use crate::workshop::Workshop;

/// The suite.
pub(super) const SUITE: Suite =
    Suite { name: "doc", about: "cargo doc: no broken link (half a minute the first time)", needs: &[], run };

fn run(workshop: &Workshop, log: &Log) -> Result<Outcome> {
    let mut command = workshop.workspace.cargo();
    command.arg("doc").args(workshop.same_build()).arg("--no-deps").env("RUSTDOCFLAGS", "-D warnings");
    Ok(Outcome::Ran(Tally::one(workshop.runner.run(command, log)?.success())))
}
