//! What a client hears, judged: each answer must be one that it may be given, each publication the next one. It knows
//! what it has read and compares that with the truth.

use trunkline_model::{
    ChannelName, CommandId, ErrorCode, Fault, LostReason, Page, Position, Publication, Push, Recovery, Reply,
    Start, Subscribed,
};

use crate::checks::{check_entry, check_page, check_place, check_recovery};
use crate::client::{Asked, Client, Follow, session_of};
use crate::entries::{
    check_conflict, check_entrance, check_held_entries, check_merged, check_told, check_update,
};
use crate::folding::{check_refused, is_same_reaction};
use crate::node::Heard;
use crate::store::{name_of, uid_of};
use crate::tally::Tally;
use crate::truth::Truth;
use crate::violation::{Checked, Checker, broken, ensure};
use crate::world::keeps_newest;

impl Client {
    pub(crate) fn hears(&mut self, heard: Heard, truth: Truth<'_>, tally: &mut Tally) -> Checked {
        match heard {
            Heard::Message(publication) => self.message(&publication, truth),
            Heard::Ready => {
                self.held = false;
                Ok(())
            }
            Heard::Pushed(Push::Unsubscribed { channel, message, .. }) => {
                broken(Checker::Prefix, format!("{} is thrown out of {channel}: {message}", self.name))
            }
            Heard::Reply(Reply::Presence { update, .. }) => {
                broken(Checker::Answers, format!("{} is told {update:?}", self.name))
            }
            Heard::Reply(reply @ (Reply::Result { .. } | Reply::Refreshed { .. })) => broken(
                Checker::Answers,
                format!("{} asked for no such thing and is told {reply:?}", self.name),
            ),
            Heard::Pushed(push) => broken(Checker::Answers, format!("{} was pushed {push:?}", self.name)),
            Heard::Reply(Reply::Subscribed(subscribed)) => self.subscribed(*subscribed, truth, tally),
            Heard::Reply(Reply::Unsubscribed { id, channel }) => self.unsubscribed(number(&id)?, &channel),
            Heard::Reply(Reply::History { id, page, .. }) => self.page(number(&id)?, &page, truth, tally),
            Heard::Reply(Reply::Fault(fault)) => self.fault(&fault, truth, tally),
            Heard::Reply(reply @ Reply::Published { .. }) => self.published(reply, truth, tally),
            Heard::Reply(Reply::Pong { id, .. }) => self.answered_at_all(&id),
            Heard::Reply(Reply::Welcome { id, .. }) => {
                self.welcomed = self.lines;
                self.answered_at_all(&id)
            }
        }
    }

    fn answered_at_all(&mut self, id: &Option<CommandId>) -> Checked {
        let awaited = self.other.remove(&number(id)?);
        ensure(awaited, Checker::Answers, || format!("{} has an answer to nothing: {id:?}", self.name))
    }

    fn message(&mut self, publication: &Publication, truth: Truth<'_>) -> Checked {
        // Of what was erased only the log can say what it was.
        let stored = publication.position.and_then(|at| truth.store.ever_at(&publication.channel, at));
        let (name, uid) =
            (&self.name, stored.map_or_else(|| uid_of(publication), |(stored, _)| uid_of(stored)));
        // Under a store that was opened again the hub may read what it has no answer to yet; in about one of 15,000 runs
        // it tells it too early.
        ensure(!self.unanswered.contains(uid) || truth.store.reopened > 0, Checker::Order, || {
            format!("{name} sees its own {uid} before the reply to it")
        })?;
        let follow = self.follows.entry(publication.channel.clone()).or_default();
        let Some((_, place)) = &mut follow.live else {
            return broken(Checker::Answers, format!("{name} follows nothing and gets {publication:?}"));
        };
        let Some(position) = publication.position else {
            let (session, count) = session_of(uid);
            let last = self.signals.insert(session.to_owned(), count);
            return ensure(last.is_none_or(|last| last < count), Checker::Order, || {
                format!("{name} gets signal {uid} after number {last:?}")
            });
        };
        let Some(place) = place else {
            return broken(Checker::Answers, format!("{name} gets {position:?} from a signal channel"));
        };
        if keeps_newest(&publication.channel) {
            check_update(publication, *place, truth)?;
        } else {
            ensure(position.offset == place.offset.next(), Checker::Prefix, || {
                format!(
                    "gap or double: {name} is at {place:?} of {} and gets {position:?}",
                    publication.channel
                )
            })?;
            check_entry(publication, *place, truth)?;
        }
        *place = position;
        follow.take(position, publication, uid);
        Ok(())
    }

