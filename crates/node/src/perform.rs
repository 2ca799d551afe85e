//! Carries out what the hub wants done: replies, pushes, deliveries, words to the store and to other workers.

use std::sync::Arc;

use bytes::Bytes;
use slab::Slab;
use trunkline_dialect::{json, plain};
use trunkline_hub::{Input, Moment, Output, SessionId};
use trunkline_model::close::{self, CloseReason};
use trunkline_model::{ErrorCode, Fault, PresenceUpdate, Publication, Push, Reply};
use trunkline_ws_proto::MessageKind;

use crate::connection::{Connection, Protocol};
use crate::turn::seconds;
use crate::worker::{Entry, Worker};

impl Worker {
    /// Carries out what the hub wants done, and what comes of that.
    pub(crate) fn perform(&mut self, now: Moment) {
        if std::mem::replace(&mut self.performing, true) {
            // What comes of an output is carried out after the outputs before it, to keep the hub's order.
            return;
        }
        while !self.outputs.is_empty() {
            let mut outputs = std::mem::take(&mut self.outputs);
            for output in outputs.drain(..) {
                self.perform_one(now, output);
            }
            if self.outputs.is_empty() {
                // The buffer is kept for the next time.
                self.outputs = outputs;
                break;
            }
        }
        self.performing = false;
        for session in std::mem::take(&mut self.lagging) {
            if let Some(connection) = self.socket(session) {
                connection.flags.lagging = false;
            }
        }
    }

    fn perform_one(&mut self, now: Moment, output: Output) {
        match output {
            Output::Reply { session, reply } => self.reply(now, session, reply),
            Output::Push { session, push } => self.push(now, session, &push),
            Output::Deliver { publication, sessions } => {
                self.meter.deliveries.add(sessions.len());
                for session in sessions.iter() {
                    self.deliver_live(now, *session, &publication);
                }
            }
            Output::Present { update, sessions } => {
                for session in sessions.iter() {
                    self.present_live(now, *session, &update);
                }
            }
            Output::Peer { to, message } => {
                let fits = self.queues.push(to, message);
                debug_assert!(fits, "the hub counts the room");
                if !fits {
                    tracing::error!(to, "a message to another worker did not fit and is lost");
                }
            }
            Output::Store(request) => self.to_store.push(request),
            Output::Admit { session, presented } => self.ask_door(now, session, presented),
            Output::Call { call, request } => self.ask_application(now, call, *request),
            Output::GiveUp { call } => self.give_up(call),
            Output::Ready { session } => {
                if let Some(connection) = self.socket(session) {
                    connection.flags.held = false;
                    connection.heard_at = seconds(now);
                    self.queue(session.index as usize);
                }
            }
            Output::AwaitRoom { session } => self.await_room(now, session),
            Output::Fail { session } => self.fail(now, session),
            Output::Close { session, reason } => self.close_session(now, session, reason),
        }
    }

    /// What waits for a client that is too slow is not sent any more.
    fn close_session(&mut self, now: Moment, session: SessionId, reason: CloseReason) {
        // One that is closing already keeps its first reason, and what is on its way.
        let Some(connection) = self.socket(session).filter(|connection| connection.wire.may_send()) else {
            return;
        };
        if let Some(outbox) = connection.outbox.as_mut().filter(|_| reason == close::SLOW) {
            tracing::debug!("a client is too slow");
            outbox.drop_unsent();
        }
        self.close(now, session.index as usize, reason);
    }

    /// The hub has dropped the session, because handling it has panicked.
    fn fail(&mut self, now: Moment, session: SessionId) {
        let fault = Fault::new(ErrorCode::Internal, "the server failed while handling this");
        if self.socket(session).is_some() {
            self.close(now, session.index as usize, close::INTERNAL);
        } else {
            self.reply(now, session, Reply::Fault(fault));
        }
    }

