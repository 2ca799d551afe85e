//! Which pages may talk to this server, beside its own: for WebSocket handshakes, for requests that change something, and
//! for what a browser lets a page read (CORS, Fetch standard section 3.2).

use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use trunkline_model::{ErrorCode, Fault};
use trunkline_node::{Refusal, Refusals};
use trunkline_ws_proto::handshake::OriginPolicy;

use crate::problem::Problem;

/// How long a browser may remember the answer to a preflight, in seconds.
const PREFLIGHT_AGE: HeaderValue = HeaderValue::from_static("600");

/// The origins whose pages may connect and use the API, beside those of the same host.
#[derive(Clone, Debug)]
pub(crate) struct Origins {
    listed: Arc<RwLock<Vec<String>>>,
    refusals: Arc<Refusals>,
}

impl Origins {
    /// These, each as `scheme://host` or `scheme://host:port`.
    pub(crate) fn new(listed: Vec<String>, refusals: Arc<Refusals>) -> Self {
        Self { listed: Arc::new(RwLock::new(listed)), refusals }
    }

    /// A page of another origin is refused.
    pub(crate) fn refused(&self) {
        self.refusals.note(Refusal::Origin);
    }

    /// From now on these.
    pub(crate) fn set(&self, listed: Vec<String>) {
        *self.listed.write().unwrap_or_else(PoisonError::into_inner) = listed;
    }

    /// Whether a request with these headers comes from no page, from one of this host, or from one that is listed.
    pub(crate) fn allow(&self, headers: &HeaderMap) -> bool {
        let origin = headers.get(header::ORIGIN).map(HeaderValue::as_bytes);
        let host = headers.get(header::HOST).map_or(&b""[..], HeaderValue::as_bytes);
        OriginPolicy::SameHost.allows(origin, host) || self.lists(headers).is_some()
    }

    /// The origin of the request, if it is listed.
    fn lists(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let is_this = |listed: &String| listed.as_bytes().eq_ignore_ascii_case(origin.as_bytes());
        let listed = self.listed.read().unwrap_or_else(PoisonError::into_inner);
        listed.iter().any(is_this).then(|| origin.clone())
    }

    /// Lets listed pages read answers, answers their preflights, and refuses what others would change.
    pub(crate) async fn guard(self, request: Request, next: Next) -> Response {
        let listed = self.lists(request.headers());
        let is_preflight = *request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        let mut response = if is_preflight && listed.is_some() {
            StatusCode::NO_CONTENT.into_response()
        } else if reads || self.allow(request.headers()) {
            next.run(request).await
        } else {
            self.refused();
            let message = "requests from pages of another origin are refused; `origins` of [server] lists those that may";
            Problem::new(Fault::new(ErrorCode::Forbidden, message)).into_response()
        };
        if let Some(origin) = listed {
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.append(header::VARY, HeaderValue::from_static("origin"));
            if is_preflight {
                let methods = HeaderValue::from_static("GET, POST");
                headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
                let allowed = HeaderValue::from_static("authorization, content-type, if-none-match");
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
                headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE);
            } else {
                let exposed = HeaderValue::from_static("etag, retry-after");
                headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
            }
        }
        response
    }
}
