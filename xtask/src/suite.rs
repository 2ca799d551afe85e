//! One suite: its name, what it needs, how it runs, how it came out.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::log::Log;
use crate::services;
use crate::tally::Tally;
use crate::workshop::Workshop;

/// A suite of tests.
#[derive(Debug)]
pub struct Suite {
    /// What one types to run it alone.
    pub name: &'static str,
    /// What it does, for the line that announces it.
    pub about: &'static str,
    /// Services that it cannot do without.
    pub needs: &'static [&'static str],
    /// Runs it. An error means that it could not run, or not to its end.
    pub run: fn(&Workshop, &Log) -> Result<Outcome>,
}

/// How a suite came out.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran.
    Ran(Tally),
    /// Something optional is missing; the text says what, and how to get it.
    Skipped(String),
}

/// A line of the final table.
#[derive(Debug)]
pub struct Report {
    /// The suite's name.
    pub name: &'static str,
    /// How it came out.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// What it adds to the sum. Skipping is a failure where everything has to be there.
    pub fn tally(&self, must_run: bool) -> Tally {
        match &self.outcome {
            Outcome::Ran(tally) => *tally,
            Outcome::Skipped(_) => Tally { failed: u64::from(must_run), ..Tally::default() },
        }
    }
}

impl Suite {
    /// Runs it and says so: a line before, a line after, and everything it printed if it failed.
    pub fn run(&self, workshop: &Workshop) -> Result<Report> {
        println!("→ {}: {}", self.name, self.about);
        let began = Instant::now();
        let log = Log::create(&workshop.workspace.logs(), self.name)?;
        let missing = self.needs.iter().map(|name| services::named(name)).find(|service| !service.is_there());
        let outcome = match missing {
            Some(service) => Outcome::Skipped(service.complaint()),
            None => (self.run)(workshop, &log).unwrap_or_else(|error| {
                log.line(&format!("{} could not run: {error:#}", self.name));
                Outcome::Ran(Tally::one(false))
            }),
        };
        let report = Report { name: self.name, outcome, took: began.elapsed() };
        say(&report, &log);
        Ok(report)
    }
}

fn say(report: &Report, log: &Log) {
    let seconds = report.took.as_secs_f64();
    match &report.outcome {
        Outcome::Skipped(why) => println!("  skipped: {} — {why}", report.name),
        Outcome::Ran(tally) if tally.failed == 0 => {
            println!("✓ {}: {} passed in {seconds:.1} s", report.name, tally.passed);
        }
        Outcome::Ran(tally) => {
            print!("{}", log.text());
            println!(
                "✗ {}: {} failed, {} passed in {seconds:.1} s; all it printed is above and in {}",
                report.name,
                tally.failed,
                tally.passed,
                log.path().display()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_suite_counts_only_where_it_must_run() {
        let report = Report { name: "x", outcome: Outcome::Skipped("no x".to_owned()), took: Duration::ZERO };
        assert_eq!(report.tally(false), Tally::default());
        assert_eq!(report.tally(true), Tally::one(false));
    }
}
