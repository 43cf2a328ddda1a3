//! A bundle as the mutator sees it: its lines, and the values in them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The fields of all lines in the order in which the format has them.
#[rustfmt::skip]
const ORDER: &[&str] = &[
    "format", "run", "namespace", "origin", "key", "checkpoint", "consistency", "kept", "embeds", "id", "record",
    "leaf", "node", "hash", "data", "rules", "decisions", "task", "fence", "records", "others", "workflow",
    "accepted_ms", "input", "ended", "proofs", "head", "admissions", "agents", "name", "version", "digest", "layer",
    "agent", "stack", "attempts", "state", "ms", "output", "effects", "proof", "seals",
];

/// A bundle, line by line, without the ends of lines and without the commas of lists.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) head: Value,
    pub(super) log: Vec<Value>,
    pub(super) summary: Value,
    pub(super) payloads: Vec<Value>,
}

impl Document {
    /// Reads a bundle that is whole.
    pub(super) fn read(bundle: &[u8]) -> Option<Self> {
        let mut whole: Value = serde_json::from_slice(bundle).ok()?;
        let list = |value: &mut Value| match value.take() {
            Value::Array(list) => Some(list),
            _ => None,
        };
        Some(Document {
            head: whole.get_mut("bundle")?.take(),
            log: list(whole.get_mut("log")?)?,
            summary: whole.get_mut("summary")?.take(),
            payloads: list(whole.get_mut("payloads")?)?,
        })
    }

    /// Writes it in the form of the format.
    pub(super) fn write(&self) -> Vec<u8> {
        let list =
            |items: &[Value]| -> String { items.iter().map(text).collect::<Vec<_>>().join(",\n") };
        let payloads = match self.payloads.as_slice() {
            [] => String::new(),
            items => list(items) + "\n",
        };
        format!(
            "{{\"bundle\":{},\n\"log\":[\n{}\n],\n\"summary\":{},\n\"payloads\":[\n{payloads}]}}\n",
            text(&self.head),
            list(&self.log),
            text(&self.summary),
        )
        .into_bytes()
    }

    /// The places of the records in the log.
    pub(super) fn records(&self) -> Vec<usize> {
        let is_record = |(_, entry): &(usize, &Value)| entry.get("record").is_some();
        self.log.iter().enumerate().filter(is_record).map(|(at, _)| at).collect()
    }
}

/// A value in the format's form, which has an order of fields; those that it does not know come last.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let place = |name: &str| ORDER.iter().position(|known| *known == name);
            let mut fields: Vec<_> = map.iter().collect();
            fields.sort_by_key(|(name, _)| place(name).unwrap_or(ORDER.len()));
            let field = |(name, value): (&String, &Value)| {
                format!("{}:{}", Value::String(name.clone()), text(value))
            };
            format!("{{{}}}", fields.into_iter().map(field).collect::<Vec<_>>().join(","))
        }
        Value::Array(list) => {
            format!("[{}]", list.iter().map(text).collect::<Vec<_>>().join(","))
        }
        scalar => scalar.to_string(),
    }
}

/// The bytes of a record's line.
pub(super) fn leaf(entry: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(entry.get("leaf")?.as_str()?).ok()
}

/// Puts other bytes into a record's line.
pub(super) fn set_leaf(entry: &mut Value, bytes: &[u8]) {
    if let Some(field) = entry.get_mut("leaf") {
        *field = Value::String(STANDARD.encode(bytes));
    }
}

/// All values inside a value that hold no others, itself included.
pub(super) fn scalars(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Array(list) => list.iter_mut().flat_map(scalars).collect(),
        Value::Object(map) => map.values_mut().flat_map(scalars).collect(),
        scalar => vec![scalar],
    }
}
