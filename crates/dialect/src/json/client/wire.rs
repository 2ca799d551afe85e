//! The shape of a server's messages as serde sees them: every field of every type, all of them optional. Read by
//! `json::client`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::wire::{WireId, present};

/// Any message of a server. Fields that are not listed are passed over.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WireMessage<'a> {
    pub(super) r#type: String,
    pub(super) id: Option<WireId>,
    pub(super) channel: Option<String>,
    pub(super) client: Option<String>,
    pub(super) user: Option<String>,
    pub(super) session: Option<String>,
    pub(super) ping: Option<u64>,
    pub(super) expires: Option<u64>,
    pub(super) spread: Option<u64>,
    pub(super) limits: WireWelcomeLimits,
    pub(super) kind: Option<String>,
    pub(super) epoch: Option<String>,
    pub(super) offset: Option<u64>,
    pub(super) floor: Option<u64>,
    pub(super) recovered: Option<bool>,
    pub(super) replay: Option<u64>,
    pub(super) reason: Option<String>,
    pub(super) keep: Option<u64>,
    #[serde(borrow)]
    pub(super) items: Option<Vec<WireItem<'a>>>,
    #[serde(borrow)]
    pub(super) entries: Option<Vec<WireItem<'a>>>,
    pub(super) more: Option<bool>,
    pub(super) can: Vec<String>,
    pub(super) top: Option<u64>,
    pub(super) lo: Option<u64>,
    pub(super) hi: Option<u64>,
    pub(super) r#ref: Option<u64>,
    pub(super) op: Option<String>,
    pub(super) entry: Option<String>,
    pub(super) deleted: bool,
    #[serde(borrow, deserialize_with = "present")]
    pub(super) data: Option<&'a RawValue>,
    pub(super) text: Option<String>,
    pub(super) binary: Option<String>,
    pub(super) from: Option<String>,
    pub(super) ts: Option<u64>,
    pub(super) key: Option<String>,
    pub(super) dup: bool,
    pub(super) merged: bool,
    /// A text in an error, a number in `goaway`.
    #[serde(borrow)]
    pub(super) code: Option<&'a RawValue>,
    pub(super) message: Option<String>,
    pub(super) retry: Option<u64>,
    pub(super) within: Option<u64>,
    /// In `subscribed`; a `presence` has its fields itself.
    #[serde(borrow)]
    pub(super) presence: Option<WirePresence<'a>>,
    #[serde(borrow)]
    pub(super) set: Option<Vec<WireMember<'a>>>,
    pub(super) gone: Vec<String>,
    pub(super) count: Option<usize>,
    pub(super) all: bool,
}

/// Who is in a channel, or what changed of that.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct WirePresence<'a> {
    #[serde(borrow)]
    pub(super) set: Option<Vec<WireMember<'a>>>,
    pub(super) gone: Vec<String>,
    pub(super) count: Option<usize>,
    pub(super) all: bool,
}

/// One member.
#[derive(Deserialize)]
pub(super) struct WireMember<'a> {
    pub(super) client: String,
    pub(super) user: String,
    pub(super) name: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) info: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) state: Option<&'a RawValue>,
}

/// `welcome.limits`.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct WireWelcomeLimits {
    pub(super) message: Option<usize>,
    pub(super) subscriptions: Option<usize>,
}

/// One publication of a list.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct WireItem<'a> {
    pub(super) offset: Option<u64>,
    pub(super) epoch: Option<String>,
    pub(super) r#ref: Option<u64>,
    pub(super) op: Option<String>,
    pub(super) entry: Option<String>,
    pub(super) deleted: bool,
    pub(super) rev: Option<u64>,
    pub(super) reactions: BTreeMap<String, u32>,
    #[serde(borrow, deserialize_with = "present")]
    pub(super) data: Option<&'a RawValue>,
    pub(super) text: Option<String>,
    pub(super) binary: Option<String>,
    pub(super) from: Option<String>,
    pub(super) ts: Option<u64>,
    pub(super) key: Option<String>,
}

/// Only the type: of a message whose other fields this client cannot read.
#[derive(Deserialize)]
pub(super) struct WireType {
    pub(super) r#type: String,
}
