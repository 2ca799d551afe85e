//! `cargo xtask bench`: builds the floors, ours and, if asked for, the peers, and becomes the program that measures them.
//!
//! All of that is a workspace of its own below `bench/`, with a README that says what the figures mean.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::log::Log;
use crate::workshop::{SERVER, Workshop};
use crate::workspace::Workspace;

/// The page of `bench --help`, shared with the program that reads the options.
const USAGE: &str = include_str!("../../bench/harness/src/usage.txt");

/// Builds what is stale, without a word of measuring, then measures.
pub fn run(workspace: Workspace, arguments: &[String]) -> Result<ExitCode> {
    if arguments.is_empty() || arguments.iter().any(|word| word == "--help") {
        print!("{USAGE}");
        return Ok(if arguments.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    // Before minutes of building, not after them.
    let unknown = |word: &&String| word.starts_with('-') && !USAGE.contains(&format!("\n  {word} "));
    if let Some(unknown) = arguments.iter().find(unknown) {
        bail!("`bench` knows no {unknown}\n\n{USAGE}");
    }
    let mut bench = build(workspace, arguments)?;
    let error = bench.exec();
    Err(error).with_context(|| format!("cannot start {}", bench.get_program().display()))
}

/// A cargo in the workspace of `bench/`, which builds in a folder of its own.
pub fn cargo(workspace: &Workspace, chore: &str) -> Command {
    let mut cargo = workspace.cargo();
    cargo.current_dir(workspace.root.join("bench")).arg(chore).arg("--target-dir").arg(target(workspace));
    cargo
}

fn target(workspace: &Workspace) -> PathBuf {
    workspace.target.join("bench")
}

fn build(workspace: Workspace, arguments: &[String]) -> Result<Command> {
    let workshop = Workshop::open(workspace, false)?;
    let log = Log::create(&workshop.workspace.logs(), "bench")?;
    let peers = arguments.iter().any(|word| word == "--peers");
    // One at a time: together, the features that one asks of a crate would be built into the other as well.
    for package in ["trunkline-bench", "trunkline-bench-peers"].iter().take(1 + usize::from(peers)) {
        let mut command = cargo(&workshop.workspace, "build");
        command.args(["--release", "--package", package]);
        workshop.must(&format!("building {package} (some minutes the first time)"), command, &log)?;
    }
    let mut server = workshop.workspace.cargo();
    server.args(["build", "--profile", "dist", "--package", SERVER, "--bin", "trunkline"]);
    workshop.must(
        "building the server (cargo build --profile dist; some minutes the first time)",
        server,
        &log,
    )?;

    let mut bench = Command::new(target(&workshop.workspace).join("release/bench"));
    bench.args(arguments).arg("--trunkline").arg(workshop.workspace.target.join("dist/trunkline"));
    Ok(bench)
}
