//! Tokens for one channel, which come with a `subscribe`: what they allow, whose they are, how long they last, and that the
//! stream neither ends nor doubles where one takes the place of another.

use std::sync::Arc;
use std::time::Duration;

use trunkline_model::{
    Access, Action, Admitted, Capability, ChannelPattern, ClientId, Command, Connect, ErrorCode, Fault,
    Grant, Identity, Kind, Limits, Namespace, Offset, Op, Payload, PresenceMode, Publish, Publisher,
    Reference, Reply, Rule, Secret, Standing, Start, Subscribe, Timestamp, UserName,
};
use trunkline_sim::words::*;
use trunkline_sim::{Heard, Node, START, identity};

const READ: &[Capability] = &[Capability::Subscribe, Capability::History, Capability::Presence];
const WRITE: &[Capability] = &[Capability::Subscribe, Capability::Publish];

/// Where only a token opens anything.
fn closed() -> Namespace {
    Namespace { subscribe: Rule::Token, publish: Rule::Token, ..Namespace::of_kind(Kind::Log) }
}

fn node(chat: Namespace) -> Node {
    Node::with(Limits::default(), chat)
}

/// The door knows this token: of nobody (an empty name) or of a user, for these channels, for so many ms.
fn knows(node: &mut Node, token: &str, user: &str, channels: &str, can: &[Capability], lives: Option<u64>) {
    let grant = Grant {
        channels: ChannelPattern::parse(channels).expect("a pattern"),
        can: can.iter().copied().collect(),
    };
    let standing = if user.is_empty() { Standing::Anonymous } else { Standing::User };
    let expires = lives.map(|ms| Timestamp(START + ms));
    let access = Access { standing, allow: vec![grant], expires, ..Access::default() };
    let named = if user.is_empty() { "guest" } else { user };
    let identity = Identity {
        client: ClientId::new(&format!("c-{named}")),
        user: UserName::new(named),
        publisher: Publisher::new(&format!("user:{named}")),
        access: Arc::new(access),
        ..identity(named)
    };
    node.tokens.insert(token.to_owned(), Ok(Admitted { identity, channels: Vec::new() }));
}

fn with_token(token: &str) -> Command {
    let token = Some(Secret::new(token));
    Action::Connect(Connect { token, ..Connect::default() }).command()
}

/// Ann, whose own token allows nothing.
fn ann(node: &mut Node) -> usize {
    knows(node, "ann", "ann", "nothing", &[], None);
    let ann = node.open(0, None);
    node.asks(ann, with_token("ann"));
    ann
}

fn asked(channel: &str, start: Start, token: &str) -> Subscribe {
    Subscribe { token: Some(Secret::new(token)), ..Subscribe::new(name(channel), start) }
}

fn shows(channel: &str, start: Start, token: &str) -> Command {
    Action::Subscribe(asked(channel, start, token)).command()
}

fn refresh(token: &str) -> Command {
    Action::Refresh(Secret::new(token)).command()
}

/// Publishes in nobody's name.
fn publishes(node: &mut Node, channel: &str, text: &str) {
    let api = node.open_unnamed(1);
    node.does(api, publish(channel, text));
    node.close(api);
}

fn can(node: &mut Node, who: usize, command: Command) -> Vec<Capability> {
    node.does(who, command);
    match &node.take_heard(who)[..] {
        [Heard::Reply(Reply::Subscribed(subscribed)), ..] => subscribed.can.clone(),
        heard => panic!("{heard:?}"),
    }
}

#[test]
fn a_token_for_one_channel_lets_its_bearer_in_there() {
    let mut node = node(closed());
    node.fill(NEAR, 2);
    let ann = ann(&mut node);
    knows(&mut node, "t", "ann", NEAR, READ, None);
    check(node.asks(ann, subscribe(NEAR, Start::Next).id(1)), &["[1] error forbidden chat:a"]);
    check(
        node.asks(ann, shows(NEAR, Start::Last(1), "t").id(2)),
        &["[2] subscribed chat:a a2 floor 1, [2] more"],
    );
    publishes(&mut node, NEAR, "x");
    check(node.hears(ann), &["chat:a a3 x"]);
    // What it allows beside, it allows as long as the subscription lasts.
    assert!(node.asks(ann, page(NEAR).command().id(3))[0].starts_with("[3] page"));
    check(node.asks(ann, publish(NEAR, "y").id(4)), &["[4] error forbidden chat:a"]);
    node.asks(ann, unsubscribe(NEAR));
    check(node.asks(ann, page(NEAR).command().id(5)), &["[5] error forbidden chat:a"]);
}

