//! What sessions of this worker ask of the application behind the server (`rpc`): the calls under way, and who waits
//! for which. Who the application is and how it is reached is the caller's business.
//!
//! A call counts until it is answered or has taken too long, also when its session has ended: the application is busy
//! with it still. No order between calls is promised, because nobody knows which of them takes longer.

use hashbrown::HashMap;
use trunkline_model::{
    ClientId, CommandId, ErrorCode, Fault, Form, Method, Payload, Reply, RpcRequest, UserName,
};

use super::{Sessions, reply_fault};
use crate::answers::busy;
use crate::input::SessionId;
use crate::output::Output;
use crate::session::{Phase, Session};
use crate::shard::Context;
use crate::timers::Due;

/// The calls under way.
#[derive(Debug, Default)]
pub(super) struct Calls {
    called: HashMap<u64, Caller>,
    next: u64,
}

/// Who waits for the answer.
#[derive(Debug)]
struct Caller {
    session: SessionId,
    id: Option<CommandId>,
}

impl Sessions {
    /// Asks the application, if it is not asked too much already.
    pub(super) fn call(
        &mut self,
        id: SessionId,
        name: Option<CommandId>,
        method: Method,
        data: Payload,
        cx: &mut Context<'_>,
    ) {
        let calls_max = self.limits.calls;
        if self.calls.called.len() >= calls_max {
            let message = format!(
                "this worker waits for {calls_max} answers of the application, its limit; nothing was asked"
            );
            reply_fault(id, busy(message).answering(name), cx);
            return;
        }
        let Some((client, user)) = self.caller(id) else { return };
        let call = self.calls.next;
        self.calls.next += 1;
        self.calls.called.insert(call, Caller { session: id, id: name });
        if let Some(session) = self.get_mut(id) {
            session.in_flight += 1;
        }
        cx.timers.set(&Due::Call(call), Some(cx.now.uptime + self.limits.call_timeout));
        let request = Box::new(RpcRequest { method, data, client, user });
        cx.out.push(Output::Call { call, request });
    }

    fn caller(&mut self, id: SessionId) -> Option<(ClientId, Option<UserName>)> {
        let Phase::Open(identity) = &self.get_mut(id)?.phase else { return None };
        Some((identity.client.clone(), identity.named.then(|| identity.user.clone())))
    }

    /// The session that waits for the answer to a call.
    pub(crate) fn who_called(&self, call: u64) -> Option<SessionId> {
        self.calls.called.get(&call).map(|caller| caller.session)
    }

    /// The application answers.
    pub(crate) fn called(&mut self, call: u64, result: Result<Payload, Fault>, cx: &mut Context<'_>) {
        cx.timers.set(&Due::Call(call), None);
        let answer = result.and_then(|data| self.check_answer(data));
        self.answer_call(call, answer, cx);
    }

    /// The application took too long.
    pub(crate) fn call_overdue(&mut self, call: u64, cx: &mut Context<'_>) {
        cx.out.push(Output::GiveUp { call });
        let message = format!(
            "the application did not answer within {} ms; it is unknown whether it did what was asked",
            self.limits.call_timeout.as_millis()
        );
        self.answer_call(call, Err(Fault::new(ErrorCode::Timeout, message)), cx);
    }

    /// Whether the application and the door have answered everything that they were asked. Looks at every session.
    pub(crate) fn is_settled(&self) -> bool {
        let asks_door = |session: &Session| matches!(session.phase, Phase::Admitting(_));
        self.calls.called.is_empty() && !self.slots.iter().flatten().any(|session| asks_door(session))
    }

    fn answer_call(&mut self, call: u64, answer: Result<Payload, Fault>, cx: &mut Context<'_>) {
        let Some(Caller { session, id }) = self.calls.called.remove(&call) else { return };
        if self.get_mut(session).is_none() {
            return;
        }
        let reply = match answer {
            Ok(data) => Reply::Result { id, data },
            Err(fault) => Reply::Fault(fault.answering(id)),
        };
        cx.out.push(Output::Reply { session, reply });
        self.answered(session, cx);
    }

    fn check_answer(&self, data: Payload) -> Result<Payload, Fault> {
        let (size, size_max) = (data.bytes.len(), self.limits.call_answer_max);
        if size > size_max {
            let message = format!(
                "the application did what was asked, but its answer has {size} bytes; at most {size_max} are passed on"
            );
            return Err(Fault::new(ErrorCode::Internal, message));
        }
        if data.form != Form::Json {
            let message = "the application did what was asked, but its answer is not JSON";
            return Err(Fault::new(ErrorCode::Internal, message));
        }
        Ok(data)
    }
}
