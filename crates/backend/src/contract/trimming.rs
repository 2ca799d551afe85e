//! Cases: retention. What is beyond a bound goes, in its own time; what goes is the oldest, and it takes nothing else
//! with it.

use std::time::Duration;

use trunkline_model::{ChannelName, Epoch, Offset, Position, Retention};

use super::asker::{ALL, Asker, keyed, name, offsets, post, range_of};
use super::{NewSite, TestClock};
use crate::{Append, Appended, Direction, Located, Retentions, Window};

/// Questions after which a store that has not trimmed is taken to be stuck. A bound, so that a failing test ends.
const PATIENCE: u32 = 300_000;

/// Keeps everything but what one setting of `namespace` bounds.
fn keeping(namespace: &str, retention: Retention) -> Retentions {
    [(namespace, retention)].into_iter().collect()
}

/// Waits until the floor of `channel` is at `floor`; it must not go beyond. An append elsewhere wakes the store.
pub(super) fn wait_for_floor(asker: &mut Asker, channel: &ChannelName, floor: u64) {
    asker.append(&post("wake:up", "x"));
    for _ in 0..PATIENCE {
        let found = asker.head(channel, Window { entries: 1, bytes: 0 }).floor;
        assert!(found <= Offset(floor), "{channel} was trimmed to {found:?}, not to {floor}");
        if found == Offset(floor) {
            return;
        }
        std::thread::yield_now();
    }
    panic!("{channel} is not trimmed to {floor}");
}

/// What is left of `channel`, as head and as reads say it, is exactly the entries from `floor` to `head`.
fn assert_left(asker: &mut Asker, channel: &ChannelName, floor: u64, head: u64) {
    let stands = asker.head(channel, ALL);
    assert_eq!((stands.floor, stands.position.offset), (Offset(floor), Offset(head)), "{channel}");
    assert!(offsets(&stands.tail).into_iter().eq(floor..=head), "{channel}: {:?}", offsets(&stands.tail));
    let check = |asker: &mut Asker, range: (u64, u64), expect: (u64, u64)| {
        for direction in [Direction::Forward, Direction::Backward] {
            let read = asker.read_range(range_of(channel, range, direction, ALL));
            assert!(offsets(&read.entries).into_iter().eq(expect.0..=expect.1), "{channel} {range:?}");
            assert_eq!(
                read.covered,
                (Offset(expect.0), Offset(expect.1)),
                "{channel} {range:?} {direction:?}"
            );
            assert_eq!(read.floor, Offset(floor), "{channel} {range:?}");
        }
    };
    check(asker, (1, u64::MAX), (floor, head));
    check(asker, (0, head), (floor, head));
    check(asker, (1, floor - 1), (floor, floor - 1));
    check(asker, (head + 1, head + 5), (head + 1, head));
    check(asker, (head, head), (head.max(floor), head));
}

fn many(channel: &str, count: usize) -> Vec<Append> {
    (1..=count).map(|at| post(channel, &format!("{at:033}"))).collect()
}

/// Each channel keeps its newest entries; offsets go on, and its neighbours are left alone.
pub fn a_channel_is_trimmed_to_its_newest_entries(new_site: NewSite<'_>) {
    let mut site = new_site();
    let retentions = keeping("few", Retention { entries: Some(10), ..Retention::default() });
    let mut asker = Asker::open_keeping(&mut *site, &TestClock::new(), &retentions);
    let interleaved: Vec<Append> = (0..40)
        .flat_map(|_| ["few:a", "few:b", "all:a", "few:a"])
        .map(|channel| post(channel, "x"))
        .collect();
    asker.append_all(&interleaved);
    asker.append_all(&many("few:short", 10));
    for (channel, floor, head) in
        [("few:a", 71, 80), ("few:b", 31, 40), ("few:short", 1, 10), ("all:a", 1, 40)]
    {
        wait_for_floor(&mut asker, &name(channel), floor);
        assert_left(&mut asker, &name(channel), floor, head);
    }
    // So many that they go in several steps.
    asker.append_all(&many("few:a", 3_000));
    let last = asker.append(&post("few:a", "x"));
    assert_eq!((last.position.offset, last.begins_epoch), (Offset(3_081), false));
    wait_for_floor(&mut asker, &name("few:a"), 3_072);
    assert_left(&mut asker, &name("few:a"), 3_072, 3_081);
    assert_left(&mut asker, &name("few:b"), 31, 40);
    asker.close();
}

