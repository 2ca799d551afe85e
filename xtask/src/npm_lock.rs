//! `cargo xtask lock`: npm lock files that hold on every platform.
//!
//! npm leaves packages for other platforms out of a lock file when its registry or its `node_modules` does not have
//! them; `npm ci` then refuses the file, or installs half a tool on the other platform. So what a package names as an
//! optional dependency and the lock file does not describe is added here, with the platform that its name tells.
//! `cargo xtask tidy` finds lock files that need it.

use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::log::Log;
use crate::workshop::Workshop;
use crate::workspace::Workspace;

/// Where npm packages are asked for. Folders that do not exist yet are passed over.
const FOLDERS: [&str; 3] = ["ui", "tests/browser", "sdk/typescript"];

/// (kind, what a package's name calls it)
const PLATFORM: [(&str, &[&str]); 3] = [
    (
        "os",
        &[
            "aix",
            "android",
            "darwin",
            "freebsd",
            "linux",
            "netbsd",
            "openbsd",
            "openharmony",
            "sunos",
            "win32",
        ],
    ),
    ("cpu", &["arm", "arm64", "ia32", "loong64", "mips64el", "ppc64", "riscv64", "s390x", "wasm32", "x64"]),
    ("libc", &["glibc", "musl"]),
];

/// Brings the lock files up to their package.json, without installing anything, and completes them.
pub fn run(workspace: Workspace) -> Result<ExitCode> {
    let workshop = Workshop::open(workspace, false)?;
    let npm = workshop.npm.as_ref().map_err(|why| anyhow::anyhow!("{why}"))?;
    let log = Log::create(&workshop.workspace.logs(), "lock")?;
    let folders = FOLDERS.iter().map(|name| (name, workshop.workspace.root.join(name)));
    for (name, folder) in folders.filter(|(_, folder)| folder.join("package.json").exists()) {
        let mut command = npm.npm(&folder);
        command.args(["install", "--package-lock-only", "--no-audit", "--no-fund"]);
        workshop.must(&format!("locking the npm packages of {name}"), command, &log)?;
        let path = folder.join("package-lock.json");
        let text = std::fs::read_to_string(&path).with_context(|| format!("{name}/package-lock.json"))?;
        let missing = missing(&text);
        missing.iter().for_each(|package| println!("  added {} {}", package.name, package.version));
        std::fs::write(&path, complete(&text, &missing))
            .with_context(|| format!("{name}/package-lock.json"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A package that one in the lock file may want and the lock file does not describe.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) name: String,
    version: String,
    /// The key of the entry that wants it.
    wanted_by: String,
    /// Whether only development wants it.
    dev: bool,
}

/// What a lock file does not describe though a package in it may want it.
pub(crate) fn missing(lock: &str) -> Vec<Missing> {
    let lock: Value = serde_json::from_str(lock).unwrap_or_default();
    let Some(packages) = lock["packages"].as_object() else { return Vec::new() };
    let wanted = packages.iter().flat_map(|(key, package)| {
        let optional = package["optionalDependencies"].as_object().into_iter().flatten();
        optional.map(move |(name, version)| Missing {
            name: name.clone(),
            version: version.as_str().unwrap_or("").to_owned(),
            wanted_by: key.clone(),
            dev: package["dev"] == true,
        })
    });
    let described = |missing: &Missing| {
        let nested = format!("{}/node_modules/{}", missing.wanted_by, missing.name);
        packages.contains_key(&format!("node_modules/{}", missing.name)) || packages.contains_key(&nested)
    };
    // A range would have to be resolved; platform packages are always named by their exact version.
    wanted
        .filter(|missing| missing.version.starts_with(|c: char| c.is_ascii_digit()) && !described(missing))
        .collect()
}

/// The lock file with the missing packages, each behind the one that wants it.
fn complete(lock: &str, missing: &[Missing]) -> String {
    let mut text = String::with_capacity(lock.len());
    let mut inside = "";
    for line in lock.lines() {
        if let Some(key) = line.strip_prefix("    \"").and_then(|rest| rest.strip_suffix("\": {")) {
            inside = key;
        }
        let ends = line == "    }" || line == "    },";
        let added: Vec<&Missing> =
            missing.iter().filter(|package| ends && package.wanted_by == inside).collect();
        text += if added.is_empty() { line } else { "    }," };
        text.push('\n');
        let entries: Vec<String> = added.iter().map(|package| entry(package)).collect();
        if ends {
            inside = "";
        }
        if !entries.is_empty() {
            text += &entries.join(",\n");
            text += line.trim_start_matches("    }");
            text.push('\n');
        }
    }
    text
}

/// An entry as npm would write it, but for the checksum that we do not know.
fn entry(package: &Missing) -> String {
    let mut fields = vec![format!("\"version\": \"{}\"", package.version)];
    if package.dev {
        fields.push("\"dev\": true".to_owned());
    }
    fields.push("\"optional\": true".to_owned());
    for (kind, words) in PLATFORM {
        if let Some(word) = package.name.split(['-', '/', '.']).find(|word| words.contains(word)) {
            fields.push(format!("\"{kind}\": [\n        \"{word}\"\n      ]"));
        }
    }
    format!("    \"node_modules/{}\": {{\n      {}\n    }}", package.name, fields.join(",\n      "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"{
  "packages": {
    "": {
      "name": "x"
    },
    "node_modules/tool": {
      "version": "2.0.0",
      "dev": true,
      "optionalDependencies": {
        "@tool/darwin-arm64": "2.0.0",
        "@tool/linux-x64": "2.0.0",
        "@tool/linux-x64-musl": "2.0.0",
        "fsevents": "~2.3.3"
      }
    },
    "node_modules/@tool/linux-x64": {
      "version": "2.0.0"
    }
  }
}
"#;

    #[test]
    fn what_a_lock_file_does_not_describe_is_added() {
        let missing = missing(LOCK);
        let names: Vec<&str> = missing.iter().map(|package| &*package.name).collect();
        assert_eq!(names, ["@tool/darwin-arm64", "@tool/linux-x64-musl"]);
        let completed = complete(LOCK, &missing);
        assert_eq!(super::missing(&completed), [], "{completed}");
        let lock: Value = serde_json::from_str(&completed).expect("still JSON");
        let expected = serde_json::json!(
            { "version": "2.0.0", "dev": true, "optional": true, "os": ["linux"], "cpu": ["x64"], "libc": ["musl"] });
        assert_eq!(lock["packages"]["node_modules/@tool/linux-x64-musl"], expected);
        assert_eq!(lock["packages"]["node_modules/@tool/linux-x64"]["version"], "2.0.0");
    }

    #[test]
    fn a_package_behind_the_last_entry_is_added_too() {
        let lock = LOCK
            .replace(",\n    \"node_modules/@tool/linux-x64\": {\n      \"version\": \"2.0.0\"\n    }", "");
        let completed = complete(&lock, &missing(&lock));
        assert_eq!(missing(&completed), [], "{completed}");
    }

    #[test]
    fn a_complete_lock_file_stays_as_it_is() {
        let completed = complete(LOCK, &missing(LOCK));
        assert_eq!(complete(&completed, &missing(&completed)), completed);
    }
}
