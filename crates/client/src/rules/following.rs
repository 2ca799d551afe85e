//! One channel that the application follows: asking for it on each new line, and keeping its timeline whole by replay
//! and by pages. Gives back what to ask and what to tell; `session` has the line and the ids.

use std::collections::VecDeque;
use std::time::Duration;

use trunkline_dialect::json::client::{Page, Recovery, Refusal, Subscribed};
use trunkline_model::{
    Capability, ChannelName, Epoch, ErrorCode, HistoryQuery, Kind, LostReason, Offset, Position, Start,
};

use super::backoff::{cap, share};
use super::event::Notice;
use super::limits::Limits;
use super::message::Message;
use super::timeline::Timeline;

/// A channel that is followed.
///
/// ```text
///           ask           subscribed
///   Off ──────────▶ Asked ──────────▶ Live
///    ▲                │ refused for now │
///    │                ▼                 │
///    ├──────────── Later ◀──────────────┤ unsubscribed with `retry`
///    └──────────────────────────────────┘ line lost
/// ```
#[derive(Debug)]
pub(super) struct Following {
    channel: ChannelName,
    start: Start,
    stage: Stage,
    /// Whether the application knows that it is followed.
    pub(super) announced: bool,
    timeline: Option<Timeline>,
    /// Where the subscription stands on this line: what comes next as push is after it.
    stands: Option<Position>,
    catching_up: CatchingUp,
    /// The fill that is under way.
    fill: Option<i64>,
    /// Not before this moment is a fill asked for again.
    fill_not_before: Duration,
    paused: bool,
    failures: u32,
    told: VecDeque<Told>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Stage {
    Off,
    /// With an id, or within `connect`.
    Asked(Option<i64>),
    Live,
    Later(Duration),
}

/// How a gap is closed that no replay closes.
#[derive(Clone, Copy, PartialEq, Debug)]
enum CatchingUp {
    /// From the head upwards, as the timeline wants.
    Upwards,
    /// First the newest page is needed, to see how long the gap is.
    FromNewest,
}

/// What the application is told, in order.
#[derive(Debug)]
pub(super) enum Told {
    Message(Message),
    Notice(Notice),
}

/// What follows from `subscribed`.
pub(super) enum Outcome {
    /// It was not meant for this subscription.
    Stale,
    /// It is followed.
    Live,
    /// It is followed, and its log has lost what it had above this offset.
    Rewound(Offset),
}

impl Following {
    pub(super) fn new(channel: ChannelName, start: Start) -> Self {
        Self {
            channel,
            start,
            stage: Stage::Off,
            announced: false,
            timeline: None,
            stands: None,
            catching_up: CatchingUp::Upwards,
            fill: None,
            fill_not_before: Duration::ZERO,
            paused: false,
            failures: 0,
            told: VecDeque::new(),
        }
    }

    /// From where it is to be asked for now, if it is time to ask.
    pub(super) fn ask(&mut self, now: Duration, id: Option<i64>) -> Option<Start> {
        let due = match self.stage {
            Stage::Off => true,
            Stage::Later(moment) => moment <= now,
            Stage::Asked(_) | Stage::Live => false,
        };
        if !due {
            return None;
        }
        self.stage = Stage::Asked(id);
        Some(match &self.timeline {
            None => self.start,
            // Where no place is known, nothing can be continued, and the newest page tells how far the log is.
            Some(timeline) => timeline.position().map_or(Start::Next, |position| match self.start {
                Start::CatchUp(_) => Start::CatchUp(position),
                Start::Next | Start::Last(_) | Start::Since(_) => Start::Since(position),
            }),
        })
    }

    /// The line is gone.
    pub(super) fn lost(&mut self) {
        self.stage = Stage::Off;
        self.fill = None;
        self.fill_not_before = Duration::ZERO;
        let Some(timeline) = &mut self.timeline else { return };
        timeline.line_lost();
        // Only from a place whose epoch is known can a rewind be noticed, so what is held above it is given up.
        let (head, known) = (timeline.head(), timeline.position().map(|known| known.offset));
        if timeline.head_position().is_none() && known < head && known.is_some() {
            timeline.rewind(known);
            self.tell(Notice::Rewound { keep: known });
        }
    }

    /// When something is to be asked again.
    pub(super) fn timeout(&self) -> Option<Duration> {
        let fill =
            (self.fill_not_before > Duration::ZERO && self.wants_fill()).then_some(self.fill_not_before);
        match self.stage {
            Stage::Later(moment) => Some(moment),
            Stage::Live => fill,
            Stage::Off | Stage::Asked(_) => None,
        }
    }

    /// Whether it is a log, as far as is known.
    pub(super) fn is_log(&self) -> bool {
        self.timeline.is_some()
    }

    pub(super) fn is_live(&self) -> bool {
        self.stage == Stage::Live
    }

