//! Where a request may carry a token or a key. They are taken out here and are opened by `door` alone.

use axum::http::{HeaderMap, HeaderValue, Uri, header};
use trunkline_model::Secret;
use trunkline_ws_proto::handshake::OriginPolicy;

/// How a subprotocol says a token, beside `trunkline.v1`; a browser's `WebSocket` can say it in no other header.
const SUBPROTOCOL_PREFIX: &str = "jwt.";

/// The token of a WebSocket handshake, which comes first of: `Authorization: Bearer`, the subprotocol `jwt.<token>`, the
/// query's `token`, the cookie. A cookie is sent by browsers without asking their user, so it counts only where `Origin`
/// is said and is the server's own: not that of a page which is merely allowed to connect.
pub(crate) fn of_handshake(headers: &HeaderMap, uri: &Uri, cookie_name: Option<&str>) -> Option<Secret> {
    bearer(headers)
        .or_else(|| of_subprotocol(headers))
        .or_else(|| of_query(uri))
        .or_else(|| of_cookie(headers, cookie_name?).filter(|_| is_own_page(headers)))
}

/// What stands behind `Bearer` in `Authorization` (RFC 6750, section 2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| Secret::new(token))
}

fn of_subprotocol(headers: &HeaderMap) -> Option<Secret> {
    let offered =
        headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let mut tokens = offered
        .flat_map(|list| list.split(','))
        .filter_map(|one| one.trim().strip_prefix(SUBPROTOCOL_PREFIX));
    tokens.next().map(Secret::new)
}

fn of_query(uri: &Uri) -> Option<Secret> {
    let mut pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    // A token has no characters that are escaped in a query.
    pairs.find(|(name, token)| *name == "token" && !token.is_empty()).map(|(_, token)| Secret::new(token))
}

fn is_own_page(headers: &HeaderMap) -> bool {
    let bytes = |name| headers.get(name).map(HeaderValue::as_bytes);
    let host = bytes(header::HOST).unwrap_or_default();
    bytes(header::ORIGIN).is_some_and(|origin| OriginPolicy::SameHost.allows(Some(origin), host))
}

fn of_cookie(headers: &HeaderMap, wanted: &str) -> Option<Secret> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == wanted).map(|(_, token)| Secret::new(token.trim_matches('"')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(headers: &[(&str, &str)], uri: &str) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = axum::http::HeaderName::try_from(*name).expect("a name");
            map.append(name, value.parse().expect("a value"));
        }
        let uri = uri.parse().expect("a path");
        of_handshake(&map, &uri, Some("session")).map(|secret| secret.reveal().to_owned())
    }

    #[test]
    fn a_token_is_found_wherever_it_may_stand() {
        let check = |headers: &[(&str, &str)], uri: &str, expect: Option<&str>| {
            assert_eq!(found(headers, uri).as_deref(), expect, "{headers:?} {uri}");
        };
        check(&[], "/ws", None);
        check(&[("authorization", "Bearer a.b.c")], "/ws", Some("a.b.c"));
        check(&[("authorization", "bearer  a.b.c ")], "/ws", Some("a.b.c"));
        check(&[("authorization", "Basic a.b.c")], "/ws", None);
        check(&[("authorization", "Bearer ")], "/ws", None);
        check(&[("sec-websocket-protocol", "trunkline.v1, jwt.a.b.c")], "/ws", Some("a.b.c"));
        check(
            &[("sec-websocket-protocol", "trunkline.v1"), ("sec-websocket-protocol", "jwt.a.b.c")],
            "/ws",
            Some("a.b.c"),
        );
        check(&[], "/ws?x=1&token=a.b.c&y=2", Some("a.b.c"));
        check(&[], "/ws?token=", None);
        check(&[], "/ws?mytoken=a.b.c", None);
        let cookie = ("cookie", "a=1; session=a.b.c; b=2");
        check(&[cookie, ("origin", "http://here"), ("host", "here")], "/ws", Some("a.b.c"));
        check(&[cookie, ("origin", "http://there"), ("host", "here")], "/ws", None);
        check(&[cookie], "/ws", None);
        check(&[("cookie", "xsession=a.b.c"), ("origin", "http://here"), ("host", "here")], "/ws", None);
        let all = [("authorization", "Bearer 1"), ("sec-websocket-protocol", "jwt.2")];
        check(&all, "/ws?token=3", Some("1"));
        check(&all[1..], "/ws?token=3", Some("2"));
    }
}
