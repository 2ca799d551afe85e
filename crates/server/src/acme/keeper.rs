//! Sees to it that there is a certificate: shows what was kept, waits until it is to be renewed and may be asked for, orders,
//! keeps and shows what has come. Decides nothing itself: when is in `tries`, how in `order`.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::certified::Certified;
use super::courier::Courier;
use super::folder::Folder;
use super::order::{Client, bounded};
use super::tries::{Tries, due};
use crate::config::AcmeSettings;
use crate::dto::AcmeCertificate;
use crate::tls::Tls;

/// How long one order may take in all.
const ORDER_TIMEOUT: Duration = Duration::from_secs(600);
/// The longest sleep: a machine that was asleep, or whose clock was set, finds out after it.
const SLEEP_MAX: Duration = Duration::from_secs(3_600);
/// How many names the log repeats.
const NAMES_TOLD: usize = 5;

/// The thread's own.
pub(super) struct Keeper {
    client: Client,
    tries: Tries,
    /// When a certificate is to be asked for, in seconds since 1970.
    due: u64,
}

impl Keeper {
    pub(super) fn new(settings: AcmeSettings, folder: Folder, courier: Courier, tls: Arc<Tls>) -> Self {
        let tries = folder.tries();
        let tries =
            tries.filter(|kept| settings.directory == *kept.directory && kept.domains == settings.domains);
        let tries = tries.as_ref().map(Tries::of_kept).unwrap_or_default();
        Self { client: Client { settings, folder: Arc::new(folder), courier, tls }, tries, due: 0 }
    }

    /// Shows what was kept, if it is what is asked for now.
    pub(super) fn show_kept(&mut self) {
        let Client { settings, folder, .. } = &self.client;
        let Some(kept) = folder.certificate() else { return };
        if settings.directory != *kept.directory || settings.domains != kept.domains {
            tracing::info!("the certificate that was kept is for other names, or of another authority");
            return;
        }
        match Certified::read(&kept.chain, &kept.key, &kept.domains, now()) {
            Ok(certified) => self.show(certified),
            Err(error) => tracing::warn!(error, "the certificate that was kept is not shown"),
        }
    }

    /// Goes on for ever.
    pub(super) async fn keep(mut self) {
        self.tell_of_rest();
        loop {
            let now = now();
            let wait = Duration::from_secs(self.due.saturating_sub(now)).max(self.tries.rest(now));
            if wait.is_zero() {
                self.try_once().await;
            } else {
                tokio::time::sleep(wait.min(SLEEP_MAX)).await;
            }
        }
    }

    async fn try_once(&mut self) {
        self.tries.begin(now());
        match self.order().await {
            Ok((certificate, certified)) => self.take(&certificate, certified),
            Err(error) => self.tell_of_failure(&error),
        }
        if self.tries == Tries::default() {
            self.client.folder.forget_tries();
        } else if let Err(error) = self.keep_tries() {
            tracing::warn!(error, "how the last order went could not be kept");
        }
    }

    /// Keeps and shows what has come.
    fn take(&mut self, certificate: &AcmeCertificate, certified: Certified) {
        self.show(certified);
        match self.client.folder.keep_certificate(certificate) {
            Ok(()) => self.tries.succeed(now(), self.due),
            Err(error) => {
                // So that a server which is started again and again does not order each time.
                self.tries.fail(now(), None, chance());
                tracing::warn!(
                    error,
                    "the certificate could not be kept, and is asked for again after a restart"
                );
            }
        }
        tracing::info!(
            domains = self.names(),
            renewed_in = ?Duration::from_secs(self.due.saturating_sub(now())),
            "the authority has given a certificate, and new connections are shown it"
        );
    }

    fn tell_of_failure(&mut self, error: &str) {
        self.tries.fail(now(), self.client.courier.take_said(), chance());
        let next = self.tries.rest(now());
        let outcome = if self.client.tls.is_ready() {
            "the certificate could not be renewed; the one before stays"
        } else {
            "no certificate could be got; until there is one nobody can connect"
        };
        let (domains, error, next) = (self.names(), bounded(error), Duration::from_secs(next.as_secs()));
        tracing::warn!(domains, error, next_try_in = ?next, "{outcome}");
    }

    /// One order. What it brings is looked at.
    async fn order(&self) -> Result<(AcmeCertificate, Certified), String> {
        // What cannot be kept would be asked for again after each start.
        self.keep_tries()?;
        self.client.courier.take_said();
        // A task of its own: if the library meets what it takes for impossible, that alone ends.
        let mut ordering = tokio::spawn(self.client.clone().order());
        let ordered = tokio::time::timeout(ORDER_TIMEOUT, &mut ordering).await;
        let certificate: AcmeCertificate = match ordered {
            Ok(ended) => ended.unwrap_or_else(|error| Err(format!("the order ended by itself: {error}")))?,
            Err(_) => {
                ordering.abort();
                return Err(format!("the order took more than {} s", ORDER_TIMEOUT.as_secs()));
            }
        };
        let certified = Certified::read(&certificate.chain, &certificate.key, &certificate.domains, now());
        let certified = certified.map_err(|error| format!("what the authority has given: {error}"))?;
        Ok((certificate, certified))
    }

    fn show(&mut self, certified: Certified) {
        self.due = due(&certified.outline, chance());
        self.client.tls.show(certified.shown);
    }

    fn keep_tries(&self) -> Result<(), String> {
        let Client { settings, folder, .. } = &self.client;
        folder.keep_tries(&self.tries.to_kept(settings.directory.to_string(), settings.domains.clone()))
    }

    /// At the start: that nothing is asked at once, if something should be.
    fn tell_of_rest(&self) {
        let (now, domains) = (now(), self.names());
        let rest = self.tries.rest(now);
        if self.due <= now && !rest.is_zero() {
            tracing::warn!(domains, next_try_in = ?rest, "nothing came of the last order, and the authority is left alone for a while");
        }
    }

    fn names(&self) -> String {
        let domains = &self.client.settings.domains;
        let told = domains.iter().take(NAMES_TOLD).map(String::as_str).collect::<Vec<_>>().join(", ");
        match domains.len().saturating_sub(NAMES_TOLD) {
            0 => told,
            more => format!("{told} and {more} more"),
        }
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// From 0 to 1.
fn chance() -> f64 {
    f64::from(getrandom::u32().unwrap_or(0)) / f64::from(u32::MAX)
}
