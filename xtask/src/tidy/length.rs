//! Files that fit in a head. (Functions are clippy's: `too_many_lines`, above 70.)

use super::tree::Tree;
use super::{Finding, Rule};

/// No file is longer than this without an exception that says why.
pub(super) const RULE: Rule = Rule { name: "length", check };

const MOST_LINES: usize = 1_000;
const SOURCES: [&str; 4] = [".rs", ".ts", ".tsx", ".mjs"];

fn check(tree: &Tree) -> Vec<Finding> {
    let sources = tree.files.iter().filter(|file| SOURCES.iter().any(|end| file.path.ends_with(end)));
    let counted = sources.map(|file| (file, file.text.lines().count()));
    counted
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(file, lines)| Finding {
            path: file.path.clone(),
            line: MOST_LINES + 1,
            what: format!("{lines} lines, above {MOST_LINES} — split it by noun, or say why not in xtask/src/tidy/exceptions.rs"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn long_files_are_found() {
        let (fits, long) = ("x\n".repeat(1_000), "x\n".repeat(1_001));
        check(&RULE, &Tree::of(&[("a.rs", &fits), ("long.md", &long)]), &[]);
        check(&RULE, &Tree::of(&[("a.tsx", &long)]), &[("a.tsx:1001", "1001 lines")]);
    }
}
