//! The end of a run: everything that is under way arrives, everyone comes back and is brought up to date, and then the
//! books must agree: clients, logs, keys, and what the hubs still hold.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use trunkline_model::{Offset, Start};

use crate::client::session_of;
use crate::entries::check_stored;
use crate::store::{Log, uid_of};
use crate::truth::Truth;
use crate::violation::{Checked, Checker, ensure};
use crate::world::World;

impl World {
    pub(crate) fn end(&mut self) -> Checked {
        self.leave_steps();
        self.come_to_rest()?;
        self.come_back()?;
        self.come_to_rest()?;
        let truth = Truth { store: &self.node.store, rules: self.rules, now: self.node.now().ts };
        let present = self.clients.iter().filter(|client| client.who.is_some());
        present.into_iter().try_for_each(|client| client.check_at_rest(truth))?;
        self.check_the_logs()?;
        self.check_what_was_said()?;
        self.end_left()?;
        for index in 0..self.clients.len() {
            self.close(index)?;
        }
        self.end_left()?;
        self.node.try_settle()?;
        for _ in 0..3 {
            self.node.uptime += self.setting.limits.channel_idle;
            self.node.tick();
            self.node.try_settle()?;
        }
        let left = self.node.leftovers();
        ensure(left.is_empty(), Checker::Quiet, || {
            format!("all are gone, but something is still held: {left:?}")
        })
    }

    /// Everything that is under way arrives, and what had failed is tried again.
    fn come_to_rest(&mut self) -> Checked {
        self.mend_disk();
        let seats: Vec<_> = self.clients.iter().filter_map(|client| client.who).collect();
        seats.into_iter().for_each(|who| self.node.make_slow(who, usize::MAX));
        if self.setting.faults > 0 {
            self.node.store.failing_reads = self.rng.below(5);
        }
        for _ in 0..5 {
            self.node.try_settle()?;
            self.node.store.failing_reads = 0;
            for index in 0..self.clients.len() {
                self.read(index, usize::MAX)?;
            }
            // Long enough that a full shard looks again for channels that nobody uses.
            self.node.uptime += Duration::from_millis(500);
            self.node.tick();
        }
        Ok(())
    }

    /// Those who are away come back, and continue what they know of.
    fn come_back(&mut self) -> Checked {
        for index in 0..self.clients.len() {
            if self.clients[index].who.is_none() {
                self.open(index);
            }
        }
        self.come_to_rest()?;
        for index in 0..self.clients.len() {
            for channel in self.clients[index].known_channels() {
                let live =
                    self.clients[index].follows.get(&channel).is_some_and(|follow| follow.live.is_some());
                let known = self.clients[index].known(&channel).filter(|_| !live);
                if let Some(known) = known {
                    self.subscribe_at(index, channel, Start::Since(known));
                    self.node.try_settle()?;
                    self.read(index, usize::MAX)?;
                }
            }
        }
        Ok(())
    }

    fn check_the_logs(&self) -> Checked {
        let doubtful: HashSet<&str> =
            self.clients.iter().flat_map(|client| &client.doubtful).map(String::as_str).collect();
        let conditions: HashMap<&str, Offset> = self
            .clients
            .iter()
            .flat_map(|client| &client.conditions)
            .map(|(uid, wanted)| (uid.as_str(), *wanted))
            .collect();
        let mut uids = HashSet::new();
        for (channel, log) in self.node.store.logs() {
            let mut last = HashMap::new();
            for entry in (1..=log.head()).filter_map(|offset| log.original(offset)) {
                let uid = uid_of(entry);
                let (session, count) = session_of(uid);
                // What was sent again stands where it was sent again.
                let before = if doubtful.contains(uid) { None } else { last.insert(session, count) };
                ensure(before.is_none_or(|before| before < count), Checker::Order, || {
                    format!("{uid} is stored after number {before:?} in {channel}")
                })?;
                if let Some(wanted) = conditions.get(uid) {
                    check_stored(entry, *wanted, log)?;
                }
                let first = uids.insert(uid);
                ensure(first || entry.key.is_some(), Checker::OncePerKey, || {
                    format!("{uid} is stored twice")
                })?;
            }
            self.check_keys(log)?;
        }
        let refused =
            self.clients.iter().flat_map(|client| &client.refused).find(|uid| uids.contains(uid.as_str()));
        ensure(refused.is_none(), Checker::Definite, || format!("{refused:?} was refused and is stored"))
    }

    /// A key is stored again only when it is no longer remembered, and a dated one never.
    fn check_keys(&self, log: &Log) -> Checked {
        let mut stored = HashMap::new();
        for entry in &log.entries {
            let Some(key) = &entry.key else { continue };
            let Some(first) = stored.insert((&entry.from, key), entry) else { continue };
            let forgotten = entry.ts.0 >= first.ts.0 + self.rules.keys_ms;
            ensure(forgotten && key.born().is_none(), Checker::OncePerKey, || {
                format!("key {} is stored at {:?} and at {:?}", key.as_str(), first.position, entry.position)
            })?;
        }
        Ok(())
    }

    /// What was acknowledged is there, but for what went with a restored backup.
    fn check_what_was_said(&self) -> Checked {
        for (channel, position, uid) in self.clients.iter().flat_map(|client| &client.acknowledged) {
            let entry = self.node.store.log(channel).original(position.offset.0);
            let there =
                entry.is_some_and(|entry| entry.position == Some(*position) && uid_of(entry) == &**uid);
            ensure(there || self.node.store.has_lost(uid), Checker::Acknowledged, || {
                format!("{uid} was acknowledged at {position:?} of {channel} and is not there")
            })?;
        }
        Ok(())
    }
}
