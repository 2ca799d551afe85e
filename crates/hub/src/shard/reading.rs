//! Letting sessions in, and answering questions for the past: what the owner does with each step that `join` and
//! `history` decide on.

use trunkline_backend::{Located, ReadResult, StoreError, Window};
use trunkline_model::Recovery;

use super::{Context, Shard, StoreQuestion, Waiting};
use crate::answers::{answer_page, busy, describe, finish_join, read_fault, refuse_join, refuse_page};
use crate::channel::{Body, Channel};
use crate::history::{PageQuestion, PageStep};
use crate::hot::Hot;
use crate::join::{Begin, Entrance, Join, Step};
use crate::peer::{Missing, Tell};

impl Shard {
    pub(super) fn advance_join(&mut self, mut join: Join, cx: &mut Context<'_>) {
        let mut page = Window { entries: self.limits.history_page, bytes: self.limits.history_page_bytes };
        if matches!(join.begin, Begin::Missing(_)) {
            // It goes into an outbox that is full up to a quarter, and where it must not pass the half again at once.
            page.bytes = page.bytes.min(self.limits.outbox_bytes / 8);
        }
        let Some(channel) = self.channels.get_mut(&join.channel) else {
            refuse_join(join, busy("the channel was let go".to_owned()), cx);
            return;
        };
        let Body::Log(log) = &channel.body else {
            refuse_join(join, busy("the channel is being opened".to_owned()), cx);
            return;
        };
        let step = join.step(channel, log, page);
        if matches!(step, Step::Finish(_) | Step::CatchUp { .. })
            && let Err(fault) = self.presences.enter(&channel.namespace, &mut join, cx)
        {
            refuse_join(join, fault, cx);
            return;
        }
        match step {
            Step::Finish(entrance) => finish_join(channel, join, entrance, cx),
            Step::CatchUp { place, since } => {
                // Of entries some are left of those offsets, and fewer when they are told.
                let replay = match &log.hot {
                    Hot::Ring(_) => place.offset.since(since.offset),
                    Hot::Latest(latest) => latest.count_of(since.offset.next(), place.offset) as u64,
                };
                let entrance = Entrance::at(place, Recovery::CatchingUp(replay));
                let Join { worker, session, generation, .. } = join;
                let subscribed = describe(channel, join, entrance);
                let missing = Missing::After(since);
                // Its worker is interested from now on, so that the channel is not given up meanwhile.
                channel.link(worker, place);
                cx.peers.tell(worker, Tell::Behind { session, generation, subscribed, missing }, cx.out);
            }
            Step::Page(entries) => {
                let Join { worker, session, generation, channel, .. } = join;
                cx.peers.tell(worker, Tell::CaughtUp { session, generation, channel, entries }, cx.out);
            }
            Step::Read(read) => {
                self.ask_store(Waiting::Join(Box::new(join)), StoreQuestion::Read(read), cx);
            }
            Step::Locate(position) => {
                let question = StoreQuestion::Locate(join.channel.clone(), position);
                self.ask_store(Waiting::Join(Box::new(join)), question, cx);
            }
            Step::Park { catch_up } => {
                let name = join.channel.clone();
                if let Some(log) = channel.log_mut() {
                    log.parked.push(join);
                    log.unsure |= catch_up;
                }
                if catch_up {
                    self.catch_up(&name, cx);
                }
            }
        }
    }

    pub(super) fn join_located(
        &mut self,
        mut join: Join,
        result: Result<Located, StoreError>,
        cx: &mut Context<'_>,
    ) {
        match result {
            Ok(located) => {
                join.take_located(located);
                self.advance_join(join, cx);
            }
            Err(error) => refuse_join(join, read_fault(&error), cx),
        }
    }

    pub(super) fn join_read(
        &mut self,
        mut join: Join,
        result: Result<ReadResult, StoreError>,
        cx: &mut Context<'_>,
    ) {
        match result {
            Ok(read) => {
                if let Some(log) = self.channels.get_mut(&join.channel).and_then(Channel::log_mut) {
                    log.raise_floor(read.floor);
                }
                join.take(read);
                self.advance_join(join, cx);
            }
            Err(error) => refuse_join(join, read_fault(&error), cx),
        }
    }

    pub(super) fn advance_page(&mut self, mut page: PageQuestion, cx: &mut Context<'_>) {
        let Some(channel) = self.channels.get_mut(&page.query.channel) else {
            refuse_page(page, busy("the channel was let go".to_owned()), cx);
            return;
        };
        let Some(log) = channel.log_mut() else {
            refuse_page(page, busy("the channel is being opened".to_owned()), cx);
            return;
        };
        match page.step(log, &self.limits) {
            PageStep::Finish(done) => answer_page(page, done, cx),
            PageStep::Refuse(fault) => refuse_page(page, fault, cx),
            PageStep::Locate(position) => {
                let question = StoreQuestion::Locate(page.query.channel.clone(), position);
                self.ask_store(Waiting::Page(Box::new(page)), question, cx);
            }
            PageStep::Read(read) => {
                self.ask_store(Waiting::Page(Box::new(page)), StoreQuestion::Read(read), cx);
            }
        }
    }

    pub(super) fn page_located(
        &mut self,
        mut page: PageQuestion,
        result: Result<Located, StoreError>,
        cx: &mut Context<'_>,
    ) {
        match result {
            Ok(located) => {
                page.located = Some(located);
                self.advance_page(page, cx);
            }
            Err(error) => refuse_page(page, read_fault(&error), cx),
        }
    }

    pub(super) fn page_read(
        &mut self,
        page: PageQuestion,
        result: Result<ReadResult, StoreError>,
        cx: &mut Context<'_>,
    ) {
        let log = self.channels.get_mut(&page.query.channel).and_then(Channel::log_mut);
        match (result, log) {
            (Ok(_), Some(log)) if page.is_stale(log) => self.advance_page(page, cx),
            (Ok(read), Some(log)) => {
                log.raise_floor(read.floor);
                let done = page.page(log, read);
                answer_page(page, done, cx);
            }
            (Ok(_), None) => refuse_page(page, busy("the channel was let go".to_owned()), cx),
            (Err(error), _) => refuse_page(page, read_fault(&error), cx),
        }
    }
}
