//! The caps, and what happens at each.

use std::time::Duration;

use trunkline_model::{Limits, Start};

use trunkline_sim::Node;
use trunkline_sim::words::*;

#[test]
fn subscriptions_of_a_session() {
    let mut node = Node::with(Limits { subscriptions: 2, ..Limits::default() }, ring_of(10));
    let ann = node.open(0, Some("ann"));
    node.does(ann, subscribe(NEAR, Start::Next));
    node.does(ann, subscribe(FAR, Start::Next));
    node.hears(ann);
    check(node.asks(ann, subscribe("chat:c", Start::Next).id(1)), &["[1] error limit_exceeded chat:c"]);
    check(node.asks(ann, subscribe(FAR, Start::Next).id(2)), &["[2] subscribed chat:b a0 floor 1"]);
    node.does(ann, unsubscribe(NEAR));
    node.hears(ann);
    check(node.asks(ann, subscribe("chat:c", Start::Next).id(3)), &["[3] subscribed chat:c a0 floor 1"]);
}

#[test]
fn a_subscription_that_failed_counts_no_longer() {
    let mut node = Node::with(Limits { subscriptions: 1, ..Limits::default() }, ring_of(10));
    let ann = node.open(0, Some("ann"));
    node.store.failing_reads = 1;
    check(node.asks(ann, subscribe(FAR, Start::Next).id(1)), &["[1] error not_available chat:b retry"]);
    check(node.asks(ann, subscribe(NEAR, Start::Next).id(2)), &["[2] subscribed chat:a a0 floor 1"]);
}

#[test]
fn commands_in_flight_of_a_session() {
    let mut node = Node::with(Limits { commands_in_flight: 2, ..Limits::default() }, ring_of(10));
    let ann = node.open(0, Some("ann"));
    node.hold_appends = true;
    node.does(ann, publish(NEAR, "x").id(1));
    assert!(node.accepts(ann));
    node.does(ann, publish(FAR, "y").id(2));
    assert!(!node.accepts(ann));
    node.hold_appends = false;
    node.settle();
    check(node.hears(ann), &["[1] published chat:a a1", "ready", "[2] published chat:b a1"]);
    assert!(node.accepts(ann));
    check(node.asks(ann, ping().id(3)), &["[3] pong"]);
}

#[test]
fn questions_to_one_worker_wait_for_the_answers_to_earlier_ones() {
    let mut node = Node::with(Limits { queue: 8, ..Limits::default() }, ring_of(10));
    let (ann, bob) = (node.open(0, Some("ann")), node.open(0, Some("bob")));
    node.held_queues = vec![(0, 1)];
    node.does(ann, publish(FAR, "x").id(1));
    node.does(ann, publish(FAR, "y").id(2));
    assert!(node.accepts(ann));
    node.does(ann, publish(FAR, "z").id(3));
    assert!(!node.accepts(ann), "a quarter of the queue is for questions");
    node.does(bob, publish(FAR, "w").id(1));
    assert!(!node.accepts(bob));
    node.held_queues.clear();
    node.settle();
    let told = node.hears(ann);
    assert_eq!(told.iter().filter(|line| line.contains("published")).count(), 3, "{told:?}");
    assert_eq!(told.iter().filter(|line| *line == "ready").count(), 1, "{told:?}");
    let told = node.hears(bob);
    assert_eq!(told.iter().filter(|line| *line == "ready").count(), 1, "{told:?}");
    assert_eq!(node.store.log(&name(FAR)).head(), 4);
}

#[test]
fn appends_in_flight_of_a_worker() {
    let mut node = Node::with(Limits { appends_in_flight: 2, ..Limits::default() }, ring_of(10));
    let ann = node.open(0, Some("ann"));
    node.does(ann, subscribe(NEAR, Start::Next));
    node.hears(ann);
    node.hold_appends = true;
    for (number, text) in ["x", "y", "z"].into_iter().enumerate() {
        node.does(ann, publish(NEAR, text).id(number as i64));
    }
    check(node.hears(ann), &["[2] error not_available chat:a retry"]);
    node.hold_appends = false;
    node.settle();
    node.hears(ann);
    check(node.asks(ann, publish(NEAR, "w").id(9)), &["[9] published chat:a a3", "chat:a a3 ann: w"]);
}

#[test]
fn publications_that_wait_for_a_channel_to_open() {
    let mut node = Node::with(Limits { channel_waiting: 2, ..Limits::default() }, ring_of(10));
    let ann = node.open(0, Some("ann"));
    node.hold_reads = true;
    for number in 1..=3 {
        node.does(ann, publish(NEAR, "x").id(number));
    }
    node.does(ann, subscribe(NEAR, Start::Next).id(4));
    check(node.hears(ann), &["[3] error not_available chat:a retry"]);
    node.hold_reads = false;
    node.settle();
    let told = node.hears(ann);
    assert_eq!(
        told[0], "[4] subscribed chat:a a0 floor 1",
        "it joins before what is not stored yet: {told:?}"
    );
    assert_eq!(told.len(), 1 + 2 + 2, "{told:?}");
}

