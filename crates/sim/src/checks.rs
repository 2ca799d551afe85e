//! What a subscriber or a reader of history is told, compared with the log. Pure functions, called by `hearing`.

use std::sync::Arc;

use trunkline_model::{
    ChannelName, HistoryQuery, LostReason, Offset, Page, Position, Publication, Recovery, Start, Subscribed,
};

use crate::client::Asked;
use crate::folding::{binding, check_erased, check_folded};
use crate::store::Log;
use crate::tally::Tally;
use crate::truth::Truth;
use crate::violation::{Checked, Checker, broken, ensure};

/// What is told is what the log holds, or held, after `place`.
pub(crate) fn check_entry(publication: &Publication, place: Position, truth: Truth<'_>) -> Checked {
    ensure(truth.follow(&publication.channel, place, [publication]), Checker::Prefix, || {
        format!("{publication:?} is told after {place:?}, where the log has nothing like it")
    })
}

/// One is let in at a place of the log, and told a floor that was right since the node started.
pub(crate) fn check_place(subscribed: &Subscribed, place: Position, truth: Truth<'_>) -> Checked {
    ensure(truth.was_place(&subscribed.channel, place), Checker::Prefix, || {
        format!("one is let in at {place:?}, which is no place of the log")
    })?;
    check_floor(subscribed.floor, truth.log(&subscribed.channel), truth)
}

fn check_floor(floor: Offset, log: &Log, truth: Truth<'_>) -> Checked {
    let within = !truth.is_steady() || log.floor_at_start() <= floor.0 && floor.0 <= log.floor();
    ensure(within, Checker::Page, || {
        format!("the floor is told as {floor:?}; it is {}, and was {}", log.floor(), log.floor_at_start())
    })
}

/// Checks the recovery and gives the place from which messages are to come.
pub(crate) fn check_recovery(
    asked: &Asked,
    subscribed: &Subscribed,
    place: Position,
    truth: Truth<'_>,
    tally: &mut Tally,
) -> Checked<Position> {
    let log = truth.log(&subscribed.channel);
    match (asked.start, &subscribed.recovery, &subscribed.items) {
        (Start::Next, Recovery::NotAsked, None) => Ok(place),
        (Start::Last(count), Recovery::NotAsked, Some((items, more))) => {
            tally.count("last");
            // Three times the log ran away from the read: then the page is left to `history`.
            if items.is_empty() && *more && count > 0 {
                tally.count("last given up");
                return Ok(place);
            }
            let first = subscribed.floor.0;
            let last = place.offset.0;
            check_erased(items.iter().map(|item| &**item), binding(asked.head, place.offset, truth), log)?;
            let range = Range { first, last, top: last, count: count.into(), newest: true };
            check_items(items, (*more, None), range, log, truth)?;
            Ok(place)
        }
        (Start::CatchUp(since), Recovery::CatchingUp(count), None) => {
            tally.count("catching up");
            check_held(asked, since, &subscribed.channel, truth)?;
            ensure(*count == place.offset.since(since.offset), Checker::Prefix, || {
                format!("({since:?}, {place:?}] is announced as {count} messages")
            })?;
            Ok(since)
        }
        (Start::Since(since) | Start::CatchUp(since), Recovery::Recovered(entries), None) => {
            tally.count(if entries.is_empty() { "recovered nothing" } else { "recovered" });
            check_held(asked, since, &subscribed.channel, truth)?;
            check_replay((asked, since), entries, place, (&subscribed.channel, truth))?;
            Ok(since)
        }
        (Start::Since(since) | Start::CatchUp(since), Recovery::Lost { reason, .. }, None) => {
            tally.count(reason.as_str());
            check_lost(asked, since, *reason, place, (&subscribed.channel, truth))?;
            Ok(place)
        }
        other => broken(Checker::Answers, format!("this is no answer to the question: {other:?}")),
    }
}

