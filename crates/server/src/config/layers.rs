//! What is configured, laid over each other: what `dev` brings along < the file < the environment < flags. Each value
//! remembers where it comes from. What the values mean is not looked at here.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::keys::{self, Form};

/// Names of settings in the environment begin with it, and have `__` for each `.`.
const PREFIX: &str = "TRUNKLINE_";
/// Settings that have a shorter name, too.
const SHORT: [(&str, &str); 4] = [
    ("TRUNKLINE_LISTEN", "server.listen"),
    ("TRUNKLINE_DATA", "server.data"),
    ("TRUNKLINE_WORKERS", "server.workers"),
    ("TRUNKLINE_LOG", "log.level"),
];
/// How many differing letters a name may have to be taken for a known one.
const TYPOS_MAX: usize = 3;

/// The place of a value: the names of the tables it is in, and its own.
pub(crate) type Place = Vec<String>;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `trunkline dev` brings it along.
    BuiltIn,
    /// This line of the file.
    File(PathBuf, usize),
    /// A variable of the environment.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built in"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// All that is said, each thing once.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    /// What is said last of each.
    pub(crate) table: Table,
    /// Where that comes from.
    pub(crate) origins: BTreeMap<Place, Origin>,
    /// The file, if there is one.
    pub(crate) file: Option<PathBuf>,
}

impl Layers {
    /// What comes along without anybody saying anything.
    pub(crate) fn built_in(text: &str) -> Self {
        let mut layers = Self::default();
        let table: Table = text.parse().expect("what is built in is TOML");
        layers.lay(table, |_| Origin::BuiltIn);
        layers
    }

    /// Lays what a file says over it.
    ///
    /// # Errors
    /// A sentence with the line and the column.
    pub(crate) fn lay_file(&mut self, path: &Path, text: &str) -> Result<(), String> {
        let parsed = DeTable::parse(text).map_err(|error| located(text, &error))?;
        let mut lines = BTreeMap::new();
        look_through(&mut Vec::new(), parsed.get_ref(), text, &mut lines)?;
        let table: Table = toml::from_str(text).map_err(|error| located(text, &error))?;
        // What is wrong with the shape of a value is said here, where there still are lines.
        toml::from_str::<crate::dto::ConfigFile>(text).map_err(|error| located(text, &error))?;
        self.drop_replaced_namespaces(&table);
        self.lay(table, |place| Origin::File(path.to_owned(), lines.get(place).copied().unwrap_or(1)));
        self.file = Some(path.to_owned());
        Ok(())
    }

