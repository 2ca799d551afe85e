//! Words that must not stand in the code: some nowhere, some not in the crates whose rules are pure.

use super::source::Source;
use super::tree::{File, Tree};
use super::{Finding, Rule};

/// Clocks, chance, tasks, locks and sockets stay out of the pure crates.
pub(super) const PURE: Rule = Rule { name: "pure", check: check_pure };

/// What stands nowhere.
pub(super) const EVERYWHERE: Rule = Rule { name: "everywhere", check: check_everywhere };

/// Crates whose rules are pure.
const PURE_CRATES: [&str; 7] = ["model", "ws-proto", "hub", "dialect", "auth", "backend", "sim"];

/// The files of a crate that is not pure whose rules are.
const PURE_MODULE: &str = "crates/client/src/rules";

/// (words, what to do instead)
const IMPURE: [(&str, &str); 13] = [
    ("Instant::now", "time is an argument here"),
    ("SystemTime::now", "time is an argument here"),
    ("thread::sleep", "time is an argument here"),
    ("async fn", "answers come back as inputs; async lives in the shells"),
    (".await", "answers come back as inputs; async lives in the shells"),
    ("tokio", "the shells have the runtime"),
    ("Mutex", "a state machine has one owner"),
    ("RwLock", "a state machine has one owner"),
    ("std::thread", "the shells have the threads"),
    ("thread::spawn", "the shells have the threads"),
    ("std::net", "bytes are arguments here; the address types are in core::net"),
    ("rand::", "randomness is an argument here"),
    ("getrandom::", "randomness is an argument here"),
];

/// The memory store and the contract suite stand in for a store that runs beside its caller.
const SHARED_IN: [&str; 4] = [
    "crates/backend/src/memory.rs",
    "crates/backend/src/memory/",
    "crates/backend/src/contract.rs",
    "crates/backend/src/contract/",
];
const SHARED: [&str; 4] = ["Mutex", "RwLock", "std::thread", "thread::spawn"];

/// (words, whether tests may, what to do instead)
const NOWHERE: [(&str, bool, &str); 7] = [
    (".unwrap()", true, "return the error, or `expect(\"why it holds\")`"),
    ("todo!", false, "finish it or leave it out"),
    ("unimplemented!", false, "finish it or leave it out"),
    ("dbg!", false, "take it out"),
    ("#[ignore", false, "a test runs or goes"),
    ("#![ignore", false, "a test runs or goes"),
    ("unsafe", false, "a measured exception needs a crate of its own (ARCHITECTURE.md, invariants)"),
];

fn check_pure(tree: &Tree) -> Vec<Finding> {
    let pure = tree.rust().filter(|(file, _)| {
        file.path.starts_with(PURE_MODULE) || PURE_CRATES.iter().any(|name| is_source_of(name, &file.path))
    });
    pure.flat_map(|(file, source)| {
        let shared = SHARED_IN.iter().any(|path| file.path.starts_with(path));
        let banned = IMPURE.iter().filter(move |(words, _)| !(shared && SHARED.contains(words)));
        banned.flat_map(move |(words, instead)| places(file, source, words, false, instead))
    })
    .collect()
}

fn is_source_of(name: &str, path: &str) -> bool {
    path.strip_prefix("crates/")
        .and_then(|path| path.strip_prefix(name))
        .is_some_and(|path| path.starts_with("/src/"))
}

fn check_everywhere(tree: &Tree) -> Vec<Finding> {
    let found = tree.rust().flat_map(|(file, source)| {
        NOWHERE
            .iter()
            .flat_map(move |(words, tests_may, instead)| places(file, source, words, !tests_may, instead))
    });
    found.collect()
}

/// Where the words stand, in tests too if asked.
fn places(file: &File, source: &Source, words: &str, in_tests: bool, instead: &str) -> Vec<Finding> {
    let places = source.find(words).filter(|at| in_tests || !file.is_test(*at));
    places
        .map(|at| Finding {
            path: file.path.clone(),
            line: source.line(at),
            what: format!("banned `{words}` — {instead} (CONTRIBUTING.md)"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn the_pure_crates_are_pure() {
        let cases = [
            ("let a = Instant::now();", "`Instant::now` — time is an argument"),
            ("let a = std::time::SystemTime::now();", "`SystemTime::now`"),
            ("pub async fn a() {}", "`async fn`"),
            ("b.await;", "`.await`"),
            ("use parking_lot::Mutex;", "`Mutex`"),
            ("a: RwLock<u8>,", "`RwLock`"),
            ("use std::net::TcpStream;", "core::net"),
            ("use std::thread;", "`std::thread`"),
            ("rand::random()", "`rand::`"),
            ("use tokio::sync::mpsc;", "`tokio`"),
        ];
        for (code, words) in cases {
            let places = ["model/src", "ws-proto/src", "hub/src", "dialect/src", "auth/src", "backend/src"];
            for place in places.into_iter().chain(["client/src/rules"]) {
                let path = format!("crates/{place}/a.rs");
                let text = format!("//! Tokio: Instant::now, Mutex.\n/* tokio */ {code}\n");
                check(&PURE, &Tree::of(&[(&path, &text)]), &[(&format!("{path}:2"), words)]);
            }
            check(&PURE, &Tree::of(&[("crates/node/src/a.rs", code), ("crates/hub/tests/a.rs", code)]), &[]);
            check(&PURE, &Tree::of(&[("crates/client/src/driver.rs", code)]), &[]);
        }
    }

    #[test]
    fn the_memory_store_may_share_but_not_look_at_the_clock() {
        let text = "use std::{sync::Mutex};\nuse std::thread;\nlet now = Instant::now();\n";
        let path = "crates/backend/src/memory.rs";
        check(&PURE, &Tree::of(&[(path, text)]), &[("crates/backend/src/memory.rs:3", "`Instant::now`")]);
        check(&PURE, &Tree::of(&[("crates/backend/src/contract/append.rs", "use std::sync::Mutex;")]), &[]);
    }

    #[test]
    fn what_stands_nowhere_is_found_anywhere() {
        let cases = [
            ("a.unwrap()", ".unwrap()"),
            ("todo!()", "todo!"),
            ("unimplemented!(\"later\")", "unimplemented!"),
            ("dbg!(a)", "dbg!"),
            ("#[ignore = \"slow\"]", "#[ignore"),
            ("unsafe { a() }", "unsafe"),
        ];
        for (code, words) in cases {
            let text = format!("//! x\nfn a() {{ {code} }}\n");
            check(&EVERYWHERE, &Tree::of(&[("examples/a.rs", &text)]), &[("examples/a.rs:2", words)]);
        }
        let fine = "#![forbid(unsafe_code)]\nfn a() { b.unwrap_or(\"todo!\") } // unsafe\n#[cfg(test)] mod tests { fn a() { b.unwrap() } }";
        check(
            &EVERYWHERE,
            &Tree::of(&[("crates/a/src/a.rs", fine), ("crates/a/tests/a.rs", "b.unwrap()")]),
            &[],
        );
        check(
            &EVERYWHERE,
            &Tree::of(&[("crates/a/tests/a.rs", "dbg!(a)")]),
            &[("crates/a/tests/a.rs:1", "dbg!")],
        );
    }
}
