//! `--input` options into one JSON value.

use std::path::Path;

use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::manifest_file::ManifestFile;

/// Puts the options together, in their order; `schema` tells how a bare text is meant.
pub(super) fn read(inputs: &[String], schema: Option<&Value>) -> Result<Value, Failure> {
    let mut entries = Map::new();
    for input in inputs {
        if let Some(path) = input.strip_prefix('@') {
            match ManifestFile::read(Path::new(path))?.value().clone() {
                Value::Object(more) => entries.extend(more),
                // Another value can only be the whole input.
                value if inputs.len() == 1 => return Ok(value),
                _ => {
                    let message = format!("`{path}` holds no object");
                    return Err(Failure::usage(message)
                        .with_hint("another value can be the input only alone"));
                }
            }
            continue;
        }
        let (key, value) = entry(input, schema)?;
        entries.insert(key, value);
    }
    Ok(Value::Object(entries))
}

fn entry(input: &str, schema: Option<&Value>) -> Result<(String, Value), Failure> {
    let wrong = |message: String| {
        Failure::usage(message).with_hint("write it like `key=text`, `key:=[1, 2]` or `@file.json`")
    };
    let Some((key, text)) = input.split_once('=') else {
        return Err(wrong(format!("`{input}` is no input")));
    };
    if let Some(key) = key.strip_suffix(':') {
        let value = serde_json::from_str(text)
            .map_err(|error| wrong(format!("the value of `{key}` is no JSON: {error}")))?;
        return named(key, value).ok_or_else(|| wrong(format!("`{input}` names no key")));
    }
    let value = bare(text, schema.and_then(|schema| schema.get("properties")?.get(key)));
    named(key, value).ok_or_else(|| wrong(format!("`{input}` names no key")))
}

fn named(key: &str, value: Value) -> Option<(String, Value)> {
    (!key.is_empty()).then(|| (key.to_owned(), value))
}

/// A text as the schema means it; where it fits no other type, it stays a text.
fn bare(text: &str, schema: Option<&Value>) -> Value {
    let allows = |name: &str| match schema.and_then(|schema| schema.get("type")) {
        Some(Value::String(one)) => one == name,
        Some(Value::Array(many)) => many.iter().any(|one| one == name),
        _ => false,
    };
    if !allows("string")
        && let Ok(value) = serde_json::from_str::<Value>(text)
    {
        let fits = match &value {
            Value::Bool(_) => allows("boolean"),
            Value::Number(_) => allows("number") || allows("integer"),
            Value::Array(_) => allows("array"),
            Value::Object(_) => allows("object"),
            _ => false,
        };
        if fits {
            return value;
        }
    }
    Value::String(text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_all(inputs: &[&str], schema: &Value) -> Result<Value, Failure> {
        let inputs: Vec<_> = inputs.iter().map(|it| (*it).to_owned()).collect();
        read(&inputs, Some(schema))
    }

    #[test]
    fn a_text_is_what_the_schema_says() {
        let schema = json!({ "properties": {
            "n": { "type": "integer" }, "s": { "type": "string" }, "b": { "type": "boolean" },
            "l": { "type": "array" }
        }});
        let inputs = ["n=5", "s=5", "b=true", "l=[1]", "free=7", "path=.", "x:=7", "eq=a=b"];
        let want = json!({
            "n": 5, "s": "5", "b": true, "l": [1], "free": "7", "path": ".", "x": 7, "eq": "a=b"
        });
        assert_eq!(read_all(&inputs, &schema).unwrap(), want);
        assert_eq!(read_all(&["n=five"], &schema).unwrap(), json!({ "n": "five" }));
        assert_eq!(read_all(&["a=1", "a=2"], &json!({})).unwrap(), json!({ "a": "2" }));
    }

    #[test]
    fn files_are_merged_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in.json");
        std::fs::write(&path, r#"{"a": 1, "b": 2}"#).unwrap();
        let file = format!("@{}", path.display());
        let merged = read_all(&["a=x", &file, "b:=3"], &json!({})).unwrap();
        assert_eq!(merged, json!({ "a": 1, "b": 3 }));
        std::fs::write(&path, "[1, 2]").unwrap();
        assert_eq!(read_all(&[&file], &json!({})).unwrap(), json!([1, 2]));
        assert!(read_all(&[&file, "a=1"], &json!({})).is_err());
    }

    #[test]
    fn what_is_no_input_is_refused() {
        for input in ["novalue", "=x", ":=1", "a:={", "@/no/such/file"] {
            assert!(read_all(&[input], &json!({})).is_err(), "{input}");
        }
    }
}
