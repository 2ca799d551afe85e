//! How an authority looks whether a name leads to who asks for it (TLS-ALPN-01, RFC 8737, 3).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long it tries.
const TIMEOUT: Duration = Duration::from_secs(20);
/// `1.3.6.1.5.5.7.1.31`, critical, and the head of an octet string in an octet string of 32 bytes.
const ACME_IDENTIFIER: [u8; 17] =
    [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1f, 0x01, 0x01, 0xff, 0x04, 0x22, 0x04, 0x20];

/// Whether who listens at `address` proves `name` with this key authorization.
pub(super) async fn look(address: SocketAddr, name: &str, expected: &str) -> Result<(), String> {
    let looked = tokio::time::timeout(TIMEOUT, async {
        let mut stream = connect(address, name, &[b"acme-tls/1"]).await?;
        let (_, connection) = stream.get_ref();
        if connection.alpn_protocol() != Some(b"acme-tls/1") {
            return Err("acme-tls/1 was not agreed on".to_owned());
        }
        let shown = connection.peer_certificates().and_then(|chain| chain.first()).ok_or("no certificate")?;
        let extension = [&ACME_IDENTIFIER[..], &Sha256::digest(expected)].concat();
        if !shown.windows(extension.len()).any(|bytes| bytes == extension) {
            return Err("the certificate shown does not prove it".to_owned());
        }
        // Of this name and no other: `2.5.29.17`, a sequence of one `dNSName`.
        let size = u8::try_from(name.len()).map_err(|error| error.to_string())?;
        let head = [0x06, 0x03, 0x55, 0x1d, 0x11, 0x04, size + 4, 0x30, size + 2, 0x82, size];
        let names = [&head, name.as_bytes()].concat();
        if !shown.windows(names.len()).any(|bytes| bytes == names) {
            return Err("the certificate shown is not for this name alone".to_owned());
        }
        // It is ended as soon as it has begun.
        let mut rest = Vec::new();
        match stream.read_to_end(&mut rest).await {
            Ok(0) => Ok(()),
            other => Err(format!("it went on: {other:?}")),
        }
    });
    looked.await.unwrap_or_else(|_| Err("nobody answers".to_owned()))
}

/// A TLS connection that believes everybody.
pub(super) async fn connect(
    address: SocketAddr,
    name: &str,
    offers: &[&[u8]],
) -> Result<TlsStream<TcpStream>, String> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = offers.iter().map(|offer| offer.to_vec()).collect();
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let name = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| error.to_string())
}

/// Believes everybody: a certificate that proves a name has an extension that is critical, and that rustls does not know.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
