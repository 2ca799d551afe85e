//! How much each namespace keeps, as a store is told. Not how a store makes room; made by the server from its
//! configuration, and by tests.

use std::collections::BTreeMap;

use trunkline_model::{Namespaces, Retention};

/// The retention of each namespace by its name. What is not named is kept for ever.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Retentions(BTreeMap<Box<str>, Retention>);

impl Retentions {
    /// Sets that of `namespace`, replacing what it was.
    pub fn insert(&mut self, namespace: &str, retention: Retention) {
        self.0.insert(namespace.into(), retention);
    }

    /// That of `namespace`.
    #[must_use]
    pub fn of(&self, namespace: &str) -> Retention {
        self.0.get(namespace).copied().unwrap_or_default()
    }
}

impl From<&Namespaces> for Retentions {
    fn from(namespaces: &Namespaces) -> Self {
        Self(namespaces.iter().map(|(name, namespace)| (name.into(), namespace.retention)).collect())
    }
}

impl<'n> FromIterator<(&'n str, Retention)> for Retentions {
    fn from_iter<I: IntoIterator<Item = (&'n str, Retention)>>(retentions: I) -> Self {
        Self(retentions.into_iter().map(|(name, retention)| (name.into(), retention)).collect())
    }
}