/// Who goes on from `since` goes on in the log: as it is, or as it was when the store had not lost its end yet.
pub(crate) fn check_held(asked: &Asked, since: Position, channel: &ChannelName, truth: Truth<'_>) -> Checked {
    let lost_since = truth.store.losses > asked.losses && truth.was_place(channel, since);
    ensure(truth.log(channel).holds(since) || lost_since, Checker::Told, || {
        format!("one goes on from {since:?}, which is no place of the log")
    })
}

fn check_replay(
    (asked, since): (&Asked, Position),
    entries: &[Arc<Publication>],
    place: Position,
    (channel, truth): (&ChannelName, Truth<'_>),
) -> Checked {
    let last = entries.last().map_or(Some(since), |last| last.position);
    let ends = last == Some(place) || place.offset == Offset::ZERO;
    let whole = truth.follow(channel, since, entries.iter().map(|entry| &**entry)) && ends;
    ensure(whole, Checker::Prefix, || {
        let places: Vec<_> = entries.iter().filter_map(|entry| entry.position).collect();
        format!("the replay of ({since:?}, {place:?}] is {places:?}")
    })?;
    let bytes: usize = entries.iter().map(|entry| entry.cost()).sum();
    check_erased(
        entries.iter().map(|entry| &**entry),
        binding(asked.head, place.offset, truth),
        truth.log(channel),
    )?;
    let (entries_max, bytes_max) = truth.rules.recover;
    let within = entries.len() as u64 <= entries_max && bytes <= bytes_max;
    ensure(within, Checker::Caps, || format!("{} entries, {bytes} bytes are replayed", entries.len()))
}

/// `recovered: false` is never said without a cause.
pub(crate) fn check_lost(
    asked: &Asked,
    since: Position,
    reason: LostReason,
    place: Position,
    (channel, truth): (&ChannelName, Truth<'_>),
) -> Checked {
    let log = truth.log(channel);
    let founded = |holds: bool, what: &dyn Fn() -> String| ensure(holds, Checker::NoFalseAlarm, what);
    match reason {
        LostReason::Rewound => founded(!asked.valid || !log.holds(since), &|| {
            format!("{since:?} was in the log when it was asked for")
        }),
        LostReason::Trimmed => {
            let below = since.offset.0.saturating_add(1) < log.floor();
            founded(below || !truth.is_steady(), &|| {
                format!("{since:?} is not below the floor {}", log.floor())
            })
        }
        LostReason::Limit => {
            founded(!matches!(asked.start, Start::CatchUp(_)), &|| {
                "there is no limit to catching up".to_owned()
            })?;
            check_held(asked, since, channel, truth)?;
            let missed = log.range(since.offset.0 + 1, place.offset.0);
            // What was erased meanwhile may have counted.
            let before = (since.offset.0 + 1..=place.offset.0).filter_map(|offset| log.original(offset));
            let bytes: usize = before.map(|entry| entry.cost()).sum();
            let (entries_max, bytes_max) = truth.rules.recover;
            let beyond = missed.len() as u64 > entries_max || bytes > bytes_max || !truth.is_steady();
            founded(beyond, &|| {
                format!(
                    "({since:?}, {place:?}] is {} entries, {bytes} bytes: within the limits",
                    missed.len()
                )
            })
        }
    }
}

/// The range that a page is taken from, and how much of it.
pub(crate) struct Range {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Up to where the log was known when the page was made.
    pub(crate) top: u64,
    pub(crate) count: u64,
    pub(crate) newest: bool,
}

/// `items` are what `range` holds, to the last entry that fits.
fn check_items(
    items: &[Arc<Publication>],
    (more, covered): (bool, Option<(u64, u64)>),
    range: Range,
    log: &Log,
    truth: Truth<'_>,
) -> Checked {
    if truth.is_steady() && log.has_references() {
        return check_folded(items, covered, more, (&range, log, truth));
    }
    let mut expect = Vec::new();
    let (mut bytes, held) = (0, log.range(range.first, range.last));
    let ordered: Box<dyn Iterator<Item = _>> =
        if range.newest { Box::new(held.iter().rev()) } else { Box::new(held.iter()) };
    for entry in ordered {
        bytes += entry.cost();
        if expect.len() as u64 == range.count || bytes > truth.rules.page_bytes && !expect.is_empty() {
            break;
        }
        expect.push(Arc::clone(entry));
    }
    if range.newest {
        expect.reverse();
    }
    if !truth.is_steady() {
        // Of which moment the page is, nobody can say. That its items are right is seen when they are read on from.
        return Ok(());
    }
    if log.floor() > log.floor_at_start() {
        return check_trimmed_items(items, &range, log);
    }
    ensure(items == expect, Checker::Page, || {
        format!("a page holds {} of {} items", items.len(), expect.len())
    })?;
    ensure(more == (expect.len() < held.len()), Checker::Page, || format!("`more` is {more}"))
}

/// What was trimmed while the page was made may be missing at the old end, or be there still, and nothing else.
fn check_trimmed_items(items: &[Arc<Publication>], range: &Range, log: &Log) -> Checked {
    let place = |entry: Option<&Arc<Publication>>| entry?.position.map(|position| position.offset.0);
    let (Some(lo), Some(hi)) = (place(items.first()), place(items.last())) else { return Ok(()) };
    let ends = if range.newest { hi == range.last } else { lo <= range.first.max(log.floor()) };
    let first = if range.newest { range.first.min(log.floor_at_start()) } else { range.first };
    let whole = items == log.range(lo, hi) && lo >= first && hi <= range.last && ends;
    ensure(whole, Checker::Page, || format!("a page of {}..{} holds {lo}..{hi}", range.first, range.last))
}

/// A page is what it says of the range that it says, and as new as it was asked to be.
pub(crate) fn check_page(query: &HistoryQuery, asked_head: u64, page: &Page, truth: Truth<'_>) -> Checked {
    let log = truth.log(&query.channel);
    let top = Position { epoch: page.epoch, offset: page.top };
    let was_place = |position| truth.was_place(&query.channel, position);
    ensure(was_place(top), Checker::Page, || format!("the page's top {top:?} is not in the log"))?;
    ensure(query.at.is_none_or(|at| was_place(at) && at.offset <= page.top), Checker::MonotoneRead, || {
        format!("a page with top {top:?} is older than {:?}", query.at)
    })?;
    check_floor(page.floor, log, truth)?;
    let last = query.before.map_or(page.top.0, |before| before.prev().0.min(page.top.0));
    let first = query.after.map_or(page.floor.0, |after| page.floor.0.max(after.0.saturating_add(1)));
    let count = query.limit.map_or(truth.rules.page_default, u64::from);
    let items = page.items.iter().map(|item| &**item);
    check_erased(items, binding(asked_head, page.top, truth), log)?;
    let range = Range { first, last, top: page.top.0, count, newest: query.after.is_none() };
    check_items(&page.items, (page.more, Some((page.lo.0, page.hi.0))), range, log, truth)?;
    let offset_of = |entry: &Publication| entry.position.map_or(Offset::ZERO, |position| position.offset);
    let covered = match (page.items.first(), page.items.last()) {
        (Some(lowest), Some(highest)) if log.has_references() || !truth.is_steady() => {
            page.lo <= offset_of(lowest) && offset_of(highest) <= page.hi
        }
        (Some(lowest), Some(highest)) => (page.lo, page.hi) == (offset_of(lowest), offset_of(highest)),
        _ => log.has_references() || !truth.is_steady() || page.lo.0 == page.hi.0.saturating_add(1),
    };
    ensure(covered, Checker::Page, || {
        format!("a page of {} items covers {}..{}", page.items.len(), page.lo, page.hi)
    })
}
