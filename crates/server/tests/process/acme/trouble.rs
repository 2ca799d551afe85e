//! An authority that is down or refuses, names that lead elsewhere, and a server that is killed meanwhile: it runs, says so,
//! and asks again neither too soon nor too often.

use super::authority::{Acme, Lie, problem_of};
use super::{GIVEN, REFUSED, check_alive, check_wss, config, end, folder, kept, shown, start};
use crate::patience::until;
use crate::server::{Folder, Server};

/// Takes away how the last orders went: the server may ask at once.
fn forget_tries(folder: &Folder) {
    std::fs::remove_file(folder.data().join("acme/tries.json")).expect("it is there");
}

#[tokio::test]
async fn a_certificate_that_cannot_be_renewed_stays() {
    let acme = Acme::start().await;
    // To be renewed as soon as it is given.
    acme.certifies_for((-1_000, 300));
    let folder = folder(&acme, &["localhost"]);
    let server = start(&acme, &folder);
    server.has_said(GIVEN).await;
    acme.lies(&[Lie { at: "/", status: 500, body: Some(String::new()), ..Lie::default() }]);
    server.has_said("could not be renewed; the one before stays").await;
    check_wss(&acme, &server).await;
    server.kill();
    let server = start(&acme, &folder);
    check_wss(&acme, &server).await;
    end(server).await;
}

/// It serves as long as the server runs; one that is started again and again does not order each time.
#[tokio::test]
async fn a_certificate_that_cannot_be_kept_is_not_ordered_again_and_again() {
    let acme = Acme::start().await;
    let folder = folder(&acme, &["localhost"]);
    // Where the file would be written before it is moved.
    std::fs::create_dir_all(folder.data().join("acme/certificate.new/in-the-way")).expect("it is writable");
    let server = start(&acme, &folder);
    server.has_said(GIVEN).await;
    check_wss(&acme, &server).await;
    server.has_said("the certificate could not be kept").await;
    assert_eq!(kept(&folder, "tries.json")["count"], 1);
    server.kill();
    let server = start(&acme, &folder);
    server.has_said("the authority is left alone for a while").await;
    assert_eq!(acme.count("POST /new-order"), 1);
    end(server).await;
}

#[tokio::test]
async fn while_there_is_none_the_server_runs_says_so_and_leaves_the_authority_alone() {
    let acme = Acme::start().await;
    let down = Lie { at: "/dir", status: 503, body: Some("<html>".to_owned()), ..Lie::default() };
    acme.lies(&[down]);
    let folder = folder(&acme, &["localhost"]);
    let server = start(&acme, &folder);
    server.has_said(REFUSED).await;
    let said = server.said_so_far();
    for words in ["localhost", "it answered 503 Service Unavailable", "WARN"] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    let next = said.split_once("next_try_in=").and_then(|(_, next)| next.split('s').next()?.parse().ok());
    assert!(next.is_some_and(|next: u64| (60..=75).contains(&next)), "{said}");
    let alert = shown(&server, &[]).await.expect_err("there is nothing to show");
    assert!(alert.contains("AccessDenied"), "{alert}");
    check_alive(&server).await;
    server.kill();
    // It could be had now, but a server that is started again and again must not ask each time.
    acme.lies(&[]);
    let asked = acme.asked().len();
    let server = start(&acme, &folder);
    server.has_said("the authority is left alone for a while").await;
    assert_eq!(acme.asked().len(), asked);
    server.kill();
    // Unless it is asked for something else, or somebody says so.
    forget_tries(&folder);
    let server = start(&acme, &folder);
    server.has_said(GIVEN).await;
    check_wss(&acme, &server).await;
    end(server).await;
}

#[tokio::test]
async fn an_authority_that_is_not_there_is_told_of() {
    let acme = Acme::start().await;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let url = format!("http://{}/dir", nobody.local_addr().expect("it is bound"));
    drop(nobody);
    let folder = Folder::with_config(&config(&acme, &["localhost"], "").replace(&acme.directory(), &url));
    let server = Server::serve(&folder);
    server.has_said(REFUSED).await;
    let said = server.said_so_far();
    assert!(said.contains(&format!("{url}: ")) && said.contains("Connection refused"), "{said}");
    check_alive(&server).await;
    end(server).await;
}

