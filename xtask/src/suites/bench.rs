//! The benchmark as a test, so that it cannot rot: its own tests, a few messages through each of our servers and
//! the floors, and the lints. The peers are left out: they are many crates, and not ours to test.

use anyhow::Result;

use crate::bench;
use crate::log::Log;
use crate::suite::{Outcome, Suite};
use crate::tally::Tally;
use crate::workshop::Workshop;

/// The suite.
pub(super) const SUITE: Suite = Suite {
    name: "bench",
    about: "the benchmark's own tests and lints (a minute the first time, then seconds)",
    needs: &["linux"],
    run,
};

const PACKAGE: [&str; 2] = ["--package", "trunkline-bench"];

fn run(workshop: &Workshop, log: &Log) -> Result<Outcome> {
    let mut fmt = workshop.workspace.cargo();
    fmt.current_dir(workshop.workspace.root.join("bench"))
        .args(["fmt", "--all", "--", "--check", "--color", "never"]);
    let mut tally = Tally::one(workshop.runner.run(fmt, log)?.success());

    let mut probe = workshop.workspace.cargo();
    probe.args(["clippy", "--version"]);
    if workshop.runner.run(probe, log)?.success() {
        let mut clippy = bench::cargo(&workshop.workspace, "clippy");
        clippy.args(PACKAGE).args(["--all-targets", "--", "-D", "warnings"]);
        tally += Tally::one(workshop.runner.run(clippy, log)?.success());
    }

    let mut tests = bench::cargo(&workshop.workspace, "test");
    tests.args(PACKAGE).arg("--no-fail-fast");
    let finished = workshop.runner.run(tests, log)?;
    tally += Tally::from_cargo_test(&finished.output).with_exit(finished.success());
    Ok(Outcome::Ran(tally))
}
