//! One WebSocket connection as a worker keeps it: transport, wire state, outbox, and flags. An entry of a slab;
//! what happens with it is decided in `turn`.

use std::io;
use std::net::IpAddr;

use bytes::Bytes;
use trunkline_hub::SessionId;
use trunkline_model::close::CloseReason;
use trunkline_model::{ChannelName, PresenceUpdate, Publication, UserName};
use trunkline_ws_proto::{self as wire, CloseCode, DeflatePool, MessageKind, unmasked};

use crate::frame::{frame, presence_frame};
use crate::outbox::{Flushed, Outbox, Outboxes};
use crate::places::Place;
use crate::transport::Transport;

/// What is spoken on a WebSocket connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// `trunkline.v1` in JSON.
    Json,
    /// Every frame is a publication to this channel, every publication a frame.
    Plain(ChannelName),
    /// Every message comes back as it was.
    Echo,
}

/// One WebSocket connection.
pub(crate) struct Connection {
    pub(crate) transport: Transport,
    pub(crate) wire: wire::Connection,
    pub(crate) protocol: Protocol,
    pub(crate) generation: u32,
    /// What waits to be written; an idle connection has none.
    pub(crate) outbox: Option<Box<Outbox>>,
    /// What was read while the session took no commands.
    pub(crate) spill: Option<Box<[u8]>>,
    /// When something was last read, in seconds of uptime.
    pub(crate) heard_at: u32,
    /// Since when the socket takes no bytes, in seconds of uptime; `None` while it does.
    pub(crate) blocked_at: Option<u32>,
    /// In which second its entry in the wheel is due.
    pub(crate) check_at: u32,
    /// In which second it is dropped, if it is closing.
    pub(crate) drop_at: Option<u32>,
    pub(crate) flags: Flags,
    /// Its places among those of its address and its user, where they are counted.
    pub(crate) places: Option<Box<Held>>,
}

/// The places that a connection takes.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) of_address: Option<Place<IpAddr>>,
    pub(crate) of_user: Option<Place<UserName>>,
}

/// What is true of a connection now.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each with its own life")]
pub(crate) struct Flags {
    /// It stands in the worker's list of sockets to read.
    pub(crate) queued: bool,
    /// It stands in the worker's list of outboxes to flush.
    pub(crate) dirty: bool,
    /// The session takes no commands, so the socket is not read.
    pub(crate) held: bool,
    /// The outbox is too full for more answers, so the socket is not read.
    pub(crate) choked: bool,
    /// The other side has ended its half; what is left must be read to the end.
    pub(crate) read_closed: bool,
    /// All that the other side sends was read.
    pub(crate) ended: bool,
    /// The hub waits for room in the outbox.
    pub(crate) awaits_room: bool,
    /// A subscription fell behind while outputs are carried out; deliveries that were handed out before may still come.
    pub(crate) lagging: bool,
    /// The first message has come.
    pub(crate) spoken: bool,
    /// A ping was sent since it was last heard.
    pub(crate) pinged: bool,
    /// Pings go out as messages.
    pub(crate) heartbeat: bool,
    /// The hub no longer knows its session.
    pub(crate) session_ended: bool,
    /// Our half of TCP is shut down.
    pub(crate) shut_down: bool,
}

impl Connection {
    pub(crate) fn new(
        transport: Transport,
        wire: wire::Connection,
        protocol: Protocol,
        generation: u32,
        now: u32,
    ) -> Self {
        let flags = Flags {
            session_ended: protocol == Protocol::Echo,
            ended: transport.has_ended(),
            ..Flags::default()
        };
        Self {
            transport,
            wire,
            protocol,
            generation,
            outbox: None,
            spill: None,
            heard_at: now,
            blocked_at: None,
            check_at: 0,
            drop_at: None,
            flags,
            places: None,
        }
    }

    pub(crate) fn id(&self, key: usize) -> SessionId {
        SessionId { index: slot(key), generation: self.generation }
    }

    /// Whether the hub has a session for it.
    pub(crate) fn has_session(&self) -> bool {
        !self.flags.session_ended
    }

    /// Bytes that wait to be written.
    pub(crate) fn outbox_bytes(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.bytes())
    }

    /// Appends a message of this connection's own, compressed if that was agreed on and helps.
    pub(crate) fn send(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        pool: &mut DeflatePool,
        spare: &mut Outboxes,
    ) {
        if !self.wire.may_send() {
            return;
        }
        let outbox = self.outbox.get_or_insert_with(|| spare.take());
        let sent = outbox.append(|buffer| self.wire.send_with(pool, kind, payload, unmasked, buffer));
        debug_assert!(sent.is_ok(), "an open connection takes whole messages");
    }

    /// Appends a WebSocket ping.
    pub(crate) fn ping(&mut self, spare: &mut Outboxes) {
        let outbox = self.outbox.get_or_insert_with(|| spare.take());
        // A connection that is closing needs no ping.
        let _ = outbox.append(|buffer| self.wire.ping(b"", unmasked, buffer));
    }

    /// Appends a close frame.
    pub(crate) fn close(&mut self, reason: CloseReason, spare: &mut Outboxes) {
        let outbox = self.outbox.get_or_insert_with(|| spare.take());
        // One that is closing already keeps its first reason.
        let _ =
            outbox.append(|buffer| self.wire.close(CloseCode(reason.code), reason.reason, unmasked, buffer));
    }

    /// A publication as this connection is to get it.
    pub(crate) fn frame<'p>(&self, publication: &'p Publication, pool: &mut DeflatePool) -> &'p Bytes {
        frame(publication, &self.protocol, self.wire.shared_window(), pool)
    }

    /// An update of presence as this connection is to get it; `None` if its protocol has no word for it.
    pub(crate) fn presence_frame<'p>(
        &self,
        update: &'p PresenceUpdate,
        pool: &mut DeflatePool,
    ) -> Option<&'p Bytes> {
        let speaks = self.protocol == Protocol::Json;
        speaks.then(|| presence_frame(update, self.wire.shared_window(), pool))
    }

    /// Appends a frame that others get too; one that is `droppable` may make room for newer ones while it waits.
    pub(crate) fn share(&mut self, frame: &Bytes, droppable: bool, spare: &mut Outboxes) {
        let outbox = self.outbox.get_or_insert_with(|| spare.take());
        if droppable { outbox.share_signal(frame) } else { outbox.share(frame) }
    }

    /// Writes what waits, as far as the socket takes it. What a cipher has taken out of the outbox waits too.
    ///
    /// # Errors
    /// The connection is broken.
    pub(crate) fn flush(&mut self, spare: &mut Outboxes) -> io::Result<Flushed> {
        if let Some(mut outbox) = self.outbox.take() {
            let flushed = outbox.flush(&mut self.transport)?;
            if flushed == Flushed::Blocked {
                self.outbox = Some(outbox);
                return Ok(flushed);
            }
            spare.give_back(outbox);
        }
        self.transport.push_out()
    }

    /// Keeps what was read and cannot be handled yet.
    pub(crate) fn hold(&mut self, rest: &[u8]) {
        if !rest.is_empty() {
            self.spill = Some(rest.into());
        }
    }
}

/// A slab key as a session's index.
pub(crate) fn slot(key: usize) -> u32 {
    u32::try_from(key).expect("fewer than 2^32 connections per worker")
}
