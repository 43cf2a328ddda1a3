//! Renders the report as Markdown that one would keep in a repository. Names and texts come from
//! foreign files, so each stands in a code span that it cannot leave, and invisible characters are
//! shown. The same report always gives the same text.

use std::fmt::Write;

use super::listed::Listed;
use super::report::{Report, by_code};

/// Rows of a table: what a person reads; the JSON report has more.
const ROWS_MAX: usize = 200;
/// Rows of the dependency table of one ecosystem.
const PACKAGE_ROWS_MAX: usize = 500;
/// Groups of duplicates that are shown, and files of each.
const GROUP_ROWS_MAX: usize = 50;
const GROUP_PATHS_MAX: usize = 5;
/// The largest files that are shown.
const LARGEST_ROWS_MAX: usize = 20;

/// The whole report.
pub(super) fn render(report: &Report) -> String {
    let mut page = Page::default();
    page.overview(report);
    page.secrets(report);
    page.languages(report);
    page.licences(report);
    page.dependencies(report);
    page.todos(report);
    page.files(report);
    page.duplicates(report);
    page.left_out(report);
    let end = page.text.trim_end().len();
    page.text.truncate(end + 1);
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A line with an empty one before and after.
    fn paragraph(&mut self, line: &str) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
        self.line(line);
        self.text.push('\n');
    }

    fn heading(&mut self, title: &str) {
        self.paragraph(&format!("## {title}"));
    }

    /// A table; columns whose title begins with `#` are numbers and stand to the right.
    fn table(&mut self, titles: &[&str], rows: impl Iterator<Item = Vec<String>>) {
        let names: Vec<&str> = titles.iter().map(|title| title.trim_start_matches('#')).collect();
        let rules = titles.iter().map(|t| if t.starts_with('#') { "---:" } else { "---" });
        self.line(&format!("| {} |", names.join(" | ")));
        self.line(&format!("| {} |", rules.collect::<Vec<_>>().join(" | ")));
        for row in rows {
            self.line(&format!("| {} |", row.join(" | ")));
        }
    }

    /// Says that a table does not show everything.
    fn cut(&mut self, shown: usize, total: u64) {
        if total > shown as u64 {
            let (shown, total) = (grouped(shown.min(ROWS_MAX) as u64), grouped(total));
            self.paragraph(&format!("{shown} of {total} are shown here."));
        }
    }

    fn list<T>(&mut self, titles: &[&str], list: &Listed<T>, row: impl Fn(&T) -> Vec<String>) {
        self.table(titles, list.listed.iter().take(ROWS_MAX).map(row));
        self.cut(list.listed.len().min(ROWS_MAX), list.total);
    }

    fn overview(&mut self, report: &Report) {
        let totals = &report.totals;
        self.paragraph("# Audit");
        self.paragraph(&format!("Of {}", code(&report.root)));
        let counted = |count: u64, note: String| format!("{}{note}", grouped(count));
        let lines = totals.code + totals.comments + totals.blank;
        let rows = [
            (
                "Files",
                counted(totals.files, format!(" in {} directories", grouped(report.directories))),
            ),
            ("Size", size(totals.bytes)),
            (
                "Text / binary / empty",
                format!(
                    "{} / {} / {}",
                    grouped(totals.text_files),
                    grouped(totals.binary_files),
                    grouped(totals.empty_files)
                ),
            ),
            ("Lines", counted(lines, format!(", of code {}", grouped(totals.code)))),
            ("Languages", grouped(report.languages.len() as u64)),
            ("Dependencies", dependencies_in_words(report)),
            ("To-do marks", grouped(totals.todos)),
            ("Likely secrets", grouped(totals.secrets)),
            (
                "Duplicates",
                format!(
                    "{} files that could go, {}",
                    grouped(report.duplicates.spare_files),
                    size(report.duplicates.spare_bytes)
                ),
            ),
            ("Problems", grouped(totals.problems)),
        ];
        self.table(&["", ""], rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]));
    }

    fn secrets(&mut self, report: &Report) {
        self.heading("Likely secrets");
        if report.secrets.total == 0 {
            return self.line("None found.");
        }
        self.paragraph(
            "Values are never shown: a fingerprint is the begin of the value's SHA-256.",
        );
        self.list(&["Where", "#Line", "Kind", "Fingerprint"], &report.secrets, |secret| {
            let fingerprint = code(&secret.fingerprint);
            vec![code(&secret.path), secret.line.to_string(), secret.kind.clone(), fingerprint]
        });
    }

    fn languages(&mut self, report: &Report) {
        self.heading("Languages");
        let titles = ["Language", "#Files", "#Code", "#Comment", "#Blank", "#Size"];
        let rows = by_code(&report.languages).into_iter().map(|(name, lines)| {
            let numbers = [lines.files, lines.code, lines.comments, lines.blank].map(grouped);
            let mut row = vec![name.to_owned()];
            row.extend(numbers);
            row.push(size(lines.bytes));
            row
        });
        self.table(&titles, rows);
    }

    fn licences(&mut self, report: &Report) {
        self.heading("Licences");
        let licences = &report.licences;
        if licences.files.total == 0 {
            self.line("No licence file found.");
        } else {
            self.list(&["File", "Licence"], &licences.files, |file| {
                let ids = file.licences.join(", ");
                let ids = if ids.is_empty() { "not recognised".to_owned() } else { ids };
                vec![code(&file.path), ids]
            });
        }
        if licences.declared.total > 0 {
            self.paragraph("Declared by package manifests:");
            self.list(&["Manifest", "Licence"], &licences.declared, |declared| {
                vec![code(&declared.path), code(&declared.expression)]
            });
        }
        if !licences.tags.is_empty() {
            self.paragraph("SPDX tags in sources:");
            let rows = licences.tags.iter().take(ROWS_MAX);
            let rows = rows.map(|(tag, files)| vec![code(tag), grouped(*files)]);
            self.table(&["Expression", "#Files"], rows);
            self.cut(licences.tags.len().min(ROWS_MAX), licences.tags.len() as u64);
        }
    }

    fn dependencies(&mut self, report: &Report) {
        self.heading("Dependencies");
        let dependencies = &report.dependencies;
        if dependencies.listed.is_empty() {
            return self.line("No lock file names any.");
        }
        for (ecosystem, total) in &dependencies.by_ecosystem {
            self.paragraph(&format!("### {ecosystem}: {}", grouped(*total)));
            let packages = dependencies.listed.iter().filter(|p| p.ecosystem == *ecosystem);
            let rows = packages.take(PACKAGE_ROWS_MAX).map(|package| {
                let first = package.paths.first().map(|path| code(path)).unwrap_or_default();
                let more = match package.lock_files {
                    0 | 1 => String::new(),
                    files => format!(" and {} more", grouped(files - 1)),
                };
                vec![code(&package.name), code(&package.version), format!("{first}{more}")]
            });
            self.table(&["Package", "Version", "Locked in"], rows);
            if *total > PACKAGE_ROWS_MAX as u64 {
                self.paragraph(&format!(
                    "{PACKAGE_ROWS_MAX} of {} are shown here.",
                    grouped(*total)
                ));
            }
        }
        if dependencies.not_listed > 0 {
            let left = grouped(dependencies.not_listed);
            self.paragraph(&format!("{left} further entries of lock files are not listed."));
        }
    }

    fn todos(&mut self, report: &Report) {
        self.heading("To-do marks");
        if report.totals.todos == 0 {
            return self.line("None found.");
        }
        let marks = report.todos_by_mark.iter();
        let marks: Vec<_> = marks.map(|(mark, n)| format!("{mark} {}", grouped(*n))).collect();
        self.paragraph(&marks.join(" · "));
        self.list(&["Where", "#Line", "Text"], &report.todos, |todo| {
            vec![code(&todo.path), todo.line.to_string(), code(&todo.text)]
        });
    }

    fn files(&mut self, report: &Report) {
        self.heading("Files by size");
        let classes = report.sizes.iter();
        let rows = classes.map(|c| vec![c.label.clone(), grouped(c.files), size(c.bytes)]);
        self.table(&["Class", "#Files", "#Together"], rows);
        self.paragraph("The largest:");
        let largest = report.largest.iter().take(LARGEST_ROWS_MAX);
        self.table(&["File", "#Size"], largest.map(|f| vec![code(&f.path), size(f.bytes)]));
    }

    fn duplicates(&mut self, report: &Report) {
        self.heading("Duplicates");
        let duplicates = &report.duplicates;
        if duplicates.groups == 0 {
            return self.line("No two files are the same.");
        }
        let rows = duplicates.listed.iter().take(GROUP_ROWS_MAX).map(|same| {
            let paths = same.paths.iter().take(GROUP_PATHS_MAX).map(|path| code(path));
            let mut paths = paths.collect::<Vec<_>>().join("<br>");
            let more = same.files.saturating_sub(GROUP_PATHS_MAX as u64);
            if more > 0 {
                let _ = write!(paths, "<br>and {} more", grouped(more));
            }
            let wasted = same.bytes.saturating_mul(same.files.saturating_sub(1));
            vec![size(wasted), grouped(same.files), size(same.bytes), paths]
        });
        self.table(&["#Wasted", "#Files", "#Each", "Where"], rows);
        let shown = duplicates.listed.len().min(GROUP_ROWS_MAX);
        self.cut(shown, duplicates.groups);
    }

    fn left_out(&mut self, report: &Report) {
        self.heading("Not looked into");
        let pair = |a: &str, b: &str| vec![code(a), code(b)];
        if report.problems.total > 0 {
            self.paragraph("Problems:");
            self.list(&["Where", "What"], &report.problems, |p| {
                vec![code(&p.path), plain(&p.problem)]
            });
        }
        if report.skipped.total > 0 {
            self.paragraph("Left out on purpose:");
            self.list(&["Where", "Why"], &report.skipped, |s| {
                vec![code(&s.path), plain(&s.reason)]
            });
        }
        if report.links.total > 0 {
            self.paragraph("Symbolic links, not followed:");
            self.list(&["Link", "To"], &report.links, |link| pair(&link.path, &link.target));
        }
        if report.special.total > 0 {
            self.paragraph("Sockets, pipes and devices, not opened:");
            self.list(&["Where"], &report.special, |path| vec![code(path)]);
        }
        let totals = &report.totals;
        self.paragraph(&format!(
            "{} files were too large to compare, {} texts too large to count.",
            grouped(totals.unhashed_files),
            grouped(totals.uncounted_files)
        ));
    }
}

fn dependencies_in_words(report: &Report) -> String {
    let ecosystems = report.dependencies.by_ecosystem.iter();
    let words: Vec<_> = ecosystems.map(|(name, n)| format!("{} {name}", grouped(*n))).collect();
    if words.is_empty() { "none locked".to_owned() } else { words.join(", ") }
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

/// Control characters, and those that only turn or hide others, as escapes.
fn visible(text: &str) -> String {
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
fn grouped(number: u64) -> String {
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
fn size(bytes: u64) -> String {
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

    #[test]
    fn numbers_are_readable() {
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!((grouped(0), grouped(999)), ("0".to_owned(), "999".to_owned()));
        let sizes = [0, 1023, 1024, 1536, 10 << 20, u64::MAX].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "10.0 MiB", "15.9 EiB"]);
    }
}
