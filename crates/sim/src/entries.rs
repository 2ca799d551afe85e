//! What a subscriber of a `value` or a `map` is told, compared with the log of which only the newest of each entry is
//! kept. Pure functions, called by `hearing` and `ending`; logs of which everything is kept are checked in `checks`.

use std::sync::Arc;

use trunkline_model::{EntryName, Offset, Position, Publication, Recovery, Start, Subscribed};

use crate::client::{Asked, Follow, Sent};
use crate::store::{Log, name_of};
use crate::tally::Tally;
use crate::truth::Truth;
use crate::violation::{Checked, Checker, broken, ensure};

/// An update comes after all that was told before, it is what was stored, and what it leaves out was overtaken.
pub(crate) fn check_update(publication: &Publication, place: Position, truth: Truth<'_>) -> Checked {
    let Some(position) = publication.position else {
        return broken(Checker::Answers, format!("{publication:?} has no place"));
    };
    ensure(position.offset > place.offset, Checker::EntryMonotone, || {
        format!("one that was told what is up to {place:?} gets {publication:?}")
    })?;
    let stored = truth.store.ever_at(&publication.channel, position).map(|(stored, _)| stored);
    ensure(stored.is_some_and(|stored| **stored == *publication), Checker::Prefix, || {
        format!("{publication:?} is told, where the log has nothing like it")
    })?;
    let log = truth.log(&publication.channel);
    if !truth.is_steady() {
        return Ok(());
    }
    let skipped = log.range(place.offset.0.saturating_add(1), position.offset.prev().0);
    let missing = skipped.iter().find(|skipped| is_newest_at(log, skipped, log.head()));
    ensure(missing.is_none(), Checker::State, || {
        format!("{missing:?} is left out between {place:?} and {position:?}, and nothing has overtaken it")
    })
}

/// Checks how a subscription begins, and gives the place from which updates are to come.
pub(crate) fn check_entrance(
    asked: &Asked,
    subscribed: &Subscribed,
    place: Position,
    truth: Truth<'_>,
    tally: &mut Tally,
) -> Checked<Position> {
    let log = truth.log(&subscribed.channel);
    match (asked.start, &subscribed.recovery, &subscribed.entries) {
        (Start::Next | Start::Last(_), Recovery::NotAsked, Some(state)) => {
            tally.count("state");
            check_told(state, (0, place, false), log, truth)?;
            Ok(place)
        }
        (Start::Since(since) | Start::CatchUp(since), Recovery::Recovered(changed), None) => {
            tally.count("changes");
            crate::checks::check_held(asked, since, &subscribed.channel, truth)?;
            check_told(changed, (since.offset.0, place, true), log, truth)?;
            Ok(since)
        }
        (Start::Since(since) | Start::CatchUp(since), Recovery::Lost { reason, .. }, Some(state)) => {
            tally.count("state after a loss");
            crate::checks::check_lost(asked, since, *reason, place, (&subscribed.channel, truth))?;
            check_told(state, (0, place, false), log, truth)?;
            Ok(place)
        }
        other => broken(Checker::Answers, format!("this is no answer to the question: {other:?}")),
    }
}

/// `told` is the newest of each entry in (`after`, `place`]. An entry that has been overtaken beyond `place` since may be
/// missing, or be an earlier one, because the store no longer has what stood there.
pub(crate) fn check_told(
    told: &[Arc<Publication>],
    (after, place, removals): (u64, Position, bool),
    log: &Log,
    truth: Truth<'_>,
) -> Checked {
    let ascending = told.is_sorted_by_key(|publication| publication.position.map(|position| position.offset));
    ensure(ascending, Checker::State, || format!("{told:?} is not in the order of the log"))?;
    if !truth.is_steady() {
        // Of which log it is, nobody can say. That it is right is seen at rest.
        return Ok(());
    }
    let last = place.offset.0;
    let held = log.range(after.saturating_add(1), last);
    let is_final = |entry: &&Arc<Publication>| is_newest_at(log, entry, log.head());
    let mut wanted = held.iter().filter(|entry| is_final(entry) && (removals || !is_removal(entry)));
    let missing = wanted.find(|entry| !told.contains(entry));
    ensure(missing.is_none(), Checker::State, || {
        format!("{missing:?} is missing in what is told of ({after}, {place:?}]: {told:?}")
    })?;
    let is_right = |entry: &Arc<Publication>| {
        let newest = log.newest_of(name_of(entry), log.head());
        let overtaken = newest.is_some_and(|newest| offset_of(newest) > last);
        held.contains(entry) && (is_final(&entry) || overtaken) && (removals || !is_removal(entry))
    };
    let wrong = told.iter().find(|entry| !is_right(entry));
    ensure(wrong.is_none(), Checker::State, || {
        format!("{wrong:?} is told of ({after}, {place:?}], and is not the newest there")
    })
}

