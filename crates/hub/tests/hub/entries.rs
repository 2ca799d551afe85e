//! Channels that keep the newest of each entry (`value`, `map`): the whole state at once, only what changed for who comes
//! back, removals included; nobody sees an entry go back.

use std::time::Duration;

use trunkline_model::{Action, Command, EntryName, Kind, Limits, Namespace, Offset, Payload, Publish, Start};
use trunkline_sim::Node;
use trunkline_sim::words::*;

fn node() -> Node {
    Node::with(Limits::default(), Namespace::of_kind(Kind::Map))
}

fn entry(entry: &str, text: &str) -> Publish {
    let payload = Payload::new(trunkline_model::Form::Text, text.to_owned());
    Publish { entry: Some(EntryName::parse(entry).expect("a name")), ..Publish::new(name(NEAR), payload) }
}

fn set(name: &str, text: &str) -> Command {
    Action::Publish(entry(name, text)).command()
}

fn remove(name: &str) -> Command {
    Action::Publish(Publish { removes: true, ..entry(name, "") }).command()
}

#[test]
fn the_whole_state_and_then_what_changes() {
    let mut node = node();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    check(node.asks(ann, subscribe(NEAR, Start::Next)), &["subscribed chat:a a0 floor 1, state []"]);
    check(
        node.asks(ann, set("x", "1").id(1)),
        &["[1] published chat:a a1", "chat:a a1 x= ann: 1 (new epoch)"],
    );
    node.does(ann, set("y", "2"));
    node.does(ann, set("x", "3"));
    check(node.asks(bob, subscribe(NEAR, Start::Next)), &["subscribed chat:a a3 floor 1, state [y=2 x=3]"]);
    node.does(bob, remove("y"));
    check(node.hears(ann), &["chat:a a2 y= ann: 2", "chat:a a3 x= ann: 3", "chat:a a4 -y bob: "]);
    check(
        node.asks(bob, subscribe(NEAR, Start::Last(9))),
        &["chat:a a4 -y bob: ", "subscribed chat:a a4 floor 1, state [x=3]"],
    );
}

#[test]
fn who_comes_back_is_told_what_changed_and_what_is_gone() {
    let mut node = node();
    let ann = node.open(0, Some("ann"));
    for (name, text) in [("x", "1"), ("y", "2"), ("z", "3")] {
        node.does(ann, set(name, text));
    }
    node.does(ann, set("x", "4"));
    node.does(ann, remove("y"));
    let back = ["subscribed chat:a a5 floor 1, 2 recovered", "chat:a a4 x= ann: 4", "chat:a a5 -y ann: "];
    check(node.asks(ann, subscribe(NEAR, since(3))), &back);
    // Place 2 is no longer there, and is valid all the same.
    check(
        node.asks(ann, subscribe(NEAR, since(2)))[..1].to_vec(),
        &["subscribed chat:a a5 floor 1, 3 recovered"],
    );
    // Removals are forgotten after a while; who was away for longer is given everything.
    node.pass(Duration::from_secs(601));
    check(
        node.asks(ann, subscribe(NEAR, since(3))),
        &["subscribed chat:a a5 floor 6, lost: trimmed, state [z=3 x=4]"],
    );
    check(node.asks(ann, subscribe(NEAR, since(5))), &["subscribed chat:a a5 floor 6, 0 recovered"]);
}

