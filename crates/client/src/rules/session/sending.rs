//! What a session says: everything that can be said now goes out, in its order and under its caps. The other half of
//! `session`, which hears the answers.

use std::time::Duration;

use trunkline_dialect::json::client;
use trunkline_model::{Action, Command, CommandId, Subscribe, Timestamp};

use super::{Asked, Output, PublishError, RequestId, Session};

impl Session {
    /// Sends all that can be sent now.
    pub(super) fn flush(&mut self, now: Duration) {
        let Some((ts, at)) = self.clock.filter(|_| self.is_online()) else { return };
        let server_time = Timestamp(ts.0 + u64::try_from((now - at).as_millis()).unwrap_or(u64::MAX));
        self.flush_channels(now);
        self.flush_pages();
        while self.outgoing.sent() < self.limits.publishes_in_flight {
            let command = self.next_command;
            let Some(publish) = self.outgoing.send_next(now, server_time, command) else { break };
            self.ask(Action::Publish(publish), Asked::Publish);
        }
    }

    /// What the server does not take is not sent to it.
    pub(super) fn refuse_too_large(&mut self) {
        let Some(size_max) = self.message_size_max else { return };
        while let Some(draft) = self.outgoing.take_larger_than(size_max) {
            let size = draft.size();
            draft
                .id
                .into_iter()
                .for_each(|id| self.not_published(id, PublishError::TooLarge { size, size_max }));
        }
    }

    fn flush_channels(&mut self, now: Duration) {
        let mut asked = Vec::new();
        for (channel, following) in &mut self.channels {
            let id = self.next_command;
            if let Some(start) = following.ask(now, Some(id)) {
                let subscribe = Subscribe::new(channel.clone(), start);
                asked.push((id, Action::Subscribe(subscribe), Asked::Subscribe(channel.clone())));
                self.next_command += 1;
            } else if let Some(query) = following.ask_page(now, id, &self.limits) {
                asked.push((id, Action::History(query), Asked::Fill(channel.clone())));
                self.next_command += 1;
            }
        }
        for (id, action, about) in asked {
            self.asked.insert(id, about);
            self.send(Some(id), action);
        }
    }

    fn flush_pages(&mut self) {
        let under_way = |id: &RequestId| {
            self.asked.values().any(|asked| matches!(asked, Asked::Page(page) if page == id))
        };
        let waiting: Vec<_> =
            self.pages.iter().filter(|(id, _)| !under_way(id)).map(|(id, q)| (*id, q.clone())).collect();
        for (id, query) in waiting {
            self.ask(Action::History(query), Asked::Page(id));
        }
    }

    pub(super) fn ask(&mut self, action: Action, asked: Asked) {
        let id = self.next_command;
        self.next_command += 1;
        self.asked.insert(id, asked);
        self.send(Some(id), action);
    }

    pub(super) fn send(&mut self, id: Option<i64>, action: Action) {
        let mut out = Vec::new();
        client::encode(&Command { id: id.map(CommandId::Number), action }, &mut out);
        let text = String::from_utf8(out).expect("commands are JSON, and JSON is text");
        self.outputs.push_back(Output::Send(text));
    }
}
