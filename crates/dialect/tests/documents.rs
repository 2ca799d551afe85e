//! The documents say what the code does: the specification of `trunkline.v1`, the reference pages, the list of
//! promises, and the map. Reads tables and examples from Markdown, and the code's own tables from the code or its source.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use trunkline_dialect::json::{COMMAND_TYPES, decode};
use trunkline_model::{ErrorCode, Limits, close};

const SPECIFICATION: &str = "protocol/trunkline-v1.md";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The rows of the first table below the heading `heading` (or of the page, if it is empty), without its
/// own head, each as its cells.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let below = match heading {
        "" => page,
        heading => page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading:?}")).1,
    };
    let rows =
        below.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        let row =
            row.trim_matches('|').split(" |").map(|cell| cell.trim().trim_matches('|').trim().to_owned());
        row.collect::<Vec<_>>()
    };
    rows.skip(2).map(cells).collect()
}

/// What stands in backticks.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The lines of the fenced blocks marked `text`.
fn examples(page: &str) -> Vec<&str> {
    let mut fence = None;
    let mut lines = Vec::new();
    for line in page.lines() {
        match (line.strip_prefix("```"), fence) {
            (Some(kind), None) => fence = Some(kind),
            (Some(_), Some(_)) => fence = None,
            (None, Some("text")) => lines.push(line),
            (None, _) => {}
        }
    }
    lines
}

#[test]
fn the_examples_of_the_specification_are_real() {
    let page = read(SPECIFICATION);
    let (mut sent, mut heard) = (BTreeSet::new(), BTreeSet::new());
    for line in examples(&page) {
        if let Some(command) = line.strip_prefix("> ") {
            let value: serde_json::Value = serde_json::from_str(command).expect(command);
            let known = decode(command).map_err(|fault| fault.code);
            let wrong = command.contains("subscrbe") || command.contains("\"all\"");
            assert_eq!(known.is_err(), wrong, "{command} gives {known:?}");
            sent.insert(value["type"].as_str().expect(command).to_owned());
        } else if let Some(message) = line.strip_prefix("< ") {
            let value: serde_json::Value = serde_json::from_str(message).expect(message);
            heard.insert(value["type"].as_str().expect(message).to_owned());
        } else if !line.starts_with("$ ") {
            let value: serde_json::Value = serde_json::from_str(line).expect(line);
            assert!(value.is_object(), "{line}");
        }
    }
    for known in COMMAND_TYPES.iter().filter(|known| **known != "pong") {
        assert!(sent.contains(*known), "no example of {known}");
    }
    for reply in ["welcome", "subscribed", "unsubscribed", "published", "message", "history", "pong", "error"]
    {
        assert!(heard.contains(reply), "no example of {reply}");
    }
}

#[test]
fn the_specification_has_every_command() {
    let page = read(SPECIFICATION);
    for known in COMMAND_TYPES {
        let headings = page.lines().filter(|line| line.starts_with("### "));
        assert!(
            headings.flat_map(|line| line[4..].split(", ")).any(|word| word == *known),
            "no heading {known}"
        );
    }
}

#[test]
fn the_specification_has_every_error_code() {
    let page = read(SPECIFICATION);
    let told: Vec<_> = table(&page, "## Errors")
        .into_iter()
        .map(|row| (row[0].trim_matches('`').to_owned(), row[1].clone()))
        .collect();
    let known: Vec<_> =
        ErrorCode::ALL.iter().map(|code| (code.to_string(), code.http_status().to_string())).collect();
    assert_eq!(told, known);
    for (code, row) in ErrorCode::ALL.iter().zip(table(&page, "## Errors")) {
        assert!(row[2].starts_with(code.meaning()), "{code}: {:?} should begin with its meaning", row[2]);
    }
    let open: Vec<_> = ErrorCode::ALL.iter().filter(|code| code.leaves_outcome_open()).collect();
    let sentence = page.lines().find(|line| line.contains("it is unknown whether")).expect("the sentence");
    for code in ErrorCode::ALL {
        let named = sentence.contains(&format!("`{code}`"));
        assert_eq!(named, open.contains(&code), "{code}");
    }
}

