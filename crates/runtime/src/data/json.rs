//! JSON texts without values: entering one by a path, and how much a parsed one weighs.

use std::fmt;
use std::ops::Range;

use ark_os_core::manifest::PathStep;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// Where in `text` the value at `path` is. None: there is no such value, or it is not JSON; who
/// needs to know which looks at the parsed value. The rest of the text is read but not kept.
pub(super) fn find(text: &[u8], path: &[PathStep]) -> Option<Range<usize>> {
    let mut range = 0..text.len();
    for step in path {
        let inside = text.get(range.clone())?;
        let mut reader = serde_json::Deserializer::from_slice(inside);
        let found = Step(step).deserialize(&mut reader).ok()??;
        reader.end().ok()?;
        let start = range.start + offset(inside, found);
        range = start..start + found.get().len();
    }
    Some(range)
}

/// Where a part that was borrowed from `text` starts in it.
pub(super) fn offset(text: &[u8], part: &RawValue) -> usize {
    part.get().as_ptr().addr().saturating_sub(text.as_ptr().addr())
}

struct Step<'p>(&'p PathStep);

impl<'de> DeserializeSeed<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        match self.0 {
            PathStep::Key(_) => reader.deserialize_map(self),
            PathStep::Index(_) => reader.deserialize_seq(self),
        }
    }
}

impl<'de> Visitor<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value with parts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let PathStep::Key(wanted) = self.0 else { return Ok(None) };
        let mut found = None;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            // Of two properties of one name the last counts, as in a parsed value.
            if *key == **wanted {
                found = Some(map.next_value::<&RawValue>()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let PathStep::Index(wanted) = self.0 else { return Ok(None) };
        let mut found = None;
        let mut place = 0;
        while let Some(item) = list.next_element::<&RawValue>()? {
            if place == *wanted {
                found = Some(item);
            }
            place += 1;
        }
        Ok(found)
    }
}

/// Bytes of memory that a value takes, about. The recursion is as deep as the parser allows.
pub(super) fn weight(value: &Value) -> usize {
    /// A value, and its share of the node of a map that it stands in.
    const EACH: usize = size_of::<Value>();
    const ENTRY: usize = 2 * (size_of::<String>() + EACH);
    EACH + match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(list) => list.iter().map(weight).sum(),
        Value::Object(map) => {
            // Even a map of one entry has room for eleven.
            let room = if map.is_empty() { 0 } else { 11 * ENTRY / 2 };
            room.max(map.len() * ENTRY)
                + map.iter().map(|(key, item)| key.len() + weight(item)).sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use ark_os_core::manifest::Expression;

    use super::*;

    fn at<'t>(text: &'t str, path: &str) -> Option<&'t str> {
        let expression = Expression::parse(&format!("input{path}")).unwrap();
        find(text.as_bytes(), expression.path()).and_then(|range| text.get(range))
    }

    #[test]
    fn a_path_leads_into_a_text_as_into_a_value() {
        let text = r#" { "a" : [ 1, {"b":"x"} , [ ] ], "k\n": null, "d": 1, "d": 2 } "#;
        assert_eq!(at(text, ""), Some(text));
        assert_eq!(at(text, ".a[0]"), Some("1"));
        assert_eq!(at(text, ".a[1].b"), Some("\"x\""));
        assert_eq!(at(text, ".a[2]"), Some("[ ]"));
        assert_eq!(at(text, "[\"k\\n\"]"), Some("null"));
        assert_eq!(at(text, ".d"), Some("2"));
        for path in [".x", ".a.b", ".a[3]", "[0]", ".a[1].b.c"] {
            assert_eq!(at(text, path), None, "{path}");
        }
        assert_eq!(at("{\"a\":1} x", ".a"), None);
        assert_eq!(at("[1,", "[0]"), None);
    }
}
