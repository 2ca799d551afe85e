//! The shape of the source: each rule of [`tidy`](crate::tidy) is one test.

use anyhow::Result;

use crate::log::Log;
use crate::suite::{Outcome, Suite};
use crate::tally::Tally;
use crate::tidy::{self, tree::Tree};
use crate::workshop::Workshop;

/// The suite.
pub(super) const SUITE: Suite = Suite { name: "tidy", about: "the shape of the source", needs: &[], run };

fn run(workshop: &Workshop, log: &Log) -> Result<Outcome> {
    let tree = Tree::read(&workshop.workspace)?;
    let mut tally = Tally::default();
    for (rule, findings) in tidy::judge(&tree) {
        tally += Tally::one(findings.is_empty());
        if !findings.is_empty() {
            log.line(&format!("{}:", rule.name));
            findings.iter().for_each(|finding| log.line(&format!("  {finding}")));
        }
    }
    Ok(Outcome::Ran(tally))
}
