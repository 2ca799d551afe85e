//! What a worker does in one turn: inbox → other workers → ready sockets → time → store → flush the dirty.
//!
//! Each ready socket has a budget, so that none starves; each dirty outbox is flushed once, so that all that
//! the turn produced for a connection leaves in one write.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use trunkline_backend::{Answer, Request};
use trunkline_dialect::{json, plain};
use trunkline_hub::{Input, Moment, Output};
use trunkline_model::close;
use trunkline_model::{Action, Form, Reply};
use trunkline_ws_proto::{Incoming, MessageKind, Payload, unmasked};

use crate::connection::Protocol;
use crate::inbox::Mail;
use crate::outbox::Flushed;
use crate::transport::Buffers;
use crate::worker::{Entry, Phase, Worker};

/// How many reads one socket may have in a turn before others get theirs.
const READS_PER_TURN: usize = 4;
/// How often the hub is told that time passes, in seconds.
const HUB_TICK: u32 = 5;

impl Worker {
    /// One turn.
    pub(crate) fn turn(&mut self) {
        let begun = Instant::now();
        let now = self.clock.now();
        self.look_at_store(now);
        self.take_mail(now);
        self.hear_peers(now);
        self.read_ready(now);
        self.pass_time(now);
        self.advance_drain(now);
        self.catch_up_peers(now);
        self.send_off();
        self.flush_dirty(now);
        // A connection that broke while it was flushed may have left something to say.
        self.send_off();
        self.meter.turns.note(begun.elapsed());
    }

    /// Hands the store and the other workers what the turn has for them.
    fn send_off(&mut self) {
        if !self.to_store.is_empty() {
            let appends = self.to_store.iter().filter_map(|request| match request {
                Request::Append(ticket, _) => Some(ticket.number),
                Request::Head(..) | Request::Read(..) | Request::Locate(..) => None,
            });
            if let Some(last) = appends.max() {
                self.submitted.note(last, Instant::now());
            }
            self.store.submit(std::mem::take(&mut self.to_store));
        }
        self.queues.wake();
    }

    /// Tells the hub which life the store is in, before any answer of a new one is taken in.
    fn look_at_store(&mut self, now: Moment) {
        let epoch = self.store.epoch();
        if self.epoch.replace(epoch) != Some(epoch) {
            self.hub.handle(now, Input::Epoch(epoch), &mut self.outputs);
            self.perform(now);
        }
    }

    fn take_mail(&mut self, now: Moment) {
        while let Ok(mail) = self.inbox.try_recv() {
            match mail {
                Mail::Accepted(socket, counted) => self.serve_http(socket, counted),
                Mail::Attach { socket, upgrade } => self.attach(now, socket, upgrade),
                Mail::Call { identity, command, reply } => self.call(now, *identity, command, reply),
                Mail::Stored(answers) => {
                    let heard_at = Instant::now();
                    for answer in answers {
                        if let Answer::Appended(ticket, _) = &answer
                            && let Some(took) = self.submitted.since(ticket.number, heard_at)
                        {
                            self.meter.appends.note(took);
                        }
                        self.hub.handle(now, Input::Stored(answer), &mut self.outputs);
                    }
                }
                Mail::Door { session, answer } => self.hear_door(now, session, answer),
                Mail::Called { call, result } => self.called(now, call, result),
                Mail::Configure(namespaces) => self.hub.configure(now, &namespaces, &mut self.outputs),
                Mail::Leave { within } => self.ask_to_leave(now, within),
                Mail::Drain => self.begin_drain(),
            }
            self.perform(now);
        }
    }

    pub(crate) fn hear_peers(&mut self, now: Moment) {
        for worker in 0..self.queues.workers() {
            let Some(room) = self.queues.room(worker) else { continue };
            self.hub.handle_room(now, worker, room, &mut self.outputs);
            // What is put in meanwhile waits for the next turn.
            for _ in 0..self.queues.waiting(worker) {
                let Some(message) = self.queues.pop(worker) else { break };
                self.hub.handle(now, Input::Peer { from: worker, message }, &mut self.outputs);
                self.perform(now);
            }
            self.perform(now);
        }
    }

    /// Tells workers what their full queues had no room for. Where there still is none, the other worker is
    /// asked to say when it has made some.
    fn catch_up_peers(&mut self, now: Moment) {
        for worker in 0..self.queues.workers() {
            if !self.hub.is_behind(worker) {
                continue;
            }
            // Asked first: what it takes out meanwhile is seen here, what it takes out later it tells.
            self.queues.ask_for_room(worker);
            let Some(room) = self.queues.room(worker) else { continue };
            self.hub.handle_room(now, worker, room, &mut self.outputs);
            self.perform(now);
        }
    }

