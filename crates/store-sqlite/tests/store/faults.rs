//! A disk that is full or fails while the store runs. Children of this process work on a disk of their own,
//! or under a limit of the size of files, which fails a COMMIT in its middle.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::tempdir;
use trunkline_backend::{Append, Appended, Store as _, StoreError};
use trunkline_model::Timestamp;
use trunkline_store_sqlite::Options;

use crate::rig::{Rig, THROUGH, child_directory, keyed, post, run, run_on_own_disk};

/// Appends texts of 1,000 bytes, one by one, until one is refused. Returns the stored ones and the error.
fn fill(rig: &Rig, named: &str) -> (Vec<(Append, Appended)>, StoreError) {
    let mut stored = Vec::new();
    for at in 0..100_000 {
        let append = keyed("log:a", format!("{named}.{at:01000}"), &format!("{named}.{at}"));
        match rig.append(append.clone()) {
            Ok(appended) => stored.push((append, appended)),
            Err(error) => return (stored, error),
        }
    }
    panic!("it is never full");
}

#[test]
fn at_the_cap_of_its_size_nothing_is_stored_and_all_that_was_can_be_read() {
    let dir = tempdir().expect("a directory");
    let rig = Rig::open(dir.path(), Options { size_max: Some(64 * 8_192), ..Options::default() });
    let epoch = rig.store.epoch();
    let (stored, error) = fill(&rig, "a");
    assert!(
        matches!(&error, StoreError::NotStored(why) if why.contains("trunkline.db") && why.contains("full")),
        "{error}"
    );
    assert_eq!(rig.texts("log:a").len(), stored.len());

    // A whole transaction falls with the one that finds no room, but what an earlier one has stored is said
    // to be stored.
    let (repeat, first) = &stored[0];
    let large = post("log:b", "x".repeat(100_000));
    let answers = rig.append_all(vec![post("log:a", "small"), repeat.clone(), large, post("log:c", "x")]);
    assert!(matches!(answers[0], Err(StoreError::NotStored(_))), "{answers:?}");
    assert_eq!(answers[1], Ok(Appended { duplicate: true, ..*first }));
    assert!(
        matches!(answers[2..], [Err(StoreError::NotStored(_)), Err(StoreError::NotStored(_))]),
        "{answers:?}"
    );
    assert_eq!(rig.texts("log:a").len(), stored.len());
    assert!(rig.texts("log:b").is_empty());
    assert_eq!(rig.store.epoch(), epoch);
    drop(rig);

    let rig = Rig::open(dir.path(), Options::default());
    let next = rig.append(post("log:a", "more room")).expect("stored");
    assert_eq!(next.position.offset.0, stored.len() as u64 + 1);
    assert_eq!(rig.append(post("log:b", "x")).expect("stored").position.offset.0, 1);
}

#[test]
fn a_panic_in_a_transaction_is_answered_and_the_store_goes_on_in_a_new_epoch() {
    let dir = tempdir().expect("a directory");
    let armed = Arc::new(AtomicBool::new(false));
    let fuse = Arc::clone(&armed);
    let clock = move || {
        assert!(!fuse.swap(false, Ordering::SeqCst), "planted");
        Timestamp(1_000)
    };
    let rig = Rig::open(dir.path(), Options { clock: Arc::new(clock), ..Options::default() });
    rig.append(post("log:a", "before")).expect("stored");
    let epoch = rig.store.epoch();
    let mut texts = vec!["before"];
    let answer = loop {
        armed.store(true, Ordering::SeqCst);
        match rig.append(post("log:a", "lost")) {
            // The writer has asked for the time at rest, and survived that too.
            Ok(_) if texts.len() < 10 => texts.push("lost"),
            answer => break answer,
        }
    };
    assert!(matches!(answer, Err(StoreError::Unknown(_))), "{answer:?}");
    texts.push("after");
    assert_eq!(rig.append(post("log:a", "after")).expect("stored").position.offset.0, texts.len() as u64);
    assert_ne!(rig.store.epoch(), epoch);
    assert_eq!(rig.texts("log:a"), texts);
}

#[test]
fn a_panic_at_rest_is_survived() {
    let dir = tempdir().expect("a directory");
    let (armed, burnt) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (fuse, ash) = (Arc::clone(&armed), Arc::clone(&burnt));
    let clock = move || {
        if fuse.swap(false, Ordering::SeqCst) {
            ash.store(true, Ordering::SeqCst);
            panic!("planted");
        }
        Timestamp(1_000)
    };
    let rig = Rig::open(dir.path(), Options { clock: Arc::new(clock), ..Options::default() });
    rig.append(post("log:a", "before")).expect("stored");
    armed.store(true, Ordering::SeqCst);
    while !burnt.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    assert_eq!(rig.append(post("log:a", "after")).expect("stored").position.offset.0, 2);
    assert_eq!(rig.texts("log:a"), ["before", "after"]);
}

