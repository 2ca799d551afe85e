//! One client's conversation over any number of lines: connecting again and again as the same session, following
//! channels, publishing with keys until there is an answer, asking for pages. Opens no line, reads no clock and throws no
//! dice: its driver does.

mod sending;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use trunkline_dialect::json::client::{self, Published, Refusal, ServerMessage, Subscribed, Welcome};
use trunkline_model::{
    Action, ChannelName, CommandId, Connect, ErrorCode, HistoryQuery, Kind, Publish, Secret, Start,
    Subscribe, Timestamp, close,
};

use super::backoff::{Backoff, share};
use super::event::{Closed, Ended, Event, Output, PublishError, PublishId, Receipt, RequestError, RequestId};
use super::following::{Following, Outcome, Told};
use super::limits::Limits;
use super::outgoing::{Draft, Outgoing};

/// The conversation.
///
/// ```text
///              Dial           handle_opened          welcome
///   Waiting ─────────▶ Dialing ───────────▶ Greeting ───────▶ Online
///      ▲                 │ handle_lost          │ lost           │ lost, goaway
///      └─────────────────┴──────────────────────┴────────────────┘
///                                        final close code, refused connect, close ──▶ Closed
/// ```
///
/// `now` is the time since any fixed moment and never goes back; `random` are 64 random bits, new ones for each call.
/// After each call: [`poll_output`](Self::poll_output) until it has nothing more, then
/// [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    line: Line,
    backoff: Backoff,
    secret: Option<Secret>,
    /// The server's time at a moment of ours, from the last `welcome`.
    clock: Option<(Timestamp, Duration)>,
    spread: Duration,
    message_size_max: Option<usize>,
    next_command: i64,
    next_number: u64,
    /// What the commands under way are about. Empty without a line.
    asked: HashMap<i64, Asked>,
    outgoing: Outgoing,
    channels: BTreeMap<ChannelName, Following>,
    pages: BTreeMap<RequestId, HistoryQuery>,
    /// When an answer to `ping` must have come.
    probe_until: Option<Duration>,
    /// When to leave, because the server is about to end.
    leave_at: Option<Duration>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum Line {
    Waiting { until: Duration },
    Dialing,
    Greeting { until: Duration },
    Online { since: Duration },
    Closed(Closed),
}

#[derive(Debug)]
enum Asked {
    Connect,
    Subscribe(ChannelName),
    Publish,
    Fill(ChannelName),
    Page(RequestId),
    Other,
}

