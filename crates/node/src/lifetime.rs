//! How connections and calls begin, are looked at as time passes, and end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mio::{Interest, Token};
use tokio::sync::oneshot;
use trunkline_dialect::plain;
use trunkline_hub::{Input, Moment, SessionId};
use trunkline_model::close::{self, CloseReason};
use trunkline_model::{Command, ErrorCode, Fault, Identity, Push, Reply};
use trunkline_ws_proto as wire;

use crate::connection::{Connection, Protocol, slot};
use crate::inbox::Upgrade;
use crate::outbox::Flushed;
use crate::refusals::Refusal;
use crate::socket::{Polled, Socket};
use crate::transport::Transport;
use crate::turn::seconds;
use crate::worker::{Entry, Phase, Worker};

impl Worker {
    pub(crate) fn attach(&mut self, now: Moment, socket: Socket, upgrade: Upgrade) {
        let Upgrade { protocol, deflate, address, token, leftover, cipher } = upgrade;
        self.generation = self.generation.wrapping_add(1);
        let mut socket = Polled::from(socket);
        let limits = match protocol {
            Protocol::Echo => Arc::clone(&self.wire_limits.echo),
            Protocol::Json | Protocol::Plain(_) => Arc::clone(&self.wire_limits.session),
        };
        let entry = self.entries.vacant_entry();
        let key = entry.key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.get_ref().registry().register(&mut socket, Token(key), interest) {
            tracing::warn!(%error, "a connection could not be watched");
            return;
        }
        let wire = wire::Connection::new(wire::Role::Server, limits).with_deflate(deflate);
        let transport = Transport::new(socket, cipher);
        let mut connection =
            Connection::new(transport, wire, protocol.clone(), self.generation, seconds(now));
        let session = connection.id(key);
        let ping = u32::try_from(self.limits.ping_interval.as_secs()).unwrap_or(u32::MAX).max(1);
        connection.check_at = self.deadlines.set(session, seconds(now).saturating_add(ping));
        entry.insert(Entry::Socket(connection));
        self.meter.opened(&protocol);
        self.connections.fetch_add(1, Ordering::Relaxed);
        if protocol != Protocol::Echo {
            self.hub.handle(now, Input::Opened { session, identity: None, token }, &mut self.outputs);
        }
        if let Protocol::Plain(channel) = &protocol {
            let command = plain::opening(channel);
            self.hub.handle(now, Input::Command { session, command }, &mut self.outputs);
        }
        self.perform(now);
        self.say_goaway(now, key);
        if !leftover.is_empty() {
            self.feed(now, key, &mut leftover.to_vec());
        }
        self.queue(key);
        match address.map(|address| self.addresses.enter_from(address)) {
            Some(Ok(Some(place))) => {
                if let Some(connection) = self.socket(session) {
                    connection.places.get_or_insert_default().of_address = Some(place);
                }
            }
            Some(Err(_)) => {
                self.refusals.note(Refusal::Address);
                self.close(now, key, close::CONNECTION_LIMIT);
            }
            Some(Ok(None)) | None => {}
        }
        if matches!(self.phase, Phase::Closing(_)) {
            // Its handshake was answered when the others had been told goodbye already.
            self.close(now, key, goodbye(&protocol));
        }
    }

    pub(crate) fn call(
        &mut self,
        now: Moment,
        identity: Identity,
        mut command: Command,
        reply: oneshot::Sender<Reply>,
    ) {
        if self.phase != Phase::Running {
            let fault = Fault::new(ErrorCode::Draining, "the server is about to end");
            // Whoever asked may have gone.
            let _ = reply.send(Reply::Fault(fault));
            return;
        }
        self.generation = self.generation.wrapping_add(1);
        let key = self.entries.insert(Entry::Call { generation: self.generation, reply });
        let session = SessionId { index: slot(key), generation: self.generation };
        // A publish is answered only if it has an id.
        self.meter.command(&command.action);
        command.id.get_or_insert(trunkline_model::CommandId::Number(0));
        self.hub.handle(
            now,
            Input::Opened { session, identity: Some(identity), token: None },
            &mut self.outputs,
        );
        self.hub.handle(now, Input::Command { session, command }, &mut self.outputs);
    }