#[test]
fn it_allows_what_it_says_on_top_of_what_the_session_may_do() {
    let mut node = node(Namespace { publish: Rule::Token, ..Namespace::of_kind(Kind::Log) });
    let ann = ann(&mut node);
    knows(&mut node, "w", "ann", NEAR, WRITE, None);
    knows(&mut node, "m", "ann", NEAR, &[Capability::Moderate, Capability::Publish], None);
    assert_eq!(can(&mut node, ann, subscribe(NEAR, Start::Next)), [Capability::History]);
    let both = [Capability::Publish, Capability::History];
    assert_eq!(can(&mut node, ann, shows(NEAR, Start::Next, "w")), both);
    assert!(node.asks(ann, publish(NEAR, "x").id(1))[0].starts_with("[1] published"));
    publishes(&mut node, NEAR, "of another");
    let delete = Publish {
        reference: Some(Reference { target: Offset(2), op: Op::Delete }),
        ..Publish::new(name(NEAR), Payload::new(trunkline_model::Form::Text, ""))
    };
    let delete = || Action::Publish(delete.clone()).command().id(2);
    node.hears(ann);
    check(node.asks(ann, delete()), &["[2] error forbidden chat:a"]);
    let all = [Capability::Publish, Capability::History, Capability::Moderate];
    assert_eq!(can(&mut node, ann, shows(NEAR, Start::Next, "m")), all);
    assert!(node.asks(ann, delete())[0].starts_with("[2] published"));
    // A subscription without a token takes the place of one with a token, and has no more than the session.
    assert_eq!(can(&mut node, ann, subscribe(NEAR, Start::Next)), [Capability::History]);
}

#[test]
fn it_is_its_users_own_and_for_its_channels() {
    let mut node = node(closed());
    let ann = ann(&mut node);
    knows(&mut node, "bobs", "bob", NEAR, READ, None);
    knows(&mut node, "anyones", "", NEAR, READ, None);
    knows(&mut node, "far", "ann", FAR, READ, None);
    node.tokens.insert("old".to_owned(), Err(Fault::new(ErrorCode::TokenExpired, "it is over")));
    for (token, code) in
        [("bobs", "forbidden"), ("far", "forbidden"), ("unknown", "unauthorized"), ("old", "token_expired")]
    {
        let expect = format!("[1] error {code} chat:a");
        check(node.asks(ann, shows(NEAR, Start::Next, token).id(1)), &[&expect]);
    }
    assert!(node.closed.is_empty(), "the line stays");
    check(node.asks(ann, shows(NEAR, Start::Next, "anyones").id(2)), &["[2] subscribed chat:a a0 floor 1"]);
    // Who is nobody shows nobody's token.
    let guest = node.open(0, None);
    check(node.asks(guest, shows(NEAR, Start::Next, "bobs").id(3)), &["[3] error forbidden chat:a"]);
    check(node.asks(guest, shows(NEAR, Start::Next, "anyones").id(4)), &["[4] subscribed chat:a a0 floor 1"]);
    // What is wrong with the command is told without asking the door.
    check(
        node.asks(ann, shows("nope:x", Start::Next, "bobs").id(5)),
        &["[5] error unknown_namespace nope:x"],
    );
}

#[test]
fn no_token_opens_what_is_nobodys() {
    let mut node = node(Namespace { subscribe: Rule::Server, ..Namespace::of_kind(Kind::Log) });
    let ann = ann(&mut node);
    knows(&mut node, "t", "ann", NEAR, Capability::ALL, None);
    check(node.asks(ann, shows(NEAR, Start::Next, "t").id(1)), &["[1] error forbidden chat:a"]);
}

