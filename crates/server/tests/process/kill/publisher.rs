//! A publisher with many publishes in flight, that comes back after a death and sends again what it has no
//! answer to, under the same keys. Remembers what it was told; whether that was true is the ledger's to say.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::{CHANNELS, Progress};
use crate::client::Client;
use crate::rng::Rng;

/// A publication that was sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) serial: u64,
    pub(super) channel: usize,
    pub(super) key: Option<String>,
    /// Whether this was its second time on the wire, or later.
    pub(super) again: bool,
    pad: usize,
}

/// A publication that was acknowledged.
#[derive(Debug)]
pub(super) struct Acknowledged {
    pub(super) sent: Sent,
    pub(super) epoch: String,
    pub(super) offset: u64,
    pub(super) duplicate: bool,
}

/// One publisher.
pub(super) struct Publisher {
    pub(super) me: usize,
    pub(super) acknowledged: Vec<Acknowledged>,
    rng: Rng,
    session: Option<String>,
    user: Option<String>,
    serial: u64,
    /// Sent and unanswered, the oldest first.
    open: VecDeque<Sent>,
}

impl Publisher {
    pub(super) fn new(me: usize, seed: u64) -> Self {
        Self {
            me,
            acknowledged: Vec::new(),
            rng: Rng::new(seed),
            session: None,
            user: None,
            serial: 0,
            open: VecDeque::new(),
        }
    }

    /// Publishes until the line is gone.
    pub(super) async fn work(&mut self, url: &str, progress: &Progress) {
        let window = 1 + self.rng.below(96);
        let Some(mut client) = self.come_back(url).await else { return };
        loop {
            while self.open.len() < window {
                let sent = self.invent();
                let command = self.command(&sent);
                self.open.push_back(sent);
                if !client.try_send(&command).await {
                    break;
                }
            }
            let Some(answer) = client.try_next().await else { return };
            self.take(&answer);
            progress.count();
        }
    }

    /// Sends again what is open, and waits for all answers.
    pub(super) async fn settle(&mut self, url: &str) {
        let mut client = self.come_back(url).await.expect("the server stays");
        while !self.open.is_empty() {
            let answer = client.next().await;
            self.take(&answer);
        }
    }

    /// Connects as the same session, and sends again what has a key, in order. What became of the others
    /// remains unknown.
    async fn come_back(&mut self, url: &str) -> Option<Client> {
        let mut client = Client::try_open(url).await?;
        let connect = match &self.session {
            Some(session) => json!({ "type": "connect", "session": session }),
            None => json!({ "type": "connect" }),
        };
        if !client.try_send(&connect).await {
            return None;
        }
        let welcome = client.try_next().await?;
        let text = |name: &str| welcome[name].as_str().map(str::to_owned);
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        if self.user.is_some() {
            assert_eq!(
                (&text("session"), &text("user")),
                (&self.session, &self.user),
                "it is the same session"
            );
        }
        (self.session, self.user) = (text("session"), text("user"));
        self.open.retain(|sent| sent.key.is_some());
        for at in 0..self.open.len() {
            self.open[at].again = true;
            let command = self.command(&self.open[at]);
            if !client.try_send(&command).await {
                return None;
            }
        }
        Some(client)
    }

    fn invent(&mut self) -> Sent {
        self.serial += 1;
        let key = self.rng.percent(60).then(|| format!("{}:{}", self.me, self.serial));
        let channel = self.rng.below(CHANNELS.len());
        let pad = if self.rng.percent(5) { self.rng.below(9_000) } else { self.rng.below(60) };
        Sent { serial: self.serial, channel, key, again: false, pad }
    }

    fn command(&self, sent: &Sent) -> Value {
        let data = json!({ "by": self.me, "serial": sent.serial, "pad": "x".repeat(sent.pad) });
        let mut command = json!({
            "type": "publish", "id": sent.serial, "channel": CHANNELS[sent.channel], "data": data,
        });
        if let Some(key) = &sent.key {
            command["key"] = key.as_str().into();
        }
        command
    }

    fn take(&mut self, answer: &Value) {
        assert_eq!(answer["type"], "published", "every publish is fit to be stored: {answer}");
        let serial = answer["id"].as_u64();
        let at = self.open.iter().position(|sent| Some(sent.serial) == serial);
        let at = at.unwrap_or_else(|| panic!("answered twice, or never asked: {answer}"));
        let sent = self.open.remove(at).expect("it was found there");
        let earlier = self.open.iter().take(at).find(|other| other.channel == sent.channel);
        assert!(earlier.is_none(), "{earlier:?} was sent before it to the same channel: {answer}");
        assert_eq!(answer["channel"], CHANNELS[sent.channel], "{answer}");
        assert_eq!(answer["key"].as_str(), sent.key.as_deref(), "{answer}");
        self.acknowledged.push(Acknowledged {
            epoch: answer["epoch"].as_str().expect("a log has epochs").to_owned(),
            offset: answer["offset"].as_u64().expect("a log has offsets"),
            duplicate: answer["dup"] == true,
            sent,
        });
    }
}
