//! A session in a test's hand: what it says is read as JSON, what it is told is written as JSON, and time is a number.

use std::time::Duration;

use serde_json::{Value, json};
use trunkline_client::rules::{Ended, Event, Limits, Output, PublishId, Session};
use trunkline_model::{ChannelName, Epoch, Form, Offset, Payload, Position, Publish, Start};

/// Half of every cap.
pub(crate) const HALF: u64 = 1 << 63;

pub(crate) struct Rig {
    pub(crate) session: Session,
    pub(crate) now: Duration,
    pub(crate) events: Vec<Event>,
    said: Vec<Value>,
    pub(crate) dials: usize,
    pub(crate) hangups: usize,
}

impl Rig {
    pub(crate) fn new(limits: Limits) -> Self {
        let mut rig = Self {
            session: Session::new(limits),
            now: Duration::ZERO,
            events: Vec::new(),
            said: Vec::new(),
            dials: 0,
            hangups: 0,
        };
        rig.pass(0);
        rig
    }

    /// One that is online.
    pub(crate) fn online() -> Self {
        let mut rig = Self::new(Limits::default());
        rig.open();
        rig.events.clear();
        rig
    }

    /// The line that was dialled opens and the server says welcome. Gives what `connect` was.
    pub(crate) fn open(&mut self) -> Value {
        assert_eq!(self.dials, 1, "it has dialled once");
        self.dials = 0;
        self.session.handle_opened(self.now);
        let [connect] = &self.said()[..] else { panic!("the first thing to say is `connect`") };
        assert_eq!(connect["type"], "connect");
        self.hear(&json!({
            "type": "welcome", "id": connect["id"], "client": "c", "user": "guest-7", "session": "secret",
            "ping": 25_000, "spread": 3_000, "ts": 1_795_300_000_000_u64 + self.now.as_millis() as u64,
            "limits": { "message": 100, "subscriptions": 128 },
        }));
        connect.clone()
    }

    /// The server says something.
    pub(crate) fn hear(&mut self, message: &Value) {
        self.session.handle_text(&message.to_string(), self.now, HALF);
        self.poll();
    }

    /// Time passes, and what is due happens.
    pub(crate) fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        self.session.handle_timeout(self.now, HALF);
        self.poll();
    }

    /// The line ends.
    pub(crate) fn lose(&mut self, ended: Ended) {
        self.session.handle_lost(ended, self.now, HALF);
        self.poll();
    }

    /// It is cut, and the next one is open.
    pub(crate) fn cut_and_open(&mut self) -> Value {
        self.lose(Ended::Lost { retry: None });
        let wait = self.wait();
        self.pass(wait);
        self.open()
    }

    /// For how long nothing happens by itself.
    pub(crate) fn wait(&self) -> u64 {
        let at = self.session.poll_timeout().expect("it waits for something");
        u64::try_from((at - self.now).as_millis()).expect("not for ever")
    }

    pub(crate) fn publish(&mut self, channel: &str, text: &str) -> PublishId {
        let publish = Publish::new(name(channel), Payload::new(Form::Text, text.to_owned()));
        let id = self.session.publish(publish, self.now, HALF);
        self.poll();
        id
    }

    pub(crate) fn subscribe(&mut self, channel: &str, start: Start) {
        self.session.subscribe(name(channel), start, self.now);
        self.poll();
    }

    /// Follows a log that stands at `offset` of epoch `a1f`.
    pub(crate) fn follow(&mut self, channel: &str, offset: u64) {
        self.subscribe(channel, Start::Next);
        let [asked] = &self.said()[..] else { panic!("it asks for the channel") };
        self.hear(&subscribed(channel, offset, &json!({ "id": asked["id"] })));
        self.events.clear();
    }

    /// What was said since the last call.
    pub(crate) fn said(&mut self) -> Vec<Value> {
        self.poll();
        std::mem::take(&mut self.said)
    }

    /// What the application was told since the last call.
    pub(crate) fn told(&mut self) -> Vec<Event> {
        self.poll();
        std::mem::take(&mut self.events)
    }

    /// The offsets of the messages among what it was told, and the notices in between.
    pub(crate) fn story(&mut self) -> Vec<String> {
        let events = self.told();
        let told = events.into_iter().filter_map(|event| match event {
            Event::Message { message, .. } => {
                Some(message.offset.map_or(String::new(), |offset| offset.to_string()))
            }
            Event::Notice { notice, .. } => Some(format!("{notice:?}")),
            _ => None,
        });
        told.collect()
    }

    fn poll(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Dial => self.dials += 1,
                Output::Hangup => self.hangups += 1,
                Output::Send(text) => self.said.push(serde_json::from_str(&text).expect("JSON")),
                Output::Event(event) => self.events.push(event),
            }
        }
    }
}

pub(crate) fn name(channel: &str) -> ChannelName {
    ChannelName::parse(channel).expect("a name")
}

pub(crate) fn place(offset: u64) -> Position {
    Position { epoch: Epoch::parse("a1f").expect("an epoch"), offset: Offset(offset) }
}

/// `subscribed`, with more fields.
pub(crate) fn subscribed(channel: &str, offset: u64, more: &Value) -> Value {
    let mut said = json!({
        "type": "subscribed", "channel": channel, "kind": "log", "epoch": "a1f", "offset": offset, "floor": 1,
        "can": ["publish", "history"],
    });
    let more = more.as_object().expect("an object").clone();
    said.as_object_mut().expect("an object").extend(more);
    said
}

pub(crate) fn message(channel: &str, offset: u64) -> Value {
    json!({ "type": "message", "channel": channel, "offset": offset, "text": "x", "ts": 1 })
}

/// The answer to a question for a page.
pub(crate) fn page(asked: &Value, (lo, hi): (u64, u64), top: u64, floor: u64) -> Value {
    assert_eq!(asked["type"], "history", "{asked}");
    let items: Vec<Value> =
        (lo..=hi).map(|offset| json!({ "offset": offset, "text": "x", "ts": 1 })).collect();
    json!({
        "type": "history", "id": asked["id"], "channel": asked["channel"], "epoch": "a1f", "top": top, "lo": lo,
        "hi": hi, "items": items, "floor": floor, "more": hi < top,
    })
}
