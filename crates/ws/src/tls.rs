//! TLS for both ends: what a server shows, whom a client trusts, and the handshake that comes before the one of the
//! WebSocket. Not cryptography, which is rustls' and aws-lc-rs'. Used by `server.rs` and `client.rs`.
//!
//! The provider of cryptography is named here and never taken from the process: an application that has two of them
//! in its tree would panic, or worse, get the other one.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::error::{Error, TlsError};

/// What both ends say that they will speak (RFC 7301): who hears nothing of HTTP/2 does not begin with it.
const ALPN: &[u8] = b"http/1.1";

/// A client, as its server sees it.
pub(crate) type ServerStream = tokio_rustls::server::TlsStream<TcpStream>;

/// A server, as its client sees it.
pub(crate) type ClientStream = tokio_rustls::client::TlsStream<TcpStream>;

/// What a server shows its clients: a chain of certificates and the key to it, or a whole rustls configuration.
///
/// Of a rustls configuration only the ALPN protocols are replaced, by `http/1.1`, because a browser that is offered
/// HTTP/2 takes it.
#[derive(Clone)]
pub struct TlsConfig {
    config: Arc<ServerConfig>,
}

impl TlsConfig {
    /// From two PEM files: the certificate with those that lead from it to the authority, and its key (PKCS #8, PKCS #1 or
    /// SEC 1). They are read once, now; a new certificate needs a new server, or a [`ServerConfig`] with a resolver.
    ///
    /// # Errors
    /// [`TlsError::Config`] when a file cannot be read, and as [`TlsConfig::from_pem`].
    pub fn from_pem_files(certificates: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, Error> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| config(format!("{} cannot be read: {error}", path.display())))
        };
        Self::from_pem(&read(certificates.as_ref())?, &read(key.as_ref())?)
    }

    /// From the contents of such files.
    ///
    /// # Errors
    /// [`TlsError::Config`] when there is no certificate or no key in them, or the two do not belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, Error> {
        let chain = pem_certificates(certificates)?;
        if chain.is_empty() {
            return Err(config("there is no certificate in the PEM text"));
        }
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| config(format!("there is no private key in the PEM text: {error}")))?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| config(format!("the certificate and the key cannot be used: {error}")))?;
        Ok(config.into())
    }

    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<ServerStream, (std::io::Error, TcpStream)> {
        TlsAcceptor::from(self.config.clone()).accept(stream).into_fallible().await
    }
}

impl From<ServerConfig> for TlsConfig {
    fn from(mut config: ServerConfig) -> Self {
        config.alpn_protocols = vec![ALPN.to_vec()];
        Self { config: Arc::new(config) }
    }
}

impl From<Arc<ServerConfig>> for TlsConfig {
    fn from(config: Arc<ServerConfig>) -> Self {
        Arc::unwrap_or_clone(config).into()
    }
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig").finish_non_exhaustive()
    }
}

/// Whom a client trusts.
#[derive(Clone, Default)]
pub(crate) enum Trust {
    /// The certificate authorities of the operating system.
    #[default]
    System,
    /// These and no others; PEM or DER, as they were given. Copies share what was made of them.
    Roots(Vec<Vec<u8>>, Arc<OnceLock<Arc<ClientConfig>>>),
    Config(Arc<ClientConfig>),
}

/// The system's authorities are read once; all connections share them and their sessions' resumption.
static SYSTEM: OnceCell<Arc<ClientConfig>> = OnceCell::const_new();

impl Trust {
    /// All that is known before there is a connection. The first call for [`Trust::System`] reads some hundred files, so
    /// it does that on a thread of its own.
    pub(crate) async fn connector(&self, host: &str) -> Result<Connector, Error> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| config(format!("{host:?} is no name that a certificate can be for")))?;
        let config = match self {
            Self::Config(config) => config.clone(),
            Self::Roots(roots, made) => match made.get() {
                Some(config) => config.clone(),
                None => {
                    let config = config_of(roots)?;
                    made.get_or_init(|| config).clone()
                }
            },
            Self::System => {
                let load =
                    || async { tokio::task::spawn_blocking(system_config).await.map_err(Error::other)? };
                SYSTEM.get_or_try_init(load).await?.clone()
            }
        };
        Ok(Connector { config, name })
    }

    pub(crate) fn add_root(&mut self, root: Vec<u8>) {
        match self {
            Self::Roots(roots, made) => {
                roots.push(root);
                *made = Arc::default();
            }
            _ => *self = Self::Roots(vec![root], Arc::default()),
        }
    }

    pub(crate) fn set_config(&mut self, mut config: ClientConfig) {
        config.alpn_protocols = vec![ALPN.to_vec()];
        *self = Self::Config(Arc::new(config));
    }
}

/// A client's handshake that can begin.
pub(crate) struct Connector {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Connector {
    pub(crate) async fn connect(self, stream: TcpStream) -> Result<ClientStream, Error> {
        TlsConnector::from(self.config).connect(self.name, stream).await.map_err(Error::from_line)
    }
}

fn system_config() -> Result<Arc<ClientConfig>, Error> {
    let loaded = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (added, ignored) = store.add_parsable_certificates(loaded.certs);
    tracing::debug!(added, ignored, errors = ?loaded.errors, "read the system's certificate authorities");
    if store.is_empty() {
        return Err(config(format!(
            "this system has no certificate authorities (mostly the package `ca-certificates`){}",
            loaded.errors.first().map(|error| format!(": {error}")).unwrap_or_default()
        )));
    }
    Ok(client_config(store))
}

fn config_of(roots: &[Vec<u8>]) -> Result<Arc<ClientConfig>, Error> {
    let mut store = RootCertStore::empty();
    for root in roots {
        add_root(&mut store, root)?;
    }
    Ok(client_config(store))
}

fn client_config(roots: RootCertStore) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs has ciphers for TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Arc::new(config)
}

/// PEM with at least one certificate, or DER of one.
fn add_root(store: &mut RootCertStore, root: &[u8]) -> Result<(), Error> {
    let mut certificates = pem_certificates(root)?;
    if certificates.is_empty() {
        certificates.push(CertificateDer::from(root));
    }
    for certificate in certificates {
        store.add(certificate).map_err(|error| config(format!("not a root certificate: {error}")))?;
    }
    Ok(())
}

fn pem_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| config(format!("the PEM text of a certificate cannot be read: {error}")))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn config(what: impl Into<String>) -> Error {
    Error::Tls(TlsError::Config(what.into()))
}
