//! The owner side of a worker: the channels whose name hashes to it, and everything that is under way
//! between them and the store.
//!
//! The promises kept here, for a `log`:
//! - what is sent to a worker is `applied + 1, applied + 2, …`, through one queue, joins included;
//! - nothing is sent before the store has it; the reply to a publish goes before its broadcast;
//! - a queue that is full stops at its place and goes on from the ring or the store when there is room.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use trunkline_backend::{
    Answer, Append, Appended, Direction, Head, Read, ReadResult, Request, StoreError, Ticket, Window,
};
use trunkline_model::{
    ChannelName, CommandId, Epoch, ErrorCode, Fault, Kind, Limits, Namespaces, Offset, Position, Publication,
    Publish, Publisher, Recovery, Reply, UserName,
};

use crate::answers::{
    RETRY, answer, answer_page, busy, finish_join, read_fault, refuse, refuse_join, refuse_page, store_fault,
};
use crate::channel::{Body, Channel, Fed};
use crate::history::{PageQuestion, PageStep};
use crate::input::{Moment, SessionId};
use crate::join::{Begin, Join, Step};
use crate::output::Output;
use crate::peer::{Ask, Peers, Question, Tell};

/// How much of a gap is read at once.
const GAP_WINDOW: Window = Window { entries: 1_000, bytes: 1 << 20 };

/// How much longer the store remembers a key than its age may be: a publish whose key was just young enough when it was
/// checked may wait for so long until it is stored, and must still meet the first.
const KEY_SLACK: Duration = Duration::from_secs(60);

/// The place of a worker in a channel that has no places.
const NOWHERE: Position = Position { epoch: Epoch::NONE, offset: Offset::ZERO };

/// What a shard needs from its hub while it handles an input.
pub(crate) struct Context<'a> {
    pub(crate) now: Moment,
    pub(crate) peers: &'a mut Peers,
    pub(crate) out: &'a mut Vec<Output>,
}

/// The owner side of one worker.
#[derive(Debug)]
pub(crate) struct Shard {
    limits: Arc<Limits>,
    namespaces: Arc<Namespaces>,
    channels: HashMap<ChannelName, Channel>,
    waiting: HashMap<u64, Waiting>,
    next_ticket: u64,
    appends_in_flight: usize,
    reads_in_flight: usize,
    read_queue: VecDeque<(Waiting, StoreQuestion)>,
    /// Channels that each worker was not told everything of, for want of room in its queue.
    behind: Vec<Vec<ChannelName>>,
    /// Workers for which a read of what the ring had lost has failed.
    unread: Vec<(ChannelName, u16)>,
    /// Channels for which a read of what lies beyond `applied` has failed.
    lagging: Vec<ChannelName>,
    full_until: Duration,
}

/// A question to the store that has no ticket yet.
#[derive(Debug)]
enum StoreQuestion {
    Head(ChannelName, Window),
    Read(Read),
}

/// What to do with the answer to a ticket.
#[derive(Debug)]
enum Waiting {
    Append(Box<Stored>),
    Head(ChannelName),
    Join(Box<Join>),
    PageAt(Box<PageQuestion>),
    Page(Box<PageQuestion>),
    Link(ChannelName, u16),
    CatchUp(ChannelName),
}

/// A publication on its way into the store.
#[derive(Debug)]
struct Stored {
    worker: u16,
    session: SessionId,
    id: Option<CommandId>,
    publish: Publish,
    from: Option<UserName>,
}

impl Shard {
    pub(crate) fn new(limits: Arc<Limits>, namespaces: Arc<Namespaces>, workers: u16) -> Self {
        Self {
            limits,
            namespaces,
            channels: HashMap::new(),
            waiting: HashMap::new(),
            next_ticket: 0,
            appends_in_flight: 0,
            reads_in_flight: 0,
            read_queue: VecDeque::new(),
            behind: vec![Vec::new(); usize::from(workers)],
            unread: Vec::new(),
            lagging: Vec::new(),
            full_until: Duration::ZERO,
        }
    }