#[test]
fn who_missed_more_than_is_replayed_is_given_the_whole_state() {
    let limited = Namespace { recover_entries: 4, ..Namespace::of_kind(Kind::Map) };
    let mut node = Node::with(Limits::default(), limited);
    let ann = node.open(0, Some("ann"));
    for x in ["u", "v", "w"] {
        node.does(ann, set(x, "1"));
    }
    for x in ["v", "w"] {
        node.does(ann, remove(x));
    }
    // A removal is a change like another.
    check(
        node.asks(ann, subscribe(NEAR, since(1))),
        &["subscribed chat:a a5 floor 1, 2 recovered", "chat:a a4 -v ann: ", "chat:a a5 -w ann: "],
    );
    for x in ["x", "y"] {
        node.does(ann, set(x, "1"));
    }
    node.hears(ann);
    assert_eq!(node.asks(ann, subscribe(NEAR, since(3))).len(), 1 + 4);
    node.does(ann, set("z", "1"));
    node.hears(ann);
    check(
        node.asks(ann, subscribe(NEAR, since(3))),
        &["subscribed chat:a a8 floor 1, lost: limit, state [u=1 x=1 y=1 z=1]"],
    );
    // Who asks to catch up is given all that changed, page by page.
    for _ in 0..10 {
        node.does(ann, set("z", "1"));
    }
    node.hears(ann);
    let heard = node.asks(ann, subscribe(NEAR, Start::CatchUp(at(10, 3))));
    assert_eq!(heard.len(), 1 + 5, "{heard:?}");
    assert!(heard[0].ends_with(", 5 follow"), "{heard:?}");
}

#[test]
fn what_waits_together_is_merged() {
    let mut node = node();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(bob, subscribe(NEAR, Start::Next));
    node.hears(bob);
    node.hold_appends = true;
    for (id, name, text) in [(1, "x", "1"), (2, "x", "2"), (3, "y", "3"), (4, "x", "4")] {
        node.does(ann, set(name, text).id(id));
    }
    node.hold_appends = false;
    node.settle();
    let answers = [
        "[1] published chat:a a1",
        "[3] published chat:a a2",
        "[2] published chat:a a3 merged",
        "[4] published chat:a a3",
    ];
    check(node.hears(ann), &answers);
    check(
        node.hears(bob),
        &["chat:a a1 x= ann: 1 (new epoch)", "chat:a a2 y= ann: 3", "chat:a a3 x= ann: 4"],
    );
    assert_eq!(node.store.appends_asked, 3);
}

#[test]
fn one_with_a_key_takes_nobodys_place() {
    let mut node = node();
    let ann = node.open(0, Some("ann"));
    let keyed = |id, text| {
        let key = Some(trunkline_model::Key::parse("k").unwrap());
        Action::Publish(Publish { key, ..entry("x", text) }).command().id(id)
    };
    check(node.asks(ann, keyed(1, "1")), &["[1] published chat:a a1 key k"]);
    node.hold_appends = true;
    for command in [set("y", "2").id(2), set("x", "3").id(3), keyed(4, "1")] {
        node.does(ann, command);
    }
    node.hold_appends = false;
    node.settle();
    // What had waited is stored, though what came after it was a repeat.
    let answers = ["[2] published chat:a a2", "[3] published chat:a a3", "[4] published chat:a a1 key k dup"];
    check(node.hears(ann), &answers);
    check(node.asks(ann, subscribe(NEAR, Start::Next)), &["subscribed chat:a a3 floor 1, state [y=2 x=3]"]);
}

#[test]
fn removing_what_is_not_there_is_refused() {
    let mut node = node();
    let ann = node.open(0, Some("ann"));
    check(node.asks(ann, remove("x").id(1)), &["[1] error not_found chat:a"]);
    assert_eq!(node.store.appends_asked, 0);
    // What is under way may be about to add it.
    node.hold_appends = true;
    node.does(ann, set("x", "1").id(2));
    node.does(ann, remove("x").id(3));
    node.hold_appends = false;
    node.settle();
    check(node.hears(ann), &["[2] published chat:a a1", "[3] published chat:a a2"]);
    // What has a key may be the repeat of a removal that was stored: the store knows.
    node.asks(ann, set("x", "3"));
    let key = Some(trunkline_model::Key::parse("k").unwrap());
    let keyed = |id| {
        let key = key.clone();
        Action::Publish(Publish { removes: true, key, ..entry("x", "") }).command().id(id)
    };
    check(node.asks(ann, keyed(4)), &["[4] published chat:a a4 key k"]);
    check(node.asks(ann, keyed(5)), &["[5] published chat:a a4 key k dup"]);
}

