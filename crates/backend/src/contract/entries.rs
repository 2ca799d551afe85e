//! Cases: channels that keep only the newest of each entry, and what stands for publications that were overtaken.

use std::time::Duration;

use trunkline_model::{ChannelName, ClientId, Entry, Key, Offset, Publisher, Retention, Role, Timestamp};

use super::asker::{ALL, Asker, entry, keyed, map_entry, name, offsets, post, range_of, removal, value};
use super::trimming::wait_for_floor;
use super::{NewSite, TestClock};
use crate::{Append, Appended, Direction, Located, Retentions, Window};

/// The offsets that a range gives, and what it says to cover.
fn read(
    asker: &mut Asker,
    channel: &ChannelName,
    range: (u64, u64),
    direction: Direction,
    entries: u32,
) -> (Vec<u64>, (u64, u64)) {
    let window = Window { entries, bytes: usize::MAX };
    let read = asker.read_range(range_of(channel, range, direction, window));
    (offsets(&read.entries), (read.covered.0.0, read.covered.1.0))
}

fn tail(asker: &mut Asker, channel: &ChannelName) -> Vec<u64> {
    offsets(&asker.head(channel, ALL).tail)
}

/// Offsets rise, and only the newest of each name is there, in their order; in a `value` just one.
pub fn only_the_newest_of_each_entry_is_kept(new_site: NewSite<'_>) {
    let clock = TestClock::new();
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &clock);
    let (map, one) = (name("map:a"), name("value:a"));
    let appends = ["a", "b", "a", "c", "b", "b", "d"].map(|entry| map_entry("map:a", entry, entry));
    let appended = asker.append_all(&appends);
    assert!(appended.iter().map(|appended| appended.position.offset.0).eq(1..=7));
    asker.append_all(&[value("value:a", "1"), value("value:a", "2")]);
    asker.close();

    let mut asker = Asker::open(&mut *site, &clock);
    let head = asker.head(&map, ALL);
    assert_eq!((head.position, head.floor), (appended[6].position, Offset(1)));
    assert_eq!(offsets(&head.tail), [3, 4, 6, 7]);
    for found in &head.tail {
        let at = found.position.expect("it is stored").offset.0 as usize - 1;
        assert_eq!(**found, entry(&appends[at], &appended[at]));
    }
    assert_eq!(tail(&mut asker, &one), [2]);
    let third = asker.append(&value("value:a", "3"));
    assert_eq!((third.position.offset, third.begins_epoch), (Offset(3), true));
    assert_eq!(tail(&mut asker, &one), [3]);
    assert_eq!(
        asker.locate(&map, appended[0].position),
        Located::Held,
        "an offset stays one when it is replaced"
    );
    asker.close();
}

/// A range gives what is there of it, and covers the holes between as well.
pub fn ranges_cover_what_was_replaced(new_site: NewSite<'_>) {
    use Direction::{Backward, Forward};
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &TestClock::new());
    let map = name("map:a");
    // Left are 3, 4, 6 and 9.
    asker.append_all(
        &["a", "b", "a", "c", "b", "b", "d", "d", "d"].map(|entry| map_entry("map:a", entry, "x")),
    );
    let mut check = |range, direction, entries, offsets: &[u64], covered| {
        let expect = (offsets.to_vec(), covered);
        assert_eq!(
            read(&mut asker, &map, range, direction, entries),
            expect,
            "{range:?} {direction:?} {entries}"
        );
    };
    check((1, u64::MAX), Forward, 9, &[3, 4, 6, 9], (1, 9));
    check((1, u64::MAX), Backward, 4, &[3, 4, 6, 9], (1, 9));
    check((4, 8), Forward, 9, &[4, 6], (4, 8));
    check((7, 8), Forward, 9, &[], (7, 8));
    check((7, 8), Backward, 9, &[], (7, 8));
    check((1, 9), Forward, 2, &[3, 4], (1, 5));
    check((1, 9), Backward, 2, &[6, 9], (5, 9));
    check((5, 9), Forward, 1, &[6], (5, 8));
    check((1, 5), Backward, 1, &[4], (4, 5));
    check((0, 0), Forward, 9, &[], (1, 0));
    check((10, 20), Forward, 9, &[], (10, 9));
    asker.close();
}

/// Whether it is removed, when it expires and whose it is come back as they were.
pub fn attributes_of_an_entry_come_back(new_site: NewSite<'_>) {
    let clock = TestClock::new();
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &clock);
    let owner = Some(ClientId::new("c-17"));
    let longest = "é".repeat(127);
    let entries = [
        map_entry("map:a", "plain", "x").role,
        map_entry("map:a", &longest, "x").role,
        Role::Entry(Box::new(Entry { owner: owner.clone(), ..entry_of(&map_entry("map:a", "owned", "")) })),
        Role::Entry(Box::new(Entry {
            expires: Some(Timestamp(clock.now().0 + 5)),
            owner,
            ..entry_of(&map_entry("map:a", "\0 both", ""))
        })),
        removal("map:a", "removed").role,
    ];
    let appends = entries.map(|role| Append { role, ..keyed("map:a", "x", "k") });
    let appends: Vec<Append> = (0..)
        .zip(appends)
        .map(|(at, append)| Append { key: keyed("map:a", "", &format!("{at}")).key, ..append })
        .collect();
    let appended = asker.append_all(&appends);
    asker.close();
    let mut asker = Asker::open(&mut *site, &clock);
    let found = asker.head(&name("map:a"), ALL).tail;
    assert_eq!(found.len(), appends.len());
    for ((found, append), appended) in found.iter().zip(&appends).zip(&appended) {
        assert_eq!(**found, entry(append, appended));
        assert_eq!(found.cost(), entry(append, appended).cost());
    }
    asker.close();
}

