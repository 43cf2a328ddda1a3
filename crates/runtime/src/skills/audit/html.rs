//! Renders a page as one HTML file that asks nobody for anything: no script, the style allowed by
//! its digest, charts drawn in place. Every text is escaped; the file has an end whatever the page
//! holds. The same page always gives the same file.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::page::{Block, Cell, Page, Section, Table};
use super::svg;

/// The longest file; a report of a large project has a third of it.
const HTML_BYTES_MAX: usize = 1024 * 1024;
/// Characters of one foreign text that are shown; the JSON report has all of them.
const TEXT_CHARS_MAX: usize = 300;
const STYLE: &str = include_str!("html.css");

/// The whole page.
pub(super) fn render(page: &Page) -> String {
    let digest = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    let title = escaped(&page.title);
    let mut html = Html::default();
    html.push(&format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>{title}</h1></header>\n"
    ));
    html.contents(page);
    html.push("<main>\n");
    for (number, section) in page.sections.iter().enumerate() {
        html.section(number, section);
    }
    html.push("</main>\n</body>\n</html>\n");
    html.text
}

#[derive(Default)]
struct Html {
    text: String,
    charts: usize,
}

impl Html {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn contents(&mut self, page: &Page) {
        self.push("<nav aria-label=\"Sections\"><ul>\n");
        for (number, section) in page.sections.iter().enumerate() {
            if !section.title.is_empty() {
                let title = escaped(&section.title);
                let _ = writeln!(self.text, "<li><a href=\"#s{number}\">{title}</a></li>");
            }
        }
        self.push("</ul></nav>\n");
    }

    fn section(&mut self, number: usize, section: &Section) {
        let _ = writeln!(self.text, "<section id=\"s{number}\">");
        if !section.title.is_empty() {
            let _ = writeln!(self.text, "<h2>{}</h2>", escaped(&section.title));
        }
        for block in &section.blocks {
            match block {
                Block::Title(title) => {
                    let _ = writeln!(self.text, "<h3>{}</h3>", escaped(title));
                }
                Block::Words(cells) => {
                    let words: Vec<String> = cells.iter().map(cell).collect();
                    let _ = writeln!(self.text, "<p>{}</p>", words.join(" "));
                }
                Block::Table(table) => self.table(table),
            }
        }
        self.push("</section>\n");
    }

    fn table(&mut self, table: &Table) {
        let drawn =
            table.chart.as_ref().and_then(|chart| svg::bars(chart, &table.rows, self.charts));
        if let Some(drawn) = &drawn {
            self.charts += 1;
            let _ = writeln!(self.text, "<figure>{drawn}");
        }
        self.push("<div class=\"wide\"><table>\n");
        if table.titles.iter().any(|title| !title.is_empty()) {
            self.push("<thead><tr>");
            for title in &table.titles {
                let name = escaped(title.trim_start_matches('#'));
                let _ = write!(self.text, "<th scope=\"col\"{}>{name}</th>", class(title));
            }
            self.push("</tr></thead>\n");
        }
        self.push("<tbody>\n");
        let mut shown = 0;
        for row in &table.rows {
            if self.text.len() >= HTML_BYTES_MAX {
                break;
            }
            self.push("<tr>");
            for (title, content) in table.titles.iter().zip(row) {
                let _ = write!(self.text, "<td{}>{}</td>", class(title), cell(content));
            }
            self.push("</tr>\n");
            shown += 1;
        }
        self.push("</tbody></table></div>\n");
        if shown < table.rows.len() {
            self.push("<p>The page is full; the other forms of this report have the rest.</p>\n");
        }
        if drawn.is_some() {
            self.push("</figure>\n");
        }
    }
}

fn class(title: &str) -> &'static str {
    if title.starts_with('#') { " class=\"n\"" } else { "" }
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Foreign(text) if text.is_empty() => String::new(),
        Cell::Foreign(_) => {
            format!("<code>{}</code>", escaped(&short(&cell.shown(), TEXT_CHARS_MAX)))
        }
        Cell::Lines(lines, after) => {
            let lines = lines.iter().map(|line| self::cell(&Cell::foreign(line.as_str())));
            let after = (!after.is_empty()).then(|| escaped(after));
            lines.chain(after).collect::<Vec<_>>().join("<br>")
        }
        Cell::Words(_)
        | Cell::Number(_)
        | Cell::Bytes(_)
        | Cell::Change(_)
        | Cell::BytesChange(_) => escaped(&cell.shown()),
    }
}

/// The first characters of a text, and a sign where there were more.
pub(super) fn short(text: &str, chars_max: usize) -> String {
    let mut chars = text.chars();
    let mut short: String = chars.by_ref().take(chars_max).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

/// A text in which nothing is markup, inside an element or a quoted attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skills::audit::page::Chart;

    fn page(text: &str, rows: usize) -> Page {
        let mut page = Page::new("A < B");
        page.section("");
        page.sentence(vec![Cell::words("Of"), Cell::foreign(text)]);
        page.section("Things & more");
        let row = |n: usize| vec![Cell::foreign(text), Cell::Number(n as u64)];
        let chart = Chart { title: "Things", column: 1 };
        page.chart(chart, &["Name", "#Count"], (1..=rows).map(row));
        page
    }

    #[test]
    fn foreign_text_is_never_markup() {
        let html = render(&page("</code></title><script>alert('x')</script>\" onload=\"y", 2));
        assert!(!html.contains("<script"));
        assert!(!html.contains("\" onload"));
        assert_eq!(html.matches("&lt;script&gt;").count(), 5, "{html}");
    }

    #[test]
    fn the_style_is_the_one_the_policy_allows_and_nothing_is_fetched() {
        let html = render(&page("x", 1));
        let style = html.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
        let digest = STANDARD.encode(Sha256::digest(style.as_bytes()));
        assert!(html.contains(&format!("style-src 'sha256-{digest}'")));
        for fetching in ["src=", "url(", "@import", "<link", "<script", "<iframe", "style=\""] {
            assert!(!html.contains(fetching), "{fetching}");
        }
        let addresses = html.matches("http").count() - html.matches("http-equiv").count();
        assert_eq!(addresses, 0);
    }

    #[test]
    fn the_file_ends_whatever_the_page_holds() {
        let mut page = page(&"&".repeat(5000), 2000);
        for _ in 0..5 {
            page.sections.push(Section { title: "again".into(), blocks: Vec::new() });
            let row = |_| vec![Cell::foreign("&".repeat(5000)), Cell::Number(1)];
            page.table(&["Name", "#Count"], (0..2000).map(row));
        }
        let html = render(&page);
        assert!(html.len() < HTML_BYTES_MAX + 64 * 1024, "{}", html.len());
        assert!(html.contains("The page is full"));
        assert!(html.ends_with("</html>\n"));
    }
}
