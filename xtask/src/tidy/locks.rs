//! Lock files are good for everybody: they name the public registries and no mirror, and describe what other
//! platforms need.

use super::tree::{File, Tree};
use super::{Finding, Rule};
use crate::npm_lock;

/// Lock files are good for everybody.
pub(super) const RULE: Rule = Rule { name: "locks", check };

/// (file, what a line with an origin starts with, where it may come from)
const ORIGINS: [(&str, &str, &str); 2] = [
    ("Cargo.lock", "source = \"", "registry+https://github.com/rust-lang/crates.io-index"),
    ("package-lock.json", "\"resolved\": \"", "https://registry.npmjs.org/"),
];

fn check(tree: &Tree) -> Vec<Finding> {
    tree.files.iter().flat_map(|file| [strange_origins(file), missing_platforms(file)]).flatten().collect()
}

fn missing_platforms(file: &File) -> Vec<Finding> {
    if !file.path.ends_with("package-lock.json") {
        return Vec::new();
    }
    let missing = npm_lock::missing(&file.text).into_iter();
    missing
        .map(|package| Finding {
            path: file.path.clone(),
            line: 1,
            what: format!(
                "`{}` is not described, which other platforms need — `cargo xtask lock` adds it",
                package.name
            ),
        })
        .collect()
}

fn strange_origins(file: &File) -> Vec<Finding> {
    let name = file.path.rsplit('/').next().unwrap_or("");
    let Some((_, start, origin)) = ORIGINS.iter().find(|(lock, _, _)| *lock == name) else {
        return Vec::new();
    };
    let strange = file.text.lines().enumerate().filter_map(|(at, line)| {
        let from = line.trim_start().strip_prefix(start)?;
        // A package of the same repository is resolved to its folder.
        (!from.starts_with(origin) && (from.contains(':') || name == "Cargo.lock")).then_some(at + 1)
    });
    strange
        .map(|line| Finding {
            path: file.path.clone(),
            line,
            what: format!("this comes from a place of its own — lock files name {origin} only; write it again without a mirror"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn other_registries_are_found() {
        let cargo = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\nsource = \"git+https://x\"\n";
        let npm = "\"resolved\": \"https://registry.npmjs.org/a.tgz\",\n  \"resolved\": \"http://mirror/b.tgz\",\n\
                   \"resolved\": \"packages/client\",\n";
        check(&RULE, &Tree::of(&[("Cargo.lock", cargo)]), &[("Cargo.lock:2", "crates.io-index only")]);
        check(
            &RULE,
            &Tree::of(&[("ui/package-lock.json", npm)]),
            &[("ui/package-lock.json:2", "registry.npmjs.org")],
        );
    }

    #[test]
    fn a_platform_that_was_left_out_is_found() {
        let npm = r#"{"packages": {"node_modules/a": {"optionalDependencies": {"a-darwin": "1.0.0"}}}}"#;
        check(
            &RULE,
            &Tree::of(&[("ui/package-lock.json", npm)]),
            &[("ui/package-lock.json:1", "`a-darwin`")],
        );
    }
}
