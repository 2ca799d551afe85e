//! `from` in a token: nothing of a channel below that offset is given, by any of the ways in which something of it can be
//! given.

use std::sync::Arc;
use std::time::Duration;

use trunkline_model::{
    Access, Action, Admitted, ChannelPattern, Command, Connect, EntryName, Epoch, Floor, Form, Grant,
    HistoryQuery, Identity, Kind, Limits, Namespace, Offset, Op, Payload, Publish, Reference, Secret,
    Standing, Start, Subscribe,
};
use trunkline_sim::words::*;
use trunkline_sim::{Node, Who, identity};

fn node(chat: Namespace) -> Node {
    Node::with(Limits::default(), chat)
}

fn access(channels: &str, from: u64) -> Access {
    let channels = ChannelPattern::parse(channels).expect("a pattern");
    let can = trunkline_model::Capability::ALL.iter().copied().collect();
    Access {
        standing: Standing::User,
        allow: vec![Grant { channels: channels.clone(), can }],
        floors: vec![Floor { channels, from: Offset(from) }],
        ..Access::default()
    }
}

fn of(user: &str, access: Access) -> Identity {
    Identity { access: Arc::new(access), ..identity(user) }
}

/// The door knows this token of a user, which gives a channel from there on.
fn knows(node: &mut Node, token: &str, user: &str, channel: &str, from: u64) {
    let identity = of(user, access(channel, from));
    node.tokens.insert(token.to_owned(), Ok(Admitted { identity, channels: Vec::new() }));
}

/// The same in the token of a connection.
fn enters(node: &mut Node, user: &str, from: u64) -> Who {
    let token = format!("{user} from {from}");
    knows(node, &token, user, "chat:*", from);
    let who = node.open(1, None);
    let connect = Connect { token: Some(Secret::new(&token)), ..Connect::default() };
    node.asks(who, Action::Connect(connect).command());
    who
}

fn shows(channel: &str, start: Start, token: &str) -> Command {
    let token = Some(Secret::new(token));
    Action::Subscribe(Subscribe { token, ..Subscribe::new(name(channel), start) }).command()
}

fn about(target: u64, op: Op, text: &str) -> Command {
    let payload = Payload::new(Form::Text, text.to_owned());
    let reference = Some(Reference { target: Offset(target), op });
    Action::Publish(Publish { reference, ..Publish::new(name(NEAR), payload) }).command()
}

fn entry(entry: &str, text: &str) -> Publish {
    let payload = Payload::new(Form::Text, text.to_owned());
    Publish { entry: Some(EntryName::parse(entry).expect("a name")), ..Publish::new(name(NEAR), payload) }
}

fn set(name: &str, text: &str) -> Command {
    Action::Publish(entry(name, text)).command()
}

fn on(offset: u64, publish: Publish) -> Command {
    Action::Publish(Publish { condition: Some(Offset(offset)), ..publish }).command()
}

/// A log of ten, of which a small or a large part is in memory.
fn ten(ring: u32) -> Node {
    let mut node = node(ring_of(ring));
    node.fill(NEAR, 10);
    node
}

#[test]
fn a_replay_begins_there() {
    for ring in [4, 100] {
        let mut node = ten(ring);
        knows(&mut node, "t", "ann", NEAR, 8);
        let ann = enters(&mut node, "ann", 0);
        let beyond = "[1] subscribed chat:a a10 floor 8, lost: trimmed";
        check(node.asks(ann, shows(NEAR, since(0), "t").id(1)), &[beyond]);
        check(node.asks(ann, shows(NEAR, since(6), "t").id(1)), &[beyond]);
        // Whether the log holds such a place is not told.
        check(node.asks(ann, shows(NEAR, Start::Since(at(99, 6)), "t").id(1)), &[beyond]);
        check(
            node.asks(ann, shows(NEAR, since(7), "t").id(2)),
            &[
                "[2] subscribed chat:a a10 floor 8, 3 recovered",
                "chat:a a8 8",
                "chat:a a9 9",
                "chat:a a10 10",
            ],
        );
        let all = Start::CatchUp(at(10, 0));
        check(
            node.asks(ann, shows(NEAR, all, "t").id(3)),
            &["[3] subscribed chat:a a10 floor 8, lost: trimmed"],
        );
    }
    let mut node = ten(2);
    knows(&mut node, "t", "ann", NEAR, 4);
    let ann = enters(&mut node, "ann", 0);
    let heard = node.asks(ann, shows(NEAR, Start::CatchUp(at(10, 3)), "t"));
    assert_eq!((heard.len(), &*heard[0]), (8, "subscribed chat:a a10 floor 4, 7 follow"), "{heard:?}");
    assert_eq!(heard[1], "chat:a a4 4");
}

