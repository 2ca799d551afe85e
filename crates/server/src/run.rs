//! `trunkline dev`: a server for development, open to everyone on this machine and to nobody else. `trunkline serve`: one for
//! others, that lets in who has a token.

use std::io::{self, IsTerminal as _, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use trunkline_backend::Retentions;
use trunkline_model::{ChannelName, Limits, Namespaces};
use trunkline_node::{Addresses, Inboxes, Node, NodeConfig, Rpc};
use trunkline_store_sqlite::{Options, SqliteStore};

use crate::cli::{DevOptions, Failure, ServeOptions};
use crate::config::{Drain, EXAMPLE};
use crate::door::{KEY_SIZE, ServerDoor};
use crate::http::{Http, Readiness};
use crate::rpc::Application;
use crate::upgrade::Terms;
use crate::{config::Settings, files};

/// How often it is looked whether a worker has died.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);
/// How often it is looked whether all clients have left.
const LEAVING_WATCH: Duration = Duration::from_millis(50);
/// A frame may be so many times larger than a message before it is more than an error.
const FRAME_PER_MESSAGE: usize = 4;

/// Runs until Ctrl-C or SIGTERM.
pub(crate) fn dev(options: &DevOptions) -> anyhow::Result<()> {
    let DevOptions { listen, data, config, workers } = options;
    start_logging();
    let mut settings = Settings::dev();
    if let Some(path) = config {
        settings.read_over(path)?;
    }
    refuse_other_machines(*listen)?;
    run(settings, *listen, data, *workers, announce_dev)
}

/// Runs until Ctrl-C or SIGTERM, if the configuration is one to meet strangers with.
pub(crate) fn serve(options: &ServeOptions) -> anyhow::Result<()> {
    let ServeOptions { listen, data, config, workers } = options;
    let Some(path) = config else {
        let message = format!(
            "`trunkline serve` needs a configuration that says who may do what:\n{EXAMPLE}\n  trunkline serve --config \
             trunkline.toml\n\n`trunkline dev` needs none, and is open to everyone on this machine"
        );
        return Err(Failure::Usage(message).into());
    };
    start_logging();
    let mut settings = Settings::serve();
    settings.read_over(path)?;
    let faults = settings.faults(*listen);
    if !faults.is_empty() {
        let message = format!("{} is not safe to serve with:\n\n- {}", path.display(), faults.join("\n- "));
        return Err(Failure::Usage(message).into());
    }
    run(settings, *listen, data, *workers, announce_serve)
}

fn run(
    settings: Settings,
    address: SocketAddr,
    data: &Path,
    workers: Option<u16>,
    announce: fn(SocketAddr, &Path) -> io::Result<()>,
) -> anyhow::Result<()> {
    let listener = listen(address)?;
    let address = listener.local_addr()?;
    let (drain, ready) = (settings.server.drain, Readiness::default());
    let node = start(data, workers, settings, listener, ready.clone())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before it is announced: whoever reads that it is ready may end it at once.
    let entered = runtime.enter();
    let (mut interrupted, mut terminated) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    drop(entered);
    announce(address, data)?;
    runtime.block_on(wait_for_end(&node, &mut interrupted, &mut terminated));
    // A second signal does not wait for anybody.
    let hurry = std::thread::spawn(move || runtime.block_on(hurry(interrupted, terminated)));
    send_away(&node, &ready, drain);
    node.stop();
    let ended = node.join().context("a worker has failed");
    drop(hurry);
    ended
}

fn start(
    data: &Path,
    workers: Option<u16>,
    settings: Settings,
    listener: TcpListener,
    ready: Readiness,
) -> anyhow::Result<Node> {
    let Settings { namespaces, compression, rpc, auth, server, .. } = settings;
    let room = ChannelName::parse("room:x").expect("a valid name");
    let terms = Terms {
        rooms: namespaces.of(&room).is_some(),
        compression: compression.is_some(),
        cookie: auth.cookie.as_deref().map(Arc::from),
    };
    let mut limits = limits(&namespaces)?;
    if !auth.anonymous {
        // Who has shown nothing keeps no place from others.
        limits.first_command = limits.handshake_timeout;
    }
    limits.call_timeout = rpc.as_ref().and_then(|rpc| rpc.timeout).unwrap_or(limits.call_timeout);
    let application = rpc.map(|rpc| Application::new(rpc.url, limits.call_answer_max)).transpose();
    let application = application.map_err(|error| anyhow::anyhow!("[rpc]: {error}"))?;
    let workers = workers.unwrap_or_else(|| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        u16::try_from(cores.min(256)).unwrap_or(1)
    });
    let inboxes = Inboxes::new(workers);
    let kept = Options { retentions: Retentions::from(&namespaces), ..Options::default() };
    let store = SqliteStore::open(data, inboxes.sink(), kept)?;
    let key = store.get_or_create("session-key", new_key).context("the session key could not be read")?;
    let door = ServerDoor::new(&key, auth).map_err(|error| anyhow::anyhow!("[auth.jwks]: {error}"))?;
    let door = Arc::new(door);
    let addresses = server.connections_per_address.map(|max| Arc::new(Addresses::up_to(max)));
    let config = NodeConfig {
        addresses,
        proxies: server.proxies.clone(),
        http: Arc::new(Http::new(&limits, terms, Arc::clone(&door), (server, ready))),
        limits: Arc::new(limits),
        namespaces: Arc::new(namespaces),
        store: Arc::new(store),
        deflate: compression.unwrap_or_default(),
        door,
        rpc: application.map(|application| Arc::new(application) as Arc<dyn Rpc>),
        listener,
    };
    Node::start(config, inboxes).context("the workers could not be started")
}

