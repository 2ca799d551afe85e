//! Every package says what it is and takes licence and lints from the workspace; a panic never aborts.

use super::tree::{File, Tree};
use super::{Finding, Rule};

/// Manifests have what they need.
pub(super) const RULE: Rule = Rule { name: "manifests", check };

/// (section, how its line starts, what to write)
const NEEDED: [(&str, &str, &str); 3] = [
    ("[package]", "description", "description = \"…\""),
    ("[package]", "license.workspace=true", "license.workspace = true"),
    ("[lints]", "workspace=true", "[lints] workspace = true"),
];

fn check(tree: &Tree) -> Vec<Finding> {
    let manifests = tree.packages.iter().filter_map(|package| tree.file(&package.manifest));
    let missing = manifests.flat_map(missing_lines);
    let configurations = tree.files.iter().filter(|file| file.path.ends_with(".toml"));
    missing.chain(configurations.flat_map(aborts)).collect()
}

fn missing_lines(file: &File) -> Vec<Finding> {
    let missing = NEEDED.iter().filter(|(section, line, _)| !has(&file.text, section, line));
    missing
        .map(|(_, _, write)| Finding {
            path: file.path.clone(),
            line: 1,
            what: format!("`{write}` is missing — every package of the workspace has it"),
        })
        .collect()
}

fn has(text: &str, section: &str, start: &str) -> bool {
    let inside = text.lines().skip_while(|line| line.trim() != section).skip(1);
    let mut inside = inside.take_while(|line| !line.starts_with('['));
    inside.any(|line| compact(line).starts_with(start))
}

fn aborts(file: &File) -> Vec<Finding> {
    let lines =
        file.text.lines().enumerate().filter(|(_, line)| compact(line).starts_with("panic=\"abort\""));
    lines
        .map(|(at, _)| Finding {
            path: file.path.clone(),
            line: at + 1,
            what: "`panic = \"abort\"` — one bad session must not end the others; leave it to unwind (ARCHITECTURE.md, invariants)".to_owned(),
        })
        .collect()
}

fn compact(line: &str) -> String {
    line.split_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;
    use crate::workspace::Package;

    #[test]
    fn what_is_missing_is_found() {
        let good = "[package]\nname = \"x\"\ndescription = \"d\"\nlicense.workspace = true\n\n[lints]\nworkspace = true\n";
        type Case<'a> = (String, &'a [(&'a str, &'a str)]);
        let cases: [Case<'_>; 5] = [
            (good.to_owned(), &[]),
            (good.replace("description = \"d\"\n", ""), &[("crates/x/Cargo.toml:1", "`description")]),
            (
                good.replace("license.workspace = true", "license = \"MIT\""),
                &[("crates/x/Cargo.toml:1", "`license.")],
            ),
            (good.replace("[lints]", "[lint]"), &[("crates/x/Cargo.toml:1", "`[lints] workspace")]),
            (format!("{good}[profile.release]\npanic = \"abort\"\n"), &[("crates/x/Cargo.toml:9", "unwind")]),
        ];
        for (text, expected) in cases {
            let package = Package { manifest: "crates/x/Cargo.toml".to_owned(), ..Package::default() };
            let tree = Tree::of(&[("crates/x/Cargo.toml", &text)]).with(package);
            check(&RULE, &tree, expected);
        }
    }
}