    fn read_ready(&mut self, now: Moment) {
        // Sockets that still have something are appended and wait for the next turn.
        for _ in 0..self.ready.len() {
            let Some(key) = self.ready.pop_front() else { return };
            let Some(Entry::Socket(connection)) = self.entries.get_mut(key) else { continue };
            connection.flags.queued = false;
            // A panic of ours while one connection is served ends that connection, not the worker and all others.
            if catch_unwind(AssertUnwindSafe(|| self.read(now, key))).is_err() {
                self.break_connection(now, key);
            }
        }
    }

    fn break_connection(&mut self, now: Moment, key: usize) {
        tracing::error!("a panic while serving a connection; it is closed");
        self.buffers = Buffers::new();
        self.performing = false;
        self.close(now, key, close::INTERNAL);
    }

    /// Reads one socket, as far as its budget goes.
    fn read(&mut self, now: Moment, key: usize) {
        if let Some(Entry::Socket(connection)) = self.entries.get_mut(key)
            && let Some(mut spill) = connection.spill.take()
        {
            self.feed(now, key, &mut spill);
        }
        let mut buffers = std::mem::take(&mut self.buffers);
        let mut more = false;
        for _ in 0..READS_PER_TURN {
            let Some(Entry::Socket(connection)) = self.entries.get_mut(key) else { break };
            more = false;
            // What was read before comes first.
            let waits = connection.flags.held || connection.flags.choked || connection.spill.is_some();
            if waits || self.phase.is_settling() {
                break;
            }
            if connection.flags.ended {
                self.end_connection(now, key);
                break;
            }
            match connection.transport.receive(&mut buffers) {
                Ok(received) => {
                    connection.heard_at = seconds(now);
                    connection.flags.pinged = false;
                    connection.flags.ended = received.ended;
                    self.meter.received_bytes.add(received.bytes.len());
                    // A short read has emptied the socket, unless its end is still to be read.
                    more = received.more || received.ended || connection.flags.read_closed;
                    if !received.bytes.is_empty() {
                        self.feed(now, key, received.bytes);
                    }
                    if !more {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => more = true,
                Err(error) => {
                    tracing::debug!(%error, "a connection broke");
                    // Its cipher may have a last word.
                    let _ = connection.transport.push_out();
                    self.drop_connection(now, key);
                    break;
                }
            }
        }
        self.buffers = buffers;
        if more {
            self.queue(key);
        }
        self.mark_dirty(key);
    }

    /// Handles what was read from one connection.
    pub(crate) fn feed(&mut self, now: Moment, key: usize, bytes: &mut [u8]) {
        let mut input = bytes;
        let mut served = 0;
        loop {
            let Some(Entry::Socket(connection)) = self.entries.get_mut(key) else { return };
            connection.flags.held = connection.has_session() && !self.hub.accepts(connection.id(key));
            connection.flags.choked = connection.outbox_bytes() > self.limits.outbox_bytes / 2;
            if connection.flags.held || connection.flags.choked {
                connection.hold(input);
                return;
            }
            if served >= self.limits.served_per_read {
                connection.hold(input);
                self.queue(key);
                return;
            }
            match connection.wire.receive_with(&mut self.deflate, &mut input) {
                Ok(Some(Incoming::Message { kind, payload })) => {
                    served += payload.len();
                    self.message(now, key, kind, payload);
                }
                Ok(Some(Incoming::Ping(_))) => self.pong(key),
                Ok(Some(Incoming::Pong(_))) => {}
                Ok(Some(Incoming::Close(frame))) => {
                    tracing::debug!(code = %frame.code, "a client closes");
                    self.end_session(now, key);
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(%error, code = %error.close_code(), "a client broke the protocol");
                    self.end_session(now, key);
                    self.set_drop_deadline(now, key);
                    return;
                }
            }
        }
    }

    /// Answers a ping at its place among the replies, while the other side reads. While it does not, only
    /// the newest ping is remembered, and answered when the socket takes bytes again.
    fn pong(&mut self, key: usize) {
        let Some(Entry::Socket(connection)) = self.entries.get_mut(key) else { return };
        if connection.blocked_at.is_none() {
            let outbox = connection.outbox.get_or_insert_with(|| self.outboxes.take());
            outbox.append(|buffer| connection.wire.poll_transmit(unmasked, buffer));
        }
    }

    fn message(&mut self, now: Moment, key: usize, kind: MessageKind, payload: Payload<'_>) {
        let Some(Entry::Socket(connection)) = self.entries.get_mut(key) else { return };
        let session = connection.id(key);
        let command = match (&connection.protocol, kind) {
            (Protocol::Echo, _) => {
                connection.send(kind, &payload, &mut self.deflate, &mut self.outboxes);
                return;
            }
            (Protocol::Plain(channel), MessageKind::Text) => {
                Ok(plain::decode(channel, Form::Text, payload.into_bytes()))
            }
            (Protocol::Plain(channel), MessageKind::Binary) => {
                Ok(plain::decode(channel, Form::Binary, payload.into_bytes()))
            }
            (Protocol::Json, MessageKind::Binary) => {
                self.close(now, key, close::BAD_FRAME);
                return;
            }
            (Protocol::Json, MessageKind::Text) => {
                let text = std::str::from_utf8(&payload).expect("the wire has checked that text is UTF-8");
                json::decode(text)
            }
        };
        match command {
            Ok(command) => {
                self.meter.command(&command.action);
                let first = !std::mem::replace(&mut connection.flags.spoken, true);
                if let Action::Connect(connect) = &command.action {
                    connection.flags.heartbeat |= first && connect.heartbeat;
                }
                self.hub.handle(now, Input::Command { session, command }, &mut self.outputs);
            }
            Err(fault) => self.outputs.push(Output::Reply { session, reply: Reply::Fault(fault) }),
        }
        self.perform(now);
    }

    fn pass_time(&mut self, now: Moment) {
        let second = seconds(now);
        for (session, due_at) in self.deadlines.due(second) {
            self.check(now, session, due_at);
        }
        if second >= self.ticked_at + HUB_TICK {
            self.ticked_at = second;
            self.hub.handle(now, Input::Tick, &mut self.outputs);
            self.measure();
        } else if self.hub.wakes_at().is_some_and(|at| at <= now.uptime) {
            self.hub.handle(now, Input::Due, &mut self.outputs);
        }
        self.perform(now);
    }

    /// What is not counted as it comes and goes.
    fn measure(&self) {
        self.meter.subscriptions.set(self.hub.subscriptions() as u64);
        self.meter.channels.set(self.hub.channels() as u64);
        self.meter.hot_bytes.set(self.hub.hot_bytes() as u64);
    }

    fn flush_dirty(&mut self, now: Moment) {
        while let Some(key) = self.dirty.pop() {
            self.flush(now, key);
        }
    }

    pub(crate) fn flush(&mut self, now: Moment, key: usize) {
        let Some(Entry::Socket(connection)) = self.entries.get_mut(key) else { return };
        connection.flags.dirty = false;
        if connection.blocked_at.is_some() {
            return;
        }
        if connection.wire.wants_transmit() {
            let outbox = connection.outbox.get_or_insert_with(|| self.outboxes.take());
            outbox.append(|buffer| connection.wire.poll_transmit(unmasked, buffer));
        }
        let waiting = connection.outbox_bytes();
        let flushed = connection.flush(&mut self.outboxes);
        self.meter.sent_bytes.add(waiting - connection.outbox_bytes());
        match flushed {
            Ok(Flushed::All) => {
                self.finish(now, key);
                self.unchoke(now, key);
            }
            Ok(Flushed::Blocked) => {
                connection.blocked_at = Some(seconds(now));
                self.unchoke(now, key);
            }
            Err(error) => {
                tracing::debug!(%error, "a connection broke");
                self.drop_connection(now, key);
            }
        }
    }

    /// Reads on, and lets the hub go on, where the outbox has room again.
    fn unchoke(&mut self, now: Moment, key: usize) {
        let Some(Entry::Socket(connection)) = self.entries.get_mut(key) else { return };
        let (waiting, cap) = (connection.outbox_bytes(), self.limits.outbox_bytes);
        if waiting > cap / 2 {
            return;
        }
        let session = connection.id(key);
        let unchoked = std::mem::take(&mut connection.flags.choked);
        if waiting <= cap / 4 && std::mem::take(&mut connection.flags.awaits_room) {
            self.hub.handle(now, Input::Drained { session }, &mut self.outputs);
            self.perform(now);
        }
        if unchoked {
            if let Some(connection) = self.socket(session) {
                connection.heard_at = seconds(now);
            }
            self.queue(key);
        }
    }

    pub(crate) fn queue(&mut self, key: usize) {
        if let Some(Entry::Socket(connection)) = self.entries.get_mut(key)
            && !std::mem::replace(&mut connection.flags.queued, true)
        {
            self.ready.push_back(key);
        }
    }

    pub(crate) fn mark_dirty(&mut self, key: usize) {
        if let Some(Entry::Socket(connection)) = self.entries.get_mut(key)
            && !std::mem::replace(&mut connection.flags.dirty, true)
        {
            self.dirty.push(key);
        }
    }
}

impl Phase {
    fn is_settling(self) -> bool {
        matches!(self, Self::Settling(_))
    }
}

/// The whole second of uptime, in which the wheel counts.
pub(crate) fn seconds(now: Moment) -> u32 {
    u32::try_from(now.uptime.as_secs()).unwrap_or(u32::MAX)
}
