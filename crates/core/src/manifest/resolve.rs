//! Resolving templates: values in the place of references, within limits of size and depth.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::Value;

use super::expression::{Expression, PathStep, Root};
use super::findings::{Pointer, type_of};
use super::limits::{RESOLVED_BYTES_MAX, RESOLVED_DEPTH_MAX};
use super::template::{Node, Piece};
use crate::error::Kind;

/// What references are resolved against. Object-safe and pure while one template is resolved.
pub trait Scope {
    /// The value at a root, before any path. A task that was skipped, or failed while the run
    /// went on, has the output `null`, and then every path below it is `null` too. None: there is
    /// no such value here, which is an error.
    fn value(&self, root: &Root) -> Option<Cow<'_, Value>>;
}

/// Why a template could not be resolved.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ResolveError {
    kind: Kind,
    pointer: String,
    expression: String,
    message: String,
}

impl ResolveError {
    /// `Invalid`: the data has no such value; `Exhausted`: the result is too large.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// JSON Pointer into the template.
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// The reference; empty where the fault is in the size of the whole.
    pub fn expression(&self) -> &str {
        &self.expression
    }
}

/// Resolves a whole template.
pub(super) fn resolve(node: &Node, scope: &dyn Scope) -> Result<Value, ResolveError> {
    let mut resolver = Resolver { scope, bytes_left: RESOLVED_BYTES_MAX };
    resolver.node(node, &Pointer::root(), 0)
}

struct Resolver<'s> {
    scope: &'s dyn Scope,
    bytes_left: usize,
}

impl Resolver<'_> {
    fn node(&mut self, node: &Node, at: &Pointer, depth: usize) -> Result<Value, ResolveError> {
        match node {
            Node::Literal(value) => self.copy(value, at, depth),
            Node::Whole(expression) => {
                let value = find(self.scope, expression).map_err(|m| missing(at, expression, m))?;
                self.take(value, at, depth)
            }
            Node::Text(pieces) => self.text(pieces, at).map(Value::String),
            Node::List(nodes) => {
                self.spend(2 + nodes.len(), at)?;
                let nodes = nodes.iter().enumerate();
                nodes.map(|(i, node)| self.node(node, &at.index(i), depth + 1)).collect()
            }
            Node::Object(nodes) => {
                self.spend(2, at)?;
                let mut map = serde_json::Map::new();
                for (key, node) in nodes {
                    self.spend(key.len() + 4, at)?;
                    map.insert(key.clone(), self.node(node, &at.key(key), depth + 1)?);
                }
                Ok(Value::Object(map))
            }
        }
    }

    fn text(&mut self, pieces: &[Piece], at: &Pointer) -> Result<String, ResolveError> {
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(plain) => {
                    self.spend(plain.len(), at)?;
                    text.push_str(plain);
                }
                Piece::Value(expression) => {
                    let value =
                        find(self.scope, expression).map_err(|m| missing(at, expression, m))?;
                    self.measure(&value, at, 0)?;
                    match &*value {
                        Value::String(plain) => text.push_str(plain),
                        // Writing into a String cannot fail.
                        other => write!(text, "{other}").unwrap_or_default(),
                    }
                }
            }
        }
        Ok(text)
    }

    fn copy(&mut self, value: &Value, at: &Pointer, depth: usize) -> Result<Value, ResolveError> {
        self.measure(value, at, depth)?;
        Ok(value.clone())
    }

    /// Measures before it copies: a value that is too large is never there twice.
    fn take(
        &mut self,
        value: Cow<'_, Value>,
        at: &Pointer,
        depth: usize,
    ) -> Result<Value, ResolveError> {
        self.measure(&value, at, depth)?;
        Ok(value.into_owned())
    }

    /// The recursion ends at `RESOLVED_DEPTH_MAX`.
    fn measure(&mut self, value: &Value, at: &Pointer, depth: usize) -> Result<(), ResolveError> {
        if depth > RESOLVED_DEPTH_MAX {
            return Err(oversize(
                at,
                format!("the result has more than {RESOLVED_DEPTH_MAX} levels"),
            ));
        }
        match value {
            Value::Null | Value::Bool(_) => self.spend(5, at),
            // A number is rarely longer; what matters is that it counts.
            Value::Number(_) => self.spend(8, at),
            Value::String(text) => self.spend(text.len() + 3, at),
            Value::Array(list) => {
                self.spend(2, at)?;
                list.iter().try_for_each(|item| self.measure(item, at, depth + 1))
            }
            Value::Object(map) => {
                self.spend(2, at)?;
                map.iter().try_for_each(|(key, item)| {
                    self.spend(key.len() + 4, at)?;
                    self.measure(item, at, depth + 1)
                })
            }
        }
    }

    fn spend(&mut self, bytes: usize, at: &Pointer) -> Result<(), ResolveError> {
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or_else(|| {
            oversize(at, format!("the result has more than {RESOLVED_BYTES_MAX} bytes"))
        })?;
        Ok(())
    }
}

fn missing(at: &Pointer, expression: &Expression, message: String) -> ResolveError {
    ResolveError {
        kind: Kind::Invalid,
        pointer: at.as_str().to_owned(),
        expression: expression.to_string(),
        message,
    }
}

fn oversize(at: &Pointer, message: String) -> ResolveError {
    ResolveError {
        kind: Kind::Exhausted,
        pointer: at.as_str().to_owned(),
        expression: String::new(),
        message,
    }
}

/// The value that an expression refers to.
fn find<'s>(scope: &'s dyn Scope, expression: &Expression) -> Result<Cow<'s, Value>, String> {
    let root = expression.root();
    let value = scope.value(root).ok_or_else(|| format!("there is no `{root}` here"))?;
    match value {
        Cow::Borrowed(value) => walk(value, expression).map(Cow::Borrowed),
        Cow::Owned(value) if expression.path().is_empty() => Ok(Cow::Owned(value)),
        Cow::Owned(value) => walk(&value, expression).cloned().map(Cow::Owned),
    }
}

fn walk<'v>(value: &'v Value, expression: &Expression) -> Result<&'v Value, String> {
    // Where `null` stands for something that did not happen: the output or error of a task, and
    // each output of a map. Anywhere else it is a value without properties.
    let nulls_to = match expression.root() {
        Root::Output(_) | Root::Error(_) => 1,
        Root::Outputs(_) => 2,
        Root::Input | Root::Item | Root::Index => 0,
    };
    let mut value = value;
    for (i, step) in expression.path().iter().enumerate() {
        if value.is_null() && i < nulls_to {
            return Ok(value);
        }
        let next = match (step, value) {
            (PathStep::Key(key), Value::Object(map)) => map.get(&**key),
            (PathStep::Index(index), Value::Array(list)) => list.get(*index),
            _ => None,
        };
        value = next.ok_or_else(|| {
            let (whole, part) = (expression.shown_to(i + 1), expression.shown_to(i));
            format!("there is no `{whole}`: `{part}` is {}", extent(value))
        })?;
    }
    Ok(value)
}

/// What a value is, for someone who looked for something inside it.
fn extent(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Object(map) => format!("an object of {} other properties", map.len()),
        other => type_of(other).to_owned(),
    }
}
