//! `[auth]`: with which keys tokens are verified, what they have to say, and who comes in without one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Uri;

use trunkline_auth::{Algorithm, Key, Signer, Verifier};
use trunkline_model::{Capability, ChannelPattern, Grant};

use crate::door::ApiKey;
use crate::dto::{ApiKeyTable, AuthTable, GrantTable, JwksTable, OneOrMore, TokenKeyTable};
use crate::key_ring::JwksSettings;
use crate::outgoing::shown;
use crate::units;

/// The farthest that clocks may be apart.
const LEEWAY_MAX: Duration = Duration::from_secs(300);
/// How often a set of keys is fetched.
const JWKS_REFRESH: Duration = Duration::from_secs(600);
const JWKS_REFRESH_MIN: Duration = Duration::from_secs(1);
const JWKS_REFRESH_MAX: Duration = Duration::from_secs(86_400);
/// The fewest characters of a key or a token that is compared: 128 bits as base64url would be 22.
pub(super) const SECRET_MIN: usize = 22;

/// Who is let in.
#[derive(Debug, Clone)]
pub(crate) struct AuthSettings {
    /// Whether one comes in without a token.
    pub(crate) anonymous: bool,
    /// With what tokens are verified.
    pub(crate) verifier: Verifier,
    /// What can sign tokens: of the keys those that are secrets.
    pub(crate) signers: Vec<Signer>,
    /// A set of keys that is fetched.
    pub(crate) jwks: Option<JwksSettings>,
    /// The cookie that may hold one.
    pub(crate) cookie: Option<String>,
    /// Keys of the HTTP API.
    pub(crate) api_keys: Vec<ApiKey>,
    /// Whether the HTTP API needs no key.
    pub(crate) open_api: bool,
}

impl AuthSettings {
    /// Everyone comes in, and may use the HTTP API.
    pub(crate) fn open() -> Self {
        Self {
            anonymous: true,
            verifier: Verifier::default(),
            signers: Vec::new(),
            jwks: None,
            cookie: None,
            api_keys: Vec::new(),
            open_api: true,
        }
    }

    /// Nobody comes in.
    pub(crate) fn closed() -> Self {
        Self { anonymous: false, open_api: false, ..Self::open() }
    }

    /// What `table` says over these. Files are looked for beside the configuration, in `dir`.
    pub(crate) fn apply(&mut self, table: &AuthTable, dir: &Path) -> Result<(), String> {
        if let Some(anonymous) = table.anonymous {
            self.anonymous = anonymous;
        }
        self.verifier.issuers = table.issuer.as_ref().map(OneOrMore::all).unwrap_or_default();
        self.verifier.audiences = table.audience.as_ref().map(OneOrMore::all).unwrap_or_default();
        if let Some(leeway) = &table.leeway {
            self.verifier.leeway = units::duration(leeway).map_err(|error| format!("leeway: {error}"))?;
            if self.verifier.leeway > LEEWAY_MAX {
                return Err(format!("leeway is {leeway}; it may be 0s to {} s", LEEWAY_MAX.as_secs()));
            }
        }
        if let Some(name) = &table.cookie
            && (name.is_empty() || !name.bytes().all(is_token))
        {
            return Err(format!(
                "cookie: {name:?} is no name of a cookie: letters, digits, and !#$%&'*+-.^_`|~"
            ));
        }
        self.cookie = table.cookie.clone();
        self.jwks = table.jwks.as_ref().map(jwks).transpose().map_err(|error| format!("jwks: {error}"))?;
        let keys = table.keys.iter().enumerate();
        let keys = keys.map(|(at, key)| {
            token_key(key, dir).map_err(|error| format!("keys, number {}: {error}", at + 1))
        });
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        (self.verifier.keys, self.signers) = (Vec::new(), Vec::new());
        for (key, signer) in keys {
            self.verifier.keys.push(key);
            self.signers.extend(signer);
        }
        let keys = table.api_keys.iter().enumerate();
        let keys = keys.map(|(at, key)| {
            api_key(key, dir).map_err(|error| format!("api_keys, number {}: {error}", at + 1))
        });
        self.api_keys = keys.collect::<Result<_, _>>()?;
        // Who has given out keys, or lets nobody in without a token, wants them asked for.
        self.open_api &= self.api_keys.is_empty() && self.anonymous;
        Ok(())
    }
}

