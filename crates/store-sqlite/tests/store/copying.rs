//! Backups and restoring them: what is in them, what is refused, and that a store goes on meanwhile.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use tempfile::tempdir;
use trunkline_backend::{Appended, Located};
use trunkline_model::Offset;
use trunkline_store_sqlite::{CopyError, OpenError, Options, restore};

use crate::rig::{Rig, THROUGH, child_directory, keyed, post, run_on_own_disk};

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("it is there")
        .map(|file| file.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    names
}

#[test]
fn a_backup_holds_what_was_answered_and_restores_to_a_store_of_a_later_life() {
    let dir = tempdir().expect("a directory");
    let (data, backups, restored) =
        (dir.path().join("data"), dir.path().join("b"), dir.path().join("new/data"));
    fs::create_dir(&backups).expect("made");
    let backup = backups.join("monday.db");
    let rig = Rig::open(&data, Options::default());
    let first = rig.append(keyed("log:a", "first", "k")).expect("stored");
    rig.store.backup(&backup).expect("copied");
    let lost = rig.append(post("log:a", "after it")).expect("stored");
    assert_eq!(names(&backups), ["monday.db"], "one file, with nothing beside it");
    let refused = rig.store.backup(&backup);
    assert!(matches!(&refused, Err(CopyError::Exists(path)) if *path == backup), "{refused:?}");
    drop(rig);

    let bytes = fs::read(&backup).expect("it can be read");
    restore(&backup, &restored).expect("restored");
    assert_eq!(fs::read(&backup).expect("it can be read"), bytes, "the backup is as it was");
    assert_eq!(names(&backups), ["monday.db"]);
    let rig = Rig::open(&restored, Options::default());
    assert_eq!(rig.texts("log:a"), ["first"]);
    assert_eq!(rig.append(keyed("log:a", "first", "k")), Ok(Appended { duplicate: true, ..first }));
    assert_eq!(rig.locate("log:a", first.position), Located::Held);
    assert_eq!(rig.locate("log:a", lost.position), Located::Parted { keep: Some(Offset(1)) });
    let other = rig.append(post("log:a", "another")).expect("stored");
    assert_eq!(other.position.offset, lost.position.offset);
    assert_ne!(other.position.epoch, lost.position.epoch);
    assert_eq!(rig.locate("log:a", lost.position), Located::Parted { keep: Some(Offset(1)) });
    drop(rig);
    let refused = restore(&backup, &restored);
    assert!(matches!(&refused, Err(CopyError::Exists(_))), "{refused:?}");
}

#[test]
fn a_store_publishes_while_it_is_copied_and_the_copy_is_one_moment() {
    let dir = tempdir().expect("a directory");
    let options = Options { checkpoint_pages: 16, wal_pages_max: 64, ..Options::default() };
    let rig = Rig::open(&dir.path().join("data"), options);
    for _ in 0..20 {
        assert!(rig.append_all(vec![post("log:a", "x".repeat(2_000)); 200]).iter().all(Result::is_ok));
    }
    let backup = dir.path().join("backup.db");
    let done = AtomicBool::new(false);
    let (before, published) = std::thread::scope(|scope| {
        let copying = scope.spawn(|| {
            let copied = rig.store.backup(&backup);
            done.store(true, Ordering::SeqCst);
            copied
        });
        let mut published = 0;
        while !done.load(Ordering::SeqCst) {
            // Two channels in one transaction.
            let both = vec![post("log:b", "x".repeat(3_000)), post("log:c", "x".repeat(3_000))];
            assert!(rig.append_all(both).iter().all(Result::is_ok));
            published += 1;
        }
        copying.join().expect("no panic").expect("copied");
        (4_000, published)
    });
    assert!(published > 0);
    drop(rig);
    restore(&backup, &dir.path().join("restored")).expect("restored");
    let rig =
        Rig::open(&dir.path().join("restored"), Options { check_size_max: u64::MAX, ..Options::default() });
    assert_eq!(rig.texts("log:a").len(), before);
    let (b, c) = (rig.texts("log:b").len(), rig.texts("log:c").len());
    assert!(b == c && b <= published, "{b} and {c} of {published}");
}

