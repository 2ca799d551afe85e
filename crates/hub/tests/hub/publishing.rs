//! Publishing to a log: positions, keys, replies and refusals.

use std::time::Duration;

use bytes::Bytes;
use trunkline_model::{Action, Encoding, Form, Kind, Limits, Namespace, Offset, Payload, Publish, Start};

use trunkline_sim::words::*;
use trunkline_sim::{Heard, Node, START};

#[test]
fn offsets_are_dense_over_all_publishers() {
    let mut node = Node::usual();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    check(node.asks(ann, publish(NEAR, "x").id(1)), &["[1] published chat:a a1"]);
    check(node.asks(bob, publish(NEAR, "y").id(1)), &["[1] published chat:a a2"]);
    check(node.asks(ann, publish(FAR, "z").id(2)), &["[2] published chat:b a1"]);
    check(node.asks(ann, publish(NEAR, "w").id(3)), &["[3] published chat:a a3"]);
}

#[test]
fn published_comes_before_the_own_broadcast() {
    for channel in [NEAR, FAR] {
        let mut node = Node::usual();
        let ann = node.open(0, Some("ann"));
        node.does(ann, subscribe(channel, Start::Next));
        node.hears(ann);
        let heard = node.asks(ann, publish(channel, "hi").id(1));
        assert_eq!(heard[0], format!("[1] published {channel} a1"));
        assert_eq!(heard[1], format!("{channel} a1 ann: hi (new epoch)"));
    }
}

#[test]
fn without_an_id_success_is_silent_and_refusal_is_not() {
    let mut node = Node::usual();
    let ann = node.open(0, Some("ann"));
    check(node.asks(ann, publish(NEAR, "hi")), &[]);
    check(node.asks(ann, publish("nowhere:a", "hi")), &["error unknown_namespace nowhere:a"]);
}

#[test]
fn several_at_once_are_stored_and_told_in_the_order_sent() {
    let mut node = Node::usual();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(0, Some("bob")));
    node.does(bob, subscribe(FAR, Start::Next));
    node.hears(bob);
    for text in ["x", "y", "z"] {
        node.send(ann, publish(FAR, text));
    }
    node.settle();
    check(node.hears(bob), &["chat:b a1 ann: x (new epoch)", "chat:b a2 ann: y", "chat:b a3 ann: z"]);
}

#[test]
fn the_same_key_is_stored_once_and_told_once() {
    let mut node = Node::usual();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(bob, subscribe(NEAR, Start::Next));
    node.hears(bob);
    check(node.asks(ann, keyed(NEAR, "hi", "k").id(1)), &["[1] published chat:a a1 key k"]);
    check(node.asks(ann, keyed(NEAR, "ho", "k").id(2)), &["[2] published chat:a a1 key k dup"]);
    check(node.hears(bob), &["chat:a a1 ann: hi (new epoch)"]);
    check(
        node.asks(bob, keyed(NEAR, "mine", "k").id(1)),
        &["[1] published chat:a a2 key k", "chat:a a2 bob: mine"],
    );
    check(node.asks(ann, keyed(FAR, "there", "k").id(3)), &["[3] published chat:b a1 key k"]);
}

#[test]
fn a_key_that_meets_its_first_in_flight_waits_for_it() {
    let mut node = Node::usual();
    let ann = node.open(0, Some("ann"));
    node.hold_appends = true;
    node.does(ann, keyed(FAR, "hi", "k").id(1));
    node.does(ann, keyed(FAR, "hi", "k").id(2));
    check(node.hears(ann), &[]);
    node.hold_appends = false;
    node.settle();
    check(node.hears(ann), &["[1] published chat:b a1 key k", "[2] published chat:b a1 key k dup"]);
}

#[test]
fn too_large_is_told_before_anything_is_asked() {
    let chat = Namespace { message_size_max: 5, ..Namespace::of_kind(Kind::Log) };
    let mut node = Node::with(Limits::default(), chat);
    let ann = node.open(0, Some("ann"));
    check(node.asks(ann, publish(NEAR, "123456").id(1)), &["[1] error too_large chat:a"]);
    assert_eq!(node.store.appends_asked, 0);
    check(node.asks(ann, publish(NEAR, "12345").id(2)), &["[2] published chat:a a1"]);
}

#[test]
fn a_dated_key_expires_and_any_other_does_not() {
    let chat = Namespace { keys: Duration::from_secs(10), ..Namespace::of_kind(Kind::Log) };
    let mut node = Node::with(Limits::default(), chat);
    let ann = node.open(0, Some("ann"));
    let dated = |ms: u64| format!("{}-r", base36(ms));
    node.uptime = Duration::from_secs(60);
    let now = START + 60_000;
    let mut check_key = |key: &str, expect: &str| {
        check(node.asks(ann, keyed(NEAR, "hi", key).id(1)), &[&format!("[1] {expect}")]);
    };
    check_key(&dated(now - 10_001), "error key_expired chat:a");
    check_key(&dated(now - 10_000), &format!("published chat:a a1 key {}", dated(now - 10_000)));
    check_key(&dated(now + 99_000), &format!("published chat:a a2 key {}", dated(now + 99_000)));
    check_key("1-r", "published chat:a a3 key 1-r");
}

