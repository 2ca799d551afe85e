//! `[server.acme]`: for which names a certificate is asked for, and of whom. The authority is asked by `acme`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use hyper::Uri;
use rustls::pki_types::DnsName;

use crate::dto::AcmeTable;

/// The authority that is asked if no other is named.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// The most names of one certificate; authorities take no more.
const DOMAINS_MAX: usize = 100;

/// A certificate that an authority is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct AcmeSettings {
    /// DNS names in small letters, each once, in order.
    pub(crate) domains: Vec<String>,
    /// An address of mail.
    pub(crate) contact: Option<String>,
    /// `https://`, or `http://` to this machine.
    pub(crate) directory: Uri,
    /// PEM: what the authority's own server is trusted by, instead of by what the system trusts.
    pub(crate) roots: Option<PathBuf>,
}

impl AcmeSettings {
    pub(super) fn of(table: &AcmeTable, dir: &Path) -> Result<Self, String> {
        if table.terms_agreed != Some(true) {
            return Err(
                "authorities give certificates to those who agree to their terms. If you do, write\n\n  \
                        terms_agreed = true\n"
                    .to_owned(),
            );
        }
        let contact = table.contact.as_deref().map(contact).transpose()?;
        Ok(Self {
            domains: domains(&table.domains)?,
            contact,
            directory: directory(table.directory.as_deref().unwrap_or(DIRECTORY))?,
            roots: table.roots.as_ref().map(|roots| dir.join(roots)),
        })
    }
}

fn domains(given: &[String]) -> Result<Vec<String>, String> {
    if given.is_empty() || given.len() > DOMAINS_MAX {
        return Err(format!("domains has {} names; it may be 1 to {DOMAINS_MAX}", given.len()));
    }
    let names: BTreeSet<String> = given.iter().map(|name| domain(name)).collect::<Result<_, _>>()?;
    Ok(names.into_iter().collect())
}

fn domain(given: &str) -> Result<String, String> {
    let wrong = |why: &str| Err(format!("domains: {given:?} {why}; write one like \"chat.example.org\""));
    if given.starts_with("*.") {
        return wrong("stands for many names, which cannot be proven at this server's port");
    }
    if given.parse::<IpAddr>().is_ok() {
        return wrong("is an address, and no DNS name");
    }
    if given.ends_with('.') || DnsName::try_from(given).is_err() {
        return wrong("is no DNS name (others than ASCII are written as xn--…)");
    }
    Ok(given.to_ascii_lowercase())
}

fn contact(given: &str) -> Result<String, String> {
    let address = given.strip_prefix("mailto:").unwrap_or(given);
    let is_address = address.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && DnsName::try_from(host).is_ok() && address.len() <= 254
    });
    // `?` would add headers to the mail, `,` other addresses (RFC 8555, 7.3).
    if !is_address
        || address.bytes().any(|byte| !byte.is_ascii_graphic() || matches!(byte, b'?' | b',' | b'%'))
    {
        return Err(format!("contact: {given:?} is no address; write one like \"ops@example.org\""));
    }
    Ok(address.to_owned())
}

fn directory(given: &str) -> Result<Uri, String> {
    let wrong = |why: &str| format!("directory: {given:?} {why}; write one like {DIRECTORY:?}");
    let url: Uri = given.parse().map_err(|error| wrong(&format!("is not a URL ({error})")))?;
    match url.scheme_str() {
        Some("https") => {}
        Some("http") if crate::outgoing::is_here(&url) => {}
        Some("http") => return Err(wrong("is not https://: whoever is in between could answer")),
        _ => return Err(wrong("is not an https:// URL")),
    }
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(wrong("has a user's name in it, which is not sent on"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<AcmeSettings, String> {
        let table: AcmeTable = toml::from_str(text).expect("a table");
        AcmeSettings::of(&table, Path::new("dir"))
    }

    #[test]
    fn what_is_said_is_taken_over() {
        let settings =
            of("domains = [\"b.example.org\", \"A.example.org\", \"b.example.org\"]\nterms_agreed = true")
                .expect("right");
        assert_eq!(settings.domains, ["a.example.org", "b.example.org"]);
        assert_eq!((settings.contact, settings.roots), (None, None));
        assert_eq!(settings.directory, DIRECTORY);
        let settings =
            of("domains = [\"localhost\"]\nterms_agreed = true\ncontact = \"mailto:ops@example.org\"\n\
                           directory = \"http://[::1]:14000/dir\"\nroots = \"ca.pem\"")
            .expect("right");
        assert_eq!(settings.contact.as_deref(), Some("ops@example.org"));
        assert_eq!(settings.directory, "http://[::1]:14000/dir");
        assert_eq!(settings.roots, Some(PathBuf::from("dir/ca.pem")));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |rest: &str, part: &str| {
            let error = of(&format!("terms_agreed = true\n{rest}")).expect_err(rest);
            assert!(error.contains(part), "{error:?} should contain {part:?}");
        };
        for (name, part) in [
            ("*.example.org", "stands for many names"),
            ("192.0.2.1", "is an address"),
            ("::1", "is an address"),
            ("", "is no DNS name"),
            ("a b.org", "is no DNS name"),
            ("münchen.example", "is no DNS name"),
            ("chat.example.org.", "is no DNS name"),
            ("https://chat.example.org", "is no DNS name"),
        ] {
            check(&format!("domains = [{name:?}]"), part);
        }
        check("domains = []", "domains has 0 names; it may be 1 to 100");
        let many: Vec<_> = (0..101).map(|number| format!("\"a{number}.example.org\"")).collect();
        check(&format!("domains = [{}]", many.join(",")), "domains has 101 names");
        for contact in
            ["ops", "@example.org", "a@b@c", "ops@example.org?subject=x", "a@b.org,c@d.org", "a b@c.org"]
        {
            check(&format!("domains = [\"a.org\"]\ncontact = {contact:?}"), "is no address");
        }
        for (url, part) in [
            ("http://acme.example.org/dir", "is not https://"),
            ("acme.example.org", "is not an https:// URL"),
            ("https://a:b@acme.example.org/", "has a user's name"),
            ("http://", "is not a URL"),
        ] {
            check(&format!("domains = [\"a.org\"]\ndirectory = {url:?}"), part);
        }
        for terms in ["", "terms_agreed = false"] {
            let error = of(&format!("domains = [\"a.org\"]\n{terms}")).expect_err("no terms");
            assert!(error.contains("terms_agreed = true"), "{error}");
        }
    }
}
