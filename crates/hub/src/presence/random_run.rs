//! Presence at random beside a model: who holds what is a plain map, and what each subscriber knows is what it was told.
//!
//! Checked at every step: nobody is told to be gone within the grace time, nobody is told more bytes than allowed, nothing
//! asks to be looked at again and again. And at rest: everybody knows just who is there.

use std::collections::BTreeMap;

use trunkline_model::{DisplayName, Form, Kind, UserName};
use trunkline_sim::Rng;

use super::*;

const WORKERS: u16 = 3;
const CLIENTS: usize = 24;
const GRACE: Duration = Duration::from_millis(700);
const RATE: usize = 600;

/// What one subscriber has been told.
#[derive(Debug, Default)]
struct Known {
    count: usize,
    /// `None` where they are too many to be named.
    members: Option<BTreeMap<ClientId, Arc<Member>>>,
}

impl Known {
    fn hears(&mut self, update: &PresenceUpdate) {
        self.count = update.count;
        let named = |set: &[Arc<Member>]| -> BTreeMap<_, _> {
            set.iter().map(|member| (member.client.clone(), Arc::clone(member))).collect()
        };
        match (&update.members, &mut self.members) {
            (Members::Untold, members) => *members = None,
            (Members::All(set), members) => *members = Some(named(set)),
            (Members::Changed { set, gone }, Some(members)) => {
                members.extend(named(set));
                gone.iter().for_each(|client| drop(members.remove(client)));
            }
            (Members::Changed { .. }, None) => panic!("a change of a list that was never told"),
        }
    }
}

/// How much was told lately, by the same reckoning as a bucket that leaks.
#[derive(Debug, Default)]
struct Level {
    bytes: f64,
    at: Duration,
}

impl Level {
    fn rises(&mut self, now: Duration, bytes: usize, cap: f64) {
        let leaked = RATE as f64 * now.saturating_sub(self.at).as_secs_f64();
        *self = Self { bytes: (self.bytes - leaked).max(0.0) + bytes as f64, at: now };
        assert!(self.bytes <= cap + 1e-6, "{} bytes at once at {now:?}, {cap} are allowed", self.bytes);
    }
}

struct Run {
    rng: Rng,
    presence: Presence,
    now: Duration,
    /// Whether all queues always have room.
    roomy: bool,
    full_queues: Vec<bool>,
    /// Who holds what: the truth.
    held: BTreeMap<(u16, u32), (usize, u32)>,
    looks: BTreeMap<ClientId, Member>,
    /// When the last holder of a client left.
    left_at: BTreeMap<ClientId, Duration>,
    known: BTreeMap<(u16, u32), Known>,
    sessions: u32,
    changes: Level,
    repairs: Vec<Level>,
    told: usize,
}

fn channel() -> ChannelName {
    ChannelName::parse("chat:a").expect("a name")
}

fn client(number: usize) -> ClientId {
    ClientId::new(&format!("c{number}"))
}

fn seat((worker, session): (u16, u32)) -> Seat {
    Seat { worker, session: SessionId { index: session, generation: 1 } }
}

impl Run {
    fn new(seed: u64, members_told: usize) -> Self {
        let mut rng = Rng::new(seed);
        let namespace = Namespace {
            presence: PresenceMode::Full,
            grace: GRACE,
            members_max: rng.between(8, 30),
            ..Namespace::of_kind(Kind::Signal)
        };
        let limits = Limits {
            presence_members_told: members_told,
            presence_bytes_per_second: RATE,
            ..Limits::default()
        };
        let presence = Presence::new(Rules::of(&namespace, &limits), Duration::ZERO);
        let roomy = rng.percent(50);
        Self {
            rng,
            presence,
            now: Duration::ZERO,
            roomy,
            full_queues: vec![false; usize::from(WORKERS)],
            held: BTreeMap::new(),
            looks: BTreeMap::new(),
            left_at: BTreeMap::new(),
            known: BTreeMap::new(),
            sessions: 0,
            changes: Level::default(),
            repairs: (0..WORKERS).map(|_| Level::default()).collect(),
            told: 0,
        }
    }

