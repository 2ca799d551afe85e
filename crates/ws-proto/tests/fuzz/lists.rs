//! Target `lists`: any bytes as the headers that are lists (`Connection`, `Upgrade`, `Sec-WebSocket-Protocol`,
//! `Sec-WebSocket-Extensions`), against a slow reading of RFC 9110 §5.6.1, RFC 6455 §9.1 and RFC 7692 §7.1. The first byte
//! chooses the header and the rest is its value, cut into repeated headers at each line feed. Included by `fuzz/` and by
//! `corpus.rs` here.

use trunkline_ws_proto::handshake::{AcceptOptions, Accepted, Request, accept, confirm_deflate};
use trunkline_ws_proto::{DeflateParams, Rejection};

const NAMES: [&str; 4] = ["Connection", "Upgrade", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"];

/// The verdict is the one that the slow reading gives.
pub(crate) fn check(data: &[u8]) {
    let [which, value @ ..] = data else { return };
    let name = NAMES[usize::from(*which) % NAMES.len()];
    let values: Vec<&[u8]> = value.split(|byte| *byte == b'\n').collect();
    let usual: [(&str, &[u8]); 5] = [
        ("Host", b"h"),
        ("Upgrade", b"websocket"),
        ("Connection", b"upgrade"),
        ("Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", b"13"),
    ];
    let usual = usual.into_iter().filter(|(other, _)| *other != name);
    let request = Request::new("GET", "/", 1, usual.chain(values.iter().map(|value| (name, *value))));
    let options = AcceptOptions { subprotocols: vec!["b".into(), "a".into()], ..AcceptOptions::default() };
    let verdict = accept(&request, &options);
    let elements = elements(&values);
    let names = |token: &str| elements.iter().any(|element| element.eq_ignore_ascii_case(token.as_bytes()));
    match name {
        "Connection" => assert_eq!(verdict.is_ok(), names("upgrade")),
        "Upgrade" => assert_eq!(verdict.is_ok(), names("websocket")),
        "Sec-WebSocket-Protocol" => check_subprotocol(&elements, &verdict),
        _ => {
            let answer = verdict.expect("extensions are not looked at where none is wanted").response();
            let answer = String::from_utf8(answer).expect("text").to_ascii_lowercase();
            assert!(!answer.contains("sec-websocket-extensions"), "{answer}");
            check_negotiation(&request, &values);
        }
    }
}

/// The elements of all values, one byte at a time.
fn elements(values: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut elements = Vec::new();
    for value in values {
        let mut element = Vec::new();
        for byte in value.iter().chain(b",") {
            if *byte != b',' {
                element.push(*byte);
                continue;
            }
            let trimmed = std::mem::take(&mut element).trim_ascii().to_vec();
            if !trimmed.is_empty() {
                elements.push(trimmed);
            }
        }
    }
    elements
}

fn check_subprotocol(elements: &[Vec<u8>], verdict: &Result<Accepted, Rejection>) {
    let token = |element: &Vec<u8>| {
        element.iter().all(|byte| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(byte))
    };
    let mut unique = elements.to_vec();
    unique.sort();
    unique.dedup();
    if elements.len() > 64 || unique.len() < elements.len() || !elements.iter().all(token) {
        assert_eq!(verdict.clone().err(), Some(Rejection::SubprotocolList));
        return;
    }
    let ours = ["b", "a"].into_iter().find(|ours| elements.iter().any(|element| element == ours.as_bytes()));
    let accepted = verdict.as_ref().expect("a list of different tokens");
    assert_eq!(accepted.subprotocol(), ours);
}

/// What an end may want: all there is, the default, small windows.
const WISHES: [DeflateParams; 3] = [wish(false, 15, 15), wish(true, 15, 15), wish(false, 10, 9)];

const fn wish(no_takeover: bool, server_max_window_bits: u8, client_max_window_bits: u8) -> DeflateParams {
    DeflateParams {
        server_no_context_takeover: no_takeover,
        client_no_context_takeover: no_takeover,
        server_max_window_bits,
        client_max_window_bits,
    }
}

/// Where compression is wanted, the verdict on the header is that of the slow reading: as an offer, and as an answer.
fn check_negotiation(request: &Request<'_>, values: &[&[u8]]) {
    let extensions = extensions(values);
    for wish in WISHES {
        let verdict = accept(request, &AcceptOptions { deflate: Some(wish), ..AcceptOptions::default() });
        match (&extensions, &verdict) {
            (None, _) => assert_eq!(verdict, Err(Rejection::ExtensionList)),
            (Some(offers), Ok(accepted)) => check_answer(offers, wish, accepted),
            (Some(_), Err(rejection)) => panic!("{rejection:?}"),
        }
        let confirmed = confirm_deflate(values.iter().copied(), Some(wish));
        match extensions.as_deref() {
            Some([]) => assert_eq!(confirmed, Ok(None)),
            Some([answer]) => assert_eq!(confirmed.ok().flatten(), confirmable(answer, wish)),
            _ => assert!(confirmed.is_err(), "{confirmed:?}"),
        }
    }
}

/// The first valid offer is answered, and the answer says what was agreed and nothing else.
fn check_answer(offers: &[Extension], wish: DeflateParams, accepted: &Accepted) {
    let first = offers.iter().find_map(terms);
    let agreed = first.as_ref().map(|first| DeflateParams {
        server_no_context_takeover: first.server_no_context_takeover || wish.server_no_context_takeover,
        client_no_context_takeover: first.client_no_context_takeover || wish.client_no_context_takeover,
        server_max_window_bits: first.server.unwrap_or(15).min(wish.server_max_window_bits),
        client_max_window_bits: first
            .client
            .map_or(15, |bits| bits.unwrap_or(15).min(wish.client_max_window_bits)),
    });
    assert_eq!(accepted.deflate(), agreed, "{offers:?}");
    let headers = accepted.headers().filter(|(name, _)| *name == "Sec-WebSocket-Extensions");
    let answers: Vec<&[u8]> = headers.map(|(_, value)| value.as_bytes()).collect();
    let answers = extensions(&answers).expect("our own answer follows the grammar");
    let (Some(agreed), Some(first)) = (agreed, first) else {
        return assert!(answers.is_empty(), "{answers:?}");
    };
    let [answer] = &answers[..] else { panic!("{answers:?}") };
    let said = terms(answer).expect("our own answer is valid");
    let flags = (said.server_no_context_takeover, said.client_no_context_takeover);
    assert_eq!(flags, (agreed.server_no_context_takeover, agreed.client_no_context_takeover));
    assert_eq!(said.server.unwrap_or(15), agreed.server_max_window_bits);
    assert_eq!(said.client.map_or(Some(15), |bits| bits), Some(agreed.client_max_window_bits));
    assert!(first.client.is_some() || said.client.is_none(), "the client did not say that it can");
    assert!(first.server.is_none() || said.server.is_some(), "the client has asked");
}

/// What a client that offered `wish` may make of an answer.
fn confirmable(answer: &Extension, wish: DeflateParams) -> Option<DeflateParams> {
    let said = terms(answer)?;
    let params = DeflateParams {
        server_no_context_takeover: said.server_no_context_takeover,
        client_no_context_takeover: said.client_no_context_takeover || wish.client_no_context_takeover,
        server_max_window_bits: said.server.unwrap_or(15),
        client_max_window_bits: said.client.unwrap_or(Some(wish.client_max_window_bits))?,
    };
    let fits = params.server_no_context_takeover >= wish.server_no_context_takeover
        && params.server_max_window_bits <= wish.server_max_window_bits
        && params.client_max_window_bits <= wish.client_max_window_bits;
    fits.then_some(params)
}

/// A permessage-deflate that is valid.
struct Terms {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server: Option<u8>,
    client: Option<Option<u8>>,
}

fn terms((name, params): &Extension) -> Option<Terms> {
    const KNOWN: [&str; 4] = [
        "server_no_context_takeover",
        "client_no_context_takeover",
        "server_max_window_bits",
        "client_max_window_bits",
    ];
    let of = |name: &str| params.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_deref());
    let unique = |name: &str| params.iter().filter(|(other, _)| other == name).count() == 1;
    let flag = |name: &str| match of(name) {
        None => Some(false),
        Some(None) => Some(true),
        Some(Some(_)) => None,
    };
    let bits = |value: &str| (8..=15u8).find(|bits| bits.to_string() == value);
    if name != "permessage-deflate"
        || !params.iter().all(|(name, _)| KNOWN.contains(&name.as_str()) && unique(name))
    {
        return None;
    }
    Some(Terms {
        server_no_context_takeover: flag("server_no_context_takeover")?,
        client_no_context_takeover: flag("client_no_context_takeover")?,
        server: of("server_max_window_bits")
            .map(|value| bits(value?))
            .map_or(Some(None), |bits| bits.map(Some))?,
        client: match of("client_max_window_bits") {
            Some(Some(value)) => Some(Some(bits(value)?)),
            other => other.map(|_| None),
        },
    })
}

