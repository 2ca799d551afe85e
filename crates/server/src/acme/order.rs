//! One order (RFC 8555, 7.4): an account, a proof for each name, and the certificate. Called by `keeper`, which decides when.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::courier::Courier;
use super::folder::Folder;
use crate::config::AcmeSettings;
use crate::dto::{AcmeAccount, AcmeCertificate};
use crate::tls::Tls;

/// How long the authority may take to look at all names, and to make the certificate: asked again and again, more and more
/// slowly.
const POLLS: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(180));
/// What an authority says of an account that it does not know.
const UNKNOWN_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// What an order needs.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) settings: AcmeSettings,
    pub(super) folder: Arc<Folder>,
    pub(super) courier: Courier,
    pub(super) tls: Arc<Tls>,
}

impl Client {
    /// Asks for one certificate.
    ///
    /// # Errors
    /// Why there is none, in a sentence; names and reasons are the authority's.
    pub(super) async fn order(self) -> Result<AcmeCertificate, String> {
        let account = self.account().await?;
        let names: Vec<_> = self.settings.domains.iter().cloned().map(Identifier::Dns).collect();
        let mut order = account.new_order(&NewOrder::new(&names)).await.map_err(|error| self.blame(error))?;
        let shown = Challenged(&self.tls);
        self.prove(&mut order).await?;
        self.wait_until_ready(&mut order).await?;
        drop(shown);
        let (request, key) = request(&self.settings.domains).map_err(|error| error.to_string())?;
        order.finalize_csr(&request).await.map_err(say)?;
        let chain = order.poll_certificate(&POLLS).await.map_err(say)?;
        let AcmeSettings { directory, domains, .. } = self.settings;
        Ok(AcmeCertificate { directory: directory.to_string(), domains, chain, key })
    }

    /// The account that is kept for this authority, or a new one.
    async fn account(&self) -> Result<Account, String> {
        let AcmeSettings { directory, contact, .. } = &self.settings;
        let (directory, mail) =
            (directory.to_string(), contact.as_ref().map(|contact| format!("mailto:{contact}")));
        let mail: Vec<&str> = mail.iter().map(String::as_str).collect();
        let builder = Account::builder_with_http(Box::new(self.courier.clone()));
        let kept = self.folder.account().filter(|kept| kept.directory == directory);
        let Some(kept) = kept else {
            let new =
                NewAccount { contact: &mail, terms_of_service_agreed: true, only_return_existing: false };
            let (account, credentials) = builder.create(&new, directory.clone(), None).await.map_err(say)?;
            self.folder.keep_account(&AcmeAccount { directory, contact: contact.clone(), credentials })?;
            tracing::info!(account = %bounded(account.id()), "the authority has made an account");
            return Ok(account);
        };
        let is_known = kept.contact == *contact;
        let account = builder.from_credentials(kept.credentials).await.map_err(say)?;
        if !is_known {
            account.update_contacts(&mail).await.map_err(|error| self.blame(error))?;
            // Read once more: the key was given away.
            if let Some(kept) = self.folder.account() {
                self.folder.keep_account(&AcmeAccount { contact: contact.clone(), ..kept })?;
            }
        }
        Ok(account)
    }

    /// What an error is in words. An account that the authority does not know any more is forgotten.
    fn blame(&self, error: Error) -> String {
        if let Error::Api(problem) = &error
            && problem.r#type.as_deref() == Some(UNKNOWN_ACCOUNT)
        {
            self.folder.forget_account();
        }
        say(error)
    }

    /// Shows for each name what proves it, and asks the authority to look.
    async fn prove(&self, order: &mut Order) -> Result<(), String> {
        let domains = &self.settings.domains;
        if order.state().authorizations.len() > domains.len() {
            return Err("the authority wants more proven than it was asked for".to_owned());
        }
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(say)?;
            let name = match authorization.identifier().identifier {
                Identifier::Dns(name) if domains.contains(name) => name.clone(),
                _ => return Err("the authority wants a name proven that it was not asked for".to_owned()),
            };
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                status => return Err(format!("{name}: the authority says that it is {status:?}")),
            }
            let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01) else {
                return Err(format!("{name}: the authority does not prove names with tls-alpn-01"));
            };
            self.tls.challenges.begin(&name, challenge.key_authorization().digest().as_ref())?;
            challenge.set_ready().await.map_err(|error| format!("{name}: {}", say(error)))?;
        }
        Ok(())
    }

    async fn wait_until_ready(&self, order: &mut Order) -> Result<(), String> {
        let why = match order.poll_ready(&POLLS).await {
            Ok(OrderStatus::Ready) => return Ok(()),
            Ok(status) => format!("the order is {status:?}, and the authority does not say why"),
            Err(error) => say(error),
        };
        if order.state().status != OrderStatus::Invalid {
            return Err(why);
        }
        // The order says that something failed, its authorizations which name and why.
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            if authorization.refresh().await.is_err() {
                break;
            }
            if let Some(problem) =
                authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref())
            {
                return Err(bounded(&format!("{}: {problem}", authorization.identifier())));
            }
        }
        Err(why)
    }
}

/// While this is there, authorities are shown what proves names.
struct Challenged<'a>(&'a Tls);

impl Drop for Challenged<'_> {
    fn drop(&mut self) {
        self.0.challenges.end();
    }
}

/// A request for these names (PKCS #10, DER), and the new key that it is for (PEM).
fn request(domains: &[String]) -> Result<(Vec<u8>, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(domains)?;
    params.distinguished_name = DistinguishedName::new();
    Ok((params.serialize_request(&key)?.der().to_vec(), key.serialize_pem()))
}

/// An error in words.
fn say(error: Error) -> String {
    bounded(&error.to_string())
}

/// What somebody else has said, as one line of the log: not too long, and without what moves the cursor.
pub(super) fn bounded(text: &str) -> String {
    const LENGTH_MAX: usize = 500;
    let line = text.chars().map(|char| if char.is_control() { ' ' } else { char });
    let mut line: String = line.take(LENGTH_MAX + 1).collect();
    if line.chars().count() > LENGTH_MAX {
        line.pop();
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_is_one_short_line() {
        assert_eq!(bounded("a\nb\u{1b}[31mc"), "a b [31mc");
        assert_eq!(bounded(&"é".repeat(500)), "é".repeat(500));
        assert_eq!(bounded(&"é".repeat(501)), format!("{}…", "é".repeat(500)));
    }
}
