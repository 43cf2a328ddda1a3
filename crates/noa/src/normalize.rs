//! Healing: what is merely written differently becomes what the format has a word for.
//!
//! Lossless: what is not understood stays where it is and is told. Idempotent: what was healed is
//! left alone. Every change is told with the id of its rule.
//!
//! INVARIANT: authority never rises. Names of fields decide who may do what, so a field that is not
//! named as the format names it grants nothing, and healing its name must not make it grant
//! something: only names of fields that grant nothing are healed (`HARMLESS`), and a `layer` only
//! where it is none above the default. Values are healed where they have the same letters or say
//! the same amount. Defaults are not added.

mod amounts;
mod names;
mod values;

use ark_os_core::manifest::shape::{self, Kind, Shape};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::text::{item, member};

/// Passes over a document; each heals something, which the next may build on. Four are the most
/// that any rule needs (entries to a list, a field's name, its value, nothing more).
const PASSES_MAX: usize = 16;

/// What came of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalized {
    /// The document, healed.
    pub value: Value,
    /// Every change, in the order in which it was made.
    pub heals: Vec<Heal>,
    /// Fields that the format does not have; they are as they were.
    pub kept: Vec<Kept>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Heal {
    /// The id of its rule.
    pub rule: &'static str,
    /// JSON pointer to what was changed, as it was when it was changed.
    pub pointer: String,
    /// What stood there.
    pub from: Value,
    /// What stands there now.
    pub to: Value,
}

/// A field that the format does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// JSON pointer to it.
    pub pointer: String,
    /// Why it was not healed, where there is more to say than that nobody knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

/// The rules, by their ids.
pub const RULES: [(&str, &str); 10] = [
    ("empty-field", "a field with nothing in it says nothing"),
    ("entries-to-list", "an object of named entries is a list of objects with names"),
    ("field-name", "a field has one name"),
    ("item-to-list", "one item is a list of one"),
    ("number-as-text", "a number is written without quotes"),
    ("truth-as-text", "true and false are written without quotes"),
    ("trim-name", "a name has no space around it"),
    ("word", "a word of the format is written in one way"),
    ("duration", "a duration is written like `1h30m`"),
    ("bytes", "an amount of bytes is written like `256MiB`"),
];

/// Heals a manifest. What is nested deeper than manifests are is left alone.
#[must_use]
pub fn normalize(value: &Value) -> Normalized {
    let mut healing = Healing { heals: Vec::new(), kept: Vec::new() };
    let mut value = value.clone();
    for _ in 0..PASSES_MAX {
        let before = healing.heals.len();
        healing.kept.clear();
        healing.object(&mut value, "", shape::manifest());
        if healing.heals.len() == before {
            break;
        }
    }
    Normalized { value, heals: healing.heals, kept: healing.kept }
}

struct Healing {
    heals: Vec<Heal>,
    kept: Vec<Kept>,
}

impl Healing {
    /// The recursion is as deep as the shapes are nested.
    fn object(&mut self, value: &mut Value, at: &str, shape: &'static Shape) {
        let Some(map) = value.as_object_mut() else { return };
        self.rename(map, at, shape);
        for field in shape.fields {
            let pointer = member(at, field.name);
            let is_empty = map.get(field.name).is_some_and(|it| says_nothing(it, &field.kind));
            if is_empty && !field.is_required {
                let from = map.remove(field.name).unwrap_or_default();
                self.heal("empty-field", &pointer, from, Value::Null);
            } else if let Some(value) = map.get_mut(field.name) {
                self.kind(value, &pointer, &field.kind);
            }
        }
    }

    fn rename(&mut self, map: &mut Map<String, Value>, at: &str, shape: &'static Shape) {
        let unknown: Vec<String> = map.keys().filter(|it| !shape.has(it)).cloned().collect();
        for name in unknown {
            let pointer = member(at, &name);
            let found = map.get(&name).unwrap_or(&Value::Null);
            match names::meant(shape, &name, found, map) {
                names::Meant::Field(field) => {
                    let value = map.remove(&name).unwrap_or_default();
                    map.insert(field.to_owned(), value);
                    self.heal("field-name", &pointer, name.into(), field.into());
                }
                names::Meant::Kept(reason) => self.kept.push(Kept { pointer, reason }),
            }
        }
    }

    fn kind(&mut self, value: &mut Value, at: &str, kind: &'static Kind) {
        match kind {
            Kind::Object(shape) => self.object(value, at, shape),
            Kind::List(of, ..) => self.list(value, at, of),
            Kind::Entries(of, _) => {
                let Some(map) = value.as_object_mut() else { return };
                for (key, value) in map {
                    self.kind(value, &member(at, key), of);
                }
            }
            Kind::Either(kinds) => {
                let fit = kinds.iter().find(|kind| values::is_of(value, kind));
                // What is of none of them may still be healed into the first that takes texts.
                let fit =
                    fit.or_else(|| kinds.iter().find(|it| values::healed(value, it).is_some()));
                if let Some(kind) = fit {
                    self.kind(value, at, kind);
                }
            }
            scalar => {
                if let Some((rule, to)) = values::healed(value, scalar) {
                    let from = std::mem::replace(value, to.clone());
                    self.heal(rule, at, from, to);
                }
            }
        }
    }

    fn list(&mut self, value: &mut Value, at: &str, of: &'static Kind) {
        if let Some((rule, to)) = values::listed(value, of) {
            let from = std::mem::replace(value, to.clone());
            self.heal(rule, at, from, to);
        }
        let Some(list) = value.as_array_mut() else { return };
        for (i, value) in list.iter_mut().enumerate() {
            self.kind(value, &item(at, i), of);
        }
    }

    fn heal(&mut self, rule: &'static str, pointer: &str, from: Value, to: Value) {
        self.heals.push(Heal { rule, pointer: pointer.to_owned(), from, to });
    }
}

/// Null where something is expected, and names of nobody.
fn says_nothing(value: &Value, kind: &Kind) -> bool {
    match (value, kind) {
        (Value::Null, Kind::Any | Kind::Schema) => false,
        (Value::Null, _) => true,
        (Value::String(text), Kind::Name | Kind::DottedName) => text.trim().is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
