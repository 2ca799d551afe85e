//! One worker: a thread with its own runtime, its connections, its hub. This file is its life; what it does
//! in one turn is in `turn`.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use mio::{Events, Poll};
use slab::Slab;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::AbortHandle;
use trunkline_backend::{Request, Store};
use trunkline_hub::{Hub, Output, SessionId};
use trunkline_model::{Epoch, Limits, Namespaces, Reply, UserName};
use trunkline_ws_proto::{self as wire, DeflateOptions, DeflatePool};

use crate::clock::Clock;
use crate::connection::Connection;
use crate::deadlines::Deadlines;
use crate::door::Door;
use crate::inbox::{Handle, Mail};
use crate::meters::{Meter, Meters, Submitted};
use crate::node::HttpServer;
use crate::outbox::Outboxes;
use crate::places::{Place, Places};
use crate::queues::Queues;
use crate::refusals::Refusals;
use crate::rpc::Rpc;
use crate::socket::Socket;
use crate::transport::Buffers;

/// How many turns a worker may find something to do at once before other tasks of its runtime get theirs.
const TURNS_AWAKE: u32 = 8;
/// How many readiness events are taken at a time.
const EVENTS: usize = 1_024;

/// Everything that a worker is given to begin with.
pub(crate) struct Equipment {
    pub(crate) me: u16,
    /// One for all, so that what happened at two workers can be put in order.
    pub(crate) clock: Clock,
    pub(crate) handle: Handle,
    pub(crate) inbox: Receiver<Mail>,
    pub(crate) queues: Queues,
    pub(crate) limits: Arc<Limits>,
    pub(crate) namespaces: Arc<Namespaces>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) deflate: DeflateOptions,
    pub(crate) door: Arc<dyn Door>,
    pub(crate) rpc: Option<Arc<dyn Rpc>>,
    pub(crate) http: Arc<dyn HttpServer>,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) agreement: Arc<Agreement>,
    pub(crate) addresses: Arc<Places<IpAddr>>,
    pub(crate) users: Arc<Places<UserName>>,
    pub(crate) meters: Meters,
}

/// One worker.
pub(crate) struct Worker {
    pub(crate) clock: Clock,
    pub(crate) limits: Arc<Limits>,
    pub(crate) hub: Hub,
    pub(crate) queues: Queues,
    pub(crate) inbox: Receiver<Mail>,
    pub(crate) store: Arc<dyn Store>,
    /// The life that the store was in at the last look.
    pub(crate) epoch: Option<Epoch>,
    pub(crate) door: Arc<dyn Door>,
    pub(crate) rpc: Option<Arc<dyn Rpc>>,
    /// The calls of the application that have no answer yet: at most [`Limits::calls`], as the hub counts them.
    pub(crate) calls: HashMap<u64, AbortHandle>,
    pub(crate) poll: AsyncFd<Poll>,
    pub(crate) entries: Slab<Entry>,
    pub(crate) generation: u32,
    pub(crate) deadlines: Deadlines,
    pub(crate) outboxes: Outboxes,
    pub(crate) outputs: Vec<Output>,
    pub(crate) performing: bool,
    /// Sessions that fell behind while the outputs are carried out.
    pub(crate) lagging: Vec<SessionId>,
    pub(crate) to_store: Vec<Request>,
    pub(crate) ready: VecDeque<usize>,
    pub(crate) dirty: Vec<usize>,
    pub(crate) buffers: Buffers,
    pub(crate) scratch: Vec<u8>,
    /// What compresses and inflates for all connections.
    pub(crate) deflate: DeflatePool,
    pub(crate) wire_limits: WireLimits,
    pub(crate) phase: Phase,
    pub(crate) ticked_at: u32,
    events: Events,
    pub(crate) handle: Handle,
    wake: Arc<Notify>,
    http: Arc<dyn HttpServer>,
    http_open: Rc<()>,
    pub(crate) drain: watch::Sender<bool>,
    /// Up to which uptime everyone is asked to leave, if they are.
    pub(crate) leaving: Option<Duration>,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) agreement: Arc<Agreement>,
    pub(crate) addresses: Arc<Places<IpAddr>>,
    pub(crate) users: Arc<Places<UserName>>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) submitted: Submitted,
    /// Whether this worker counts as settled in the agreement.
    pub(crate) settled: bool,
}

