//! What of publications stays in memory, of all channels together: logs give way, the largest first, and lose nothing; of
//! values and maps, which cannot, no more is taken than there is room for.

use std::time::Duration;

use trunkline_model::{
    Action, Command, EntryName, Form, Kind, Limits, Namespace, Offset, Payload, Publish, Start,
};
use trunkline_sim::Node;
use trunkline_sim::words::*;

const HOT: usize = 64 << 10;

fn node(chat: Namespace) -> Node {
    Node::with(Limits { hot_bytes: HOT, ..Limits::default() }, chat)
}

fn assert_light(node: &Node) {
    for worker in 0..node.workers() {
        assert!(node.hot_bytes(worker) <= HOT, "worker {worker} holds {}", node.hot_bytes(worker));
    }
}

fn channel(number: u32) -> String {
    format!("chat:{number}")
}

#[test]
fn the_largest_logs_give_way_and_nothing_is_lost() {
    let mut node = node(Namespace::of_kind(Kind::Log));
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    for number in 0..30 {
        node.does(ann, subscribe(&channel(number), Start::Next));
        node.does(bob, publish(&channel(number), "first"));
        assert_light(&node);
    }
    node.hears(ann);
    let text = "x".repeat(100);
    for number in 0..10 {
        for _ in 0..60 {
            node.does(bob, publish(&channel(number), &text));
            assert_light(&node);
        }
        assert_eq!(node.hears(ann).len(), 60);
    }
    let cid = node.open(0, Some("cid"));
    let reads = node.store.reads_asked;
    for number in 10..30 {
        assert_eq!(node.asks(cid, subscribe(&channel(number), since(0))).len(), 2);
    }
    assert_eq!(node.store.reads_asked, reads, "the small ones are in memory still");
    for number in 0..10 {
        assert_eq!(node.asks(cid, subscribe(&channel(number), since(0))).len(), 1 + 61);
    }
    assert!(node.store.reads_asked > reads);
    assert_light(&node);
}

#[test]
fn one_log_alone_may_have_half_of_it() {
    let mut node = node(Namespace::of_kind(Kind::Log));
    let ann = node.open(0, Some("ann"));
    for _ in 0..300 {
        node.does(ann, publish(NEAR, "x"));
    }
    assert!((HOT / 4..=HOT).contains(&node.hot_bytes(0)), "{}", node.hot_bytes(0));
}

fn put(channel: &str, entry: u32, removes: bool) -> Command {
    let payload = Payload::new(Form::Text, if removes { String::new() } else { "x".repeat(100) });
    let entry = EntryName::parse(&format!("e{entry}")).ok();
    Action::Publish(Publish { entry, removes, ..Publish::new(name(channel), payload) }).command()
}

#[test]
fn maps_in_use_take_no_more_than_there_is_room_for() {
    let mut node = node(Namespace::of_kind(Kind::Map));
    let ann = node.open(0, Some("ann"));
    node.does(ann, subscribe(NEAR, Start::Next));
    let mut stored = 0;
    let refused = loop {
        node.hears(ann);
        let heard = node.asks(ann, put(NEAR, stored, false).id(1));
        assert_light(&node);
        if heard[0].starts_with("[1] error") {
            break heard;
        }
        stored += 1;
    };
    check(refused, &["[1] error limit_exceeded chat:a retry"]);
    // Another worker has its own; here no further map is opened, but what is there can be removed.
    assert_eq!(node.asks(ann, put(FAR, 0, false).id(2)), ["[2] published chat:b a1"]);
    let near = (0..)
        .map(channel)
        .find(|other| name(other).stable_hash().is_multiple_of(2))
        .expect("half of them are");
    check(
        node.asks(ann, subscribe(&near, Start::Next).id(3)),
        &[&format!("[3] error limit_exceeded {near} retry")],
    );
    let place = |offset: u32| Offset(offset.into());
    for entry in 0..stored {
        let answer = node.asks(ann, put(NEAR, entry, true).id(4)).remove(0);
        assert_eq!(answer, format!("[4] published chat:a a{}", place(stored + entry + 1).0));
    }
    // When the removals are forgotten too there is room again.
    node.pass(Namespace::of_kind(Kind::Map).retention.removals + Duration::from_secs(1));
    node.hears(ann);
    let answer = node.asks(ann, put(NEAR, 0, false).id(5)).remove(0);
    assert!(answer.starts_with("[5] published"), "{answer}");
}

#[test]
fn maps_that_nobody_uses_are_let_go() {
    let mut node = node(Namespace::of_kind(Kind::Map));
    let ann = node.open(0, Some("ann"));
    for number in 0..40 {
        for entry in 0..20 {
            let answer = node.asks(ann, put(&channel(number), entry, false).id(1)).remove(0);
            assert!(answer.starts_with("[1] published"), "{answer}");
            assert_light(&node);
        }
    }
}

#[test]
fn maps_that_are_opened_together_are_bounded_too() {
    let mut node = node(Namespace::of_kind(Kind::Map));
    let ann = node.open(0, Some("ann"));
    for number in 0..40 {
        for entry in 0..20 {
            node.does(ann, put(&channel(number), entry, false));
        }
    }
    let epoch = node.store.epoch();
    node.crash(trunkline_model::Epoch::from_random(epoch.number() + 1), false);
    // All ask before the store has answered anybody.
    let who = node.open(0, Some("ann"));
    node.hold_reads = true;
    for number in 0..40 {
        node.does(who, subscribe(&channel(number), Start::Next));
    }
    node.hold_reads = false;
    node.settle();
    assert_light(&node);
    let heard = node.hears(who);
    let refused = heard.iter().filter(|line| line.contains("limit_exceeded")).count();
    assert!((1..40).contains(&refused), "{refused} of 40 are refused");
}

#[test]
fn entries_with_a_time_do_not_keep_what_nobody_uses() {
    let mut node = node(Namespace::of_kind(Kind::Map));
    let ann = node.open(0, Some("ann"));
    let long = Some(Duration::from_secs(1_000_000));
    for number in 0..40 {
        for entry in 0..20 {
            let entry = EntryName::parse(&format!("e{entry}")).ok();
            let payload = Payload::new(Form::Text, "x".repeat(100));
            let publish = Publish { entry, ttl: long, ..Publish::new(name(&channel(number)), payload) };
            let answer = node.asks(ann, Action::Publish(publish).command().id(1)).remove(0);
            assert!(answer.starts_with("[1] published"), "{answer}");
            assert_light(&node);
        }
    }
    // They go all the same, when somebody looks.
    node.pass(Duration::from_secs(1_000_001));
    let heard = node.asks(ann, subscribe(&channel(0), Start::Next));
    node.pass(Duration::from_secs(2));
    node.hears(ann);
    let again = node.asks(ann, subscribe(&channel(0), Start::Next));
    assert!(again[0].ends_with("state []"), "{heard:?} {again:?}");
}
