//! What becomes of a channel whose handling has panicked, which is a bug of ours: its state is dropped, whoever waits for
//! it is answered, its subscribers are told to subscribe again, and it is opened again from the store.

use trunkline_model::{ChannelName, CommandId, ErrorCode, Fault, Reply};

use super::{Context, Shard, Waiting};
use crate::answers::{RETRY, answer, refuse, refuse_join};
use crate::channel::Body;
use crate::input::SessionId;
use crate::peer::{Ask, Question, Tell};

/// The channel that is being handled, and who waits for an answer of it.
#[derive(Debug)]
pub(super) struct Handling {
    channel: ChannelName,
    waits: Option<Waits>,
}

/// Who waits for an answer, and for which.
#[derive(Debug)]
struct Waits {
    worker: u16,
    session: SessionId,
    id: Option<CommandId>,
    answer: Kind,
}

#[derive(Debug)]
enum Kind {
    /// That it is let in, or not.
    Entrance { generation: u32 },
    /// A reply.
    Reply,
    /// That it was heard.
    Heard,
    /// That it was done, though it was not: the client wants no word of it.
    Done,
}

impl Handling {
    pub(super) fn ask(ask: &Ask) -> Self {
        let answer = match &ask.question {
            Question::Join { generation, .. } | Question::Resume { generation, .. } => {
                Kind::Entrance { generation: *generation }
            }
            Question::Publish { .. } | Question::History { .. } | Question::Presence(_) => Kind::Reply,
            Question::Leave(_) | Question::Depart { .. } | Question::Members(_) | Question::Unbind { .. } => {
                Kind::Heard
            }
            Question::Inform { .. } => Kind::Done,
        };
        let waits = Waits { worker: ask.worker, session: ask.session, id: ask.id.clone(), answer };
        Self { channel: ask.question.channel().clone(), waits: Some(waits) }
    }

    pub(super) fn answer(waiting: &Waiting) -> Self {
        let waits = match waiting {
            Waiting::Append(stored) => {
                stored.asked().map(|(worker, session, id)| Waits { worker, session, id, answer: Kind::Reply })
            }
            Waiting::Join(join) => Some(Waits {
                worker: join.worker,
                session: join.session,
                id: join.id.clone(),
                answer: Kind::Entrance { generation: join.generation },
            }),
            Waiting::Page(page) => Some(Waits {
                worker: page.worker,
                session: page.session,
                id: page.id.clone(),
                answer: Kind::Reply,
            }),
            _ => None,
        };
        Self { channel: waiting.channel().clone(), waits }
    }
}

impl Shard {
    /// Whether a channel is being handled.
    pub(crate) fn is_handling(&self) -> bool {
        self.handling.is_some()
    }

    /// The handling of a channel has panicked.
    pub(crate) fn break_handled(&mut self, cx: &mut Context<'_>) {
        let Some(Handling { channel: name, waits }) = self.handling.take() else { return };
        tracing::error!(channel = %name, "a panic while handling a channel; it is opened again");
        if let Some(waits) = waits {
            answer_broken(waits, &name, cx);
        }
        let Some(channel) = self.channels.remove(&name) else { return };
        self.broken.extend(channel.linked_workers().into_iter().map(|worker| (name.clone(), worker)));
        match channel.body {
            Body::Opening(asks) => asks.into_iter().for_each(|ask| refuse(ask, fault(), cx)),
            Body::Log(log) => {
                log.parked.into_iter().for_each(|join| refuse_join(join, fault(), cx));
                for stored in log.queue {
                    self.appends_in_flight = self.appends_in_flight.saturating_sub(1 + stored.overtaken());
                    stored.refuse(&fault(), cx);
                }
            }
            Body::Signal => {}
        }
        self.tell_broken(cx);
    }

    /// Tells the workers whose channels have broken, as far as there is room in the queues to them.
    pub(super) fn tell_broken(&mut self, cx: &mut Context<'_>) {
        self.broken.retain(|(name, worker)| {
            let has_room = cx.peers.may_broadcast(*worker);
            if has_room {
                cx.peers.tell(*worker, Tell::Broken(name.clone()), cx.out);
            }
            !has_room
        });
    }
}

fn fault() -> Fault {
    Fault::new(ErrorCode::Internal, "the server failed while handling the channel").retry_in(RETRY)
}

fn answer_broken(waits: Waits, name: &ChannelName, cx: &mut Context<'_>) {
    let Waits { worker, session, id, answer: kind } = waits;
    let reply = Reply::Fault(fault().about(name).answering(id));
    match kind {
        Kind::Entrance { generation } => {
            let channel = name.clone();
            cx.peers.tell(worker, Tell::NotJoined { session, generation, channel, reply }, cx.out);
        }
        Kind::Reply => answer(worker, session, reply, cx),
        Kind::Done => cx.peers.tell(worker, Tell::Done { session }, cx.out),
        Kind::Heard => cx.peers.tell(worker, Tell::Left, cx.out),
    }
}
