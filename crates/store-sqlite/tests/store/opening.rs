//! Opening: what is made, what is refused, and what the refusal says.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Stdio;

use rusqlite::Connection;
use tempfile::tempdir;
use trunkline_store_sqlite::{OpenError, Options, SqliteStore};

use crate::rig::{Rig, THROUGH, child, child_directory, post, refusal, run_on_own_disk};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn directory_and_files_are_made_for_the_owner_alone() {
    let dir = tempdir().expect("a directory");
    let data = dir.path().join("new/data");
    let rig = Rig::open(&data, Options::default());
    rig.append(post("log:a", "x")).expect("stored");
    assert_eq!(mode(&data), 0o700);
    for file in ["lock", "trunkline.db", "trunkline.db-wal", "trunkline.db-shm"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    drop(rig);
    let database = Connection::open(data.join("trunkline.db")).expect("it opens");
    let pragma =
        |name| database.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).expect("a number");
    assert_eq!((pragma("page_size"), pragma("user_version")), (8_192, 4));
}

#[test]
fn a_second_store_in_the_same_process_is_refused() {
    let dir = tempdir().expect("a directory");
    let rig = Rig::open(dir.path(), Options::default());
    let refused = refusal(dir.path());
    assert!(
        matches!(&refused, OpenError::Locked { pid: Some(pid), .. } if *pid == std::process::id()),
        "{refused}"
    );
    assert!(refused.to_string().contains(&dir.path().display().to_string()), "{refused}");
    drop(rig);
    Rig::open(dir.path(), Options::default());
}

#[test]
fn a_second_process_is_refused_and_told_who_was_first() {
    let dir = tempdir().expect("a directory");
    let mut other = child("opening::child_that_holds_the_lock", dir.path(), "")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(other.stdout.take().expect("piped")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("it is open")));
    let refused = refusal(dir.path());
    assert!(refused.to_string().contains(&format!("process {}", other.id())), "{refused}");
    drop(other.stdin.take());
    lines.for_each(drop);
    assert!(other.wait().expect("it ends").success());
    Rig::open(dir.path(), Options::default());
}

#[test]
fn child_that_holds_the_lock() {
    let Some(dir) = child_directory() else { return };
    let _rig = Rig::open(&dir, Options::default());
    println!("\nit is open");
    std::io::stdin().read_line(&mut String::new()).expect("the parent closes it");
}

#[test]
fn what_is_no_directory_is_refused() {
    let dir = tempdir().expect("a directory");
    let file = dir.path().join("file");
    fs::write(&file, "x").expect("written");
    assert!(matches!(refusal(&file), OpenError::NotADirectory(path) if path == file));
    assert!(matches!(refusal(&file.join("below")), OpenError::NotWritable { .. }));
}

#[test]
fn an_unwritable_directory_is_refused() {
    let dir = tempdir().expect("a directory");
    run_on_own_disk("opening::child_on_a_disk_for_reading", dir.path(), "ro");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o500)).expect("changed");
    if fs::write(dir.path().join("probe"), "x").is_err() {
        assert_not_writable(dir.path());
    } else {
        eprintln!("an_unwritable_directory_is_refused: half skipped, this user may write everywhere");
    }
}

#[test]
fn child_on_a_disk_for_reading() {
    let Some(dir) = child_directory() else { return };
    assert_not_writable(&dir);
    assert_not_writable(&dir.join("below"));
    println!("\n{THROUGH}");
}

fn assert_not_writable(dir: &Path) {
    let refused = refusal(dir);
    assert!(matches!(&refused, OpenError::NotWritable { .. }), "{refused:?}");
    assert!(refused.to_string().contains(&dir.display().to_string()), "{refused}");
}

/// Opens a directory whose database holds what `make` writes there. The refusal must name the file.
fn refusal_of(make: impl FnOnce(&Path)) -> OpenError {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("trunkline.db");
    make(&path);
    let refused = refusal(dir.path());
    assert!(refused.to_string().contains(&path.display().to_string()), "{refused}");
    refused
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let refused = refusal_of(|path| fs::write(path, "Dear diary, ".repeat(1_000)).expect("written"));
    assert!(matches!(&refused, OpenError::NotADatabase(_)), "{refused:?}");

    let dir = tempdir().expect("a directory");
    let path = dir.path().join("trunkline.db");
    fs::write(&path, "Dear diary").expect("written");
    refusal(dir.path());
    assert_eq!(fs::read(&path).expect("it is there"), b"Dear diary");
}

