//! Just enough HTTP/1.1 to ask and to read an answer as it stands on the wire. Not a client: one request, one
//! connection.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::raw::Raw;
use crate::server::Server;

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// Checks that it is a problem with this status and code, and says something.
    pub(crate) fn expect_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
    }

    /// Reads one from `stream`, whose first bytes are in `received`; what follows it stays there. `None` if
    /// the line ends before a whole head.
    pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin), received: &mut Vec<u8>) -> Option<Self> {
        let head_size = loop {
            if let Some(at) = received.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(received).await.ok()? == 0 {
                return None;
            }
        };
        let head: Vec<u8> = received.drain(..head_size).collect();
        let mut response = Self::from_head(&String::from_utf8_lossy(&head));
        let whole = response.header("content-length").map(|length| length.parse().expect("a number"));
        let bodiless = matches!(response.status, 101 | 204 | 304);
        let whole: usize = if bodiless { 0 } else { whole.unwrap_or(usize::MAX) };
        while received.len() < whole {
            if !matches!(stream.read_buf(received).await, Ok(size) if size > 0) {
                break;
            }
        }
        let body: Vec<u8> = received.drain(..whole.min(received.len())).collect();
        response.body = String::from_utf8_lossy(&body).into_owned();
        Some(response)
    }

    fn from_head(head: &str) -> Self {
        let (first, rest) = head.split_once("\r\n").expect("a status line");
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let headers = rest.lines().filter_map(|line| line.split_once(':'));
        Self {
            status: status.unwrap_or_else(|| panic!("no status in {first:?}")),
            headers: headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect(),
            body: String::new(),
        }
    }
}

/// Asks with this method, target, more headers and body.
pub(crate) async fn ask(
    server: &Server,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    ask_at(server.address(), method, target, headers, body).await
}

/// The same, of who listens at this address.
pub(crate) async fn ask_at(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    let mut raw = Raw::connect_to(address).await;
    raw.write(format!("{request}\r\n{body}").as_bytes()).await;
    raw.response().await.expect("an answer")
}

pub(crate) async fn get(server: &Server, target: &str) -> Response {
    ask(server, "GET", target, &[], "").await
}

/// Publishes over HTTP.
pub(crate) async fn post(server: &Server, channel: &str, body: &Value) -> Response {
    let target = format!("/api/v1/channels/{channel}/messages");
    ask(server, "POST", &target, &[("Content-Type", "application/json")], &body.to_string()).await
}