#[test]
fn the_newest_page_ends_there() {
    for ring in [2, 100] {
        let mut node = ten(ring);
        let ann = enters(&mut node, "ann", 8);
        check(
            node.asks(ann, subscribe(NEAR, Start::Last(9)).id(1)),
            &["[1] subscribed chat:a a10 floor 8, [8 9 10]"],
        );
        check(
            node.asks(ann, subscribe(NEAR, Start::Last(2)).id(2)),
            &["[2] subscribed chat:a a10 floor 8, [9 10] more"],
        );
        // Nothing of it is there yet.
        let bob = enters(&mut node, "bob", 11);
        check(
            node.asks(bob, subscribe(NEAR, Start::Last(9)).id(3)),
            &["[3] subscribed chat:a a10 floor 11, []"],
        );
    }
}

#[test]
fn pages_of_history_end_there() {
    for ring in [2, 100] {
        let mut node = ten(ring);
        let ann = enters(&mut node, "ann", 8);
        let mut page_of = |before: Option<u64>, after: Option<u64>| {
            let (before, after) = (before.map(Offset), after.map(Offset));
            node.asks(ann, HistoryQuery { before, after, ..page(NEAR) }.command()).remove(0)
        };
        let all = "page chat:a top a10 floor 8 covers 8..10 [8 9 10]";
        assert_eq!(page_of(None, None), all);
        assert_eq!(page_of(None, Some(0)), all);
        assert_eq!(page_of(Some(9), None), "page chat:a top a10 floor 8 covers 8..8 [8]");
        assert_eq!(page_of(Some(5), None), "page chat:a top a10 floor 8 covers 5..4 []");
        assert_eq!(page_of(None, Some(8)), "page chat:a top a10 floor 8 covers 9..10 [9 10]");
        // Over HTTP a session has one command.
        let caller = node.open_as(0, of("ann", access(NEAR, 9)));
        check(node.asks(caller, page(NEAR).command()), &["page chat:a top a10 floor 9 covers 9..10 [9 10]"]);
        // The token of a subscription counts for what is asked beside it.
        knows(&mut node, "t", "bob", NEAR, 10);
        let bob = enters(&mut node, "bob", 0);
        node.asks(bob, shows(NEAR, Start::Next, "t"));
        check(node.asks(bob, page(NEAR).command()), &["page chat:a top a10 floor 10 covers 10..10 [10]"]);
    }
}

#[test]
fn of_several_the_highest_counts() {
    let mut node = ten(100);
    knows(&mut node, "t", "ann", NEAR, 6);
    let ann = enters(&mut node, "ann", 9);
    check(node.asks(ann, shows(NEAR, Start::Last(9), "t")), &["subscribed chat:a a10 floor 9, [9 10]"]);
}

#[test]
fn the_state_of_a_map_has_nothing_from_before() {
    let mut node = node(Namespace::of_kind(Kind::Map));
    let ann = node.open(0, Some("ann"));
    for (name, text) in [("x", "1"), ("y", "2"), ("z", "3"), ("x", "4")] {
        node.does(ann, set(name, text));
    }
    let bob = enters(&mut node, "bob", 3);
    check(node.asks(bob, subscribe(NEAR, Start::Next)), &["subscribed chat:a a4 floor 3, state [z=3 x=4]"]);
    check(
        node.asks(bob, subscribe(NEAR, since(0))),
        &["subscribed chat:a a4 floor 3, lost: trimmed, state [z=3 x=4]"],
    );
    check(
        node.asks(bob, subscribe(NEAR, Start::CatchUp(at(10, 1)))),
        &["subscribed chat:a a4 floor 3, lost: trimmed, state [z=3 x=4]"],
    );
    check(
        node.asks(bob, subscribe(NEAR, since(3))),
        &["subscribed chat:a a4 floor 3, 1 recovered", "chat:a a4 x= ann: 4"],
    );
    node.does(ann, set("v", "5"));
    check(node.hears(bob), &["chat:a a5 v= ann: 5"]);
    // Where the log has lost its end the whole state is told, too.
    node.store.back_up();
    node.does(ann, set("w", "6"));
    node.store.lose_end(Epoch::from_random(11));
    node.does(ann, ping());
    check(
        node.hears(bob),
        &["chat:a a6 w= ann: 6", "subscribed chat:a a5 floor 3, lost: rewound, keep 5, state [z=3 x=4 v=5]"],
    );
}

