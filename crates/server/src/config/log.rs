//! `[log]`: what is said about the server's own doings, and in which shape.

use tracing_subscriber::EnvFilter;

use crate::dto::LogTable;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogSettings {
    /// Fit to be a filter.
    level: String,
    pub(crate) format: LogFormat,
}

/// The shape of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For programs: one object each.
    Json,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

impl LogSettings {
    pub(super) fn apply(&mut self, table: &LogTable) -> Result<(), String> {
        if let Some(level) = &table.level {
            check(level).map_err(|error| {
                format!(
                    "level: {error}; write one of {}, or like \"warn,trunkline_node=debug\"",
                    LEVELS.join(", ")
                )
            })?;
            self.level.clone_from(level);
        }
        self.format = match table.format.as_deref() {
            None => self.format,
            Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => return Err(format!("format is {other:?}; it is \"text\" or \"json\"")),
        };
        Ok(())
    }

    /// Lets through what is to be logged.
    pub(crate) fn filter(&self) -> EnvFilter {
        // A library warns of each client that breaks a rule; such clients are counted and told of by `refused`.
        let is_plain = ["error", "warn", "info"].contains(&self.level.to_ascii_lowercase().as_str());
        let quiet = if is_plain { ",h2=error" } else { "" };
        EnvFilter::new(format!("{}{quiet}", self.level))
    }
}

/// A word that is no level would be taken for the name of a module, and everything else would be silent.
fn check(level: &str) -> Result<(), String> {
    for part in level.split(',') {
        let word = part.rsplit_once('=').map_or(part, |(_, word)| word);
        if !LEVELS.contains(&word.to_ascii_lowercase().as_str()) {
            return Err(format!("{word:?} is no level"));
        }
    }
    EnvFilter::builder().parse(level).map(|_| ()).map_err(|error| format!("{level:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn levels_are_for_all_or_for_a_module() {
        for good in ["info", "WARN", "off", "warn,trunkline_node=debug", "warn,trunkline_hub::shard=trace"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "inof",
            "trunkline_node",
            "info,",
            "trunkline_node=loud",
            "a=b=c",
            "[x=info",
            "warn, trunkline_hub=trace",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
