//! `cargo xtask conformance`: the Autobahn suite against our echo, and what we expect of it.
//!
//! The suite itself is started by `conformance/autobahn_tool.py`, which installs it; `conformance/README.md` has more.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::log::Log;
use crate::server::Server;
use crate::tally::Tally;
use crate::workshop::Workshop;
use crate::workspace::Workspace;

mod expectations;

use expectations::{Expectations, Summary};

/// Which of us is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `trunkline dev`, at `/echo`.
    Server,
    /// The example `exact_echo_client` of `trunkline-ws`.
    Client,
}

impl Role {
    /// As the runner and the expectations call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }

    /// Whether its program is built.
    pub fn is_there(self, programs: &Path) -> bool {
        self.program(programs).exists()
    }

    fn program(self, programs: &Path) -> PathBuf {
        programs.join(match self {
            Self::Server => "trunkline",
            Self::Client => "examples/exact_echo_client",
        })
    }
}

/// Judges the named roles with the named cases and prints the verdicts.
pub fn run(workspace: Workspace, arguments: &[String]) -> Result<ExitCode> {
    let (roles, cases): (&[Role], &[String]) = match arguments.split_first() {
        None => (&[Role::Server, Role::Client], &[]),
        Some((word, rest)) if word == "all" => (&[Role::Server, Role::Client], rest),
        Some((word, rest)) if word == "server" => (&[Role::Server], rest),
        Some((word, rest)) if word == "client" => (&[Role::Client], rest),
        Some((word, _)) => bail!("`{word}` is none of server, client, all"),
    };
    let cases: Vec<&str> =
        if cases.is_empty() { vec!["core", "limits"] } else { cases.iter().map(String::as_str).collect() };
    let workshop = Workshop::open(workspace, false)?;
    let log = Log::create(&workshop.workspace.logs(), "conformance")?;
    println!("→ building the programs (cargo build)");
    let programs = workshop.build_programs(&log).inspect_err(|_| print!("{}", log.text()))?;
    let mut sum = Tally::default();
    for role in roles {
        println!("→ {}: Autobahn cases {}", role.name(), cases.join(" "));
        let log = Log::create(&workshop.workspace.logs(), &format!("conformance-{}", role.name()))?;
        let tally = judge(&workshop, *role, &programs, &cases, &log);
        print!("{}", log.text());
        sum += tally.unwrap_or_else(|error| {
            println!("{} could not be judged: {error:#}", role.name());
            Tally::one(false)
        });
    }
    println!("{} passed, {} failed", sum.passed, sum.failed);
    Ok(if sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Judges one role; each case is a test. A case that came out softer than expected counts as failed.
pub fn judge(workshop: &Workshop, role: Role, programs: &Path, cases: &[&str], log: &Log) -> Result<Tally> {
    if !role.is_there(programs) {
        bail!("{} is not built", role.program(programs).display());
    }
    let logs = workshop.workspace.logs();
    let expected =
        Expectations::read(&workshop.workspace.root.join("conformance/expectations.txt"), role.name())?;
    let reports = logs.join(format!("autobahn-{}", role.name()));
    std::fs::remove_file(reports.join("summary.json")).ok();
    let waived = logs.join(format!("autobahn-{}-waived.txt", role.name()));
    std::fs::write(&waived, expected.waivers())
        .with_context(|| format!("cannot write {}", waived.display()))?;

    let mut tool = Command::new("python3");
    tool.arg(workshop.workspace.root.join("conformance/autobahn_tool.py")).arg(role.name());
    tool.args(["--agent", "trunkline", "--jobs", "2", "--waive"]).arg(&waived);
    match role {
        Role::Server => {
            let server_log = Log::create(&logs, "autobahn-trunkline")?;
            let server = Server::start(workshop, programs, &server_log)
                .inspect_err(|_| log.line(&server_log.text()))?;
            tool.arg(format!("ws://{}/echo", server.address)).arg(&reports).args(cases);
            workshop.runner.run(tool, log)?;
        }
        Role::Client => {
            tool.arg("--out").arg(&reports).args(cases.iter().flat_map(|case| ["--cases", case]));
            tool.arg(role.program(programs)).arg("{case_url}");
            workshop.runner.run(tool, log)?;
        }
    }
    let summary =
        std::fs::read_to_string(reports.join("summary.json")).context("the Autobahn suite did not run")?;
    let (tally, remarks) = expected.compare(&Summary::parse(&summary)?);
    remarks.iter().for_each(|remark| log.line(remark));
    Ok(tally)
}