#[test]
fn what_is_made_of_a_message_below_is_not_given_with_its_payload() {
    let mut node = node(Namespace::of_kind(Kind::Log));
    let ann = node.open(0, Some("ann"));
    node.does(ann, publish(NEAR, "one"));
    node.does(ann, publish(NEAR, "two"));
    let (bob, eve) = (enters(&mut node, "bob", 2), enters(&mut node, "eve", 0));
    for who in [bob, eve] {
        node.asks(who, subscribe(NEAR, Start::Next));
    }
    node.does(ann, about(1, Op::Edit, "ONE"));
    node.does(ann, about(1, Op::React, "+1"));
    node.does(ann, about(2, Op::Edit, "TWO"));
    check(
        node.hears(bob),
        &["chat:a a3 edit 1erased ann: ", "chat:a a4 react 1erased ann: ", "chat:a a5 edit 2 ann: TWO"],
    );
    check(
        node.hears(eve),
        &["chat:a a3 edit 1 ann: ONE", "chat:a a4 react 1 ann: +1", "chat:a a5 edit 2 ann: TWO"],
    );
    // In a replay as well, and in one that comes a page at a time.
    let replay =
        ["chat:a a3 edit 1erased ann: ", "chat:a a4 react 1erased ann: ", "chat:a a5 edit 2 ann: TWO"];
    check(node.asks(bob, subscribe(NEAR, since(2)))[1..].to_vec(), &replay);
    node.make_slow(bob, 0);
    node.hold_room = true;
    node.does(ann, about(1, Op::Edit, "One"));
    node.does(ann, publish(NEAR, "three"));
    check(node.hears(bob), &[]);
    node.hold_room = false;
    node.settle();
    check(node.hears(bob), &["chat:a a6 edit 1erased ann: ", "chat:a a7 ann: three"]);
    node.make_slow(bob, 100);
    // What becomes of it is told all the same.
    node.does(ann, about(1, Op::Delete, ""));
    check(node.hears(bob), &["chat:a a8 delete 1 ann: "]);
}

#[test]
fn a_page_that_is_caught_up_veils_too() {
    let limits = Limits { history_page: 2, ..Limits::default() };
    let mut node = Node::with(limits, ring_of(2));
    let ann = node.open(0, Some("ann"));
    for text in ["1", "2", "3"] {
        node.does(ann, publish(NEAR, text));
    }
    for text in ["a", "b", "c", "d"] {
        node.does(ann, about(1, Op::Edit, text));
    }
    let bob = enters(&mut node, "bob", 3);
    let heard = node.asks(bob, subscribe(NEAR, Start::CatchUp(at(10, 2))));
    assert_eq!(
        heard[..3],
        ["subscribed chat:a a7 floor 3, 5 follow", "chat:a a3 ann: 3", "chat:a a4 edit 1erased ann: "]
    );
    assert!(
        heard[3..].iter().all(|line| line.contains("edit 1erased ann: ")) && heard.len() == 6,
        "{heard:?}"
    );
}