    /// Sends a close frame and lets the session go; the connection follows when the other side answers.
    pub(crate) fn close(&mut self, now: Moment, key: usize, reason: CloseReason) {
        let Some(Entry::Socket(connection)) = self.entries.get_mut(key) else { return };
        connection.close(reason, &mut self.outboxes);
        self.meter.close(reason);
        connection.flags.held = false;
        self.end_session(now, key);
        self.set_drop_deadline(now, key);
        self.mark_dirty(key);
        self.queue(key);
    }

    pub(crate) fn set_drop_deadline(&mut self, now: Moment, key: usize) {
        let Some(Entry::Socket(connection)) = self.entries.get_mut(key) else { return };
        if connection.drop_at.is_none() {
            let timeout = u32::try_from(self.limits.close_timeout.as_secs()).unwrap_or(u32::MAX);
            let at = seconds(now).saturating_add(timeout).saturating_add(1);
            connection.drop_at = Some(at);
            connection.check_at = self.deadlines.set(connection.id(key), at);
        }
    }

    pub(crate) fn end_session(&mut self, now: Moment, key: usize) {
        let Some(Entry::Socket(connection)) = self.entries.get_mut(key) else { return };
        if !std::mem::replace(&mut connection.flags.session_ended, true) {
            let session = connection.id(key);
            self.hub.handle(now, Input::Closed { session }, &mut self.outputs);
        }
    }

    pub(crate) fn drop_connection(&mut self, now: Moment, key: usize) {
        self.end_session(now, key);
        let Some(Entry::Socket(_)) = self.entries.get(key) else { return };
        let Entry::Socket(mut connection) = self.entries.remove(key) else { return };
        self.meter.closed(&connection.protocol);
        self.connections.fetch_sub(1, Ordering::Relaxed);
        if let Err(error) = self.poll.get_ref().registry().deregister(&mut connection.transport.socket) {
            tracing::debug!(%error, "a connection was not watched");
        }
        self.perform(now);
    }

    /// Looks at a connection whose time has come: drop it, ping it, or look again later.
    pub(crate) fn check(&mut self, now: Moment, session: SessionId, due_at: u32) {
        let key = session.index as usize;
        let ping = u32::try_from(self.limits.ping_interval.as_secs()).unwrap_or(u32::MAX).max(1);
        let stall = u32::try_from(self.limits.write_timeout.as_secs()).unwrap_or(u32::MAX).max(1);
        let second = seconds(now);
        let Some(connection) = self.socket(session) else { return };
        if connection.check_at != due_at {
            return;
        }
        let silent = second.saturating_sub(connection.heard_at);
        // One that is not read cannot be heard; whether it still takes bytes tells as much.
        let is_read = !connection.flags.held && !connection.flags.choked;
        // After a pause of the whole process everyone seems silent: only an unanswered ping counts.
        let silenced = is_read && connection.flags.pinged && silent >= ping.saturating_mul(2);
        let expired = connection.drop_at.is_some_and(|at| second >= at);
        let stalled = connection.blocked_at.map(|at| at.saturating_add(stall));
        if expired || silenced || stalled.is_some_and(|at| second >= at) {
            tracing::debug!(silent, "a connection no longer answers");
            self.drop_connection(now, key);
            return;
        }
        let next = match (connection.drop_at, stalled) {
            (Some(at), _) | (None, Some(at)) => at,
            (None, None) if silent < ping => connection.heard_at + ping,
            (None, None) => {
                self.ping(now, session);
                second + ping
            }
        };
        let check_at = self.deadlines.set(session, next);
        if let Some(connection) = self.socket(session) {
            connection.check_at = check_at;
        }
    }

    fn ping(&mut self, now: Moment, session: SessionId) {
        let key = session.index as usize;
        let Some(Entry::Socket(connection)) = self.entries.get_mut(key) else { return };
        connection.flags.pinged = true;
        if connection.flags.heartbeat {
            self.push(now, session, &Push::Ping);
        } else {
            connection.ping(&mut self.outboxes);
            self.mark_dirty(key);
        }
    }

