//! A client of the simulation: what it does, and what it remembers of what it did and heard. It keeps the client's side
//! of the contract: it continues from its place, and sends again under the same key what has no certain outcome.
//!
//! What it hears is judged in `hearing`. It is moved by the world.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use trunkline_model::{
    ChannelName, EntryName, ErrorCode, HistoryQuery, KEY_MAX, Key, Offset, Op, Position, Publication,
    Reference, Start,
};

use crate::node::Who;
use crate::store::{Log, uid_of};

/// So many of the newest publications does a client remember by their payload.
const HELD_MAX: usize = 64;

/// A subscribe on its way.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) id: i64,
    pub(crate) start: Start,
    /// The head of the log when it was asked.
    pub(crate) head: u64,
    /// Whether the log held the place when it was asked.
    pub(crate) valid: bool,
    /// How many reads had failed when it was asked.
    pub(crate) reads_failed: usize,
    /// How often the store had lost the end of its logs.
    pub(crate) losses: usize,
}

/// A client's relation to one channel.
#[derive(Debug, Default)]
pub(crate) struct Follow {
    /// The subscribe that began it, and the place up to which everything has come.
    pub(crate) live: Option<(i64, Option<Position>)>,
    pub(crate) asked: Vec<Asked>,
    /// What is known from this and from earlier sessions.
    pub(crate) known: Option<Position>,
    /// Of a `value` or a `map`: where the newest of each entry is that was told, and whether it says that it is gone.
    pub(crate) entries: BTreeMap<Option<EntryName>, (u64, bool)>,
    /// What came after this offset is among `entries`.
    pub(crate) complete_after: u64,
    /// The newest of what it has read, without a hole up to `known`: offset and payload.
    held: VecDeque<(u64, Box<str>)>,
}

impl Follow {
    /// Takes the next publication.
    pub(crate) fn take(&mut self, position: Position, publication: &Publication, uid: &str) {
        self.take_entry(publication);
        self.known = Some(position);
        self.held.push_back((position.offset.0, uid.into()));
        if self.held.len() > HELD_MAX {
            self.held.pop_front();
        }
    }

    /// Goes on from a place that is not where it was.
    pub(crate) fn jump(&mut self, to: Position) {
        self.known = Some(to);
        self.held.clear();
        self.entries.clear();
        self.complete_after = to.offset.0;
    }

    /// Takes the whole state at `place`, in the place of what it held.
    pub(crate) fn take_state(&mut self, place: Position, state: &[Arc<Publication>]) {
        self.jump(place);
        state.iter().for_each(|publication| self.take_entry(publication));
        self.complete_after = 0;
    }

    fn take_entry(&mut self, publication: &Publication) {
        if let (Some(entry), Some(position)) = (publication.role.entry(), publication.position) {
            self.entries.insert(entry.name.clone(), (position.offset.0, entry.removed));
        }
    }

    /// What it believes to be the newest: of the entry, or of the channel.
    pub(crate) fn believed(&self, name: Option<&EntryName>) -> Offset {
        match name {
            None => self.known.map_or(Offset::ZERO, |known| known.offset),
            Some(_) => match self.entries.get(&name.cloned()) {
                Some((offset, false)) => Offset(*offset),
                Some((_, true)) | None => Offset::ZERO,
            },
        }
    }

    /// The newest offset up to which `log` has other publications than the client has read, if it has.
    pub(crate) fn differs(&self, log: &Log, up_to: u64) -> Option<u64> {
        let same = |offset: u64, uid: &str| log.original(offset).is_some_and(|entry| uid_of(entry) == uid);
        let other = self.held.iter().rev().find(|(offset, uid)| *offset <= up_to && !same(*offset, uid));
        other.map(|(offset, _)| *offset)
    }
}

/// A publish on its way.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) channel: ChannelName,
    pub(crate) uid: String,
    pub(crate) key: Option<Key>,
    pub(crate) about: About,
    /// The head of the log when it was sent, and how often the store had lost its end.
    pub(crate) head: u64,
    pub(crate) losses: usize,
}

/// What a publish asks beside being stored.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    pub(crate) condition: Option<Offset>,
    pub(crate) entry: Option<EntryName>,
    pub(crate) removes: bool,
    pub(crate) reference: Option<Reference>,
}

impl About {
    /// Whether what is published has no payload of its own. Then the key is what tells it from others.
    pub(crate) fn is_empty(&self) -> bool {
        self.removes || self.reference.is_some_and(|about| about.op != Op::Edit)
    }
}