    /// Whether this id, or none, is that of the question that waits for its answer.
    pub(super) fn is_asked(&self, id: Option<i64>) -> bool {
        self.stage == Stage::Asked(id)
    }

    /// The subscription has begun, or goes on after a rewind.
    pub(super) fn subscribed(&mut self, subscribed: Subscribed, id: Option<i64>, limits: &Limits) -> Outcome {
        let unasked = self.is_live() && id.is_none() && matches!(subscribed.recovery, Recovery::Lost { .. });
        if !unasked && !self.is_asked(id) {
            return Outcome::Stale;
        }
        self.stage = Stage::Live;
        self.failures = 0;
        self.fill = None;
        self.stands = subscribed.position;
        let (Some(Kind::Log), Some(position)) = (subscribed.kind, subscribed.position) else {
            // What is there now of each entry; what has changed since is among it.
            self.timeline = None;
            self.told.extend(subscribed.entries.into_iter().flatten().map(Told::Message));
            return Outcome::Live;
        };
        let can_read = subscribed.can.contains(&Capability::History);
        let outcome = self.place(position, subscribed, limits);
        if !can_read && self.wants_fill() {
            self.skip_gap();
        }
        self.drain();
        outcome
    }

    fn place(&mut self, position: Position, subscribed: Subscribed, limits: &Limits) -> Outcome {
        let first = self.timeline.is_none();
        let mut timeline = self.timeline.take().unwrap_or_else(|| Timeline::new(0, limits.ahead));
        timeline.set_paused(self.paused);
        if let (true, Start::Since(since) | Start::CatchUp(since)) = (first, self.start) {
            timeline.begin(since.offset, Some(since.epoch));
        } else if first {
            match subscribed.items {
                None => timeline.begin(position.offset, Some(position.epoch)),
                Some((items, more)) => timeline.handle_page(&newest(position, items, subscribed.floor, more)),
            }
        }
        self.timeline = Some(timeline);
        match subscribed.recovery {
            Recovery::NotAsked if first => {}
            Recovery::Recovered(messages) => self.tell(Notice::Recovered { messages }),
            Recovery::Lost { reason: LostReason::Rewound, keep } => return self.rewind(keep),
            Recovery::Lost { .. } => {
                self.catching_up = CatchingUp::FromNewest;
                self.stand();
            }
            // No place was known that the server could have judged: the application was told to drop everything, and the
            // log may be another one yet again.
            Recovery::NotAsked => {
                self.catching_up = CatchingUp::FromNewest;
                self.stand();
                return Outcome::Rewound(Offset::ZERO);
            }
        }
        Outcome::Live
    }

    /// What was appended so far is told first; then nothing above `keep` holds any more.
    fn rewind(&mut self, keep: Option<Offset>) -> Outcome {
        self.drain();
        if let Some(timeline) = &mut self.timeline {
            timeline.rewind(keep);
        }
        self.stand();
        self.fill = None;
        self.catching_up = if keep.is_some() { CatchingUp::Upwards } else { CatchingUp::FromNewest };
        self.tell(Notice::Rewound { keep });
        Outcome::Rewound(keep.unwrap_or(Offset::ZERO))
    }

    fn stand(&mut self) {
        if let (Some(timeline), Some(stands)) = (&mut self.timeline, self.stands) {
            timeline.stand_at(stands);
        }
    }

    /// A subscription was refused, or ended by the server. Gives the refusal back if it is for good.
    pub(super) fn refused(
        &mut self,
        refusal: Refusal,
        now: Duration,
        random: u64,
        limits: &Limits,
    ) -> Option<Refusal> {
        self.lost();
        self.failures += 1;
        match patience(&refusal, self.failures, random, limits) {
            None => Some(refusal),
            Some(patience) => {
                self.stage = Stage::Later(now + patience);
                None
            }
        }
    }

    /// A publication was pushed, or replayed.
    pub(super) fn pushed(&mut self, message: Message) {
        match &mut self.timeline {
            _ if self.stage != Stage::Live => {}
            Some(timeline) => {
                timeline.handle_message(message);
                self.drain();
            }
            // Of what keeps no order, a reader that is behind gets nothing.
            None if self.paused => {}
            None => self.told.push_back(Told::Message(message)),
        }
    }

    /// The page to ask for as command `id`, if one is needed now.
    pub(super) fn ask_page(&mut self, now: Duration, id: i64, limits: &Limits) -> Option<HistoryQuery> {
        let may = self.is_live() && self.fill.is_none() && self.fill_not_before <= now;
        if !may || !self.wants_fill() {
            return None;
        }
        self.fill = Some(id);
        let timeline = self.timeline.as_ref();
        let (after, at) = match self.catching_up {
            CatchingUp::FromNewest => (None, None),
            // A page of another log than the one that is held is refused.
            CatchingUp::Upwards => {
                (timeline?.wants(), timeline?.head_position().filter(|at| at.offset.0 > 0))
            }
        };
        let channel = self.channel.clone();
        Some(HistoryQuery { channel, before: None, after, limit: Some(limits.fill_page), at })
    }

