//! The README keeps its promise: a server in ten lines, a client in six, and both compile.

const README: &str = include_str!("../../README.md");
const DOCS: &str = include_str!("../../src/lib.rs");

/// The programs between the fences, each with what stands behind its opening fence.
fn programs() -> Vec<(&'static str, Vec<&'static str>)> {
    let blocks = README.split("```").skip(1).step_by(2);
    blocks
        .map(|block| {
            let (kind, lines) = block.split_once('\n').expect("a fence ends its line");
            (kind, lines.lines().collect())
        })
        .collect()
}

#[test]
fn a_server_in_ten_lines_and_a_client_in_six() {
    let programs = programs();
    let [(server, server_lines), (client, client_lines)] = &programs[..] else { panic!("{programs:?}") };
    // The server is compiled as it is.
    assert_eq!(*server, "rust,no_run");
    assert!(server_lines.len() <= 10, "{}", server_lines.len());
    // The client needs an async function around it, which it has where the crate's docs show it.
    assert_eq!(*client, "rust,ignore");
    assert!(client_lines.len() <= 6, "{}", client_lines.len());
    let shown: String = client_lines.iter().map(|line| format!("//! {line}\n")).collect();
    assert!(DOCS.contains(&shown), "{shown}");
}
