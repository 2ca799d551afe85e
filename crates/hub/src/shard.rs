//! The owner side of a worker: the channels whose name hashes to it, and everything that is under way
//! between them and the store.
//!
//! The promises kept here, for a `log`:
//! - what is sent to a worker is `applied + 1, applied + 2, …`, through one queue, joins included;
//! - nothing is sent before the store has it; the reply to a publish goes before its broadcast;
//! - a queue that is full stops at its place and goes on from memory or the store when there is room;
//! - where the store no longer holds what was sent, that is told before anything newer.
//!
//! This file takes what comes in and opens channels; `publishing` stores, `feeding` sends out, `reading` lets in and
//! answers questions for the past, `memory` says how much stays there, `doubt` finds out whether the log is still the one that was known.

mod breaking;
mod doubt;
mod expiring;
mod feeding;
mod memory;
mod presence;
mod publishing;
mod reading;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use trunkline_backend::{Answer, Head, Read, Request, StoreError, Ticket, Window};
use trunkline_model::{ChannelName, Epoch, ErrorCode, Fault, Limits, Namespaces, Offset, Position};

use crate::answers::{RETRY, busy, read_fault, refuse, too_fast};
use crate::channel::{Body, Channel};
use crate::history::PageQuestion;
use crate::input::Moment;
use crate::join::{Begin, Join};
use crate::output::Output;
use crate::peer::{Ask, Peers, Question, Tell};
use crate::presence::Seat;
use crate::timers::{Due, Timers};

use breaking::Handling;
pub(crate) use expiring::Retry;
use memory::Memory;
use presence::Presences;
pub(crate) use publishing::Stored;

/// What a shard needs from its hub while it handles an input.
pub(crate) struct Context<'a> {
    pub(crate) now: Moment,
    pub(crate) peers: &'a mut Peers,
    pub(crate) timers: &'a mut Timers<Due>,
    pub(crate) out: &'a mut Vec<Output>,
}

/// The owner side of one worker.
#[derive(Debug)]
pub(crate) struct Shard {
    limits: Arc<Limits>,
    namespaces: Arc<Namespaces>,
    channels: HashMap<ChannelName, Channel>,
    presences: Presences,
    waiting: HashMap<u64, Waiting>,
    next_ticket: u64,
    appends_in_flight: usize,
    reads_in_flight: usize,
    /// Reads that wait for room. Those that open a channel, or find out whether a place is still there, go first: whole
    /// channels wait for them, and there are few.
    read_queue: VecDeque<(Waiting, StoreQuestion)>,
    first_queue: VecDeque<(Waiting, StoreQuestion)>,
    /// Channels that each worker was not told everything of, for want of room in its queue.
    behind: Vec<Vec<ChannelName>>,
    /// Workers for which a read of what the ring had lost has failed.
    unread: Vec<(ChannelName, u16)>,
    /// Channels for which a read of what lies beyond `applied` has failed.
    lagging: Vec<ChannelName>,
    /// Channels of which the store could not say whether it still holds what is applied.
    doubted: Vec<ChannelName>,
    /// What is being handled: dropped if that panics.
    handling: Option<Handling>,
    /// Channels that have broken, and workers that are to be told so.
    broken: Vec<(ChannelName, u16)>,
    /// A channel whose handling is to panic.
    #[cfg(test)]
    pub(crate) trap: Option<ChannelName>,
    /// The life that the store is in, as far as is known.
    epoch: Option<Epoch>,
    /// The lives before, the last of them first: an answer may still come from there.
    epochs_before: VecDeque<Epoch>,
    full_until: Duration,
    memory: Memory,
}

/// A question to the store that has no ticket yet.
#[derive(Debug)]
enum StoreQuestion {
    Head(ChannelName, Window),
    Read(Read),
    Locate(ChannelName, Position),
}

/// What to do with the answer to a ticket.
#[derive(Debug)]
enum Waiting {
    Append(Box<Stored>),
    /// The head of a channel that is being opened, asked for in this life of the store.
    Head(ChannelName, Option<Epoch>),
    Join(Box<Join>),
    Page(Box<PageQuestion>),
    /// What a worker missed, read when the log had turned so often.
    Link(ChannelName, u16, u32),
    /// What lies beyond `applied`, likewise.
    CatchUp(ChannelName, u32),
    /// Whether `applied` is still in the log.
    Doubt(ChannelName, Known),
    /// The head of a log that went another way after this offset.
    Turn(ChannelName, Option<Offset>, Known),
}

/// What was known when the store was asked: how often the log had turned, and the life that the store was in.
type Known = (u32, Option<Epoch>);