    /// The answer to the question for a page `id`, if it is still waited for.
    pub(super) fn page(&mut self, id: i64, page: &Page, limits: &Limits) {
        if self.fill != Some(id) {
            return;
        }
        self.fill = None;
        self.fill_not_before = Duration::ZERO;
        self.failures = 0;
        let catching_up = std::mem::replace(&mut self.catching_up, CatchingUp::Upwards);
        let head = self.timeline.as_ref().and_then(Timeline::head);
        if let Some(Offset(head)) = head {
            let gone_to = page.floor.0.saturating_sub(1).max(head);
            let below_page = page.lo.0.saturating_sub(1);
            let skip_to = match catching_up {
                CatchingUp::FromNewest if below_page.saturating_sub(gone_to) <= limits.fill => gone_to,
                CatchingUp::FromNewest | CatchingUp::Upwards => below_page.max(head),
            };
            if skip_to > head {
                self.skip_to(Offset(skip_to), None);
            } else if catching_up == CatchingUp::FromNewest {
                self.tell(Notice::Recovered { messages: page.top.0.saturating_sub(head) });
            }
        }
        if let Some(timeline) = &mut self.timeline {
            timeline.handle_page(page);
            if page.hi < page.lo {
                timeline.nothing_after_head();
            }
        }
        self.drain();
    }

    /// The question for a page `id` was refused. A log that is another one is a rewind; what can never be had is
    /// skipped.
    pub(super) fn page_refused(
        &mut self,
        id: i64,
        refusal: &Refusal,
        now: Duration,
        random: u64,
        limits: &Limits,
    ) -> Outcome {
        if self.fill != Some(id) {
            return Outcome::Stale;
        }
        self.fill = None;
        self.failures += 1;
        if refusal.known() == Some(ErrorCode::Rewound) {
            return self.rewind(None);
        }
        match patience(refusal, self.failures, random, limits) {
            Some(patience) => self.fill_not_before = now + patience,
            None => self.skip_gap(),
        }
        self.drain();
        Outcome::Live
    }

    /// Whether the application takes no more for now. What comes meanwhile waits, or is fetched later.
    pub(super) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
        if let Some(timeline) = &mut self.timeline {
            timeline.set_paused(paused);
        }
        self.drain();
    }

    /// What the application is told next.
    pub(super) fn poll_told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    fn wants_fill(&self) -> bool {
        match (self.catching_up, &self.timeline) {
            (_, None) => false,
            (CatchingUp::FromNewest, Some(_)) => !self.paused,
            (CatchingUp::Upwards, Some(timeline)) => timeline.wants().is_some(),
        }
    }

    /// Goes on after the gap: it cannot be closed.
    fn skip_gap(&mut self) {
        self.catching_up = CatchingUp::Upwards;
        let gap_end = self.timeline.as_ref().map_or(Offset::ZERO, Timeline::gap_end);
        let epoch = self.stands.filter(|stands| stands.offset == gap_end).map(|stands| stands.epoch);
        self.skip_to(gap_end, epoch);
    }

    fn skip_to(&mut self, to: Offset, epoch: Option<Epoch>) {
        self.drain();
        let Some(timeline) = &mut self.timeline else { return };
        let missed = timeline.head().map(|head| to.since(head));
        if let Some(messages) = missed {
            self.told.push_back(Told::Notice(Notice::Missed { messages }));
        }
        timeline.begin(to, epoch);
    }

    fn tell(&mut self, notice: Notice) {
        self.told.push_back(Told::Notice(notice));
    }

    fn drain(&mut self) {
        let appended =
            self.timeline.iter_mut().flat_map(|timeline| std::iter::from_fn(|| timeline.poll_appended()));
        self.told.extend(appended.map(Told::Message));
    }
}

/// The newest page, as `subscribed` gives it.
fn newest(position: Position, items: Vec<Message>, floor: Offset, more: bool) -> Page {
    let lo = items.first().and_then(|first| first.offset).unwrap_or(position.offset.next());
    Page { epoch: position.epoch, top: position.offset, lo, hi: position.offset, items, floor, more }
}

/// After how long it makes sense to ask again, if it ever does.
fn patience(refusal: &Refusal, failures: u32, random: u64, limits: &Limits) -> Option<Duration> {
    let passing = matches!(
        refusal.known(),
        Some(
            ErrorCode::NotAvailable
                | ErrorCode::Timeout
                | ErrorCode::Internal
                | ErrorCode::RateLimited
                | ErrorCode::Draining
        )
    );
    let jitter = share(cap(limits, failures), random);
    match refusal.retry {
        Some(retry) => Some(retry.min(limits.retry_max) + jitter.min(retry)),
        None => passing.then_some(jitter),
    }
}
