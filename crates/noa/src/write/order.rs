//! The order in which the fields of an object are written.

use std::sync::OnceLock;

use ark_os_core::manifest::shape::{Kind, Shape, manifest};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Map, Value};

/// A value whose objects are written in the order of [`in_order`].
pub(super) struct Ordered<'a>(pub(super) &'a Value);

impl Serialize for Ordered<'_> {
    /// The recursion is as deep as the value, which a reader has bounded.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Array(list) => {
                let mut seq = serializer.serialize_seq(Some(list.len()))?;
                for item in list {
                    seq.serialize_element(&Ordered(item))?;
                }
                seq.end()
            }
            Value::Object(map) => {
                let mut out = serializer.serialize_map(Some(map.len()))?;
                for (key, value) in in_order(map) {
                    out.serialize_entry(key, &Ordered(value))?;
                }
                out.end()
            }
            other => other.serialize(serializer),
        }
    }
}

/// The fields of the shape that fits best come first, in its order; others by their names.
pub(super) fn in_order(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let known = |shape: &Shape| map.keys().filter(|key| shape.field(key).is_some()).count();
    // The first of those that fit equally well: `max_by_key` would take the last.
    let shape = shapes().iter().rev().max_by_key(|shape| known(shape));
    let rank = |key: &str| {
        let place = shape.and_then(|shape| shape.names().position(|name| name == key));
        place.unwrap_or(usize::MAX)
    };
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| (rank(key), *key));
    entries
}

/// Every shape of a manifest, once.
fn shapes() -> &'static [&'static Shape] {
    static SHAPES: OnceLock<Vec<&'static Shape>> = OnceLock::new();
    SHAPES.get_or_init(|| {
        let mut found: Vec<&'static Shape> = Vec::new();
        let mut open = vec![manifest()];
        while let Some(shape) = open.pop() {
            if found.iter().any(|other| other.name == shape.name) {
                continue;
            }
            found.push(shape);
            let mut kinds: Vec<&'static Kind> = shape.fields.iter().map(|it| &it.kind).collect();
            while let Some(kind) = kinds.pop() {
                match kind {
                    Kind::Object(shape) => open.push(shape),
                    Kind::List(of, ..) | Kind::Entries(of, _) => kinds.push(of),
                    Kind::Either(all) => kinds.extend(all.iter()),
                    _ => {}
                }
            }
        }
        found
    })
}
