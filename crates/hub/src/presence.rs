//! Who is in one channel, at its owner: who holds which member, who is about to be gone, and what is still to be told to
//! which worker. Not who of a worker is told; that is `watchers`. Driven by `shard/presence`.
//!
//! ```text
//!   enter ──▶ held ◀──enter── leaving ──grace──▶ (gone, told as such)
//!              └───── the last holder leaves ──▲
//! ```
//!
//! What is told is right at rest: a change waits in a queue, oldest first, until the interval and the bytes allow to tell
//! it, and is then told as it is by that time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use trunkline_model::{
    ChannelName, ClientId, Limits, Member, Members, Namespace, Payload, PresenceMode, PresenceUpdate,
};

use crate::input::SessionId;

/// What a channel's presence is bound to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    mode: PresenceMode,
    grace: Duration,
    members_max: usize,
    members_told: usize,
    interval: Duration,
    bytes_per_second: usize,
}

impl Rules {
    pub(crate) fn of(namespace: &Namespace, limits: &Limits) -> Self {
        Self {
            mode: namespace.presence,
            grace: namespace.grace,
            members_max: namespace.members_max,
            members_told: limits.presence_members_told,
            interval: limits.presence_interval,
            bytes_per_second: limits.presence_bytes_per_second.max(1),
        }
    }
}

/// How long `bytes` of presence take at the speed at which a subscriber is told it.
pub(crate) fn time_for(bytes: usize, bytes_per_second: usize) -> Duration {
    Duration::from_secs_f64(bytes as f64 / bytes_per_second.max(1) as f64)
}

/// A session at its worker.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Seat {
    pub(crate) worker: u16,
    pub(crate) session: SessionId,
}

/// Who is in one channel.
#[derive(Debug)]
pub(crate) struct Presence {
    rules: Rules,
    members: BTreeMap<ClientId, Entry>,
    /// By which subscriptions the members are held.
    holders: HashMap<Seat, Holder>,
    /// Members without a holder, by the moment in which they are gone.
    leaving: BTreeSet<(Duration, ClientId)>,
    /// The workers that have sessions to be told.
    links: Vec<Link>,
    /// Whose change is to be told, the oldest first; each at most once.
    changed: VecDeque<ClientId>,
    queued: HashSet<ClientId>,
    /// Whether what is told next replaces all that was told.
    afresh: bool,
    /// Whether they are too many to be named.
    crowded: bool,
    /// Whether their number has been another one since it was told. Whoever came in meanwhile was given that one.
    count_changed: bool,
    /// Nothing is told before.
    tell_at: Duration,
    allowance: Allowance,
    /// All members, if somebody has asked since they changed last.
    all: Option<Arc<PresenceUpdate>>,
}

#[derive(Debug)]
struct Entry {
    member: Arc<Member>,
    /// How many subscriptions hold it: two connections may present the same session.
    holders: u32,
    leaving_at: Option<Duration>,
}

#[derive(Debug)]
struct Holder {
    client: ClientId,
    /// Which subscription of the session to the channel it is.
    generation: u32,
    watches: bool,
}

/// A worker that has sessions to be told.
#[derive(Debug)]
struct Link {
    worker: u16,
    /// How many.
    watchers: u32,
    /// Whether it missed an update for want of room in its queue.
    stale: bool,
    /// It is given no list of all before. What it missed comes on top of what everyone is told, and takes its time too.
    list_at: Duration,
}

/// How many bytes may be told at once: a bucket that holds one second's worth.
#[derive(Debug)]
struct Allowance {
    bytes: f64,
    at: Duration,
}

/// The channel has as many members as it may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Full(pub(crate) usize);

impl Presence {
    pub(crate) fn new(rules: Rules, now: Duration) -> Self {
        Self {
            rules,
            members: BTreeMap::new(),
            holders: HashMap::new(),
            leaving: BTreeSet::new(),
            links: Vec::new(),
            changed: VecDeque::new(),
            queued: HashSet::new(),
            afresh: false,
            crowded: false,
            count_changed: false,
            tell_at: Duration::ZERO,
            allowance: Allowance { bytes: rules.bytes_per_second as f64, at: now },
            all: None,
        }
    }

    /// Nobody is there and nobody is to be told: it may be let go.
    pub(crate) fn is_unused(&self) -> bool {
        self.members.is_empty() && self.links.is_empty()
    }

    // ---- who is there ----

    /// The subscription `generation` of `seat` holds `member` now, instead of an earlier one of the same session.
    pub(crate) fn enter(
        &mut self,
        member: Member,
        seat: Seat,
        generation: u32,
        watches: bool,
    ) -> Result<(), Full> {
        let client = member.client.clone();
        let before = self.holders.get(&seat).map(|holder| (holder.generation, holder.watches));
        // A join that was asked for later may have been answered first.
        if before.is_some_and(|(before, _)| !is_later(generation, before)) {
            return Ok(());
        }
        if self.members.len() >= self.rules.members_max && !self.members.contains_key(&client) {
            return Err(Full(self.rules.members_max));
        }
        self.holders.insert(seat, Holder { client: client.clone(), generation, watches });
        self.put(member, u32::from(before.is_none()));
        // After it: that it is there itself, the first to be told is told with the others.
        self.watch(seat.worker, before.is_some_and(|(_, watched)| watched), watches);
        Ok(())
    }