#[test]
fn what_is_no_backup_is_refused_and_nothing_is_made_of_it() {
    let dir = tempdir().expect("a directory");
    let good = dir.path().join("good.db");
    let rig = Rig::open(&dir.path().join("data"), Options::default());
    let appends = (0..500).map(|at| post(&format!("log:{}", at % 7), format!("{at:0500}"))).collect();
    assert!(rig.append_all(appends).iter().all(Result::is_ok));
    rig.store.backup(&good).expect("copied");
    drop(rig);
    let bytes = fs::read(&good).expect("it can be read");

    let check = |what: &str, make: &dyn Fn(&Path), expect: fn(&CopyError) -> bool| {
        let (from, to) = (dir.path().join(what), dir.path().join(format!("{what}.data")));
        make(&from);
        let refused = restore(&from, &to).expect_err(what);
        assert!(expect(&refused), "{what}: {refused:?}");
        assert!(refused.to_string().contains(what), "it names the file: {refused}");
        assert!(!to.exists() || names(&to) == ["lock"], "{what}: {:?}", names(&to));
    };
    let overwrite = |from: &Path, at: usize| {
        let mut bytes = bytes.clone();
        bytes[at..at + 8_192].fill(0x5a);
        fs::write(from, bytes).expect("written");
    };
    check("missing", &|_| {}, |error| matches!(error, CopyError::Io { .. }));
    check("empty", &|from| fs::write(from, "").expect("written"), |error| {
        matches!(error, CopyError::Empty(_))
    });
    check("diary", &|from| fs::write(from, "Dear diary, ".repeat(1_000)).expect("written"), |error| {
        matches!(error, CopyError::Unusable(OpenError::NotADatabase(_)))
    });
    let foreign = |from: &Path| {
        Connection::open(from)
            .and_then(|database| database.execute_batch("CREATE TABLE t (x)"))
            .expect("made");
    };
    check("foreign", &foreign, |error| matches!(error, CopyError::Unusable(OpenError::Foreign(_))));
    check("flipped", &|from| overwrite(from, 30 * 8_192), |error| matches!(error, CopyError::Damaged { .. }));
    check("header", &|from| overwrite(from, 0), |error| {
        matches!(error, CopyError::Unusable(OpenError::NotADatabase(_)))
    });
    let cut = |from: &Path| fs::write(from, &bytes[..20 * 8_192]).expect("written");
    check("cut", &cut, |error| matches!(error, CopyError::Unusable(OpenError::Corrupt { .. })));

    let rig = Rig::open(&dir.path().join("data"), Options::default());
    let refused = restore(&good, &dir.path().join("data"));
    assert!(matches!(&refused, Err(CopyError::Unusable(OpenError::Locked { .. }))), "{refused:?}");
    drop(rig);
    restore(&good, &dir.path().join("at last")).expect("the good one is");
}

#[test]
fn a_damaged_store_is_not_backed_up() {
    let dir = tempdir().expect("a directory");
    let data = dir.path().join("data");
    let rig = Rig::open(&data, Options::default());
    let appends = (0..500).map(|at| post("log:a", format!("{at:0500}"))).collect();
    assert!(rig.append_all(appends).iter().all(Result::is_ok));
    drop(rig);
    let mut bytes = fs::read(data.join("trunkline.db")).expect("it can be read");
    bytes[30 * 8_192..31 * 8_192].fill(0x5a);
    fs::write(data.join("trunkline.db"), bytes).expect("written");
    let rig = Rig::open(&data, Options { check_size_max: 0, ..Options::default() });
    let refused = rig.store.backup(&dir.path().join("backup.db"));
    assert!(matches!(&refused, Err(CopyError::Damaged { .. })), "{refused:?}");
    assert_eq!(names(dir.path()), ["data"], "nothing is left of it");
}

#[test]
fn a_backup_that_finds_no_room_leaves_nothing_and_the_store_goes_on() {
    let dir = tempdir().expect("a directory");
    run_on_own_disk("copying::child_on_a_small_disk", dir.path(), "size=1536k");
}

#[test]
fn child_on_a_small_disk() {
    let Some(dir) = child_directory() else { return };
    let elsewhere = tempdir().expect("a directory");
    let rig = Rig::open(elsewhere.path(), Options::default());
    for _ in 0..20 {
        assert!(rig.append_all(vec![post("log:a", "x".repeat(2_000)); 100]).iter().all(Result::is_ok));
    }
    let refused = rig.store.backup(&dir.join("backup.db"));
    assert!(matches!(&refused, Err(CopyError::Failed { .. } | CopyError::Io { .. })), "{refused:?}");
    assert!(names(&dir).is_empty(), "{:?}", names(&dir));
    rig.append(post("log:a", "x")).expect("stored");
    println!("\n{THROUGH}");
}
