//! A store that does not know whether it stored something: `internal`, and subscribers get what is in the
//! log, once and in order, whenever that becomes known.

use std::time::Duration;

use trunkline_model::{HistoryQuery, Kind, Limits, Namespace, Start};

use trunkline_sim::Fate;
use trunkline_sim::words::*;
use trunkline_sim::{Node, Who};

/// Bob follows, Ann publishes.
fn pair() -> (Node, Who, Who) {
    let mut node = Node::usual();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(bob, subscribe(NEAR, Start::Next));
    node.hears(bob);
    (node, ann, bob)
}

#[test]
fn it_was_stored_after_all() {
    let (mut node, ann, bob) = pair();
    node.store.fates.push_back(Fate::UnknownStored);
    check(node.asks(ann, keyed(NEAR, "x", "k").id(1)), &["[1] error internal chat:a retry"]);
    check(node.hears(bob), &["chat:a a1 ann: x (new epoch)"]);
    check(node.asks(ann, keyed(NEAR, "x", "k").id(2)), &["[2] published chat:a a1 key k dup"]);
    check(node.asks(ann, publish(NEAR, "y").id(3)), &["[3] published chat:a a2"]);
    check(node.hears(bob), &["chat:a a2 ann: y"]);
}

#[test]
fn it_was_not_stored() {
    let (mut node, ann, bob) = pair();
    node.store.fates.push_back(Fate::UnknownLost);
    check(node.asks(ann, keyed(NEAR, "x", "k").id(1)), &["[1] error internal chat:a retry"]);
    check(node.hears(bob), &[]);
    check(node.asks(ann, keyed(NEAR, "x", "k").id(2)), &["[2] published chat:a a1 key k"]);
    check(node.hears(bob), &["chat:a a1 ann: x (new epoch)"]);
}

#[test]
fn what_is_answered_while_the_hole_is_being_read_is_not_lost() {
    let (mut node, ann, bob) = pair();
    node.store.fates.push_back(Fate::UnknownStored);
    node.hold_reads = true;
    node.does(ann, publish(NEAR, "x").id(1));
    node.store.carry_out(0);
    node.does(ann, publish(NEAR, "y").id(2));
    node.does(ann, publish(NEAR, "z").id(3));
    check(node.hears(bob), &[]);
    node.hold_reads = false;
    node.settle();
    check(node.hears(bob), &["chat:a a1 ann: x (new epoch)", "chat:a a2 ann: y", "chat:a a3 ann: z"]);
}

#[test]
fn a_second_unknown_while_the_first_is_being_read_is_looked_up_too() {
    let (mut node, ann, bob) = pair();
    node.store.fates.extend([Fate::UnknownStored, Fate::UnknownStored]);
    node.hold_reads = true;
    node.does(ann, publish(NEAR, "x").id(1));
    node.store.carry_out(0);
    node.does(ann, publish(NEAR, "y").id(2));
    node.hold_reads = false;
    node.settle();
    check(node.hears(bob), &["chat:a a1 ann: x (new epoch)", "chat:a a2 ann: y"]);
}

#[test]
fn published_still_precedes_the_own_broadcast() {
    let (mut node, ann, _) = pair();
    node.does(ann, subscribe(NEAR, Start::Next));
    node.hears(ann);
    node.store.fates.push_back(Fate::UnknownStored);
    node.hold_appends = true;
    node.does(ann, publish(NEAR, "x").id(1));
    node.does(ann, publish(NEAR, "y").id(2));
    // Both are committed, one is answered; the read that follows finds both.
    node.commit();
    node.commit();
    node.answer_append(0);
    node.settle();
    node.hold_appends = false;
    node.settle();
    let told = node.hears(ann);
    let place = |part: &str| told.iter().position(|line| line.contains(part));
    assert!(place("[1] error internal") < place("a1 ann: x"), "{told:?}");
    assert!(place("[2] published") < place("a2 ann: y"), "{told:?}");
    assert_eq!(told.len(), 4, "{told:?}");
}

#[test]
fn a_hole_that_could_not_be_read_is_read_again_with_the_next_tick() {
    let (mut node, ann, bob) = pair();
    node.store.fates.push_back(Fate::UnknownStored);
    node.store.failing_reads = 1;
    check(node.asks(ann, publish(NEAR, "x").id(1)), &["[1] error internal chat:a retry"]);
    check(node.hears(bob), &[]);
    node.pass(Duration::from_secs(1));
    check(node.hears(bob), &["chat:a a1 ann: x (new epoch)"]);
}

#[test]
fn a_hole_larger_than_one_read_is_filled() {
    let chat = Namespace { message_size_max: 1 << 20, ..Namespace::of_kind(Kind::Log) };
    let mut node = Node::with(Limits::default(), chat);
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(bob, subscribe(NEAR, Start::Next));
    node.hears(bob);
    let large = "x".repeat(600 << 10);
    node.hold_reads = true;
    for _ in 0..3 {
        node.store.fates.push_back(Fate::UnknownStored);
        node.does(ann, publish(NEAR, &large));
    }
    node.hold_reads = false;
    node.settle();
    assert_eq!(node.hears(bob).len(), 3);
}

#[test]
fn a_page_is_as_new_as_its_reader_or_not_available() {
    let (mut node, ann, _) = pair();
    node.store.fates.push_back(Fate::UnknownStored);
    node.hold_reads = true;
    node.does(ann, publish(NEAR, "x").id(1));
    node.does(ann, publish(NEAR, "y").id(2));
    node.does(ann, HistoryQuery { at: Some(at(10, 2)), ..page(NEAR) }.command().id(3));
    // The page's look at the entry comes back first.
    node.store.carry_out(1);
    node.answer_read(0);
    node.settle();
    let told = node.hears(ann);
    assert_eq!(told[..2], ["[1] error internal chat:a retry", "[2] published chat:a a2"]);
    let page = "[3] page chat:a top a2 floor 1 covers 1..2 [x y]";
    assert!(
        told[2..].iter().all(|line| line == page || line == "[3] error not_available chat:a retry"),
        "{told:?}"
    );
    node.hold_reads = false;
    node.settle();
}

#[test]
fn one_who_is_ahead_of_the_owner_waits_for_it() {
    let (mut node, ann, _) = pair();
    node.store.fates.push_back(Fate::UnknownStored);
    node.hold_reads = true;
    node.does(ann, publish(NEAR, "x").id(1));
    node.does(ann, publish(NEAR, "y").id(2));
    node.hears(ann);
    node.does(ann, subscribe(NEAR, since(2)).id(3));
    node.store.carry_out(1);
    node.answer_read(0);
    node.settle();
    check(node.hears(ann), &[]);
    node.hold_reads = false;
    node.settle();
    check(node.hears(ann), &["[3] subscribed chat:a a2 floor 1, 0 recovered"]);
}
