//! `Sec-WebSocket-Key` and `Sec-WebSocket-Accept` (RFC 6455 §4.2.2): proof that the server read the request, not a
//! secret. Used by `accept.rs` and `client.rs`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::error::Rejection;

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The `Sec-WebSocket-Accept` value for a `Sec-WebSocket-Key` value, which is not checked here.
pub fn accept_key(key: &[u8]) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

/// A client's key for the header, from 16 random bytes.
pub(crate) fn encode_key(nonce: [u8; 16]) -> String {
    STANDARD.encode(nonce)
}

/// A key must be exactly 16 bytes in base64 (§4.2.1).
pub(crate) fn check_key(key: &[u8]) -> Result<(), Rejection> {
    match STANDARD.decode(key) {
        Ok(nonce) if nonce.len() == 16 => Ok(()),
        Ok(nonce) => Err(Rejection::KeyLength(nonce.len())),
        Err(_) => Err(Rejection::KeyNotBase64),
    }
}
