//! Cases: heads, tails and ranges.

use trunkline_model::{ChannelName, Offset, Position};

use super::asker::{ALL, Asker, entry, name, offsets, post};
use super::{NewSite, TestClock};
use crate::{Append, Direction, Window};

/// A channel that was never written to has its head at (the store's epoch, 0), its floor at 1 and no
/// entries; asking for it makes nothing.
pub fn an_unknown_channel_is_empty_and_stays_unknown(new_site: NewSite<'_>) {
    let clock = TestClock::new();
    let mut site = new_site();
    let unknown = name("log:unknown");
    let mut epochs = Vec::new();
    for _ in 0..2 {
        let mut asker = Asker::open(&mut *site, &clock);
        asker.append(&post("log:other", "x"));
        for _ in 0..2 {
            let head = asker.head(&unknown, ALL);
            // Were the channel made by asking, it would keep the epoch of the first opening.
            assert_eq!(head.position, Position { epoch: asker.epoch(), offset: Offset::ZERO });
            assert_eq!(head.floor, Offset(1));
            assert!(head.tail.is_empty());
            assert!(asker.log(&unknown).is_empty());
        }
        epochs.push(asker.epoch());
        asker.close();
    }
    assert_ne!(epochs[0], epochs[1]);
    let mut asker = Asker::open(&mut *site, &clock);
    let first = asker.append(&post("log:unknown", "x"));
    assert_eq!((first.position.offset, first.begins_epoch), (Offset(1), true));
    asker.close();
}

/// Twelve entries, each of which costs 100: the seven odd ones 64 flat, 3 for the author and 33 of payload.
fn twelve(asker: &mut Asker) -> ChannelName {
    // Another channel's entries lie in between.
    let appends: Vec<Append> = (0..24)
        .map(|at| post(if at % 2 == 0 { "log:twelve" } else { "log:other" }, &format!("{at:033}")))
        .collect();
    let appended = asker.append_all(&appends);
    assert!(appends.iter().zip(&appended).all(|(append, appended)| entry(append, appended).cost() == 100));
    name("log:twelve")
}

/// A tail ends at the head and reaches back as far as the window does, but holds at least one entry.
pub fn a_tail_fills_its_window(new_site: NewSite<'_>) {
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &TestClock::new());
    let channel = twelve(&mut asker);
    let mut check = |entries, bytes, expect: std::ops::RangeInclusive<u64>| {
        let head = asker.head(&channel, Window { entries, bytes });
        assert_eq!(head.position, Position { epoch: asker.epoch(), offset: Offset(12) });
        assert_eq!(head.floor, Offset(1));
        assert_eq!(offsets(&head.tail), expect.collect::<Vec<_>>(), "{entries} entries, {bytes} bytes");
    };
    check(u32::MAX, usize::MAX, 1..=12);
    check(12, 1_200, 1..=12);
    check(5, 1_200, 8..=12);
    check(12, 500, 8..=12);
    check(12, 499, 9..=12);
    check(3, 499, 10..=12);
    check(1, 10_000, 12..=12);
    check(12, 1, 12..=12);
    check(12, 0, 12..=12);
    check(0, 0, 12..=12);
    asker.close();
}

/// A range gives the entries of it that exist, as many as the window holds, from the end that was asked for.
pub fn ranges_fill_their_windows(new_site: NewSite<'_>) {
    use Direction::{Backward, Forward};
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &TestClock::new());
    let channel = twelve(&mut asker);
    let mut check = |range: (u64, u64), direction, (entries, bytes), expect: &[u64]| {
        let read = asker.read(&channel, range, direction, Window { entries, bytes });
        assert_eq!(offsets(&read), expect, "{range:?} {direction:?}, {entries} entries, {bytes} bytes");
    };
    for direction in [Forward, Backward] {
        check((4, 7), direction, (10, 10_000), &[4, 5, 6, 7]);
        check((4, 4), direction, (10, 10_000), &[4]);
        check((1, 2), direction, (2, 200), &[1, 2]);
        check((0, 2), direction, (10, 10_000), &[1, 2]);
        check((0, 0), direction, (10, 10_000), &[]);
        check((11, 12), direction, (10, 10_000), &[11, 12]);
        check((11, 13), direction, (10, 10_000), &[11, 12]);
        check((12, u64::MAX), direction, (10, 10_000), &[12]);
        check((13, 20), direction, (10, 10_000), &[]);
        check((u64::MAX, u64::MAX), direction, (10, 10_000), &[]);
        check((7, 4), direction, (10, 10_000), &[]);
        check((u64::MAX, 0), direction, (10, 10_000), &[]);
    }
    check((2, 9), Forward, (3, 10_000), &[2, 3, 4]);
    check((2, 9), Backward, (3, 10_000), &[7, 8, 9]);
    check((2, 9), Forward, (8, 250), &[2, 3]);
    check((2, 9), Backward, (8, 250), &[8, 9]);
    check((2, 9), Forward, (8, 99), &[2]);
    check((2, 9), Backward, (8, 99), &[9]);
    check((2, 9), Forward, (0, 0), &[2]);
    check((2, 9), Backward, (0, 0), &[9]);
    check((0, u64::MAX), Forward, (2, usize::MAX), &[1, 2]);
    check((0, u64::MAX), Backward, (2, usize::MAX), &[11, 12]);
    asker.close();
}
