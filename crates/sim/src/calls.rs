//! The application behind a simulated node: it is asked (`rpc`), may be left thinking, and answers one call at a time. What
//! it does is what it is told to by its method; nothing of it is the hub's.

use std::collections::VecDeque;

use trunkline_hub::Input;
use trunkline_model::{ErrorCode, Fault, Form, Payload, RpcRequest};

use crate::node::Node;

/// The calls that have no answer yet, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    waiting: VecDeque<Call>,
    given_up: usize,
}

#[derive(Debug)]
struct Call {
    worker: u16,
    number: u64,
    request: RpcRequest,
}

impl Calls {
    pub(crate) fn ask(&mut self, worker: u16, number: u64, request: RpcRequest) {
        self.waiting.push_back(Call { worker, number, request });
    }

    pub(crate) fn give_up(&mut self, worker: u16, number: u64) {
        self.waiting.retain(|call| (call.worker, call.number) != (worker, number));
        self.given_up += 1;
    }
}

impl Node {
    /// How many calls the application has not answered; those that were given up are not among them.
    pub fn waiting_calls(&self) -> usize {
        self.calls.waiting.len()
    }

    /// How many calls were given up.
    pub fn calls_given_up(&self) -> usize {
        self.calls.given_up
    }

    /// The application answers one of the calls that wait: `echo` with what it was given, `whoami` with who asks, `large`
    /// with so many bytes, `text` with what is no JSON; anything else is `forbidden`. `false` if there is no such call.
    pub fn answer_call(&mut self, index: usize) -> bool {
        let Some(Call { worker, number, request }) = self.calls.waiting.remove(index) else { return false };
        let result = carry_out(request);
        self.handle(worker, Input::Called { call: number, result });
        true
    }
}

fn carry_out(request: RpcRequest) -> Result<Payload, Fault> {
    let RpcRequest { method, data, client, user } = request;
    let user = user.as_ref().map_or("nobody", |user| user.as_str());
    match method.as_str() {
        "echo" => Ok(data),
        "whoami" => Ok(Payload::new(Form::Json, format!("\"{user} {}\"", client.as_str()))),
        "large" => {
            let size: usize = String::from_utf8_lossy(&data.bytes).parse().expect("`large` is told a size");
            Ok(Payload::new(Form::Json, "1".repeat(size)))
        }
        "text" => Ok(Payload::new(Form::Text, "no JSON")),
        other => Err(Fault::new(ErrorCode::Forbidden, format!("{other} is not for you"))),
    }
}
