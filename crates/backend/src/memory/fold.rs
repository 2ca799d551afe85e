//! What references have made of one message of a [`MemoryLog`](super::MemoryLog).

use bytes::Bytes;
use hashbrown::HashMap;
use trunkline_model::{Fold, Offset, Op, UserName};

/// Kept with the message, and changed with each reference to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Folding {
    rev: Offset,
    edits: Vec<Offset>,
    reactions: Vec<Reaction>,
}

#[derive(Clone, Debug)]
struct Reaction {
    value: Bytes,
    /// Who gave it, and where.
    by: HashMap<Option<UserName>, Offset>,
}

impl Folding {
    /// Where the author's reaction of this value is, if it stands.
    pub(super) fn reacted(&self, value: &Bytes, author: &Option<UserName>) -> Option<Offset> {
        self.reaction(value).and_then(|reaction| reaction.by.get(author).copied())
    }

    /// Whether there would be more than `max` different reactions with this one.
    pub(super) fn is_full(&self, value: &Bytes, max: usize) -> bool {
        self.reactions.len() >= max && self.reaction(value).is_none()
    }

    /// The newest edit.
    pub(super) fn edit(&self) -> Option<Offset> {
        self.edits.last().copied()
    }

    /// What readers of history are told.
    pub(super) fn fold(&self) -> Fold {
        let told = |reaction: &Reaction| {
            let value = String::from_utf8_lossy(&reaction.value).into();
            (value, u32::try_from(reaction.by.len()).unwrap_or(u32::MAX))
        };
        Fold { rev: self.rev, reactions: self.reactions.iter().map(told).collect() }
    }

    /// Takes up the reference at `offset`, which is allowed. Returns the edits that are to be erased.
    pub(super) fn apply(
        &mut self,
        op: Op,
        offset: Offset,
        value: &Bytes,
        author: &Option<UserName>,
    ) -> Vec<Offset> {
        self.rev = offset;
        match op {
            Op::Edit => self.edits.push(offset),
            Op::React => self.react(value, author, offset),
            Op::Unreact => {
                for reaction in self.reactions.iter_mut().filter(|reaction| reaction.value == *value) {
                    reaction.by.remove(author);
                }
                self.reactions.retain(|reaction| !reaction.by.is_empty());
            }
            Op::Delete => {
                self.reactions.clear();
                return std::mem::take(&mut self.edits);
            }
        }
        Vec::new()
    }

    fn react(&mut self, value: &Bytes, author: &Option<UserName>, offset: Offset) {
        let by = HashMap::from_iter([(author.clone(), offset)]);
        match self.reactions.iter_mut().find(|reaction| reaction.value == *value) {
            Some(reaction) => reaction.by.extend(by),
            None => self.reactions.push(Reaction { value: value.clone(), by }),
        }
    }

    fn reaction(&self, value: &Bytes) -> Option<&Reaction> {
        self.reactions.iter().find(|reaction| reaction.value == *value)
    }
}
