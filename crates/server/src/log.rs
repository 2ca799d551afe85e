//! The log of the server, on standard error: which lines, in which shape. What is in them is said where it happens; never
//! a token, a key or a payload.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::{LogFormat, LogSettings};

/// What is logged can be changed while it runs.
#[derive(Debug)]
pub(crate) struct Log(reload::Handle<EnvFilter, Registry>);

impl Log {
    /// Begins to log. Once in the life of a process.
    pub(crate) fn start(settings: &LogSettings) -> Self {
        let (filter, handle) = reload::Layer::new(settings.filter());
        // A log that cannot be written must end nothing: without this, the subscriber panics where it says so.
        let lines = fmt::layer().with_writer(io::stderr).log_internal_errors(false);
        let lines = match settings.format {
            LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
            LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
        };
        tracing_subscriber::registry().with(filter).with(lines).init();
        Self(handle)
    }

    /// From now on what these settings say is logged; the shape stays.
    pub(crate) fn configure(&self, settings: &LogSettings) {
        // It fails where nobody logs any more.
        let _ = self.0.reload(settings.filter());
    }
}
