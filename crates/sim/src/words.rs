//! What clients say and hear, in words that a scenario can be read in.
//!
//! A position is written as epoch and offset: `a3` is offset 3 of epoch `a`.

use std::sync::Arc;
use std::time::Duration;

use trunkline_model::{
    Action, ChannelName, Command, CommandId, Connect, Epoch, Fault, Fold, Form, HistoryQuery, Key, Members,
    Method, Namespace, Offset, Page, Payload, Position, PresenceQuery, PresenceUpdate, Publication, Publish,
    Push, Recovery, Reference, Reply, Role, Secret, Start, Subscribe, Subscribed,
};

use crate::node::{Heard, Node, Who};

/// A log owned by worker 0 of two.
pub const NEAR: &str = "chat:a";
/// A log owned by worker 1 of two.
pub const FAR: &str = "chat:b";
/// A signal channel owned by worker 1 of two.
pub const SIGNAL: &str = "live:b";

/// A channel's name.
pub fn name(channel: &str) -> ChannelName {
    ChannelName::parse(channel).expect("the test writes valid names")
}

/// A position.
pub fn at(epoch: u64, offset: u64) -> Position {
    Position { epoch: Epoch::from_random(epoch), offset: Offset(offset) }
}

/// After this offset of epoch `a`.
pub fn since(offset: u64) -> Start {
    Start::Since(at(10, offset))
}

/// `connect`, with the secret of an earlier session and channels to resume.
pub fn connect(secret: Option<&str>, subscribe: &[(&str, Start)]) -> Command {
    let subscribe = subscribe.iter().map(|(channel, start)| Subscribe::new(name(channel), *start));
    let session = secret.map(Secret::new);
    Action::Connect(Connect { session, subscribe: subscribe.collect(), ..Connect::default() }).command()
}

/// `subscribe`.
pub fn subscribe(channel: &str, start: Start) -> Command {
    Action::Subscribe(Subscribe::new(name(channel), start)).command()
}

/// `subscribe` from now on, to be told who else is there.
pub fn watch(channel: &str) -> Command {
    let subscribe = Subscribe::new(name(channel), Start::Next);
    Action::Subscribe(Subscribe { presence: true, ..subscribe }).command()
}

/// `subscribe` from now on, with a state that others see.
pub fn enter(channel: &str, state: &str) -> Command {
    let subscribe = Subscribe::new(name(channel), Start::Next);
    Action::Subscribe(Subscribe { state: Some(json(state)), ..subscribe }).command()
}

/// `presence` that says something about oneself.
pub fn set_state(channel: &str, state: &str) -> Command {
    Action::Presence(PresenceQuery { channel: name(channel), state: Some(json(state)) }).command()
}

/// `presence` that asks who is there.
pub fn who(channel: &str) -> Command {
    Action::Presence(PresenceQuery { channel: name(channel), state: None }).command()
}

/// `rpc`: what it is asked with is JSON.
pub fn rpc(method: &str, data: &str) -> Command {
    let method = Method::parse(method).expect("the test writes valid names");
    Action::Rpc { method, data: json(data) }.command()
}

fn json(text: &str) -> Payload {
    Payload::new(Form::Json, text.to_owned())
}

/// `unsubscribe`.
pub fn unsubscribe(channel: &str) -> Command {
    Action::Unsubscribe(name(channel)).command()
}

/// `publish` of a text.
pub fn publish(channel: &str, text: &str) -> Command {
    let payload = Payload::new(Form::Text, text.to_owned());
    Action::Publish(Publish::new(name(channel), payload)).command()
}

/// `publish` of a text under a key.
pub fn keyed(channel: &str, text: &str, key: &str) -> Command {
    let key = Some(Key::parse(key).expect("the test writes valid keys"));
    let payload = Payload::new(Form::Text, text.to_owned());
    Action::Publish(Publish { key, ..Publish::new(name(channel), payload) }).command()
}

/// A question for the newest page; set what it shall ask else.
pub fn page(channel: &str) -> HistoryQuery {
    HistoryQuery { channel: name(channel), before: None, after: None, limit: None, at: None }
}

/// `ping`.
pub fn ping() -> Command {
    Action::Ping.command()
}

/// Makes a command of what is asked.
pub trait Ask {
    /// The command, without an id.
    fn command(self) -> Command;
}

impl Ask for Action {
    fn command(self) -> Command {
        Command { id: None, action: self }
    }
}

impl Ask for HistoryQuery {
    fn command(self) -> Command {
        Action::History(self).command()
    }
}

/// Gives a command a name.
pub trait Named {
    /// The same command under this id.
    fn id(self, id: i64) -> Self;
}

