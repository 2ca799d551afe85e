//! Several hubs, the bounded queues between them, a store and a clock: a node without IO.
//!
//! Nothing moves by itself. [`Node::settle`] moves everything until all is quiet; the single movements are
//! there for tests that want an order of their own.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use trunkline_backend::Window;
use trunkline_hub::{Hub, Input, Moment, Output, Peer, SessionId};
use trunkline_model::{
    Access, Admitted, Capabilities, ChannelName, ChannelPattern, ClientId, Command, Epoch, ErrorCode, Fault,
    Grant, Identity, Kind, Limits, Namespace, Namespaces, Offset, Position, PresenceUpdate, Presented,
    Publication, Publisher, Push, Reply, Secret, Standing, Timestamp, UserName,
};

use crate::calls::Calls;
use crate::seat::Seat;
use crate::spelling::{check_command, check_heard};
use crate::store::TestStore;
use crate::violation::{Checked, Checker, Violation, broken, ensure};

/// The wall clock when the node starts.
pub const START: u64 = 1_800_000_000_000;

/// One client's connection.
pub type Who = usize;

/// What a connection is told.
#[derive(Clone, Debug)]
pub enum Heard {
    /// The answer to a command.
    Reply(Reply),
    /// A publication, from the replay or as it comes.
    Message(Arc<Publication>),
    /// Something unasked that is no publication.
    Pushed(Push),
    /// It may send again.
    Ready,
}

/// A node.
#[derive(Debug)]
pub struct Node {
    hubs: Vec<Hub>,
    /// The store.
    pub store: TestStore,
    queues: Vec<VecDeque<Peer>>,
    /// Queues that [`Node::settle`] leaves alone: (from, to).
    pub held_queues: Vec<(u16, u16)>,
    /// [`Node::settle`] commits and answers no append.
    pub hold_appends: bool,
    /// [`Node::settle`] carries out and answers no read.
    pub hold_reads: bool,
    capacity: usize,
    /// How long the node has run.
    pub uptime: Duration,
    seats: Vec<Seat>,
    /// Per worker and slot: who sits there.
    slots: Vec<Vec<Option<Who>>>,
    /// Per worker and slot: how many sat there before.
    generations: Vec<Vec<u32>>,
    admits: Vec<(Who, Presented)>,
    /// What the door says to each token; it does not know any other.
    pub tokens: HashMap<String, Result<Admitted, Fault>>,
    /// Channels that whoever the door admits follows without asking.
    pub given: Vec<ChannelName>,
    /// Per worker: the store's epoch that it has seen last.
    epochs: Vec<Option<Epoch>>,
    /// Sessions whose outbox is to have room again.
    crowded: Vec<(u16, SessionId)>,
    /// Connections that the hub has closed, and with which code.
    pub closed: Vec<(Who, u16)>,
    /// The application that is called.
    pub(crate) calls: Calls,
    /// [`Node::settle`] leaves the application thinking.
    pub hold_calls: bool,
    /// Outboxes stay full.
    pub hold_room: bool,
    /// The fullest that any queue has been.
    pub fullest: usize,
    /// How often a session fell behind.
    pub fell_behind: usize,
    /// What all hubs share.
    limits: Arc<Limits>,
    namespaces: Arc<Namespaces>,
    /// The wall clock when the node started last.
    started: u64,
    /// Guests that were admitted, ever: each has a public id of its own.
    guests: u64,
    /// Whether commands and answers go through `trunkline.v1`.
    pub spelled: bool,
    /// The first broken promise that was seen from here.
    broken: Option<Violation>,
    /// What is still to be carried out, in order.
    outputs: VecDeque<(u16, Output)>,
    performing: bool,
    /// Connections of which deliveries from before they fell behind may still come.
    lagging: Vec<Who>,
}

