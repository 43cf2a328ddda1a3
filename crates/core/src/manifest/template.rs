//! Templates: JSON with references to the run's input and to what tasks gave.
//!
//! A text that is exactly one `${…}` becomes the JSON value it refers to; inside a longer text
//! the value is written as text (texts as they are, everything else as JSON). `$${` is a literal
//! `${`. Names of properties are never expanded.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::Value;

use super::expression::{Expression, PathStep, Root};
use super::findings::{Pointer, shown};
use super::limits::{
    RESOLVED_BYTES_MAX, RESOLVED_DEPTH_MAX, TEMPLATE_DEPTH_MAX, TEMPLATE_REFERENCES_MAX,
};
use crate::error::Kind;
use crate::plan::InputForm;

/// A parsed template.
#[derive(Clone, PartialEq, Debug)]
pub struct Template {
    node: Node,
    references: usize,
}

/// A part of a template. Parts without references are one literal, whatever their size.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Node {
    Literal(Value),
    Whole(Expression),
    Text(Vec<Piece>),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// A part of a text.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Piece {
    Text(String),
    Value(Expression),
}

/// A reference and its place in the template.
#[derive(Clone, PartialEq, Debug)]
pub struct Reference<'t> {
    /// JSON Pointer to the text that holds it.
    pub pointer: String,
    /// What it refers to.
    pub expression: &'t Expression,
}

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

impl Template {
    /// Reads a template; every fault is a JSON Pointer into `value` and a message.
    pub fn parse(value: &Value) -> Result<Template, Vec<(String, String)>> {
        let mut parser = Parser { faults: Vec::new(), references: 0 };
        let node = parser.node(value, &Pointer::root(), 0);
        if parser.references > TEMPLATE_REFERENCES_MAX {
            let message = format!("a template has at most {TEMPLATE_REFERENCES_MAX} references");
            parser.faults.push((String::new(), message));
        }
        match parser.faults.is_empty() {
            true => Ok(Template { node, references: parser.references }),
            false => Err(parser.faults),
        }
    }

    /// All references, in the order of the template.
    pub fn references(&self) -> Vec<Reference<'_>> {
        let mut found = Vec::with_capacity(self.references);
        collect(&self.node, &Pointer::root(), &mut found);
        found
    }

    /// How a task with this input comes by it.
    pub fn form(&self) -> InputForm {
        match &self.node {
            Node::Literal(_) => InputForm::Literal,
            Node::Whole(whole) if *whole.root() == Root::Input && whole.path().is_empty() => {
                InputForm::RunInput
            }
            _ => InputForm::Template,
        }
    }

    /// The only reference, if the template is nothing else: its value can be passed on untouched.
    pub fn as_expression(&self) -> Option<&Expression> {
        match &self.node {
            Node::Whole(expression) => Some(expression),
            _ => None,
        }
    }

    /// The value itself, if there are no references in it (escapes are undone).
    pub fn as_literal(&self) -> Option<&Value> {
        match &self.node {
            Node::Literal(value) => Some(value),
            _ => None,
        }
    }

    /// Puts values in the place of the references.
    pub fn resolve(&self, scope: &dyn Scope) -> Result<Value, ResolveError> {
        let mut resolver = Resolver { scope, bytes_left: RESOLVED_BYTES_MAX };
        resolver.node(&self.node, &Pointer::root(), 0)
    }

    pub(super) fn node(&self) -> &Node {
        &self.node
    }
}

struct Parser {
    faults: Vec<(String, String)>,
    references: usize,
}

