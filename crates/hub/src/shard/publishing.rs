//! Storing what is published, and answering it: the reply goes before the broadcast, and both come after the store's
//! word.
//!
//! In a `value` or a `map` only one batch is under way at a time. What comes meanwhile waits, and where a later
//! publication to the same entry comes before it was stored, that one takes its place (`merged`).

use std::sync::Arc;
use std::time::Duration;

use trunkline_backend::{Append, Appended, Request, StoreError};
use trunkline_model::{
    ChannelName, ClientId, CommandId, Entry, ErrorCode, Fault, Form, Kind, Offset, Payload, Position,
    Publication, Publish, Publisher, Reply, Role, Timestamp,
};

use super::{Context, Presences, Shard, Waiting};
use crate::answers::{answer, busy, finish_join, refuse_join, store_fault};
use crate::channel::{Channel, Log};
use crate::input::SessionId;
use crate::join::{Begin, Entrance, Join};
use crate::latest::name_of;
use crate::output::Output;
use crate::peer::{Ask, Author, Question, Tell};
use crate::ring::offset_of;

/// How much longer the store remembers a key than its age may be: a publish whose key was just young enough when it was
/// checked may wait for so long until it is stored, and must still meet the first.
const KEY_SLACK: Duration = Duration::from_secs(60);

/// A publication on its way into the store.
#[derive(Debug)]
pub(crate) struct Stored {
    /// Who waits for the answer; nobody where the hub itself publishes.
    asked: Option<Asked>,
    pub(crate) publish: Publish,
    role: Role,
    author: Author,
    /// What this one has overtaken, oldest first.
    overtaken: Vec<Stored>,
}

/// Who asked for it.
#[derive(Debug)]
struct Asked {
    worker: u16,
    session: SessionId,
    id: Option<CommandId>,
}

impl Stored {
    pub(crate) fn new(
        (worker, session, id): (u16, SessionId, Option<CommandId>),
        publish: Publish,
        author: Author,
        (kind, now): (Kind, Timestamp),
    ) -> Self {
        let role = role_of(&publish, kind, &author.client, now);
        let asked = Some(Asked { worker, session, id });
        Self { asked, publish, role, author, overtaken: Vec::new() }
    }

    /// The removal of an entry by the hub itself, if it is still what it was.
    pub(super) fn removal(entry: &Publication) -> Self {
        let role = Entry { name: name_of(entry), removed: true, ..Entry::default() };
        let nothing = Payload::new(Form::Text, "");
        Self {
            asked: None,
            publish: Publish {
                condition: Some(offset_of(entry)),
                ..Publish::new(entry.channel.clone(), nothing)
            },
            role: Role::Entry(Box::new(role)),
            author: Author {
                from: None,
                publisher: Publisher::new("hub"),
                client: ClientId::new("hub"),
                moderates: true,
                floor: Offset::ZERO,
            },
            overtaken: Vec::new(),
        }
    }

    /// Who asked for it, and under which id.
    pub(super) fn asked(&self) -> Option<(u16, SessionId, Option<CommandId>)> {
        self.asked.as_ref().map(|Asked { worker, session, id }| (*worker, *session, id.clone()))
    }

    /// How many it has overtaken.
    pub(super) fn overtaken(&self) -> usize {
        self.overtaken.len()
    }

    /// It and all that it has overtaken are refused.
    pub(super) fn refuse(self, fault: &Fault, cx: &mut Context<'_>) {
        refuse_publish(self, fault, cx);
    }

    /// Whether `later` can take its place.
    fn yields_to(&self, later: &Self) -> bool {
        let unconditional = self.publish.condition.is_none() && later.publish.condition.is_none();
        // One with a key may turn out to be a repeat, and then it is not stored and takes nobody's place.
        unconditional
            && later.publish.key.is_none()
            && self.role.entry().map(|entry| &entry.name) == later.role.entry().map(|entry| &entry.name)
    }

