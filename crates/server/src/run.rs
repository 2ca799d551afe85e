//! `trunkline dev`: a server for development, open to everyone on this machine and to nobody else. `trunkline serve`: one for
//! others, that lets in who has a token. SIGHUP makes either read its configuration again.

use std::io::{self, IsTerminal as _, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{Failure, ServerOptions};
use crate::config::{Configuration, Drain, Mode, Settings};
use crate::running::{Server, start};

/// How often it is looked whether a worker has died, and how much memory is used.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);
/// How often it is looked whether all clients have left.
const LEAVING_WATCH: Duration = Duration::from_millis(50);

/// Runs until Ctrl-C or SIGTERM.
pub(crate) fn dev(options: &ServerOptions) -> anyhow::Result<()> {
    start_logging();
    let (settings, layers) = Settings::read(Mode::Dev, options)?;
    refuse_other_machines(settings.server.listen)?;
    run(settings, Configuration { mode: Mode::Dev, options: options.clone(), layers })
}

/// Runs until Ctrl-C or SIGTERM, if the configuration is one to meet strangers with.
pub(crate) fn serve(options: &ServerOptions) -> anyhow::Result<()> {
    start_logging();
    let (settings, layers) = Settings::to_serve(options)?;
    run(settings, Configuration { mode: Mode::Serve, options: options.clone(), layers })
}

fn run(settings: Settings, configuration: Configuration) -> anyhow::Result<()> {
    let (mode, data) = (configuration.mode, settings.server.data.clone());
    let listener = listen(settings.server.listen)?;
    let address = listener.local_addr()?;
    let mut server = start(settings, configuration, listener)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before it is announced: whoever reads that it is ready may end it at once.
    let entered = runtime.enter();
    let mut signals = Signals::listen()?;
    if let Some(admin) = server.admin.take() {
        announce_admin(admin.address()?)?;
        runtime.spawn(async move {
            if let Err(error) = admin.run().await {
                tracing::error!(%error, "the address of administrators is not served");
            }
        });
    }
    drop(entered);
    match mode {
        Mode::Dev => announce_dev(address, &data)?,
        Mode::Serve => announce_serve(address, &data)?,
    }
    runtime.block_on(wait_for_end(&mut server, &mut signals));
    // A second signal does not wait for anybody.
    let hurry = std::thread::spawn(move || runtime.block_on(hurry(signals)));
    send_away(&server);
    server.node.stop();
    let ended = server.node.join().context("a worker has failed");
    drop(hurry);
    ended
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

/// A listener on this address.
///
/// # Errors
/// There can be none; the message says what to do.
pub(crate) fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
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

fn announce_admin(address: SocketAddr) -> io::Result<()> {
    writeln!(io::stdout().lock(), "  Metrics    http://{address}/metrics")
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

/// What this process is told from outside.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

async fn wait_for_end(server: &mut Server, signals: &mut Signals) {
    let mut watch = tokio::time::interval(WATCH_INTERVAL);
    loop {
        tokio::select! {
            _ = signals.interrupt.recv() => return,
            _ = signals.terminate.recv() => return,
            _ = signals.hangup.recv() => server.reload(),
            _ = watch.tick() => {
                if server.node.has_ended() {
                    return;
                }
                server.look_at_memory();
            }
        }
    }
}

/// Lets the clients go before the end: nobody new is sent here, then each leaves at a moment of its own. Over when all have
/// left, or their time is.
fn send_away(server: &Server) {
    let Server { node, ready, drain, .. } = server;
    ready.end();
    if node.has_ended() || *drain == Drain::default() {
        return;
    }
    let Drain { delay, within } = *drain;
    tracing::info!(?delay, ?within, connections = node.connections(), "this server is about to end");
    std::thread::sleep(delay);
    node.leave(within);
    let until = Instant::now() + within;
    while node.connections() > 0 && !node.has_ended() && Instant::now() < until {
        std::thread::sleep(LEAVING_WATCH.min(until.saturating_duration_since(Instant::now())));
    }
    tracing::info!(connections = node.connections(), "the others are closed now");
}

async fn hurry(mut signals: Signals) {
    let code = tokio::select! {
        _ = signals.interrupt.recv() => 130,
        _ = signals.terminate.recv() => 143,
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
