//! What a deletion leaves behind in the files: nothing of the payloads.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::tempdir;
use trunkline_backend::{Append, Retentions};
use trunkline_model::{Offset, Op, Reference, Retention, Role};
use trunkline_store_sqlite::Options;

use crate::rig::{Rig, post};

/// Looks at the files until they must be clean. A bound, so that a failing test ends.
const PATIENCE: u32 = 3_000;

/// Ten times as long as a busy writer leaves it.
const BUSY_MAX: Duration = Duration::from_secs(10);

fn refer(op: Op, target: u64, text: &str) -> Append {
    Append { role: Role::Reference(Reference { target: Offset(target), op }), ..post("log:a", text) }
}

/// How often `text` stands in the files of a directory.
fn count(dir: &Path, text: &str) -> usize {
    let files = fs::read_dir(dir).expect("it is there").map(|file| file.expect("an entry").path());
    let windows = |path| {
        fs::read(path).map(|bytes| bytes.windows(text.len()).filter(|at| *at == text.as_bytes()).count())
    };
    files.map(|path| windows(path).unwrap_or(0)).sum()
}

#[test]
fn nothing_of_an_erased_payload_stays_in_the_files() {
    let dir = tempdir().expect("a directory");
    let retentions: Retentions =
        [("other", Retention { entries: Some(100), ..Retention::default() })].into_iter().collect();
    let options = || Options { retentions: retentions.clone(), ..Options::default() };
    let rig = Rig::open(dir.path(), options());
    // Small, on pages of its own, and in between.
    let texts = ["SECRET".to_owned(), "SECRET".repeat(5_000), format!("{}SECRET", "x".repeat(3_000))];
    let appends = texts.iter().map(|text| post("log:a", text.clone())).collect();
    assert!(rig.append_all(appends).iter().all(Result::is_ok));
    // What is written and trimmed around it makes pages move.
    for round in 0..60 {
        let appends = vec![post("other:a", "y".repeat(100 + round * 7)); 40];
        assert!(rig.append_all(appends).iter().all(Result::is_ok));
    }
    drop(rig);
    // All that is in the database now; what comes stays in the log beside it, which is not long enough to be emptied.
    let rig = Rig::open(dir.path(), options());
    for target in 1..=3 {
        rig.append(refer(Op::Edit, target, "SECRET edit")).expect("stored");
    }
    assert!(count(dir.path(), "SECRET") > 3, "it would be found");
    for target in 1..=3 {
        rig.append(refer(Op::Delete, target, "")).expect("stored");
    }
    let clean = (0..PATIENCE).any(|_| count(dir.path(), "SECRET") == 0);
    assert!(clean, "{} are left", count(dir.path(), "SECRET"));
    let log = rig.log("log:a").expect("it can be read");
    assert_eq!(log.iter().filter(|entry| entry.erased && entry.payload.bytes.is_empty()).count(), 6);
}

#[test]
fn a_writer_that_never_rests_takes_it_out_too() {
    let dir = tempdir().expect("a directory");
    // The log is not emptied for its length.
    let long = u32::MAX;
    let rig =
        Rig::open(dir.path(), Options { checkpoint_pages: long, wal_pages_max: long, ..Options::default() });
    rig.append(post("log:a", "SECRET")).expect("stored");
    rig.append(refer(Op::Delete, 1, "")).expect("stored");
    let began = Instant::now();
    let is_clean = AtomicBool::new(false);
    // It looks on a thread of its own, so that the writer has no time to rest meanwhile.
    let was_clean = std::thread::scope(|scope| {
        scope.spawn(|| {
            while count(dir.path(), "SECRET") > 0 && began.elapsed() < BUSY_MAX {}
            is_clean.store(began.elapsed() < BUSY_MAX, Ordering::Relaxed);
        });
        while !is_clean.load(Ordering::Relaxed) && began.elapsed() < BUSY_MAX {
            rig.append(post("log:b", "more")).expect("stored");
        }
        is_clean.load(Ordering::Relaxed)
    });
    assert!(was_clean);
}
