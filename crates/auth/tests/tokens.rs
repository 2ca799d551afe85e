//! Tokens, good and bad: forged, expired, of the wrong algorithm, for others, oversized, and with claims that make no
//! sense.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use trunkline_auth::{ALLOW_MAX, Algorithm, Denied, INFO_MAX, InvalidKey, Key, KeySet, TOKEN_MAX, Verifier};
use trunkline_model::{Capability, ChannelName, Standing, Timestamp};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const OTHER: &[u8] = b"fedcba9876543210fedcba9876543210";
const NOW: u64 = 1_800_000_000;

const RSA_PRIVATE: &str = include_str!("keys/rsa-private.pem");
const RSA_PUBLIC: &str = include_str!("keys/rsa-public.pem");
const RSA_OTHER: &str = include_str!("keys/rsa-other-private.pem");
const EC_PRIVATE: &str = include_str!("keys/ec-private.pem");
const EC_PUBLIC: &str = include_str!("keys/ec-public.pem");
const ED_PRIVATE: &str = include_str!("keys/ed-private.pem");
const ED_PUBLIC: &str = include_str!("keys/ed-public.pem");

fn now() -> Timestamp {
    Timestamp(NOW * 1_000)
}

fn algorithm(name: &str) -> Algorithm {
    name.parse().expect("a known one")
}

fn hs256() -> Key {
    Key::from_secret(Algorithm::HS256, SECRET).expect("long enough")
}

fn verifier(key: Key) -> Verifier {
    Verifier { keys: vec![key], ..Verifier::default() }
}

fn sign_as(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).expect("it can be signed")
}

fn sign(claims: &Value) -> String {
    sign_as(&Header::default(), claims, &EncodingKey::from_secret(SECRET))
}

/// The parts as they stand, with a signature of nothing.
fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}.", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()))
}

fn ann() -> Value {
    json!({ "sub": "ann", "exp": NOW + 60 })
}

fn with(claim: &str, value: Value) -> Value {
    let mut claims = ann();
    claims[claim] = value;
    claims
}

#[track_caller]
fn check_denied(verifier: &Verifier, token: &str, expect: &Denied) {
    assert_eq!(verifier.verify(token, now()).as_ref(), Err(expect));
}

