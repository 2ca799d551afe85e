//! Target `close`: any bytes as the payload of a close frame. Included by `fuzz/` and by `corpus.rs` here.

use trunkline_ws_proto::{CloseCode, CloseFrame, ProtocolError};

/// Read as RFC 6455 §5.5.1 says, and written again as it was read.
pub(crate) fn check(data: &[u8]) {
    let decoded = CloseFrame::decode(data);
    let expect = match data {
        [] => Ok((1005, "")),
        [_] => Err(ProtocolError::ClosePayloadOfOneByte),
        [high, low, reason @ ..] => match u16::from(*high) << 8 | u16::from(*low) {
            code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => std::str::from_utf8(reason)
                .map(|reason| (code, reason))
                .map_err(|_| ProtocolError::CloseReasonNotUtf8),
            code => Err(ProtocolError::CloseCodeInvalid(code)),
        },
    };
    assert_eq!(decoded.as_ref().map(|frame| (frame.code.0, &*frame.reason)).map_err(|error| *error), expect);
    let Ok(frame) = decoded else { return };
    let encoded = frame.encode();
    assert!(encoded.len() <= 125);
    assert!(data.starts_with(&encoded));
    assert!(encoded.len() == data.len() || data.len() > 125, "only what is too long is cut");
    assert!(CloseFrame::decode(&encoded).is_ok(), "also when the reason was cut");
    let allowed = frame.code == CloseCode::NO_STATUS || frame.code.is_allowed_on_wire();
    assert!(allowed && (CloseFrame::new(frame.code, &*frame.reason).is_ok() || data.len() > 125));
}
