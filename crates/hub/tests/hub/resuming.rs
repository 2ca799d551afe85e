//! Subscribing with `since`: all of (since, P] or a reason.

use trunkline_model::{Epoch, Kind, Limits, Namespace, Slow, Start};

use trunkline_sim::Node;
use trunkline_sim::words::*;

/// Ten stored entries, two published ones, a ring of four.
fn twelve(channel: &str) -> Node {
    let mut node = Node::with(Limits::default(), ring_of(4));
    node.fill(channel, 10);
    let bob = node.open(1, Some("bob"));
    node.does(bob, publish(channel, "11"));
    node.does(bob, publish(channel, "12"));
    node
}

fn check_since(start: Start, reads: usize, expect: &[&str]) {
    let mut node = twelve(NEAR);
    let ann = node.open(0, Some("ann"));
    let before = node.store.reads_asked;
    check(node.asks(ann, subscribe(NEAR, start)), expect);
    assert_eq!(node.store.reads_asked - before, reads, "reads for {start:?}");
}

#[test]
fn where_slow_readers_are_cut_off_they_come_back_and_miss_nothing() {
    let strict = Namespace { slow: Slow::Disconnect, ..Namespace::of_kind(Kind::Log) };
    let mut node = Node::with(Limits::default(), strict);
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(ann, subscribe(NEAR, Start::Next));
    node.make_slow(ann, 2);
    for number in 1..=4 {
        node.does(bob, publish(NEAR, &number.to_string()));
    }
    assert_eq!(node.closed, [(ann, 4508)]);
    check(
        node.hears(ann),
        &["subscribed chat:a a0 floor 1", "chat:a a1 bob: 1 (new epoch)", "chat:a a2 bob: 2"],
    );
    let again = node.open(0, Some("ann"));
    check(
        node.asks(again, subscribe(NEAR, since(2))),
        &["subscribed chat:a a4 floor 1, 2 recovered", "chat:a a3 bob: 3", "chat:a a4 bob: 4"],
    );
}

#[test]
fn a_place_in_the_ring_is_replayed_from_it() {
    let replay = ["subscribed chat:a a12 floor 1, 2 recovered", "chat:a a11 bob: 11", "chat:a a12 bob: 12"];
    check_since(since(10), 0, &replay);
}

#[test]
fn a_place_just_below_the_ring_is_looked_up_in_the_store() {
    let all = ["chat:a a9 9", "chat:a a10 10", "chat:a a11 bob: 11", "chat:a a12 bob: 12"];
    let mut expect = vec!["subscribed chat:a a12 floor 1, 4 recovered"];
    expect.extend(all);
    check_since(since(8), 1, &expect);
}

#[test]
fn at_the_head_there_is_nothing_to_replay() {
    check_since(since(12), 0, &["subscribed chat:a a12 floor 1, 0 recovered"]);
}

#[test]
fn more_than_may_be_replayed_is_a_limit() {
    check_since(since(7), 1, &["subscribed chat:a a12 floor 1, lost: limit"]);
    check_since(since(0), 0, &["subscribed chat:a a12 floor 1, lost: limit"]);
}

#[test]
fn from_zero_everything_is_replayed_whatever_epoch_is_named() {
    for epoch in [0, 10, 99] {
        let mut node = Node::usual();
        node.fill(NEAR, 2);
        let ann = node.open(1, Some("ann"));
        let heard = node.asks(ann, subscribe(NEAR, Start::Since(at(epoch, 0))));
        let expect = ["subscribed chat:a a2 floor 1, 2 recovered", "chat:a a1 1 (new epoch)", "chat:a a2 2"];
        check(heard, &expect);
    }
}

#[test]
fn an_empty_log_is_resumed_at_zero() {
    let mut node = Node::usual();
    let ann = node.open(1, Some("ann"));
    check(node.asks(ann, subscribe(NEAR, since(0))), &["subscribed chat:a a0 floor 1, 0 recovered"]);
}