#[test]
fn the_specification_has_every_close_code() {
    let page = read(SPECIFICATION);
    let rows = table(&page, "## Close codes");
    for row in &rows {
        let code: u16 = row[0].parse().expect("a code");
        let reconnect = if close::is_final(code) { "no" } else { "yes" };
        assert_eq!(row[1], reconnect, "{code}");
        if let Some(known) = close::ALL.iter().find(|known| known.code == code) {
            assert_eq!(row[2], known.reason, "{code}");
        }
    }
    let told: BTreeSet<_> = rows.iter().map(|row| row[0].clone()).collect();
    for known in close::ALL {
        assert!(told.contains(&known.code.to_string()), "no row for {}", known.code);
    }
    let foreign: Vec<_> = told.iter().filter(|code| code.starts_with('4')).cloned().collect();
    let ours: Vec<_> = close::ALL.iter().map(|row| row.code).filter(|code| *code >= 4000).collect();
    assert_eq!(foreign, ours.iter().map(u16::to_string).collect::<Vec<_>>());
}

#[test]
fn the_limits_page_has_every_limit_and_its_default() {
    let page = read("docs/reference/limits.md");
    let told: BTreeMap<String, String> = table(&page, "")
        .into_iter()
        .map(|row| {
            assert!(row[2].len() > 10, "{}: what happens at the cap?", row[0]);
            (row[0].trim_matches('`').to_owned(), plain_number(&row[1]))
        })
        .collect();
    // `Debug` names every field, also one that is added later.
    let debug = format!("{:?}", Limits::default()).replace(", burst", "; burst");
    let fields = debug.trim_start_matches("Limits { ").trim_end_matches(" }").split(", ");
    let known: BTreeMap<String, String> = fields
        .map(|field| field.split_once(": ").expect("name and value"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(told, known);
}

/// A value as people write it, as `Debug` writes it.
fn plain_number(text: &str) -> String {
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    let number: u64 = number.replace(',', "").parse().unwrap_or_else(|_| panic!("{text:?} is no number"));
    match unit {
        "" => number.to_string(),
        "KiB" => (number << 10).to_string(),
        "MiB" => (number << 20).to_string(),
        "ms" => format!("{:?}", Duration::from_millis(number)),
        "s" => format!("{:?}", Duration::from_secs(number)),
        // As many at once as in two seconds.
        "per second" => {
            let interval = Duration::from_secs(1) / u32::try_from(number).expect("a rate");
            format!("Some(Rate {{ interval: {interval:?}; burst: {} }})", 2 * number)
        }
        _ => panic!("{text:?} has an unknown unit"),
    }
}

#[test]
fn the_configuration_page_has_every_key_flag_and_variable() {
    let page = read("docs/reference/configuration.md");
    let words = quoted(&page);
    let has = |word: &str| words.iter().any(|quoted| quoted.split([' ', '.']).any(|part| part == word));
    let dto = read("crates/server/src/dto.rs");
    let file = dto.split_once("/// The query of").expect("configuration comes first in dto.rs").0;
    let keys = file.lines().filter_map(|line| line.trim().strip_prefix("pub(crate) ")?.split_once(": "));
    let keys: Vec<_> = keys.map(|(key, _)| key).filter(|key| *key != "namespace").collect();
    assert!(keys.len() >= 5, "{keys:?}");
    for key in keys {
        assert!(has(key), "the key {key} is not on the page");
    }
    let cli = read("crates/server/src/cli.rs");
    for variable in cli.split("env = \"").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(has(variable), "{variable} is not on the page");
    }
    let lines: Vec<&str> = cli.lines().collect();
    for pair in lines.windows(2).filter(|pair| pair[0].contains("#[arg(long")) {
        let field = pair[1].trim().trim_start_matches("pub(crate) ").split(':').next().unwrap_or("");
        assert!(has(&format!("--{field}")), "--{field} is not on the page");
    }
    let codes =
        cli.split_once("Exit codes: ").and_then(|(_, rest)| rest.split('"').next()).expect("exit codes");
    let told: Vec<_> = table(&page, "## Exit codes").iter().map(|row| row.join(" ")).collect();
    assert_eq!(told.join(" · "), codes);
}

#[test]
fn the_map_names_files_that_exist() {
    let page = read("ARCHITECTURE.md");
    let mut count = 0;
    for word in quoted(&page) {
        let path = match word.split('/').next() {
            Some("xtask") => word.to_owned(),
            _ => format!("crates/{word}"),
        };
        if word.contains('/') && (word.ends_with(".rs") || word.contains("/tests/")) {
            count += 1;
            assert!(root().join(&path).exists(), "{word} does not exist");
        }
    }
    assert!(count > 20, "only {count} files were found on the page");
}

#[test]
fn each_promise_names_tests_that_exist() {
    let page = read("docs/explanation/promises.md");
    let rows: Vec<(&str, &str)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .map(|row| row.split_once(" |").unwrap_or_else(|| panic!("{row:?} is no row of two cells")))
        .filter(|(promise, _)| *promise != "promise")
        .collect();
    let mut count = 0;
    for (promise, tested_by) in rows {
        let tests: Vec<&str> =
            quoted(tested_by).into_iter().filter(|words| words.split(": ").count() > 2).collect();
        let is_owned_up = tested_by.contains("not yet: ");
        assert!(is_owned_up || !tests.is_empty(), "{promise:?} has neither a test nor a `not yet: WHY`");
        for test in &tests {
            assert!(is_test(test), "{promise:?}: there is no test {test:?}");
        }
        count += tests.len();
    }
    assert!(count > 150, "only {count} tests were found on the page");
}

/// Whether `CRATE: FILE: NAME` is a test, a case of the stores' suite, or a checker of the simulator.
fn is_test(words: &str) -> bool {
    let mut words = words.splitn(3, ": ");
    let (folder, file, name) =
        (words.next().unwrap_or(""), words.next().unwrap_or(""), words.next().unwrap_or(""));
    let path = match folder {
        "sdk" => format!("sdk/typescript/packages/client/{file}"),
        _ => format!("crates/{folder}/{file}"),
    };
    let Ok(source) = std::fs::read_to_string(root().join(path)) else { return false };
    if file.ends_with(".ts") {
        return ["'", "`"].iter().any(|mark| source.contains(&format!("test({mark}{name}{mark},")));
    }
    if folder == "backend" && file.starts_with("src/contract/") {
        let suite = read("crates/backend/src/contract.rs");
        let listed = suite.split_once("macro_rules! store_contract").expect("the suite's macro").1;
        return listed.split_whitespace().any(|word| word == name)
            && source.contains(&format!("pub fn {name}("));
    }
    if (folder, file) == ("sim", "src/violation.rs") {
        return source.contains(&format!("=> \"{name}\","));
    }
    let above = source.split_once(&format!("fn {name}(")).map_or("", |(above, _)| above);
    let attributes = above.rsplit('\n').skip(1).take_while(|line| line.trim_start().starts_with('#'));
    attributes
        .map(str::trim_start)
        .any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
}

#[test]
fn the_map_prints_the_import_table() {
    let page = read("ARCHITECTURE.md");
    let set = |cell: &str| -> BTreeSet<String> {
        cell.split_whitespace().filter(|word| *word != "–").map(str::to_owned).collect()
    };
    let printed: BTreeMap<String, [BTreeSet<String>; 3]> = table(&page, "### What may import what")
        .iter()
        .map(|row| (row[0].clone(), [set(&row[1]), set(&row[2]), set(&row[3])]))
        .collect();
    let source = read("xtask/src/tidy/imports.rs");
    let rows = source.split_once("const TABLE").expect("the table").1.split_once("\n];").expect("its end").0;
    let checked: BTreeMap<String, [BTreeSet<String>; 3]> =
        rows.split(" row(").skip(1).map(import_row).collect();
    assert_eq!(printed, checked);
}

/// A row of the table in xtask's source: its name, and the three lists behind it.
fn import_row(row: &str) -> (String, [BTreeSet<String>; 3]) {
    let texts = |list: &str| list.split('"').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
    let name = row.split('"').nth(1).expect("a name").to_owned();
    let lists: Vec<&str> = row.split("&[").skip(1).map(|rest| rest.split(']').next().unwrap_or("")).collect();
    let outside = lists.get(2).map_or_else(|| BTreeSet::from(["any".to_owned()]), |list| texts(list));
    (name, [texts(lists[0]), texts(lists[1]), outside])
}
