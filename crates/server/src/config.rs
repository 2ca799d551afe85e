//! The configuration: what it says, checked and turned into what the server is made of. What can be said is the table of
//! `keys`; where it was said, and what counts, is in `layers`.

mod acme;
mod admin;
mod log;
mod auth;
mod keys;
mod layers;
mod reload;
mod reference;
mod serve;
mod show;
mod tls;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Uri;
use trunkline_model::{
    Acknowledge, ChannelName, Edits, Kind, Limits, Namespace, Namespaces, PresenceMode, Rate, Retention,
    Rule, Slow,
};
use trunkline_ws_proto::DeflateOptions;

use crate::cli::{Failure, ServerOptions};
use crate::dto::{
    AcknowledgeWord, CapsTable, CompressionTable, ConfigFile, EditsWord, KeepTable, KindWord, LimitsTable,
    NamespaceTable, PresenceWord, PublishWord, RpcTable, ServerTable, SlowWord, SubscribeWord,
};
use crate::listen::Listen;
use crate::outgoing::shown;
use crate::units;
pub(crate) use acme::AcmeSettings;
pub(crate) use admin::AdminSettings;
pub(crate) use auth::AuthSettings;
pub(crate) use layers::Layers;
pub(crate) use log::{LogFormat, LogSettings};
pub(crate) use reload::Configuration;
pub(crate) use show::{check, refresh_reference, schema, show};
pub(crate) use tls::{TlsFiles, TlsSettings};

/// A frame may be so many times larger than a message before it is more than an error.
pub(crate) const FRAME_PER_MESSAGE: usize = 4;
/// The largest payload that a namespace may allow: 1 MiB.
const MESSAGE_MAX: usize = 1 << 20;
/// The most entries that may be replayed, and kept hot per channel.
const RECOVER_ENTRIES_MAX: u32 = 10_000;
/// The most bytes of them: a replay must fit into an outbox.
const RECOVER_BYTES_MAX: usize = 2 << 20;

/// How long keys are remembered where publications are acknowledged before they are synced, if nothing else is said.
const MEMORY_KEYS: Duration = Duration::from_secs(600);

/// The most publications of one connection that may come at once.
const BURST_MAX: u32 = 100_000;
/// The longest that a member may be away and count as there.
const GRACE_MAX: Duration = Duration::from_secs(60);
/// The most members that a channel's presence may have.
const MEMBERS_MAX: usize = 100_000;

/// The slowest level of compression that a worker may use. Text that is made for it keeps level 9 busy with 256 KiB for
/// 100 ms, level 6 for 4 ms, and level 9 saves next to nothing more.
const COMPRESSION_LEVEL_MAX: u32 = 6;
/// The most bytes below which messages may be left uncompressed.
const COMPRESSION_MIN_MAX: usize = 1 << 20;

/// The longest that the application may take to answer a call.
const RPC_TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// How many connections each address may have on `serve`, if nothing else is said: those of a large office behind one.
const CONNECTIONS_PER_ADDRESS: usize = 500;
/// How many WebSockets each user may have on `serve`, if nothing else is said.
const CONNECTIONS_PER_USER: usize = 100;
/// With less memory there is no point in letting anybody in.
const MEMORY_MIN: usize = 1 << 20;
/// The most connections that may be allowed.
const CONNECTIONS_MAX: usize = 1_000_000;
/// The most subscriptions of one session that may be allowed.
const SUBSCRIPTIONS_MAX: usize = 10_000;
/// What may wait for one client: a replay has to fit into it.
const OUTBOX_MIN: usize = 4 << 20;
const OUTBOX_MAX: usize = 64 << 20;
/// How long a handshake may be allowed to take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(60);
/// The most worker threads.
const WORKERS_MAX: u16 = 256;
/// Over how long the clients of `serve` leave, if nothing else is said.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);
/// The longest that each part of an end may take.
const DRAIN_MAX: Duration = Duration::from_secs(3_600);

/// What `dev` has without a file: a log, a value, a map and a signal. Who is in `chat` and `room` is seen by all.
const DEV: &str = r#"
[namespace.chat]
kind = "log"
presence = "full"

[namespace.value]
kind = "value"

[namespace.map]
kind = "map"

[namespace.room]
kind = "signal"
presence = "full"
"#;

/// Where data is if nothing is said.
pub(crate) const DEFAULT_DATA: &str = "./trunkline-data";

/// For whom a server is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// Everyone on this machine.
    Dev,
    /// Others.
    Serve,
}

