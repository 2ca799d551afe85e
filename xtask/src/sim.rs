//! `cargo xtask sim`: builds the simulator and becomes it, or lets `plants` try it on known bugs.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::log::Log;
use crate::plants;
use crate::workshop::Workshop;
use crate::workspace::Workspace;

/// The simulator's package, and its binary.
pub const SIMULATOR: &str = "trunkline-sim";

/// Runs what the arguments ask for.
pub fn run(workspace: Workspace, arguments: &[String]) -> Result<ExitCode> {
    match arguments.split_first() {
        None => bail!("`sim` needs --seed N, --seeds A..B or --plants; `cargo xtask help` says more"),
        Some((word, names)) if word == "--plants" => plants::run(workspace, names),
        Some(_) => simulate(workspace, arguments),
    }
}

fn simulate(workspace: Workspace, arguments: &[String]) -> Result<ExitCode> {
    let workshop = Workshop::open(workspace, false)?;
    let log = Log::create(&workshop.workspace.logs(), "sim")?;
    let mut build = workshop.workspace.cargo();
    build.args(["build", "--release", "--package", SIMULATOR, "--bin", SIMULATOR]);
    workshop.must("building the simulator (cargo build --release)", build, &log)?;
    let mut simulator = Command::new(workshop.workspace.target.join("release").join(SIMULATOR));
    simulator.args(arguments).args(["--commit", &commit(&workshop.workspace)]);
    let error = simulator.exec();
    Err(error).with_context(|| format!("cannot start {}", simulator.get_program().display()))
}

/// The commit that is checked out, marked if something has changed since.
fn commit(workspace: &Workspace) -> String {
    let mut git = Command::new("git");
    git.current_dir(&workspace.root).args(["describe", "--always", "--dirty", "--exclude=*"]);
    let output = git.output().ok().filter(|output| output.status.success());
    output.map_or("unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
