//! Who may do what: the rules of a namespace, and what a token allows beside them. How a session is let in, renews its
//! token, and ends with it.

use std::sync::Arc;
use std::time::Duration;

use trunkline_model::{
    Access, Action, Admitted, Capability, ChannelPattern, ClientId, Command, Connect, Edits, ErrorCode,
    Fault, Grant, Identity, Kind, Limits, Namespace, Namespaces, Offset, Op, Payload, PresenceMode, Publish,
    Publisher, Reference, Rule, Secret, Standing, Start, Timestamp, UserName,
};
use trunkline_sim::words::*;
use trunkline_sim::{Heard, Node, START, identity};

const ALL: &[Capability] = Capability::ALL;

fn node(chat: Namespace) -> Node {
    Node::with(Limits::default(), chat)
}

/// A user with a token that allows this, and ends after so many ms.
fn user(name: &str, allow: &[(&str, &[Capability])], lives: Option<u64>) -> Identity {
    let grant = |(channels, can): &(&str, &[Capability])| Grant {
        channels: ChannelPattern::parse(channels).expect("a pattern"),
        can: can.iter().copied().collect(),
    };
    let access = Access {
        standing: Standing::User,
        allow: allow.iter().map(grant).collect(),
        expires: lives.map(|ms| Timestamp(START + ms)),
        ..Access::default()
    };
    Identity {
        client: ClientId::new(&format!("c-{name}")),
        user: UserName::new(name),
        publisher: Publisher::new(&format!("user:{name}")),
        access: Arc::new(access),
        ..identity(name)
    }
}

fn knows(node: &mut Node, token: &str, identity: Identity) {
    node.tokens.insert(token.to_owned(), Ok(Admitted { identity, channels: Vec::new() }));
}

fn with_token(token: &str) -> Command {
    let token = Some(Secret::new(token));
    Action::Connect(Connect { token, ..Connect::default() }).command()
}

/// A connection that has shown this token.
fn enters(node: &mut Node, token: &str) -> usize {
    let who = node.open(0, None);
    let heard = node.asks(who, with_token(token));
    assert!(heard[0].starts_with("welcome"), "{heard:?}");
    who
}

fn refresh(token: &str) -> Command {
    Action::Refresh(Secret::new(token)).command()
}

fn about(op: Op, target: u64) -> Command {
    let payload = if op == Op::Delete { "" } else { "x" };
    let reference = Some(Reference { target: Offset(target), op });
    let payload = Payload::new(trunkline_model::Form::Text, payload);
    Action::Publish(Publish { reference, ..Publish::new(name(NEAR), payload) }).command()
}

/// Which of subscribe, publish, history and presence are allowed to `who` in the channel.
fn allowed(node: &mut Node, who: usize, channel: &str) -> String {
    let commands = [
        ("subscribe", subscribe(channel, Start::Next)),
        ("publish", publish(channel, "x").id(1)),
        ("history", Action::History(page(channel)).command()),
        ("presence", trunkline_sim::words::who(channel)),
    ];
    let mut allowed = Vec::new();
    for (word, command) in commands {
        let heard = node.asks(who, command);
        if !heard.iter().any(|line| line.contains("error forbidden")) {
            allowed.push(word);
        }
        node.does(who, unsubscribe(channel));
        node.hears(who);
    }
    allowed.join(" ")
}

#[track_caller]
fn check_rules(subscribe: Rule, publish: Rule, expect: [&str; 4]) {
    let chat =
        Namespace { subscribe, publish, presence: PresenceMode::Full, ..Namespace::of_kind(Kind::Log) };
    let mut node = node(chat);
    knows(&mut node, "ann", user("a", &[], None));
    knows(&mut node, "bob", user("b", &[("chat:*", &ALL[..2])], None));
    let guest = node.open(0, Some("guest"));
    let ann = enters(&mut node, "ann");
    let bob = enters(&mut node, "bob");
    let api = node.open_unnamed(1);
    let seen = [guest, ann, bob, api].map(|who| allowed(&mut node, who, NEAR));
    assert_eq!(seen, expect, "subscribe {subscribe:?}, publish {publish:?}");
}

