//! An ACME authority (RFC 8555) that is small and honest: each nonce counts once, each request is signed by who it says, names
//! are proven at the server's own port, and only what was proven is certified. It can be told to lie instead.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateSigningRequestParams, SanType, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::look::look;
use super::said::Said;
use super::signed::{Jwk, Signed, decode};
use crate::secure::Authority;

/// The authority; cheap to clone.
#[derive(Clone)]
pub(crate) struct Acme {
    /// Where it says what it can do.
    url: String,
    /// What its certificates are signed by, and its own.
    pub(crate) ca: Arc<Authority>,
    state: Arc<Mutex<State>>,
    /// Where the names lead that are to be proven, if it may look.
    leads_to: watch::Sender<Option<SocketAddr>>,
}

#[derive(Default)]
struct State {
    nonces: HashSet<String>,
    accounts: Vec<(Jwk, Value)>,
    orders: Vec<Order>,
    proofs: Vec<Proof>,
    /// What was asked, as method and path.
    asked: Vec<String>,
    lies: Vec<Lie>,
    /// From when to when certificates are good, in seconds from now.
    life: Option<(i64, i64)>,
    nonces_made: usize,
}

struct Order {
    account: usize,
    names: Vec<String>,
    proofs: Vec<usize>,
    chain: Option<String>,
}

struct Proof {
    name: String,
    token: String,
    /// `None` while it is not known.
    result: Option<Result<(), String>>,
}

/// What is said in place of the truth.
#[derive(Clone, Default)]
pub(crate) struct Lie {
    /// To whom asks for a path that begins like this.
    pub(crate) at: &'static str,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// `None` for one that does not end.
    pub(crate) body: Option<String>,
    /// How often; `None` for always.
    pub(crate) times: Option<usize>,
}

