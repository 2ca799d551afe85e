//! Certificates that an authority gives by itself (ACME): got, kept, renewed, and what clients see of it. What goes wrong is in
//! `trouble` and `lies`; when an authority is asked again is tested in `acme/tries.rs` of the server.

mod authority;
mod lies;
mod look;
mod said;
mod signed;
mod trouble;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use crate::client::Client;
use crate::http::ask_at;
use crate::patience::{soon, until};
use crate::raw::Raw;
use crate::secure::TLS;
use crate::server::{Folder, Server, run};
use authority::Acme;
use look::connect;

/// What a server needs besides.
const CONFIG: &str = "[auth]\nanonymous = true\n[admin]\nlisten = \"127.0.0.1:0\"\n\
    [namespace.chat]\nkind = \"log\"\nsubscribe = \"anyone\"\npublish = \"user\"\n";
/// What is said of a certificate that has come.
const GIVEN: &str = "the authority has given a certificate";
const REFUSED: &str = "no certificate could be got";

fn config(acme: &Acme, domains: &[&str], rest: &str) -> String {
    format!(
        "{CONFIG}[server.acme]\ndomains = {domains:?}\nterms_agreed = true\ndirectory = {:?}\n{rest}\n",
        acme.directory()
    )
}

fn folder(acme: &Acme, domains: &[&str]) -> Folder {
    Folder::with_config(&config(acme, domains, ""))
}

/// Starts a server, to which all names lead.
fn start(acme: &Acme, folder: &Folder) -> Server {
    let server = Server::serve(folder);
    acme.leads_to(Some(server.address()));
    server
}

/// The file of the folder that the server keeps.
fn kept(folder: &Folder, name: &str) -> Value {
    let text = std::fs::read_to_string(folder.data().join("acme").join(name)).expect("it is there");
    serde_json::from_str(&text).expect("JSON")
}

/// What a server shows to whoever believes everybody.
async fn shown(server: &Server, offers: &[&[u8]]) -> Result<Vec<u8>, String> {
    let stream = soon("a handshake", connect(server.address(), "localhost", offers)).await?;
    let chain = stream.get_ref().1.peer_certificates();
    Ok(chain.and_then(|chain| chain.first()).expect("a certificate").to_vec())
}

async fn wss(acme: &Acme, server: &Server) -> Client {
    let url = format!("wss://localhost:{}/ws", server.address().port());
    let client = Client::by(trunkline_ws::connect(url).root_certificate(acme.ca.pem())).await;
    client.expect("the certificate is trusted")
}

async fn check_wss(acme: &Acme, server: &Server) {
    let mut client = wss(acme, server).await;
    assert_eq!(client.ask(json!({ "type": "ping" })).await["type"], "pong");
    client.close().await;
}