#[test]
fn the_rules_of_a_namespace_say_who_needs_no_token() {
    let all = "subscribe publish history presence";
    let read = "subscribe history presence";
    // A guest, user `a` (chat:a is named after it), user `b` whose token allows to subscribe and publish, the API.
    check_rules(Rule::Anyone, Rule::Anyone, [all, all, all, all]);
    check_rules(Rule::User, Rule::User, ["", all, all, all]);
    check_rules(Rule::Owner, Rule::Owner, ["", all, "subscribe publish", all]);
    check_rules(Rule::Token, Rule::Token, ["", "", "subscribe publish", all]);
    check_rules(Rule::Anyone, Rule::Token, [read, read, all, all]);
    check_rules(Rule::Anyone, Rule::Server, [read, read, read, all]);
    check_rules(Rule::Server, Rule::Server, ["", "", "", all]);
}

#[test]
fn subscribers_may_publish_where_the_rule_says_so() {
    let mut node = node(Namespace { publish: Rule::Subscribers, ..Namespace::of_kind(Kind::Log) });
    let ann = node.open(0, Some("ann"));
    check(node.asks(ann, publish(NEAR, "x").id(1)), &["[1] error forbidden chat:a"]);
    node.does(ann, subscribe(NEAR, Start::Next));
    node.hears(ann);
    check(
        node.asks(ann, publish(NEAR, "x").id(2)),
        &["[2] published chat:a a1", "chat:a a1 ann: x (new epoch)"],
    );
    node.does(ann, unsubscribe(NEAR));
    node.hears(ann);
    check(node.asks(ann, publish(NEAR, "x").id(3)), &["[3] error forbidden chat:a"]);
}

#[test]
fn the_past_needs_its_own_permission_but_what_was_missed_does_not() {
    let mut node = node(Namespace { subscribe: Rule::Token, ..Namespace::of_kind(Kind::Log) });
    node.fill(NEAR, 2);
    knows(&mut node, "t", user("ann", &[("chat:*", &ALL[..1])], None));
    let ann = enters(&mut node, "t");
    for denied in [
        subscribe(NEAR, Start::Last(1)),
        subscribe(NEAR, Start::CatchUp(at(10, 0))),
        Action::History(page(NEAR)).command(),
    ] {
        check(node.asks(ann, denied.id(1)), &["[1] error forbidden chat:a"]);
    }
    let heard = node.asks(ann, subscribe(NEAR, since(0)));
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert_eq!(node.store.reads_asked, 1, "nothing was looked up for what is forbidden");
}

#[test]
fn subscribed_says_what_this_session_may_do() {
    let mut node = node(Namespace { publish: Rule::Token, ..Namespace::of_kind(Kind::Log) });
    knows(&mut node, "t", user("ann", &[(NEAR, &[Capability::Publish, Capability::Moderate])], None));
    let (guest, ann) = (node.open(0, Some("guest")), enters(&mut node, "t"));
    let mut can = |who| {
        node.does(who, subscribe(NEAR, Start::Next));
        let heard = node.take_heard(who);
        let [Heard::Reply(trunkline_model::Reply::Subscribed(subscribed))] = &heard[..] else {
            panic!("{heard:?}")
        };
        subscribed.can.clone()
    };
    assert_eq!(can(guest), [Capability::History]);
    assert_eq!(can(ann), [Capability::Publish, Capability::History, Capability::Moderate]);
}

