//! The files of a certificate and its key: read, and read again when they have changed. Called by `tls`, in whose words all
//! faults name the file.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

use super::Shown;
use crate::config::TlsFiles;

/// How long before its end a certificate is warned of when it is read.
const EXPIRES_SOON: Duration = Duration::from_secs(3 * 24 * 3_600);
/// The largest file that is read, in bytes. A chain has some thousands.
const FILE_MAX: u64 = 1 << 20;

/// Both files, and how they looked.
#[derive(Debug)]
pub(super) struct Files {
    places: TlsFiles,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// At the last look.
    last: Stamps,
    /// When they were read and could be used.
    read: Stamps,
    /// Why they could not, the last time.
    fault: Option<String>,
}

type Stamps = [Option<Stamp>; 2];
/// A file's identity, size and moment of change, of its rights too.
type Stamp = (u64, u64, i64, i64);

impl Files {
    /// Reads them for the first time.
    ///
    /// # Errors
    /// Which file, and what is wrong with it.
    pub(super) fn load(places: TlsFiles) -> Result<(Self, Shown), String> {
        let stamps = stamps(&places);
        let shown = read(&places)?;
        Ok((Self { places, seen: Mutex::new(Seen { last: stamps, read: stamps, fault: None }) }, shown))
    }

    /// Reads them again if they have changed, and have rested since the last look: who replaces both does that one after
    /// the other. A pair that cannot be used gives nothing, and is tried again: it may be that it cannot be read yet.
    pub(super) fn look(&self) -> Option<Shown> {
        let stamps = stamps(&self.places);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let rested = std::mem::replace(&mut seen.last, stamps) == stamps;
        if !rested || seen.read == stamps {
            return None;
        }
        match read(&self.places) {
            Ok(shown) => {
                (seen.read, seen.fault) = (stamps, None);
                let certificate = self.places.certificate.display();
                tracing::info!(%certificate, "new connections are shown the new certificate");
                Some(shown)
            }
            Err(error) => {
                if seen.fault.as_ref() != Some(&error) {
                    tracing::warn!(
                        error,
                        "the certificate has changed and cannot be used; the one before stays"
                    );
                }
                seen.fault = Some(error);
                None
            }
        }
    }
}

fn stamps(places: &TlsFiles) -> Stamps {
    let stamp = |file: Metadata| (file.ino(), file.len(), file.ctime(), file.ctime_nsec());
    [&places.certificate, &places.key].map(|path| std::fs::metadata(path).ok().map(stamp))
}

fn read(places: &TlsFiles) -> Result<Shown, String> {
    let TlsFiles { certificate, key } = places;
    let chain = read_chain(certificate)?;
    let private = read_key(key)?;
    let first = chain.first().cloned();
    let shown = Shown::new(chain, private).map_err(|error| match error {
        Error::InconsistentKeys(_) => format!(
            "key {} does not belong to the first certificate of {}, which must be the server's own",
            key.display(),
            certificate.display()
        ),
        Error::InvalidCertificate(error) => {
            format!("certificate {}: its first certificate cannot be used: {error}", certificate.display())
        }
        error => format!("key {}: it cannot be used: {error}", key.display()),
    })?;
    if let Some(first) = first {
        warn_of_time(&first, certificate, &default_provider())?;
    }
    Ok(shown)
}

fn read_file(name: &str, path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |error| format!("{name} {}: cannot be read: {error}", path.display());
    let size = std::fs::metadata(path).map_err(cannot)?.len();
    if size > FILE_MAX {
        return Err(format!("{name} {}: it has {size} bytes, which no such file has", path.display()));
    }
    std::fs::read(path).map_err(cannot)
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read_file("certificate", path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain =
        chain.map_err(|error| format!("certificate {}: it is no whole PEM: {error}", path.display()))?;
    if chain.is_empty() {
        return Err(format!(
            "certificate {}: there is no certificate in it; it is PEM, the server's own first, then those that lead to \
             its authority",
            path.display()
        ));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    const ENCRYPTED: &[u8] = b"ENCRYPTED";
    let text = read_file("key", path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        let is_encrypted = text.windows(ENCRYPTED.len()).any(|word| word == ENCRYPTED);
        let why = if is_encrypted {
            "it is encrypted with a passphrase; one that a server can read is made with `openssl pkey -in … -out …`"
        } else {
            "there is no private key in it; it is PEM, of PKCS #8, PKCS #1 or SEC 1"
        };
        format!("key {}: {why}", path.display())
    })
}

/// A certificate whose time is over is refused by clients, and that is theirs to say: a server that does not start helps
/// nobody.
fn warn_of_time(
    certificate: &CertificateDer<'_>,
    path: &Path,
    provider: &CryptoProvider,
) -> Result<(), String> {
    let parsed = ParsedCertificate::try_from(certificate).map_err(|error| {
        format!("certificate {}: its first certificate cannot be used: {error}", path.display())
    })?;
    // Nobody is trusted here, so it fails in any case; what is looked at first is the time.
    let nobody = RootCertStore::empty();
    let algorithms = provider.signature_verification_algorithms.all;
    let judge = |now| verify_server_cert_signed_by_trust_anchor(&parsed, &nobody, &[], now, algorithms);
    let now = UnixTime::now();
    let soon = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()) + EXPIRES_SOON);
    let path = path.display();
    if is_expired(&judge(now)) {
        tracing::warn!(certificate = %path, "the certificate has expired: clients will refuse it");
    } else if is_expired(&judge(soon)) {
        tracing::warn!(certificate = %path, "the certificate expires within three days");
    } else if let Err(Error::InvalidCertificate(
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
    )) = judge(now)
    {
        tracing::warn!(certificate = %path, "the certificate is not valid yet: clients will refuse it");
    }
    Ok(())
}

fn is_expired(judged: &Result<(), Error>) -> bool {
    use CertificateError::{Expired, ExpiredContext};
    matches!(judged, Err(Error::InvalidCertificate(Expired | ExpiredContext { .. })))
}
