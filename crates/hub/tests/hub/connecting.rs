//! The beginning of a session: `connect` and what may stand in for it.

use trunkline_model::{Limits, Namespace, Start};

use trunkline_sim::Node;
use trunkline_sim::words::*;

#[test]
fn connect_is_answered_with_welcome_and_every_later_connect_refused() {
    let mut node = Node::usual();
    let ann = node.open(0, None);
    check(node.asks(ann, connect(None, &[]).id(1)), &["[1] welcome guest, up to 128 subscriptions"]);
    check(node.asks(ann, connect(None, &[]).id(2)), &["[2] error bad_request"]);
}

#[test]
fn a_secret_of_an_earlier_session_is_shown_to_the_door() {
    let mut node = Node::usual();
    let ann = node.open(1, None);
    check(node.asks(ann, connect(Some("s-ann"), &[])), &["welcome ann, up to 128 subscriptions"]);
}

#[test]
fn a_newer_connection_of_a_session_takes_the_place_of_the_older() {
    // Whoever keeps the session's lines: every way round the two workers.
    for (older, newer) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let mut node = Node::usual();
        let first = node.open(older, None);
        node.asks(first, connect(Some("s-ann"), &[(NEAR, Start::Next)]));
        let second = node.open(newer, None);
        check(
            node.asks(second, connect(Some("s-ann"), &[(NEAR, Start::Next)])),
            &["welcome ann, up to 128 subscriptions", "subscribed chat:a a0 floor 1"],
        );
        assert_eq!(node.closed, [(first, 4409)]);
        // The end of the older one is not that of the newer.
        let third = node.open(older, None);
        node.asks(third, connect(Some("s-ann"), &[]));
        assert_eq!(node.closed, [(first, 4409), (second, 4409)]);
        node.close(third);
        node.settle();
        // Nobody is there, so nobody is replaced.
        let fourth = node.open(newer, None);
        node.asks(fourth, connect(Some("s-ann"), &[]));
        assert_eq!(node.closed, [(first, 4409), (second, 4409)]);
    }
}

#[test]
fn of_two_that_come_at_once_the_one_that_was_opened_last_stays() {
    for held in [(0, 1), (1, 0)] {
        let mut node = Node::usual();
        node.held_queues.push(held);
        let both = [node.open(0, None), node.open(1, None)];
        for who in both {
            node.send(who, connect(Some("s-ann"), &[]));
        }
        node.settle();
        assert!(node.closed.is_empty());
        node.held_queues.clear();
        node.settle();
        assert_eq!(node.closed, [(both[0], 4409)], "though its keeper may have heard of it last");
        check(node.asks(both[1], ping().id(1)).split_off(1), &["[1] pong"]);
    }
}

#[test]
fn one_that_has_ended_meanwhile_takes_nobodys_place() {
    let mut node = Node::usual();
    let stays = node.open(0, None);
    node.asks(stays, connect(Some("s-ann"), &[]));
    // It is told of at a keeper that is far behind, and has gone by then.
    node.held_queues = vec![(0, 1), (1, 0)];
    let gone = node.open(1, None);
    node.send(gone, connect(Some("s-ann"), &[]));
    node.settle();
    node.close(gone);
    node.held_queues.clear();
    node.settle();
    check(node.asks(stays, ping().id(1)), &["[1] pong"]);
}

#[test]
fn who_cannot_be_taken_up_again_is_not_replaced() {
    let mut node = Node::usual();
    // Other sessions, sessions without a `welcome`, and connections that are known already.
    let sessions = [node.open(0, None), node.open(1, None), node.open(0, None), node.open(1, None)];
    node.asks(sessions[0], connect(Some("s-ann"), &[]));
    node.asks(sessions[1], connect(Some("s-bob"), &[]));
    node.asks(sessions[2], ping());
    node.asks(sessions[3], ping());
    for _ in 0..2 {
        let known = node.open(0, Some("cid"));
        node.asks(known, ping());
    }
    assert!(node.closed.is_empty());
}

#[test]
fn any_other_first_command_opens_an_anonymous_session_without_welcome() {
    let mut node = Node::usual();
    let ann = node.open(0, None);
    check(node.asks(ann, subscribe(FAR, Start::Next)), &["subscribed chat:b a0 floor 1"]);
    check(
        node.asks(ann, publish(FAR, "hi").id(1)),
        &["[1] published chat:b a1", "chat:b a1 guest: hi (new epoch)"],
    );
}

#[test]
fn who_is_known_already_needs_no_door() {
    let mut node = Node::usual();
    let ann = node.open(0, Some("ann"));
    check(node.asks(ann, publish(NEAR, "hi").id(1)), &["[1] published chat:a a1"]);
    check(node.asks(ann, ping().id(2)), &["[2] pong"]);
}