impl Parser {
    fn node(&mut self, value: &Value, at: &Pointer, depth: usize) -> Node {
        if depth > TEMPLATE_DEPTH_MAX {
            let message = format!("a template has at most {TEMPLATE_DEPTH_MAX} levels");
            self.faults.push((at.as_str().to_owned(), message));
            return Node::Literal(Value::Null);
        }
        match value {
            Value::String(text) => self.text(text, at),
            Value::Array(list) => {
                let items = list.iter().enumerate();
                list_node(items.map(|(i, item)| self.node(item, &at.index(i), depth + 1)).collect())
            }
            Value::Object(map) => {
                let items = map.iter();
                object_node(
                    items.map(|(k, v)| (k.clone(), self.node(v, &at.key(k), depth + 1))).collect(),
                )
            }
            other => Node::Literal(other.clone()),
        }
    }

    fn text(&mut self, text: &str, at: &Pointer) -> Node {
        match pieces(text) {
            Err(message) => {
                self.faults.push((at.as_str().to_owned(), message));
                Node::Literal(Value::Null)
            }
            Ok(pieces) => {
                self.references +=
                    pieces.iter().filter(|piece| matches!(piece, Piece::Value(_))).count();
                text_node(pieces)
            }
        }
    }
}

fn text_node(mut pieces: Vec<Piece>) -> Node {
    match (pieces.pop(), pieces.is_empty()) {
        (None, _) => Node::Literal(Value::from("")),
        (Some(Piece::Text(text)), true) => Node::Literal(Value::from(text)),
        (Some(Piece::Value(whole)), true) => Node::Whole(whole),
        (Some(last), false) => {
            pieces.push(last);
            Node::Text(pieces)
        }
    }
}

fn list_node(nodes: Vec<Node>) -> Node {
    if !nodes.iter().all(|node| matches!(node, Node::Literal(_))) {
        return Node::List(nodes);
    }
    let values = nodes.into_iter().filter_map(|node| match node {
        Node::Literal(value) => Some(value),
        _ => None,
    });
    Node::Literal(Value::Array(values.collect()))
}

fn object_node(nodes: Vec<(String, Node)>) -> Node {
    if !nodes.iter().all(|(_, node)| matches!(node, Node::Literal(_))) {
        return Node::Object(nodes);
    }
    let values = nodes.into_iter().filter_map(|(key, node)| match node {
        Node::Literal(value) => Some((key, value)),
        _ => None,
    });
    Node::Literal(Value::Object(values.collect()))
}

/// Cuts a text at its references. Neighbouring texts are one piece.
fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('$') {
        let (before, dollar) = rest.split_at(start);
        plain.push_str(before);
        if let Some(after) = dollar.strip_prefix("$${") {
            plain.push_str("${");
            rest = after;
        } else if let Some(inside) = dollar.strip_prefix("${") {
            let wrong = |message| format!("in `{}`: {message}", shown(dollar));
            let (expression, after) = Expression::parse_start(inside).map_err(wrong)?;
            let after = after.trim_start();
            rest = after.strip_prefix('}').ok_or_else(|| {
                wrong(match after {
                    "" => "the closing `}` is missing".to_owned(),
                    other => format!("unexpected `{}`", shown(other)),
                })
            })?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Value(expression));
        } else {
            plain.push('$');
            rest = dollar.strip_prefix('$').unwrap_or_default();
        }
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

/// The recursion is as deep as the template, which is limited.
fn collect<'t>(node: &'t Node, at: &Pointer, found: &mut Vec<Reference<'t>>) {
    match node {
        Node::Literal(_) => {}
        Node::Whole(expression) => {
            found.push(Reference { pointer: at.as_str().to_owned(), expression });
        }
        Node::Text(pieces) => {
            for piece in pieces {
                if let Piece::Value(expression) = piece {
                    found.push(Reference { pointer: at.as_str().to_owned(), expression });
                }
            }
        }
        Node::List(nodes) => {
            for (i, node) in nodes.iter().enumerate() {
                collect(node, &at.index(i), found);
            }
        }
        Node::Object(nodes) => {
            for (key, node) in nodes {
                collect(node, &at.key(key), found);
            }
        }
    }
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
        other => super::findings::type_of(other).to_owned(),
    }
}