#[test]
fn a_key_that_was_young_enough_when_it_came_meets_the_first_however_long_the_store_takes() {
    let chat = Namespace { keys: Duration::from_secs(10), ..Namespace::of_kind(Kind::Log) };
    let mut node = Node::with(Limits::default(), chat);
    let ann = node.open(0, Some("ann"));
    let key = format!("{}-r", base36(START));
    check(node.asks(ann, keyed(NEAR, "hi", &key).id(1)), &[&format!("[1] published chat:a a1 key {key}")]);
    node.uptime = Duration::from_millis(9_999);
    node.hold_appends = true;
    node.does(ann, keyed(NEAR, "hi", &key).id(2));
    node.uptime = Duration::from_secs(40);
    node.hold_appends = false;
    node.settle();
    check(node.hears(ann), &[&format!("[2] published chat:a a1 key {key} dup")]);
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    while number > 0 {
        digits.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize]);
        number /= 36;
    }
    digits.reverse();
    String::from_utf8(digits).expect("digits are ASCII")
}

#[test]
fn a_refusal_of_the_store_is_told_and_shifts_nothing() {
    let mut node = Node::usual();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(bob, subscribe(NEAR, Start::Next));
    node.hears(bob);
    node.store.fates.push_back(trunkline_sim::Fate::NotStored);
    check(node.asks(ann, publish(NEAR, "x").id(1)), &["[1] error not_available chat:a retry"]);
    check(node.asks(ann, publish(NEAR, "y").id(2)), &["[2] published chat:a a1"]);
    check(node.hears(bob), &["chat:a a1 ann: y (new epoch)"]);
}

#[test]
fn nobody_sees_what_the_store_has_not_answered() {
    let mut node = Node::usual();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(bob, subscribe(NEAR, Start::Next));
    node.hears(bob);
    node.hold_appends = true;
    node.does(ann, publish(NEAR, "x").id(1));
    check(
        node.asks(bob, subscribe(NEAR, since(0)).id(2)),
        &["[2] subscribed chat:a a0 floor 1, 0 recovered"],
    );
    node.commit();
    check(
        node.asks(bob, subscribe(NEAR, since(0)).id(3)),
        &["[3] subscribed chat:a a0 floor 1, 0 recovered"],
    );
    check(node.asks(bob, page(NEAR).command().id(4)), &["[4] page chat:a top a0 floor 1 covers 1..0 []"]);
    node.hold_appends = false;
    node.settle();
    check(node.hears(ann), &["[1] published chat:a a1"]);
    check(node.hears(bob), &["chat:a a1 ann: x (new epoch)"]);
}

#[test]
fn the_servers_own_publications_carry_no_author() {
    let mut node = Node::usual();
    let server = node.open_unnamed(0);
    node.does(server, subscribe(NEAR, Start::Next));
    node.hears(server);
    check(node.asks(server, publish(NEAR, "hi")), &["chat:a a1 hi (new epoch)"]);
}

#[test]
fn a_publication_is_encoded_once_for_all_who_get_it() {
    let mut node = Node::usual();
    let all: Vec<_> = (0..6u16).map(|n| node.open(n % 2, Some("x"))).collect();
    for &who in &all[..4] {
        node.does(who, subscribe(FAR, Start::Next));
        node.does(who, subscribe(SIGNAL, Start::Next));
    }
    node.does(all[0], publish(FAR, "log"));
    node.does(all[0], publish(SIGNAL, "signal"));
    // The last two get the entry of the log as a replay from the ring.
    node.does(all[4], subscribe(FAR, since(0)));
    node.does(all[5], subscribe(FAR, since(0)));
    let (mut told, mut encoded) = (0, 0);
    for heard in all.into_iter().flat_map(|who| node.take_heard(who)) {
        let Heard::Message(publication) = heard else { continue };
        told += 1;
        for encoding in [Encoding::TrunklineV1, Encoding::Plain] {
            publication.encoded(encoding, |publication| {
                encoded += 1;
                Bytes::from(text(publication))
            });
        }
    }
    assert_eq!((told, encoded), (4 + 4 + 2, 2 * 2));
}

#[test]
fn of_several_claims_one_is_stored_and_the_others_are_told_the_place() {
    let mut node = Node::usual();
    let all: Vec<_> = (0..4u16).map(|at| node.open(at % 2, Some(&format!("u{at}")))).collect();
    let claim = |offset: u64| {
        let payload = Payload::new(Form::Text, "mine".to_owned());
        let condition = Some(Offset(offset));
        Action::Publish(Publish { condition, ..Publish::new(name(FAR), payload) }).command().id(1)
    };
    node.hold_appends = true;
    all.iter().for_each(|who| node.send(*who, claim(0)));
    node.settle();
    node.hold_appends = false;
    node.settle();
    let mut heard: Vec<_> = all.iter().flat_map(|who| node.hears(*who)).collect();
    heard.sort();
    let conflict = "[1] error conflict chat:b at a1";
    check(heard, &[conflict, conflict, conflict, "[1] published chat:b a1"]);
    check(node.asks(all[3], claim(1)), &["[1] published chat:b a2"]);
    assert_eq!(node.store.log(&name(FAR)).head(), 2);
}
