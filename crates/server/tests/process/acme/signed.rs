//! What an ACME client signs (RFC 8555, 6.2; RFC 7515): opened, and its signature checked.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// A public key on P-256: its two coordinates in base64url.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Jwk {
    x: String,
    y: String,
}

impl Jwk {
    fn of(jwk: &Value) -> Option<Self> {
        if jwk["kty"] != "EC" || jwk["crv"] != "P-256" || !jwk["d"].is_null() {
            return None;
        }
        Some(Self { x: jwk["x"].as_str()?.to_owned(), y: jwk["y"].as_str()?.to_owned() })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.x.is_empty()
    }

    /// RFC 7638.
    pub(super) fn thumbprint(&self) -> String {
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, self.x, self.y);
        URL_SAFE_NO_PAD.encode(Sha256::digest(canonical))
    }

    fn has_signed(&self, message: &str, signature: &str) -> bool {
        let key = DecodingKey::from_ec_components(&self.x, &self.y);
        key.and_then(|key| {
            jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, Algorithm::ES256)
        })
        .unwrap_or(false)
    }
}

/// A request whose signature is right.
pub(super) struct Signed {
    pub(super) key: Jwk,
    /// `None` if it comes with its key.
    pub(super) account: Option<usize>,
    pub(super) nonce: String,
    pub(super) url: String,
    /// `Null` where nothing is sent (6.3).
    pub(super) payload: Value,
}

impl Signed {
    /// `bare` requests come with their key, others name an account, whose key `key_of` knows.
    pub(super) fn open(
        body: &[u8],
        bare: bool,
        key_of: impl Fn(&str) -> Option<(usize, Jwk)>,
    ) -> Result<Self, (u16, &'static str, String)> {
        let wrong = |why: &str| (400, "malformed", why.to_owned());
        let jws: Value = serde_json::from_slice(body).map_err(|_| wrong("no JSON"))?;
        let part = |name: &str| jws[name].as_str().ok_or_else(|| wrong("no flattened JWS"));
        let (protected, payload, signature) = (part("protected")?, part("payload")?, part("signature")?);
        let json = |text: &str| serde_json::from_slice::<Value>(&decode(text)?).ok();
        let head = json(protected).ok_or_else(|| wrong("no protected header"))?;
        if head["alg"] != "ES256" || head["jwk"].is_null() == head["kid"].is_null() {
            return Err(wrong("it has one of jwk and kid, and is of ES256"));
        }
        let (account, key) = if bare {
            (None, Jwk::of(&head["jwk"]).ok_or_else(|| wrong("no key"))?)
        } else {
            let known = head["kid"].as_str().and_then(key_of);
            let (number, key) = known.ok_or((400, "accountDoesNotExist", "who are you?".to_owned()))?;
            (Some(number), key)
        };
        if !key.has_signed(&format!("{protected}.{payload}"), signature) {
            return Err((401, "unauthorized", "the signature is wrong".to_owned()));
        }
        let payload = match payload {
            "" => Value::Null,
            payload => json(payload).ok_or_else(|| wrong("no payload"))?,
        };
        let text = |name: &str| head[name].as_str().unwrap_or_default().to_owned();
        Ok(Self { key, account, nonce: text("nonce"), url: text("url"), payload })
    }
}

pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