impl Waiting {
    /// The channel that it is under way for.
    fn channel(&self) -> &ChannelName {
        match self {
            Self::Append(stored) => &stored.publish.channel,
            Self::Join(join) => &join.channel,
            Self::Page(page) => &page.query.channel,
            Self::Head(name, _)
            | Self::Link(name, ..)
            | Self::CatchUp(name, _)
            | Self::Doubt(name, _)
            | Self::Turn(name, ..) => name,
        }
    }
}

impl Shard {
    pub(crate) fn new(limits: Arc<Limits>, namespaces: Arc<Namespaces>, workers: u16) -> Self {
        Self {
            presences: Presences::new(Arc::clone(&limits)),
            limits,
            namespaces,
            channels: HashMap::new(),
            waiting: HashMap::new(),
            next_ticket: 0,
            appends_in_flight: 0,
            reads_in_flight: 0,
            read_queue: VecDeque::new(),
            first_queue: VecDeque::new(),
            behind: vec![Vec::new(); usize::from(workers)],
            unread: Vec::new(),
            lagging: Vec::new(),
            doubted: Vec::new(),
            handling: None,
            broken: Vec::new(),
            #[cfg(test)]
            trap: None,
            epoch: None,
            epochs_before: VecDeque::new(),
            full_until: Duration::ZERO,
            memory: Memory::default(),
        }
    }

    /// These are the namespaces from now on.
    pub(crate) fn configure(&mut self, namespaces: &Arc<Namespaces>) {
        self.namespaces = Arc::clone(namespaces);
        for (name, channel) in &mut self.channels {
            if let Some(namespace) = namespaces.of(name) {
                channel.namespace = Arc::clone(namespace);
            }
        }
    }

    pub(crate) fn handle_ask(&mut self, ask: Ask, cx: &mut Context<'_>) {
        self.handling = Some(Handling::ask(&ask));
        self.handle_asked(ask, cx);
        self.handling = None;
    }

    fn handle_asked(&mut self, ask: Ask, cx: &mut Context<'_>) {
        let name = ask.question.channel().clone();
        #[cfg(test)]
        assert_ne!(self.trap, Some(name.clone()), "the trap was set for this");
        let Some(ask) = self.handle_without_opening(ask, cx) else { return };
        if let Err(fault) = self.open(&name, cx) {
            refuse(ask, fault, cx);
            return;
        }
        let channel = self.channels.get_mut(&name).expect("just opened");
        if let Question::Publish { .. } = ask.question
            && let Err(wait) = channel.count_publish(cx.now.uptime)
        {
            let fault = too_fast("all together publish to the channel", channel.namespace.channel_rate, wait);
            refuse(ask, fault, cx);
            return;
        }
        match &mut channel.body {
            Body::Opening(waiting) => {
                let publishing = matches!(ask.question, Question::Publish { .. });
                if publishing && waiting.len() >= self.limits.channel_waiting {
                    refuse(ask, busy(format!("{name} is being opened and many wait for it already")), cx);
                } else {
                    waiting.push_back(ask);
                }
            }
            Body::Log(_) => self.handle_log(ask, cx),
            Body::Signal => publishing::handle_signal(channel, &mut self.presences, ask, cx),
        }
    }

    /// What needs no state of the channel but who is interested and who is there. Gives back what does.
    fn handle_without_opening(&mut self, ask: Ask, cx: &mut Context<'_>) -> Option<Ask> {
        let Ask { worker, session, id, question } = ask;
        let seat = Seat { worker, session };
        match question {
            Question::Leave(name) => {
                if let Some(channel) = self.channels.get_mut(&name) {
                    channel.unlink(worker);
                }
                cx.peers.tell(worker, Tell::Left, cx.out);
            }
            // What is bound there is seen to when it is opened.
            Question::Unbind { channel, .. } if !self.channels.contains_key(&channel) => {
                cx.peers.tell(worker, Tell::Left, cx.out);
            }
            Question::Depart { channel, generation } => self.depart(&channel, seat, generation, cx),
            Question::Members(channel) => self.tell_members(&channel, seat, cx),
            Question::Inform { channel, info } => self.inform(&channel, seat, info, cx),
            Question::Presence(query) => self.answer_presence((seat, id), query, cx),
            question => return Some(Ask { worker, session, id, question }),
        }
        None
    }

    pub(crate) fn handle_answer(&mut self, answer: Answer, cx: &mut Context<'_>) {
        let number = answer.ticket().number;
        let Some(waiting) = self.waiting.remove(&number) else { return };
        if let Some(channel) = self.channels.get_mut(waiting.channel()) {
            channel.pending = channel.pending.saturating_sub(1);
        }
        if !matches!(waiting, Waiting::Append(_)) {
            self.reads_in_flight -= 1;
            if let Some((waiting, question)) =
                self.first_queue.pop_front().or_else(|| self.read_queue.pop_front())
            {
                self.submit(waiting, question, cx);
            }
        }
        self.handling = Some(Handling::answer(&waiting));
        self.handle_answered(waiting, answer, cx);
        self.handling = None;
    }

