//! A broken promise: which checker found it, and what it saw. Data; the checks stand beside what they look at, in
//! `client`, `hearing`, `checks`, `node`, `store` and `ending`.

use std::fmt;

/// What is checked, by name. A planted bug says which of these must find it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Checker {
    /// What a client holds between notices is a range of the log: no gap, no double, nothing else than was published.
    Prefix,
    /// What is gone from the log is told: nobody goes on from a place that is no longer there.
    Told,
    /// What is told as lost, rewound, limited or not available has a cause.
    NoFalseAlarm,
    /// An error that says "not stored" is true.
    Definite,
    /// A key is in the log at most once as long as keys are remembered, and a repeat is told the first place.
    OncePerKey,
    /// What was acknowledged is in the log under the position that was told.
    Acknowledged,
    /// Nothing is told or delivered before the store has it.
    Durable,
    /// A subscriber of a `value` or a `map` never sees an entry go back.
    EntryMonotone,
    /// What a subscriber of a `value` or a `map` is told at once is all that is there, or all that has changed.
    State,
    /// What is stored under a condition stands right after what it named; a conflict has a cause.
    Condition,
    /// What was deleted is in no replay and no page that was asked for later.
    Erased,
    /// A page is as new as its reader asks.
    MonotoneRead,
    /// A page or a list of newest entries is all of the range that it says it covers.
    Page,
    /// Per session and channel, the order of storing is the order of sending, and `published` precedes the broadcast.
    Order,
    /// Every command has one answer, of its kind, under its id.
    Answers,
    /// Queues and what is under way to the store stay within their limits.
    Caps,
    /// What many ask for at once is read once.
    Stampede,
    /// In the end all is answered, everyone is at the head, and nothing is held for nobody.
    Quiet,
    /// The store's own log agrees with the reference beside it.
    Reference,
    /// What is said can be written and read in `trunkline.v1`.
    Dialect,
    /// No input makes the hub panic.
    NoPanic,
}

impl Checker {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Prefix,
        Self::Told,
        Self::NoFalseAlarm,
        Self::Definite,
        Self::OncePerKey,
        Self::Acknowledged,
        Self::Durable,
        Self::EntryMonotone,
        Self::State,
        Self::Condition,
        Self::Erased,
        Self::MonotoneRead,
        Self::Page,
        Self::Order,
        Self::Answers,
        Self::Caps,
        Self::Stampede,
        Self::Quiet,
        Self::Reference,
        Self::Dialect,
        Self::NoPanic,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Prefix => "prefix",
            Self::Told => "told",
            Self::NoFalseAlarm => "no-false-alarm",
            Self::Definite => "definite",
            Self::OncePerKey => "once-per-key",
            Self::Acknowledged => "acknowledged",
            Self::Durable => "durable",
            Self::EntryMonotone => "entry-monotone",
            Self::State => "state",
            Self::Condition => "condition",
            Self::Erased => "erased",
            Self::MonotoneRead => "monotone-read",
            Self::Page => "page",
            Self::Order => "order",
            Self::Answers => "answers",
            Self::Caps => "caps",
            Self::Stampede => "stampede",
            Self::Quiet => "quiet",
            Self::Reference => "reference",
            Self::Dialect => "dialect",
            Self::NoPanic => "no-panic",
        }
    }
}

impl fmt::Display for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A broken promise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Who found it.
    pub checker: Checker,
    /// What it saw.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.checker, self.what)
    }
}

/// What a check gives: something, or the promise that is broken.
pub type Checked<T = ()> = Result<T, Violation>;

/// The promise holds, or `what` says how it does not.
pub(crate) fn ensure(holds: bool, checker: Checker, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Violation { checker, what: what() }) }
}

/// A promise that is broken for certain.
pub(crate) fn broken<T>(checker: Checker, what: impl Into<String>) -> Checked<T> {
    Err(Violation { checker, what: what.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_checker_has_a_name_of_its_own() {
        let mut names: Vec<_> = Checker::ALL.iter().map(|checker| checker.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Checker::ALL.len());
        assert!(
            Checker::ALL.is_sorted(),
            "the list is in the order of the declaration, so that none is left out"
        );
    }
}