/// What is configured.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) namespaces: Namespaces,
    /// How messages are compressed for clients that offer it; `None` where they never are.
    pub(crate) compression: Option<DeflateOptions>,
    /// Where calls of the application go; `None` where there is none.
    pub(crate) rpc: Option<RpcSettings>,
    /// Who is let in.
    pub(crate) auth: AuthSettings,
    /// What is at the port.
    pub(crate) server: ServerSettings,
    /// How much of everything there may be.
    pub(crate) limits: LimitSettings,
    /// Who runs it.
    pub(crate) admin: AdminSettings,
    pub(crate) log: LogSettings,
    /// What a namespace allows if it says nothing.
    rule: Rule,
}

/// What is at the port, and for whom.
#[derive(Debug, Clone)]
pub(crate) struct ServerSettings {
    /// Where it listens.
    pub(crate) listen: Listen,
    /// Where the database is.
    pub(crate) data: PathBuf,
    /// Worker threads; `None` for one per core.
    pub(crate) workers: Option<u16>,
    /// Whether only names of this machine are answered to.
    pub(crate) local: bool,
    /// Pages that may connect and use the API, beside those of the same host.
    pub(crate) origins: Vec<String>,
    /// Whether `/echo` is there.
    pub(crate) echo: bool,
    /// Whether the pages are there.
    pub(crate) pages: bool,
    /// Whether others may read what crosses the network.
    pub(crate) plaintext: bool,
    /// Proxies whose word on where connections come from counts.
    pub(crate) proxies: Vec<IpAddr>,
    /// How it ends.
    pub(crate) drain: Drain,
    /// The certificate, if it speaks TLS itself.
    pub(crate) tls: Option<TlsSettings>,
    /// Whether every connection begins with a PROXY header.
    pub(crate) proxy_protocol: bool,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 8000))),
            data: PathBuf::from(DEFAULT_DATA),
            workers: None,
            local: false,
            origins: Vec::new(),
            echo: false,
            pages: false,
            plaintext: false,
            proxies: Vec::new(),
            drain: Drain::default(),
            tls: None,
            proxy_protocol: false,
        }
    }
}

/// How much there may be.
#[derive(Debug, Clone)]
pub(crate) struct LimitSettings {
    /// Connections.
    pub(crate) connections: usize,
    /// Connections of one address; `None` if as many as there is room for.
    pub(crate) connections_per_address: Option<usize>,
    /// WebSockets of one user; `None` likewise.
    pub(crate) connections_per_user: Option<usize>,
    /// Bytes of memory, if it is not to be what there is.
    pub(crate) memory: Option<usize>,
    /// Subscriptions of one session.
    pub(crate) subscriptions: usize,
    /// Commands of one connection.
    pub(crate) commands: Option<Rate>,
    /// Bytes that wait for one client.
    pub(crate) outbox: usize,
    /// How long a handshake may take.
    pub(crate) handshake: Duration,
}

impl Default for LimitSettings {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            connections: limits.connections,
            connections_per_address: None,
            connections_per_user: None,
            memory: None,
            subscriptions: limits.subscriptions,
            commands: limits.command_rate,
            outbox: limits.outbox_bytes,
            handshake: limits.handshake_timeout,
        }
    }
}

/// How a server ends that is asked to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Drain {
    /// How long it says that it is not ready, and goes on as usual: until no balancer sends anyone any more.
    pub(crate) delay: Duration,
    /// Over how long clients leave, each at a moment of its own.
    pub(crate) within: Duration,
}

/// The application behind the server.
#[derive(Debug, PartialEq)]
pub(crate) struct RpcSettings {
    /// An `http://` or `https://` URL.
    pub(crate) url: Uri,
    /// How long a call may take.
    pub(crate) timeout: Duration,
}

