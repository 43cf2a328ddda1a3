//! Everything that a command prints: for people, or as JSON for programs. Nothing else prints.

use std::fmt::Display;
use std::io::{Write, stderr, stdout};

use serde::Serialize;
use serde_json::Value;

use crate::failure::{Failure, Part};
use crate::terminal::{Terminal, Tone, one_line};

/// Bytes of one cell of a table; what is longer is cut, `--json` has the whole of it.
const CELL_CHARS_MAX: usize = 80;

/// Where and how a command prints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    terminal: Terminal,
}

impl Output {
    /// Output in one of the two forms.
    pub(crate) fn new(json: bool, terminal: Terminal) -> Self {
        Output { json, terminal }
    }

    /// Whether a program reads it.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// What the terminal can show.
    pub(crate) fn terminal(&self) -> Terminal {
        self.terminal
    }

    /// A line for people.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        let mut out = stdout().lock();
        out.write_all(text.as_bytes())?;
        out.write_all(b"\n")?;
        Ok(out.flush()?)
    }

    /// Text as it is.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = stdout().lock();
        out.write_all(bytes)?;
        Ok(out.flush()?)
    }

    /// A JSON document of its own, readable.
    pub(crate) fn document(&self, value: &impl Serialize) -> Result<(), Failure> {
        self.line(&pretty(&text_of(value)))
    }

    /// One of many JSON documents, each on a line.
    pub(crate) fn json_line(&self, value: &impl Serialize) -> Result<(), Failure> {
        self.line(&text_of(value))
    }

    /// The answer in the form that was asked for.
    pub(crate) fn answer(
        &self,
        value: &impl Serialize,
        human: impl FnOnce(&Terminal) -> Vec<String>,
    ) -> Result<(), Failure> {
        if self.json {
            return self.document(value);
        }
        human(&self.terminal).iter().try_for_each(|line| self.line(line))
    }

    /// A remark beside the answer, for people, on standard error.
    pub(crate) fn note(&self, text: &str) {
        if !self.json {
            // A remark that nobody can read is no reason to stop.
            let _ = writeln!(stderr(), "{text}");
        }
    }

    /// Why the command failed.
    pub(crate) fn failure(&self, failure: &Failure) {
        let mut err = stderr().lock();
        if self.json {
            let _ = writeln!(err, "{}", pretty(&failure.problem().to_string()));
            return;
        }
        for (part, text) in failure.lines() {
            let text = text.lines().map(one_line).collect::<Vec<_>>().join("\n       ");
            let terminal = self.terminal;
            let line = match part {
                Part::Error => format!("{} {text}", terminal.err(Tone::Bad, "error:")),
                Part::Place => format!("  {text}"),
                Part::PlaceHint => format!("    {} {text}", terminal.err(Tone::Good, "hint:")),
                Part::Hint => format!("{} {text}", terminal.err(Tone::Good, "hint:")),
            };
            let _ = writeln!(err, "{line}");
        }
    }
}