#[test]
fn a_place_that_the_store_does_not_know_is_rewound() {
    // Ahead of the log; and in each part of it under another epoch: below the ring, in it, at the head.
    // Only the store knows where the two part.
    check_since(since(13), 1, &["subscribed chat:a a12 floor 1, lost: rewound, keep 12"]);
    for offset in [13, 2, 8, 10, 12] {
        let start = Start::Since(at(11, offset));
        check_since(start, 1, &["subscribed chat:a a12 floor 1, lost: rewound"]);
    }
}

#[test]
fn a_place_of_an_earlier_epoch_that_is_still_there_is_valid() {
    let mut node = Node::with(Limits::default(), ring_of(4));
    node.fill(NEAR, 3);
    node.store.begin(Epoch::from_random(11));
    node.fill(NEAR, 2);
    let ann = node.open(0, Some("ann"));
    let replay = ["subscribed chat:a b5 floor 1, 2 recovered", "chat:a b4 4 (new epoch)", "chat:a b5 5"];
    check(node.asks(ann, subscribe(NEAR, since(3))), &replay);
    let heard = node.asks(ann, subscribe(NEAR, Start::Since(at(12, 3))));
    check(heard, &["subscribed chat:a b5 floor 1, lost: rewound"]);
    let heard = node.asks(ann, subscribe(NEAR, since(5)));
    check(heard, &["subscribed chat:a b5 floor 1, lost: rewound, keep 3"]);
}

#[test]
fn below_the_floor_is_trimmed_and_just_before_it_is_not() {
    let mut node = Node::with(Limits::default(), ring_of(4));
    node.fill(NEAR, 5);
    node.store.trim(&name(NEAR), 3);
    let ann = node.open(0, Some("ann"));
    let mut check_start = |start, expect: &[&str]| check(node.asks(ann, subscribe(NEAR, start)), expect);
    check_start(since(0), &["subscribed chat:a a5 floor 4, lost: trimmed"]);
    check_start(since(2), &["subscribed chat:a a5 floor 4, lost: trimmed"]);
    check_start(since(3), &["subscribed chat:a a5 floor 4, 2 recovered", "chat:a a4 4", "chat:a a5 5"]);
    check_start(Start::Since(at(11, 3)), &["subscribed chat:a a5 floor 4, lost: rewound"]);
    check_start(Start::Last(9), &["subscribed chat:a a5 floor 4, [4 5]"]);
}

#[test]
fn the_limit_counts_bytes_too() {
    let check_bytes = |bytes, offset, expect: &str| {
        let chat = Namespace { recover_bytes: bytes, ..Namespace::of_kind(Kind::Log) };
        let mut node = Node::with(Limits::default(), chat);
        node.fill(NEAR, 9);
        let ann = node.open(0, Some("ann"));
        let heard = node.asks(ann, subscribe(NEAR, since(offset)));
        assert_eq!(
            heard[0],
            format!("subscribed chat:a a9 floor 1, {expect}"),
            "{bytes} bytes since {offset}"
        );
    };
    check_bytes(65 * 3, 6, "3 recovered");
    check_bytes(65 * 3, 5, "lost: limit");
    check_bytes(65 * 3 - 1, 6, "lost: limit");
    check_bytes(1, 8, "lost: limit");
    check_bytes(1, 9, "0 recovered");
}

