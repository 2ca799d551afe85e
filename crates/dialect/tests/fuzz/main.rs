//! What the fuzzers of the JSON dialect check, run here over their committed inputs. Not the fuzzers themselves, which
//! `cargo fuzz` builds from `fuzz/` and from the same files.

use std::path::Path;

mod json;
mod json_client;

#[test]
fn corpus() {
    over("json", json::check);
}

#[test]
fn corpus_of_a_client() {
    over("json_client", json_client::check);
    // Whatever a server reads as a command a client can write.
    over("json", json_client::check);
}

fn over(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "there are inputs");
    for path in paths {
        let input = std::fs::read(&path).expect("a readable file");
        println!("{}", path.display());
        check(&input);
        // Cut anywhere and with any byte flipped.
        for at in 0..input.len() {
            check(&input[..at]);
            let mut flipped = input.clone();
            flipped[at] ^= 1 << (at % 8);
            check(&flipped);
        }
    }
}

/// Found by the fuzzer: serde quotes a text that should have been an object, whole, and it was told back whole.
#[test]
fn what_is_no_object_is_not_told_back_whole() {
    for sent in [format!("\"{}\"", "x".repeat(16 << 10)), format!("\"{}\"", "\u{10fffd}".repeat(4 << 10))] {
        json::check(sent.as_bytes());
        let fault = trunkline_dialect::json::decode(&sent).expect_err("a text");
        assert!(
            fault.message.starts_with("this is not a JSON object: invalid type: string"),
            "{}",
            fault.message
        );
    }
}
