//! Where the past begins that a subscription is given: a token may say `from`, and below that nothing is given by any way.
//! The owner of a channel gives nothing below; here is seen to what has no place of its own there: what is published about
//! a message below, and a log that has not come so far.

use std::sync::Arc;

use hashbrown::HashMap;
use trunkline_model::{
    ChannelName, ErrorCode, Fault, Kind, Offset, Op, Position, Publication, Push, Reference,
};

use super::{Sessions, reply_fault};
use crate::answers::RETRY;
use crate::input::SessionId;
use crate::output::Output;
use crate::session::Place;
use crate::shard::Context;

/// The first offset that is given to each subscription of a worker that is not given all there is.
#[derive(Debug, Default)]
pub(super) struct Floors(HashMap<ChannelName, HashMap<SessionId, Offset>>);

impl Floors {
    pub(super) fn of(&self, channel: &ChannelName, id: SessionId) -> Offset {
        let floors = if self.0.is_empty() { None } else { self.0.get(channel) };
        floors.and_then(|floors| floors.get(&id)).copied().unwrap_or_default()
    }

    /// From now on it is this one; 0 for all there is.
    pub(super) fn set(&mut self, channel: &ChannelName, id: SessionId, floor: Offset) {
        if floor > Offset::ZERO {
            self.0.entry(channel.clone()).or_default().insert(id, floor);
        } else if let Some(floors) = self.0.get_mut(channel) {
            floors.remove(&id);
            if floors.is_empty() {
                self.0.remove(channel);
            }
        }
    }

    fn has(&self, channel: &ChannelName) -> bool {
        !self.0.is_empty() && self.0.contains_key(channel)
    }
}

impl Sessions {
    /// The first offset of a channel that the session is given, subscribed or not. A signal has none.
    pub(super) fn floor(&mut self, id: SessionId, channel: &ChannelName) -> Offset {
        if self.namespaces.of(channel).is_none_or(|namespace| namespace.kind == Kind::Signal) {
            return Offset::ZERO;
        }
        let bearer = self.get_mut(id).and_then(|session| session.bearer(channel));
        bearer.map_or(Offset::ZERO, |bearer| bearer.floor(channel))
    }

    /// What is published about a message that is not given is not given either, but that it is there.
    pub(super) fn veil(&self, id: SessionId, entries: &mut [Arc<Publication>]) {
        let Some(first) = entries.first() else { return };
        let floor = self.floors.of(&first.channel, id);
        for entry in entries {
            if is_about_below(entry, floor) {
                *entry = Arc::new(entry.erase());
            }
        }
    }

    /// Gives a publication to all who follow its channel here, each as much of it as is theirs.
    pub(super) fn deliver(
        &mut self,
        publication: Arc<Publication>,
        sessions: Arc<Vec<SessionId>>,
        cx: &mut Context<'_>,
    ) {
        let channel = &publication.channel;
        if publication.role.reference().is_none() || !self.floors.has(channel) {
            cx.out.push(Output::Deliver { publication, sessions });
            return;
        }
        let is_above = |id: &SessionId| !is_about_below(&publication, self.floors.of(channel, *id));
        let (above, below): (Vec<_>, Vec<_>) = sessions.iter().copied().partition(is_above);
        let veiled = Arc::new(publication.erase());
        for (publication, sessions) in [(publication, above), (veiled, below)] {
            if !sessions.is_empty() {
                cx.out.push(Output::Deliver { publication, sessions: Arc::new(sessions) });
            }
        }
    }

    /// Ends a subscription whose log has not come to where its past begins: what comes next would be below. Whether it has.
    pub(super) fn ends_below(
        &mut self,
        id: SessionId,
        channel: &ChannelName,
        place: Option<Position>,
        cx: &mut Context<'_>,
    ) -> bool {
        let (floor, Some(place)) = (self.floors.of(channel, id), place) else { return false };
        if floor <= place.offset.next() {
            return false;
        }
        let subscription = self.get_mut(id).and_then(|session| session.remove_subscription(channel));
        let Some(subscription) = subscription else { return false };
        self.forget(id, &subscription, cx);
        let message = format!(
            "the token gives {channel} from offset {floor} on, and the newest offset is {}; subscribe again later",
            place.offset
        );
        let fault = Fault::new(ErrorCode::NotAvailable, message).retry_in(RETRY);
        if let Place::Joining(name) = subscription.place {
            reply_fault(id, fault.about(channel).answering(name), cx);
        } else {
            let Fault { code, message, retry, .. } = fault;
            let push = Push::Unsubscribed { channel: channel.clone(), code, message, retry };
            cx.out.push(Output::Push { session: id, push });
        }
        true
    }

    /// The token was renewed. A subscription is not given less than it was: where the past begins later now, it ends, and may
    /// begin again.
    pub(super) fn drop_raised(&mut self, id: SessionId, cx: &mut Context<'_>) {
        let Some(session) = self.get_mut(id) else { return };
        let channels: Vec<_> =
            session.subscriptions.iter().map(|subscription| subscription.channel.clone()).collect();
        for channel in channels {
            let (before, floor) = (self.floors.of(&channel, id), self.floor(id, &channel));
            if floor <= before {
                self.floors.set(&channel, id, floor);
                continue;
            }
            self.unsubscribe(id, &channel, cx);
            let message = format!("the new token gives {channel} from offset {floor} on; subscribe again");
            let push = Push::Unsubscribed { channel, code: ErrorCode::Forbidden, message, retry: None };
            cx.out.push(Output::Push { session: id, push });
        }
    }
}

fn is_about_below(publication: &Publication, floor: Offset) -> bool {
    let reference = publication.role.reference();
    reference.is_some_and(|Reference { target, op }| *target < floor && *op != Op::Delete)
}

/// What is asked about a message that is not given: as if it was not there.
pub(super) fn check_target(reference: Option<Reference>, floor: Offset) -> Result<(), Fault> {
    match reference {
        Some(Reference { target, .. }) if target < floor => {
            Err(Fault::new(ErrorCode::NotFound, format!("there is no message {target}")))
        }
        _ => Ok(()),
    }
}
