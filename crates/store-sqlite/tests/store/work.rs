//! What the store does for its answers: transactions, expiry, checkpoints.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::tempdir;
use trunkline_backend::contract::TestClock;
use trunkline_backend::{Append, Appended, Refusal, StoreError};
use trunkline_model::Acknowledge;
use trunkline_store_sqlite::{Counters, Options};

use crate::rig::{Rig, STUCK, keyed, post};

#[test]
fn a_thousand_appends_in_one_batch_take_one_transaction() {
    let dir = tempdir().expect("a directory");
    let rig = Rig::open(dir.path(), Options::default());
    let batch = |round: u32| -> Vec<Append> {
        (0..1_000).map(|at| keyed(&format!("log:{}", at % 50), "x", &format!("{round}.{at}"))).collect()
    };
    assert!(rig.append_all(batch(1)).iter().all(Result::is_ok));
    let first = Counters { transactions: 1, appended: 1_000, ..Counters::default() };
    assert_eq!(Counters { checkpoints: 0, ..rig.store.counters() }, first);
    assert!(
        rig.append_all(batch(1))
            .iter()
            .all(|answer| answer.as_ref().is_ok_and(|appended| appended.duplicate))
    );
    let second = Counters { transactions: 2, appended: 1_000, duplicates: 1_000, ..Counters::default() };
    assert_eq!(Counters { checkpoints: 0, ..rig.store.counters() }, second);
}

#[test]
fn what_need_not_be_synced_is_not_until_a_moment_later() {
    let dir = tempdir().expect("a directory");
    let rig = Rig::open(dir.path(), Options::default());
    let quick = || Append { acknowledge: Acknowledge::Memory, ..post("log:a", "x") };
    assert!(rig.append(quick()).is_ok());
    assert_eq!(rig.store.counters().unsynced, 1);
    let synced = |count: u64| {
        let waits = Instant::now();
        while rig.store.counters().syncs < count {
            assert!(waits.elapsed() < STUCK, "it is never synced");
            std::thread::yield_now();
        }
    };
    synced(1);
    // What comes with one that is to be synced is synced with it, and what came before as well.
    assert!(rig.append(quick()).is_ok());
    assert!(rig.append_all(vec![quick(), post("log:a", "y")]).iter().all(Result::is_ok));
    assert_eq!(rig.store.counters().unsynced, 2);
    assert!(rig.append(quick()).is_ok());
    synced(2);
    assert_eq!((rig.store.counters().syncs, rig.store.counters().renewals), (2, 0));
}

#[test]
fn a_transaction_has_its_caps() {
    let dir = tempdir().expect("a directory");
    let options = Options { transaction_publications: 100, transaction_bytes: 1_000, ..Options::default() };
    let rig = Rig::open(dir.path(), options);
    let transactions = |appends| {
        let before = rig.store.counters().transactions;
        assert!(rig.append_all(appends).iter().all(Result::is_ok));
        rig.store.counters().transactions - before
    };
    assert_eq!(transactions(vec![post("log:a", "x"); 250]), 3);
    assert_eq!(transactions(vec![post("log:a", "x".repeat(500)); 5]), 3);
    assert_eq!(transactions(vec![post("log:a", "x".repeat(5_000)); 2]), 2);
}

#[test]
fn expired_keys_leave_the_disk_in_step_with_new_ones() {
    let dir = tempdir().expect("a directory");
    let clock = TestClock::new();
    let options = || {
        let clock = clock.clone();
        Options { clock: Arc::new(move || clock.now()), ..Options::default() }
    };
    let rig = Rig::open(dir.path(), options());
    let batch = |round: u32| -> Vec<Append> {
        (0..300)
            .map(|at| Append {
                keys: Duration::from_secs(1),
                ..keyed("log:a", "x", &format!("{round}.{at}"))
            })
            .collect()
    };
    assert!(rig.append_all(batch(0)).iter().all(Result::is_ok));
    assert!(rig.append_all(batch(1)).iter().all(Result::is_ok));
    clock.advance(999);
    assert!(rig.append_all(batch(2)).iter().all(Result::is_ok));
    assert_eq!(rig.store.counters().keys_forgotten, 0, "none is forgotten before its time");
    clock.advance(1);
    assert!(rig.append_all(batch(3)[..200].to_vec()).iter().all(Result::is_ok));
    assert_eq!(rig.store.counters().keys_forgotten, 400, "two for each new one");
    assert!(rig.append_all(batch(4)).iter().all(Result::is_ok));
    assert_eq!(rig.store.counters().keys_forgotten, 600, "and no more than have expired");
    drop(rig);
    let database = Connection::open(dir.path().join("trunkline.db")).expect("it opens");
    let left =
        database.query_row("SELECT count(*) FROM keys", [], |row| row.get::<_, i64>(0)).expect("a count");
    assert_eq!(left, 300 + 200 + 300);
}

