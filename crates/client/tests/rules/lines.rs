//! Lines that come and go: when the next one is opened, what is said on it first, and what ends a client for good.

use std::time::Duration;

use serde_json::json;
use trunkline_client::rules::{Closed, Ended, Event, Limits, PublishError};
use trunkline_model::Start;

use crate::rig::{Rig, message, place, subscribed};

fn lost() -> Ended {
    Ended::Lost { retry: None }
}

fn closed(code: u16) -> Ended {
    Ended::Closed { code, reason: "why".into() }
}

#[test]
fn it_resumes_as_the_same_session_with_all_channels_in_one_connect() {
    let mut rig = Rig::online();
    rig.follow("chat:a", 7);
    rig.follow("chat:b", 0);
    rig.subscribe("room:c", Start::Next);
    let asked = rig.said();
    rig.hear(&json!({ "type": "subscribed", "id": asked[0]["id"], "channel": "room:c", "kind": "signal", "can": [] }));
    rig.hear(&message("chat:a", 8));
    let connect = rig.cut_and_open();
    assert_eq!(connect["session"], "secret");
    let expected = json!({
        "chat:a": { "since": { "epoch": "a1f", "offset": 8 } },
        "chat:b": { "since": { "epoch": "a1f", "offset": 0 } },
        "room:c": {},
    });
    assert_eq!(connect["subscribe"], expected);
    assert_eq!(rig.said(), Vec::<serde_json::Value>::new(), "nothing is asked twice");
}

#[test]
fn whoever_wants_all_of_it_says_so_again_on_each_line() {
    let mut rig = Rig::online();
    rig.subscribe("chat:a", Start::CatchUp(place(3)));
    let asked = rig.said();
    assert_eq!((&asked[0]["since"]["offset"], &asked[0]["catchUp"]), (&json!(3), &json!(true)));
    rig.hear(&subscribed(
        "chat:a",
        9_000,
        &json!({ "id": asked[0]["id"], "recovered": true, "replay": 8_997 }),
    ));
    rig.hear(&message("chat:a", 4));
    let connect = rig.cut_and_open();
    let expected = json!({ "since": { "epoch": "a1f", "offset": 4 }, "catchUp": true });
    assert_eq!(connect["subscribe"]["chat:a"], expected);
    assert!(rig.said().is_empty(), "what is replayed is not fetched");
}

#[test]
fn channels_that_do_not_fit_into_connect_are_asked_for_one_by_one() {
    let mut rig = Rig::new(Limits { connect_bytes: 200, ..Limits::default() });
    let names: Vec<String> = (0..5).map(|number| format!("chat:{number}")).collect();
    names.iter().for_each(|name| rig.subscribe(name, Start::Next));
    let connect = rig.open();
    let within = connect["subscribe"].as_object().expect("some fit").len();
    let alone = rig.said();
    assert!((1..5).contains(&within), "{connect}");
    assert_eq!(within + alone.len(), 5, "{alone:?}");
    assert!(alone.iter().all(|asked| asked["type"] == "subscribe" && asked["id"].is_i64()), "{alone:?}");
}

#[test]
fn one_channel_that_is_refused_leaves_the_others() {
    let mut rig = Rig::new(Limits::default());
    rig.subscribe("chat:a", Start::Next);
    rig.subscribe("nope:x", Start::Next);
    rig.open();
    rig.hear(&json!({ "type": "error", "code": "unknown_namespace", "message": "no", "channel": "nope:x" }));
    rig.hear(&subscribed("chat:a", 3, &json!({})));
    let told = rig.told();
    assert!(matches!(&told[1], Event::Ended { channel, .. } if channel.as_str() == "nope:x"), "{told:?}");
    assert!(
        matches!(&told[2], Event::Subscribed { channel, .. } if channel.as_str() == "chat:a"),
        "{told:?}"
    );
    let connect = rig.cut_and_open();
    assert_eq!(connect["subscribe"], json!({ "chat:a": { "since": { "epoch": "a1f", "offset": 3 } } }));
}

#[test]
fn what_is_refused_for_now_is_asked_again() {
    let mut rig = Rig::online();
    rig.subscribe("chat:a", Start::Since(place(5)));
    let asked = rig.said();
    rig.hear(&json!({
        "type": "error", "id": asked[0]["id"], "code": "not_available", "message": "later", "channel": "chat:a", "retry": 700,
    }));
    // The server's 700 ms, and half of the first cap, on top.
    assert_eq!(rig.wait(), 700 + 500);
    rig.pass(1_199);
    assert!(rig.said().is_empty());
    rig.pass(1);
    let again = rig.said();
    assert_eq!(again[0]["since"], json!({ "epoch": "a1f", "offset": 5 }), "{again:?}");
    // The same of a subscription that the server ends.
    rig.hear(&subscribed("chat:a", 5, &json!({ "id": again[0]["id"], "recovered": true, "replay": 0 })));
    rig.hear(&json!({ "type": "unsubscribed", "channel": "chat:a", "code": "internal", "message": "oh", "retry": 10 }));
    rig.pass(20);
    assert_eq!(rig.said()[0]["since"], json!({ "epoch": "a1f", "offset": 5 }));
    rig.hear(&json!({ "type": "unsubscribed", "channel": "chat:a", "code": "forbidden", "message": "out" }));
    assert!(rig.told().iter().all(|event| !matches!(event, Event::Message { .. })));
}

