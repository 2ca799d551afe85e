//! A Rust file opens with `//!`: what it is, what it is not, who calls it.

use super::tree::Tree;
use super::{Finding, Rule};

/// Every Rust file has a head.
pub(super) const RULE: Rule = Rule { name: "heads", check };

fn check(tree: &Tree) -> Vec<Finding> {
    let bare = tree.rust().filter(|(file, _)| {
        let head = file.text.lines().next().and_then(|line| line.strip_prefix("//!"));
        head.is_none_or(|head| head.trim().is_empty())
    });
    bare.map(|(file, _)| Finding {
        path: file.path.clone(),
        line: 1,
        what: "no head — open the file with `//!` and say what it is, what it is not, who calls it (CONTRIBUTING.md)"
            .to_owned(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn a_file_without_a_head_is_found() {
        for text in ["", "use x;\n", "// no\n", "\n//! late\n", "//!\nfn a() {}\n"] {
            check(&RULE, &Tree::of(&[("examples/a.rs", text)]), &[("examples/a.rs:1", "no head")]);
        }
        check(&RULE, &Tree::of(&[("crates/a/src/b.rs", "//! What it is.\n"), ("a.md", "x")]), &[]);
    }
}
