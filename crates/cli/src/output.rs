//! Everything that a command prints: for people, or as JSON for programs. Nothing else prints.

use std::io::{Write, stderr, stdout};

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
    pub(crate) fn document(&self, value: &Value) -> Result<(), Failure> {
        self.line(&pretty(value))
    }

    /// One of many JSON documents, each on a line.
    pub(crate) fn json_line(&self, value: &Value) -> Result<(), Failure> {
        self.line(&value.to_string())
    }

    /// The answer in the form that was asked for.
    pub(crate) fn answer(
        &self,
        value: &Value,
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
            let _ = writeln!(err, "{}", pretty(&failure.problem()));
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

/// JSON as people read it.
pub(crate) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
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
    fn a_table_is_aligned_by_its_widest_cells() {
        let plain = |text: &str| (Tone::Plain, text.to_owned());
        let rows = [vec![plain("a"), plain("first")], vec![plain("longer"), plain("x\ny")]];
        let lines = table(&Terminal::default(), &["id", "what"], &rows);
        assert_eq!(lines, ["id      what", "a       first", "longer  x y"]);
    }
}
