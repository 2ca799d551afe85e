//! When each connection is to be looked at again: a wheel of one-second slots. A connection is in it at most
//! once for real; entries that were overtaken are recognised by their time and dropped.

use trunkline_hub::SessionId;

/// Slots of the wheel; later deadlines are looked at early and put back.
const SLOTS: usize = 64;

/// Which connections are due when, in whole seconds of uptime.
#[derive(Debug)]
pub(crate) struct Deadlines {
    slots: Vec<Vec<(SessionId, u32)>>,
    now: u32,
}

impl Deadlines {
    pub(crate) fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), now: 0 }
    }

    /// Notes that `connection` is to be looked at in the second `at`. Gives the second it will be.
    pub(crate) fn set(&mut self, connection: SessionId, at: u32) -> u32 {
        let at = at.clamp(self.now + 1, self.now + SLOTS as u32 - 1);
        self.slots[at as usize % SLOTS].push((connection, at));
        at
    }

    /// Everything that is due up to the second `now`, with the second it was due in.
    pub(crate) fn due(&mut self, now: u32) -> Vec<(SessionId, u32)> {
        let mut due = Vec::new();
        // After a pause longer than the wheel, every slot is due once.
        let first = (self.now + 1).max(now.saturating_sub(SLOTS as u32 - 1));
        for second in first..=now {
            due.append(&mut self.slots[second as usize % SLOTS]);
        }
        self.now = self.now.max(now);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(index: u32) -> SessionId {
        SessionId { index, generation: 0 }
    }

    #[test]
    fn each_entry_comes_once_and_not_early() {
        let mut wheel = Deadlines::new();
        assert_eq!(wheel.set(id(1), 3), 3);
        assert_eq!(wheel.set(id(2), 5), 5);
        assert_eq!(wheel.set(id(3), 0), 1, "the past is the next second");
        assert_eq!(wheel.due(2), vec![(id(3), 1)]);
        assert_eq!(wheel.due(4), vec![(id(1), 3)]);
        assert_eq!(wheel.due(4), vec![]);
        assert_eq!(wheel.due(5), vec![(id(2), 5)]);
    }

    #[test]
    fn beyond_the_wheel_is_looked_at_early() {
        let mut wheel = Deadlines::new();
        let at = wheel.set(id(1), 10_000);
        assert_eq!(wheel.due(at), vec![(id(1), at)]);
    }

    #[test]
    fn a_long_pause_loses_nothing() {
        let mut wheel = Deadlines::new();
        wheel.set(id(1), 3);
        wheel.set(id(2), 60);
        let mut due = wheel.due(100_000);
        due.sort_by_key(|(id, _)| id.index);
        assert_eq!(due, vec![(id(1), 3), (id(2), 60)]);
    }
}
