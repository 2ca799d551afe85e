//! A client of the simulation: keeps the client's side of the contract and checks the server's.
//!
//! It knows only what it has read; the checks compare that with the truth, which is the store's log. A
//! broken promise is a panic.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use trunkline_model::{
    ChannelName, CommandId, ErrorCode, Fault, HistoryQuery, Key, LostReason, Offset, Page, Position,
    Publication, Recovery, Reply, Start, Subscribed,
};

use crate::node::{Heard, Who};
use crate::store::{Log, TestStore};

/// What a client may hold the server to.
#[derive(Clone, Copy)]
pub(crate) struct Truth<'a> {
    pub(crate) store: &'a TestStore,
    /// The caps of the namespace's replay.
    pub(crate) recover: (u64, usize),
    pub(crate) subscriptions: usize,
    pub(crate) page_bytes: usize,
    pub(crate) page_default: u64,
    /// Whether the store fails at times.
    pub(crate) faults: bool,
}

/// What happened how often, to see that a run reaches what it is meant to reach.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    /// It happened once more.
    pub fn count(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    /// It happened so many times more.
    pub fn add(&mut self, what: &'static str, times: u64) {
        *self.0.entry(what).or_default() += times;
    }

    /// How often it happened.
    #[must_use]
    pub fn times(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// Adds what happened in another run.
    pub fn add_all(&mut self, other: &Self) {
        other.0.iter().for_each(|(what, times)| self.add(what, *times));
    }
}

/// A subscribe on its way.
#[derive(Debug)]
struct Asked {
    id: i64,
    start: Start,
    /// Whether the log held the place when it was asked.
    valid: bool,
}

/// A client's relation to one channel.
#[derive(Debug, Default)]
struct Follow {
    /// The subscribe that began it, and the place up to which everything has come.
    live: Option<(i64, Option<Position>)>,
    asked: Vec<Asked>,
    /// What is known from this and from earlier sessions.
    known: Option<Position>,
}

/// A publish on its way.
#[derive(Debug)]
struct Sent {
    channel: ChannelName,
    uid: String,
    key: Option<Key>,
}

/// A client, over all of its sessions.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) who: Option<Who>,
    /// The number of its session, different for each session of the run.
    serial: u64,
    /// Whether it was told to wait for `Ready`.
    pub(crate) held: bool,
    next_id: i64,
    next_uid: u64,
    next_key: u64,
    follows: BTreeMap<ChannelName, Follow>,
    /// Channels of `connect` that have no answer yet.
    connecting: VecDeque<(ChannelName, i64)>,
    sent: BTreeMap<i64, Sent>,
    /// Own publications that are to be answered, so that their broadcast must not come yet.
    unanswered: HashSet<String>,
    pages: BTreeMap<i64, (HistoryQuery, bool)>,
    /// Other commands without an answer.
    other: BTreeSet<i64>,
    /// Signals seen in this session: publisher's session → its last number.
    signals: HashMap<String, u64>,
    pub(crate) acknowledged: Vec<(ChannelName, Position)>,
    /// Payloads that the server said are not in the log.
    pub(crate) refused: Vec<String>,
    keys: Vec<(ChannelName, Key)>,
}

