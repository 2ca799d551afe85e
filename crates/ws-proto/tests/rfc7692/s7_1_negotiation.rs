//! The parameters (§7.1), both roles, as tables: T11. Any bytes in the header are T2, in `hostile/handshake.rs`.

use trunkline_ws_proto::handshake::{
    AcceptOptions, ClientHandshake, HandshakeLimits, Parsed, Request, Url, accept, answer_deflate,
    confirm_deflate, offer_deflate,
};
use trunkline_ws_proto::{DeflateParams, HandshakeError, Rejection};

use crate::wire::TAKEOVER;

const DEFAULT: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// What a server that wishes for `wish` answers to `offers`, one header each.
#[track_caller]
fn answers(wish: DeflateParams, offers: &[&str], expect: Option<&str>) {
    let answer =
        answer_deflate(offers.iter().map(|offer| offer.as_bytes()), wish).expect("the grammar holds");
    assert_eq!(answer.map(|(_, answer)| answer).as_deref(), expect, "{offers:?}");
}

/// What a client that offered `offered` makes of an answer.
#[track_caller]
fn confirms(offered: DeflateParams, answer: &str, expect: Option<DeflateParams>) {
    let verdict = confirm_deflate([answer.as_bytes()], Some(offered));
    match expect {
        Some(params) => assert_eq!(verdict, Ok(Some(params)), "{answer}"),
        None => assert!(verdict.is_err(), "{answer}: {verdict:?}"),
    }
}

#[test]
fn a_server_without_wishes_does_as_it_is_asked() {
    answers(TAKEOVER, &[], None);
    answers(TAKEOVER, &["", ", ,"], None);
    answers(TAKEOVER, &["x-webkit-deflate-frame"], None);
    for (offer, answer) in [
        ("", ""),
        ("; server_no_context_takeover", "; server_no_context_takeover"),
        ("; client_no_context_takeover", "; client_no_context_takeover"),
        ("; server_max_window_bits=15", "; server_max_window_bits=15"),
        ("; server_max_window_bits=10", "; server_max_window_bits=10"),
        ("; client_max_window_bits", ""),
        ("; client_max_window_bits=15", ""),
        ("; client_max_window_bits=9", "; client_max_window_bits=9"),
        (" ;\tserver_max_window_bits = \"1\\2\" ", "; server_max_window_bits=12"),
        (
            "; SERVER_max_window_bits=8; client_max_window_bits=8",
            "; server_max_window_bits=8; client_max_window_bits=8",
        ),
    ] {
        answers(
            TAKEOVER,
            &[&format!("permessage-deflate{offer}")],
            Some(&format!("permessage-deflate{answer}")),
        );
    }
}

#[test]
fn a_server_adds_its_wishes() {
    let default = DeflateParams::default();
    answers(default, &["permessage-deflate"], Some(DEFAULT));
    answers(default, &["permessage-deflate; client_max_window_bits"], Some(DEFAULT));
    let small = DeflateParams { server_max_window_bits: 11, client_max_window_bits: 10, ..TAKEOVER };
    answers(small, &["permessage-deflate"], Some("permessage-deflate; server_max_window_bits=11"));
    for (offer, bits) in [("", 10), ("=15", 10), ("=9", 9)] {
        let answer = format!("permessage-deflate; server_max_window_bits=11; client_max_window_bits={bits}");
        answers(small, &[&format!("permessage-deflate; client_max_window_bits{offer}")], Some(&answer));
    }
    let far = DeflateParams { server_max_window_bits: 99, client_max_window_bits: 0, ..TAKEOVER };
    let answer = "permessage-deflate; client_max_window_bits=8";
    answers(far, &["permessage-deflate; client_max_window_bits"], Some(answer));
}