#[test]
fn what_is_sent_while_the_store_is_read_is_topped_up_from_the_ring() {
    let mut node = Node::with(Limits { queue: 16, ..Limits::default() }, ring_of(12));
    let (bob, cid, ann) = (node.open(1, Some("bob")), node.open(0, Some("cid")), node.open(0, Some("ann")));
    node.does(cid, subscribe(FAR, Start::Next));
    node.held_queues = vec![(1, 0)];
    for number in 1..=20 {
        node.does(bob, publish(FAR, &number.to_string()));
    }
    // The queue to Ann's worker holds 1 to 8, the ring 9 to 20. While the store is asked for 4 to 8, four
    // more go into the queue.
    node.hold_reads = true;
    node.does(ann, subscribe(FAR, since(3)));
    for _ in 0..4 {
        assert!(node.hand_over(1, 0));
    }
    node.settle();
    node.hold_reads = false;
    node.settle();
    node.held_queues.clear();
    node.settle();
    let mut expect = vec!["subscribed chat:b a12 floor 1, 9 recovered".to_owned()];
    expect.extend((4..=20).map(|number| format!("chat:b a{number} bob: {number}")));
    assert_eq!(node.hears(ann), expect);
}

#[test]
fn a_log_that_runs_away_while_the_store_is_read_is_a_limit() {
    let mut node = twelve(NEAR);
    let (ann, bob) = (node.open(0, Some("ann")), node.open(0, Some("bob")));
    node.hold_reads = true;
    node.does(ann, subscribe(NEAR, since(8)));
    node.does(bob, publish(NEAR, "13"));
    node.hold_reads = false;
    node.settle();
    check(node.hears(ann), &["subscribed chat:a a13 floor 1, lost: limit"]);
    check(node.asks(bob, publish(NEAR, "14").id(1)), &["[1] published chat:a a14"]);
    check(node.hears(ann), &["chat:a a14 bob: 14"]);
}

#[test]
fn a_place_ahead_of_a_queue_that_lags_waits_for_the_queue() {
    let mut node = Node::with(Limits { queue: 16, ..Limits::default() }, ring_of(100));
    let (bob, cid, ann) = (node.open(1, Some("bob")), node.open(0, Some("cid")), node.open(0, Some("ann")));
    node.does(cid, subscribe(FAR, Start::Next));
    node.held_queues = vec![(1, 0)];
    for number in 1..=20 {
        node.does(bob, publish(FAR, &number.to_string()));
    }
    // Ann has read up to 20 as history.
    node.does(ann, subscribe(FAR, since(20)));
    check(node.hears(ann), &[]);
    node.held_queues.clear();
    node.settle();
    check(node.hears(ann), &["subscribed chat:b a20 floor 1, 0 recovered"]);
    assert_eq!(node.hears(cid).len(), 21);
    node.does(bob, publish(FAR, "21"));
    check(node.hears(ann), &["chat:b a21 bob: 21"]);
}

#[test]
fn a_store_that_cannot_be_read_loses_nothing() {
    let mut node = twelve(NEAR);
    let ann = node.open(0, Some("ann"));
    for start in [since(8), since(2), since(13), Start::Last(6)] {
        node.store.failing_reads = 1;
        check(node.asks(ann, subscribe(NEAR, start).id(1)), &["[1] error not_available chat:a retry"]);
    }
    check(
        node.asks(ann, subscribe(NEAR, since(11)).id(2))[..1].to_vec(),
        &["[2] subscribed chat:a a12 floor 1, 1 recovered"],
    );
}

#[test]
fn a_channel_that_cannot_be_opened_refuses_all_who_wait() {
    let mut node = Node::usual();
    let ann = node.open(0, Some("ann"));
    node.hold_reads = true;
    node.store.failing_reads = 1;
    node.does(ann, subscribe(FAR, Start::Next).id(1));
    node.does(ann, publish(FAR, "hi").id(2));
    node.does(ann, page(FAR).command().id(3));
    node.hold_reads = false;
    node.settle();
    let refused = [
        "[1] error not_available chat:b retry",
        "[2] error not_available chat:b retry",
        "[3] error not_available chat:b retry",
    ];
    check(node.hears(ann), &refused);
    check(node.asks(ann, publish(FAR, "hi").id(4)), &["[4] published chat:b a1"]);
}

