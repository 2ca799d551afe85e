//! What a token of its own allows in one channel: shown with a `subscribe`, it lasts as long as the subscription. Held by
//! the session's subscription; `sessions/passes` takes it and ends it.

use trunkline_model::{Access, Capabilities, ChannelName, Offset, Payload, Timestamp};

/// What a token of its own allows in one channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pass {
    /// What, beside what the session may do.
    pub(crate) can: Capabilities,
    /// When its time is over, and that of the subscription with it.
    pub(crate) expires: Option<Timestamp>,
    /// The first offset that it gives.
    pub(crate) floor: Offset,
    /// What presence shows of the user there; `None`: what the connection's token says.
    pub(crate) info: Option<Payload>,
    /// The floor of the channel as the client was told it last.
    pub(crate) told_floor: Offset,
}

impl Pass {
    /// What a token with this access allows in `channel`; `None` if it does not speak of it.
    pub(crate) fn of(access: &Access, channel: &ChannelName) -> Option<Self> {
        let can = access.granted(channel)?;
        let (floor, info) = (access.floor(channel), access.info.clone());
        Some(Self { can, expires: access.expires, floor, info, told_floor: Offset::ZERO })
    }

    /// Whether it allows just what `other` does, perhaps for another time.
    pub(crate) fn allows_as(&self, other: &Self) -> bool {
        self.can == other.can && self.floor == other.floor && self.info == other.info
    }
}
