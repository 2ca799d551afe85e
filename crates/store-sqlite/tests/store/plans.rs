//! No statement of the store looks at rows one by one: each finds what it needs by an index, however much is stored.
//!
//! The statements are taken from the sources, so that a new one is not forgotten.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use tempfile::tempdir;
use trunkline_store_sqlite::Options;

use crate::rig::Rig;

/// What stands in the sources for a part of a statement.
const PARTS: &[(&str, &str)] =
    &[("{COST}", "octet_length(log.payload)"), ("{columns}", "offset, payload"), ("{order}", "DESC")];

/// Tables of which all rows are meant: there are as many as namespaces in the configuration, or tables.
const SMALL: &[&str] = &["SCAN namespaces", "SCAN sqlite_master"];

/// All string literals of a source that are statements.
fn statements(source: &str) -> Vec<String> {
    let beginnings = ["\"SELECT ", "\"INSERT ", "\"UPDATE ", "\"DELETE "];
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let begins =
        code.char_indices().filter(|(at, _)| beginnings.iter().any(|word| code[*at..].starts_with(word)));
    let literals = begins.filter_map(|(at, _)| code[at + 1..].split('"').next());
    literals
        .map(|text| {
            PARTS.iter().fold(text.to_owned(), |text, (part, stands_for)| text.replace(part, stands_for))
        })
        .collect()
}

fn plan(database: &Connection, statement: &str) -> Vec<String> {
    let mut explained =
        database.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).expect("a valid statement");
    // The plan does not depend on the parameters, which are all NULL here.
    let mut rows = explained.raw_query();
    let mut plan = Vec::new();
    while let Some(row) = rows.next().expect("it can be explained") {
        plan.push(row.get(3).expect("a text"));
    }
    plan
}

#[test]
fn every_statement_uses_an_index() {
    let dir = tempdir().expect("a directory");
    drop(Rig::open(dir.path(), Options::default()));
    let database = Connection::open(dir.path().join("trunkline.db")).expect("it opens");
    let mut checked = 0;
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("the sources") {
        let path = file.expect("a file").path();
        // Only what is done at opening may look at everything.
        if path.ends_with("schema.rs") {
            continue;
        }
        for statement in statements(&fs::read_to_string(&path).expect("a source")) {
            let plan = plan(&database, &statement);
            let scans =
                plan.iter().filter(|step| step.starts_with("SCAN ") && !SMALL.contains(&step.as_str()));
            let sorts =
                plan.iter().filter(|step| step.contains("TEMP B-TREE") && !statement.contains("reactions"));
            assert_eq!(scans.chain(sorts).count(), 0, "{}: {statement}\n{plan:#?}", path.display());
            checked += 1;
        }
    }
    assert!(checked >= 40, "only {checked} statements were found");
}

#[test]
fn the_checker_finds_a_scan() {
    let dir = tempdir().expect("a directory");
    drop(Rig::open(dir.path(), Options::default()));
    let database = Connection::open(dir.path().join("trunkline.db")).expect("it opens");
    let found = statements("let x = \"SELECT {columns} FROM log WHERE ts > ?1\";");
    assert_eq!(found, ["SELECT offset, payload FROM log WHERE ts > ?1"]);
    assert_eq!(plan(&database, &found[0]), ["SCAN log"]);
}
