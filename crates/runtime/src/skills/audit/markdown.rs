//! Renders a page as Markdown that one would keep in a repository. Names and texts come from
//! foreign files, so each stands in a code span that it cannot leave, and invisible characters are
//! shown. The same page always gives the same text.

use super::page::{Block, Cell, Page, visible};

/// The whole page.
pub(super) fn render(page: &Page) -> String {
    let mut text = Text::default();
    text.paragraph(&format!("# {}", plain(&page.title)));
    for section in &page.sections {
        if !section.title.is_empty() {
            text.paragraph(&format!("## {}", plain(&section.title)));
        }
        for block in &section.blocks {
            text.block(block);
        }
    }
    let end = text.text.trim_end().len();
    text.text.truncate(end + 1);
    text.text
}

#[derive(Default)]
struct Text {
    text: String,
}

impl Text {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A line with an empty one before and after.
    fn paragraph(&mut self, line: &str) {
        self.apart();
        self.line(line);
        self.text.push('\n');
    }

    fn apart(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    fn block(&mut self, block: &Block) {
        match block {
            Block::Title(title) => self.paragraph(&format!("### {}", plain(title))),
            Block::Words(cells) => {
                let words: Vec<String> = cells.iter().map(cell).collect();
                self.paragraph(&words.join(" "));
            }
            Block::Table(table) => {
                self.apart();
                let names = table.titles.iter().map(|title| title.trim_start_matches('#'));
                let rules =
                    table.titles.iter().map(|t| if t.starts_with('#') { "---:" } else { "---" });
                self.line(&format!("| {} |", names.collect::<Vec<_>>().join(" | ")));
                self.line(&format!("| {} |", rules.collect::<Vec<_>>().join(" | ")));
                for row in &table.rows {
                    let cells: Vec<String> = row.iter().map(cell).collect();
                    self.line(&format!("| {} |", cells.join(" | ")));
                }
            }
        }
    }
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Words(text) => plain(text),
        Cell::Foreign(text) => code(text),
        Cell::Lines(lines, after) => {
            let mut lines: Vec<String> = lines.iter().map(|line| code(line)).collect();
            lines.extend((!after.is_empty()).then(|| plain(after)));
            lines.join("<br>")
        }
        Cell::Number(_) | Cell::Bytes(_) | Cell::Change(_) | Cell::BytesChange(_) => cell.shown(),
    }
}

/// A foreign text as a code span inside a table cell: nothing in it is markup.
fn code(text: &str) -> String {
    let shown = visible(text);
    if shown.is_empty() {
        return String::new();
    }
    // A span is closed by as many backticks as opened it, so it opens with one more than any run
    // of them inside. A `|` would end the cell even in a span.
    let longest = shown.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let blank = |c: char| matches!(c, '`' | ' ');
    let space = if shown.starts_with(blank) || shown.ends_with(blank) { " " } else { "" };
    format!("{fence}{space}{}{space}{fence}", shown.replace('|', "\\|"))
}

/// Our own words, with nothing in them that would end a cell.
fn plain(text: &str) -> String {
    visible(text).replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_leave_its_span() {
        let cases = [
            ("a", "`a`"),
            ("", ""),
            ("a|b", "`a\\|b`"),
            ("a`b``c", "```a`b``c```"),
            ("`", "`` ` ``"),
            (" a", "`  a `"),
            ("a\nb", "`a\\nb`"),
            ("x\u{202e}y", "`x\\u{202e}y`"),
            ("<b>[x](y)", "`<b>[x](y)`"),
        ];
        for (text, expected) in cases {
            assert_eq!(code(text), expected, "{text:?}");
        }
    }
}