    fn subscribed(&mut self, subscribed: Subscribed, truth: Truth<'_>, tally: &mut Tally) -> Checked {
        let channel = subscribed.channel.clone();
        let unasked =
            subscribed.id.is_none() && self.connecting.front().is_none_or(|(first, _)| *first != channel);
        if unasked {
            return self.told_unasked(&subscribed, truth, tally);
        }
        let id = self.id_of_subscribe(&subscribed.id, &channel)?;
        let name = &self.name;
        let follow = self.follows.entry(channel).or_default();
        let Some(asked) = take_asked(follow, id) else {
            return broken(Checker::Answers, format!("{name} did not ask for {id}"));
        };
        ensure(follow.asked.iter().all(|other| other.id > id), Checker::Answers, || {
            format!("{name} has an earlier subscribe than {id} open")
        })?;
        let Some(place) = subscribed.position else {
            follow.live = Some((id, None));
            return Ok(());
        };
        check_place(&subscribed, place, truth)?;
        let check = if keeps_newest(&subscribed.channel) { check_entrance } else { check_recovery };
        let start = check(&asked, &subscribed, place, truth, tally)?;
        if matches!(asked.start, Start::Since(from) | Start::CatchUp(from) if from == start)
            && follow.known == Some(start)
        {
            let other = follow.differs(truth.log(&subscribed.channel), start.offset.0);
            // What the store has lost since is told later, or the end of the run finds it.
            let lost_since = truth.store.losses > asked.losses;
            ensure(other.is_none() || lost_since, Checker::Told, || {
                format!("{name} goes on from {start:?} though the log has something else at {other:?}")
            })?;
        } else {
            // What the store has lost since it was asked may be less than what is said to be kept.
            if truth.store.losses == asked.losses {
                check_keep(follow, &asked, &subscribed.recovery, truth.log(&subscribed.channel))?;
            }
            follow.jump(start);
        }
        if let Some(state) = &subscribed.entries {
            follow.take_state(place, state);
        }
        follow.live = Some((id, Some(start)));
        Ok(())
    }

    /// A subscriber is told that it cannot go on: what it missed is trimmed, or the store has lost what it has read.
    fn told_unasked(&mut self, subscribed: &Subscribed, truth: Truth<'_>, tally: &mut Tally) -> Checked {
        let channel = &subscribed.channel;
        let follow = self.follows.entry(channel.clone()).or_default();
        let (Some((_, Some(at))), Some(place)) = (&mut follow.live, subscribed.position) else {
            return broken(
                Checker::Answers,
                format!("{} follows nothing and is told {subscribed:?}", self.name),
            );
        };
        let log = truth.log(channel);
        let founded = match subscribed.recovery {
            Recovery::Lost { reason: LostReason::Trimmed, .. } => {
                at.offset.0 + 1 < log.floor() || !truth.is_steady()
            }
            // Without `keep` it is not known what is left: then it is told to all whose worker was told anything.
            Recovery::Lost { reason: LostReason::Rewound, keep: None } => !truth.is_steady(),
            Recovery::Lost { reason: LostReason::Rewound, .. } => !log.holds(*at),
            _ => false,
        };
        ensure(founded, Checker::NoFalseAlarm, || {
            format!("{} is at {at:?} of {channel}, and is told {:?}", self.name, subscribed.recovery)
        })?;
        check_place(subscribed, place, truth)?;
        tally.count("told unasked");
        *at = place;
        if let Recovery::Lost { reason: LostReason::Rewound, keep: Some(keep) } = subscribed.recovery {
            tally.count("rewound unasked");
            let other = follow.differs(log, keep.0).filter(|_| truth.store.losses == 1);
            ensure(other.is_none(), Checker::Told, || {
                format!("{keep:?} is kept, and the log has something else at {other:?}")
            })?;
        }
        follow.jump(place);
        if let Some(state) = &subscribed.entries {
            check_told(state, (0, place, false), log, truth)?;
            follow.take_state(place, state);
        }
        Ok(())
    }

