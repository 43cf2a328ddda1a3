//! YAML in block style: texts without quotes wherever they read back as the same text.

use serde_json::Value;

use super::order::in_order;
use crate::text::plain;

/// A longer text without quotes is harder to read than one with them.
const PLAIN_CHARS_MAX: usize = 120;

/// Readers look for the colon of a key without a mark in this many characters: 1024, by the standard.
const KEY_BYTES_MAX: usize = 1_000;

pub(super) fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Array(_) | Value::Object(_) if !is_empty(value) => block(value, 0, &mut out),
        scalar => {
            out.push_str(&inline(scalar));
            out.push('\n');
        }
    }
    out
}

/// Writes the lines of a collection. The recursion is as deep as the value, which a reader has
/// bounded.
fn block(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Array(list) => {
            for item in list {
                out.push_str(&" ".repeat(indent));
                out.push_str("- ");
                match item {
                    Value::Array(_) | Value::Object(_) if !is_empty(item) => {
                        // The first line of the item stands behind its dash.
                        let mut lines = String::new();
                        block(item, indent + 2, &mut lines);
                        out.push_str(lines.trim_start_matches(' '));
                    }
                    scalar => put(scalar, indent, out),
                }
            }
        }
        Value::Object(map) => {
            for (key, value) in in_order(map) {
                out.push_str(&" ".repeat(indent));
                put_key(&text(key), indent, out);
                match value {
                    Value::Array(_) | Value::Object(_) if !is_empty(value) => {
                        out.push('\n');
                        block(value, indent + 2, out);
                    }
                    scalar => {
                        out.push(' ');
                        put(scalar, indent, out);
                    }
                }
            }
        }
        _ => {}
    }
}

/// A key and its colon; a long one has a mark before it, and its colon on a line of its own.
fn put_key(key: &str, indent: usize, out: &mut String) {
    if key.len() <= KEY_BYTES_MAX {
        out.push_str(key);
    } else {
        out.push_str("? ");
        out.push_str(key);
        out.push('\n');
        out.push_str(&" ".repeat(indent));
    }
    out.push(':');
}

/// A scalar and the end of its line.
fn put(value: &Value, indent: usize, out: &mut String) {
    if let Some(lines) = value.as_str().and_then(literal) {
        out.push_str(if lines.ends_with('\n') { "|\n" } else { "|-\n" });
        for line in lines.trim_end_matches('\n').split('\n') {
            if !line.is_empty() {
                out.push_str(&" ".repeat(indent + 2));
                out.push_str(line);
            }
            out.push('\n');
        }
        return;
    }
    out.push_str(&inline(value));
    out.push('\n');
}

/// A text of several lines that a block can hold as it stands.
fn literal(text: &str) -> Option<&str> {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let is_plain = |c: char| c == '\n' || (!c.is_control() && c != '\u{feff}');
    let fits = body.contains('\n')
        && body.chars().all(is_plain)
        && !body.chars().any(|c| matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}'))
        && !body.starts_with([' ', '\n'])
        && !body.ends_with('\n')
        && body.lines().all(|line| line.trim_end() == line);
    fits.then_some(text)
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(it) => text(it),
        Value::Array(_) => "[]".to_owned(),
        Value::Object(_) => "{}".to_owned(),
        other => other.to_string(),
    }
}

fn text(text: &str) -> String {
    let first = |c: char| c.is_ascii_alphanumeric() || "_/.$".contains(c);
    let other = |c: char| c.is_ascii_alphanumeric() || " _-./$+@=".contains(c);
    let is_plain = text.len() <= PLAIN_CHARS_MAX
        && text.starts_with(first)
        && text.chars().all(other)
        && !text.ends_with(' ')
        && !text.starts_with("...")
        && plain(text) == Some(Value::String(text.to_owned()));
    if is_plain {
        return text.to_owned();
    }
    // The quoted texts of JSON are texts of YAML, but for what YAML takes for a break or a mark.
    let quoted = Value::String(text.to_owned()).to_string();
    quoted.chars().map(escaped).collect()
}

fn escaped(c: char) -> String {
    match c {
        '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
            format!("\\u{:04x}", u32::from(c))
        }
        other => other.to_string(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}