#[test]
fn what_was_trimmed_since_the_channel_was_opened_is_called_so() {
    let mut node =
        Node::with(Limits::default(), Namespace { recover_bytes: 200, ..Namespace::of_kind(Kind::Log) });
    node.fill(NEAR, 6);
    let (ann, bob) = (node.open(0, Some("ann")), node.open(0, Some("bob")));
    node.does(ann, subscribe(NEAR, Start::Next));
    node.store.trim(&name(NEAR), 4);
    check(node.asks(bob, subscribe(NEAR, since(0))), &["subscribed chat:a a6 floor 5, lost: trimmed"]);
}

#[test]
fn what_an_earlier_subscription_had_no_room_for_does_not_hold_back_the_next() {
    let mut node = Node::usual();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(0, Some("bob")));
    node.does(ann, subscribe(NEAR, Start::Next));
    node.hears(ann);
    node.make_slow(ann, 0);
    node.send(bob, publish(NEAR, "one"));
    node.commit();
    // The broadcast is on its way to her old subscription when the new one begins behind it.
    node.together(|node| {
        node.answer_append(0);
        node.send(ann, subscribe(NEAR, since(0)));
    });
    node.settle();
    let once = ["subscribed chat:a a1 floor 1, 1 recovered", "chat:a a1 bob: one (new epoch)"];
    check(node.hears(ann), &once);
}

#[test]
fn catching_up_knows_no_limit_and_waits_for_the_reader() {
    let mut node = Node::with(Limits { history_page: 3, ..Limits::default() }, ring_of(4));
    node.fill(NEAR, 8);
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    let from = |offset| subscribe(NEAR, Start::CatchUp(at(10, offset)));
    // Within the limit it is a replay like any other.
    check(
        node.asks(bob, from(6)),
        &["subscribed chat:a a8 floor 1, 2 recovered", "chat:a a7 7", "chat:a a8 8"],
    );
    node.hold_room = true;
    check(node.asks(ann, from(1).id(1)), &["[1] subscribed chat:a a8 floor 1, 7 follow"]);
    node.does(bob, publish(NEAR, "9"));
    check(node.hears(ann), &[]);
    node.hold_room = false;
    node.settle();
    let texts: Vec<_> =
        node.hears(ann).iter().map(|line| line.rsplit(' ').next().map(str::to_owned)).collect();
    let expect: Vec<_> = (2..=9).map(|number| Some(number.to_string())).collect();
    assert_eq!(texts, expect);
    node.does(bob, publish(NEAR, "10"));
    check(node.hears(ann), &["chat:a a10 bob: 10"]);
}

#[test]
fn catching_up_from_what_is_gone_is_told_so() {
    let mut node = Node::with(Limits::default(), ring_of(4));
    node.fill(NEAR, 9);
    node.store.trim(&name(NEAR), 2);
    let ann = node.open(0, Some("ann"));
    let heard = node.asks(ann, subscribe(NEAR, Start::CatchUp(at(10, 1))));
    check(heard, &["subscribed chat:a a9 floor 3, lost: trimmed"]);
    let heard = node.asks(ann, subscribe(NEAR, Start::CatchUp(at(11, 5))));
    check(heard, &["subscribed chat:a a9 floor 3, lost: rewound"]);
}

#[test]
fn a_slow_reader_of_what_is_trimmed_before_its_turn_is_told_so() {
    let mut node = Node::with(Limits::default(), ring_of(4));
    node.fill(NEAR, 2);
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(bob, subscribe(NEAR, Start::Next));
    node.hears(bob);
    node.make_slow(bob, 0);
    node.hold_room = true;
    for number in 3..=10 {
        node.does(ann, publish(NEAR, &number.to_string()));
    }
    check(node.hears(bob), &[]);
    node.store.trim(&name(NEAR), 5);
    node.hold_room = false;
    node.settle();
    check(node.hears(bob), &["subscribed chat:a a10 floor 6, lost: trimmed"]);
    node.does(ann, publish(NEAR, "11"));
    check(node.hears(bob), &["chat:a a11 ann: 11"]);
}