/// A server that is killed while it orders has used up a try.
#[tokio::test]
async fn an_order_that_was_cut_off_counts() {
    let acme = Acme::start().await;
    let folder = folder(&acme, &["localhost"]);
    let server = Server::serve(&folder);
    until("the order", || (acme.count("POST /look") == 1).then_some(())).await;
    server.kill();
    assert_eq!(kept(&folder, "tries.json")["count"], 1);
    let server = start(&acme, &folder);
    server.has_said("the authority is left alone for a while").await;
    assert_eq!(acme.count("POST /new-order"), 1);
    // The end does not wait for it.
    end(server).await;
}

#[tokio::test]
async fn an_authority_that_refuses_is_asked_again_when_it_says() {
    let acme = Acme::start().await;
    let detail = format!("too many\u{1b}[31m orders\n{}", "x".repeat(5_000));
    let refusal = Lie {
        at: "/new-order",
        status: 429,
        headers: vec![("Retry-After", "1".to_owned())],
        body: Some(problem_of("rateLimited", &detail)),
        times: Some(3),
    };
    // A nonce that is old by then costs nothing.
    let stale = Lie {
        at: "/new-order",
        status: 400,
        body: Some(problem_of("badNonce", "old")),
        times: Some(1),
        ..Lie::default()
    };
    acme.lies(&[refusal, stale]);
    let folder = folder(&acme, &["localhost"]);
    let server = start(&acme, &folder);
    server.has_said(GIVEN).await;
    check_wss(&acme, &server).await;
    assert_eq!(acme.count("POST /new-order"), 5);
    assert_eq!(acme.accounts().len(), 1);
    let said = end(server).await;
    assert_eq!(said.matches(REFUSED).count(), 3, "{said}");
    assert!(said.contains("too many [31m orders x"), "{said}");
    let longest = said.lines().map(str::len).max().expect("a line");
    assert!(longest < 1_500 && !said.contains('\u{1b}'), "{longest}: {said}");
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_told_with_what_the_authority_found() {
    let acme = Acme::start().await;
    let elsewhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    acme.leads_to(Some(elsewhere.local_addr().expect("it is bound")));
    tokio::spawn(async move { while elsewhere.accept().await.is_ok() {} });
    let folder = folder(&acme, &["chat.example.org"]);
    let server = Server::serve(&folder);
    server.has_said(REFUSED).await;
    let said = server.said_so_far();
    assert!(said.contains("chat.example.org: API error: ") && said.contains("error:unauthorized"), "{said}");
    check_alive(&server).await;
    end(server).await;
}

/// A certificate that is over, or for other names, is not shown though the authority gives it; one that is over is not shown
/// though it was kept.
#[tokio::test]
async fn what_is_over_or_cannot_be_read_is_not_shown() {
    let acme = Acme::start().await;
    acme.certifies_for((-100, -10));
    let folder = folder(&acme, &["localhost"]);
    let server = start(&acme, &folder);
    server.has_said("the certificate's time is over").await;
    server.kill();
    acme.certifies_for((-100, 90 * 86_400));
    forget_tries(&folder);
    let server = start(&acme, &folder);
    server.has_said(GIVEN).await;
    server.kill();
    let place = folder.data().join("acme/certificate.json");
    let good = std::fs::read_to_string(&place).expect("it is there");
    for bad in
        [good.replace("-----BEGIN CERT", "-----BEGIN BERT"), good[..good.len() / 2].to_owned(), String::new()]
    {
        std::fs::write(&place, bad).expect("it is writable");
        let count = acme.certified().len();
        let server = start(&acme, &folder);
        server.has_said(GIVEN).await;
        assert_eq!(acme.certified().len(), count + 1);
        check_wss(&acme, &server).await;
        server.kill();
    }
}

/// One that an authority does not know any more is made anew, at the next try.
#[tokio::test]
async fn an_account_that_is_forgotten_is_made_anew() {
    let acme = Acme::start().await;
    let folder = folder(&acme, &["localhost"]);
    let server = start(&acme, &folder);
    server.has_said(GIVEN).await;
    server.kill();
    acme.forgets_accounts();
    std::fs::remove_file(folder.data().join("acme/certificate.json")).expect("it is there");
    let server = start(&acme, &folder);
    server.has_said("who are you?").await;
    server.kill();
    forget_tries(&folder);
    let server = start(&acme, &folder);
    server.has_said(GIVEN).await;
    assert_eq!(acme.accounts().len(), 2);
    end(server).await;
}