impl Settings {
    /// What these options, the environment and the file that they name come to.
    ///
    /// # Errors
    /// [`Failure::Usage`] names what is wrong, where it stands, and what would be right.
    pub(crate) fn read(mode: Mode, options: &ServerOptions) -> Result<(Self, Layers), Failure> {
        let mut layers = Layers::built_in(match mode {
            Mode::Dev => DEV,
            Mode::Serve => "",
        });
        if let Some(path) = &options.config {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Failure::Usage(format!("cannot read the configuration {}: {error}", path.display()))
            })?;
            layers
                .lay_file(path, &text)
                .map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
        }
        let variables = std::env::vars_os();
        let variables =
            variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        layers.lay_environment(variables).map_err(Failure::Usage)?;
        for (flag, key, text) in options.said() {
            layers.lay_flag(flag, &key, &text).map_err(Failure::Usage)?;
        }
        let settings = Self::of(mode, &layers).map_err(|error| {
            let file = options
                .config
                .as_deref()
                .map_or_else(|| "the configuration".to_owned(), |path| path.display().to_string());
            Failure::Usage(format!("{file}{}: {error}", layers.others()))
        })?;
        Ok((settings, layers))
    }

    /// What `layers` come to.
    fn of(mode: Mode, layers: &Layers) -> Result<Self, String> {
        let mut settings = match mode {
            Mode::Dev => Self::dev(),
            Mode::Serve => Self::serve(),
        };
        settings.apply(layers)?;
        Ok(settings)
    }

    /// `dev` where nothing is said: everyone on this machine may do everything.
    fn dev() -> Self {
        Self {
            namespaces: Namespaces::default(),
            compression: Some(DeflateOptions::default()),
            rpc: None,
            auth: AuthSettings::open(),
            server: ServerSettings { local: true, echo: true, pages: true, ..ServerSettings::default() },
            limits: LimitSettings::default(),
            admin: AdminSettings::default(),
            log: LogSettings::default(),
            rule: Rule::Anyone,
        }
    }

    /// `serve` where nothing is said: nobody may do anything.
    fn serve() -> Self {
        Self {
            auth: AuthSettings::closed(),
            server: ServerSettings {
                proxies: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
                drain: Drain { within: DRAIN_WITHIN, ..Drain::default() },
                ..ServerSettings::default()
            },
            limits: LimitSettings {
                connections_per_address: Some(CONNECTIONS_PER_ADDRESS),
                connections_per_user: Some(CONNECTIONS_PER_USER),
                ..LimitSettings::default()
            },
            rule: Rule::Token,
            ..Self::dev()
        }
    }

    fn apply(&mut self, layers: &Layers) -> Result<(), String> {
        let dir = layers.file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        let file: ConfigFile = layers
            .table
            .clone()
            .try_into()
            .map_err(|error: toml::de::Error| layers::discreet(error.message()))?;
        for (name, table) in &file.namespace {
            let checked =
                namespace(name, table, self.rule).map_err(|error| format!("[namespace.{name}]: {error}"))?;
            self.namespaces.insert(name, checked);
        }
        if let Some(table) = &file.compression {
            self.compression = compression(table).map_err(|error| format!("[compression]: {error}"))?;
        }
        if let Some(table) = &file.rpc {
            self.rpc = Some(rpc(table).map_err(|error| format!("[rpc]: {error}"))?);
        }
        if let Some(table) = &file.server {
            self.server.apply(table).map_err(|error| format!("[server]: {error}"))?;
            self.server.tls = TlsSettings::of(table, dir).map_err(|error| format!("[server{error}"))?;
            if layers.is_of_file(&["server", "data"]) {
                self.server.data = dir.join(&self.server.data);
            }
        }
        if let Some(table) = &file.limits {
            self.limits.apply(table).map_err(|error| format!("[limits]: {error}"))?;
        }
        if let Some(table) = &file.admin {
            self.admin.apply(table, dir).map_err(|error| format!("[admin]: {error}"))?;
        }
        if let Some(table) = &file.log {
            self.log.apply(table).map_err(|error| format!("[log]: {error}"))?;
        }
        if let Some(table) = &file.auth {
            self.auth.apply(table, dir).map_err(|error| format!("[auth]: {error}"))?;
        }
        Ok(())
    }
}

impl LimitSettings {
    fn apply(&mut self, table: &CapsTable) -> Result<(), String> {
        if let Some(count) = table.connections {
            self.connections = within("connections", count, 1, CONNECTIONS_MAX)?;
        }
        if let Some(count) = table.connections_per_address {
            self.connections_per_address =
                Some(within("connections_per_address", count, 1, CONNECTIONS_MAX)?);
        }
        if let Some(count) = table.connections_per_user {
            self.connections_per_user = Some(within("connections_per_user", count, 1, CONNECTIONS_MAX)?);
        }
        if let Some(size) = &table.memory {
            let size = units::size(size).map_err(|error| format!("memory: {error}"))?;
            self.memory = Some(within("memory", size, MEMORY_MIN, usize::MAX)?);
        }
        if let Some(count) = table.subscriptions {
            self.subscriptions = within("subscriptions", count, 1, SUBSCRIPTIONS_MAX)?;
        }
        if let Some(rate) = &table.commands {
            let mut rate = units::rate(rate).map_err(|error| format!("commands: {error}"))?;
            rate.burst = rate.burst.saturating_mul(2);
            self.commands = Some(rate);
        }
        if let Some(size) = &table.outbox {
            let size = units::size(size).map_err(|error| format!("outbox: {error}"))?;
            self.outbox = within("outbox", size, OUTBOX_MIN, OUTBOX_MAX)?;
        }
        if let Some(text) = &table.handshake {
            let time = units::duration(text).map_err(|error| format!("handshake: {error}"))?;
            if !(Duration::from_secs(1)..=HANDSHAKE_MAX).contains(&time) {
                return Err(format!("handshake is {text}; it may be 1s to {} s", HANDSHAKE_MAX.as_secs()));
            }
            self.handshake = time;
        }
        Ok(())
    }
}

