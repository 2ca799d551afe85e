//! What a client says in `trunkline.v1`, read: one table of cases for each rule of
//! `protocol/trunkline-v1.md`. The golden vectors beside it are run by `vectors`.

use trunkline_dialect::json::{COMMAND_ID_MAX, COMMAND_TYPES, decode, decode_publish, json_payload};
use trunkline_model::{
    Action, ChannelName, Command, CommandId, Connect, DisplayName, Epoch, ErrorCode, Fault, Form,
    HistoryQuery, Offset, Payload, Position, PresenceQuery, Publish, Start, Subscribe,
};

/// The input is refused with this code, and the message holds this.
type Refusal<'a> = (ErrorCode, &'a str);

#[track_caller]
fn check(input: &str, expect: Result<Action, Refusal<'_>>) {
    match (decode(input), expect) {
        (Ok(command), Ok(action)) => assert_eq!(command, Command { id: None, action }, "{input}"),
        (Err(fault), Err(refusal)) => check_fault(input, &fault, refusal),
        (result, expect) => panic!("{input:.300}\n  gives {result:?}\n  expected {expect:?}"),
    }
}

#[track_caller]
fn check_fault(input: &str, fault: &Fault, (code, part): Refusal<'_>) {
    assert_eq!(fault.code, code, "{input:.300}: {}", fault.message);
    assert!(fault.message.contains(part), "{input:.300}\n  says {:?}\n  expected {part:?}", fault.message);
}

fn bad(part: &str) -> Result<Action, Refusal<'_>> {
    Err((ErrorCode::BadRequest, part))
}

fn lobby() -> ChannelName {
    ChannelName::parse("chat:lobby").expect("a valid name")
}

fn subscribe(channel: &str, start: Start) -> Subscribe {
    Subscribe::new(ChannelName::parse(channel).expect("a valid name"), start)
}

fn published(form: Form, bytes: &str) -> Action {
    let payload = Payload::new(form, bytes.as_bytes().to_vec());
    Action::Publish(Publish::new(lobby(), payload))
}

fn at(epoch: &str, offset: u64) -> Position {
    Position { epoch: Epoch::parse(epoch).expect("an epoch"), offset: Offset(offset) }
}

fn page() -> HistoryQuery {
    HistoryQuery { channel: lobby(), before: None, after: None, limit: None, at: None }
}

