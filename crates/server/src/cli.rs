//! The command line: verbs, flags, exit codes. What they do is elsewhere.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::DEFAULT_DATA;

/// A real-time server: channels with history that clients can resume, in one binary.
#[derive(Parser, Debug)]
#[command(
    version,
    after_help = "Exit codes: 0 done · 1 refused or failed · 2 wrong usage or configuration · 3 no connection"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    /// Run a server for development: open to everyone on this machine, and to nobody else.
    Dev(ServerOptions),
    /// Run a server for others: it lets in who has a token, and starts with nothing that anyone could misuse.
    Serve(ServerOptions),
    /// Look at a configuration without starting a server.
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Make a token, or look into one.
    #[command(subcommand)]
    Token(TokenVerb),
    /// Publish one message to a channel.
    Pub(PubOptions),
    /// Print the messages of channels as they come.
    Sub(SubOptions),
    /// Copy the database to a file, while the server runs or not.
    Backup(BackupOptions),
    /// Make a data directory of a backup.
    Restore(RestoreOptions),
}

/// What a server is started with. Each is laid over the configuration file; see `config`.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct ServerOptions {
    /// Where to listen: an address and a port (0 picks a free one) [default: 127.0.0.1:8000] [env: TRUNKLINE_LISTEN]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<String>,
    /// The directory of the database; made if it is not there [default: ./trunkline-data] [env: TRUNKLINE_DATA]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<String>,
    /// Worker threads; one per core if not given [env: TRUNKLINE_WORKERS]
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<String>,
    /// The TOML file that says who may do what; see docs/reference/configuration.md.
    #[arg(long, value_name = "FILE", env = "TRUNKLINE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// A setting, over the file and the environment, like `server.drain.within=5s`. Several times for several.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub(crate) set: Vec<(String, String)>,
}

impl ServerOptions {
    /// What flags say: the flag, the key of the configuration, and the value.
    pub(crate) fn said(&self) -> impl Iterator<Item = (&'static str, String, String)> {
        let short = [
            ("--listen", "server.listen", &self.listen),
            ("--data", "server.data", &self.data),
            ("--workers", "server.workers", &self.workers),
        ];
        let short =
            short.into_iter().filter_map(|(flag, key, value)| Some((flag, key.to_owned(), value.clone()?)));
        short.chain(self.set.iter().map(|(key, value)| ("--set", key.clone(), value.clone())))
    }
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it like `server.drain.within=5s`")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

#[derive(Subcommand, Debug)]
pub(crate) enum ConfigVerb {
    /// Say whether a server would start with this configuration, and what is wrong with it if not.
    Check(ConfigOptions),
    /// Print all settings that count, as a configuration file. Secrets are left out.
    Show(ShowOptions),
    /// Print a JSON Schema of the configuration file, for editors.
    Schema,
    /// Make the tables of docs/reference/configuration.md anew.
    #[command(hide = true)]
    Reference {
        /// The page.
        page: PathBuf,
    },
}

#[derive(Args, Debug)]
pub(crate) struct ConfigOptions {
    /// As `trunkline dev` would take it, not `trunkline serve`.
    #[arg(long)]
    pub(crate) dev: bool,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

#[derive(Args, Debug)]
pub(crate) struct ShowOptions {
    /// Say of each where it comes from.
    #[arg(long)]
    pub(crate) origin: bool,
    #[command(flatten)]
    pub(crate) config: ConfigOptions,
}

#[derive(Subcommand, Debug)]
pub(crate) enum TokenVerb {
    /// Print a token signed with a secret of the configuration.
    New(TokenNewOptions),
    /// Print what a token says.
    Show(TokenShowOptions),
}

#[derive(Args, Debug)]
pub(crate) struct TokenNewOptions {
    /// The TOML file with the secret. Without one the key of `trunkline dev` counts.
    #[arg(long, value_name = "FILE", env = "TRUNKLINE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The directory where `trunkline dev` keeps its data.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA, env = "TRUNKLINE_DATA")]
    pub(crate) data: PathBuf,
    /// Who the user is (`sub`).
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// When its time is over, from now on.
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    pub(crate) expires: String,
    /// What it allows beside what everybody may do, like `chat:*=subscribe,publish`. Several times for several.
    #[arg(long, value_name = "CHANNELS=CAN,…")]
    pub(crate) allow: Vec<String>,
    /// A channel that the session follows without asking. Several times for several.
    #[arg(long, value_name = "CHANNEL")]
    pub(crate) channel: Vec<String>,
    /// What presence shows of the user: JSON.
    #[arg(long, value_name = "JSON")]
    pub(crate) info: Option<String>,
    /// The token is for a subscription to this channel alone.
    #[arg(long, value_name = "CHANNEL", conflicts_with_all = ["allow", "channel"])]
    pub(crate) subscribe: Option<String>,
    /// What it allows there; without it subscribe, history and presence.
    #[arg(long, value_name = "CAN,…", requires = "subscribe")]
    pub(crate) can: Option<String>,
    /// The first offset of the channel that it gives.
    #[arg(long, value_name = "OFFSET", requires = "subscribe")]
    pub(crate) from: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct TokenShowOptions {
    /// The token; `-` reads it from standard input, where no list of processes shows it.
    pub(crate) token: String,
    /// A TOML file with keys to verify it with.
    #[arg(long, value_name = "FILE", env = "TRUNKLINE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct BackupOptions {
    /// The file to be made; it must not be there.
    pub(crate) to: PathBuf,
    /// The directory of the database.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA, env = "TRUNKLINE_DATA")]
    pub(crate) data: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct RestoreOptions {
    /// The backup; it stays as it is.
    pub(crate) from: PathBuf,
    /// The directory to be made; it must not hold a database.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA, env = "TRUNKLINE_DATA")]
    pub(crate) data: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct RemoteOptions {
    /// A token, or a key of the HTTP API; from the environment it stands in no list of processes.
    #[arg(long, value_name = "TOKEN", env = "TRUNKLINE_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// The server: its HTTP or WebSocket URL.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000", env = "TRUNKLINE_SERVER")]
    pub(crate) server: String,
}

#[derive(Args, Debug)]
pub(crate) struct PubOptions {
    /// The channel, like chat:lobby.
    pub(crate) channel: String,
    /// The message: any JSON; `-` reads it from standard input.
    pub(crate) data: String,
    /// Send DATA as text that is not JSON.
    #[arg(long)]
    pub(crate) text: bool,
    /// An idempotency key: a second publish with it stores nothing.
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Format,
    #[command(flatten)]
    pub(crate) remote: RemoteOptions,
}

#[derive(Args, Debug)]
pub(crate) struct SubOptions {
    /// The channels, like chat:lobby.
    #[arg(required = true)]
    pub(crate) channels: Vec<String>,
    /// Begin with so many messages of the past.
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<u32>,
    /// End after so many messages.
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// How messages are printed.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Format,
    #[command(flatten)]
    pub(crate) remote: RemoteOptions,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Human,
    /// For programs: one JSON object per line.
    Json,
}

/// An error that has an exit code of its own; any other exits with 1.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command was wrong, or the configuration is.
    Usage(String),
    /// The server cannot be reached.
    Connection(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Usage(message) | Self::Connection(message)) = self;
        f.write_str(message)
    }
}

impl std::error::Error for Failure {}

/// The exit code that goes with `error`.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref() {
        Some(Failure::Usage(_)) => ExitCode::from(2),
        Some(Failure::Connection(_)) => ExitCode::from(3),
        None => ExitCode::from(1),
    }
}