#[test]
fn what_comes_after_it_waits_for_the_door() {
    let mut node = node(closed());
    knows(&mut node, "t", "ann", NEAR, WRITE, None);
    let ann = ann(&mut node);
    node.send(ann, shows(NEAR, Start::Next, "t").id(1));
    assert!(!node.accepts(ann));
    check(node.hears(ann), &[]);
    node.settle();
    check(node.hears(ann), &["ready", "[1] subscribed chat:a a0 floor 1"]);
    // One of a `refresh` is answered first.
    node.send(ann, refresh("ann").id(2));
    node.send(ann, shows(FAR, Start::Next, "t").id(3));
    node.settle();
    check(node.hears(ann), &["[2] refreshed, expires never", "[3] error forbidden chat:b"]);
    // The line may end meanwhile.
    node.send(ann, shows(NEAR, Start::Next, "t").id(4));
    node.close(ann);
    node.settle();
    node.pass(Duration::from_secs(70));
    node.pass(Duration::from_secs(70));
    assert_eq!(node.leftovers(), [""; 0]);
}

#[test]
fn connect_shows_tokens_too() {
    let mut node = node(closed());
    node.fill(NEAR, 3);
    knows(&mut node, "ann", "ann", "nothing", &[], None);
    knows(&mut node, "t", "ann", NEAR, READ, None);
    let who = node.open(0, None);
    let subscribe = vec![
        asked(FAR, Start::Next, "unknown"),
        asked(NEAR, since(1), "t"),
        Subscribe::new(name(SIGNAL), Start::Next),
    ];
    let token = Some(Secret::new("ann"));
    let connect = Action::Connect(Connect { token, subscribe, ..Connect::default() }).command();
    check(
        node.asks(who, connect),
        &[
            "welcome ann, up to 128 subscriptions",
            "error unauthorized chat:b",
            "subscribed chat:a a3 floor 1, 2 recovered",
            "chat:a a2 2",
            "chat:a a3 3",
            "subscribed live:b signal",
        ],
    );
}

#[test]
fn the_subscription_ends_with_its_token() {
    let mut node = node(Namespace { presence: PresenceMode::Full, ..closed() });
    let ann = ann(&mut node);
    knows(&mut node, "t", "ann", NEAR, READ, Some(10_000));
    node.asks(ann, shows(NEAR, Start::Next, "t"));
    node.pass(Duration::from_millis(9_900));
    check(node.hears(ann), &[]);
    node.pass(Duration::from_millis(200));
    let heard = node.hears(ann);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].starts_with("Unsubscribed { channel: \"chat:a\", code: TokenExpired"), "{heard:?}");
    publishes(&mut node, NEAR, "x");
    check(node.hears(ann), &[]);
    assert!(node.closed.is_empty());
    node.close(ann);
    node.pass(Duration::from_secs(5));
    node.pass(Duration::from_secs(70));
    node.pass(Duration::from_secs(70));
    assert_eq!(node.leftovers(), [""; 0]);
}

#[test]
fn it_goes_on_with_another_token() {
    let mut node = node(closed());
    let ann = ann(&mut node);
    knows(&mut node, "t1", "ann", NEAR, READ, Some(10_000));
    knows(&mut node, "t2", "ann", NEAR, READ, Some(20_000));
    knows(&mut node, "t3", "ann", NEAR, WRITE, None);
    node.asks(ann, shows(NEAR, Start::Next, "t1"));
    publishes(&mut node, NEAR, "1");
    // What is published while the door looks at it comes once.
    node.send(ann, shows(NEAR, Start::Next, "t2").id(1));
    publishes(&mut node, NEAR, "2");
    node.settle();
    let heard = node.hears(ann);
    let messages: Vec<_> = heard.iter().filter(|line| line.starts_with("chat:a")).collect();
    assert_eq!(messages, ["chat:a a1 1 (new epoch)", "chat:a a2 2"], "{heard:?}");
    assert!(heard.iter().any(|line| line.starts_with("[1] subscribed chat:a a")), "{heard:?}");
    node.pass(Duration::from_secs(15));
    publishes(&mut node, NEAR, "3");
    check(node.hears(ann), &["chat:a a3 3"]);
    // From the place that it says, or where it allows something else, it is a subscription of its own.
    check(
        node.asks(ann, shows(NEAR, since(2), "t3").id(2)),
        &["[2] subscribed chat:a a3 floor 1, 1 recovered", "chat:a a3 3"],
    );
    node.pass(Duration::from_secs(15));
    publishes(&mut node, NEAR, "4");
    check(node.hears(ann), &["chat:a a4 4"]);
    // One that is not taken leaves the other as it is.
    check(node.asks(ann, shows(NEAR, Start::Next, "unknown").id(3)), &["[3] error unauthorized chat:a"]);
    publishes(&mut node, NEAR, "5");
    check(node.hears(ann), &["chat:a a5 5"]);
}