#[test]
fn a_slow_subscriber_is_given_what_is_newest() {
    let mut node = node();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(bob, subscribe(NEAR, Start::Next));
    node.hears(bob);
    node.make_slow(bob, 0);
    node.hold_room = true;
    for text in ["1", "2", "3"] {
        node.does(ann, set("x", text));
    }
    node.does(ann, set("y", "4"));
    check(node.hears(bob), &[]);
    node.hold_room = false;
    node.settle();
    check(node.hears(bob), &["chat:a a3 x= ann: 3", "chat:a a4 y= ann: 4"]);
}

#[test]
fn a_worker_that_is_behind_is_told_what_is_newest() {
    let limits = Limits { queue: 8, ..Limits::default() };
    let mut node = Node::with(limits, Namespace::of_kind(Kind::Map));
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(bob, subscribe(NEAR, Start::Next));
    node.hears(bob);
    node.held_queues = vec![(0, 1)];
    for text in 0..40 {
        node.does(ann, set("x", &text.to_string()));
    }
    node.held_queues.clear();
    node.settle();
    let heard = node.hears(bob);
    assert!(heard.len() < 10, "{heard:?}");
    assert_eq!(heard.last().map(String::as_str), Some("chat:a a40 x= ann: 39"));
}

#[test]
fn conditions_are_the_entries_own() {
    let mut node = node();
    let ann = node.open(1, Some("ann"));
    let claim = |name: &str, offset| {
        Action::Publish(Publish { condition: Some(Offset(offset)), ..entry(name, "mine") }).command()
    };
    check(node.asks(ann, claim("x", 0).id(1)), &["[1] published chat:a a1"]);
    check(node.asks(ann, claim("x", 0).id(2)), &["[2] error conflict chat:a at a1"]);
    check(node.asks(ann, claim("y", 0).id(3)), &["[3] published chat:a a2"]);
    check(node.asks(ann, claim("x", 1).id(4)), &["[4] published chat:a a3"]);
    node.does(ann, remove("y"));
    check(node.asks(ann, claim("y", 0).id(5)), &["[5] published chat:a a5"]);
}

#[test]
fn the_caps_hold() {
    let limits = Limits { entries: 2, entries_bytes: 300, ..Limits::default() };
    let mut node = Node::with(limits, Namespace::of_kind(Kind::Map));
    let ann = node.open(0, Some("ann"));
    node.does(ann, set("x", "1"));
    node.does(ann, set("y", "2"));
    check(node.asks(ann, set("z", "3").id(1)), &["[1] error limit_exceeded chat:a"]);
    check(node.asks(ann, set("x", "3").id(2)), &["[2] published chat:a a3"]);
    check(node.asks(ann, set("x", &"x".repeat(200)).id(3)), &["[3] error limit_exceeded chat:a"]);
    node.does(ann, remove("y"));
    check(node.asks(ann, set("z", "4").id(4)), &["[4] published chat:a a5"]);
}

#[test]
fn what_has_no_place_in_a_channel_is_refused() {
    let mut node = node();
    let ann = node.open(0, Some("ann"));
    let mut check_refused = |publish: Publish, part: &str| {
        let heard = node.asks(ann, Action::Publish(publish).command().id(1));
        check(heard.iter().map(|line| line.split(':').next().unwrap_or(line).to_owned()).collect(), &[part]);
    };
    let nameless = Publish { entry: None, ..entry("x", "1") };
    check_refused(nameless.clone(), "[1] error bad_request chat");
    check_refused(Publish { ephemeral: true, ..entry("x", "1") }, "[1] error bad_request chat");
    check_refused(Publish { ephemeral: true, ..nameless }, "[1] published chat");
    check_refused(Publish { channel: name(SIGNAL), ..entry("x", "1") }, "[1] error bad_request live");
}

