//! Questions to other workers that no command waits for: each is asked when there is room in the queue. There are only so
//! many per session.

use trunkline_model::ClientId;

use super::Sessions;
use crate::input::SessionId;
use crate::peer::{Ask, LineAsk, LineQuestion, Question};
use crate::session::{Phase, Session};
use crate::shard::Context;

/// A question that no command waits for.
#[derive(Debug)]
pub(super) enum Errand {
    /// To the owner of a channel.
    Channel(Ask),
    /// About a session's connections.
    Line(LineAsk),
}

impl Sessions {
    /// Asks the channel's owner, when those before it are asked.
    pub(super) fn send_on(&mut self, session: SessionId, question: Question, cx: &mut Context<'_>) {
        let owner = cx.peers.owner_of(question.channel());
        let ask = Ask { worker: cx.peers.me, session, id: None, question };
        self.send(owner, Errand::Channel(ask), cx);
    }

    /// The client can take up its session by another connection from now on, and this one may have taken it up.
    pub(super) fn begin_line(&mut self, id: SessionId, client: ClientId, cx: &mut Context<'_>) {
        let Some(session) = self.get_mut(id) else { return };
        session.has_line = true;
        let since = session.since;
        self.send_line(cx.peers.keeper_of(&client), id, LineQuestion::Begins { client, since }, cx);
    }

    /// The connection has ended.
    pub(super) fn end_line(&mut self, id: SessionId, session: Option<&Session>, cx: &mut Context<'_>) {
        let Some(Session { phase: Phase::Open(identity), has_line: true, .. }) = session else { return };
        let client = identity.client.clone();
        self.send_line(cx.peers.keeper_of(&client), id, LineQuestion::Ends(client), cx);
    }

    /// The connection takes the place of this older one.
    pub(super) fn replace_line(
        &mut self,
        id: SessionId,
        (worker, older): (u16, SessionId),
        cx: &mut Context<'_>,
    ) {
        // If it has ended meanwhile, it may have been given up before the other began: better both than none.
        if self.get_mut(id).is_some() {
            self.send_line(worker, id, LineQuestion::Replace(older), cx);
        }
    }

    fn send_line(&mut self, worker: u16, session: SessionId, question: LineQuestion, cx: &mut Context<'_>) {
        let ask = LineAsk { worker: cx.peers.me, session, question };
        self.send(worker, Errand::Line(ask), cx);
    }

    fn send(&mut self, worker: u16, errand: Errand, cx: &mut Context<'_>) {
        self.errands[usize::from(worker)].push_back(errand);
        self.run_errands(worker, cx);
    }

    /// There is room in the queue to `worker`, perhaps.
    pub(super) fn run_errands(&mut self, worker: u16, cx: &mut Context<'_>) {
        while cx.peers.may_ask(worker) {
            match self.errands[usize::from(worker)].pop_front() {
                Some(Errand::Channel(ask)) => cx.peers.ask(worker, ask, cx.out),
                Some(Errand::Line(ask)) => cx.peers.ask_line(worker, ask, cx.out),
                None => break,
            }
        }
    }
}
