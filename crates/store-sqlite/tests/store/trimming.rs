//! What the contract cannot see of retention: the account of bytes, the numbers of rows, and databases from before it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::tempdir;
use trunkline_backend::contract::TestClock;
use trunkline_backend::{Append, Located, Retentions, StoreError};
use trunkline_model::{Entry, EntryName, Epoch, Offset, Op, Position, Reference, Retention, Role};
use trunkline_store_sqlite::Options;

use crate::rig::{Rig, child, child_directory, keyed, post};

/// Heads asked for until a store must have trimmed. A bound, so that a failing test ends.
const PATIENCE: u32 = 300_000;

fn keeping(namespace: &str, retention: Retention) -> Retentions {
    [(namespace, retention)].into_iter().collect()
}

fn wait_for_floor(rig: &Rig, channel: &str, floor: u64) {
    let reached = (0..PATIENCE).any(|_| rig.head(channel).floor >= Offset(floor));
    assert!(reached, "{channel} is not trimmed to {floor}");
    assert_eq!(rig.head(channel).floor, Offset(floor), "{channel}");
}

/// What the table says that each namespace weighs must be what its entries weigh.
fn assert_accounts(dir: &Path) {
    let database = Connection::open(dir.join("trunkline.db")).expect("it opens");
    let wrong: i64 = database
        .query_row(
            "SELECT count(*) FROM namespaces WHERE bytes != (
                SELECT ifnull(sum(length(payload) + ifnull(length(CAST(author AS BLOB)), 0)
                    + ifnull(length(CAST(key AS BLOB)), 0) + 64), 0)
                FROM log JOIN channels ON channels.id = log.channel
                WHERE channels.namespace = namespaces.id AND log.entry IS NULL)",
            [],
            |row| row.get(0),
        )
        .expect("a count");
    assert_eq!(wrong, 0, "accounts are wrong");
    for (table, offset) in
        [("folds", "target"), ("reactions", "target"), ("reactors", "offset"), ("log", "offset")]
    {
        let below: i64 = database
            .query_row(
                &format!(
                    "SELECT count(*) FROM {table} JOIN channels ON channels.id = {table}.channel
                     WHERE {offset} < floor"
                ),
                [],
                |row| row.get(0),
            )
            .expect("a count");
        assert_eq!(below, 0, "{table} holds what is below a floor");
    }
}

#[test]
fn the_account_of_bytes_is_exact_through_all_its_changes() {
    let dir = tempdir().expect("a directory");
    let retentions: Retentions = [
        ("few", Retention { entries: Some(7), bytes: Some(5_000), ..Retention::default() }),
        ("small", Retention { bytes: Some(3_000), ..Retention::default() }),
    ]
    .into_iter()
    .collect();
    for life in 0..3_usize {
        let options = Options { retentions: retentions.clone(), ..Options::default() };
        let rig = Rig::open(dir.path(), options);
        for round in 0..30_usize {
            let appends: Vec<Append> = (0..20)
                .map(|at| {
                    let channel = ["few:a", "small:a", "all:a", "few:b", "small:b"][(at * 7 + round) % 5];
                    let text = "ü".repeat((at * 31 + round * 17) % 90);
                    // A third of them are repeats.
                    let key = format!("{life}.{}", (round * 20 + at) * 2 / 3);
                    Append { role: role(channel, round, at), moderates: true, ..keyed(channel, text, &key) }
                })
                .collect();
            let answers = rig.append_all(appends);
            let allowed = |answer: &Result<_, _>| matches!(answer, Ok(_) | Err(StoreError::Refused(_)));
            assert!(answers.iter().all(allowed), "{answers:?}");
        }
        wait_for_floor(&rig, "few:a", rig.head("few:a").position.offset.0 - 6);
        wait_for_floor(&rig, "few:b", rig.head("few:b").position.offset.0 - 6);
        assert!(rig.store.counters().trimmed > 0);
        drop(rig);
        assert_accounts(dir.path());
    }
}

/// Of what is appended to two of the channels much is about something before.
fn role(channel: &str, round: usize, at: usize) -> Role {
    let kept = if channel == "few:a" { 4 } else { 200 };
    if !["all:a", "few:a"].contains(&channel) || at.is_multiple_of(3) {
        return Role::Message;
    }
    let op = [Op::Edit, Op::React, Op::Delete][(at + round) % 3];
    let newest = (round * 4) as u64;
    Role::Reference(Reference { target: Offset(newest.saturating_sub((at * 5) as u64 % kept)), op })
}

#[test]
fn accounts_and_folds_survive_a_kill() {
    let dir = tempdir().expect("a directory");
    for round in 0..8_u64 {
        let mut child = child("trimming::child_that_trims", dir.path(), "")
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let answered = lines.filter(|line| line.ends_with("batch"));
        assert!(answered.take(5 + round as usize * 7).count() > 0);
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        // The log beside the database is part of it until a store opens.
        drop(Rig::open(dir.path(), Options { check_size_max: u64::MAX, ..Options::default() }));
        assert_accounts(dir.path());
    }
}

