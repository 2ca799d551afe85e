//! Who is in a channel: joining, leaving, grace, what is told and how often.

use std::sync::Arc;
use std::time::Duration;

use trunkline_model::{
    Access, Action, Admitted, ChannelPattern, Command, Connect, DisplayName, Form, Grant, Identity, Kind,
    Limits, Namespace, Namespaces, Payload, PresenceMode, Secret, Standing, Start, Subscribe,
};

use trunkline_sim::words::*;
use trunkline_sim::{Node, identity};

/// A node of two workers whose logs and signals have full presence; `count` says only how many, `off` nothing.
fn node_with(limits: Limits, full: Namespace) -> Node {
    let mut namespaces = Namespaces::default();
    let mode = |presence| Namespace { presence, ..Namespace::of_kind(Kind::Log) };
    namespaces.insert("live", Namespace { kind: Kind::Signal, ..full.clone() });
    namespaces.insert("chat", full);
    namespaces.insert("count", mode(PresenceMode::Count));
    namespaces.insert("off", mode(PresenceMode::Off));
    Node::new(2, limits, namespaces)
}

fn full() -> Namespace {
    Namespace { presence: PresenceMode::Full, ..Namespace::of_kind(Kind::Log) }
}

fn node() -> Node {
    node_with(Limits::default(), full())
}

const GRACE: Duration = Duration::from_secs(3);
const SOON: Duration = Duration::from_millis(250);

/// The presence that was heard, without the channel.
fn presence(node: &mut Node, who: usize) -> Vec<String> {
    let told = |line: String| line.split_once(' ').map(|(_, words)| words.to_owned());
    node.hears(who).into_iter().filter(|line| line.contains(" there")).filter_map(told).collect()
}

/// The connection is gone, and whoever is to know knows.
fn leaves(node: &mut Node, who: usize) {
    node.close(who);
    node.settle();
}

#[test]
fn subscribers_see_each_other_come_and_go() {
    for channel in [NEAR, FAR, SIGNAL] {
        let mut node = node();
        let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
        let heard = node.asks(ann, watch(channel).id(1)).remove(0);
        assert!(heard.ends_with(", 1 there all: +c-ann"), "{heard}");
        let heard = node.asks(bob, watch(channel)).remove(0);
        assert!(heard.ends_with(", 2 there all: +c-ann +c-bob"), "{heard}");
        check(presence(&mut node, ann), &["2 there +c-bob"]);
        leaves(&mut node, bob);
        node.pass(GRACE - Duration::from_millis(1));
        check(presence(&mut node, ann), &[]);
        node.pass(Duration::from_millis(1));
        check(presence(&mut node, ann), &["1 there -c-bob"]);
    }
}

#[test]
fn a_return_within_grace_is_no_change() {
    for worker in [0, 1] {
        let mut node = node();
        let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
        node.does(ann, watch(NEAR));
        node.does(bob, enter(NEAR, "1"));
        node.pass(SOON);
        node.hears(ann);
        leaves(&mut node, bob);
        node.pass(GRACE - SOON);
        let again = node.open(worker, Some("bob"));
        node.does(again, enter(NEAR, "1"));
        node.pass(GRACE * 2);
        check(presence(&mut node, ann), &[]);
        node.does(again, unsubscribe(NEAR));
        let changed = node.open(worker, Some("bob"));
        node.does(changed, enter(NEAR, "2"));
        node.pass(GRACE * 2);
        check(presence(&mut node, ann), &["2 there +c-bob = 2"]);
    }
}

#[test]
fn a_late_leave_removes_only_its_own_connection() {
    let mut node = node();
    let (ann, bob) = (node.open(1, Some("ann")), node.open(0, Some("bob")));
    node.does(ann, watch(FAR));
    node.does(bob, subscribe(FAR, Start::Next));
    node.hears(ann);
    node.held_queues = vec![(0, 1)];
    leaves(&mut node, bob);
    let again = node.open(1, Some("bob"));
    node.does(again, subscribe(FAR, Start::Next));
    node.held_queues.clear();
    node.pass(GRACE * 2);
    check(presence(&mut node, ann), &[]);
    check(node.asks(ann, who(FAR)), &["presence chat:b 2 there all: +c-ann +c-bob"]);
    leaves(&mut node, again);
    node.pass(GRACE);
    check(presence(&mut node, ann), &["1 there -c-bob"]);
}

