//! Rates: what one connection publishes to a namespace, and what all publish to a channel. What is refused is not stored,
//! and says when to come again.

use std::time::Duration;

use trunkline_model::{Kind, Limits, Namespace, Rate};
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
