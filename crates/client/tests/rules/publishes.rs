//! Publishes until they are answered: keys, the queue, what is sent again and what is not.

use serde_json::{Value, json};
use trunkline_client::rules::{Ended, Event, Limits, PublishError};
use trunkline_model::{Key, Start, Timestamp};

use crate::rig::{Rig, message, subscribed};

fn texts(said: &[Value]) -> Vec<&str> {
    said.iter().filter_map(|said| said["text"].as_str()).collect()
}

fn published(asked: &Value, offset: u64) -> Value {
    json!({
        "type": "published", "id": asked["id"], "channel": asked["channel"], "epoch": "a1f", "offset": offset,
        "key": asked["key"], "ts": 1,
    })
}

#[test]
fn keys_are_dated_by_the_servers_time_at_the_first_attempt() {
    let mut rig = Rig::new(Limits::default());
    rig.publish("chat:a", "one");
    rig.pass(5_000);
    rig.open();
    let first = rig.said();
    let key = Key::parse(first[0]["key"].as_str().expect("a key")).expect("a key");
    assert_eq!(key.born(), Some(Timestamp(1_795_300_005_000)));
    rig.pass(60_000);
    rig.cut_and_open();
    assert_eq!(rig.said()[0]["key"], first[0]["key"], "the key stays");
}

#[test]
fn what_is_not_answered_goes_out_again_first_and_in_order() {
    let mut rig = Rig::online();
    for text in ["one", "two", "three"] {
        rig.publish("chat:a", text);
    }
    let first = rig.said();
    rig.hear(&published(&first[1], 1));
    rig.lose(Ended::Lost { retry: None });
    rig.publish("chat:a", "four");
    let wait = rig.wait();
    rig.pass(wait);
    rig.open();
    let again = rig.said();
    assert_eq!(texts(&again), ["one", "three", "four"]);
    assert_eq!((&again[0]["key"], &again[1]["key"]), (&first[0]["key"], &first[2]["key"]));
}

#[test]
fn open_outcomes_are_tried_again_and_definite_ones_are_told() {
    let mut rig = Rig::online();
    let [one, two] = ["one", "two"].map(|text| rig.publish("chat:a", text));
    let sent = rig.said();
    rig.hear(&json!({ "type": "error", "id": sent[0]["id"], "code": "internal", "message": "?", "channel": "chat:a" }));
    rig.hear(&json!({ "type": "error", "id": sent[1]["id"], "code": "key_expired", "message": "!", "channel": "chat:a" }));
    let told = rig.told();
    let [Event::Published { id, result: Err(PublishError::Refused(refusal)) }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((*id, &*refusal.code), (two, "key_expired"));
    // What comes after it in the channel waits for it; other channels do not.
    rig.publish("chat:a", "three");
    rig.publish("chat:b", "elsewhere");
    assert_eq!(texts(&rig.said()), ["elsewhere"]);
    rig.pass(500);
    let again = rig.said();
    assert_eq!(texts(&again), ["one", "three"]);
    assert_eq!(again[0]["key"], sent[0]["key"]);
    rig.hear(&published(&again[0], 4));
    let told = rig.told();
    assert!(matches!(&told[..], [Event::Published { id, result: Ok(_) }] if *id == one), "{told:?}");
}

#[test]
fn the_queue_has_an_end_in_number_and_age() {
    let mut rig = Rig::new(Limits { publishes: 2, ..Limits::default() });
    let [one, two, three] = ["one", "two", "three"].map(|text| rig.publish("chat:a", text));
    let full = Event::Published { id: three, result: Err(PublishError::QueueFull { publishes_max: 2 }) };
    assert_eq!(rig.told(), [full]);
    rig.pass(600_000);
    let expired = |id| Event::Published { id, result: Err(PublishError::Expired { sent: false }) };
    assert_eq!(rig.told(), [expired(one), expired(two)]);
}

#[test]
fn only_so_many_are_under_way() {
    let mut rig = Rig::online();
    for number in 0..70 {
        rig.publish("chat:a", &number.to_string());
    }
    let sent = rig.said();
    assert_eq!(sent.len(), 64);
    rig.hear(&published(&sent[0], 1));
    assert_eq!(texts(&rig.said()), ["64"]);
}

#[test]
fn what_the_server_does_not_take_is_not_sent() {
    let mut rig = Rig::new(Limits::default());
    let id = rig.publish("chat:a", &"x".repeat(101));
    rig.open();
    assert!(rig.said().is_empty());
    let error = PublishError::TooLarge { size: 101, size_max: 100 };
    assert_eq!(rig.told()[..1], [Event::Published { id, result: Err(error) }]);
}

#[test]
fn what_a_rewind_has_taken_is_published_again() {
    let mut rig = Rig::online();
    rig.follow("chat:a", 0);
    for text in ["one", "two", "three"] {
        rig.publish("chat:a", text);
    }
    let sent = rig.said();
    for (sent, offset) in sent.iter().zip(1..) {
        rig.hear(&published(sent, offset));
        rig.hear(
            &message("chat:a", offset)
                .as_object()
                .map(|said| {
                    let mut said = said.clone();
                    said.insert("key".into(), sent["key"].clone());
                    Value::Object(said)
                })
                .expect("an object"),
        );
    }
    rig.told();
    rig.cut_and_open();
    let lost = json!({ "recovered": false, "reason": "rewound", "keep": 1, "epoch": "b07" });
    rig.hear(&subscribed("chat:a", 1, &lost));
    let again = rig.said();
    assert_eq!(texts(&again), ["two", "three"]);
    assert_eq!((&again[0]["key"], &again[1]["key"]), (&sent[1]["key"], &sent[2]["key"]));
    // Their authors were answered long ago.
    rig.hear(&published(&again[0], 2));
    assert!(rig.told().iter().all(|event| !matches!(event, Event::Published { .. })));
}

/// The author's own place still holds, but what was acknowledged beyond it is gone.
#[test]
fn what_was_taken_beyond_the_authors_place_is_published_again() {
    let mut rig = Rig::online();
    rig.follow("chat:a", 5);
    for text in ["one", "two"] {
        rig.publish("chat:a", text);
    }
    let sent = rig.said();
    rig.hear(&published(&sent[0], 6));
    rig.hear(&published(&sent[1], 9));
    rig.cut_and_open();
    // The log has another message at 6 now, and nothing at 9.
    rig.hear(&subscribed("chat:a", 6, &json!({ "recovered": true, "replay": 1 })));
    assert_eq!(texts(&rig.said()), ["two"]);
    rig.hear(&message("chat:a", 6));
    assert_eq!(texts(&rig.said()), ["one"]);
}

/// What was newest once must not become newest again.
#[test]
fn of_a_value_nothing_is_published_again() {
    let mut rig = Rig::online();
    rig.subscribe("ticks:eur", Start::Next);
    let asked = rig.said();
    let value = |offset: u64| subscribed("ticks:eur", offset, &json!({ "kind": "value", "entries": [] }));
    let mut answer = value(5);
    answer["id"] = asked[0]["id"].clone();
    rig.hear(&answer);
    rig.publish("ticks:eur", "1.07");
    let sent = rig.said();
    rig.hear(&published(&sent[0], 7));
    rig.hear(&message("ticks:eur", 7));
    rig.cut_and_open();
    rig.hear(&value(6));
    rig.hear(&message("ticks:eur", 7));
    assert!(rig.said().is_empty());
}