/// All channels of a namespace share its bytes, and the oldest entries of all go first.
pub fn a_namespace_is_trimmed_to_its_bytes(new_site: NewSite<'_>) {
    let mut site = new_site();
    let retentions = keeping("small", Retention { bytes: Some(1_050), ..Retention::default() });
    let mut asker = Asker::open_keeping(&mut *site, &TestClock::new(), &retentions);
    // Each costs 100, so that ten of them fit.
    asker.append_all(&many("small:a", 6));
    asker.append_all(&many("all:a", 30));
    asker.append_all(&many("small:b", 4));
    assert_left(&mut asker, &name("small:a"), 1, 6);
    asker.append_all(&many("small:a", 2));
    wait_for_floor(&mut asker, &name("small:a"), 3);
    assert_left(&mut asker, &name("small:a"), 3, 8);
    assert_left(&mut asker, &name("small:b"), 1, 4);
    asker.append_all(&many("small:c", 7));
    wait_for_floor(&mut asker, &name("small:b"), 4);
    assert_left(&mut asker, &name("small:a"), 7, 8);
    assert_left(&mut asker, &name("small:b"), 4, 4);
    assert_left(&mut asker, &name("small:c"), 1, 7);
    // One that fills all of it leaves nothing else, and one that does not fit does not stay.
    asker.append(&post("small:c", &"x".repeat(1_050 - 67)));
    wait_for_floor(&mut asker, &name("small:c"), 8);
    assert_left(&mut asker, &name("small:a"), 9, 8);
    assert_left(&mut asker, &name("small:b"), 5, 4);
    assert_left(&mut asker, &name("small:c"), 8, 8);
    asker.append(&post("small:c", &"x".repeat(1_051 - 67)));
    wait_for_floor(&mut asker, &name("small:c"), 10);
    assert_left(&mut asker, &name("small:c"), 10, 9);
    assert_eq!(asker.append(&post("small:c", "x")).position.offset, Offset(10));
    assert_left(&mut asker, &name("all:a"), 1, 30);
    asker.close();
}

/// What is as old as the bound goes, also where nothing is appended any more; the head stays.
pub fn entries_are_trimmed_when_they_are_old(new_site: NewSite<'_>) {
    let clock = TestClock::new();
    let mut site = new_site();
    let day = Duration::from_secs(86_400);
    let retentions = keeping("brief", Retention { age: Some(day), ..Retention::default() });
    let mut asker = Asker::open_keeping(&mut *site, &clock, &retentions);
    asker.append_all(&many("brief:a", 5));
    asker.append_all(&many("all:a", 5));
    clock.advance(10_000);
    asker.append_all(&many("brief:a", 2));
    asker.append_all(&many("brief:b", 1));
    clock.advance(86_400_000 - 10_001);
    asker.append_all(&many("brief:b", 1));
    assert_left(&mut asker, &name("brief:a"), 1, 7);
    clock.advance(1_000);
    wait_for_floor(&mut asker, &name("brief:a"), 6);
    assert_left(&mut asker, &name("brief:a"), 6, 7);
    clock.advance(8_999);
    assert_left(&mut asker, &name("brief:b"), 1, 2);
    clock.advance(1_000);
    wait_for_floor(&mut asker, &name("brief:a"), 8);
    wait_for_floor(&mut asker, &name("brief:b"), 2);
    assert_left(&mut asker, &name("brief:a"), 8, 7);
    assert_left(&mut asker, &name("brief:b"), 2, 2);
    assert_left(&mut asker, &name("all:a"), 1, 5);
    assert_eq!(asker.append(&post("brief:a", "x")).position.offset, Offset(8), "offsets go on");
    asker.close();
}

/// A store that is opened with other bounds trims what it finds.
pub fn a_bound_that_changes_holds_for_what_was_stored_before(new_site: NewSite<'_>) {
    let clock = TestClock::new();
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &clock);
    for channel in ["few:a", "few:b", "small:a", "brief:a", "all:a"] {
        asker.append_all(&many(channel, 20));
    }
    asker.close();
    clock.advance(5_000);
    let retentions: Retentions = [
        ("few", Retention { entries: Some(3), ..Retention::default() }),
        ("small", Retention { bytes: Some(500), ..Retention::default() }),
        ("brief", Retention { age: Some(Duration::from_secs(5)), ..Retention::default() }),
    ]
    .into_iter()
    .collect();
    let mut asker = Asker::open_keeping(&mut *site, &clock, &retentions);
    for (channel, floor) in [("few:a", 18), ("few:b", 18), ("small:a", 16), ("brief:a", 21), ("all:a", 1)] {
        wait_for_floor(&mut asker, &name(channel), floor);
        assert_left(&mut asker, &name(channel), floor, 20);
    }
    asker.close();
    let mut asker = Asker::open(&mut *site, &clock);
    asker.append_all(&many("few:a", 20));
    assert_left(&mut asker, &name("few:a"), 18, 40);
    asker.close();
}

