//! What clients do: open, publish, follow, read pages, leave; now and then what no client should. Each command is drawn
//! by the step's generator and noted by its client, so that the answer can be judged.

use trunkline_model::{
    Action, ChannelName, Command, CommandId, Connect, EntryName, Epoch, ErrorCode, Form, HistoryQuery, Key,
    Offset, Op, Payload, Position, Publish, Reference, Secret, Start, Subscribe,
};

use crate::client::{About, Asked, Sent};
use crate::spelling::spell;
use crate::violation::Checked;
use crate::words::page;
use crate::world::{World, is_log, keeps_newest};

impl World {
    pub(crate) fn act(&mut self) -> Checked {
        let index = self.rng.below(self.clients.len());
        if self.clients[index].who.is_none() {
            self.open(index);
            return Ok(());
        }
        if self.rng.percent(50) {
            self.read(index, usize::MAX)?;
        }
        if self.rng.percent(self.setting.mischief) {
            self.mischief(index);
            return Ok(());
        }
        match self.rng.below(100) {
            0..=59 => (0..self.rng.pick(&[1, 1, 2, 8])).for_each(|_| self.publish(index)),
            60..=82 => self.subscribe(index),
            83..=87 => self.unsubscribe(index, None),
            88..=93 => self.page(index),
            94..=95 => self.ping(index),
            _ => self.close(index)?,
        }
        Ok(())
    }

    pub(crate) fn open(&mut self, index: usize) {
        let worker = self.rng.below(self.node.workers().into()) as u16;
        let named = self.rng.percent(50);
        let client = self.clients[index].name.clone();
        self.sessions += 1;
        let who = self.node.open(worker, named.then_some(client.as_str()));
        self.say_of(index, || {
            format!("opens at worker {worker}{}", if named { ", known to it" } else { "" })
        });
        self.clients[index].opened(who, self.sessions);
        if !named {
            self.connect(index);
        }
    }

    /// Resumes everything it knows of in `connect`.
    fn connect(&mut self, index: usize) {
        let id = self.clients[index].id();
        self.clients[index].awaits(id);
        self.clients[index].connects = true;
        let mut subscribe = Vec::new();
        let most = self.setting.limits.subscriptions;
        for channel in self.clients[index].known_channels().into_iter().take(most) {
            let start = self.start(index, &channel);
            let id = self.note_subscribe(index, &channel, start);
            self.clients[index].connects(id, &channel);
            subscribe.push(Subscribe::new(channel, start));
        }
        let session = Some(Secret::new(&format!("s-{}", self.clients[index].name)));
        let connect = Connect { session, subscribe, ..Connect::default() };
        self.send(index, Some(id), Action::Connect(connect));
    }

    /// Sends what has no certain outcome again, in order, before anything new is published.
    fn publish(&mut self, index: usize) {
        if !self.may_send(index) {
            return;
        }
        if let Some(sent) = self.clients[index].open.pop_front() {
            self.tally.count("sent again");
            let id = self.clients[index].id();
            self.send_publication(index, Some(id), sent);
            return;
        }
        let mut channel = self.channel();
        let mut key = None;
        if self.rng.percent(40) && (is_log(&channel) || keeps_newest(&channel)) {
            let known = self.clients[index].keys();
            if !known.is_empty() && self.rng.percent(30) {
                let (first, again) = self.rng.pick(known);
                key = Some(again);
                // In another channel the same key is another one.
                if self.rng.percent(80) {
                    channel = first;
                }
            } else {
                let dated = self.rng.percent(50).then(|| self.node.now().ts.0);
                key = Some(self.clients[index].key(&channel, dated));
            }
        }
        let uid = self.clients[index].uid();
        let id = (key.is_some() || self.rng.percent(80)).then(|| self.clients[index].id());
        let about = self.about(index, &channel, key.as_ref());
        if let Some(condition) = about.condition {
            self.clients[index].conditions.insert(uid.clone(), condition);
        }
        if about.is_empty() {
            key = Some(Key::parse(&uid).expect("a short text"));
        }
        let id = id.or_else(|| about.is_empty().then(|| self.clients[index].id()));
        self.send_publication(index, id, Sent { channel, uid, key, about, head: 0, losses: 0 });
    }

