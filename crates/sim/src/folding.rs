//! Messages of a log of which others are about: what edits, deletions and reactions make of them in pages, and that a
//! deletion leaves nothing. Compared with a fold over the log as it was stored. Pure functions, called by `checks` and
//! `hearing`.

use std::sync::Arc;

use trunkline_backend::FOLDED_LOOKS;
use trunkline_model::{ErrorCode, Offset, Op, Publication};

use crate::checks::Range;
use crate::client::Sent;
use crate::store::Log;
use crate::truth::Truth;
use crate::violation::{Checked, Checker, ensure};

/// No payload is told of what was deleted up to `last`: the deletion was in the log when it was asked for, and comes
/// before the place that the answer names.
pub(crate) fn check_erased<'p>(
    told: impl IntoIterator<Item = &'p Publication>,
    last: u64,
    log: &Log,
) -> Checked {
    let carries = |told: &&Publication| {
        let offset = told.position.map_or(0, |position| position.offset.0);
        let deleted = log.erased_by(offset).is_some_and(|by| by <= last);
        deleted && !(told.erased && told.payload.bytes.is_empty())
    };
    let kept = told.into_iter().find(carries);
    ensure(kept.is_none(), Checker::Erased, || {
        format!("{kept:?} is told with what was deleted before {last}")
    })
}

/// `items` are the messages of `range`, from its end that was asked for, each with what was made of it. What was made of
/// it after the range is known or not.
pub(crate) fn check_folded(
    items: &[Arc<Publication>],
    covered: Option<(u64, u64)>,
    more: bool,
    (range, log, truth): (&Range, &Log, Truth<'_>),
) -> Checked {
    items.iter().try_for_each(|item| check_fold(item, range.top, log))?;
    let (Some(first), Some(last)) = (items.first(), items.last()) else {
        return Ok(());
    };
    let offset = |item: &Publication| item.position.map_or(0, |position| position.offset.0);
    let (lo, hi) = covered.unwrap_or((offset(first), if range.newest { range.last } else { offset(last) }));
    let is_message = |entry: &&Arc<Publication>| entry.role.reference().is_none();
    let there = log.range(lo.max(log.floor()), hi).iter().filter(is_message).map(|entry| entry.position);
    let told = items.iter().filter(|item| offset(item) >= log.floor()).map(|item| item.position);
    ensure(there.eq(told), Checker::Page, || format!("{items:?} are not the messages of {lo}..{hi}"))?;
    if log.floor() > log.floor_at_start() {
        return Ok(());
    }
    let rest = if range.newest { lo > range.first } else { hi < range.last };
    let anchored = if range.newest { hi == range.last } else { lo == range.first };
    ensure(anchored && (more == rest || covered.is_none()), Checker::Page, || {
        format!("{lo}..{hi} of {}..{} are given, `more` is {more}", range.first, range.last)
    })?;
    let full = items.len() as u64 >= range.count || truth.rules.page_bytes < 1 << 20;
    let looked = hi.saturating_sub(lo) + 1 >= range.count.saturating_mul(FOLDED_LOOKS as u64);
    ensure(!more || full || looked || covered.is_none(), Checker::Page, || {
        format!("a page of {} items of {} ends at {lo}..{hi}, and there is more", items.len(), range.count)
    })
}

/// The item is its message, with all that was made of it up to `top`, or up to something later. A deletion beyond `top`
/// may have erased it already.
fn check_fold(item: &Publication, top: u64, log: &Log) -> Checked {
    let offset = item.position.map_or(0, |position| position.offset.0);
    let rev = item.fold.as_ref().map_or(0, |fold| fold.rev.0);
    let expect = log.original(offset).map(|message| {
        let erased = item.erased && log.erased_by(offset).is_some();
        let mut message = if erased { message.erase() } else { message.copy() };
        (1..=top.max(rev)).filter_map(|at| log.original(at)).for_each(|reference| message.fold(reference));
        message
    });
    ensure(expect.as_ref() == Some(item), Checker::Page, || {
        let text = crate::words::text;
        format!(
            "{item:?} is told as {} with {:?}; it is {:?} with {:?}",
            text(item),
            item.fold,
            expect.as_ref().map(text),
            expect.as_ref().and_then(|expect| expect.fold.as_ref())
        )
    })
}

/// What may be said against something about an earlier message, as the log is, or was when it was sent.
pub(crate) fn check_refused(sent: &Sent, code: ErrorCode, truth: Truth<'_>) -> Checked {
    let log = truth.log(&sent.channel);
    if sent.about.removes && code == ErrorCode::NotFound {
        return crate::entries::check_nothing_to_remove(sent, truth);
    }
    let Some(about) = sent.about.reference else {
        return ensure(false, Checker::NoFalseAlarm, || format!("{sent:?} is refused as {code}"));
    };
    let target = log.original(about.target.0);
    let founded = match code {
        ErrorCode::BadRequest => target.is_some_and(|target| target.role.reference().is_some()),
        ErrorCode::NotFound => {
            let was_there = (1..=sent.head).contains(&about.target.0);
            !was_there || log.erased_by(about.target.0).is_some() || about.op == Op::Unreact
        }
        ErrorCode::Forbidden => matches!(about.op, Op::Edit | Op::Delete),
        _ => false,
    };
    ensure(founded || truth.store.losses > sent.losses, Checker::NoFalseAlarm, || {
        format!("{sent:?} is refused as {code}, where {target:?} is")
    })
}

/// Whether the answer to a reaction names the one that stands.
pub(crate) fn is_same_reaction(sent: &Sent, stored: &Publication) -> bool {
    let about = sent.about.reference.filter(|about| about.op == Op::React);
    about.is_some() && stored.role.reference() == about.as_ref()
}

/// Up to where deletions bind an answer that was asked for when the log's head was `asked`, and that is right up to
/// `place`: nowhere, if the log may have lost its end since.
pub(crate) fn binding(asked: u64, place: Offset, truth: Truth<'_>) -> u64 {
    if truth.is_steady() { asked.min(place.0) } else { 0 }
}