/// From the table of the protocol.
#[test]
fn close_codes_say_whether_to_come_back() {
    for code in [4400, 4401, 4403, 4409, 4413, 4426, 4499, 1002, 1003, 1007, 1009, 1010] {
        let mut rig = Rig::online();
        rig.lose(closed(code));
        assert_eq!(rig.session.closed(), Some(&Closed::ByServer { code, reason: "why".into() }));
        assert_eq!(rig.session.poll_timeout(), None, "{code}");
    }
    for code in [1000, 1001, 1005, 1008, 1011, 1012, 1013, 3000, 4500, 4501, 4503, 4508, 4529, 4999] {
        let mut rig = Rig::online();
        rig.lose(closed(code));
        assert_eq!(rig.session.closed(), None, "{code}");
        let wait = rig.wait();
        rig.pass(wait);
        assert_eq!(rig.dials, 1, "{code}");
    }
}

#[test]
fn waits_are_random_parts_of_what_the_server_and_the_failures_allow() {
    let mut rig = Rig::online();
    // A good session: half of the server's spread.
    rig.pass(5_000);
    rig.lose(lost());
    assert_eq!(rig.wait(), 1_500);
    // Then half of 1, 2, 4 seconds, whether the attempts fail or the sessions are short.
    for expected in [500, 1_000] {
        let wait = rig.wait();
        rig.pass(wait);
        rig.lose(lost());
        assert_eq!(rig.wait(), expected);
        rig.dials = 0;
    }
    let wait = rig.wait();
    rig.pass(wait);
    rig.open();
    rig.pass(4_999);
    rig.lose(lost());
    assert_eq!(rig.wait(), 2_000);
    // What the server says wins, and chance comes on top; a day is too long.
    let wait = rig.wait();
    rig.pass(wait);
    rig.lose(Ended::Lost { retry: Some(Duration::from_secs(7)) });
    assert_eq!(rig.wait(), 7_000 + 4_000);
    let wait = rig.wait();
    rig.pass(wait);
    rig.lose(Ended::Lost { retry: Some(Duration::from_secs(86_400)) });
    assert_eq!(rig.wait(), 300_000 + 8_000);
}

#[test]
fn a_server_that_does_not_answer_is_left() {
    let mut rig = Rig::new(Limits::default());
    rig.session.handle_opened(rig.now);
    rig.pass(9_999);
    assert_eq!(rig.hangups, 0);
    rig.pass(1);
    assert_eq!(rig.hangups, 1, "no welcome came");
    let mut rig = Rig::online();
    rig.session.wake(rig.now);
    assert_eq!(rig.said()[0]["type"], "ping");
    rig.pass(10_000);
    assert_eq!(rig.hangups, 1, "no pong came");
    // A client that waits tries at once when it is woken.
    rig.session.wake(rig.now);
    rig.pass(0);
    assert_eq!(rig.dials, 1);
    let mut rig = Rig::online();
    rig.session.wake(rig.now);
    let ping = rig.said();
    rig.hear(&json!({ "type": "pong", "id": ping[0]["id"], "ts": 1 }));
    rig.pass(10_000);
    assert_eq!(rig.hangups, 0, "the pong came");
}

#[test]
fn it_leaves_a_server_that_ends_at_a_random_moment_and_comes_back_at_once() {
    let mut rig = Rig::online();
    rig.hear(&json!({ "type": "goaway", "within": 4_000, "code": 4503 }));
    assert_eq!(rig.wait(), 2_000);
    rig.pass(2_000);
    assert_eq!((rig.hangups, rig.dials), (1, 1));
}

#[test]
fn a_session_that_is_refused_ends_unless_it_may_try_again() {
    let mut rig = Rig::new(Limits::default());
    rig.session.handle_opened(rig.now);
    let connect = rig.said();
    rig.hear(&json!({ "type": "error", "id": connect[0]["id"], "code": "draining", "message": "bye", "retry": 100 }));
    assert_eq!((rig.session.closed(), rig.wait()), (None, 200));
    rig.pass(200);
    rig.session.handle_opened(rig.now);
    let connect = rig.said();
    rig.hear(&json!({ "type": "error", "id": connect[0]["id"], "code": "unauthorized", "message": "who?" }));
    let why = Closed::Refused { code: "unauthorized".into(), message: "who?".into() };
    assert_eq!(rig.session.closed(), Some(&why));
}

#[test]
fn the_end_answers_everyone() {
    let mut rig = Rig::online();
    let sent = rig.publish("chat:a", "one");
    rig.lose(Ended::Hopeless("not a URL".into()));
    let unsent = rig.publish("chat:a", "two");
    let why = Closed::Unreachable("not a URL".into());
    let error = |sent| Err(PublishError::Closed { reason: why.clone(), sent });
    let expected = [
        Event::Published { id: sent, result: error(true) },
        Event::Closed(why.clone()),
        Event::Published { id: unsent, result: error(false) },
    ];
    assert_eq!(rig.told(), expected);
}
