//! The shape of the source as a test, so that plain `cargo test` sees it too.

use xtask::tidy::{self, tree::Tree};
use xtask::workspace::Workspace;

#[test]
fn the_source_is_tidy() {
    let workspace = Workspace::open().expect("cargo knows this workspace");
    let tree = Tree::read(&workspace).expect("the checkout can be read");
    let findings: Vec<String> =
        tidy::judge(&tree).iter().flat_map(|(_, findings)| findings).map(ToString::to_string).collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn the_walk_sees_the_source() {
    let workspace = Workspace::open().expect("cargo knows this workspace");
    let tree = Tree::read(&workspace).expect("the checkout can be read");
    assert!(tree.file("xtask/tests/tidy.rs").is_some());
    assert!(tree.has("Cargo.toml") && !tree.has("target"));
}
