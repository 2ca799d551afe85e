//! Target `json`: any bytes as one text message of `trunkline.v1`. Included by `fuzz/` and by `main.rs` here.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use trunkline_dialect::json::{decode, decode_publish, encode_reply};
use trunkline_model::{Action, ChannelName, Command, CommandId, Fault, Form, Payload, Reply};

/// The longest a message about somebody's mistake may be, in bytes: it is told to whoever made it, at every mistake.
const FAULT_SIZE_MAX: usize = 600;

/// A command or a fault; each fit for what comes after it.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let decoded = decode(text);
    let spaced = decode(&format!(" {text}\t\r\n"));
    assert_eq!(spaced.ok(), decoded.as_ref().ok().cloned(), "space around it changes nothing");
    match &decoded {
        Ok(command) => check_command(text, command),
        Err(fault) => check_fault(fault),
    }
    let channel = ChannelName::parse("c").expect("a name");
    match decode_publish(channel, text) {
        Ok(publish) => check_payload(&publish.payload),
        Err(fault) => check_fault(&fault),
    }
}

/// What was taken for a command is JSON, and what it publishes is kept as it was written.
fn check_command(text: &str, command: &Command) {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text).expect("a JSON object");
    check_id(command.id.as_ref());
    if let Action::Rpc { data, .. } = &command.action {
        assert!(command.id.is_some(), "its answer is known by its id");
        check_payload(data);
        let written = fields.get("data").map_or("null", |data| data.get()).replace(['\r', '\n'], " ");
        assert_eq!(data.bytes, written.as_bytes());
    }
    let Action::Publish(publish) = &command.action else { return };
    check_payload(&publish.payload);
    if publish.payload.form == Form::Json {
        let written = fields["data"].get().replace(['\r', '\n'], " ");
        assert_eq!(publish.payload.bytes, written.as_bytes());
    }
}

fn check_id(id: Option<&CommandId>) {
    if let Some(CommandId::Text(text)) = id {
        assert!(text.len() <= 64);
    }
}

/// JSON is one line, because event streams are cut into lines.
fn check_payload(payload: &Payload) {
    match payload.form {
        Form::Json => assert!(!payload.bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n'))),
        Form::Text => assert!(std::str::from_utf8(&payload.bytes).is_ok()),
        Form::Binary => {}
    }
}

/// Short whatever was sent, and still JSON when it is told.
fn check_fault(fault: &Fault) {
    check_id(fault.id.as_ref());
    assert!(!fault.message.is_empty() && fault.message.len() <= FAULT_SIZE_MAX, "{}", fault.message);
    let mut out = Vec::new();
    encode_reply(&Reply::Fault(fault.clone()), &mut out);
    let told: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(told.get("message").and_then(serde_json::Value::as_str), Some(&*fault.message));
}
