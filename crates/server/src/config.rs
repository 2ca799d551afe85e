//! The configuration: what `dev` brings along, and what a file says over it.

use std::path::Path;

use trunkline_model::{ChannelName, Kind, Namespace, Namespaces};

use crate::cli::Failure;
use crate::dto::{ConfigFile, KindWord, NamespaceTable};
use crate::units;

/// The largest payload that a namespace may allow: 1 MiB.
const MESSAGE_MAX: usize = 1 << 20;
/// The most entries that may be replayed, and kept hot per channel.
const RECOVER_ENTRIES_MAX: u32 = 10_000;
/// The most bytes of them: a replay must fit into an outbox.
const RECOVER_BYTES_MAX: usize = 2 << 20;

/// The namespaces that `dev` has without a file: `chat` (a log) and `room` (a signal).
pub(crate) fn dev_namespaces() -> Namespaces {
    let mut namespaces = Namespaces::default();
    namespaces.insert("chat", Namespace::of_kind(Kind::Log));
    namespaces.insert("room", Namespace::of_kind(Kind::Signal));
    namespaces
}

/// Reads the file at `path` over `namespaces`.
///
/// # Errors
/// [`Failure::Usage`] names the file, the place in it, and what would be right.
pub(crate) fn read_over(namespaces: &mut Namespaces, path: &Path) -> Result<(), Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::Usage(format!("cannot read the configuration {}: {error}", path.display()))
    })?;
    apply(namespaces, &text).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

fn apply(namespaces: &mut Namespaces, text: &str) -> Result<(), String> {
    let file: ConfigFile = toml::from_str(text).map_err(|error| error.to_string())?;
    for (name, table) in &file.namespace {
        let checked = namespace(name, table).map_err(|error| format!("[namespace.{name}]: {error}"))?;
        namespaces.insert(name, checked);
    }
    Ok(())
}

fn namespace(name: &str, table: &NamespaceTable) -> Result<Namespace, String> {
    ChannelName::parse(name).map_err(|error| error.to_string())?;
    if name.contains(':') {
        return Err("a namespace's name has no `:`".to_owned());
    }
    let mut namespace = Namespace::of_kind(match table.kind {
        KindWord::Log => Kind::Log,
        KindWord::Signal => Kind::Signal,
    });
    if table.acknowledge.is_some() && namespace.kind == Kind::Signal {
        return Err("`acknowledge` is for kind \"log\"; a signal is not stored".to_owned());
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
    if let Some(message) = table.limits.as_ref().and_then(|limits| limits.message.as_ref()) {
        let message = units::size(message).map_err(|error| format!("limits.message: {error}"))?;
        namespace.message_size_max = within("limits.message", message, 1, MESSAGE_MAX)?;
    }
    Ok(namespace)
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
    use std::time::Duration;

    fn check(text: &str, expect: Result<(&str, Namespace), &str>) {
        let mut namespaces = Namespaces::default();
        match (apply(&mut namespaces, text), expect) {
            (Ok(()), Ok((channel, expect))) => {
                let channel = ChannelName::parse(channel).expect("a name");
                assert_eq!(namespaces.of(&channel).map(|n| (**n).clone()), Some(expect), "{text}");
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
        };
        check(
            "[namespace.news]\nkind = \"log\"\nacknowledge = \"disk\"\nkeys = \"10m\"\n\
             recover = { entries = 10, bytes = \"2KiB\" }\nlimits = { message = \"1000B\" }",
            Ok(("news:x", full)),
        );
        check("[namespace.default]\nkind = \"signal\"", Ok(("lobby", Namespace::of_kind(Kind::Signal))));
    }

    #[test]
    fn what_is_wrong_is_named() {
        check("[namespace.x]", Err("missing field `kind`"));
        check("[namespace.x]\nkind = \"lag\"", Err("expected `log` or `signal`"));
        check("[namespace.x]\nkind = \"log\"\nkeep = 1", Err("unknown field `keep`, expected one of"));
        check("[names.x]", Err("unknown field `names`, expected `namespace`"));
        check("[namespace.x]\nkind = \"log\"\nkeys = \"1 year\"", Err("[namespace.x]: keys: \"1 year\""));
        check(
            "[namespace.x]\nkind = \"log\"\nlimits = { message = \"2MiB\" }",
            Err("it may be 1 to 1048576"),
        );
        check("[namespace.\"a b\"]\nkind = \"log\"", Err("not ' '"));
        check("[namespace.\"a:b\"]\nkind = \"log\"", Err("no `:`"));
        check("[namespace.x]\nkind = \"signal\"\nacknowledge = \"disk\"", Err("`acknowledge` is for kind"));
        check("nonsense", Err("line 1"));
    }
}
