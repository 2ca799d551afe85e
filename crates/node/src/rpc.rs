//! Who answers what clients ask of the application (`rpc`), and how a worker asks: each call is a task on the worker's
//! own runtime, its answer a letter to the worker. How many at a time, and for how long, is the hub's to decide.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use trunkline_hub::{Input, Moment};
use trunkline_model::{ErrorCode, Fault, Payload, RpcRequest};

use crate::inbox::{Handle, Mail};
use crate::worker::Worker;

/// The application behind the server, as far as clients may ask it things.
pub trait Rpc: Send + Sync {
    /// Does what is asked and gives the answer, JSON ([`Form::Json`](trunkline_model::Form::Json)), or why it was not
    /// done, with one of the codes that every client knows.
    ///
    /// It runs on a worker, beside the worker's connections, so it must not block. Many run at a time, in no order. One
    /// that takes longer than [`Limits::call_timeout`](trunkline_model::Limits::call_timeout) is dropped, wherever it
    /// waits. One that panics is answered with `internal`.
    fn call(&self, request: RpcRequest) -> Pin<Box<dyn Future<Output = Result<Payload, Fault>> + Send>>;
}

/// A call under way. It is answered when it is over, however it ends.
struct Answering {
    worker: Handle,
    call: u64,
    result: Option<Result<Payload, Fault>>,
}

impl Answering {
    fn finish(mut self, result: Result<Payload, Fault>) {
        self.result = Some(result);
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or_else(|| {
            let message =
                "the application failed before it answered; it is unknown whether it did what was asked";
            Err(Fault::new(ErrorCode::Internal, message))
        });
        // A worker that has ended tells nobody any more.
        let _ = self.worker.send(Mail::Called { call: self.call, result });
    }
}

impl Worker {
    pub(crate) fn ask_application(&mut self, now: Moment, call: u64, request: RpcRequest) {
        let Some(rpc) = self.rpc.as_ref().map(Arc::clone) else {
            let message =
                "this server has no application to ask: `url` of `[rpc]` in its configuration would name one";
            let result = Err(Fault::new(ErrorCode::NotFound, message));
            self.hub.handle(now, Input::Called { call, result }, &mut self.outputs);
            return;
        };
        let answering = Answering { worker: self.handle.clone(), call, result: None };
        let task = tokio::task::spawn_local(async move {
            let result = rpc.call(request).await;
            answering.finish(result);
        });
        self.calls.insert(call, task.abort_handle());
    }

    /// Nobody waits for this answer any more.
    pub(crate) fn give_up(&mut self, call: u64) {
        if let Some(task) = self.calls.remove(&call) {
            task.abort();
        }
    }

    pub(crate) fn called(&mut self, now: Moment, call: u64, result: Result<Payload, Fault>) {
        self.calls.remove(&call);
        self.hub.handle(now, Input::Called { call, result }, &mut self.outputs);
    }
}
