//! A certificate authority for tests, and what it signs.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use trunkline_ws::rustls::crypto::aws_lc_rs::default_provider;
use trunkline_ws::rustls::{ClientConfig, RootCertStore};

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// PEM of a chain, and of the key to it.
pub(crate) struct Certified {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::named("An authority for tests")
    }

    pub(crate) fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, key()).expect("an authority");
        Self { issuer }
    }

    /// What clients trust: the authority's own certificate.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.issuer.der().to_vec()
    }

    /// Trusts this authority, and offers nothing by ALPN.
    pub(crate) fn client_config(&self) -> Arc<ClientConfig> {
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(self.roots())
            .with_no_client_auth();
        Arc::new(config)
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.der().into()).expect("a certificate");
        roots
    }

    /// For a server of these names or addresses.
    pub(crate) fn server(&self, names: &[&str]) -> Certified {
        self.sign(params(names))
    }

    /// For a server, from the first day of one year to that of another.
    pub(crate) fn server_between(&self, names: &[&str], from: i32, to: i32) -> Certified {
        let mut params = params(names);
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        self.sign(params)
    }

    pub(crate) fn client(&self, name: &str) -> Certified {
        let mut params = params(&[name]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Certified {
        let key = key();
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Certified { chain: certificate.pem(), key: key.serialize_pem() }
    }
}

/// Signed by nobody but itself.
pub(crate) fn self_signed(names: &[&str]) -> Certified {
    let key = key();
    let certificate = params(names).self_signed(&key).expect("a certificate");
    Certified { chain: certificate.pem(), key: key.serialize_pem() }
}

fn params(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).expect("names")
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}