    fn step(&mut self) {
        match self.rng.below(100) {
            0..=29 => self.enters(),
            30..=54 => self.leaves(),
            55..=69 => self.sets(),
            70..=79 if !self.roomy => {
                let worker = self.rng.below(usize::from(WORKERS));
                self.full_queues[worker] = self.rng.percent(60);
            }
            _ => {
                let ms = self.rng.between(1, 300) as u64;
                self.pass(Duration::from_millis(ms));
            }
        }
        // Whoever begins at a worker where nobody is told any more has missed nothing.
        for (worker, repairs) in self.repairs.iter_mut().enumerate() {
            if self.presence.links.iter().all(|link| usize::from(link.worker) != worker) {
                *repairs = Level::default();
            }
        }
    }

    fn member(&mut self, number: usize) -> Member {
        let name = self.rng.percent(50).then(|| DisplayName::parse(&format!("N{}", self.rng.below(3))).ok());
        let text = format!("{{\"at\":{}}}", self.rng.below(4));
        let state = self.rng.percent(70).then(|| Payload::new(Form::Json, text));
        let info = self.info();
        Member { client: client(number), user: UserName::new("guest"), name: name.flatten(), info, state }
    }

    fn info(&mut self) -> Option<Payload> {
        let level = self.rng.below(3);
        self.rng.percent(50).then(|| Payload::new(Form::Json, format!("{{\"level\":{level}}}")))
    }

    /// A new connection of some client, or a new subscription of one that is there.
    fn enters(&mut self) {
        let again = (!self.held.is_empty() && self.rng.percent(20)).then(|| self.any_held());
        let place = again.unwrap_or_else(|| {
            self.sessions += 1;
            (self.rng.below(usize::from(WORKERS)) as u16, self.sessions)
        });
        let (number, generation) =
            self.held.get(&place).copied().unwrap_or_else(|| (self.rng.below(CLIENTS), 0));
        let (member, watches) = (self.member(number), self.rng.percent(40));
        let members = self.presence.members.len();
        let is_new = !self.presence.members.contains_key(&client(number));
        let entered = self.presence.enter(member.clone(), seat(place), generation + 1, watches);
        let is_full = is_new && members >= self.presence.rules.members_max;
        assert_eq!(entered, if is_full { Err(Full(members)) } else { Ok(()) });
        if is_full {
            return;
        }
        self.held.insert(place, (number, generation + 1));
        self.looks.insert(client(number), member);
        self.left_at.remove(&client(number));
        self.known.remove(&place);
        if watches {
            let mut known = Known::default();
            known.hears(&self.presence.all(&channel()));
            self.known.insert(place, known);
        }
        if again.is_some() && self.rng.percent(50) {
            // The join before is answered late, and is nobody's any more.
            let late =
                Member { name: DisplayName::parse("Late").ok(), ..self.looks[&client(number)].clone() };
            self.presence.enter(late, seat(place), generation, !watches).expect("it is a member");
        }
        if again.is_some() && self.rng.percent(50) {
            // Word of the subscription before comes late, and ends nothing.
            self.presence.leave(self.now, seat(place), generation);
        }
    }

    fn leaves(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let place = self.any_held();
        let Some((number, generation)) = self.held.remove(&place) else { return };
        self.known.remove(&place);
        if self.held.values().all(|(other, _)| *other != number) {
            self.left_at.insert(client(number), self.now);
        }
        self.presence.leave(self.now, seat(place), generation);
    }

    fn sets(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let place = self.any_held();
        let state = Payload::new(Form::Json, format!("\"{}\"", "x".repeat(self.rng.below(100))));
        let set = self.presence.set_state(&channel(), seat(place), state.clone());
        assert!(set.is_some(), "it is held");
        let number = self.held[&place].0;
        self.looks.entry(client(number)).and_modify(|look| look.state = Some(state));
        if self.rng.percent(30) {
            let info = self.info();
            self.presence.set_info(seat(place), info.clone());
            self.looks.entry(client(number)).and_modify(|look| look.info = info);
        }
    }

    fn any_held(&mut self) -> (u16, u32) {
        let at = self.rng.below(self.held.len());
        *self.held.keys().nth(at).expect("it is below the length")
    }