/// A client, over all of its sessions.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) who: Option<Who>,
    /// The number of its session, different for each session of the run.
    serial: u64,
    /// How many lines it has had.
    pub(crate) lines: u64,
    /// The newest of them by which it was welcomed.
    pub(crate) welcomed: u64,
    /// Whether it has asked to take up its session by this line.
    pub(crate) connects: bool,
    /// Whether it was told to wait for `Ready`.
    pub(crate) held: bool,
    next_id: i64,
    next_uid: u64,
    next_key: u64,
    pub(crate) follows: BTreeMap<ChannelName, Follow>,
    /// Channels of `connect` that have no answer yet.
    pub(crate) connecting: VecDeque<(ChannelName, i64)>,
    pub(crate) sent: BTreeMap<i64, Sent>,
    /// Publishes under a key whose outcome nobody knows, in the order in which they were sent.
    pub(crate) open: VecDeque<Sent>,
    /// Payloads that were sent again, or of which an attempt has had no certain outcome.
    pub(crate) doubtful: HashSet<String>,
    /// Own publications that are to be answered, so that their broadcast must not come yet.
    pub(crate) unanswered: HashSet<String>,
    /// Questions for pages: whether `at` was of the log, how many reads had failed, and the log's head.
    pub(crate) pages: BTreeMap<i64, (HistoryQuery, bool, usize, u64)>,
    /// Commands that are wrong, with the only answer that is right.
    pub(crate) wrong: BTreeMap<i64, ErrorCode>,
    /// Other commands without an answer.
    pub(crate) other: BTreeSet<i64>,
    /// Signals seen in this session: publisher's session → its last number.
    pub(crate) signals: HashMap<String, u64>,
    /// What was acknowledged, with its payload.
    pub(crate) acknowledged: Vec<(ChannelName, Position, Box<str>)>,
    /// Payloads that are to be stored only after this offset.
    pub(crate) conditions: HashMap<String, Offset>,
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
            lines: 0,
            welcomed: 0,
            connects: false,
            held: false,
            next_id: 0,
            next_uid: 0,
            next_key: 0,
            follows: BTreeMap::new(),
            connecting: VecDeque::new(),
            sent: BTreeMap::new(),
            open: VecDeque::new(),
            doubtful: HashSet::new(),
            unanswered: HashSet::new(),
            pages: BTreeMap::new(),
            wrong: BTreeMap::new(),
            other: BTreeSet::new(),
            signals: HashMap::new(),
            acknowledged: Vec::new(),
            conditions: HashMap::new(),
            refused: Vec::new(),
            keys: Vec::new(),
        }
    }

    pub(crate) fn opened(&mut self, who: Who, serial: u64) {
        self.who = Some(who);
        self.serial = serial;
        self.lines += 1;
        self.held = false;
        self.connects = false;
    }

    /// The connection is gone. Of what was published nobody knows what became of it; the rest is forgotten.
    pub(crate) fn closed(&mut self) {
        self.who = None;
        for follow in self.follows.values_mut() {
            follow.live = None;
            follow.asked.clear();
        }
        let sent = std::mem::take(&mut self.sent);
        sent.into_values().rev().for_each(|sent| self.leave_open(sent, true));
        self.connecting.clear();
        self.unanswered.clear();
        self.pages.clear();
        self.wrong.clear();
        self.other.clear();
        self.signals.clear();
    }

    /// Nobody knows what became of it: it is sent again if it has a key.
    pub(crate) fn leave_open(&mut self, sent: Sent, at_the_front: bool) {
        self.doubtful.insert(sent.uid.clone());
        match (sent.key.is_some(), at_the_front) {
            (true, true) => self.open.push_front(sent),
            (true, false) => self.open.push_back(sent),
            (false, _) => {}
        }
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

    /// A new key; a dated one says when it was made, in ms. One in eight is as long as keys may be.
    pub(crate) fn key(&mut self, channel: &ChannelName, dated: Option<u64>) -> Key {
        self.next_key += 1;
        let key = match dated {
            Some(ms) => format!("{}-{}{}", base_36(ms), self.name, self.next_key),
            None => format!("{}-{}", self.name, self.next_key),
        };
        let width = if self.next_key.is_multiple_of(8) { KEY_MAX } else { 0 };
        let key = format!("{key:~<width$}");
        let key = Key::parse(&key).expect("a short key");
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

    pub(crate) fn subscribes(&mut self, channel: &ChannelName, asked: Asked) {
        self.follows.entry(channel.clone()).or_default().asked.push(asked);
    }

    /// The same within `connect`, where the answer has no id.
    pub(crate) fn connects(&mut self, id: i64, channel: &ChannelName) {
        self.connecting.push_back((channel.clone(), id));
    }

    pub(crate) fn publishes(&mut self, id: Option<i64>, sent: Sent) {
        if let Some(id) = id {
            // The broadcast of an earlier attempt may come at any time.
            if !self.doubtful.contains(&sent.uid) {
                self.unanswered.insert(sent.uid.clone());
            }
            self.sent.insert(id, sent);
        }
    }

    pub(crate) fn pages(&mut self, id: i64, query: HistoryQuery, log: &Log, reads_failed: usize) {
        let valid = query.at.is_none_or(|at| log.holds(at));
        self.pages.insert(id, (query, valid, reads_failed, log.head()));
    }

    pub(crate) fn awaits(&mut self, id: i64) {
        self.other.insert(id);
    }

    pub(crate) fn was_told(&self, channel: &ChannelName, place: Position) -> bool {
        let read = self.known(channel).is_some_and(|known| place.offset <= known.offset);
        read || self.acknowledged.iter().any(|(of, position, _)| of == channel && *position == place)
    }
}

fn base_36(mut number: u64) -> String {
    let mut digits = Vec::new();
    while number > 0 {
        digits.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize]);
        number /= 36;
    }
    digits.iter().rev().map(|digit| char::from(*digit)).collect()
}

/// The session that published it, and its number there.
pub(crate) fn session_of(uid: &str) -> (&str, u64) {
    let (session, count) = uid.rsplit_once('.').unwrap_or((uid, "0"));
    (session, count.parse().unwrap_or(0))
}