#[test]
fn reads_of_a_worker_wait_their_turn() {
    let mut node = Node::with(Limits { reads_in_flight: 1, ..Limits::default() }, ring_of(10));
    let ann = node.open(0, Some("ann"));
    node.hold_reads = true;
    // All of these are owned by worker 0.
    for channel in ["chat:a", "chat:y", "chat:hall"] {
        node.does(ann, subscribe(channel, Start::Next));
    }
    assert_eq!(node.store.waiting_reads(), 1);
    node.hold_reads = false;
    node.settle();
    assert_eq!(node.hears(ann).len(), 3);
}

#[test]
fn opening_a_channel_does_not_wait_behind_pages() {
    let mut node = Node::with(Limits { reads_in_flight: 1, ..Limits::default() }, ring_of(1));
    let ann = node.open(0, Some("ann"));
    for text in ["1", "2", "3"] {
        node.does(ann, publish(NEAR, text));
    }
    node.hold_reads = true;
    for number in 1..=3 {
        node.does(ann, page(NEAR).command().id(number));
    }
    // Owned by the same worker.
    node.does(ann, subscribe("chat:y", Start::Next).id(4));
    check(node.hears(ann), &[]);
    node.hold_reads = false;
    node.settle();
    let told: Vec<String> = node.hears(ann).iter().map(|line| line[..3].to_owned()).collect();
    check(told, &["[1]", "[4]", "[2]", "[3]"]);
}

#[test]
fn channels_of_a_worker() {
    // All of these are owned by worker 0.
    let (one, two, three) = ("chat:a", "chat:y", "chat:hall");
    let mut node = Node::with(Limits { channels: 2, ..Limits::default() }, ring_of(10));
    let ann = node.open(0, Some("ann"));
    node.does(ann, subscribe(one, Start::Next));
    node.does(ann, subscribe(two, Start::Next));
    node.hears(ann);
    check(node.asks(ann, publish(three, "x").id(1)), &["[1] error limit_exceeded chat:hall retry"]);
    node.does(ann, unsubscribe(two));
    node.hears(ann);
    check(node.asks(ann, publish(three, "x").id(2)), &["[2] error limit_exceeded chat:hall retry"]);
    node.uptime += Duration::from_secs(1);
    check(node.asks(ann, publish(three, "x").id(3)), &["[3] published chat:hall a1"]);
    check(
        node.asks(ann, publish(one, "x").id(4)),
        &["[4] published chat:a a1", "chat:a a1 ann: x (new epoch)"],
    );
}

#[test]
fn an_unused_channel_is_let_go_after_a_while_and_opened_again() {
    let mut node = Node::usual();
    let ann = node.open(0, Some("ann"));
    node.does(ann, publish(NEAR, "x"));
    let head_reads = |node: &Node| node.store.reads_asked;
    node.pass(Duration::from_secs(1));
    node.pass(Duration::from_secs(59));
    node.does(ann, publish(NEAR, "y"));
    assert_eq!(head_reads(&node), 1, "59 s are not yet too long");
    node.pass(Duration::from_secs(1));
    node.pass(Duration::from_secs(60));
    assert!(node.leftovers().is_empty());
    check(node.asks(ann, publish(NEAR, "z").id(1)), &["[1] published chat:a a3"]);
    assert_eq!(head_reads(&node), 2);
}

#[test]
fn a_channel_with_subscribers_is_never_let_go() {
    let mut node = Node::usual();
    let ann = node.open(1, Some("ann"));
    node.does(ann, subscribe(NEAR, Start::Next));
    node.pass(Duration::from_secs(1_000));
    node.pass(Duration::from_secs(1_000));
    node.hears(ann);
    check(node.asks(ann, publish(NEAR, "x")), &["chat:a a1 ann: x (new epoch)"]);
    assert_eq!(node.store.reads_asked, 1);
}

#[test]
fn a_full_queue_stops_at_its_place_and_goes_on_without_a_gap() {
    // With a large ring from memory; with a small one from the store.
    for ring in [100, 4] {
        let mut node = Node::with(Limits { queue: 16, ..Limits::default() }, ring_of(ring));
        let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
        node.does(ann, subscribe(FAR, Start::Next));
        node.does(bob, subscribe(FAR, Start::Next));
        node.held_queues = vec![(1, 0)];
        for number in 1..=50 {
            node.does(bob, publish(FAR, &number.to_string()));
        }
        assert_eq!(node.hears(bob).len(), 51, "another worker does not wait");
        node.held_queues.clear();
        node.settle();
        let told: Vec<_> =
            node.hears(ann).iter().map(|l| l.rsplit_once(' ').expect("words").1.to_owned()).collect();
        assert_eq!(told.len(), 51);
        assert_eq!(told[2..], (2..=50).map(|number| number.to_string()).collect::<Vec<_>>());
    }
}

#[test]
fn a_gap_that_could_not_be_read_is_read_again_with_the_next_tick() {
    let mut node = Node::with(Limits { queue: 16, ..Limits::default() }, ring_of(4));
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(ann, subscribe(FAR, Start::Next));
    node.held_queues = vec![(1, 0)];
    for number in 1..=50 {
        node.does(bob, publish(FAR, &number.to_string()));
    }
    node.held_queues.clear();
    node.store.failing_reads = 1;
    node.settle();
    assert_eq!(node.hears(ann).len(), 1 + 8, "what was in the queue");
    node.pass(Duration::from_secs(1));
    assert_eq!(node.hears(ann).len(), 42);
}