    pub(crate) fn reply(&mut self, now: Moment, session: SessionId, reply: Reply) {
        let key = session.index as usize;
        if let Reply::Fault(fault) = &reply {
            self.meter.error(fault.code);
        }
        match self.entries.get_mut(key) {
            Some(Entry::Call { generation, .. }) if *generation == session.generation => {
                if let Entry::Call { reply: waiting, .. } = self.entries.remove(key) {
                    // Whoever asked may have gone.
                    let _ = waiting.send(reply);
                }
                self.hub.handle(now, Input::Closed { session }, &mut self.outputs);
            }
            Some(Entry::Socket(connection)) if connection.generation == session.generation => {
                match &connection.protocol {
                    Protocol::Json => {
                        self.scratch.clear();
                        json::encode_reply(&reply, &mut self.scratch);
                        self.send_text(now, session);
                    }
                    Protocol::Plain(_) => {
                        if let Some(reason) = plain::close_after(&reply) {
                            self.close(now, key, reason);
                        }
                    }
                    Protocol::Echo => {}
                }
            }
            _ => {}
        }
    }

    pub(crate) fn push(&mut self, now: Moment, session: SessionId, push: &Push) {
        if let Push::Message(publication) = push {
            self.deliver(now, session, publication);
            return;
        }
        if let Push::Presence(update) = push {
            self.present(now, session, update);
            return;
        }
        let key = session.index as usize;
        let Some(Entry::Socket(connection)) = self.entries.get_mut(key) else { return };
        if connection.generation != session.generation {
            return;
        }
        match (&connection.protocol, push) {
            (Protocol::Json, _) => {
                self.scratch.clear();
                json::encode_push(push, &mut self.scratch);
                self.send_text(now, session);
            }
            (Protocol::Plain(_), Push::Unsubscribed { .. }) => self.close(now, key, close::INTERNAL),
            (Protocol::Plain(_) | Protocol::Echo, _) => {}
        }
    }

    /// Delivers what comes to a subscriber. Where the outbox is half full, it is not pushed to any more: of a log it
    /// goes on when it has drained; of a signal the oldest that wait make room.
    fn deliver_live(&mut self, now: Moment, session: SessionId, publication: &Arc<Publication>) {
        let key = session.index as usize;
        let half = self.limits.outbox_bytes / 2;
        let kept = publication.position.is_some();
        let Some(Entry::Socket(connection)) = self.entries.get_mut(key) else { return };
        if connection.generation != session.generation || !connection.wire.may_send() {
            return;
        }
        if connection.flags.lagging && !self.hub.takes(session, publication) {
            return;
        }
        let frame = connection.frame(publication, &mut self.deflate);
        if self.fits(now, session, frame.len(), half) {
            let Some(Entry::Socket(connection)) = self.entries.get_mut(key) else { return };
            // While little waits, small frames are better copied behind each other.
            let droppable = !kept && connection.outbox_bytes() > half / 4;
            connection.share(frame, droppable, &mut self.outboxes);
            self.mark_dirty(key);
        } else if kept {
            let Some(connection) = self.socket(session) else { return };
            connection.flags.lagging = true;
            self.lagging.push(session);
            let publication = Arc::clone(publication);
            self.hub.handle(now, Input::Behind { session, publication }, &mut self.outputs);
        } else if let Some(outbox) = self.socket(session).and_then(|connection| connection.outbox.as_mut()) {
            outbox.make_room_for_signal(frame.len(), half);
            if outbox.bytes() + frame.len() <= half {
                outbox.share_signal(frame);
            }
            self.mark_dirty(key);
        }
    }

    /// Delivers a part of a replay, which the hub has asked room for.
    fn deliver(&mut self, now: Moment, session: SessionId, publication: &Arc<Publication>) {
        let key = session.index as usize;
        let Some(Entry::Socket(connection)) = self.entries.get_mut(key) else { return };
        if connection.generation != session.generation || !connection.wire.may_send() {
            return;
        }
        let frame = connection.frame(publication, &mut self.deflate);
        if !self.make_room(now, session, frame.len()) {
            return;
        }
        let Some(Entry::Socket(connection)) = self.entries.get_mut(key) else { return };
        connection.share(frame, false, &mut self.outboxes);
        self.mark_dirty(key);
    }

