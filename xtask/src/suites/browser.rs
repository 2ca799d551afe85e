//! The pages and the tutorial programs in a real browser: `tests/browser/run.mjs` against the built binaries.

use anyhow::{Result, bail};

use crate::log::Log;
use crate::services;
use crate::suite::{Outcome, Suite};
use crate::tally::Tally;
use crate::ui::Ui;
use crate::workshop::Workshop;

/// The suite.
pub(super) const SUITE: Suite =
    Suite { name: "browser", about: "pages and examples in Chromium", needs: &["chromium"], run };

fn run(workshop: &Workshop, log: &Log) -> Result<Outcome> {
    let npm = match &workshop.npm {
        Ok(npm) => npm,
        Err(why) => return Ok(Outcome::Skipped(why.clone())),
    };
    if let Ui::Failed(why) = workshop.ui() {
        bail!("the UI does not build: {why}");
    }
    let root = &workshop.workspace.root;
    let folder = root.join("tests/browser");
    if folder.join("package.json").exists() {
        npm.packages(workshop, &folder, log)?;
    }
    let programs = workshop.build_programs(log)?;
    let mut command = npm.node(&folder);
    command.arg("tests/browser/run.mjs").current_dir(root);
    command.env("TRUNKLINE_BIN", programs.join("trunkline")).env("EXAMPLES_DIR", programs.join("examples"));
    command.env("CHROMIUM", services::named("chromium").program().unwrap_or_default());
    let finished = workshop.runner.run(command, log)?;
    let Some(tally) = Tally::from_last_line(&finished.output) else {
        bail!("its last line is not `N passed, N failed`");
    };
    Ok(Outcome::Ran(tally.with_exit(finished.success())))
}