/// Browsers leave out the port that goes without saying, and write the host in small letters.
fn as_browsers_say(origin: &str) -> String {
    let origin = origin.trim_end_matches('/').to_ascii_lowercase();
    let usual = if origin.starts_with("https:") { ":443" } else { ":80" };
    origin.strip_suffix(usual).map(str::to_owned).unwrap_or(origin)
}

impl ServerSettings {
    fn apply(&mut self, table: &ServerTable) -> Result<(), String> {
        if let Some(listen) = &table.listen {
            self.listen = listen.parse().map_err(|error| format!("listen: {listen:?}: {error}"))?;
        }
        if let Some(data) = &table.data {
            self.data = PathBuf::from(data);
        }
        if let Some(workers) = table.workers {
            self.workers = Some(within("workers", workers, 1, WORKERS_MAX)?);
        }
        for origin in &table.origins {
            let uri: Result<Uri, _> = origin.parse();
            let is_origin = uri.is_ok_and(|uri| {
                matches!(uri.scheme_str(), Some("http" | "https"))
                    && matches!(uri.path(), "" | "/")
                    && uri.query().is_none()
                    && !origin.contains('*')
            });
            if !is_origin {
                return Err(format!(
                    "origins: {origin:?} is none; write one like \"https://app.example.com\""
                ));
            }
        }
        self.origins = table.origins.iter().map(|origin| as_browsers_say(origin)).collect();
        self.echo = table.echo.unwrap_or(self.echo);
        self.pages = table.pages.unwrap_or(self.pages);
        self.plaintext = table.plaintext.unwrap_or(self.plaintext);
        self.proxy_protocol = table.proxy_protocol.unwrap_or(self.proxy_protocol);
        if let Some(proxies) = &table.proxies {
            let parsed = proxies.iter().map(|text| {
                let wrong = |_| format!("proxies: {text:?} is no address; write one like \"10.0.0.1\"");
                text.parse().map(|address: IpAddr| address.to_canonical()).map_err(wrong)
            });
            self.proxies = parsed.collect::<Result<_, _>>()?;
        }
        let Some(drain) = &table.drain else { return Ok(()) };
        for (name, text, time) in [
            ("delay", &drain.delay, &mut self.drain.delay),
            ("within", &drain.within, &mut self.drain.within),
        ] {
            let Some(text) = text else { continue };
            *time = units::duration(text).map_err(|error| format!("drain.{name}: {error}"))?;
            if *time > DRAIN_MAX {
                return Err(format!("drain.{name} is {text}; it may be 0s to {} s", DRAIN_MAX.as_secs()));
            }
        }
        Ok(())
    }
}

fn compression(table: &CompressionTable) -> Result<Option<DeflateOptions>, String> {
    let mut options = DeflateOptions::default();
    if let Some(level) = table.level {
        let level = within("level", level, 1, COMPRESSION_LEVEL_MAX)?;
        options.level = u8::try_from(level).expect("it is within its bounds");
    }
    if let Some(size) = &table.size_min {
        let size = units::size(size).map_err(|error| format!("size_min: {error}"))?;
        let size = within("size_min", size, 0, COMPRESSION_MIN_MAX)?;
        options.size_min = u32::try_from(size).expect("it is within its bounds");
    }
    Ok(table.enabled.unwrap_or(true).then_some(options))
}

fn rpc(table: &RpcTable) -> Result<RpcSettings, String> {
    let given = &table.url;
    let wrong =
        |why: &str| format!("url: {:?} {why}; write one like \"http://127.0.0.1:9000/rpc\"", shown(given));
    let url: Uri = given.parse().map_err(|error| wrong(&format!("is not a URL ({error})")))?;
    match url.scheme_str() {
        Some("http") => {}
        Some("https") => {}
        _ => return Err(wrong("is neither an http:// nor an https:// URL")),
    }
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(wrong("has a user's name in it, which is not sent on"));
    }
    let timeout = table.timeout.as_deref().map(units::duration).transpose();
    let timeout = timeout.map_err(|error| format!("timeout: {error}"))?;
    if timeout.is_some_and(|timeout| timeout.is_zero() || timeout > RPC_TIMEOUT_MAX) {
        let (given, max) = (table.timeout.as_deref().unwrap_or_default(), RPC_TIMEOUT_MAX.as_secs());
        return Err(format!("timeout is {given}; it may be 1ms to {max} s"));
    }
    Ok(RpcSettings { url, timeout: timeout.unwrap_or(Limits::default().call_timeout) })
}