async fn check_https(acme: &Acme, server: &Server) {
    let mut raw = acme.ca.connect(server).await;
    raw.write(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(raw.response().await.expect("an answer").status, 200);
}

/// Whether it lives, as its administrators see it.
async fn check_alive(server: &Server) {
    assert_eq!(ask_at(server.admin(), "GET", "/health/live", &[], "").await.status, 200);
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

async fn end(server: Server) -> String {
    server.signal(Signal::TERM);
    let (status, said) = server.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
    said
}

/// All of it: over HTTPS, for two names, with all that there is to log.
#[tokio::test]
async fn a_certificate_is_got_and_used_and_kept() {
    let acme = Acme::start_tls().await;
    let domains = ["localhost", "chat.example.org"];
    let folder =
        Folder::with_config(&config(&acme, &domains, "contact = \"ops@example.org\"\nroots = \"ca.pem\""));
    folder.write("ca.pem", acme.ca.pem());
    let server = Server::with_environment(&folder, &[("TRUNKLINE_LOG", "trace")], &["serve"]);
    let ready = ask_at(server.admin(), "GET", "/health/ready", &[], "").await;
    assert_eq!((ready.status, &*ready.body), (503, "there is no certificate yet\n"));
    acme.leads_to(Some(server.address()));
    server.has_said(GIVEN).await;
    check_wss(&acme, &server).await;
    check_https(&acme, &server).await;
    assert_eq!(ask_at(server.admin(), "GET", "/health/ready", &[], "").await.status, 200);
    let metrics = ask_at(server.admin(), "GET", "/metrics", &[], "").await.body;
    let end_of =
        metrics.lines().find_map(|line| line.strip_prefix("trunkline_certificate_expiry_timestamp_seconds "));
    let left = end_of.expect("it is told").parse::<u64>().expect("a number") - now();
    assert!((89 * 86_400..=90 * 86_400).contains(&left), "{left}");
    assert_eq!(acme.certified(), [["chat.example.org", "localhost"]]);
    assert_eq!(acme.accounts()[0]["contact"], json!(["mailto:ops@example.org"]));

    let place = folder.data().join("acme");
    assert_eq!(mode(&place), 0o700);
    let mut files: Vec<_> =
        std::fs::read_dir(&place).expect("it is there").map(|file| file.expect("one").path()).collect();
    files.sort();
    assert_eq!(files, ["account.json", "certificate.json"].map(|name| place.join(name)));
    for file in &files {
        assert_eq!(mode(file), 0o600, "{file:?}");
    }
    let said = end(server).await;
    let (account, certificate) = (kept(&folder, "account.json"), kept(&folder, "certificate.json"));
    let secret = account["credentials"]["key_pkcs8"].as_str().expect("a key");
    let pem = certificate["key"].as_str().expect("a key");
    assert!(said.contains("instant") || said.contains("TRACE"), "all is logged: {said}");
    for secret in [secret, pem.lines().nth(1).expect("base64"), "PRIVATE KEY", "token-0-0"] {
        assert!(!said.contains(secret), "{secret:?} is in {said}");
    }

    // A restart asks for nothing.
    let asked = acme.asked();
    let server = Server::serve(&folder);
    check_wss(&acme, &server).await;
    assert_eq!(acme.asked(), asked);
    end(server).await;

    // Other names are ordered, for the same account, which the authority may write to elsewhere.
    folder.write(
        "config.toml",
        config(&acme, &["localhost"], "contact = \"other@example.org\"\nroots = \"ca.pem\""),
    );
    let server = start(&acme, &folder);
    server.has_said(GIVEN).await;
    check_wss(&acme, &server).await;
    assert_eq!(acme.certified()[1], ["localhost"]);
    assert_eq!(acme.accounts().len(), 1);
    assert_eq!(acme.accounts()[0]["contact"], json!(["mailto:other@example.org"]));
    end(server).await;
}

/// Seconds since 1970.
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("the clock is set").as_secs()
}

#[tokio::test]
async fn a_certificate_is_renewed_before_its_end_and_nobody_is_dropped() {
    let acme = Acme::start().await;
    // To be renewed in some seconds, and good for some more.
    acme.certifies_for((-34, 26));
    let folder = folder(&acme, &["localhost"]);
    let server = start(&acme, &folder);
    server.has_said(GIVEN).await;
    let first = shown(&server, &[]).await.expect("a certificate");
    let mut old = wss(&acme, &server).await;
    // The next one is for longer.
    acme.certifies_for((0, 90 * 86_400));
    until("another certificate", || (acme.certified().len() == 2).then_some(())).await;
    soon("it to be shown", async { while shown(&server, &[]).await.as_ref() == Ok(&first) {} }).await;
    check_wss(&acme, &server).await;
    assert_eq!(old.ask(json!({ "type": "ping" })).await["type"], "pong");
    assert_eq!(acme.accounts().len(), 1);
    let left = folder.data().join("acme/tries.json");
    until("the tries to be forgotten", || (!left.exists()).then_some(())).await;
    end(server).await;
}

/// While a name is being proven others are served as ever, whatever they offer.
#[tokio::test]
async fn clients_that_offer_acme_tls_among_others_get_no_harm() {
    let acme = Acme::start().await;
    // It is to be renewed as soon as it is given.
    acme.certifies_for((-1_000, 100));
    let folder = folder(&acme, &["localhost"]);
    let server = start(&acme, &folder);
    until("the first certificate", || (acme.count("POST /certificate") == 1).then_some(())).await;
    acme.leads_to(None);
    server.has_said(GIVEN).await;
    let looks = acme.count("POST /look");
    until("a proof that waits", || (acme.count("POST /look") > looks).then_some(())).await;
    for offers in [&[&b"acme-tls/1"[..], b"http/1.1"][..], &[b"h2", b"acme-tls/1"], &[b"http/1.1"], &[]] {
        let stream =
            soon("a handshake", connect(server.address(), "localhost", offers)).await.expect("it is served");
        let chosen = stream.get_ref().1.alpn_protocol();
        assert_eq!(chosen, offers.iter().copied().find(|offer| *offer != b"acme-tls/1"));
    }
    check_wss(&acme, &server).await;
    check_https(&acme, &server).await;
    let real = shown(&server, &[b"http/1.1"]).await.expect("it is served");
    let proof = shown(&server, &[b"acme-tls/1"]).await.expect("a proof");
    assert_ne!(real, proof);
    for (name, offers) in [("other.example.org", &[&b"acme-tls/1"[..]][..]), ("localhost", &[b"acme-tls/2"])]
    {
        let refused = soon("a handshake", connect(server.address(), name, offers))
            .await
            .expect_err("nothing in common");
        assert!(refused.contains("NoApplicationProtocol"), "{refused}");
    }
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1, 0, 4, 1, 0, 0, 0], &[0xff; 600]] {
        let mut raw = Raw::connect(&server).await;
        raw.try_write(bytes).await;
        let mut answer = Vec::new();
        // What comes is an alert of TLS, or nothing.
        let _ = soon("the end of the line", raw.stream.read_to_end(&mut answer)).await;
        assert!(answer.is_empty() || answer[0] == 0x15, "{answer:?}");
    }
    // When it is over nobody is shown a proof any more.
    acme.certifies_for((-1_000, 90 * 86_400));
    acme.leads_to(Some(server.address()));
    let left = folder.data().join("acme/tries.json");
    until("a certificate for long", || (!left.exists()).then_some(())).await;
    let refused = shown(&server, &[b"acme-tls/1"]).await.expect_err("nothing is proven");
    assert!(refused.contains("NoApplicationProtocol"), "{refused}");
    check_wss(&acme, &server).await;
    end(server).await;
}

