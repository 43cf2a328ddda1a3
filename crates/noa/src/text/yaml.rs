//! YAML 1.2 (core schema) into a value, without recursion: one event after the other.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};
use serde_json::{Map, Number, Value};

use super::places::{Places, near_item, near_member};
use super::{DEPTH_MAX, Document, EXPANDED_BYTES_MAX, Fault, VALUES_MAX};

/// Parses a text.
pub(super) fn parse(text: &str) -> Result<Document, Fault> {
    let mut building = Building::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| scan_fault(&error))?;
        building.take(event, span)?;
    }
    match building.root {
        Some(value) => Ok(Document { value, places: building.places }),
        None => Err(Fault::new(1, 1, "the file is empty").hint("write a `workflows` section")),
    }
}

fn scan_fault(error: &ScanError) -> Fault {
    let marker = error.marker();
    Fault::new(marker.line(), marker.col() + 1, error.info())
}

fn fault(span: Span, message: impl Into<String>) -> Fault {
    Fault::new(span.start.line(), span.start.col() + 1, message)
}

/// A collection that is not closed yet.
struct Open {
    kind: Kind,
    /// None: too deep for a place of its own.
    pointer: Option<String>,
    /// Anchor that names it; 0: none.
    anchor: usize,
    size: Size,
}

/// How much a value is, with all that is in it.
#[derive(Clone, Copy, Default)]
struct Size {
    values: usize,
    /// Of keys and strings.
    bytes: usize,
}

impl Size {
    fn of(scalar: &Value) -> Self {
        Size { values: 1, bytes: scalar.as_str().map_or(0, str::len) }
    }

    fn add(&mut self, other: Size) {
        self.values += other.values;
        self.bytes += other.bytes;
    }
}

enum Kind {
    List(Vec<Value>),
    Map { entries: Map<String, Value>, key: Option<String> },
}

/// A value that an alias may name.
struct Anchored {
    value: Value,
    size: Size,
    depth: usize,
}

#[derive(Default)]
struct Building {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Anchored>,
    /// Of everything, and of what is kept for aliases.
    size: Size,
    places: Places,
    root: Option<Value>,
    has_document: bool,
}