#[test]
fn a_transaction_that_fails_in_its_middle_leaves_nothing_behind() {
    let dir = tempdir().expect("a directory");
    let rig = Rig::open(dir.path(), Options::default());
    rig.append(post("log:a", "first")).expect("stored");
    // An error after which SQLite leaves the transaction open, unlike that of a full disk.
    let other = rusqlite::Connection::open(dir.path().join("trunkline.db")).expect("it opens");
    other
        .execute_batch(
            "CREATE TRIGGER poison BEFORE INSERT ON log WHEN NEW.payload = CAST('poison' AS BLOB)
             BEGIN SELECT RAISE(FAIL, 'poisoned'); END",
        )
        .expect("made");
    let batch = ["a", "b", "a"].map(|name| keyed(&format!("log:{name}"), "x", name));
    let mut poisoned = batch.to_vec();
    poisoned.push(post("log:a", "poison"));
    for answer in rig.append_all(poisoned) {
        assert!(matches!(&answer, Err(StoreError::NotStored(why)) if why.contains("poisoned")), "{answer:?}");
    }
    assert_eq!((rig.texts("log:a").len(), rig.texts("log:b").len()), (1, 0));
    let offsets = |answers: Vec<Result<Appended, StoreError>>| -> Vec<(u64, bool)> {
        let appended = answers.into_iter().map(|answer| answer.expect("stored"));
        appended.map(|appended| (appended.position.offset.0, appended.duplicate)).collect()
    };
    assert_eq!(offsets(rig.append_all(batch.to_vec())), [(2, false), (1, false), (2, true)]);
    drop(rig);
    drop(other);
    let rig = Rig::open(dir.path(), Options::default());
    assert_eq!((rig.texts("log:a").len(), rig.texts("log:b").len()), (2, 1));
}

#[test]
fn a_replaced_file_is_not_written_to() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("trunkline.db");
    let rig = Rig::open(dir.path(), Options::default());
    rig.append(post("log:a", "x")).expect("stored");
    fs::rename(&path, dir.path().join("moved")).expect("moved");
    for _ in 0..2 {
        let refused = rig.append(post("log:a", "y"));
        assert!(
            matches!(&refused, Err(StoreError::NotStored(why)) if why.contains("replaced")),
            "{refused:?}"
        );
        fs::write(&path, "another").expect("written");
    }
    fs::rename(dir.path().join("moved"), &path).expect("moved back");
    assert_eq!(rig.append(post("log:a", "y")).expect("stored").position.offset.0, 2);
}

#[test]
fn a_full_disk_refuses_and_recovers_when_there_is_room() {
    let dir = tempdir().expect("a directory");
    run_on_own_disk("faults::child_on_a_small_disk", dir.path(), "size=1536k");
}

#[test]
fn child_on_a_small_disk() {
    let Some(dir) = child_directory() else { return };
    let ballast = dir.join("ballast");
    fs::write(&ballast, vec![0; 400_000]).expect("written");
    let rig = Rig::open(&dir, Options::default());
    let epoch = rig.store.epoch();
    let (mut stored, error) = fill(&rig, "a");
    assert!(matches!(&error, StoreError::NotStored(_)), "certainly not stored: {error}");
    for _ in 0..3 {
        let again = rig.append(post("log:a", "x".repeat(50_000)));
        assert!(matches!(&again, Err(StoreError::NotStored(_))), "{again:?}");
    }
    assert_eq!(rig.texts("log:a").len(), stored.len());
    let (repeat, first) = &stored[0];
    assert_eq!(rig.append(repeat.clone()), Ok(Appended { duplicate: true, ..*first }));

    fs::remove_file(&ballast).expect("removed");
    let (more, _) = fill(&rig, "b");
    assert!(!more.is_empty(), "there was room again");
    stored.extend(more);
    assert_eq!(rig.store.epoch(), epoch, "no outcome was ever unknown");
    let texts = rig.texts("log:a");
    assert_eq!(texts.len(), stored.len());
    for (text, (append, appended)) in texts.iter().zip(&stored) {
        assert_eq!(text.as_bytes(), &append.payload.bytes[..]);
        assert_eq!(appended.position.epoch, epoch);
    }
    println!("\n{THROUGH}");
}

#[test]
fn a_commit_that_fails_is_open_and_begins_an_epoch() {
    let dir = tempdir().expect("a directory");
    // In units of 512 bytes or 1 KiB; either way far more than the store needs, and soon reached.
    run("faults::child_under_a_limit", dir.path(), "trap '' XFSZ; ulimit -f 1500");
    let rig = Rig::open(dir.path(), Options::default());
    assert!(rig.texts("log:a").len() > 10);
}

#[test]
fn child_under_a_limit() {
    let Some(dir) = child_directory() else { return };
    // The log is not emptied in time, so that it reaches the limit before the database does.
    let rig =
        Rig::open(&dir, Options { checkpoint_pages: 1 << 20, wal_pages_max: 1 << 20, ..Options::default() });
    let epoch = rig.store.epoch();
    let (stored, error) = fill(&rig, "a");
    assert!(matches!(&error, StoreError::Unknown(_)), "{error}");
    assert_ne!(rig.store.epoch(), epoch, "a new epoch before anything else is written");
    assert_eq!(rig.store.counters().renewals, 1);
    let known = rig.texts("log:a").len();
    assert!(
        known == stored.len() || known == stored.len() + 1,
        "{known} entries, {} acknowledged",
        stored.len()
    );

    let next = rig.append(post("log:a", "after it")).expect("stored");
    assert_eq!(next.position.offset.0, known as u64 + 1);
    assert_eq!((next.position.epoch, next.begins_epoch), (rig.store.epoch(), true));
    for (append, appended) in [&stored[0], &stored[stored.len() - 1]] {
        assert_eq!(rig.append(append.clone()), Ok(Appended { duplicate: true, ..*appended }));
    }
    println!("\n{THROUGH}");
}