impl Node {
    /// A node of so many workers.
    pub fn new(workers: u16, limits: Limits, namespaces: Namespaces) -> Self {
        let capacity = limits.queue;
        let (limits, namespaces) = (Arc::new(limits), Arc::new(namespaces));
        let count = usize::from(workers);
        Self {
            hubs: hubs(workers, &limits, &namespaces),
            store: TestStore::new(),
            queues: (0..count * count).map(|_| VecDeque::new()).collect(),
            held_queues: Vec::new(),
            hold_appends: false,
            hold_reads: false,
            capacity,
            uptime: Duration::ZERO,
            seats: Vec::new(),
            slots: vec![Vec::new(); count],
            generations: vec![Vec::new(); count],
            admits: Vec::new(),
            tokens: HashMap::new(),
            given: Vec::new(),
            epochs: vec![None; count],
            crowded: Vec::new(),
            closed: Vec::new(),
            calls: Calls::default(),
            hold_calls: false,
            hold_room: false,
            fullest: 0,
            fell_behind: 0,
            limits,
            namespaces,
            started: START,
            guests: 0,
            spelled: false,
            broken: None,
            outputs: VecDeque::new(),
            performing: false,
            lagging: Vec::new(),
        }
    }

    /// Two workers with the default limits, and the namespaces `chat` (log) and `live` (signal).
    pub fn usual() -> Self {
        Self::with(Limits::default(), Namespace::of_kind(Kind::Log))
    }

    /// Two workers with these limits; `chat` is as given.
    pub fn with(limits: Limits, chat: Namespace) -> Self {
        let mut namespaces = Namespaces::default();
        namespaces.insert("chat", chat);
        namespaces.insert("live", Namespace::of_kind(Kind::Signal));
        Self::new(2, limits, namespaces)
    }

    /// How many workers it has.
    pub fn workers(&self) -> u16 {
        self.hubs.len() as u16
    }

    /// The moment in which the next input comes in.
    pub fn now(&self) -> Moment {
        Moment { ts: Timestamp(self.started + self.uptime.as_millis() as u64), uptime: self.uptime }
    }

    // ---- connections ----

    /// A connection at `worker`; without a name its first command asks the door.
    pub fn open(&mut self, worker: u16, name: Option<&str>) -> Who {
        let (who, slots) = (self.seats.len(), &mut self.slots[usize::from(worker)]);
        let index = slots.iter().position(Option::is_none).unwrap_or(slots.len());
        if index == slots.len() {
            slots.push(None);
            self.generations[usize::from(worker)].push(0);
        }
        self.slots[usize::from(worker)][index] = Some(who);
        let generation = &mut self.generations[usize::from(worker)][index];
        *generation += 1;
        let id = SessionId { index: index as u32, generation: *generation };
        self.seats.push(Seat::new(worker, id));
        // Of two connections one is older.
        self.uptime += Duration::from_micros(1);
        self.handle(worker, Input::Opened { session: id, identity: name.map(identity), token: None });
        who
    }

    /// A connection of the server's own API.
    pub fn open_unnamed(&mut self, worker: u16) -> Who {
        let everything = Grant { channels: ChannelPattern::all(), can: Capabilities::all() };
        let access = Access { standing: Standing::Server, allow: vec![everything], ..Access::default() };
        self.open_as(worker, Identity { named: false, access: Arc::new(access), ..identity("api") })
    }

    /// A connection of whom it is known who it is.
    pub fn open_as(&mut self, worker: u16, identity: Identity) -> Who {
        let who = self.open(worker, None);
        let session = self.seats[who].id;
        self.handle(worker, Input::Closed { session });
        self.handle(worker, Input::Opened { session, identity: Some(identity), token: None });
        who
    }

    /// The connection ends.
    pub fn close(&mut self, who: Who) {
        let (worker, id) = (self.seats[who].worker, self.seats[who].id);
        self.seats[who].open = false;
        self.slots[usize::from(worker)][id.index as usize] = None;
        self.admits.retain(|(waiting, _)| *waiting != who);
        self.handle(worker, Input::Closed { session: id });
    }

    /// Whether the hub takes a command of this connection now.
    pub fn accepts(&mut self, who: Who) -> bool {
        let (worker, id) = (self.seats[who].worker, self.seats[who].id);
        self.hubs[usize::from(worker)].accepts(id)
    }

    /// What `worker` holds of publications in memory, in bytes.
    pub fn hot_bytes(&self, worker: u16) -> usize {
        self.hubs[usize::from(worker)].hot_bytes()
    }

    /// Whether `worker` has answered all that it knows of.
    pub fn is_settled(&self, worker: u16) -> bool {
        self.hubs[usize::from(worker)].is_settled()
    }

    /// Hands in a command, and moves nothing else.
    pub fn send(&mut self, who: Who, command: Command) {
        assert!(self.accepts(who), "the test sends though the hub does not accept");
        if self.spelled {
            check_command(&command).unwrap_or_else(|violation| self.breaks(violation));
        }
        let (worker, session) = (self.seats[who].worker, self.seats[who].id);
        self.handle(worker, Input::Command { session, command });
    }

