//! Names of fields: which of the format's is meant by another one.

use ark_os_core::layer::Layer;
use ark_os_core::manifest::shape::Shape;
use serde_json::{Map, Value};

use super::values::folded;

/// What a field that the format does not have comes to.
pub(super) enum Meant {
    /// This one of the format's.
    Field(&'static str),
    /// Itself: it stays as it is.
    Kept(Option<&'static str>),
}

/// Fields that grant nothing: they say who is told what, narrow, order or delay.
const HARMLESS: [&str; 12] = [
    "after",
    "collect",
    "cron",
    "deadline",
    "description",
    "parallel",
    "paused",
    "supervisor",
    "version",
    "when",
    "zone",
    "layer",
];

/// Other names for them, without case and separators.
const ALIASES: [(&str, &str); 21] = [
    ("about", "description"),
    ("boss", "supervisor"),
    ("condition", "when"),
    ("dependencies", "after"),
    ("dependson", "after"),
    ("desc", "description"),
    ("if", "when"),
    ("level", "layer"),
    ("manager", "supervisor"),
    ("needs", "after"),
    ("parallelism", "parallel"),
    ("purpose", "description"),
    ("reportsto", "supervisor"),
    ("summary", "description"),
    ("supervisedby", "supervisor"),
    ("tier", "layer"),
    ("timezone", "zone"),
    ("tz", "zone"),
    ("schedule", "cron"),
    ("waitfor", "after"),
    ("ispaused", "paused"),
];

const GRANTS: &str = "this field decides what may be done, so its name is for a person to mend";
const RAISES: &str = "it would raise the authority above that of an agent that names no layer";
const TAKEN: &str = "the field that it seems to mean is there already";

/// What is meant by an unknown field of an object.
pub(super) fn meant(
    shape: &'static Shape,
    name: &str,
    value: &Value,
    map: &Map<String, Value>,
) -> Meant {
    let key = folded(name);
    let same = shape.names().find(|field| folded(field) == key);
    let alias = ALIASES.iter().find(|(alias, _)| *alias == key).map(|(_, field)| *field);
    let Some(field) = same.or(alias.and_then(|field| shape.names().find(|it| *it == field))) else {
        return Meant::Kept(None);
    };
    if map.contains_key(field) {
        return Meant::Kept(Some(TAKEN));
    }
    if !HARMLESS.contains(&field) {
        return Meant::Kept(Some(GRANTS));
    }
    if field == "layer" && !is_low(value) {
        return Meant::Kept(Some(RAISES));
    }
    Meant::Field(field)
}

/// Whether a layer is none above the one that an agent has that names none.
fn is_low(value: &Value) -> bool {
    let word = value.as_str().map(folded).unwrap_or_default();
    let layer = Layer::ALL.into_iter().find(|layer| folded(layer.as_str()) == word);
    layer.is_some_and(|layer| layer >= Layer::Specialist)
}
