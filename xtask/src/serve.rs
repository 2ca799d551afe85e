//! `cargo xtask serve`: from a fresh clone to a running server.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::log::Log;
use crate::ui::Ui;
use crate::workshop::{SERVER, Workshop};
use crate::workspace::Workspace;

/// Builds what is stale and becomes `trunkline dev ARGS…`: signals and the exit status are then the server's own.
pub fn run(workspace: Workspace, arguments: &[String]) -> Result<ExitCode> {
    let (verbose, arguments) = match arguments.split_first() {
        Some((first, rest)) if first == "--verbose" => (true, rest),
        _ => (false, arguments),
    };
    let mut server = build(workspace, verbose)?;
    server.arg("dev").args(arguments);
    let error = server.exec();
    Err(error).with_context(|| format!("cannot start {}", server.get_program().display()))
}

/// Builds the UI where that is possible, and the server; gives the command that starts it. All that watched over
/// the builds is gone when it returns.
fn build(workspace: Workspace, verbose: bool) -> Result<Command> {
    let workshop = Workshop::open(workspace, verbose)?;
    let mut cargo = workshop.workspace.cargo();
    cargo.args(["build", "--release", "--package", SERVER, "--bin", "trunkline"]);
    match workshop.ui() {
        Ui::Built if workshop.has_ui_feature() => {
            cargo.args(["--features", "ui"]);
        }
        Ui::Built => {}
        Ui::Absent(why) => println!("  without the console and the demos: {why}"),
        Ui::Failed(why) => bail!("the UI does not build: {why}"),
    }
    let log = Log::create(&workshop.workspace.logs(), "serve")?;
    let say =
        "building the server (cargo build --release; two or three minutes the first time, then seconds)";
    workshop.must(say, cargo, &log)?;
    println!("→ trunkline dev (Ctrl-C stops it)");
    Ok(Command::new(workshop.workspace.target.join("release/trunkline")))
}
