//! Keys, each for one algorithm: from configuration, or from a set that an identity provider publishes (JWKS).

use std::fmt;
use std::str::FromStr;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use serde_json::Value;

/// The fewest bytes that the secret of an HMAC has here: what RFC 7518, section 3.2 asks for HS256.
pub const SECRET_MIN: usize = 32;

/// An algorithm that tokens may be signed with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Algorithm(pub(crate) jsonwebtoken::Algorithm);

impl Algorithm {
    /// HMAC with SHA-256: whoever verifies can sign.
    pub const HS256: Self = Self(jsonwebtoken::Algorithm::HS256);

    /// The names of all that there are, as tokens and configuration spell them (RFC 7518, RFC 8037).
    pub const NAMES: &[&str] = &[
        "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384",
        "EdDSA",
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        let is_this = |name: &&&str| name.parse().ok() == Some(self.0);
        Self::NAMES.iter().find(is_this).copied().unwrap_or("an unknown algorithm")
    }

    /// Whether its key is a secret that both sides share.
    #[must_use]
    pub fn is_symmetric(self) -> bool {
        self.name().starts_with("HS")
    }
}

impl FromStr for Algorithm {
    type Err = InvalidKey;

    fn from_str(name: &str) -> Result<Self, InvalidKey> {
        let known = Self::NAMES.contains(&name);
        let algorithm = if known { name.parse().ok() } else { None };
        algorithm.map(Self).ok_or_else(|| InvalidKey::Algorithm { name: name.chars().take(20).collect() })
    }
}

/// What is wrong with a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Nobody knows the algorithm.
    #[error("{name:?} is no algorithm; there are {}", Algorithm::NAMES.join(", "))]
    Algorithm {
        /// What was given, or the beginning of it.
        name: String,
    },
    /// The secret of an HMAC is short.
    #[error("the secret has {0} bytes; it has at least {SECRET_MIN}")]
    Short(usize),
    /// A secret was given for an algorithm with public keys.
    #[error("{0} has public keys, not secrets")]
    Secret(&'static str),
    /// A public key was given for an HMAC.
    #[error("{0} has a secret, not a public key: whoever has it can sign")]
    Public(&'static str),
    /// The public key cannot be read.
    #[error("this is no public key in PEM for {0}: {1}")]
    Pem(&'static str, String),
    /// A set of keys cannot be read.
    #[error("this is no set of keys (JWKS): {0}")]
    Set(String),
}

/// A key that verifies tokens of one algorithm.
#[derive(Clone)]
pub struct Key {
    /// What tokens call it (`kid`). A key without a name is tried for every token of its algorithm.
    pub name: Option<String>,
    pub(crate) algorithm: Algorithm,
    pub(crate) key: DecodingKey,
}

impl Key {
    /// The shared secret of an HMAC.
    ///
    /// # Errors
    /// [`InvalidKey`] if `algorithm` has public keys, or the secret is shorter than [`SECRET_MIN`].
    pub fn from_secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, InvalidKey> {
        if !algorithm.is_symmetric() {
            return Err(InvalidKey::Secret(algorithm.name()));
        }
        if secret.len() < SECRET_MIN {
            return Err(InvalidKey::Short(secret.len()));
        }
        Ok(Self { name: None, algorithm, key: DecodingKey::from_secret(secret) })
    }

    /// A public key in PEM (`BEGIN PUBLIC KEY`).
    ///
    /// # Errors
    /// [`InvalidKey`] if `algorithm` is an HMAC, or this is no key for it.
    pub fn from_pem(algorithm: Algorithm, pem: &[u8]) -> Result<Self, InvalidKey> {
        let read = match algorithm.name().get(..2) {
            Some("RS" | "PS") => DecodingKey::from_rsa_pem(pem),
            Some("ES") => DecodingKey::from_ec_pem(pem),
            Some("Ed") => DecodingKey::from_ed_pem(pem),
            _ => return Err(InvalidKey::Public(algorithm.name())),
        };
        let key = read.map_err(|error| InvalidKey::Pem(algorithm.name(), error.to_string()))?;
        Ok(Self { name: None, algorithm, key })
    }

    /// The same, under this name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }
}

/// Shows no key.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("name", &self.name)
            .field("algorithm", &self.algorithm.name())
            .finish_non_exhaustive()
    }
}

/// The public keys of an identity provider (JWKS, RFC 7517).
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    /// Those that can be used here.
    pub keys: Vec<Key>,
    /// How many could not: secrets, keys for encryption, unknown kinds.
    pub skipped: usize,
}

impl KeySet {
    /// Reads a set. Keys that are no use here are passed over, because a provider may publish others beside; a shared
    /// secret is never taken from a set, whatever it says.
    ///
    /// # Errors
    /// [`InvalidKey::Set`] if it is no set at all.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidKey> {
        let mut set: Value =
            serde_json::from_slice(json).map_err(|error| InvalidKey::Set(error.to_string()))?;
        let Some(Value::Array(all)) = set.get_mut("keys").map(Value::take) else {
            return Err(InvalidKey::Set("it has no list `keys`".to_owned()));
        };
        let count = all.len();
        // One that is not even written right is as little use as one of an unknown kind.
        let read = all.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        let keys: Vec<_> = read.filter_map(|key| public_key(&key)).collect();
        Ok(Self { skipped: count - keys.len(), keys })
    }
}

/// The key with the algorithm that it is for: its own word, else what its kind says.
fn public_key(jwk: &Jwk) -> Option<Key> {
    use jsonwebtoken::Algorithm as A;
    if jwk.common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
        return None;
    }
    if jwk.common.key_operations.as_ref().is_some_and(|all| !all.contains(&KeyOperations::Verify)) {
        return None;
    }
    let of_kind = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => A::RS256,
        AlgorithmParameters::EllipticCurve(parameters) => match parameters.curve {
            EllipticCurve::P256 => A::ES256,
            EllipticCurve::P384 => A::ES384,
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(parameters) if parameters.curve == EllipticCurve::Ed25519 => {
            A::EdDSA
        }
        _ => return None,
    };
    let algorithm = match jwk.common.key_algorithm {
        None => of_kind,
        Some(KeyAlgorithm::RS256) => A::RS256,
        Some(KeyAlgorithm::RS384) => A::RS384,
        Some(KeyAlgorithm::RS512) => A::RS512,
        Some(KeyAlgorithm::PS256) => A::PS256,
        Some(KeyAlgorithm::PS384) => A::PS384,
        Some(KeyAlgorithm::PS512) => A::PS512,
        Some(KeyAlgorithm::ES256) => A::ES256,
        Some(KeyAlgorithm::ES384) => A::ES384,
        Some(KeyAlgorithm::EdDSA) => A::EdDSA,
        Some(_) => return None,
    };
    if algorithm.family() != of_kind.family() || (of_kind != A::RS256 && algorithm != of_kind) {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some(Key { name: jwk.common.key_id.clone(), algorithm: Algorithm(algorithm), key })
}
