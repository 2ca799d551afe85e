//! A running server: what it is made of, and what of it can be changed while it runs.

use std::net::{IpAddr, TcpListener};
use std::sync::Arc;

use anyhow::Context as _;
use trunkline_backend::{Retentions, Store};
use trunkline_model::{ChannelName, Limits, Namespaces, UserName};
use trunkline_node::{Door, Inboxes, Node, NodeConfig, Places, Rpc};
use trunkline_store_sqlite::{Options, SqliteStore};

use crate::admin::{AdminServer, Administrators};
use crate::cli::Failure;
use crate::config::{Configuration, Drain, FRAME_PER_MESSAGE, LimitSettings, Settings};
use crate::door::{KEY_SIZE, ServerDoor};
use crate::http::{Http, Readiness, Shared};
use crate::metrics::Metrics;
use crate::origins::Origins;
use crate::rpc::Application;
use crate::run::listen;
use crate::upgrade::Terms;
use crate::{files, process};

/// How much of the memory that there is may be used before nobody else is let in, if nothing else is said.
const MEMORY_PERCENT: u64 = 85;
/// How much of what is allowed is used at most when the door is opened again.
const MEMORY_FREE_PERCENT: u64 = 95;

/// Starts a server of these settings, on this listener.
///
/// # Errors
/// The settings cannot be met: by the system, the disk, or in themselves.
pub(crate) fn start(
    settings: Settings,
    configuration: Configuration,
    listener: TcpListener,
) -> anyhow::Result<Server> {
    let Settings { namespaces, compression, rpc, auth, server, limits, admin, .. } = settings;
    let room = ChannelName::parse("room:x").expect("a valid name");
    let terms = Terms {
        rooms: namespaces.of(&room).is_some(),
        compression: compression.is_some(),
        cookie: auth.cookie.as_deref().map(Arc::from),
    };
    let mut caps = caps(&namespaces, &limits)?;
    if !auth.anonymous {
        // Who has shown nothing keeps no place from others.
        caps.first_command = caps.handshake_timeout;
    }
    caps.call_timeout = rpc.as_ref().map_or(caps.call_timeout, |rpc| rpc.timeout);
    let application = rpc.map(|rpc| Application::new(rpc.url, caps.call_answer_max)).transpose();
    let application = application.map_err(|error| anyhow::anyhow!("[rpc]: {error}"))?;
    let inboxes = Inboxes::new(server.workers.unwrap_or_else(cores));
    let kept = Options { retentions: Retentions::from(&namespaces), ..Options::default() };
    let store = Arc::new(SqliteStore::open(&server.data, inboxes.sink(), kept)?);
    let key = store.get_or_create("session-key", new_key).context("the session key could not be read")?;
    let door = ServerDoor::new(&key, auth).map_err(|error| anyhow::anyhow!("[auth.jwks]: {error}"))?;
    let door = Arc::new(door);
    let addresses = Arc::new(Places::up_to(limits.connections_per_address));
    let users = Arc::new(Places::up_to(limits.connections_per_user));
    let meters = inboxes.meters();
    let (refusals, metrics) = (Arc::clone(&meters.refusals), Metrics::of(meters));
    let origins = Origins::new(server.origins.clone(), Arc::clone(&refusals));
    let ready = Readiness::default();
    let administrators = Administrators::new(admin.token, server.local, Arc::clone(&refusals));
    let admin = admin.listen.map(listen).transpose()?;
    let admin =
        admin.map(|listener| AdminServer::new(listener, &administrators, metrics.clone(), ready.clone()));
    let (drain, proxies, caps) = (server.drain, server.proxies.clone(), Arc::new(caps));
    let shared = Shared {
        door: Arc::clone(&door),
        origins: origins.clone(),
        ready: ready.clone(),
        administrators: administrators.clone(),
        metrics,
        refusals,
    };
    let config = NodeConfig {
        addresses: Arc::clone(&addresses),
        users: Arc::clone(&users),
        proxies,
        http: Arc::new(Http::new(&caps, terms, server, shared)),
        limits: Arc::clone(&caps),
        namespaces: Arc::new(namespaces),
        store: Arc::clone(&store) as Arc<dyn Store>,
        deflate: compression.unwrap_or_default(),
        door: Arc::clone(&door) as Arc<dyn Door>,
        rpc: application.map(|application| Arc::new(application) as Arc<dyn Rpc>),
        listener,
    };
    let node = Node::start(config, inboxes).context("the workers could not be started")?;
    let memory = Memory::of(&limits);
    let places = Seats { addresses, users };
    Ok(Server {
        node,
        configuration,
        caps,
        store,
        door,
        places,
        origins,
        ready,
        administrators,
        admin,
        memory,
        drain,
    })
}

