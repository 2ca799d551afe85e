//! Errors of the HTTP API: `application/problem+json` (RFC 9457) with the codes that every client sees.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use trunkline_model::{ErrorCode, Fault};

/// An error on its way to an HTTP client.
#[derive(Debug)]
pub(crate) struct Problem {
    fault: Fault,
    status: StatusCode,
}

impl Problem {
    /// The error with the HTTP status that its code has.
    pub(crate) fn new(fault: Fault) -> Self {
        let status = StatusCode::from_u16(fault.code.http_status());
        Self { fault, status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR) }
    }

    /// `bad_request` with this explanation.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Fault::new(ErrorCode::BadRequest, message))
    }

    /// The same error with another HTTP status.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = serde_json::json!({
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "code": self.fault.code.as_str(),
            "detail": self.fault.message,
        });
        if let Some(channel) = &self.fault.channel {
            body["channel"] = channel.as_str().into();
        }
        if let Some(position) = self.fault.position {
            body["epoch"] = position.epoch.to_string().into();
            body["offset"] = position.offset.0.into();
        }
        let mut retry_after = None;
        if let Some(retry) = self.fault.retry {
            body["retry"] = u64::try_from(retry.as_millis()).unwrap_or(u64::MAX).into();
            retry_after = Some(retry.as_secs().max(1).to_string());
        }
        let content = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, content, body.to_string()).into_response();
        if let Some(value) = retry_after.and_then(|seconds| seconds.parse().ok()) {
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
        response
    }
}