/// Plain data as JSON text. Texts that came from elsewhere are passed on digit by digit.
fn text_of(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// JSON text as people read it: the same text with lines and indentation, so that no number loses
/// a digit on the way.
pub(crate) fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut rest = json.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' => {
                out.push(c);
                while let Some(c) = rest.next() {
                    out.push(c);
                    match c {
                        '\\' => out.extend(rest.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                out.push(c);
                while rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                if let Some(end) = rest.next_if(|c| matches!(c, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

/// A JSON value as an indented outline for people; what is beyond `lines_max` lines is only told.
pub(crate) fn outline(value: &Value, lines_max: usize) -> Vec<String> {
    let mut lines = Vec::new();
    outline_into(value, 0, &mut lines);
    if lines.len() > lines_max {
        let more = lines.len() - lines_max;
        lines.truncate(lines_max);
        lines.push(format!("… {more} more lines; --json shows all"));
    }
    lines
}

/// The value was parsed, so its depth is that of the parser at most.
fn outline_into(value: &Value, depth: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    let mut put = |name: &str, value: &Value| match value {
        Value::Object(entries) if name == "-" && entries.values().all(is_scalar) => {
            // What names the thing comes before its numbers.
            let (texts, numbers): (Vec<_>, Vec<_>) =
                entries.iter().partition(|(_, it)| it.is_string());
            let parts = texts.into_iter().chain(numbers);
            let parts = parts.map(|(name, it)| format!("{}: {}", one_line(name), scalar(it)));
            lines.push(format!("{indent}- {}", parts.collect::<Vec<_>>().join(", ")));
        }
        Value::Object(entries) if !entries.is_empty() => {
            lines.push(format!("{indent}{name}"));
            outline_into(value, depth + 1, lines);
        }
        Value::Array(items) if !items.iter().all(is_scalar) => {
            lines.push(format!("{indent}{name}"));
            outline_into(value, depth + 1, lines);
        }
        Value::Array(items) if !items.is_empty() => {
            let items: Vec<_> = items.iter().map(scalar).collect();
            lines.push(format!("{indent}{name} {}", items.join(", ")));
        }
        other => lines.push(format!("{indent}{name} {}", scalar(other))),
    };
    match value {
        Value::Object(entries) => {
            entries.iter().for_each(|(name, value)| put(&format!("{}:", one_line(name)), value));
        }
        Value::Array(items) => items.iter().for_each(|value| put("-", value)),
        other => lines.push(format!("{indent}{}", scalar(other))),
    }
}

fn is_scalar(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => one_line(text),
        other => other.to_string(),
    }
}

/// `1 agent`, `2 agents`.
pub(crate) fn counted(count: impl Display, one: &str) -> String {
    let count = count.to_string();
    let ending = if count == "1" { "" } else { "s" };
    format!("{count} {one}{ending}")
}

/// A field of a JSON object; null where there is none.
pub(crate) fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    static NOTHING: Value = Value::Null;
    value.get(name).unwrap_or(&NOTHING)
}

/// A text of a JSON object, fit for a terminal; empty where there is none.
pub(crate) fn field_text(value: &Value, name: &str) -> String {
    one_line(field(value, name).as_str().unwrap_or_default())
}

/// A table with aligned columns; the tone of a cell does not count for its width.
pub(crate) fn table(
    terminal: &Terminal,
    head: &[&str],
    rows: &[Vec<(Tone, String)>],
) -> Vec<String> {
    let cells: Vec<Vec<(Tone, String)>> = rows
        .iter()
        .map(|row| row.iter().map(|(tone, text)| (*tone, cell(text))).collect())
        .collect();
    let mut widths: Vec<usize> = head.iter().map(|name| name.len()).collect();
    for row in &cells {
        for (width, (_, text)) in widths.iter_mut().zip(row) {
            *width = (*width).max(text.chars().count());
        }
    }
    let line = |row: &[(Tone, String)]| {
        let last = row.len().saturating_sub(1);
        let mut line = String::new();
        for (i, ((tone, text), width)) in row.iter().zip(&widths).enumerate() {
            line.push_str(&terminal.out(*tone, text));
            if i < last {
                let gap = width.saturating_sub(text.chars().count()) + 2;
                line.extend(std::iter::repeat_n(' ', gap));
            }
        }
        line
    };
    let head: Vec<_> = head.iter().map(|name| (Tone::Faint, (*name).to_owned())).collect();
    std::iter::once(line(&head)).chain(cells.iter().map(|row| line(row))).collect()
}

fn cell(text: &str) -> String {
    let text = one_line(text);
    if text.chars().count() <= CELL_CHARS_MAX {
        return text;
    }
    let mut cut: String = text.chars().take(CELL_CHARS_MAX - 1).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        assert_eq!([0, 1, 21].map(|it| counted(it, "run")), ["0 runs", "1 run", "21 runs"]);
    }

    #[test]
    fn json_is_laid_out_without_touching_its_numbers() {
        let text = r#"{"a":[1e999,{"b":"x,{\"y"}],"c":{ },"d":[]}"#;
        let want = "{\n  \"a\": [\n    1e999,\n    {\n      \"b\": \"x,{\\\"y\"\n    }\n  ],\n  \
                    \"c\": {},\n  \"d\": []\n}";
        assert_eq!(pretty(text), want);
    }

    #[test]
    fn an_outline_is_short_and_tells_what_it_left_out() {
        let value =
            serde_json::json!({ "a": { "b": 1 }, "l": ["x", "y"], "o": [{ "k": null, "m": 1 }] });
        let want = ["a:", "  b: 1", "l: x, y", "o:", "  - k: null, m: 1"];
        assert_eq!(outline(&value, 100), want);
        assert_eq!(outline(&value, 2), ["a:", "  b: 1", "… 3 more lines; --json shows all"]);
    }

    #[test]
    fn a_table_is_aligned_by_its_widest_cells() {
        let plain = |text: &str| (Tone::Plain, text.to_owned());
        let rows = [vec![plain("a"), plain("first")], vec![plain("longer"), plain("x\ny")]];
        let lines = table(&Terminal::default(), &["id", "what"], &rows);
        assert_eq!(lines, ["id      what", "a       first", "longer  x y"]);
    }
}