    /// What a publish to this channel asks beside being stored.
    fn about(&mut self, index: usize, channel: &ChannelName, key: Option<&Key>) -> About {
        let mut about = About::default();
        let conditional = if keeps_newest(channel) { 25 } else { 10 };
        if channel.namespace() == "map" {
            // A key is one entry's, so that a repeat is not about another.
            let of_key = key.map(|key| key.as_str().bytes().map(usize::from).sum());
            let number = of_key.unwrap_or_else(|| self.rng.draw() as usize) % self.setting.entries;
            let name = format!("e{number}");
            about.entry = Some(EntryName::parse(&name).expect("a short name"));
        }
        about.reference = self.reference(index, channel);
        about.removes = keeps_newest(channel) && self.rng.percent(15);
        if (keeps_newest(channel) || is_log(channel)) && self.rng.percent(conditional) {
            let follow = self.clients[index].follows.get(channel);
            let believed = follow.map(|follow| follow.believed(about.entry.as_ref()));
            about.condition = Some(believed.unwrap_or_default());
        }
        about
    }

    /// One in seven of what is published to a log is about an earlier message, mostly one of the client's own.
    fn reference(&mut self, index: usize, channel: &ChannelName) -> Option<Reference> {
        if !is_log(channel) || !self.rng.percent(15) {
            return None;
        }
        let own = self.clients[index].acknowledged.iter().rev().filter(|(of, ..)| of == channel);
        let own = own.map(|(_, position, _)| position.offset).nth(self.rng.below(4));
        let any = Offset(self.rng.below(self.node.store.log(channel).entries.len() + 2) as u64);
        let target = own.filter(|_| self.rng.percent(70)).unwrap_or(any);
        let op = self.rng.pick(&[Op::Edit, Op::Edit, Op::Delete, Op::React, Op::React, Op::Unreact]);
        Some(Reference { target, op })
    }

    fn send_publication(&mut self, index: usize, id: Option<i64>, sent: Sent) {
        // Some are just as large as they may be.
        let most = self.setting.chat.message_size_max - sent.uid.len() - 1;
        let size = if self.rng.percent(2) { most } else { self.rng.below(60) };
        let text = format!("{} {}", sent.uid, "x".repeat(size));
        let text = match sent.about.reference.map(|about| about.op) {
            Some(Op::React | Op::Unreact) => self.rng.pick(&["+1", "<3"]).to_owned(),
            _ if sent.about.is_empty() => String::new(),
            _ => text,
        };
        let payload = Payload::new(Form::Text, text);
        let (head, losses) = (self.node.store.log(&sent.channel).head(), self.node.store.losses);
        let sent = Sent { head, losses, ..sent };
        let Sent { channel, key, about, .. } = sent.clone();
        let About { condition, entry, removes, reference } = about;
        self.clients[index].publishes(id, sent);
        let publish = Publish { key, condition, entry, removes, reference, ..Publish::new(channel, payload) };
        self.send(index, id, Action::Publish(publish));
    }

    pub(crate) fn subscribe(&mut self, index: usize) {
        let channel = self.channel();
        let start = self.start(index, &channel);
        self.subscribe_at(index, channel, start);
    }

    pub(crate) fn subscribe_at(&mut self, index: usize, channel: ChannelName, start: Start) {
        if !self.may_send(index) {
            return;
        }
        let id = self.note_subscribe(index, &channel, start);
        self.send(index, Some(id), Action::Subscribe(Subscribe::new(channel, start)));
    }

    fn note_subscribe(&mut self, index: usize, channel: &ChannelName, start: Start) -> i64 {
        let valid = match start {
            Start::Since(since) | Start::CatchUp(since) => self.node.store.log(channel).holds(since),
            Start::Next | Start::Last(_) => true,
        };
        let head = self.node.store.log(channel).head();
        let (reads_failed, losses) = (self.node.store.reads_failed, self.node.store.losses);
        let id = self.clients[index].id();
        self.clients[index].subscribes(channel, Asked { id, start, head, valid, reads_failed, losses });
        id
    }

