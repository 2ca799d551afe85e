//! An authority for the tests' certificates, folders of servers that have one, and connections that trust it. Not the
//! tests of TLS, which are in `tls`.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::client::Client;
use crate::patience::soon;
use crate::raw::Raw;
use crate::server::{Folder, Server};

/// What tells a server of `dev` or `serve` to speak TLS.
pub(crate) const TLS: &str = "[server.tls]\ncertificate = \"chain.pem\"\nkey = \"key.pem\"\n";

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// PEM of a certificate, and of the key to it.
pub(crate) struct Certified {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Certified {
    /// Puts both where a server looks for them.
    pub(crate) fn write(&self, folder: &Folder) {
        folder.write("chain.pem", &self.chain);
        folder.write("key.pem", &self.key);
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, key()).expect("an authority"))
    }

    /// What clients trust.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// For a server of this machine.
    pub(crate) fn server(&self) -> Certified {
        self.server_until(2999)
    }

    /// The same, until the first day of a year.
    pub(crate) fn server_until(&self, year: i32) -> Certified {
        let key = key();
        let mut params =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
        (params.not_before, params.not_after) = (date_time_ymd(1999, 1, 1), date_time_ymd(year, 1, 1));
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Certified { chain: certificate.pem(), key: key.serialize_pem() }
    }

    /// What somebody asks for who has a key of his own, as PEM.
    pub(crate) fn sign(&self, request: &CertificateSigningRequestParams) -> String {
        request.signed_by(&self.0).expect("a certificate").pem()
    }

    /// A folder whose servers speak TLS, and have this configuration besides. It ends with the table `[server.tls]`.
    pub(crate) fn folder(&self, config: &str) -> Folder {
        let folder = Folder::with_config(&format!("{config}\n{TLS}"));
        self.server().write(&folder);
        folder
    }

    /// What speaks TLS as a server of this machine.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let Certified { chain, key } = self.server();
        let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
        TlsAcceptor::from(Arc::new(config.expect("they belong together")))
    }

    fn client_config(&self, versions: &[&'static SupportedProtocolVersion], alpn: &[&[u8]]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("a certificate");
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config
    }

    /// A TLS connection over `stream`, if the server's certificate is of this authority.
    pub(crate) async fn try_over(
        &self,
        stream: TcpStream,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let config = self.client_config(versions, alpn);
        let name = ServerName::try_from("localhost").expect("a name");
        soon("a handshake", TlsConnector::from(Arc::new(config)).connect(name, stream)).await
    }

    /// A TLS connection to `server`, on which every byte of HTTP is written by hand.
    pub(crate) async fn connect(&self, server: &Server) -> Raw<TlsStream<TcpStream>> {
        let stream = soon("a connection", TcpStream::connect(server.address())).await;
        let stream = stream.expect("the server listens");
        let stream = self.try_over(stream, rustls::ALL_VERSIONS, &[b"http/1.1"]).await;
        Raw::over(stream.expect("the certificate is trusted"))
    }

    /// The same, with this version alone.
    pub(crate) async fn connect_with(
        &self,
        server: &Server,
        version: &'static SupportedProtocolVersion,
    ) -> Raw<TlsStream<TcpStream>> {
        let stream = soon("a connection", TcpStream::connect(server.address())).await;
        let stream = self.try_over(stream.expect("the server listens"), &[version], &[]).await;
        let stream = stream.expect("the version is spoken");
        let spoken: Option<ProtocolVersion> = stream.get_ref().1.protocol_version();
        assert_eq!(spoken, Some(version.version));
        Raw::over(stream)
    }

    /// A client of `trunkline.v1` over `wss://`.
    pub(crate) async fn client(&self, server: &Server) -> Client {
        self.try_client(server).await.expect("the server takes connections")
    }

    pub(crate) async fn try_client(&self, server: &Server) -> Option<Client> {
        Client::by(trunkline_ws::connect(server.url("/ws")).root_certificate(self.pem())).await
    }
}

/// The deadline of what comes before a request, with which servers are built.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}
