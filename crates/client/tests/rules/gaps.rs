//! What a subscription does where no replay closes the gap: pages, and words about what is missing.

use serde_json::{Value, json};
use trunkline_model::Start;

use crate::rig::{Rig, message, name, page, place, subscribed};

const CHAT: &str = "chat:a";

/// A client that stood at 10 comes back to a log that stands at `top`, and is told that its place cannot be continued.
fn come_back_to(top: u64, more: &Value) -> Rig {
    let mut rig = Rig::online();
    rig.follow(CHAT, 10);
    rig.cut_and_open();
    rig.told();
    rig.hear(&subscribed(CHAT, top, more));
    rig
}

fn question(rig: &mut Rig) -> Value {
    let said = rig.said();
    let [asked] = &said[..] else { panic!("one question: {said:?}") };
    assert_eq!(asked["type"], "history");
    asked.clone()
}

#[test]
fn a_short_gap_is_closed_by_the_newest_page() {
    let mut rig = come_back_to(12, &json!({ "recovered": false, "reason": "limit" }));
    let asked = question(&mut rig);
    assert_eq!((&asked["after"], &asked["before"]), (&Value::Null, &Value::Null));
    // What is pushed meanwhile waits.
    rig.hear(&message(CHAT, 13));
    assert!(rig.story().is_empty());
    rig.hear(&page(&asked, (9, 12), 12, 1));
    assert_eq!(rig.story(), ["Recovered { messages: 2 }", "11", "12", "13"]);
    assert!(rig.said().is_empty());
}

#[test]
fn a_longer_gap_is_filled_up_to_a_limit() {
    let mut rig = come_back_to(1_000, &json!({ "recovered": false, "reason": "limit" }));
    let asked = question(&mut rig);
    rig.hear(&page(&asked, (511, 1_000), 1_000, 1));
    let asked = question(&mut rig);
    assert_eq!((&asked["after"], &asked["at"]), (&json!(10), &json!({ "epoch": "a1f", "offset": 10 })));
    rig.hear(&page(&asked, (11, 510), 1_000, 1));
    let story = rig.story();
    assert_eq!(
        (story.len(), &*story[0], &*story[1], &*story[990]),
        (991, "Recovered { messages: 990 }", "11", "1000")
    );
}

#[test]
fn a_gap_beyond_the_limit_is_skipped_and_told() {
    let mut rig = come_back_to(1_000, &json!({ "recovered": false, "reason": "limit" }));
    let asked = question(&mut rig);
    rig.hear(&page(&asked, (998, 1_000), 1_000, 1));
    assert_eq!(rig.story(), ["Missed { messages: 987 }", "998", "999", "1000"]);
    assert!(rig.said().is_empty());
    let connect = rig.cut_and_open();
    assert_eq!(connect["subscribe"][CHAT]["since"], json!({ "epoch": "a1f", "offset": 1000 }));
}

#[test]
fn what_is_trimmed_is_told_and_the_rest_fetched() {
    let mut rig = come_back_to(30, &json!({ "recovered": false, "reason": "trimmed", "floor": 21 }));
    let asked = question(&mut rig);
    rig.hear(&page(&asked, (28, 30), 30, 21));
    assert_eq!(rig.story(), ["Missed { messages: 10 }"]);
    let asked = question(&mut rig);
    assert_eq!((&asked["after"], &asked["at"]), (&json!(20), &Value::Null));
    rig.hear(&page(&asked, (21, 27), 30, 21));
    assert_eq!(rig.story().len(), 10);
}

/// While the epoch of its place is not known, a client claims the last one that was, and gives up what it has since.
#[test]
fn an_unknown_place_is_never_claimed() {
    let mut rig = come_back_to(30, &json!({ "recovered": false, "reason": "trimmed", "floor": 21 }));
    let asked = question(&mut rig);
    rig.hear(&page(&asked, (28, 30), 30, 21));
    let asked = question(&mut rig);
    rig.hear(&page(&asked, (21, 23), 30, 21));
    assert_eq!(rig.story(), ["Missed { messages: 10 }", "21", "22", "23"]);
    question(&mut rig);
    let connect = rig.cut_and_open();
    assert_eq!(connect["subscribe"][CHAT]["since"], json!({ "epoch": "a1f", "offset": 10 }));
    assert_eq!(rig.story(), ["Rewound { keep: Some(#10) }"]);
}

