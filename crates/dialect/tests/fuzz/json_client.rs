//! Target `json_client`: any bytes as one message of a server, and, where a server would take them for a command, that
//! command as a client writes it. Included by `fuzz/` and by `main.rs` here.

use serde_json::value::RawValue;
use trunkline_dialect::json;
use trunkline_dialect::json::client::{ServerMessage, decode, encode};
use trunkline_model::Form;

/// The longest a message about what cannot be read may be, in bytes: it may be logged.
const ERROR_SIZE_MAX: usize = 600;

/// A message or an error, and commands that come back as they were.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let decoded = decode(text);
    assert_eq!(
        decode(&format!(" {text}\t\r\n")).ok(),
        decoded.as_ref().ok().cloned(),
        "space changes nothing"
    );
    match &decoded {
        Ok(ServerMessage::Message { message, .. }) if message.payload.form == Form::Json => {
            let kept = std::str::from_utf8(&message.payload.bytes).expect("JSON is text");
            assert!(serde_json::from_str::<&RawValue>(kept).is_ok(), "{kept:?}");
        }
        Ok(_) => {}
        Err(error) => assert!(error.to_string().len() <= ERROR_SIZE_MAX, "{error}"),
    }
    if let Ok(command) = json::decode(text) {
        let mut out = Vec::new();
        encode(&command, &mut out);
        let written = std::str::from_utf8(&out).expect("JSON is text");
        assert_eq!(json::decode(written), Ok(command), "{written}");
    }
}
