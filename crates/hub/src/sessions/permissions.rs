//! What a session may do, of what its commands ask. The rules are those of `access`.

use std::sync::Arc;

use trunkline_model::{Capability, ChannelName, Fault, Kind, Namespace, Namespaces, Start, Subscribe};

use super::Sessions;
use crate::access::{capabilities, permit};
use crate::bucket::Buckets;
use crate::input::SessionId;
use crate::session::Phase;
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

    /// Why the session may not follow a channel like this, if so.
    pub(super) fn deny_subscribe(&mut self, id: SessionId, subscribe: &Subscribe) -> Option<Fault> {
        let namespaces = Arc::clone(&self.namespaces);
        let namespace = namespaces.of(&subscribe.channel)?;
        let asks_for_the_past = matches!(subscribe.start, Start::Last(_) | Start::CatchUp(_));
        let wanted = [
            (Capability::Subscribe, true),
            (Capability::History, asks_for_the_past && namespace.kind == Kind::Log),
            (Capability::Presence, subscribe.presence),
        ];
        let wanted = wanted.into_iter().filter(|(_, is_wanted)| *is_wanted);
        let mut permitted =
            wanted.map(|(capability, _)| self.permit(id, namespace, &subscribe.channel, capability));
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
        let Some(session) = self.get_mut(id) else { return Ok(()) };
        let is_subscriber = session.subscription_mut(channel).is_some();
        match &session.phase {
            Phase::Open(identity) => permit(identity, namespace, channel, capability, is_subscriber),
            Phase::New(_) | Phase::Admitting(_) => Ok(()),
        }
    }

    /// What the session may do in a channel that it follows.
    pub(super) fn capabilities(&mut self, id: SessionId, channel: &ChannelName) -> Vec<Capability> {
        let namespaces = Arc::clone(&self.namespaces);
        let Some(namespace) = namespaces.of(channel) else { return Vec::new() };
        match self.get_mut(id).map(|session| &session.phase) {
            Some(Phase::Open(identity)) => capabilities(identity, namespace, channel),
            _ => Vec::new(),
        }
    }
}
