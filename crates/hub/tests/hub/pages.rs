//! Pages of history.

use trunkline_model::{HistoryQuery, Limits, Offset, Position};

use trunkline_sim::Node;
use trunkline_sim::words::*;

fn seven(channel: &str) -> Node {
    let limits = Limits { history_page: 1_000, history_page_default: 5, ..Limits::default() };
    let mut node = Node::with(limits, ring_of(4));
    node.fill(channel, 7);
    node
}

fn check_page(ask: impl Fn(&mut HistoryQuery), expect: &str) {
    for (worker, channel) in [(0, NEAR), (1, NEAR)] {
        let mut node = seven(channel);
        let ann = node.open(worker, Some("ann"));
        let mut query = page(channel);
        ask(&mut query);
        check(node.asks(ann, query.command().id(1)), &[&format!("[1] {expect}")]);
    }
}

#[test]
fn the_newest_page() {
    check_page(|_| {}, "page chat:a top a7 floor 1 covers 3..7 [3 4 5 6 7] more");
    check_page(|q| q.limit = Some(1), "page chat:a top a7 floor 1 covers 7..7 [7] more");
    check_page(|q| q.limit = Some(7), "page chat:a top a7 floor 1 covers 1..7 [1 2 3 4 5 6 7]");
    check_page(|q| q.limit = Some(1_000), "page chat:a top a7 floor 1 covers 1..7 [1 2 3 4 5 6 7]");
}

#[test]
fn before_an_offset() {
    let before = |offset: u64, limit: u32| {
        move |q: &mut HistoryQuery| {
            q.before = Some(Offset(offset));
            q.limit = Some(limit);
        }
    };
    check_page(before(7, 2), "page chat:a top a7 floor 1 covers 5..6 [5 6] more");
    check_page(before(3, 2), "page chat:a top a7 floor 1 covers 1..2 [1 2]");
    check_page(before(3, 9), "page chat:a top a7 floor 1 covers 1..2 [1 2]");
    check_page(before(1, 9), "page chat:a top a7 floor 1 covers 1..0 []");
    check_page(before(0, 9), "page chat:a top a7 floor 1 covers 1..0 []");
    check_page(before(99, 2), "page chat:a top a7 floor 1 covers 6..7 [6 7] more");
    check_page(before(u64::MAX, 1), "page chat:a top a7 floor 1 covers 7..7 [7] more");
}

#[test]
fn after_an_offset() {
    let after = |offset: u64, limit: u32| {
        move |q: &mut HistoryQuery| {
            q.after = Some(Offset(offset));
            q.limit = Some(limit);
        }
    };
    check_page(after(0, 2), "page chat:a top a7 floor 1 covers 1..2 [1 2] more");
    check_page(after(4, 2), "page chat:a top a7 floor 1 covers 5..6 [5 6] more");
    check_page(after(5, 2), "page chat:a top a7 floor 1 covers 6..7 [6 7]");
    check_page(after(5, 9), "page chat:a top a7 floor 1 covers 6..7 [6 7]");
    check_page(after(7, 9), "page chat:a top a7 floor 1 covers 8..7 []");
    check_page(after(8, 9), "page chat:a top a7 floor 1 covers 9..8 []");
}

#[test]
fn what_makes_no_sense_is_refused() {
    check_page(|q| q.limit = Some(0), "error bad_request chat:a");
    check_page(|q| q.limit = Some(1_001), "error bad_request chat:a");
    check_page(
        |q| {
            q.before = Some(Offset(3));
            q.after = Some(Offset(1));
        },
        "error bad_request chat:a",
    );
    check_page(|q| q.channel = name("nowhere:a"), "error unknown_namespace nowhere:a");
}

#[test]
fn at_a_place_of_this_log_or_rewound() {
    let place = |at: Position| {
        move |q: &mut HistoryQuery| {
            q.at = Some(at);
            q.limit = Some(1);
        }
    };
    for offset in [0, 2, 5, 7] {
        check_page(place(at(10, offset)), "page chat:a top a7 floor 1 covers 7..7 [7] more");
    }
    for offset in [2, 5, 7, 8] {
        check_page(place(at(11, offset)), "error rewound chat:a");
    }
    check_page(place(at(10, 8)), "error rewound chat:a");
}

