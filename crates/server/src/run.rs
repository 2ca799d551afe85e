//! `trunkline dev`: a server for development, open to everyone on this machine and to nobody else. `trunkline serve`: one for
//! others, that lets in who has a token. SIGHUP makes either read its configuration again.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::acme;
use crate::cli::{Failure, ServerOptions};
use crate::config::{Configuration, DEFAULT_DATA, Drain, Mode, Settings, TlsSettings};
use crate::dev_key;
use crate::listen::{Bound, Listen};
use crate::log::Log;
use crate::running::{Server, start};
use crate::tls::Tls;

/// How often it is looked whether a worker has died, and how much memory is used.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);
/// How often it is looked whether the certificate has changed. One is read at the second look that finds it the same.
const CERTIFICATE_WATCH: Duration = Duration::from_secs(2);
/// How often it is looked whether all clients have left.
const LEAVING_WATCH: Duration = Duration::from_millis(50);

/// Runs until Ctrl-C or SIGTERM.
pub(crate) fn dev(options: &ServerOptions) -> anyhow::Result<()> {
    let (settings, layers) = Settings::read(Mode::Dev, options)?;
    refuse_other_machines(&settings.server.listen)?;
    if let Some(fault) = settings.proxy_fault() {
        return Err(Failure::Usage(fault).into());
    }
    run(settings, Configuration { mode: Mode::Dev, options: options.clone(), layers })
}

/// Runs until Ctrl-C or SIGTERM, if the configuration is one to meet strangers with.
pub(crate) fn serve(options: &ServerOptions) -> anyhow::Result<()> {
    let (settings, layers) = Settings::to_serve(options)?;
    run(settings, Configuration { mode: Mode::Serve, options: options.clone(), layers })
}

fn run(settings: Settings, configuration: Configuration) -> anyhow::Result<()> {
    let log = Log::start(&settings.log);
    let (mode, data) = (configuration.mode, settings.server.data.clone());
    let tls = load_tls(&settings)?;
    let Bound { listener, at, file } = settings.server.listen.bind()?;
    let place = Place { at, is_encrypted: tls.is_some() };
    let has_own_key = dev_key::is_wanted(&settings, mode);
    let mut server = start(settings, configuration, log, listener, tls)?;
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
        Mode::Dev => announce_dev(&place, &data, has_own_key)?,
        Mode::Serve => announce_serve(&place, &data)?,
    }
    runtime.block_on(wait_for_end(&mut server, &mut signals));
    // A second signal does not wait for anybody.
    let hurry = std::thread::spawn(move || runtime.block_on(hurry(signals)));
    send_away(&mut server);
    server.node.stop();
    let ended = server.node.join().context("a worker has failed");
    drop((hurry, file));
    ended
}

/// Reads the certificate, if there is one, before anything is made.
fn load_tls(settings: &Settings) -> Result<Option<Arc<Tls>>, Failure> {
    let (table, tls) = match &settings.server.tls {
        None => return Ok(None),
        Some(TlsSettings::Files(files)) => ("server.tls", Tls::load(files.clone())),
        Some(TlsSettings::Acme(acme)) => {
            ("server.acme", acme::client(acme).and_then(|_| Tls::without_certificate()))
        }
    };
    tls.map(|tls| Some(Arc::new(tls))).map_err(|error| Failure::Usage(format!("[{table}]: {error}")))
}

