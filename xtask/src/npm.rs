//! Node.js and npm: whether they are there, and whether a folder has its packages.

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use anyhow::Result;

use crate::log::Log;
use crate::workshop::Workshop;

/// The oldest Node.js that the UI's tools run on.
const OLDEST: (u32, u32) = (20, 19);

/// A usable Node.js.
#[derive(Debug)]
pub struct Npm(());

impl Npm {
    /// Looks for both programs; the error says what to do.
    pub fn find() -> Result<Self, String> {
        let wanted =
            format!("install Node.js {}.{} or newer, with npm (https://nodejs.org)", OLDEST.0, OLDEST.1);
        let Some(node) = answer("node") else { return Err(format!("no Node.js; {wanted}")) };
        if answer("npm").is_none() {
            return Err(format!("no npm; {wanted}"));
        }
        match version(&node) {
            Some(found) if found >= OLDEST => Ok(Self(())),
            _ => Err(format!("Node.js {node} is too old; {wanted}")),
        }
    }

    /// `npm …` in a folder.
    pub fn npm(&self, folder: &Path) -> Command {
        let mut command = Command::new("npm");
        command.current_dir(folder);
        command
    }

    /// `node …` in a folder: the one among its packages if there is one, else the system's.
    pub fn node(&self, folder: &Path) -> Command {
        let own = folder.join("node_modules/.bin/node");
        Command::new(if own.exists() { own.into_os_string() } else { "node".into() })
    }

    /// Installs a folder's packages if they are missing or older than its lock file.
    pub fn packages(&self, workshop: &Workshop, folder: &Path, log: &Log) -> Result<()> {
        if packages_are_fresh(folder) {
            return Ok(());
        }
        let verb = if folder.join("package-lock.json").exists() { "ci" } else { "install" };
        let shown = folder.strip_prefix(&workshop.workspace.root).unwrap_or(folder).display();
        let mut command = self.npm(folder);
        command.args([verb, "--no-audit", "--no-fund"]);
        let say = format!("installing the npm packages of {shown} (npm {verb}; up to a minute)");
        workshop.must(&say, command, log)?;
        Ok(())
    }
}

/// npm leaves a lock file of its own in `node_modules` when it is done.
fn packages_are_fresh(folder: &Path) -> bool {
    let changed = |name: &str| folder.join(name).metadata().and_then(|metadata| metadata.modified()).ok();
    let Some(installed) = changed("node_modules/.package-lock.json") else { return false };
    let newer = |wanted: Option<SystemTime>| wanted.is_none_or(|wanted| wanted <= installed);
    newer(changed("package-lock.json")) && newer(changed("package.json"))
}

/// What `PROGRAM --version` says.
fn answer(program: &str) -> Option<String> {
    let output =
        Command::new(program).arg("--version").output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim_start_matches('v').split('.').map_while(|part| part.parse().ok());
    Some((parts.next()?, parts.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(version("v20.20.2").expect("a version") >= OLDEST);
        assert!(version("v9.30.0").expect("a version") < OLDEST);
        assert!(version("v20.9.0").expect("a version") < OLDEST);
        assert_eq!(version("command not found"), None);
    }
}
