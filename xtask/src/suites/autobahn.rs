//! The Autobahn suite's `quick` cases against the server's `/echo` and the library's client: each case is a test.

use anyhow::Result;

use crate::conformance::{self, Role};
use crate::log::Log;
use crate::suite::{Outcome, Suite};
use crate::workshop::Workshop;

/// All but compression is judged whole, compression by a part of each kind; the other cases take ten times as long.
const CASES: &[&str] = &["quick"];

/// The suite.
pub(super) const SUITE: Suite = Suite {
    name: "autobahn",
    about: "RFC 6455 and RFC 7692 by a foreign judge (its first run installs it, about a minute)",
    needs: &["linux-x86_64", "python3-pip"],
    run,
};

fn run(workshop: &Workshop, log: &Log) -> Result<Outcome> {
    let programs = workshop.build_programs(log)?;
    let mut tally = conformance::judge(workshop, Role::Server, &programs, CASES, log)?;
    if Role::Client.is_there(&programs) {
        tally += conformance::judge(workshop, Role::Client, &programs, CASES, log)?;
    }
    Ok(Outcome::Ran(tally))
}
