//! `cargo xtask …`: picks the chore. The work is in the library, so that tests can call it too.

use std::process::ExitCode;

use xtask::{bench, conformance, help, npm_lock, serve, sim, test, tidy, workspace::Workspace};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match chore(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the named chore with the rest of the command line.
fn chore(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let Some((name, rest)) = arguments.split_first() else {
        print!("{}", help::PAGE);
        return Ok(ExitCode::FAILURE);
    };
    match name.as_str() {
        "help" | "--help" | "-h" => {
            print!("{}", help::PAGE);
            Ok(ExitCode::SUCCESS)
        }
        "serve" => serve::run(Workspace::open()?, rest),
        "test" => test::run(Workspace::open()?, rest),
        "tidy" => tidy::run(&Workspace::open()?),
        "lock" => npm_lock::run(Workspace::open()?),
        "sim" => sim::run(Workspace::open()?, rest),
        "bench" => bench::run(Workspace::open()?, rest),
        "conformance" => conformance::run(Workspace::open()?, rest),
        other => {
            eprintln!("xtask: there is no chore `{other}`; these are the ones there are:\n");
            print!("{}", help::PAGE);
            Ok(ExitCode::FAILURE)
        }
    }
}