    fn unsubscribe(&mut self, index: usize, channel: Option<ChannelName>) {
        if self.may_send(index) {
            let id = self.clients[index].id();
            self.clients[index].awaits(id);
            let channel = channel.unwrap_or_else(|| self.channel());
            self.send(index, Some(id), Action::Unsubscribe(channel));
        }
    }

    fn ping(&mut self, index: usize) {
        if self.may_send(index) {
            let id = self.clients[index].id();
            self.clients[index].awaits(id);
            self.send(index, Some(id), Action::Ping);
        }
    }

    fn page(&mut self, index: usize) {
        let channel = self.channel();
        if !is_log(&channel) || !self.may_send(index) {
            return;
        }
        let around = self.rng.below(self.node.store.log(&channel).entries.len() + 3) as u64;
        let limit = self.rng.between(1, 9) as u32;
        let mut query = HistoryQuery { limit: Some(limit), ..page(channel.as_str()) };
        match self.rng.below(4) {
            0 => query.before = Some(Offset(around)),
            1 => query.after = Some(Offset(around)),
            2 => query.limit = None,
            _ => {}
        }
        if self.rng.percent(40) {
            let own = self.clients[index].acknowledged.iter().rev().find(|(of, ..)| *of == channel);
            query.at = own.map(|(_, position, _)| *position).or_else(|| self.clients[index].known(&channel));
        } else if self.rng.percent(20) {
            let epoch = Epoch::from_random(self.rng.between(10, 13) as u64);
            query.at = Some(Position { epoch, offset: Offset(around) });
        }
        self.ask_page(index, query);
    }

    fn ask_page(&mut self, index: usize, query: HistoryQuery) {
        let id = self.clients[index].id();
        let reads_failed = self.node.store.reads_failed;
        let log = self.node.store.log(&query.channel);
        self.clients[index].pages(id, query.clone(), log, reads_failed);
        self.send(index, Some(id), Action::History(query));
    }

    pub(crate) fn close(&mut self, index: usize) -> Checked {
        let Some(who) = self.clients[index].who else { return Ok(()) };
        let count = self.rng.below(6);
        self.read(index, count)?;
        if self.clients[index].connects && self.rng.percent(30) {
            self.say_of(index, || "is gone, which nobody notices".to_owned());
            self.leave(index, who);
        } else {
            self.say_of(index, || "closes".to_owned());
            self.node.close(who);
        }
        self.clients[index].closed();
        Ok(())
    }

    /// What a client should not do: commands at and beyond the limits, places that never were, storms.
    fn mischief(&mut self, index: usize) {
        if !self.may_send(index) {
            return;
        }
        self.tally.count("mischief");
        let chat = self.setting.channels[0].clone();
        let far = self.rng.pick(&[u64::MAX, u64::MAX - 1, 1 << 53, 1_000]);
        let nowhere = Position { epoch: Epoch::from_random(self.rng.draw()), offset: Offset(far) };
        match self.rng.below(10) {
            0 => self.publish_oversize(index, chat),
            1 => {
                let channel = crate::words::name("nowhere:x");
                let action = Action::Subscribe(Subscribe::new(channel, Start::Next));
                self.send_wrong(index, action, ErrorCode::UnknownNamespace);
            }
            2 => {
                let start = Start::Last(self.setting.limits.history_page + 1);
                let action = Action::Subscribe(Subscribe::new(chat, start));
                self.send_wrong(index, action, ErrorCode::BadRequest);
            }
            3 => {
                let limit = self.rng.pick(&[0, self.setting.limits.history_page + 1]);
                let query = HistoryQuery { limit: Some(limit), ..page(chat.as_str()) };
                self.send_wrong(index, Action::History(query), ErrorCode::BadRequest);
            }
            4 => {
                let (before, after) = (Some(Offset(far)), Some(Offset(1)));
                let query = HistoryQuery { before, after, ..page(chat.as_str()) };
                self.send_wrong(index, Action::History(query), ErrorCode::BadRequest);
            }
            5 => self.send_wrong(index, Action::Connect(Connect::default()), ErrorCode::BadRequest),
            6 => self.subscribe_at(index, chat, Start::Since(nowhere)),
            7 => {
                let mut query =
                    HistoryQuery { at: self.rng.percent(50).then_some(nowhere), ..page(chat.as_str()) };
                match self.rng.below(3) {
                    0 => query.before = Some(Offset(far)),
                    1 => query.after = Some(Offset(far)),
                    _ => {}
                }
                self.ask_page(index, query);
            }
            8 => self.publish_expired(index, chat),
            _ => self.storm(index, &chat),
        }
    }

