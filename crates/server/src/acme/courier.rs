//! Carries requests to the authority and answers back: each bounded in size and time, over connections that nobody else reads.
//! What is in them is made and read by `instant-acme`, which must be given nothing that it does not expect.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Uri};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use serde_json::Value;

use crate::outgoing::{self, is_here, whole};

/// How long one request may take, with its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer, in bytes. A chain has some thousands.
const ANSWER_MAX: usize = 256 << 10;
/// The longest that the authority may ask to be left alone, in seconds.
const RETRY_AFTER_MAX: u64 = 86_400;
/// What of a directory is asked for.
const PLACES: [&str; 6] = ["newNonce", "newAccount", "newOrder", "revokeCert", "keyChange", "renewalInfo"];

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Courier {
    client: outgoing::Client,
    directory: Uri,
    /// How long the authority wants to be left alone, as the last refusal says it.
    said: Arc<Mutex<Option<Duration>>>,
}

impl Courier {
    pub(super) fn new(client: outgoing::Client, directory: Uri) -> Self {
        Self { client, directory, said: Arc::default() }
    }

    /// How long the authority wants to be left alone, if a refusal has said it since this was asked last.
    pub(super) fn take_said(&self) -> Option<Duration> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn carry(&self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, String> {
        let url = request.uri().clone();
        self.check(&url)?;
        let (mut head, body) = request.into_parts();
        let body = body.collect().await.map_or_else(|never| match never {}, |body| body.to_bytes());
        head.headers
            .insert(USER_AGENT, HeaderValue::from_static(concat!("trunkline/", env!("CARGO_PKG_VERSION"))));
        let answered = self.client.request(Request::from_parts(head, Full::new(body)));
        let (mut head, body) = answered.await.map_err(|error| whole(&error))?.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await;
        let body = body
            .map_err(|_| format!("the answer broke off, or has more than {ANSWER_MAX} bytes"))?
            .to_bytes();
        let waits = retry_after(&mut head.headers);
        if !head.status.is_success() {
            *self.said.lock().unwrap_or_else(PoisonError::into_inner) = waits;
            // An authority says why; something else that answers in its place does not.
            if !serde_json::from_slice::<Value>(&body).is_ok_and(|body| body.is_object()) {
                return Err(format!("it answered {}", head.status));
            }
        } else if url == self.directory {
            self.check_directory(&body)?;
        }
        Ok(BytesResponse { parts: head, body: Box::new(body) })
    }

    /// Whether this may be asked: nobody is in between.
    fn check(&self, url: &Uri) -> Result<(), String> {
        let here = self.directory.scheme_str() == Some("http") && is_here(url);
        match url.scheme_str() {
            Some("https") => Ok(()),
            Some("http") if here => Ok(()),
            _ => Err("it is not https://".to_owned()),
        }
    }

    /// What is no URL would end this thread, which the library takes for impossible.
    fn check_directory(&self, body: &[u8]) -> Result<(), String> {
        let directory: Value =
            serde_json::from_slice(body).map_err(|_| "it answered what is no directory")?;
        for place in PLACES {
            let Some(url) = directory[place].as_str() else { continue };
            let url: Uri = url.parse().map_err(|_| format!("its {place} is no URL"))?;
            self.check(&url).map_err(|why| format!("its {place}: {why}"))?;
        }
        Ok(())
    }
}

impl HttpClient for Courier {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let courier = self.clone();
        Box::pin(async move {
            let url = request.uri().clone();
            let carried = tokio::time::timeout(REQUEST_TIMEOUT, courier.carry(request)).await;
            let carried =
                carried.unwrap_or_else(|_| Err(format!("no answer in {} s", REQUEST_TIMEOUT.as_secs())));
            carried.map_err(|why| Error::Other(format!("{url}: {why}").into()))
        })
    }
}

/// How long the authority wants to be left alone. What the library is given of it is a number that it can add to the time
/// of day: it would panic at another.
fn retry_after(headers: &mut HeaderMap) -> Option<Duration> {
    let said = headers.remove(RETRY_AFTER)?;
    let digits = said.to_str().ok()?.trim();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds = digits.parse().unwrap_or(u64::MAX).min(RETRY_AFTER_MAX);
    headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s8_2_the_authority_says_when_to_come_again() {
        let check = |said: &str, expect: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(said).expect("a header"));
            assert_eq!(retry_after(&mut headers), expect.map(Duration::from_secs), "{said}");
            assert_eq!(headers.get(RETRY_AFTER).cloned(), expect.map(HeaderValue::from), "{said}");
        };
        check("0", Some(0));
        check(" 120 ", Some(120));
        check("18446744073709551615", Some(RETRY_AFTER_MAX));
        check("99999999999999999999999999", Some(RETRY_AFTER_MAX));
        for said in ["", "-1", "+1", "soon", "Fri, 31 Dec 9999 23:59:59 GMT"] {
            check(said, None);
        }
    }

    #[test]
    fn an_authority_is_asked_where_nobody_is_in_between() {
        let courier = |directory: &'static str| {
            let url = Uri::from_static(directory);
            let roots = Uri::from_static("http://localhost");
            Courier::new(outgoing::client(&roots, 0).expect("it trusts nobody"), url)
        };
        let (far, near) = (courier("https://acme.example.org/dir"), courier("http://127.0.0.1:14000/dir"));
        let check = |courier: &Courier, url: &str, expect: bool| {
            let body = format!("{{\"newNonce\": {url:?}, \"newAccount\": 1}}");
            assert_eq!(courier.check_directory(body.as_bytes()).is_ok(), expect, "{url}");
        };
        for (url, by_far, by_near) in [
            ("https://acme.example.org/nonce", true, true),
            ("https://other.example.org/nonce", true, true),
            ("http://acme.example.org/nonce", false, false),
            ("http://127.0.0.1:14000/nonce", false, true),
            ("ftp://acme.example.org", false, false),
            ("/nonce", false, false),
            ("", false, false),
            ("https://a b/", false, false),
            ("https://", false, false),
        ] {
            check(&far, url, by_far);
            check(&near, url, by_near);
        }
        assert!(far.check_directory(b"<html>").is_err());
    }

    /// The clock is virtual: it jumps to the deadline, since nothing else happens.
    #[tokio::test(start_paused = true)]
    async fn an_authority_that_says_nothing_is_given_up() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let url = format!("http://{}/dir", silent.local_addr().expect("it is bound"));
        let url: Uri = url.parse().expect("a URL");
        let courier = Courier::new(outgoing::client(&url, 0).expect("it trusts nobody"), url.clone());
        let begun = tokio::time::Instant::now();
        let request = Request::get(url).body(BodyWrapper::default()).expect("a request");
        let error = courier.request(request).await.err().expect("nobody answers").to_string();
        assert!(error.ends_with("/dir: no answer in 30 s"), "{error}");
        assert_eq!(begun.elapsed().as_secs(), REQUEST_TIMEOUT.as_secs());
    }
}
