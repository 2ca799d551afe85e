//! Links between documents lead somewhere.

use super::tree::{File, Tree};
use super::{Finding, Rule};

/// Every relative link in a Markdown file names a file or folder of the repository.
pub(super) const RULE: Rule = Rule { name: "links", check };

fn check(tree: &Tree) -> Vec<Finding> {
    tree.files
        .iter()
        .filter(|file| file.path.ends_with(".md"))
        .flat_map(|file| dead_links(tree, file))
        .collect()
}

fn dead_links(tree: &Tree, file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut fenced = false;
    for (at, line) in file.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let links = if fenced { Vec::new() } else { links(line) };
        let dead =
            links.into_iter().filter(|link| !resolve(&file.path, link).is_some_and(|path| tree.has(&path)));
        findings.extend(dead.map(|link| Finding {
            path: file.path.clone(),
            line: at + 1,
            what: format!("the link to `{link}` leads nowhere — mend the path or take the link out"),
        }));
    }
    findings
}

/// The relative targets on a line.
fn links(line: &str) -> Vec<String> {
    let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
    let opened = [("](", ')'), ("src=\"", '"'), ("href=\"", '"')].into_iter().flat_map(|(open, close)| {
        let after = prose.match_indices(open).map(move |(at, _)| at + open.len());
        after.map(|from| prose[from..].split(close).next().unwrap_or("")).collect::<Vec<_>>()
    });
    let defined = prose
        .trim_start()
        .strip_prefix('[')
        .and_then(|line| line.split_once("]: "))
        .map(|(_, target)| target);
    let targets = opened.chain(defined).filter_map(|target| target.split_whitespace().next());
    let relative = targets.map(|target| target.split('#').next().unwrap_or(""));
    relative.filter(|target| !target.is_empty() && !target.contains(':')).map(str::to_owned).collect()
}

/// The link's target below the root, if it does not lead out of it.
fn resolve(from: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    if link.starts_with('/') {
        parts.clear();
    }
    for part in link.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop()?;
        } else {
            parts.push(part);
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn dead_links_are_found() {
        let cases = [
            ("see [a](b.md)", Some("`b.md`")),
            ("[a]: ../x.md", Some("`../x.md`")),
            ("[out](../../../x.md)", Some("`../../../x.md`")),
            ("<img src=\"c.png\">", Some("`c.png`")),
            ("[root](/ui/none.md)", Some("`/ui/none.md`")),
            ("see [a](a.md#part), [b](../README.md \"title\"), [c](../docs/), [d](/README.md)", None),
            ("[e](https://example.org/x.md) [f](#here) [g](mailto:a@b) `[h](x.md)`", None),
            ("```\n[i](x.md)\n```", None),
        ];
        for (text, expected) in cases {
            let tree = Tree::of(&[("docs/a.md", text), ("README.md", "")]);
            let expected: Vec<(&str, &str)> = expected.iter().map(|words| ("docs/a.md:1", *words)).collect();
            check(&RULE, &tree, &expected);
        }
    }
}