#[test]
fn t11_every_window_that_can_be_asked_for() {
    for bits in 0..=99 {
        let valid = (8..=15).contains(&bits);
        for value in [format!("{bits}"), format!("\"{bits}\"")] {
            let offer = format!("permessage-deflate; server_max_window_bits={value}");
            let answer = format!("permessage-deflate; server_max_window_bits={bits}");
            answers(TAKEOVER, &[&offer], valid.then_some(&*answer));
            let offer = format!("permessage-deflate; client_max_window_bits={value}");
            let answer = match bits {
                15 => "permessage-deflate".to_owned(),
                _ => format!("permessage-deflate; client_max_window_bits={bits}"),
            };
            answers(TAKEOVER, &[&offer], valid.then_some(&*answer));

            let params = DeflateParams { server_max_window_bits: bits, ..TAKEOVER };
            let answer = format!("permessage-deflate; server_max_window_bits={value}");
            confirms(TAKEOVER, &answer, valid.then_some(params));
            let params = DeflateParams { client_max_window_bits: bits, ..TAKEOVER };
            let answer = format!("permessage-deflate; client_max_window_bits={value}");
            confirms(TAKEOVER, &answer, valid.then_some(params));
        }
    }
}

/// Neither end is held to a window of which the other did not speak, and no extension is agreed on by one end alone.
#[test]
fn t11_what_nobody_asked_for() {
    let small = DeflateParams { server_max_window_bits: 11, client_max_window_bits: 10, ..TAKEOVER };
    let (agreed, answer) =
        answer_deflate([&b"permessage-deflate"[..]], small).expect("valid").expect("agreed");
    assert_eq!(agreed.client_max_window_bits, 15, "a client that cannot limit its window does not");
    assert!(!answer.contains("client_max_window_bits"), "{answer}");
    for answer in ["permessage-deflate", "permessage-deflate; client_max_window_bits=9", "x"] {
        let verdict = confirm_deflate([answer.as_bytes()], None);
        assert_eq!(verdict, Err(HandshakeError::ExtensionUnasked), "{answer}");
    }
}

const INVALID: [&str; 16] = [
    "server_max_window_bits",
    "server_max_window_bits=08",
    "server_max_window_bits=0x9",
    "server_max_window_bits=+9",
    "server_max_window_bits=100",
    "server_max_window_bits=99999999999999999999",
    "server_max_window_bits=10; server_max_window_bits=10",
    "client_max_window_bits=010",
    "client_max_window_bits=10; client_max_window_bits",
    "server_no_context_takeover=1",
    "client_no_context_takeover=true",
    "client_no_context_takeover; client_no_context_takeover",
    "server_no_context_takeover; server_no_context_takeover",
    "unknown",
    "unknown=1",
    "server_max_window_bits_=9",
];

#[test]
fn t11_offers_with_invalid_parameters_are_passed_over() {
    for parameters in INVALID {
        let offer = format!("permessage-deflate; {parameters}");
        answers(TAKEOVER, &[&offer], None);
        answers(TAKEOVER, &[&format!("{offer}, permessage-deflate")], Some("permessage-deflate"));
        answers(TAKEOVER, &[&offer, "foo; bar=\"baz\" ,permessage-deflate"], Some("permessage-deflate"));
        confirms(TAKEOVER, &offer, None);
    }
}

#[test]
fn the_first_valid_offer_counts() {
    let offers = "permessage-deflate; server_max_window_bits=10, permessage-deflate";
    answers(TAKEOVER, &[offers], Some("permessage-deflate; server_max_window_bits=10"));
    let headers = ["bbf; a=\"x\"", "permessage-deflate; client_no_context_takeover", "permessage-deflate"];
    answers(TAKEOVER, &headers, Some("permessage-deflate; client_no_context_takeover"));
}

#[test]
fn t11_headers_outside_of_the_grammar() {
    for header in [
        "permessage-deflate;",
        "permessage-deflate; =",
        "permessage-deflate; a=",
        "permessage-deflate; server_max_window_bits=\"10",
        "permessage-deflate; server_max_window_bits=\"\"",
        "permessage-deflate; a=\"b c\"",
        "permessage-deflate; a=\"b\"c",
        "permessage-deflate foo",
        "; a",
        "\"permessage-deflate\"",
        "permessage-deflate, é",
        "permessage-deflate; a=\"\\",
    ] {
        let answer = answer_deflate([header.as_bytes()], TAKEOVER);
        assert_eq!(answer, Err(Rejection::ExtensionList), "{header}");
        confirms(TAKEOVER, header, None);
    }
}

/// Spaces and commas without end.
#[test]
fn t03_a_header_of_spaces_and_commas() {
    let header = ", ".repeat(32 << 10) + "permessage-deflate" + &" ,".repeat(32 << 10);
    answers(TAKEOVER, &[&header], Some("permessage-deflate"));
    let semicolons = "permessage-deflate".to_owned() + &"; a".repeat(32 << 10);
    answers(TAKEOVER, &[&semicolons], None);
}

