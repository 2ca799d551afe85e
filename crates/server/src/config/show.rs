//! `trunkline config`: looks at a configuration as a server would, and starts none.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Context as _;
use toml::Value;

use super::keys::{Form, KEYS, Key, Unsaid};
use super::layers::{Layers, Place, written};
use super::{Mode, Settings, reference};
use crate::cli::{ConfigOptions, Failure, ShowOptions};

/// What stands where a secret would.
const HIDDEN: &str = "(not shown)";
/// The column in which origins begin.
const ORIGIN_COLUMN: usize = 48;

/// Says whether a server would start with it.
pub(crate) fn check(options: &ConfigOptions) -> anyhow::Result<()> {
    let mode = mode(options);
    let (settings, _) = match mode {
        Mode::Dev => Settings::read(mode, &options.server)?,
        Mode::Serve => Settings::to_serve(&options.server)?,
    };
    let count = settings.namespaces.names().count();
    let names: Vec<_> = settings.namespaces.names().collect();
    writeln!(io::stdout(), "this is right; namespaces ({count}): {}", names.join(", "))?;
    Ok(())
}

/// Prints what counts.
pub(crate) fn show(options: &ShowOptions) -> anyhow::Result<()> {
    let mode = mode(&options.config);
    // What is wrong is said before anything is shown.
    let (_, layers) = Settings::read(mode, &options.config.server)?;
    let mut out = io::stdout().lock();
    for section in sections(&layers) {
        write_section(&mut out, &section, &layers, mode, options.origin)?;
    }
    Ok(())
}

/// Prints a JSON Schema.
pub(crate) fn schema() -> anyhow::Result<()> {
    writeln!(io::stdout(), "{:#}", reference::json_schema())?;
    Ok(())
}

/// Makes the tables of the reference anew.
pub(crate) fn refresh_reference(page: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(page).with_context(|| format!("cannot read {}", page.display()))?;
    let fresh = reference::with_fresh_tables(&text).map_err(Failure::Usage)?;
    std::fs::write(page, fresh).with_context(|| format!("cannot write {}", page.display()))
}

fn mode(options: &ConfigOptions) -> Mode {
    if options.dev { Mode::Dev } else { Mode::Serve }
}

/// The tables in which keys stand: `server`, …, and each namespace.
fn sections(layers: &Layers) -> Vec<Place> {
    let mut sections: Vec<Place> = Vec::new();
    for key in KEYS {
        let first = key.parts().next().unwrap_or_default().to_owned();
        if first != "namespace" && !sections.iter().any(|section| section[0] == first) {
            sections.push(vec![first]);
        }
    }
    sections.extend(layers.namespaces().into_iter().map(|name| vec!["namespace".to_owned(), name]));
    sections
}

fn write_section(
    out: &mut impl Write,
    section: &Place,
    layers: &Layers,
    mode: Mode,
    origin: bool,
) -> io::Result<()> {
    let keys = KEYS.iter().filter(|key| key.begins_with(section) && !key.path.contains("[]"));
    let lines: Vec<_> = keys.filter_map(|key| line(key, section, layers, mode, origin)).collect();
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "[{}]", written(section))?;
    for line in lines {
        writeln!(out, "{line}")?;
    }
    writeln!(out)
}

/// What one setting is; `None` if it is nothing.
fn line(key: &Key, section: &Place, layers: &Layers, mode: Mode, origin: bool) -> Option<String> {
    let below: Place = key.parts().skip(section.len()).map(str::to_owned).collect();
    let place: Place = section.iter().chain(&below).cloned().collect();
    let (value, from) = match layers.get(&place) {
        Some(value) => {
            let origin = layers.origins.get(&place).map(ToString::to_string);
            (shown(key, value.clone()).to_string(), origin.unwrap_or_default())
        }
        None if is_idle(key, &place, layers) => return None,
        None => (key.default_in(mode)?.to_owned(), "default".to_owned()),
    };
    let line = format!("{} = {value}", written(&below));
    Some(if origin { format!("{line:ORIGIN_COLUMN$} # {from}") } else { line })
}

