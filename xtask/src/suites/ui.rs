//! The UI's own checks and unit tests, as `ui/package.json` names them.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::log::Log;
use crate::suite::{Outcome, Suite};
use crate::tally::Tally;
use crate::ui::Ui;
use crate::workshop::Workshop;

/// The suite.
pub(super) const SUITE: Suite =
    Suite { name: "ui", about: "types, lint and unit tests of ui/", needs: &[], run };

/// Scripts that are one check each.
const CHECKS: [&str; 2] = ["check", "lint"];

fn run(workshop: &Workshop, log: &Log) -> Result<Outcome> {
    let npm = match &workshop.npm {
        Ok(npm) => npm,
        Err(why) => return Ok(Outcome::Skipped(why.clone())),
    };
    if let Ui::Failed(why) = workshop.ui() {
        anyhow::bail!("the UI does not build: {why}");
    }
    let folder = workshop.workspace.root.join("ui");
    let text = std::fs::read_to_string(folder.join("package.json")).context("ui/package.json")?;
    let package: Value = serde_json::from_str(&text).context("ui/package.json")?;
    let mut tally = Tally::default();
    for script in CHECKS.iter().filter(|script| package["scripts"][**script].is_string()) {
        let mut command = npm.npm(&folder);
        command.args(["run", script]);
        tally += Tally::one(workshop.runner.run(command, log)?.success());
    }
    if package["scripts"]["test"].is_string() {
        tally += vitest(workshop, npm.npm(&folder), "test", log)?;
    }
    Ok(Outcome::Ran(tally))
}

/// Runs a script that is vitest, and counts its tests. `npm` is `npm` in its folder.
pub(super) fn vitest(workshop: &Workshop, mut npm: Command, script: &str, log: &Log) -> Result<Tally> {
    let report = workshop.workspace.logs().join("vitest.json");
    std::fs::remove_file(&report).ok();
    npm.args(["run", script, "--", "--reporter=default", "--reporter=json"]);
    npm.arg(format!("--outputFile.json={}", report.display()));
    let finished = workshop.runner.run(npm, log)?;
    let counted = std::fs::read_to_string(&report).ok().and_then(|report| Tally::from_vitest(&report));
    Ok(counted.unwrap_or(Tally::one(finished.success())).with_exit(finished.success()))
}