    /// The subscription `generation` of `seat`, or an earlier one of it, holds its member no more. A later one still does.
    pub(crate) fn leave(&mut self, now: Duration, seat: Seat, generation: u32) {
        if self.holders.get(&seat).is_none_or(|holder| is_later(holder.generation, generation)) {
            return;
        }
        let Some(holder) = self.holders.remove(&seat) else { return };
        self.watch(seat.worker, holder.watches, false);
        let Some(entry) = self.members.get_mut(&holder.client) else { return };
        entry.holders = entry.holders.saturating_sub(1);
        if entry.holders == 0 {
            let at = now + self.rules.grace;
            entry.leaving_at = Some(at);
            self.leaving.insert((at, holder.client));
        }
    }

    /// The member that `seat` holds says this about itself; `None` if it holds none.
    pub(crate) fn set_state(
        &mut self,
        channel: &ChannelName,
        seat: Seat,
        state: Payload,
    ) -> Option<Arc<PresenceUpdate>> {
        let client = &self.holders.get(&seat)?.client;
        let member = Arc::clone(&self.members.get(client)?.member);
        let changed = Member { state: Some(state), ..(*member).clone() };
        self.put(changed.clone(), 0);
        let members = match self.names_members() {
            true => Members::Changed { set: vec![Arc::new(changed)], gone: Vec::new() },
            false => Members::Untold,
        };
        Some(Arc::new(PresenceUpdate::new(channel.clone(), self.members.len(), members)))
    }

    /// The member that `seat` holds, if it holds one, is shown with this.
    pub(crate) fn set_info(&mut self, seat: Seat, info: Option<Payload>) {
        let member = self.holders.get(&seat).and_then(|holder| self.members.get(&holder.client));
        if let Some(Entry { member, .. }) = member {
            let changed = Member { info, ..(**member).clone() };
            self.put(changed, 0);
        }
    }