/// A refusal: the status, the type behind `urn:ietf:params:acme:error:`, and why.
type Refusal = (u16, &'static str, String);
type Answer = (u16, Vec<(&'static str, String)>, String);

impl Acme {
    /// Speaks HTTP, which is for this machine.
    pub(crate) async fn start() -> Self {
        Self::begin(None).await
    }

    /// Speaks HTTPS, with a certificate of its own.
    pub(crate) async fn start_tls() -> Self {
        let ca = Authority::new();
        let certified = ca.server();
        let chain =
            rustls::pki_types::CertificateDer::from_pem_slice(certified.chain.as_bytes()).expect("PEM");
        let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(certified.key.as_bytes()).expect("PEM");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .expect("a certificate");
        Self::begin(Some((ca, TlsAcceptor::from(Arc::new(config))))).await
    }

    async fn begin(tls: Option<(Authority, TlsAcceptor)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let port = listener.local_addr().expect("it is bound").port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (ca, acceptor) = match tls {
            Some((ca, acceptor)) => (ca, Some(acceptor)),
            None => (Authority::new(), None),
        };
        let url = format!("{scheme}://127.0.0.1:{port}");
        let acme = Self { url, ca: Arc::new(ca), state: Arc::default(), leads_to: watch::Sender::new(None) };
        let serving = acme.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acme, acceptor) = (serving.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => acme.serve(stream).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                acme.serve(stream).await;
                            }
                        }
                    }
                });
            }
        });
        acme
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send) {
        let service =
            hyper::service::service_fn(async |request| Ok::<_, Infallible>(self.handle(request).await));
        // Whoever asks may go away at any time.
        let _ =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    pub(crate) fn directory(&self) -> String {
        format!("{}/dir", self.url)
    }

    /// From now on it looks there whether names lead to who asks; `None` to keep it waiting.
    pub(crate) fn leads_to(&self, address: Option<SocketAddr>) {
        self.leads_to.send_replace(address);
    }

    pub(crate) fn lies(&self, lies: &[Lie]) {
        self.state().lies = lies.to_vec();
    }

    /// From when to when certificates are good, in seconds from now.
    pub(crate) fn certifies_for(&self, life: (i64, i64)) {
        self.state().life = Some(life);
    }

    /// What was asked, as method and path.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    /// How often this was asked.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.state().asked.iter().filter(|asked| asked.starts_with(what)).count()
    }

    /// What accounts have said of themselves.
    pub(crate) fn accounts(&self) -> Vec<Value> {
        self.state().accounts.iter().map(|(_, said)| said.clone()).collect()
    }

    /// It knows nobody any more.
    pub(crate) fn forgets_accounts(&self) {
        for (key, _) in &mut self.state().accounts {
            *key = Jwk::default();
        }
    }

    /// The names of each order that was certified.
    pub(crate) fn certified(&self) -> Vec<Vec<String>> {
        let state = self.state();
        state.orders.iter().filter(|order| order.chain.is_some()).map(|order| order.names.clone()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics")
    }

    async fn handle(&self, request: Request<Incoming>) -> Response<Said> {
        let path = request.uri().path().to_owned();
        let lie = {
            let mut state = self.state();
            state.asked.push(format!("{} {path}", request.method()));
            let lie = state.lies.iter_mut().find(|lie| path.starts_with(lie.at) && lie.times != Some(0));
            lie.map(|lie| {
                lie.times = lie.times.map(|times| times - 1);
                lie.clone()
            })
        };
        let (status, headers, body) = match lie {
            Some(lie) => (lie.status, lie.headers, lie.body.map_or(Said::Endless, Said::text)),
            None => {
                let (status, headers, body) = self.answer(request, &path).await.unwrap_or_else(problem);
                (status, headers, Said::text(body))
            }
        };
        let nonce = {
            let mut state = self.state();
            state.nonces_made += 1;
            let nonce = format!("nonce{}", state.nonces_made);
            state.nonces.insert(nonce.clone());
            nonce
        };
        let mut response = Response::builder().status(status).header("Replay-Nonce", nonce);
        for (name, value) in headers {
            response = response.header(name, value);
        }
        response.body(body).expect("an answer")
    }

    async fn answer(&self, request: Request<Incoming>, path: &str) -> Result<Answer, Refusal> {
        let url = &self.url;
        match (request.method(), path) {
            (&Method::GET, "/dir") => {
                return Ok(ok(json!({
                    "newNonce": format!("{url}/nonce"),
                    "newAccount": format!("{url}/new-account"),
                    "newOrder": format!("{url}/new-order"),
                    "revokeCert": format!("{url}/revoke"),
                    "keyChange": format!("{url}/key-change"),
                })));
            }
            (&Method::HEAD, "/nonce") => return Ok((200, Vec::new(), String::new())),
            (&Method::POST, _) => {}
            _ => return Err((405, "malformed", "it is not asked like this".to_owned())),
        }
        let is_jose =
            request.headers().get("content-type").is_some_and(|kind| kind == "application/jose+json");
        if !is_jose {
            return Err((415, "malformed", "it is not application/jose+json".to_owned()));
        }
        let body =
            request.into_body().collect().await.map_err(|error| (400, "malformed", error.to_string()))?;
        let signed = self.open(path, &body.to_bytes())?;
        let (place, number) = path.trim_start_matches('/').split_once('/').unwrap_or((&path[1..], ""));
        let number: usize = number.parse().unwrap_or(usize::MAX);
        match place {
            "new-account" => self.new_account(signed),
            "account" => self.change_account(number, &signed),
            "new-order" => self.new_order(&signed),
            "order" => self.order(number, signed.account),
            "proof" => self.proof(number),
            "look" => self.begin_look(number, &signed),
            "finalize" => self.finalize(number, &signed),
            "certificate" => self.certificate(number),
            _ => Err((404, "malformed", format!("there is no {path}"))),
        }
    }

    /// RFC 8555, 6.2 to 6.5: who signs is known, the nonce was given out and is used once, and it is this URL that is meant.
    fn open(&self, path: &str, body: &[u8]) -> Result<Signed, Refusal> {
        let mut state = self.state();
        let key_of = |kid: &str| {
            let number: usize = kid.strip_prefix(&format!("{}/account/", self.url))?.parse().ok()?;
            let (key, _) = state.accounts.get(number)?;
            (!key.is_empty()).then(|| (number, key.clone()))
        };
        let signed = Signed::open(body, path == "/new-account", key_of)?;
        if !state.nonces.remove(&signed.nonce) {
            return Err((400, "badNonce", format!("{:?} was not given out, or is used up", signed.nonce)));
        }
        if signed.url != format!("{}{path}", self.url) {
            return Err((401, "unauthorized", format!("it was signed for {}", signed.url)));
        }
        Ok(signed)
    }

    fn new_account(&self, signed: Signed) -> Result<Answer, Refusal> {
        if signed.payload["termsOfServiceAgreed"] != true {
            return Err((403, "userActionRequired", "the terms are not agreed to".to_owned()));
        }
        let mut state = self.state();
        state.accounts.push((signed.key, signed.payload));
        let location = format!("{}/account/{}", self.url, state.accounts.len() - 1);
        Ok((201, vec![("Location", location)], json!({ "status": "valid" }).to_string()))
    }

    fn change_account(&self, number: usize, signed: &Signed) -> Result<Answer, Refusal> {
        let mut state = self.state();
        let account = state.accounts.get_mut(number).filter(|_| signed.account == Some(number));
        let (_, said) = account.ok_or((401, "unauthorized", "it is another's".to_owned()))?;
        said["contact"] = signed.payload["contact"].clone();
        Ok(ok(json!({ "status": "valid" })))
    }

    fn new_order(&self, signed: &Signed) -> Result<Answer, Refusal> {
        let account = signed.account.ok_or((401, "unauthorized", "without an account".to_owned()))?;
        let names = signed.payload["identifiers"].as_array().into_iter().flatten();
        let names: Vec<String> = names.filter_map(|name| Some(name["value"].as_str()?.to_owned())).collect();
        let mut state = self.state();
        let first = state.proofs.len();
        let number = state.orders.len();
        state.proofs.extend(names.iter().enumerate().map(|(at, name)| Proof {
            name: name.clone(),
            token: format!("token-{number}-{at}-of-this-order"),
            result: None,
        }));
        let proofs = (first..state.proofs.len()).collect();
        state.orders.push(Order { account, names, proofs, chain: None });
        let location = format!("{}/order/{number}", self.url);
        Ok((201, vec![("Location", location)], self.say_order(&state, number).to_string()))
    }

    fn say_order(&self, state: &State, number: usize) -> Value {
        let order = &state.orders[number];
        let results: Vec<_> = order.proofs.iter().map(|proof| &state.proofs[*proof].result).collect();
        let status = match &order.chain {
            Some(_) => "valid",
            None if results.iter().any(|result| matches!(result, Some(Err(_)))) => "invalid",
            None if results.iter().all(|result| result.is_some()) => "ready",
            None => "pending",
        };
        let url = &self.url;
        let proofs: Vec<_> = order.proofs.iter().map(|proof| format!("{url}/proof/{proof}")).collect();
        let names: Vec<_> = order.names.iter().map(|name| json!({ "type": "dns", "value": name })).collect();
        let mut said = json!({
            "status": status,
            "identifiers": names,
            "authorizations": proofs,
            "finalize": format!("{url}/finalize/{number}"),
        });
        if order.chain.is_some() {
            said["certificate"] = json!(format!("{url}/certificate/{number}"));
        }
        said
    }

    fn order(&self, number: usize, account: Option<usize>) -> Result<Answer, Refusal> {
        let state = self.state();
        match state.orders.get(number) {
            Some(order) if Some(order.account) == account => Ok(ok(self.say_order(&state, number))),
            _ => Err((404, "malformed", "there is no such order".to_owned())),
        }
    }

    fn say_look(&self, number: usize, proof: &Proof) -> Value {
        let mut said = json!({
            "type": "tls-alpn-01",
            "url": format!("{}/look/{number}", self.url),
            "token": proof.token,
            "status": match proof.result { None => "pending", Some(Ok(())) => "valid", Some(Err(_)) => "invalid" },
        });
        if let Some(Err(why)) = &proof.result {
            said["error"] =
                json!({ "type": "urn:ietf:params:acme:error:unauthorized", "detail": why, "status": 403 });
        }
        said
    }

    fn proof(&self, number: usize) -> Result<Answer, Refusal> {
        let state = self.state();
        let proof =
            state.proofs.get(number).ok_or((404, "malformed", "there is no such proof".to_owned()))?;
        let status = match proof.result {
            None => "pending",
            Some(Ok(())) => "valid",
            Some(Err(_)) => "invalid",
        };
        let others = ["http-01", "dns-01"].map(|kind| {
            json!({ "type": kind, "url": format!("{}/other", self.url), "token": "other", "status": "pending" })
        });
        let challenges: Vec<_> = others.into_iter().chain([self.say_look(number, proof)]).collect();
        let name = json!({ "type": "dns", "value": proof.name });
        Ok(ok(json!({ "status": status, "identifier": name, "challenges": challenges })))
    }

    fn begin_look(&self, number: usize, signed: &Signed) -> Result<Answer, Refusal> {
        if signed.payload != json!({}) {
            return Err((400, "malformed", "a challenge is answered with {}".to_owned()));
        }
        let state = self.state();
        let proof =
            state.proofs.get(number).ok_or((404, "malformed", "there is no such proof".to_owned()))?;
        let said = self.say_look(number, proof);
        let (name, expected) = (proof.name.clone(), format!("{}.{}", proof.token, signed.key.thumbprint()));
        let (acme, mut leads_to) = (self.clone(), self.leads_to.subscribe());
        tokio::spawn(async move {
            let address = leads_to.wait_for(Option::is_some).await.expect("it is there").expect("it is one");
            let result = look(address, &name, &expected).await;
            acme.state().proofs[number].result = Some(result);
        });
        Ok(ok(said))
    }

    fn finalize(&self, number: usize, signed: &Signed) -> Result<Answer, Refusal> {
        let wrong = |why: String| (400, "badCSR", why);
        let mut state = self.state();
        if state.orders.get(number).is_none() || self.say_order(&state, number)["status"] != "ready" {
            return Err((403, "orderNotReady", "not all names are proven".to_owned()));
        }
        let request = decode(signed.payload["csr"].as_str().unwrap_or_default());
        let request = request.ok_or_else(|| wrong("it is no base64url".to_owned()))?;
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request));
        let mut request = request.map_err(|error| wrong(error.to_string()))?;
        let mut names: Vec<String> = Vec::new();
        for name in &request.params.subject_alt_names {
            let SanType::DnsName(name) = name else { return Err(wrong(format!("{name:?}"))) };
            names.push(name.as_str().to_owned());
        }
        if names != state.orders[number].names {
            return Err(wrong(format!("it is for {names:?}")));
        }
        let (begin, end) = state.life.unwrap_or((-3_600, 90 * 86_400));
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set").as_secs();
        let at = |seconds: i64| {
            date_time_ymd(1970, 1, 1) + Duration::from_secs(since_1970.saturating_add_signed(seconds))
        };
        (request.params.not_before, request.params.not_after) = (at(begin), at(end));
        state.orders[number].chain = Some(self.ca.sign(&request));
        Ok(ok(self.say_order(&state, number)))
    }

    fn certificate(&self, number: usize) -> Result<Answer, Refusal> {
        let state = self.state();
        let chain = state.orders.get(number).and_then(|order| order.chain.clone());
        let chain = chain.ok_or((404, "malformed", "there is none".to_owned()))?;
        Ok((200, vec![("Content-Type", "application/pem-certificate-chain".to_owned())], chain))
    }
}

fn ok(body: Value) -> Answer {
    (200, Vec::new(), body.to_string())
}

fn problem((status, kind, why): Refusal) -> Answer {
    (status, vec![("Content-Type", "application/problem+json".to_owned())], problem_of(kind, &why))
}

/// A problem document.
pub(crate) fn problem_of(kind: &str, why: &str) -> String {
    json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": why }).to_string()
}
