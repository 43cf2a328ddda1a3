//! What a JSON Schema says for certain about a value, as far as it can be told without the value.
//!
//! Only `type`, `enum`, `const`, `properties`, `required`, `additionalProperties` and `items` are
//! read. They all narrow, so what they rule out stays ruled out whatever else the schema says;
//! a schema with `$ref` is not read at all.

use std::fmt;

use serde_json::{Map, Value};

use super::expression::PathStep;
use super::findings::{shown, type_of};

/// A set of JSON types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Types(u8);

impl Types {
    pub(super) const NULL: Types = Types(1);
    pub(super) const BOOLEAN: Types = Types(2);
    pub(super) const INTEGER: Types = Types(4);
    const FRACTION: Types = Types(8);
    pub(super) const NUMBER: Types = Types(12);
    pub(super) const STRING: Types = Types(16);
    pub(super) const ARRAY: Types = Types(32);
    pub(super) const OBJECT: Types = Types(64);
    pub(super) const ANY: Types = Types(127);
    const NONE: Types = Types(0);

    pub(super) fn or(self, other: Types) -> Types {
        Types(self.0 | other.0)
    }

    pub(super) fn and(self, other: Types) -> Types {
        Types(self.0 & other.0)
    }

    /// A contradiction says nothing: it is for the author's tests to find, not for guesses here.
    fn or_any(self) -> Types {
        if self == Types::NONE { Types::ANY } else { self }
    }

    /// Whether some value can be of both.
    pub(super) fn meets(self, other: Types) -> bool {
        self.and(other) != Types::NONE
    }

    fn named(name: &str) -> Types {
        match name {
            "null" => Types::NULL,
            "boolean" => Types::BOOLEAN,
            "integer" => Types::INTEGER,
            "number" => Types::NUMBER,
            "string" => Types::STRING,
            "array" => Types::ARRAY,
            "object" => Types::OBJECT,
            _ => Types::ANY,
        }
    }

    pub(super) fn of_value(value: &Value) -> Types {
        match value {
            Value::Null => Types::NULL,
            Value::Bool(_) => Types::BOOLEAN,
            Value::Number(number) if number.is_i64() || number.is_u64() => Types::INTEGER,
            Value::Number(number) => of_decimal(&number.to_string()),
            Value::String(_) => Types::STRING,
            Value::Array(_) => Types::ARRAY,
            Value::Object(_) => Types::OBJECT,
        }
    }

    /// The types that a schema leaves open.
    pub(super) fn of_schema(schema: &Value) -> Types {
        let Some(map) = readable(schema) else { return Types::ANY };
        let declared = match map.get("type") {
            Some(Value::String(name)) => Types::named(name),
            Some(Value::Array(names)) => names
                .iter()
                .filter_map(Value::as_str)
                .map(Types::named)
                .fold(Types::NONE, Types::or),
            _ => Types::ANY,
        };
        let listed = match (map.get("const"), map.get("enum")) {
            (Some(only), _) => Types::of_value(only),
            (None, Some(Value::Array(values))) => {
                values.iter().map(Types::of_value).fold(Types::NONE, Types::or)
            }
            _ => Types::ANY,
        };
        declared.and(listed).or_any()
    }
}

/// `1.50` is a fraction; `1.0` and `1e3` are whole numbers to JSON Schema, so they may be either.
fn of_decimal(text: &str) -> Types {
    let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
    let is_plain = fraction.bytes().all(|b| b.is_ascii_digit());
    match is_plain && fraction.bytes().any(|b| b != b'0') {
        true => Types::FRACTION,
        false => Types::NUMBER,
    }
}

impl fmt::Display for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(Types, &str); 8] = [
            (Types::OBJECT, "an object"),
            (Types::ARRAY, "a list"),
            (Types::STRING, "a text"),
            (Types::NUMBER, "a number"),
            (Types::INTEGER, "a whole number"),
            (Types::FRACTION, "a fraction"),
            (Types::BOOLEAN, "a boolean"),
            (Types::NULL, "null"),
        ];
        let mut left = *self;
        let mut gap = "";
        for (types, name) in NAMES {
            if left.and(types) == types {
                write!(f, "{gap}{name}")?;
                left = Types(left.0 & !types.0);
                gap = " or ";
            }
        }
        Ok(())
    }
}

/// The keywords of a schema that can be relied on.
pub(super) fn readable(schema: &Value) -> Option<&Map<String, Value>> {
    schema.as_object().filter(|map| !map.contains_key("$ref") && !map.contains_key("$dynamicRef"))
}

