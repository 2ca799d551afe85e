//! Cases: publications that are stored only if the channel, or their entry, stands where they expect it.

use trunkline_model::{Offset, Position};

use super::asker::{ALL, Asker, keyed, map_entry, name, post, removal, value};
use super::{NewSite, TestClock};
use crate::{Append, Appended, Refusal, StoreError};

/// `append`, if the newest offset is this one.
fn only_at(newest: u64, append: Append) -> Append {
    Append { condition: Some(Offset(newest)), ..append }
}

fn conflict(position: Position) -> StoreError {
    StoreError::Refused(Refusal::Conflict(position))
}

/// It is stored where the newest offset is the expected one; else it is refused with the newest position, nothing
/// changes, and a channel that was not there is still not there.
pub fn a_condition_is_about_the_newest_offset(new_site: NewSite<'_>) {
    let clock = TestClock::new();
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &clock);
    let nothing = Position { epoch: asker.epoch(), offset: Offset::ZERO };
    for newest in [1, 2, u64::MAX] {
        assert_eq!(asker.try_append(&only_at(newest, post("log:a", "x"))), Err(conflict(nothing)));
    }
    asker.close();
    let mut asker = Asker::open(&mut *site, &clock);
    let empty = asker.head(&name("log:a"), ALL).position;
    assert_eq!(empty, Position { epoch: asker.epoch(), offset: Offset::ZERO }, "it was not made");
    let first = asker.try_append(&only_at(0, post("log:a", "x"))).expect("nothing is there");
    assert_eq!((first.position.offset, first.begins_epoch), (Offset(1), true));
    for newest in [0, 2] {
        assert_eq!(asker.try_append(&only_at(newest, post("log:a", "x"))), Err(conflict(first.position)));
    }
    let second = asker.try_append(&only_at(1, post("log:a", "x"))).expect("it stands there");
    assert_eq!(second.position.offset, Offset(2));
    assert_eq!(asker.log(&name("log:a")).len(), 2);
    asker.close();
    let mut asker = Asker::open(&mut *site, &clock);
    assert_eq!(asker.try_append(&only_at(1, post("log:a", "x"))), Err(conflict(second.position)));
    asker.try_append(&only_at(2, post("log:a", "x"))).expect("the epoch does not matter");
    asker.close();
}

/// Of many that expect the same place one wins, also in one batch; those around them are stored.
pub fn of_many_with_the_same_condition_one_is_stored(new_site: NewSite<'_>) {
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &TestClock::new());
    asker.append(&post("log:a", "x"));
    let mut batch = vec![only_at(1, post("log:a", "claim")); 5];
    batch.push(post("log:a", "after it"));
    batch.push(only_at(3, post("log:a", "next")));
    let answers = asker.try_all(&batch);
    let winner = answers[0].clone().expect("the first one");
    assert_eq!(winner.position.offset, Offset(2));
    assert!(answers[1..5].iter().all(|answer| *answer == Err(conflict(winner.position))), "{answers:?}");
    let offsets: Vec<u64> = answers[5..].iter().flatten().map(|a| a.position.offset.0).collect();
    assert_eq!(offsets, [3, 4]);
    asker.close();
}

/// A repeat with the same key answers as the first did; a refused one leaves its key free.
pub fn a_key_is_looked_at_before_the_condition(new_site: NewSite<'_>) {
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &TestClock::new());
    let claim = only_at(0, keyed("log:a", "claim", "k"));
    let first = asker.try_append(&claim).expect("nothing is there");
    assert_eq!(asker.try_append(&claim), Ok(Appended { duplicate: true, ..first }));
    let late = only_at(0, keyed("log:a", "late", "l"));
    assert_eq!(asker.try_append(&late), Err(conflict(first.position)));
    let again = asker.try_append(&only_at(1, keyed("log:a", "late", "l"))).expect("its key is free");
    assert_eq!((again.position.offset, again.duplicate), (Offset(2), false));
    asker.close();
}

/// For an entry with a name it is the newest offset of that entry, and 0 if it was removed; for one without it is the
/// channel's.
pub fn a_condition_of_an_entry_is_about_that_entry(new_site: NewSite<'_>) {
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &TestClock::new());
    let nothing = Position { epoch: asker.epoch(), offset: Offset::ZERO };
    let a = asker.try_append(&only_at(0, map_entry("map:a", "a", "x"))).expect("it is not there");
    let b = asker.try_append(&only_at(0, map_entry("map:a", "b", "x"))).expect("nor is this one");
    assert_eq!(asker.try_append(&only_at(2, map_entry("map:a", "a", "x"))), Err(conflict(a.position)));
    assert_eq!(asker.try_append(&only_at(0, map_entry("map:a", "b", "x"))), Err(conflict(b.position)));
    assert_eq!(asker.try_append(&only_at(2, map_entry("map:a", "c", "x"))), Err(conflict(nothing)));
    asker.try_append(&only_at(1, map_entry("map:a", "a", "y"))).expect("it stands there");
    asker.try_append(&only_at(3, removal("map:a", "a"))).expect("it stands there");
    assert_eq!(asker.try_append(&only_at(4, map_entry("map:a", "a", "x"))), Err(conflict(nothing)));
    asker.try_append(&only_at(0, map_entry("map:a", "a", "z"))).expect("it was removed");

    asker.try_append(&only_at(0, value("value:a", "x"))).expect("nothing is there");
    let second = asker.try_append(&only_at(1, value("value:a", "y"))).expect("it stands there");
    assert_eq!(asker.try_append(&only_at(1, value("value:a", "z"))), Err(conflict(second.position)));
    asker.close();
}