    /// Those whose time is over are gone.
    pub(crate) fn expire(&mut self, now: Duration) {
        while self.leaving.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, client)) = self.leaving.pop_first() else { break };
            self.members.remove(&client);
            self.count_changed = true;
            self.note(client);
        }
    }

    /// All who are there, as far as it is told.
    pub(crate) fn all(&mut self, channel: &ChannelName) -> Arc<PresenceUpdate> {
        if let Some(all) = &self.all {
            return Arc::clone(all);
        }
        let members = match self.names_members() {
            true => Members::All(self.members.values().map(|entry| Arc::clone(&entry.member)).collect()),
            false => Members::Untold,
        };
        let all = Arc::new(PresenceUpdate::new(channel.clone(), self.members.len(), members));
        self.all = Some(Arc::clone(&all));
        all
    }

    /// Has the member as given, held by so many more.
    fn put(&mut self, mut member: Member, holders: u32) {
        if self.rules.mode != PresenceMode::Full {
            // Nobody will see it.
            (member.info, member.state) = (None, None);
        }
        let client = member.client.clone();
        let Some(entry) = self.members.get_mut(&client) else {
            let entry = Entry { member: Arc::new(member), holders, leaving_at: None };
            self.members.insert(client.clone(), entry);
            self.count_changed = true;
            self.note(client);
            return;
        };
        entry.holders += holders;
        if let Some(at) = entry.leaving_at.take() {
            self.leaving.remove(&(at, client.clone()));
        }
        if *entry.member != member {
            entry.member = Arc::new(member);
            self.note(client);
        }
    }

    // ---- who is told ----

    fn watch(&mut self, worker: u16, before: bool, after: bool) {
        if before == after {
            return;
        }
        if !after {
            if let Some(link) = self.links.iter_mut().find(|link| link.worker == worker) {
                link.watchers = link.watchers.saturating_sub(1);
            }
            self.links.retain(|link| link.watchers > 0);
            return;
        }
        if self.links.is_empty() {
            // Whoever begins now is given all; what came before is nobody's news.
            self.forget_changes();
            self.crowded = !self.names_members();
            self.count_changed = false;
        }
        match self.links.iter_mut().find(|link| link.worker == worker) {
            Some(link) => link.watchers += 1,
            None => {
                self.links.push(Link { worker, watchers: 1, stale: false, list_at: Duration::ZERO });
            }
        }
    }

    fn names_members(&self) -> bool {
        self.rules.mode == PresenceMode::Full && self.members.len() <= self.rules.members_told
    }

    fn note(&mut self, client: ClientId) {
        self.all = None;
        if self.links.is_empty() {
            return;
        }
        let crowded = !self.names_members();
        if crowded == std::mem::replace(&mut self.crowded, crowded) {
            self.queue(client);
        } else if crowded {
            self.forget_changes();
        } else {
            self.begin_afresh();
        }
    }

    fn queue(&mut self, client: ClientId) {
        if !self.crowded && self.queued.insert(client.clone()) {
            self.changed.push_back(client);
        }
        // Those who came and went unseen must not pile up: it begins anew with those who are there.
        if self.changed.len() > self.rules.members_told.saturating_mul(2) {
            self.begin_afresh();
        }
    }

    fn forget_changes(&mut self) {
        self.changed = VecDeque::new();
        self.queued = HashSet::new();
        self.afresh = false;
    }

    fn begin_afresh(&mut self) {
        self.changed = self.members.keys().cloned().collect();
        self.queued = self.changed.iter().cloned().collect();
        self.afresh = true;
    }

    /// When something is to be done next, if nothing happens before: somebody is gone, or something is to be told.
    pub(crate) fn next(&self) -> Option<Duration> {
        let gone = self.leaving.first().map(|(at, _)| *at);
        let lists = self.links.iter().filter(|link| link.stale).map(|link| link.list_at.max(self.tell_at));
        let news = self.has_news().then_some(self.tell_at);
        gone.into_iter().chain(news).chain(lists).min()
    }

    fn has_news(&self) -> bool {
        let changed = !self.changed.is_empty() || self.afresh;
        !self.links.is_empty() && (changed || self.count_changed)
    }

    /// What is to be told now to which worker, by those whose queue has room. The others are told later, all at once.
    pub(crate) fn tell(
        &mut self,
        now: Duration,
        channel: &ChannelName,
        has_room: impl Fn(u16) -> bool,
    ) -> Vec<(u16, Arc<PresenceUpdate>)> {
        let due = now >= self.tell_at;
        let repairs = self.links.iter().any(|link| link.stale && now >= link.list_at);
        if !due || !(self.has_news() || repairs) {
            return Vec::new();
        }
        self.tell_at = now + self.rules.interval;
        // Those who missed something are given everything, which has the newest in it.
        let all = repairs.then(|| self.all(channel));
        let update = self.has_news().then(|| self.update(now, channel)).flatten();
        let mut told = Vec::new();
        for link in &mut self.links {
            let room = has_room(link.worker);
            let list = all.as_ref().filter(|_| link.stale && room && now >= link.list_at);
            if let Some(all) = list {
                link.stale = false;
                link.list_at = now + time_for(all.cost(), self.rules.bytes_per_second);
                told.push((link.worker, Arc::clone(all)));
            } else if let Some(update) = &update {
                link.stale |= !room;
                if room && !link.stale {
                    told.push((link.worker, Arc::clone(update)));
                }
            }
        }
        told
    }

    /// The next part of what is to be told to all, as much as the allowance has.
    fn update(&mut self, now: Duration, channel: &ChannelName) -> Option<Arc<PresenceUpdate>> {
        let rate = self.rules.bytes_per_second as f64;
        let refilled = self.allowance.bytes + rate * now.saturating_sub(self.allowance.at).as_secs_f64();
        self.allowance = Allowance { bytes: refilled.min(rate), at: now };
        let base = PresenceUpdate::base_cost(channel);
        let full = self.allowance.bytes >= rate;
        let left = self.allowance.bytes - base as f64;
        if left < 0.0 && !full {
            return None;
        }
        let (members, cost) = self.take_changes(left, full)?;
        self.allowance.bytes -= (base + cost) as f64;
        self.count_changed = false;
        Some(Arc::new(PresenceUpdate::new(channel.clone(), self.members.len(), members)))
    }

    /// The oldest changes that `left` bytes hold; where the allowance is full at least one. `None` if none fits and there
    /// is nothing else to tell.
    fn take_changes(&mut self, left: f64, full: bool) -> Option<(Members, usize)> {
        if self.crowded {
            return Some((Members::Untold, 0));
        }
        let (mut set, mut gone, mut cost) = (Vec::new(), Vec::new(), 0);
        while let Some(client) = self.changed.front() {
            let entry = self.members.get(client);
            let takes = entry.map_or_else(|| PresenceUpdate::gone_cost(client), |entry| entry.member.cost());
            let first = cost == 0;
            if (cost + takes) as f64 > left && !(first && full) {
                break;
            }
            cost += takes;
            match entry {
                Some(entry) => set.push(Arc::clone(&entry.member)),
                // Those who are told anew never heard of it.
                None if self.afresh => {}
                None => gone.push(client.clone()),
            }
            if let Some(client) = self.changed.pop_front() {
                self.queued.remove(&client);
            }
        }
        if cost == 0 && !self.changed.is_empty() {
            return None;
        }
        match std::mem::take(&mut self.afresh) {
            true => Some((Members::All(set), cost)),
            false => Some((Members::Changed { set, gone }, cost)),
        }
    }
}

/// Whether `generation` came after `other`, also when they have wrapped around.
fn is_later(generation: u32, other: u32) -> bool {
    generation.wrapping_sub(other).cast_signed() > 0
}

#[cfg(test)]
mod random_run;