/// A position of a trimmed entry is still a place in the log; one that never was a place is still none.
pub fn positions_outlive_their_entries(new_site: NewSite<'_>) {
    let clock = TestClock::new();
    let mut site = new_site();
    let retentions = keeping("few", Retention { entries: Some(2), ..Retention::default() });
    let mut epochs = Vec::new();
    for _ in 0..3 {
        let mut asker = Asker::open_keeping(&mut *site, &clock, &retentions);
        epochs.push(asker.epoch());
        asker.append_all(&many("few:a", 4));
        asker.close();
    }
    let mut asker = Asker::open_keeping(&mut *site, &clock, &retentions);
    let channel = name("few:a");
    wait_for_floor(&mut asker, &channel, 11);
    let at = |epoch: Epoch, offset| Position { epoch, offset: Offset(offset) };
    for offset in 1..=12 {
        let life = (offset as usize - 1) / 4;
        assert_eq!(asker.locate(&channel, at(epochs[life], offset)), Located::Held, "{offset}");
        let keep = Some(Offset(offset - 1));
        let later = epochs.get(life + 1).map(|epoch| asker.locate(&channel, at(*epoch, offset)));
        assert!(later.is_none_or(|located| located == Located::Parted { keep }), "{offset}: {later:?}");
    }
    assert_eq!(asker.locate(&channel, at(epochs[0], 0)), Located::Held);
    assert_eq!(asker.locate(&channel, at(epochs[0], 5)), Located::Parted { keep: Some(Offset(4)) });
    assert_eq!(asker.locate(&channel, at(epochs[2], 13)), Located::Parted { keep: Some(Offset(12)) });
    asker.close();
}

/// A key is remembered for its window, though its entry is gone.
pub fn keys_outlive_their_entries(new_site: NewSite<'_>) {
    let clock = TestClock::new();
    let mut site = new_site();
    let retentions = keeping("few", Retention { entries: Some(1), ..Retention::default() });
    let mut asker = Asker::open_keeping(&mut *site, &clock, &retentions);
    let first = asker.append(&keyed("few:a", "x", "k"));
    asker.append_all(&many("few:a", 4));
    wait_for_floor(&mut asker, &name("few:a"), 5);
    assert_eq!(asker.append(&keyed("few:a", "x", "k")), Appended { duplicate: true, ..first });
    assert_left(&mut asker, &name("few:a"), 5, 5);
    asker.close();
}

/// What is gone is gone after a reopening too, the account of bytes goes on, and a channel of which nothing is left
/// keeps its head, its floor and its time.
pub fn what_is_trimmed_stays_away_after_a_reopening(new_site: NewSite<'_>) {
    let clock = TestClock::new();
    let mut site = new_site();
    let retentions = keeping("small", Retention { bytes: Some(500), ..Retention::default() });
    let mut asker = Asker::open_keeping(&mut *site, &clock, &retentions);
    let start = clock.now();
    asker.append_all(&many("small:a", 3));
    asker.append_all(&many("small:b", 5));
    wait_for_floor(&mut asker, &name("small:a"), 4);
    asker.close();
    clock.step_back(5_000);
    for _ in 0..2 {
        let mut asker = Asker::open_keeping(&mut *site, &clock, &retentions);
        assert_left(&mut asker, &name("small:a"), 4, 3);
        assert_left(&mut asker, &name("small:b"), 1, 5);
        asker.close();
    }
    let mut asker = Asker::open_keeping(&mut *site, &clock, &retentions);
    let next = asker.append(&many("small:a", 1)[0]);
    assert_eq!((next.position.offset, next.begins_epoch, next.ts), (Offset(4), true, start));
    wait_for_floor(&mut asker, &name("small:b"), 2);
    assert_left(&mut asker, &name("small:a"), 4, 4);
    assert_left(&mut asker, &name("small:b"), 2, 5);
    asker.close();
}