    /// Whether the connection is there.
    pub fn is_open(&self, who: Who) -> bool {
        self.seats[who].open
    }

    /// From now on the outbox takes so many deliveries until it has drained.
    pub fn make_slow(&mut self, who: Who, room: usize) {
        let seat = &mut self.seats[who];
        (seat.room, seat.room_when_drained) = (room, room.max(1));
    }

    /// Takes all that the connection heard.
    pub fn take_heard(&mut self, who: Who) -> Vec<Heard> {
        self.heard(who, usize::MAX)
    }

    /// Takes the oldest `count` of what the connection heard.
    pub fn heard(&mut self, who: Who, count: usize) -> Vec<Heard> {
        let heard = &mut self.seats[who].heard;
        heard.drain(..count.min(heard.len())).collect()
    }

    /// Says of the session that asked first that its outbox has room; then answers the oldest question to the
    /// door: a guest, or whoever the secret `s-…` names.
    pub fn admit(&mut self) -> bool {
        if !self.crowded.is_empty() && !self.hold_room {
            let (worker, session) = self.crowded.remove(0);
            if let Some(who) = self.sits(worker, session) {
                self.seats[who].drain();
            }
            self.handle(worker, Input::Drained { session });
            return true;
        }
        if self.admits.is_empty() {
            return false;
        }
        let (who, presented) = self.admits.remove(0);
        if let Some(token) = &presented.token {
            let known = self.tokens.get(token.reveal()).cloned();
            let answer = known.unwrap_or_else(|| Err(Fault::new(ErrorCode::Unauthorized, "no such token")));
            let (worker, session) = (self.seats[who].worker, self.seats[who].id);
            let input = match answer {
                Ok(admitted) => Input::Admitted { session, admitted: Box::new(admitted) },
                Err(fault) => Input::Refused { session, fault },
            };
            self.handle(worker, input);
            return true;
        }
        let name = presented.session.as_ref().and_then(|secret| secret.reveal().strip_prefix("s-"));
        self.guests += 1;
        // Each guest has a public id of its own; for keys they are all one.
        let guest = || ClientId::new(&format!("c-guest-{}", self.guests));
        let identity = match name {
            Some(name) => identity(name),
            None => Identity { client: guest(), ..identity("guest") },
        };
        let (worker, session) = (self.seats[who].worker, self.seats[who].id);
        let admitted = Box::new(Admitted { identity, channels: self.given.clone() });
        self.handle(worker, Input::Admitted { session, admitted });
        true
    }

    // ---- single movements ----

    /// Tells `worker` how much room its queues have, as its loop does once per turn.
    pub fn tell_room(&mut self, worker: u16) {
        for other in (0..self.workers()).filter(|other| *other != worker) {
            let free = self.capacity - self.queue(worker, other).len();
            let mut out = Vec::new();
            let now = self.now();
            self.hubs[usize::from(worker)].handle_room(now, other, free, &mut out);
            self.perform(worker, out);
        }
    }

    /// Whether something waits in the queue from one worker to another.
    pub(crate) fn waits_between(&mut self, from: u16, to: u16) -> bool {
        !self.queue(from, to).is_empty()
    }

    /// Hands over the oldest message of a queue; `false` if there is none.
    pub fn hand_over(&mut self, from: u16, to: u16) -> bool {
        let Some(message) = self.queue(from, to).pop_front() else { return false };
        self.handle(to, Input::Peer { from, message });
        true
    }

    /// Commits the oldest append.
    pub fn commit(&mut self) -> bool {
        let now = self.now().ts;
        self.store.commit(now)
    }

    /// Gives `worker` the answer to its oldest append that was committed.
    pub fn answer_append(&mut self, worker: u16) -> bool {
        let Some(answer) = self.store.next_appended(worker) else { return false };
        self.handle(worker, Input::Stored(answer));
        true
    }

    /// Gives one of the answers to reads to the worker that asked.
    pub fn answer_read(&mut self, index: usize) {
        let answer = self.store.take_answer(index);
        let worker = answer.ticket().worker;
        self.handle(worker, Input::Stored(answer));
    }