fn refuse_other_machines(listen: &Listen) -> Result<(), Failure> {
    let Listen::Tcp(address) = listen else { return Ok(()) };
    if listen.is_local() {
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

/// Where clients reach it.
struct Place {
    at: Listen,
    is_encrypted: bool,
}

impl Place {
    fn http(&self) -> String {
        self.url(if self.is_encrypted { "https" } else { "http" })
    }

    fn ws(&self) -> String {
        self.url(if self.is_encrypted { "wss" } else { "ws" })
    }

    /// The beginning of a URL: a path can follow.
    fn url(&self, scheme: &str) -> String {
        match &self.at {
            Listen::Tcp(address) => format!("{scheme}://{address}"),
            Listen::Unix(path) => format!("{scheme}+unix:{}:", path.display()),
        }
    }

    /// What whoever waits for the server looks for.
    fn ready(&self) -> String {
        match &self.at {
            Listen::Tcp(_) => self.http(),
            Listen::Unix(_) => self.at.to_string(),
        }
    }
}

fn announce_admin(address: SocketAddr) -> io::Result<()> {
    writeln!(io::stdout().lock(), "  Metrics    http://{address}/metrics")
}

fn announce_serve(place: &Place, data: &Path) -> io::Result<()> {
    let (http, ws) = (place.http(), place.ws());
    let mut out = io::stdout().lock();
    writeln!(out, "  WebSocket  {ws}/ws            trunkline.v1")?;
    writeln!(out, "  HTTP       {http}/api/v1/")?;
    writeln!(out, "  Health     {http}/health/ready")?;
    writeln!(out, "  Data       {}", data.join("trunkline.db").display())?;
    writeln!(out, "ready {}", place.ready())?;
    out.flush()
}

/// `has_own_key`: it takes tokens that the command line makes without a configuration.
fn announce_dev(place: &Place, data: &Path, has_own_key: bool) -> io::Result<()> {
    let database = data.join("trunkline.db");
    let (http, ws) = (place.http(), place.ws());
    let mut out = io::stdout().lock();
    writeln!(out, "  Pages      {http}/")?;
    writeln!(out, "  Demos      {http}/demo/")?;
    writeln!(out, "  WebSocket  {ws}/ws            trunkline.v1")?;
    writeln!(out, "  Plain      {ws}/echo   {ws}/room/lobby")?;
    writeln!(out, "  Data       {}", database.display())?;
    if let Listen::Tcp(address) = &place.at {
        let is_default = address.port() == 8000 && !place.is_encrypted;
        let server = if is_default { String::new() } else { format!(" --server {http}") };
        let program = own_name();
        writeln!(out, "  try:  {program} sub chat:lobby{server}")?;
        writeln!(out, "        {program} pub chat:lobby '{{\"text\":\"Hi\"}}'{server}")?;
        if has_own_key {
            let is_default = data == Path::new(DEFAULT_DATA);
            let data = if is_default { String::new() } else { format!(" --data {}", data.display()) };
            writeln!(out, "        {program} token new --user ann{data}")?;
        }
    }
    writeln!(out, "ready {}", place.ready())?;
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
    let mut certificate = tokio::time::interval(CERTIFICATE_WATCH);
    loop {
        tokio::select! {
            _ = signals.interrupt.recv() => return,
            _ = signals.terminate.recv() => return,
            _ = signals.hangup.recv() => server.reload(),
            _ = certificate.tick() => server.look_at_certificate(),
            _ = watch.tick() => {
                if server.node.has_ended() {
                    return;
                }
                server.look(Instant::now());
            }
        }
    }
}

/// Lets the clients go before the end: nobody new is sent here, then each leaves at a moment of its own. Over when all have
/// left, or their time is.
fn send_away(server: &mut Server) {
    server.shared.ready.end();
    if server.node.has_ended() || server.drain == Drain::default() {
        return;
    }
    let Drain { delay, within } = server.drain;
    let connections = server.node.connections();
    tracing::info!(?delay, ?within, connections, "this server is about to end");
    wait(server, delay, |_| false);
    server.node.leave(within);
    wait(server, within, |server| server.node.connections() == 0 || server.node.has_ended());
    tracing::info!(connections = server.node.connections(), "the others are closed now");
}

/// Waits for so long, or until that is so, and goes on looking after the server.
fn wait(server: &mut Server, time: Duration, is_over: impl Fn(&Server) -> bool) {
    let until = Instant::now() + time;
    while Instant::now() < until && !is_over(server) {
        std::thread::sleep(LEAVING_WATCH.min(until.saturating_duration_since(Instant::now())));
        server.look(Instant::now());
    }
}

async fn hurry(mut signals: Signals) {
    let code = tokio::select! {
        _ = signals.interrupt.recv() => 130,
        _ = signals.terminate.recv() => 143,
    };
    std::process::exit(code);
}
