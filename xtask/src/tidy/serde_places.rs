//! serde stands where bytes of others are read: in `wire.rs`, `dto.rs` and configuration; the nouns know no format.

use super::tree::{File, Tree};
use super::{Finding, Rule};

/// serde has its places.
pub(super) const RULE: Rule = Rule { name: "serde", check };

const WORDS: [&str; 5] = ["serde", "Serialize", "Deserialize", "DeserializeOwned", "Serializer"];

fn check(tree: &Tree) -> Vec<Finding> {
    let product =
        tree.rust().filter(|(file, _)| file.path.starts_with("crates/") && file.path.contains("/src/"));
    let mut findings = Vec::new();
    for (file, source) in product.filter(|(file, _)| !may(file)) {
        let mut places = WORDS.iter().flat_map(|word| source.find(word)).filter(|at| !file.is_test(*at));
        if let Some(at) = places.next() {
            findings.push(Finding {
                path: file.path.clone(),
                line: source.line(at),
                what: "serde outside of wire.rs, dto.rs and configuration — describe the bytes there and convert (CONTRIBUTING.md)"
                    .to_owned(),
            });
        }
    }
    findings
}

fn may(file: &File) -> bool {
    let mut modules = file.path.trim_end_matches(".rs").split('/');
    modules.any(|part| part == "wire" || part == "dto" || part == "config" || part == "configuration")
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn serde_elsewhere_is_found() {
        for text in
            ["use serde::Serialize;", "#[derive(Deserialize)]", "fn a<T: serde::de::DeserializeOwned>() {}"]
        {
            let path = "crates/hub/src/session.rs";
            check(&RULE, &Tree::of(&[(path, text)]), &[("crates/hub/src/session.rs:1", "wire.rs")]);
            for path in
                ["crates/dialect/src/json/wire.rs", "crates/server/src/config.rs", "crates/a/tests/a.rs"]
            {
                check(&RULE, &Tree::of(&[(path, text)]), &[]);
            }
        }
        check(&RULE, &Tree::of(&[("crates/server/src/api.rs", "serde_json::json!({})")]), &[]);
    }
}