    fn unsubscribed(&mut self, id: i64, channel: &ChannelName) -> Checked {
        let name = &self.name;
        let follow = self.follows.entry(channel.clone()).or_default();
        if take_asked(follow, id).is_some() {
            // A subscribe that a later command has overtaken; its answer comes before that one's.
            let later = follow.asked.iter().any(|asked| asked.id > id) || self.other.iter().any(|o| *o > id);
            return ensure(later, Checker::Answers, || format!("{name} was unsubscribed by nothing"));
        }
        let awaited = self.other.remove(&id);
        ensure(awaited, Checker::Answers, || format!("{name} has an answer to nothing: {id}"))?;
        if follow.live.is_some_and(|(begun, _)| begun < id) {
            follow.live = None;
        }
        ensure(follow.asked.iter().all(|asked| asked.id > id), Checker::Answers, || {
            format!("{name} has an earlier subscribe than {id} open")
        })
    }

    fn published(&mut self, reply: Reply, truth: Truth<'_>, tally: &mut Tally) -> Checked {
        let Reply::Published { id, channel, position, key, ts, duplicate, merged } = reply else {
            return Ok(());
        };
        let id = number(&id)?;
        let Some(sent) = self.sent.remove(&id) else {
            return broken(Checker::Answers, format!("{} did not publish {id}", self.name));
        };
        self.unanswered.remove(&sent.uid);
        ensure(channel == sent.channel && key == sent.key, Checker::Answers, || {
            format!("{sent:?} is answered for {channel} under {key:?}")
        })?;
        let Some(position) = position else { return Ok(()) };
        let entry = truth.store.ever_at(&channel, position).map(|(entry, _)| entry);
        let Some(entry) = entry.filter(|entry| entry.ts == ts) else {
            return broken(
                Checker::Acknowledged,
                format!("{sent:?} is acknowledged at {position:?}, and is not there"),
            );
        };
        if merged {
            tally.count("merged");
            check_merged(&sent, entry, self.doubtful.contains(&sent.uid), truth)?;
            if uid_of(entry) != sent.uid {
                self.refuse(sent.uid);
            }
        } else if duplicate {
            tally.count("duplicate");
            // The first may have been overtaken by another publication to the same entry, unheard.
            let overtaken = keeps_newest(&channel) && name_of(entry) == sent.about.entry.as_ref();
            let repeats = key.is_some() && (entry.key == key || overtaken);
            ensure(repeats || is_same_reaction(&sent, entry), Checker::OncePerKey, || {
                format!("{sent:?} is called a repeat of {entry:?}")
            })?;
            if uid_of(entry) != sent.uid {
                self.refuse(sent.uid);
            }
        } else {
            tally.count("published");
            sent.about.reference.iter().for_each(|about| tally.count(about.op.as_str()));
            ensure(uid_of(entry) == sent.uid, Checker::Acknowledged, || {
                format!("{sent:?} is acknowledged at {position:?}, where {} is", uid_of(entry))
            })?;
        }
        self.acknowledged.push((channel, position, uid_of(entry).into()));
        Ok(())
    }