#[test]
fn a_signed_token_says_who_and_what() {
    let token = sign(&json!({
        "sub": "ann",
        "exp": NOW + 60,
        "info": { "name": "Ann" },
        "channels": ["user:ann", "news"],
        "allow": [
            { "channels": "chat:*", "can": ["subscribe", "history"] },
            { "channels": "chat:lobby", "can": ["publish", "moderate"] },
        ],
    }));
    let claims = verifier(hs256()).verify(&token, now()).expect("it is good");
    assert_eq!(claims.user.as_ref().map(|user| user.as_str()), Some("ann"));
    assert_eq!(claims.access.standing, Standing::User);
    assert_eq!(claims.access.expires, Some(Timestamp((NOW + 90) * 1_000)), "with the leeway");
    assert_eq!(claims.access.info.as_ref().map(|info| &info.bytes[..]), Some(&br#"{"name":"Ann"}"#[..]));
    let channels: Vec<_> = claims.channels.iter().map(ChannelName::as_str).collect();
    assert_eq!(channels, ["user:ann", "news"]);
    let lobby = ChannelName::parse("chat:lobby").expect("a name");
    let can = |capability| claims.access.grants(&lobby, capability);
    assert!(can(Capability::Publish) && can(Capability::Subscribe) && can(Capability::Moderate));
    assert!(!can(Capability::Presence));
}

#[test]
fn each_algorithm_verifies_its_own() {
    let pem = |name: &str, private: &str, public: &str| {
        let (named, private) = (algorithm(name), private.as_bytes());
        let signing = match &name[..2] {
            "RS" | "PS" => EncodingKey::from_rsa_pem(private),
            "ES" => EncodingKey::from_ec_pem(private),
            _ => EncodingKey::from_ed_pem(private),
        };
        let header = Header::new(name.parse().expect("known"));
        let token = sign_as(&header, &ann(), &signing.expect("a key"));
        let verifier = verifier(Key::from_pem(named, public.as_bytes()).expect("a key"));
        assert!(verifier.verify(&token, now()).is_ok(), "{name}");
        // One bit of the signature.
        let mut bytes = token.into_bytes();
        let at = bytes.len() - 20;
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let token = String::from_utf8(bytes).expect("base64");
        check_denied(&verifier, &token, &Denied::Signature);
    };
    for name in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        pem(name, RSA_PRIVATE, RSA_PUBLIC);
    }
    pem("ES256", EC_PRIVATE, EC_PUBLIC);
    pem("EdDSA", ED_PRIVATE, ED_PUBLIC);
    for name in ["HS256", "HS384", "HS512"] {
        let secret = &SECRET.repeat(2);
        let key = Key::from_secret(algorithm(name), secret).expect("long enough");
        let header = Header::new(name.parse().expect("known"));
        let token = sign_as(&header, &ann(), &EncodingKey::from_secret(secret));
        assert!(verifier(key).verify(&token, now()).is_ok(), "{name}");
    }
}

#[test]
fn a_forged_token_is_refused() {
    let verifier = verifier(hs256());
    let stolen = sign_as(&Header::default(), &ann(), &EncodingKey::from_secret(OTHER));
    check_denied(&verifier, &stolen, &Denied::Signature);
    // The claims of another under a signature that is right for these.
    let good = sign(&ann());
    let parts: Vec<_> = good.split('.').collect();
    let claims = BASE64.encode(with("sub", json!("root")).to_string());
    check_denied(&verifier, &format!("{}.{claims}.{}", parts[0], parts[2]), &Denied::Signature);
    check_denied(&verifier, &format!("{}.{}.", parts[0], parts[1]), &Denied::Signature);
}

#[test]
fn the_token_does_not_choose_its_algorithm() {
    let rsa = verifier(Key::from_pem(algorithm("RS256"), RSA_PUBLIC.as_bytes()).expect("a key"));
    for none in ["none", "None", "NONE", ""] {
        let token = unsigned(&json!({ "alg": none, "typ": "JWT" }), &ann());
        check_denied(&rsa, &token, &Denied::Algorithm("something else".to_owned()));
    }
    // The public key, which everybody has, as the secret of an HMAC.
    let confused = sign_as(&Header::default(), &ann(), &EncodingKey::from_secret(RSA_PUBLIC.as_bytes()));
    check_denied(&rsa, &confused, &Denied::Algorithm("HS256".to_owned()));
    // A stronger one of the same family is another one too.
    let header = Header::new(jsonwebtoken::Algorithm::RS512);
    let key = EncodingKey::from_rsa_pem(RSA_PRIVATE.as_bytes()).expect("a key");
    check_denied(&rsa, &sign_as(&header, &ann(), &key), &Denied::Algorithm("RS512".to_owned()));
    let header = Header::new(jsonwebtoken::Algorithm::RS256);
    let other = EncodingKey::from_rsa_pem(RSA_OTHER.as_bytes()).expect("a key");
    check_denied(&rsa, &sign_as(&header, &ann(), &other), &Denied::Signature);
}

#[test]
fn what_a_token_says_must_be_understood_is_not_here() {
    let header = Header { crit: Some(vec!["exp".to_owned()]), ..Header::default() };
    let token = sign_as(&header, &ann(), &EncodingKey::from_secret(SECRET));
    check_denied(
        &verifier(hs256()),
        &token,
        &Denied::Malformed("its head has `crit`, and nothing of that is known here"),
    );
}

#[test]
fn keys_are_told_apart_by_their_names() {
    let named = |name: &str, secret: &[u8]| {
        let header = Header { kid: Some(name.to_owned()), ..Header::default() };
        sign_as(&header, &ann(), &EncodingKey::from_secret(secret))
    };
    let other = Key::from_secret(Algorithm::HS256, OTHER).expect("long enough");
    let both = Verifier { keys: vec![hs256().named("old"), other.named("new")], ..Verifier::default() };
    assert!(both.verify(&named("old", SECRET), now()).is_ok());
    assert!(both.verify(&named("new", OTHER), now()).is_ok());
    check_denied(&both, &named("new", SECRET), &Denied::Signature);
    check_denied(&both, &named("third", SECRET), &Denied::UnknownKey("third".to_owned()));
    // Without a name each is tried; and a key without one takes any.
    assert!(both.verify(&sign(&ann()), now()).is_ok());
    assert!(verifier(hs256()).verify(&named("third", SECRET), now()).is_ok());
}

#[test]
fn a_token_has_its_time() {
    let check = |claims: Value, expect: Result<(), Denied>| {
        let verified = verifier(hs256()).verify(&sign(&claims), now()).map(|_| ());
        assert_eq!(verified, expect, "{claims}");
    };
    let missing = Denied::Claim("exp", "is missing: a token has an end".to_owned());
    check(json!({ "sub": "ann" }), Err(missing));
    check(json!({ "exp": NOW + 1 }), Ok(()));
    check(json!({ "exp": NOW - 29 }), Ok(()));
    check(json!({ "exp": NOW - 30 }), Err(Denied::Expired(30)));
    check(json!({ "exp": 0 }), Err(Denied::Expired(NOW)));
    check(json!({ "exp": NOW as f64 + 0.5 }), Ok(()));
    check(json!({ "exp": u64::MAX }), Ok(()));
    check(json!({ "exp": NOW + 60, "nbf": NOW + 30 }), Ok(()));
    check(json!({ "exp": NOW + 60, "nbf": NOW + 31 }), Err(Denied::NotYet(31)));
    for wrong in [json!("soon"), json!([]), json!(null), json!({})] {
        let denied = Denied::Claim("exp", "is no number: seconds since 1970".to_owned());
        check(json!({ "exp": wrong }), Err(denied));
    }
    for wrong in [json!(-1), json!(1e300)] {
        let denied = Denied::Claim("exp", "is no time: seconds since 1970".to_owned());
        check(json!({ "exp": wrong }), Err(denied));
    }
}

#[test]
fn clocks_may_be_apart_as_far_as_is_configured() {
    let strict = Verifier { leeway: Duration::ZERO, ..verifier(hs256()) };
    check_denied(&strict, &sign(&json!({ "exp": NOW })), &Denied::Expired(0));
    let lenient = Verifier { leeway: Duration::from_secs(300), ..verifier(hs256()) };
    assert!(lenient.verify(&sign(&json!({ "exp": NOW - 299 })), now()).is_ok());
}

#[test]
fn a_token_for_others_is_refused() {
    let ours = || Verifier {
        issuers: vec!["https://id.example".to_owned(), "second".to_owned()],
        audiences: vec!["trunkline".to_owned()],
        ..verifier(hs256())
    };
    let check = |verifier: Verifier, issuer: Value, audience: Value, expect: Result<(), Denied>| {
        let mut claims = ann();
        for (name, value) in [("iss", issuer), ("aud", audience)] {
            if !value.is_null() {
                claims[name] = value;
            }
        }
        assert_eq!(verifier.verify(&sign(&claims), now()).map(|_| ()), expect, "{claims}");
    };
    let (right, us) = (json!("https://id.example"), json!("trunkline"));
    check(ours(), right.clone(), us.clone(), Ok(()));
    check(ours(), json!("second"), json!(["other", "trunkline"]), Ok(()));
    check(ours(), json!("https://evil.example"), us.clone(), Err(Denied::Issuer));
    check(ours(), Value::Null, us.clone(), Err(Denied::Issuer));
    check(ours(), right.clone(), json!("other"), Err(Denied::Audience));
    check(ours(), right.clone(), json!([]), Err(Denied::Audience));
    check(ours(), right, Value::Null, Err(Denied::Audience));
    // Nobody said who we are: one that names an audience means somebody else.
    check(verifier(hs256()), Value::Null, us, Err(Denied::Audience));
    check(verifier(hs256()), json!("anyone"), Value::Null, Ok(()));
}

#[test]
fn what_is_no_token_is_refused_with_a_reason() {
    let verifier = verifier(hs256());
    for text in ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", "\u{1f600}.b.c", "bm9qc29u.b.c", "e30.e30.e30"] {
        let denied = verifier.verify(text, now()).expect_err(text);
        assert!(matches!(denied, Denied::Malformed(_)), "{text}: {denied}");
    }
    check_denied(&verifier, &"x".repeat(TOKEN_MAX + 1), &Denied::Long(TOKEN_MAX + 1));
    let list = sign_as(&Header::default(), &json!([1, 2]), &EncodingKey::from_secret(SECRET));
    let denied = verifier.verify(&list, now()).expect_err("a list");
    assert!(matches!(denied, Denied::Malformed(_)), "{denied}");
}

