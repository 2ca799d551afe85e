//! What the store does for its answers: transactions, expiry, checkpoints.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::tempdir;
use trunkline_backend::Append;
use trunkline_backend::contract::TestClock;
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