#[tokio::test]
async fn a_server_ends_while_it_is_being_proven() {
    let acme = Acme::start().await;
    let folder = folder(&acme, &["localhost"]);
    let server = Server::serve(&folder);
    until("the order", || (acme.count("POST /look") == 1).then_some(())).await;
    end(server).await;
}

#[tokio::test]
async fn what_is_wrong_is_refused_before_anything_is_made() {
    let acme = |rest: &str| format!("{CONFIG}[server.acme]\n{rest}\n");
    let cases = [
        (
            acme("domains = [\"a.org\"]"),
            "[server.acme]: authorities give certificates to those who agree to their terms",
        ),
        (acme("domains = [\"*.a.org\"]\nterms_agreed = true"), "\"*.a.org\" stands for many names"),
        (acme("terms_agreed = true"), "missing field `domains`"),
        (acme("domains = [\"a.org\"]\nterms_agreed = true\nroots = \"ca.pem\""), "ca.pem: cannot be read"),
        (
            format!("{}{TLS}", acme("domains = [\"a.org\"]\nterms_agreed = true")),
            "[server.tls] and [server.acme]: a certificate comes from",
        ),
    ];
    for (config, words) in cases {
        let folder = Folder::with_config(&config);
        let (config, data) = (folder.path().join("config.toml"), folder.data());
        let (config, data) = (config.to_str().expect("UTF-8"), data.to_str().expect("UTF-8"));
        let output = run(&["serve", "--config", config, "--data", data, "--listen", "127.0.0.1:0"], "").await;
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{words:?} is not in {said}");
        assert!(!folder.data().exists(), "nothing is made");
    }
}

/// `trunkline serve` beyond this machine needs no word about plaintext where an authority gives it a certificate.
#[tokio::test]
async fn with_acme_a_server_may_listen_for_other_machines() {
    let acme = Acme::start().await;
    let folder = folder(&acme, &["localhost"]);
    let server = Server::with(&folder, &["serve", "--listen", "0.0.0.0:0"]);
    assert!(server.ready().starts_with("https://0.0.0.0:"), "{}", server.ready());
    acme.leads_to(Some(([127, 0, 0, 1], server.address().port()).into()));
    server.has_said(GIVEN).await;
    end(server).await;
}