/// What sits at a session's index.
pub(crate) enum Entry {
    /// A WebSocket connection.
    Socket(Connection),
    /// One command from HTTP, and who waits for its reply.
    Call {
        /// Which user of the slot.
        generation: u32,
        /// Who waits.
        reply: oneshot::Sender<Reply>,
    },
}

/// What each protocol lets in.
pub(crate) struct WireLimits {
    pub(crate) session: Arc<wire::Limits>,
    pub(crate) echo: Arc<wire::Limits>,
}

/// How far the worker's life has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// As usual.
    Running,
    /// Nothing more is read; what was read is being answered. Over at this uptime at the latest.
    Settling(Duration),
    /// Everyone was sent a close frame. Over at this uptime at the latest.
    Closing(Duration),
}

impl Worker {
    pub(crate) fn new(equipment: Equipment) -> io::Result<Self> {
        let Equipment {
            me,
            clock,
            handle,
            inbox,
            queues,
            limits,
            namespaces,
            store,
            deflate,
            door,
            rpc,
            http,
            connections,
            agreement,
            addresses,
            users,
            meters,
        } = equipment;
        let workers = queues.workers();
        let size_max = u32::try_from(limits.deflate_size_max).unwrap_or(u32::MAX);
        let deflate = DeflateOptions { size_max, ..deflate };
        let wire_limits = WireLimits {
            session: Arc::new(wire_limits(limits.frame_size_max)),
            echo: Arc::new(wire_limits(limits.echo_size_max)),
        };
        Ok(Self {
            clock,
            hub: Hub::new(me, workers, Arc::clone(&limits), namespaces),
            limits,
            queues,
            inbox,
            store,
            epoch: None,
            door,
            rpc,
            calls: HashMap::new(),
            poll: nested_poll()?,
            entries: Slab::new(),
            generation: 0,
            deadlines: Deadlines::new(),
            outboxes: Outboxes::default(),
            outputs: Vec::new(),
            performing: false,
            lagging: Vec::new(),
            to_store: Vec::new(),
            ready: VecDeque::new(),
            dirty: Vec::new(),
            buffers: Buffers::new(),
            scratch: Vec::new(),
            deflate: DeflatePool::new(deflate),
            wire_limits,
            phase: Phase::Running,
            ticked_at: 0,
            events: Events::with_capacity(EVENTS),
            wake: Arc::clone(&handle.wake),
            handle,
            http,
            http_open: Rc::new(()),
            drain: watch::Sender::new(false),
            leaving: None,
            connections,
            agreement,
            addresses,
            users,
            meter: Arc::clone(&meters.workers[usize::from(me)]),
            refusals: meters.refusals,
            submitted: Submitted::default(),
            settled: false,
        })
    }

    /// Lives until it has been told to end and everything is said, or something in the system breaks.
    pub(crate) async fn run(mut self) -> io::Result<()> {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut awake = 0;
        loop {
            if self.ready.is_empty() && awake < TURNS_AWAKE {
                let slept = self.sleep(&mut tick).await?;
                awake = if slept { 0 } else { awake + 1 };
            } else {
                // HTTP, timers and other tasks of this runtime get their turn too.
                tokio::task::yield_now().await;
                awake = 0;
            }
            self.take_events()?;
            self.turn();
            if self.is_over() {
                return Ok(());
            }
        }
    }

    /// Waits for something to do, and says whether there was nothing at first.
    async fn sleep(&mut self, tick: &mut tokio::time::Interval) -> io::Result<bool> {
        let wake = Arc::clone(&self.wake);
        let due_in = self.hub.wakes_at().map(|at| at.saturating_sub(self.clock.now().uptime));
        let mut slept = false;
        let mut something = std::pin::pin!(async {
            tokio::select! {
                readiness = self.poll.readable_mut() => {
                    // Cleared first: what becomes ready while the events are taken wakes again.
                    readiness?.clear_ready();
                }
                () = wake.notified() => {}
                _ = tick.tick() => {}
                () = pass(due_in) => {}
            }
            io::Result::Ok(())
        });
        std::future::poll_fn(|cx| {
            let polled = something.as_mut().poll(cx);
            slept |= polled.is_pending();
            polled
        })
        .await?;
        Ok(slept)
    }

