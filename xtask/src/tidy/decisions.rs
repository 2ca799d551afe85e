//! A dependency earns a line in docs/decisions/dependencies.md, Rust crates and npm packages alike.

use std::collections::BTreeSet;

use serde_json::Value;

use super::tree::{File, Tree};
use super::{Finding, Rule};

/// Each dependency has its line.
pub(super) const RULE: Rule = Rule { name: "decisions", check };

const DOCUMENT: &str = "docs/decisions/dependencies.md";

fn check(tree: &Tree) -> Vec<Finding> {
    let known = tree.file(DOCUMENT).map(|file| first_cells(&file.text)).unwrap_or_default();
    let crates = tree.packages.iter().flat_map(|package| {
        let outside = package.dependencies.iter().filter(|dependency| !dependency.internal);
        outside.map(|dependency| (package.manifest.clone(), dependency.name.clone()))
    });
    let manifests = tree.files.iter().filter(|file| file.path.ends_with("package.json"));
    let packages =
        manifests.flat_map(|file| npm_packages(file).into_iter().map(|name| (file.path.clone(), name)));
    let missing = crates.chain(packages).filter(|(_, name)| !known.contains(&**name));
    let unique: BTreeSet<(String, String)> = missing.collect();
    unique
        .into_iter()
        .map(|(path, name)| Finding {
            path,
            line: 1,
            what: format!("`{name}` has no line in {DOCUMENT} — say there what it is for and why this one"),
        })
        .collect()
}

/// The names in backticks in the first cell of each table row.
fn first_cells(text: &str) -> BTreeSet<&str> {
    let cells = text.lines().filter_map(|line| line.trim().strip_prefix('|')?.split('|').next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

/// What a package.json asks for; what lies in the same repository is no dependency.
fn npm_packages(file: &File) -> Vec<String> {
    let package: Value = serde_json::from_str(&file.text).unwrap_or_default();
    let sections = ["dependencies", "devDependencies", "optionalDependencies"];
    let asked = sections.iter().filter_map(|section| package[*section].as_object()).flatten();
    let foreign = asked.filter(|(name, version)| {
        let version = version.as_str().unwrap_or("");
        !name.starts_with("@trunkline/")
            && !version.starts_with("file:")
            && !version.starts_with("workspace:")
    });
    foreign.map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;
    use crate::workspace::{Dependency, DependencyKind, Package};

    #[test]
    fn a_dependency_without_a_line_is_found() {
        let document =
            "| crate | why |\n|---|---|\n| `tokio`, `mio` | runtime |\n| `react` | UI, not `vue` |\n";
        let ui = r#"{"dependencies": {"react": "19", "@trunkline/client": "1", "a": "file:../a"},
                     "devDependencies": {"vue": "3"}}"#;
        let dependency =
            |name: &str, internal| Dependency { name: name.to_owned(), kind: DependencyKind::Dev, internal };
        let package = Package {
            manifest: "crates/x/Cargo.toml".to_owned(),
            dependencies: vec![
                dependency("mio", false),
                dependency("trunkline-model", true),
                dependency("rand", false),
            ],
            ..Package::default()
        };
        let files = [(DOCUMENT, document), ("ui/package.json", ui)];
        let tree = Tree::of(&files).with(package);
        check(
            &RULE,
            &tree,
            &[("crates/x/Cargo.toml:1", "`rand` has no line"), ("ui/package.json:1", "`vue` has no line")],
        );
    }
}