impl Named for Command {
    fn id(self, id: i64) -> Self {
        Self { id: Some(CommandId::Number(id)), ..self }
    }
}

/// What a scenario does with a node.
impl Node {
    /// Sends a command and moves everything.
    pub fn does(&mut self, who: Who, command: Command) {
        self.send(who, command);
        self.settle();
    }

    /// Sends a command, moves everything, and gives what this connection heard.
    pub fn asks(&mut self, who: Who, command: Command) -> Vec<String> {
        self.does(who, command);
        self.hears(who)
    }

    /// What the connection heard since this was last asked.
    pub fn hears(&mut self, who: Who) -> Vec<String> {
        self.take_heard(who).iter().map(line).collect()
    }

    /// Publishes `1`, `2`, … to the channel in the name of the store's own past.
    pub fn fill(&mut self, channel: &str, count: u64) {
        let (channel, ts) = (name(channel), self.now().ts);
        for _ in 0..count {
            let text = (self.store.log(&channel).head() + 1).to_string();
            self.store.put(&channel, Payload::new(Form::Text, text), ts);
        }
    }

    /// Lets time pass and moves everything.
    pub fn pass(&mut self, time: Duration) {
        self.uptime += time;
        self.tick();
        self.settle();
    }
}

/// Compares what was heard with the lines that are expected.
#[track_caller]
pub fn check(heard: Vec<String>, expect: &[&str]) {
    assert_eq!(heard, expect);
}

/// What was heard, as one line.
pub fn line(heard: &Heard) -> String {
    match heard {
        Heard::Reply(reply) => reply_line(reply),
        Heard::Message(publication) => message_line(publication),
        Heard::Pushed(Push::Message(publication)) => message_line(publication),
        Heard::Pushed(Push::Presence(update)) => format!("{}{}", update.channel, presence_words(update)),
        Heard::Pushed(push) => format!("{push:?}"),
        Heard::Ready => "ready".to_owned(),
    }
}

fn reply_line(reply: &Reply) -> String {
    match reply {
        Reply::Welcome { id, identity, subscriptions_max, .. } => {
            format!("{}welcome {}, up to {subscriptions_max} subscriptions", of(id), identity.user.as_str())
        }
        Reply::Refreshed { id, expires } => {
            let expires = expires.map_or("never".to_owned(), |at| (at.0 - crate::node::START).to_string());
            format!("{}refreshed, expires {expires}", of(id))
        }
        Reply::Subscribed(subscribed) => subscribed_line(subscribed),
        Reply::Unsubscribed { id, channel } => format!("{}unsubscribed {channel}", of(id)),
        Reply::Published { id, channel, position, key, duplicate, merged, .. } => {
            let key = key.as_ref().map_or(String::new(), |key| format!(" key {}", key.as_str()));
            let dup = if *duplicate { " dup" } else { "" };
            let merged = if *merged { " merged" } else { "" };
            format!("{}published {channel}{}{key}{dup}{merged}", of(id), place(*position))
        }
        Reply::History { id, channel, page } => format!("{}page {channel} {}", of(id), page_words(page)),
        Reply::Presence { id, update } => {
            format!("{}presence {}{}", of(id), update.channel, presence_words(update))
        }
        Reply::Result { id, data } => format!("{}result {}", of(id), String::from_utf8_lossy(&data.bytes)),
        Reply::Pong { id, .. } => format!("{}pong", of(id)),
        Reply::Fault(fault) => fault_line(fault),
    }
}

fn subscribed_line(subscribed: &Subscribed) -> String {
    let Subscribed { id, channel, kind, position, floor, recovery, items, entries, presence, .. } =
        subscribed;
    let place = match position {
        Some(_) => format!("{} floor {floor}", place(*position)),
        None => format!(" {}", kind.as_str()),
    };
    let recovery = match recovery {
        Recovery::NotAsked => String::new(),
        Recovery::Recovered(entries) => format!(", {} recovered", entries.len()),
        Recovery::CatchingUp(count) => format!(", {count} follow"),
        Recovery::Lost { reason, keep } => {
            let keep = keep.map_or(String::new(), |keep| format!(", keep {keep}"));
            format!(", lost: {}{keep}", reason.as_str())
        }
    };
    let items = items.as_ref().map_or(String::new(), |(items, more)| format!(", {}", texts(items, *more)));
    let state = entries.as_ref().map_or(String::new(), |entries| {
        let entries: Vec<_> = entries.iter().map(|entry| format!("{}{}", role(entry), text(entry))).collect();
        format!(", state [{}]", entries.join(" "))
    });
    let presence = presence.as_ref().map_or(String::new(), |update| format!(",{}", presence_words(update)));
    format!("{}subscribed {channel}{place}{recovery}{items}{state}{presence}", of(id))
}