    /// This one and all that it has overtaken get their answers.
    fn answer(mut self, cx: &mut Context<'_>, reply: &impl Fn(&Publish, Option<CommandId>, bool) -> Reply) {
        for earlier in std::mem::take(&mut self.overtaken) {
            earlier.answer_alone(true, cx, reply);
        }
        self.answer_alone(false, cx, reply);
    }

    fn answer_alone(
        self,
        merged: bool,
        cx: &mut Context<'_>,
        reply: &impl Fn(&Publish, Option<CommandId>, bool) -> Reply,
    ) {
        if let Some(Asked { worker, session, id }) = self.asked {
            answer(worker, session, reply(&self.publish, id, merged), cx);
        }
    }
}

/// What a publication is within a channel of `kind`.
fn role_of(publish: &Publish, kind: Kind, client: &ClientId, now: Timestamp) -> Role {
    match (kind, publish.reference) {
        (Kind::Value | Kind::Map, _) => Role::Entry(Box::new(Entry {
            name: publish.entry.clone(),
            removed: publish.removes,
            expires: publish.ttl.filter(|_| !publish.removes).map(|ttl| {
                Timestamp(now.0.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)))
            }),
            owner: (publish.bind && !publish.removes).then(|| client.clone()),
        })),
        (_, Some(reference)) => Role::Reference(reference),
        (_, None) => Role::Message,
    }
}

impl Shard {
    /// Stores it, now or after what is under way; refuses it where that cannot be.
    pub(super) fn publish(&mut self, stored: Stored, cx: &mut Context<'_>) {
        let limits = Arc::clone(&self.limits);
        let name = stored.publish.channel.clone();
        if self.appends_in_flight >= limits.appends_in_flight {
            let fault = busy(format!("{} publications wait for the store", self.appends_in_flight));
            refuse_publish(stored, &fault, cx);
            return;
        }
        let channel = self.channels.get(&name).expect("the caller found it");
        if let (Err(fault), false) = (self.check_memory(channel.namespace.kind), stored.publish.removes) {
            refuse_publish(stored, &fault, cx);
            return;
        }
        let channel = self.channels.get_mut(&name).expect("the caller found it");
        let appending = channel.appending;
        let log = channel.log_mut().expect("the caller found it open");
        if !log.hot.skips() {
            self.append(stored, cx);
            return;
        }
        // The hub's own removals need no room.
        if stored.asked.is_some()
            && let Err(fault) = log.has_room_for(&stored, appending, &limits)
        {
            refuse_publish(stored, &fault, cx);
            return;
        }
        if appending == 0 {
            self.append(stored, cx);
        } else {
            self.appends_in_flight += 1;
            log.enqueue(stored);
        }
    }

    fn append(&mut self, stored: Stored, cx: &mut Context<'_>) {
        let channel = self.channels.get_mut(&stored.publish.channel).expect("the caller found it");
        channel.pending += 1;
        channel.appending += 1;
        self.appends_in_flight += 1;
        let keyed = |earlier: &Stored| Some((earlier.author.publisher.clone(), earlier.publish.key.clone()?));
        let append = Append {
            channel: stored.publish.channel.clone(),
            payload: stored.publish.payload.clone(),
            from: stored.author.from.clone(),
            publisher: stored.author.publisher.clone(),
            key: stored.publish.key.clone(),
            keys: channel.namespace.keys.saturating_add(KEY_SLACK),
            overtaken: stored.overtaken.iter().filter_map(keyed).collect(),
            condition: stored.publish.condition,
            role: stored.role.clone(),
            moderates: stored.author.moderates,
            acknowledge: channel.namespace.acknowledge,
        };
        let ticket = self.ticket(Waiting::Append(Box::new(stored)), cx);
        cx.out.push(Output::Store(Request::Append(ticket, append)));
    }

