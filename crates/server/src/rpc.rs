//! The application behind the server: an HTTP endpoint from the configuration, which is sent each `rpc` of a client and
//! answers it. How many at a time, for how long, and who is told, is the hub's to decide.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode, Uri, header};
use serde_json::value::RawValue;
use trunkline_dialect::json::json_payload;
use trunkline_model::{ErrorCode, Fault, Form, Payload, RpcRequest};
use trunkline_node::Rpc;

use crate::dto::{RpcBody, RpcRefusal};
use crate::outgoing::{self, whole};

/// Connections that are kept for the next calls. More are opened while more calls are under way, and closed behind them.
const IDLE_CONNECTIONS_MAX: usize = 64;
/// How long a client should wait when the application cannot be reached.
const RETRY: Duration = Duration::from_secs(1);

/// The endpoint, and the connections to it.
pub(crate) struct Application {
    client: outgoing::Client,
    url: Uri,
    answer_max: usize,
    /// Whether the last call got through: who watches the log is told of changes, not of every call.
    reached: Arc<AtomicBool>,
}

impl Application {
    /// The one at `url`. Of its answers at most so many bytes are read.
    ///
    /// # Errors
    /// An `https://` URL needs certificate authorities, and the system has none.
    pub(crate) fn new(url: Uri, answer_max: usize) -> Result<Self, String> {
        let client = outgoing::client(&url, IDLE_CONNECTIONS_MAX)?;
        Ok(Self { client, url, answer_max, reached: Arc::new(AtomicBool::new(true)) })
    }

    fn post(&self, request: &RpcRequest) -> Result<Request<Full<Bytes>>, serde_json::Error> {
        let body = RpcBody {
            method: request.method.as_str(),
            data: serde_json::from_slice(&request.data.bytes)?,
            client: request.client.as_str(),
            user: request.user.as_ref().map(|user| user.as_str()),
        };
        let mut post = Request::new(Full::new(Bytes::from(serde_json::to_vec(&body)?)));
        *post.method_mut() = hyper::Method::POST;
        *post.uri_mut() = self.url.clone();
        let headers = post.headers_mut();
        let fixed = header::HeaderValue::from_static;
        headers.insert(header::CONTENT_TYPE, fixed("application/json"));
        headers.insert(header::ACCEPT, fixed("application/json"));
        headers.insert(header::USER_AGENT, fixed(concat!("trunkline/", env!("CARGO_PKG_VERSION"))));
        Ok(post)
    }
}

impl Rpc for Application {
    fn call(&self, request: RpcRequest) -> Pin<Box<dyn Future<Output = Result<Payload, Fault>> + Send>> {
        let post = self.post(&request).map(|post| self.client.request(post));
        let (answer_max, reached) = (self.answer_max, Arc::clone(&self.reached));
        Box::pin(async move {
            let answer =
                post.map_err(|error| internal(&format!("`data` could not be passed on: {error}")))?;
            match answer.await {
                Ok(response) => {
                    if !reached.swap(true, Ordering::Relaxed) {
                        tracing::info!("the application can be reached again");
                    }
                    understand(response, answer_max).await
                }
                Err(error) if error.is_connect() => {
                    if reached.swap(false, Ordering::Relaxed) {
                        tracing::warn!(error = %whole(&error), "the application cannot be reached");
                    }
                    let message = "the application cannot be reached; nothing was asked of it";
                    Err(Fault::new(ErrorCode::NotAvailable, message).retry_in(RETRY))
                }
                Err(error) => {
                    tracing::debug!(error = %whole(&error), "a call was not answered");
                    let message = "the application broke off before it answered; it is unknown whether it did what was asked";
                    Err(internal(message))
                }
            }
        })
    }
}

fn internal(message: &str) -> Fault {
    Fault::new(ErrorCode::Internal, message)
}

/// What the answer means to the client who asked.
async fn understand(response: Response<Incoming>, answer_max: usize) -> Result<Payload, Fault> {
    let status = response.status();
    let body = Limited::new(response.into_body(), answer_max).collect().await.map_err(|error| {
        internal(&if error.is::<LengthLimitError>() {
            format!("the application answered {status} with more than {answer_max} bytes, the most that are passed on")
        } else {
            format!("the application broke off in the middle of its answer, {status}")
        })
    })?;
    let body = body.to_bytes();
    if status == StatusCode::NO_CONTENT {
        Ok(Payload::new(Form::Json, "null"))
    } else if status.is_success() {
        let json: &RawValue = serde_json::from_slice(&body).map_err(|_| {
            internal(&format!(
                "the application answered {status}, but not with JSON; 204 would stand for nothing"
            ))
        })?;
        Ok(json_payload(json))
    } else {
        Err(refusal(status, &body))
    }
}

/// Why the application did not do it: in its own words, if it used one of the codes that clients know.
fn refusal(status: StatusCode, body: &[u8]) -> Fault {
    let said: Option<RpcRefusal> = serde_json::from_slice(body).ok();
    let known = said.and_then(|said| {
        let code = ErrorCode::ALL.iter().copied().find(|code| code.as_str() == said.code)?;
        let mut fault = Fault::new(code, said.message.unwrap_or_else(|| code.meaning().to_owned()));
        fault.retry = said.retry.map(Duration::from_millis);
        Some(fault)
    });
    match known {
        Some(fault) if status.is_client_error() || status.is_server_error() => fault,
        _ if status == StatusCode::SERVICE_UNAVAILABLE => {
            let message = "the application is not available: it answered 503";
            Fault::new(ErrorCode::NotAvailable, message).retry_in(RETRY)
        }
        _ => internal(&format!("the application answered {status}, and no code that clients know")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_passed_on_where_clients_know_their_code() {
        let check = |status: u16, body: &str, expect: (ErrorCode, &str, Option<u64>)| {
            let fault = refusal(StatusCode::from_u16(status).expect("a status"), body.as_bytes());
            assert_eq!((fault.code, fault.retry), (expect.0, expect.2.map(Duration::from_millis)), "{body}");
            assert!(fault.message.contains(expect.1), "{body}: {}", fault.message);
        };
        let forbidden = r#"{"code":"forbidden","message":"not yours","more":1}"#;
        check(403, forbidden, (ErrorCode::Forbidden, "not yours", None));
        check(500, r#"{"code":"conflict"}"#, (ErrorCode::Conflict, "condition", None));
        check(429, r#"{"code":"rate_limited","retry":50}"#, (ErrorCode::RateLimited, "wait", Some(50)));
        check(503, r#"{"code":"draining"}"#, (ErrorCode::Draining, "about to end", None));
        check(503, "", (ErrorCode::NotAvailable, "503", Some(1_000)));
        check(503, r#"{"code":"gone"}"#, (ErrorCode::NotAvailable, "503", Some(1_000)));
        check(403, r#"{"code":"gone","message":"x"}"#, (ErrorCode::Internal, "403 Forbidden", None));
        check(400, r#"{"message":"x"}"#, (ErrorCode::Internal, "400", None));
        check(500, "<html>", (ErrorCode::Internal, "500", None));
        check(302, forbidden, (ErrorCode::Internal, "302", None));
    }
}