#[test]
fn child_that_trims() {
    let Some(dir) = child_directory() else { return };
    let retentions = [
        ("few", Retention { entries: Some(40), ..Retention::default() }),
        ("small", Retention { bytes: Some(20_000), ..Retention::default() }),
        ("map", Retention { removals: Duration::ZERO, ..Retention::default() }),
    ];
    let options =
        Options { retentions: retentions.into_iter().collect(), checkpoint_pages: 16, ..Options::default() };
    let rig = Rig::open(&dir, options);
    for round in 0.. {
        let newest = rig.head("few:a").position.offset.0;
        let appends = (0..40_u64).map(|at| {
            let channel = ["few:a", "small:a", "map:a"][at as usize % 3];
            let role = match channel {
                "few:a" if at % 2 == 0 => Role::Reference(Reference {
                    target: Offset(newest.saturating_sub(at % 30)),
                    op: [Op::Edit, Op::React, Op::Delete][(at as usize / 2 + round) % 3],
                }),
                "map:a" => Role::Entry(Box::new(Entry {
                    name: EntryName::parse(&(at % 7).to_string()).ok(),
                    removed: (at + round as u64).is_multiple_of(4),
                    ..Entry::default()
                })),
                _ => Role::Message,
            };
            Append { role, moderates: true, ..post(channel, "x".repeat(at as usize * 9)) }
        });
        rig.append_all(appends.collect());
        println!("\nbatch");
    }
}

#[test]
fn rows_are_never_numbered_twice_so_that_no_entry_hides_behind_a_cursor() {
    let dir = tempdir().expect("a directory");
    let retentions = keeping("small", Retention { bytes: Some(200), ..Retention::default() });
    for life in 1..4 {
        let options = Options { retentions: retentions.clone(), ..Options::default() };
        let rig = Rig::open(dir.path(), options);
        rig.append(post("small:a", "x")).expect("stored");
        rig.append(post("small:a", "x".repeat(1_000))).expect("stored");
        wait_for_floor(&rig, "small:a", life * 2 + 1); // nothing is left in the table
    }
}

#[test]
fn bounds_can_be_changed_while_the_store_runs() {
    let dir = tempdir().expect("a directory");
    let rig = Rig::open(dir.path(), Options::default());
    assert!(rig.append_all(vec![post("few:a", "x"); 2_000]).iter().all(Result::is_ok));
    assert_eq!(rig.head("few:a").floor, Offset(1));
    rig.store.set_retentions(keeping("few", Retention { entries: Some(3), ..Retention::default() }));
    wait_for_floor(&rig, "few:a", 1_998); // nothing more is appended
}

#[test]
fn an_idle_store_notices_that_entries_have_grown_old() {
    let dir = tempdir().expect("a directory");
    let clock = TestClock::new();
    let shown = clock.clone();
    let hour = Duration::from_secs(3_600);
    let options = Options {
        clock: Arc::new(move || shown.now()),
        retentions: keeping("brief", Retention { age: Some(hour), ..Retention::default() }),
        ..Options::default()
    };
    let rig = Rig::open(dir.path(), options);
    // So many rows of another namespace in between that a step does not get past them.
    rig.append(post("brief:a", "x")).expect("stored");
    assert!(rig.append_all(vec![post("all:a", "x"); 5_000]).iter().all(Result::is_ok));
    rig.append(post("brief:a", "x")).expect("stored");
    clock.advance(3_600_000);
    wait_for_floor(&rig, "brief:a", 3);
}

#[test]
fn a_namespace_that_is_bounded_stays_within_the_size_of_the_file() {
    let dir = tempdir().expect("a directory");
    let retentions = keeping("small", Retention { bytes: Some(200_000), ..Retention::default() });
    let rig = Rig::open(dir.path(), Options { retentions, size_max: Some(2 << 20), ..Options::default() });
    for _ in 0..300 {
        assert!(rig.append_all(vec![post("small:a", "x".repeat(1_000)); 20]).iter().all(Result::is_ok));
    }
    // Six megabytes went through it, and it was never idle.
    assert!(rig.store.counters().trimmed > 4_000, "{:?}", rig.store.counters());
}

#[test]
fn a_full_store_makes_room_when_it_may() {
    let dir = tempdir().expect("a directory");
    let rig = Rig::open(dir.path(), Options { size_max: Some(1 << 20), ..Options::default() });
    let append = || rig.append(post("small:a", "x".repeat(1_000)));
    while append().is_ok() {}
    rig.store.set_retentions(keeping("small", Retention { bytes: Some(200_000), ..Retention::default() }));
    let again = (0..PATIENCE).any(|_| append().is_ok()); // and it is never idle
    assert!(again, "{:?}", rig.store.counters());
}

