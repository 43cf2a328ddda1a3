//! The data of a condition: what it names, loaded, cut to that and counted.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ark_os_core::error::Failure;
use ark_os_core::manifest::Root;
use cel::objects::{Key, Map, Value as CelValue};
use serde_json::Value;

use super::reads::{Path, Reads, Source};
use super::{CODE, fatal};
use crate::data::DataError;
use crate::data::view::View;

/// Values that one condition reads; a text counts one for each `TEXT_BYTES_PER_UNIT`.
const UNITS_MAX: usize = 200_000;
/// Bytes of text that cost about as much as a value.
const TEXT_BYTES_PER_UNIT: usize = 32;

/// The data of one evaluation.
pub(super) struct Data {
    /// `input` and `tasks`.
    pub(super) variables: Vec<(&'static str, CelValue)>,
    /// The size of what each path of the condition leads to.
    pub(super) units: Vec<usize>,
    /// Items of the longest list or object.
    pub(super) longest: usize,
}

/// Which parts of a value are named.
#[derive(Debug, Default)]
struct Wanted {
    whole: bool,
    parts: BTreeMap<String, Wanted>,
}

impl Wanted {
    fn add(&mut self, keys: &[String]) {
        let mut wanted = self;
        for key in keys {
            wanted = wanted.parts.entry(key.clone()).or_default();
        }
        wanted.whole = true;
    }
}

impl Data {
    pub(super) fn load(reads: &Reads, view: &View<'_>) -> Result<Data, Failure> {
        let mut size = Size { longest: 0 };
        let mut units = Vec::with_capacity(reads.paths.len());
        let mut loaded: Vec<(&Source, Arc<Value>, Wanted)> = Vec::new();
        for path in &reads.paths {
            let known = loaded.iter().position(|(source, ..)| **source == path.source);
            let place = match known {
                Some(place) => place,
                None => {
                    loaded.push((&path.source, load(&path.source, view)?, Wanted::default()));
                    loaded.len() - 1
                }
            };
            let Some((_, value, wanted)) = loaded.get_mut(place) else { continue };
            wanted.add(&path.keys);
            units.push(size.units_at(value, path)?);
        }
        let mut input = None;
        let mut tasks: BTreeMap<&str, Vec<(&str, CelValue)>> = BTreeMap::new();
        for (source, value, wanted) in &loaded {
            let value = convert(value, wanted);
            let (task, part) = match source {
                Source::Root(Root::Output(task)) => (task, "output"),
                Source::Root(Root::Outputs(task)) => (task, "outputs"),
                Source::Root(Root::Error(task)) => (task, "error"),
                Source::State(task) => (task, "state"),
                Source::Root(Root::Input | Root::Item | Root::Index) => {
                    input = Some(value);
                    continue;
                }
            };
            tasks.entry(task).or_default().push((part, value));
        }
        let tasks = tasks.into_iter().map(|(task, parts)| (task, object(parts.into_iter())));
        let mut variables = vec![("tasks", object(tasks))];
        variables.extend(input.map(|input| ("input", input)));
        Ok(Data { variables, units, longest: size.longest })
    }
}

fn load(source: &Source, view: &View<'_>) -> Result<Arc<Value>, Failure> {
    let missing = |name: &dyn std::fmt::Display| fatal(format!("there is no `{name}` here"));
    let of_data = |error: DataError| error.into_failure(CODE, "data of the condition");
    match source {
        Source::Root(root) => {
            let found = view.find(root).map_err(of_data)?.ok_or_else(|| missing(root))?;
            view.value(&found).map_err(of_data)
        }
        Source::State(name) => {
            let node = view.run.workflow.node(name).and_then(|node| view.run.node(node));
            let state = node.ok_or_else(|| missing(&format_args!("tasks.{name}.state")))?.state;
            // A state is written as its name.
            Ok(Arc::new(serde_json::to_value(state).unwrap_or_default()))
        }
    }
}

struct Size {
    longest: usize,
}

impl Size {
    /// The size of what a path leads to; nothing, if there is no such value.
    fn units_at(&mut self, value: &Value, path: &Path) -> Result<usize, Failure> {
        let mut value = value;
        for key in &path.keys {
            value = match value {
                Value::Object(map) => match map.get(key) {
                    Some(part) => part,
                    None => return Ok(1),
                },
                // What is not an object is handed over whole.
                _ => break,
            };
        }
        let mut left = UNITS_MAX;
        self.count(value, &mut left);
        if left == 0 {
            return Err(fatal(format!("the condition reads more than {UNITS_MAX} values")));
        }
        Ok(UNITS_MAX - left)
    }

    /// Stops counting when nothing is left. The recursion is as deep as the parser allows.
    fn count(&mut self, value: &Value, left: &mut usize) {
        let units = match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 1,
            Value::String(text) => 1 + text.len() / TEXT_BYTES_PER_UNIT,
            Value::Array(list) => {
                self.longest = self.longest.max(list.len());
                for item in list {
                    if *left == 0 {
                        break;
                    }
                    self.count(item, left);
                }
                1
            }
            Value::Object(map) => {
                self.longest = self.longest.max(map.len());
                for (key, item) in map {
                    *left = left.saturating_sub(key.len() / TEXT_BYTES_PER_UNIT);
                    if *left == 0 {
                        break;
                    }
                    self.count(item, left);
                }
                1
            }
        };
        *left = left.saturating_sub(units);
    }
}

fn convert(value: &Value, wanted: &Wanted) -> CelValue {
    match value {
        Value::Object(map) if !wanted.whole => {
            let parts = wanted.parts.iter();
            let parts = parts.filter_map(|(key, wanted)| Some((key, map.get(key)?, wanted)));
            object(parts.map(|(key, value, wanted)| (key.as_str(), convert(value, wanted))))
        }
        other => convert_whole(other),
    }
}

/// The recursion is as deep as the parser allows.
fn convert_whole(value: &Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(it) => CelValue::Bool(*it),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => CelValue::Int(whole),
            (None, Some(whole)) => CelValue::UInt(whole),
            (None, None) => CelValue::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => CelValue::String(Arc::new(text.clone())),
        Value::Array(list) => CelValue::List(Arc::new(list.iter().map(convert_whole).collect())),
        Value::Object(map) => {
            object(map.iter().map(|(key, value)| (key.as_str(), convert_whole(value))))
        }
    }
}

fn object<'k>(entries: impl Iterator<Item = (&'k str, CelValue)>) -> CelValue {
    let entries = entries.map(|(key, value)| (Key::String(Arc::new(key.to_owned())), value));
    CelValue::Map(Map { map: Arc::new(entries.collect::<HashMap<_, _>>()) })
}