    pub(super) fn handle_appended(
        &mut self,
        stored: Stored,
        result: Result<Appended, StoreError>,
        cx: &mut Context<'_>,
    ) {
        self.appends_in_flight -= 1;
        let name = stored.publish.channel.clone();
        if let Some(channel) = self.channels.get_mut(&name) {
            channel.appending = channel.appending.saturating_sub(1);
            let is_stored = matches!(result, Ok(_) | Err(StoreError::Refused(_)));
            if let Some(log) = channel.log_mut().filter(|_| stored.asked.is_none()) {
                log.removing.handle_answer(is_stored, cx.now.uptime);
            }
        }
        match result {
            Ok(appended) => self.stored(stored, &appended, cx),
            Err(error) => {
                let unknown = matches!(error, StoreError::Unknown(_));
                let fault = veiled(store_fault(&error), stored.author.floor);
                refuse_publish(stored, &fault, cx);
                if let Some(log) = self.channels.get_mut(&name).and_then(Channel::log_mut) {
                    log.unsure |= unknown;
                }
            }
        }
        self.catch_up(&name, cx);
        self.append_queued(&name, cx);
        self.watch_entries(&name, cx);
    }

    /// What is stored is answered, and then sent out.
    fn stored(&mut self, stored: Stored, appended: &Appended, cx: &mut Context<'_>) {
        let &Appended { position, begins_epoch, ts, duplicate } = appended;
        if !duplicate {
            self.notice_epoch(position.epoch, cx);
        }
        let name = stored.publish.channel.clone();
        let mut publication = Publication::new(name.clone(), ts, stored.publish.payload.clone());
        publication.position = Some(position);
        publication.begins_epoch = begins_epoch;
        publication.from = stored.author.from.clone();
        publication.key = stored.publish.key.clone();
        publication.role = stored.role.clone();
        stored.answer(cx, &|publish, id, merged| {
            published(publish, id, Some(position), ts, (duplicate, merged))
        });
        if !duplicate {
            self.deliver(&name, Arc::new(publication), cx);
        }
    }

    /// Stores what has waited, all of it at once.
    fn append_queued(&mut self, name: &ChannelName, cx: &mut Context<'_>) {
        let Some(channel) = self.channels.get_mut(name) else { return };
        if channel.appending > 0 {
            return;
        }
        let queue = channel.log_mut().map(|log| std::mem::take(&mut log.queue)).unwrap_or_default();
        for stored in queue {
            // Each is counted from now on; so were those that it has overtaken, which are not stored.
            self.appends_in_flight -= 1 + stored.overtaken.len();
            self.append(*stored, cx);
        }
    }

    /// Forgets removals that nobody needs to be told of any more.
    pub(super) fn forget_removals(&mut self, cx: &mut Context<'_>) {
        for channel in self.channels.values_mut() {
            let keep = channel.namespace.retention.removals;
            let Some(log) = channel.log_mut().filter(|log| !log.doubted) else { continue };
            let Some(latest) = log.hot.latest_mut() else { continue };
            if let Some(last) = latest.forget_removals(cx.now.ts, keep) {
                log.raise_floor(last.next());
            }
        }
    }
}

impl Log {
    /// Whether the caps allow what is about to be published to a `value` or `map`. What is under way counts as if each
    /// added an entry.
    fn has_room_for(
        &mut self,
        stored: &Stored,
        appending: u32,
        limits: &trunkline_model::Limits,
    ) -> Result<(), Fault> {
        let queued = self.queue.len() + appending as usize;
        let bytes: usize = self.queue.iter().map(|waiting| waiting.cost()).sum::<usize>() + stored.cost();
        let Some(latest) = self.hot.latest_mut() else { return Ok(()) };
        let name = stored.role.entry().and_then(|entry| entry.name.clone());
        let before = latest.state(&name).map(|before| before.cost());
        if stored.publish.removes {
            // What is under way may be about to add it, and one with a key may repeat one that succeeded.
            return if before.is_some() || queued > 0 || stored.publish.key.is_some() {
                Ok(())
            } else {
                Err(Fault::new(ErrorCode::NotFound, "there is no such entry to remove"))
            };
        }
        let refuse = |message| Err(Fault::new(ErrorCode::LimitExceeded, message));
        if before.is_none() && latest.len() + queued >= limits.entries {
            return refuse(format!("the channel has {} entries, the most there may be", latest.len()));
        }
        if (latest.bytes() + bytes).saturating_sub(before.unwrap_or(0)) > limits.entries_bytes {
            let message = format!(
                "the channel's entries would have more than {} bytes, their limit",
                limits.entries_bytes
            );
            return refuse(message);
        }
        Ok(())
    }