#[track_caller]
fn check_edits(edits: Edits, expect: [&str; 3]) {
    let mut node = node(Namespace { edits, ..Namespace::of_kind(Kind::Log) });
    knows(&mut node, "m", user("mod", &[(NEAR, &[Capability::Moderate])], None));
    let (ann, bob, moderator) =
        (node.open(0, Some("ann")), node.open(0, Some("bob")), enters(&mut node, "m"));
    node.does(ann, publish(NEAR, "hi"));
    let outcome = |heard: Vec<String>| heard[0].split(' ').nth(2).unwrap_or_default().to_owned();
    let seen = [bob, ann, moderator].map(|who| {
        let heard = node.asks(who, about(Op::Edit, 1).id(1));
        if heard[0].contains("error") { outcome(heard) } else { "done".to_owned() }
    });
    assert_eq!(seen, expect, "{edits:?}");
    let api = node.open_unnamed(0);
    assert!(node.asks(api, about(Op::Delete, 1).id(1))[0].contains("published"));
}

#[test]
fn who_may_edit_is_a_rule_too() {
    check_edits(Edits::Author, ["forbidden", "done", "done"]);
    check_edits(Edits::Token, ["forbidden", "forbidden", "done"]);
    check_edits(Edits::Server, ["forbidden", "forbidden", "forbidden"]);
}

#[test]
fn a_denial_says_who_what_which_rule_and_how_to_allow_it() {
    let chat = Namespace { subscribe: Rule::User, publish: Rule::Token, ..Namespace::of_kind(Kind::Log) };
    let mut node = node(chat);
    knows(&mut node, "t", user("ann", &[], None));
    let (guest, ann) = (node.open(0, Some("guest")), enters(&mut node, "t"));
    let mut message = |who, command| {
        node.does(who, command);
        match &node.take_heard(who)[..] {
            [Heard::Reply(trunkline_model::Reply::Fault(fault))] => fault.message.clone(),
            heard => panic!("{heard:?}"),
        }
    };
    assert_eq!(
        message(guest, subscribe(NEAR, Start::Next)),
        "guest, who has no token that names a user, may not subscribe to chat:a: `subscribe` of [namespace.chat] is \
         \"user\": connect with a token that has a `sub`, or say subscribe = \"anyone\""
    );
    assert_eq!(
        message(ann, publish(NEAR, "x").id(1)),
        "user ann may not publish to chat:a: `publish` of [namespace.chat] is \"token\": \
         {\"channels\":\"chat:a\",\"can\":[\"publish\"]} in the token's `allow` would, or publish = \"user\" would let \
         every user"
    );
}

#[test]
fn who_is_not_let_in_is_told_why_and_closed() {
    let cases = [
        (ErrorCode::Unauthorized, "unauthorized", 4401),
        (ErrorCode::TokenExpired, "token_expired", 4501),
        (ErrorCode::Forbidden, "forbidden", 4403),
        (ErrorCode::LimitExceeded, "limit_exceeded", 4529),
        (ErrorCode::NotAvailable, "not_available", 4500),
    ];
    for (code, word, close) in cases {
        let mut node = Node::usual();
        node.tokens.insert("t".to_owned(), Err(Fault::new(code, "so it is")));
        let ann = node.open(0, None);
        check(node.asks(ann, with_token("t").id(1)), &[&format!("[1] error {word}")]);
        assert_eq!(node.closed, [(ann, close)]);
    }
}

#[test]
fn the_channels_of_a_token_are_followed_without_asking() {
    let mut node = node(Namespace { subscribe: Rule::Token, ..Namespace::of_kind(Kind::Log) });
    let identity = user("ann", &[(NEAR, &ALL[..1])], None);
    node.tokens.insert("t".to_owned(), Ok(Admitted { identity, channels: vec![name(NEAR)] }));
    let ann = node.open(0, None);
    check(
        node.asks(ann, with_token("t")),
        &["welcome ann, up to 128 subscriptions", "subscribed chat:a a0 floor 1"],
    );
}

#[test]
fn a_session_ends_with_its_token() {
    let mut node = Node::usual();
    knows(&mut node, "t", user("ann", &[], Some(10_000)));
    let ann = enters(&mut node, "t");
    node.pass(Duration::from_millis(9_900));
    check(node.asks(ann, ping().id(1)), &["[1] pong"]);
    assert!(node.closed.is_empty());
    node.pass(Duration::from_millis(200));
    assert_eq!(node.closed, [(ann, 4501)]);
    assert!(node.leftovers().iter().all(|left| !left.contains("timers")), "{:?}", node.leftovers());
}

