//! The TypeScript SDK: its checks, its tests in a world of their own and against the server's own binary, and what those who
//! install its packages would meet.

use anyhow::Result;

use super::ui::vitest;
use crate::log::Log;
use crate::suite::{Outcome, Suite};
use crate::tally::Tally;
use crate::workshop::Workshop;

/// The suite.
pub(super) const SUITE: Suite =
    Suite { name: "sdk", about: "the TypeScript SDK, alone and against the server", needs: &[], run };

/// Scripts that are one check each, in an order in which each finds what it needs.
const CHECKS: [&str; 7] = ["check", "lint", "fresh", "build", "size", "packages", "consumers"];
/// Those that are tests: with the Node.js of this machine, and what a newer one may do differently.
const TESTS: [&str; 2] = ["test", "test:newest"];

fn run(workshop: &Workshop, log: &Log) -> Result<Outcome> {
    let npm = match &workshop.npm {
        Ok(npm) => npm,
        Err(why) => return Ok(Outcome::Skipped(why.clone())),
    };
    let folder = workshop.workspace.root.join("sdk/typescript");
    npm.packages(workshop, &folder, log)?;
    let programs = workshop.build_programs(log)?;
    let mut tally = Tally::default();
    for script in CHECKS {
        let mut command = npm.npm(&folder);
        command.args(["run", script]);
        tally += Tally::one(workshop.runner.run(command, log)?.success());
    }
    for script in TESTS {
        let mut command = npm.npm(&folder);
        command.env("TRUNKLINE_BIN", programs.join("trunkline"));
        tally += vitest(workshop, command, script, log)?;
    }
    Ok(Outcome::Ran(tally))
}