#[test]
fn no_reason_repeats_the_token() {
    let verifier = verifier(hs256());
    for token in [
        sign_as(&Header::default(), &with("sub", json!("hidden")), &EncodingKey::from_secret(OTHER)),
        sign(&with("sub", json!(["hidden"]))),
        sign(&with("allow", json!("hidden"))),
        sign(&with("info", json!("hidden".repeat(INFO_MAX)))),
    ] {
        let why = verifier.verify(&token, now()).expect_err("it is wrong").to_string();
        assert!(
            !why.contains("hidden") && !why.contains(token.split('.').next_back().expect("a part")),
            "{why}"
        );
    }
}

#[test]
fn claims_are_what_they_should_be() {
    let check = |claim: &'static str, value: Value, why: &str| match verifier(hs256())
        .verify(&sign(&with(claim, value)), now())
    {
        Err(Denied::Claim(named, said)) => {
            assert_eq!(named, claim);
            assert!(said.contains(why), "{said:?} does not say {why:?}");
        }
        other => panic!("{claim}: {other:?}"),
    };
    check("sub", json!(7), "is no text");
    check("sub", json!(""), "has 0 bytes");
    check("sub", json!("guest-7"), "as the names of guests do");
    check("sub", json!("x".repeat(256)), "has 256 bytes");
    check("channels", json!(7), "neither a text nor a list");
    check("channels", json!(["chat:a", 7]), "no list of texts");
    check("channels", json!(["a b"]), "is wrong");
    check("channels", json!(vec!["a"; 101]), "it may have 100");
    check("info", json!("x".repeat(INFO_MAX)), "it may have 1024");
    check("allow", json!({}), "is no list");
    check("allow", json!(vec![json!({ "channels": "a", "can": [] }); ALLOW_MAX + 1]), "it may have 100");
    check("allow", json!([7]), "no object");
    check("allow", json!([{ "can": [] }]), "`channels` is no text");
    check("allow", json!([{ "channels": "a*b", "can": [] }]), "at the end");
    check("allow", json!([{ "channels": "a" }]), "`can` is no list");
    check("allow", json!([{ "channels": "a", "can": ["fly"] }]), "none of subscribe, publish");
    check("allow", json!([{ "channels": "a", "can": [], "from": -1 }]), "`from` is no offset");
    check("channel", json!(7), "is no text");
    check("channel", json!("a b"), "is wrong");
    check("from", json!(7), "beside `channel`");
}

