//! Values: what is meant by one that is written differently.

use ark_os_core::manifest::parse_duration_ms;
use ark_os_core::manifest::shape::Kind;
use serde_json::{Map, Value};

use super::amounts;

/// A word without case and separators.
pub(super) fn folded(text: &str) -> String {
    let letters = text.chars().filter(|c| !matches!(c, '-' | '_' | ' ' | '\t'));
    letters.collect::<String>().to_lowercase()
}

/// Whether a value is of the JSON type of a kind, whatever it says.
pub(super) fn is_of(value: &Value, kind: &Kind) -> bool {
    match kind {
        Kind::Object(_) | Kind::Entries(..) => value.is_object(),
        Kind::List(..) => value.is_array(),
        Kind::Flag => value.is_boolean(),
        Kind::Count(..) => value.is_u64(),
        Kind::Any => true,
        Kind::Schema => value.is_object() || value.is_boolean(),
        Kind::Word(words) => value.as_str().is_some_and(|it| words.contains(&it)),
        Kind::Either(kinds) => kinds.iter().any(|kind| is_of(value, kind)),
        _ => value.is_string(),
    }
}

/// What a scalar is healed into, and by which rule; none: it is right, or nobody knows what it means.
pub(super) fn healed(value: &Value, kind: &Kind) -> Option<(&'static str, Value)> {
    match (kind, value) {
        (Kind::Name | Kind::DottedName, Value::String(text)) => {
            let name = text.trim();
            (name.len() < text.len() && !name.is_empty()).then(|| ("trim-name", name.into()))
        }
        (Kind::Word(words), Value::String(text)) if !words.contains(&text.as_str()) => {
            let meant = folded(text.trim());
            let word = words.iter().find(|word| folded(word) == meant)?;
            Some(("word", (*word).into()))
        }
        (Kind::Count(..), Value::String(text)) => {
            let number: u64 = text.trim().parse().ok()?;
            Some(("number-as-text", number.into()))
        }
        (Kind::Flag, Value::String(text)) => match text.trim().to_lowercase().as_str() {
            "true" => Some(("truth-as-text", true.into())),
            "false" => Some(("truth-as-text", false.into())),
            _ => None,
        },
        (Kind::Duration, Value::String(text)) if parse_duration_ms(text).is_none() => {
            let ms = amounts::duration_ms(text)?;
            let text = amounts::duration_text(ms);
            parse_duration_ms(&text).map(|_| ("duration", text.into()))
        }
        (Kind::Bytes(..), Value::String(text)) => {
            let bytes = amounts::bytes_text(text)?;
            (bytes != *text).then(|| ("bytes", bytes.into()))
        }
        _ => None,
    }
}

/// The list that is meant by something that is none.
pub(super) fn listed(value: &Value, of: &Kind) -> Option<(&'static str, Value)> {
    match value {
        // A list of one name is easily forgotten; a command line is not split by guessing.
        Value::String(text) if takes_names(of) => {
            let names = text.split([',', ';']).map(str::trim).filter(|name| !name.is_empty());
            let names: Vec<Value> = names.map(Value::from).collect();
            (!names.is_empty()).then_some(("item-to-list", Value::Array(names)))
        }
        Value::Object(map) => named_entries(map, of).map(|list| ("entries-to-list", list)),
        _ => None,
    }
}

fn takes_names(kind: &Kind) -> bool {
    match kind {
        Kind::Name | Kind::DottedName => true,
        Kind::Either(kinds) => kinds.iter().any(takes_names),
        _ => false,
    }
}

/// `{a: {…}, b: {…}}` where a list of objects with names belongs.
fn named_entries(map: &Map<String, Value>, of: &Kind) -> Option<Value> {
    let Kind::Object(shape) = of else { return None };
    let has_name = shape.field("name").is_some_and(|field| field.is_required);
    // One object of the kind itself is not an object of such.
    if !has_name || map.is_empty() || map.contains_key("name") {
        return None;
    }
    let entries = map.iter().map(|(name, value)| {
        let mut entry = match value {
            Value::Object(entry) => entry.clone(),
            Value::Null => Map::new(),
            _ => return None,
        };
        match entry.get("name") {
            Some(own) if own.as_str() != Some(name.as_str()) => return None,
            _ => entry.insert("name".to_owned(), name.as_str().into()),
        };
        Some(Value::Object(entry))
    });
    entries.collect::<Option<Vec<Value>>>().map(Value::Array)
}