/// The properties that have to be there.
pub(super) fn required(schema: &Value) -> impl Iterator<Item = &str> {
    let list = readable(schema).and_then(|map| map.get("required")).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

/// The names of the declared properties.
pub(super) fn property_names(schema: &Value) -> impl Iterator<Item = &str> {
    let map = readable(schema).and_then(|map| map.get("properties")).and_then(Value::as_object);
    map.into_iter().flat_map(Map::keys).map(String::as_str)
}

/// What a schema says about one part of a value.
pub(super) enum Part<'s> {
    /// There is no such part.
    Refused,
    /// It has this schema.
    Schema(&'s Value),
    /// Nothing for certain.
    Unknown,
}

pub(super) fn property<'s>(schema: &'s Value, key: &str) -> Part<'s> {
    let Some(map) = readable(schema) else { return Part::Unknown };
    let declared = map.get("properties").and_then(|properties| properties.get(key));
    if let Some(declared) = declared {
        return Part::Schema(declared);
    }
    if map.contains_key("patternProperties") {
        return Part::Unknown;
    }
    match map.get("additionalProperties") {
        Some(Value::Bool(false)) => Part::Refused,
        Some(rest @ Value::Object(_)) => Part::Schema(rest),
        _ => Part::Unknown,
    }
}

pub(super) fn items(schema: &Value) -> Part<'_> {
    let Some(map) = readable(schema) else { return Part::Unknown };
    match map.get("items") {
        Some(items @ Value::Object(_)) if !map.contains_key("prefixItems") => Part::Schema(items),
        _ => Part::Unknown,
    }
}

/// What is known about a value before it exists.
#[derive(Clone, Debug)]
pub(super) enum Promise<'s> {
    /// It is of one of these types.
    Types(Types),
    /// It meets all of these schemas; none of them: nothing is known.
    Value(Vec<&'s Value>),
    /// It is a list whose items meet all of these schemas.
    List(Vec<&'s Value>),
}

impl<'s> Promise<'s> {
    pub(super) const UNKNOWN: Promise<'static> = Promise::Types(Types::ANY);

    pub(super) fn types(&self) -> Types {
        match self {
            Promise::Types(types) => *types,
            Promise::List(_) => Types::ARRAY,
            Promise::Value(schemas) => {
                let types = schemas.iter().map(|schema| Types::of_schema(schema));
                types.fold(Types::ANY, Types::and).or_any()
            }
        }
    }

    /// What is known about the items, if it is a list.
    pub(super) fn items(&self) -> Promise<'s> {
        match self {
            Promise::Types(_) => Promise::UNKNOWN,
            Promise::List(schemas) => Promise::Value(schemas.clone()),
            Promise::Value(schemas) => {
                let parts = schemas.iter().filter_map(|schema| match items(schema) {
                    Part::Schema(items) => Some(items),
                    Part::Refused | Part::Unknown => None,
                });
                Promise::Value(parts.collect())
            }
        }
    }

    /// One step into it, or why there can be nothing.
    pub(super) fn step(&self, step: &PathStep) -> Result<Promise<'s>, String> {
        let wanted = match step {
            PathStep::Key(_) => Types::OBJECT,
            PathStep::Index(_) => Types::ARRAY,
        };
        let types = self.types();
        if !types.meets(wanted) {
            return Err(format!("is {types}"));
        }
        match (step, self) {
            (PathStep::Index(_), _) => Ok(self.items()),
            (PathStep::Key(key), Promise::Value(schemas)) => {
                let mut parts = Vec::new();
                for schema in schemas {
                    match property(schema, key) {
                        Part::Schema(part) => parts.push(part),
                        Part::Refused => return Err(format!("has no property `{}`", shown(key))),
                        Part::Unknown => {}
                    }
                }
                Ok(Promise::Value(parts))
            }
            (PathStep::Key(_), _) => Ok(Promise::UNKNOWN),
        }
    }
}

/// Whether `enum` or `const` rules a value out. Only plain values are compared: how numbers with
/// fractions compare is for the real validator.
pub(super) fn rules_out(schema: &Value, value: &Value) -> bool {
    let Some(map) = readable(schema) else { return false };
    let is_plain = |value: &Value| match value {
        Value::Number(number) => number.is_i64() || number.is_u64(),
        other => !other.is_array() && !other.is_object(),
    };
    let allowed: &[Value] = match (map.get("const"), map.get("enum")) {
        (Some(only), _) => std::slice::from_ref(only),
        (None, Some(Value::Array(values))) => values,
        _ => return false,
    };
    is_plain(value) && allowed.iter().all(|other| is_plain(other) && other != value)
}

/// The values of `enum` or `const`, for a message.
pub(super) fn allowed_values(schema: &Value) -> String {
    const SHOWN_VALUES_MAX: usize = 10;
    let Some(map) = readable(schema) else { return String::new() };
    let values: &[Value] = match (map.get("const"), map.get("enum")) {
        (Some(only), _) => std::slice::from_ref(only),
        (None, Some(Value::Array(values))) => values,
        _ => &[],
    };
    let mut texts: Vec<String> =
        values.iter().take(SHOWN_VALUES_MAX).map(|value| format!("`{}`", plain(value))).collect();
    if values.len() > SHOWN_VALUES_MAX {
        texts.push("…".to_owned());
    }
    texts.join(", ")
}

/// A plain value as text, anything else by its type.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => shown(text),
        Value::Array(_) | Value::Object(_) => type_of(value).to_owned(),
        other => other.to_string(),
    }
}
