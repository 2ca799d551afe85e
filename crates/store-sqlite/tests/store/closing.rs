//! Closing: nothing stays behind, whoever closes.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tempfile::tempdir;
use trunkline_backend::{Answer, Request, Sink, Store as _, StoreError, Window};
use trunkline_store_sqlite::{Options, SqliteStore};

use crate::rig::{Rig, name, post, ticket};

#[test]
fn a_closed_store_is_one_file_and_an_unheld_lock() {
    let dir = tempdir().expect("a directory");
    for life in 0..3 {
        let rig = Rig::open(dir.path(), Options::default());
        let appends = (0..1_000).map(|at| post("log:a", format!("{life}.{at}"))).collect();
        assert!(rig.append_all(appends).iter().all(Result::is_ok));
        assert_eq!(rig.texts("log:a").len(), 1_000 * (life + 1));
        rig.store.close();
        let mut files: Vec<_> = std::fs::read_dir(dir.path())
            .expect("it is there")
            .map(|file| file.expect("an entry").file_name().into_string().expect("a name"))
            .collect();
        files.sort();
        assert_eq!(files, ["lock", "trunkline.db"]);
    }
}

#[test]
fn reads_in_flight_are_answered_at_closing() {
    let dir = tempdir().expect("a directory");
    let (sender, answers) = channel();
    let sink: Sink = Arc::new(move |batch: Vec<Answer>| {
        batch.into_iter().for_each(|answer| {
            let _ = sender.send(answer.ticket().number);
        })
    });
    let store = SqliteStore::open(dir.path(), sink, Options::default()).expect("it opens");
    let window = Window { entries: 10, bytes: 1_000 };
    for batch in 0..100_u64 {
        let request = |at| match at % 2 {
            0 => Request::Append(ticket(batch * 10 + at), post("log:a", "x")),
            _ => Request::Head(ticket(batch * 10 + at), name("log:a"), window),
        };
        store.submit((0..10).map(request).collect());
    }
    drop(store);
    let mut numbers: Vec<u64> = answers.iter().collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..1_000));
}

#[test]
fn a_store_may_be_dropped_by_its_own_sink() {
    let dir = tempdir().expect("a directory");
    let held: Arc<Mutex<Option<SqliteStore>>> = Arc::default();
    let (sender, done) = channel();
    let sink: Sink = {
        let held = Arc::clone(&held);
        Arc::new(move |_| {
            let store = held.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(store);
            let _ = sender.send(());
        })
    };
    let store = SqliteStore::open(dir.path(), sink, Options::default()).expect("it opens");
    let mut slot = held.lock().expect("nobody has panicked");
    store.submit(vec![Request::Append(ticket(1), post("log:a", "x"))]);
    *slot = Some(store);
    drop(slot);
    done.recv_timeout(Duration::from_secs(60)).expect("it does not wait for itself");
}

#[test]
fn after_a_panic_in_its_thread_the_store_refuses() {
    let dir = tempdir().expect("a directory");
    let (sender, answers) = channel();
    let sink: Sink = Arc::new(move |batch: Vec<Answer>| {
        assert_ne!(batch[0].ticket().number, 1, "a fault of the sink");
        batch.into_iter().for_each(|answer| {
            let _ = sender.send(answer);
        });
    });
    let options = Options { transaction_publications: 1, ..Options::default() };
    let store = SqliteStore::open(dir.path(), sink, options).expect("it opens");
    let append = |number| Request::Append(ticket(number), post("log:a", "x"));
    store.submit((1..=3).map(append).collect());
    store.submit((4..=6).map(append).collect());
    drop(store);
    let answers: Vec<_> = answers.iter().collect();
    let mut numbers: Vec<_> = answers.iter().map(|answer| answer.ticket().number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3, 4, 5, 6]);
    for answer in answers {
        assert!(matches!(answer, Answer::Appended(_, Err(StoreError::NotStored(_)))), "{answer:?}");
    }
    let rig = Rig::open(dir.path(), Options::default());
    assert_eq!(rig.texts("log:a").len(), 1, "the one that was committed");
}