impl Client {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            name: format!("u{number}"),
            who: None,
            serial: 0,
            held: false,
            next_id: 0,
            next_uid: 0,
            next_key: 0,
            follows: BTreeMap::new(),
            connecting: VecDeque::new(),
            sent: BTreeMap::new(),
            unanswered: HashSet::new(),
            pages: BTreeMap::new(),
            other: BTreeSet::new(),
            signals: HashMap::new(),
            acknowledged: Vec::new(),
            refused: Vec::new(),
            keys: Vec::new(),
        }
    }

    // ---- what it does ----

    pub(crate) fn opened(&mut self, who: Who, serial: u64) {
        self.who = Some(who);
        self.serial = serial;
        self.held = false;
    }

    /// The connection is gone; what was not answered stays open.
    pub(crate) fn closed(&mut self) {
        self.who = None;
        for follow in self.follows.values_mut() {
            follow.live = None;
            follow.asked.clear();
        }
        self.connecting.clear();
        self.sent.clear();
        self.unanswered.clear();
        self.pages.clear();
        self.other.clear();
        self.signals.clear();
    }

    pub(crate) fn id(&mut self) -> i64 {
        self.next_id += 1;
        self.next_id
    }

    /// A text that no other publication of the run carries.
    pub(crate) fn uid(&mut self) -> String {
        self.next_uid += 1;
        format!("{}.{}.{}", self.name, self.serial, self.next_uid)
    }

    pub(crate) fn key(&mut self, channel: &ChannelName) -> Key {
        self.next_key += 1;
        let key = Key::parse(&format!("{}-{}", self.name, self.next_key)).expect("a short key");
        self.keys.push((channel.clone(), key.clone()));
        key
    }

    pub(crate) fn keys(&self) -> &[(ChannelName, Key)] {
        &self.keys
    }

    pub(crate) fn known(&self, channel: &ChannelName) -> Option<Position> {
        self.follows.get(channel)?.known
    }

    /// The channels of which something is known.
    pub(crate) fn known_channels(&self) -> Vec<ChannelName> {
        self.follows.iter().filter(|(_, f)| f.known.is_some()).map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn subscribes(&mut self, id: i64, channel: &ChannelName, start: Start, log: &Log) {
        let valid = match start {
            Start::Since(since) => log.holds(since),
            Start::Next | Start::Last(_) => true,
        };
        self.follows.entry(channel.clone()).or_default().asked.push(Asked { id, start, valid });
    }

    /// The same within `connect`, where the answer has no id.
    pub(crate) fn connects(&mut self, id: i64, channel: &ChannelName) {
        self.connecting.push_back((channel.clone(), id));
    }

    pub(crate) fn publishes(&mut self, id: Option<i64>, channel: &ChannelName, uid: &str, key: Option<Key>) {
        if let Some(id) = id {
            self.sent.insert(id, Sent { channel: channel.clone(), uid: uid.to_owned(), key });
            self.unanswered.insert(uid.to_owned());
        }
    }

    pub(crate) fn pages(&mut self, id: i64, query: HistoryQuery, log: &Log) {
        // Of a place below the floor nobody can say whether it was of this log.
        let readable = |at: Position| at.offset == Offset::ZERO || at.offset.0 + 1 >= log.floor();
        let valid = query.at.is_none_or(|at| log.holds(at) && readable(at));
        self.pages.insert(id, (query, valid));
    }

    pub(crate) fn awaits(&mut self, id: i64) {
        self.other.insert(id);
    }

    // ---- what it hears ----

    pub(crate) fn hears(&mut self, heard: Heard, truth: Truth<'_>, tally: &mut Tally) {
        match heard {
            Heard::Message(publication) => self.message(&publication, truth),
            Heard::Ready => self.held = false,
            Heard::Pushed(push) => panic!("{} was pushed {push:?}", self.name),
            Heard::Reply(Reply::Subscribed(subscribed)) => self.subscribed(*subscribed, truth, tally),
            Heard::Reply(Reply::Unsubscribed { id, channel }) => self.unsubscribed(number(&id), &channel),
            Heard::Reply(Reply::History { id, page, .. }) => self.page(number(&id), &page, truth, tally),
            Heard::Reply(Reply::Fault(fault)) => self.fault(&fault, truth, tally),
            Heard::Reply(reply @ Reply::Published { .. }) => self.published(reply, truth, tally),
            Heard::Reply(Reply::Pong { id, .. } | Reply::Welcome { id, .. }) => {
                assert!(self.other.remove(&number(&id)), "{} has an answer to nothing", self.name);
            }
        }
    }

    fn message(&mut self, publication: &Publication, truth: Truth<'_>) {
        let (name, uid) = (self.name.clone(), uid_of(publication));
        assert!(!self.unanswered.contains(&uid), "{name} sees its own {uid} before the reply to it");
        let follow = self.follows.entry(publication.channel.clone()).or_default();
        let Some((_, place)) = &mut follow.live else {
            panic!("{name} follows nothing and gets {publication:?}")
        };
        let Some(position) = publication.position else {
            let (session, count) = session_of(&uid);
            let last = self.signals.insert(session, count);
            assert!(last.is_none_or(|last| last < count), "{name} gets signal {uid} after number {last:?}");
            return;
        };
        let place = place.as_mut().expect("a log has places");
        assert_eq!(
            position.offset,
            place.offset.next(),
            "gap or double: {name} is at {place:?}, gets {position:?}"
        );
        check_entry(publication, truth);
        *place = position;
        follow.known = Some(position);
    }

    fn subscribed(&mut self, subscribed: Subscribed, truth: Truth<'_>, tally: &mut Tally) {
        let channel = subscribed.channel.clone();
        let id = self.id_of_subscribe(&subscribed.id, &channel);
        let follow = self.follows.entry(channel).or_default();
        let index = follow.asked.iter().position(|asked| asked.id == id);
        let asked =
            follow.asked.remove(index.unwrap_or_else(|| panic!("{} did not ask for {id}", self.name)));
        assert!(follow.asked.iter().all(|other| other.id > id), "{} has an earlier one open", self.name);
        let Some(place) = subscribed.position else {
            follow.live = Some((id, None));
            return;
        };
        check_place(&subscribed, place, truth);
        let start = check_recovery(&asked, &subscribed, place, truth, tally);
        follow.live = Some((id, Some(start)));
        follow.known = Some(start);
    }

    fn unsubscribed(&mut self, id: i64, channel: &ChannelName) {
        let follow = self.follows.entry(channel.clone()).or_default();
        if let Some(index) = follow.asked.iter().position(|asked| asked.id == id) {
            // A subscribe that a later command has overtaken; its answer comes before that one's.
            follow.asked.remove(index);
            let later = follow.asked.iter().any(|asked| asked.id > id) || self.other.iter().any(|o| *o > id);
            assert!(later, "{} was unsubscribed by nothing", self.name);
            return;
        }
        assert!(self.other.remove(&id), "{} has an answer to nothing", self.name);
        let follow = self.follows.entry(channel.clone()).or_default();
        if follow.live.is_some_and(|(begun, _)| begun < id) {
            follow.live = None;
        }
        assert!(
            follow.asked.iter().all(|asked| asked.id > id),
            "{} has an earlier subscribe open",
            self.name
        );
    }

    fn published(&mut self, reply: Reply, truth: Truth<'_>, tally: &mut Tally) {
        let Reply::Published { id, channel, position, key, ts, duplicate } = reply else { return };
        let id = number(&id);
        let sent = self.sent.remove(&id).unwrap_or_else(|| panic!("{} did not publish {id}", self.name));
        self.unanswered.remove(&sent.uid);
        assert_eq!((&channel, &key), (&sent.channel, &sent.key));
        let Some(position) = position else { return };
        let log = truth.store.log(&channel);
        let entry = log.entry(position.offset.0).expect("what is acknowledged is in the log");
        assert_eq!((entry.position, entry.ts), (Some(position), ts), "the acknowledgement names its entry");
        if duplicate {
            tally.count("duplicate");
            assert!(key.is_some() && entry.key == key, "a repeat answers the place of its key");
            if uid_of(entry) != sent.uid {
                self.refused.push(sent.uid);
            }
        } else {
            tally.count("published");
            assert_eq!(uid_of(entry), sent.uid, "the acknowledgement names the own entry");
        }
        self.acknowledged.push((channel, position));
    }

    fn fault(&mut self, fault: &Fault, truth: Truth<'_>, tally: &mut Tally) {
        tally.count(fault.code.as_str());
        let channel = fault.channel.clone().expect("every fault here is about a channel");
        let id = match &fault.id {
            Some(id) => number(&Some(id.clone())),
            None if self.connecting.front().is_some_and(|(first, _)| *first == channel) => {
                self.id_of_subscribe(&None, &channel)
            }
            // A publish without an id: only its refusal is told.
            None => return,
        };
        if let Some(sent) = self.sent.remove(&id) {
            self.unanswered.remove(&sent.uid);
            if !fault.code.leaves_outcome_open() {
                self.refused.push(sent.uid);
            }
            return;
        }
        assert!(fault.code != ErrorCode::Internal, "only a publish may end in `internal`");
        if let Some((query, valid)) = self.pages.remove(&id) {
            let unfounded = fault.code == ErrorCode::Rewound && (valid || query.at.is_none());
            assert!(!unfounded, "{} is told that {:?} is rewound", self.name, query.at);
            // A place that was never told may be stored and not yet be announced.
            let guessed = query.at.is_some_and(|at| !self.was_told(&query.channel, at));
            let founded = fault.code != ErrorCode::NotAvailable || truth.faults || guessed;
            assert!(founded, "a page is refused for nothing: {fault:?}");
            return;
        }
        self.not_subscribed(id, fault, &channel, truth);
    }

    fn not_subscribed(&mut self, id: i64, fault: &Fault, channel: &ChannelName, truth: Truth<'_>) {
        let allowed = match fault.code {
            ErrorCode::NotAvailable => truth.faults,
            code => code == ErrorCode::LimitExceeded,
        };
        assert!(allowed, "{} is refused {channel} for nothing: {fault:?}", self.name);
        if fault.message.contains("subscriptions") {
            let counts = |f: &&Follow| {
                f.live.is_some_and(|(begun, _)| begun < id) || f.asked.iter().any(|asked| asked.id < id)
            };
            let count = self.follows.values().filter(counts).count();
            assert!(count >= truth.subscriptions, "{} has only {count} subscriptions", self.name);
        }
        let follow = self.follows.entry(channel.clone()).or_default();
        let index = follow.asked.iter().position(|asked| asked.id == id);
        follow.asked.remove(
            index.unwrap_or_else(|| panic!("{} is refused what it did not ask: {fault:?}", self.name)),
        );
        if follow.live.is_some_and(|(begun, _)| begun < id) {
            follow.live = None;
        }
    }

    fn page(&mut self, id: i64, page: &Page, truth: Truth<'_>, tally: &mut Tally) {
        let (query, _) =
            self.pages.remove(&id).unwrap_or_else(|| panic!("{} did not ask for {id}", self.name));
        tally.count("page");
        check_page(&query, page, truth);
    }

    fn was_told(&self, channel: &ChannelName, place: Position) -> bool {
        let read = self.known(channel).is_some_and(|known| place.offset <= known.offset);
        read || self.acknowledged.iter().any(|(of, position)| of == channel && *position == place)
    }

    /// The number of the subscribe that is answered. Those of `connect` are answered without an id, in order.
    fn id_of_subscribe(&mut self, id: &Option<CommandId>, channel: &ChannelName) -> i64 {
        if id.is_some() {
            return number(id);
        }
        let (first, id) = self.connecting.pop_front().expect("an answer without an id is one to `connect`");
        assert_eq!(first, *channel, "the channels of `connect` are answered in order");
        id
    }

    // ---- the end ----

    /// All is quiet: everything has its answer, and every subscription stands at the head of its log.
    pub(crate) fn check_at_rest(&self, truth: Truth<'_>) {
        let name = &self.name;
        assert!(!self.held, "{name} was told to wait and never to go on");
        assert!(self.sent.is_empty(), "{name} has no answer to {:?}", self.sent);
        assert!(self.pages.is_empty(), "{name} has no answer to {:?}", self.pages);
        assert!(self.other.is_empty(), "{name} has no answer to {:?}", self.other);
        assert!(self.connecting.is_empty(), "{name} has no answer to {:?}", self.connecting);
        for (channel, follow) in &self.follows {
            assert!(follow.asked.is_empty(), "{name} has no answer to {:?}", follow.asked);
            if let Some((_, Some(place))) = follow.live {
                let head = truth.store.log(channel).head();
                assert_eq!(place.offset.0, head, "all is quiet, but {name} is not at the head of {channel}");
            }
        }
    }
}

