//! Files that are cut, damaged or exchanged, before and while the store runs: those who ask get errors, and nothing ends.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rusqlite::Connection;
use tempfile::tempdir;
use trunkline_backend::{Direction, Located, Request, Store as _, StoreError};
use trunkline_model::Offset;
use trunkline_store_sqlite::Options;

use crate::rig::{Rig, post, ticket};

/// Readings of a counter until it must have changed. A bound, so that a failing test ends.
const PATIENCE: u64 = 2_000_000_000;

/// A store with 700 entries of 500 bytes in seven channels, closed.
fn filled(dir: &Path) {
    let rig = Rig::open(dir, Options::default());
    let appends = (0..700).map(|at| post(&format!("log:{}", at % 7), format!("{at:0500}"))).collect();
    assert!(rig.append_all(appends).iter().all(Result::is_ok));
}

#[test]
fn a_copy_without_its_write_ahead_log_is_an_earlier_state_and_says_so() {
    let dir = tempdir().expect("a directory");
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
    filled(&data);
    let rig = Rig::open(&data, Options::default());
    let kept = rig.head("log:0").position;
    let lost = rig.append(post("log:0", "only in the log beside it")).expect("stored");
    fs::create_dir(&copy).expect("made");
    fs::copy(data.join("trunkline.db"), copy.join("trunkline.db")).expect("copied");
    drop(rig);
    let rig = Rig::open(&copy, Options::default());
    assert_eq!(rig.locate("log:0", kept), Located::Held);
    assert_eq!(rig.locate("log:0", lost.position), Located::Parted { keep: None });
    let next = rig.append(post("log:0", "another")).expect("stored");
    assert_eq!(next.position.offset, lost.position.offset);
    assert_eq!(rig.locate("log:0", lost.position), Located::Parted { keep: None }, "not this one");
    assert_eq!(rig.locate("log:0", kept), Located::Held);
}

#[test]
fn a_damaged_page_is_an_error_of_those_who_need_it() {
    let dir = tempdir().expect("a directory");
    filled(dir.path());
    let file = fs::OpenOptions::new().write(true).open(dir.path().join("trunkline.db")).expect("it opens");
    file.write_all_at(&[0x5a; 8_192], 30 * 8_192).expect("written");
    let rig = Rig::open(dir.path(), Options { check_size_max: 0, ..Options::default() });
    let whole = rig.log("log:0");
    assert!(matches!(&whole, Err(StoreError::NotStored(why)) if why.contains("trunkline.db")), "{whole:?}");
    assert_eq!(rig.head("log:0").tail.len(), 1, "the newest are whole");
    for at in 0..50 {
        let answer = rig.append(post("log:new", format!("{at}")));
        assert!(matches!(answer, Ok(_) | Err(StoreError::NotStored(_))), "{answer:?}");
    }
    assert_eq!(rig.texts("log:new").len(), 50, "what it needs is whole");
}

#[test]
fn a_hole_in_a_log_is_an_error_and_never_a_shorter_page() {
    let check = |offset: i64, folded: bool| {
        let dir = tempdir().expect("a directory");
        filled(dir.path());
        let database = Connection::open(dir.path().join("trunkline.db")).expect("it opens");
        database
            .execute("DELETE FROM log WHERE channel = 1 AND offset = ?1", [offset])
            .expect("there is no entry any more");
        drop(database);
        let rig = Rig::open(dir.path(), Options::default());
        for direction in [Direction::Forward, Direction::Backward] {
            let read = rig.read("log:0", direction, folded);
            assert!(
                matches!(&read, Err(StoreError::NotStored(why)) if why.contains(&format!("offset {offset}"))),
                "{offset} {direction:?}: {read:?}"
            );
        }
        assert_eq!(rig.texts("log:1").len(), 100, "another channel is whole");
    };
    for offset in [1, 50, 100] {
        check(offset, false);
        check(offset, true);
    }
}

#[test]
fn a_file_that_is_cut_under_a_running_store_gives_errors_and_no_end() {
    let dir = tempdir().expect("a directory");
    filled(dir.path());
    let rig = Rig::open(dir.path(), Options { checkpoint_pages: 4, wal_pages_max: 8, ..Options::default() });
    let file = fs::OpenOptions::new().write(true).open(dir.path().join("trunkline.db")).expect("it opens");
    file.set_len(20 * 8_192).expect("cut");
    let mut failed = 0;
    for at in 0..100 {
        let answer = rig.append(post(&format!("log:{}", at % 7), "x".repeat(2_000)));
        failed += usize::from(answer.is_err());
        let read = rig.log(&format!("log:{}", at % 7));
        assert!(matches!(read, Ok(_) | Err(StoreError::NotStored(_))), "{read:?}");
        failed += usize::from(read.is_err());
    }
    assert!(failed > 0, "somebody was told");
    rig.store.close(); // and it comes to its end
}

#[test]
fn an_idle_store_notices_that_its_file_was_exchanged() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("trunkline.db");
    let rig = Rig::open(dir.path(), Options::default());
    rig.append(post("log:a", "x")).expect("stored");
    fs::rename(&path, dir.path().join("moved")).expect("moved");
    fs::write(&path, "another").expect("written");
    let noticed = (0..PATIENCE).any(|_| rig.store.counters().replacements == 1);
    assert!(noticed, "nobody has asked for anything meanwhile");
    assert!(matches!(rig.append(post("log:a", "y")), Err(StoreError::NotStored(_))));
    assert_eq!(rig.store.counters().replacements, 1, "it is told once");
    fs::rename(dir.path().join("moved"), &path).expect("moved back");
    assert_eq!(rig.append(post("log:a", "y")).expect("stored").position.offset, Offset(2));
}

#[test]
fn what_is_asked_of_a_lost_directory_is_answered() {
    let dir = tempdir().expect("a directory");
    let data = dir.path().join("data");
    let rig = Rig::open(&data, Options::default());
    rig.append(post("log:a", "x")).expect("stored");
    fs::remove_dir_all(&data).expect("removed");
    assert!(matches!(rig.append(post("log:a", "y")), Err(StoreError::NotStored(_))));
    rig.store.submit(vec![Request::Append(ticket(1), post("log:a", "in flight"))]);
    rig.store.close();
}