/// An extension's name and its parameters; names in lower case.
type Extension = (String, Vec<(String, Option<String>)>);

#[derive(PartialEq)]
enum Lexeme {
    Token(String),
    Quoted(String),
    Mark(u8),
}

use Lexeme::{Mark, Quoted, Token};

/// All extensions of all headers; `None` where one of them does not follow the grammar.
fn extensions(values: &[&[u8]]) -> Option<Vec<Extension>> {
    let mut extensions = Vec::new();
    for value in values {
        let lexemes = lexemes(value)?;
        for element in lexemes.split(|lexeme| *lexeme == Mark(b',')).filter(|element| !element.is_empty()) {
            extensions.push(extension(element)?);
        }
    }
    Some(extensions)
}

fn extension(lexemes: &[Lexeme]) -> Option<Extension> {
    let [Token(name), rest @ ..] = lexemes else { return None };
    let (mut rest, mut params) = (rest, Vec::new());
    while !rest.is_empty() {
        let (name, value, after) = match rest {
            [Mark(b';'), Token(name), Mark(b'='), Token(value) | Quoted(value), after @ ..] => {
                (name, Some(value.clone()), after)
            }
            [Mark(b';'), Token(name), after @ ..] => (name, None, after),
            _ => return None,
        };
        params.push((name.to_ascii_lowercase(), value));
        rest = after;
    }
    Some((name.to_ascii_lowercase(), params))
}

/// Tokens, quoted tokens and marks; the space between them is left out.
fn lexemes(value: &[u8]) -> Option<Vec<Lexeme>> {
    let is_token = |byte: &u8| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(byte);
    let mut bytes = value.iter().copied().peekable();
    let mut lexemes = Vec::new();
    while let Some(byte) = bytes.next() {
        match byte {
            _ if byte.is_ascii_whitespace() => {}
            b',' | b';' | b'=' => lexemes.push(Mark(byte)),
            b'"' => {
                let mut token = Vec::new();
                loop {
                    match bytes.next()? {
                        b'"' => break,
                        b'\\' => token.push(bytes.next()?),
                        byte => token.push(byte),
                    }
                }
                let is_token = !token.is_empty() && token.iter().all(is_token);
                lexemes.push(Quoted(String::from_utf8(token).ok().filter(|_| is_token)?));
            }
            _ if is_token(&byte) => {
                let mut token = String::from(char::from(byte));
                token.extend(std::iter::from_fn(|| bytes.next_if(is_token)).map(char::from));
                lexemes.push(Token(token));
            }
            _ => return None,
        }
    }
    Some(lexemes)
}
