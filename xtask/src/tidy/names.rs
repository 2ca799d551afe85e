//! One noun per file, named after it: no `mod.rs`, and no name that says nothing.

use super::tree::Tree;
use super::{Finding, Rule};

/// Names of files and folders of Rust modules.
pub(super) const RULE: Rule = Rule { name: "names", check };

const SAYS_NOTHING: [&str; 7] = ["util", "utils", "common", "helper", "helpers", "types", "misc"];

fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .filter_map(|(file, _)| Some(Finding { path: file.path.clone(), line: 1, what: fault(&file.path)? }))
        .collect()
}

fn fault(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
    if parts.last() == Some(&"mod") {
        return Some(
            "`mod.rs` — name the file after its module, beside the module's folder (CONTRIBUTING.md)"
                .to_owned(),
        );
    }
    let empty = parts.iter().find(|part| SAYS_NOTHING.contains(part))?;
    Some(format!("`{empty}` says nothing — name it after the one thing that it holds (CONTRIBUTING.md)"))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn empty_names_are_found() {
        let cases = [
            ("crates/a/src/mod.rs", "`mod.rs`"),
            ("crates/a/tests/common/mod.rs", "`mod.rs`"),
            ("crates/a/src/util.rs", "`util` says nothing"),
            ("crates/a/src/types.rs", "`types` says nothing"),
            ("crates/a/src/helpers/clock.rs", "`helpers` says nothing"),
        ];
        for (path, words) in cases {
            check(&RULE, &Tree::of(&[(path, "")]), &[(&format!("{path}:1"), words)]);
        }
        check(&RULE, &Tree::of(&[("crates/a/src/model.rs", ""), ("ui/src/types.ts", "")]), &[]);
    }
}
