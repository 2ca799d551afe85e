//! The binary `trunkline`: a real-time server, and the command line that talks to one.
//!
//! Only this crate reads configuration and environment, opens tokens ([`door`]), and speaks HTTP.
//!
//! ```text
//!   cli ──▶ run ──▶ running ──▶ config, door, store-sqlite ──▶ node (workers) ◀── http, http2: upgrade, api, ui
//!       │       │                                            ├─▶ entrance: proxy_header, tls
//!       │       ├─▶ listen                                   └─▶ rpc: the application's HTTP endpoint
//!       │       ├─▶ acme: a certificate that an authority gives
//!       │       └─▶ admin: metrics, on an address of its own
//!       │                                        └─▶ rpc: the application's HTTP endpoint
//!       ├─▶ config: check, show, schema
//!       ├─▶ token: new, show ──▶ config, auth
//!       ├─▶ copies: backup, restore ──▶ store-sqlite
//!       └─▶ remote: pub, sub ── trunkline-ws ──▶ any server's /ws
//! ```

mod acme;
mod admin;
mod api;
mod cipher;
mod cli;
mod config;
mod copies;
mod credentials;
mod dev_key;
mod door;
mod dto;
mod entrance;
mod files;
mod forwarded;
mod half_open;
mod http;
mod http2;
mod key_ring;
mod line;
mod listen;
mod metrics;
mod origins;
mod outgoing;
mod patient;
mod problem;
mod process;
mod log;
mod proxy_header;
mod refused;
mod remote;
mod rpc;
mod run;
mod running;
mod tls;
mod token;
mod ui;
mod units;
mod upgrade;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, ConfigVerb, TokenVerb, Verb};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.verb {
        Verb::Dev(options) => run::dev(&options),
        Verb::Serve(options) => run::serve(&options),
        Verb::Config(ConfigVerb::Check(options)) => config::check(&options),
        Verb::Config(ConfigVerb::Show(options)) => config::show(&options),
        Verb::Config(ConfigVerb::Schema) => config::schema(),
        Verb::Config(ConfigVerb::Reference { page }) => config::refresh_reference(&page),
        Verb::Token(TokenVerb::New(options)) => token::new(&options),
        Verb::Token(TokenVerb::Show(options)) => token::show(&options),
        Verb::Pub(options) => remote::publish(&options),
        Verb::Sub(options) => remote::subscribe(&options),
        Verb::Backup(options) => copies::backup(&options),
        Verb::Restore(options) => copies::restore(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where this cannot be told, the exit code still can.
            let _ = writeln!(std::io::stderr(), "trunkline: {error:#}");
            cli::exit_code(&error)
        }
    }
}
