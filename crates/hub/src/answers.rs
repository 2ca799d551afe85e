//! What the owner of a channel tells those who asked, and the faults it has for them. Written by `shard`.

use std::time::Duration;

use trunkline_backend::{Refusal, StoreError};
use trunkline_model::{ErrorCode, Fault, Offset, Page, Rate, Reply, Start, Subscribed};

use crate::channel::{Body, Channel};
use crate::history::PageQuestion;
use crate::input::SessionId;
use crate::join::{Begin, Entrance, Join};
use crate::peer::{Ask, Question, Tell};
use crate::shard::Context;

/// How long a client should wait after `not_available`.
pub(crate) const RETRY: Duration = Duration::from_secs(1);

pub(crate) fn finish_join(channel: &mut Channel, join: Join, entrance: Entrance, cx: &mut Context<'_>) {
    let Join { worker, session, generation, .. } = join;
    channel.link(worker, entrance.place);
    let subscribed = describe(channel, join, entrance);
    cx.peers.tell(worker, Tell::Joined { session, generation, subscribed }, cx.out);
}

/// What the client is told of how it is let in.
pub(crate) fn describe(channel: &Channel, join: Join, entrance: Entrance) -> Box<Subscribed> {
    let Entrance { place, recovery, items, entries } = entrance;
    let (position, floor) = match &channel.body {
        Body::Log(log) => (Some(place), log.floor.max(join.floor)),
        Body::Opening(_) | Body::Signal => (None, Offset::ZERO),
    };
    let Join { id, channel: name, present: presence, .. } = join;
    // What it may do is known where its session is.
    let (kind, can) = (channel.namespace.kind, Vec::new());
    Box::new(Subscribed { id, channel: name, kind, position, floor, recovery, items, entries, presence, can })
}

pub(crate) fn answer(worker: u16, session: SessionId, reply: Reply, cx: &mut Context<'_>) {
    cx.peers.tell(worker, Tell::Answer { session, reply }, cx.out);
}

pub(crate) fn answer_page(page: PageQuestion, done: Page, cx: &mut Context<'_>) {
    let reply = Reply::History { id: page.id, channel: page.query.channel, page: done };
    answer(page.worker, page.session, reply, cx);
}

pub(crate) fn refuse(ask: Ask, fault: Fault, cx: &mut Context<'_>) {
    let Ask { worker, session, id, question } = ask;
    let channel = question.channel().clone();
    if let Question::Join { generation, .. } | Question::Resume { generation, .. } = question {
        let join = Join::new(worker, session, id, channel, generation, Begin::Asked(Start::Next));
        refuse_join(join, fault, cx);
    } else {
        answer(worker, session, Reply::Fault(fault.about(&channel).answering(id)), cx);
    }
}

pub(crate) fn refuse_join(join: Join, fault: Fault, cx: &mut Context<'_>) {
    let reply = Reply::Fault(fault.about(&join.channel).answering(join.id));
    let Join { worker, session, generation, channel, .. } = join;
    cx.peers.tell(worker, Tell::NotJoined { session, generation, channel, reply }, cx.out);
}

pub(crate) fn refuse_page(page: PageQuestion, fault: Fault, cx: &mut Context<'_>) {
    let fault = fault.about(&page.query.channel).answering(page.id);
    answer(page.worker, page.session, Reply::Fault(fault), cx);
}

pub(crate) fn busy(message: String) -> Fault {
    Fault::new(ErrorCode::NotAvailable, message).retry_in(RETRY)
}

/// `who` does something faster than `rate`; in `wait` it may again.
pub(crate) fn too_fast(who: &str, rate: Option<Rate>, wait: Duration) -> Fault {
    let Rate { interval, burst } = rate.unwrap_or(Rate { interval: wait, burst: 1 });
    let message =
        format!("{who} faster than once in {} ms, {burst} at once, its limit", interval.as_millis().max(1));
    // A whole millisecond, because a client that comes at the very moment should not be told 0.
    let wait = Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).saturating_add(1));
    Fault::new(ErrorCode::RateLimited, message).retry_in(wait)
}

pub(crate) fn read_fault(error: &StoreError) -> Fault {
    busy(format!("the store could not be read: {error}"))
}

pub(crate) fn store_fault(error: &StoreError) -> Fault {
    match error {
        StoreError::Unknown(_) => Fault::new(ErrorCode::Internal, error.to_string()).retry_in(RETRY),
        StoreError::Refused(refusal) => refusal_fault(refusal),
        _ => busy(error.to_string()),
    }
}

fn refusal_fault(refusal: &Refusal) -> Fault {
    let code = match refusal {
        Refusal::Conflict(_) => ErrorCode::Conflict,
        Refusal::NoTarget(_) | Refusal::TargetDeleted(_) | Refusal::NoReaction(_) => ErrorCode::NotFound,
        Refusal::TargetIsReference(_) => ErrorCode::BadRequest,
        Refusal::NotAuthor(_) => ErrorCode::Forbidden,
        Refusal::TooManyReactions(_) | Refusal::TooManyKeys(_) => ErrorCode::LimitExceeded,
        _ => ErrorCode::Internal,
    };
    let fault = Fault::new(code, refusal.to_string());
    match refusal {
        Refusal::Conflict(position) => Fault { position: Some(*position), ..fault },
        Refusal::TooManyKeys(_) => fault.retry_in(RETRY),
        _ => fault,
    }
}
