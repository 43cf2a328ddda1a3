//! `json.transform`: builds a value from a template and pieces of another value. The language is
//! small on purpose: whatever needs more is a condition (CEL) or a text template.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::borrow::Cow;

use super::wire;
use super::{Cost, EffectClass, Host, Skill, SkillError, SkillSpec};

/// The longest answer; references to one large piece add up, so each copy is paid for.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// Deeper templates are refused; JSON itself is read to 128 levels.
const DEPTH_MAX: usize = 64;

/// In a template, `{"$": "/a/b"}` stands for the piece at that JSON pointer (`""` is the whole
/// value), `"default"` beside it for what to use where there is none; `{"$merge": [..]}` joins
/// objects, later ones winning; `{"$pick": ["a"], "from": ..}` keeps some keys of an object
/// (of the whole value without `from`); `{"$literal": ..}` is taken as it stands. Everything
/// else stands for itself.
#[derive(Debug)]
pub(super) struct Transform;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    #[serde(default)]
    value: Value,
    template: Value,
}

impl Skill for Transform {
    fn spec(&self) -> &SkillSpec {
        static SPEC: SkillSpec = SkillSpec {
            name: Cow::Borrowed("json.transform"),
            summary: Cow::Borrowed(
                "builds a value from a template with references into another value",
            ),
            class: EffectClass::Pure,
            cost: Cost::Blocking,
            output_bytes_max: OUTPUT_BYTES_MAX,
            input_schema: Cow::Borrowed(
                r#"{"type":"object","required":["template"],"additionalProperties":false,
                "properties":{"value":true,"template":true}}"#,
            ),
            output_schema: Cow::Borrowed("true"),
            concurrency_max: None,
        };
        &SPEC
    }

    fn run(&self, _host: &dyn Host, input: &[u8]) -> Result<Vec<u8>, SkillError> {
        let Input { value, template } = wire::read(input)?;
        let mut builder = Builder { value: &value, bytes_left: OUTPUT_BYTES_MAX };
        wire::answer(&builder.build(&template, 0)?)
    }
}

struct Builder<'a> {
    value: &'a Value,
    bytes_left: usize,
}

impl Builder<'_> {
    fn build(&mut self, template: &Value, depth: usize) -> Result<Value, SkillError> {
        if depth > DEPTH_MAX {
            let message = format!("read the template: it is over {DEPTH_MAX} levels deep");
            return Err(SkillError::limit(message));
        }
        match template {
            Value::Array(items) => {
                let items = items.iter().map(|item| self.build(item, depth + 1));
                items.collect::<Result<_, _>>().map(Value::Array)
            }
            Value::Object(fields) if fields.keys().any(|key| key.starts_with('$')) => {
                self.operation(fields, depth)
            }
            Value::Object(fields) => {
                let fields = fields
                    .iter()
                    .map(|(key, field)| Ok((key.clone(), self.build(field, depth + 1)?)));
                fields.collect::<Result<_, _>>().map(Value::Object)
            }
            plain => self.copy(plain),
        }
    }

    fn operation(
        &mut self,
        fields: &Map<String, Value>,
        depth: usize,
    ) -> Result<Value, SkillError> {
        let known = |names: &[&str]| fields.keys().all(|key| names.contains(&key.as_str()));
        if let Some(pointer) = fields.get("$").filter(|_| known(&["$", "default"])) {
            return self.reference(pointer, fields.get("default"), depth);
        }
        if let Some(Value::Array(parts)) = fields.get("$merge").filter(|_| known(&["$merge"])) {
            return self.merge(parts, depth);
        }
        if let Some(Value::Array(keys)) = fields.get("$pick").filter(|_| known(&["$pick", "from"]))
        {
            return self.pick(keys, fields.get("from"), depth);
        }
        if let Some(literal) = fields.get("$literal").filter(|_| known(&["$literal"])) {
            return self.copy(literal);
        }
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        Err(invalid(format!(
            "read the template: unknown operation with keys `{}`",
            names.join("`, `")
        ))
        .with_hint("use `$` (with `default`), `$merge`, `$pick` (with `from`) or `$literal`"))
    }

    fn reference(
        &mut self,
        pointer: &Value,
        default: Option<&Value>,
        depth: usize,
    ) -> Result<Value, SkillError> {
        let pointer = pointer
            .as_str()
            .filter(|text| text.is_empty() || text.starts_with('/'))
            .ok_or_else(|| invalid(format!("read the template: `{pointer}` is no JSON pointer")))?;
        match (self.value.pointer(pointer), default) {
            (Some(piece), _) => self.copy(piece),
            (None, Some(default)) => self.build(default, depth + 1),
            (None, None) => {
                let message = format!("build the value: there is nothing at `{pointer}`");
                Err(SkillError::permanent("json_transform.missing", message)
                    .with_hint("give a `default` beside the `$`"))
            }
        }
    }

    fn merge(&mut self, parts: &[Value], depth: usize) -> Result<Value, SkillError> {
        let mut merged = Map::new();
        for part in parts {
            match self.build(part, depth + 1)? {
                Value::Object(fields) => merged.extend(fields),
                other => return Err(not_an_object("$merge", &other)),
            }
        }
        Ok(Value::Object(merged))
    }

    fn pick(
        &mut self,
        keys: &[Value],
        from: Option<&Value>,
        depth: usize,
    ) -> Result<Value, SkillError> {
        let built = from.map(|from| self.build(from, depth + 1)).transpose()?;
        let source = built.as_ref().unwrap_or(self.value);
        let fields = source.as_object().ok_or_else(|| not_an_object("$pick", source))?;
        let mut picked = Map::new();
        for key in keys {
            let key = key
                .as_str()
                .ok_or_else(|| invalid(format!("read the template: `$pick` of `{key}`, no key")))?;
            if let Some(field) = fields.get(key) {
                picked.insert(key.to_owned(), self.copy(field)?);
            }
        }
        Ok(Value::Object(picked))
    }

    /// A copy that is paid for, so that many references to one large piece end in an error.
    fn copy(&mut self, piece: &Value) -> Result<Value, SkillError> {
        match self.bytes_left.checked_sub(wire::weight(piece)) {
            Some(left) => {
                self.bytes_left = left;
                Ok(piece.clone())
            }
            None => Err(SkillError::limit(format!(
                "build the value: it is over {OUTPUT_BYTES_MAX} bytes"
            ))),
        }
    }
}