    /// Whether commands that were read, but could not be taken then, can be taken now.
    fn has_held_commands(&self) -> bool {
        self.ready
            .iter()
            .any(|key| matches!(self.entries.get(*key), Some(Entry::Socket(c)) if c.spill.is_some()))
    }

    /// No connection is accepted any more, and those that are there are asked to go. All else goes on as usual.
    pub(crate) fn ask_to_leave(&mut self, now: Moment, within: Duration) {
        // Who leaves last has a tenth of the time for it.
        self.leaving = Some(now.uptime + within - within / 10);
        self.drain.send_replace(true);
        let sockets = self.entries.iter().filter(|(_, entry)| entry.is_socket()).map(|(key, _)| key);
        for key in sockets.collect::<Vec<_>>() {
            self.say_goaway(now, key);
        }
    }

    /// Asks the connection to leave, if everyone is asked.
    pub(crate) fn say_goaway(&mut self, now: Moment, key: usize) {
        let Some(until) = self.leaving else { return };
        let Some(Entry::Socket(connection)) = self.entries.get(key) else { return };
        let session = connection.id(key);
        self.push(now, session, &Push::Goaway { within: until.saturating_sub(now.uptime) });
    }

    /// When the server is about to end: once everything read is answered, says goodbye to everyone.
    pub(crate) fn advance_drain(&mut self, now: Moment) {
        let Phase::Settling(until) = self.phase else { return };
        let settled = self.hub.is_settled() && !self.has_held_commands();
        if settled != std::mem::replace(&mut self.settled, settled) && self.agreement.settled(settled) {
            self.queues.wake_all();
        }
        if !self.agreement.is_reached() && now.uptime < until {
            return;
        }
        // What others had sent before they were settled is said before goodbye.
        self.hear_peers(now);
        self.phase = Phase::Closing(until);
        let sockets: Vec<_> =
            self.entries.iter().filter(|(_, entry)| entry.is_socket()).map(|(key, _)| key).collect();
        for key in sockets {
            let Some(Entry::Socket(connection)) = self.entries.get(key) else { continue };
            let reason = goodbye(&connection.protocol);
            self.close(now, key, reason);
        }
        self.perform(now);
    }

    /// Ends our half of TCP once the WebSocket is closed and everything is written. The other half is read
    /// to its end, so that the kernel does not answer unread bytes with a reset.
    pub(crate) fn finish(&mut self, now: Moment, key: usize) {
        let Some(Entry::Socket(connection)) = self.entries.get_mut(key) else { return };
        if !connection.wire.is_closed() || connection.flags.shut_down {
            return;
        }
        // A socket that is gone already needs no end.
        if matches!(connection.transport.end(), Ok(Flushed::Blocked)) {
            // The last word of its cipher waits. It is flushed when the socket takes bytes again.
            connection.blocked_at = Some(seconds(now));
        } else {
            connection.flags.shut_down = true;
        }
        self.set_drop_deadline(now, key);
    }

    /// The other side has said all that it will. What was still to be said to it may yet arrive.
    pub(crate) fn end_connection(&mut self, now: Moment, key: usize) {
        self.flush(now, key);
        if let Some(Entry::Socket(connection)) = self.entries.get_mut(key)
            && connection.outbox.is_none()
        {
            // One that has gone altogether does not hear it.
            let _ = connection.transport.end();
        }
        self.drop_connection(now, key);
    }

    pub(crate) fn socket(&mut self, session: SessionId) -> Option<&mut Connection> {
        match self.entries.get_mut(session.index as usize) {
            Some(Entry::Socket(connection)) if connection.generation == session.generation => {
                Some(connection)
            }
            _ => None,
        }
    }
}

/// How a client is told that the server is about to end.
fn goodbye(protocol: &Protocol) -> CloseReason {
    match protocol {
        Protocol::Json => close::DRAINING,
        Protocol::Plain(_) | Protocol::Echo => close::SERVICE_RESTART,
    }
}

impl Entry {
    fn is_socket(&self) -> bool {
        matches!(self, Self::Socket(_))
    }
}
