//! The files of the repository, and its packages: what the rules look at.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

use super::attributes;
use super::source::Source;
use crate::workspace::{Package, Workspace};

/// All that a rule may look at.
#[derive(Debug, Default)]
pub struct Tree {
    /// The files whose text matters, sorted by path.
    pub files: Vec<File>,
    /// The workspace's packages.
    pub packages: Vec<Package>,
    /// All paths, folders too; `/` between the parts.
    paths: BTreeSet<String>,
}

/// A text file.
#[derive(Clone, Debug)]
pub struct File {
    /// Below the root, `/` between the parts.
    pub path: String,
    /// All of it.
    pub text: String,
    /// The prepared source, if it is Rust.
    pub rust: Option<Source>,
    /// Whether all of it is a test.
    is_test: bool,
}

/// Folders with nothing of ours in them.
const FOREIGN: [&str; 8] =
    ["target", "node_modules", "dist", "trunkline-data", "out", "__pycache__", "coverage", "corpus"];
/// Hidden folders that are ours.
const OURS: [&str; 3] = [".cargo", ".ci", ".github"];
/// Files that are read; of others only the path is known.
const READ: [&str; 8] = ["rs", "md", "toml", "lock", "json", "ts", "tsx", "mjs"];

impl Tree {
    /// Reads the checkout.
    pub fn read(workspace: &Workspace) -> Result<Self> {
        let mut tree = Self { packages: workspace.packages.clone(), ..Self::default() };
        tree.walk(&workspace.root, "")?;
        tree.mark_test_modules();
        Ok(tree)
    }

    fn walk(&mut self, folder: &Path, below: &str) -> Result<()> {
        let mut entries = std::fs::read_dir(folder)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(|| format!("cannot read {}", folder.display()))?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{below}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir()
                && !FOREIGN.contains(&&*name)
                && (!name.starts_with('.') || OURS.contains(&&*name))
            {
                self.paths.insert(path.clone());
                self.walk(&entry.path(), &format!("{path}/"))?;
            } else if kind.is_file() {
                let wanted = entry.path().extension().is_some_and(|end| READ.iter().any(|read| end == *read));
                let text =
                    if wanted { std::fs::read(entry.path()).context(path.clone())? } else { Vec::new() };
                self.add(path, String::from_utf8_lossy(&text).into_owned(), wanted);
            }
        }
        Ok(())
    }

    fn add(&mut self, path: String, text: String, read: bool) {
        self.paths.insert(path.clone());
        if read {
            let rust = path.ends_with(".rs").then(|| Source::parse(&text));
            let is_test =
                path.split('/').any(|part| part == "tests" || part == "benches" || part == "tests.rs");
            self.files.push(File { path, text, rust, is_test });
        }
    }

    /// `#[cfg(test)] mod pair;` makes a test of the file `pair.rs`.
    fn mark_test_modules(&mut self) {
        let mut tests = Vec::new();
        for file in &self.files {
            let Some(rust) = &file.rust else { continue };
            let folder = match file.path.rsplit_once('/') {
                Some((folder, "lib.rs" | "main.rs")) => folder.to_owned(),
                _ => file.path.trim_end_matches(".rs").to_owned(),
            };
            tests.extend(attributes::test_modules(&rust.code).iter().map(|name| format!("{folder}/{name}")));
        }
        for file in &mut self.files {
            let own = |test: &String| {
                file.path == format!("{test}.rs") || file.path.starts_with(&format!("{test}/"))
            };
            file.is_test |= tests.iter().any(own);
        }
    }

    /// The Rust files and their prepared source.
    pub fn rust(&self) -> impl Iterator<Item = (&File, &Source)> {
        self.files.iter().filter_map(|file| Some((file, file.rust.as_ref()?)))
    }

    /// The file of that path, if it is one that is read.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether there is such a file or folder.
    pub fn has(&self, path: &str) -> bool {
        path.is_empty() || self.paths.contains(path)
    }

    /// For tests of rules: a tree of these files.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.paths.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
            tree.add((*path).to_owned(), (*text).to_owned(), true);
        }
        tree.mark_test_modules();
        tree
    }

    /// For tests of rules: with one package.
    #[cfg(test)]
    pub(super) fn with(mut self, package: Package) -> Self {
        self.packages.push(package);
        self
    }
}

impl File {
    /// Whether that place of a Rust file is compiled for tests only.
    pub fn is_test(&self, at: usize) -> bool {
        self.is_test || self.rust.as_ref().is_some_and(|rust| rust.is_test(at))
    }

    /// The file's name without what follows the first dot.
    pub fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or("");
        name.split('.').next().unwrap_or("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_tests_are_known() {
        let tree = Tree::of(&[
            ("crates/a/src/lib.rs", "//! x\n#[cfg(test)]\nmod pair;\nmod b;\n"),
            ("crates/a/src/pair.rs", ""),
            ("crates/a/src/pair/clock.rs", ""),
            ("crates/a/src/b.rs", "fn a() {}\n#[test] fn b() {}"),
            ("crates/a/tests/all.rs", ""),
        ]);
        let tests: Vec<bool> = tree.files.iter().map(|file| file.is_test(0)).collect();
        assert_eq!(tests, [false, true, true, false, true]);
        assert!(tree.files[3].is_test(12));
        assert!(tree.has("crates/a/src") && tree.has("crates/a/src/b.rs") && !tree.has("crates/b"));
    }
}
