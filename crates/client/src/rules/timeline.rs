//! One channel's messages in order: a contiguous range of its log, and what has come from beyond it. Merges pushes,
//! replays and pages in whatever order they come; decides nothing about lines, channels or errors. Used by `following`,
//! and by applications that show a history.

use std::collections::{BTreeMap, VecDeque};

use trunkline_dialect::json::client::Page;
use trunkline_model::{Epoch, Offset, Position};

use super::message::Message;

/// How many changes of epoch are remembered.
const EPOCHS_MAX: usize = 64;

/// A contiguous range `[lo, head]` of a channel's log, and a buffer for what lies ahead of it.
///
/// ```text
///   offset ≤ head     ignored: it is there already, or was
///   offset = head + 1 appended, and with it all of `ahead` that has become contiguous
///   offset > head + 1 kept ahead; `wants` says from where to fetch
/// ```
///
/// Merging is the union of sets by offset, so the order in which things come does not matter. What is appended comes out
/// of [`poll_appended`](Self::poll_appended) once, in order; a hole can never be seen.
#[derive(Debug)]
pub struct Timeline {
    held_max: usize,
    ahead_max: usize,
    /// `None` until it stands somewhere.
    range: Option<Range>,
    items: VecDeque<Message>,
    /// (offset, epoch of the entry there), ascending, in what is or was in the range.
    epochs: VecDeque<(u64, Epoch)>,
    ahead: BTreeMap<u64, Span>,
    ahead_count: usize,
    /// The newest offset that is known to exist.
    top: u64,
    appended: VecDeque<Message>,
    paused: bool,
    /// The last place whose epoch was known, for while that of the head is not.
    claim: Option<Position>,
    /// Where the subscription stood when it began.
    stood: Option<Position>,
}

/// Everything in `lo..=head` is there; nothing, if `lo` is `head + 1`.
#[derive(Clone, Copy, Debug)]
struct Range {
    lo: u64,
    head: u64,
}

/// All that can be seen of `lo..=hi`.
#[derive(Debug)]
struct Span {
    hi: u64,
    items: Vec<Message>,
    /// The epoch of the entry at `hi`, if it was said.
    end: Option<Epoch>,
}

impl Timeline {
    /// One that holds up to `held_max` messages, the newest, and lets up to `ahead_max` wait for those before them.
    #[must_use]
    pub fn new(held_max: usize, ahead_max: usize) -> Self {
        Self {
            held_max,
            ahead_max,
            range: None,
            items: VecDeque::new(),
            epochs: VecDeque::new(),
            ahead: BTreeMap::new(),
            ahead_count: 0,
            top: 0,
            appended: VecDeque::new(),
            paused: false,
            claim: None,
            stood: None,
        }
    }

    /// The messages that are held, ascending: what can be seen of [`lo`](Self::lo) to [`head`](Self::head).
    pub fn items(&self) -> impl DoubleEndedIterator<Item = &Message> {
        self.items.iter()
    }

    /// The first offset of the range; older pages are asked for with `before` this one.
    #[must_use]
    pub fn lo(&self) -> Option<Offset> {
        self.range.map(|range| Offset(range.lo))
    }

    /// The last offset of the range.
    #[must_use]
    pub fn head(&self) -> Option<Offset> {
        self.range.map(|range| Offset(range.head))
    }

