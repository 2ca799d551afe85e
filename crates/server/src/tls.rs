//! TLS at the one port: the certificate that new connections are shown, from files or from an authority, and what an authority
//! is shown that looks whether a name leads here (TLS-ALPN-01, RFC 8737). The handshake is rustls'; what comes after it is in
//! `cipher` and `http`, who asks authorities is `acme`.
//!
//! Each certificate makes a whole new [`ServerConfig`], with new keys for tickets: who comes back after it was replaced does not
//! resume what it began with the old one. Connections that are there keep theirs.

mod challenge;
mod files;
mod outline;

use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ConfigBuilder, Error, ServerConfig, WantsVerifier};

use crate::config::TlsFiles;
pub(crate) use challenge::Challenges;
use files::Files;
pub(crate) use outline::Outline;

/// What is spoken behind it (RFC 7301), the preferred first. Who says nothing gets HTTP/1.1.
pub(crate) const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

/// The certificate that new connections are shown.
#[derive(Debug)]
pub(crate) struct Tls {
    current: RwLock<Shown>,
    /// Where it comes from, if somebody puts it there.
    files: Option<Files>,
    pub(crate) challenges: Challenges,
}

/// A certificate as it is shown.
#[derive(Debug)]
pub(crate) struct Shown {
    config: Arc<ServerConfig>,
    /// Seconds since 1970 at its end.
    end: Option<u64>,
}

impl Tls {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// Which file, and what is wrong with it.
    pub(crate) fn load(files: TlsFiles) -> Result<Self, String> {
        let (files, shown) = Files::load(files)?;
        Ok(Self { current: RwLock::new(shown), files: Some(files), challenges: Challenges::default() })
    }

    /// Without a certificate, until one is shown. Handshakes end with an alert (`access_denied`).
    ///
    /// # Errors
    /// The library's.
    pub(crate) fn without_certificate() -> Result<Self, String> {
        let nothing =
            builder().map(|builder| builder.with_no_client_auth().with_cert_resolver(Arc::new(Nothing)));
        let config = nothing.and_then(finish).map_err(|error| error.to_string())?;
        let shown = Shown { config: Arc::new(config), end: None };
        Ok(Self { current: RwLock::new(shown), files: None, challenges: Challenges::default() })
    }

    /// For one new connection.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).config)
    }

    /// Whether there is a certificate to be shown.
    pub(crate) fn is_ready(&self) -> bool {
        self.files.is_some() || self.end().is_some()
    }

    /// Seconds since 1970 at the end of the certificate; `None` while there is none, or it does not say it.
    pub(crate) fn end(&self) -> Option<u64> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).end
    }

    /// From now on new connections are shown this.
    pub(crate) fn show(&self, shown: Shown) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = shown;
    }

    /// Looks whether the files have changed, if it comes from files.
    pub(crate) fn look(&self) {
        if let Some(shown) = self.files.as_ref().and_then(Files::look) {
            self.show(shown);
        }
    }
}

impl Shown {
    /// A chain whose first certificate is the server's own, and the key to that.
    ///
    /// # Errors
    /// They do not belong together, or cannot be used.
    pub(crate) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, Error> {
        let end = chain.first().and_then(|first| Outline::of(first)).map(|outline| outline.end);
        let config = builder()?.with_no_client_auth().with_single_cert(chain, key).and_then(finish)?;
        Ok(Self { config: Arc::new(config), end })
    }
}

fn builder() -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, Error> {
    ServerConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions()
}

fn finish(mut config: ServerConfig) -> Result<ServerConfig, Error> {
    config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
    config.ticketer = Ticketer::new()?;
    // Tickets are kept by clients; without them nothing is resumed.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// No certificate for anybody.
#[derive(Debug)]
struct Nothing;

impl ResolvesServerCert for Nothing {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}
