//! JSON Schemas, compiled once and kept by their text. Nothing is ever fetched, and patterns run
//! in time linear in the text.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::{PatternOptions, ValidationError, Validator};
use serde::de::IgnoredAny;
use serde_json::Value;

use self::unfolding::{Unfolded, depth};
use super::cache::Cache;
use super::{PARSED_BYTES_MAX, SCHEMAS_KEPT_MAX, VIOLATIONS_MAX};

mod unfolding;

/// Bytes of the message of one violation.
const MESSAGE_BYTES_MAX: usize = 500;
/// Up to so many bytes a message shows the value that is wrong.
const SHOWN_BYTES_MAX: usize = 4 * 1024;
/// Bytes of one compiled pattern, so that repetitions of repetitions do not fill the memory.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;

/// One thing in which a value is not what its schema says.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Violation {
    /// JSON Pointer into the value.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
}

/// Compiled schemas. Shared by the loop and its workers.
pub struct Schemas {
    compiled: Mutex<Cache<Arc<str>, Compiled>>,
}

/// A schema that does not compile is as well worth keeping as one that does.
type Compiled = Result<Arc<Schema>, Arc<str>>;

/// A compiled schema.
pub(super) struct Schema {
    validator: Validator,
    unfolded: Unfolded,
}

impl Default for Schemas {
    fn default() -> Self {
        Schemas { compiled: Mutex::new(Cache::new(SCHEMAS_KEPT_MAX)) }
    }
}

impl fmt::Debug for Schemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Schemas")
    }
}

impl Schemas {
    /// No schemas yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a text is JSON and what its schema says; the first `VIOLATIONS_MAX` faults if not.
    pub fn validate(&self, schema: &str, json: &[u8]) -> Result<(), Vec<Violation>> {
        if accepts_all(schema) {
            return is_json(json).map_err(whole);
        }
        let schema = self
            .compiled(schema)
            .map_err(|message| whole(format!("the schema is not one: {message}")))?;
        if json.len() > PARSED_BYTES_MAX {
            return Err(whole(format!("the value has more than {PARSED_BYTES_MAX} bytes")));
        }
        let value: Value =
            serde_json::from_slice(json).map_err(|error| whole(format!("not JSON: {error}")))?;
        if schema.validator.is_valid(&value) {
            return Ok(());
        }
        let is_short = schema.unfolded.allows_list(depth(&value));
        let errors = is_short.then(|| schema.validator.iter_errors(&value));
        let errors = errors.into_iter().flatten().take(VIOLATIONS_MAX);
        let violations: Vec<_> = errors.map(|error| violation(&error, json.len())).collect();
        Err(if violations.is_empty() {
            whole("the value is not what its schema says".to_owned())
        } else {
            violations
        })
    }

    /// Whether a text is a JSON Schema, or why not.
    pub fn check(&self, schema: &str) -> Result<(), String> {
        self.compiled(schema).map(|_| ()).map_err(|message| message.to_string())
    }

    fn compiled(&self, schema: &str) -> Compiled {
        let lock = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = lock().find(schema) {
            return compiled;
        }
        let compiled = serde_json::from_str(schema)
            .map_err(|error| error.to_string())
            .and_then(|value| compile(&value));
        let compiled: Compiled = compiled.map(Arc::new).map_err(Arc::from);
        lock().insert(Arc::from(schema), compiled.clone(), 1);
        compiled
    }
}

/// Compiles a schema, or says why it is none.
pub(super) fn compile(schema: &Value) -> Result<Schema, String> {
    let unfolded = Unfolded::of(schema)?;
    let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES_MAX);
    let options = jsonschema::options().with_pattern_options(patterns);
    let validator = options.build(schema).map_err(|error| {
        let at = error.instance_path().to_string();
        cut(match at.as_str() {
            "" => error.to_string(),
            at => format!("{error} at `{at}`"),
        })
    })?;
    Ok(Schema { validator, unfolded })
}

/// Only the ways to write it that skills use; others are compiled and come to the same.
fn accepts_all(schema: &str) -> bool {
    matches!(schema.trim(), "true" | "{}")
}

/// Who only passes a text on may not look at it, but what is passed on as JSON has to be JSON.
fn is_json(text: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(text).map_err(|error| format!("not JSON: {error}"))?;
    let read = serde_json::from_str::<IgnoredAny>(text);
    read.map(|_| ()).map_err(|error| format!("not JSON: {error}"))
}

fn violation(error: &ValidationError<'_>, bytes: usize) -> Violation {
    // A message has the value in it, which may be all there is.
    let message = match bytes > SHOWN_BYTES_MAX {
        true => error.masked_with("the value").to_string(),
        false => error.to_string(),
    };
    Violation { pointer: error.instance_path().to_string(), message: cut(message) }
}

fn whole(message: String) -> Vec<Violation> {
    vec![Violation { pointer: String::new(), message: cut(message) }]
}

fn cut(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        let end = (0..=MESSAGE_BYTES_MAX).rev().find(|end| message.is_char_boundary(*end));
        message.truncate(end.unwrap_or(0));
        message.push('…');
    }
    message
}
