//! Cases: once per key into the log.

use std::time::Duration;

use trunkline_model::{Offset, Publisher};

use super::asker::{Asker, keyed, name, post};
use super::{NewSite, TestClock};
use crate::{Append, Appended};

/// A repeat stores nothing and gets the place, the time and the mark of the first, whatever it carries.
pub fn a_repeated_key_gives_the_first_place(new_site: NewSite<'_>) {
    let clock = TestClock::new();
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &clock);
    let first = asker.append(&keyed("log:a", "first", "k"));
    asker.append(&post("log:a", "between"));
    clock.advance(1_000);
    let again = asker.append(&keyed("log:a", "other payload", "k"));
    assert_eq!(again, Appended { duplicate: true, ..first });
    assert!(again.begins_epoch, "what is told is the first one's");
    let third = asker.append(&keyed("log:a", "third", "k3"));
    assert_eq!((third.position.offset, third.duplicate), (Offset(3), false), "a repeat takes no offset");
    assert_eq!(asker.log(&name("log:a")).len(), 3);
    asker.close();
}

/// The same within one batch, and with the first still in flight.
pub fn a_key_in_flight_is_stored_once(new_site: NewSite<'_>) {
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &TestClock::new());
    let batch: Vec<Append> = ["k", "l", "k", "k", "l"].map(|key| keyed("log:a", key, key)).into();
    let appended = asker.append_all(&batch);
    let outcome: Vec<(u64, bool)> = appended.iter().map(|a| (a.position.offset.0, a.duplicate)).collect();
    assert_eq!(outcome, [(1, false), (2, false), (1, true), (1, true), (2, true)]);

    let numbers: Vec<u64> = (0..200).flat_map(|_| asker.submit(&[keyed("log:b", "x", "k")])).collect();
    let answers = asker.wait();
    for number in &numbers {
        let appended = super::asker::is_stored(&answers[number]).expect("nothing hinders it");
        assert_eq!((appended.position.offset, appended.duplicate), (Offset(1), *number != numbers[0]));
    }
    assert_eq!(asker.log(&name("log:b")).len(), 1);
    asker.close();
}

/// Another channel, another publisher or another key is another publication.
pub fn a_key_is_scoped_by_channel_and_publisher(new_site: NewSite<'_>) {
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &TestClock::new());
    let mut check = |append: Append, expect: (u64, bool)| {
        let appended = asker.append(&append);
        assert_eq!((appended.position.offset.0, appended.duplicate), expect, "{append:?}");
    };
    let by = |publisher: &str, append: Append| Append { publisher: Publisher::new(publisher), ..append };
    check(by("user:a", keyed("log:a", "x", "k")), (1, false));
    check(by("user:b", keyed("log:a", "x", "k")), (2, false));
    check(by("user:a", keyed("log:b", "x", "k")), (1, false));
    check(by("user:a", keyed("log:a", "x", "K")), (3, false));
    check(by("user:a", keyed("log:a", "x", "k ")), (4, false));
    check(by("user:", keyed("log:a", "x", "ak")), (5, false));
    check(by("user:a", post("log:a", "x")), (6, false));
    check(by("user:a", post("log:a", "x")), (7, false));
    check(by("user:b", keyed("log:a", "x", "k")), (2, true));
    check(by("user:a", keyed("log:b", "x", "k")), (1, true));
    check(by("user:a", keyed("log:a", "x", "k")), (1, true));
    asker.close();
}

/// A key is remembered for the window that the first append named, whatever else is written meanwhile, and
/// after that the same key is stored again and remembered anew.
pub fn a_key_is_forgotten_after_its_window_and_not_before(new_site: NewSite<'_>) {
    let clock = TestClock::new();
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &clock);
    let window = |keys, append: Append| Append { keys: Duration::from_millis(keys), ..append };
    let short = window(1_000, keyed("log:a", "short", "short"));
    let long = window(5_000, keyed("log:a", "long", "long"));
    let mut check = |append: &Append, expect: (u64, bool)| {
        let appended = asker.append(append);
        assert_eq!((appended.position.offset.0, appended.duplicate), expect, "{append:?}");
    };
    check(&short, (1, false));
    check(&long, (2, false));
    clock.advance(999);
    for other in 0..100_u64 {
        check(&window(1, keyed("log:a", "x", &format!("other-{other}"))), (other + 3, false));
    }
    check(&window(60_000, short.clone()), (1, true)); // the window of a repeat does not count
    clock.advance(1);
    check(&short, (103, false));
    check(&short, (103, true));
    check(&long, (2, true));
    clock.advance(999);
    check(&short, (103, true));
    clock.advance(1);
    check(&window(0, short.clone()), (104, false));
    check(&short, (105, false)); // a window of nothing remembers nothing
    clock.advance(3_000);
    check(&long, (106, false));
    let forever = Append { keys: Duration::MAX, ..keyed("log:b", "x", "k") };
    check(&forever, (1, false));
    clock.advance(1 << 40);
    check(&forever, (1, true));
    asker.close();
}

/// A reopened store knows the keys of its earlier life, and forgets them when their time comes.
pub fn a_key_outlives_a_reopening(new_site: NewSite<'_>) {
    let clock = TestClock::new();
    let mut site = new_site();
    let append = Append { keys: Duration::from_millis(1_000), ..keyed("log:a", "x", "k") };
    let mut asker = Asker::open(&mut *site, &clock);
    let first = asker.append(&append);
    asker.close();
    clock.advance(999);
    let mut asker = Asker::open(&mut *site, &clock);
    assert_eq!(asker.append(&append), Appended { duplicate: true, ..first });
    asker.close();
    clock.advance(1);
    let mut asker = Asker::open(&mut *site, &clock);
    let second = asker.append(&append);
    assert_eq!((second.position.offset, second.duplicate), (Offset(2), false));
    asker.close();
}
