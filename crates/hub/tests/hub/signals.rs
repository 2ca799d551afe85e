//! Signal channels: nothing is kept, there are no places.

use trunkline_model::{Action, Form, Limits, Payload, Publish, Start};

use trunkline_sim::Node;
use trunkline_sim::words::*;

#[test]
fn subscribers_get_it_without_a_position() {
    let mut node = Node::usual();
    let (ann, bob, cid) = (node.open(0, Some("ann")), node.open(1, Some("bob")), node.open(0, Some("cid")));
    check(node.asks(ann, subscribe(SIGNAL, Start::Next).id(1)), &["[1] subscribed live:b signal"]);
    check(node.asks(bob, subscribe(SIGNAL, since(7)).id(1)), &["[1] subscribed live:b signal"]);
    check(node.asks(bob, publish(SIGNAL, "hi").id(2)), &["[2] published live:b", "live:b bob: hi"]);
    check(node.hears(ann), &["live:b bob: hi"]);
    check(node.asks(cid, subscribe(SIGNAL, Start::Last(5)).id(1)), &["[1] subscribed live:b signal"]);
    check(node.asks(cid, keyed(SIGNAL, "ho", "k").id(2)), &["[2] published live:b key k", "live:b cid: ho"]);
    assert_eq!((node.store.appends_asked, node.store.reads_asked), (0, 0));
}

#[test]
fn after_unsubscribed_nothing_more_arrives() {
    let mut node = Node::usual();
    let ann = node.open(0, Some("ann"));
    node.does(ann, subscribe(SIGNAL, Start::Next));
    node.does(ann, unsubscribe(SIGNAL));
    node.hears(ann);
    check(node.asks(ann, publish(SIGNAL, "hi").id(1)), &["[1] published live:b"]);
}

#[test]
fn there_is_no_history() {
    let mut node = Node::usual();
    let ann = node.open(0, Some("ann"));
    check(node.asks(ann, page(SIGNAL).command().id(1)), &["[1] error bad_request live:b"]);
}

#[test]
fn a_full_queue_drops_what_does_not_fit_and_keeps_the_order() {
    let mut node = Node::with(Limits { queue: 16, ..Limits::default() }, ring_of(10));
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(ann, subscribe(SIGNAL, Start::Next));
    node.held_queues = vec![(1, 0)];
    for number in 1..=20 {
        node.does(bob, publish(SIGNAL, &number.to_string()));
    }
    node.held_queues.clear();
    node.settle();
    node.does(bob, publish(SIGNAL, "21"));
    let mut expect = vec!["subscribed live:b signal".to_owned()];
    expect.extend((1..=8).chain([21]).map(|number| format!("live:b bob: {number}")));
    assert_eq!(node.hears(ann), expect, "half of the queue is kept for questions and answers");
}

#[test]
fn what_is_ephemeral_passes_a_log_by() {
    let mut node = Node::usual();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(bob, subscribe(FAR, Start::Next));
    node.hears(bob);
    let typing = || {
        let payload = Payload::new(Form::Text, "typing".to_owned());
        Action::Publish(Publish { ephemeral: true, ..Publish::new(name(FAR), payload) }).command()
    };
    check(node.asks(ann, typing().id(1)), &["[1] published chat:b"]);
    check(node.hears(bob), &["chat:b ann: typing"]);
    assert_eq!(node.store.appends_asked, 0);
    // The log goes on as if it had not been.
    check(node.asks(ann, publish(FAR, "hi").id(2)), &["[2] published chat:b a1"]);
    check(node.hears(bob), &["chat:b a1 ann: hi (new epoch)"]);
    let replay = ["subscribed chat:b a1 floor 1, 1 recovered", "chat:b a1 ann: hi (new epoch)"];
    check(node.asks(bob, subscribe(FAR, since(0))), &replay);
}
