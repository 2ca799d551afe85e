//! `/room/{name}`: frames are publications, and what cannot be said in words is said by a close code.

use bytes::Bytes;
use trunkline_dialect::plain::{close_for, content, decode, opening};
use trunkline_model::{
    Action, ChannelName, Command, ErrorCode, Fault, Form, Payload, Publication, Publish, Start, Subscribe,
    Timestamp, close,
};

fn room() -> ChannelName {
    ChannelName::parse("room:lobby").expect("a valid name")
}

#[test]
fn a_session_begins_with_what_comes_next() {
    let subscribe = Subscribe::new(room(), Start::Next);
    assert_eq!(opening(&room()), Command { id: None, action: Action::Subscribe(subscribe) });
}

#[test]
fn a_frame_goes_out_as_it_came_in() {
    let check = |form: Form, bytes: &'static [u8]| {
        let Command { id: None, action: Action::Publish(publish) } =
            decode(&room(), form, Bytes::from_static(bytes))
        else {
            panic!("a publish without an id")
        };
        let payload = Payload::new(form, bytes);
        assert_eq!(publish, Publish::new(room(), payload.clone()));
        let publication = Publication::new(room(), Timestamp(0), payload);
        assert_eq!(content(&publication), (form == Form::Binary, &Bytes::from_static(bytes)));
    };
    check(Form::Text, b"");
    check(Form::Text, b"Hello");
    check(Form::Text, b"{ \"not\": looked at\r\n");
    check(Form::Text, "é\0\n".as_bytes());
    check(Form::Binary, b"");
    check(Form::Binary, b"\0\xff\xfe");
}

#[test]
fn json_goes_out_as_its_text() {
    let json = Payload::new(Form::Json, &br#"{"type":"chat","text":"Hi"}"#[..]);
    let publication = Publication::new(room(), Timestamp(0), json);
    assert_eq!(content(&publication), (false, &Bytes::from_static(br#"{"type":"chat","text":"Hi"}"#)));
}

#[test]
fn every_error_has_a_close_code() {
    for code in ErrorCode::ALL {
        let expect = match code.as_str() {
            "too_large" => close::TOO_LARGE,
            "forbidden" => close::FORBIDDEN,
            "unauthorized" => close::INVALID_TOKEN,
            "token_expired" => close::TOKEN_EXPIRED,
            "bad_request" | "unknown_namespace" | "not_found" => close::BAD_FRAME,
            "draining" => close::DRAINING,
            _ => close::INTERNAL,
        };
        assert_eq!(close_for(&Fault::new(*code, "")), expect, "{code}");
        if code.leaves_outcome_open() {
            assert!(!close::is_final(expect.code), "{code}: the client may try again");
        }
    }
}