#[test]
fn two_connections_of_a_session_are_one_member_until_the_last_has_gone() {
    for close_later_first in [false, true] {
        let mut node = node();
        let ann = node.open(0, Some("ann"));
        node.does(ann, watch(NEAR));
        let mut bobs = [node.open(0, Some("bob")), node.open(1, Some("bob"))];
        bobs.iter().for_each(|bob| node.does(*bob, subscribe(NEAR, Start::Next)));
        check(presence(&mut node, ann)[1..].to_vec(), &["2 there +c-bob"]);
        if close_later_first {
            bobs.reverse();
        }
        leaves(&mut node, bobs[0]);
        node.pass(GRACE * 2);
        check(presence(&mut node, ann), &[]);
        leaves(&mut node, bobs[1]);
        node.pass(GRACE * 2);
        check(presence(&mut node, ann), &["1 there -c-bob"]);
    }
}

#[test]
fn who_leaves_while_joining_does_not_stay() {
    for closes in [false, true] {
        let mut node = node();
        node.fill(FAR, 3);
        let (ann, bob) = (node.open(1, Some("ann")), node.open(0, Some("bob")));
        node.hold_reads = true;
        node.does(bob, subscribe(FAR, Start::Next));
        match closes {
            true => node.close(bob),
            false => node.does(bob, unsubscribe(FAR)),
        }
        node.hold_reads = false;
        node.settle();
        node.does(ann, watch(FAR));
        node.pass(GRACE * 2);
        check(presence(&mut node, ann)[1..].to_vec(), &["1 there -c-bob"]);
    }
}

#[test]
fn a_subscribe_that_replaces_another_changes_nothing() {
    let mut node = node();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(ann, watch(NEAR));
    node.does(bob, subscribe(NEAR, Start::Next));
    node.hears(ann);
    node.does(bob, subscribe(NEAR, Start::Last(5)));
    node.does(bob, watch(NEAR));
    node.does(bob, subscribe(NEAR, Start::Next));
    node.pass(GRACE * 2);
    check(presence(&mut node, ann), &[]);
    node.hears(bob);
    let cid = node.open(1, Some("cid"));
    node.does(cid, subscribe(NEAR, Start::Next));
    check(presence(&mut node, ann), &["3 there +c-cid"]);
    check(presence(&mut node, bob), &[]);
}

#[test]
fn a_replacement_that_is_refused_leaves_nobody_behind() {
    let mut node = node();
    node.fill(FAR, 9);
    let (ann, bob) = (node.open(1, Some("ann")), node.open(0, Some("bob")));
    node.does(ann, watch(FAR));
    node.does(bob, subscribe(FAR, Start::Next));
    node.hears(ann);
    node.store.failing_reads = 1;
    check(
        node.asks(bob, subscribe(FAR, Start::Since(at(11, 5))))[1..].to_vec(),
        &["error not_available chat:b retry"],
    );
    node.pass(GRACE);
    check(presence(&mut node, ann), &["1 there -c-bob"]);
}

#[test]
fn a_state_is_set_and_seen() {
    let mut node = node();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(ann, watch(FAR));
    node.does(bob, enter(FAR, "{\"typing\":false}"));
    check(presence(&mut node, ann)[1..].to_vec(), &["2 there +c-bob = {\"typing\":false}"]);
    node.hears(bob);
    node.pass(SOON);
    let set = set_state(FAR, "{\"typing\":true}");
    check(node.asks(bob, set.clone()), &[]);
    check(presence(&mut node, ann), &["2 there +c-bob = {\"typing\":true}"]);
    check(node.asks(bob, set.id(2)), &["[2] presence chat:b 2 there +c-bob = {\"typing\":true}"]);
    node.pass(SOON);
    check(presence(&mut node, ann), &[]);
    let everyone = "[3] presence chat:b 2 there all: +c-ann +c-bob = {\"typing\":true}";
    check(node.asks(bob, who(FAR).id(3)), &[everyone]);
}