#[test]
fn an_entry_with_a_time_is_gone_when_it_is_over() {
    let mut node = node();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(bob, subscribe(NEAR, Start::Next));
    node.hears(bob);
    let for_ms = |name: &str, text: &str, ms| {
        let ttl = Some(Duration::from_millis(ms));
        Action::Publish(Publish { ttl, ..entry(name, text) }).command()
    };
    node.does(ann, for_ms("x", "1", 100));
    node.does(ann, for_ms("y", "2", 300));
    node.pass(Duration::from_millis(90));
    assert_eq!(node.hears(bob).len(), 2);
    // Published again it lives anew; without a time it stays.
    node.does(ann, for_ms("x", "3", 100));
    node.pass(Duration::from_millis(90));
    check(node.hears(bob), &["chat:a a3 x= ann: 3"]);
    node.pass(Duration::from_millis(10));
    check(node.hears(bob), &["chat:a a4 -x "]);
    node.does(ann, set("y", "4"));
    node.pass(Duration::from_millis(1_000));
    check(node.hears(bob), &["chat:a a5 y= ann: 4"]);
}

#[test]
fn a_removal_that_failed_is_tried_again() {
    let mut node = node();
    let ann = node.open(0, Some("ann"));
    let ttl = Some(Duration::from_millis(100));
    node.does(ann, Action::Publish(Publish { ttl, ..entry("x", "1") }).command());
    node.store.fates.push_back(trunkline_sim::Fate::NotStored);
    node.pass(Duration::from_millis(100));
    check(node.asks(ann, subscribe(NEAR, Start::Next)), &["subscribed chat:a a1 floor 1, state [x=1]"]);
    node.pass(Duration::from_millis(1_000));
    check(node.hears(ann), &["chat:a a2 -x "]);
    assert_eq!(node.store.appends_asked, 3);
}

#[test]
fn a_store_that_goes_on_refusing_is_left_alone_for_longer_and_longer() {
    let mut node = node();
    let ann = node.open(0, Some("ann"));
    let ttl = Some(Duration::from_millis(100));
    for x in ["x", "y", "z"] {
        node.does(ann, Action::Publish(Publish { ttl, ..entry(x, "1") }).command());
    }
    let asked = |node: &Node| node.store.appends_asked - 3;
    node.store.fates = vec![trunkline_sim::Fate::NotStored; 1_000].into();
    node.pass(Duration::from_millis(100));
    assert_eq!(asked(&node), 3);
    for _ in 0..600 {
        node.pass(Duration::from_secs(1));
    }
    // At once, after 1, 3, 7, 15, 31 and 63 s, and then once a minute.
    assert_eq!(asked(&node), 3 * (1 + 6 + 8));
    node.store.fates.clear();
    for _ in 0..60 {
        node.pass(Duration::from_secs(1));
    }
    check(node.asks(ann, subscribe(NEAR, Start::Next)), &["subscribed chat:a a6 floor 1, state []"]);
    // Then it is as it was before.
    node.does(ann, Action::Publish(Publish { ttl, ..entry("x", "1") }).command());
    let before = asked(&node);
    node.store.fates = vec![trunkline_sim::Fate::NotStored; 2].into();
    for _ in 0..4 {
        node.pass(Duration::from_secs(1));
    }
    assert_eq!(asked(&node) - before, 3);
}

#[test]
fn an_entry_goes_though_nobody_is_there() {
    let mut node = node();
    let ann = node.open(0, Some("ann"));
    let ttl = Some(trunkline_model::Limits::default().channel_idle * 3);
    node.does(ann, Action::Publish(Publish { ttl, ..entry("x", "1") }).command());
    for _ in 0..4 {
        node.pass(trunkline_model::Limits::default().channel_idle);
    }
    assert_eq!(node.store.appends_asked, 2);
}