fn check_entry(publication: &Publication, truth: Truth<'_>) {
    let offset = publication.position.map_or(0, |position| position.offset.0);
    let entry = truth.store.log(&publication.channel).entry(offset);
    assert_eq!(Some(publication), entry.map(|entry| &**entry), "what is told is what the log holds");
}

fn check_place(subscribed: &Subscribed, place: Position, truth: Truth<'_>) {
    let log = truth.store.log(&subscribed.channel);
    assert!(log.holds(place), "one is let in at {place:?}, which is no place of the log");
    assert_eq!(subscribed.floor.0, log.floor());
}

/// Checks the recovery and gives the place from which messages are to come.
fn check_recovery(
    asked: &Asked,
    subscribed: &Subscribed,
    place: Position,
    truth: Truth<'_>,
    tally: &mut Tally,
) -> Position {
    let log = truth.store.log(&subscribed.channel);
    match (asked.start, &subscribed.recovery, &subscribed.items) {
        (Start::Next, Recovery::NotAsked, None) => place,
        (Start::Last(count), Recovery::NotAsked, Some((items, more))) => {
            tally.count("last");
            // Three times the log ran away from the read: then the page is left to `history`.
            if items.is_empty() && *more && count > 0 {
                tally.count("last given up");
                return place;
            }
            let range =
                Window { first: log.floor(), last: place.offset.0, count: count.into(), newest: true };
            check_items(items, *more, range, log, truth);
            place
        }
        (Start::Since(since), Recovery::Recovered(entries), None) => {
            tally.count(if entries.is_empty() { "recovered nothing" } else { "recovered" });
            assert!(log.holds(since), "{since:?} is recovered but is no place of the log");
            assert!(since.offset <= place.offset, "{since:?} is recovered up to {place:?}");
            let expect = log.range(since.offset.0 + 1, place.offset.0);
            assert_eq!(entries, expect, "the replay is all of ({since:?}, {place:?}]");
            let bytes = expect.iter().map(|entry| entry.cost()).sum();
            assert!(
                expect.len() as u64 <= truth.recover.0 && truth.recover.1 >= bytes,
                "more than the limit"
            );
            since
        }
        (Start::Since(since), Recovery::Lost { reason, .. }, None) => {
            tally.count(reason.as_str());
            check_lost(asked, since, *reason, place, log, truth);
            place
        }
        other => panic!("this is no answer to the question: {other:?}"),
    }
}