fn invalid(message: String) -> SkillError {
    SkillError::invalid_input(message)
}

fn not_an_object(operation: &str, value: &Value) -> SkillError {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    invalid(format!("build the value: `{operation}` needs objects and got {kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn build(value: &Value, template: &Value) -> Result<Value, SkillError> {
        Builder { value, bytes_left: OUTPUT_BYTES_MAX }.build(template, 0)
    }

    #[test]
    fn each_operation_does_what_it_says() {
        let value = json!({"a": {"b": [1, 2]}, "c": "x", "n": null});
        let cases = [
            (json!({"k": {"$": "/a/b/1"}}), json!({"k": 2})),
            (json!([{"$": ""}]), json!([&value])),
            (json!({"$": "/nope", "default": {"$": "/c"}}), json!("x")),
            (json!({"$": "/n", "default": 7}), json!(null)),
            (json!({"$merge": [{"$": "/a"}, {"b": 3, "z": 4}]}), json!({"b": 3, "z": 4})),
            (json!({"$pick": ["c", "nope"]}), json!({"c": "x"})),
            (json!({"$pick": ["b"], "from": {"$": "/a"}}), json!({"b": [1, 2]})),
            (json!({"$literal": {"$": "/a"}}), json!({"$": "/a"})),
        ];
        for (template, expected) in cases {
            assert_eq!(build(&value, &template).unwrap(), expected, "{template}");
        }
    }

    #[test]
    fn wrong_templates_are_refused_with_a_reason() {
        let cases = [
            (json!({"$": "/nope"}), "json_transform.missing"),
            (json!({"$": 3}), SkillError::INVALID_INPUT),
            (json!({"$": "a"}), SkillError::INVALID_INPUT),
            (json!({"$": "/a", "more": 1}), SkillError::INVALID_INPUT),
            (json!({"$each": []}), SkillError::INVALID_INPUT),
            (json!({"$merge": [1]}), SkillError::INVALID_INPUT),
            (json!({"$pick": ["a"], "from": []}), SkillError::INVALID_INPUT),
        ];
        for (template, code) in cases {
            assert_eq!(build(&json!({"a": 1}), &template).unwrap_err().code(), code, "{template}");
        }
    }

    #[test]
    fn many_references_to_a_large_piece_meet_the_limit() {
        let value = json!("x".repeat(100_000));
        let template = Value::Array(vec![json!({"$": ""}); 11]);
        assert_eq!(build(&value, &template).unwrap_err().code(), SkillError::LIMIT);
    }
}