fn paced(per_second: u32) -> Command {
    let subscribe = trunkline_model::Subscribe::new(name(NEAR), Start::Next);
    Action::Subscribe(trunkline_model::Subscribe { rate_max: Some(per_second), ..subscribe }).command()
}

#[test]
fn who_wants_to_be_told_only_so_often_is_given_what_is_newest() {
    let mut node = node();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    check(node.asks(bob, paced(10)), &["subscribed chat:a a0 floor 1, state []"]);
    for text in ["1", "2", "3"] {
        node.does(ann, set("x", text));
    }
    node.does(ann, set("y", "4"));
    // The first at once, the newest of each when the time has come.
    check(node.hears(bob), &["chat:a a1 x= ann: 1 (new epoch)"]);
    node.pass(Duration::from_millis(99));
    check(node.hears(bob), &[]);
    node.pass(Duration::from_millis(1));
    check(node.hears(bob), &["chat:a a3 x= ann: 3", "chat:a a4 y= ann: 4"]);
    node.does(ann, set("x", "5"));
    check(node.hears(bob), &[]);
    node.pass(Duration::from_millis(100));
    check(node.hears(bob), &["chat:a a5 x= ann: 5"]);
    // After a pause the next comes at once.
    node.pass(Duration::from_millis(500));
    node.does(ann, set("x", "6"));
    check(node.hears(bob), &["chat:a a6 x= ann: 6"]);
    node.does(bob, unsubscribe(NEAR));
    node.pass(Duration::from_millis(500));
    check(node.hears(bob), &["unsubscribed chat:a"]);
}

#[test]
fn one_who_is_paced_and_slow_is_both() {
    let mut node = node();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(bob, paced(10));
    node.hears(bob);
    node.make_slow(bob, 0);
    node.hold_room = true;
    node.does(ann, set("x", "1"));
    node.does(ann, set("x", "2"));
    node.pass(Duration::from_millis(500));
    check(node.hears(bob), &[]);
    node.hold_room = false;
    node.settle();
    check(node.hears(bob), &["chat:a a2 x= ann: 2"]);
    node.does(ann, set("x", "3"));
    check(node.hears(bob), &[]);
    node.pass(Duration::from_millis(100));
    check(node.hears(bob), &["chat:a a3 x= ann: 3"]);
}

#[test]
fn a_namespace_may_pace_everyone_and_a_log_nobody() {
    let rate = trunkline_model::Rate { interval: Duration::from_millis(200), burst: 1 };
    let map = Namespace { max_rate: Some(rate), ..Namespace::of_kind(Kind::Map) };
    let mut node = Node::with(Limits::default(), map);
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(bob, paced(10));
    node.does(ann, set("x", "1"));
    node.does(ann, set("x", "2"));
    node.hears(bob);
    node.pass(Duration::from_millis(100));
    check(node.hears(bob), &[]);
    node.pass(Duration::from_millis(100));
    check(node.hears(bob), &["chat:a a2 x= ann: 2"]);
    let mut node = Node::usual();
    let bob = node.open(1, Some("bob"));
    check(node.asks(bob, paced(10).id(1)), &["[1] error bad_request chat:a"]);
}

fn bound(entry_name: &str, text: &str) -> Command {
    Action::Publish(Publish { bind: true, ..entry(entry_name, text) }).command()
}

/// Ann has bound x; Bob follows.
fn with_bound() -> (Node, usize, usize) {
    let mut node = node();
    let (ann, bob) = (node.open(1, Some("ann")), node.open(0, Some("bob")));
    node.does(bob, subscribe(NEAR, Start::Next));
    node.does(ann, bound("x", "1"));
    node.does(ann, set("y", "2"));
    assert_eq!(node.hears(bob).len(), 3);
    (node, ann, bob)
}

