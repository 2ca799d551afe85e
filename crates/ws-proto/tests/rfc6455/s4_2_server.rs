//! §4.2: what a server reads, refuses and answers. The client's side is `s4_1_client`.

use trunkline_ws_proto::Rejection;
use trunkline_ws_proto::handshake::{
    AcceptOptions, Accepted, HandshakeLimits, HeadScan, OriginPolicy, Parsed, Request, accept, accept_key,
};

const USUAL: [(&str, &str); 5] = [
    ("Host", "example.com"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
];

/// The usual request with some headers replaced (`None` leaves one out) and others added.
fn request(line: &str, changes: &[(&str, Option<&str>)]) -> String {
    let changed = |name: &str| changes.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    let usual = USUAL.iter().filter(|(name, _)| !changed(name)).copied();
    let added = changes.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
    let headers: String = usual.chain(added).map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{line}\r\n{headers}\r\n")
}

fn judge(head: &str, options: &AcceptOptions) -> Result<Accepted, Rejection> {
    match Request::parse(head.as_bytes(), &HandshakeLimits::default())? {
        Parsed::Complete { request, .. } => accept(&request, options),
        Parsed::Partial => panic!("the head is whole: {head:?}"),
    }
}

#[track_caller]
fn check(changes: &[(&str, Option<&str>)], expect: Result<(), Rejection>) {
    let verdict = judge(&request("GET /chat HTTP/1.1", changes), &AcceptOptions::default());
    assert_eq!(verdict.map(drop), expect, "{changes:?}");
}

#[test]
fn the_example_of_section_1_3() {
    assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let accepted = judge(&request("GET /chat HTTP/1.1", &[]), &AcceptOptions::default());
    let response = accepted.map(|accepted| accepted.response());
    let expect = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    assert_eq!(response, Ok(expect.as_bytes().to_vec()));
}

#[test]
fn the_key_is_sixteen_bytes() {
    let key = |key: &'static str| [("Sec-WebSocket-Key", Some(key))];
    check(&key("dGhlIHNhbXBsZQ=="), Err(Rejection::KeyLength(10)));
    let words = Rejection::KeyLength(10).to_string();
    assert_eq!(words, "Sec-WebSocket-Key must be 16 bytes in base64, but it is 10 bytes");
    check(&key("dGhlIHNhbXBsZSBub25jZSE="), Err(Rejection::KeyLength(17)));
    check(&key(""), Err(Rejection::KeyLength(0)));
    check(&key("dGhlIHNhbXBsZSBub25jZQ"), Err(Rejection::KeyNotBase64));
    check(&key("dGhlIHNhbXBsZSBub25jZR=="), Err(Rejection::KeyNotBase64));
    check(&key("dGhlIHNhbXBsZSBub25j_Q=="), Err(Rejection::KeyNotBase64));
    check(&key("not base64 at all"), Err(Rejection::KeyNotBase64));
    check(&[("Sec-WebSocket-Key", None)], Err(Rejection::HeaderMissing("Sec-WebSocket-Key")));
}

#[test]
fn the_version_is_13() {
    for version in ["8", "0", "14", "013", "13, 8", "thirteen", ""] {
        check(&[("Sec-WebSocket-Version", Some(version))], Err(Rejection::WebSocketVersion));
    }
    check(&[("Sec-WebSocket-Version", None)], Err(Rejection::HeaderMissing("Sec-WebSocket-Version")));
    let response = String::from_utf8(Rejection::WebSocketVersion.response()).expect("text");
    assert!(response.starts_with("HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\n"));
}

#[test]
fn upgrade_and_connection_are_lists_of_tokens_in_any_case() {
    for (upgrade, connection) in [
        ("WebSocket", "upgrade"),
        ("WEBSOCKET", "UPGRADE"),
        ("h2c, websocket", "keep-alive, Upgrade"),
        (",, websocket ,", "keep-alive ,\tupgrade"),
    ] {
        check(&[("Upgrade", Some(upgrade)), ("connection", Some(connection))], Ok(()));
    }
    check(&[("Connection", Some("keep-alive")), ("Connection", Some("Upgrade"))], Ok(()));
    check(&[("Upgrade", None)], Err(Rejection::UpgradeMissing));
    check(&[("Upgrade", Some("websockets"))], Err(Rejection::UpgradeMissing));
    check(&[("Connection", None)], Err(Rejection::ConnectionMissing));
    check(&[("Connection", Some("upgrade-insecure"))], Err(Rejection::ConnectionMissing));
}

#[test]
fn what_may_be_there_once() {
    for (name, first, second) in [
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13", "13"),
        ("Host", "example.com", "example.com"),
        ("Origin", "http://example.com", "http://example.com"),
        ("Content-Length", "0", "0"),
    ] {
        check(&[(name, Some(first)), (name, Some(second))], Err(Rejection::HeaderRepeated(name)));
    }
    check(&[("Host", None)], Err(Rejection::HeaderMissing("Host")));
}

#[test]
fn request_lines() {
    for (line, expect) in [
        ("GET / HTTP/1.1", Ok(())),
        ("GET /a?b=c HTTP/1.1", Ok(())),
        ("POST / HTTP/1.1", Err(Rejection::MethodNotGet)),
        ("get / HTTP/1.1", Err(Rejection::MethodNotGet)),
        ("GET / HTTP/1.0", Err(Rejection::VersionTooOld)),
    ] {
        assert_eq!(judge(&request(line, &[]), &AcceptOptions::default()).map(drop), expect, "{line}");
    }
    for line in [
        "GET http://example.com/ HTTP/1.1",
        "GET ws://example.com/ HTTP/1.1",
        "GET example.com:80 HTTP/1.1",
        "GET * HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET /é HTTP/1.1",
        "GET / HTTP/2.0",
        "GET /",
        "GET  / HTTP/1.1",
        "",
    ] {
        let verdict = judge(&request(line, &[]), &AcceptOptions::default());
        assert!(matches!(verdict, Err(Rejection::Malformed(_))), "{line}: {verdict:?}");
    }
    for target in ["http://example.com/", "example.com:80", "*", ""] {
        let request = Request::new("GET", target, 1, USUAL.map(|(name, value)| (name, value.as_bytes())));
        let verdict = accept(&request, &AcceptOptions::default());
        assert!(matches!(verdict, Err(Rejection::Malformed(_))), "{target}: {verdict:?}");
    }
}

#[test]
fn t21_smuggling() {
    check(&[("Content-Length", Some("0"))], Ok(()));
    for length in ["1", "-0", "+0", "00", "0, 0", ""] {
        check(&[("Content-Length", Some(length))], Err(Rejection::BodyUnexpected("Content-Length")));
    }
    check(&[("Transfer-Encoding", Some("chunked"))], Err(Rejection::BodyUnexpected("Transfer-Encoding")));
    check(
        &[("Content-Length", Some("0")), ("Transfer-Encoding", Some("identity"))],
        Err(Rejection::BodyUnexpected("Transfer-Encoding")),
    );
    let usual = request("GET / HTTP/1.1", &[]);
    for head in [
        usual.replace("\r\n", "\n"),
        usual.replacen("\r\n", "\n", 1),
        usual.replace("Host: ", "Host : "),
        usual.replace("Host: ", "Host: a\r\n b"),
        usual.replace("Host: ", "Host: a\r\n\tb"),
        usual.replace("Host: ", " Host: "),
        usual.replace("Host: ", ": "),
        usual.replace("Host: ", "H\u{0}st: "),
        usual.replace("Host: ", "Host: \u{0}"),
        usual.replace("Host: ", "Host: \r"),
        usual.replace("Host: ", "Hést: "),
        format!("\r\n{usual}"),
        "\u{16}\u{3}\u{1}".to_owned(),
    ] {
        let verdict = Request::parse(head.as_bytes(), &HandshakeLimits::default());
        assert!(matches!(verdict, Err(Rejection::Malformed(_))), "{head:?}: {verdict:?}");
    }
}

/// Nothing waits for the end of a head that is already wrong.
#[test]
fn refused_before_the_head_is_whole() {
    for (begun, words) in [
        ("GET / HTTP/1.1\r\nHost: h\r\n ", "a folded header line"),
        ("GET / HTTP/1.1\n", "a line ends with LF instead of CR LF"),
        ("GET / HTTP/1.1\rH", "a CR without LF"),
        ("\r", "it begins with an empty line"),
        ("GET /\u{0}", "a control character"),
    ] {
        let found = HeadScan::default().find(begun.as_bytes(), &HandshakeLimits::default());
        assert_eq!(found, Err(Rejection::Malformed(words)), "{begun:?}");
        let before = &begun.as_bytes()[..begun.len() - 1];
        assert_eq!(HeadScan::default().find(before, &HandshakeLimits::default()), Ok(None));
    }
}

#[test]
fn limits_of_the_head() {
    let limits = HandshakeLimits { head_size_max: 400, headers_max: 7 };
    let parse = |head: &str| {
        Request::parse(head.as_bytes(), &limits).map(|parsed| matches!(parsed, Parsed::Complete { .. }))
    };
    let filled = |size: usize| {
        let missing = size - request("GET / HTTP/1.1", &[("X", Some(""))]).len();
        request("GET / HTTP/1.1", &[("X", Some(&"x".repeat(missing)))])
    };
    assert_eq!(parse(&filled(400)), Ok(true));
    assert_eq!(parse(&filled(401)), Err(Rejection::HeadTooLarge(400)));
    assert_eq!(parse(&filled(400)[..399]), Ok(false));
    assert_eq!(parse(&"x".repeat(400)), Ok(false));
    assert_eq!(parse(&"x".repeat(401)), Err(Rejection::HeadTooLarge(400)));
    let with = |count: usize| request("GET / HTTP/1.1", &vec![("X", Some("y")); count - USUAL.len()]);
    assert_eq!(parse(&with(7)), Ok(true));
    assert_eq!(parse(&with(8)), Err(Rejection::HeadersTooMany(7)));
    for count in [101, 1_000] {
        let verdict = judge(&with(count), &AcceptOptions::default());
        assert_eq!(verdict.map_err(|rejection| rejection.status()), Err(431));
    }
}

#[test]
fn the_bytes_after_the_head_are_told_once() {
    let head = request("GET / HTTP/1.1", &[]);
    let received = format!("{head}\u{1}frames\r\n\r\n");
    for size in 0..=received.len() {
        let limits = HandshakeLimits::default();
        let parsed = Request::parse(&received.as_bytes()[..size], &limits).expect("valid");
        match parsed {
            Parsed::Partial => assert!(size < head.len()),
            Parsed::Complete { head_size, .. } => assert!(size >= head.len() && head_size == head.len()),
        }
    }
}

#[test]
fn a_head_that_trickles_in() {
    let head = request("GET / HTTP/1.1", &[]);
    let mut scan = HeadScan::default();
    for size in 0..head.len() {
        assert_eq!(scan.find(&head.as_bytes()[..size], &HandshakeLimits::default()), Ok(None));
    }
    assert_eq!(scan.find(head.as_bytes(), &HandshakeLimits::default()), Ok(Some(head.len())));
}

#[test]
fn the_server_prefers_among_the_clients_subprotocols() {
    let choose = |offers: &[&str], ours: &[&str]| {
        let changes: Vec<_> = offers.iter().map(|offer| ("Sec-WebSocket-Protocol", Some(*offer))).collect();
        let subprotocols = ours.iter().map(|name| (*name).to_owned()).collect();
        judge(
            &request("GET / HTTP/1.1", &changes),
            &AcceptOptions { subprotocols, ..AcceptOptions::default() },
        )
        .map(|accepted| accepted.subprotocol().map(str::to_owned))
    };
    let chosen = |name: &str| Ok(Some(name.to_owned()));
    assert_eq!(choose(&["a, b"], &["b", "a"]), chosen("b"));
    assert_eq!(choose(&["a", "b"], &["b", "a"]), chosen("b"), "over repeated headers");
    assert_eq!(choose(&["a"], &["b", "a"]), chosen("a"));
    assert_eq!(choose(&["A"], &["a"]), Ok(None), "names are compared exactly");
    assert_eq!(choose(&["c"], &["b", "a"]), Ok(None));
    assert_eq!(choose(&[], &["a"]), Ok(None));
    assert_eq!(choose(&["a"], &[]), Ok(None));
    assert_eq!(choose(&["a, a"], &["a"]), Err(Rejection::SubprotocolList));
    assert_eq!(choose(&["a b"], &["a"]), Err(Rejection::SubprotocolList));
    let many: Vec<_> = (0..65).map(|n| n.to_string()).collect();
    assert_eq!(choose(&[&many.join(",")], &["a"]), Err(Rejection::SubprotocolList));
    assert_eq!(choose(&[&", ,".repeat(5_000)], &["a"]), Ok(None), "64 KiB of nothing is quick");
    let response = judge(
        &request("GET / HTTP/1.1", &[("Sec-WebSocket-Protocol", Some("a"))]),
        &AcceptOptions { subprotocols: vec!["a".into()], ..AcceptOptions::default() },
    )
    .map(|accepted| {
        String::from_utf8_lossy(&accepted.response()).ends_with("Sec-WebSocket-Protocol: a\r\n\r\n")
    });
    assert_eq!(response, Ok(true));
}

#[test]
fn t19_the_origin_matrix() {
    let list =
        OriginPolicy::List(vec!["https://a.example".into(), "http://b.example:3000/".into(), "null".into()]);
    for (policy, origin, host, allowed) in [
        (&OriginPolicy::SameHost, None, "h", true),
        (&OriginPolicy::SameHost, Some("http://h"), "h", true),
        (&OriginPolicy::SameHost, Some("https://h"), "h", true),
        (&OriginPolicy::SameHost, Some("https://h:443"), "h", true),
        (&OriginPolicy::SameHost, Some("http://h"), "h:80", true),
        (&OriginPolicy::SameHost, Some("http://H:8080"), "h:8080", true),
        (&OriginPolicy::SameHost, Some("http://[::1]:8080"), "[::1]:8080", true),
        (&OriginPolicy::SameHost, Some("http://[::1]"), "[::1]", true),
        (&OriginPolicy::SameHost, Some("http://h:8080"), "h", false),
        (&OriginPolicy::SameHost, Some("http://h"), "h:8080", false),
        (&OriginPolicy::SameHost, Some("http://evil"), "h", false),
        (&OriginPolicy::SameHost, Some("http://h.evil"), "h", false),
        (&OriginPolicy::SameHost, Some("http://evil/h"), "h", false),
        (&OriginPolicy::SameHost, Some("null"), "h", false),
        (&OriginPolicy::SameHost, Some(""), "h", false),
        (&OriginPolicy::SameHost, Some("file://h"), "h", false),
        (&OriginPolicy::SameHost, Some("http://"), "", false),
        (&OriginPolicy::SameHost, Some("http://h:99999"), "h:99999", false),
        (&OriginPolicy::Any, Some("http://evil"), "h", true),
        (&OriginPolicy::Any, Some("null"), "h", true),
        (&list, None, "h", true),
        (&list, Some("https://a.example"), "h", true),
        (&list, Some("HTTPS://A.example"), "h", true),
        (&list, Some("http://b.example:3000"), "h", true),
        (&list, Some("null"), "h", true),
        (&list, Some("http://a.example"), "h", false),
        (&list, Some("https://a.example.evil"), "h", false),
        (&list, Some("https://h"), "h", false),
    ] {
        let verdict = policy.allows(origin.map(str::as_bytes), host.as_bytes());
        assert_eq!(verdict, allowed, "{policy:?} {origin:?} {host}");
    }
    check(&[("Origin", Some("http://example.com"))], Ok(()));
    check(&[("Origin", Some("http://evil"))], Err(Rejection::OriginForbidden("http://evil".into())));
}

#[test]
fn refusals_are_whole_responses() {
    for (rejection, status, header) in [
        (Rejection::KeyNotBase64, "400 Bad Request", ""),
        (Rejection::OriginForbidden("http://evil".into()), "403 Forbidden", ""),
        (Rejection::MethodNotGet, "405 Method Not Allowed", "Allow: GET\r\n"),
        (
            Rejection::UpgradeMissing,
            "426 Upgrade Required",
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        ),
        (Rejection::HeadTooLarge(1), "431 Request Header Fields Too Large", ""),
        (Rejection::Other { status: 404, reason: "no such path".into() }, "404 Not Found", ""),
        (
            Rejection::Other { status: 101, reason: "not by a refusal".into() },
            "500 Internal Server Error",
            "",
        ),
        (Rejection::Other { status: 65_535, reason: "no status".into() }, "500 Internal Server Error", ""),
    ] {
        let response = String::from_utf8(rejection.response()).expect("text");
        let (head, body) = response.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n{header}Connection: ")), "{head}");
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
        assert_eq!(body, format!("{rejection}\n"));
    }
}