fn limits(namespaces: &Namespaces) -> Result<Limits, Failure> {
    let defaults = Limits::default();
    Ok(Limits {
        connections: defaults.connections.min(files::connections_max()?),
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

fn refuse_other_machines(address: SocketAddr) -> Result<(), Failure> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    let message = format!(
        "`trunkline dev` lets anyone do anything, so it listens on loopback only, not on {}; \
         use --listen 127.0.0.1:{}, or `trunkline serve`",
        address.ip(),
        address.port()
    );
    Err(Failure::Usage(message))
}

fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| {
        let message = match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "another program listens on {address}; stop it, or choose another port with --listen {}:0",
                address.ip()
            ),
            _ => format!("cannot listen on {address}: {error}"),
        };
        anyhow::anyhow!(message)
    })
}

fn announce_serve(address: SocketAddr, data: &Path) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "  WebSocket  ws://{address}/ws            trunkline.v1")?;
    writeln!(out, "  HTTP       http://{address}/api/v1/")?;
    writeln!(out, "  Health     http://{address}/health/ready")?;
    writeln!(out, "  Data       {}", data.join("trunkline.db").display())?;
    writeln!(out, "ready http://{address}")?;
    out.flush()
}

fn announce_dev(address: SocketAddr, data: &Path) -> io::Result<()> {
    let database = data.join("trunkline.db");
    let mut out = io::stdout().lock();
    writeln!(out, "  Pages      http://{address}/")?;
    writeln!(out, "  Demos      http://{address}/demo/")?;
    writeln!(out, "  WebSocket  ws://{address}/ws            trunkline.v1")?;
    writeln!(out, "  Plain      ws://{address}/echo   ws://{address}/room/lobby")?;
    writeln!(out, "  Data       {}", database.display())?;
    let server = if address.port() == 8000 { String::new() } else { format!(" --server http://{address}") };
    let program = own_name();
    writeln!(out, "  try:  {program} sub chat:lobby{server}")?;
    writeln!(out, "        {program} pub chat:lobby '{{\"text\":\"Hi\"}}'{server}")?;
    writeln!(out, "ready http://{address}")?;
    out.flush()
}

/// What to type to start this program again: its name if it was found by that, else where it is.
fn own_name() -> String {
    const NAME: &str = "trunkline";
    let typed = std::env::args_os().next().unwrap_or_default();
    if Path::new(&typed).components().count() < 2 {
        return NAME.to_owned();
    }
    let here = std::env::current_dir().unwrap_or_default();
    let program = std::env::current_exe().unwrap_or_else(|_| NAME.into());
    program.strip_prefix(&here).unwrap_or(&program).display().to_string()
}

async fn wait_for_end(node: &Node, interrupted: &mut Signal, terminated: &mut Signal) {
    let mut watch = tokio::time::interval(WATCH_INTERVAL);
    loop {
        tokio::select! {
            _ = interrupted.recv() => return,
            _ = terminated.recv() => return,
            _ = watch.tick() => {
                if node.has_ended() {
                    return;
                }
            }
        }
    }
}

/// Lets the clients go before the end: nobody new is sent here, then each leaves at a moment of its own. Over when all have
/// left, or their time is.
fn send_away(node: &Node, ready: &Readiness, drain: Drain) {
    ready.end();
    if node.has_ended() || drain == Drain::default() {
        return;
    }
    let Drain { delay, within } = drain;
    tracing::info!(?delay, ?within, connections = node.connections(), "this server is about to end");
    std::thread::sleep(delay);
    node.leave(within);
    let until = Instant::now() + within;
    while node.connections() > 0 && !node.has_ended() && Instant::now() < until {
        std::thread::sleep(LEAVING_WATCH.min(until.saturating_duration_since(Instant::now())));
    }
    tracing::info!(connections = node.connections(), "the others are closed now");
}

async fn hurry(mut interrupted: Signal, mut terminated: Signal) {
    let code = tokio::select! {
        _ = interrupted.recv() => 130,
        _ = terminated.recv() => 143,
    };
    std::process::exit(code);
}

fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("TRUNKLINE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // A log that cannot be written must end nothing: without this, the subscriber panics where it says so.
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .log_internal_errors(false)
        .init();
}
