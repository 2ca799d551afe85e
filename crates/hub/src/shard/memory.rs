//! How much of the publications of all channels together stays in memory. What a log has in memory the store has too, so
//! the largest give way; what a `value` or `map` holds is all there is, so no more is let in.

use trunkline_model::{ErrorCode, Fault, Kind};

use super::{Context, Shard};
use crate::answers::RETRY;
use crate::channel::Channel;
use crate::hot::Hot;

/// What is known of the memory that publications take.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// What has come since all of it was counted.
    added: usize,
    /// Whether so much cannot be let go that no more may come.
    is_full: bool,
}

impl Shard {
    /// What the channels of this worker hold of publications in memory.
    pub(crate) fn hot_bytes(&self) -> usize {
        self.channels.values().map(Channel::weight).sum()
    }

    /// Notes that a channel holds `after` now, where it has held `before`. When half of the bound has come since all was
    /// counted, it is counted again and brought down to the other half.
    pub(super) fn weigh(&mut self, before: usize, after: usize, cx: &mut Context<'_>) {
        self.memory.added += after.saturating_sub(before);
        if self.memory.added > self.limits.hot_bytes / 2 {
            self.make_light(cx);
        }
    }

    /// Whether one more channel of `kind` may be held, or more in one.
    ///
    /// # Errors
    /// What cannot be let go is too much already.
    pub(super) fn check_memory(&self, kind: Kind) -> Result<(), Fault> {
        if !self.memory.is_full || !matches!(kind, Kind::Value | Kind::Map) {
            return Ok(());
        }
        let message = format!(
            "the `value` and `map` channels in use at this worker hold more than half of its `hot_bytes`, {}",
            self.limits.hot_bytes
        );
        Err(Fault::new(ErrorCode::LimitExceeded, message).retry_in(RETRY))
    }

    /// Looks again whether there is room, where there was none.
    pub(super) fn look_for_memory(&mut self, cx: &mut Context<'_>) {
        if self.memory.is_full {
            self.make_light(cx);
        }
    }

    fn make_light(&mut self, cx: &mut Context<'_>) {
        let bound = self.limits.hot_bytes / 2;
        self.memory = Memory::default();
        if self.hot_bytes() <= bound {
            return;
        }
        self.let_go(cx, |channel| !channel.has_mortal());
        let kept = |channel: &Channel| if channel.namespace.kind == Kind::Log { 0 } else { channel.weight() };
        if self.channels.values().map(kept).sum::<usize>() > bound {
            self.let_go(cx, |_| true);
        }
        let (mut kept, mut rings) = (0, Vec::new());
        for channel in self.channels.values_mut() {
            let Some(log) = channel.log_mut() else { continue };
            match &mut log.hot {
                Hot::Ring(ring) => rings.push(ring),
                Hot::Latest(latest) => kept += latest.weight(),
            }
        }
        self.memory.is_full = kept > bound;
        let weights = rings.iter().map(|ring| ring.weight()).collect();
        let share = share_of(weights, bound.saturating_sub(kept));
        rings.into_iter().for_each(|ring| ring.shrink(share));
    }
}

/// How much each may have at most so that all together have `total` at most.
fn share_of(mut weights: Vec<usize>, total: usize) -> usize {
    weights.sort_unstable();
    let (mut left, mut count) = (total, weights.len());
    for weight in weights {
        // If all that are left had as much as this one, would it be too much?
        if weight > left / count {
            return left / count;
        }
        left -= weight;
        count -= 1;
    }
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_give_way() {
        assert_eq!(share_of(vec![], 10), usize::MAX);
        assert_eq!(share_of(vec![3, 1, 2], 6), usize::MAX);
        assert_eq!(share_of(vec![100, 1, 2], 6), 3);
        assert_eq!(share_of(vec![100, 1, 100], 21), 10);
        assert_eq!(share_of(vec![5, 5, 5], 2), 0);
    }
}
