//! Connections that end, at any moment.

use std::time::Duration;

use trunkline_model::Start;

use trunkline_sim::Node;
use trunkline_sim::words::*;

fn check_empty(node: &mut Node) {
    node.pass(Duration::from_secs(1));
    node.pass(Duration::from_secs(120));
    assert_eq!(node.leftovers(), Vec::<&str>::new());
}

#[test]
fn a_closed_session_leaves_nothing_behind() {
    let mut node = Node::usual();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(0, Some("bob")));
    for channel in [NEAR, FAR, SIGNAL] {
        node.does(ann, subscribe(channel, Start::Next));
        node.does(bob, subscribe(channel, Start::Next));
    }
    node.hears(bob);
    node.close(ann);
    node.does(bob, publish(FAR, "hi"));
    check(node.hears(bob), &["chat:b a1 bob: hi (new epoch)"]);
    node.close(bob);
    node.settle();
    check_empty(&mut node);
}

#[test]
fn a_session_that_closes_while_joining_is_never_let_in() {
    for hold_queue in [false, true] {
        let mut node = Node::usual();
        let ann = node.open(0, Some("ann"));
        if hold_queue {
            node.held_queues = vec![(1, 0)];
        } else {
            node.hold_reads = true;
        }
        node.does(ann, subscribe(FAR, Start::Next));
        node.close(ann);
        // The slot is taken by someone else before the answer comes.
        let bob = node.open(0, Some("bob"));
        node.hold_reads = false;
        node.held_queues.clear();
        node.settle();
        check(node.asks(bob, publish(FAR, "hi").id(1)), &["[1] published chat:b a1"]);
        node.close(bob);
        check_empty(&mut node);
    }
}

#[test]
fn a_leave_does_not_overtake_a_join_on_its_way() {
    let mut node = Node::usual();
    let (ann, bob, cid) = (node.open(0, Some("ann")), node.open(0, Some("bob")), node.open(1, Some("cid")));
    node.does(ann, subscribe(FAR, Start::Next));
    node.held_queues = vec![(1, 0)];
    node.does(bob, subscribe(FAR, Start::Next));
    node.close(ann);
    node.does(cid, publish(FAR, "x"));
    node.held_queues.clear();
    node.settle();
    check(node.hears(bob), &["subscribed chat:b a0 floor 1", "chat:b a1 cid: x (new epoch)"]);
}

#[test]
fn what_a_closed_session_had_published_is_stored_and_told() {
    let mut node = Node::usual();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(0, Some("bob")));
    node.does(bob, subscribe(FAR, Start::Next));
    node.hears(bob);
    node.hold_appends = true;
    node.does(ann, publish(FAR, "last words").id(1));
    node.close(ann);
    node.hold_appends = false;
    node.settle();
    check(node.hears(bob), &["chat:b a1 ann: last words (new epoch)"]);
}

#[test]
fn a_session_that_closes_at_the_door_is_forgotten() {
    let mut node = Node::usual();
    let ann = node.open(0, None);
    node.send(ann, subscribe(NEAR, Start::Next));
    node.close(ann);
    let bob = node.open(0, None);
    check(node.asks(bob, ping().id(1)), &["[1] pong"]);
    check_empty(&mut node);
}

#[test]
fn the_others_keep_their_places_when_one_leaves_the_list() {
    let mut node = Node::usual();
    let all: Vec<_> = (0..4).map(|n| node.open(0, Some(&format!("u{n}")))).collect();
    for &who in &all {
        node.does(who, subscribe(NEAR, Start::Next));
    }
    node.does(all[0], unsubscribe(NEAR));
    node.does(all[3], unsubscribe(NEAR));
    node.does(all[1], subscribe(NEAR, Start::Next));
    node.close(all[2]);
    all.iter().for_each(|who| drop(node.hears(*who)));
    check(node.asks(all[1], publish(NEAR, "x")), &["chat:a a1 u1: x (new epoch)"]);
    for who in [0, 2, 3] {
        check(node.hears(all[who]), &[]);
    }
}