/// `recovered: false` is never said without a cause.
fn check_lost(
    asked: &Asked,
    since: Position,
    reason: LostReason,
    place: Position,
    log: &Log,
    truth: Truth<'_>,
) {
    match reason {
        LostReason::Rewound => assert!(!asked.valid, "{since:?} was in the log when it was asked for"),
        LostReason::Trimmed => assert!(since.offset.0 + 1 < log.floor(), "{since:?} is not below the floor"),
        LostReason::Limit => {
            assert!(log.holds(since), "{since:?} is no place of this log, so nothing can be counted from it");
            let missed = log.range(since.offset.0 + 1, place.offset.0);
            let bytes: usize = missed.iter().map(|entry| entry.cost()).sum();
            let (entries_max, bytes_max) = truth.recover;
            let beyond = missed.len() as u64 > entries_max || bytes > bytes_max;
            assert!(
                beyond,
                "({since:?}, {place:?}] is {} entries, {bytes} bytes: within the limits",
                missed.len()
            );
        }
    }
}

/// The range that a page is taken from, and how much of it.
struct Window {
    first: u64,
    last: u64,
    count: u64,
    newest: bool,
}

/// `items` are what `window` holds, to the last entry that fits.
fn check_items(
    items: &[std::sync::Arc<Publication>],
    more: bool,
    window: Window,
    log: &Log,
    truth: Truth<'_>,
) {
    let mut expect = Vec::new();
    let (mut bytes, range) = (0, log.range(window.first, window.last));
    let ordered: Box<dyn Iterator<Item = _>> =
        if window.newest { Box::new(range.iter().rev()) } else { Box::new(range.iter()) };
    for entry in ordered {
        bytes += entry.cost();
        if expect.len() as u64 == window.count || bytes > truth.page_bytes && !expect.is_empty() {
            break;
        }
        expect.push(std::sync::Arc::clone(entry));
    }
    if window.newest {
        expect.reverse();
    }
    assert_eq!(items, expect, "the page holds what there is");
    assert_eq!(more, expect.len() < range.len(), "`more` says whether there is more");
}

