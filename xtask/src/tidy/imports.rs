//! The import table: which crate may import which. ARCHITECTURE.md prints it; this is the copy that is checked.

use super::tree::Tree;
use super::{Finding, Rule};
use crate::workspace::{Dependency, DependencyKind, Package};

/// Imports go downwards only.
pub(super) const RULE: Rule = Rule { name: "imports", check };

/// What one crate may import.
struct Row {
    /// The crate.
    name: &'static str,
    /// Crates of ours, without the `trunkline-`.
    inside: &'static [&'static str],
    /// Crates of ours that only its tests and examples may import.
    tests: &'static [&'static str],
    /// Crates of others.
    outside: Outside,
}

/// Crates of others that may be imported.
enum Outside {
    Any,
    /// These only; tests may import more.
    Only(&'static [&'static str]),
}

use Outside::{Any, Only};

const fn row(
    name: &'static str,
    inside: &'static [&'static str],
    tests: &'static [&'static str],
    outside: Outside,
) -> Row {
    Row { name, inside, tests, outside }
}

/// One row per crate; a row for a crate that is yet to come does no harm.
const TABLE: &[Row] = &[
    row("model", &[], &[], Only(&["bytes", "thiserror"])),
    row(
        "ws-proto",
        &[],
        &[],
        Only(&["bytes", "thiserror", "httparse", "simdutf8", "sha1", "base64", "tracing", "zlib-rs"]),
    ),
    row(
        "hub",
        &["backend", "model"],
        &["sim"],
        Only(&["bytes", "thiserror", "hashbrown", "slab", "tracing"]),
    ),
    row(
        "dialect",
        &["model"],
        &[],
        Only(&[
            "bytes",
            "thiserror",
            "hashbrown",
            "slab",
            "tracing",
            "serde",
            "serde_json",
            "base64",
            "strsim",
        ]),
    ),
    row(
        "auth",
        &["model"],
        &[],
        Only(&[
            "bytes",
            "thiserror",
            "hashbrown",
            "slab",
            "tracing",
            "serde",
            "serde_json",
            "base64",
            "jsonwebtoken",
        ]),
    ),
    row("backend", &["model"], &[], Only(&["bytes", "thiserror", "hashbrown", "slab", "tracing"])),
    row(
        "ws",
        &["ws-proto"],
        &[],
        Only(&[
            "tokio",
            "bytes",
            "thiserror",
            "getrandom",
            "serde",
            "serde_json",
            "tracing", // always
            "rustls",
            "rustls-native-certs",
            "tokio-rustls",
            "axum",
            "hyper",
            "hyper-util",
            "h2", // behind features
        ]),
    ),
    row("store-sqlite", &["backend", "model"], &[], Any),
    row("store-postgres", &["backend", "model"], &[], Any),
    row("bus-redis", &["backend", "model"], &[], Any),
    row(
        "node",
        &["hub", "dialect", "ws-proto", "backend", "model"],
        &["ws", "store-sqlite"],
        Only(&[
            "tokio",
            "mio",
            "bytes",
            "slab",
            "hashbrown",
            "rtrb",
            "getrandom",
            "tracing",
            "thiserror",
            "socket2",
        ]),
    ),
    row(
        "client",
        &["ws", "dialect", "model"],
        &["ws-proto", "node", "server"],
        Only(&["tokio", "bytes", "thiserror", "getrandom", "serde", "serde_json", "tracing"]),
    ),
    row(
        "server",
        &[
            "model",
            "ws-proto",
            "hub",
            "dialect",
            "auth",
            "backend",
            "ws",
            "store-sqlite",
            "store-postgres",
            "bus-redis",
            "node",
            "client",
        ],
        &[],
        Any,
    ),
    row(
        "sim",
        &["model", "hub", "dialect", "backend", "client"],
        &[],
        Only(&["anyhow", "bytes", "thiserror", "hashbrown", "slab", "tracing"]),
    ),
    row("xtask", &[], &[], Only(&["anyhow", "serde_json", "toml"])),
];

fn check(tree: &Tree) -> Vec<Finding> {
    tree.packages.iter().flat_map(|package| check_package(tree, package)).collect()
}