    fn fault(&mut self, fault: &Fault, truth: Truth<'_>, tally: &mut Tally) -> Checked {
        tally.count(fault.code.as_str());
        let id = match (&fault.id, &fault.channel) {
            (Some(_), _) => number(&fault.id)?,
            (None, Some(channel)) if self.connecting.front().is_some_and(|(first, _)| first == channel) => {
                self.id_of_subscribe(&None, channel)?
            }
            // A publish without an id: only its refusal is told.
            (None, _) => return Ok(()),
        };
        if let Some(code) = self.wrong.remove(&id) {
            self.take_refused(id);
            return ensure(fault.code == code, Checker::Answers, || {
                format!("{fault:?}, where {code} is right")
            });
        }
        if self.sent.contains_key(&id) {
            return self.not_published(id, fault, truth);
        }
        ensure(fault.code != ErrorCode::Internal, Checker::Answers, || {
            format!("only a publish may end in `internal`: {fault:?}")
        })?;
        if let Some((query, valid, reads_failed, _)) = self.pages.remove(&id) {
            let held = valid && query.at.is_none_or(|at| truth.log(&query.channel).holds(at));
            let unfounded = fault.code == ErrorCode::Rewound && held;
            ensure(!unfounded, Checker::NoFalseAlarm, || {
                format!("{} is told that {:?} is rewound", self.name, query.at)
            })?;
            // A place that was never told may be stored and not yet be announced. After an append of which nobody knows
            // what became of it, and when the store was opened again, the owner has to ask first for what lies before a
            // place that it told.
            let unsure = truth.store.appends_failed > 0 || truth.store.reopened > 0;
            let guessed = query.at.is_some_and(|at| !self.was_told(&query.channel, at) || unsure);
            let failed = truth.store.reads_failed > reads_failed;
            let founded = fault.code != ErrorCode::NotAvailable || failed || guessed;
            return ensure(founded, Checker::NoFalseAlarm, || {
                format!("a page is refused for nothing: {fault:?}")
            });
        }
        let Some(channel) = fault.channel.clone() else {
            return broken(
                Checker::Answers,
                format!("{} asked nothing that may end in {fault:?}", self.name),
            );
        };
        self.not_subscribed(id, fault, &channel, truth)
    }

    /// What was refused for its form is not stored either.
    fn take_refused(&mut self, id: i64) {
        if let Some(sent) = self.sent.remove(&id) {
            self.unanswered.remove(&sent.uid);
            self.refuse(sent.uid);
        }
    }

    /// It is not stored, if no earlier attempt was.
    fn refuse(&mut self, uid: String) {
        if !self.doubtful.contains(&uid) {
            self.refused.push(uid);
        }
    }

    fn not_published(&mut self, id: i64, fault: &Fault, truth: Truth<'_>) -> Checked {
        let Some(sent) = self.sent.get(&id).cloned() else { return Ok(()) };
        let allowed = match fault.code {
            ErrorCode::Internal | ErrorCode::NotAvailable | ErrorCode::LimitExceeded => true,
            ErrorCode::Conflict => {
                check_conflict(&sent, fault.position, truth)?;
                true
            }
            ErrorCode::NotFound | ErrorCode::BadRequest | ErrorCode::Forbidden => {
                check_refused(&sent, fault.code, truth)?;
                true
            }
            ErrorCode::KeyExpired => {
                let born = sent.key.as_ref().and_then(|key| key.born());
                born.is_some_and(|born| born.0 + truth.rules.keys_ms < truth.now.0)
            }
            _ => false,
        };
        ensure(allowed, Checker::NoFalseAlarm, || format!("{sent:?} is refused for nothing: {fault:?}"))?;
        if fault.code.leaves_outcome_open() {
            self.unanswered.remove(&sent.uid);
            self.sent.remove(&id);
            self.leave_open(sent, false);
        } else {
            self.take_refused(id);
        }
        Ok(())
    }

    fn not_subscribed(&mut self, id: i64, fault: &Fault, channel: &ChannelName, truth: Truth<'_>) -> Checked {
        let name = &self.name;
        let counts = |f: &&Follow| {
            f.live.is_some_and(|(begun, _)| begun < id) || f.asked.iter().any(|asked| asked.id < id)
        };
        let count = self.follows.values().filter(counts).count();
        let follow = self.follows.entry(channel.clone()).or_default();
        let Some(asked) = take_asked(follow, id) else {
            return broken(Checker::Answers, format!("{name} is refused what it did not ask: {fault:?}"));
        };
        let allowed = match fault.code {
            ErrorCode::NotAvailable => truth.store.reads_failed > asked.reads_failed,
            ErrorCode::LimitExceeded if fault.message.contains("subscriptions") => {
                count >= truth.rules.subscriptions
            }
            code => code == ErrorCode::LimitExceeded,
        };
        ensure(allowed, Checker::NoFalseAlarm, || {
            format!("{name} is refused {channel} for nothing: {fault:?}")
        })?;
        if follow.live.is_some_and(|(begun, _)| begun < id) {
            follow.live = None;
        }
        Ok(())
    }

