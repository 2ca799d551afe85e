//! A running server: what it is made of, and what of it can be changed while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Context as _;
use trunkline_backend::{Retentions, Store};
use trunkline_model::{ChannelName, Limits, Namespaces};
use trunkline_node::{Door, Inboxes, Listener, Node, NodeConfig, Places, Rpc};
use trunkline_store_sqlite::{Options, SqliteStore};

use crate::acme;
use crate::admin::{AdminServer, Administrators};
use crate::cli::Failure;
use crate::config::{Configuration, Drain, FRAME_PER_MESSAGE, LimitSettings, Settings, TlsSettings};
use crate::door::{KEY_SIZE, ServerDoor};
use crate::half_open::HalfOpen;
use crate::http::{Http, Readiness, Shared};
use crate::log::Log;
use crate::metrics::Metrics;
use crate::origins::Origins;
use crate::refused::Refused;
use crate::rpc::Application;
use crate::tls::Tls;
use crate::upgrade::Terms;
use crate::{dev_key, files, process};

/// How much of the memory that there is may be used before nobody else is let in, if nothing else is said.
const MEMORY_PERCENT: u64 = 85;
/// How much of what is allowed is used at most when the door is opened again.
const MEMORY_FREE_PERCENT: u64 = 95;

/// Starts a server of these settings, on this listener.
///
/// # Errors
/// The settings cannot be met: by the system, the disk, or in themselves.
pub(crate) fn start(
    mut settings: Settings,
    configuration: Configuration,
    log: Log,
    listener: Listener,
    tls: Option<Arc<Tls>>,
) -> anyhow::Result<Server> {
    let caps = Arc::new(caps(&settings)?);
    let inboxes = Inboxes::new(settings.server.workers.unwrap_or_else(cores));
    let kept = Options { retentions: Retentions::from(&settings.namespaces), ..Options::default() };
    let store = Arc::new(SqliteStore::open(&settings.server.data, inboxes.sink(), kept)?);
    let key = store.get_or_create("session-key", new_key).context("the session key could not be read")?;
    // It is kept beside the database, in a directory that is there now.
    dev_key::add(&mut settings, configuration.mode).map_err(anyhow::Error::msg)?;
    let Settings { namespaces, compression, rpc, auth, server, limits, admin, .. } = settings;
    let rooms = Arc::new(AtomicBool::new(has_rooms(&namespaces)));
    let terms = Terms {
        rooms: Arc::clone(&rooms),
        compression: compression.is_some(),
        cookie: auth.cookie.as_deref().map(Arc::from),
    };
    let application = rpc.map(|rpc| Application::new(rpc.url, caps.call_answer_max)).transpose();
    let application = application.map_err(|error| anyhow::anyhow!("[rpc]: {error}"))?;
    let door = ServerDoor::new(&key, auth).map_err(|error| anyhow::anyhow!("[auth.jwks]: {error}"))?;
    let meters = inboxes.meters();
    let refusals = Arc::clone(&meters.refusals);
    let shared = Shared {
        door: Arc::new(door),
        addresses: Arc::new(Places::up_to(limits.connections_per_address)),
        users: Arc::new(Places::up_to(limits.connections_per_user)),
        origins: Origins::new(server.origins.clone(), Arc::clone(&refusals)),
        ready: Readiness::of(tls.clone()),
        // The other half of all places is for those who say what they want.
        half_open: HalfOpen::up_to((caps.connections / 2).max(1)),
        crowded: Arc::default(),
        administrators: Administrators::new(admin.token, server.local, Arc::clone(&refusals)),
        metrics: Metrics::of(meters.clone(), tls.clone()),
        refusals,
    };
    let admin = admin.listen.map(|address| AdminServer::bind(address, &shared)).transpose()?;
    let (drain, memory) = (server.drain, Memory::of(&limits));
    let config = NodeConfig {
        addresses: Arc::clone(&shared.addresses),
        users: Arc::clone(&shared.users),
        proxies: server.proxies.clone(),
        http: Arc::new(Http::new(&caps, terms, &server, tls.clone(), shared.clone())),
        limits: Arc::clone(&caps),
        namespaces: Arc::new(namespaces),
        store: Arc::clone(&store) as Arc<dyn Store>,
        deflate: compression.unwrap_or_default(),
        door: Arc::clone(&shared.door) as Arc<dyn Door>,
        rpc: application.map(|application| Arc::new(application) as Arc<dyn Rpc>),
        listener,
    };
    let node = Node::start(config, inboxes).context("the workers could not be started")?;
    if let (Some(TlsSettings::Acme(settings)), Some(tls)) = (server.tls, &tls) {
        acme::start(settings, &server.data, Arc::clone(tls))
            .map_err(|error| anyhow::anyhow!("[server.acme]: {error}"))?;
    }
    let refused = Refused::of(meters);
    Ok(Server { node, configuration, log, caps, rooms, store, shared, admin, memory, refused, tls, drain })
}

