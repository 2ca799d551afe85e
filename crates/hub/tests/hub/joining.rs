//! Subscribing from now on, or with the newest page; replacing and leaving.

use trunkline_model::{Capability, Kind, Limits, Reply, Start};

use trunkline_sim::words::*;
use trunkline_sim::{Heard, Node};

#[test]
fn a_new_channel_is_at_zero_and_what_comes_is_told_to_all_workers() {
    let mut node = Node::usual();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    check(node.asks(ann, subscribe(FAR, Start::Next).id(1)), &["[1] subscribed chat:b a0 floor 1"]);
    check(node.asks(bob, subscribe(FAR, Start::Next).id(1)), &["[1] subscribed chat:b a0 floor 1"]);
    node.does(ann, publish(FAR, "hi"));
    node.does(bob, publish(FAR, "ho"));
    let both = ["chat:b a1 ann: hi (new epoch)", "chat:b a2 bob: ho"];
    check(node.hears(ann), &both);
    check(node.hears(bob), &both);
}

#[test]
fn subscribed_says_what_one_may_do() {
    let mut node = Node::usual();
    let ann = node.open(0, Some("ann"));
    let mut can = |channel| {
        node.does(ann, subscribe(channel, Start::Next));
        let heard = node.take_heard(ann);
        let [Heard::Reply(Reply::Subscribed(subscribed))] = &heard[..] else { panic!("{heard:?}") };
        (subscribed.kind, subscribed.can.clone())
    };
    assert_eq!(can(NEAR), (Kind::Log, vec![Capability::Publish, Capability::History]));
    assert_eq!(can(SIGNAL), (Kind::Signal, vec![Capability::Publish]));
}

fn check_last(ring: u32, stored: u64, published: u64, last: u32, expect: &str, reads: usize) {
    for (worker, channel) in [(0, NEAR), (1, NEAR)] {
        let mut node = Node::with(Limits::default(), ring_of(ring));
        node.fill(channel, stored);
        let ann = node.open(worker, Some("ann"));
        for number in 1..=published {
            node.does(ann, publish(channel, &(stored + number).to_string()));
        }
        let before = node.store.reads_asked;
        check(node.asks(ann, subscribe(channel, Start::Last(last))), &[expect]);
        let head = usize::from(published == 0);
        assert_eq!(node.store.reads_asked - before, reads + head, "last {last} of {stored} + {published}");
    }
}

#[test]
fn last_gives_the_newest_items_from_the_ring_or_the_store() {
    check_last(4, 10, 0, 3, "subscribed chat:a a10 floor 1, [8 9 10] more", 0);
    check_last(4, 10, 2, 4, "subscribed chat:a a12 floor 1, [9 10 11 12] more", 0);
    check_last(4, 10, 2, 6, "subscribed chat:a a12 floor 1, [7 8 9 10 11 12] more", 1);
    check_last(4, 10, 2, 12, "subscribed chat:a a12 floor 1, [1 2 3 4 5 6 7 8 9 10 11 12]", 1);
    check_last(4, 10, 2, 50, "subscribed chat:a a12 floor 1, [1 2 3 4 5 6 7 8 9 10 11 12]", 1);
    check_last(4, 3, 0, 50, "subscribed chat:a a3 floor 1, [1 2 3]", 0);
    check_last(4, 3, 0, 3, "subscribed chat:a a3 floor 1, [1 2 3]", 0);
}

#[test]
fn last_of_nothing_is_an_empty_page() {
    check_last(4, 0, 0, 5, "subscribed chat:a a0 floor 1, []", 0);
    check_last(4, 0, 0, 0, "subscribed chat:a a0 floor 1, []", 0);
    check_last(4, 2, 0, 0, "subscribed chat:a a2 floor 1, [] more", 0);
}

#[test]
fn last_over_the_limit_is_refused_and_changes_nothing() {
    let mut node = Node::with(Limits { history_page: 5, ..Limits::default() }, ring_of(10));
    let ann = node.open(0, Some("ann"));
    check(node.asks(ann, subscribe(NEAR, Start::Last(6)).id(1)), &["[1] error bad_request chat:a"]);
    check(node.asks(ann, subscribe(NEAR, Start::Last(5)).id(2)), &["[2] subscribed chat:a a0 floor 1, []"]);
    check(node.asks(ann, subscribe(NEAR, Start::Last(6)).id(3)), &["[3] error bad_request chat:a"]);
    check(node.asks(ann, publish(NEAR, "still here")), &["chat:a a1 ann: still here (new epoch)"]);
}

#[test]
fn a_page_ends_at_its_bytes_but_holds_at_least_one() {
    let check_bytes = |bytes, expect| {
        let mut node = Node::with(Limits { history_page_bytes: bytes, ..Limits::default() }, ring_of(3));
        node.fill(NEAR, 9);
        let ann = node.open(0, Some("ann"));
        check(node.asks(ann, subscribe(NEAR, Start::Last(8))), &[expect]);
    };
    check_bytes(130, "subscribed chat:a a9 floor 1, [8 9] more");
    check_bytes(129, "subscribed chat:a a9 floor 1, [9] more");
    check_bytes(1, "subscribed chat:a a9 floor 1, [9] more");
    check_bytes(65 * 5, "subscribed chat:a a9 floor 1, [5 6 7 8 9] more");
}

