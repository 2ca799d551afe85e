//! Rust source as text that can be searched: comments and the insides of literals blanked out, tests marked.

use std::ops::Range;

use super::attributes;

/// A Rust file, prepared for searching.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The text, of the same length and lines as the file, with blanks for comments and for what is inside literals.
    pub code: String,
    /// Parts that are compiled for tests only.
    tests: Vec<Range<usize>>,
}

impl Source {
    /// Blanks out and marks.
    pub fn parse(text: &str) -> Self {
        let code = blank_out(text);
        let tests = attributes::test_parts(&code);
        Self { code, tests }
    }

    /// Where `pattern` stands as a word or words: `Mutex` is not found in `FairMutex`.
    pub fn find<'a>(&'a self, pattern: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.code.match_indices(pattern).map(|(at, _)| at).filter(move |at| {
            let before = self.code[..*at].chars().next_back();
            let after = self.code[at + pattern.len()..].chars().next();
            let starts = !pattern.starts_with(in_word) || !before.is_some_and(in_word);
            let ends = !pattern.ends_with(in_word) || !after.is_some_and(in_word);
            starts && ends
        })
    }

    /// Whether that place is compiled for tests only.
    pub fn is_test(&self, at: usize) -> bool {
        self.tests.iter().any(|part| part.contains(&at))
    }

    /// The line of a place, from 1.
    pub fn line(&self, at: usize) -> usize {
        1 + self.code[..at].matches('\n').count()
    }
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Comments and what stands inside literals become blanks; newlines and opening quotes stay.
fn blank_out(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (kept, blanked) = piece(rest, c, code.chars().next_back());
        code.push_str(&rest[..kept]);
        blank(&mut code, &rest[kept..kept + blanked]);
        rest = &rest[kept + blanked..];
    }
    code
}

/// How many bytes of the rest to keep, and how many after those to blank.
fn piece(rest: &str, c: char, before: Option<char>) -> (usize, usize) {
    match c {
        '/' if rest.starts_with("//") => (0, rest.find('\n').unwrap_or(rest.len())),
        '/' if rest.starts_with("/*") => (0, block_comment(rest)),
        '"' => (1, quoted(&rest[1..], '"')),
        '\'' => char_literal(rest),
        'r' if !before.is_some_and(in_word) || before == Some('b') || before == Some('c') => raw_string(rest),
        _ => (c.len_utf8(), 0),
    }
}

/// The length of a block comment; they nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length up to and with the closing quote.
fn quoted(inside: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    inside.len()
}

/// `'x'` is a literal, `'x` a lifetime.
fn char_literal(rest: &str) -> (usize, usize) {
    let mut inside = rest[1..].char_indices();
    let first = inside.next().map(|(_, c)| c);
    let second = inside.next();
    match (first, second) {
        (Some('\\'), _) => (1, quoted(&rest[1..], '\'')),
        (Some(_), Some((at, '\''))) => (1, at + 1),
        _ => (1, 0),
    }
}

/// `r"…"`, `r#"…"#` and so on; an identifier that starts with `r` otherwise.
fn raw_string(rest: &str) -> (usize, usize) {
    let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
    let opening = 1 + hashes + 1;
    if !rest[1 + hashes..].starts_with('"') {
        return (1, 0);
    }
    let closing = format!("\"{}", "#".repeat(hashes));
    let inside = rest[opening..].find(&closing).map_or(rest.len() - opening, |at| at + closing.len());
    (opening, inside)
}

fn blank(code: &mut String, text: &str) {
    code.extend(text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked() {
        let cases = [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            ("f(\"x // y\") // z", "f(\"       )     "),
            (r#"f("a\"b") g"#, r#"f("     ) g"#),
            ("r#\"a\"b\"# c", "r#\"      c"),
            ("br\"a\" c", "br\"   c"),
            ("'a' 'b 'c", "'   'b 'c"),
            (r"'\'' x '\u{41}' y", "'    x '        y"),
            ("&'static str, 'é'", "&'static str, '   "),
            ("for x in r {} r#type", "for x in r {} r#type"),
            ("\"ü\" x", "\"    x"),
            ("\"never closed", "\"            "),
        ];
        for (text, expected) in cases {
            let code = blank_out(text);
            assert_eq!(code, expected, "{text}");
            assert_eq!(code.len(), text.len(), "{text}");
        }
    }

    #[test]
    fn patterns_are_whole_words() {
        let source = Source::parse("Mutex FairMutex Mutexes std::Mutex x.await x.await_it() .awaiting");
        assert_eq!(source.find("Mutex").collect::<Vec<_>>(), [0, 29]);
        assert_eq!(source.find(".await").count(), 1);
    }
}