#[test]
fn a_bound_entry_goes_with_its_session_after_grace() {
    let (mut node, ann, bob) = with_bound();
    node.close(ann);
    node.settle();
    node.pass(Duration::from_millis(2_900));
    check(node.hears(bob), &[]);
    node.pass(Duration::from_millis(100));
    check(node.hears(bob), &["chat:a a3 -x "]);
    check(node.asks(bob, subscribe(NEAR, Start::Next)), &["subscribed chat:a a3 floor 1, state [y=2]"]);
}

#[test]
fn who_is_back_in_time_keeps_it() {
    let (mut node, ann, bob) = with_bound();
    node.close(ann);
    node.settle();
    let ann = node.open(0, Some("ann"));
    node.does(ann, subscribe(NEAR, Start::Next));
    node.pass(Duration::from_secs(10));
    check(node.hears(bob), &[]);
    // Its end is that of the new connection.
    node.does(ann, bound("z", "3"));
    node.close(ann);
    node.settle();
    node.pass(Duration::from_secs(3));
    check(node.hears(bob), &["chat:a a3 z= ann: 3", "chat:a a4 -x ", "chat:a a5 -z "]);
}

#[test]
fn the_newest_connection_holds_what_the_session_has_bound() {
    // The line is gone, but nobody has noticed yet; then the session is here by another.
    let (mut node, old, bob) = with_bound();
    let new = node.open(0, Some("ann"));
    node.does(new, subscribe(NEAR, Start::Next));
    node.close(old);
    node.settle();
    node.pass(Duration::from_secs(10));
    check(node.hears(bob), &[]);
    // It has bound nothing itself, and left the channel: the entry goes with it all the same.
    node.does(new, unsubscribe(NEAR));
    node.close(new);
    node.settle();
    node.pass(Duration::from_secs(3));
    check(node.hears(bob), &["chat:a a3 -x "]);
}

#[test]
fn one_that_is_stored_long_after_its_session_has_ended_goes_too() {
    let mut node = node();
    let (ann, bob) = (node.open(1, Some("ann")), node.open(0, Some("bob")));
    node.does(bob, subscribe(NEAR, Start::Next));
    node.hears(bob);
    node.hold_appends = true;
    node.does(ann, bound("z", "3"));
    node.close(ann);
    node.settle();
    // The end of the session is over and forgotten when the store answers, so its grace begins then.
    node.pass(Duration::from_secs(10));
    node.hold_appends = false;
    node.settle();
    node.pass(Duration::from_millis(2_900));
    check(node.hears(bob), &["chat:a a1 z= ann: 3 (new epoch)"]);
    node.pass(Duration::from_millis(100));
    check(node.hears(bob), &["chat:a a2 -z "]);
}

#[test]
fn one_that_nobody_was_sure_of_goes_with_its_session_too() {
    // The store could not say whether it holds it, and the hub finds it by reading when the session has ended.
    let mut node = node();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(0, Some("bob")));
    node.does(bob, subscribe(NEAR, Start::Next));
    node.hears(bob);
    node.store.fates.push_back(trunkline_sim::Fate::UnknownStored);
    node.hold_reads = true;
    node.does(ann, bound("z", "3"));
    node.close(ann);
    node.settle();
    node.pass(Duration::from_secs(10));
    node.hold_reads = false;
    node.settle();
    check(node.hears(bob), &["chat:a a1 z= ann: 3 (new epoch)"]);
    node.pass(Duration::from_secs(3));
    check(node.hears(bob), &["chat:a a2 -z "]);
}

#[test]
fn one_goes_too_whose_channel_the_session_has_left_long_ago() {
    let limits = Limits { subscriptions: 2, ..Limits::default() };
    let mut node = Node::with(limits, Namespace::of_kind(Kind::Map));
    let (ann, bob) = (node.open(1, Some("ann")), node.open(0, Some("bob")));
    node.does(bob, subscribe(NEAR, Start::Next));
    node.does(ann, bound("x", "1"));
    node.hears(bob);
    node.close(ann);
    node.settle();
    // It is back, looks at more channels than it may follow at once, and goes.
    let ann = node.open(1, Some("ann"));
    for channel in [NEAR, FAR, "chat:c", "chat:d", "chat:e"] {
        node.does(ann, subscribe(channel, Start::Next));
        node.does(ann, unsubscribe(channel));
    }
    node.close(ann);
    node.settle();
    node.pass(Duration::from_secs(3));
    check(node.hears(bob), &["chat:a a2 -x "]);
}