#[test]
fn a_state_that_is_set_while_joining_waits_for_the_join() {
    let mut node = node();
    node.fill(FAR, 2);
    let bob = node.open(0, Some("bob"));
    node.hold_reads = true;
    node.does(bob, subscribe(FAR, Start::Next));
    node.does(bob, set_state(FAR, "7").id(2));
    check(node.hears(bob), &[]);
    node.hold_reads = false;
    node.settle();
    let heard = ["subscribed chat:b a2 floor 1", "[2] presence chat:b 1 there +c-bob = 7"];
    check(node.hears(bob), &heard);
    check(node.asks(bob, ping().id(3)), &["[3] pong"]);
}

#[test]
fn a_name_given_with_connect_is_shown() {
    let mut node = node();
    let (ann, bob) = (node.open(0, None), node.open(1, Some("bob")));
    let name = DisplayName::parse("Ann A.").ok();
    let session = Some(Secret::new("s-ann"));
    let subscribe = vec![Subscribe { presence: true, ..Subscribe::new(name_of(NEAR), Start::Next) }];
    let connect = Connect { session, name, subscribe, ..Connect::default() };
    let heard = node.asks(ann, Action::Connect(connect).command());
    assert!(heard[1].ends_with(", 1 there all: +c-ann alias Ann A."), "{heard:?}");
    check(node.asks(bob, who(NEAR)), &["presence chat:a 1 there all: +c-ann alias Ann A."]);
}

fn name_of(channel: &str) -> trunkline_model::ChannelName {
    trunkline_sim::words::name(channel)
}

#[test]
fn what_is_asked_wrongly_is_refused() {
    let mut node = node_with(Limits { presence_state: 8, ..Limits::default() }, full());
    let ann = node.open(0, Some("ann"));
    let mut refuses = |command, code: &str| {
        let heard = node.asks(ann, command);
        assert!(heard[0].starts_with(&format!("error {code}")), "{heard:?}");
    };
    refuses(watch("off:a"), "bad_request off:a");
    refuses(enter("off:a", "1"), "bad_request off:a");
    refuses(who("off:a"), "bad_request off:a");
    refuses(set_state("off:a", "1"), "bad_request off:a");
    refuses(set_state(NEAR, "1"), "bad_request chat:a");
    refuses(enter(NEAR, "123456789"), "too_large chat:a");
    refuses(set_state(NEAR, "123456789"), "too_large chat:a");
    refuses(who("nope:a"), "unknown_namespace nope:a");
    check(node.asks(ann, enter(NEAR, "12345678")), &["subscribed chat:a a0 floor 1"]);
    check(node.asks(ann, who(FAR)), &["presence chat:b 0 there all:"]);
}

#[test]
fn a_count_is_all_that_is_told_where_it_is_all_that_is_allowed() {
    let mut node = node();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    check(node.asks(ann, watch("count:a")), &["subscribed count:a a0 floor 1, 1 there"]);
    node.does(bob, enter("count:a", "1"));
    check(node.hears(ann), &["count:a 2 there"]);
    node.hears(bob);
    check(node.asks(bob, set_state("count:a", "2").id(1)), &["[1] presence count:a 2 there"]);
    check(node.asks(bob, who("count:a")), &["presence count:a 2 there"]);
    node.pass(SOON);
    check(node.hears(ann), &[]);
}

#[test]
fn above_the_limit_only_the_number_is_told() {
    let mut node = node_with(Limits { presence_members_told: 2, ..Limits::default() }, full());
    let ann = node.open(0, Some("ann"));
    node.does(ann, watch(NEAR));
    let others: Vec<_> = ["bob", "cid"].map(|name| node.open(1, Some(name))).into();
    node.does(others[0], enter(NEAR, "1"));
    node.pass(SOON);
    node.does(others[1], subscribe(NEAR, Start::Next));
    node.pass(SOON);
    node.does(others[0], set_state(NEAR, "2"));
    node.pass(SOON);
    check(presence(&mut node, ann)[1..].to_vec(), &["2 there +c-bob = 1", "3 there"]);
    check(node.asks(ann, who(NEAR)), &["presence chat:a 3 there"]);
    leaves(&mut node, others[1]);
    node.pass(GRACE);
    check(presence(&mut node, ann), &["2 there all: +c-ann +c-bob = 2"]);
}

