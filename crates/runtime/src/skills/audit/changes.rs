//! What stands in the report of a comparison of two audits.

use super::comparison::{Comparison, Delta, FileNow, PackageChange};
use super::listed::Listed;
use super::page::{Cell, Chart, Page, ROWS_MAX};

/// Versions and licences of one package that are shown.
const VERSIONS_MAX: usize = 5;
const TOTALS: [(&str, &str); 11] = [
    ("files", "Files"),
    ("bytes", "Size"),
    ("code", "Lines of code"),
    ("comments", "Lines of comment"),
    ("blank", "Blank lines"),
    ("dependencies", "Dependencies"),
    ("todos", "To-do marks"),
    ("secrets", "Likely secrets"),
    ("duplicate_files", "Duplicate files"),
    ("duplicate_bytes", "Size of duplicates"),
    ("problems", "Problems"),
];

/// The whole report.
pub(super) fn of_comparison(found: &Comparison) -> Page {
    let mut page = Page::new("Difference between two audits");
    overview(&mut page, found);
    secrets(&mut page, found);
    dependencies(&mut page, found);
    languages(&mut page, found);
    files(&mut page, found);
    todos(&mut page, found);
    page
}

fn overview(page: &mut Page, found: &Comparison) {
    page.section("");
    for (word, side) in [("From", &found.before), ("To", &found.after)] {
        let mut cells = vec![Cell::words(word), Cell::foreign(side.root.as_str())];
        if !side.newest.is_empty() {
            cells.extend([Cell::words("with commits up to"), Cell::foreign(side.newest.as_str())]);
        }
        page.sentence(cells);
    }
    if !found.incomplete.is_empty() {
        let lists = found.incomplete.join(", ");
        page.words(format!("Not complete, as a report lists only a part of them: {lists}."));
    }
    let rows = TOTALS.iter().filter_map(|(key, name)| {
        let delta = found.totals.get(key)?;
        let mut row = vec![Cell::words(*name)];
        row.extend(if key.ends_with("bytes") { sizes(*delta) } else { numbers(*delta) });
        Some(row)
    });
    page.table(&["", "#Before", "#After", "#Change"], rows);
}

fn numbers(delta: Delta) -> [Cell; 3] {
    [Cell::Number(delta.before), Cell::Number(delta.after), Cell::Change(delta.change)]
}

fn sizes(delta: Delta) -> [Cell; 3] {
    [Cell::Bytes(delta.before), Cell::Bytes(delta.after), Cell::BytesChange(delta.change)]
}

fn secrets(page: &mut Page, found: &Comparison) {
    page.section("Likely secrets");
    let lists = [("New", &found.secrets.new), ("Gone", &found.secrets.gone)];
    for (title, list) in lists.into_iter().filter(|(_, list)| list.total > 0) {
        page.title(title.to_owned());
        page.list(&["Where", "Kind", "Fingerprint"], list, |secret| {
            let fingerprint = Cell::foreign(secret.fingerprint.as_str());
            // Out of a file that anybody may have written.
            vec![
                Cell::foreign(secret.path.as_str()),
                Cell::foreign(secret.kind.as_str()),
                fingerprint,
            ]
        });
    }
    nothing(page, lists.iter().all(|(_, list)| list.total == 0));
}

fn dependencies(page: &mut Page, found: &Comparison) {
    page.section("Dependencies");
    let packages = &found.dependencies;
    let lists = [
        ("Other licence", &packages.licence_changed),
        ("Added", &packages.added),
        ("Removed", &packages.removed),
        ("Updated", &packages.updated),
    ];
    for (title, list) in lists.into_iter().filter(|(_, list)| list.total > 0) {
        page.title(title.to_owned());
        let titles = ["Package", "Ecosystem", "Before", "After", "Licence before", "Licence after"];
        page.list(&titles, list, package);
    }
    nothing(page, lists.iter().all(|(_, list)| list.total == 0));
}

fn package(change: &PackageChange) -> Vec<Cell> {
    let lines = |texts: &[String]| {
        let more = texts.len().saturating_sub(VERSIONS_MAX);
        let more = if more > 0 { format!("and {more} more") } else { String::new() };
        Cell::Lines(texts.iter().take(VERSIONS_MAX).cloned().collect(), more)
    };
    vec![
        Cell::foreign(change.name.as_str()),
        Cell::foreign(change.ecosystem.as_str()),
        lines(&change.before),
        lines(&change.after),
        lines(&change.licences_before),
        lines(&change.licences_after),
    ]
}

fn languages(page: &mut Page, found: &Comparison) {
    page.section("Languages");
    if found.languages.is_empty() {
        return nothing(page, true);
    }
    let mut languages: Vec<_> = found.languages.iter().collect();
    languages.sort_by_key(|(name, delta)| {
        (std::cmp::Reverse(delta.code.change.unsigned_abs()), name.as_str())
    });
    let total = languages.len() as u64;
    let rows = languages.into_iter().take(ROWS_MAX).map(|(name, delta)| {
        let mut row = vec![Cell::foreign(name.as_str())];
        row.extend(numbers(delta.code));
        row.extend([delta.comments, delta.blank, delta.files].map(|it| Cell::Change(it.change)));
        row
    });
    let titles = ["Language", "#Before", "#After", "#Code", "#Comment", "#Blank", "#Files"];
    page.chart(Chart { title: "Change in lines of code", column: 3 }, &titles, rows);
    page.cut(ROWS_MAX, total);
}

fn files(page: &mut Page, found: &Comparison) {
    page.section("Files");
    if found.incomplete.contains(&"files") {
        return page.words("Not compared: a report lists only a part of them.");
    }
    let files = &found.files;
    let file = |file: &FileNow| vec![Cell::foreign(file.path.as_str()), Cell::Bytes(file.bytes)];
    let lists: [(&str, &Listed<FileNow>); 2] =
        [("Added", &files.added), ("Removed", &files.removed)];
    for (title, list) in lists.into_iter().filter(|(_, list)| list.total > 0) {
        page.title(title.to_owned());
        page.list(&["File", "#Size"], list, file);
    }
    if files.changed.total > 0 {
        page.title("Changed".to_owned());
        page.list(&["File", "#Before", "#After", "#Change"], &files.changed, |change| {
            let mut row = vec![Cell::foreign(change.path.as_str())];
            row.extend(sizes(change.bytes));
            row
        });
    }
    if files.moved.total > 0 {
        page.title("Moved".to_owned());
        page.list(&["From", "To"], &files.moved, |moved| {
            vec![Cell::foreign(moved.from.as_str()), Cell::foreign(moved.to.as_str())]
        });
    }
    let changes = [files.added.total, files.removed.total, files.changed.total, files.moved.total];
    nothing(page, changes == [0; 4]);
}

fn todos(page: &mut Page, found: &Comparison) {
    page.section("To-do marks");
    let lists = [("New", &found.todos.new), ("Gone", &found.todos.gone)];
    for (title, list) in lists.into_iter().filter(|(_, list)| list.total > 0) {
        page.title(title.to_owned());
        page.list(&["Where", "Text"], list, |todo| {
            vec![Cell::foreign(todo.path.as_str()), Cell::foreign(todo.text.as_str())]
        });
    }
    nothing(page, lists.iter().all(|(_, list)| list.total == 0));
}

fn nothing(page: &mut Page, is_same: bool) {
    if is_same {
        page.words("Nothing changed.");
    }
}
