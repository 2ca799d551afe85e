//! A store that was opened again under a running node and has lost the end of its logs: who was told more hears of it,
//! unasked and before anything newer; who was not hears nothing.

use std::time::Duration;

use trunkline_model::{Epoch, HistoryQuery, Start};
use trunkline_sim::words::*;
use trunkline_sim::{Node, Who};

const LOST: &str = "subscribed chat:a a2 floor 1, lost: rewound, keep 2";

/// Bob follows; Ann has published four, of which the store is about to lose two.
fn four() -> (Node, Who, Who) {
    let mut node = Node::usual();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(bob, subscribe(NEAR, Start::Next));
    for (text, backs_up) in [("1", false), ("2", true), ("3", false), ("4", false)] {
        node.does(ann, publish(NEAR, text));
        if backs_up {
            node.store.back_up();
        }
    }
    assert_eq!(node.hears(bob).len(), 5);
    (node, ann, bob)
}

fn lose_end(node: &mut Node) {
    node.store.lose_end(Epoch::from_random(11));
}

#[test]
fn who_was_told_more_hears_of_it_before_anything_newer() {
    let (mut node, ann, bob) = four();
    lose_end(&mut node);
    check(node.asks(ann, publish(NEAR, "5").id(1)), &["[1] published chat:a b3"]);
    // The head was read when the new entry was there already.
    check(node.hears(bob), &["subscribed chat:a b3 floor 1, lost: rewound, keep 2"]);
    check(node.asks(ann, publish(NEAR, "6").id(2)), &["[2] published chat:a b4"]);
    check(node.hears(bob), &["chat:a b4 ann: 6"]);
}

#[test]
fn it_is_told_though_nobody_publishes() {
    let (mut node, ann, bob) = four();
    lose_end(&mut node);
    check(node.asks(ann, ping()), &["pong"]);
    check(node.hears(bob), &[LOST]);
}

#[test]
fn where_nothing_was_lost_nothing_is_told() {
    let (mut node, ann, bob) = four();
    node.store.back_up();
    lose_end(&mut node);
    check(node.asks(ann, publish(NEAR, "5").id(1)), &["[1] published chat:a b5"]);
    check(node.hears(bob), &["chat:a b5 ann: 5 (new epoch)"]);
}

#[test]
fn while_the_store_cannot_be_asked_nothing_newer_is_told() {
    let (mut node, ann, bob) = four();
    lose_end(&mut node);
    node.store.failing_reads = 1;
    check(node.asks(ann, publish(NEAR, "5").id(1)), &["[1] published chat:a b3"]);
    check(node.hears(bob), &[]);
    node.pass(Duration::from_secs(1));
    check(node.hears(bob), &["subscribed chat:a b3 floor 1, lost: rewound, keep 2"]);
}

#[test]
fn who_is_behind_hears_of_it_when_it_goes_on() {
    let (mut node, ann, bob) = four();
    node.make_slow(bob, 0);
    node.hold_room = true;
    node.does(ann, publish(NEAR, "5"));
    lose_end(&mut node);
    check(node.asks(ann, publish(NEAR, "6").id(1)), &["[1] published chat:a b3"]);
    check(node.hears(bob), &[]);
    node.hold_room = false;
    node.settle();
    check(node.hears(bob), &["subscribed chat:a b3 floor 1, lost: rewound, keep 2"]);
}

#[test]
fn who_is_behind_and_was_not_told_what_is_lost_just_goes_on() {
    let (mut node, ann, bob) = four();
    node.store.back_up();
    node.make_slow(bob, 0);
    node.hold_room = true;
    node.does(ann, publish(NEAR, "5"));
    lose_end(&mut node);
    check(node.asks(ann, publish(NEAR, "6").id(1)), &["[1] published chat:a b5"]);
    node.hold_room = false;
    node.settle();
    check(node.hears(bob), &["chat:a b5 ann: 6 (new epoch)"]);
}

#[test]
fn one_who_joins_meanwhile_gets_what_is_left() {
    let (mut node, ann, _) = four();
    node.hold_reads = true;
    lose_end(&mut node);
    node.does(ann, subscribe(NEAR, Start::Last(9)).id(1));
    check(node.hears(ann), &[]);
    node.hold_reads = false;
    node.settle();
    check(node.hears(ann), &["[1] subscribed chat:a a2 floor 1, [1 2]"]);
    let page = HistoryQuery { at: Some(at(10, 4)), ..page(NEAR) };
    check(node.asks(ann, page.command().id(2)), &["[2] error rewound chat:a"]);
}