#[test]
fn a_channel_has_no_more_members_than_it_may() {
    let mut node = node_with(Limits::default(), Namespace { members_max: 2, ..full() });
    for channel in [NEAR, SIGNAL] {
        let who: Vec<_> = ["ann", "bob", "cid"].map(|name| node.open(0, Some(name))).into();
        node.does(who[0], subscribe(channel, Start::Next));
        node.does(who[1], subscribe(channel, Start::Next));
        check(
            node.asks(who[2], subscribe(channel, Start::Next)),
            &[&format!("error limit_exceeded {channel}")],
        );
        let tab = node.open(1, Some("bob"));
        assert!(node.asks(tab, subscribe(channel, Start::Next))[0].starts_with("subscribed"));
        leaves(&mut node, who[0]);
        node.pass(GRACE);
        assert!(node.asks(who[2], subscribe(channel, Start::Next))[0].starts_with("subscribed"));
        [who[1], who[2], tab].into_iter().for_each(|one| node.close(one));
    }
}

#[test]
fn a_channel_is_not_let_go_while_a_member_may_come_back() {
    let mut node = node_with(Limits { channels: 1, ..Limits::default() }, full());
    let ann = node.open(0, Some("ann"));
    node.does(ann, subscribe(NEAR, Start::Next));
    node.does(ann, unsubscribe(NEAR));
    node.hears(ann);
    let other = subscribe("chat:y", Start::Next);
    check(node.asks(ann, other.clone()), &["error limit_exceeded chat:y retry"]);
    node.pass(GRACE);
    check(node.asks(ann, other), &["subscribed chat:y a0 floor 1"]);
}

#[test]
fn changes_are_told_together_once_in_an_interval() {
    let mut node = node();
    let ann = node.open(0, Some("ann"));
    node.does(ann, watch(NEAR));
    node.pass(SOON);
    node.hears(ann);
    let others: Vec<_> = ["bob", "cid", "dan"].map(|name| node.open(1, Some(name))).into();
    for (index, other) in others.iter().enumerate() {
        node.uptime += Duration::from_millis(50);
        node.does(*other, enter(NEAR, &index.to_string()));
        node.does(*other, set_state(NEAR, &format!("{index}{index}")));
    }
    check(presence(&mut node, ann), &["2 there +c-bob = 0"]);
    node.pass(SOON);
    check(presence(&mut node, ann), &["4 there +c-bob = 00 +c-cid = 11 +c-dan = 22"]);
}

#[test]
fn a_full_queue_is_told_everything_when_it_has_room() {
    let mut node = node_with(Limits { queue: 16, ..Limits::default() }, full());
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(ann, watch(FAR));
    node.does(bob, watch(FAR));
    node.pass(SOON);
    node.hears(ann);
    node.held_queues = vec![(1, 0)];
    for number in 0..20 {
        node.does(bob, set_state(FAR, &number.to_string()));
        node.pass(SOON);
    }
    node.held_queues.clear();
    node.settle();
    node.pass(SOON);
    let told = presence(&mut node, ann);
    assert_eq!(told.len(), 8 + 1, "half of the queue is kept for questions and answers: {told:?}");
    assert_eq!(told.last().map(String::as_str), Some("2 there all: +c-ann +c-bob = 19"));
    node.does(bob, set_state(FAR, "20"));
    node.pass(SOON);
    check(presence(&mut node, ann), &["2 there +c-bob = 20"]);
}