    fn page(&mut self, id: i64, page: &Page, truth: Truth<'_>, tally: &mut Tally) -> Checked {
        let Some((query, .., head)) = self.pages.remove(&id) else {
            return broken(Checker::Answers, format!("{} did not ask for page {id}", self.name));
        };
        tally.count("page");
        tally.add("folded item", page.items.iter().filter(|item| item.fold.is_some()).count() as u64);
        tally.add("erased item", page.items.iter().filter(|item| item.erased).count() as u64);
        check_page(&query, head, page, truth)
    }

    /// The number of the subscribe that is answered. Those of `connect` are answered without an id, in order.
    fn id_of_subscribe(&mut self, id: &Option<CommandId>, channel: &ChannelName) -> Checked<i64> {
        if id.is_some() {
            return number(id);
        }
        match self.connecting.pop_front() {
            Some((first, id)) if first == *channel => Ok(id),
            other => broken(
                Checker::Answers,
                format!("{channel} is answered where {other:?} is next in `connect`"),
            ),
        }
    }

    /// All is quiet: everything has its answer, and every subscription stands at the head of its log.
    pub(crate) fn check_at_rest(&self, truth: Truth<'_>) -> Checked {
        let name = &self.name;
        let quiet = |holds: bool, what: &dyn Fn() -> String| ensure(holds, Checker::Quiet, what);
        quiet(!self.held, &|| format!("{name} was told to wait and never to go on"))?;
        quiet(self.sent.is_empty(), &|| format!("{name} has no answer to {:?}", self.sent))?;
        quiet(self.pages.is_empty(), &|| format!("{name} has no answer to {:?}", self.pages))?;
        quiet(self.wrong.is_empty(), &|| format!("{name} has no answer to {:?}", self.wrong))?;
        quiet(self.other.is_empty(), &|| format!("{name} has no answer to {:?}", self.other))?;
        quiet(self.connecting.is_empty(), &|| format!("{name} has no answer to {:?}", self.connecting))?;
        for (channel, follow) in &self.follows {
            quiet(follow.asked.is_empty(), &|| format!("{name} has no answer to {:?}", follow.asked))?;
            if let Some((_, Some(place))) = follow.live {
                let log = truth.log(channel);
                let head = log.head();
                if keeps_newest(channel) {
                    check_held_entries(name, follow, log)?;
                }
                quiet(place.offset.0 == head || keeps_newest(channel), &|| {
                    format!("all is quiet, but {name} is at {place:?} and the head of {channel} is {head}")
                })?;
                let other = follow.differs(log, u64::MAX);
                ensure(other.is_none() && log.holds(place), Checker::Told, || {
                    format!("{name} was never told that the log has something else at {other:?}")
                })?;
            }
        }
        Ok(())
    }
}

/// `keep`, if it is said, is the last offset up to which the client and the log have the same.
fn check_keep(follow: &Follow, asked: &Asked, recovery: &Recovery, log: &crate::store::Log) -> Checked {
    let (Start::Since(since) | Start::CatchUp(since), Recovery::Lost { keep: Some(keep), .. }) =
        (asked.start, recovery)
    else {
        return Ok(());
    };
    let of_the_epoch = |position: Position| position.epoch == since.epoch && position.offset.0 > keep.0;
    let further = log.entries.iter().filter_map(|entry| entry.position).find(|place| of_the_epoch(*place));
    // The epoch that is written now may have gone on since the store was asked.
    let goes_on = log.entries.last().and_then(|entry| entry.position).map(|newest| newest.epoch);
    let further = further.filter(|place| place.offset <= since.offset && goes_on != Some(since.epoch));
    ensure(further.is_none(), Checker::NoFalseAlarm, || {
        format!("only {keep:?} is kept of {since:?}: {further:?} is there")
    })?;
    let other = follow.differs(log, keep.0).filter(|_| follow.known == Some(since));
    ensure(other.is_none() && keep.0 <= log.head(), Checker::Told, || {
        format!("{keep:?} is kept of {since:?}, and the log has something else at {other:?}")
    })
}

fn take_asked(follow: &mut Follow, id: i64) -> Option<Asked> {
    let index = follow.asked.iter().position(|asked| asked.id == id)?;
    Some(follow.asked.remove(index))
}

fn number(id: &Option<CommandId>) -> Checked<i64> {
    match id {
        Some(CommandId::Number(number)) => Ok(*number),
        other => broken(Checker::Answers, format!("{other:?} is no id of the simulation")),
    }
}
