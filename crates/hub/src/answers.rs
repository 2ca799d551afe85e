//! What the owner of a channel tells those who asked, and the faults it has for them. Written by `shard`.

use std::sync::Arc;
use std::time::Duration;

use trunkline_backend::StoreError;
use trunkline_model::{
    Capability, ErrorCode, Fault, Offset, Page, Position, Publication, Recovery, Reply, Start, Subscribed,
};

use crate::channel::{Body, Channel};
use crate::history::PageQuestion;
use crate::input::SessionId;
use crate::join::{Begin, Join};
use crate::peer::{Ask, Question, Tell};
use crate::shard::Context;

/// How long a client should wait after `not_available`.
pub(crate) const RETRY: Duration = Duration::from_secs(1);

pub(crate) fn finish_join(
    channel: &mut Channel,
    join: Join,
    place: Position,
    recovery: Recovery,
    items: Option<(Vec<Arc<Publication>>, bool)>,
    cx: &mut Context<'_>,
) {
    let (position, floor, can) = match &channel.body {
        Body::Log(log) => (Some(place), log.floor, vec![Capability::Publish, Capability::History]),
        Body::Opening(_) | Body::Signal => (None, Offset::ZERO, vec![Capability::Publish]),
    };
    let Join { worker, session, id, channel: name, generation, .. } = join;
    let kind = channel.namespace.kind;
    let subscribed = Box::new(Subscribed { id, channel: name, kind, position, floor, recovery, items, can });
    channel.link(worker, place);
    cx.peers.tell(worker, Tell::Joined { session, generation, subscribed }, cx.out);
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

pub(crate) fn read_fault(error: &StoreError) -> Fault {
    busy(format!("the store could not be read: {error}"))
}

pub(crate) fn store_fault(error: &StoreError) -> Fault {
    match error {
        StoreError::Unknown(_) => Fault::new(ErrorCode::Internal, error.to_string()).retry_in(RETRY),
        _ => busy(error.to_string()),
    }
}
