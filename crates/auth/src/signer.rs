//! Making tokens: for the command line, and for programs that have no library for it.

use std::fmt;
use std::time::Duration;

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Map, Value, json};
use trunkline_model::{Capabilities, Capability, ChannelName, Grant, Offset, Timestamp};

use crate::key::{Algorithm, InvalidKey, Key};

/// A key that makes tokens.
#[derive(Clone)]
pub struct Signer {
    header: Header,
    key: EncodingKey,
}

/// What a token is to say.
#[derive(Clone, Debug, Default)]
pub struct NewToken {
    /// `sub`
    pub user: Option<String>,
    /// `iss`
    pub issuer: Option<String>,
    /// `aud`
    pub audience: Option<String>,
    /// `allow`
    pub allow: Vec<Grant>,
    /// `channels`
    pub channels: Vec<ChannelName>,
    /// `info`: JSON.
    pub info: Option<Value>,
    /// `channel`: it is for a subscription to this one alone.
    pub only: Option<ChannelName>,
    /// `can`, beside `channel`.
    pub can: Option<Capabilities>,
    /// `from`, beside `channel`.
    pub from: Option<Offset>,
}

impl Signer {
    /// The shared secret of an HMAC, under the name that tokens call it by.
    ///
    /// # Errors
    /// As [`Key::from_secret`].
    pub fn from_secret(algorithm: Algorithm, secret: &[u8], name: Option<&str>) -> Result<Self, InvalidKey> {
        Key::from_secret(algorithm, secret)?;
        Ok(Self { header: header(algorithm, name), key: EncodingKey::from_secret(secret) })
    }

    /// A private key in PEM (`BEGIN PRIVATE KEY`).
    ///
    /// # Errors
    /// [`InvalidKey`] if `algorithm` is an HMAC, or this is no key for it.
    pub fn from_pem(algorithm: Algorithm, pem: &[u8], name: Option<&str>) -> Result<Self, InvalidKey> {
        let read = match algorithm.name().get(..2) {
            Some("RS" | "PS") => EncodingKey::from_rsa_pem(pem),
            Some("ES") => EncodingKey::from_ec_pem(pem),
            Some("Ed") => EncodingKey::from_ed_pem(pem),
            _ => return Err(InvalidKey::Public(algorithm.name())),
        };
        let key = read.map_err(|error| InvalidKey::Pem(algorithm.name(), error.to_string()))?;
        Ok(Self { header: header(algorithm, name), key })
    }

    /// A token that says this from `now` on, for so long.
    ///
    /// # Errors
    /// [`InvalidKey::Pem`] if the key cannot sign.
    pub fn sign(&self, token: &NewToken, now: Timestamp, lives: Duration) -> Result<String, InvalidKey> {
        let issued = now.0 / 1_000;
        let mut claims = Map::new();
        let texts = [("sub", &token.user), ("iss", &token.issuer), ("aud", &token.audience)];
        let texts =
            texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text.as_ref()?))));
        claims.extend(texts);
        claims.insert("iat".to_owned(), json!(issued));
        claims.insert("exp".to_owned(), json!(issued.saturating_add(lives.as_secs())));
        if !token.allow.is_empty() {
            claims.insert("allow".to_owned(), token.allow.iter().map(grant).collect());
        }
        if !token.channels.is_empty() {
            claims.insert("channels".to_owned(), token.channels.iter().map(ChannelName::as_str).collect());
        }
        claims.extend(token.info.iter().map(|info| ("info".to_owned(), info.clone())));
        claims.extend(token.only.iter().map(|channel| ("channel".to_owned(), json!(channel.as_str()))));
        claims.extend(token.can.iter().map(|can| ("can".to_owned(), json!(words(*can)))));
        claims.extend(token.from.iter().map(|from| ("from".to_owned(), json!(from.0))));
        jsonwebtoken::encode(&self.header, &claims, &self.key)
            .map_err(|error| InvalidKey::Pem(Algorithm(self.header.alg).name(), error.to_string()))
    }
}

/// Shows no key.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("name", &self.header.kid).finish_non_exhaustive()
    }
}

fn header(algorithm: Algorithm, name: Option<&str>) -> Header {
    Header { kid: name.map(str::to_owned), ..Header::new(algorithm.0) }
}

fn grant(grant: &Grant) -> Value {
    json!({ "channels": grant.channels.to_string(), "can": words(grant.can) })
}

fn words(can: Capabilities) -> Vec<&'static str> {
    let held = Capability::ALL.iter().filter(|capability| can.has(**capability));
    held.map(|capability| capability.as_str()).collect()
}

/// What a text says that looks like a token, whoever has signed it: its head and its claims, as JSON.
///
/// This proves nothing. It is for people who want to see what is in a token.
#[must_use]
pub fn look_into(token: &str) -> Option<(Value, Value)> {
    let head = serde_json::to_value(jsonwebtoken::decode_header(token).ok()?).ok()?;
    let claims = jsonwebtoken::dangerous::insecure_decode::<Value>(token).ok()?.claims;
    Some((head, claims))
}