/// A running server, and what of it can be changed.
pub(crate) struct Server {
    pub(crate) node: Node,
    configuration: Configuration,
    log: Log,
    caps: Arc<Limits>,
    /// Whether there are any.
    rooms: Arc<AtomicBool>,
    store: Arc<SqliteStore>,
    pub(crate) shared: Shared,
    /// What is still to be served on an address of its own.
    pub(crate) admin: Option<AdminServer>,
    memory: Memory,
    /// What clients were refused.
    refused: Refused,
    tls: Option<Arc<Tls>>,
    pub(crate) drain: Drain,
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
            Ok(0) => tracing::info!(
                "the configuration was read again; no setting has changed, files that they name are taken over"
            ),
            Ok(changed) => tracing::info!(changed, "the configuration was read again and taken over"),
            Err(error) => {
                tracing::error!("the configuration was read again, and nothing of it taken over: {error}")
            }
        }
    }

    /// Looks whether the files of the certificate have changed.
    pub(crate) fn look_at_certificate(&self) {
        if let Some(tls) = &self.tls {
            tls.look();
        }
    }

    /// Looks at what changes by itself. To be called now and then.
    pub(crate) fn look(&mut self, now: Instant) {
        self.look_at_memory();
        self.refused.look(now);
        self.shared.half_open.look(now);
    }

    /// Looks whether there is memory for others.
    fn look_at_memory(&mut self) {
        let crowded = self.memory.is_crowded();
        self.node.set_crowded(crowded);
        self.shared.crowded.store(crowded, Ordering::Relaxed);
    }

    /// How many settings have changed.
    fn take_over(&mut self) -> Result<usize, String> {
        let (mut settings, changed) = self.configuration.read_again(&self.caps)?;
        dev_key::add(&mut settings, self.configuration.mode)?;
        let namespaces = Arc::new(settings.namespaces);
        self.log.configure(&settings.log);
        self.drain = settings.server.drain;
        self.shared.addresses.set_max(settings.limits.connections_per_address);
        self.shared.users.set_max(settings.limits.connections_per_user);
        self.memory = Memory::of(&settings.limits);
        self.shared.administrators.set(settings.admin.token);
        self.shared.origins.set(settings.server.origins);
        self.store.set_retentions(Retentions::from(&*namespaces));
        self.shared.door.configure(settings.auth);
        self.rooms.store(has_rooms(&namespaces), Ordering::Relaxed);
        self.node.configure(&namespaces);
        Ok(changed)
    }
}

fn has_rooms(namespaces: &Namespaces) -> bool {
    namespaces.of(&ChannelName::parse("room:x").expect("a valid name")).is_some()
}

fn cores() -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u16::try_from(cores.min(256)).unwrap_or(1)
}

fn caps(settings: &Settings) -> Result<Limits, Failure> {
    let Settings { namespaces, limits, auth, rpc, .. } = settings;
    let defaults = Limits::default();
    let message_max = namespaces.message_size_max() * FRAME_PER_MESSAGE;
    Ok(Limits {
        connections: limits.connections.min(files::connections_max()?),
        subscriptions: limits.subscriptions,
        command_rate: limits.commands,
        outbox_bytes: limits.outbox,
        handshake_timeout: limits.handshake,
        // Who has shown nothing keeps no place from others.
        first_command: if auth.anonymous { defaults.first_command } else { limits.handshake },
        call_timeout: rpc.as_ref().map_or(defaults.call_timeout, |rpc| rpc.timeout),
        frame_size_max: defaults.frame_size_max.max(message_max),
        http_body: defaults.http_body.max(message_max),
        ..defaults
    })
}

fn new_key() -> Vec<u8> {
    let mut key = vec![0; KEY_SIZE];
    getrandom::fill(&mut key).expect("the system has randomness once it is up");
    key
}
