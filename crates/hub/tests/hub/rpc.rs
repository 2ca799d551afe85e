//! Calls of the application: who is told what it answers, and what happens when it does not.

use std::time::Duration;

use trunkline_model::Limits;

use trunkline_sim::Node;
use trunkline_sim::words::*;

/// A node whose application thinks until it is told to answer.
fn thinking(limits: Limits) -> Node {
    let mut node = Node::with(limits, ring_of(10));
    node.hold_calls = true;
    node
}

#[test]
fn a_call_is_answered_with_what_the_application_says() {
    let mut node = Node::usual();
    let ann = node.open(0, Some("ann"));
    check(node.asks(ann, rpc("echo", "{ \"a\" : 1e400 }").id(1)), &["[1] result { \"a\" : 1e400 }"]);
    check(node.asks(ann, rpc("echo", "null").id(2)), &["[2] result null"]);
    check(node.asks(ann, rpc("drop.everything", "1").id(3)), &["[3] error forbidden"]);
    check(node.asks(ann, rpc("text", "1").id(4)), &["[4] error internal"]);
    assert_eq!(node.leftovers(), Vec::<&str>::new());
}

#[test]
fn the_application_is_told_who_asks() {
    let mut node = Node::usual();
    let (ann, guest, api) = (node.open(1, Some("ann")), node.open(0, None), node.open_unnamed(0));
    check(node.asks(ann, rpc("whoami", "1").id(1)), &["[1] result \"ann c-ann\""]);
    check(node.asks(guest, rpc("whoami", "1").id(1)), &["[1] result \"guest c-guest-1\""]);
    check(node.asks(api, rpc("whoami", "1").id(1)), &["[1] result \"nobody c-api\""]);
}

#[test]
fn answers_come_in_any_order_to_those_who_asked() {
    let mut node = thinking(Limits::default());
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(ann, rpc("echo", "1").id(1));
    node.does(bob, rpc("echo", "2").id(1));
    node.does(ann, rpc("echo", "3").id(2));
    check(node.asks(ann, ping().id(3)), &["[3] pong"]);
    assert!(node.answer_call(2) && node.answer_call(0) && node.answer_call(0));
    check(node.hears(ann), &["[2] result 3", "[1] result 1"]);
    check(node.hears(bob), &["[1] result 2"]);
    assert_eq!(node.leftovers(), Vec::<&str>::new());
}

#[test]
fn calls_count_among_the_commands_in_flight() {
    let mut node = thinking(Limits { commands_in_flight: 2, ..Limits::default() });
    let ann = node.open(0, Some("ann"));
    node.does(ann, rpc("echo", "1").id(1));
    assert!(node.accepts(ann));
    node.does(ann, rpc("echo", "2").id(2));
    assert!(!node.accepts(ann));
    node.answer_call(0);
    check(node.hears(ann), &["[1] result 1", "ready"]);
    assert!(node.accepts(ann));
}

#[test]
fn calls_of_a_worker() {
    let mut node = thinking(Limits { calls: 2, ..Limits::default() });
    let (ann, bob, cid) = (node.open(0, Some("ann")), node.open(0, Some("bob")), node.open(1, Some("cid")));
    node.does(ann, rpc("echo", "1").id(1));
    node.does(bob, rpc("echo", "2").id(1));
    check(node.asks(ann, rpc("echo", "3").id(2)), &["[2] error not_available retry"]);
    assert_eq!(node.waiting_calls(), 2, "the application was not asked");
    node.does(cid, rpc("echo", "4").id(1));
    assert_eq!(node.waiting_calls(), 3, "another worker has calls of its own");
    node.answer_call(0);
    check(node.hears(ann), &["[1] result 1"]);
    check(node.asks(ann, rpc("echo", "5").id(3)), &[]);
    assert_eq!(node.waiting_calls(), 3);
}

#[test]
fn a_call_that_takes_too_long_is_given_up_and_its_outcome_open() {
    let limits = Limits { calls: 1, call_timeout: Duration::from_secs(10), ..Limits::default() };
    let mut node = thinking(limits);
    let ann = node.open(0, Some("ann"));
    node.does(ann, rpc("echo", "1").id(1));
    node.pass(Duration::from_millis(9_999));
    check(node.hears(ann), &[]);
    node.pass(Duration::from_millis(1));
    check(node.hears(ann), &["[1] error timeout"]);
    assert_eq!((node.waiting_calls(), node.calls_given_up()), (0, 1));
    node.hold_calls = false;
    check(node.asks(ann, rpc("echo", "2").id(2)), &["[2] result 2"]);
    node.pass(Duration::from_secs(60));
    check(node.hears(ann), &[]);
    assert_eq!(
        (node.leftovers(), node.calls_given_up()),
        (Vec::new(), 1),
        "one that was answered is never given up"
    );
}

#[test]
fn an_answer_that_is_too_large_is_told_instead_of_passed_on() {
    let mut node = Node::with(Limits { call_answer_max: 100, ..Limits::default() }, ring_of(10));
    let ann = node.open(0, Some("ann"));
    check(node.asks(ann, rpc("large", "100").id(1)), &[&format!("[1] result {}", "1".repeat(100))]);
    check(node.asks(ann, rpc("large", "101").id(2)), &["[2] error internal"]);
}

#[test]
fn a_session_that_has_ended_is_told_nothing_and_its_call_still_counts() {
    let mut node = thinking(Limits { calls: 1, ..Limits::default() });
    let ann = node.open(0, Some("ann"));
    node.does(ann, rpc("echo", "1").id(1));
    node.close(ann);
    // In the same place, with the same id.
    let bob = node.open(0, Some("bob"));
    check(node.asks(bob, rpc("echo", "2").id(1)), &["[1] error not_available retry"]);
    node.answer_call(0);
    check(node.hears(bob), &[]);
    check(node.asks(bob, rpc("echo", "2").id(1)), &[]);
    node.answer_call(0);
    check(node.hears(bob), &["[1] result 2"]);
    node.close(bob);
    assert_eq!(node.leftovers(), Vec::<&str>::new());
}

#[test]
fn a_hub_with_calls_under_way_is_not_settled() {
    let mut node = thinking(Limits::default());
    let ann = node.open(0, Some("ann"));
    assert!(node.is_settled(0));
    node.does(ann, rpc("echo", "1").id(1));
    assert!(!node.is_settled(0));
    node.answer_call(0);
    assert!(node.is_settled(0));
}
