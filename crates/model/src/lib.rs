//! The nouns of Trunkline, and the words between a dialect and the hub.
//!
//! This crate holds names, positions, publications, payloads, limits and codes; it does no IO, knows no
//! wire format, and has no clock. Every other crate of the house may import it; it imports none of them.
//!
//! ```text
//!   dialect ──Command──▶ hub ──Reply / Push──▶ dialect
//!                         │
//!                     Publication (Position, Payload)  ◀──▶  store
//! ```
//!
//! What is a noun and where it stands:
//! - [`ChannelName`]: the checked name of a channel, and the namespace in front of its first `:`.
//! - [`Position`]: ([`Epoch`], [`Offset`]), a place in a channel's log.
//! - [`Publication`]: one immutable entry of a channel, with the finished byte forms it was given.
//! - [`Identity`], [`Access`], [`Rule`]: who somebody is, what its token allows, and what needs none.
//! - [`Command`], [`Reply`], [`Push`]: what a client asks, is answered, and is told unasked.
//! - [`Method`], [`RpcRequest`]: what a client asks of the application behind the server.
//! - [`Member`], [`PresenceUpdate`]: who is in a channel, and what changed of that.
//! - [`Namespace`], [`Limits`]: settings, and every named cap.
//! - [`ErrorCode`], [`close`]: every code a client can see, as one table.

mod access;
mod channel;
pub mod close;
mod code;
mod command;
mod deflated;
mod fold;
mod identity;
mod limits;
mod method;
mod namespace;
mod payload;
mod position;
mod presence;
mod publication;
mod reply;
mod role;

pub use access::{
    Access, Capabilities, Capability, ChannelPattern, Edits, Floor, Grant, InvalidPattern, Rule, Standing,
};
pub use channel::{CHANNEL_NAME_MAX, ChannelName, InvalidChannelName};
pub use code::ErrorCode;
pub use command::{
    Action, Command, CommandId, Connect, HistoryQuery, PresenceQuery, Publish, Start, Subscribe,
};
pub use fold::Fold;
pub use identity::{
    Admitted, ClientId, Identity, InvalidKey, KEY_MAX, Key, Presented, Publisher, Secret, USER_MAX, UserName,
};
pub use limits::Limits;
pub use method::{InvalidMethod, METHOD_MAX, Method, RpcRequest};
pub use namespace::{Acknowledge, Kind, Namespace, Namespaces, PresenceMode, Rate, Retention, Slow};
pub use payload::{Form, Payload};
pub use position::{Epoch, InvalidEpoch, Offset, Position, Timestamp};
pub use presence::{DISPLAY_NAME_MAX, DisplayName, InvalidDisplayName, Member, Members, PresenceUpdate};
pub use publication::{Encoding, Publication};
pub use reply::{Fault, LostReason, Page, Push, Recovery, Reply, Subscribed};
pub use role::{ENTRY_NAME_MAX, Entry, EntryName, InvalidEntryName, Op, REACTION_MAX, Reference, Role};