#[test]
fn a_token_is_renewed_before_that() {
    let mut node = Node::usual();
    knows(&mut node, "t1", user("ann", &[], Some(10_000)));
    knows(&mut node, "t2", user("ann", &[], Some(20_000)));
    knows(&mut node, "t3", user("ann", &[], None));
    let ann = enters(&mut node, "t1");
    check(node.asks(ann, refresh("t2").id(1)), &["[1] refreshed, expires 20000"]);
    node.pass(Duration::from_secs(15));
    assert!(node.closed.is_empty());
    check(node.asks(ann, refresh("t3").id(2)), &["[2] refreshed, expires never"]);
    node.pass(Duration::from_secs(1_000));
    assert!(node.closed.is_empty());
}

#[test]
fn a_token_that_is_not_taken_changes_nothing() {
    let mut node = Node::usual();
    knows(&mut node, "t", user("ann", &[], Some(10_000)));
    knows(&mut node, "bobs", user("bob", &[], None));
    let ann = enters(&mut node, "t");
    check(node.asks(ann, refresh("unknown").id(1)), &["[1] error unauthorized"]);
    check(node.asks(ann, refresh("bobs").id(2)), &["[2] error forbidden"]);
    check(node.asks(ann, ping().id(3)), &["[3] pong"]);
    node.pass(Duration::from_millis(10_100));
    assert_eq!(node.closed, [(ann, 4501)]);
    // A guest does not become a user, whose publications were the guest's.
    let guest = node.open(0, None);
    node.asks(guest, ping());
    check(node.asks(guest, refresh("t").id(4)), &["[4] error forbidden"]);
}

#[test]
fn what_the_new_token_does_not_allow_ends() {
    let mut node = node(Namespace { subscribe: Rule::Token, ..Namespace::of_kind(Kind::Log) });
    knows(&mut node, "t1", user("ann", &[("chat:*", ALL)], None));
    knows(&mut node, "t2", user("ann", &[(FAR, ALL)], None));
    let ann = enters(&mut node, "t1");
    node.does(ann, subscribe(NEAR, Start::Next));
    node.does(ann, subscribe(FAR, Start::Next));
    node.hears(ann);
    let heard = node.asks(ann, refresh("t2").id(1));
    assert_eq!(heard[0], "[1] refreshed, expires never");
    assert!(heard[1].starts_with("Unsubscribed { channel: \"chat:a\", code: Forbidden"), "{heard:?}");
    let api = node.open_unnamed(0);
    node.does(api, publish(NEAR, "x"));
    node.does(api, publish(FAR, "y"));
    check(node.hears(ann), &["chat:b a1 y (new epoch)"]);
}

#[test]
fn who_says_nothing_keeps_no_place() {
    let mut node =
        Node::with(Limits { first_command: Duration::from_secs(10), ..Limits::default() }, ring_of(10));
    let (silent, ann) = (node.open(0, None), node.open(1, None));
    node.asks(ann, ping());
    node.pass(Duration::from_secs(9));
    assert!(node.closed.is_empty());
    node.pass(Duration::from_secs(2));
    assert_eq!(node.closed, [(silent, 4401)]);
    // Whoever has said something has no such time.
    node.pass(Duration::from_secs(1_000));
    assert_eq!(node.closed.len(), 1);
}