/// At rest a subscriber holds the newest of each entry, as far as it was told of it.
pub(crate) fn check_held_entries(name: &str, follow: &Follow, log: &Log) -> Checked {
    for entry in log.entries.iter().filter(|entry| is_newest_at(log, entry, log.head())) {
        let offset = offset_of(entry);
        if offset <= follow.complete_after {
            continue;
        }
        let held = follow.entries.get(&name_of(entry).cloned()).copied();
        let right = held == Some((offset, is_removal(entry))) || held.is_none() && is_removal(entry);
        ensure(right, Checker::Quiet, || {
            format!("all is quiet, but {name} holds {held:?} where {entry:?} is the newest")
        })?;
    }
    Ok(())
}

/// What overtook `sent` was stored after `sent` was asked for, under the same name. If it was sent before, `doubtful`, what
/// overtook it then may be named.
pub(crate) fn check_merged(sent: &Sent, by: &Publication, doubtful: bool, truth: Truth<'_>) -> Checked {
    let same = by.role.entry().is_some() && name_of(by) == sent.about.entry.as_ref();
    let other = crate::store::uid_of(by) != sent.uid || doubtful;
    let later = offset_of(by) > sent.head || doubtful || truth.store.losses > sent.losses;
    ensure(same && later && other, Checker::Acknowledged, || {
        format!("{sent:?} is said to be overtaken by {by:?}")
    })
}

/// A conflict is told only if something else was the newest between asking and the answer.
pub(crate) fn check_conflict(sent: &Sent, told: Option<Position>, truth: Truth<'_>) -> Checked {
    let log = truth.log(&sent.channel);
    let wanted = sent.about.condition.map(|wanted| wanted.0);
    let mut moments = sent.head..=log.head();
    let other = moments.any(|last| Some(newest(log, sent.about.entry.as_ref(), last)) != wanted);
    ensure(other || truth.store.losses > sent.losses, Checker::Condition, || {
        format!("{sent:?} conflicts with {told:?}, and what it names was the newest all the time")
    })?;
    let is_place = told.is_some_and(|told| truth.was_place(&sent.channel, told));
    ensure(wanted.is_some() && is_place, Checker::Condition, || {
        format!("{sent:?} conflicts with {told:?}, which is no place")
    })
}

/// A removal without a key is refused only if its entry was not there at some moment between asking and the answer. With
/// a key it may be the repeat of one that succeeded.
pub(crate) fn check_nothing_to_remove(sent: &Sent, truth: Truth<'_>) -> Checked {
    let log = truth.log(&sent.channel);
    let mut moments = sent.head..=log.head();
    let absent = moments.any(|last| newest(log, sent.about.entry.as_ref(), last) == 0);
    ensure(sent.key.is_none() && absent || truth.store.losses > sent.losses, Checker::NoFalseAlarm, || {
        format!("{sent:?} is refused, and there is something to remove")
    })
}

/// What is stored under a condition stands right after what it named.
pub(crate) fn check_stored(stored: &Publication, wanted: Offset, log: &Log) -> Checked {
    let before = newest(log, name_of(stored), offset_of(stored) - 1);
    ensure(before == wanted.0, Checker::Condition, || {
        format!("{stored:?} is stored if the newest is {wanted}; it was {before}")
    })
}

/// The newest offset at the time when `last` was: of the log, or of an entry that is there.
fn newest(log: &Log, name: Option<&EntryName>, last: u64) -> u64 {
    match name {
        None => last,
        Some(_) => {
            let entry = log.newest_of(name, last).filter(|entry| !is_removal(entry));
            entry.map_or(0, |entry| offset_of(entry))
        }
    }
}

fn is_newest_at(log: &Log, entry: &Publication, last: u64) -> bool {
    log.newest_of(name_of(entry), last).is_some_and(|newest| newest.position == entry.position)
}

/// Whether it says that its entry is gone.
pub(crate) fn is_removal(publication: &Publication) -> bool {
    publication.role.entry().is_some_and(|entry| entry.removed)
}

fn offset_of(publication: &Publication) -> u64 {
    publication.position.map_or(0, |position| position.offset.0)
}