fn check_page(query: &HistoryQuery, page: &Page, truth: Truth<'_>) {
    let log = truth.store.log(&query.channel);
    assert!(log.holds(Position { epoch: page.epoch, offset: page.top }), "the page's top is in the log");
    assert!(
        query.at.is_none_or(|at| log.holds(at) && at.offset <= page.top),
        "{page:?} is older than {query:?}"
    );
    assert_eq!(page.floor.0, log.floor());
    let last = query.before.map_or(page.top.0, |before| before.prev().0.min(page.top.0));
    let first = query.after.map_or(log.floor(), |after| log.floor().max(after.0 + 1));
    let count = query.limit.map_or(truth.page_default, u64::from);
    let window = Window { first, last, count, newest: query.after.is_none() };
    check_items(&page.items, page.more, window, log, truth);
    let offset_of = |entry: &Publication| entry.position.map_or(Offset::ZERO, |position| position.offset);
    match (page.items.first(), page.items.last()) {
        (Some(lowest), Some(highest)) => {
            assert_eq!((page.lo, page.hi), (offset_of(lowest), offset_of(highest)))
        }
        _ => assert_eq!(page.lo.0, page.hi.0 + 1, "an empty page covers nothing"),
    }
}

/// The unique part of a payload; what follows the blank is padding.
pub(crate) fn uid_of(publication: &Publication) -> String {
    crate::store::uid_of(publication).to_owned()
}

/// The session that published it, and its number there.
pub(crate) fn session_of(uid: &str) -> (String, u64) {
    let (session, count) = uid.rsplit_once('.').expect("a uid has a number");
    (session.to_owned(), count.parse().expect("a number"))
}

fn number(id: &Option<CommandId>) -> i64 {
    match id {
        Some(CommandId::Number(number)) => *number,
        other => panic!("{other:?} is no id of the simulation"),
    }
}
