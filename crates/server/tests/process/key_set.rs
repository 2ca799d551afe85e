//! Sets of keys that an identity provider publishes (JWKS): fetched, rotated, and what happens while it is down.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use trunkline_auth::{NewToken, Signer};
use trunkline_model::Timestamp;

use crate::client::Client;
use crate::http::ask;
use crate::patience::until;
use crate::secure::Authority;
use crate::server::{Folder, Server};

const FIRST: [&str; 2] = [
    include_str!("../../../auth/tests/keys/ed-private.pem"),
    include_str!("../../../auth/tests/keys/ed-public.pem"),
];
const SECOND: [&str; 2] = [
    include_str!("../../../auth/tests/keys/ed-other-private.pem"),
    include_str!("../../../auth/tests/keys/ed-other-public.pem"),
];

/// An identity provider: it answers with what it is given, and counts.
struct Provider {
    url: String,
    answer: Arc<Mutex<(u16, String)>>,
    asked: Arc<AtomicUsize>,
}

impl Provider {
    async fn start(status: u16, set: &Value) -> Self {
        Self::speaking(None, status, set).await
    }

    /// One that speaks TLS, if there is an authority.
    async fn speaking(tls: Option<&Authority>, status: u16, set: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let (tls, scheme) = (tls.map(Authority::acceptor), if tls.is_some() { "https" } else { "http" });
        let url = format!("{scheme}://{}/jwks.json", listener.local_addr().expect("it is bound"));
        let answer = Arc::new(Mutex::new((status, set.to_string())));
        let asked = Arc::new(AtomicUsize::new(0));
        let (answering, counting) = (Arc::clone(&answer), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (status, body) = answering.lock().expect("nobody panics").clone();
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                match &tls {
                    None => tell(&mut stream, &answer).await,
                    Some(tls) => {
                        // Who does not trust us goes.
                        let Ok(mut stream) = tls.accept(stream).await else { continue };
                        tell(&mut stream, &answer).await;
                    }
                }
                counting.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { url, answer, asked }
    }

    fn publishes(&self, status: u16, set: &Value) {
        *self.answer.lock().expect("nobody panics") = (status, set.to_string());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn config(&self) -> String {
        format!(
            "[auth]\nanonymous = false\naudience = \"us\"\njwks = {{ url = \"{}\" }}\n[namespace.chat]\nkind = \"log\"\n",
            self.url
        )
    }
}

/// One small request, one answer.
async fn tell(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), answer: &str) {
    let mut head = [0; 4_096];
    let _ = stream.read(&mut head).await;
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// The public key as a set has it (RFC 8037): the last 32 bytes of what is in the PEM.
fn jwk(name: &str, key: [&str; 2]) -> Value {
    let base64: String = key[1].lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(base64).expect("base64");
    let x = URL_SAFE_NO_PAD.encode(&der[der.len() - 32..]);
    json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": name, "use": "sig", "alg": "EdDSA" })
}

fn token(name: &str, key: [&str; 2]) -> String {
    let algorithm = "EdDSA".parse().expect("known");
    let signer = Signer::from_pem(algorithm, key[0].as_bytes(), Some(name)).expect("a key");
    let says =
        NewToken { user: Some("ann".to_owned()), audience: Some("us".to_owned()), ..NewToken::default() };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    let now = Timestamp(u64::try_from(now.as_millis()).expect("it fits"));
    signer.sign(&says, now, Duration::from_secs(600)).expect("it can sign")
}

async fn connect(server: &Server, token: &str) -> Value {
    let mut client = Client::open(server).await;
    client.ask(json!({ "type": "connect", "token": token })).await
}

async fn fetched(provider: &Provider, times: usize) {
    until("the set of keys is asked for", || (provider.asked() >= times).then_some(())).await;
}

#[tokio::test]
async fn tokens_are_verified_with_keys_that_are_fetched() {
    let provider = Provider::start(200, &json!({ "keys": [jwk("one", FIRST)] })).await;
    let folder = Folder::with_config(&provider.config());
    let server = Server::start(&folder);
    // The very first may come before the set does, and waits for it.
    let welcome = connect(&server, &token("one", FIRST)).await;
    assert_eq!((&welcome["type"], &welcome["user"]), (&json!("welcome"), &json!("ann")), "{welcome}");
    let asked = provider.asked();
    for _ in 0..20 {
        assert_eq!(connect(&server, &token("one", FIRST)).await["type"], "welcome");
        // Names that nobody knows do not make it ask each time. The provider may know them when it is asked again.
        let unknown = connect(&server, &token("nobodys", FIRST)).await;
        assert_eq!(
            (&unknown["code"], unknown["retry"].is_u64()),
            (&json!("not_available"), true),
            "{unknown}"
        );
        assert_eq!(connect(&server, &token("one", SECOND)).await["code"], "unauthorized");
    }
    assert!(provider.asked() <= asked + 1, "{} then {}", asked, provider.asked());
    let bearer = format!("Bearer {}", token("one", FIRST));
    let target = "/api/v1/channels/chat:a/messages";
    assert_eq!(ask(&server, "GET", target, &[("Authorization", &bearer)], "").await.status, 200);
}

#[tokio::test]
async fn while_the_provider_is_down_from_the_beginning_clients_are_told_to_come_again() {
    let provider = Provider::start(500, &json!("down")).await;
    let folder = Folder::with_config(&provider.config());
    let server = Server::start(&folder);
    fetched(&provider, 1).await;
    let mut client = Client::open(&server).await;
    let refused = client.ask(json!({ "type": "connect", "token": token("one", FIRST) })).await;
    assert_eq!((&refused["code"], refused["retry"].is_u64()), (&json!("not_available"), true), "{refused}");
    assert_eq!(client.closed().await, 4500, "which says: come again");
}

#[tokio::test]
async fn what_is_no_set_changes_nothing() {
    for (status, answer) in [
        (200, json!({ "keys": [] })),
        (200, json!("x".repeat(300 << 10))),
        (200, json!({ "keys": [{ "kty": "oct", "k": "AAAA", "kid": "one", "alg": "HS256" }] })),
        (302, json!({ "keys": [jwk("one", FIRST)] })),
    ] {
        let provider = Provider::start(status, &answer).await;
        let folder = Folder::with_config(&provider.config());
        let server = Server::start(&folder);
        fetched(&provider, 1).await;
        let refused = connect(&server, &token("one", FIRST)).await;
        assert_eq!(refused["code"], "not_available", "{status}: {refused}");
    }
}

/// Rotation: a key that is not known is looked for at once, if the last look is not too near; one that is gone is gone with
/// the next set; and while the provider is down, those that were known are.
#[tokio::test]
async fn keys_are_rotated_and_an_outage_takes_none_away() {
    let provider = Provider::start(200, &json!({ "keys": [jwk("one", FIRST)] })).await;
    let config = provider.config().replace(".json\"", ".json\", refresh = \"1s\"");
    let folder = Folder::with_config(&config);
    let server = Server::start(&folder);
    assert_eq!(connect(&server, &token("one", FIRST)).await["type"], "welcome");
    provider.publishes(200, &json!({ "keys": [jwk("one", FIRST), jwk("two", SECOND)] }));
    // The next look, by itself or because of this token, brings it.
    let begun = provider.asked();
    loop {
        let answer = connect(&server, &token("two", SECOND)).await;
        if answer["type"] == "welcome" {
            break;
        }
        assert_eq!(answer["code"], "not_available", "{answer}");
        let asked = provider.asked();
        if asked == begun {
            fetched(&provider, begun + 1).await;
        }
    }
    provider.publishes(503, &json!("down"));
    let asked = provider.asked();
    fetched(&provider, asked + 1).await;
    for (name, key) in [("one", FIRST), ("two", SECOND)] {
        assert_eq!(connect(&server, &token(name, key)).await["type"], "welcome", "{name}");
    }
    provider.publishes(200, &json!({ "keys": [jwk("two", SECOND)] }));
    let asked = provider.asked();
    fetched(&provider, asked + 1).await;
    while connect(&server, &token("one", FIRST)).await["type"] == "welcome" {}
    assert_eq!(connect(&server, &token("one", FIRST)).await["code"], "not_available");
    let welcome = connect(&server, &token("two", SECOND)).await;
    assert_eq!(welcome["type"], "welcome", "{welcome}");
}

/// Keys are taken from whom the system trusts to be who the URL says, and from nobody else.
#[tokio::test]
async fn a_set_is_fetched_over_https_from_whom_the_system_trusts() {
    let (theirs, others) = (Authority::new(), Authority::new());
    let provider = Provider::speaking(Some(&theirs), 200, &json!({ "keys": [jwk("one", FIRST)] })).await;
    let folder = Folder::with_config(&provider.config());
    let roots = |authority: &Authority| folder.write("roots.pem", authority.pem()).display().to_string();
    let trusting = Server::with_environment(&folder, &[("SSL_CERT_FILE", &roots(&theirs))], &[]);
    let welcome = connect(&trusting, &token("one", FIRST)).await;
    assert_eq!(welcome["user"], "ann", "{welcome}");
    trusting.kill();
    let (server, asked) =
        (Server::with_environment(&folder, &[("SSL_CERT_FILE", &roots(&others))], &[]), provider.asked());
    server.has_said("invalid peer certificate").await;
    let refused = connect(&server, &token("one", FIRST)).await;
    assert_eq!((&refused["code"], provider.asked()), (&json!("not_available"), asked), "{refused}");
    server.kill();
}