    /// Lays what these variables of the environment say over it.
    ///
    /// # Errors
    /// A sentence with the name of the variable.
    pub(crate) fn lay_environment(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<(), String> {
        let mut variables: Vec<_> = variables.filter(|(name, _)| name.starts_with(PREFIX)).collect();
        variables.sort();
        for (name, text) in variables {
            let short = SHORT.iter().find(|(short, _)| *short == name).map(|(_, key)| (*key).to_owned());
            let long = name.strip_prefix(PREFIX).filter(|rest| rest.contains("__"));
            let Some(key) = short.or_else(|| long.map(|rest| rest.to_ascii_lowercase().replace("__", ".")))
            else {
                continue;
            };
            self.say(&key, &text, Origin::Environment(name.clone()))
                .map_err(|error| format!("{name} in the environment: {error}"))?;
        }
        Ok(())
    }

    /// Lays what a flag says over it.
    ///
    /// # Errors
    /// A sentence without the flag's name.
    pub(crate) fn lay_flag(&mut self, flag: &str, key: &str, text: &str) -> Result<(), String> {
        self.say(key, text, Origin::Flag(flag.to_owned())).map_err(|error| format!("{flag}: {error}"))
    }

    fn say(&mut self, key: &str, text: &str, origin: Origin) -> Result<(), String> {
        let place = place_of(key)?;
        let known = check_known(&place)?;
        let Some(known) = known else {
            return Err(format!(
                "`{}` is a table; say one of its keys: {}",
                written(&place),
                keys::known_below(&place).join(", ")
            ));
        };
        let value = value_of(known.form, text)?;
        insert(&mut self.table, &place, value).map_err(|at| format!("`{at}` is no table"))?;
        self.origins.retain(|other, _| !other.starts_with(&place));
        self.origins.insert(place, origin);
        Ok(())
    }

    /// A namespace of the file takes the place of the one that is built in, as a whole.
    fn drop_replaced_namespaces(&mut self, over: &Table) {
        let said = over.get("namespace").and_then(Value::as_table);
        let Some(ours) = self.table.get_mut("namespace").and_then(Value::as_table_mut) else { return };
        for name in said.into_iter().flat_map(Table::keys) {
            ours.remove(name);
            self.origins.retain(|place, _| {
                place.first().is_none_or(|p| p != "namespace") || place.get(1) != Some(name)
            });
        }
    }

    fn lay(&mut self, over: Table, origin: impl Fn(&Place) -> Origin) {
        let mut leaves = Vec::new();
        leaves_of(&mut Vec::new(), over, &mut leaves);
        for (place, value) in leaves {
            self.origins.insert(place.clone(), origin(&place));
            // Both are shaped by the same table of keys.
            let _ = insert(&mut self.table, &place, value);
        }
    }

    /// What is said of this.
    pub(crate) fn get(&self, place: &[String]) -> Option<&Value> {
        let (name, tables) = place.split_last()?;
        tables.iter().try_fold(&self.table, |table, name| table.get(name)?.as_table())?.get(name)
    }

    /// Whether the file has the last word on this.
    pub(crate) fn is_of_file(&self, place: &[&str]) -> bool {
        let place: Place = place.iter().map(|&part| part.to_owned()).collect();
        matches!(self.origins.get(&place), Some(Origin::File(..)))
    }

    /// The names of the namespaces.
    pub(crate) fn namespaces(&self) -> Vec<String> {
        let table = self.table.get("namespace").and_then(Value::as_table);
        table.map(|table| table.keys().cloned().collect()).unwrap_or_default()
    }

    /// What else than the file has a say, for messages: nothing, or ` (with …)`.
    pub(crate) fn others(&self) -> String {
        let others = self.origins.values().filter_map(|origin| match origin {
            Origin::Environment(name) => Some(name.as_str()),
            Origin::Flag(flag) => Some(flag.as_str()),
            Origin::BuiltIn | Origin::File(..) => None,
        });
        let mut others: Vec<_> = others.collect();
        others.sort_unstable();
        others.dedup();
        if others.is_empty() { String::new() } else { format!(" (with {})", others.join(", ")) }
    }
}

/// What is wrong, and where: not the line itself, which may hold a secret.
pub(super) fn located(text: &str, error: &toml::de::Error) -> String {
    let Some(span) = error.span() else { return discreet(error.message()) };
    let (line, column) = position(text, span.start);
    format!("line {line}, column {column}: {}", discreet(error.message()))
}

/// What is wrong with the type of a value, without the value, which may be a secret: `invalid type: string "…", expected a
/// table` says no more than `invalid type: string, expected a table`.
pub(super) fn discreet(message: &str) -> String {
    let cut = |start: &str| {
        let (before, rest) = message.split_once(start)?;
        let (value, expected) = rest.rsplit_once(", expected ")?;
        let kind = value.split(['"', '`']).next().unwrap_or_default().trim();
        Some(format!("{before}{start}{kind}, expected {expected}"))
    };
    cut("invalid type: ").or_else(|| cut("invalid value: ")).unwrap_or_else(|| message.to_owned())
}

fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

/// Checks the names in a table, and notes the line of each value.
fn look_through(
    place: &mut Place,
    table: &DeTable<'_>,
    text: &str,
    lines: &mut BTreeMap<Place, usize>,
) -> Result<(), String> {
    for (name, value) in table {
        let (line, column) = position(text, name.span().start);
        place.push(name.get_ref().to_string());
        check_known(place).map_err(|error| format!("line {line}, column {column}: {error}"))?;
        lines.insert(place.clone(), line);
        look_into(place, value, text, lines)?;
        place.pop();
    }
    Ok(())
}

fn look_into(
    place: &mut Place,
    value: &Spanned<DeValue<'_>>,
    text: &str,
    lines: &mut BTreeMap<Place, usize>,
) -> Result<(), String> {
    match value.get_ref() {
        DeValue::Table(table) => look_through(place, table, text, lines),
        DeValue::Array(list) => {
            let name = place.pop().unwrap_or_default();
            place.push(format!("{name}[]"));
            let looked = list.iter().try_for_each(|value| match value.get_ref() {
                DeValue::Table(table) => look_through(place, table, text, &mut BTreeMap::new()),
                _ => Ok(()),
            });
            place.pop();
            place.push(name);
            looked
        }
        _ => Ok(()),
    }
}

/// The key at `place`; `None` if a table of keys is there.
fn check_known(place: &[String]) -> Result<Option<&'static keys::Key>, String> {
    if let Some(key) = keys::find(place) {
        return Ok(Some(key));
    }
    if keys::KEYS.iter().any(|key| key.begins_with(place)) {
        return Ok(None);
    }
    // The shortest part that is not known is the one that is wrong.
    let wrong = (1..=place.len()).find(|end| {
        let begun = &place[..*end];
        !keys::KEYS.iter().any(|key| key.begins_with(begun) || names_a_list(key, begun))
    });
    let end = wrong.unwrap_or(place.len());
    let (name, tables) = (&place[end - 1], &place[..end - 1]);
    let known: Vec<_> = keys::known_below(tables).iter().map(|name| name.trim_end_matches("[]")).collect();
    let place = written(&place[..end]);
    Err(match closest(name, &known) {
        Some(meant) => format!("`{place}` is no setting; did you mean `{meant}`?"),
        None if known.is_empty() => format!("`{place}` is no setting: `{}` is a value", written(tables)),
        None => format!("`{place}` is no setting; there are {}", known.join(", ")),
    })
}

