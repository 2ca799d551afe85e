//! `cargo xtask test`: installs what is missing, runs the suites, sums up.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::services;
use crate::suite::{Outcome, Report, Suite};
use crate::suites;
use crate::tally::Tally;
use crate::workshop::Workshop;
use crate::workspace::Workspace;

/// Runs the named suites, or all.
pub fn run(workspace: Workspace, arguments: &[String]) -> Result<ExitCode> {
    let (flags, names): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|word| word.starts_with('-'));
    if let Some(unknown) = flags.iter().find(|flag| **flag != "--verbose") {
        bail!("`test` knows no {unknown}; there is --verbose");
    }
    let chosen = choose(&names)?;
    let workshop = Workshop::open(workspace, !flags.is_empty())?;
    let must_run = std::env::var("CI").is_ok_and(|value| value == "true");

    let needed: Vec<&str> = chosen.iter().flat_map(|suite| suite.needs.iter().copied()).collect();
    services::install_missing(&workshop, &needed);
    let reports = chosen.iter().map(|suite| suite.run(&workshop)).collect::<Result<Vec<_>>>()?;

    let mut sum = Tally::default();
    reports.iter().for_each(|report| sum += report.tally(must_run));
    print!("{}", table(&reports, must_run));
    println!("{} passed, {} failed", sum.passed, sum.failed);
    Ok(if sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The suites of these names, in the order in which they run.
fn choose(names: &[&String]) -> Result<Vec<&'static Suite>> {
    if let Some(unknown) = names.iter().find(|name| !suites::ALL.iter().any(|suite| suite.name == **name)) {
        let known: Vec<&str> = suites::ALL.iter().map(|suite| suite.name).collect();
        bail!("there is no suite `{unknown}`; there are {}", known.join(", "));
    }
    let wanted = |suite: &&Suite| names.is_empty() || names.iter().any(|name| *name == suite.name);
    Ok(suites::ALL.iter().filter(wanted).collect())
}

/// A line per suite, with what was skipped and why.
fn table(reports: &[Report], must_run: bool) -> String {
    let mut text =
        format!("\n{:<12}{:>8}{:>8}{:>9}{:>9}\n", "suite", "passed", "failed", "skipped", "seconds");
    for report in reports {
        let tally = report.tally(must_run);
        let seconds = report.took.as_secs_f64();
        text += &format!(
            "{:<12}{:>8}{:>8}{:>9}{seconds:>9.1}",
            report.name, tally.passed, tally.failed, tally.skipped
        );
        if let Outcome::Skipped(why) = &report.outcome {
            text += &format!("   skipped: {} — {why}", report.name);
        }
        text.push('\n');
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn suites_are_chosen_by_name_and_run_in_their_own_order() {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let chosen = |names: &[&str]| -> Result<Vec<&str>> {
            let names = owned(names);
            Ok(choose(&names.iter().collect::<Vec<_>>())?.iter().map(|suite| suite.name).collect())
        };
        let all = ["fmt", "tidy", "clippy", "doc", "rust", "bench", "ui", "sdk", "browser", "autobahn"];
        assert_eq!(chosen(&[]).expect("all"), all);
        assert_eq!(chosen(&["rust", "fmt"]).expect("two"), ["fmt", "rust"]);
        let error = chosen(&["rusty"]).expect_err("unknown").to_string();
        assert!(error.starts_with("there is no suite `rusty`; there are fmt, tidy"), "{error}");
    }

    #[test]
    fn the_table_names_what_was_skipped() {
        let took = Duration::from_millis(1500);
        let reports = [
            Report { name: "rust", outcome: Outcome::Ran(Tally { passed: 7, failed: 1, skipped: 2 }), took },
            Report { name: "browser", outcome: Outcome::Skipped("no Chromium".to_owned()), took },
        ];
        let text = table(&reports, true);
        assert!(text.contains("rust               7       1        2      1.5\n"), "{text}");
        assert!(
            text.contains(
                "browser            0       1        0      1.5   skipped: browser — no Chromium\n"
            ),
            "{text}"
        );
    }
}