fn jwks(table: &JwksTable) -> Result<JwksSettings, String> {
    let given = &table.url;
    let wrong = |why: &str| {
        format!("url: {:?} {why}; write one like \"https://id.example.com/jwks.json\"", shown(given))
    };
    let url: Uri = given.parse().map_err(|error| wrong(&format!("is not a URL ({error})")))?;
    match url.scheme_str() {
        Some("https") => {}
        Some("http") if crate::outgoing::is_here(&url) => {}
        Some("http") => return Err(wrong("is not https://: whoever is in between could give us keys")),
        _ => return Err(wrong("is not an https:// URL")),
    }
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(wrong("has a user's name in it, which is not sent on"));
    }
    let refresh = table.refresh.as_deref().map(units::duration).transpose();
    let refresh = refresh.map_err(|error| format!("refresh: {error}"))?.unwrap_or(JWKS_REFRESH);
    if !(JWKS_REFRESH_MIN..=JWKS_REFRESH_MAX).contains(&refresh) {
        return Err(format!(
            "refresh is {}; it may be 1s to 24h",
            table.refresh.as_deref().unwrap_or_default()
        ));
    }
    Ok(JwksSettings { url, refresh })
}

fn token_key(table: &TokenKeyTable, dir: &Path) -> Result<(Key, Option<Signer>), String> {
    let algorithm: Algorithm = table.algorithm.parse().map_err(|error| format!("algorithm: {error}"))?;
    let secret = match (&table.secret, &table.secret_file, &table.public_key, &table.public_key_file) {
        (Some(secret), None, None, None) => Some(secret.clone().into_bytes()),
        (None, Some(file), None, None) => Some(read(dir, file)?.trim_ascii().to_vec()),
        (None, None, Some(_), None) | (None, None, None, Some(_)) => None,
        _ => {
            let wanted = if algorithm.is_symmetric() {
                "`secret` or `secret_file`"
            } else {
                "`public_key` or `public_key_file`"
            };
            return Err(format!("one of {wanted} is needed, and no more"));
        }
    };
    let name = table.kid.as_deref();
    let named = |key: Key| if let Some(name) = name { key.named(name) } else { key };
    let Some(secret) = secret else {
        let pem = match (&table.public_key, &table.public_key_file) {
            (Some(pem), _) => pem.clone().into_bytes(),
            (None, Some(file)) => read(dir, file)?,
            (None, None) => Vec::new(),
        };
        return Ok((named(Key::from_pem(algorithm, &pem).map_err(|error| error.to_string())?), None));
    };
    let key = Key::from_secret(algorithm, &secret).map_err(|error| error.to_string())?;
    let signer = Signer::from_secret(algorithm, &secret, name).map_err(|error| error.to_string())?;
    Ok((named(key), Some(signer)))
}

fn api_key(table: &ApiKeyTable, dir: &Path) -> Result<ApiKey, String> {
    let key = match (&table.key, &table.key_file) {
        (Some(key), None) => key.clone(),
        (None, Some(file)) => String::from_utf8(read(dir, file)?.trim_ascii().to_vec())
            .map_err(|_| format!("{file} holds what is no text"))?,
        _ => return Err("one of `key` or `key_file` is needed, and no more".to_owned()),
    };
    if key.len() < SECRET_MIN {
        return Err(format!(
            "the key has {} characters; it has at least {SECRET_MIN}, made at random",
            key.len()
        ));
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the key has characters that cannot stand in a header".to_owned());
    }
    if table.name.is_empty()
        || table.name.len() > 64
        || !table.name.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err("name: 1 to 64 characters without spaces".to_owned());
    }
    let allow = table.allow.iter().map(grant).collect::<Result<_, _>>()?;
    Ok(ApiKey::new(&table.name, &key, allow))
}

fn grant(table: &GrantTable) -> Result<Grant, String> {
    let channels = ChannelPattern::parse(&table.channels)
        .map_err(|error| format!("allow: channels {:?}: {error}", table.channels))?;
    let word = |word: &String| {
        Capability::ALL.iter().copied().find(|known| known.as_str() == word).ok_or_else(|| {
            let known: Vec<_> = Capability::ALL.iter().map(|known| known.as_str()).collect();
            format!("allow: `can` holds {word:?}; there are {}", known.join(", "))
        })
    };
    Ok(Grant { channels, can: table.can.iter().map(word).collect::<Result<_, _>>()? })
}

/// RFC 9110, section 5.6.2
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

pub(super) fn read(dir: &Path, file: &str) -> Result<Vec<u8>, String> {
    let path: PathBuf = dir.join(file);
    std::fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}