#[test]
fn the_end_of_a_session_opens_nothing() {
    let mut node = node();
    let ann = node.open(1, Some("ann"));
    for channel in [NEAR, FAR] {
        node.does(ann, subscribe(channel, Start::Next));
        node.does(ann, unsubscribe(channel));
    }
    node.pass(Limits::default().channel_idle);
    node.pass(Limits::default().channel_idle);
    let reads = node.store.reads_asked;
    node.close(ann);
    node.settle();
    assert_eq!(node.store.reads_asked, reads);
    assert!(node.leftovers().is_empty(), "{:?}", node.leftovers());
}

#[test]
fn of_many_that_go_at_once_some_go_at_a_time() {
    const MANY: usize = 1_300;
    let mut node = node();
    let ann = node.open(0, Some("ann"));
    for number in 0..MANY {
        node.does(ann, bound(&format!("e{number}"), "1"));
    }
    node.close(ann);
    node.settle();
    let asked = node.store.appends_asked;
    node.hold_appends = true;
    node.pass(Duration::from_secs(3));
    assert!(node.store.appends_asked - asked <= 512, "{}", node.store.appends_asked - asked);
    node.hold_appends = false;
    node.settle();
    for _ in 0..3 {
        node.pass(Duration::from_millis(1));
    }
    let bob = node.open(0, Some("bob"));
    let heard = node.asks(bob, subscribe(NEAR, Start::Next));
    assert!(heard[0].ends_with("state []"), "{heard:?}");
    assert_eq!(node.store.appends_asked - asked, MANY, "each once");
}

#[test]
fn what_somebody_else_has_published_since_stays() {
    let (mut node, ann, bob) = with_bound();
    node.close(ann);
    node.settle();
    node.does(bob, set("x", "mine"));
    node.hears(bob);
    node.pass(Duration::from_secs(10));
    check(node.hears(bob), &[]);
}

#[test]
fn after_a_restart_bound_entries_wait_for_their_sessions() {
    let (mut node, _, _) = with_bound();
    let epoch = node.store.epoch();
    node.crash(trunkline_model::Epoch::from_random(epoch.number() + 1), false);
    let bob = node.open(0, Some("bob"));
    check(node.asks(bob, subscribe(NEAR, Start::Next)), &["subscribed chat:a a2 floor 1, state [x=1 y=2]"]);
    node.pass(Duration::from_secs(3));
    check(node.hears(bob), &["chat:a b3 -x  (new epoch)"]);
}

#[test]
fn a_value_is_one_entry_without_a_name() {
    let mut node = Node::with(Limits::default(), Namespace::of_kind(Kind::Value));
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(ann, subscribe(FAR, Start::Next));
    for text in ["1", "2", "3"] {
        node.does(ann, publish(FAR, text));
    }
    let told = [
        "subscribed chat:b a0 floor 1, state []",
        "chat:b a1 = ann: 1 (new epoch)",
        "chat:b a2 = ann: 2",
        "chat:b a3 = ann: 3",
    ];
    check(node.hears(ann), &told);
    check(node.asks(bob, subscribe(FAR, Start::Next)), &["subscribed chat:b a3 floor 1, state [=3]"]);
    let back = ["subscribed chat:b a3 floor 1, 1 recovered", "chat:b a3 = ann: 3"];
    check(node.asks(bob, subscribe(FAR, since(1))), &back);
    check(node.asks(bob, subscribe(FAR, since(3))), &["subscribed chat:b a3 floor 1, 0 recovered"]);
}
