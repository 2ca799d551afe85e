//! Rates: what one connection publishes to a namespace, and what all publish to a channel. What is refused is not stored,
//! and says when to come again.

use std::time::Duration;

use trunkline_model::{Kind, Limits, Namespace, Rate, Start};
use trunkline_sim::Node;
use trunkline_sim::words::*;

const TWICE_A_SECOND: Rate = Rate { interval: Duration::from_millis(500), burst: 2 };

#[test]
fn one_connection_has_the_rate_of_its_namespace() {
    let chat = Namespace { rate: Some(TWICE_A_SECOND), ..Namespace::of_kind(Kind::Log) };
    let mut node = Node::with(Limits::default(), chat);
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    check(node.asks(ann, publish(NEAR, "1").id(1)), &["[1] published chat:a a1"]);
    // Another channel of the namespace counts, another namespace and another connection do not.
    check(node.asks(ann, publish(FAR, "2").id(2)), &["[2] published chat:b a1"]);
    check(node.asks(ann, publish(NEAR, "3").id(3)), &["[3] error rate_limited chat:a retry"]);
    check(node.asks(ann, publish(SIGNAL, "x").id(4)), &["[4] published live:b"]);
    check(node.asks(bob, publish(NEAR, "4").id(5)), &["[5] published chat:a a2"]);
    node.pass(Duration::from_millis(500));
    check(node.asks(ann, publish(NEAR, "5").id(6)), &["[6] published chat:a a3"]);
    check(node.asks(ann, publish(NEAR, "6").id(7)), &["[7] error rate_limited chat:a retry"]);
}

#[test]
fn all_together_have_the_rate_of_a_channel() {
    let chat = Namespace { channel_rate: Some(TWICE_A_SECOND), ..Namespace::of_kind(Kind::Log) };
    let mut node = Node::with(Limits::default(), chat);
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    check(node.asks(ann, publish(NEAR, "1").id(1)), &["[1] published chat:a a1"]);
    check(node.asks(bob, publish(NEAR, "2").id(2)), &["[2] published chat:a a2"]);
    check(node.asks(ann, publish(NEAR, "3").id(3)), &["[3] error rate_limited chat:a retry"]);
    check(node.asks(ann, publish(FAR, "4").id(4)), &["[4] published chat:b a1"]);
}

#[test]
fn one_connection_has_a_rate_of_commands() {
    let limits = Limits { command_rate: Some(TWICE_A_SECOND), ..Limits::default() };
    let mut node = Node::with(limits, Namespace::of_kind(Kind::Log));
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    check(node.asks(ann, subscribe(NEAR, Start::Next).id(1)), &["[1] subscribed chat:a a0 floor 1"]);
    check(node.asks(ann, ping().id(2)), &["[2] pong"]);
    check(node.asks(ann, ping().id(3)), &["[3] error rate_limited retry"]);
    check(node.asks(ann, publish(NEAR, "x")), &["error rate_limited chat:a retry"]);
    check(node.asks(ann, unsubscribe(NEAR).id(4)), &["[4] error rate_limited chat:a retry"]);
    // Nothing came of it, and others are not concerned.
    check(node.asks(bob, publish(NEAR, "1").id(5)), &["[5] published chat:a a1"]);
    check(node.hears(ann), &["chat:a a1 bob: 1 (new epoch)"]);
    node.pass(Duration::from_millis(500));
    check(node.asks(ann, ping().id(6)), &["[6] pong"]);
    check(node.asks(ann, ping().id(7)), &["[7] error rate_limited retry"]);
    // What is refused does not count: it is not put off for ever.
    node.pass(Duration::from_millis(500));
    check(node.asks(ann, ping().id(8)), &["[8] pong"]);
}

#[test]
fn what_connect_lists_counts_as_one() {
    let limits = Limits { command_rate: Some(TWICE_A_SECOND), ..Limits::default() };
    let mut node = Node::with(limits, Namespace::of_kind(Kind::Log));
    let ann = node.open(0, None);
    let heard =
        node.asks(ann, connect(None, &[(NEAR, Start::Next), (FAR, Start::Next), (SIGNAL, Start::Next)]));
    assert_eq!(heard.len(), 4, "{heard:?}");
    check(node.asks(ann, ping().id(1)), &["[1] pong"]);
    check(node.asks(ann, ping().id(2)), &["[2] error rate_limited retry"]);
}

#[test]
fn the_rate_of_commands_has_a_default_and_may_be_none() {
    let default = Limits::default();
    let some = default.command_rate.expect("there is one");
    assert_eq!((some.interval, some.burst), (Duration::from_millis(1), 2_000));
    let refused = |limits: Limits| {
        let mut node = Node::with(limits, Namespace::of_kind(Kind::Log));
        let ann = node.open(0, Some("ann"));
        let ask = |node: &mut Node| node.asks(ann, ping()).remove(0).contains("rate_limited");
        (0..2_100).filter(|_| ask(&mut node)).count()
    };
    assert_eq!(refused(Limits::default()), 100);
    assert_eq!(refused(Limits { command_rate: None, ..Limits::default() }), 0);
}
