//! Requests that this server makes: to the application, and to sets of keys. `http://` and `https://`.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// How long a connection is kept for the next request. Servers end theirs after 5 s and more, and a request that meets that
/// end is lost.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// What makes them, and keeps connections for the next.
pub(crate) type Client = legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A client for requests to `url`, that keeps so many connections. It trusts whom the system trusts.
///
/// # Errors
/// The URL is `https://`, and the system has no certificate authorities.
pub(crate) fn client(url: &Uri, idle_max: usize) -> Result<Client, String> {
    let mut roots = RootCertStore::empty();
    if url.scheme_str() == Some("https") {
        let loaded = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(loaded.certs);
        if roots.is_empty() {
            return Err("this system has no certificate authorities (mostly the package `ca-certificates`), so nobody who \
                        speaks https:// can be trusted"
                .to_owned());
        }
    }
    client_of(roots, idle_max)
}

/// The same, that trusts the certificates of this file and nobody else.
///
/// # Errors
/// There are none in it.
pub(crate) fn client_trusting(roots: &Path, idle_max: usize) -> Result<Client, String> {
    let cannot = |error: String| format!("roots {}: {error}", roots.display());
    let text = std::fs::read(roots).map_err(|error| cannot(format!("cannot be read: {error}")))?;
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| cannot(format!("it is no whole PEM: {error}")))?;
        store.add(certificate).map_err(|error| cannot(format!("a certificate cannot be used: {error}")))?;
    }
    if store.is_empty() {
        return Err(cannot("there is no certificate in it".to_owned()));
    }
    client_of(store, idle_max)
}

fn client_of(roots: RootCertStore, idle_max: usize) -> Result<Client, String> {
    // Named here, and never taken from the process.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.enforce_http(false);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    Ok(legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(idle_max)
        .build(connector))
}

/// A URL as it may be said and logged: without a user, a password, or a query, which may hold secrets.
pub(crate) fn shown(url: &str) -> String {
    let (before, rest) = url.split_once("//").map_or(("", url), |(before, rest)| (before, rest));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let dots = if host.len() + path.len() < rest.len() { "…" } else { "" };
    let slashes = if before.is_empty() { "" } else { "//" };
    format!("{before}{slashes}{host}{path}{dots}")
}

/// Whether it is this machine that `url` names.
pub(crate) fn is_here(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// An error with its causes, of which the first says next to nothing.
pub(crate) fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |said, cause| format!("{said}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn what_may_be_secret_in_a_url_is_not_shown() {
        for (url, expect) in [
            ("https://id.example.com/jwks.json", "https://id.example.com/jwks.json"),
            ("http://a:SECRET@x/rpc?key=SECRET#SECRET", "http://x/rpc…"),
            ("ftp://x?SECRET", "ftp://x…"),
            ("SECRET@x", "x…"),
            ("http://a@b@x", "http://x…"),
            ("", ""),
        ] {
            assert_eq!(shown(url), expect);
        }
    }
}