#[test]
fn a_slow_subscriber_is_told_everything_when_it_has_read() {
    let mut node = node();
    let (ann, bob) = (node.open(0, Some("ann")), node.open(1, Some("bob")));
    node.does(ann, watch(FAR));
    node.does(bob, watch(FAR));
    node.pass(SOON);
    node.hears(ann);
    node.hears(bob);
    node.make_slow(ann, 0);
    node.hold_room = true;
    for number in 0..5 {
        node.does(bob, set_state(FAR, &number.to_string()));
        node.pass(SOON);
    }
    check(node.hears(ann), &[]);
    assert_eq!(presence(&mut node, bob).len(), 5, "nobody else waits");
    node.make_slow(ann, usize::MAX);
    node.hold_room = false;
    node.settle();
    check(node.hears(ann), &["chat:b 2 there all: +c-ann +c-bob = 4"]);
    node.does(bob, set_state(FAR, "5"));
    node.pass(SOON);
    check(node.hears(ann), &["chat:b 2 there +c-bob = 5"]);
}

#[test]
fn leaving_waits_for_room_in_the_queue() {
    let mut node = node_with(Limits { queue: 8, ..Limits::default() }, full());
    let ann = node.open(1, Some("ann"));
    node.does(ann, watch(FAR));
    let others: Vec<_> = (0..9).map(|number| node.open(0, Some(&format!("u{number}")))).collect();
    others.iter().for_each(|one| node.does(*one, subscribe(FAR, Start::Next)));
    node.pass(SOON);
    node.hears(ann);
    node.held_queues = vec![(0, 1)];
    others.iter().for_each(|one| node.close(*one));
    node.held_queues.clear();
    node.settle();
    node.pass(GRACE);
    node.pass(SOON);
    let told = presence(&mut node, ann);
    assert!(told.last().is_some_and(|line| line.starts_with("1 there")), "{told:?}");
    node.close(ann);
    node.pass(GRACE);
    node.pass(Duration::from_secs(60));
    node.pass(Duration::from_secs(60));
    assert!(node.leftovers().is_empty(), "{:?}", node.leftovers());
}

#[test]
fn without_presence_nothing_waits_for_a_moment() {
    let mut node = node();
    let ann = node.open(0, Some("ann"));
    check(node.asks(ann, subscribe("off:a", Start::Next)), &["subscribed off:a a0 floor 1"]);
    node.close(ann);
    node.settle();
    assert!(!node.leftovers().contains(&"present: {}"));
}

/// The door knows this token of a user, of whom it says this.
fn knows(node: &mut Node, token: &str, user: &str, info: Option<&str>) {
    let info = info.map(|info| Payload::new(Form::Json, info.to_owned()));
    let can = trunkline_model::Capability::ALL.iter().copied().collect();
    let allow = vec![Grant { channels: ChannelPattern::all(), can }];
    let access = Access { standing: Standing::User, allow, info, ..Access::default() };
    let identity = Identity { access: Arc::new(access), ..identity(user) };
    node.tokens.insert(token.to_owned(), Ok(Admitted { identity, channels: Vec::new() }));
}

fn with_token(token: &str) -> Command {
    let token = Some(Secret::new(token));
    Action::Connect(Connect { token, ..Connect::default() }).command()
}

fn refresh(token: &str) -> Command {
    Action::Refresh(Secret::new(token)).command()
}

#[test]
fn what_a_token_says_of_its_user_is_shown() {
    let mut node = node();
    knows(&mut node, "t1", "ann", Some("{\"team\":\"red\"}"));
    knows(&mut node, "t2", "ann", Some("{\"team\":\"blue\"}"));
    knows(&mut node, "t3", "ann", None);
    let (ann, bob) = (node.open(0, None), node.open(1, Some("bob")));
    node.asks(ann, with_token("t1"));
    for channel in [NEAR, FAR] {
        node.asks(ann, enter(channel, "1"));
        let heard = node.asks(bob, watch(channel)).remove(0);
        assert!(heard.ends_with(" 2 there all: +c-ann info {\"team\":\"red\"} = 1 +c-bob"), "{heard}");
    }
    node.pass(SOON);
    presence(&mut node, bob);
    // Another token says something else, or nothing; what it says of itself stays.
    node.asks(ann, refresh("t2"));
    node.pass(SOON);
    let blue = "2 there +c-ann info {\"team\":\"blue\"} = 1";
    check(presence(&mut node, bob), &[blue, blue]);
    node.asks(ann, refresh("t2"));
    node.pass(SOON);
    check(presence(&mut node, bob), &[]);
    node.asks(ann, refresh("t3"));
    node.pass(SOON);
    check(presence(&mut node, bob), &["2 there +c-ann = 1", "2 there +c-ann = 1"]);
    check(node.asks(ann, set_state(NEAR, "2").id(1)), &["[1] presence chat:a 2 there +c-ann = 2"]);
}

