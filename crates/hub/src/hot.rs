//! What of a log is in memory: the newest entries, or all that is kept where only the newest of each entry is. Decides
//! nothing; asked by the channel and by who joins it.

use std::sync::Arc;

use trunkline_backend::Window;
use trunkline_model::{Kind, Offset, Publication};

use crate::latest::Latest;
use crate::ring::Ring;

/// What of a log is in memory.
#[derive(Debug)]
pub(crate) enum Hot {
    /// The newest entries of a `log`.
    Ring(Ring),
    /// The newest of each entry of a `value` or a `map`.
    Latest(Latest),
}

/// What comes after a place, as far as it is in memory.
#[derive(Debug)]
pub(crate) enum Next<'a> {
    /// This.
    Entry(&'a Arc<Publication>),
    /// Nothing that is kept.
    Nothing,
    /// The store knows.
    Cold,
}

impl Hot {
    /// What a channel of `kind` keeps in memory of `tail`, the newest entries of its log; and the first offset from which
    /// it can tell what changed.
    pub(crate) fn holding(kind: Kind, caps: Window, tail: Vec<Arc<Publication>>) -> (Self, Offset) {
        let mut hot = match kind {
            Kind::Value | Kind::Map => Self::Latest(Latest::default()),
            Kind::Log | Kind::Signal => Self::Ring(Ring::new(caps)),
        };
        let forgotten = tail.into_iter().filter_map(|entry| hot.push(entry)).max();
        (hot, forgotten.map_or(Offset::ZERO, Offset::next))
    }

    /// Takes the newest entry. Gives the offset of a removal that is forgotten for it.
    pub(crate) fn push(&mut self, publication: Arc<Publication>) -> Option<Offset> {
        match self {
            Self::Ring(ring) => {
                ring.push(publication);
                None
            }
            Self::Latest(latest) => latest.push(publication),
        }
    }

    /// What comes after `offset`, which is not the newest.
    pub(crate) fn next(&self, offset: Offset) -> Next<'_> {
        match self {
            Self::Ring(ring) => ring.get(offset.next()).map_or(Next::Cold, Next::Entry),
            Self::Latest(latest) => latest.after(offset).map_or(Next::Nothing, Next::Entry),
        }
    }

    /// What stands at `offset`.
    pub(crate) fn get(&self, offset: Offset) -> Option<&Arc<Publication>> {
        match self {
            Self::Ring(ring) => ring.get(offset),
            Self::Latest(latest) => latest.get(offset),
        }
    }

    /// What it takes in memory.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Ring(ring) => ring.weight(),
            Self::Latest(latest) => latest.weight(),
        }
    }

    /// Whether offsets rise but skip.
    pub(crate) fn skips(&self) -> bool {
        matches!(self, Self::Latest(_))
    }

    /// The whole state up to `last`; `None` for a log, of which there is none.
    pub(crate) fn state_at(&self, last: Offset) -> Option<Vec<Arc<Publication>>> {
        match self {
            Self::Ring(_) => None,
            Self::Latest(latest) => Some(latest.state_at(last)),
        }
    }

    /// Whether entries go by themselves, so that somebody must be there to remove them.
    pub(crate) fn has_mortal(&self) -> bool {
        matches!(self, Self::Latest(latest) if latest.has_mortal())
    }

    pub(crate) fn latest_mut(&mut self) -> Option<&mut Latest> {
        match self {
            Self::Ring(_) => None,
            Self::Latest(latest) => Some(latest),
        }
    }
}
