//! Attributes in blanked-out source: where they stand, and which parts of a file they make tests.

use std::ops::Range;

/// An attribute, `#[…]` or `#![…]`.
#[derive(Debug)]
pub(super) struct Attribute {
    /// All of it.
    pub(super) place: Range<usize>,
    /// Whether it is `#![…]`, about what surrounds it.
    pub(super) inner: bool,
    /// What stands between the brackets.
    pub(super) inside: Range<usize>,
}

/// All attributes of a file.
pub(super) fn all(code: &str) -> Vec<Attribute> {
    let starts = code.match_indices('#').filter_map(|(start, _)| {
        let inner = code[start + 1..].starts_with('!');
        let open = start + 1 + usize::from(inner);
        let end = code[open..].starts_with('[').then(|| closing(code, open))?;
        Some(Attribute { place: start..end, inner, inside: open + 1..end - 1 })
    });
    starts.collect()
}

/// Parts that are compiled for tests only: what follows `#[cfg(test)]`, `#[test]` and their like.
pub(super) fn test_parts(code: &str) -> Vec<Range<usize>> {
    let tests = all(code).into_iter().filter(|attribute| is_test(&code[attribute.inside.clone()]));
    tests
        .map(|attribute| {
            if attribute.inner {
                0..code.len()
            } else {
                attribute.place.start..item_end(code, attribute.place.end)
            }
        })
        .collect()
}

/// The modules that a file declares with `#[cfg(test)] mod NAME;`.
pub(super) fn test_modules(code: &str) -> Vec<&str> {
    let items = test_parts(code).into_iter().map(|part| code[part].trim_end());
    items
        .filter_map(|item| item.strip_suffix(';')?.rsplit_once("mod ").map(|(_, name)| name.trim()))
        .collect()
}

fn is_test(inside: &str) -> bool {
    let compact: String = inside.split_whitespace().collect();
    let name = compact.split('(').next().unwrap_or("");
    name == "test"
        || name.ends_with("::test")
        || compact.starts_with("cfg(test)")
        || compact.starts_with("cfg(all(test")
}

/// Where the item after an attribute ends: with its braces, or with its semicolon.
fn item_end(code: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(c) = code[at..].chars().next() {
        match c {
            '{' => return closing(code, at),
            ';' => return at + 1,
            '(' | '[' => at = closing(code, at),
            _ => at += c.len_utf8(),
        }
    }
    at
}

/// Just behind the bracket that closes the one at `open`.
fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (at, c) in code[open..].char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return open + at + 1;
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_parts_are_found() {
        let cases: [(&str, &[&str]); 7] = [
            (
                "fn a() {} #[cfg(test)] mod tests { fn b() { c } } fn d() {}",
                &["#[cfg(test)] mod tests { fn b() { c } }"],
            ),
            ("#[test] fn a([b; 2]: c) { d } e", &["#[test] fn a([b; 2]: c) { d }"]),
            (
                "#[tokio::test(start_paused = true)] async fn a() {} b",
                &["#[tokio::test(start_paused = true)] async fn a() {}"],
            ),
            ("#[cfg(test)] mod sim; fn a() {}", &["#[cfg(test)] mod sim;"]),
            ("#[cfg(any(test, feature = \"x\"))] fn a() {}", &[]),
            ("#[cfg(not(test))] fn a() {} #[derive(Debug)] struct B;", &[]),
            ("#![cfg(test)] fn a() {}", &["#![cfg(test)] fn a() {}"]),
        ];
        for (code, expected) in cases {
            let parts: Vec<&str> = test_parts(code).into_iter().map(|part| &code[part]).collect();
            assert_eq!(parts, expected, "{code}");
        }
    }

    #[test]
    fn test_modules_in_files_of_their_own_are_found() {
        assert_eq!(
            test_modules("#[cfg(test)]\nmod tests;\n#[cfg(test)] pub(crate) mod pair;\nmod x;"),
            ["tests", "pair"]
        );
        assert!(test_modules("#[cfg(test)] mod tests { use a; }").is_empty());
    }
}