#[test]
fn where_only_how_many_is_told_it_is_not() {
    let mut node = node();
    knows(&mut node, "t", "ann", Some("1"));
    let ann = node.open(0, None);
    node.asks(ann, with_token("t"));
    let heard = node.asks(ann, watch("count:a")).remove(0);
    assert!(heard.ends_with(", 1 there"), "{heard}");
}

#[test]
fn a_token_that_is_renewed_while_one_joins_is_shown_too() {
    let mut node = node();
    knows(&mut node, "t1", "ann", Some("1"));
    knows(&mut node, "t2", "ann", Some("2"));
    let (ann, bob) = (node.open(0, None), node.open(1, Some("bob")));
    node.asks(ann, with_token("t1"));
    node.hold_reads = true;
    node.send(ann, subscribe(FAR, Start::Next));
    node.send(ann, refresh("t2"));
    node.settle();
    check(node.hears(ann), &["refreshed, expires never"]);
    node.hold_reads = false;
    node.settle();
    node.asks(bob, watch(FAR));
    node.pass(SOON);
    node.hears(bob);
    check(node.asks(bob, who(FAR)), &["presence chat:b 2 there all: +c-ann info 2 +c-bob"]);
}

#[test]
fn the_token_of_a_subscription_may_say_something_else_there() {
    let mut node = node();
    knows(&mut node, "t1", "ann", Some("1"));
    knows(&mut node, "t2", "ann", Some("2"));
    knows(&mut node, "here", "ann", Some("\"here\""));
    let ann = node.open(0, None);
    node.asks(ann, with_token("t1"));
    let shows = |channel| {
        let token = Some(Secret::new("here"));
        Action::Subscribe(Subscribe { token, ..Subscribe::new(name_of(channel), Start::Next) }).command()
    };
    node.asks(ann, shows(NEAR));
    node.asks(ann, subscribe(FAR, Start::Next));
    check(node.asks(ann, who(NEAR)), &["presence chat:a 1 there all: +c-ann info \"here\""]);
    check(node.asks(ann, who(FAR)), &["presence chat:b 1 there all: +c-ann info 1"]);
    node.asks(ann, refresh("t2"));
    check(node.asks(ann, who(NEAR)), &["presence chat:a 1 there all: +c-ann info \"here\""]);
    check(node.asks(ann, who(FAR)), &["presence chat:b 1 there all: +c-ann info 2"]);
}

#[test]
fn what_it_says_counts_as_bytes_that_are_told() {
    let limits = Limits { presence_bytes_per_second: 2_000, ..Limits::default() };
    let mut node = node_with(limits, full());
    let bob = node.open(1, Some("bob"));
    node.asks(bob, watch(NEAR));
    node.pass(Duration::from_secs(2));
    node.hears(bob);
    let info = format!("\"{}\"", "x".repeat(900));
    for index in 0..4 {
        let user = format!("u{index}");
        knows(&mut node, &user, &user, Some(&info));
        let who = node.open(0, None);
        node.asks(who, with_token(&user));
        node.asks(who, subscribe(NEAR, Start::Next));
    }
    let mut told = Vec::new();
    for _ in 0..8 {
        node.pass(SOON);
        told.push(presence(&mut node, bob).iter().map(|line| line.matches(" +c-").count()).sum::<usize>());
    }
    assert!(told[..4].iter().sum::<usize>() < 4, "{told:?}");
    assert_eq!(told.iter().sum::<usize>(), 4, "{told:?}");
}
