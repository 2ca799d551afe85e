//! Which web pages may connect (RFC 6455 §10.2). Browsers send cookies along with any page's handshake, so a
//! server that does not look at `Origin` lets every page act for its visitors. Not authentication: programs that
//! are no browsers send what they like. Used by `accept.rs`.

/// Which origins may connect. A request without an `Origin` header does not come from a page and is let through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OriginPolicy {
    /// Pages whose host and port are those of the request's `Host` header.
    #[default]
    SameHost,
    /// All pages. Only for services that give a stranger's page nothing that a stranger could not get.
    Any,
    /// These origins, such as `https://example.com` or `http://localhost:3000`; `null` is a page from a file.
    List(Vec<String>),
}

impl OriginPolicy {
    /// Whether a page of `origin` may connect to `host`, both as they stand in the request.
    pub fn allows(&self, origin: Option<&[u8]>, host: &[u8]) -> bool {
        let Some(origin) = origin else { return true };
        match self {
            Self::Any => true,
            Self::SameHost => is_same_host(origin, host),
            Self::List(list) => list
                .iter()
                .any(|allowed| allowed.trim_end_matches('/').as_bytes().eq_ignore_ascii_case(origin)),
        }
    }
}

/// Whether `scheme://authority` names the host and port of a `Host` header; absent ports are the scheme's.
fn is_same_host(origin: &[u8], host: &[u8]) -> bool {
    let (Ok(origin), Ok(host)) = (std::str::from_utf8(origin), std::str::from_utf8(host)) else {
        return false;
    };
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let (Some((name, port)), Some((host, host_port))) = (split_port(authority), split_port(host)) else {
        return false;
    };
    name.eq_ignore_ascii_case(host) && port.unwrap_or(default_port) == host_port.unwrap_or(default_port)
}

/// `host:port` or `[v6]:port` in its parts; `None` where it is neither.
pub(crate) fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let after_v6 = authority.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = authority[after_v6..].find(':').map(|at| at + after_v6) else {
        return (!authority.is_empty()).then_some((authority, None));
    };
    let (host, port) = (&authority[..colon], &authority[colon + 1..]);
    if host.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((host, Some(port.parse().ok()?)))
}
