//! WebSocket URLs (RFC 6455 §3): `ws://host:port/path?query`. Not a general URL parser, and it resolves nothing.
//! Used by clients.

use core::net::Ipv6Addr;

use crate::error::UsageError;
use crate::handshake::headers::is_origin_form;
use crate::handshake::origin::split_port;

/// Where a client connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    secure: bool,
    host: String,
    port: u16,
    target: String,
}

impl Url {
    /// Reads `ws://…` or `wss://…`.
    ///
    /// # Errors
    /// [`UsageError::UrlInvalid`]: another scheme, no host, user information, a fragment, or characters that have to
    /// be percent-encoded.
    pub fn parse(url: &str) -> Result<Self, UsageError> {
        let fail = |reason| UsageError::UrlInvalid { url: redact(url), reason };
        let (scheme, rest) = url.split_once("://").ok_or(fail("it must begin with ws:// or wss://"))?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "ws" => false,
            "wss" => true,
            _ => return Err(fail("it must begin with ws:// or wss://")),
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(fail("user information is not sent; use a header"));
        }
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        if target.contains('#') {
            return Err(fail("it has a fragment (#…)"));
        }
        if !is_origin_form(target.as_bytes()) {
            return Err(fail("its path has characters that must be percent-encoded"));
        }
        let (host, port) = split_port(authority).ok_or(fail("its host or port is not valid"))?;
        if !is_host(host) || port == Some(0) {
            return Err(fail("its host or port is not valid"));
        }
        let port = port.unwrap_or(if secure { 443 } else { 80 });
        Ok(Self { secure, host: host.to_ascii_lowercase(), port, target })
    }

    /// Whether it is `wss://`.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The name or address to connect to; IPv6 without its brackets.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port; 80 or 443 where the URL has none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query; at least `/`.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Host and port for the `Host` header; the port left out where it is the scheme's own.
    pub fn authority(&self) -> String {
        match (self.secure, self.port) {
            (false, 80) | (true, 443) => self.host.clone(),
            _ => format!("{}:{}", self.host, self.port),
        }
    }
}

/// A registered name or an address, without anything that could end a header line.
fn is_host(host: &str) -> bool {
    match host.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']').is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok()),
        None => {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
        }
    }
}

/// The URL for an error message: tokens in queries and user information are nobody's business.
fn redact(url: &str) -> String {
    let url = url.split_once(['?', '#']).map_or(url, |(before, _)| before);
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}…{}", &url[..scheme + 3], &url[at..]),
        _ => url.to_owned(),
    }
}
