//! Defaults of a run's input: what its schema says about properties that nobody gave.

use serde_json::{Map, Value};

use super::schema::{Types, readable};

/// Fills in the `default` of every declared property that an object of `input` lacks, at any
/// depth that `properties` reaches. No input at all is an empty object where the schema wants an
/// object. Nothing that was given changes; whether the result is valid is for a validator to say.
pub fn with_defaults(schema: &Value, input: Value) -> Value {
    let types = Types::of_schema(schema);
    let wants_object = types.meets(Types::OBJECT) && !types.meets(Types::NULL);
    let mut filled = match input {
        Value::Null if wants_object => Value::Object(Map::new()),
        given => given,
    };
    fill(schema, &mut filled);
    filled
}

/// The recursion is as deep as the schema, which is as deep as a manifest at most.
fn fill(schema: &Value, value: &mut Value) {
    let properties = readable(schema).and_then(|map| map.get("properties"));
    let (Some(Value::Object(properties)), Value::Object(map)) = (properties, value) else {
        return;
    };
    for (name, schema) in properties {
        let default = readable(schema).and_then(|schema| schema.get("default"));
        if let (None, Some(default)) = (map.get(name), default) {
            map.insert(name.clone(), default.clone());
        }
        if let Some(value) = map.get_mut(name) {
            fill(schema, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn defaults_fill_only_what_is_missing() {
        let schema = json!({"type": "object", "properties": {
            "path": {"type": "string", "default": "."},
            "deep": {"type": "object", "default": {}, "properties": {"n": {"default": 3}}},
            "list": {"type": "array"},
        }});
        let all = json!({"path": ".", "deep": {"n": 3}});
        let table = [
            (json!({}), all.clone()),
            (json!(null), all),
            (json!({"path": null, "deep": {"n": 4}}), json!({"path": null, "deep": {"n": 4}})),
            (json!({"path": "x", "deep": 1}), json!({"path": "x", "deep": 1})),
            (json!([1]), json!([1])),
        ];
        for (input, want) in table {
            assert_eq!(with_defaults(&schema, input.clone()), want, "{input}");
        }
        assert_eq!(with_defaults(&json!(true), json!(null)), json!(null));
        assert_eq!(with_defaults(&json!({"type": ["object", "null"]}), json!(null)), json!(null));
    }
}