#[test]
fn the_database_of_another_program_is_refused_and_left_as_it_is() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("trunkline.db");
    Connection::open(&path).and_then(|db| db.execute_batch("CREATE TABLE t (x)")).expect("made");
    let before = fs::read(&path).expect("it is there");
    let refused = refusal(dir.path());
    assert!(matches!(&refused, OpenError::Foreign(_)), "{refused:?}");
    assert_eq!(fs::read(&path).expect("it is there"), before);
    assert!(matches!(
        refusal_of(|path| Connection::open(path)
            .and_then(|db| db.execute_batch("PRAGMA user_version = 3; VACUUM"))
            .expect("made")),
        OpenError::Foreign(_)
    ));
}

/// A database of ours with a few entries, closed.
fn filled(path: &Path) {
    let dir = path.parent().expect("a directory");
    let rig = Rig::open(dir, Options::default());
    let appends = (0..500).map(|at| post(&format!("log:{}", at % 7), format!("{at:0500}"))).collect();
    assert!(rig.append_all(appends).iter().all(Result::is_ok));
}

#[test]
fn a_newer_database_is_refused() {
    let refused = refusal_of(|path| {
        filled(path);
        Connection::open(path).and_then(|db| db.pragma_update(None, "user_version", 9)).expect("changed");
    });
    assert!(matches!(&refused, OpenError::Newer { found: 9, known: 4, .. }), "{refused:?}");
}

#[test]
fn a_damaged_database_is_refused() {
    let overwrite = |path: &Path, page: u64| {
        let file = fs::OpenOptions::new().write(true).open(path).expect("it opens");
        file.write_all_at(&[0x5a; 8_192], page * 8_192).expect("written");
    };
    // The header itself, a page of the schema, and some page of the tree of entries.
    let refused = refusal_of(|path| {
        filled(path);
        overwrite(path, 0);
    });
    assert!(matches!(&refused, OpenError::NotADatabase(_)), "{refused:?}");
    for page in [1, 12, 30] {
        let refused = refusal_of(|path| {
            filled(path);
            overwrite(path, page);
        });
        assert!(matches!(&refused, OpenError::Corrupt { .. }), "page {page}: {refused:?}");
        assert!(refused.to_string().contains("restore a backup"), "{refused}");
    }
    let refused = refusal_of(|path| {
        filled(path);
        fs::OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(20 * 8_192)).expect("cut");
    });
    assert!(matches!(&refused, OpenError::Corrupt { .. }), "{refused:?}");
}

#[test]
fn entries_without_their_head_are_found_in_a_file_of_any_size() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("trunkline.db");
    filled(&path);
    Connection::open(&path)
        .and_then(|db| db.execute("DELETE FROM channels WHERE id = 3", []))
        .expect("changed");
    let options = Options { check_size_max: 0, ..Options::default() };
    let refused = SqliteStore::open(dir.path(), std::sync::Arc::new(|_| {}), options).expect_err("refused");
    assert!(
        matches!(&refused, OpenError::Corrupt { detail, .. } if detail.contains("channel number 3")),
        "{refused:?}"
    );
}

#[test]
fn no_room_to_open_is_said() {
    let dir = tempdir().expect("a directory");
    let options = Options { size_max: Some(3 * 8_192), ..Options::default() };
    let refused = SqliteStore::open(dir.path(), std::sync::Arc::new(|_| {}), options).expect_err("refused");
    assert!(matches!(&refused, OpenError::Full { .. }), "{refused:?}");
    // What was made by then does not stand in the way of the next attempt.
    let rig = Rig::open(dir.path(), Options::default());
    rig.append(post("log:a", "x")).expect("stored");
}

#[test]
fn a_lock_file_that_is_left_over_or_holds_nonsense_does_not_matter() {
    let dir = tempdir().expect("a directory");
    let mut file = fs::File::create(dir.path().join("lock")).expect("made");
    file.write_all(&[0xff; 100]).expect("written");
    Rig::open(dir.path(), Options::default());
}

#[test]
fn a_kept_value_is_made_once() {
    let dir = tempdir().expect("a directory");
    let rig = Rig::open(dir.path(), Options::default());
    let kept = |rig: &Rig, name, value: u8| rig.store.get_or_create(name, || vec![value; 32]).expect("kept");
    assert_eq!(kept(&rig, "session-key", 1), [1; 32]);
    assert_eq!(kept(&rig, "session-key", 2), [1; 32]);
    assert_eq!(kept(&rig, "other", 3), [3; 32]);
    rig.append(post("log:a", "x")).expect("the writer goes on");
    drop(rig);
    let rig = Rig::open(dir.path(), Options::default());
    assert_eq!(kept(&rig, "session-key", 4), [1; 32]);
    assert_eq!(rig.store.get_or_create("session-key", || panic!("not called")).expect("kept"), [1; 32]);
}