#[test]
fn many_namespaces_are_trimmed_beside_each_other() {
    let dir = tempdir().expect("a directory");
    let retention = Retention { bytes: Some(5_000), ..Retention::default() };
    let names: Vec<String> = (0..20).map(|number| format!("n{number}")).collect();
    let retentions = names.iter().map(|name| (name.as_str(), retention)).collect();
    let rig = Rig::open(dir.path(), Options { retentions, ..Options::default() });
    for _ in 0..20 {
        let appends = names.iter().flat_map(|name| vec![post(&format!("{name}:a"), "x".repeat(33)); 20]);
        assert!(rig.append_all(appends.collect()).iter().all(Result::is_ok));
    }
    for name in &names {
        wait_for_floor(&rig, &format!("{name}:a"), 351); // of 400, each of which weighs 100
    }
    drop(rig);
    assert_accounts(dir.path());
}

/// A database as the first schema had it: two channels, entries of two epochs, the older ones of one channel trimmed.
const SCHEMA_1: &str = "
    PRAGMA page_size = 8192;
    PRAGMA application_id = 1416785515;
    PRAGMA user_version = 1;
    CREATE TABLE channels (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, head INTEGER NOT NULL, epoch INTEGER NOT NULL,
        ts INTEGER NOT NULL, floor INTEGER NOT NULL DEFAULT 1, floor_epoch INTEGER
    ) STRICT;
    CREATE TABLE log (
        id INTEGER PRIMARY KEY, channel INTEGER NOT NULL, offset INTEGER NOT NULL, epoch INTEGER NOT NULL,
        ts INTEGER NOT NULL, flags INTEGER NOT NULL, author TEXT, key TEXT, payload BLOB NOT NULL,
        UNIQUE (channel, offset)
    ) STRICT;
    CREATE TABLE keys (
        id INTEGER PRIMARY KEY, channel INTEGER NOT NULL, publisher TEXT NOT NULL, key TEXT NOT NULL,
        offset INTEGER NOT NULL, epoch INTEGER NOT NULL, ts INTEGER NOT NULL, flags INTEGER NOT NULL,
        expires INTEGER NOT NULL, UNIQUE (channel, publisher, key)
    ) STRICT;
    CREATE INDEX keys_by_expiry ON keys (expires);
    CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO channels VALUES
        (1, 'whole:a', 4, 12, 9, 1, NULL), (2, 'cut:a', 9, 12, 9, 5, 11), (3, 'gone', 3, 11, 9, 4, 11);
    INSERT INTO log (channel, offset, epoch, ts, flags, author, key, payload) VALUES
        (1, 1, 11, 5, 5, 'ada', NULL, x'61'), (1, 2, 11, 6, 1, NULL, 'k', x'62'), (2, 5, 11, 6, 1, 'ada', NULL, x'63'),
        (2, 6, 12, 7, 5, 'ada', NULL, x'64'), (1, 3, 12, 7, 5, 'ada', NULL, x'65'), (2, 7, 12, 7, 1, 'ada', NULL, x'66'),
        (1, 4, 12, 8, 1, 'ada', NULL, x'67'), (2, 8, 12, 8, 1, 'ada', NULL, x'68'), (2, 9, 12, 9, 1, 'ada', NULL, x'69');
";

#[test]
fn a_database_of_the_first_schema_is_migrated_with_all_that_it_can_tell() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("trunkline.db");
    Connection::open(&path).and_then(|database| database.execute_batch(SCHEMA_1)).expect("made");
    let rig = Rig::open(dir.path(), Options::default());
    let check = |channel, (epoch, offset), expect| {
        let position = Position { epoch: Epoch::from_random(epoch), offset: Offset(offset) };
        assert_eq!(rig.locate(channel, position), expect, "{channel} {epoch} {offset}");
    };
    let parted = |keep| Located::Parted { keep: Some(Offset(keep)) };
    for (place, expect) in [((11, 1), true), ((11, 2), true), ((12, 3), true), ((12, 4), true)] {
        check("whole:a", place, if expect { Located::Held } else { parted(0) });
    }
    check("whole:a", (11, 3), parted(2));
    check("whole:a", (12, 5), parted(4));
    check("whole:a", (13, 1), Located::Parted { keep: None });
    // Where the trimmed part began is not known, only how it ended.
    for place in [(11, 4), (11, 5), (12, 6), (12, 9)] {
        check("cut:a", place, Located::Held);
    }
    check("cut:a", (11, 6), parted(5));
    check("gone", (11, 3), Located::Held);
    check("gone", (11, 4), parted(3));
    assert_eq!(rig.append(post("gone", "x")).expect("stored").position.offset, Offset(4));
    rig.store.set_retentions(keeping("cut", Retention { bytes: Some(150), ..Retention::default() }));
    wait_for_floor(&rig, "cut:a", 8);
    assert_eq!(rig.log("cut:a").expect("it can be read").len(), 2);
    drop(rig);
    assert_accounts(dir.path());
}
