//! Templates: JSON with references to the run's input and to what tasks gave.
//!
//! A text that is exactly one `${…}` becomes the JSON value it refers to; inside a longer text
//! the value is written as text (texts as they are, everything else as JSON). `$${` is a literal
//! `${`. Names of properties are never expanded.

use serde_json::Value;

use super::expression::{Expression, Root};
use super::findings::{Pointer, shown};
use super::limits::{TEMPLATE_DEPTH_MAX, TEMPLATE_REFERENCES_MAX};
use super::resolve::{self, ResolveError, Scope};
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
        resolve::resolve(&self.node, scope)
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
