//! Who is there? The node asks; whoever embeds it answers.

use trunkline_model::{ChannelName, Identity, Secret};

/// Decides who a session is. Called on a worker, so it must not block.
pub trait Door: Send + Sync {
    /// The identity of a session that presented this secret of an earlier one, or nothing. A secret that is
    /// not the door's own is treated as none.
    fn admit(&self, presented: Option<&Secret>) -> Identity;

    /// Channels that a session of this identity follows without asking (server-side subscriptions).
    fn channels(&self, _identity: &Identity) -> Vec<ChannelName> {
        Vec::new()
    }
}
