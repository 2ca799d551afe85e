//! The table of keys in other forms: Markdown for the reference, a JSON Schema for editors.

use serde_json::{Value, json};

use super::keys::{Form, KEYS, Key, Unsaid};

/// What begins a table in the reference; the section's name follows.
const BEGIN: &str = "<!-- keys of ";
/// What ends it.
const END: &str = "<!-- end -->";

/// The reference with its tables as they are now.
///
/// # Errors
/// A table begins and does not end.
pub(super) fn with_fresh_tables(page: &str) -> Result<String, String> {
    let mut fresh = String::new();
    let mut rest = page;
    while let Some(at) = rest.find(BEGIN) {
        let (before, begun) = rest.split_at(at);
        let name = begun[BEGIN.len()..].split(' ').next().unwrap_or_default();
        let end = begun.find(END).ok_or_else(|| format!("the table of {name} has no {END}"))?;
        fresh.push_str(before);
        fresh.push_str(&format!("{BEGIN}{name} -->\n{}{END}", table(name)));
        rest = &begun[end + END.len()..];
    }
    fresh.push_str(rest);
    Ok(fresh)
}

/// The keys of one section.
fn table(section: &str) -> String {
    let mut table = String::from("| key | type | default | bounds | |\n|---|---|---|---|---|\n");
    for key in KEYS.iter().filter(|key| key.parts().next() == Some(section)) {
        let name = key.path.strip_prefix("namespace.*.").unwrap_or(key.path);
        let start = if key.reloads { "" } else { " ⟳" };
        let (form, default, bounds) = (form(key.form), default(key.default), bounds(key));
        table.push_str(&format!("| `{name}`{start} | {form} | {default} | {bounds} | {} |\n", key.doc));
    }
    table
}

fn form(form: Form) -> String {
    let name = match form {
        Form::Text | Form::Secret => "text",
        Form::Word(words) => {
            let words: Vec<_> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
            return words.join(", ");
        }
        Form::Boolean => "boolean",
        Form::Number => "number",
        Form::Size => "size",
        Form::Duration => "duration",
        Form::Rate => "rate",
        Form::Path => "path",
        Form::List => "list of texts",
        Form::OneOrMore => "text, or list of texts",
        Form::Tables => "list of tables",
    };
    name.to_owned()
}

fn default(default: Unsaid) -> String {
    let shown = |value: Option<&str>| value.map_or_else(|| "none".to_owned(), |value| format!("`{value}`"));
    match default {
        Unsaid::Nothing => String::new(),
        Unsaid::Required => "required".to_owned(),
        Unsaid::Is(value) => shown(Some(value)),
        Unsaid::Modes { dev, serve } => format!("`dev`: {}, `serve`: {}", shown(dev), shown(serve)),
    }
}

fn bounds(key: &Key) -> String {
    let kinds = match key.kinds {
        [] => String::new(),
        kinds if kinds.len() < 3 => {
            let kinds: Vec<_> = kinds.iter().map(|kind| format!("a {kind}")).collect();
            format!("only for {}", kinds.join(" or "))
        }
        _ => "not for a signal".to_owned(),
    };
    [key.bounds, &kinds].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

/// A JSON Schema (2020-12) of the file.
pub(super) fn json_schema() -> Value {
    let mut schema = object();
    for key in KEYS {
        add(&mut schema, &key.parts().collect::<Vec<_>>(), key);
    }
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("The configuration of trunkline");
    schema
}

fn object() -> Value {
    json!({ "type": "object", "additionalProperties": false })
}

/// Puts `key` where `path` leads to in the schema of a table.
fn add(table: &mut Value, path: &[&str], key: &Key) {
    let Some((name, rest)) = path.split_first() else { return };
    if let Some(list) = name.strip_suffix("[]") {
        let items = &mut table["properties"][list]["items"];
        if items.is_null() {
            *items = object();
        }
        return add(items, rest, key);
    }
    let place =
        if *name == "*" { &mut table["additionalProperties"] } else { &mut table["properties"][*name] };
    if !rest.is_empty() {
        if !place.is_object() {
            *place = object();
        }
        return add(place, rest, key);
    }
    *place = value(key);
    if key.default == Unsaid::Required {
        match table["required"].as_array_mut() {
            Some(required) => required.push(json!(name)),
            None => table["required"] = json!([name]),
        }
    }
}

fn value(key: &Key) -> Value {
    let mut schema = match key.form {
        Form::Text | Form::Secret | Form::Path | Form::Size | Form::Duration | Form::Rate => {
            json!({ "type": "string" })
        }
        Form::Word(words) => json!({ "enum": words }),
        Form::Boolean => json!({ "type": "boolean" }),
        Form::Number => json!({ "type": "integer", "minimum": 0 }),
        Form::List => json!({ "type": "array", "items": { "type": "string" } }),
        Form::OneOrMore => {
            json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
        }
        Form::Tables => json!({ "type": "array" }),
    };
    let bounds = bounds(key);
    let bounds = if bounds.is_empty() { bounds } else { format!(" ({bounds})") };
    schema["description"] = json!(format!("{}{bounds}", key.doc));
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/configuration.md");
        let page = std::fs::read_to_string(path).expect("it is there");
        let fresh = with_fresh_tables(&page).expect("its tables end");
        assert!(fresh == page, "make it anew: trunkline config reference docs/reference/configuration.md");
        for key in KEYS {
            let name = key.path.strip_prefix("namespace.*.").unwrap_or(key.path);
            assert!(page.contains(&format!("| `{name}`")), "{} is in no table", key.path);
        }
    }

    #[test]
    fn the_schema_has_every_key() {
        let schema = json_schema();
        let at = |pointer: &str| schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer} in {schema:#}"));
        assert_eq!(at("/properties/server/properties/workers/type"), "integer");
        assert_eq!(at("/properties/server/properties/drain/properties/within/type"), "string");
        assert_eq!(at("/properties/namespace/additionalProperties/required"), &json!(["kind"]));
        assert_eq!(at("/properties/auth/properties/keys/items/required"), &json!(["algorithm"]));
        assert_eq!(at("/properties/auth/properties/keys/type"), "array");
        assert_eq!(
            at("/properties/auth/properties/api_keys/items/properties/allow/items/required"),
            &json!(["channels", "can"])
        );
        assert_eq!(at("/properties/server/additionalProperties"), false);
    }
}