#[test]
fn a_publish_behind_its_subscribe_waits_for_what_becomes_of_it() {
    let mut node = node(Namespace { publish: Rule::Subscribers, ..Namespace::of_kind(Kind::Log) });
    let ann = node.open(0, Some("ann"));
    node.hold_reads = true;
    node.send(ann, subscribe(NEAR, Start::Next).id(1));
    node.send(ann, publish(NEAR, "x").id(2));
    node.settle();
    check(node.hears(ann), &[]);
    node.hold_reads = false;
    node.settle();
    let heard = node.hears(ann);
    assert!(heard[0].starts_with("[1] subscribed") && heard[1].starts_with("[2] published"), "{heard:?}");
    node.does(ann, unsubscribe(NEAR));
    // One that is refused makes no subscriber.
    node.store.failing_reads = 1;
    let far = "chat:b";
    node.send(ann, subscribe(far, Start::Next).id(3));
    node.send(ann, publish(far, "x").id(4));
    node.settle();
    let heard = node.hears(ann).join("; ");
    assert!(heard.contains("[3] error not_available") && heard.contains("[4] error forbidden"), "{heard}");
}

#[test]
fn who_may_no_longer_see_who_is_there_is_told_no_more_of_it() {
    let chat =
        Namespace { subscribe: Rule::Token, presence: PresenceMode::Full, ..Namespace::of_kind(Kind::Log) };
    let mut node = node(chat);
    knows(&mut node, "t1", user("ann", &[(NEAR, ALL)], None));
    knows(&mut node, "t2", user("ann", &[(NEAR, &ALL[..1])], None));
    knows(&mut node, "bob", user("bob", &[(NEAR, ALL)], None));
    let ann = enters(&mut node, "t1");
    node.does(ann, watch(NEAR));
    node.pass(Duration::from_secs(1));
    node.hears(ann);
    check(node.asks(ann, refresh("t2").id(1)), &["[1] refreshed, expires never"]);
    let bob = enters(&mut node, "bob");
    node.does(bob, watch(NEAR));
    node.pass(Duration::from_secs(1));
    check(node.hears(ann), &[]);
}

#[test]
fn a_key_that_may_only_publish_changes_nothing_that_others_have_published() {
    let mut node = node(Namespace::of_kind(Kind::Log));
    let (first, second) = (node.open_unnamed(0), node.open_unnamed(0));
    node.does(first, publish(NEAR, "hi"));
    let only = Grant { channels: ChannelPattern::all(), can: [Capability::Publish].into_iter().collect() };
    let access = Access { standing: Standing::Server, allow: vec![only], ..Access::default() };
    let writer = node.open_as(0, Identity { named: false, access: Arc::new(access), ..identity("writer") });
    for op in [Op::Edit, Op::Delete] {
        check(node.asks(writer, about(op, 1).id(1)), &["[1] error forbidden chat:a"]);
    }
    assert!(node.asks(second, about(Op::Delete, 1).id(2))[0].contains("published"), "it may moderate");
}

#[test]
fn new_rules_count_for_those_who_are_there() {
    let open = Namespace::of_kind(Kind::Log);
    let mut node = node(open.clone());
    knows(&mut node, "a", user("ann", &[(NEAR, &[Capability::Subscribe])], None));
    let (ann, bob) = (enters(&mut node, "a"), node.open(1, Some("bob")));
    for who in [ann, bob] {
        node.does(who, subscribe(NEAR, Start::Next));
        node.does(who, subscribe("live:a", Start::Next));
        node.hears(who);
    }
    let mut namespaces = Namespaces::default();
    let small = Namespace { subscribe: Rule::Token, message_size_max: 4, ..open };
    namespaces.insert("chat", small);
    namespaces.insert("live", Namespace::of_kind(Kind::Signal));
    namespaces.insert("news", Namespace::of_kind(Kind::Log));
    node.configure(namespaces);
    check(node.hears(ann), &[]);
    let heard = node.hears(bob);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].starts_with("Unsubscribed { channel: \"chat:a\", code: Forbidden"), "{heard:?}");
    // Of all that are there, the limits count too.
    check(node.asks(ann, publish(NEAR, "12345").id(1)), &["[1] error too_large chat:a"]);
    node.does(bob, publish(NEAR, "1234"));
    check(node.hears(ann), &["chat:a a1 bob: 1234 (new epoch)"]);
    check(node.hears(bob), &[]);
    node.does(ann, subscribe("news:a", Start::Next));
    assert!(node.hears(ann)[0].contains("subscribed"));
}
