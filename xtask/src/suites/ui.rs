//! The UI's own checks and unit tests, as `ui/package.json` names them.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::log::Log;
use crate::npm::Npm;
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
    if let Some(script) = package["scripts"]["test"].as_str() {
        tally += unit_tests(workshop, npm, &folder, script, log)?;
    }
    Ok(Outcome::Ran(tally))
}

fn unit_tests(workshop: &Workshop, npm: &Npm, folder: &Path, script: &str, log: &Log) -> Result<Tally> {
    let report = workshop.workspace.logs().join("ui-vitest.json");
    std::fs::remove_file(&report).ok();
    let mut command = npm.npm(folder);
    command.args(["run", "test"]);
    if script.contains("vitest") {
        command.args(["--", "--reporter=default", "--reporter=json"]);
        command.arg(format!("--outputFile.json={}", report.display()));
    }
    let finished = workshop.runner.run(command, log)?;
    let counted = std::fs::read_to_string(&report).ok().and_then(|report| Tally::from_vitest(&report));
    let tally = counted.or_else(|| Tally::from_last_line(&finished.output));
    Ok(tally.unwrap_or(Tally::one(finished.success())).with_exit(finished.success()))
}