#[test]
fn a_token_may_be_for_one_channel() {
    use Capability::{History, Presence, Publish, Subscribe};
    let read = |claims: Value| verifier(hs256()).verify(&sign(&claims), now());
    let channel = |name: &str| ChannelName::parse(name).expect("a name");
    let claims = read(json!({ "exp": NOW + 60, "channel": "chat:42" })).expect("it is good");
    assert_eq!(claims.only, Some(channel("chat:42")));
    assert_eq!(
        claims.access.granted(&channel("chat:42")),
        Some([Subscribe, History, Presence].into_iter().collect())
    );
    assert_eq!(claims.access.granted(&channel("chat:43")), None);
    let claims = json!({ "exp": NOW + 60, "channel": "chat:42", "can": ["subscribe", "publish"], "from": 7 });
    let claims = read(claims).expect("it is good");
    assert_eq!(claims.access.granted(&channel("chat:42")), Some([Subscribe, Publish].into_iter().collect()));
    let floor = |name: &str| claims.access.floor(&channel(name)).0;
    assert_eq!((floor("chat:42"), floor("chat:43")), (7, 0));
    for (claim, beside) in [("can", json!("publish")), ("from", json!("7")), ("can", json!(["fly"]))] {
        let mut claims = json!({ "exp": NOW + 60, "channel": "chat:42" });
        claims[claim] = beside;
        assert!(matches!(read(claims), Err(Denied::Claim(named, _)) if named == claim));
    }
    for beside in ["allow", "channels"] {
        let mut claims = json!({ "exp": NOW + 60, "channel": "chat:42" });
        claims[beside] = json!([]);
        assert!(matches!(read(claims), Err(Denied::Claim("channel", _))), "{beside}");
    }
    let allow = json!([{ "channels": "chat:*", "can": ["subscribe"], "from": 9 }]);
    let claims = read(json!({ "exp": NOW + 60, "allow": allow })).expect("it is good");
    assert_eq!((claims.only, claims.access.floor(&channel("chat:x")).0), (None, 9));
}

