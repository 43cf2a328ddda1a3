//! Examples of outputs: from a JSON Schema, or from what a workflow's own references expect to find.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// How deep a schema is followed: those of people are shallower, and one may refer to itself.
const DEPTH_MAX: u32 = 12;
/// Items and characters of an example: a schema may ask for any number.
const EXAMPLE_LENGTH_MAX: u64 = 1_000;

/// A value that a schema of the usual kind accepts, with every property that it names.
pub fn sample(schema: &Value) -> Value {
    of_schema(schema, schema, 0)
}

fn of_schema(schema: &Value, root: &Value, depth: u32) -> Value {
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    let first = |name: &str| schema.get(name).and_then(|list| list.get(0));
    if let Some(known) = schema.get("const").or_else(|| schema.get("default")) {
        return known.clone();
    }
    if let Some(known) = first("examples").or_else(|| first("enum")) {
        return known.clone();
    }
    if let Some(place) = schema.get("$ref").and_then(Value::as_str) {
        let found = place.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return found.map_or(Value::Null, |found| of_schema(found, root, depth + 1));
    }
    if let Some(other) = first("anyOf").or_else(|| first("oneOf")).or_else(|| first("allOf")) {
        return of_schema(other, root, depth + 1);
    }
    let number = |name: &str| schema.get(name).and_then(Value::as_u64).unwrap_or(0);
    match type_of(schema) {
        "string" => {
            let length = number("minLength").min(EXAMPLE_LENGTH_MAX) as usize;
            Value::String(format!("{:x<length$}", "example"))
        }
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        "boolean" => Value::Bool(true),
        "null" => Value::Null,
        "array" => {
            let item = schema.get("items").unwrap_or(&Value::Null);
            let length = number("minItems").clamp(1, EXAMPLE_LENGTH_MAX);
            (0..length).map(|_| of_schema(item, root, depth + 1)).collect()
        }
        _ => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let of_each = properties.into_iter().flatten();
            of_each
                .map(|(name, inner)| (name.clone(), of_schema(inner, root, depth + 1)))
                .collect::<Map<_, _>>()
                .into()
        }
    }
}

fn type_of(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(one)) => one,
        Some(Value::Array(many)) => many.first().and_then(Value::as_str).unwrap_or("object"),
        _ => "object",
    }
}

/// For each task the output that the references of a manifest expect of it: `${tasks.a.output.list}` in
/// a map's `over` expects a list there, in a condition something true, else a text.
pub fn referred_outputs(manifest: &Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    collect(manifest, &json!("example"), &mut found);
    found
}

fn collect(value: &Value, leaf: &Value, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::String(text) => refer(text, leaf, found),
        Value::Array(items) => items.iter().for_each(|item| collect(item, leaf, found)),
        Value::Object(entries) => {
            for (key, inner) in entries {
                let leaf = match key.as_str() {
                    "over" => &json!([1, 2, 3]),
                    "when" => &json!(true),
                    _ => leaf,
                };
                collect(inner, leaf, found);
            }
        }
        _ => {}
    }
}

/// What one text refers to.
fn refer(text: &str, leaf: &Value, found: &mut BTreeMap<String, Value>) {
    for rest in text.split("tasks.").skip(1) {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let Some(rest) = rest.strip_prefix(".output") else { continue };
        let end = rest.find(|c: char| !is_name(c) && c != '.').unwrap_or(rest.len());
        let path = rest.get(..end).unwrap_or_default().split('.').filter(|part| !part.is_empty());
        let mut place = found.entry(name.to_owned()).or_insert(Value::Null);
        for part in path {
            if !place.is_object() {
                *place = json!({});
            }
            let Value::Object(entries) = place else { break };
            place = entries.entry(part).or_insert(Value::Null);
        }
        let is_better = !leaf.is_string() && !place.is_object();
        if place.is_null() || is_better {
            *place = leaf.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_has_what_its_schema_names() {
        let schema = json!({
            "type": "object",
            "properties": {
                "name": { "type": "string", "minLength": 9 },
                "kind": { "enum": ["b", "a"] },
                "size": { "type": "integer", "minimum": 4 },
                "parts": { "type": "array", "items": { "$ref": "#/$defs/part" }, "minItems": 2 },
                "more": { "anyOf": [{ "type": "boolean" }, { "type": "null" }] },
            },
            "$defs": { "part": { "type": "object", "properties": { "n": { "const": 7 } } } },
        });
        let expected = json!({
            "name": "examplexx", "kind": "b", "size": 4, "parts": [{ "n": 7 }, { "n": 7 }],
            "more": true,
        });
        assert_eq!(sample(&schema), expected);
        let endless = json!({ "properties": { "x": { "$ref": "#" } } });
        assert!(sample(&endless).is_object());
    }

    #[test]
    fn references_tell_what_a_task_has_to_answer() {
        let manifest = json!({ "workflows": [{ "tasks": [
            { "name": "each", "map": { "over": "${tasks.list.output.items}" } },
            { "name": "say", "when": "tasks.list.output.ok && tasks.say-it.output.n.m",
              "input": { "t": "from ${tasks.list.output.title} and ${tasks.plain.output}" } },
        ]}]});
        let found = referred_outputs(&manifest);
        assert_eq!(found["list"], json!({ "items": [1, 2, 3], "ok": true, "title": "example" }));
        assert_eq!(found["say-it"], json!({ "n": { "m": true } }));
        assert_eq!(found["plain"], json!("example"));
    }
}
