//! The publishes of a client from the call to the answer, in order: the offline queue, what is under way, and what was
//! acknowledged and may have to be published again. Knows no line; driven by `session`.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use trunkline_dialect::json::client::Published;
use trunkline_model::{ChannelName, Key, Offset, Publish, Timestamp};

use super::event::PublishId;
use super::limits::Limits;
use super::message::Message;

/// All publishes that are not answered yet, the oldest first.
#[derive(Default, Debug)]
pub(super) struct Outgoing {
    drafts: VecDeque<Draft>,
    /// How many of them are under way.
    sent: usize,
    acknowledged: VecDeque<Draft>,
}

/// One publish.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// `None` for one that is published again after a rewind: its author has been answered long ago.
    pub(super) id: Option<PublishId>,
    /// With a key from its author, or from the first attempt on.
    publish: Publish,
    /// The random part of its key.
    salt: u64,
    /// When it ends unanswered.
    deadline: Duration,
    /// How often its outcome was left open by an answer.
    pub(super) open_answers: u32,
    /// Whether it was ever sent, so that it may be stored.
    pub(super) ever_sent: bool,
    stage: Stage,
    /// Where it stands, once that is known.
    offset: Option<Offset>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Stage {
    Waiting,
    Sent(i64),
    /// Waits for this moment after an answer that left its outcome open.
    Later(Duration),
}

impl Draft {
    pub(super) fn new(id: PublishId, publish: Publish, salt: u64, deadline: Duration) -> Self {
        Self {
            id: Some(id),
            publish,
            salt,
            deadline,
            open_answers: 0,
            ever_sent: false,
            stage: Stage::Waiting,
            offset: None,
        }
    }

    /// The same, to be published once more.
    fn again(self, deadline: Duration) -> Self {
        Self { id: None, stage: Stage::Waiting, deadline, open_answers: 0, ..self }
    }

    /// Its key, once it has one.
    pub(super) fn key(&self) -> Option<&Key> {
        self.publish.key.as_ref()
    }

    /// Bytes of its payload.
    pub(super) fn size(&self) -> usize {
        self.publish.payload.bytes.len()
    }
}

impl Outgoing {
    /// How many are not answered.
    pub(super) fn len(&self) -> usize {
        self.drafts.len()
    }

    /// How many are under way.
    pub(super) fn sent(&self) -> usize {
        self.sent
    }

    /// One more, behind all others.
    pub(super) fn push(&mut self, draft: Draft) {
        self.drafts.push_back(draft);
    }

    /// The next one to be sent, as command `command`. One whose moment has not come holds back those behind it in its
    /// channel, so that they do not overtake it.
    pub(super) fn send_next(
        &mut self,
        now: Duration,
        server_time: Timestamp,
        command: i64,
    ) -> Option<Publish> {
        let mut held_back = BTreeSet::new();
        let at = self.drafts.iter().position(|draft| match draft.stage {
            Stage::Sent(_) => false,
            Stage::Later(moment) if moment > now => {
                held_back.insert(&draft.publish.channel);
                false
            }
            Stage::Waiting | Stage::Later(_) => !held_back.contains(&draft.publish.channel),
        })?;
        let draft = &mut self.drafts[at];
        draft.stage = Stage::Sent(command);
        draft.ever_sent = true;
        let salt = draft.salt;
        draft.publish.key.get_or_insert_with(|| dated_key(server_time, salt));
        self.sent += 1;
        Some(draft.publish.clone())
    }

    /// One that is too large for the server and was not sent yet; the newest, which is the only one that can be if this
    /// was asked after each push.
    pub(super) fn take_larger_than(&mut self, size_max: usize) -> Option<Draft> {
        let large = |draft: &Draft| !draft.ever_sent && draft.size() > size_max;
        let at = self.drafts.iter().rposition(large)?;
        self.drafts.remove(at)
    }

    /// The one that command `command` has sent is answered.
    pub(super) fn take(&mut self, command: i64) -> Option<Draft> {
        let at = self.drafts.iter().position(|draft| draft.stage == Stage::Sent(command))?;
        self.sent -= 1;
        self.drafts.remove(at)
    }