#[test]
fn one_that_names_nobody_may_still_allow_something() {
    let claims = json!({ "exp": NOW + 60, "allow": [{ "channels": "news:*", "can": ["subscribe"] }] });
    let claims = verifier(hs256()).verify(&sign(&claims), now()).expect("it is good");
    assert_eq!((claims.user, claims.access.standing), (None, Standing::Anonymous));
}

#[test]
fn keys_fit_their_algorithms() {
    let refused = |key: Result<Key, InvalidKey>| key.expect_err("it does not fit").to_string();
    assert!(
        refused(Key::from_secret(Algorithm::HS256, &SECRET[1..])).contains("31 bytes; it has at least 32")
    );
    assert!(refused(Key::from_secret(algorithm("RS256"), SECRET)).contains("public keys"));
    assert!(refused(Key::from_pem(Algorithm::HS256, RSA_PUBLIC.as_bytes())).contains("has a secret"));
    assert!(
        refused(Key::from_pem(algorithm("ES256"), RSA_PUBLIC.as_bytes())).contains("no public key in PEM")
    );
    assert!(refused(Key::from_pem(algorithm("RS256"), b"nothing")).contains("no public key in PEM"));
    let unknown = "none".parse::<Algorithm>().expect_err("it is none").to_string();
    assert!(unknown.contains("HS256"), "{unknown}");
    assert!(!format!("{:?}", hs256()).contains("0123"));
}

#[test]
fn of_a_set_what_can_be_used_is_used() {
    let jwk = |pem: &str, name: &str| {
        let key = EncodingKey::from_rsa_pem(pem.as_bytes()).expect("a key");
        let jwk =
            jsonwebtoken::jwk::Jwk::from_encoding_key(&key, jsonwebtoken::Algorithm::RS256).expect("a key");
        let mut jwk = serde_json::to_value(jwk).expect("JSON");
        jwk["kid"] = json!(name);
        jwk
    };
    let mut for_encryption = jwk(RSA_OTHER, "enc");
    for_encryption["use"] = json!("enc");
    let secret = json!({ "kty": "oct", "k": BASE64.encode(SECRET), "alg": "HS256", "kid": "oct" });
    let unknown = json!({ "kty": "AKP", "kid": "pq" });
    let (mut encrypts, mut misnamed) = (jwk(RSA_OTHER, "ops"), jwk(RSA_OTHER, "number"));
    encrypts["key_ops"] = json!(["encrypt"]);
    misnamed["kid"] = json!(5);
    let keys = [json!(7), encrypts, jwk(RSA_PRIVATE, "one"), for_encryption, misnamed, secret, unknown];
    let set = json!({ "keys": keys });
    let set = KeySet::parse(set.to_string().as_bytes()).expect("a set");
    assert_eq!((set.keys.len(), set.skipped), (1, 6), "{set:?}");
    let verifier = Verifier { keys: set.keys, ..Verifier::default() };
    let header = Header { kid: Some("one".to_owned()), ..Header::new(jsonwebtoken::Algorithm::RS256) };
    let key = EncodingKey::from_rsa_pem(RSA_PRIVATE.as_bytes()).expect("a key");
    assert!(verifier.verify(&sign_as(&header, &ann(), &key), now()).is_ok());
    let hmac = Header { kid: Some("oct".to_owned()), ..Header::default() };
    let token = sign_as(&hmac, &ann(), &EncodingKey::from_secret(SECRET));
    check_denied(&verifier, &token, &Denied::Algorithm("HS256".to_owned()));
    for wrong in ["", "[]", "{}", "{\"keys\":7}"] {
        assert!(matches!(KeySet::parse(wrong.as_bytes()), Err(InvalidKey::Set(_))), "{wrong}");
    }
}
