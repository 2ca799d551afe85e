//! A `trunkline dev` of our own for a suite to talk to: a free port, a data folder that goes away with it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::log::Log;
use crate::process::Running;
use crate::workshop::Workshop;

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Server<'a> {
    running: Option<Running<'a>>,
    data: PathBuf,
    /// Where it listens: `127.0.0.1:40123`.
    pub address: String,
}

impl<'a> Server<'a> {
    /// Starts the built binary and waits until it is ready.
    pub fn start(workshop: &'a Workshop, programs: &Path, log: &'a Log) -> Result<Self> {
        let data = std::env::temp_dir().join(format!("trunkline-xtask-{}", std::process::id()));
        std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
        let mut command = Command::new(programs.join("trunkline"));
        command.args(["dev", "--listen", "127.0.0.1:0", "--data"]).arg(&data).current_dir(&data);
        let mut server =
            Self { running: Some(workshop.runner.start(command, log)?), data, address: String::new() };
        let running = server.running.as_mut().expect("it was put there a line above");
        server.address =
            running.wait_for_line("ready http://", PATIENCE).context("`trunkline dev` did not start")?;
        server.address.truncate(server.address.trim_end_matches('/').len());
        Ok(server)
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        drop(self.running.take());
        std::fs::remove_dir_all(&self.data).ok();
    }
}
