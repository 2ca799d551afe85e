//! What an authority may say that is wrong, too long or impossible, and what the log says then.

use serde_json::{Value, json};

use super::authority::{Acme, Lie};
use super::{REFUSED, check_alive, end, folder, shown, start};
use crate::secure::Authority;

type Case = (Lie, &'static str);

fn says(at: &'static str, body: &str) -> Lie {
    Lie { at, status: 200, body: Some(body.to_owned()), ..Lie::default() }
}

fn tells(at: &'static str, body: &Value) -> Lie {
    says(at, &body.to_string())
}

fn endless(at: &'static str) -> Lie {
    Lie { at, status: 200, ..Lie::default() }
}

/// About what it can do.
fn of_the_directory(url: &str) -> Vec<Case> {
    let directory = |nonce: &str| {
        let body = json!({ "newNonce": nonce, "newAccount": url, "newOrder": url, "revokeCert": url });
        tells("/dir", &body)
    };
    let moved = Lie { status: 301, headers: vec![("Location", "/x".to_owned())], ..says("/dir", "moved") };
    vec![
        (says("/dir", "<html>"), "it answered what is no directory"),
        (moved, "it answered 301"),
        (directory("not a URL"), "its newNonce is no URL"),
        (directory("http://192.0.2.1/nonce"), "its newNonce: it is not https://"),
        (endless("/dir"), "has more than 262144 bytes"),
        (endless("/new-account"), "has more than 262144 bytes"),
    ]
}

/// About an order, and what it wants proven.
fn of_orders(url: &str) -> Vec<Case> {
    let order = |at, status: &str, proofs: &[String]| Lie {
        headers: vec![
            ("Location", format!("{url}/order/0")),
            // Later than any clock tells.
            ("Retry-After", u64::MAX.to_string()),
        ],
        ..tells(
            at,
            &json!({ "status": status, "authorizations": proofs, "finalize": format!("{url}/finalize/0") }),
        )
    };
    let proof = |name: &str, kind: &str| {
        let look = json!({ "type": kind, "url": format!("{url}/look/0"), "token": "a", "status": "pending" });
        let name = json!({ "type": "dns", "value": name });
        tells("/proof", &json!({ "status": "pending", "identifier": name, "challenges": [look] }))
    };
    let twice = [format!("{url}/proof/0"), format!("{url}/proof/0")];
    let refused = Lie { status: 403, ..tells("/finalize", &json!({ "detail": "not today" })) };
    vec![
        (tells("/new-order", &json!({ "status": "odd" })), "unknown variant `odd`"),
        (order("/new-order", "pending", &twice), "wants more proven"),
        (order("/new-order", "pending", &["ftp://here".to_owned()]), "it is not https://"),
        (proof("other.example.org", "tls-alpn-01"), "a name proven that it was not asked for"),
        (proof("localhost", "http-01"), "localhost: the authority does not prove names with tls-alpn-01"),
        (order("/order", "pending", &[]), "timed out waiting for an order update"),
        (order("/order", "invalid", &[]), "the order is Invalid"),
        (refused, "API error: not today"),
    ]
}

/// About the certificate.
fn of_certificates() -> Vec<Case> {
    let other = Authority::new().server().chain;
    vec![
        (endless("/certificate"), "has more than 262144 bytes"),
        (says("/certificate", "nonsense"), "there is no certificate in it"),
        (says("/certificate", &other.repeat(17)), "there are more than 16 certificates"),
        // It is for the right name, and another's key.
        (says("/certificate", &other), "the certificate cannot be used"),
    ]
}

#[tokio::test]
async fn an_authority_that_lies_is_not_believed() {
    let acme = Acme::start().await;
    let url = acme.directory().replace("/dir", "");
    let cases = [of_the_directory(&url), of_orders(&url), of_certificates()].concat();
    for (lie, words) in cases {
        acme.lies(&[lie]);
        let folder = folder(&acme, &["localhost"]);
        let server = start(&acme, &folder);
        server.has_said(REFUSED).await;
        let said = server.said_so_far();
        assert!(said.contains(words), "{words:?} is not in {said}");
        check_alive(&server).await;
        assert!(shown(&server, &[]).await.is_err(), "{words}");
        assert!(!folder.data().join("acme/certificate.json").exists(), "{words}");
        end(server).await;
    }
}
