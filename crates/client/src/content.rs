//! What an application publishes, before it is a payload. Made from JSON, text or bytes by `into`.

use bytes::Bytes;
use trunkline_model::{Form, Payload};

/// Something to publish: JSON from a [`serde_json::Value`], text from a `&str` or `String`, anything else from bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Content(pub(crate) Payload);

impl From<serde_json::Value> for Content {
    fn from(json: serde_json::Value) -> Self {
        Self(Payload::new(Form::Json, json.to_string()))
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self(Payload::new(Form::Text, text.to_owned()))
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self(Payload::new(Form::Text, text))
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Payload::new(Form::Binary, bytes))
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self(Payload::new(Form::Binary, bytes))
    }
}