    /// Time passes, and what is due meanwhile is done in its moment.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.presence.next().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.presence.expire(self.now);
            let full = self.full_queues.clone();
            let stale: Vec<_> = self.presence.links.iter().map(|link| (link.worker, link.stale)).collect();
            let told = self.presence.tell(self.now, &channel(), |worker| !full[usize::from(worker)]);
            self.hear(&stale, &told);
            let after = self.presence.next();
            assert!(after.is_none_or(|after| after > self.now), "it asks for {after:?} at {:?}", self.now);
        }
        self.now = end;
    }

    fn hear(&mut self, stale: &[(u16, bool)], told: &[(u16, Arc<PresenceUpdate>)]) {
        let mut first = true;
        for (worker, update) in told {
            self.told += 1;
            if stale.contains(&(*worker, true)) {
                let cap = update.cost() as f64;
                self.repairs[usize::from(*worker)].rises(self.now, update.cost(), cap.max(RATE as f64));
            } else if std::mem::take(&mut first) {
                self.changes.rises(self.now, update.cost(), RATE as f64);
            }
            let present = |client: &ClientId| update.count > 0 && self.is_there(client);
            match &update.members {
                Members::Changed { gone, .. } => {
                    assert!(gone.iter().all(|client| !present(client)), "{gone:?} at {:?}", self.now);
                }
                Members::All(_) | Members::Untold => {}
            }
            let known = self.known.iter_mut().filter(|((at, _), _)| at == worker);
            known.for_each(|(_, known)| known.hears(update));
        }
    }

    /// Whether somebody holds it, or did a moment ago.
    fn is_there(&self, client: &ClientId) -> bool {
        let left_at = self.left_at.get(client);
        self.looks.contains_key(client) && left_at.is_none_or(|left| self.now < *left + GRACE)
    }

    fn check_at_rest(&mut self) {
        self.full_queues.fill(false);
        self.pass(Duration::from_secs(600));
        assert_eq!(self.presence.next(), None, "all is told");
        let there: BTreeMap<_, _> = self
            .held
            .values()
            .map(|(number, _)| (client(*number), Arc::new(self.looks[&client(*number)].clone())))
            .collect();
        for (place, known) in &self.known {
            assert_eq!(known.count, there.len(), "{place:?}");
            let named = there.len() <= self.presence.rules.members_told;
            assert_eq!(known.members.as_ref(), named.then_some(&there), "{place:?}");
        }
        assert_eq!(self.presence.members.len(), there.len());
        assert_eq!(self.presence.holders.len(), self.held.len());
    }
}

#[test]
fn whatever_happens_everybody_knows_who_is_there_at_rest() {
    let mut told = 0;
    for seed in 0..300 {
        // Some are too many to be named at times.
        let mut run = Run::new(seed, [6, 100][seed as usize % 2]);
        for _ in 0..3 {
            (0..250).for_each(|_| run.step());
            run.check_at_rest();
        }
        told += run.told;
    }
    assert!(told > 10_000, "only {told} updates were told");
}

/// Far more than may be told: new clients all the time, each for a moment.
#[test]
fn however_many_come_and_go_bytes_and_memory_are_bounded() {
    let mut run = Run::new(1, 20);
    run.roomy = true;
    let watcher = (0, 0);
    run.held.insert(watcher, (0, 1));
    let member = run.member(0);
    run.looks.insert(client(0), member.clone());
    run.presence.enter(member, seat(watcher), 1, true).expect("there is room");
    let mut known = Known::default();
    known.hears(&run.presence.all(&channel()));
    run.known.insert(watcher, known);
    run.presence.rules.grace = Duration::from_millis(1);
    for number in 1..20_000 {
        let place = (1, number as u32);
        let member = run.member(number);
        run.looks.insert(client(number), member.clone());
        run.presence.enter(member, seat(place), 1, false).expect("few are there at a time");
        run.left_at.insert(client(number), Duration::ZERO);
        run.presence.leave(run.now, seat(place), 1);
        run.pass(Duration::from_millis(2));
        assert!(run.presence.changed.len() <= 2 * 20 + 1, "{} wait", run.presence.changed.len());
        assert_eq!(run.presence.changed.len(), run.presence.queued.len());
    }
    assert!(run.told > 50, "only {} updates in 40 s", run.told);
    run.check_at_rest();
}
