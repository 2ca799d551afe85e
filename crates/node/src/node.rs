//! A running node: its workers, and the task that hands out accepted connections.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use trunkline_backend::Store;
use trunkline_model::{Limits, Namespaces, UserName};
use trunkline_ws_proto::DeflateOptions;

use crate::clock::Clock;
use crate::door::Door;
use crate::inbox::{Handle, Inboxes, Mail};
use crate::places::{Place, Places};
use crate::queues::Queues;
use crate::refusals::{Refusal, Refusals};
use crate::rpc::Rpc;
use crate::socket::Socket;
use crate::worker::{Agreement, Counted, Equipment, Worker};

/// How long accepting rests when the system has no descriptor or memory to give.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What speaks HTTP on an accepted connection, and hands upgraded sockets to [`Handle::attach`].
pub trait HttpServer: Send + Sync {
    /// Serves one connection to its end, on the worker's own runtime. When `drain` turns true it should end
    /// after the request it is at.
    fn serve(
        &self,
        socket: Socket,
        worker: Handle,
        drain: watch::Receiver<bool>,
    ) -> Pin<Box<dyn Future<Output = ()>>>;

    /// What a connection hears before it is closed because there is no place for it. Nothing, where it would not
    /// understand it.
    fn refusal(&self) -> &'static [u8] {
        FULL
    }
}

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n\
    Content-Type: text/plain\r\nContent-Length: 32\r\n\r\nthe server has no place for you\n";

/// A socket that is listened on.
#[derive(Debug)]
pub enum Listener {
    /// Of TCP.
    Tcp(std::net::TcpListener),
    /// Of the Unix domain. Its connections have no address, so none of them counts as an address's.
    Unix(std::os::unix::net::UnixListener),
}

impl Listener {
    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => listener.set_nonblocking(true),
            Self::Unix(listener) => listener.set_nonblocking(true),
        }
    }
}

/// What a node is made of.
pub struct NodeConfig {
    /// Every named cap.
    pub limits: Arc<Limits>,
    /// The namespaces there are.
    pub namespaces: Arc<Namespaces>,
    /// The log; its answers go to [`Inboxes::sink`].
    pub store: Arc<dyn Store>,
    /// How messages to clients are compressed that agreed on it. The largest such message is
    /// [`Limits::deflate_size_max`].
    pub deflate: DeflateOptions,
    /// Who says who a session is.
    pub door: Arc<dyn Door>,
    /// Who answers `rpc`; without anyone it is `not_found`.
    pub rpc: Option<Arc<dyn Rpc>>,
    /// Who speaks HTTP.
    pub http: Arc<dyn HttpServer>,
    /// How many connections each address may have.
    pub addresses: Arc<Places<IpAddr>>,
    /// How many WebSockets each user may have.
    pub users: Arc<Places<UserName>>,
    /// Addresses of proxies, which have as many connections as there is room for. Where the connections through them come
    /// from is said by [`Upgrade::address`](crate::Upgrade::address).
    pub proxies: Vec<IpAddr>,
    /// The socket that is listened on; accepting begins at once.
    pub listener: Listener,
}

/// A running node. Dropping it leaves it running; [`Node::stop`] ends it.
pub struct Node {
    handles: Vec<Handle>,
    threads: Vec<JoinHandle<io::Result<()>>>,
    connections: Arc<AtomicUsize>,
    crowded: Arc<AtomicBool>,
}