/// Whether the last of these names a list of tables, of which `key` is in one.
fn names_a_list(key: &keys::Key, begun: &[String]) -> bool {
    let Some((last, before)) = begun.split_last() else { return false };
    let listed: Place = before.iter().cloned().chain([format!("{last}[]")]).collect();
    key.begins_with(&listed)
}

fn closest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let distance = |other: &str| strsim::damerau_levenshtein(name, other);
    let best = known.iter().copied().min_by_key(|other| distance(other))?;
    (distance(best) <= TYPOS_MAX.min(name.len() / 2)).then_some(best)
}

/// A place as one would write it.
pub(crate) fn written(place: &[String]) -> String {
    let is_bare = |part: &str| {
        let part = part.trim_end_matches("[]");
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    let parts = place.iter().map(|part| if is_bare(part) { part.clone() } else { format!("{part:?}") });
    parts.collect::<Vec<_>>().join(".").replace("[]", "")
}

/// `namespace."a.b".kind`
fn place_of(key: &str) -> Result<Place, String> {
    let wrong = || format!("{key:?} is no key; write one like `server.drain.within`");
    let mut table: Table = format!("{key} = 0").parse().map_err(|_| wrong())?;
    let mut place = Place::new();
    loop {
        let mut entries = table.into_iter();
        let (Some((name, value)), None) = (entries.next(), entries.next()) else { return Err(wrong()) };
        place.push(name);
        match value {
            Value::Table(inner) => table = inner,
            _ => return Ok(place),
        }
    }
}

/// A value as the environment and flags have it: texts without quotes, lists with commas or as in TOML.
fn value_of(form: Form, text: &str) -> Result<Value, String> {
    let text = text.trim();
    let as_toml = || -> Result<Value, String> {
        let table: Table = format!("x = {text}").parse().map_err(|_| {
            format!(
                "write a list as in TOML, like [{}]",
                if form == Form::Tables { "{ … }" } else { "\"a\", \"b\"" }
            )
        })?;
        Ok(table.into_iter().next().map_or(Value::Array(Vec::new()), |(_, value)| value))
    };
    let listed = || Value::Array(text.split(',').map(|part| Value::String(part.trim().to_owned())).collect());
    match form {
        Form::Boolean => match text {
            "true" => Ok(Value::Boolean(true)),
            "false" => Ok(Value::Boolean(false)),
            _ => Err(format!("{text:?} is neither true nor false")),
        },
        Form::Number => {
            text.parse().map(Value::Integer).map_err(|_| format!("{text:?} is not a whole number"))
        }
        Form::Word(words) if !words.contains(&text) => {
            Err(format!("{text:?} is none of {}", words.join(", ")))
        }
        Form::Tables => as_toml(),
        Form::List | Form::OneOrMore if text.starts_with('[') => as_toml(),
        Form::List if text.is_empty() => Ok(Value::Array(Vec::new())),
        Form::List => Ok(listed()),
        Form::OneOrMore if text.contains(',') => Ok(listed()),
        Form::Text
        | Form::Secret
        | Form::Word(_)
        | Form::Size
        | Form::Duration
        | Form::Rate
        | Form::Path
        | Form::OneOrMore => Ok(Value::String(text.to_owned())),
    }
}

fn insert(table: &mut Table, place: &[String], value: Value) -> Result<(), String> {
    let Some((name, tables)) = place.split_last() else { return Ok(()) };
    let mut table = table;
    for name in tables {
        let entry = table.entry(name.clone()).or_insert_with(|| Value::Table(Table::new()));
        table = entry.as_table_mut().ok_or_else(|| name.clone())?;
    }
    table.insert(name.clone(), value);
    Ok(())
}

/// The values in a table, each with its place. A table without any is one.
fn leaves_of(place: &mut Place, table: Table, leaves: &mut Vec<(Place, Value)>) {
    for (name, value) in table {
        place.push(name);
        match value {
            Value::Table(inner) if !inner.is_empty() => leaves_of(place, inner, leaves),
            value => leaves.push((place.clone(), value)),
        }
        place.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(key: &str) -> Place {
        place_of(key).expect("a key")
    }

    #[test]
    fn what_is_said_last_counts_and_tells_where_it_was_said() {
        let mut layers = Layers::built_in(
            "[namespace.chat]\nkind = \"log\"\nslow = \"catch_up\"\n[namespace.room]\nkind = \"signal\"",
        );
        let text = "[server]\nworkers = 1\ndrain = { delay = \"1s\",\n within = \"2s\" }\n[namespace.chat]\nkind = \"map\"\n";
        layers.lay_file(Path::new("t.toml"), text).expect("it is right");
        let variables = [
            ("TRUNKLINE_SERVER__DRAIN__WITHIN", "3s"),
            ("TRUNKLINE_SERVER__WORKERS", "2"),
            ("TRUNKLINE_NAMESPACE__CHAT__PUBLISH", "user"),
            ("TRUNKLINE_SERVER", "http://elsewhere"),
            ("TRUNKLINE_PORT_8000_TCP", "what another program is told"),
        ];
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        layers.lay_environment(variables).expect("it is right");
        layers.lay_flag("--workers", "server.workers", "3").expect("it is right");
        layers.lay_flag("--set", "namespace.\"a.b\".kind", "log").expect("it is right");
        let check = |key: &str, value: &str, origin: &str| {
            let place = place(key);
            let said = layers.get(&place).map(ToString::to_string);
            assert_eq!(said.as_deref(), Some(value), "{key}");
            assert_eq!(layers.origins.get(&place).map(ToString::to_string).as_deref(), Some(origin), "{key}");
        };
        check("server.workers", "3", "flag --workers");
        check("server.drain.delay", "\"1s\"", "t.toml:3");
        check("server.drain.within", "\"3s\"", "environment TRUNKLINE_SERVER__DRAIN__WITHIN");
        check("namespace.chat.kind", "\"map\"", "t.toml:6");
        check("namespace.chat.publish", "\"user\"", "environment TRUNKLINE_NAMESPACE__CHAT__PUBLISH");
        check("namespace.room.kind", "\"signal\"", "built in");
        check("namespace.\"a.b\".kind", "\"log\"", "flag --set");
        assert_eq!(layers.get(&place("namespace.chat.slow")), None, "the file's is another namespace");
        assert_eq!(layers.namespaces(), ["a.b", "chat", "room"]);
    }

    #[test]
    fn what_is_unknown_is_an_error_that_says_what_was_meant() {
        let check = |text: &str, part: &str| {
            let error = Layers::default().lay_file(Path::new("t.toml"), text).expect_err(text);
            assert!(error.contains(part), "{error:?} should contain {part:?}");
        };
        check("\n[servr]\nworkers = 1", "line 2, column 2: `servr` is no setting; did you mean `server`?");
        check(
            "[server]\n orgins = []",
            "line 2, column 2: `server.orgins` is no setting; did you mean `origins`?",
        );
        check("[namespace.x]\nkind = \"log\"\nkepe = 1", "did you mean `keep`?");
        check(
            "[namespace.x.keep]\nyears = 1",
            "`namespace.x.keep.years` is no setting; there are entries, size, age",
        );
        check(
            "[[auth.keys]]\nalgoritm = \"HS256\"",
            "`auth.keys.algoritm` is no setting; did you mean `algorithm`?",
        );
        check("[[auth.api_keys]]\nallow = [{ chanels = \"*\" }]", "did you mean `channels`?");
        check("[server.workers]\nx = 1", "`server.workers` is a value");
        check("[server]\nworkers = \"two\"", "line 2, column 11: invalid type");
        let said = |key: &str, text: &str| Layers::default().lay_flag("--set", key, text).expect_err(key);
        assert_eq!(
            said("server.worker", "1"),
            "--set: `server.worker` is no setting; did you mean `workers`?"
        );
        assert_eq!(said("server.workers", "many"), "--set: \"many\" is not a whole number");
        assert_eq!(said("namespace.x.kind", "lag"), "--set: \"lag\" is none of log, value, map, signal");
        assert_eq!(said("server.echo", "yes"), "--set: \"yes\" is neither true nor false");
        assert!(said("server.drain", "1s").contains("is a table; say one of its keys: delay, within"));
        assert!(said("a b", "1").contains("is no key"));
        assert!(said("auth.keys", "HS256").contains("as in TOML"));
    }

    #[test]
    fn lists_are_written_with_commas_or_as_in_a_file() {
        let check = |key: &str, text: &str, expect: &str| {
            let mut layers = Layers::default();
            layers.lay_flag("--set", key, text).expect(text);
            assert_eq!(layers.get(&place(key)).map(ToString::to_string).as_deref(), Some(expect));
        };
        check("server.origins", "https://a, https://b", "[\"https://a\", \"https://b\"]");
        check("server.origins", "[\"https://a\"]", "[\"https://a\"]");
        check("server.origins", "", "[]");
        check("auth.issuer", "one", "\"one\"");
        check("auth.issuer", "one,two", "[\"one\", \"two\"]");
        check("auth.keys", "[{ algorithm = \"HS256\" }]", "[{ algorithm = \"HS256\" }]");
    }
}
