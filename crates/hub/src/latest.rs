//! All that a `value` or a `map` holds: the newest publication of each entry. Bounded by the caps that are checked
//! before a publish is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use trunkline_backend::Window;
use trunkline_model::{ClientId, EntryName, Offset, Publication, Timestamp};

use crate::ring::offset_of;

/// How many removals are remembered at most. Beyond it the oldest are forgotten early, and a client that was away since
/// before is given everything anew.
const REMOVALS_MAX: usize = 10_000;

/// The newest publication of each entry, in the order of their offsets. Removed entries stay as long as a client that was
/// away is told of them.
#[derive(Debug, Default)]
pub(crate) struct Latest {
    entries: BTreeMap<Offset, Arc<Publication>>,
    places: HashMap<Option<EntryName>, Offset>,
    bytes: usize,
    /// What all of it takes in memory.
    weight: usize,
    /// Those among them that say that their entry is gone.
    removals: BTreeSet<Offset>,
    /// How many are bound to each session.
    owners: HashMap<ClientId, usize>,
    /// When entries expire, of those that do.
    expiring: BTreeSet<(Timestamp, Offset)>,
}

impl Latest {
    /// Takes a publication that is newer than all that is here, in place of what its entry was. Of removals only so many
    /// are remembered; gives the offset of one that is forgotten for that.
    pub(crate) fn push(&mut self, publication: Arc<Publication>) -> Option<Offset> {
        let offset = offset_of(&publication);
        if let Some(before) = self.places.insert(name_of(&publication), offset) {
            self.take(before);
        }
        self.count(&publication, true);
        self.weight += publication.weight();
        self.expiring.extend(expiry_of(&publication).map(|at| (at, offset)));
        if is_removed(&publication) {
            self.removals.insert(offset);
        }
        self.entries.insert(offset, publication);
        if self.removals.len() <= REMOVALS_MAX {
            return None;
        }
        let oldest = self.removals.first().copied()?;
        let name = self.entries.get(&oldest).map(|publication| name_of(publication))?;
        self.places.remove(&name);
        self.take(oldest);
        Some(oldest)
    }

    fn count(&mut self, publication: &Publication, more: bool) {
        if is_removed(publication) {
            return;
        }
        if more {
            self.bytes += publication.cost();
        } else {
            self.bytes -= publication.cost();
        }
        let Some(owner) = publication.role.entry().and_then(|entry| entry.owner.as_ref()) else { return };
        let count = self.owners.entry(owner.clone()).or_default();
        *count = if more { *count + 1 } else { *count - 1 };
        if *count == 0 {
            self.owners.remove(owner);
        }
    }

    /// The first one after `offset`.
    pub(crate) fn after(&self, offset: Offset) -> Option<&Arc<Publication>> {
        self.entries.range(offset.next()..).next().map(|(_, publication)| publication)
    }

    /// What stands at `offset`.
    pub(crate) fn get(&self, offset: Offset) -> Option<&Arc<Publication>> {
        self.entries.get(&offset)
    }

    /// The state of an entry, if it is there.
    pub(crate) fn state(&self, name: &Option<EntryName>) -> Option<&Arc<Publication>> {
        let offset = self.places.get(name)?;
        self.entries.get(offset).filter(|publication| !is_removed(publication))
    }

    /// All of `first..=last`, removals included, as many from the first on as `window` holds.
    pub(crate) fn range(&self, first: Offset, last: Offset, window: Window) -> Vec<Arc<Publication>> {
        if first > last {
            return Vec::new();
        }
        let mut meter = trunkline_backend::Meter::new(window);
        let held = self.entries.range(first..=last).map(|(_, publication)| publication);
        held.take_while(|publication| meter.admit(publication.cost())).cloned().collect()
    }

    /// How many there are of `first..=last`, removals included.
    pub(crate) fn count_of(&self, first: Offset, last: Offset) -> usize {
        if first > last { 0 } else { self.entries.range(first..=last).count() }
    }

    /// Every entry that is there, up to `last`.
    pub(crate) fn state_at(&self, last: Offset) -> Vec<Arc<Publication>> {
        let held = self.entries.range(..=last).map(|(_, publication)| publication);
        held.filter(|publication| !is_removed(publication)).cloned().collect()
    }