#[test]
fn a_client_confirms_what_fits_its_offer() {
    let small = DeflateParams { server_max_window_bits: 11, client_max_window_bits: 10, ..TAKEOVER };
    let with = |server: u8, client: u8| {
        Some(DeflateParams { server_max_window_bits: server, client_max_window_bits: client, ..TAKEOVER })
    };
    for (answer, expect) in [
        ("permessage-deflate", None),
        ("permessage-deflate; server_max_window_bits=12", None),
        ("permessage-deflate; server_max_window_bits=11", with(11, 10)),
        ("permessage-deflate; server_max_window_bits=9", with(9, 10)),
        ("permessage-deflate; server_max_window_bits=11; client_max_window_bits=9", with(11, 9)),
        ("permessage-deflate; server_max_window_bits=11; client_max_window_bits=11", None),
        ("permessage-deflate; server_max_window_bits=11; client_max_window_bits", None),
    ] {
        confirms(small, answer, expect);
    }
    let default = DeflateParams::default();
    confirms(default, DEFAULT, Some(default));
    confirms(default, "permessage-deflate", None);
    confirms(default, "permessage-deflate; server_no_context_takeover", Some(default));
    confirms(TAKEOVER, DEFAULT, Some(default));
    confirms(TAKEOVER, "permessage-deflate, permessage-deflate", None);
    confirms(TAKEOVER, "permessage-deflate, foo", None);
    confirms(TAKEOVER, "foo", None);
    assert_eq!(confirm_deflate([&b""[..]], Some(default)), Ok(None), "a server need not want it");
}

#[test]
fn what_a_client_offers() {
    let more = "; client_max_window_bits";
    assert_eq!(offer_deflate(DeflateParams::default()), DEFAULT.to_owned() + more);
    assert_eq!(offer_deflate(TAKEOVER), "permessage-deflate".to_owned() + more);
    let small = DeflateParams { server_max_window_bits: 11, client_max_window_bits: 10, ..TAKEOVER };
    assert_eq!(
        offer_deflate(small),
        "permessage-deflate; server_max_window_bits=11; client_max_window_bits=10"
    );
}

/// Every offer of ours against every wish of ours: both ends come to the same.
#[test]
fn both_ends_agree() {
    let all = || {
        [false, true].into_iter().flat_map(|server_no_context_takeover| {
            [false, true].into_iter().flat_map(move |client_no_context_takeover| {
                [8, 11, 15].into_iter().flat_map(move |server_max_window_bits| {
                    [8, 11, 15].into_iter().map(move |client_max_window_bits| DeflateParams {
                        server_no_context_takeover,
                        client_no_context_takeover,
                        server_max_window_bits,
                        client_max_window_bits,
                    })
                })
            })
        })
    };
    for wish in all() {
        for offered in all() {
            let offer = offer_deflate(offered);
            let (agreed, answer) = answer_deflate([offer.as_bytes()], wish).expect("valid").expect("agreed");
            let confirmed = confirm_deflate([answer.as_bytes()], Some(offered));
            assert_eq!(confirmed, Ok(Some(agreed)), "{offer} | {answer}");
        }
    }
}

#[test]
fn in_the_handshake() {
    let url = Url::parse("ws://example.com/").expect("a URL");
    let mut client = ClientHandshake::new(&url, *b"the sample nonce");
    client.deflate(DeflateParams::default());
    let head = client.request();
    let Ok(Parsed::Complete { request, .. }) = Request::parse(&head, &HandshakeLimits::default()) else {
        panic!("a whole request");
    };
    for (wish, agreed) in [(Some(TAKEOVER), Some(DeflateParams::default())), (None, None)] {
        let options = AcceptOptions { deflate: wish, ..AcceptOptions::default() };
        let accepted = accept(&request, &options).expect("accepted");
        assert_eq!(accepted.deflate(), agreed);
        let answer = client.clone().receive(&accepted.response(), &HandshakeLimits::default());
        let established = answer.expect("a valid answer").expect("a whole answer");
        assert_eq!(established.deflate, agreed);
    }
}
