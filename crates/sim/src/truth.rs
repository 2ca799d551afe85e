//! What a client may hold the server to: the log as it is, the limits of the run, and what has failed so far. Made by
//! the world for each look at what a client heard.

use trunkline_model::{ChannelName, Timestamp};

use crate::store::{Log, TestStore};

/// The limits of a run, as far as clients feel them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The caps of the replay: entries and bytes.
    pub(crate) recover: (u64, usize),
    pub(crate) subscriptions: usize,
    pub(crate) page_bytes: usize,
    pub(crate) page_default: u64,
    pub(crate) keys_ms: u64,
}

/// What a client may hold the server to.
#[derive(Clone, Copy)]
pub(crate) struct Truth<'a> {
    pub(crate) store: &'a TestStore,
    pub(crate) rules: Rules,
    pub(crate) now: Timestamp,
}

impl<'a> Truth<'a> {
    pub(crate) fn log(&self, channel: &ChannelName) -> &'a Log {
        self.store.log(channel)
    }
}
