//! What a session may do, of what its commands ask. The rules are those of `access`.

use std::sync::Arc;

use trunkline_model::{Capability, ChannelName, Fault, Kind, Namespace, Namespaces, Start, Subscribe};

use super::Sessions;
use crate::access::{Bearer, capabilities, permit};
use crate::bucket::Buckets;
use crate::input::SessionId;
use crate::pass::Pass;
use crate::shard::Context;

impl Sessions {
    /// How many subscriptions there are.
    pub(crate) fn subscriptions(&self) -> usize {
        self.locals.count()
    }

    /// These are the namespaces from now on. What sessions follow and may not follow any more ends.
    pub(crate) fn configure(&mut self, namespaces: &Arc<Namespaces>, cx: &mut Context<'_>) {
        self.namespaces = Arc::clone(namespaces);
        // They are kept by namespace as it was.
        self.buckets = Buckets::default();
        let seated = self.slots.iter().zip(0..).filter_map(|(session, index)| {
            session.as_ref().map(|session| SessionId { index, generation: session.generation })
        });
        for id in seated.collect::<Vec<_>>() {
            self.drop_forbidden(id, cx);
        }
    }

    /// Why the session, with what a token for this alone allows it, may not follow a channel like this, if so.
    pub(super) fn deny_subscribe(
        &mut self,
        id: SessionId,
        subscribe: &Subscribe,
        pass: Option<&Pass>,
    ) -> Option<Fault> {
        let namespaces = Arc::clone(&self.namespaces);
        let namespace = namespaces.of(&subscribe.channel)?;
        let asks_for_the_past = matches!(subscribe.start, Start::Last(_) | Start::CatchUp(_));
        let wanted = [
            (Capability::Subscribe, true),
            (Capability::History, asks_for_the_past && namespace.kind == Kind::Log),
            (Capability::Presence, subscribe.presence),
        ];
        let wanted = wanted.into_iter().filter(|(_, is_wanted)| *is_wanted);
        // What an earlier subscription was allowed is over with it.
        let bearer = Bearer { pass, ..self.get_mut(id)?.bearer(&subscribe.channel)? };
        let mut permitted =
            wanted.map(|(capability, _)| permit(&bearer, namespace, &subscribe.channel, capability));
        permitted.find_map(Result::err)
    }

    /// Whether the session may do this.
    pub(super) fn permit(
        &mut self,
        id: SessionId,
        namespace: &Namespace,
        channel: &ChannelName,
        capability: Capability,
    ) -> Result<(), Fault> {
        let bearer = self.get_mut(id).and_then(|session| session.bearer(channel));
        bearer.map_or(Ok(()), |bearer| permit(&bearer, namespace, channel, capability))
    }

    /// What the session may do in a channel that it follows.
    pub(super) fn capabilities(&mut self, id: SessionId, channel: &ChannelName) -> Vec<Capability> {
        let namespaces = Arc::clone(&self.namespaces);
        let Some(namespace) = namespaces.of(channel) else { return Vec::new() };
        let bearer = self.get_mut(id).and_then(|session| session.bearer(channel));
        bearer.map_or_else(Vec::new, |bearer| capabilities(&bearer, namespace, channel))
    }
}