impl Node {
    /// Starts one worker for each inbox, and accepts connections from now on.
    ///
    /// # Errors
    /// The system's, if a thread, a runtime or a poll cannot be had.
    pub fn start(config: NodeConfig, inboxes: Inboxes) -> io::Result<Self> {
        let Inboxes { handles, receivers, meters } = inboxes;
        let crowded = Arc::new(AtomicBool::new(false));
        let wakes: Vec<_> = handles.iter().map(|handle| Arc::clone(&handle.wake)).collect();
        let connections = Arc::clone(&meters.connections);
        let agreement = Arc::new(Agreement::among(handles.len()));
        config.listener.set_nonblocking()?;
        let mut accepting = Some(config.listener);
        let mut threads = Vec::new();
        let queues = Queues::mesh(&wakes, config.limits.queue);
        let clock = Clock::start();
        for (index, (queues, inbox)) in queues.into_iter().zip(receivers).enumerate() {
            let equipment = Equipment {
                me: u16::try_from(index).expect("worker numbers are u16"),
                clock,
                handle: handles[index].clone(),
                inbox,
                queues,
                limits: Arc::clone(&config.limits),
                namespaces: Arc::clone(&config.namespaces),
                store: Arc::clone(&config.store),
                deflate: config.deflate,
                door: Arc::clone(&config.door),
                rpc: config.rpc.clone(),
                http: Arc::clone(&config.http),
                connections: Arc::clone(&connections),
                agreement: Arc::clone(&agreement),
                addresses: Arc::clone(&config.addresses),
                users: Arc::clone(&config.users),
                meters: meters.clone(),
            };
            let acceptor = accepting.take().map(|listener| Acceptor {
                listener,
                workers: handles.clone(),
                gate: Gate {
                    connections: Arc::clone(&connections),
                    limit: config.limits.connections,
                    crowded: Arc::clone(&crowded),
                    refusals: Arc::clone(&meters.refusals),
                    addresses: Arc::clone(&config.addresses),
                    proxies: config.proxies.clone(),
                    refusal: config.http.refusal(),
                },
            });
            let thread = std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || live(equipment, acceptor))?;
            threads.push(thread);
        }
        Ok(Self { handles, threads, connections, crowded })
    }

    /// From now on these are the namespaces and their rules. Each of those that were there has to be there still, with the
    /// same kind. Clients that follow what they may not follow any more are told `unsubscribed`.
    pub fn configure(&self, namespaces: &Arc<Namespaces>) {
        for handle in &self.handles {
            // A worker that has ended already needs no telling.
            let _ = handle.send(Mail::Configure(Arc::clone(namespaces)));
        }
    }

    /// Closes the listener and asks every client that speaks `trunkline.v1` to leave at a moment of its own within this
    /// time (`goaway`), so that they do not all come to the next server at once. All else goes on as usual, publishes
    /// included; [`Node::connections`] tells when they have gone, and [`Node::stop`] ends it.
    pub fn leave(&self, within: Duration) {
        for handle in &self.handles {
            // A worker that has ended already needs no telling.
            let _ = handle.send(Mail::Leave { within });
        }
    }

    /// Whether nobody else is let in for now (HTTP 503), because there is hardly any memory left.
    pub fn set_crowded(&self, crowded: bool) {
        self.crowded.store(crowded, Ordering::Relaxed);
    }

    /// How many connections there are, WebSocket and HTTP together.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Asks every worker to end: what was read is answered, everyone gets a close frame, and at the latest
    /// after [`Limits::shutdown_timeout`] it is over.
    pub fn stop(&self) {
        for handle in &self.handles {
            // A worker that has ended already needs no telling.
            let _ = handle.send(Mail::Drain);
        }
    }

    /// Whether a worker has ended, be it by [`Node::stop`] or because something broke.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Waits for the end of all workers. Blocks.
    ///
    /// # Errors
    /// What ended a worker, if it was not [`Node::stop`].
    pub fn join(self) -> io::Result<()> {
        let mut result = Ok(());
        for thread in self.threads {
            let ended = thread.join().unwrap_or_else(|_| Err(io::Error::other("a worker panicked")));
            result = result.and(ended);
        }
        result
    }
}

/// Accepts connections and hands them out, round robin.
struct Acceptor {
    listener: Listener,
    workers: Vec<Handle>,
    gate: Gate,
}

/// Who finds a place.
struct Gate {
    connections: Arc<AtomicUsize>,
    limit: usize,
    crowded: Arc<AtomicBool>,
    refusals: Arc<Refusals>,
    addresses: Arc<Places<IpAddr>>,
    proxies: Vec<IpAddr>,
    refusal: &'static [u8],
}

impl Acceptor {
    async fn run(self) -> io::Result<()> {
        let listener = Accepting::from_listener(self.listener)?;
        for worker in (0..self.workers.len()).cycle() {
            let (mut socket, from) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_REST).await;
                    continue;
                }
            };
            let place = match self.gate.place(from) {
                Ok(place) => place,
                Err(refusal) => {
                    self.gate.refuse(&mut socket, refusal);
                    continue;
                }
            };
            let counted = Counted::new(&self.gate.connections, place);
            if self.workers[worker].send(Mail::Accepted(socket, counted)).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Gate {
    /// A place for a connection, from this address if it has one.
    fn place(&self, from: Option<IpAddr>) -> Result<Option<Place<IpAddr>>, Refusal> {
        if self.connections.load(Ordering::Relaxed) >= self.limit {
            return Err(Refusal::Connections);
        }
        if self.crowded.load(Ordering::Relaxed) {
            return Err(Refusal::Memory);
        }
        match from.filter(|from| !self.proxies.contains(from)) {
            Some(from) => self.addresses.enter_from(from).map_err(|_| Refusal::Address),
            None => Ok(None),
        }
    }

    /// Tells a client that there is no place, as far as that goes without waiting.
    fn refuse(&self, socket: &mut Socket, refusal: Refusal) {
        self.refusals.note(refusal);
        if !self.refusal.is_empty() {
            socket.say(self.refusal);
        }
    }
}

/// A [`Listener`] on the runtime.
enum Accepting {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Accepting {
    fn from_listener(listener: Listener) -> io::Result<Self> {
        Ok(match listener {
            Listener::Tcp(listener) => Self::Tcp(tokio::net::TcpListener::from_std(listener)?),
            Listener::Unix(listener) => Self::Unix(tokio::net::UnixListener::from_std(listener)?),
        })
    }

    /// The next connection, and its address if it has one.
    async fn accept(&self) -> io::Result<(Socket, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, from) = listener.accept().await?;
                // Small messages must not wait for the acknowledgement of earlier ones.
                let _ = stream.set_nodelay(true);
                Ok((stream.into_std()?.into(), Some(from.ip().to_canonical())))
            }
            Self::Unix(listener) => Ok((listener.accept().await?.0.into_std()?.into(), None)),
        }
    }
}

/// The life of a worker's thread.
fn live(equipment: Equipment, acceptor: Option<Acceptor>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let worker = Worker::new(equipment)?;
        if let Some(acceptor) = acceptor {
            let mut drained = worker.drained();
            tokio::task::spawn_local(async move {
                tokio::select! {
                    ended = acceptor.run() => {
                        if let Err(error) = ended {
                            tracing::error!(%error, "no more connections are accepted");
                        }
                    }
                    _ = drained.wait_for(|drained| *drained) => {}
                }
            });
        }
        worker.run().await
    })
}