    /// Tells every worker that these are the namespaces from now on.
    pub fn configure(&mut self, namespaces: Namespaces) {
        let namespaces = Arc::new(namespaces);
        for worker in 0..self.workers() {
            let mut out = Vec::new();
            let now = self.now();
            self.hubs[usize::from(worker)].configure(now, &namespaces, &mut out);
            self.perform(worker, out);
        }
    }

    /// Tells every worker that time has passed.
    pub fn tick(&mut self) {
        for worker in 0..self.workers() {
            self.handle(worker, Input::Tick);
        }
    }

    // ---- everything ----

    /// Moves everything that is not held until all is quiet.
    ///
    /// # Panics
    /// If it never comes to rest, or what leaves the hubs breaks a promise.
    pub fn settle(&mut self) {
        self.try_settle().unwrap_or_else(|violation| panic!("{violation}"));
    }

    /// Moves everything that is not held until all is quiet.
    pub(crate) fn try_settle(&mut self) -> Checked {
        for _ in 0..20_000 {
            if !self.move_once() {
                return self.check();
            }
        }
        broken(Checker::Quiet, "it never comes to rest")
    }

    /// What was seen of the hubs' doings up to now, and whether what is under way is within the limits.
    pub(crate) fn check(&self) -> Checked {
        let seen = self.store.broken.as_ref().or(self.broken.as_ref());
        if let Some(violation) = seen {
            return Err(violation.clone());
        }
        for worker in 0..self.workers() {
            let (reads, appends) = self.store.under_way(worker);
            let within = reads <= self.limits.reads_in_flight && appends <= self.limits.appends_in_flight;
            ensure(within, Checker::Caps, || {
                format!("worker {worker} has {reads} reads, {appends} appends under way")
            })?;
            let channels = self.hubs[usize::from(worker)].channels();
            ensure(channels <= self.limits.channels, Checker::Caps, || {
                format!("worker {worker} holds {channels} channels")
            })?;
            let bytes = self.hot_bytes(worker);
            ensure(bytes <= self.limits.hot_bytes, Checker::Caps, || {
                format!("worker {worker} holds {bytes} bytes of publications")
            })?;
        }
        Ok(())
    }

    /// The node ends without a word, and starts again: what was in its memory, in its queues and on its lines is gone.
    /// The store is opened under `epoch`; if `restored`, with what the backup holds. Says how many entries that has cost.
    pub fn crash(&mut self, epoch: Epoch, restored: bool) -> usize {
        self.started = self.now().ts.0 + 1_000;
        self.uptime = Duration::ZERO;
        self.hubs = hubs(self.workers(), &self.limits, &self.namespaces);
        self.queues.iter_mut().for_each(VecDeque::clear);
        self.seats.iter_mut().for_each(Seat::cut);
        self.slots.iter_mut().for_each(Vec::clear);
        self.generations.iter_mut().for_each(Vec::clear);
        self.admits.clear();
        self.crowded.clear();
        self.calls = Calls::default();
        self.epochs.fill(None);
        self.store.crash(epoch, restored)
    }

    /// Tells every worker of a moment that has come for which it waits; `false` if there is none.
    pub fn wake(&mut self) -> bool {
        let due = |hub: &Hub, now| hub.wakes_at().is_some_and(|at| at <= now);
        let workers = 0..self.workers();
        let woken: Vec<_> =
            workers.filter(|worker| due(&self.hubs[usize::from(*worker)], self.uptime)).collect();
        woken.iter().for_each(|worker| self.handle(*worker, Input::Due));
        !woken.is_empty()
    }

    /// Moves a little of everything; `false` if nothing was to be moved.
    pub fn move_once(&mut self) -> bool {
        let mut moved = self.admit();
        moved |= self.wake();
        for from in 0..self.workers() {
            self.tell_room(from);
            for to in 0..self.workers() {
                moved |= !self.held_queues.contains(&(from, to)) && self.hand_over(from, to);
            }
        }
        if !self.hold_appends {
            moved |= self.commit();
            for worker in 0..self.workers() {
                moved |= self.answer_append(worker);
            }
        }
        if !self.hold_reads {
            moved |= self.store.waiting_reads() > 0;
            while self.store.waiting_reads() > 0 {
                self.store.carry_out(0);
            }
            if self.store.waiting_answers() > 0 {
                self.answer_read(0);
                moved = true;
            }
        }
        moved |= !self.hold_calls && self.answer_call(0);
        moved
    }

