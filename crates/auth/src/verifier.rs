//! From a token to its claims, or a reason.

use std::time::Duration;

use jsonwebtoken::Validation;
use jsonwebtoken::errors::ErrorKind;
use trunkline_model::Timestamp;

use crate::claims::Claims;
use crate::key::{Algorithm, Key};
use crate::wire::RawClaims;

/// The longest token that is looked at, in bytes.
pub const TOKEN_MAX: usize = 8 << 10;

/// What tokens are verified with and against.
#[derive(Clone, Debug)]
pub struct Verifier {
    /// The keys, of all sources.
    pub keys: Vec<Key>,
    /// A token's `iss` is one of these, if there are any.
    pub issuers: Vec<String>,
    /// One of a token's `aud` is one of these, if there are any. If there are none, a token that names an audience is
    /// somebody else's (RFC 7519, section 4.1.3).
    pub audiences: Vec<String>,
    /// How far the clocks of who signs and of this machine may be apart.
    pub leeway: Duration,
}

impl Default for Verifier {
    fn default() -> Self {
        Self { keys: Vec::new(), issuers: Vec::new(), audiences: Vec::new(), leeway: Duration::from_secs(30) }
    }
}

/// Why a token is refused. Each says what would be right; none repeats the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// It is longer than [`TOKEN_MAX`].
    #[error("the token has {0} bytes; it may have {TOKEN_MAX}")]
    Long(usize),
    /// It is not three parts of base64url, or a part is no JSON.
    #[error("this is no token: {0}")]
    Malformed(&'static str),
    /// No key is for the algorithm that it names.
    #[error(
        "no key here is for tokens signed with {0}; the algorithm is chosen by the server's configuration"
    )]
    Algorithm(String),
    /// It names a key that is not known. With keys that are fetched, a newer set may have it.
    #[error("there is no key {0:?} here")]
    UnknownKey(String),
    /// The signature is not that of a key here.
    #[error("the signature is not that of any key here")]
    Signature,
    /// Its time is over.
    #[error("the token expired {0} s ago")]
    Expired(u64),
    /// Its time has not come.
    #[error("the token is not valid before another {0} s have passed")]
    NotYet(u64),
    /// It is of another issuer.
    #[error("`iss` is not one of the issuers in the server's configuration")]
    Issuer,
    /// It is for others.
    #[error("`aud` is not one of the audiences in the server's configuration")]
    Audience,
    /// A claim is missing or wrong.
    #[error("the claim `{0}` {1}")]
    Claim(&'static str, String),
}

impl Verifier {
    /// What the token says, if a key here has signed it and `now` is within its time.
    ///
    /// # Errors
    /// [`Denied`] says why not.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, Denied> {
        if token.len() > TOKEN_MAX {
            return Err(Denied::Long(token.len()));
        }
        let header =
            jsonwebtoken::decode_header(token).map_err(|error| self.unreadable(token, error.kind()))?;
        // RFC 7515, section 4.1.11.
        if header.crit.is_some() {
            return Err(Denied::Malformed("its head has `crit`, and nothing of that is known here"));
        }
        let algorithm = Algorithm(header.alg);
        let of_algorithm: Vec<_> = self.keys.iter().filter(|key| key.algorithm == algorithm).collect();
        if of_algorithm.is_empty() {
            return Err(Denied::Algorithm(algorithm.name().to_owned()));
        }
        // One without a name is tried too: its tokens may carry a name that nobody asked for.
        let is_meant = |key: &&&Key| match (&header.kid, &key.name) {
            (Some(wanted), Some(name)) => wanted == name,
            (None, _) | (_, None) => true,
        };
        let mut meant = of_algorithm.iter().filter(is_meant).peekable();
        if let (None, Some(name)) = (meant.peek(), &header.kid) {
            return Err(Denied::UnknownKey(name.chars().take(64).collect()));
        }
        let raw = meant.find_map(|key| verified(token, key)).ok_or(Denied::Signature)?;
        self.check(&raw?, now)
    }

    /// Why the head of a token cannot be read. Algorithms that the library does not know, like `none`, end here.
    fn unreadable(&self, _token: &str, kind: &ErrorKind) -> Denied {
        match kind {
            ErrorKind::InvalidToken => Denied::Malformed("it has not three parts with `.` between them"),
            ErrorKind::Base64(_) => Denied::Malformed("its head is not base64url"),
            ErrorKind::Json(error) if error.to_string().contains("unknown variant") => {
                Denied::Algorithm("something else".to_owned())
            }
            _ => Denied::Malformed("its head is no JSON object with an `alg`"),
        }
    }

    fn check(&self, raw: &RawClaims, now: Timestamp) -> Result<Claims, Denied> {
        let (now, leeway) = (now.0 / 1_000, self.leeway.as_secs());
        let expires =
            raw.time("exp")?.ok_or_else(|| Denied::Claim("exp", "is missing: a token has an end".into()))?;
        if expires.saturating_add(leeway) <= now {
            return Err(Denied::Expired(now - expires));
        }
        if let Some(begins) = raw.time("nbf")?.filter(|begins| *begins > now.saturating_add(leeway)) {
            return Err(Denied::NotYet(begins - now));
        }
        if !self.issuers.is_empty() && !raw.text("iss")?.is_some_and(|issuer| self.issuers.contains(&issuer))
        {
            return Err(Denied::Issuer);
        }
        let audiences = raw.texts("aud")?;
        let is_for_us = match (self.audiences.is_empty(), audiences.is_empty()) {
            (true, none) => none,
            (false, _) => audiences.iter().any(|audience| self.audiences.contains(audience)),
        };
        if !is_for_us {
            return Err(Denied::Audience);
        }
        // Who is let in a little late is not sent away at once.
        raw.read(Timestamp(expires.saturating_add(leeway).saturating_mul(1_000)))
    }
}

/// The claims of a token that this key has signed; `None` if it has not.
fn verified(token: &str, key: &Key) -> Option<Result<RawClaims, Denied>> {
    // The claims are judged here, by a clock that is given; the library judges the signature.
    let mut validation = Validation::new(key.algorithm.0);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    match jsonwebtoken::decode::<RawClaims>(token, &key.key, &validation) {
        Ok(decoded) => Some(Ok(decoded.claims)),
        Err(error) => match error.kind() {
            ErrorKind::Json(_) | ErrorKind::Utf8(_) => {
                Some(Err(Denied::Malformed("its claims are no JSON object")))
            }
            _ => None,
        },
    }
}