    /// The outcome of the one that command `command` has sent was left open: it is sent again at `moment`, under the
    /// same key.
    pub(super) fn send_again(&mut self, command: i64, moment: impl FnOnce(u32) -> Duration) {
        if let Some(draft) = self.drafts.iter_mut().find(|draft| draft.stage == Stage::Sent(command)) {
            draft.open_answers += 1;
            draft.stage = Stage::Later(moment(draft.open_answers));
            self.sent -= 1;
        }
    }

    /// The line is gone: all that was under way is to be sent again, in order, before what never was.
    pub(super) fn lost(&mut self) {
        self.sent = 0;
        for draft in &mut self.drafts {
            if matches!(draft.stage, Stage::Sent(_)) {
                draft.stage = Stage::Waiting;
            }
        }
    }

    /// Remembers one that was acknowledged.
    pub(super) fn remember(&mut self, mut draft: Draft, published: &Published, limits: &Limits) {
        draft.offset = published.position.map(|position| position.offset);
        if draft.offset.is_some() && !published.merged {
            self.acknowledged.push_back(draft);
        }
        while self.acknowledged.len() > limits.acknowledged {
            self.acknowledged.pop_front();
        }
    }

    /// The channel's log has lost what stood above `keep`: those acknowledged ones are published again under their
    /// keys, before all others and in their order. One that is there all the same is a duplicate.
    pub(super) fn publish_again(&mut self, channel: &ChannelName, keep: Offset, deadline: Duration) {
        let (lost, kept): (VecDeque<Draft>, VecDeque<Draft>) = std::mem::take(&mut self.acknowledged)
            .into_iter()
            .partition(|draft| draft.publish.channel == *channel && draft.offset > Some(keep));
        self.acknowledged = kept;
        for draft in lost.into_iter().rev() {
            self.drafts.push_front(draft.again(deadline));
        }
    }

    /// A message stands in the log. If another one was acknowledged at its place, that is published again.
    pub(super) fn seen(&mut self, channel: &ChannelName, message: &Message, deadline: Duration) {
        let replaced = |draft: &Draft| {
            draft.offset == message.offset
                && draft.publish.key != message.key
                && draft.publish.channel == *channel
        };
        if let Some(at) = self.acknowledged.iter().position(replaced).filter(|_| message.offset.is_some()) {
            let draft = self.acknowledged.remove(at).expect("it was found there");
            self.drafts.push_front(draft.again(deadline));
        }
    }

    /// The next one whose time is over.
    pub(super) fn take_expired(&mut self, now: Duration) -> Option<Draft> {
        let at = self.drafts.iter().position(|draft| draft.deadline <= now)?;
        let draft = self.drafts.remove(at)?;
        self.sent -= usize::from(matches!(draft.stage, Stage::Sent(_)));
        Some(draft)
    }

    /// The oldest, whatever it waits for.
    pub(super) fn take_first(&mut self) -> Option<Draft> {
        self.sent = 0;
        self.drafts.pop_front()
    }

    /// When the next one ends or is to be sent again. `online`: whether anything can be sent.
    pub(super) fn timeout(&self, online: bool) -> Option<Duration> {
        let ends = self.drafts.iter().map(|draft| draft.deadline).min();
        let later = self.drafts.iter().filter(|_| online).filter_map(|draft| match draft.stage {
            Stage::Later(moment) => Some(moment),
            _ => None,
        });
        later.chain(ends).min()
    }
}

/// A key that tells its birth: `<unix ms, base 36>-<random, base 36>`.
fn dated_key(time: Timestamp, salt: u64) -> Key {
    let key = format!("{}-{}", base_36(time.0), base_36(salt));
    Key::parse(&key).expect("two numbers of 64 bits have at most 27 characters")
}

fn base_36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        let digit = u32::try_from(number % 36).expect("it is less than 36");
        digits.push(char::from_digit(digit, 36).expect("it is less than 36"));
        number /= 36;
        if number == 0 {
            return digits.iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_their_birth() {
        for (time, salt) in [(1_795_300_000_123, 0), (1_000_000_000_000, u64::MAX), (1 << 52, 35)] {
            let key = dated_key(Timestamp(time), salt);
            assert_eq!(key.born(), Some(Timestamp(time)), "{}", key.as_str());
        }
        assert_eq!(dated_key(Timestamp(36 * 36), 35).as_str(), "100-z");
    }
}