    /// Tells a subscriber who came, went or changed. Where the outbox is half full that is dropped, and it is told who is
    /// there when it has drained.
    fn present_live(&mut self, now: Moment, session: SessionId, update: &Arc<PresenceUpdate>) {
        let half = self.limits.outbox_bytes / 2;
        let Some(connection) = sending(&mut self.entries, session) else { return };
        let Some(frame) = connection.presence_frame(update, &mut self.deflate) else { return };
        if self.fits(now, session, frame.len(), half) {
            self.share(session, frame);
        } else {
            let channel = update.channel.clone();
            self.hub.handle(now, Input::PresenceMissed { session, channel }, &mut self.outputs);
        }
    }

    /// Tells a subscriber who is there, which the hub has asked room for.
    fn present(&mut self, now: Moment, session: SessionId, update: &Arc<PresenceUpdate>) {
        let Some(connection) = sending(&mut self.entries, session) else { return };
        let Some(frame) = connection.presence_frame(update, &mut self.deflate) else { return };
        if self.make_room(now, session, frame.len()) {
            self.share(session, frame);
        }
    }

    fn share(&mut self, session: SessionId, frame: &Bytes) {
        if let Some(connection) = sending(&mut self.entries, session) {
            connection.share(frame, false, &mut self.outboxes);
            self.mark_dirty(session.index as usize);
        }
    }

    /// Sends what stands in `scratch`.
    fn send_text(&mut self, now: Moment, session: SessionId) {
        let key = session.index as usize;
        if !self.make_room(now, session, self.scratch.len()) {
            return;
        }
        let Some(Entry::Socket(connection)) = self.entries.get_mut(key) else { return };
        connection.send(MessageKind::Text, &self.scratch, &mut self.deflate, &mut self.outboxes);
        self.mark_dirty(key);
    }

    /// Whether `size` more bytes may wait for this connection beside others, `cap` in all. Before it is judged, what
    /// waits is written as far as the socket takes it: a burst within one turn makes nobody slow. A single frame always
    /// may.
    fn fits(&mut self, now: Moment, session: SessionId, size: usize, cap: usize) -> bool {
        let fits = |waiting: usize| waiting == 0 || waiting + size <= cap;
        let Some(connection) = self.socket(session) else { return false };
        if fits(connection.outbox_bytes()) {
            return true;
        }
        self.flush(now, session.index as usize);
        self.socket(session).is_some_and(|connection| fits(connection.outbox_bytes()))
    }

    /// Whether `size` bytes of an answer, or of what a command brought, may wait. A client that asks for more than it
    /// reads is closed.
    fn make_room(&mut self, now: Moment, session: SessionId, size: usize) -> bool {
        let fits = self.fits(now, session, size, self.limits.outbox_bytes);
        if !fits {
            self.close_session(now, session, close::SLOW);
        }
        fits
    }

    /// Tells the hub when there is room for more answers to this session: now, or when it has read.
    fn await_room(&mut self, now: Moment, session: SessionId) {
        let drained = self.limits.outbox_bytes / 4;
        let Some(connection) = self.socket(session) else { return };
        if connection.outbox_bytes() > drained {
            connection.flags.awaits_room = true;
        } else {
            self.hub.handle(now, Input::Drained { session }, &mut self.outputs);
        }
    }
}

/// The connection of the session, if it has one that may still be sent something.
fn sending(entries: &mut Slab<Entry>, session: SessionId) -> Option<&mut Connection> {
    match entries.get_mut(session.index as usize) {
        Some(Entry::Socket(connection)) => {
            (connection.generation == session.generation && connection.wire.may_send()).then_some(connection)
        }
        _ => None,
    }
}
