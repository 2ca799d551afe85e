//! Where and with what it was measured, so that a figure can be believed later.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::roster::Contestant;

/// The machine, the compiler, the commit.
#[derive(Debug)]
pub struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
    compiler: String,
    commit: String,
    load_average: String,
}

impl Machine {
    /// Looks at what we run on.
    pub fn look() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
        let folder = bench_folder();
        let changed =
            !said(&folder, "git", &["status", "--porcelain", "--", ":/", ":!/bench/results"]).is_empty();
        let commit = said(&folder, "git", &["rev-parse", "--short=12", "HEAD"]);
        Self {
            processor: model.and_then(|line| line.split_once(": ")).map_or("?", |(_, name)| name).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            compiler: said(&folder, "rustc", &["--version"]),
            commit: if changed { format!("{commit}-dirty") } else { commit },
            load_average: read("/proc/loadavg").split(' ').next().unwrap_or("?").to_owned(),
        }
    }

    /// The server's core and the load's, where there are two.
    pub fn pair_of_cores(&self) -> (Option<usize>, Option<usize>) {
        if self.cores >= 2 { (Some(0), Some(1)) } else { (None, None) }
    }

    /// In a line.
    pub fn line(&self) -> String {
        let Self { processor, cores, kernel, compiler, commit, load_average } = self;
        format!(
            "{processor}, {cores} cores, Linux {kernel}, {compiler}, commit {commit}, load average before {load_average}"
        )
    }

    /// Keeps what a chore has found in `bench/results`.
    pub fn save(&self, chore: &str, contestants: &[Contestant], found: &Value) -> Result<PathBuf> {
        let lock = std::fs::read_to_string(bench_folder().join("Cargo.lock")).context("no lock file")?;
        let versions = contestants.iter().filter_map(|contestant| {
            Some((contestant.package?.to_owned(), json!(version(&lock, contestant.package?)?)))
        });
        let Self { processor, cores, kernel, compiler, commit, load_average } = self;
        let all = json!({
            "chore": chore,
            "machine": { "processor": processor, "cores": cores, "kernel": kernel, "load_average": load_average },
            "commit": commit,
            "compiler": compiler,
            "figures": "median, min, max",
            "versions": versions.collect::<serde_json::Map<String, Value>>(),
            "found": found,
        });
        let folder = bench_folder().join("results");
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{chore}-{commit}.json"));
        std::fs::write(&path, format!("{all}\n"))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

fn bench_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

fn said(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// The version of a package in a lock file.
fn version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let (_, after) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    after.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_the_lock_file() {
        let lock = "[[package]]\nname = \"a-b\"\nversion = \"1.2.3\"\n\n[[package]]\nname = \"b\"\nversion = \"4.0.0\"\n";
        assert_eq!(version(lock, "b"), Some("4.0.0"));
        assert_eq!(version(lock, "a-b"), Some("1.2.3"));
        assert_eq!(version(lock, "c"), None);
    }
}