/// A running server, and what of it can be changed.
pub(crate) struct Server {
    pub(crate) node: Node,
    configuration: Configuration,
    caps: Arc<Limits>,
    store: Arc<SqliteStore>,
    door: Arc<ServerDoor>,
    places: Seats,
    origins: Origins,
    pub(crate) ready: Readiness,
    administrators: Administrators,
    /// What is still to be served on an address of its own.
    pub(crate) admin: Option<AdminServer>,
    memory: Memory,
    pub(crate) drain: Drain,
}

/// How many connections each may have.
struct Seats {
    addresses: Arc<Places<IpAddr>>,
    users: Arc<Places<UserName>>,
}

/// How much memory the process may have before nobody else is let in, in bytes.
struct Memory {
    /// `None` where it is not known what there is.
    max: Option<u64>,
    crowded: bool,
}

impl Memory {
    fn of(limits: &LimitSettings) -> Self {
        let said = limits.memory.map(|bytes| bytes as u64);
        Self {
            max: said.or_else(|| process::memory_bytes().map(|bytes| bytes / 100 * MEMORY_PERCENT)),
            crowded: false,
        }
    }

    /// Whether there is no room for others now. Once there is none, some has to be free again before there is.
    fn is_crowded(&mut self) -> bool {
        let Some((max, used)) = self.max.zip(process::resident_bytes()) else { return false };
        let bound = if self.crowded { max / 100 * MEMORY_FREE_PERCENT } else { max };
        let crowded = used > bound;
        if crowded != self.crowded {
            tracing::warn!(used, max, crowded, "the memory that `limits.memory` allows");
        }
        self.crowded = crowded;
        crowded
    }
}

impl Server {
    /// Reads the configuration anew and takes over what has changed: all of it, or nothing.
    pub(crate) fn reload(&mut self) {
        match self.take_over() {
            Ok(0) => tracing::info!("the configuration was read again; nothing has changed"),
            Ok(changed) => tracing::info!(changed, "the configuration was read again and taken over"),
            Err(error) => {
                tracing::error!("the configuration was read again, and nothing of it taken over: {error}")
            }
        }
    }

    /// Looks whether there is memory for others.
    pub(crate) fn look_at_memory(&mut self) {
        let crowded = self.memory.is_crowded();
        self.node.set_crowded(crowded);
    }

    /// How many settings have changed.
    fn take_over(&mut self) -> Result<usize, String> {
        let (settings, changed) = self.configuration.read_again(&self.caps)?;
        let namespaces = Arc::new(settings.namespaces);
        self.drain = settings.server.drain;
        self.places.addresses.set_max(settings.limits.connections_per_address);
        self.places.users.set_max(settings.limits.connections_per_user);
        self.memory = Memory::of(&settings.limits);
        self.administrators.set(settings.admin.token);
        self.origins.set(settings.server.origins);
        self.store.set_retentions(Retentions::from(&*namespaces));
        self.door.configure(settings.auth);
        self.node.configure(&namespaces);
        Ok(changed)
    }
}

fn cores() -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u16::try_from(cores.min(256)).unwrap_or(1)
}

fn caps(namespaces: &Namespaces, said: &LimitSettings) -> Result<Limits, Failure> {
    let defaults = Limits::default();
    Ok(Limits {
        connections: said.connections.min(files::connections_max()?),
        subscriptions: said.subscriptions,
        outbox_bytes: said.outbox,
        handshake_timeout: said.handshake,
        frame_size_max: defaults.frame_size_max.max(namespaces.message_size_max() * FRAME_PER_MESSAGE),
        http_body: defaults.http_body.max(namespaces.message_size_max() * FRAME_PER_MESSAGE),
        ..defaults
    })
}

fn new_key() -> Vec<u8> {
    let mut key = vec![0; KEY_SIZE];
    getrandom::fill(&mut key).expect("the system has randomness once it is up");
    key
}