    fn handle_answered(&mut self, waiting: Waiting, answer: Answer, cx: &mut Context<'_>) {
        #[cfg(test)]
        assert_ne!(self.trap.as_ref(), Some(waiting.channel()), "the trap was set for this");
        match (waiting, answer) {
            (Waiting::Append(stored), Answer::Appended(_, result)) => {
                self.handle_appended(*stored, result, cx);
            }
            (Waiting::Head(name, epoch), Answer::Head(_, result)) => {
                self.handle_head((&name, epoch), result, cx);
            }
            (Waiting::Turn(name, keep, known), Answer::Head(_, result)) => {
                self.handle_turn((&name, known), keep, result, cx);
            }
            (Waiting::Doubt(name, known), Answer::Located(_, result)) => {
                self.handle_doubt((&name, known), result, cx);
            }
            (Waiting::Join(join), Answer::Located(_, result)) => self.join_located(*join, result, cx),
            (Waiting::Page(page), Answer::Located(_, result)) => self.page_located(*page, result, cx),
            (Waiting::Join(join), Answer::Read(_, result)) => self.join_read(*join, result, cx),
            (Waiting::Page(page), Answer::Read(_, result)) => self.page_read(*page, result, cx),
            (Waiting::Link(name, worker, turn), Answer::Read(_, result)) => {
                self.handle_link_read((&name, turn), worker, result, cx);
            }
            (Waiting::CatchUp(name, turn), Answer::Read(_, result)) => {
                self.handle_caught_up((&name, turn), result, cx);
            }
            (waiting, answer) => debug_assert!(false, "{waiting:?} was answered with {answer:?}"),
        }
    }

    /// Whether nothing is under way to or from the store, and every worker was told everything.
    pub(crate) fn is_settled(&self) -> bool {
        self.waiting.is_empty()
            && self.first_queue.is_empty()
            && self.read_queue.is_empty()
            && self.behind.iter().all(Vec::is_empty)
    }

    pub(crate) fn channels(&self) -> usize {
        self.channels.len()
    }

    pub(crate) fn is_behind(&self, worker: u16) -> bool {
        self.behind.get(usize::from(worker)).is_some_and(|behind| !behind.is_empty())
    }

    /// Tries failed reads again, and lets go of channels that nobody has used for a while.
    pub(crate) fn tick(&mut self, cx: &mut Context<'_>) {
        for (name, worker) in std::mem::take(&mut self.unread) {
            self.feed(&name, &[worker], cx);
        }
        for name in std::mem::take(&mut self.lagging) {
            self.catch_up(&name, cx);
        }
        for name in std::mem::take(&mut self.doubted) {
            self.doubt(&name, cx);
        }
        self.forget_removals(cx);
        self.look_for_memory(cx);
        self.tell_broken(cx);
        let (keep, now) = (self.limits.channel_idle, cx.now);
        self.channels.retain(|_, channel| {
            if !channel.is_idle() || channel.has_mortal() {
                channel.idle_since = None;
                return true;
            }
            let since = *channel.idle_since.get_or_insert(now.uptime);
            now.uptime.saturating_sub(since) < keep
        });
    }

    /// Makes sure that the state of `name` exists; for a log its head is then known or being read.
    fn open(&mut self, name: &ChannelName, cx: &mut Context<'_>) -> Result<(), Fault> {
        if let Some(channel) = self.channels.get_mut(name) {
            channel.idle_since = None;
            return Ok(());
        }
        let Some(namespace) = self.namespaces.of(name) else {
            return Err(Fault::new(
                ErrorCode::UnknownNamespace,
                format!("there is no namespace {:?}", name.namespace()),
            ));
        };
        let namespace = Arc::clone(namespace);
        self.make_room(cx)?;
        self.check_memory(namespace.kind)?;
        let channel = Channel::new(namespace);
        let head = matches!(channel.body, Body::Opening(_))
            .then(|| StoreQuestion::Head(name.clone(), channel.head_window()));
        self.channels.insert(name.clone(), channel);
        if let Some(head) = head {
            self.ask_store(Waiting::Head(name.clone(), self.epoch), head, cx);
        }
        Ok(())
    }

    fn make_room(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        if self.channels.len() < self.limits.channels {
            return Ok(());
        }
        // A sweep costs time in proportion to the channels, so a full shard sweeps once per second at most.
        if cx.now.uptime >= self.full_until {
            self.let_go(cx, |_| true);
            self.full_until = cx.now.uptime + RETRY;
        }
        if self.channels.len() < self.limits.channels {
            return Ok(());
        }
        let message = format!("this worker holds {} channels in use, its limit", self.limits.channels);
        Err(Fault::new(ErrorCode::LimitExceeded, message).retry_in(RETRY))
    }