#[test]
fn what_is_stored_while_a_page_is_read_is_in_the_page() {
    let mut node = Node::with(Limits::default(), ring_of(4));
    node.fill(NEAR, 9);
    let (ann, bob) = (node.open(0, Some("ann")), node.open(0, Some("bob")));
    node.does(bob, publish(NEAR, "10"));
    node.hold_reads = true;
    node.does(ann, subscribe(NEAR, Start::Last(6)));
    node.does(bob, publish(NEAR, "11"));
    check(node.hears(ann), &[]);
    node.store.carry_out(0);
    node.does(bob, publish(NEAR, "12"));
    node.hold_reads = false;
    node.settle();
    check(node.hears(ann), &["subscribed chat:a a12 floor 1, [7 8 9 10 11 12] more"]);
    check(node.asks(bob, publish(NEAR, "13").id(1)), &["[1] published chat:a a13"]);
    check(node.hears(ann), &["chat:a a13 bob: 13"]);
}

#[test]
fn subscribing_again_replaces_the_subscription() {
    let mut node = Node::usual();
    let ann = node.open(0, Some("ann"));
    node.does(ann, subscribe(FAR, Start::Next));
    node.does(ann, publish(FAR, "one"));
    node.hears(ann);
    check(node.asks(ann, subscribe(FAR, since(1)).id(2)), &["[2] subscribed chat:b a1 floor 1, 0 recovered"]);
    check(node.asks(ann, publish(FAR, "two")), &["chat:b a2 ann: two"]);
}

#[test]
fn of_two_joins_on_the_way_only_the_later_counts() {
    let mut node = Node::usual();
    node.fill(FAR, 2);
    let ann = node.open(0, Some("ann"));
    node.hold_reads = true;
    node.does(ann, subscribe(FAR, Start::Last(1)).id(1));
    node.does(ann, subscribe(FAR, since(0)).id(2));
    node.hold_reads = false;
    node.settle();
    let heard = [
        "[1] unsubscribed chat:b",
        "[2] subscribed chat:b a2 floor 1, 2 recovered",
        "chat:b a1 1 (new epoch)",
        "chat:b a2 2",
    ];
    check(node.hears(ann), &heard);
}

#[test]
fn after_unsubscribed_nothing_more_arrives() {
    let mut node = Node::usual();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(0, Some("bob")));
    node.does(ann, subscribe(FAR, Start::Next));
    node.does(bob, subscribe(FAR, Start::Next));
    node.hears(ann);
    node.held_queues = vec![(1, 0)];
    node.does(bob, publish(FAR, "on its way"));
    node.send(ann, unsubscribe(FAR).id(1));
    node.held_queues.clear();
    node.settle();
    check(node.hears(ann), &["[1] unsubscribed chat:b"]);
    check(node.hears(bob), &["subscribed chat:b a0 floor 1", "chat:b a1 bob: on its way (new epoch)"]);
}

#[test]
fn unsubscribing_while_joining_ends_it() {
    let mut node = Node::usual();
    let ann = node.open(0, Some("ann"));
    node.hold_reads = true;
    node.does(ann, subscribe(FAR, Start::Next).id(1));
    node.does(ann, unsubscribe(FAR).id(2));
    node.hold_reads = false;
    node.settle();
    let heard = ["[1] unsubscribed chat:b", "[2] unsubscribed chat:b", "[3] published chat:b a1"];
    check(node.asks(ann, publish(FAR, "hi").id(3)), &heard);
}

#[test]
fn unsubscribing_from_what_one_never_followed_is_answered_all_the_same() {
    let mut node = Node::usual();
    let ann = node.open(0, Some("ann"));
    check(node.asks(ann, unsubscribe(NEAR).id(1)), &["[1] unsubscribed chat:a"]);
}

#[test]
fn a_join_behind_a_leave_begins_where_the_log_is() {
    let mut node = Node::usual();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(ann, subscribe(FAR, Start::Next));
    node.held_queues = vec![(1, 0)];
    node.does(bob, publish(FAR, "one"));
    node.send(ann, unsubscribe(FAR));
    node.send(ann, subscribe(FAR, Start::Next));
    node.settle();
    node.does(bob, publish(FAR, "two"));
    node.held_queues.clear();
    node.settle();
    let heard = [
        "subscribed chat:b a0 floor 1",
        "unsubscribed chat:b",
        "subscribed chat:b a1 floor 1",
        "chat:b a2 bob: two",
    ];
    check(node.hears(ann), &heard);
}

#[test]
fn many_who_come_at_once_cost_one_read() {
    let mut node = Node::with(Limits::default(), ring_of(10));
    node.fill(FAR, 10);
    let all: Vec<_> = (0..40u16).map(|at| node.open(at % 2, Some("x"))).collect();
    node.hold_reads = true;
    for &who in &all {
        node.send(who, subscribe(FAR, since(4)));
    }
    node.settle();
    node.hold_reads = false;
    node.settle();
    assert_eq!(node.store.reads_asked, 1);
    for who in all {
        assert_eq!(node.hears(who).len(), 1 + 6, "the answer and the replay");
    }
}