    /// Lets it wait, in the place of what it overtakes.
    fn enqueue(&mut self, mut stored: Stored) {
        let entry = |stored: &Stored| stored.role.entry().map(|entry| entry.name.clone());
        let name = entry(&stored);
        let last = self.queue.iter().rposition(|waiting| entry(waiting) == name);
        if let Some(index) = last.filter(|index| self.queue[*index].yields_to(&stored)) {
            let mut earlier = *self.queue.remove(index).expect("it was just found");
            stored.overtaken = std::mem::take(&mut earlier.overtaken);
            stored.overtaken.push(earlier);
        }
        self.queue.push_back(Box::new(stored));
    }
}

impl Stored {
    fn cost(&self) -> usize {
        self.publish.payload.bytes.len() + 64
    }
}

/// What passes through without being stored.
pub(super) fn pass_through(channel: &Channel, stored: Stored, cx: &mut Context<'_>) {
    let mut publication =
        Publication::new(stored.publish.channel.clone(), cx.now.ts, stored.publish.payload.clone());
    publication.from = stored.author.from.clone();
    publication.key = stored.publish.key.clone();
    let ts = cx.now.ts;
    stored.answer(cx, &|publish, id, merged| published(publish, id, None, ts, (false, merged)));
    channel.signal(&Arc::new(publication), cx.peers, cx.out);
}

fn published(
    publish: &Publish,
    id: Option<CommandId>,
    position: Option<Position>,
    ts: Timestamp,
    (duplicate, merged): (bool, bool),
) -> Reply {
    let (channel, key) = (publish.channel.clone(), publish.key.clone());
    Reply::Published { id, channel, position, key, ts, duplicate, merged }
}

fn refuse_publish(stored: Stored, fault: &Fault, cx: &mut Context<'_>) {
    stored.answer(cx, &|publish, id, _| Reply::Fault(fault.clone().about(&publish.channel).answering(id)));
}

/// What stands below `floor` is not told where it does not meet a condition either.
fn veiled(fault: Fault, floor: Offset) -> Fault {
    match fault.position {
        Some(position) if position.offset < floor => {
            Fault::new(ErrorCode::NotFound, "what the condition is about is not given to this session")
        }
        _ => fault,
    }
}

pub(super) fn handle_signal(
    channel: &mut Channel,
    presences: &mut Presences,
    ask: Ask,
    cx: &mut Context<'_>,
) {
    let Ask { worker, session, id, question } = ask;
    match question {
        Question::Join { channel: name, generation, start, entering, .. } => {
            let join = Join::new(worker, session, id, name, generation, Begin::Asked(start));
            let mut join = join.of(entering);
            match presences.enter(&channel.namespace, &mut join, cx) {
                Ok(()) => finish_join(channel, join, Entrance::nowhere(), cx),
                Err(fault) => refuse_join(join, fault, cx),
            }
        }
        Question::Resume { channel: name, generation, missing, .. } => {
            let join = Join::new(worker, session, id, name, generation, Begin::Missing(missing));
            finish_join(channel, join, Entrance::nowhere(), cx);
        }
        Question::Publish { publish, author } => {
            let kind = channel.namespace.kind;
            let asked = (worker, session, id);
            let stored = Stored::new(asked, publish, author, (kind, cx.now.ts));
            pass_through(channel, stored, cx);
        }
        Question::History { query, .. } => {
            let message = format!("{} is of kind `signal` and keeps no history", query.channel);
            let fault = Fault::new(ErrorCode::BadRequest, message).about(&query.channel).answering(id);
            answer(worker, session, Reply::Fault(fault), cx);
        }
        // Nothing is kept that could be bound.
        Question::Unbind { .. } => cx.peers.tell(worker, Tell::Left, cx.out),
        Question::Leave(_)
        | Question::Depart { .. }
        | Question::Inform { .. }
        | Question::Members(_)
        | Question::Presence(_) => {}
    }
}