    /// Lets go of channels that nobody uses, if `may_go`. Entries that go by themselves go when they are opened again.
    fn let_go(&mut self, cx: &mut Context<'_>, may_go: impl Fn(&Channel) -> bool) {
        let presences = &self.presences;
        self.channels.retain(|name, channel| {
            let goes = channel.is_idle() && !presences.is_present(name) && may_go(channel);
            if goes {
                cx.timers.set(&Due::Entries(name.clone()), None);
            }
            !goes
        });
    }

    fn handle_head(
        &mut self,
        (name, epoch): (&ChannelName, Option<Epoch>),
        result: Result<Head, StoreError>,
        cx: &mut Context<'_>,
    ) {
        let kind = self.channels.get(name).map(|channel| channel.namespace.kind);
        let result = result.map_err(|error| read_fault(&error));
        // Others may have been opened meanwhile.
        match result.and_then(|head| kind.map_or(Ok(()), |kind| self.check_memory(kind)).map(|()| head)) {
            Ok(head) => {
                let Some(channel) = self.channels.get_mut(name) else { return };
                let waiting = channel.open(head, cx.now.uptime);
                let weight = channel.weight();
                if epoch != self.epoch {
                    self.doubt(name, cx);
                }
                // What has expired while nobody looked goes at once.
                self.remove_entries(name, cx);
                for ask in waiting {
                    self.handle_log(ask, cx);
                }
                self.weigh(0, weight, cx);
            }
            Err(fault) => {
                let Some(channel) = self.channels.remove(name) else { return };
                if let Body::Opening(waiting) = channel.body {
                    for ask in waiting {
                        refuse(ask, fault.clone(), cx);
                    }
                }
            }
        }
    }

    fn handle_log(&mut self, ask: Ask, cx: &mut Context<'_>) {
        let Ask { worker, session, id, question } = ask;
        match question {
            Question::Join { channel, generation, client, start, floor, entering } => {
                self.rebind(&channel, &client, (Seat { worker, session }, false), cx);
                let begin = Begin::Asked(start);
                let join = Join::new(worker, session, id, channel, generation, begin);
                self.advance_join(join.of(entering).above(floor), cx);
            }
            Question::Resume { channel, generation, missing, floor } => {
                let join = Join::new(worker, session, id, channel, generation, Begin::Missing(missing));
                self.advance_join(join.above(floor), cx);
            }
            Question::Publish { publish, author } => {
                if publish.bind {
                    self.rebind(&publish.channel, &author.client, (Seat { worker, session }, true), cx);
                }
                let channel = self.channels.get(&publish.channel).expect("the caller found it");
                let (asked, kind) = ((worker, session, id), channel.namespace.kind);
                let passes_through = publish.ephemeral;
                let stored = Stored::new(asked, publish, author, (kind, cx.now.ts));
                if passes_through {
                    publishing::pass_through(channel, stored, cx);
                } else {
                    self.publish(stored, cx);
                }
            }
            Question::History { query, floor } => {
                self.advance_page(PageQuestion::new(worker, session, id, (query, floor)), cx);
            }
            Question::Unbind { channel, client } => {
                self.unbind(&channel, client, Seat { worker, session }, cx);
                cx.peers.tell(worker, Tell::Left, cx.out);
            }
            Question::Leave(_)
            | Question::Depart { .. }
            | Question::Inform { .. }
            | Question::Members(_)
            | Question::Presence(_) => {}
        }
    }

    /// Puts a question other than an append to the store, now or when others have their answers.
    fn ask_store(&mut self, waiting: Waiting, question: StoreQuestion, cx: &mut Context<'_>) {
        if let Some(channel) = self.channels.get_mut(waiting.channel()) {
            channel.pending += 1;
        }
        if self.reads_in_flight >= self.limits.reads_in_flight {
            match question {
                StoreQuestion::Read(_) => self.read_queue.push_back((waiting, question)),
                StoreQuestion::Head(..) | StoreQuestion::Locate(..) => {
                    self.first_queue.push_back((waiting, question));
                }
            }
        } else {
            self.submit(waiting, question, cx);
        }
    }

    fn submit(&mut self, waiting: Waiting, question: StoreQuestion, cx: &mut Context<'_>) {
        self.reads_in_flight += 1;
        let ticket = self.ticket(waiting, cx);
        cx.out.push(Output::Store(match question {
            StoreQuestion::Head(name, window) => Request::Head(ticket, name, window),
            StoreQuestion::Read(read) => Request::Read(ticket, read),
            StoreQuestion::Locate(name, position) => Request::Locate(ticket, name, position),
        }));
    }

    fn ticket(&mut self, waiting: Waiting, cx: &Context<'_>) -> Ticket {
        self.next_ticket += 1;
        self.waiting.insert(self.next_ticket, waiting);
        Ticket { worker: cx.peers.me, number: self.next_ticket }
    }
}