    /// How many entries are there.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.removals.len()
    }

    /// What they cost.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What they and the removals that are remembered take in memory.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    /// Whether any of them goes by itself.
    pub(crate) fn has_mortal(&self) -> bool {
        !self.owners.is_empty() || !self.expiring.is_empty()
    }

    /// Whether any of them is bound to this session.
    pub(crate) fn has_of(&self, client: &ClientId) -> bool {
        self.owners.contains_key(client)
    }

    /// The sessions that entries are bound to.
    pub(crate) fn owners(&self) -> impl Iterator<Item = &ClientId> {
        self.owners.keys()
    }

    /// When the first entry expires.
    pub(crate) fn next_expiry(&self) -> Option<Timestamp> {
        self.expiring.first().map(|(at, _)| *at)
    }

    /// The entries that expire at `now` or before.
    pub(crate) fn expired(&self, now: Timestamp) -> Vec<Arc<Publication>> {
        let due = self.expiring.iter().take_while(|(at, _)| *at <= now);
        due.filter_map(|(_, offset)| self.entries.get(offset)).cloned().collect()
    }

    /// The entries of these sessions.
    pub(crate) fn owned(&self, is_owner: impl Fn(&ClientId) -> bool) -> Vec<Arc<Publication>> {
        let owner = |publication: &Arc<Publication>| {
            publication.role.entry().and_then(|entry| entry.owner.as_ref()).is_some_and(&is_owner)
        };
        self.entries
            .values()
            .filter(|publication| !is_removed(publication))
            .filter(|p| owner(p))
            .cloned()
            .collect()
    }

    /// Lets go of removals that are older than `keep`; gives the offset of the last of them.
    pub(crate) fn forget_removals(&mut self, now: Timestamp, keep: Duration) -> Option<Offset> {
        let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        let is_old = |publication: &Publication| publication.ts.0.saturating_add(keep) <= now.0;
        let removals = self.removals.iter().filter_map(|offset| self.entries.get(offset));
        let old: Vec<_> = removals
            .take_while(|publication| is_old(publication))
            .map(|publication| (name_of(publication), offset_of(publication)))
            .collect();
        for (name, offset) in &old {
            self.places.remove(name);
            self.take(*offset);
        }
        old.last().map(|(_, offset)| *offset)
    }

    fn take(&mut self, offset: Offset) {
        if let Some(publication) = self.entries.remove(&offset) {
            self.count(&publication, false);
            self.weight -= publication.weight();
            self.removals.remove(&offset);
            if let Some(at) = expiry_of(&publication) {
                self.expiring.remove(&(at, offset));
            }
        }
    }
}

/// The name of the entry that a publication is the state of.
pub(crate) fn name_of(publication: &Publication) -> Option<EntryName> {
    publication.role.entry().and_then(|entry| entry.name.clone())
}

fn expiry_of(publication: &Publication) -> Option<Timestamp> {
    publication.role.entry().and_then(|entry| entry.expires).filter(|_| !is_removed(publication))
}

fn is_removed(publication: &Publication) -> bool {
    publication.role.entry().is_some_and(|entry| entry.removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_model::{ChannelName, Entry, Epoch, Form, Payload, Position, Role};

    const ALL: Window = Window { entries: u32::MAX, bytes: usize::MAX };

    fn state(offset: u64, name: &str, removed: bool) -> Arc<Publication> {
        let channel = ChannelName::parse("map:x").expect("a name");
        let mut publication =
            Publication::new(channel, Timestamp(1_000 * offset), Payload::new(Form::Text, "x"));
        publication.position = Some(Position { epoch: Epoch::from_random(1), offset: Offset(offset) });
        let name = Some(EntryName::parse(name).expect("a name"));
        publication.role = Role::Entry(Box::new(Entry { name, removed, ..Entry::default() }));
        Arc::new(publication)
    }

    fn offsets(entries: &[Arc<Publication>]) -> Vec<u64> {
        entries.iter().map(|entry| offset_of(entry).0).collect()
    }

    #[test]
    fn only_the_newest_of_each_entry_is_here() {
        let mut latest = Latest::default();
        for (offset, name) in [(1, "a"), (2, "b"), (3, "a"), (4, "c")] {
            latest.push(state(offset, name, false));
        }
        assert_eq!(offsets(&latest.state_at(Offset(9))), [2, 3, 4]);
        assert_eq!(offsets(&latest.state_at(Offset(3))), [2, 3]);
        assert_eq!(offsets(&latest.range(Offset(3), Offset(9), ALL)), [3, 4]);
        assert_eq!(latest.after(Offset(2)).map(|entry| offset_of(entry)), Some(Offset(3)));
        assert_eq!(latest.after(Offset(4)), None);
        assert_eq!((latest.len(), latest.bytes()), (3, 3 * (1 + 1 + 64)));
    }

    #[test]
    fn removals_are_told_and_then_forgotten() {
        let mut latest = Latest::default();
        latest.push(state(1, "a", false));
        latest.push(state(2, "b", false));
        latest.push(state(3, "a", true));
        assert_eq!((latest.len(), offsets(&latest.state_at(Offset(9)))), (1, vec![2]));
        assert_eq!(offsets(&latest.range(Offset(1), Offset(9), ALL)), [2, 3]);
        let a = EntryName::parse("a").expect("a name");
        assert_eq!(latest.state(&Some(a)), None);
        let keep = Duration::from_secs(2);
        assert_eq!(latest.forget_removals(Timestamp(4_999), keep), None);
        assert_eq!(latest.forget_removals(Timestamp(5_000), keep), Some(Offset(3)));
        assert_eq!(offsets(&latest.range(Offset(1), Offset(9), ALL)), [2]);
        assert_eq!(latest.bytes(), 1 + 1 + 64);
    }
}