#[test]
fn an_empty_channel_has_an_empty_page() {
    let mut node = Node::usual();
    let ann = node.open(0, Some("ann"));
    check(node.asks(ann, page(FAR).command().id(1)), &["[1] page chat:b top a0 floor 1 covers 1..0 []"]);
    let forward = HistoryQuery { after: Some(Offset(0)), ..page(FAR) };
    check(node.asks(ann, forward.command().id(2)), &["[2] page chat:b top a0 floor 1 covers 1..0 []"]);
    let place = HistoryQuery { at: Some(at(10, 1)), ..page(FAR) };
    check(node.asks(ann, place.command().id(3)), &["[3] error rewound chat:b"]);
}

#[test]
fn below_the_floor_there_is_nothing() {
    let mut node = Node::usual();
    node.fill(NEAR, 6);
    node.store.trim(&name(NEAR), 3);
    let ann = node.open(0, Some("ann"));
    let mut check_page = |query: HistoryQuery, expect| check(node.asks(ann, query.command()), &[expect]);
    check_page(page(NEAR), "page chat:a top a6 floor 4 covers 4..6 [4 5 6]");
    let before = |offset| HistoryQuery { before: Some(Offset(offset)), ..page(NEAR) };
    check_page(before(5), "page chat:a top a6 floor 4 covers 4..4 [4]");
    check_page(before(2), "page chat:a top a6 floor 4 covers 2..1 []");
    let after = HistoryQuery { after: Some(Offset(1)), limit: Some(2), ..page(NEAR) };
    check_page(after, "page chat:a top a6 floor 4 covers 4..5 [4 5] more");
    check_page(
        HistoryQuery { at: Some(at(10, 3)), ..page(NEAR) },
        "page chat:a top a6 floor 4 covers 4..6 [4 5 6]",
    );
    check_page(HistoryQuery { at: Some(at(11, 3)), ..page(NEAR) }, "error rewound chat:a");
}

#[test]
fn a_page_ends_at_its_bytes() {
    let limits = Limits { history_page_bytes: 65 * 2, ..Limits::default() };
    let mut node = Node::with(limits, ring_of(3));
    node.fill(NEAR, 9);
    let ann = node.open(0, Some("ann"));
    check(node.asks(ann, page(NEAR).command()), &["page chat:a top a9 floor 1 covers 8..9 [8 9] more"]);
    let after = HistoryQuery { after: Some(Offset(2)), ..page(NEAR) };
    check(node.asks(ann, after.command()), &["page chat:a top a9 floor 1 covers 3..4 [3 4] more"]);
}

#[test]
fn everyone_reads_their_own_writes() {
    let mut node = seven(NEAR);
    let ann = node.open(1, Some("ann"));
    check(node.asks(ann, publish(NEAR, "8").id(1)), &["[1] published chat:a a8"]);
    let own = HistoryQuery { at: Some(at(10, 8)), limit: Some(2), ..page(NEAR) };
    check(node.asks(ann, own.command()), &["page chat:a top a8 floor 1 covers 7..8 [7 8] more"]);
}

#[test]
fn a_page_tells_of_the_log_as_it_was_when_it_was_read() {
    let mut node = seven(NEAR);
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(bob, subscribe(NEAR, trunkline_model::Start::Next));
    node.hold_reads = true;
    node.does(ann, page(NEAR).command());
    node.does(bob, publish(NEAR, "8"));
    node.hold_reads = false;
    node.settle();
    check(node.hears(ann), &["page chat:a top a7 floor 1 covers 3..7 [3 4 5 6 7] more"]);
}

#[test]
fn a_store_that_cannot_be_read_is_not_available() {
    let mut node = seven(NEAR);
    let ann = node.open(0, Some("ann"));
    node.does(ann, page(NEAR).command());
    node.hears(ann);
    for query in [page(NEAR), HistoryQuery { at: Some(at(10, 1)), ..page(NEAR) }] {
        node.store.failing_reads = 1;
        check(node.asks(ann, query.command().id(1)), &["[1] error not_available chat:a retry"]);
    }
}