#[test]
fn a_rewind_with_a_shared_place_goes_on_from_there() {
    let mut rig =
        come_back_to(12, &json!({ "recovered": false, "reason": "rewound", "keep": 7, "epoch": "b07" }));
    assert_eq!(rig.story(), ["Rewound { keep: Some(#7) }"]);
    let asked = question(&mut rig);
    assert_eq!(asked["after"], 7);
    let mut answer = page(&asked, (8, 12), 12, 1);
    answer["epoch"] = "b07".into();
    answer["items"][0]["epoch"] = "b07".into();
    rig.hear(&answer);
    assert_eq!(rig.story(), ["8", "9", "10", "11", "12"]);
    let connect = rig.cut_and_open();
    assert_eq!(connect["subscribe"][CHAT]["since"], json!({ "epoch": "b07", "offset": 12 }));
}

#[test]
fn a_rewind_without_one_begins_with_the_newest_page() {
    let mut rig = come_back_to(3, &json!({ "recovered": false, "reason": "rewound", "epoch": "b07" }));
    let asked = question(&mut rig);
    rig.hear(&message(CHAT, 4));
    rig.hear(&page(&asked, (2, 3), 3, 1));
    assert_eq!(rig.story(), ["Rewound { keep: None }", "2", "3", "4"]);
}

/// Told unasked, while the line holds; a page that was asked for before it is not of this log.
#[test]
fn a_rewind_that_is_told_unasked_drops_the_pages_under_way() {
    let mut rig = come_back_to(40, &json!({ "recovered": false, "reason": "limit" }));
    let before = question(&mut rig);
    rig.hear(&subscribed(CHAT, 12, &json!({ "recovered": false, "reason": "rewound", "keep": 9 })));
    let asked = question(&mut rig);
    rig.hear(&page(&before, (11, 40), 40, 1));
    assert_eq!(rig.story(), ["Rewound { keep: Some(#9) }"]);
    rig.hear(&page(&asked, (10, 12), 12, 1));
    assert_eq!(rig.story(), ["10", "11", "12"]);
}

#[test]
fn a_page_that_is_refused_is_asked_for_again_or_skipped() {
    let mut rig = come_back_to(12, &json!({ "recovered": false, "reason": "limit" }));
    let asked = question(&mut rig);
    rig.hear(&json!({ "type": "error", "id": asked["id"], "code": "not_available", "message": "later", "retry": 50 }));
    assert!(rig.said().is_empty());
    rig.pass(100);
    let asked = question(&mut rig);
    rig.hear(&message(CHAT, 13));
    rig.hear(&json!({ "type": "error", "id": asked["id"], "code": "forbidden", "message": "never" }));
    assert_eq!(rig.story(), ["Missed { messages: 2 }", "13"]);
    assert!(rig.said().is_empty());
    // The same at once for whoever may not read pages.
    let mut rig = come_back_to(12, &json!({ "recovered": false, "reason": "limit", "can": ["publish"] }));
    assert!(rig.said().is_empty());
    rig.hear(&message(CHAT, 13));
    assert_eq!(rig.story(), ["Missed { messages: 2 }", "13"]);
}

#[test]
fn a_reader_that_takes_no_more_is_spared_and_gets_it_later() {
    let mut rig = Rig::online();
    rig.follow(CHAT, 0);
    rig.session.set_paused(&name(CHAT), true, rig.now);
    (1..=2_000).for_each(|offset| rig.hear(&message(CHAT, offset)));
    assert!(rig.story().is_empty() && rig.said().is_empty());
    rig.session.set_paused(&name(CHAT), false, rig.now);
    // What had room has waited; the rest is fetched.
    assert_eq!(rig.story().len(), 1_024);
    let asked = question(&mut rig);
    assert_eq!(asked["after"], 1_024);
    rig.hear(&page(&asked, (1_025, 1_524), 2_000, 1));
    let asked = question(&mut rig);
    rig.hear(&page(&asked, (1_525, 2_000), 2_000, 1));
    assert_eq!(rig.story().len(), 976);
    assert!(rig.said().is_empty());
}

#[test]
fn a_place_of_ones_own_is_where_it_begins() {
    let mut rig = Rig::online();
    rig.subscribe(CHAT, Start::Since(place(3)));
    let asked = rig.said();
    let answer = json!({ "id": asked[0]["id"], "recovered": true, "replay": 2 });
    rig.hear(&subscribed(CHAT, 5, &answer));
    // Of another subscription of before, or of another channel.
    rig.hear(&subscribed(CHAT, 9, &json!({ "id": 77 })));
    rig.hear(&message("chat:other", 4));
    (4..=6).for_each(|offset| rig.hear(&message(CHAT, offset)));
    assert_eq!(rig.story(), ["Recovered { messages: 2 }", "4", "5", "6"]);
    rig.session.unsubscribe(&name(CHAT));
    assert_eq!(rig.said()[0]["type"], "unsubscribe");
    rig.hear(&message(CHAT, 7));
    assert!(rig.story().is_empty());
}
