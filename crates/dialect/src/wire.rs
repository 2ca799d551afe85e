//! The shape of `trunkline.v1` commands as serde sees them: every field still raw, so that the one that is
//! wrong can be named. Read by `json`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// What can be read from one raw field.
pub(crate) trait Field<'a>: Sized {
    /// Reads it; the error is told by the caller, who knows what was expected.
    fn read(raw: &'a RawValue) -> Result<Self, serde_json::Error>;
}

impl<'a, T: Deserialize<'a>> Field<'a> for T {
    fn read(raw: &'a RawValue) -> Result<Self, serde_json::Error> {
        serde_json::from_str(raw.get())
    }
}

/// What stands in braces. serde alone would read a struct from an array too, field by field.
pub(crate) struct Braced<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Braced<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InBraces<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for InBraces<T> {
            type Value = Braced<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Braced)
            }
        }
        deserializer.deserialize_map(InBraces(PhantomData))
    }
}

/// Any command. Fields that are not listed are ignored.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct WireCommand<'a> {
    #[serde(borrow)]
    pub(crate) r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) channel: Option<&'a RawValue>,
    /// `null` is data like any other.
    #[serde(borrow, deserialize_with = "present")]
    pub(crate) data: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) text: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) binary: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) key: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) since: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) last: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) before: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) after: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) limit: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) at: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) session: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) subscribe: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) heartbeat: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) name: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) catch_up: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) presence: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) state: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) method: Option<&'a RawValue>,
    #[serde(borrow, rename = "if")]
    pub(crate) condition: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) r#ref: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) op: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) entry: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) ttl: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) bind: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) ephemeral: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) token: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) max_rate: Option<&'a RawValue>,
}

/// A field whose `null` is a value like any other.
pub(crate) fn present<'de: 'a, 'a, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// What `connect` says of one channel.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct WireStart<'a> {
    #[serde(borrow)]
    pub(crate) since: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) last: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) catch_up: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) presence: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) state: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) max_rate: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) token: Option<&'a RawValue>,
}

/// A position.
#[derive(Deserialize)]
pub(crate) struct WirePosition<'a> {
    #[serde(borrow)]
    pub(crate) epoch: Cow<'a, str>,
    pub(crate) offset: u64,
}

/// What a conditional publish expects.
#[derive(Deserialize)]
pub(crate) struct WireCondition {
    pub(crate) offset: u64,
}

/// An id: a text or an integer.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum WireId {
    Number(i64),
    Text(String),
}

/// `connect.subscribe`, in the order given.
pub(crate) struct WireSubscribe<'a>(pub(crate) Vec<(Cow<'a, str>, WireStart<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for WireSubscribe<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = WireSubscribe<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of channels, each with `since` or `last`")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut channels = Vec::new();
                while let Some((name, Braced(start))) = map.next_entry()? {
                    channels.push((name, start));
                }
                Ok(WireSubscribe(channels))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
