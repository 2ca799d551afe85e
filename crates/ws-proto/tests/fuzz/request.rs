//! Target `request`: any bytes as the head that a client sends. Included by `fuzz/` and by `corpus.rs` here.

use trunkline_ws_proto::Rejection;
use trunkline_ws_proto::handshake::{AcceptOptions, HandshakeLimits, HeadScan, Parsed, Request, accept};

/// Parsed or refused, whole or byte by byte, with the same result; and the answer is a response that can be read.
pub(crate) fn check(data: &[u8]) {
    let limits = HandshakeLimits { head_size_max: 2_000, headers_max: 20 };
    let parsed = Request::parse(data, &limits);
    check_scan(data, &limits, &parsed);
    let answer = match &parsed {
        Ok(Parsed::Partial) => return,
        Ok(Parsed::Complete { request, head_size }) => {
            assert!(*head_size <= data.len().min(limits.head_size_max));
            assert!(data[..*head_size].ends_with(b"\r\n\r\n"));
            check_request(request, &limits);
            let options =
                AcceptOptions { subprotocols: vec!["b".into(), "a".into()], ..AcceptOptions::default() };
            accept(request, &options)
                .map_or_else(|rejection| rejection.response(), |accepted| accepted.response())
        }
        Err(rejection) => rejection.response(),
    };
    check_response(&answer);
}

/// What the scan finds in pieces is what the parser finds at once.
fn check_scan(data: &[u8], limits: &HandshakeLimits, parsed: &Result<Parsed<'_>, Rejection>) {
    let mut scan = HeadScan::default();
    let mut found = Ok(None);
    for size in 0..=data.len() {
        found = scan.find(&data[..size], limits);
        if found != Ok(None) {
            break;
        }
    }
    assert_eq!(HeadScan::default().find(data, limits), found, "any split gives the same");
    match parsed {
        Ok(Parsed::Partial) => assert_eq!(found, Ok(None)),
        Ok(Parsed::Complete { head_size, .. }) => assert_eq!(found, Ok(Some(*head_size))),
        Err(rejection) => assert!(matches!(found, Ok(Some(_))) || found.as_ref() == Err(rejection)),
    }
}

fn check_request(request: &Request<'_>, limits: &HandshakeLimits) {
    assert!(
        request.target().starts_with('/') && request.target().bytes().all(|byte| byte.is_ascii_graphic())
    );
    assert!(request.headers().count() <= limits.headers_max);
    for (name, value) in request.headers() {
        assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':'));
        let control = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7F;
        assert!(!value.iter().any(control), "{name}: {value:?}");
    }
}

fn check_response(answer: &[u8]) {
    // httparse forgives a bare LF, the scan does not.
    let end = HeadScan::default().find(answer, &HandshakeLimits::default());
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(size)) = response.parse(answer) else { panic!("{answer:?}") };
    assert_eq!(end, Ok(Some(size)), "{}", answer.escape_ascii());
    let length = response.headers.iter().find(|header| header.name == "Content-Length");
    let length =
        length.map(|header| String::from_utf8_lossy(header.value).parse::<usize>().expect("a number"));
    assert_eq!(answer.len() - size, length.unwrap_or_default());
    assert!(matches!(response.code, Some(101 | 400..=599)));
}