fn check_package(tree: &Tree, package: &Package) -> Vec<Finding> {
    let name = short(&package.name);
    let Some(row) = TABLE.iter().find(|row| row.name == name) else {
        let what = format!(
            "`{}` is not in the import table — add a row to ARCHITECTURE.md and to xtask/src/tidy/imports.rs",
            package.name
        );
        return vec![Finding { path: package.manifest.clone(), line: 1, what }];
    };
    let refused =
        package.dependencies.iter().filter_map(|dependency| Some((dependency, refusal(row, dependency)?)));
    refused
        .map(|(dependency, allowed)| Finding {
            path: package.manifest.clone(),
            line: line_of(tree, &package.manifest, &dependency.name),
            what: format!(
                "{name} may not import `{}` — it may import {allowed} (import table, ARCHITECTURE.md)",
                dependency.name
            ),
        })
        .collect()
}

/// What is allowed instead, if this is not.
fn refusal(row: &Row, dependency: &Dependency) -> Option<String> {
    let in_tests = dependency.kind == DependencyKind::Dev;
    if dependency.internal {
        let name = short(&dependency.name);
        let allowed =
            row.inside.contains(&name) || in_tests && (row.tests.contains(&name) || name == row.name);
        let list = if row.inside.is_empty() { "no crate of ours".to_owned() } else { row.inside.join(", ") };
        return (!allowed).then_some(list);
    }
    match row.outside {
        Only(list) if !in_tests && !list.contains(&&*dependency.name) => {
            Some(format!("from outside only {}", list.join(", ")))
        }
        Only(_) | Any => None,
    }
}

fn short(name: &str) -> &str {
    name.strip_prefix("trunkline-").unwrap_or(name)
}

/// The manifest's line that names the dependency.
fn line_of(tree: &Tree, manifest: &str, name: &str) -> usize {
    let text = tree.file(manifest).map_or("", |file| &*file.text);
    let names = |line: &str| {
        let line = line.trim_start().trim_start_matches('"');
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', ' ', '=', '"']))
    };
    text.lines().position(names).map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    fn tree(name: &str, dependencies: &[(&str, DependencyKind)]) -> Tree {
        let dependencies = dependencies.iter().map(|(name, kind)| Dependency {
            name: (*name).to_owned(),
            kind: *kind,
            internal: name.starts_with("trunkline-"),
        });
        let package = Package {
            name: format!("trunkline-{name}"),
            manifest: format!("crates/{name}/Cargo.toml"),
            dependencies: dependencies.collect(),
            features: Vec::new(),
        };
        let manifest = "[dependencies]\ntrunkline-model.workspace = true\ntokio = \"1\"\n";
        Tree::of(&[("crates/hub/Cargo.toml", manifest)]).with(package)
    }

    #[test]
    fn what_the_table_does_not_allow_is_found() {
        use DependencyKind::{Build, Dev, Normal};
        type Case<'a> = (&'a str, &'a [(&'a str, DependencyKind)], &'a [(&'a str, &'a str)]);
        let cases: [Case<'_>; 9] = [
            ("hub", &[("trunkline-model", Normal), ("bytes", Normal), ("proptest", Dev)], &[]),
            ("hub", &[("tokio", Normal)], &[("crates/hub/Cargo.toml:3", "hub may not import `tokio`")]),
            ("hub", &[("tokio", Build)], &[("crates/hub/Cargo.toml:3", "may not import `tokio`")]),
            (
                "hub",
                &[("trunkline-node", Dev)],
                &[("crates/hub/Cargo.toml:1", "it may import backend, model")],
            ),
            ("model", &[("trunkline-hub", Normal)], &[("crates/model/Cargo.toml:1", "no crate of ours")]),
            ("node", &[("trunkline-ws", Dev)], &[]),
            (
                "node",
                &[("trunkline-ws", Normal)],
                &[("crates/node/Cargo.toml:1", "may not import `trunkline-ws`")],
            ),
            ("server", &[("axum", Normal), ("trunkline-node", Normal)], &[]),
            ("gadget", &[], &[("crates/gadget/Cargo.toml:1", "not in the import table")]),
        ];
        for (name, dependencies, expected) in cases {
            check(&RULE, &tree(name, dependencies), expected);
        }
    }
}