fn namespace(name: &str, table: &NamespaceTable, rule: Rule) -> Result<Namespace, String> {
    ChannelName::parse(name).map_err(|error| error.to_string())?;
    if name.contains(':') {
        return Err("a namespace's name has no `:`".to_owned());
    }
    let mut namespace = Namespace::of_kind(match table.kind {
        KindWord::Log => Kind::Log,
        KindWord::Value => Kind::Value,
        KindWord::Map => Kind::Map,
        KindWord::Signal => Kind::Signal,
    });
    if table.acknowledge.is_some() && namespace.kind == Kind::Signal {
        return Err("`acknowledge` is for what is stored; a signal is not".to_owned());
    }
    if let Some(AcknowledgeWord::Memory) = table.acknowledge {
        namespace.acknowledge = Acknowledge::Memory;
        namespace.keys = MEMORY_KEYS;
    }
    if let Some(rate) = &table.max_rate {
        if matches!(namespace.kind, Kind::Log | Kind::Signal) {
            return Err(
                "`max_rate` is for kinds \"value\" and \"map\": of others nothing may be left out".to_owned()
            );
        }
        namespace.max_rate = Some(units::rate(rate).map_err(|error| format!("max_rate: {error}"))?);
    }
    (namespace.subscribe, namespace.publish) = (rule, rule);
    set_rules(table, &mut namespace)?;
    if table.slow.is_some() && namespace.kind == Kind::Signal {
        return Err("`slow` is for what is stored; of a signal the oldest that wait are dropped".to_owned());
    }
    if let Some(SlowWord::Disconnect) = table.slow {
        namespace.slow = Slow::Disconnect;
    }
    if let Some(keep) = &table.keep {
        namespace.retention = retention(keep, namespace.kind).map_err(|error| format!("keep: {error}"))?;
    }
    if let Some(recover) = &table.recover {
        if let Some(entries) = recover.entries {
            namespace.recover_entries = within("recover.entries", entries, 1, RECOVER_ENTRIES_MAX)?;
        }
        if let Some(bytes) = &recover.bytes {
            let bytes = units::size(bytes).map_err(|error| format!("recover.bytes: {error}"))?;
            namespace.recover_bytes = within("recover.bytes", bytes, 1, RECOVER_BYTES_MAX)?;
        }
    }
    if let Some(keys) = &table.keys {
        namespace.keys = units::duration(keys).map_err(|error| format!("keys: {error}"))?;
    }
    presence(table, &mut namespace)?;
    if let Some(limits) = &table.limits {
        set_limits(&mut namespace, limits).map_err(|error| format!("limits.{error}"))?;
    }
    Ok(namespace)
}

fn set_rules(table: &NamespaceTable, namespace: &mut Namespace) -> Result<(), String> {
    namespace.subscribe = match table.subscribe {
        None => namespace.subscribe,
        Some(SubscribeWord::Anyone) => Rule::Anyone,
        Some(SubscribeWord::User) => Rule::User,
        Some(SubscribeWord::Owner) => Rule::Owner,
        Some(SubscribeWord::Token) => Rule::Token,
        Some(SubscribeWord::Nobody) => Rule::Server,
    };
    namespace.publish = match table.publish {
        None => namespace.publish,
        Some(PublishWord::Anyone) => Rule::Anyone,
        Some(PublishWord::User) => Rule::User,
        Some(PublishWord::Owner) => Rule::Owner,
        Some(PublishWord::Subscribers) => Rule::Subscribers,
        Some(PublishWord::Token) => Rule::Token,
        Some(PublishWord::Server) => Rule::Server,
    };
    if table.edits.is_some() && namespace.kind != Kind::Log {
        return Err("`edits` is for kind \"log\": others have no messages that could be edited".to_owned());
    }
    namespace.edits = match table.edits {
        None => namespace.edits,
        Some(EditsWord::Author) => Edits::Author,
        Some(EditsWord::Token) => Edits::Token,
        Some(EditsWord::Nobody) => Edits::Server,
    };
    Ok(())
}

