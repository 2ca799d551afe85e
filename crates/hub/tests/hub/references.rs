//! Edits, deletions and reactions: entries of the log like any other, folded into pages of history; who may do what; a
//! deleted payload is nowhere any more.

use trunkline_model::{
    Action, Command, Form, HistoryQuery, Limits, Offset, Op, Payload, Publish, Reference, Start,
};
use trunkline_sim::words::*;
use trunkline_sim::{Node, Who};

fn about(target: u64, op: Op, text: &str) -> Command {
    let payload = Payload::new(Form::Text, text.to_owned());
    let reference = Some(Reference { target: Offset(target), op });
    Action::Publish(Publish { reference, ..Publish::new(name(NEAR), payload) }).command()
}

/// Ann has written two messages; Bob follows.
fn two() -> (Node, Who, Who) {
    let mut node = Node::usual();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(bob, subscribe(NEAR, Start::Next));
    node.does(ann, publish(NEAR, "one"));
    node.does(ann, publish(NEAR, "two"));
    node.hears(bob);
    (node, ann, bob)
}

#[test]
fn they_reach_subscribers_as_entries_and_pages_folded() {
    let (mut node, ann, bob) = two();
    check(node.asks(ann, about(1, Op::Edit, "ONE").id(1)), &["[1] published chat:a a3"]);
    check(
        node.asks(bob, about(1, Op::React, "+1").id(2)),
        &["chat:a a3 edit 1 ann: ONE", "[2] published chat:a a4", "chat:a a4 react 1 bob: +1"],
    );
    check(
        node.asks(ann, page(NEAR).command().id(3)),
        &["[3] page chat:a top a4 floor 1 covers 1..4 [ONE(rev 4, +1:1) two]"],
    );
    check(
        node.asks(ann, subscribe(NEAR, Start::Last(9)).id(4)),
        &["[4] subscribed chat:a a4 floor 1, [ONE(rev 4, +1:1) two]"],
    );
    // The same reaction again is the first one; taken back it is gone.
    check(node.asks(bob, about(1, Op::React, "+1").id(5)), &["[5] published chat:a a4 dup"]);
    node.does(bob, about(1, Op::Unreact, "+1"));
    check(
        node.asks(
            ann,
            HistoryQuery { limit: Some(1), before: Some(Offset(2)), ..page(NEAR) }.command().id(6),
        ),
        &["chat:a a5 unreact 1 bob: +1", "[6] page chat:a top a5 floor 1 covers 1..1 [ONE(rev 5)]"],
    );
}

#[test]
fn memory_and_store_give_the_same_pages() {
    // A ring of two: the pages come from the store.
    let mut small = Node::with(Limits::default(), ring_of(2));
    let mut large = Node::usual();
    for query in [
        page(NEAR),
        HistoryQuery { limit: Some(2), ..page(NEAR) },
        HistoryQuery { after: Some(Offset(1)), limit: Some(3), ..page(NEAR) },
        HistoryQuery { before: Some(Offset(6)), ..page(NEAR) },
    ] {
        let mut told = Vec::new();
        for node in [&mut small, &mut large] {
            let ann = node.open(0, Some("ann"));
            for text in ["one", "two", "three"] {
                node.does(ann, publish(NEAR, text));
            }
            node.does(ann, about(2, Op::Edit, "TWO"));
            node.does(ann, publish(NEAR, "five"));
            node.does(ann, about(3, Op::Delete, ""));
            node.does(ann, about(1, Op::React, "+1"));
            node.hears(ann);
            told.push(node.asks(ann, query.clone().command()));
        }
        assert_eq!(told[0], told[1], "{query:?}");
    }
}

#[test]
fn what_is_deleted_is_nowhere_any_more() {
    let (mut node, ann, bob) = two();
    node.does(ann, about(1, Op::Edit, "ONE"));
    node.does(ann, about(1, Op::Delete, ""));
    check(node.hears(bob), &["chat:a a3 edit 1 ann: ONE", "chat:a a4 delete 1 ann: "]);
    let replay = [
        "[1] subscribed chat:a a4 floor 1, 4 recovered",
        "chat:a a1 erased ann:  (new epoch)",
        "chat:a a2 ann: two",
        "chat:a a3 edit 1erased ann: ",
        "chat:a a4 delete 1 ann: ",
    ];
    check(node.asks(bob, subscribe(NEAR, since(0)).id(1)), &replay);
    check(
        node.asks(ann, page(NEAR).command().id(2)),
        &["[2] page chat:a top a4 floor 1 covers 1..4 [erased(rev 4) two]"],
    );
    check(node.asks(ann, about(1, Op::Edit, "back").id(3)), &["[3] error not_found chat:a"]);
}

#[test]
fn who_may_do_what() {
    let (mut node, ann, bob) = two();
    let api = node.open_unnamed(0);
    check(node.asks(bob, about(1, Op::Edit, "x").id(1)), &["[1] error forbidden chat:a"]);
    check(node.asks(bob, about(1, Op::Delete, "").id(2)), &["[2] error forbidden chat:a"]);
    check(node.asks(bob, about(9, Op::React, "+1").id(3)), &["[3] error not_found chat:a"]);
    check(node.asks(bob, about(1, Op::Unreact, "+1").id(4)), &["[4] error not_found chat:a"]);
    check(node.asks(api, about(1, Op::React, "+1").id(5)), &["[5] error bad_request chat:a"]);
    check(node.asks(api, about(2, Op::Delete, "").id(6)), &["[6] published chat:a a3"]);
    check(node.asks(ann, about(3, Op::React, "+1").id(7)), &["[7] error bad_request chat:a"]);
    check(node.asks(ann, about(1, Op::React, "").id(8)), &["[8] error bad_request chat:a"]);
    check(node.asks(ann, about(1, Op::React, &"x".repeat(65)).id(9)), &["[9] error bad_request chat:a"]);
    check(node.asks(ann, about(1, Op::React, &"x".repeat(64)).id(10)), &["[10] published chat:a a4"]);
}

#[test]
fn a_page_that_is_read_while_it_is_edited_is_not_stale() {
    let mut node = Node::with(Limits::default(), ring_of(3));
    let (ann, bob) = (node.open(0, Some("ann")), node.open(0, Some("bob")));
    for text in ["1", "2", "3", "4", "5"] {
        node.does(ann, publish(NEAR, text));
    }
    node.hears(ann);
    node.hold_reads = true;
    node.does(bob, subscribe(NEAR, Start::Last(5)));
    node.store.carry_out(0);
    node.does(ann, about(1, Op::Edit, "ONE"));
    node.hold_reads = false;
    node.settle();
    check(node.hears(bob), &["subscribed chat:a a6 floor 1, [ONE(rev 6) 2 3 4 5]"]);
}