    /// Subscribes and unsubscribes as fast as it is read.
    fn storm(&mut self, index: usize, channel: &ChannelName) {
        for _ in 0..self.rng.between(2, 12) {
            if self.rng.percent(60) {
                let start = self.start(index, channel);
                self.subscribe_at(index, channel.clone(), start);
            } else {
                self.unsubscribe(index, Some(channel.clone()));
            }
        }
    }

    /// One byte more than a publication may have.
    fn publish_oversize(&mut self, index: usize, channel: ChannelName) {
        let uid = self.clients[index].uid();
        let size = self.setting.chat.message_size_max + 1;
        let payload = Payload::new(Form::Text, format!("{uid:<size$}"));
        self.clients[index].refused.push(uid);
        self.send_wrong(index, Action::Publish(Publish::new(channel, payload)), ErrorCode::TooLarge);
    }

    fn publish_expired(&mut self, index: usize, channel: ChannelName) {
        let born = self.node.now().ts.0.saturating_sub(self.rules.keys_ms + 1);
        let key = Some(self.clients[index].key(&channel, Some(born)));
        let uid = self.clients[index].uid();
        let payload = Payload::new(Form::Text, format!("{uid} late"));
        self.clients[index].refused.push(uid);
        self.send_wrong(
            index,
            Action::Publish(Publish { key, ..Publish::new(channel, payload) }),
            ErrorCode::KeyExpired,
        );
    }

    fn send_wrong(&mut self, index: usize, action: Action, right: ErrorCode) {
        let id = self.clients[index].id();
        self.clients[index].wrong.insert(id, right);
        self.send(index, Some(id), action);
    }

    /// Where a subscription begins: mostly where the client was, sometimes elsewhere, sometimes nowhere.
    fn start(&mut self, index: usize, channel: &ChannelName) -> Start {
        let known = self.clients[index].known(channel);
        match (known, self.rng.below(100)) {
            (Some(known), 0..=44) => Start::Since(known),
            (Some(known), 45..=54) => Start::CatchUp(known),
            (_, 0..=69) => {
                let log = self.node.store.log(channel);
                let offset = self.rng.below(log.entries.len() + 1) as u64;
                let here = log.entry(offset).and_then(|entry| entry.position);
                Start::Since(here.unwrap_or(Position { epoch: Epoch::from_random(3), offset: Offset::ZERO }))
            }
            (_, 70..=74) => {
                let epoch = Epoch::from_random(self.rng.between(9, 12) as u64);
                let offset = self.rng.below(self.node.store.log(channel).entries.len() + 4) as u64;
                Start::Since(Position { epoch, offset: Offset(offset) })
            }
            (_, 75..=89) => Start::Last(self.rng.below(12) as u32),
            _ => Start::Next,
        }
    }

    fn may_send(&mut self, index: usize) -> bool {
        let Some(who) = self.clients[index].who else { return false };
        if self.clients[index].held {
            return false;
        }
        let accepts = self.node.accepts(who);
        self.clients[index].held = !accepts;
        if !accepts {
            self.tally.count("held back");
        }
        accepts
    }

    fn send(&mut self, index: usize, id: Option<i64>, action: Action) {
        let who = self.clients[index].who.expect("only connected clients send");
        let command = Command { id: id.map(CommandId::Number), action };
        self.say_of(index, || format!("sends {}", spell(&command)));
        self.node.send(who, command);
    }
}