    pub(crate) fn handle_ask(&mut self, ask: Ask, cx: &mut Context<'_>) {
        let name = ask.question.channel().clone();
        if let Question::Leave(_) = ask.question {
            if let Some(channel) = self.channels.get_mut(&name) {
                channel.unlink(ask.worker);
            }
            cx.peers.tell(ask.worker, Tell::Left, cx.out);
            return;
        }
        if let Err(fault) = self.open(&name, cx) {
            refuse(ask, fault, cx);
            return;
        }
        let channel = self.channels.get_mut(&name).expect("just opened");
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
            Body::Signal => handle_signal(channel, ask, cx),
        }
    }

    pub(crate) fn handle_answer(&mut self, answer: Answer, cx: &mut Context<'_>) {
        let number = answer.ticket().number;
        let Some(waiting) = self.waiting.remove(&number) else { return };
        match (waiting, answer) {
            (Waiting::Append(stored), Answer::Appended(_, result)) => {
                self.appends_in_flight -= 1;
                let name = stored.publish.channel.clone();
                self.settle(&name);
                if let Some(channel) = self.channels.get_mut(&name) {
                    channel.appending = channel.appending.saturating_sub(1);
                }
                self.handle_appended(*stored, result, cx);
                self.catch_up(&name, cx);
            }
            (waiting, Answer::Head(_, result)) => {
                self.read_done(cx);
                if let Waiting::Head(name) = waiting {
                    self.handle_head(&name, result, cx);
                }
            }
            (waiting, Answer::Read(_, result)) => {
                self.read_done(cx);
                self.handle_read(waiting, result, cx);
            }
            (_, Answer::Appended(..)) => {}
        }
    }

    /// Whether nothing is under way to or from the store, and every worker was told everything.
    pub(crate) fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.read_queue.is_empty() && self.behind.iter().all(Vec::is_empty)
    }

    pub(crate) fn is_behind(&self, worker: u16) -> bool {
        self.behind.get(usize::from(worker)).is_some_and(|behind| !behind.is_empty())
    }

    /// There is room again in the queue to `worker`.
    pub(crate) fn feed_behind(&mut self, worker: u16, cx: &mut Context<'_>) {
        if self.behind[usize::from(worker)].is_empty() || !cx.peers.may_broadcast(worker) {
            return;
        }
        for name in std::mem::take(&mut self.behind[usize::from(worker)]) {
            if let Some(channel) = self.channels.get_mut(&name) {
                channel.no_longer_behind(worker);
            }
            self.feed(&name, &[worker], cx);
        }
    }

    /// Tries failed reads again, and lets go of channels that nobody has used for a while.
    pub(crate) fn tick(&mut self, cx: &mut Context<'_>) {
        for (name, worker) in std::mem::take(&mut self.unread) {
            self.feed(&name, &[worker], cx);
        }
        for name in std::mem::take(&mut self.lagging) {
            self.catch_up(&name, cx);
        }
        let (keep, now) = (self.limits.channel_idle, cx.now);
        self.channels.retain(|_, channel| {
            if !channel.is_idle() {
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
        self.make_room(cx.now)?;
        let mut channel = Channel::new(namespace);
        if channel.namespace.kind == Kind::Log {
            channel.pending += 1;
            let head = StoreQuestion::Head(name.clone(), channel.ring_caps());
            self.channels.insert(name.clone(), channel);
            self.ask_store(Waiting::Head(name.clone()), head, cx);
        } else {
            self.channels.insert(name.clone(), channel);
        }
        Ok(())
    }

    fn make_room(&mut self, now: Moment) -> Result<(), Fault> {
        if self.channels.len() < self.limits.channels {
            return Ok(());
        }
        // A sweep costs time in proportion to the channels, so a full shard sweeps once per second at most.
        if now.uptime >= self.full_until {
            self.channels.retain(|_, channel| !channel.is_idle());
            self.full_until = now.uptime + RETRY;
        }
        if self.channels.len() < self.limits.channels {
            return Ok(());
        }
        let message = format!("this worker holds {} channels in use, its limit", self.limits.channels);
        Err(Fault::new(ErrorCode::LimitExceeded, message).retry_in(RETRY))
    }

    fn handle_log(&mut self, ask: Ask, cx: &mut Context<'_>) {
        let Ask { worker, session, id, question } = ask;
        match question {
            Question::Join { channel, generation, start } => {
                let begin = Begin::Asked(start);
                self.advance_join(Join::new(worker, session, id, channel, generation, begin), cx);
            }
            Question::Resume { channel, generation, missing } => {
                let begin = Begin::Missing(missing);
                self.advance_join(Join::new(worker, session, id, channel, generation, begin), cx);
            }
            Question::Publish { publish, from, publisher } => {
                self.append(Stored { worker, session, id, publish, from }, publisher, cx);
            }
            Question::History(query) => {
                self.advance_page(PageQuestion { worker, session, id, query, entry_at: None, top: None }, cx);
            }
            Question::Leave(_) => {}
        }
    }

    fn append(&mut self, stored: Stored, publisher: Publisher, cx: &mut Context<'_>) {
        if self.appends_in_flight >= self.limits.appends_in_flight {
            let fault = busy(format!("{} publications wait for the store", self.appends_in_flight))
                .about(&stored.publish.channel)
                .answering(stored.id);
            answer(stored.worker, stored.session, Reply::Fault(fault), cx);
            return;
        }
        let channel = self.channels.get_mut(&stored.publish.channel).expect("the caller found it");
        channel.pending += 1;
        channel.appending += 1;
        self.appends_in_flight += 1;
        let append = Append {
            channel: stored.publish.channel.clone(),
            payload: stored.publish.payload.clone(),
            from: stored.from.clone(),
            publisher,
            key: stored.publish.key.clone(),
            keys: channel.namespace.keys.saturating_add(KEY_SLACK),
        };
        let ticket = self.ticket(Waiting::Append(Box::new(stored)), cx);
        cx.out.push(Output::Store(Request::Append(ticket, append)));
    }

    fn handle_appended(
        &mut self,
        stored: Stored,
        result: Result<Appended, StoreError>,
        cx: &mut Context<'_>,
    ) {
        let Stored { worker, session, id, publish, from } = stored;
        let name = publish.channel.clone();
        let appended = match result {
            Ok(appended) => appended,
            Err(error) => {
                let unknown = matches!(error, StoreError::Unknown(_));
                let fault = store_fault(&error).about(&name).answering(id);
                answer(worker, session, Reply::Fault(fault), cx);
                if let Some(log) = self.channels.get_mut(&name).and_then(Channel::log_mut) {
                    log.unsure |= unknown;
                }
                return;
            }
        };
        let reply = Reply::Published {
            id,
            channel: name.clone(),
            position: Some(appended.position),
            key: publish.key.clone(),
            ts: appended.ts,
            duplicate: appended.duplicate,
        };
        answer(worker, session, reply, cx);
        if appended.duplicate {
            return;
        }
        let mut publication = Publication::new(name.clone(), appended.ts, publish.payload);
        publication.position = Some(appended.position);
        publication.begins_epoch = appended.begins_epoch;
        publication.from = from;
        publication.key = publish.key;
        self.deliver(&name, Arc::new(publication), cx);
    }

    /// Applies and sends out the next entry; a later one makes the owner read what lies between.
    fn deliver(&mut self, name: &ChannelName, publication: Arc<Publication>, cx: &mut Context<'_>) {
        let offset = publication.position.map_or(Offset::ZERO, |position| position.offset);
        let Some(channel) = self.channels.get_mut(name) else { return };
        if let Some(log) = channel.log_mut() {
            log.told = log.told.max(offset);
        }
        if channel.apply(publication) {
            self.feed_all(name, cx);
        }
    }

    /// Reads what the store has beyond `applied`, if there is reason to believe that it has something.
    fn catch_up(&mut self, name: &ChannelName, cx: &mut Context<'_>) {
        let Some(channel) = self.channels.get_mut(name) else { return };
        let Some(last) = channel.missing() else { return };
        let Some(log) = channel.log_mut() else { return };
        log.catching_up = true;
        log.unsure &= last.0 < u64::MAX;
        let first = log.applied.offset.next();
        channel.pending += 1;
        let read =
            Read { channel: name.clone(), first, last, direction: Direction::Forward, window: GAP_WINDOW };
        self.ask_store(Waiting::CatchUp(name.clone()), StoreQuestion::Read(read), cx);
    }

    fn handle_head(&mut self, name: &ChannelName, result: Result<Head, StoreError>, cx: &mut Context<'_>) {
        self.settle(name);
        match result {
            Ok(head) => {
                let Some(channel) = self.channels.get_mut(name) else { return };
                for ask in channel.open(head) {
                    self.handle_log(ask, cx);
                }
            }
            Err(error) => {
                let Some(channel) = self.channels.remove(name) else { return };
                if let Body::Opening(waiting) = channel.body {
                    for ask in waiting {
                        refuse(ask, read_fault(&error), cx);
                    }
                }
            }
        }
    }

    fn handle_read(
        &mut self,
        waiting: Waiting,
        result: Result<ReadResult, StoreError>,
        cx: &mut Context<'_>,
    ) {
        match waiting {
            Waiting::Join(mut join) => {
                self.settle(&join.channel);
                match result {
                    Ok(read) => {
                        join.take(read.entries);
                        self.advance_join(*join, cx);
                    }
                    Err(error) => refuse_join(*join, read_fault(&error), cx),
                }
            }
            Waiting::PageAt(mut page) => {
                self.settle(&page.query.channel);
                match result {
                    Ok(read) => {
                        page.entry_at = Some(read.entries.first().and_then(|entry| entry.position));
                        self.advance_page(*page, cx);
                    }
                    Err(error) => refuse_page(*page, read_fault(&error), cx),
                }
            }
            Waiting::Page(page) => {
                self.settle(&page.query.channel);
                self.finish_page(*page, result, cx);
            }
            Waiting::Link(name, worker) => {
                self.settle(&name);
                self.handle_link_read(&name, worker, result, cx);
            }
            Waiting::CatchUp(name) => {
                self.settle(&name);
                self.handle_caught_up(&name, result, cx);
            }
            Waiting::Append(_) | Waiting::Head(_) => {}
        }
    }

    fn handle_link_read(
        &mut self,
        name: &ChannelName,
        worker: u16,
        result: Result<ReadResult, StoreError>,
        cx: &mut Context<'_>,
    ) {
        let Some(channel) = self.channels.get_mut(name) else { return };
        match result {
            Ok(read) => {
                channel.feed_read(worker, &read.entries, cx.peers, cx.out);
                self.feed(name, &[worker], cx);
            }
            Err(_) => {
                // It stays behind and is fed again with the next tick or publication.
                channel.feed_read(worker, &[], cx.peers, cx.out);
                self.unread.push((name.clone(), worker));
            }
        }
    }

    fn handle_caught_up(
        &mut self,
        name: &ChannelName,
        result: Result<ReadResult, StoreError>,
        cx: &mut Context<'_>,
    ) {
        let Some(channel) = self.channels.get_mut(name) else { return };
        let Some(log) = channel.log_mut() else { return };
        log.catching_up = false;
        let Ok(read) = result else {
            // The next publication, the next join from ahead, or the next tick tries again.
            log.unsure = true;
            self.lagging.push(name.clone());
            let parked = std::mem::take(&mut log.parked);
            let fault = busy("the store could not be read".to_owned());
            parked.into_iter().for_each(|join| refuse_join(join, fault.clone(), cx));
            return;
        };
        channel.take_missing(read.entries);
        self.feed_all(name, cx);
        self.catch_up(name, cx);
    }

    fn feed_all(&mut self, name: &ChannelName, cx: &mut Context<'_>) {
        let Some(channel) = self.channels.get(name) else { return };
        let workers = channel.linked_workers();
        self.feed(name, &workers, cx);
    }

    /// Sends these workers what they have not been told yet, and looks again at what waited for that.
    fn feed(&mut self, name: &ChannelName, workers: &[u16], cx: &mut Context<'_>) {
        for &worker in workers {
            let Some(channel) = self.channels.get_mut(name) else { return };
            match channel.feed(worker, cx.peers, cx.out) {
                Fed::All => {}
                Fed::NoRoom => {
                    if channel.falls_behind(worker) {
                        self.behind[usize::from(worker)].push(name.clone());
                    }
                }
                Fed::NeedsRead(first) => {
                    channel.pending += 1;
                    let last = channel.log_mut().map_or(first, |log| log.applied.offset);
                    let read = Read {
                        channel: name.clone(),
                        first,
                        last,
                        direction: Direction::Forward,
                        window: GAP_WINDOW,
                    };
                    self.ask_store(Waiting::Link(name.clone(), worker), StoreQuestion::Read(read), cx);
                }
            }
        }
        let Some(log) = self.channels.get_mut(name).and_then(Channel::log_mut) else { return };
        for join in std::mem::take(&mut log.parked) {
            self.advance_join(join, cx);
        }
    }

    fn advance_join(&mut self, mut join: Join, cx: &mut Context<'_>) {
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
        match join.step(channel, log, page) {
            Step::Finish { place, recovery, items } => finish_join(channel, join, place, recovery, items, cx),
            Step::Page(entries) => {
                let Join { worker, session, generation, channel, .. } = join;
                cx.peers.tell(worker, Tell::CaughtUp { session, generation, channel, entries }, cx.out);
            }
            Step::Read(read) => {
                channel.pending += 1;
                self.ask_store(Waiting::Join(Box::new(join)), StoreQuestion::Read(read), cx);
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

    fn advance_page(&mut self, mut page: PageQuestion, cx: &mut Context<'_>) {
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
            PageStep::ReadAt(read) => {
                channel.pending += 1;
                self.ask_store(Waiting::PageAt(Box::new(page)), StoreQuestion::Read(read), cx);
            }
            PageStep::Read(read) => {
                channel.pending += 1;
                self.ask_store(Waiting::Page(Box::new(page)), StoreQuestion::Read(read), cx);
            }
        }
    }

    fn finish_page(
        &mut self,
        page: PageQuestion,
        result: Result<ReadResult, StoreError>,
        cx: &mut Context<'_>,
    ) {
        let log = self.channels.get_mut(&page.query.channel).and_then(Channel::log_mut);
        match (result, log) {
            (Ok(read), Some(log)) => {
                let done = page.page(log, read.entries);
                answer_page(page, done, cx);
            }
            (Ok(_), None) => refuse_page(page, busy("the channel was let go".to_owned()), cx),
            (Err(error), _) => refuse_page(page, read_fault(&error), cx),
        }
    }

    fn ticket(&mut self, waiting: Waiting, cx: &Context<'_>) -> Ticket {
        self.next_ticket += 1;
        self.waiting.insert(self.next_ticket, waiting);
        Ticket { worker: cx.peers.me, number: self.next_ticket }
    }

    fn ask_store(&mut self, waiting: Waiting, question: StoreQuestion, cx: &mut Context<'_>) {
        if self.reads_in_flight >= self.limits.reads_in_flight {
            self.read_queue.push_back((waiting, question));
            return;
        }
        self.reads_in_flight += 1;
        let ticket = self.ticket(waiting, cx);
        cx.out.push(Output::Store(match question {
            StoreQuestion::Head(name, window) => Request::Head(ticket, name, window),
            StoreQuestion::Read(read) => Request::Read(ticket, read),
        }));
    }

    fn read_done(&mut self, cx: &mut Context<'_>) {
        self.reads_in_flight -= 1;
        if let Some((waiting, question)) = self.read_queue.pop_front() {
            self.ask_store(waiting, question, cx);
        }
    }

    /// One thing that was under way for the channel has come back.
    fn settle(&mut self, name: &ChannelName) {
        if let Some(channel) = self.channels.get_mut(name) {
            channel.pending = channel.pending.saturating_sub(1);
        }
    }
}

fn handle_signal(channel: &mut Channel, ask: Ask, cx: &mut Context<'_>) {
    let Ask { worker, session, id, question } = ask;
    match question {
        Question::Join { channel: name, generation, start } => {
            let join = Join::new(worker, session, id, name, generation, Begin::Asked(start));
            finish_join(channel, join, NOWHERE, Recovery::NotAsked, None, cx);
        }
        Question::Publish { publish, from, .. } => {
            let mut publication = Publication::new(publish.channel.clone(), cx.now.ts, publish.payload);
            publication.from = from;
            publication.key = publish.key.clone();
            let reply = Reply::Published {
                id,
                channel: publish.channel,
                position: None,
                key: publish.key,
                ts: cx.now.ts,
                duplicate: false,
            };
            answer(worker, session, reply, cx);
            channel.signal(&Arc::new(publication), cx.peers, cx.out);
        }
        Question::History(query) => {
            let message = format!("{} is of kind `signal` and keeps no history", query.channel);
            let fault = Fault::new(ErrorCode::BadRequest, message).about(&query.channel).answering(id);
            answer(worker, session, Reply::Fault(fault), cx);
        }
        Question::Resume { channel: name, generation, missing } => {
            let join = Join::new(worker, session, id, name, generation, Begin::Missing(missing));
            finish_join(channel, join, NOWHERE, Recovery::NotAsked, None, cx);
        }
        Question::Leave(_) => {}
    }
}