/// Whether nothing depends on the setting: its namespace is of another kind, or its table is not there.
fn is_idle(key: &Key, place: &Place, layers: &Layers) -> bool {
    let said = |name: &str, depth: usize| {
        let place: Place = place.iter().take(depth).cloned().chain([name.to_owned()]).collect();
        layers.get(&place).cloned()
    };
    let kind = said("kind", 2);
    let kind = kind.as_ref().and_then(Value::as_str).unwrap_or_default();
    let depth = place.len() - 1;
    let beside = KEYS.iter().filter(|other| {
        other.parts().count() == place.len() && other.parts().take(depth).eq(key.parts().take(depth))
    });
    let lacks = |other: &Key| {
        let is_said = || other.parts().last().is_some_and(|name| said(name, depth).is_some());
        other.default == Unsaid::Required && !is_said()
    };
    (!key.kinds.is_empty() && !key.kinds.contains(&kind)) || beside.into_iter().any(lacks)
}

/// A value without its secrets.
fn shown(key: &Key, value: Value) -> Value {
    match value {
        Value::String(_) if key.form == Form::Secret => Value::String(HIDDEN.to_owned()),
        // What stands behind `?` may be one.
        Value::String(text) if text.contains("://") => match text.split_once('?') {
            Some((url, _)) => Value::String(format!("{url}?{HIDDEN}")),
            None => Value::String(text),
        },
        Value::Array(list) => Value::Array(
            list.into_iter().map(|value| shown_in_list(&format!("{}[]", key.path), value)).collect(),
        ),
        value => value,
    }
}

fn shown_in_list(path: &str, value: Value) -> Value {
    let Value::Table(table) = value else { return value };
    let shown = table.into_iter().map(|(name, value)| {
        let key = KEYS.iter().find(|key| key.path == format!("{path}.{name}"));
        let value = key.map_or_else(|| Value::String(HIDDEN.to_owned()), |key| shown(key, value));
        (name, value)
    });
    Value::Table(shown.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the table of keys says is the default is what happens where nothing is said.
    #[test]
    fn defaults_are_what_the_table_says() {
        for mode in [Mode::Dev, Mode::Serve] {
            let mut said = Layers::built_in(
                "[namespace.a]\nkind = \"log\"\n[namespace.b]\nkind = \"map\"\n[rpc]\nurl = \"http://localhost\"",
            );
            let unsaid = format!("{:?}", Settings::of(mode, &said).expect("it is right"));
            // What a table needs that is not there.
            let idle = |key: &Key| key.path.starts_with("auth.jwks") || key.path.starts_with("server.acme");
            for key in KEYS.iter().filter(|key| !key.path.contains("[]") && !idle(key)) {
                let Some(default) = key.default_in(mode) else { continue };
                let plain = default.trim_matches('"');
                for (name, kind) in [("a", "log"), ("b", "map")] {
                    if key.kinds.is_empty() || key.kinds.contains(&kind) {
                        said.lay_flag("--set", &key.path.replace('*', name), plain).expect(key.path);
                    }
                }
            }
            assert_eq!(format!("{:?}", Settings::of(mode, &said).expect("it is right")), unsaid);
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut layers = Layers::default();
        let text = "rpc = { url = \"https://app/rpc?key=hunter2\" }\n[[auth.keys]]\nalgorithm = \"HS256\"\nsecret = \"hunter2hunter2hunter2hunter2hunter2\"\n\
                    [[auth.api_keys]]\nname = \"a\"\nkey = \"hunter2hunter2hunter2\"\nallow = []\n[namespace.\"a.b\"]\nkind = \"log\"";
        layers.lay_file(Path::new("t.toml"), text).expect("it is right");
        let mut out = Vec::new();
        for section in sections(&layers) {
            write_section(&mut out, &section, &layers, Mode::Serve, true).expect("a buffer");
        }
        let out = String::from_utf8(out).expect("text");
        assert!(!out.contains("hunter2"), "{out}");
        for part in [
            "secret = \"(not shown)\"",
            "url = \"https://app/rpc?(not shown)\"",
            "[namespace.\"a.b\"]",
            "# t.toml:",
            "# default",
        ] {
            assert!(out.contains(part), "{part:?} is not in {out}");
        }
        assert!(out.parse::<toml::Table>().is_ok(), "it is a configuration file: {out}");
    }
}
