//! Cases: openings, epochs and closing.

use hashbrown::HashSet;
use trunkline_model::{Offset, Position};

use super::asker::{ALL, Asker, entry, is_stored, keyed, name, post};
use super::{NewSite, TestClock};
use crate::Append;

/// No two openings have the same epoch, and an epoch stays as long as the store is open.
pub fn each_opening_begins_an_epoch(new_site: NewSite<'_>) {
    let mut site = new_site();
    let mut seen = HashSet::new();
    for _ in 0..4 {
        let mut asker = Asker::open(&mut *site, &TestClock::new());
        let epoch = asker.epoch();
        asker.append(&post("log:a", "x"));
        assert_eq!(asker.epoch(), epoch);
        assert!(seen.insert(epoch), "{epoch} is used again");
        asker.close();
    }
}

/// Offsets go on across epochs; an entry keeps the epoch it was written in, and is marked if it is the first
/// of it in its channel.
pub fn an_entry_keeps_the_epoch_it_was_written_in(new_site: NewSite<'_>) {
    let clock = TestClock::new();
    let mut site = new_site();
    let mut expected = Vec::new();
    for life in 0..4_u64 {
        let mut asker = Asker::open(&mut *site, &clock);
        for at in 0..3_u64 {
            let append = post("log:a", &format!("{life}.{at}"));
            let appended = asker.append(&append);
            let position = Position { epoch: asker.epoch(), offset: Offset(life * 3 + at + 1) };
            assert_eq!((appended.position, appended.begins_epoch), (position, at == 0));
            expected.push(entry(&append, &appended));
        }
        if life == 1 {
            let late = asker.append(&post("log:b", "x"));
            assert_eq!((late.position.offset, late.begins_epoch), (Offset(1), true));
        }
        let head = asker.head(&name("log:a"), ALL);
        assert_eq!(Some(head.position), expected.last().and_then(|entry| entry.position));
        assert_eq!(head.floor, Offset(1));
        assert!(head.tail.iter().map(|entry| &**entry).eq(&expected), "{:?}", head.tail);
        assert!(asker.log(&name("log:a")).iter().map(|entry| &**entry).eq(&expected));
        asker.close();

        // A life in which the channel is only read leaves no trace.
        let mut asker = Asker::open(&mut *site, &clock);
        assert_eq!(
            Some(asker.head(&name("log:a"), ALL).position),
            expected.last().and_then(|entry| entry.position)
        );
        asker.close();
    }
}

/// What is in flight when the store is dropped is answered, once; what is said to be stored is, and nothing
/// else.
pub fn everything_is_answered_at_closing(new_site: NewSite<'_>) {
    let mut site = new_site();
    let clock = TestClock::new();
    let mut stored = Vec::new();
    for life in 0..3 {
        let mut asker = Asker::open(&mut *site, &clock);
        let appends: Vec<Append> = (0..3_000)
            .map(|at| {
                let text = format!("{life}.{at}");
                if at % 5 == 0 { keyed("log:a", &text, &text) } else { post("log:a", &text) }
            })
            .collect();
        let numbers: Vec<u64> = appends.chunks(100).flat_map(|batch| asker.submit(batch)).collect();
        let answers = asker.close(); // everything answered exactly once
        for (append, number) in appends.iter().zip(&numbers) {
            if let Some(appended) = is_stored(&answers[number]) {
                stored.push(entry(append, &appended));
            }
        }
    }
    let mut asker = Asker::open(&mut *site, &clock);
    let log = asker.log(&name("log:a"));
    assert_eq!(log.len(), stored.len());
    assert!(log.iter().map(|entry| &**entry).eq(&stored));
    asker.close();
}