/// How many there are; `+` is who is there now, `-` who is gone, and `all:` stands before a whole list.
fn presence_words(update: &PresenceUpdate) -> String {
    let (set, gone, all) = match &update.members {
        Members::Untold => (&[][..], &[][..], ""),
        Members::Changed { set, gone } => (&set[..], &gone[..], ""),
        Members::All(set) => (&set[..], &[][..], " all:"),
    };
    let text = |state: &Payload| String::from_utf8_lossy(&state.bytes).into_owned();
    let mut words = format!(" {} there{all}", update.count);
    for member in set {
        let name = member.name.as_ref().map_or(String::new(), |name| format!(" alias {}", name.as_str()));
        let state = member.state.as_ref().map_or(String::new(), |state| format!(" = {}", text(state)));
        let info = member.info.as_ref().map_or(String::new(), |info| format!(" info {}", text(info)));
        words += &format!(" +{}{name}{info}{state}", member.client.as_str());
    }
    gone.iter().for_each(|client| words += &format!(" -{}", client.as_str()));
    words
}

fn message_line(publication: &Publication) -> String {
    let from = publication.from.as_ref().map_or(String::new(), |user| format!(" {}:", user.as_str()));
    let epoch = if publication.begins_epoch { " (new epoch)" } else { "" };
    let place = place(publication.position);
    let role = role(publication);
    let role = if role.is_empty() { role } else { format!(" {role}") };
    format!("{}{place}{role}{from} {}{epoch}", publication.channel, text(publication))
}

fn page_words(page: &Page) -> String {
    let Page { epoch, top, lo, hi, items, floor, more } = page;
    format!("top {epoch}{top} floor {floor} covers {lo}..{hi} {}", texts(items, *more))
}

fn fault_line(fault: &Fault) -> String {
    let channel = fault.channel.as_ref().map_or(String::new(), |channel| format!(" {channel}"));
    let retry = if fault.retry.is_some() { " retry" } else { "" };
    let at = fault.position.map_or(String::new(), |_| format!(" at{}", place(fault.position)));
    format!("{}error {}{channel}{at}{retry}", of(&fault.id), fault.code)
}

fn texts(items: &[Arc<Publication>], more: bool) -> String {
    let items: Vec<_> =
        items.iter().map(|item| format!("{}{}{}", role(item), text(item), fold(item))).collect();
    format!("[{}]{}", items.join(" "), if more { " more" } else { "" })
}

/// What a publication carries. Long ones are told by their length.
pub fn text(publication: &Publication) -> String {
    match std::str::from_utf8(&publication.payload.bytes) {
        Ok(text) if text.len() <= 40 => text.to_owned(),
        _ => format!("({} bytes)", publication.payload.bytes.len()),
    }
}

/// `x=` for the state of entry x, `-x` for its removal, `edit 3:` for an edit of message 3, `erased` for what was deleted.
fn role(publication: &Publication) -> String {
    let erased = if publication.erased { "erased" } else { "" };
    match &publication.role {
        Role::Message => erased.to_owned(),
        Role::Reference(Reference { target, op }) => format!("{} {target}{erased}", op.as_str()),
        Role::Entry(entry) => {
            let name = entry.name.as_ref().map_or("", |name| name.as_str());
            if entry.removed { format!("-{name}") } else { format!("{name}=") }
        }
    }
}

fn fold(publication: &Publication) -> String {
    let Some(Fold { rev, reactions }) = publication.fold.as_deref() else { return String::new() };
    let reactions: Vec<_> = reactions.iter().map(|(value, count)| format!(", {value}:{count}")).collect();
    format!("(rev {rev}{})", reactions.join(""))
}

fn place(position: Option<Position>) -> String {
    position.map_or(String::new(), |position| format!(" {}{}", position.epoch, position.offset))
}

fn of(id: &Option<CommandId>) -> String {
    match id {
        Some(CommandId::Number(number)) => format!("[{number}] "),
        Some(CommandId::Text(text)) => format!("[{text}] "),
        None => String::new(),
    }
}

/// A namespace like `log`, with a hot ring of so many entries.
pub fn ring_of(entries: u32) -> Namespace {
    Namespace { recover_entries: entries, ..Namespace::of_kind(trunkline_model::Kind::Log) }
}

#[test]
fn the_channels_of_the_scenarios_lie_where_they_say() {
    let owner = |channel| name(channel).stable_hash() % 2;
    assert_eq!((owner(NEAR), owner(FAR), owner(SIGNAL)), (0, 1, 1));
}