    /// The place to go on from: the head, or, while the epoch there is not known yet, the last place where it was; a
    /// server that knows that place no more says so again. `None` if there was none.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.head_position().or(self.claim)
    }

    /// The position of the head, if its epoch is known.
    #[must_use]
    pub fn head_position(&self) -> Option<Position> {
        let Range { head, .. } = self.range?;
        let told = || self.stood.filter(|stood| stood.offset.0 == head).map(|stood| stood.epoch);
        let any = || (head == 0).then_some(Epoch::NONE);
        Some(Position { epoch: self.epoch_at(head).or_else(told).or_else(any)?, offset: Offset(head) })
    }

    /// After which offset something is missing that exists: what lies ahead of a gap, or was announced with
    /// [`stand_at`](Self::stand_at). `None` while it is paused.
    #[must_use]
    pub fn wants(&self) -> Option<Offset> {
        let Range { head, .. } = self.range.filter(|_| !self.paused)?;
        (self.top > head).then_some(Offset(head))
    }

    /// Takes its stand at a place, holding nothing: the next message is the one after it. What lies ahead is kept.
    pub fn begin(&mut self, at: Offset, epoch: Option<Epoch>) {
        self.claim = self.position();
        self.items.clear();
        self.epochs.clear();
        self.range = Some(Range { lo: at.next().0, head: at.0 });
        self.note_epoch(at.0, epoch);
        self.raise_top(at);
        self.drain();
    }

    /// The channel has come this far, and the subscription stands there: what lies below it and is not replayed is
    /// wanted.
    pub fn stand_at(&mut self, position: Position) {
        self.stood = Some(position);
        self.raise_top(position.offset);
    }

    fn raise_top(&mut self, top: Offset) {
        self.top = self.top.max(top.0);
    }

    /// While it is paused nothing is appended: all that comes waits ahead, up to the cap, and what does not fit is
    /// missing afterwards and wanted.
    pub fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
        self.drain();
    }

    /// A message came, by push or replay. One without an offset is of no log and is passed over.
    pub fn handle_message(&mut self, message: Message) {
        let Some(Offset(offset)) = message.offset else { return };
        self.raise_top(Offset(offset));
        self.absorb(offset, Span { hi: offset, items: vec![message], end: None });
    }

    /// A page came, from wherever in the log. An older one that does not touch the range is passed over, so that no hole
    /// is ever seen.
    pub fn handle_page(&mut self, page: &Page) {
        let (Offset(lo), Offset(hi)) = (page.lo, page.hi);
        // Of a place that the log does not have any more: it was asked for before a rewind.
        if page.lo > page.top.next() {
            return;
        }
        self.raise_top(page.top);
        if self.range.is_none() {
            let known = (hi < lo && page.top.0 == hi).then_some(page.epoch);
            self.begin(page.lo.prev(), known);
        }
        if hi < lo {
            return;
        }
        let span = Span { hi, items: with_epochs(page), end: (page.hi == page.top).then_some(page.epoch) };
        let end = span.end;
        self.prepend(lo, &span);
        self.absorb(lo, span);
        if self.range.is_some_and(|range| hi <= range.head) {
            self.note_epoch(hi, end);
        }
    }

    /// The last offset that is missing before what lies ahead, or of all that is known to exist.
    pub(super) fn gap_end(&self) -> Offset {
        let ahead = self.ahead.first_key_value().map(|(lo, _)| lo.saturating_sub(1));
        Offset(ahead.unwrap_or(self.top).max(self.range.map_or(0, |range| range.head)))
    }

    /// The log holds nothing after the head any more, whatever was known before.
    pub(super) fn nothing_after_head(&mut self) {
        if self.ahead.is_empty() {
            self.top = self.range.map_or(0, |range| range.head);
        }
    }

    /// The line is gone. What lies ahead of a gap is dropped: if the log is rewound while nobody looks, the next line says
    /// so only of the place that is claimed.
    pub fn line_lost(&mut self) {
        self.stood = None;
        self.ahead.clear();
        self.ahead_count = 0;
        self.top = self.range.map_or(0, |range| range.head);
    }

    /// The log has lost what it had above `keep`; without `keep` nothing of what was known holds any more.
    pub fn rewind(&mut self, keep: Option<Offset>) {
        self.claim = self.position();
        self.line_lost();
        let (Some(Offset(keep)), Some(range)) = (keep, &mut self.range) else {
            return self.forget();
        };
        let keep = keep.min(range.head);
        range.head = keep;
        range.lo = range.lo.min(keep + 1);
        self.top = keep;
        let above = |message: &Message| message.offset.is_some_and(|offset| offset.0 > keep);
        self.items.retain(|message| !above(message));
        self.appended.retain(|message| !above(message));
        self.epochs.retain(|(offset, _)| *offset <= keep);
    }

    /// The next message of the range that was not polled yet, in order, each once.
    pub fn poll_appended(&mut self) -> Option<Message> {
        self.appended.pop_front()
    }

    fn forget(&mut self) {
        *self = Self { paused: self.paused, ..Self::new(self.held_max, self.ahead_max) };
    }

    /// Takes what a page has below the range, if it touches it and there is room.
    fn prepend(&mut self, lo: u64, span: &Span) {
        let Some(range) = &mut self.range else { return };
        let below: Vec<&Message> = span.items.iter().filter(|item| offset_of(item) < range.lo).collect();
        let fits = self.items.len() + below.len() <= self.held_max;
        if lo >= range.lo || span.hi + 1 < range.lo || !fits {
            return;
        }
        range.lo = lo;
        for item in below.into_iter().rev() {
            let (offset, epoch) = (offset_of(item), item.epoch);
            if let Some(epoch) = epoch {
                // An epoch that goes on further down begins further down.
                self.epochs.pop_front_if(|first| first.1 == epoch);
                if self.epochs.len() < EPOCHS_MAX {
                    self.epochs.push_front((offset, epoch));
                }
            }
            self.items.push_front(item.clone());
        }
    }

    fn absorb(&mut self, lo: u64, span: Span) {
        match self.range {
            Some(range) if !self.paused && lo <= range.head + 1 => {
                self.append(span);
                self.drain();
            }
            Some(range) if span.hi <= range.head => {}
            _ => self.keep_ahead(lo, span),
        }
    }

    /// Of what does not fit the newest is dropped: it is fetched again, because the top is known.
    fn keep_ahead(&mut self, lo: u64, span: Span) {
        if self.ahead.get(&lo).is_some_and(|held| held.hi >= span.hi) {
            return;
        }
        self.ahead_count += span.items.len();
        if let Some(shorter) = self.ahead.insert(lo, span) {
            self.ahead_count -= shorter.items.len();
        }
        while self.ahead_count > self.ahead_max {
            let Some((_, newest)) = self.ahead.pop_last() else { break };
            self.ahead_count -= newest.items.len();
        }
    }

    fn drain(&mut self) {
        while let Some(Range { head, .. }) = self.range.filter(|_| !self.paused) {
            let Some(first) = self.ahead.first_entry().filter(|first| *first.key() <= head + 1) else {
                break;
            };
            let span = first.remove();
            self.ahead_count -= span.items.len();
            self.append(span);
        }
    }

    /// The caller has seen that the span begins in the range or right after it.
    fn append(&mut self, span: Span) {
        let Some(Range { head, .. }) = self.range.filter(|range| span.hi > range.head) else { return };
        for mut message in span.items {
            let offset = offset_of(&message);
            if offset > head {
                self.note_epoch(offset, message.epoch);
                message.epoch = self.epoch_at(offset);
                self.items.push_back(message.clone());
                self.appended.push_back(message);
            }
        }
        self.note_epoch(span.hi, span.end);
        let held_max = self.held_max;
        let Some(range) = &mut self.range else { return };
        range.head = span.hi;
        while self.items.len() > held_max {
            let gone = self.items.pop_front().map_or(range.head, |gone| offset_of(&gone));
            range.lo = gone + 1;
        }
        if held_max == 0 {
            range.lo = range.head + 1;
        }
    }

    fn note_epoch(&mut self, offset: u64, epoch: Option<Epoch>) {
        let Some(epoch) = epoch.filter(|epoch| self.epoch_at(offset) != Some(*epoch)) else { return };
        let at = self.epochs.partition_point(|(noted, _)| *noted <= offset);
        self.epochs.insert(at, (offset, epoch));
        if self.epochs.len() > EPOCHS_MAX {
            self.epochs.pop_front();
        }
    }

    /// Every epoch that begins in the range was noted, so the last one noted before an offset is its own.
    fn epoch_at(&self, offset: u64) -> Option<Epoch> {
        self.epochs.iter().rev().find(|(from, _)| *from <= offset).map(|(_, epoch)| *epoch)
    }
}

/// The items of a page, each with its epoch as far as it can be known: down from the top to where an epoch begins, and
/// up from there.
fn with_epochs(page: &Page) -> Vec<Message> {
    let mut items: Vec<Message> = page.items.clone();
    items.retain(|item| item.offset.is_some_and(|offset| (page.lo..=page.hi).contains(&offset)));
    let begins = items.iter().any(|item| item.epoch.is_some());
    let mut epoch = (!begins && page.hi == page.top).then_some(page.epoch);
    for item in &mut items {
        epoch = item.epoch.or(epoch);
        item.epoch = epoch;
    }
    items
}

fn offset_of(message: &Message) -> u64 {
    message.offset.map_or(0, |offset| offset.0)
}
