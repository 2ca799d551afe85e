//! Runs the golden vectors of `protocol/vectors`, which every implementation of `trunkline.v1` runs. Their
//! README says what a case means; the shapes below are that page in Rust.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use trunkline_dialect::json;
use trunkline_model as model;
use trunkline_model::{ChannelName, ErrorCode, InvalidChannelName, Offset, Timestamp, close};

fn load<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol/vectors").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The error codes, or whatever else has a `code`, must be told apart by it.
fn assert_unique<T: Ord + std::fmt::Debug>(what: &str, names: impl IntoIterator<Item = T>) {
    let mut seen = BTreeSet::new();
    for name in names {
        assert!(!seen.contains(&name), "{what}: {name:?} is there twice");
        seen.insert(name);
    }
}

#[derive(Deserialize, Clone)]
#[serde(untagged)]
enum Id {
    Number(i64),
    Text(Box<str>),
}

impl From<Id> for model::CommandId {
    fn from(id: Id) -> Self {
        match id {
            Id::Number(number) => Self::Number(number),
            Id::Text(text) => Self::Text(text),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    epoch: String,
    offset: u64,
}

impl From<Position> for model::Position {
    fn from(position: Position) -> Self {
        Self { epoch: epoch(&position.epoch), offset: Offset(position.offset) }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Payload {
    Json(String),
    Text(String),
    Base64(String),
}

impl From<Payload> for model::Payload {
    fn from(payload: Payload) -> Self {
        match payload {
            Payload::Json(json) => Self::new(model::Form::Json, json),
            Payload::Text(text) => Self::new(model::Form::Text, text),
            Payload::Base64(text) => Self::new(model::Form::Binary, BASE64.decode(text).expect("base64")),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Start {
    Next,
    Last(u32),
    Since(Position),
    #[serde(rename = "catch_up")]
    CatchUp(Position),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Subscribe {
    channel: String,
    start: Start,
    #[serde(default)]
    presence: bool,
    /// JSON.
    state: Option<String>,
    rate_max: Option<u32>,
    token: Option<String>,
}

impl From<Subscribe> for model::Subscribe {
    fn from(subscribe: Subscribe) -> Self {
        let start = match subscribe.start {
            Start::Next => model::Start::Next,
            Start::Last(count) => model::Start::Last(count),
            Start::Since(position) => model::Start::Since(position.into()),
            Start::CatchUp(position) => model::Start::CatchUp(position.into()),
        };
        let (presence, state) = (subscribe.presence, subscribe.state.map(state));
        let token = subscribe.token.as_deref().map(model::Secret::new);
        let (channel, rate_max) = (channel(&subscribe.channel), subscribe.rate_max);
        Self { channel, start, presence, state, rate_max, token }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    target: u64,
    op: String,
}

impl From<Reference> for model::Reference {
    fn from(reference: Reference) -> Self {
        let op = model::Op::ALL.iter().copied().find(|op| op.as_str() == reference.op).expect("an op");
        Self { target: Offset(reference.target), op }
    }
}

/// What is published, and what is asked of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    payload: Payload,
    key: Option<String>,
    condition: Option<u64>,
    reference: Option<Reference>,
    entry: Option<String>,
    #[serde(default)]
    removes: bool,
    ttl_ms: Option<u64>,
    #[serde(default)]
    bind: bool,
    #[serde(default)]
    ephemeral: bool,
}

impl Content {
    fn publish(self, channel: ChannelName) -> model::Publish {
        model::Publish {
            channel,
            payload: self.payload.into(),
            key: self.key.as_deref().map(key),
            condition: self.condition.map(Offset),
            reference: self.reference.map(Into::into),
            entry: self.entry.as_deref().map(entry_name),
            removes: self.removes,
            ttl: self.ttl_ms.map(Duration::from_millis),
            bind: self.bind,
            ephemeral: self.ephemeral,
        }
    }
}

fn state(json: String) -> model::Payload {
    model::Payload::new(model::Form::Json, json)
}

fn display_name(name: &str) -> model::DisplayName {
    model::DisplayName::parse(name).expect("a name")
}

fn entry_name(name: &str) -> model::EntryName {
    model::EntryName::parse(name).expect("an entry's name")
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Command {
    Refresh {
        id: Option<Id>,
        token: String,
    },
    Connect {
        id: Option<Id>,
        token: Option<String>,
        session: Option<String>,
        heartbeat: bool,
        name: Option<String>,
        subscribe: Vec<Subscribe>,
    },
    Subscribe {
        id: Option<Id>,
        channel: String,
        start: Start,
        #[serde(default)]
        presence: bool,
        state: Option<String>,
        rate_max: Option<u32>,
        token: Option<String>,
    },
    Unsubscribe {
        id: Option<Id>,
        channel: String,
    },
    Publish {
        id: Option<Id>,
        channel: String,
        #[serde(flatten)]
        content: Content,
    },
    History {
        id: Option<Id>,
        channel: String,
        before: Option<u64>,
        after: Option<u64>,
        limit: Option<u32>,
        at: Option<Position>,
    },
    Presence {
        id: Option<Id>,
        channel: String,
        state: Option<String>,
    },
    Rpc {
        id: Option<Id>,
        method: String,
        /// JSON.
        data: String,
    },
    Ping {
        id: Option<Id>,
    },
    Pong {
        id: Option<Id>,
    },
}

impl From<Command> for model::Command {
    fn from(command: Command) -> Self {
        use model::Action;
        let (id, action) = match command {
            Command::Refresh { id, token } => (id, Action::Refresh(model::Secret::new(&token))),
            Command::Connect { id, token, session, heartbeat, name, subscribe } => {
                let token = token.as_deref().map(model::Secret::new);
                let session = session.map(|text| model::Secret::new(&text));
                let subscribe = subscribe.into_iter().map(Into::into).collect();
                let name = name.as_deref().map(display_name);
                (id, Action::Connect(model::Connect { token, session, subscribe, heartbeat, name }))
            }
            Command::Subscribe { id, channel, start, presence, state, rate_max, token } => {
                let subscribe = Subscribe { channel, start, presence, state, rate_max, token };
                (id, Action::Subscribe(subscribe.into()))
            }
            Command::Unsubscribe { id, channel: name } => (id, Action::Unsubscribe(channel(&name))),
            Command::Publish { id, channel: name, content } => {
                (id, Action::Publish(content.publish(channel(&name))))
            }
            Command::History { id, channel: name, before, after, limit, at } => {
                let query = model::HistoryQuery {
                    channel: channel(&name),
                    before: before.map(Offset),
                    after: after.map(Offset),
                    limit,
                    at: at.map(Into::into),
                };
                (id, Action::History(query))
            }
            Command::Presence { id, channel: name, state } => {
                let state = state.map(self::state);
                (id, Action::Presence(model::PresenceQuery { channel: channel(&name), state }))
            }
            Command::Rpc { id, method, data } => {
                let method = model::Method::parse(&method).expect("a method");
                (id, Action::Rpc { method, data: state(data) })
            }
            Command::Ping { id } => (id, Action::Ping),
            Command::Pong { id } => (id, Action::Pong),
        };
        Self { id: id.map(Into::into), action }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    code: String,
    field: Option<String>,
    id: Option<Id>,
}

impl Refusal {
    fn check(self, name: &str, fault: &model::Fault) {
        assert_eq!(fault.code.as_str(), self.code, "{name}: {}", fault.message);
        assert_eq!(fault.id, self.id.map(Into::into), "{name}");
        if let Some(field) = self.field {
            let field = format!("`{field}`");
            assert!(fault.message.contains(&field), "{name}: {:?} should name {field}", fault.message);
        }
    }
}

#[test]
fn commands() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(rename = "format")]
        _format: String,
        types: Vec<String>,
        cases: Vec<Case>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        name: String,
        r#in: String,
        command: Option<Command>,
        error: Option<Refusal>,
        #[serde(default)]
        canonical: bool,
    }
    let file: File = load("commands.json");
    assert_eq!(file.types, json::COMMAND_TYPES);
    assert_unique("commands.json", file.cases.iter().map(|case| case.name.clone()));
    for Case { name, r#in: input, command, error, canonical } in file.cases {
        match (json::decode(&input), command, error) {
            (Ok(decoded), Some(command), None) => assert_eq!(decoded, command.into(), "{name}: {input}"),
            (Err(fault), None, Some(refusal)) => {
                assert!(!canonical, "{name}: no client writes what is refused");
                refusal.check(&name, &fault);
            }
            (decoded, command, error) => panic!(
                "{name}: {input}\n  gives {decoded:?}\n  expected {} and {}",
                if command.is_some() { "a command" } else { "none" },
                if error.is_some() { "an error" } else { "none" },
            ),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Publication {
    channel: String,
    position: Option<Position>,
    #[serde(default)]
    begins_epoch: bool,
    ts: u64,
    payload: Payload,
    from: Option<String>,
    key: Option<String>,
    reference: Option<Reference>,
    entry: Option<Entry>,
    #[serde(default)]
    erased: bool,
    fold: Option<Fold>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Option<String>,
    #[serde(default)]
    removed: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fold {
    rev: u64,
    reactions: Vec<(Box<str>, u32)>,
}

impl From<Publication> for Arc<model::Publication> {
    fn from(publication: Publication) -> Self {
        let name = channel(&publication.channel);
        let mut built = model::Publication::new(name, Timestamp(publication.ts), publication.payload.into());
        built.position = publication.position.map(Into::into);
        built.begins_epoch = publication.begins_epoch;
        built.from = publication.from.as_deref().map(model::UserName::new);
        built.key = publication.key.as_deref().map(key);
        built.erased = publication.erased;
        built.fold = publication
            .fold
            .map(|Fold { rev, reactions }| Box::new(model::Fold { rev: Offset(rev), reactions }));
        if let Some(reference) = publication.reference {
            built.role = model::Role::Reference(reference.into());
        }
        if let Some(Entry { name, removed }) = publication.entry {
            let name = name.as_deref().map(entry_name);
            built.role =
                model::Role::Entry(Box::new(model::Entry { name, removed, ..model::Entry::default() }));
        }
        Arc::new(built)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RecoveryWord {
    NotAsked,
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Recovery {
    Word(RecoveryWord),
    Recovered { recovered: usize },
    CatchingUp { catching_up: u64 },
    Lost { lost: String, keep: Option<u64> },
}

impl From<Recovery> for model::Recovery {
    fn from(recovery: Recovery) -> Self {
        match recovery {
            Recovery::Word(RecoveryWord::NotAsked) => Self::NotAsked,
            Recovery::Recovered { recovered } => {
                // What is replayed follows as messages of its own; the reply only counts it.
                let entry = model::Publication::new(
                    channel("chat:lobby"),
                    Timestamp(0),
                    model::Payload::new(model::Form::Json, "0"),
                );
                let entry = Arc::new(entry);
                Self::Recovered(vec![entry; recovered])
            }
            Recovery::CatchingUp { catching_up } => Self::CatchingUp(catching_up),
            Recovery::Lost { lost, keep } => {
                let all = [model::LostReason::Trimmed, model::LostReason::Limit, model::LostReason::Rewound];
                let reason = all.into_iter().find(|reason| reason.as_str() == lost);
                Self::Lost { reason: reason.expect("a reason"), keep: keep.map(Offset) }
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    client: String,
    user: String,
    name: Option<String>,
    /// JSON.
    info: Option<String>,
    /// JSON.
    state: Option<String>,
}

impl From<Member> for Arc<model::Member> {
    fn from(member: Member) -> Self {
        Self::new(model::Member {
            client: model::ClientId::new(&member.client),
            user: model::UserName::new(&member.user),
            name: member.name.as_deref().map(display_name),
            info: member.info.map(state),
            state: member.state.map(state),
        })
    }
}

/// How many there are; and who, or what became of them, or neither.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Presence {
    count: usize,
    all: Option<Vec<Member>>,
    #[serde(default)]
    set: Vec<Member>,
    #[serde(default)]
    gone: Vec<String>,
}

impl Presence {
    fn update(self, name: &str) -> Arc<model::PresenceUpdate> {
        let named = |members: Vec<Member>| members.into_iter().map(Into::into).collect();
        let members = match self.all {
            Some(all) => model::Members::All(named(all)),
            None if self.set.is_empty() && self.gone.is_empty() => model::Members::Untold,
            None => model::Members::Changed {
                set: named(self.set),
                gone: self.gone.iter().map(|client| model::ClientId::new(client)).collect(),
            },
        };
        Arc::new(model::PresenceUpdate::new(channel(name), self.count, members))
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Reply {
    Welcome {
        id: Option<Id>,
        client: String,
        user: String,
        session: Option<String>,
        ping_ms: u64,
        spread_ms: u64,
        ts: u64,
        expires: Option<u64>,
        message_bytes_max: usize,
        subscriptions_max: usize,
    },
    Refreshed {
        id: Option<Id>,
        expires: Option<u64>,
    },
    Subscribed {
        id: Option<Id>,
        channel: String,
        kind: String,
        position: Option<Position>,
        floor: u64,
        recovery: Recovery,
        items: Option<Vec<Publication>>,
        more: Option<bool>,
        entries: Option<Vec<Publication>>,
        presence: Option<Presence>,
        can: Vec<String>,
    },
    Unsubscribed {
        id: Option<Id>,
        channel: String,
    },
    Published {
        id: Option<Id>,
        channel: String,
        position: Option<Position>,
        key: Option<String>,
        ts: u64,
        duplicate: bool,
        #[serde(default)]
        merged: bool,
    },
    History {
        id: Option<Id>,
        channel: String,
        epoch: String,
        top: u64,
        lo: u64,
        hi: u64,
        items: Vec<Publication>,
        floor: u64,
        more: bool,
    },
    Presence {
        id: Option<Id>,
        channel: String,
        presence: Presence,
    },
    Result {
        id: Option<Id>,
        /// JSON.
        data: String,
    },
    Pong {
        id: Option<Id>,
        ts: u64,
    },
    Error {
        id: Option<Id>,
        code: String,
        message: String,
        channel: Option<String>,
        position: Option<Position>,
        retry_ms: Option<u64>,
    },
}

impl From<Reply> for model::Reply {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Welcome { .. } => welcome(reply),
            Reply::Subscribed { .. } => subscribed(reply),
            Reply::Unsubscribed { id, channel: name } => {
                Self::Unsubscribed { id: id.map(Into::into), channel: channel(&name) }
            }
            Reply::Published { id, channel: name, position, key, ts, duplicate, merged } => Self::Published {
                id: id.map(Into::into),
                channel: channel(&name),
                position: position.map(Into::into),
                key: key.as_deref().map(self::key),
                ts: Timestamp(ts),
                duplicate,
                merged,
            },
            Reply::History { id, channel: name, epoch, top, lo, hi, items, floor, more } => {
                let page = model::Page {
                    epoch: self::epoch(&epoch),
                    top: Offset(top),
                    lo: Offset(lo),
                    hi: Offset(hi),
                    items: items.into_iter().map(Into::into).collect(),
                    floor: Offset(floor),
                    more,
                };
                Self::History { id: id.map(Into::into), channel: channel(&name), page }
            }
            Reply::Presence { id, channel, presence } => {
                Self::Presence { id: id.map(Into::into), update: presence.update(&channel) }
            }
            Reply::Result { id, data } => Self::Result { id: id.map(Into::into), data: state(data) },
            Reply::Refreshed { id, expires } => {
                Self::Refreshed { id: id.map(Into::into), expires: expires.map(Timestamp) }
            }
            Reply::Pong { id, ts } => Self::Pong { id: id.map(Into::into), ts: Timestamp(ts) },
            Reply::Error { id, code, message, channel: name, position, retry_ms } => {
                Self::Fault(model::Fault {
                    id: id.map(Into::into),
                    code: error_code(&code),
                    message,
                    channel: name.as_deref().map(channel),
                    position: position.map(Into::into),
                    retry: retry_ms.map(Duration::from_millis),
                })
            }
        }
    }
}

fn welcome(reply: Reply) -> model::Reply {
    let Reply::Welcome {
        id,
        client,
        user,
        session,
        ping_ms,
        spread_ms,
        ts,
        expires,
        message_bytes_max,
        subscriptions_max,
    } = reply
    else {
        unreachable!("the caller has looked")
    };
    model::Reply::Welcome {
        id: id.map(Into::into),
        identity: model::Identity {
            client: model::ClientId::new(&client),
            user: model::UserName::new(&user),
            publisher: model::Publisher::new("session:never-told"),
            session: session.as_deref().map(model::Secret::new),
            named: true,
            access: Arc::new(model::Access { expires: expires.map(Timestamp), ..model::Access::default() }),
        },
        ping: Duration::from_millis(ping_ms),
        spread: Duration::from_millis(spread_ms),
        ts: Timestamp(ts),
        message_size_max: message_bytes_max,
        subscriptions_max,
    }
}

fn subscribed(reply: Reply) -> model::Reply {
    let Reply::Subscribed {
        id,
        channel: name,
        kind,
        position,
        floor,
        recovery,
        items,
        more,
        entries,
        presence,
        can,
    } = reply
    else {
        unreachable!("the caller has looked")
    };
    let kinds = [model::Kind::Log, model::Kind::Value, model::Kind::Map, model::Kind::Signal];
    let capabilities = [model::Capability::Publish, model::Capability::History, model::Capability::Presence];
    let capability =
        |word: &String| capabilities.into_iter().find(|one| one.as_str() == word).expect("a capability");
    assert_eq!(items.is_some(), more.is_some(), "a page says whether there is more");
    model::Reply::Subscribed(Box::new(model::Subscribed {
        id: id.map(Into::into),
        channel: channel(&name),
        kind: kinds.into_iter().find(|one| one.as_str() == kind).expect("a kind"),
        position: position.map(Into::into),
        floor: Offset(floor),
        recovery: recovery.into(),
        items: items.map(|items| items.into_iter().map(Into::into).collect()).zip(more),
        entries: entries.map(|entries| entries.into_iter().map(Into::into).collect()),
        presence: presence.map(|presence| presence.update(&name)),
        can: can.iter().map(capability).collect(),
    }))
}

#[test]
fn replies() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(rename = "format")]
        _format: String,
        cases: Vec<Case>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        name: String,
        reply: Reply,
        out: String,
    }
    let file: File = load("replies.json");
    assert_unique("replies.json", file.cases.iter().map(|case| case.name.clone()));
    for Case { name, reply, out } in file.cases {
        check_written(&name, &out, |buffer| json::encode_reply(&reply.into(), buffer));
    }
}

fn check_written(name: &str, expect: &str, encode: impl FnOnce(&mut Vec<u8>)) {
    let mut out = Vec::new();
    encode(&mut out);
    assert_eq!(std::str::from_utf8(&out).expect("UTF-8"), expect, "{name}");
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Push {
    Message(Publication),
    Unsubscribed { channel: String, code: String, message: String, retry_ms: Option<u64> },
    Presence { channel: String, presence: Presence },
    Ping,
    Goaway { within_ms: u64 },
}

impl From<Push> for model::Push {
    fn from(push: Push) -> Self {
        match push {
            Push::Message(publication) => Self::Message(publication.into()),
            Push::Unsubscribed { channel: name, code, message, retry_ms } => Self::Unsubscribed {
                channel: channel(&name),
                code: error_code(&code),
                message,
                retry: retry_ms.map(Duration::from_millis),
            },
            Push::Presence { channel, presence } => Self::Presence(presence.update(&channel)),
            Push::Ping => Self::Ping,
            Push::Goaway { within_ms } => Self::Goaway { within: Duration::from_millis(within_ms) },
        }
    }
}

#[test]
fn pushes() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(rename = "format")]
        _format: String,
        cases: Vec<Case>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        name: String,
        push: Push,
        out: String,
    }
    let file: File = load("pushes.json");
    assert_unique("pushes.json", file.cases.iter().map(|case| case.name.clone()));
    for Case { name, push, out } in file.cases {
        check_written(&name, &out, |buffer| json::encode_push(&push.into(), buffer));
    }
}

#[test]
fn http() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(rename = "format")]
        _format: String,
        bodies: Vec<Body>,
        answers: Vec<Answer>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        name: String,
        r#in: String,
        publish: Option<Content>,
        error: Option<Refusal>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Answer {
        name: String,
        reply: Reply,
        out: String,
    }
    let file: File = load("http.json");
    for Body { name, r#in: input, publish, error } in file.bodies {
        match (json::decode_publish(channel("chat:lobby"), &input), publish, error) {
            (Ok(decoded), Some(content), None) => {
                assert_eq!(decoded, content.publish(channel("chat:lobby")), "{name}");
            }
            (Err(fault), None, Some(refusal)) => refusal.check(&name, &fault),
            (decoded, ..) => panic!("{name}: {input} gives {decoded:?}"),
        }
    }
    for Answer { name, reply, out } in file.answers {
        check_written(&name, &out, |buffer| match reply.into() {
            model::Reply::History { page, .. } => json::encode_page(&page, buffer),
            published => json::encode_published(&published, buffer),
        });
    }
}

#[test]
fn channels() {
    #[derive(Deserialize)]
    struct File {
        valid: Vec<Valid>,
        invalid: Vec<Invalid>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Valid {
        channel: String,
        namespace: String,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Invalid {
        channel: String,
        why: String,
    }
    let file: File = load("channels.json");
    for case in file.valid {
        assert_eq!(channel(&case.channel).namespace(), case.namespace, "{:?}", case.channel);
    }
    for case in file.invalid {
        let why = match ChannelName::parse(&case.channel) {
            Err(InvalidChannelName::Empty) => "empty",
            Err(InvalidChannelName::TooLong(_)) => "too_long",
            Err(InvalidChannelName::Character(_)) => "character",
            other => panic!("{:?} gives {other:?}", case.channel),
        };
        assert_eq!(why, case.why, "{:?}", case.channel);
    }
}

#[test]
fn epochs() {
    #[derive(Deserialize)]
    struct File {
        valid: Vec<Named>,
        invalid: Vec<String>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Named {
        epoch: String,
        number: u64,
    }
    let file: File = load("epochs.json");
    for named in file.valid {
        assert_eq!(epoch(&named.epoch).number(), named.number, "{}", named.epoch);
        assert_eq!(model::Epoch::from_random(named.number).to_string(), named.epoch);
    }
    for text in file.invalid {
        assert!(model::Epoch::parse(&text).is_err(), "{text:?}");
    }
}

#[test]
fn keys() {
    #[derive(Deserialize)]
    struct File {
        valid: Vec<Valid>,
        invalid: Vec<String>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Valid {
        key: String,
        born: Option<u64>,
    }
    let file: File = load("keys.json");
    for case in file.valid {
        assert_eq!(key(&case.key).born(), case.born.map(Timestamp), "{:?}", case.key);
    }
    for text in file.invalid {
        assert!(model::Key::parse(&text).is_err(), "{text:?}");
    }
}

#[test]
fn error_codes_are_the_whole_table() {
    #[derive(Deserialize)]
    struct File {
        codes: Vec<Row>,
    }
    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Row {
        code: String,
        http: u16,
        outcome_open: bool,
        meaning: String,
    }
    let table: Vec<Row> = ErrorCode::ALL
        .iter()
        .map(|code| Row {
            code: code.as_str().to_owned(),
            http: code.http_status(),
            outcome_open: code.leaves_outcome_open(),
            meaning: code.meaning().to_owned(),
        })
        .collect();
    assert_unique("error codes", table.iter().map(|row| row.code.clone()));
    assert_eq!(load::<File>("error-codes.json").codes, table);
}

#[test]
fn close_codes_are_the_whole_table() {
    #[derive(Deserialize)]
    struct File {
        codes: Vec<Row>,
        others: Vec<Other>,
    }
    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Row {
        code: u16,
        r#final: bool,
        reason: String,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Other {
        code: u16,
        r#final: bool,
    }
    let table: Vec<Row> = close::ALL
        .iter()
        .map(|row| Row { code: row.code, r#final: close::is_final(row.code), reason: row.reason.to_owned() })
        .collect();
    let file: File = load("close-codes.json");
    let ours = file.codes.iter().map(|row| row.code);
    assert_unique("close codes", ours.chain(file.others.iter().map(|other| other.code)));
    assert_eq!(file.codes, table);
    for other in file.others {
        assert_eq!(close::is_final(other.code), other.r#final, "{}", other.code);
    }
}

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap_or_else(|error| panic!("{name:?}: {error}"))
}

fn key(text: &str) -> model::Key {
    model::Key::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn epoch(name: &str) -> model::Epoch {
    model::Epoch::parse(name).unwrap_or_else(|error| panic!("{name:?}: {error}"))
}

fn error_code(text: &str) -> ErrorCode {
    let found = ErrorCode::ALL.iter().find(|code| code.as_str() == text);
    *found.unwrap_or_else(|| panic!("{text:?} is no error code"))
}
