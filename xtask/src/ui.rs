//! The UI as something to build: `ui/` into `ui/dist`, which the server embeds.

use std::fs::Metadata;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Result;

use crate::log::Log;
use crate::workshop::Workshop;

/// What became of it.
#[derive(Debug)]
pub enum Ui {
    /// `ui/dist` is there and newer than its sources.
    Built,
    /// It cannot be built here; the reason says what is missing.
    Absent(String),
    /// It should have been built and was not.
    Failed(String),
}

/// What the UI is made of: folders below the root. Those that do not exist have not changed.
const SOURCES: [&str; 2] = ["ui", "sdk/typescript"];
/// What lies among the sources without being one.
const PRODUCTS: [&str; 4] = ["node_modules", "dist", "coverage", ".vite"];

/// Installs its packages and builds it, as far as either is stale.
pub fn build(workshop: &Workshop) -> Ui {
    let npm = match &workshop.npm {
        Ok(npm) => npm,
        Err(why) => return Ui::Absent(why.clone()),
    };
    let folder = workshop.workspace.root.join("ui");
    if !folder.join("package.json").exists() {
        return Ui::Failed("ui/package.json is missing".to_owned());
    }
    let built = || -> Result<()> {
        let log = Log::create(&workshop.workspace.logs(), "ui-build")?;
        npm.packages(workshop, &folder, &log)?;
        if is_stale(&workshop.workspace.root) {
            let mut command = npm.npm(&folder);
            command.args(["run", "build"]);
            workshop.must("building the UI (npm run build; some seconds)", command, &log)?;
        }
        Ok(())
    };
    match built() {
        Ok(()) => Ui::Built,
        Err(error) => Ui::Failed(format!("{error:#}")),
    }
}

/// Whether a source is newer than all that was built from it.
fn is_stale(root: &Path) -> bool {
    let Some(built) = newest(&root.join("ui/dist"), &[]) else { return true };
    SOURCES.iter().any(|source| newest(&root.join(source), &PRODUCTS).is_some_and(|changed| changed > built))
}

/// When the newest file below a folder was written.
fn newest(folder: &Path, without: &[&str]) -> Option<SystemTime> {
    let mut newest = None;
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        if without.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let written = match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => self::newest(&entry.path(), without),
            metadata => metadata.as_ref().ok().map(Metadata::modified).and_then(Result::ok),
        };
        newest = newest.max(written);
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn stale_is_what_is_older_than_a_source() {
        let root = std::env::temp_dir().join(format!("xtask-ui-{}", std::process::id()));
        let write = |path: &str, age: u64| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            let file = std::fs::File::create(path).expect("written");
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).expect("dated");
        };
        write("ui/src/main.tsx", 100);
        assert!(is_stale(&root), "nothing was built yet");
        write("ui/dist/index.html", 50);
        write("ui/node_modules/x.js", 10);
        assert!(!is_stale(&root), "packages are no sources");
        write("sdk/typescript/client.ts", 20);
        assert!(is_stale(&root), "the SDK is newer");
        std::fs::remove_dir_all(root).expect("removed");
    }
}