    /// What the hubs still hold, as far as their `Debug` shows it: the parts that must be empty in the end.
    pub fn leftovers(&self) -> Vec<&'static str> {
        const EMPTY: [&str; 15] = [
            "channels: {}",
            "present: {}",
            "watched: {}",
            "missed: {}",
            "waiting: {}",
            "appends_in_flight: 0",
            "reads_in_flight: 0",
            "read_queue: []",
            "unread: []",
            "lagging: []",
            "locals: Locals({})",
            "local: []",
            "called: {}",
            "newest: {}",
            "floors: Floors({})",
        ];
        let shown: Vec<_> = self.hubs.iter().map(|hub| format!("{hub:?}")).collect();
        let mut left: Vec<_> =
            EMPTY.into_iter().filter(|part| !shown.iter().all(|hub| hub.contains(part))).collect();
        // One list for each worker.
        let none = vec![Vec::<()>::new(); self.hubs.len()];
        for (name, what) in [
            ("blocked", "blocked sessions"),
            ("errands", "errands"),
            ("leaving", "leaving"),
            ("behind", "behind"),
        ] {
            if !shown.iter().all(|hub| hub.contains(&format!("{name}: {none:?}"))) {
                left.push(what);
            }
        }
        left
    }

    fn queue(&mut self, from: u16, to: u16) -> &mut VecDeque<Peer> {
        let index = usize::from(from) * self.hubs.len() + usize::from(to);
        &mut self.queues[index]
    }

    pub(crate) fn handle(&mut self, worker: u16, input: Input) {
        let (mut out, now) = (Vec::new(), self.now());
        let hub = &mut self.hubs[usize::from(worker)];
        // A worker looks at the store's epoch before it takes anything in.
        let epoch = self.store.epoch();
        if self.epochs[usize::from(worker)].replace(epoch) != Some(epoch) {
            hub.handle(now, Input::Epoch(epoch), &mut out);
        }
        hub.handle(now, input, &mut out);
        self.perform(worker, out);
    }

    /// What comes of an output is carried out after the outputs before it.
    fn perform(&mut self, worker: u16, out: Vec<Output>) {
        self.outputs.extend(out.into_iter().map(|output| (worker, output)));
        if std::mem::replace(&mut self.performing, true) {
            return;
        }
        while let Some((worker, output)) = self.outputs.pop_front() {
            match output {
                Output::Reply { session, reply } => self.hear(worker, session, Heard::Reply(reply)),
                Output::Push { session, push: Push::Message(publication) } => {
                    self.check_durable(&publication.channel, publication.position);
                    self.hear(worker, session, Heard::Message(publication));
                }
                Output::Push { session, push } => self.hear(worker, session, Heard::Pushed(push)),
                Output::Ready { session } => self.hear(worker, session, Heard::Ready),
                Output::Fail { session } => panic!("handling {session:?} has panicked"),
                Output::Close { session, reason } => {
                    if let Some(who) = self.sits(worker, session) {
                        self.closed.push((who, reason.code));
                        self.close(who);
                    }
                }
                Output::Deliver { publication, sessions } => {
                    self.check_durable(&publication.channel, publication.position);
                    for &session in sessions.iter() {
                        self.deliver(worker, session, &publication);
                    }
                }
                Output::Present { update, sessions } => {
                    for &session in sessions.iter() {
                        self.present(worker, session, &update);
                    }
                }
                Output::Peer { to, message } => {
                    let queue = self.queue(worker, to);
                    queue.push_back(message);
                    let length = queue.len();
                    self.fullest = self.fullest.max(length);
                    if length > self.capacity {
                        let what = format!("the queue {worker} → {to} holds {length} of {}", self.capacity);
                        self.breaks(Violation { checker: Checker::Caps, what });
                    }
                }
                Output::Store(request) => self.store.submit(request),
                Output::Admit { session, presented } => {
                    if let Some(who) = self.sits(worker, session) {
                        self.admits.push((who, presented));
                    }
                }
                Output::Call { call, request } => self.calls.ask(worker, call, *request),
                Output::GiveUp { call } => self.calls.give_up(worker, call),
                Output::AwaitRoom { session } => {
                    let has_room = self.sits(worker, session).filter(|who| self.seats[*who].room > 0);
                    if let Some(who) = has_room.filter(|_| !self.hold_room) {
                        self.seats[who].gives_room();
                        self.handle(worker, Input::Drained { session });
                    } else {
                        self.crowded.push((worker, session));
                    }
                }
            }
        }
        self.performing = false;
        for who in self.lagging.drain(..) {
            self.seats[who].lagging = false;
        }
    }

    /// Lets `inputs` come in before anything of what comes of them is carried out, as a worker does with the answers that
    /// the store gives together.
    pub fn together(&mut self, inputs: impl FnOnce(&mut Self)) {
        self.begin_batch();
        inputs(self);
        self.end_batch();
    }

    /// What comes of inputs is carried out at the end of the batch.
    pub(crate) fn begin_batch(&mut self) {
        self.performing = true;
    }

    pub(crate) fn end_batch(&mut self) {
        self.performing = false;
        self.perform(0, Vec::new());
    }

    fn deliver(&mut self, worker: u16, session: SessionId, publication: &Arc<Publication>) {
        // One that was closed by the hub itself may be on a list still.
        let Some(who) = self.sits(worker, session) else { return };
        let hub = &mut self.hubs[usize::from(worker)];
        if self.seats[who].lagging && !hub.takes(session, publication) {
            return;
        }
        let seat = &mut self.seats[who];
        if seat.room > 0 {
            seat.room = seat.room.saturating_sub(1);
            seat.heard.push_back(Heard::Message(Arc::clone(publication)));
        } else if publication.position.is_some() {
            seat.lagging = true;
            self.lagging.push(who);
            // The socket may take some bytes before the hub is told that it did.
            let seat = &mut self.seats[who];
            seat.room = seat.room_when_drained;
            self.fell_behind += 1;
            self.handle(worker, Input::Behind { session, publication: Arc::clone(publication) });
        }
    }

    fn present(&mut self, worker: u16, session: SessionId, update: &Arc<PresenceUpdate>) {
        let Some(who) = self.sits(worker, session) else { return };
        let seat = &mut self.seats[who];
        if seat.room > 0 {
            seat.room = seat.room.saturating_sub(1);
            self.hear(worker, session, Heard::Pushed(Push::Presence(Arc::clone(update))));
        } else {
            let channel = update.channel.clone();
            self.handle(worker, Input::PresenceMissed { session, channel });
        }
    }

    fn hear(&mut self, worker: u16, session: SessionId, heard: Heard) {
        match &heard {
            Heard::Reply(Reply::Published { channel, position, .. }) => {
                self.check_durable(channel, *position)
            }
            Heard::Message(_) | Heard::Reply(_) | Heard::Pushed(_) | Heard::Ready => {}
        }
        if self.spelled {
            check_heard(&heard).unwrap_or_else(|violation| self.breaks(violation));
        }
        let Some(who) = self.sits(worker, session) else { return };
        let bytes = self.limits.history_page_bytes.min(self.limits.outbox_bytes / 8);
        let page = Window { entries: self.limits.history_page, bytes };
        self.seats[who].hear(heard, page).unwrap_or_else(|violation| self.breaks(violation));
    }

    /// What is told of a log is committed by then.
    fn check_durable(&mut self, channel: &ChannelName, position: Option<Position>) {
        let Some(position) = position else { return };
        if position.offset != Offset::ZERO && self.store.ever_at(channel, position).is_none() {
            let what = format!("{position:?} of {channel} is told and not stored");
            self.breaks(Violation { checker: Checker::Durable, what });
        }
    }

    fn breaks(&mut self, violation: Violation) {
        self.broken.get_or_insert(violation);
    }

    fn sits(&self, worker: u16, session: SessionId) -> Option<Who> {
        let who = self.slots[usize::from(worker)].get(session.index as usize).copied().flatten()?;
        (self.seats[who].id == session && self.seats[who].open).then_some(who)
    }
}

fn hubs(workers: u16, limits: &Arc<Limits>, namespaces: &Arc<Namespaces>) -> Vec<Hub> {
    (0..workers).map(|me| Hub::new(me, workers, Arc::clone(limits), Arc::clone(namespaces))).collect()
}

/// Who `name` is.
pub fn identity(name: &str) -> Identity {
    Identity {
        client: ClientId::new(&format!("c-{name}")),
        user: UserName::new(name),
        publisher: Publisher::new(&format!("session:{name}")),
        session: Some(Secret::new(&format!("s-{name}"))),
        named: true,
        access: Arc::default(),
    }
}
