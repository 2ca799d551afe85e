//! Who somebody is and what they may do, from a token: signatures, keys and claims, without IO and without a clock.
//!
//! A [`Verifier`] holds the keys of the configuration and of a [`KeySet`] that was fetched (JWKS, RFC 7517), each for one
//! algorithm. The algorithm is never the token's choice: a key verifies with its own or not at all, so a token that says
//! `none`, or HS256 with a public key as its secret, is refused before anything is computed (RFC 8725, sections 3.1, 3.2).
//!
//! ```
//! use trunkline_auth::{Algorithm, Key, Verifier};
//! use trunkline_model::Timestamp;
//!
//! let key = Key::from_secret(Algorithm::HS256, b"0123456789abcdef0123456789abcdef")?;
//! let verifier = Verifier { keys: vec![key], ..Verifier::default() };
//! assert!(verifier.verify("no token", Timestamp(0)).is_err());
//! # Ok::<(), trunkline_auth::InvalidKey>(())
//! ```

mod claims;
mod key;
mod signer;
mod verifier;
mod wire;

pub use claims::{ALLOW_MAX, CHANNELS_MAX, Claims, INFO_MAX};
pub use key::{Algorithm, InvalidKey, Key, KeySet, SECRET_MIN};
pub use signer::{NewToken, Signer, look_into};
pub use verifier::{Denied, TOKEN_MAX, Verifier};