#[test]
fn nothing_is_asked_of_what_lies_below() {
    let mut node = node(Namespace::of_kind(Kind::Log));
    node.fill(NEAR, 3);
    let ann = enters(&mut node, "ann", 3);
    for op in [Op::Edit, Op::React, Op::Unreact, Op::Delete] {
        let text = if op == Op::Delete { "" } else { "x" };
        check(node.asks(ann, about(2, op, text).id(1)), &["[1] error not_found chat:a"]);
    }
    check(node.asks(ann, about(3, Op::React, "x").id(2)), &["[2] published chat:a a4"]);
    // The newest is above, and said; one below is not.
    check(
        node.asks(ann, on(1, Publish::new(name(NEAR), text("x"))).id(3)),
        &["[3] error conflict chat:a at a4"],
    );
    let bob = enters(&mut node, "bob", 5);
    check(node.asks(bob, on(1, Publish::new(name(NEAR), text("x"))).id(4)), &["[4] error not_found chat:a"]);

    let mut node = self::node(Namespace::of_kind(Kind::Map));
    let eve = node.open(0, Some("eve"));
    node.does(eve, set("x", "1"));
    node.does(eve, set("y", "2"));
    let ann = enters(&mut node, "ann", 2);
    check(node.asks(ann, on(0, entry("x", "mine")).id(5)), &["[5] error not_found chat:a"]);
    check(node.asks(ann, on(0, entry("y", "mine")).id(6)), &["[6] error conflict chat:a at a2"]);
}

fn text(text: &str) -> Payload {
    Payload::new(Form::Text, text.to_owned())
}

#[test]
fn who_falls_behind_goes_on_above() {
    let mut node = ten(2);
    let (ann, bob) = (node.open(0, Some("ann")), enters(&mut node, "bob", 11));
    check(node.asks(bob, subscribe(NEAR, Start::Next)), &["subscribed chat:a a10 floor 11"]);
    node.make_slow(bob, 0);
    node.hold_room = true;
    for text in ["11", "12", "13", "14"] {
        node.does(ann, publish(NEAR, text));
    }
    node.store.trim(&name(NEAR), 12);
    node.hold_room = false;
    node.settle();
    let heard = node.hears(bob);
    assert_eq!(heard[0], "subscribed chat:a a14 floor 13, lost: trimmed", "{heard:?}");
    node.make_slow(bob, 100);
    node.does(ann, publish(NEAR, "15"));
    check(node.hears(bob), &["chat:a a15 ann: 15"]);
}

#[test]
fn a_log_that_has_not_come_so_far_gives_nothing() {
    let mut node = ten(100);
    let (ann, bob) = (node.open(0, Some("ann")), enters(&mut node, "bob", 13));
    for start in [Start::Next, Start::Last(5), since(12), Start::CatchUp(at(10, 12))] {
        check(node.asks(bob, subscribe(NEAR, start).id(1)), &["[1] error not_available chat:a retry"]);
    }
    for text in ["11", "12"] {
        node.does(ann, publish(NEAR, text));
    }
    check(node.hears(bob), &[]);
    check(node.asks(bob, subscribe(NEAR, Start::Next).id(2)), &["[2] subscribed chat:a a12 floor 13"]);
    node.does(ann, publish(NEAR, "13"));
    check(node.hears(bob), &["chat:a a13 ann: 13"]);
    for who in [ann, bob] {
        node.close(who);
    }
    for _ in 0..3 {
        node.pass(Duration::from_secs(70));
    }
    assert_eq!(node.leftovers(), [""; 0]);
}

#[test]
fn what_is_still_in_the_queue_to_its_worker_is_waited_for() {
    let mut node = Node::with(Limits { queue: 16, ..Limits::default() }, ring_of(100));
    node.fill(NEAR, 10);
    let (ann, eve) = (node.open(0, Some("ann")), node.open(1, Some("eve")));
    let bob = enters(&mut node, "bob", 35);
    node.asks(eve, subscribe(NEAR, Start::Next));
    // So full that nothing more is told to that worker.
    node.held_queues = vec![(0, 1)];
    for offset in 11..40 {
        node.does(ann, publish(NEAR, &offset.to_string()));
    }
    // The question and its answer have room all the same.
    node.send(bob, subscribe(NEAR, Start::Next).id(1));
    node.settle();
    check(node.hears(bob), &[]);
    node.held_queues.clear();
    node.settle();
    let heard = node.hears(bob);
    let place = heard[0].strip_prefix("[1] subscribed chat:a a").and_then(|rest| rest.split(' ').next());
    let place: u64 = place.and_then(|place| place.parse().ok()).expect("an offset");
    assert!(place >= 34, "{heard:?}");
    let follow: Vec<_> = (place + 1..40).map(|offset| format!("chat:a a{offset} ann: {offset}")).collect();
    assert_eq!(heard[1..], follow);
}

