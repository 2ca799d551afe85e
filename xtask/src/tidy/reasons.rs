//! A lint is silenced with a reason: `#[expect(clippy::too_many_lines, reason = "…")]`.

use super::tree::Tree;
use super::{Finding, Rule, attributes};

/// `expect` and `allow` say why.
pub(super) const RULE: Rule = Rule { name: "reasons", check };

fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, source) in tree.rust() {
        for attribute in attributes::all(&source.code) {
            let inside = &source.code[attribute.inside.clone()];
            let silences = ["expect", "allow"].iter().any(|word| {
                inside.trim_start().strip_prefix(word).is_some_and(|rest| rest.trim_start().starts_with('('))
            });
            if silences && !gives_reason(&file.text[attribute.inside.clone()]) {
                findings.push(Finding {
                    path: file.path.clone(),
                    line: source.line(attribute.place.start),
                    what: "a lint is silenced without a reason — write `#[expect(LINT, reason = \"…\")]`"
                        .to_owned(),
                });
            }
        }
    }
    findings
}

fn gives_reason(inside: &str) -> bool {
    let Some((_, after)) = inside.rsplit_once("reason") else { return false };
    let text =
        after.trim_start().strip_prefix('=').map(str::trim_start).and_then(|after| after.strip_prefix('"'));
    text.is_some_and(|text| !text.trim_start().starts_with('"'))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn a_missing_reason_is_found() {
        let bad = [
            "#[expect(clippy::too_many_lines)]",
            "#[allow(dead_code)]",
            "#![allow(missing_docs)]",
            "#[expect(clippy::too_many_lines, reason = \"\")]",
            "#[expect(\n    clippy::a,\n    clippy::b\n)]",
        ];
        for text in bad {
            check(&RULE, &Tree::of(&[("a.rs", text)]), &[("a.rs:1", "without a reason")]);
        }
        let good =
            "#[expect(clippy::too_many_lines, reason = \"one table\")]\n#[derive(Debug)]\n// #[allow(x)]\n";
        check(&RULE, &Tree::of(&[("a.rs", good)]), &[]);
    }
}
