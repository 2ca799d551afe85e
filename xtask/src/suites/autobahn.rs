//! The Autobahn suite's core cases against the server's `/echo`: each case is a test.

use anyhow::Result;

use crate::conformance::{self, Role};
use crate::log::Log;
use crate::suite::{Outcome, Suite};
use crate::workshop::Workshop;

/// The suite.
pub(super) const SUITE: Suite = Suite {
    name: "autobahn",
    about: "RFC 6455 by a foreign judge (its first run installs it, about a minute)",
    needs: &["linux-x86_64", "python3-pip"],
    run,
};

fn run(workshop: &Workshop, log: &Log) -> Result<Outcome> {
    let programs = workshop.build_programs(log)?;
    let mut tally = conformance::judge(workshop, Role::Server, &programs, &["core"], log)?;
    if Role::Client.is_there(&programs) {
        tally += conformance::judge(workshop, Role::Client, &programs, &["core"], log)?;
    }
    Ok(Outcome::Ran(tally))
}