#[test]
fn where_there_is_no_room_for_keys_new_ones_are_refused_and_none_is_forgotten() {
    let dir = tempdir().expect("a directory");
    let clock = TestClock::new();
    let options = || {
        let clock = clock.clone();
        Options { clock: Arc::new(move || clock.now()), keys_max: 10, ..Options::default() }
    };
    let mut rig = Rig::open(dir.path(), options());
    // One that takes the place of its expired self counts once.
    let again = || Append { keys: Duration::from_millis(10), ..keyed("log:b", "x", "again") };
    for _ in 0..20 {
        clock.advance(10);
        assert!(rig.append(again()).is_ok_and(|appended| !appended.duplicate));
    }
    clock.advance(10);
    let one = |key: u32, lives: u64| Append {
        keys: Duration::from_secs(lives),
        ..keyed("log:a", "x", &key.to_string())
    };
    let refused = Err(StoreError::Refused(Refusal::TooManyKeys(10)));
    let mut offset = 0;
    let mut stored = |answer: Result<Appended, StoreError>, duplicate: bool| {
        let appended = answer.expect("it is stored");
        assert_eq!(appended.duplicate, duplicate);
        if !duplicate {
            offset += 1;
            assert_eq!(appended.position.offset.0, offset);
        }
    };
    // Four for a second, then six for long; in one transaction with those that are refused.
    let appends = (0..12).map(|key| one(key, if key < 4 { 1 } else { 1_000 })).collect();
    for (at, answer) in rig.append_all(appends).into_iter().enumerate() {
        if at < 10 { stored(answer, false) } else { assert_eq!(answer, refused) }
    }
    // What is known is answered, and what has no key is stored. The count outlives the process.
    for _ in 0..2 {
        stored(rig.append(one(9, 1_000)), true);
        stored(rig.append(post("log:a", "x")), false);
        assert_eq!(rig.append(one(10, 1_000)), refused);
        drop(rig);
        rig = Rig::open(dir.path(), options());
    }
    // Those that have expired make room, for others and for themselves.
    clock.advance(1_000);
    for key in [20, 21, 0, 1] {
        stored(rig.append(one(key, 1_000)), false);
    }
    assert_eq!(rig.append(one(22, 1_000)), refused);
    for key in 4..10 {
        stored(rig.append(one(key, 1_000)), true);
    }
}

#[test]
fn the_write_ahead_log_stays_short() {
    let dir = tempdir().expect("a directory");
    let options = Options { checkpoint_pages: 16, wal_pages_max: 64, ..Options::default() };
    let rig = Rig::open(dir.path(), options);
    let mut longest = 0;
    for _ in 0..100 {
        let appends = vec![post("log:a", "x".repeat(2_000)); 32]; // eight pages and more
        assert!(rig.append_all(appends).iter().all(Result::is_ok));
        assert!(rig.log("log:a").is_ok()); // a reader beside it
        longest = std::fs::metadata(dir.path().join("trunkline.db-wal"))
            .map_or(longest, |wal| longest.max(wal.len()));
    }
    // The cap, and one transaction that may lie on top of it.
    assert!(longest <= (64 + 32) * (8_192 + 24), "{longest} bytes");
    assert!(rig.store.counters().checkpoints >= 10, "{:?}", rig.store.counters());
}
