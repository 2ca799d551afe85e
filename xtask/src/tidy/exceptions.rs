//! Files that may break a rule, each with its reason. An exception that is not needed any more is a finding itself.

use super::tree::Tree;
use super::{Finding, RULES, Rule};

/// No exception is left over.
pub(super) const RULE: Rule = Rule { name: "exceptions", check };

/// One file and the rule that it may break.
struct Exception {
    rule: &'static str,
    path: &'static str,
    /// Read by people.
    #[expect(dead_code, reason = "the compiler sees to it that there is one; nobody prints it")]
    reason: &'static str,
}

const EXCEPTIONS: &[Exception] = &[Exception {
    rule: "serde",
    path: "crates/ws/src/socket.rs",
    reason: "it sends and receives its caller's own types as JSON, behind a feature; it describes none",
}];

/// Whether that file may break that rule.
pub(super) fn covers(rule: &str, path: &str) -> bool {
    EXCEPTIONS.iter().any(|exception| exception.rule == rule && exception.path == path)
}

fn check(tree: &Tree) -> Vec<Finding> {
    left_over(EXCEPTIONS, tree)
}

fn left_over(exceptions: &[Exception], tree: &Tree) -> Vec<Finding> {
    let needed = |exception: &&Exception| {
        let rule = RULES.iter().find(|rule| rule.name == exception.rule && rule.name != RULE.name);
        rule.is_some_and(|rule| (rule.check)(tree).iter().any(|finding| finding.path == exception.path))
    };
    let idle = exceptions.iter().filter(|exception| !needed(exception));
    idle.map(|exception| Finding {
        path: "xtask/src/tidy/exceptions.rs".to_owned(),
        line: 1,
        what: format!("{} does not break `{}` — take its exception out", exception.path, exception.rule),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_that_is_not_needed_is_found() {
        let exception = |rule, path| Exception { rule, path, reason: "because" };
        let exceptions = [exception("heads", "a.rs"), exception("heads", "b.rs"), exception("nope", "a.rs")];
        let tree = Tree::of(&[("a.rs", ""), ("b.rs", "//! A head.\n")]);
        let findings: Vec<String> =
            left_over(&exceptions, &tree).into_iter().map(|finding| finding.what).collect();
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings[0].starts_with("b.rs does not break `heads`"));
        assert!(findings[1].starts_with("a.rs does not break `nope`"));
    }
}
