//! What references make of a message, as pages of history show it. Applied in the order of the log, by stores and by the
//! hub, so that memory and disk give the same page.

use crate::{Offset, Op, Publication};

/// What references have made of a message: given with it in pages of history.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Fold {
    /// The newest reference that changed it. Whoever holds a reference applies it only if it is newer.
    pub rev: Offset,
    /// Each reaction that stands and how many users gave it, in the order in which they came; one that nobody gave any
    /// more came anew. A deleted message has none.
    pub reactions: Vec<(Box<str>, u32)>,
}

impl Publication {
    /// Applies `reference` to this message: replaces its payload, erases it, or counts a reaction. One that is not newer
    /// than what was applied before, or is about another message, changes nothing.
    ///
    /// The log holds only references that had an effect when they were stored (no second reaction of a user with the same
    /// value, none taken back that was not given), so counting is enough.
    pub fn fold(&mut self, reference: &Self) {
        let (Some(about), Some(position)) = (reference.role.reference(), reference.position) else { return };
        if Some(about.target) != self.position.map(|position| position.offset) {
            return;
        }
        let mut fold = self.fold.take().unwrap_or_default();
        if position.offset <= fold.rev {
            self.fold = Some(fold);
            return;
        }
        fold.rev = position.offset;
        match about.op {
            Op::Edit if self.erased => {}
            Op::Edit => *self = self.with_payload(reference.payload.clone()),
            Op::Delete => {
                *self = self.erase();
                fold.reactions.clear();
            }
            Op::React => fold.count(&reference.payload.bytes, true),
            Op::Unreact => fold.count(&reference.payload.bytes, false),
        }
        self.fold = Some(fold);
    }
}

impl Fold {
    /// What it counts against byte limits: its reactions, with what it takes to spell each.
    pub(crate) fn cost(&self) -> usize {
        self.reactions.iter().map(|(value, _)| value.len() + 16).sum()
    }

    fn count(&mut self, value: &[u8], more: bool) {
        let value = String::from_utf8_lossy(value);
        let known = self.reactions.iter().position(|(known, _)| **known == *value);
        match (known, more) {
            (Some(index), true) => self.reactions[index].1 += 1,
            (Some(index), false) if self.reactions[index].1 > 1 => self.reactions[index].1 -= 1,
            (Some(index), false) => drop(self.reactions.remove(index)),
            (None, true) => self.reactions.push((value.into(), 1)),
            (None, false) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChannelName, Epoch, Form, Payload, Position, Reference, Role, Timestamp};

    fn entry(offset: u64, text: &str) -> Publication {
        let channel = ChannelName::parse("chat:x").expect("a name");
        let mut publication =
            Publication::new(channel, Timestamp(0), Payload::new(Form::Text, text.to_owned()));
        publication.position = Some(Position { epoch: Epoch::from_random(1), offset: Offset(offset) });
        publication
    }

    fn about(target: u64, op: Op, offset: u64, text: &str) -> Publication {
        let role = Role::Reference(Reference { target: Offset(target), op });
        let mut reference = entry(offset, text);
        reference.role = role;
        reference
    }

    /// What becomes of message 1 by these references.
    fn check(references: &[Publication], text: &str, rev: u64, reactions: &[(&str, u32)], erased: bool) {
        let mut message = entry(1, "Hi");
        references.iter().for_each(|reference| message.fold(reference));
        let fold = message.fold.clone().unwrap_or_default();
        let counted: Vec<_> = fold.reactions.iter().map(|(value, count)| (&**value, *count)).collect();
        assert_eq!(
            (&message.payload.bytes[..], fold.rev.0, &counted[..], message.erased),
            (text.as_bytes(), rev, reactions, erased),
            "{references:?}"
        );
    }

    #[test]
    fn references_are_applied_in_order_and_once() {
        check(&[], "Hi", 0, &[], false);
        check(&[about(1, Op::Edit, 2, "Ho"), about(1, Op::Edit, 4, "Ha")], "Ha", 4, &[], false);
        check(&[about(1, Op::Edit, 4, "Ha"), about(1, Op::Edit, 2, "Ho")], "Ha", 4, &[], false);
        check(&[about(9, Op::Edit, 10, "Ho")], "Hi", 0, &[], false);
        let same = about(1, Op::React, 2, "+1");
        check(&[about(1, Op::React, 2, "+1"), same], "Hi", 2, &[("+1", 1)], false);
    }

    #[test]
    fn reactions_are_counted() {
        let given = [
            about(1, Op::React, 2, "+1"),
            about(1, Op::React, 3, "<3"),
            about(1, Op::React, 4, "+1"),
            about(1, Op::Unreact, 5, "<3"),
        ];
        check(&given, "Hi", 5, &[("+1", 2)], false);
        check(&[about(1, Op::Unreact, 2, "+1")], "Hi", 2, &[], false);
    }

    #[test]
    fn a_deletion_leaves_place_and_author() {
        let given =
            [about(1, Op::React, 2, "+1"), about(1, Op::Delete, 3, ""), about(1, Op::Edit, 4, "back?")];
        check(&given, "", 4, &[], true);
    }
}