impl Session {
    /// A conversation that begins with the first [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            line: Line::Waiting { until: Duration::ZERO },
            backoff: Backoff::default(),
            secret: None,
            clock: None,
            spread: Duration::ZERO,
            message_size_max: None,
            next_command: 1,
            next_number: 1,
            asked: HashMap::new(),
            outgoing: Outgoing::default(),
            channels: BTreeMap::new(),
            pages: BTreeMap::new(),
            probe_until: None,
            leave_at: None,
            outputs: VecDeque::new(),
        }
    }

    /// Whether the session is open.
    #[must_use]
    pub fn is_online(&self) -> bool {
        matches!(self.line, Line::Online { .. })
    }

    /// Why it has ended, if it has.
    #[must_use]
    pub fn closed(&self) -> Option<&Closed> {
        match &self.line {
            Line::Closed(why) => Some(why),
            _ => None,
        }
    }

    /// Publishes: queued without a line, and answered by one [`Event::Published`], whatever happens.
    pub fn publish(&mut self, publish: Publish, now: Duration, random: u64) -> PublishId {
        let id = PublishId(self.number());
        let publishes_max = self.limits.publishes;
        if let Line::Closed(why) = &self.line {
            let why = why.clone();
            self.not_published(id, PublishError::Closed { reason: why, sent: false });
        } else if self.outgoing.len() >= publishes_max {
            self.not_published(id, PublishError::QueueFull { publishes_max });
        } else {
            self.outgoing.push(Draft::new(id, publish, random, now + self.limits.publish_age));
            self.refuse_too_large();
            self.flush(now);
        }
        id
    }

    /// Follows a channel from `start`, and through all lines from then on. One that is followed already begins anew.
    pub fn subscribe(&mut self, channel: ChannelName, start: Start, now: Duration) {
        if self.closed().is_none() {
            self.channels.insert(channel.clone(), Following::new(channel, start));
            self.flush(now);
        }
    }

    /// Follows a channel no longer.
    pub fn unsubscribe(&mut self, channel: &ChannelName) {
        let followed = self.channels.remove(channel);
        if followed.is_some() && self.is_online() {
            self.ask(Action::Unsubscribe(channel.clone()), Asked::Other);
        }
    }

    /// Whether the application takes no more of a channel for now. Of a log nothing is lost by it.
    pub fn set_paused(&mut self, channel: &ChannelName, paused: bool, now: Duration) {
        if let Some(following) = self.channels.get_mut(channel) {
            following.set_paused(paused);
        }
        self.tell(channel, now);
        self.flush(now);
    }

    /// Asks for a page; answered by one [`Event::Page`]. Asked again on the next line if this one is lost.
    pub fn history(&mut self, query: HistoryQuery, now: Duration) -> RequestId {
        let id = RequestId(self.number());
        let requests_max = self.limits.requests;
        let error = match &self.line {
            Line::Closed(why) => Some(RequestError::Closed(why.clone())),
            _ if self.pages.len() >= requests_max => Some(RequestError::QueueFull { requests_max }),
            _ => None,
        };
        match error {
            Some(error) => self.event(Event::Page { id, result: Err(error) }),
            None => {
                self.pages.insert(id, query);
                self.flush(now);
            }
        }
        id
    }

    /// The machine woke up, or the network changed: tries now instead of waiting, and doubts an open line.
    pub fn wake(&mut self, now: Duration) {
        match &mut self.line {
            Line::Waiting { until } => *until = now,
            Line::Online { .. } if self.probe_until.is_none() => {
                self.probe_until = Some(now + self.limits.answer);
                self.ask(Action::Ping, Asked::Other);
            }
            _ => {}
        }
    }

    /// Ends it. What is not answered is answered with [`Closed::ByUs`].
    pub fn close(&mut self) {
        self.end(Closed::ByUs);
    }

    /// The line that was dialled is open.
    pub fn handle_opened(&mut self, now: Duration) {
        if !matches!(self.line, Line::Dialing) {
            return;
        }
        self.line = Line::Greeting { until: now + self.limits.answer };
        let mut bytes = 0;
        let mut subscribe = Vec::new();
        for (channel, following) in &mut self.channels {
            // The position and the punctuation take less than 64 bytes.
            bytes += channel.as_str().len() + 64;
            if bytes > self.limits.connect_bytes {
                break;
            }
            if let Some(start) = following.ask(now, None) {
                subscribe.push(Subscribe::new(channel.clone(), start));
            }
        }
        let connect = Connect { session: self.secret.clone(), subscribe, ..Connect::default() };
        self.ask(Action::Connect(connect), Asked::Connect);
    }

    /// A text message came over the line. One that is no message of the protocol is passed over: the line is not broken
    /// by it, and a message that is missing from a log is fetched again.
    pub fn handle_text(&mut self, text: &str, now: Duration, random: u64) {
        match client::decode(text) {
            Ok(message) if matches!(self.line, Line::Greeting { .. } | Line::Online { .. }) => {
                self.heard(message, now, random);
                self.flush(now);
            }
            _ => {}
        }
    }

    /// The line has ended, or could not be opened.
    pub fn handle_lost(&mut self, ended: Ended, now: Duration, random: u64) {
        match (&self.line, ended) {
            (Line::Closed(_) | Line::Waiting { .. }, _) => {}
            (_, Ended::Hopeless(why)) => self.end(Closed::Unreachable(why)),
            (_, Ended::Closed { code, reason }) if close::is_final(code) => {
                self.end(Closed::ByServer { code, reason });
            }
            (_, Ended::Closed { .. }) => self.lost(None, now, random),
            (_, Ended::Lost { retry }) => self.lost(retry, now, random),
        }
    }

    /// The moment of [`poll_timeout`](Self::poll_timeout) has come, or any other.
    pub fn handle_timeout(&mut self, now: Duration, random: u64) {
        while let Some(draft) = self.outgoing.take_expired(now) {
            if let Some(id) = draft.id {
                self.not_published(id, PublishError::Expired { sent: draft.ever_sent });
            }
        }
        match self.line {
            Line::Waiting { until } if until <= now => {
                self.line = Line::Dialing;
                self.outputs.push_back(Output::Dial);
            }
            Line::Greeting { until } if until <= now => self.hang_up(now, random),
            Line::Online { .. } if self.probe_until.is_some_and(|until| until <= now) => {
                self.hang_up(now, random)
            }
            Line::Online { .. } if self.leave_at.is_some_and(|at| at <= now) => {
                // The moment was random already.
                self.hang_up(now, random);
                self.line = Line::Waiting { until: now };
                self.handle_timeout(now, random);
            }
            _ => {}
        }
        self.flush(now);
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let line = match self.line {
            Line::Waiting { until } | Line::Greeting { until } => Some(until),
            Line::Dialing | Line::Online { .. } => None,
            Line::Closed(_) => return None,
        };
        let online = self.is_online();
        let channels = self.channels.values().filter(|_| online).filter_map(Following::timeout);
        let all = [line, self.probe_until, self.leave_at, self.outgoing.timeout(online)];
        all.into_iter().flatten().chain(channels).min()
    }

    fn heard(&mut self, message: ServerMessage, now: Duration, random: u64) {
        match message {
            ServerMessage::Welcome(welcome) => self.welcome(welcome, now),
            ServerMessage::Subscribed(subscribed) => self.subscribed(subscribed, now),
            ServerMessage::Unsubscribed(unsubscribed) => {
                if let Some(refusal) = unsubscribed.refusal {
                    self.subscription_refused(&unsubscribed.channel, refusal, now, random);
                }
            }
            ServerMessage::Published(published) => self.published(&published),
            ServerMessage::History { id, channel, page } => {
                let Some(command) = number(id.as_ref()) else { return };
                match self.asked.remove(&command) {
                    Some(Asked::Fill(_)) => {
                        if let Some(following) = self.channels.get_mut(&channel) {
                            following.page(command, &page, &self.limits);
                        }
                        self.tell(&channel, now);
                    }
                    Some(Asked::Page(id)) => self.answer_page(id, Ok(page)),
                    _ => {}
                }
            }
            ServerMessage::Message { channel, message } => {
                if let Some(following) = self.channels.get_mut(&channel) {
                    following.pushed(message);
                    self.tell(&channel, now);
                }
            }
            ServerMessage::Pong { id, .. } => {
                self.probe_until = None;
                self.forget(id.as_ref());
            }
            ServerMessage::Ping => self.send(None, Action::Pong),
            ServerMessage::Goaway { within } => self.leave_at = Some(now + share(within, random)),
            ServerMessage::Refused(refusal) => self.refused(refusal, now, random),
            _ => {}
        }
    }

    fn welcome(&mut self, welcome: Welcome, now: Duration) {
        if !matches!(self.line, Line::Greeting { .. }) {
            return;
        }
        self.forget(welcome.id.as_ref());
        self.line = Line::Online { since: now };
        self.secret = welcome.session.or(self.secret.take());
        self.clock = Some((welcome.ts, now));
        self.spread = welcome.spread;
        self.message_size_max = welcome.message_size_max;
        self.refuse_too_large();
        self.event(Event::Online { client: welcome.client, user: welcome.user });
    }

    fn subscribed(&mut self, subscribed: Subscribed, now: Duration) {
        let id = number(subscribed.id.as_ref());
        self.forget(subscribed.id.as_ref());
        let (channel, kind, position) = (subscribed.channel.clone(), subscribed.kind, subscribed.position);
        let Some(following) = self.channels.get_mut(&channel) else { return };
        let outcome = following.subscribed(subscribed, id, &self.limits);
        if matches!(outcome, Outcome::Stale) {
            return;
        }
        if !std::mem::replace(&mut following.announced, true) {
            self.event(Event::Subscribed { channel: channel.clone(), kind, position });
        }
        // A rewind that left the place of the subscription alone may have taken what was acknowledged beyond it. What is
        // newest of a `value` or a `map` is not overtaken by what was newest once.
        let position_of_log = position.filter(|_| kind == Some(Kind::Log));
        if let (Outcome::Live, Some(position)) = (&outcome, position_of_log) {
            self.outgoing.publish_again(&channel, position.offset, now + self.limits.publish_age);
        }
        self.follow_up(&channel, &outcome, now);
    }

    fn follow_up(&mut self, channel: &ChannelName, outcome: &Outcome, now: Duration) {
        if let Outcome::Rewound(keep) = outcome {
            self.outgoing.publish_again(channel, *keep, now + self.limits.publish_age);
        }
        self.tell(channel, now);
    }

    fn published(&mut self, published: &Published) {
        let Some(draft) =
            self.answered(published.id.as_ref()).and_then(|command| self.outgoing.take(command))
        else {
            return;
        };
        if let (Some(id), Some(key)) = (draft.id, draft.key().cloned()) {
            let Published { position, ts, duplicate, merged, .. } = *published;
            self.event(Event::Published { id, result: Ok(Receipt { position, key, ts, duplicate, merged }) });
        }
        self.outgoing.remember(draft, published, &self.limits);
    }

    fn refused(&mut self, refusal: Refusal, now: Duration, random: u64) {
        let command = number(refusal.id.as_ref());
        match command.and_then(|command| self.asked.remove(&command)) {
            Some(Asked::Connect) => self.session_refused(refusal, now, random),
            Some(Asked::Subscribe(channel)) => {
                let waits = self.channels.get(&channel).is_some_and(|following| following.is_asked(command));
                if waits {
                    self.subscription_refused(&channel, refusal, now, random);
                }
            }
            Some(Asked::Publish) => self.publish_refused(refusal, now, random),
            Some(Asked::Fill(channel)) => {
                let (Some(following), Some(command)) = (self.channels.get_mut(&channel), command) else {
                    return;
                };
                let outcome = following.page_refused(command, &refusal, now, random, &self.limits);
                self.follow_up(&channel, &outcome, now);
            }
            Some(Asked::Page(id)) => self.answer_page(id, Err(RequestError::Refused(refusal))),
            Some(Asked::Other) => {}
            // Without an id: about a channel of `connect`.
            None => {
                let Some(channel) = refusal.channel.clone() else { return };
                if self.channels.get(&channel).is_some_and(|following| following.is_asked(None)) {
                    self.subscription_refused(&channel, refusal, now, random);
                }
            }
        }
    }

    fn session_refused(&mut self, refusal: Refusal, now: Duration, random: u64) {
        if may_ask_again(&refusal) || refusal.retry.is_some() {
            self.outputs.push_back(Output::Hangup);
            return self.lost(refusal.retry, now, random);
        }
        self.outputs.push_back(Output::Hangup);
        self.end(Closed::Refused { code: refusal.code, message: refusal.message });
    }

    fn subscription_refused(&mut self, channel: &ChannelName, refusal: Refusal, now: Duration, random: u64) {
        let Some(following) = self.channels.get_mut(channel) else { return };
        if let Some(refusal) = following.refused(refusal, now, random, &self.limits) {
            self.tell(channel, now);
            self.channels.remove(channel);
            self.event(Event::Ended { channel: channel.clone(), refusal });
        }
    }

    /// Only an answer that leaves the outcome open is followed by another attempt, under the same key.
    fn publish_refused(&mut self, refusal: Refusal, now: Duration, random: u64) {
        let Some(command) = number(refusal.id.as_ref()) else { return };
        if refusal.leaves_outcome_open() {
            let limits = &self.limits;
            let retry = refusal.retry.unwrap_or_default().min(limits.retry_max);
            return self.outgoing.send_again(command, |failures| {
                now + retry + share(super::backoff::cap(limits, failures), random)
            });
        }
        if let Some(id) = self.outgoing.take(command).and_then(|draft| draft.id) {
            self.not_published(id, PublishError::Refused(refusal));
        }
    }

    fn hang_up(&mut self, now: Duration, random: u64) {
        self.outputs.push_back(Output::Hangup);
        self.lost(None, now, random);
    }

    fn lost(&mut self, retry: Option<Duration>, now: Duration, random: u64) {
        let up = match self.line {
            Line::Online { since } => Some(now - since),
            _ => None,
        };
        let jitter = self.backoff.after(&self.limits, up, self.spread, random);
        // The server asks the same of all its clients, so chance comes on top.
        let retry_in = retry.map_or(jitter, |retry| retry.min(self.limits.retry_max) + jitter.min(retry));
        self.off_line();
        for channel in self.channels.keys().cloned().collect::<Vec<_>>() {
            self.tell(&channel, now);
        }
        self.line = Line::Waiting { until: now + retry_in };
        self.event(Event::Offline { retry_in });
    }

    fn off_line(&mut self) {
        // What was not polled yet must not go out over the next line.
        self.outputs.retain(|output| !matches!(output, Output::Send(_)));
        self.asked.clear();
        self.probe_until = None;
        self.leave_at = None;
        self.outgoing.lost();
        self.channels.values_mut().for_each(Following::lost);
    }

    fn end(&mut self, why: Closed) {
        if self.closed().is_some() {
            return;
        }
        if !matches!(self.line, Line::Waiting { .. }) {
            self.outputs.push_back(Output::Hangup);
        }
        self.off_line();
        self.line = Line::Closed(why.clone());
        while let Some(draft) = self.outgoing.take_first() {
            let error = PublishError::Closed { reason: why.clone(), sent: draft.ever_sent };
            draft.id.into_iter().for_each(|id| self.not_published(id, error.clone()));
        }
        for id in std::mem::take(&mut self.pages).into_keys() {
            self.event(Event::Page { id, result: Err(RequestError::Closed(why.clone())) });
        }
        self.channels.clear();
        self.event(Event::Closed(why));
    }

    /// Hands on what a channel has to tell. Where the log has something else than what was acknowledged there, that is
    /// published again.
    fn tell(&mut self, channel: &ChannelName, now: Duration) {
        let Some(following) = self.channels.get_mut(channel) else { return };
        let is_log = following.is_log();
        while let Some(told) = following.poll_told() {
            let channel = channel.clone();
            self.outputs.push_back(Output::Event(match told {
                Told::Notice(notice) => Event::Notice { channel, notice },
                Told::Message(message) => {
                    if is_log {
                        self.outgoing.seen(&channel, &message, now + self.limits.publish_age);
                    }
                    Event::Message { channel, message }
                }
            }));
        }
    }

    fn answer_page(&mut self, id: RequestId, result: Result<client::Page, RequestError>) {
        if self.pages.remove(&id).is_some() {
            self.event(Event::Page { id, result });
        }
    }

    fn not_published(&mut self, id: PublishId, error: PublishError) {
        self.event(Event::Published { id, result: Err(error) });
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn forget(&mut self, id: Option<&CommandId>) {
        self.answered(id);
    }

    /// The number of the command that was answered, if it was under way.
    fn answered(&mut self, id: Option<&CommandId>) -> Option<i64> {
        let id = number(id)?;
        self.asked.remove(&id).map(|_| id)
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }
}

/// Our ids are numbers.
fn number(id: Option<&CommandId>) -> Option<i64> {
    match id {
        Some(CommandId::Number(number)) => Some(*number),
        _ => None,
    }
}

/// Whether what was refused is a matter of the moment.
fn may_ask_again(refusal: &Refusal) -> bool {
    use ErrorCode::{Draining, Internal, NotAvailable, RateLimited, Timeout};
    matches!(refusal.known(), Some(Draining | Internal | NotAvailable | RateLimited | Timeout))
}
