//! Tidy: the shape of the source, checked. CONTRIBUTING.md has the rules in words; here they are code.
//!
//! A [`Rule`] looks at the [`Tree`] and gives [`Finding`]s. It reads text, not syntax trees: a rule has to be
//! simple enough to be right about text in which comments and strings are blanked out.
//! A place that has a good reason to differ stands in `exceptions`, with the reason.

mod attributes;
mod calls;
mod decisions;
mod exceptions;
mod heads;
mod imports;
mod length;
mod links;
mod locks;
mod manifests;
mod names;
mod reasons;
mod serde_places;
pub mod source;
pub mod tree;

use std::fmt;
use std::process::ExitCode;

use anyhow::Result;

use crate::workspace::Workspace;
use tree::Tree;

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// What exceptions and reports call it.
    pub name: &'static str,
    /// All places that break it.
    check: fn(&Tree) -> Vec<Finding>,
}

/// A place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, below the root.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there, and how to mend it.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// All rules.
pub const RULES: &[Rule] = &[
    imports::RULE,
    manifests::RULE,
    decisions::RULE,
    locks::RULE,
    heads::RULE,
    names::RULE,
    length::RULE,
    calls::PURE,
    calls::EVERYWHERE,
    reasons::RULE,
    serde_places::RULE,
    links::RULE,
    exceptions::RULE,
];

/// What each rule finds, exceptions taken out.
pub fn judge(tree: &Tree) -> Vec<(&'static Rule, Vec<Finding>)> {
    let judged = RULES.iter().map(|rule| {
        let mut findings = (rule.check)(tree);
        findings.retain(|finding| !exceptions::covers(rule.name, &finding.path));
        (rule, findings)
    });
    judged.collect()
}

/// `cargo xtask tidy`: a line per finding, and one that sums up.
pub fn run(workspace: &Workspace) -> Result<ExitCode> {
    let judged = judge(&Tree::read(workspace)?);
    judged.iter().flat_map(|(_, findings)| findings).for_each(|finding| println!("{finding}"));
    let broken: Vec<&str> =
        judged.iter().filter(|(_, findings)| !findings.is_empty()).map(|(rule, _)| rule.name).collect();
    println!(
        "tidy: {} rules hold, {} do not {}",
        judged.len() - broken.len(),
        broken.len(),
        broken.join(" ")
    );
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// For the tests of rules: what a rule says about these files, as `path:line`, then a word or two of the message.
#[cfg(test)]
fn check(rule: &Rule, tree: &Tree, expected: &[(&str, &str)]) {
    let findings = (rule.check)(tree);
    let said: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (said, (place, words)) in said.iter().zip(expected) {
        assert!(said.starts_with(&format!("{place}: ")), "{said} is not at {place}");
        assert!(said.contains(words), "{said} does not say {words}");
    }
}
