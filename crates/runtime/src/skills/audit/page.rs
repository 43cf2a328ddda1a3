//! A report before it is Markdown or HTML: sections of words and tables. A text that comes from a
//! foreign file is told apart from our own words, so that each form can keep it harmless.

use std::fmt::Write;

use super::listed::Listed;

/// Rows of a table: what a person reads; the JSON report has more.
pub(super) const ROWS_MAX: usize = 200;

/// A whole report.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) title: String,
    pub(super) sections: Vec<Section>,
}

#[derive(Debug)]
pub(super) struct Section {
    /// Empty for the one that stands under the page's own title.
    pub(super) title: String,
    pub(super) blocks: Vec<Block>,
}

#[derive(Debug)]
pub(super) enum Block {
    /// A title below the section's.
    Title(String),
    /// One line or paragraph.
    Words(Vec<Cell>),
    Table(Table),
}

/// A table and, in forms that can draw, a chart of it.
#[derive(Debug)]
pub(super) struct Table {
    /// Those that begin with `#` are of numbers and stand to the right.
    pub(super) titles: Vec<&'static str>,
    pub(super) rows: Vec<Vec<Cell>>,
    pub(super) chart: Option<Chart>,
}

/// Bars of one column of a table's rows, named by its first.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) column: usize,
}

/// What stands in one place of a table.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    Words(String),
    /// A text of a foreign file.
    Foreign(String),
    Number(u64),
    Bytes(u64),
    /// Of a number, by so much.
    Change(i64),
    /// Of a size, by so much.
    BytesChange(i64),
    /// Foreign texts below one another, and our words after them.
    Lines(Vec<String>, String),
}

impl Cell {
    pub(super) fn words(text: impl Into<String>) -> Self {
        Self::Words(text.into())
    }

    pub(super) fn foreign(text: impl Into<String>) -> Self {
        Self::Foreign(text.into())
    }

    /// The number that a bar of it shows.
    pub(super) fn value(&self) -> u64 {
        match self {
            Self::Number(value) | Self::Bytes(value) => *value,
            Self::Change(value) | Self::BytesChange(value) => value.unsigned_abs(),
            Self::Words(_) | Self::Foreign(_) | Self::Lines(..) => 0,
        }
    }

    /// As text without markup, with what is invisible shown.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Words(text) | Self::Foreign(text) => visible(text),
            Self::Number(value) => grouped(*value),
            Self::Bytes(value) => size(*value),
            Self::Change(value) => format!("{}{}", sign(*value), grouped(value.unsigned_abs())),
            Self::BytesChange(value) => format!("{}{}", sign(*value), size(value.unsigned_abs())),
            Self::Lines(lines, _) => visible(&lines.join(" ")),
        }
    }
}

fn sign(value: i64) -> &'static str {
    match value {
        0 => "±",
        value if value > 0 => "+",
        _ => "−",
    }
}

impl Page {
    pub(super) fn new(title: &str) -> Self {
        Self { title: title.to_owned(), sections: Vec::new() }
    }

    pub(super) fn section(&mut self, title: &str) {
        self.sections.push(Section { title: title.to_owned(), blocks: Vec::new() });
    }

    fn block(&mut self, block: Block) {
        if let Some(section) = self.sections.last_mut() {
            section.blocks.push(block);
        }
    }

    pub(super) fn title(&mut self, title: String) {
        self.block(Block::Title(title));
    }

    pub(super) fn words(&mut self, words: impl Into<String>) {
        self.block(Block::Words(vec![Cell::Words(words.into())]));
    }

    pub(super) fn sentence(&mut self, cells: Vec<Cell>) {
        self.block(Block::Words(cells));
    }

    pub(super) fn table(&mut self, titles: &[&'static str], rows: impl Iterator<Item = Vec<Cell>>) {
        let table = Table { titles: titles.to_vec(), rows: rows.collect(), chart: None };
        self.block(Block::Table(table));
    }

    pub(super) fn chart(
        &mut self,
        chart: Chart,
        titles: &[&'static str],
        rows: impl Iterator<Item = Vec<Cell>>,
    ) {
        let table = Table { titles: titles.to_vec(), rows: rows.collect(), chart: Some(chart) };
        self.block(Block::Table(table));
    }

    /// The first rows of a list, and a word where there are more.
    pub(super) fn list<T>(
        &mut self,
        titles: &[&'static str],
        list: &Listed<T>,
        row: impl Fn(&T) -> Vec<Cell>,
    ) {
        self.table(titles, list.listed.iter().take(ROWS_MAX).map(row));
        self.cut(list.listed.len().min(ROWS_MAX), list.total);
    }

    /// Says that a table does not show everything.
    pub(super) fn cut(&mut self, shown: usize, total: u64) {
        if total > shown as u64 {
            self.words(format!("{} of {} are shown here.", grouped(shown as u64), grouped(total)));
        }
    }
}

/// Control characters, and those that only turn or hide others, as escapes.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let is_hidden = matches!(c, '\u{ad}' | '\u{61c}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
            || matches!(c, '\u{e0000}'..='\u{e007f}');
        match c {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            c if c.is_control() || is_hidden => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    shown
}

/// `1234567` as `1 234 567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A size for people, rounded down to a tenth.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut whole, mut rest, mut name) = (bytes, 0, "");
    for unit in UNITS {
        if whole < 1024 {
            break;
        }
        (rest, whole, name) = (whole % 1024, whole / 1024, unit);
    }
    format!("{whole}.{} {name}", rest * 10 / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!((grouped(0), grouped(999)), ("0".to_owned(), "999".to_owned()));
        let sizes = [0, 1023, 1024, 1536, 10 << 20, u64::MAX].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "10.0 MiB", "15.9 EiB"]);
        let changes = [Cell::Change(-1200), Cell::Change(0), Cell::BytesChange(2048)];
        assert_eq!(changes.map(|it| it.shown()), ["−1\u{202f}200", "±0", "+2.0 KiB"]);
    }
}
