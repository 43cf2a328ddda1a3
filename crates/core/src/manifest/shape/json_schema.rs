//! The published JSON Schema (2020-12), written from the shapes.

use serde_json::{Map, Value, json};

use super::super::limits::NAME_CHARS_MAX;
use super::{ANNOTATION_PREFIX, Choice, Field, Kind, Shape, manifest};

/// The JSON Schema of a manifest. What it refuses the reader refuses; that names exist, that tasks
/// make a graph, that layers fit and the like only the reader can say.
pub fn json_schema() -> Value {
    let mut definitions = Map::new();
    let root = object(manifest(), &mut definitions);
    let mut schema = Map::new();
    schema.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("title".into(), "ARK-OS manifest".into());
    schema.extend(root);
    schema.insert("$defs".into(), Value::Object(definitions));
    Value::Object(schema)
}

/// The recursion is as deep as the shapes are nested in one another.
fn object(shape: &Shape, definitions: &mut Map<String, Value>) -> Map<String, Value> {
    let mut properties = Map::new();
    for field in shape.fields {
        properties.insert(field.name.into(), described(field, definitions));
    }
    let required = shape.fields.iter().filter(|field| field.is_required);
    let required: Vec<Value> = required.map(|field| field.name.into()).collect();
    let mut schema = Map::new();
    schema.insert("description".into(), shape.about.into());
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), Value::Object(properties));
    schema.insert("patternProperties".into(), json!({ format!("^{ANNOTATION_PREFIX}"): true }));
    schema.insert("additionalProperties".into(), false.into());
    if !required.is_empty() {
        schema.insert("required".into(), Value::Array(required));
    }
    let each = |names: &mut dyn Iterator<Item = &'static str>| {
        let each = names.map(|name| json!({ "required": [name] }));
        Value::Array(each.collect())
    };
    match shape.choice {
        Choice::Free => {}
        Choice::Some(names) => {
            schema.insert("anyOf".into(), each(&mut names.iter().copied()));
        }
        Choice::One => {
            schema.insert("oneOf".into(), each(&mut shape.names()));
        }
    }
    schema
}

fn described(field: &Field, definitions: &mut Map<String, Value>) -> Value {
    let mut schema = kind(&field.kind, definitions);
    if let Some(map) = schema.as_object_mut() {
        map.insert("description".into(), field.about.into());
    }
    schema
}

fn kind(kind_: &Kind, definitions: &mut Map<String, Value>) -> Value {
    match kind_ {
        // A character has one byte at least.
        Kind::Text(bytes_max) => json!({ "type": "string", "maxLength": bytes_max }),
        Kind::Name => name("[A-Za-z0-9_-]"),
        Kind::DottedName => name("[A-Za-z0-9._-]"),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Count(low, high) => count(*low, *high),
        Kind::Duration => pattern("^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$", 2),
        Kind::Bytes(low, high) => {
            json!({ "anyOf": [count(*low, *high), pattern("^[0-9]+([KMG]i)?B$", 2)] })
        }
        Kind::Money => pattern("^[0-9]+(\\.[0-9]{1,6})?\\s*usd$", 4),
        Kind::Word(words) => json!({ "enum": words }),
        Kind::Pattern(text) => pattern(text, 1),
        Kind::List(of, low, high) => {
            let mut schema = Map::new();
            schema.insert("type".into(), "array".into());
            schema.insert("items".into(), kind(of, definitions));
            if *low > 0 {
                schema.insert("minItems".into(), (*low).into());
            }
            schema.insert("maxItems".into(), (*high).into());
            Value::Object(schema)
        }
        Kind::Entries(of, high) => json!({
            "type": "object",
            "additionalProperties": kind(of, definitions),
            "maxProperties": high,
        }),
        Kind::Object(shape) => {
            if !definitions.contains_key(shape.name) {
                // Before it is filled in: a shape may be nested in itself.
                definitions.insert(shape.name.into(), Value::Null);
                let schema = object(shape, definitions);
                definitions.insert(shape.name.into(), Value::Object(schema));
            }
            json!({ "$ref": format!("#/$defs/{}", shape.name) })
        }
        Kind::Schema => json!({ "type": ["object", "boolean"] }),
        Kind::Any => json!({}),
        Kind::Either(kinds) => {
            let kinds = kinds.iter().map(|it| kind(it, definitions));
            let kinds: Vec<Value> = kinds.collect();
            json!({ "anyOf": kinds })
        }
    }
}

fn name(letters: &str) -> Value {
    pattern(&format!("^{letters}{{1,{NAME_CHARS_MAX}}}$"), 1)
}

fn pattern(text: &str, least: usize) -> Value {
    json!({ "type": "string", "pattern": text, "minLength": least })
}

fn count(low: u64, high: u64) -> Value {
    match high {
        u64::MAX => json!({ "type": "integer", "minimum": low }),
        _ => json!({ "type": "integer", "minimum": low, "maximum": high }),
    }
}
