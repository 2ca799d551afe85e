//! Programs from outside that some suites need: how to see whether they are there, and how to get them.
//!
//! To add one (Redis, PostgreSQL, a proxy), add a line to [`SERVICES`] and name it in the suite's `needs`.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::log::Log;
use crate::workshop::Workshop;

/// One thing that may be missing.
#[derive(Debug)]
pub struct Service {
    /// What a suite calls it.
    pub name: &'static str,
    /// What one would miss.
    pub missing: &'static str,
    /// How to see whether it is there.
    probe: Probe,
    /// What `apt-get install` takes; empty if it cannot help.
    packages: &'static [&'static str],
}

/// How to see whether something is there.
#[derive(Debug)]
enum Probe {
    /// The variable names a program, or one of these lies in the path.
    Program { variable: &'static str, names: &'static [&'static str] },
    /// This command ends well.
    Succeeds(&'static [&'static str]),
    /// This operating system and processor.
    Platform(&'static str, &'static str),
}

/// All that any suite needs.
pub const SERVICES: &[Service] = &[
    Service {
        name: "chromium",
        missing: "no Chromium",
        probe: Probe::Program {
            variable: "CHROMIUM",
            names: &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"],
        },
        packages: &["chromium"],
    },
    Service {
        name: "python3-pip",
        missing: "no Python 3 with pip",
        probe: Probe::Succeeds(&["python3", "-m", "pip", "--version"]),
        packages: &["python3", "python3-pip"],
    },
    Service {
        name: "linux",
        missing: "it drives epoll and reads /proc, which only Linux has",
        probe: Probe::Succeeds(&["test", "-e", "/proc/self/schedstat"]),
        packages: &[],
    },
    Service {
        name: "linux-x86_64",
        missing: "the suite's own Python 2 runs on Linux on x86_64 only",
        probe: Probe::Platform("linux", "x86_64"),
        packages: &[],
    },
];

/// The service of that name.
pub fn named(name: &str) -> &'static Service {
    SERVICES.iter().find(|service| service.name == name).expect("suites need services of the table only")
}

impl Service {
    /// Whether it is there.
    pub fn is_there(&self) -> bool {
        match self.probe {
            Probe::Program { .. } => self.program().is_some(),
            Probe::Succeeds(words) => {
                let (program, arguments) = words.split_first().expect("a probe is a command");
                let mut command = Command::new(program);
                command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                command.status().is_ok_and(|status| status.success())
            }
            Probe::Platform(system, processor) => {
                std::env::consts::OS == system && std::env::consts::ARCH == processor
            }
        }
    }

    /// Where the program lies.
    pub fn program(&self) -> Option<PathBuf> {
        let Probe::Program { variable, names } = self.probe else { return None };
        if let Some(named) = std::env::var_os(variable).filter(|value| !value.is_empty()) {
            return Some(PathBuf::from(named));
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        names
            .iter()
            .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
            .find(|file| file.is_file())
    }

    /// Why a suite is skipped without it, and what to do.
    pub fn complaint(&self) -> String {
        if self.packages.is_empty() {
            return self.missing.to_owned();
        }
        format!("{}; apt-get install {}", self.missing, self.packages.join(" "))
    }
}

/// Installs those of the named services that are missing, where that is possible, and says so. What is still
/// missing afterwards is for the suite to notice.
pub fn install_missing(workshop: &Workshop, names: &[&str]) {
    let missing: Vec<&Service> =
        names.iter().map(|name| named(name)).filter(|service| !service.is_there()).collect();
    let packages: Vec<&str> = missing.iter().flat_map(|service| service.packages.iter().copied()).collect();
    if packages.is_empty() || !may_install() {
        return;
    }
    let installed = Log::create(&workshop.workspace.logs(), "services").and_then(|log| {
        let mut command = apt_get();
        command.arg("update");
        workshop.must("reading the package lists (apt-get update)", command, &log)?;
        let mut command = apt_get();
        command.args(["install", "--yes", "--no-install-recommends"]).args(&packages);
        let say = format!("installing {0} (apt-get install {0}; about a minute)", packages.join(" "));
        workshop.must(&say, command, &log)
    });
    if let Err(error) = installed {
        println!("  {error:#}");
    }
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Only as root, and only where there is an apt-get.
fn may_install() -> bool {
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    root && Command::new("apt-get").arg("--version").stdout(Stdio::null()).status().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_says_what_to_type() {
        assert_eq!(named("chromium").complaint(), "no Chromium; apt-get install chromium");
        assert_eq!(
            named("linux-x86_64").complaint(),
            "the suite's own Python 2 runs on Linux on x86_64 only"
        );
    }

    #[test]
    fn probes_tell_there_from_not_there() {
        let service = |probe| Service { name: "x", missing: "no x", probe, packages: &[] };
        assert!(service(Probe::Succeeds(&["true"])).is_there());
        assert!(!service(Probe::Succeeds(&["false"])).is_there());
        assert!(!service(Probe::Succeeds(&["trunkline-no-such-program"])).is_there());
        assert!(service(Probe::Program { variable: "TRUNKLINE_NO_SUCH", names: &["nope", "sh"] }).is_there());
        assert!(!service(Probe::Program { variable: "TRUNKLINE_NO_SUCH", names: &["nope"] }).is_there());
        assert!(!service(Probe::Platform("plan9", "mips")).is_there());
    }
}