fn entry_of(append: &Append) -> Entry {
    append.role.entry().expect("it is one").clone()
}

/// A removal takes the place of its entry and stays for `removals`; then it goes, and the floor moves behind it. One
/// that was published again meanwhile does not.
pub fn a_removal_is_remembered_for_a_while(new_site: NewSite<'_>) {
    let clock = TestClock::new();
    let mut site = new_site();
    let retention = Retention { removals: Duration::from_secs(600), ..Retention::default() };
    let retentions: Retentions = [("map", retention), ("value", retention)].into_iter().collect();
    let mut asker = Asker::open_keeping(&mut *site, &clock, &retentions);
    let map = name("map:a");
    asker.append_all(&["a", "b", "c"].map(|entry| map_entry("map:a", entry, "x")));
    asker.append_all(&[removal("map:a", "a"), removal("map:a", "b"), map_entry("map:a", "b", "again")]);
    asker.append_all(&[value("value:a", "x"), Append { role: gone(), ..value("value:a", "") }]);
    clock.advance(300_000);
    asker.append(&removal("map:a", "unheard of"));
    clock.advance(299_999);
    assert_eq!(tail(&mut asker, &map), [3, 4, 6, 7]);
    assert_eq!(asker.head(&map, ALL).floor, Offset(1));
    asker.close();

    let mut asker = Asker::open_keeping(&mut *site, &clock, &retentions);
    clock.advance(1_001);
    wait_for_floor(&mut asker, &map, 5);
    assert_eq!(tail(&mut asker, &map), [3, 6, 7]);
    assert_eq!(read(&mut asker, &map, (1, 9), Direction::Forward, 9), (vec![3, 6, 7], (1, 7)));
    wait_for_floor(&mut asker, &name("value:a"), 3);
    assert!(tail(&mut asker, &name("value:a")).is_empty());
    assert_eq!(asker.head(&name("value:a"), ALL).position.offset, Offset(2));
    clock.advance(300_000);
    wait_for_floor(&mut asker, &map, 8);
    assert_eq!(tail(&mut asker, &map), [3, 6]);
    assert_eq!(asker.append(&map_entry("map:a", "a", "x")).position.offset, Offset(8), "offsets go on");
    asker.close();
}

fn gone() -> Role {
    Role::Entry(Box::new(Entry { removed: true, ..Entry::default() }))
}

/// Bounds of the number, the size and the age of entries are about logs: an entry stays until it is replaced or removed.
pub fn entries_are_not_trimmed(new_site: NewSite<'_>) {
    let clock = TestClock::new();
    let mut site = new_site();
    let day = Duration::from_secs(86_400);
    let retention = Retention {
        entries: Some(2),
        bytes: Some(300),
        age: Some(day),
        removals: Duration::from_secs(2 * 86_400),
    };
    let retentions: Retentions = [("map", retention), ("log", retention)].into_iter().collect();
    let mut asker = Asker::open_keeping(&mut *site, &clock, &retentions);
    asker.append_all(&["a", "b", "c", "d", "e", "f"].map(|entry| map_entry("map:a", entry, "x")));
    asker.append_all(&["a", "b", "c"].map(|text| post("log:a", text)));
    clock.advance(86_400_000);
    wait_for_floor(&mut asker, &name("log:a"), 4);
    assert_eq!(tail(&mut asker, &name("map:a")), [1, 2, 3, 4, 5, 6]);
    assert_eq!(asker.head(&name("map:a"), ALL).floor, Offset(1));
    asker.close();
}

/// The keys of what was overtaken before it was stored have the position of what overtook it, also when that is itself
/// a repeat; one that is remembered already keeps its answer.
pub fn overtaken_keys_answer_with_what_overtook_them(new_site: NewSite<'_>) {
    let clock = TestClock::new();
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &clock);
    let ada = |key: &str| (Publisher::new("user:ada"), Key::parse(key).expect("a valid key"));
    let key = |key: &str| Append { key: Some(ada(key).1), ..value("value:a", "x") };
    let early = asker.append(&key("early"));
    let eve = (Publisher::new("user:eve"), ada("b").1);
    let overtaking = Append { overtaken: vec![ada("a"), eve, ada("early")], ..key("c") };
    let overtook = asker.append(&overtaking);
    assert_eq!(overtook.position.offset, Offset(2));
    let repeat = |first: Appended| Appended { duplicate: true, ..first };
    assert_eq!(asker.append(&key("a")), repeat(overtook));
    assert_eq!(asker.append(&key("early")), repeat(early));
    assert_eq!(asker.append(&Append { publisher: Publisher::new("user:eve"), ..key("b") }), repeat(overtook));
    assert!(!asker.append(&key("b")).duplicate, "another publisher's key");
    asker.close();

    let mut asker = Asker::open(&mut *site, &clock);
    assert_eq!(asker.append(&Append { overtaken: vec![ada("late")], ..overtaking }), repeat(overtook));
    assert_eq!(asker.append(&key("late")), repeat(overtook));
    clock.advance(3_600_000);
    assert!(!asker.append(&key("a")).duplicate, "they expire as others do");
    asker.close();
}