#[test]
fn while_the_door_is_asked_no_command_is_taken() {
    let mut node = Node::usual();
    let ann = node.open(0, None);
    assert!(node.accepts(ann));
    node.send(ann, ping().id(1));
    assert!(!node.accepts(ann));
    node.settle();
    check(node.hears(ann), &["[1] pong", "ready"]);
    assert!(node.accepts(ann));
}

#[test]
fn the_channels_of_connect_are_answered_one_by_one_in_order() {
    let mut node = Node::usual();
    node.fill(FAR, 2);
    let ann = node.open(0, None);
    let wanted =
        [(FAR, Start::Last(1)), ("nowhere:x", Start::Next), (NEAR, Start::Next), (SIGNAL, Start::Next)];
    check(
        node.asks(ann, connect(None, &wanted).id(1)),
        &[
            "[1] welcome guest, up to 128 subscriptions",
            "subscribed chat:b a2 floor 1, [2] more",
            "error unknown_namespace nowhere:x",
            "subscribed chat:a a0 floor 1",
            "subscribed live:b signal",
        ],
    );
}

#[test]
fn a_slow_channel_of_connect_holds_back_the_next_and_the_commands_behind() {
    let mut node = Node::usual();
    let ann = node.open(0, None);
    node.hold_reads = true;
    node.does(ann, connect(None, &[(NEAR, Start::Next), (SIGNAL, Start::Next)]));
    check(node.hears(ann), &["welcome guest, up to 128 subscriptions"]);
    assert!(!node.accepts(ann), "`live:b` waits its turn");
    node.hold_reads = false;
    node.settle();
    check(node.hears(ann), &["subscribed chat:a a0 floor 1", "subscribed live:b signal", "ready"]);
}

#[test]
fn welcome_spreads_the_retries_over_the_time_that_all_need() {
    let limits = Limits { accept_rate: 10, ..Limits::default() };
    let mut node = Node::with(limits, Namespace::of_kind(trunkline_model::Kind::Log));
    let all: Vec<_> = (0..5).map(|_| node.open(0, None)).collect();
    node.does(all[4], connect(None, &[]));
    let heard = node.take_heard(all[4]);
    let [trunkline_sim::Heard::Reply(trunkline_model::Reply::Welcome { spread, .. })] = &heard[..] else {
        panic!("{heard:?}")
    };
    assert_eq!(spread.as_millis(), 1_000, "5 sessions here, 2 workers, 10 per second");
}

#[test]
fn the_next_channel_of_connect_waits_for_room_in_the_outbox() {
    let mut node = Node::usual();
    node.fill(NEAR, 1);
    node.fill(FAR, 1);
    let ann = node.open(0, None);
    let wanted = [(NEAR, Start::Last(1)), (FAR, Start::Last(1))];
    node.hold_room = true;
    node.does(ann, connect(None, &wanted).id(1));
    let first = node.hears(ann);
    assert_eq!(first.len(), 2, "the welcome and one answer: {first:?}");
    assert!(!node.accepts(ann), "the client's own commands wait behind");
    node.hold_room = false;
    node.settle();
    let second = node.hears(ann);
    assert_eq!(second.len(), 2, "the other answer, and that commands may come again: {second:?}");
}

#[test]
fn a_connect_that_names_too_many_channels_or_one_twice_is_refused_whole() {
    let mut node = Node::usual();
    let ann = node.open(0, None);
    let names: Vec<String> = (0..129).map(|number| format!("chat:{number}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), Start::Next)).collect();
    check(node.asks(ann, connect(None, &many).id(1)), &["[1] error limit_exceeded"]);
    check(
        node.asks(ann, connect(None, &[(NEAR, Start::Next), (NEAR, Start::Next)]).id(2)),
        &["[2] error bad_request"],
    );
    check(node.asks(ann, connect(None, &[]).id(3)), &["[3] welcome guest, up to 128 subscriptions"]);
}

#[test]
fn what_a_session_is_given_it_follows_without_asking() {
    let mut node = Node::usual();
    node.given = vec![name(NEAR), name(FAR), name("nope:x")];
    node.fill(NEAR, 2);
    let (ann, bob) = (node.open(0, None), node.open(1, None));
    // What it resumes itself is not given again.
    check(
        node.asks(ann, connect(None, &[(NEAR, since(1))])),
        &[
            "welcome guest, up to 128 subscriptions",
            "subscribed chat:a a2 floor 1, 1 recovered",
            "chat:a a2 2",
            "subscribed chat:b a0 floor 1",
            "error unknown_namespace nope:x",
        ],
    );
    // It comes before the first command, if that is no `connect`.
    check(
        node.asks(bob, ping()),
        &[
            "subscribed chat:a a2 floor 1",
            "subscribed chat:b a0 floor 1",
            "error unknown_namespace nope:x",
            "pong",
        ],
    );
    node.does(bob, publish(FAR, "hi"));
    check(node.hears(ann), &["chat:b a1 guest: hi (new epoch)"]);
}