fn set_limits(namespace: &mut Namespace, limits: &LimitsTable) -> Result<(), String> {
    if let Some(message) = &limits.message {
        let message = units::size(message).map_err(|error| format!("message: {error}"))?;
        namespace.message_size_max = within("message", message, 1, MESSAGE_MAX)?;
    }
    if let Some(rate) = &limits.rate {
        let mut rate = units::rate(rate).map_err(|error| format!("rate: {error}"))?;
        rate.burst = within("burst", limits.burst.unwrap_or(rate.burst), 1, BURST_MAX)?;
        namespace.rate = Some(rate);
    } else if limits.burst.is_some() {
        return Err("burst: it goes with `rate`, which is not given".to_owned());
    }
    if let Some(rate) = &limits.channel_rate {
        namespace.channel_rate = Some(units::rate(rate).map_err(|error| format!("channel_rate: {error}"))?);
    }
    Ok(())
}

fn presence(table: &NamespaceTable, namespace: &mut Namespace) -> Result<(), String> {
    let members = table.limits.as_ref().and_then(|limits| limits.members);
    namespace.presence = match table.presence.unwrap_or(PresenceWord::Off) {
        // Entries that are bound to a session have it too.
        PresenceWord::Off if table.grace.is_some() && matches!(namespace.kind, Kind::Log | Kind::Signal) => {
            return Err("`grace` is that of presence, which is off; set `presence`".to_owned());
        }
        PresenceWord::Off if members.is_some() => {
            return Err("`limits.members` is that of presence, which is off; set `presence`".to_owned());
        }
        PresenceWord::Off => PresenceMode::Off,
        PresenceWord::Count => PresenceMode::Count,
        PresenceWord::Full => PresenceMode::Full,
    };
    if let Some(grace) = &table.grace {
        namespace.grace = units::duration(grace).map_err(|error| format!("grace: {error}"))?;
        if namespace.grace > GRACE_MAX {
            return Err(format!("grace is {grace}; it may be 0s to {} s", GRACE_MAX.as_secs()));
        }
    }
    if let Some(members) = members {
        namespace.members_max = within("limits.members", members, 1, MEMBERS_MAX)?;
    }
    Ok(())
}

/// `"forever"` and `"all"` are the absence of a bound.
fn retention(table: &KeepTable, kind: Kind) -> Result<Retention, String> {
    let mut retention = Retention::default();
    match kind {
        Kind::Signal => return Err("a signal is not stored".to_owned()),
        Kind::Log if table.removals.is_some() => {
            return Err("`removals` is for kinds \"value\" and \"map\"".to_owned());
        }
        Kind::Value | Kind::Map if table.entries.is_some() || table.size.is_some() || table.age.is_some() => {
            return Err(
                "`entries`, `size` and `age` are for kind \"log\"; of a value or a map the newest is kept"
                    .to_owned(),
            );
        }
        Kind::Log | Kind::Value | Kind::Map => {}
    }
    if let Some(entries) = table.entries {
        retention.entries = Some(within("entries", entries, 1, u64::MAX)?);
    }
    if let Some(size) = table.size.as_deref().filter(|size| *size != "all") {
        let size = units::size(size).map_err(|error| format!("size: {error}"))?;
        retention.bytes = Some(within("size", size as u64, 1, u64::MAX)?);
    }
    if let Some(age) = table.age.as_deref().filter(|age| *age != "forever") {
        retention.age = Some(units::duration(age).map_err(|error| format!("age: {error}"))?);
    }
    if let Some(removals) = &table.removals {
        retention.removals = units::duration(removals).map_err(|error| format!("removals: {error}"))?;
    }
    Ok(retention)
}