#[test]
fn each_command_has_its_shortest_form() {
    check(r#"{"type":"connect"}"#, Ok(Action::Connect(Connect::default())));
    check(
        r#"{"type":"subscribe","channel":"chat:lobby"}"#,
        Ok(Action::Subscribe(subscribe("chat:lobby", Start::Next))),
    );
    check(r#"{"type":"unsubscribe","channel":"chat:lobby"}"#, Ok(Action::Unsubscribe(lobby())));
    check(r#"{"type":"publish","channel":"chat:lobby","data":1}"#, Ok(published(Form::Json, "1")));
    check(r#"{"type":"history","channel":"chat:lobby"}"#, Ok(Action::History(page())));
    check(r#"{"type":"ping"}"#, Ok(Action::Ping));
    check(r#"{"type":"pong"}"#, Ok(Action::Pong));
}

#[test]
fn a_field_of_another_type_is_named() {
    let wrong = ["5", "-1", "1.5", "true", "false", "[]", "{}", r#""""#, r#""no""#];
    // The field, where it stands (`?` is its value), and which of the values above are right.
    let fields: [(&str, &str, &[&str]); 15] = [
        ("type", r#"{"type":?}"#, &[]),
        ("id", r#"{"type":"ping","id":?}"#, &["5", "-1", r#""""#, r#""no""#]),
        ("channel", r#"{"type":"unsubscribe","channel":?}"#, &[r#""no""#]),
        ("channel", r#"{"type":"publish","data":1,"channel":?}"#, &[r#""no""#]),
        ("text", r#"{"type":"publish","channel":"x","text":?}"#, &[r#""""#, r#""no""#]),
        ("binary", r#"{"type":"publish","channel":"x","binary":?}"#, &[r#""""#]),
        ("key", r#"{"type":"publish","channel":"x","data":1,"key":?}"#, &[r#""no""#]),
        ("since", r#"{"type":"subscribe","channel":"x","since":?}"#, &[]),
        ("last", r#"{"type":"subscribe","channel":"x","last":?}"#, &["5"]),
        ("before", r#"{"type":"history","channel":"x","before":?}"#, &["5"]),
        ("after", r#"{"type":"history","channel":"x","after":?}"#, &["5"]),
        ("limit", r#"{"type":"history","channel":"x","limit":?}"#, &["5"]),
        ("at", r#"{"type":"history","channel":"x","at":?}"#, &[]),
        ("session", r#"{"type":"connect","session":?}"#, &[r#""""#, r#""no""#]),
        ("heartbeat", r#"{"type":"connect","heartbeat":?}"#, &["true", "false"]),
    ];
    for (name, input, right) in fields {
        for value in wrong {
            let input = input.replace('?', value);
            if right.contains(&value) {
                assert!(decode(&input).is_ok(), "{input}");
            } else if name == "type" && value.starts_with('"') {
                check(&input, Err((ErrorCode::UnknownType, value)));
            } else {
                check(&input, bad(&format!("`{name}`")));
            }
        }
    }
}

#[test]
fn what_stands_under_subscribe_is_checked_like_a_subscribe() {
    for value in ["5", "true", "[]", r#""chat:lobby""#, r#"["chat:lobby"]"#, r#"{"x":[]}"#, r#"{"x":5}"#] {
        check(&format!(r#"{{"type":"connect","subscribe":{value}}}"#), bad("`subscribe`"));
    }
    let connect = |inner: &str| format!(r#"{{"type":"connect","subscribe":{{{inner}}}}}"#);
    check(&connect(r#""a b":{}"#), bad(r#"`subscribe` names "a b""#));
    check(&connect(r#""":{}"#), bad(r#"`subscribe` names """#));
    check(&connect(r#""x":{"last":-1}"#), bad("`last`"));
    check(&connect(r#""x":{"since":{"epoch":"a1f"}}"#), bad("`since`"));
    check(&connect(r#""x":{"since":["a1f",42]}"#), bad("`since`"));
    check(&connect(r#""x":{"catchUp":true}"#), bad("`since` is missing"));
    check(&connect(r#""x":{"since":{"epoch":"a1f","offset":0},"catchUp":1}"#), bad("`catchUp`"));
}

#[test]
fn positions_have_an_epoch_and_an_offset() {
    let since = |value: &str| format!(r#"{{"type":"subscribe","channel":"x","since":{value}}}"#);
    let from = |position| Ok(Action::Subscribe(subscribe("x", Start::Since(position))));
    check(&since(r#"{"epoch":"a1f","offset":42}"#), from(at("a1f", 42)));
    check(&since(r#"{"offset":42,"more":[],"epoch":"a1f"}"#), from(at("a1f", 42)));
    check(&since(r#"{"epoch":"a1f","offset":18446744073709551615}"#), from(at("a1f", u64::MAX)));
    for value in [
        r#"{"epoch":"a1f"}"#,
        r#"{"offset":42}"#,
        r#"{"epoch":null,"offset":42}"#,
        r#"{"epoch":"a1f","offset":null}"#,
        r#"{"epoch":"a1f","offset":"42"}"#,
        r#"{"epoch":"a1f","offset":-1}"#,
        r#"{"epoch":"a1f","offset":42.0}"#,
        r#"{"epoch":"a1f","offset":18446744073709551616}"#,
        r#"{"epoch":"","offset":42}"#,
        r#"{"epoch":"A1F","offset":42}"#,
        r#"{"epoch":"zzzzzzzzz","offset":42}"#,
        r#"{"epoch":5,"offset":42}"#,
        r#"["a1f",42]"#,
    ] {
        check(&since(value), bad("`since`"));
        check(&format!(r#"{{"type":"history","channel":"x","at":{value}}}"#), bad("`at`"));
    }
}

#[test]
fn since_wins_over_last() {
    for input in [
        r#"{"type":"subscribe","channel":"x","since":{"epoch":"a1f","offset":1},"last":20}"#,
        r#"{"type":"subscribe","channel":"x","last":20,"since":{"epoch":"a1f","offset":1}}"#,
    ] {
        check(input, Ok(Action::Subscribe(subscribe("x", Start::Since(at("a1f", 1))))));
    }
    check(
        r#"{"type":"subscribe","channel":"x","since":null,"last":20}"#,
        Ok(Action::Subscribe(subscribe("x", Start::Last(20)))),
    );
}

#[test]
fn connect_keeps_the_order_of_its_channels() {
    let input = r#"{"type":"connect","heartbeat":true,"subscribe":{
        "zoo:1":{"last":0},"chat:b":{},"chat:a":{"since":{"epoch":"0","offset":0}},"chat:b":{"last":5}}}"#;
    let connect = Connect {
        token: None,
        session: None,
        subscribe: vec![
            subscribe("zoo:1", Start::Last(0)),
            subscribe("chat:b", Start::Next),
            subscribe("chat:a", Start::Since(at("0", 0))),
            subscribe("chat:b", Start::Last(5)),
        ],
        heartbeat: true,
        name: None,
    };
    check(input, Ok(Action::Connect(connect)));
}

#[test]
fn the_secret_of_a_session_is_taken_as_it_stands() {
    let command = decode(r#"{"type":"connect","session":"a.b\u0063"}"#).expect("a command");
    let Action::Connect(Connect { session: Some(secret), .. }) = command.action else { panic!("a secret") };
    assert_eq!(secret.reveal(), "a.bc");
    let command = decode(r#"{"type":"refresh","token":"a.b.c"}"#).expect("a command");
    let Action::Refresh(token) = &command.action else { panic!("a token") };
    assert_eq!(token.reveal(), "a.b.c");
    assert!(!format!("{command:?}").contains("a.b.c"), "a token is never printed");
    let command = decode(r#"{"type":"subscribe","channel":"x","token":"a.b.c"}"#).expect("a command");
    let Action::Subscribe(Subscribe { token: Some(token), .. }) = &command.action else { panic!("a token") };
    assert_eq!(token.reveal(), "a.b.c");
    assert!(!format!("{command:?}").contains("a.b.c"), "a token is never printed");
}

#[test]
fn unknown_fields_are_ignored() {
    check(r#"{"type":"ping","x":1,"y":{"z":[null]},"Type":"pong"," type":2}"#, Ok(Action::Ping));
    check(r#"{"type":"connect","data":{"a":1},"batch":true}"#, Ok(Action::Connect(Connect::default())));
    check(
        r#"{"type":"subscribe","channel":"chat:lobby","data":5,"before":"x","key":7}"#,
        Ok(Action::Subscribe(subscribe("chat:lobby", Start::Next))),
    );
}

#[test]
fn null_alone_is_data_like_any_other() {
    check(
        r#"{"type":"publish","channel":"chat:lobby","data":null,"text":null}"#,
        Ok(published(Form::Json, "null")),
    );
}

#[test]
fn null_is_the_same_as_absent() {
    check(
        r#"{"type":"publish","id":null,"channel":"chat:lobby","data":null,"text":"a","key":null,"ttl":null}"#,
        Ok(published(Form::Text, "a")),
    );
    check(
        r#"{"type":"connect","token":null,"session":null,"subscribe":null,"heartbeat":null}"#,
        Ok(Action::Connect(Connect::default())),
    );
    check(
        r#"{"type":"history","channel":"chat:lobby","before":null,"after":null,"limit":null,"at":null}"#,
        Ok(Action::History(page())),
    );
    check(r#"{"type":null}"#, bad("`type` is missing"));
    check(r#"{"type":"unsubscribe","channel":null}"#, bad("`channel` is missing"));
}

#[test]
fn a_field_given_twice_is_refused() {
    for field in ["type", "id", "channel", "data", "last", "subscribe", "ttl", "catchUp"] {
        let input = format!(r#"{{"type":"ping","{field}":"1","{field}":"1"}}"#);
        check(&input, bad("duplicate field"));
    }
    check(r#"{"type":"history","channel":"x","at":{"epoch":"a","epoch":"a","offset":1}}"#, bad("`at`"));
    // Within a payload nothing is looked at.
    check(
        r#"{"type":"publish","channel":"chat:lobby","data":{"a":1,"a":2}}"#,
        Ok(published(Form::Json, r#"{"a":1,"a":2}"#)),
    );
}

#[test]
fn ids_are_integers_or_short_texts() {
    let check = |id: &str, expect: Option<CommandId>| {
        let input = format!(r#"{{"type":"ping","id":{id}}}"#);
        match (decode(&input), expect) {
            (Ok(command), Some(expect)) => assert_eq!(command.id, Some(expect), "{input}"),
            (Err(fault), None) => {
                assert_eq!(fault.id, None);
                check_fault(&input, &fault, (ErrorCode::BadRequest, "`id`"));
            }
            (result, expect) => panic!("{input:.300}\n  gives {result:?}\n  expected {expect:?}"),
        }
    };
    let text = |text: &str| Some(CommandId::Text(text.into()));
    for number in [0, 7, -7, 9_007_199_254_740_993, i64::MIN, i64::MAX] {
        check(&number.to_string(), Some(CommandId::Number(number)));
    }
    check(r#""a""#, text("a"));
    check(r#""""#, text(""));
    check(r#""7""#, text("7"));
    check(r#""\u00e9\n""#, text("é\n"));
    let longest = "k".repeat(COMMAND_ID_MAX);
    check(&format!("{longest:?}"), text(&longest));
    check(&format!(r#""{longest}k""#), None);
    check(&format!(r#""{}é""#, "k".repeat(COMMAND_ID_MAX - 1)), None); // bytes count, not characters
    for id in ["1.0", "1e2", "9223372036854775808", "-9223372036854775809", "1e999", "true", "[1]", "{}"] {
        check(id, None);
    }
}

#[test]
fn presence_is_asked_for_and_said() {
    let lobby = subscribe("chat:lobby", Start::Next);
    let state = |json: &'static str| Some(Payload::new(Form::Json, json));
    let with = |presence, state| Ok(Action::Subscribe(Subscribe { presence, state, ..lobby.clone() }));
    let check_subscribe = |fields: &str, expect| {
        check(&format!(r#"{{"type":"subscribe","channel":"chat:lobby",{fields}}}"#), expect);
    };
    check_subscribe(r#""presence":true"#, with(true, None));
    check_subscribe(r#""presence":false,"state":null"#, with(false, None));
    check_subscribe("\"state\":{ \"a\" :\n1}", with(false, state("{ \"a\" : 1}")));
    check_subscribe(r#""presence":"yes""#, bad("`presence` should be true or false"));
    let query = |state| Ok(Action::Presence(PresenceQuery { channel: lobby.channel.clone(), state }));
    check(r#"{"type":"presence","channel":"chat:lobby"}"#, query(None));
    check(r#"{"type":"presence","channel":"chat:lobby","state":0}"#, query(state("0")));
    check(r#"{"type":"presence"}"#, bad("`channel` is missing"));
    let name = DisplayName::parse("Ada").ok();
    let connect = |name| Ok(Action::Connect(Connect { name, ..Connect::default() }));
    check(r#"{"type":"connect","name":"Ada"}"#, connect(name));
    check(r#"{"type":"connect","name":null}"#, connect(None));
    for wrong in ["\"\"", "\"a\\nb\"", &format!("\"{}\"", "x".repeat(65)), "7"] {
        check(&format!(r#"{{"type":"connect","name":{wrong}}}"#), bad("`name`"));
    }
    let resumed = r#"{"type":"connect","subscribe":{"chat:lobby":{"presence":true,"state":1}}}"#;
    let subscribe = vec![Subscribe { presence: true, state: state("1"), ..lobby.clone() }];
    check(resumed, Ok(Action::Connect(Connect { subscribe, ..Connect::default() })));
}

#[test]
fn a_refusal_carries_the_id_of_its_command() {
    for input in [
        r#"{"type":"nope","id":5}"#,
        r#"{"id":5}"#,
        r#"{"type":"publish","id":5,"channel":"x"}"#,
        r#"{"type":"connect","id":5,"subscribe":{"a b":{}}}"#,
        r#"{"type":"subscribe","id":5,"channel":"x","presence":1}"#,
    ] {
        assert_eq!(decode(input).expect_err(input).id, Some(CommandId::Number(5)), "{input}");
    }
    assert_eq!(decode(r#"{"type":"nope","id":5"#).expect_err("cut off").id, None);
}

#[test]
fn an_unknown_type_is_answered_with_the_nearest() {
    let check = |given: &str, part: &str| {
        check(&format!(r#"{{"type":"{given}"}}"#), Err((ErrorCode::UnknownType, part)));
    };
    check("subscrbe", r#"did you mean "subscribe"?"#);
    check("Publish", r#"did you mean "publish"?"#);
    check("unsubscirbe", r#"did you mean "unsubscribe"?"#);
    check("pign", r#"did you mean "ping"?"#);
    check("", "commands are connect, subscribe");
    check("teleport", "commands are connect, subscribe");
    check(&"s".repeat(10_000), "…");
    check("refesh", r#"did you mean "refresh"?"#);
}

#[test]
fn what_is_no_object_is_refused() {
    for input in ["", " ", "ping", "5", "null", "true", r#""ping""#, "[]", r#"["ping"]"#, r#"["ping",7]"#] {
        check(input, bad("not a JSON object"));
    }
    for input in [
        "{",
        "{}}",
        r#"{"type":"ping"}{"type":"ping"}"#,
        r#"{"type":"ping",}"#,
        r#"{'type':'ping'}"#,
        r#"{type:"ping"}"#,
        r#"{"type":"ping"} // hello"#,
        "{\"type\":\"ping\"}\0",
        "{\"type\":\"pi\0ng\"}",
    ] {
        check(input, bad("not valid JSON"));
    }
    check("\u{feff}{\"type\":\"ping\"}", bad("not a JSON object"));
    check(" \t\r\n{\"type\":\n\"ping\"}\r\n", Ok(Action::Ping));
    check(r#"{"\u0074ype":"p\u0069ng"}"#, Ok(Action::Ping));
    check("{}", bad("`type` is missing"));
}

#[test]
fn a_publish_has_just_one_payload() {
    let check = |fields: &str, expect| {
        check(&format!(r#"{{"type":"publish","channel":"chat:lobby"{fields}}}"#), expect);
    };
    check("", bad("just one of"));
    check(r#","data":1,"text":"a""#, bad("just one of"));
    check(r#","data":1,"binary":"AA==""#, bad("just one of"));
    check(r#","text":"a","binary":"AA==""#, bad("just one of"));
    check(r#","text":"""#, Ok(published(Form::Text, "")));
    check(r#","text":"\u0000\n\ud83d\ude00""#, Ok(published(Form::Text, "\0\n😀")));
    check(r#","binary":"""#, Ok(published(Form::Binary, "")));
    check(r#","binary":"aGkA""#, Ok(published(Form::Binary, "hi\0")));
    check(r#","binary":"aGk=""#, Ok(published(Form::Binary, "hi")));
    for coded in ["aGk", "aGk==", "aG k=", "aGk=\\n", "_-8=", "aGl=", "é"] {
        check(&format!(r#","binary":"{coded}""#), bad("`binary`"));
    }
}

#[test]
fn keys_have_1_to_64_bytes() {
    let publish = |key: &str| format!(r#"{{"type":"publish","channel":"x","data":1,"key":"{key}"}}"#);
    for key in ["a", "mwsb3eaz-k3", &"k".repeat(64), &"é".repeat(32)] {
        let command = decode(&publish(key)).expect("a key");
        let Action::Publish(Publish { key: Some(decoded), .. }) = command.action else { panic!("a key") };
        assert_eq!(decoded.as_str(), key);
    }
    for key in ["", &"k".repeat(65), &"é".repeat(33)] {
        check(&publish(key), bad("`key`"));
    }
}

#[test]
fn channel_names_are_checked() {
    for name in ["", "a b", "a/b", "é", "a\\u0000", &"x".repeat(256)] {
        let input = format!(r#"{{"type":"unsubscribe","channel":"{name}"}}"#);
        check(&input, bad("`channel`"));
    }
    check(r#"{"type":"unsubscribe","channel":"chat:\u006cobby"}"#, Ok(Action::Unsubscribe(lobby())));
}

#[test]
fn json_keeps_its_bytes() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for data in [
        "0",
        "-0",
        "1E+2",
        "1.50",
        "123456789012345678901234567890",
        "1e999999",
        "false",
        r#""""#,
        r#""\u0041\/\n\u0000""#,
        r#""\ud800""#, // half a surrogate pair is JSON, if not Unicode
        "\"\u{2028}\u{7f}é😀\"",
        r#"{ "b" : [ 1 , 2 ] , "a" : { } }"#,
        "{\"a\":\t1}",
        &deep,
    ] {
        let input = format!(r#"{{"type":"publish","channel":"chat:lobby","data":{data}}}"#);
        check(&input, Ok(published(Form::Json, data)));
    }
}

#[test]
fn line_breaks_outside_of_strings_become_spaces() {
    let publish = |data: &str| format!("{{\"type\":\"publish\",\"channel\":\"chat:lobby\",\"data\":{data}}}");
    check(&publish("\n{\r\n\"a\":\n1\n}\r"), Ok(published(Form::Json, "{  \"a\": 1 }")));
    check(&publish("[\n\n\r]"), Ok(published(Form::Json, "[   ]")));
    // Inside of strings JSON has none.
    check(&publish("\"a\nb\""), bad("not valid JSON"));
    check(&publish("\"a\rb\""), bad("not valid JSON"));
    check(&publish("\"a\0b\""), bad("not valid JSON"));
}

#[test]
fn texts_are_unicode() {
    for input in [
        r#"{"type":"\ud800"}"#,
        r#"{"type":"ping","id":"\udc00"}"#,
        r#"{"type":"unsubscribe","channel":"\ud800\ud800"}"#,
        r#"{"type":"publish","channel":"x","text":"\ud800"}"#,
        r#"{"type":"publish","channel":"x","data":1,"key":"\ud83d"}"#,
    ] {
        check(input, bad("`"));
    }
}

#[test]
fn nesting_does_not_end_the_stack() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let objects = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    for value in [&deep, &objects] {
        check(&format!(r#"{{"type":"ping","unknown":{value}}}"#), Ok(Action::Ping));
        check(&format!(r#"{{"type":"ping","id":{value}}}"#), bad("`id`"));
        check(&format!(r#"{{"type":{value}}}"#), bad("`type`"));
        check(&format!(r#"{{"type":"history","channel":"x","at":{value}}}"#), bad("`at`"));
        check(&format!(r#"{{"type":"subscribe","channel":"x","since":{value}}}"#), bad("`since`"));
        let ignored = format!(r#"{{"type":"connect","subscribe":{{"x":{{"unknown":{value}}}}}}}"#);
        assert!(decode(&ignored).is_ok());
    }
    check(&format!(r#"{{"type":"connect","subscribe":{deep}}}"#), bad("`subscribe`"));
    check(&"[".repeat(100_000), bad("not a JSON object"));
    check(&"{\"a\":".repeat(100_000), bad("not valid JSON"));
}

#[test]
fn what_is_told_back_is_short() {
    let long = "é".repeat(100_000);
    for input in [
        format!(r#"{{"type":"{long}"}}"#),
        format!(r#"{{"type":"ping","id":["{long}"]}}"#),
        format!(r#"{{"type":"history","channel":"x","limit":"{long}"}}"#),
        format!(r#"{{"type":"publish","channel":"x","binary":"{long}"}}"#),
        format!(r#"{{"type":"unsubscribe","channel":"{long}"}}"#),
        format!(r#"{{"type":"connect","subscribe":{{"{long}":{{}}}}}}"#),
        format!(r#"{{"type":"connect","subscribe":{{"x":"{long}"}}}}"#),
        format!(r#"{{"type":"ping","id":"{long}"}}"#),
        format!(r#"{{"{long}":"#),
        long.clone(),
    ] {
        let fault = decode(&input).expect_err("wrong");
        assert!(fault.message.len() <= 400, "{} bytes: {:.200}", fault.message.len(), fault.message);
    }
}

#[test]
fn the_body_of_an_http_publish_is_a_publish_without_its_channel() {
    let publish = decode_publish(lobby(), r#"{"data":{"text":"Hi"},"key":"k1"}"#).expect("a publish");
    assert_eq!((publish.channel, &*publish.payload.bytes), (lobby(), &br#"{"text":"Hi"}"#[..]));
    assert_eq!(publish.key.as_ref().map(trunkline_model::Key::as_str), Some("k1"));
    let elsewhere = decode_publish(lobby(), r#"{"type":"ping","id":[],"channel":"x:y","text":"a"}"#);
    assert_eq!(elsewhere.map(|publish| publish.channel), Ok(lobby()), "the path names the channel");
    for (body, part) in [
        ("", "not a JSON object"),
        ("[]", "not a JSON object"),
        (r#"[null,null,null,1]"#, "not a JSON object"),
        ("{}", "just one of"),
        (r#"{"data":1,"if":0}"#, "`if`"),
        (r#"{"data":1,"key":""}"#, "`key`"),
    ] {
        let fault = decode_publish(lobby(), body).expect_err(body);
        check_fault(body, &fault, (ErrorCode::BadRequest, part));
    }
}

#[test]
fn every_listed_type_is_known() {
    for known in COMMAND_TYPES {
        let result = decode(&format!(r#"{{"type":"{known}"}}"#));
        assert_ne!(result.err().map(|fault| fault.code), Some(ErrorCode::UnknownType), "{known}");
    }
}

mod arbitrary {
    //! Whatever comes, something is answered.

    use super::*;
    use proptest::prelude::*;

    /// The words and signs of commands.
    const WORDS: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "null",
        "true",
        "-1",
        "1e9",
        "\n",
        "\r",
        "\0",
        "\\u",
        "\\ud800",
        "\"type\"",
        "\"publish\"",
        "\"subscribe\"",
        "\"connect\"",
        "\"history\"",
        "\"channel\"",
        "\"chat:x\"",
        "\"data\"",
        "\"since\"",
        "\"at\"",
        "\"id\"",
        "\"epoch\"",
        "\"offset\"",
        "{\"type\":\"publish\",\"channel\":\"chat:x\",\"data\":",
        "{\"type\":\"connect\",\"subscribe\":{\"chat:x\":{",
        "é",
        "😀",
        "\u{2028}",
    ];

    /// Text that is near to a command.
    fn nearly() -> impl Strategy<Value = String> {
        let word =
            prop_oneof![4 => prop::sample::select(WORDS).prop_map(str::to_owned), 1 => any::<String>()];
        prop::collection::vec(word, 0..24).prop_map(|words| words.concat())
    }

    /// A JSON value, written out with spaces and line breaks between its parts.
    fn json_text() -> impl Strategy<Value = String> {
        let gap = prop::sample::select(&["", " ", "\n", "\r\n", "\t"][..]);
        let string = any::<String>().prop_map(|text| serde_json::to_string(&text).expect("a text"));
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|value| value.to_string()),
            any::<i64>().prop_map(|value| value.to_string()),
            any::<u64>().prop_map(|value| format!("{value}.5e-3")),
            string.clone(),
        ];
        leaf.prop_recursive(4, 32, 4, move |inner| {
            let items = prop::collection::vec((gap.clone(), inner.clone()), 0..4);
            let fields = prop::collection::vec((gap.clone(), string.clone(), inner), 0..4);
            prop_oneof![
                items.prop_map(|items| {
                    let items: Vec<_> =
                        items.into_iter().map(|(gap, item)| format!("{gap}{item}{gap}")).collect();
                    format!("[{}]", items.join(","))
                }),
                fields.prop_map(|fields| {
                    let fields: Vec<_> = fields
                        .into_iter()
                        .map(|(gap, name, value)| format!("{gap}{name}:{gap}{value}"))
                        .collect();
                    format!("{{{}}}", fields.join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn nothing_makes_decode_panic(text in prop_oneof![any::<String>(), nearly()]) {
            let _ = decode(&text);
            let _ = decode_publish(lobby(), &text);
        }

        #[test]
        fn a_payload_is_what_was_sent_on_one_line(data in json_text()) {
            let input = format!(r#"{{"type":"publish","channel":"chat:lobby","data":{data}}}"#);
            let expect = data.replace(['\r', '\n'], " ");
            check(&input, Ok(published(Form::Json, &expect)));
            let raw: &serde_json::value::RawValue = serde_json::from_str(&data).expect("JSON");
            prop_assert_eq!(&*json_payload(raw).bytes, expect.as_bytes());
        }

        #[test]
        fn a_known_command_stays_known_beside_any_field(name in "[a-zA-Z]{9,12}", value in json_text()) {
            prop_assume!(!["subscribe", "condition", "heartbeat", "ephemeral"].contains(&&*name));
            check(&format!(r#"{{"{name}":{value},"type":"ping"}}"#), Ok(Action::Ping));
        }
    }
}
