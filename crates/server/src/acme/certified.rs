//! A certificate with its key, as an authority has given it or as it was kept: looked at before anybody is shown it.

use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;

use crate::tls::{Outline, Shown};

/// The most certificates of one chain.
const CHAIN_MAX: usize = 16;

/// One that can be shown.
#[derive(Debug)]
pub(super) struct Certified {
    pub(super) shown: Shown,
    pub(super) outline: Outline,
}

impl Certified {
    /// What these two PEM texts hold, if it is for all of these names and not over at `now`.
    ///
    /// # Errors
    /// What is wrong with it. Nothing of the key is repeated.
    pub(super) fn read(chain: &str, key: &str, domains: &[String], now: u64) -> Result<Self, String> {
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(chain.as_bytes()).take(CHAIN_MAX + 1).collect();
        let chain = chain.map_err(|error| format!("the certificate is no whole PEM: {error}"))?;
        if chain.len() > CHAIN_MAX {
            return Err(format!("there are more than {CHAIN_MAX} certificates"));
        }
        let first = chain.first().ok_or("there is no certificate in it")?;
        let unusable = |error: rustls::Error| format!("the certificate cannot be used: {error}");
        let parsed = ParsedCertificate::try_from(first).map_err(unusable)?;
        for domain in domains {
            let name = ServerName::try_from(domain.as_str()).map_err(|error| error.to_string())?;
            verify_server_name(&parsed, &name).map_err(|_| format!("the certificate is not for {domain}"))?;
        }
        let outline = Outline::of(first).ok_or("from when to when the certificate is good cannot be read")?;
        if outline.end <= now {
            return Err("the certificate's time is over".to_owned());
        }
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| "there is no key to it")?;
        Ok(Self { shown: Shown::new(chain, key).map_err(unusable)?, outline })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn only_what_can_be_shown_is_taken() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(names(&["a.example.org", "b.example.org"])).expect("names");
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2030, 1, 1));
        let chain = params.self_signed(&key).expect("a certificate").pem();
        let (pem, other) = (key.serialize_pem(), KeyPair::generate().expect("a key").serialize_pem());
        let check = |chain: &str, key: &str, domains: &[&str], now: u64, expect: &str| {
            let error = Certified::read(chain, key, &names(domains), now).expect_err(expect);
            assert!(error.contains(expect), "{error:?} should contain {expect:?}");
        };
        let good = Certified::read(&chain, &pem, &names(&["b.example.org"]), NOW).expect("it is right");
        assert_eq!(good.outline.end, 1_893_456_000);
        check(&chain, &pem, &["b.example.org", "c.example.org"], NOW, "not for c.example.org");
        check(&chain, &pem, &["a.example.org"], good.outline.end, "time is over");
        check(&chain, &other, &["a.example.org"], NOW, "cannot be used");
        check(&chain, "", &["a.example.org"], NOW, "no key");
        check("", &pem, &["a.example.org"], NOW, "no certificate");
        check(&chain[..chain.len() / 2], &pem, &["a.example.org"], NOW, "no whole PEM");
        check(&chain.repeat(17), &pem, &["a.example.org"], NOW, "more than 16");
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        check(nonsense, &pem, &["a.example.org"], NOW, "cannot be used");
    }
}