    /// Lets an accepted connection speak HTTP on this worker, until it ends or is upgraded.
    pub(crate) fn serve_http(&mut self, socket: Socket, counted: Counted) {
        let (open, wake) = (Rc::clone(&self.http_open), Arc::clone(&self.wake));
        let served = self.http.serve(socket, self.handle.clone(), self.drain.subscribe());
        tokio::task::spawn_local(async move {
            served.await;
            drop((counted, open));
            // The worker may be waiting for the last one.
            wake.notify_one();
        });
    }

    /// Turns true when the worker begins to end.
    pub(crate) fn drained(&self) -> watch::Receiver<bool> {
        self.drain.subscribe()
    }

    /// Stops reading; HTTP connections end after the request they are at.
    pub(crate) fn begin_drain(&mut self) {
        if self.phase == Phase::Running {
            self.phase = Phase::Settling(self.clock.now().uptime + self.limits.shutdown_timeout);
            // Perhaps they know already.
            self.drain.send_if_modified(|drain| !std::mem::replace(drain, true));
        }
    }

    fn take_events(&mut self) -> io::Result<()> {
        loop {
            match self.poll.get_mut().poll(&mut self.events, Some(Duration::ZERO)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let mut count = 0;
            for event in &self.events {
                count += 1;
                let key = event.token().0;
                let Some(Entry::Socket(connection)) = self.entries.get_mut(key) else { continue };
                connection.flags.read_closed |= event.is_read_closed() || event.is_error();
                let reads = event.is_readable() || event.is_read_closed() || event.is_error();
                if reads && !connection.flags.queued {
                    connection.flags.queued = true;
                    self.ready.push_back(key);
                }
                // The socket took bytes: the other side reads.
                let takes_bytes = event.is_writable() && connection.blocked_at.take().is_some();
                if takes_bytes && !std::mem::replace(&mut connection.flags.dirty, true) {
                    self.dirty.push(key);
                }
            }
            if count < EVENTS {
                return Ok(());
            }
        }
    }

    fn is_over(&self) -> bool {
        let Phase::Closing(until) = self.phase else { return false };
        let silent = self.entries.is_empty() && Rc::strong_count(&self.http_open) == 1;
        silent || self.clock.now().uptime >= until
    }
}

/// Waits so long; without end if nothing is waited for.
async fn pass(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// A poll within the runtime's own: the runtime sleeps once for everything.
fn nested_poll() -> io::Result<AsyncFd<Poll>> {
    #[expect(
        deprecated,
        reason = "its successor is unsafe and asks that the descriptor stays the same and open; a Poll's does"
    )]
    AsyncFd::new(Poll::new()?)
}

fn wire_limits(size_max: usize) -> wire::Limits {
    wire::Limits { message_size_max: size_max, frame_size_max: size_max, ..wire::Limits::default() }
}

/// When all workers have answered what was read: what one of them still does may be announced by another.
#[derive(Debug)]
pub(crate) struct Agreement {
    unsettled: AtomicUsize,
    reached: AtomicBool,
}

impl Agreement {
    pub(crate) fn among(workers: usize) -> Self {
        Self { unsettled: AtomicUsize::new(workers), reached: AtomicBool::new(false) }
    }

    /// A worker that has begun to settle is settled now, or no longer. Whether that was the last one.
    pub(crate) fn settled(&self, settled: bool) -> bool {
        if !settled {
            self.unsettled.fetch_add(1, Ordering::AcqRel);
            return false;
        }
        let last = self.unsettled.fetch_sub(1, Ordering::AcqRel) == 1;
        // For good: the goodbyes that follow unsettle nobody any more.
        last && !self.reached.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn is_reached(&self) -> bool {
        self.reached.load(Ordering::Acquire)
    }
}

/// One connection in the node's count, for as long as it lives.
pub(crate) struct Counted {
    count: Arc<AtomicUsize>,
    /// And in that of its address, where these are counted.
    _place: Option<Place<IpAddr>>,
}

impl Counted {
    pub(crate) fn new(count: &Arc<AtomicUsize>, place: Option<Place<IpAddr>>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self { count: Arc::clone(count), _place: place }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}