fn within<T: PartialOrd + std::fmt::Display>(name: &str, value: T, min: T, max: T) -> Result<T, String> {
    if value < min || value > max {
        return Err(format!("{name} is {value}; it may be {min} to {max}"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    fn say(settings: &mut Settings, text: &str) -> Result<(), String> {
        let mut layers = Layers::default();
        layers.lay_file(Path::new("trunkline.toml"), text)?;
        settings.apply(&layers)
    }

    fn check(text: &str, expect: Result<(&str, Namespace), &str>) {
        let mut settings = Settings::dev();
        match (say(&mut settings, text), expect) {
            (Ok(()), Ok((channel, expect))) => {
                let channel = ChannelName::parse(channel).expect("a name");
                assert_eq!(settings.namespaces.of(&channel).map(|n| (**n).clone()), Some(expect), "{text}");
            }
            (Err(error), Err(part)) => assert!(error.contains(part), "{error:?} should contain {part:?}"),
            (result, expect) => panic!("{text}\n{result:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn namespaces_are_read() {
        check("[namespace.news]\nkind = \"log\"", Ok(("news:x", Namespace::of_kind(Kind::Log))));
        let full = Namespace {
            kind: Kind::Log,
            recover_entries: 10,
            recover_bytes: 2048,
            keys: Duration::from_secs(600),
            message_size_max: 1000,
            acknowledge: Acknowledge::Disk,
            retention: Retention {
                entries: Some(1_000),
                bytes: Some(1 << 30),
                age: Some(Duration::from_secs(30 * 86_400)),
                ..Retention::default()
            },
            rate: Some(Rate { interval: Duration::from_millis(100), burst: 20 }),
            channel_rate: Some(Rate { interval: Duration::from_millis(100), burst: 10 }),
            max_rate: None,
            slow: Slow::Disconnect,
            subscribe: Rule::User,
            publish: Rule::Subscribers,
            edits: Edits::Token,
            presence: PresenceMode::Full,
            grace: Duration::from_secs(1),
            members_max: 7,
        };
        check(
            "[namespace.news]\nkind = \"log\"\nacknowledge = \"disk\"\nkeys = \"10m\"\npresence = \"full\"\ngrace = \"1s\"\nslow = \"disconnect\"\n\
             subscribe = \"user\"\npublish = \"subscribers\"\nedits = \"token\"\n\
             keep = { entries = 1000, size = \"1GiB\", age = \"30d\" }\n\
             recover = { entries = 10, bytes = \"2KiB\" }\n\
             limits = { message = \"1000B\", members = 7, rate = \"10/s\", burst = 20, channel_rate = \"600/m\" }",
            Ok(("news:x", full)),
        );
        check(
            "[namespace.fast]\nkind = \"log\"\nacknowledge = \"memory\"",
            Ok((
                "fast:x",
                Namespace {
                    acknowledge: Acknowledge::Memory,
                    keys: Duration::from_secs(600),
                    ..Namespace::of_kind(Kind::Log)
                },
            )),
        );
        check(
            "[namespace.pos]\nkind = \"map\"\nkeep = { removals = \"1h\" }\nmax_rate = \"10/s\"\ngrace = \"1s\"",
            Ok((
                "pos:x",
                Namespace {
                    retention: Retention { removals: Duration::from_secs(3_600), ..Retention::default() },
                    max_rate: Some(Rate { interval: Duration::from_millis(100), burst: 10 }),
                    grace: Duration::from_secs(1),
                    ..Namespace::of_kind(Kind::Map)
                },
            )),
        );
        check(
            "[namespace.x]\nkind = \"log\"\nkeep = { size = \"all\", age = \"forever\" }",
            Ok(("x:1", Namespace::of_kind(Kind::Log))),
        );
        check("[namespace.default]\nkind = \"signal\"", Ok(("lobby", Namespace::of_kind(Kind::Signal))));
    }

    #[test]
    fn what_is_wrong_is_named() {
        check("[namespace.x]", Err("missing field `kind`"));
        check("[namespace.x]\nkind = \"lag\"", Err("expected one of `log`, `value`, `map`, `signal`"));
        check("[namespace.x]\nkind = \"log\"\nmax_rate = \"1/s\"", Err("`max_rate` is for kinds"));
        check(
            "[namespace.x]\nkind = \"log\"\nkepe = 1",
            Err("`namespace.x.kepe` is no setting; did you mean `keep`?"),
        );
        check("[namespace.x]\nkind = \"log\"\nkeep = 1", Err("expected a table, like { age = \"30d\" }"));
        check(
            "[namespace.x]\nkind = \"log\"\nkeep = { age = \"x\" }",
            Err("[namespace.x]: keep: age: \"x\""),
        );
        check(
            "[namespace.x]\nkind = \"log\"\nkeep = { entries = 0 }",
            Err("keep: entries is 0; it may be 1"),
        );
        check("[namespace.x]\nkind = \"log\"\nkeep = { removals = \"1h\" }", Err("is for kinds"));
        check("[namespace.x]\nkind = \"map\"\nkeep = { age = \"1h\" }", Err("are for kind \"log\""));
        check("[namespace.x]\nkind = \"signal\"\nkeep = {}", Err("keep: a signal is not stored"));
        check("[names.x]", Err("`names` is no setting"));
        check("[namespace.x]\nkind = \"log\"\nkeys = \"1 year\"", Err("[namespace.x]: keys: \"1 year\""));
        check(
            "[namespace.x]\nkind = \"log\"\nlimits = { message = \"2MiB\" }",
            Err("it may be 1 to 1048576"),
        );
        check(
            "[namespace.x]\nkind = \"log\"\nlimits = { rate = \"10\" }",
            Err("limits.rate: \"10\" is not a rate"),
        );
        check(
            "[namespace.x]\nkind = \"log\"\nlimits = { burst = 2 }",
            Err("limits.burst: it goes with `rate`"),
        );
        check("[namespace.\"a b\"]\nkind = \"log\"", Err("not ' '"));
        check("[namespace.\"a:b\"]\nkind = \"log\"", Err("no `:`"));
        check(
            "[namespace.x]\nkind = \"signal\"\nacknowledge = \"disk\"",
            Err("`acknowledge` is for what is stored"),
        );
        check("[namespace.x]\nkind = \"signal\"\nslow = \"catch_up\"", Err("`slow` is for what is stored"));
        check("[namespace.x]\nkind = \"log\"\nslow = \"wait\"", Err("expected `catch_up` or `disconnect`"));
        let visible = |rest| format!("[namespace.x]\nkind = \"log\"\npresence = \"count\"\n{rest}");
        check(
            "[namespace.x]\nkind = \"log\"\npresence = \"on\"",
            Err("expected one of `off`, `count`, `full`"),
        );
        check("[namespace.x]\nkind = \"log\"\ngrace = \"1s\"", Err("`grace` is that of presence"));
        check("[namespace.x]\nkind = \"log\"\nlimits = { members = 1 }", Err("`limits.members` is that of"));
        check(&visible("grace = \"61s\""), Err("grace is 61s; it may be 0s to 60 s"));
        check(&visible("grace = \"soon\""), Err("[namespace.x]: grace: \"soon\""));
        check(&visible("limits = { members = 0 }"), Err("limits.members is 0; it may be 1 to 100000"));
        check("nonsense", Err("line 1"));
        check("compression = \"on\"", Err("expected a table, like"));
        check("[compression]\nlevle = 1", Err("did you mean `level`?"));
        check("[compression]\nlevel = 0", Err("[compression]: level is 0; it may be 1 to 6"));
        check("[compression]\nlevel = 300", Err("[compression]: level is 300"));
        check("[compression]\nsize_min = \"1\"", Err("[compression]: size_min: \"1\" is not a size"));
        check("[compression]\nsize_min = \"2MiB\"", Err("[compression]: size_min is 2097152"));
    }

    #[test]
    fn the_application_has_an_http_url() {
        let url = "http://127.0.0.1:9000/rpc?key=1";
        let parsed = Uri::from_static(url);
        let check = |text: &str, timeout: Duration| {
            let mut settings = Settings::dev();
            assert_eq!(settings.rpc, None);
            assert_eq!(say(&mut settings, text), Ok(()), "{text}");
            assert_eq!(settings.rpc, Some(RpcSettings { url: parsed.clone(), timeout }), "{text}");
        };
        check(&format!("[rpc]\nurl = \"{url}\""), Duration::from_secs(10));
        check(&format!("rpc = {{ url = \"{url}\", timeout = \"60s\" }}"), Duration::from_secs(60));
        check(&format!("rpc = {{ url = \"{url}\", timeout = \"1ms\" }}"), Duration::from_millis(1));
        let refuse = |rest: &str, part: &str| {
            let error = say(&mut Settings::dev(), &format!("[rpc]\n{rest}")).expect_err(rest);
            assert!(error.contains(part), "{error:?} should contain {part:?}");
        };
        refuse("timeout = \"1s\"", "missing field `url`");
        refuse("url = \"http://x\"\nsecret = 1", "`rpc.secret` is no setting; there are url, timeout");
        refuse("url = \"127.0.0.1:9000/rpc\"", "url: \"127.0.0.1:9000/rpc\" is not");
        refuse("url = \"/rpc\"", "is neither an http:// nor");
        refuse("url = \"http://\"", "is not a URL");
        refuse("url = \"http://a:b@x/\"", "has a user's name in it");
        for timeout in ["0s", "61s"] {
            refuse(&format!("url = \"{url}\"\ntimeout = \"{timeout}\""), "it may be 1ms to 60 s");
        }
        refuse(&format!("url = \"{url}\"\ntimeout = \"soon\""), "[rpc]: timeout: \"soon\" is not a duration");
        assert!(
            say(&mut Settings::dev(), "rpc = 1")
                .is_err_and(|error| error.contains("expected a table, like { url"))
        );
    }

    #[test]
    fn compression_is_on_unless_it_is_turned_off() {
        let options = DeflateOptions::default();
        let check = |text: &str, expect: Option<DeflateOptions>| {
            let mut settings = Settings::dev();
            assert_eq!(say(&mut settings, text), Ok(()), "{text}");
            assert_eq!(settings.compression, expect, "{text}");
        };
        check("", Some(options));
        check("[compression]", Some(options));
        check("[compression]\nenabled = false\nlevel = 3", None);
        check("compression = { level = 6 }", Some(DeflateOptions { level: 6, ..options }));
        check("compression = { size_min = \"1KiB\" }", Some(DeflateOptions { size_min: 1024, ..options }));
    }
}
