//! What an authority is shown that looks whether a name leads here (TLS-ALPN-01, RFC 8737): for each name that is being
//! proven a certificate of our own making, which says what only we and the authority know. Put there by `acme`, shown by
//! `entrance`.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::builder;

/// What an authority offers to speak, and nothing else.
const ACME_TLS: &[u8] = b"acme-tls/1";

/// The names that are being proven. At most as many as `server.acme.domains` has.
#[derive(Debug, Default)]
pub(crate) struct Challenges(RwLock<BTreeMap<String, Arc<ServerConfig>>>);

impl Challenges {
    /// Whether any name is being proven.
    pub(crate) fn are_there(&self) -> bool {
        !self.0.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// What to show to whoever begins like this, if it is an authority that looks for a name which is being proven. A client
    /// that offers something else beside it is none.
    pub(crate) fn find(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        if !hello.alpn()?.eq([ACME_TLS]) {
            return None;
        }
        let name = hello.server_name()?.to_ascii_lowercase();
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&name).cloned()
    }

    /// From now on whoever looks for `name` is shown `digest`, the SHA-256 of the key authorization.
    ///
    /// # Errors
    /// The certificate cannot be made.
    pub(crate) fn begin(&self, name: &str, digest: &[u8]) -> Result<(), String> {
        let config = Arc::new(config(name, digest)?);
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), config);
        Ok(())
    }

    /// Nobody is shown any more.
    pub(crate) fn end(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn config(name: &str, digest: &[u8]) -> Result<ServerConfig, String> {
    // `new_acme_identifier` panics at another size.
    if digest.len() != 32 {
        return Err("the digest of a key authorization has 32 bytes".to_owned());
    }
    let certified = || {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        Ok((params.self_signed(&key)?, key.serialize_der()))
    };
    let (certificate, key) = certified().map_err(|error: rcgen::Error| format!("{name}: {error}"))?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
    let key = default_provider().key_provider.load_private_key(key);
    // Not looked at as others are: nobody but an authority understands its extension, which is critical.
    let config = key.and_then(|key| {
        let shown = SingleCertAndKey::from(CertifiedKey::new(vec![certificate.der().clone()], key));
        Ok(builder()?.with_no_client_auth().with_cert_resolver(Arc::new(shown)))
    });
    let mut config = config.map_err(|error| format!("{name}: {error}"))?;
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    // Nobody comes back to this.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_digest_does_no_harm() {
        for size in [0, 31, 33] {
            assert!(config("localhost", &vec![0; size]).is_err());
        }
        assert!(config("localhost", &[0; 32]).is_ok());
        assert!(config("ü", &[0; 32]).is_err());
    }
}
