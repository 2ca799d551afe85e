//! What a chore works with: the workspace, the runner of child processes, and what is built only once a run.

use std::cell::OnceCell;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::log::Log;
use crate::npm::Npm;
use crate::process::{Finished, Runner, spelled};
use crate::ui::{self, Ui};
use crate::workspace::Workspace;

/// The package whose binary is `trunkline`.
pub const SERVER: &str = "trunkline-server";

/// One run's tools.
#[derive(Debug)]
pub struct Workshop {
    /// Where things are.
    pub workspace: Workspace,
    /// Starts child processes.
    pub runner: Runner,
    /// Node.js and npm, or why there are none.
    pub npm: Result<Npm, String>,
    ui: OnceCell<Ui>,
}

impl Workshop {
    /// With `verbose` what child processes print is shown as it comes.
    pub fn open(workspace: Workspace, verbose: bool) -> Result<Self> {
        Ok(Self { workspace, runner: Runner::new(verbose)?, npm: Npm::find(), ui: OnceCell::new() })
    }

    /// The UI, built when it is asked for first.
    pub fn ui(&self) -> &Ui {
        self.ui.get_or_init(|| ui::build(self))
    }

    /// The arguments that every build of a test run shares: the same packages and the same features, so that
    /// cargo compiles nothing twice.
    pub fn same_build(&self) -> Vec<&'static str> {
        let mut arguments = vec!["--workspace"];
        if self.has_ui_feature() && matches!(self.ui(), Ui::Built) {
            arguments.extend(["--features", "trunkline-server/ui"]);
        }
        arguments
    }

    /// Whether the server can embed the UI.
    pub fn has_ui_feature(&self) -> bool {
        let server = self.workspace.package(SERVER);
        server.is_some_and(|server| server.features.iter().any(|feature| feature == "ui"))
    }

    /// Runs a program that has to succeed, for one who wants to see a line about it and its output only when it
    /// fails.
    pub fn must(&self, say: &str, command: Command, log: &Log) -> Result<Finished> {
        println!("→ {say}");
        let spelled = spelled(&command);
        let finished = self.runner.run(command, log)?;
        if !finished.success() {
            if !self.runner.verbose() {
                print!("{}", finished.output);
            }
            bail!(
                "`{spelled}` failed ({}); its output is above and in {}",
                finished.status,
                log.path().display()
            );
        }
        Ok(finished)
    }

    /// Builds all binaries and examples the way the tests were built, and gives the folder that they lie in.
    pub fn build_programs(&self, log: &Log) -> Result<std::path::PathBuf> {
        self.workspace.package(SERVER).with_context(|| format!("there is no package {SERVER}"))?;
        let mut command = self.workspace.cargo();
        command.arg("build").args(self.same_build()).args(["--bins", "--examples"]);
        let finished = self.runner.run(command, log)?;
        if !finished.success() {
            bail!("the server or an example does not build");
        }
        Ok(self.workspace.target.join("debug"))
    }
}