/// What is on its way to the session's worker just then comes too.
#[test]
fn nothing_is_missed_where_a_token_is_renewed() {
    let mut node = Node::usual();
    knows(&mut node, "t1", "", NEAR, READ, None);
    knows(&mut node, "t2", "", NEAR, READ, Some(60_000));
    let (ann, bob) = (node.open(1, Some("ann")), node.open(0, Some("bob")));
    node.asks(ann, shows(NEAR, Start::Next, "t1"));
    node.held_queues = vec![(0, 1)];
    node.does(bob, publish(NEAR, "x"));
    check(node.asks(ann, shows(NEAR, Start::Next, "t2").id(1)), &["[1] subscribed chat:a a0 floor 1"]);
    node.held_queues.clear();
    node.settle();
    check(node.hears(ann), &["chat:a a1 bob: x (new epoch)"]);
}

#[test]
fn it_survives_what_a_subscription_survives() {
    let mut node = node(closed());
    let ann = ann(&mut node);
    knows(&mut node, "t", "ann", NEAR, READ, Some(60_000));
    knows(&mut node, "other", "ann", "nothing:*", &[], None);
    node.asks(ann, shows(NEAR, Start::Next, "t"));
    // Being slow, and renewed meanwhile.
    node.make_slow(ann, 1);
    node.hold_room = true;
    for text in ["1", "2", "3"] {
        publishes(&mut node, NEAR, text);
    }
    assert!(node.fell_behind > 0);
    node.send(ann, shows(NEAR, Start::Next, "t").id(1));
    node.settle();
    node.hold_room = false;
    node.settle();
    let heard = node.hears(ann);
    let messages: Vec<_> = heard.iter().filter(|line| line.starts_with("chat:a")).collect();
    assert_eq!(messages, ["chat:a a1 1 (new epoch)", "chat:a a2 2", "chat:a a3 3"], "{heard:?}");
    assert!(heard.iter().any(|line| line == "[1] subscribed chat:a a3 floor 1"), "{heard:?}");
    node.make_slow(ann, 100);
    // Another token of the connection.
    node.hears(ann);
    check(node.asks(ann, refresh("other").id(2)), &["[2] refreshed, expires never"]);
    publishes(&mut node, NEAR, "4");
    check(node.hears(ann), &["chat:a a4 4"]);
    assert!(node.asks(ann, page(NEAR).command().id(3))[0].starts_with("[3] page"));
}

#[test]
fn a_signal_goes_on_too() {
    let mut node = Node::usual();
    let ann = ann(&mut node);
    knows(&mut node, "t", "ann", SIGNAL, WRITE, Some(10_000));
    knows(&mut node, "u", "ann", SIGNAL, WRITE, None);
    check(node.asks(ann, shows(SIGNAL, Start::Next, "t")), &["subscribed live:b signal"]);
    check(node.asks(ann, shows(SIGNAL, Start::Next, "u").id(1)), &["[1] subscribed live:b signal"]);
    node.pass(Duration::from_secs(20));
    publishes(&mut node, SIGNAL, "x");
    check(node.hears(ann), &["live:b x"]);
}