impl Building {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) if self.has_document => {
                Err(fault(span, "a second document begins").hint("a file has one document"))
            }
            Event::DocumentStart(_) => {
                self.has_document = true;
                Ok(())
            }
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = Scalar { text: &text, style, tag: tag.as_ref(), span };
                self.scalar(&scalar, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.begin(Kind::List(Vec::new()), anchor, tag.as_ref(), span)
            }
            Event::MappingStart(anchor, tag) => {
                let kind = Kind::Map { entries: Map::new(), key: None };
                self.begin(kind, anchor, tag.as_ref(), span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
        }
    }

    /// Whether the next value is a key.
    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { kind: Kind::Map { key: None, .. }, .. }))
    }

    /// Where the next value goes.
    fn pointer(&self) -> Option<String> {
        match self.open.last() {
            None => Some(String::new()),
            Some(Open { kind: Kind::List(items), pointer, .. }) => {
                near_item(pointer.as_deref(), items.len())
            }
            Some(Open { kind: Kind::Map { key, .. }, pointer, .. }) => {
                near_member(pointer.as_deref(), key.as_deref().unwrap_or_default())
            }
        }
    }

    fn begin(
        &mut self,
        kind: Kind,
        anchor: usize,
        tag: Option<&Cow<'_, Tag>>,
        span: Span,
    ) -> Result<(), Fault> {
        if self.wants_key() {
            return Err(fault(span, "a key is a string, not a list or an object"));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(fault(span, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        if let Some(tag) = tag.filter(|tag| !matches!(tag.suffix.as_str(), "seq" | "map")) {
            return Err(unknown_tag(tag, span));
        }
        let size = Size { values: 1, bytes: 0 };
        self.count(size, span)?;
        let pointer = self.pointer();
        // A member's place is its key's: what follows may begin lines below it.
        if !matches!(self.open.last(), Some(Open { kind: Kind::Map { .. }, .. })) {
            self.places.put(pointer.as_deref(), span.start.line(), span.start.col() + 1);
        }
        self.open.push(Open { kind, pointer, anchor, size });
        Ok(())
    }

    fn end(&mut self, span: Span) -> Result<(), Fault> {
        let Some(closed) = self.open.pop() else { return Ok(()) };
        let value = match closed.kind {
            Kind::List(items) => Value::Array(items),
            Kind::Map { entries, .. } => Value::Object(entries),
        };
        if closed.anchor > 0 {
            self.count(closed.size, span)?;
            let depth = depth_of(&value);
            let anchored = Anchored { value: value.clone(), size: closed.size, depth };
            self.anchors.insert(closed.anchor, anchored);
        }
        self.add(value, closed.size, span)
    }

    fn scalar(&mut self, scalar: &Scalar<'_>, anchor: usize) -> Result<(), Fault> {
        let value = scalar.value()?;
        if self.wants_key() {
            return self.key(scalar, value);
        }
        let size = Size::of(&value);
        self.count(size, scalar.span)?;
        let pointer = self.pointer();
        // An empty value has no characters of its own: its key's place stays.
        if !scalar.span.is_empty() || !matches!(value, Value::Null) {
            let start = scalar.span.start;
            self.places.put(pointer.as_deref(), start.line(), start.col() + 1);
        }
        if anchor > 0 {
            self.count(size, scalar.span)?;
            let anchored = Anchored { value: value.clone(), size, depth: 0 };
            self.anchors.insert(anchor, anchored);
        }
        self.add(value, size, scalar.span)
    }

    fn key(&mut self, scalar: &Scalar<'_>, value: Value) -> Result<(), Fault> {
        let name = match value {
            Value::String(name) => name,
            other => {
                let kind = match other {
                    Value::Null => "null",
                    Value::Bool(_) => "a boolean",
                    _ => "a number",
                };
                let message = format!("a key is a string, not {kind}");
                return Err(fault(scalar.span, message).hint("write it in quotes"));
            }
        };
        if name == "<<" && scalar.style == ScalarStyle::Plain {
            return Err(fault(scalar.span, "merge keys are not supported")
                .hint("write the entries out, or use an alias for the whole value"));
        }
        let bytes = Size { values: 0, bytes: name.len() };
        self.count(bytes, scalar.span)?;
        let Some(Open { kind: Kind::Map { entries, key }, pointer, size, .. }) =
            self.open.last_mut()
        else {
            return Ok(());
        };
        size.add(bytes);
        if entries.contains_key(&name) {
            return Err(fault(scalar.span, format!("the key `{name}` is there twice")));
        }
        let start = scalar.span.start;
        let pointer = near_member(pointer.as_deref(), &name);
        self.places.put(pointer.as_deref(), start.line(), start.col() + 1);
        *key = Some(name);
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Fault> {
        if self.wants_key() {
            return Err(fault(span, "a key is a string, not an alias"));
        }
        let Some(Anchored { size, depth, .. }) = self.anchors.get(&anchor) else {
            return Err(fault(span, "the alias names a value that is not complete")
                .hint("a value cannot contain itself"));
        };
        let (size, depth) = (*size, *depth);
        if self.open.len() + depth > DEPTH_MAX {
            return Err(fault(span, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        // Counted before it is copied: a bomb must not go off while it is measured.
        self.count(size, span)?;
        let value = self.anchors.get(&anchor).map(|it| it.value.clone()).unwrap_or_default();
        let pointer = self.pointer();
        self.places.put(pointer.as_deref(), span.start.line(), span.start.col() + 1);
        self.add(value, size, span)
    }

    fn count(&mut self, size: Size, span: Span) -> Result<(), Fault> {
        self.size.add(size);
        let what = match self.size {
            Size { values, .. } if values > VALUES_MAX => format!("{VALUES_MAX} values"),
            Size { bytes, .. } if bytes > EXPANDED_BYTES_MAX => {
                format!("{EXPANDED_BYTES_MAX} bytes of text")
            }
            _ => return Ok(()),
        };
        Err(fault(span, format!("the file has more than {what}, aliases expanded")))
    }

    fn add(&mut self, value: Value, size: Size, span: Span) -> Result<(), Fault> {
        let Some(open) = self.open.last_mut() else {
            if self.root.replace(value).is_some() {
                return Err(fault(span, "a second document begins"));
            }
            return Ok(());
        };
        open.size.add(size);
        match &mut open.kind {
            Kind::List(items) => items.push(value),
            Kind::Map { entries, key } => {
                if let Some(key) = key.take() {
                    entries.insert(key, value);
                }
            }
        }
        Ok(())
    }
}

/// Levels below a value; its own are at most `DEPTH_MAX`, so recursion is bounded.
fn depth_of(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth_of).max().unwrap_or(0),
        Value::Object(entries) => 1 + entries.values().map(depth_of).max().unwrap_or(0),
        _ => 0,
    }
}

fn unknown_tag(tag: &Tag, span: Span) -> Fault {
    let Tag { handle, suffix } = tag;
    fault(span, format!("the tag `{handle}{suffix}` is not supported"))
        .hint("remove it; `!!str` is the only one of use")
}

struct Scalar<'a> {
    text: &'a str,
    style: ScalarStyle,
    tag: Option<&'a Cow<'a, Tag>>,
    span: Span,
}

impl Scalar<'_> {
    fn value(&self) -> Result<Value, Fault> {
        let string = || Value::String(self.text.to_owned());
        match self.tag {
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Ok(string()),
            Some(tag) => Err(unknown_tag(tag, self.span)),
            None if self.style != ScalarStyle::Plain => Ok(string()),
            None => match plain(self.text) {
                Some(value) => Ok(value),
                None => {
                    let message = format!("`{}` is no number that JSON has", self.text);
                    Err(fault(self.span, message).hint("write it in quotes if it is a text"))
                }
            },
        }
    }
}

/// What an unquoted text means; none: a number that cannot be kept exactly or at all.
pub(crate) fn plain(text: &str) -> Option<Value> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Value::Null),
        "true" | "True" | "TRUE" => return Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Value::Bool(false)),
        ".nan" | ".NaN" | ".NAN" => return None,
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return None;
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix)
            && !digits.is_empty()
            && digits.chars().all(|c| c.is_digit(radix))
        {
            return u64::from_str_radix(digits, radix).ok().map(Value::from);
        }
    }
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if is_digits(unsigned) {
        let text = text.strip_prefix('+').unwrap_or(text);
        let signed = text.parse::<i64>().map(Value::from);
        return signed.or_else(|_| text.parse::<u64>().map(Value::from)).ok();
    }
    if is_float(unsigned) {
        return text.parse().ok().and_then(Number::from_f64).map(Value::Number);
    }
    Some(Value::String(text.to_owned()))
}

/// `(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_mantissa =
        all_digits(whole) && all_digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    let is_exponent = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    is_mantissa && is_exponent
}