#[test]
fn a_log_that_has_lost_its_end_gives_nothing_until_it_is_there_again() {
    let mut node = ten(100);
    node.store.back_up();
    let (ann, bob) = (node.open(0, Some("ann")), enters(&mut node, "bob", 12));
    let slow = enters(&mut node, "slow", 12);
    node.does(ann, publish(NEAR, "11"));
    for who in [bob, slow] {
        check(node.asks(who, subscribe(NEAR, Start::Next)), &["subscribed chat:a a11 floor 12"]);
    }
    node.make_slow(slow, 0);
    node.hold_room = true;
    node.does(ann, publish(NEAR, "12"));
    check(node.hears(bob), &["chat:a a12 ann: 12"]);
    node.store.lose_end(Epoch::from_random(11));
    node.does(ann, ping());
    let heard = node.hears(bob);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].starts_with("Unsubscribed { channel: \"chat:a\", code: NotAvailable"), "{heard:?}");
    node.does(ann, publish(NEAR, "another 11"));
    check(node.hears(bob), &[]);
    // Who was behind is told the same when it goes on.
    node.does(ann, unsubscribe(NEAR));
    node.store.back_up();
    check(node.asks(bob, subscribe(NEAR, Start::Next).id(1)), &["[1] subscribed chat:a b11 floor 12"]);
    node.does(ann, publish(NEAR, "another 12"));
    check(node.hears(bob), &["chat:a b12 ann: another 12"]);
    node.hold_room = false;
    node.settle();
    let heard = node.hears(slow);
    assert_eq!(heard, ["subscribed chat:a b12 floor 12, lost: rewound, keep 10"], "{heard:?}");
}

#[test]
fn who_is_behind_in_a_log_that_lost_its_end_is_told_when_it_goes_on() {
    let mut node = ten(100);
    node.store.back_up();
    let (ann, bob) = (node.open(0, Some("ann")), enters(&mut node, "bob", 13));
    for text in ["11", "12"] {
        node.does(ann, publish(NEAR, text));
    }
    node.asks(bob, subscribe(NEAR, Start::Next));
    node.make_slow(bob, 0);
    node.hold_room = true;
    node.does(ann, publish(NEAR, "13"));
    node.store.lose_end(Epoch::from_random(11));
    node.does(ann, publish(NEAR, "another 11"));
    node.hold_room = false;
    node.settle();
    let heard = node.hears(bob);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].starts_with("Unsubscribed { channel: \"chat:a\", code: NotAvailable"), "{heard:?}");
    node.make_slow(bob, 100);
    node.does(ann, publish(NEAR, "another 12"));
    check(node.hears(bob), &[]);
}

#[test]
fn a_renewed_token_gives_no_less_to_a_subscription_that_goes_on() {
    let mut node = ten(100);
    knows(&mut node, "lower", "ann", "chat:*", 5);
    knows(&mut node, "higher", "ann", "chat:*", 9);
    let (ann, bob) = (enters(&mut node, "ann", 8), node.open(0, Some("bob")));
    let refresh = |token: &str| Action::Refresh(Secret::new(token)).command();
    node.asks(ann, subscribe(NEAR, Start::Next));
    check(node.asks(ann, refresh("lower").id(1)), &["[1] refreshed, expires never"]);
    node.does(bob, publish(NEAR, "11"));
    check(node.hears(ann), &["chat:a a11 bob: 11"]);
    let heard = node.asks(ann, refresh("higher").id(2));
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(heard[1].starts_with("Unsubscribed { channel: \"chat:a\", code: Forbidden"), "{heard:?}");
    node.does(bob, publish(NEAR, "12"));
    check(node.hears(ann), &[]);
    check(node.asks(ann, subscribe(NEAR, Start::Last(9))), &["subscribed chat:a a12 floor 9, [9 10 11 12]"]);
    // What is shared with others is theirs in full.
    check(
        node.asks(bob, page(NEAR).command())[..1].to_vec(),
        &["page chat:a top a12 floor 1 covers 1..12 [1 2 3 4 5 6 7 8 9 10 11 12]"],
    );
}
